//! Waiting for AWS to finish: poll, back off, tell what is awaited, give up at the deadline, stop at an interrupt.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::error::{Error, Result};

/// What one look at an object says.
#[derive(Debug)]
pub enum Look<T> {
    /// It is as it should be.
    Ready(T),
    /// It is not there yet; the text is its state, for people.
    Pending(String),
}

/// How long to wait and how often to look.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// After this long the wait fails.
    pub deadline: Duration,
    /// The longest pause between two looks; pauses start at 250 ms and double up to it.
    pub every: Duration,
}

impl Patience {
    /// A wait with a deadline in seconds and at most `every` seconds between two looks.
    pub const fn seconds(deadline: u64, every: u64) -> Self {
        Self { deadline: Duration::from_secs(deadline), every: Duration::from_secs(every) }
    }

    /// A wait with a deadline in minutes, looking every ten seconds at the end.
    pub const fn minutes(deadline: u64) -> Self {
        Self::seconds(deadline * 60, 10)
    }
}

/// The first pause between two looks: local and fast objects are ready at once, slow ones do not notice.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Looks until the object is ready, telling `report` what is awaited whenever that changes.
///
/// # Errors
/// Whatever a look returns, [`Error::Deadline`] after the patience is used up, [`Error::Interrupted`] when `stop` is cancelled.
pub async fn until<T, F, Fut>(
    awaited: &str,
    patience: Patience,
    stop: &CancellationToken,
    report: &(dyn Fn(&str) + Send + Sync),
    mut look: F,
) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Look<T>>>,
{
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut reported = String::new();
    loop {
        let last = match look().await? {
            Look::Ready(value) => return Ok(value),
            Look::Pending(state) => state,
        };
        let waited = start.elapsed();
        if waited + pause > patience.deadline {
            return Err(Error::Deadline { awaited: awaited.to_owned(), waited, last });
        }
        if last != reported {
            report(&format!("{awaited} ({last})"));
            reported = last;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => return Err(Error::Interrupted),
        }
        pause = (pause * 2).min(patience.every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn the_deadline_names_what_was_awaited_and_its_last_state() {
        let stop = CancellationToken::new();
        let error = until("the gateway to be available", Patience::seconds(60, 10), &stop, &|_| {}, || async {
            Ok(Look::<()>::Pending("pending".into()))
        })
        .await
        .expect_err("it never becomes ready");
        assert!(error.to_string().contains("for the gateway to be available; it is still pending"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_drops_the_wait() {
        let stop = CancellationToken::new();
        let looks = AtomicU32::new(0);
        let result = until("x", Patience::minutes(40), &stop, &|_| {}, || async {
            if looks.fetch_add(1, Ordering::Relaxed) == 3 {
                stop.cancel();
            }
            Ok(Look::<()>::Pending("creating".into()))
        })
        .await;
        assert!(matches!(result, Err(Error::Interrupted)));
        assert_eq!(looks.load(Ordering::Relaxed), 4);
    }
}
