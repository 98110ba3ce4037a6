//! Signals: the first asks the run to stop in good order, the second ends it at once. Credentials that are gone stop it as the
//! first signal does.
//!
//! Either way the state stays valid: it is written by append and rename only, and what was not recorded is found again by
//! the intent that was.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::aws::transport::Transport;

/// Whether the run has been asked to stop. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    requested: CancellationToken,
    signal: Arc<AtomicI32>,
}

impl Shutdown {
    /// Listens for SIGINT and SIGTERM: the first stops changing requests and cancels waits, the second calls `now`.
    ///
    /// # Errors
    /// When the operating system refuses signal handlers.
    pub fn listen(transport: Transport, now: impl FnOnce(i32) + Send + 'static) -> std::io::Result<Self> {
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
                transport.stop_changes();
                handle.request(number);
            }
        });
        Ok(shutdown)
    }

    /// Asks the run to stop, as a signal would.
    pub fn request(&self, signal: i32) {
        self.signal.store(signal, Ordering::SeqCst);
        self.requested.cancel();
    }

    /// Asks the run to stop for a reason that its end will tell, and that is no signal.
    pub fn give_up(&self) {
        self.requested.cancel();
    }

    /// Whether the run was asked to stop.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// The signal that asked, 2 or 15; none when the run gave up by itself.
    pub fn signal(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::SeqCst)).filter(|signal| *signal > 0)
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
