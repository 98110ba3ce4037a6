//! The call takes effect, and the connection breaks before the answer arrives. Where AWS takes no token, whoever sends the
//! request again makes a second object.

use async_trait::async_trait;

use super::super::{Given, Outcome, Scenario};
use super::{may_strike, strikes};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::Response;
use crate::operation::Operation;

/// See the module.
pub(in super::super) struct LostReplies(pub(in super::super) Given);

#[async_trait]
impl Scenario for LostReplies {
    fn name(&self) -> &'static str {
        "lost-replies"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        may_strike(operation)
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        Ok(if strikes(&self.0, self.name(), call) { Outcome::Cut } else { Outcome::Answer(answer) })
    }
}
