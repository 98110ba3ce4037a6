//! What stops a run before its end: the first signal asks it to stop in good order, the second ends it at once. Credentials or a
//! lease that are gone, and a fault in drctl, stop it as the first signal does. No changing request leaves after it: who sends them asks
//! [`Shutdown::is_requested`] at each.
//!
//! A terminal that closes sends SIGHUP, often twice: the kernel to what runs in the foreground, and the shell to its jobs. So a
//! further SIGHUP never ends a run at once. A run that was started with SIGHUP ignored, by `nohup`, goes on ignoring it.
//!
//! Either way the state stays valid: it is written by append and rename only, and what was not recorded is found again by
//! the intent that was.

use std::sync::{Arc, OnceLock};

use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long after the request nothing is waited for any more: what is in flight has had its five seconds, and its entries a bit more.
const OUT: Duration = Duration::from_millis(5500);

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
    /// Listens for SIGINT, SIGTERM and SIGHUP: the first asks the run to stop, the second calls `now`.
    ///
    /// # Errors
    /// When the operating system refuses signal handlers.
    pub fn listen(now: impl FnOnce(i32) + Send + 'static) -> std::io::Result<Self> {
        let shutdown = Self::default();
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        let handle = shutdown.clone();
        tokio::spawn(async move {
            let mut now = Some(now);
            loop {
                let kind = tokio::select! {
                    Some(()) = interrupt.recv() => SignalKind::interrupt(),
                    Some(()) = terminate.recv() => SignalKind::terminate(),
                    Some(()) = received(hangup.as_mut()) => SignalKind::hangup(),
                    else => return,
                };
                if !handle.is_requested() {
                    handle.give_up(Reason::Signal(kind.as_raw_value()));
                } else if kind != SignalKind::hangup() {
                    if let Some(now) = now.take() {
                        now(kind.as_raw_value());
                    }
                    return;
                }
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

    /// The signal that asked, 1, 2 or 15; none when the run gave up by itself.
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

    /// Ends when a run that was asked to stop has to be out: nothing is waited for any more.
    pub async fn last(&self) {
        self.first().await;
        tokio::time::sleep(OUT).await;
    }

    /// What waits watch: cancelled when the run is asked to stop.
    pub fn token(&self) -> CancellationToken {
        self.requested.clone()
    }
}

/// The next signal; never one where none is listened for.
async fn received(signal: Option<&mut Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether this process was started with SIGHUP ignored. Only Linux tells that without a system call of C; elsewhere it counts as
/// not ignored.
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, SignalKind::hangup()))
}

/// What the status of a process says of a signal: the line `SigIgn` has a bit for each, the lowest for signal 1.
fn ignores(status: &str, kind: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ignored_at_the_start_is_told_by_its_bit() {
        let status = "Name:\tdrctl\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n";
        assert!(ignores(status, SignalKind::hangup()));
        assert!(!ignores(status, SignalKind::interrupt()));
        assert!(!ignores("", SignalKind::hangup()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_has_six_seconds_from_the_request() {
        let shutdown = Shutdown::default();
        let start = tokio::time::Instant::now();
        let handle = shutdown.clone();
        let waiting = tokio::spawn(async move { handle.last().await });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!waiting.is_finished(), "nobody asked");
        shutdown.give_up(Reason::Signal(2));
        waiting.await.expect("it ends");
        assert!(start.elapsed() < Duration::from_secs(66), "{:?}", start.elapsed());
    }
}
