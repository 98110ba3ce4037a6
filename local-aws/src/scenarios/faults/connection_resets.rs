//! The connection breaks before AWS has understood the request, which never takes effect. The client cannot tell.

use async_trait::async_trait;

use super::super::{Given, Outcome, Scenario};
use super::{may_strike, strikes};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::Request;
use crate::operation::Operation;

/// See the module.
pub(in super::super) struct ConnectionResets(pub(in super::super) Given);

#[async_trait]
impl Scenario for ConnectionResets {
    fn name(&self) -> &'static str {
        "connection-resets"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        may_strike(operation)
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        Ok(strikes(&self.0, self.name(), call).then_some(Outcome::Cut))
    }
}
