//! What stops a run before its end: the first signal asks it to stop in good order, the second ends it at once. Credentials or a
//! lease that are gone, and a fault in drctl, stop it as the first signal does. No changing request leaves after it: who sends them asks
//! [`Shutdown::is_requested`] at each.
//!
//! Either way the state stays valid: it is written by append and rename only, and what was not recorded is found again by
//! the intent that was.

use std::sync::{Arc, OnceLock};

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Why a run stops before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Reason {
    /// A signal asked for it: its number.
    Signal(i32),
    /// The credentials are no longer valid.
    CredentialsGone,
    /// The lease on the state is lost.
    LeaseLost,
    /// Something in drctl panicked.
    Fault,
}

impl From<Reason> for &'static str {
    /// The reason as events name it.
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Signal(_) => "interrupted",
            Reason::CredentialsGone => "credentials_gone",
            Reason::LeaseLost => "lease_lost",
            Reason::Fault => "fault",
        }
    }
}

/// Whether the run has been asked to stop, and why. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    requested: CancellationToken,
    reason: Arc<OnceLock<Reason>>,
}

impl Shutdown {
    /// Listens for SIGINT and SIGTERM: the first asks the run to stop, the second calls `now`.
    ///
    /// # Errors
    /// When the operating system refuses signal handlers.
    pub fn listen(now: impl FnOnce(i32) + Send + 'static) -> std::io::Result<Self> {
        let shutdown = Self::default();
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let handle = shutdown.clone();
        tokio::spawn(async move {
            let mut now = Some(now);
            loop {
                let number = tokio::select! {
                    Some(()) = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
                    Some(()) = terminate.recv() => SignalKind::terminate().as_raw_value(),
                    else => return,
                };
                if handle.is_requested() {
                    if let Some(now) = now.take() {
                        now(number);
                    }
                    return;
                }
                handle.give_up(Reason::Signal(number));
            }
        });
        Ok(shutdown)
    }

    /// Asks the run to stop. The first reason stands.
    pub fn give_up(&self, reason: Reason) {
        // Whoever sees the request finds its reason.
        let _ = self.reason.set(reason);
        self.requested.cancel();
    }

    /// Whether the run was asked to stop.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Why the run was asked to stop, if it was.
    pub fn reason(&self) -> Option<Reason> {
        self.reason.get().copied()
    }

    /// The signal that asked, 2 or 15; none when the run gave up by itself.
    pub fn signal(&self) -> Option<i32> {
        match self.reason() {
            Some(Reason::Signal(number)) => Some(number),
            _ => None,
        }
    }

    /// Ends when the run is asked to stop.
    pub async fn first(&self) {
        self.requested.cancelled().await;
    }

    /// What waits watch: cancelled when the run is asked to stop.
    pub fn token(&self) -> CancellationToken {
        self.requested.clone()
    }
}
