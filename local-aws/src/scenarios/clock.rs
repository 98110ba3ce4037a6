//! The time of the scenarios: AWS's seconds, of which many pass in one of ours, so that a creation of ten minutes takes seconds
//! while order and ratios stay.

use std::time::Duration;

use tokio::time::Instant;

/// Counts AWS's time from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    scale: f64,
}

impl Clock {
    /// A clock on which `scale` seconds pass in one of ours.
    pub(crate) fn new(scale: f64) -> Self {
        Self { start: Instant::now(), scale: scale.max(f64::MIN_POSITIVE) }
    }

    /// AWS's time since the clock was made.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed().mul_f64(self.scale)
    }

    /// A span of AWS's time in ours.
    pub(crate) fn ours(&self, span: Duration) -> Duration {
        span.div_f64(self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_minutes_of_aws_pass_in_ten_seconds_of_ours() {
        let (clock, start) = (Clock::new(60.0), Instant::now());
        tokio::time::sleep(clock.ours(Duration::from_secs(600))).await;
        assert_eq!(start.elapsed().as_secs(), 10);
        assert_eq!(clock.now().as_secs(), 600);
    }
}
