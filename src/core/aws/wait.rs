//! Waiting for AWS to finish: poll, back off, tell what is awaited, give up at the deadline, stop at an interrupt.
//!
//! Pauses between two looks are a share of the time already waited, never a doubling: what is ready is seen at most that share too
//! late, whether it took seconds or an hour, and the number of looks still grows only with the logarithm of the wait. A pause that
//! doubles is as long as the whole wait before it, and most of a run is waiting.

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
    /// The longest pause between two looks; see [`Pace`].
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

/// How pauses grow with the time already waited.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The pause is one part in so many of the time waited.
    pub part: u32,
    /// The shortest pause: local and fast objects are ready at once, slow ones do not notice.
    pub shortest: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Pace {
    /// Between two looks, which cost AWS little: what is ready is seen at most 4 % too late.
    pub const fn looks(longest: Duration) -> Self {
        Self { part: 25, shortest: Duration::from_millis(250), longest }
    }

    /// Between two tries of a refused call, most of which would change something and have scarcer quotas.
    pub const TRIES: Self = Self { part: 5, shortest: Duration::from_millis(500), longest: Duration::from_secs(10) };

    /// The pause after having waited so long.
    pub fn pause(&self, waited: Duration) -> Duration {
        (waited / self.part).clamp(self.shortest, self.longest.max(self.shortest))
    }
}

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
    let pace = Pace::looks(patience.every);
    let mut reported = String::new();
    loop {
        let last = match look().await? {
            Look::Ready(value) => return Ok(value),
            Look::Pending(state) => state,
        };
        let waited = start.elapsed();
        let pause = pace.pause(waited);
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

    /// How late readiness is seen, and after how many looks.
    async fn seen(ready_after: Duration) -> (Duration, u32) {
        let (stop, start, looks) = (CancellationToken::new(), Instant::now(), AtomicU32::new(0));
        until("x", Patience::minutes(120), &stop, &|_| {}, || async {
            looks.fetch_add(1, Ordering::Relaxed);
            let ready = start.elapsed() >= ready_after;
            Ok(if ready { Look::Ready(()) } else { Look::Pending("creating".into()) })
        })
        .await
        .expect("it becomes ready in time");
        (start.elapsed() - ready_after, looks.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_is_seen_within_a_share_of_the_wait() {
        for seconds in (1..=1800).step_by(7) {
            // Awkward moments, so that no look falls on one by chance.
            let ready_after = Duration::from_millis(seconds * 997);
            let (late, looks) = seen(ready_after).await;
            let allowed = (ready_after / 25).clamp(Duration::from_millis(250), Duration::from_secs(10));
            assert!(late <= allowed + Duration::from_millis(2), "{late:?} late after {ready_after:?}");
            assert!(looks <= 280, "{looks} looks for {ready_after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ten_times_the_wait_takes_some_sixty_looks_more() {
        let (_, short) = seen(Duration::from_secs(20)).await;
        let (_, long) = seen(Duration::from_secs(200)).await;
        assert!((55..=65).contains(&(long - short)), "{short} looks, then {long}");
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
