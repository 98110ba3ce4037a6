//! An answer takes seconds.

use std::time::Duration;

use async_trait::async_trait;

use super::super::{Given, Outcome, Scenario};
use super::{lot, may_strike, strikes};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::Response;
use crate::operation::Operation;

const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(4);

/// See the module.
pub(in super::super) struct SlowReplies(pub(in super::super) Given);

#[async_trait]
impl Scenario for SlowReplies {
    fn name(&self) -> &'static str {
        "slow-replies"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        may_strike(operation)
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        if strikes(&self.0, self.name(), call) {
            tokio::time::sleep(self.0.dice.span(&lot("slow-replies take", call), SHORTEST, LONGEST)).await;
        }
        Ok(Outcome::Answer(answer))
    }
}
