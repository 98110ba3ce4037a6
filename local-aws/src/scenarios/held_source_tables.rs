//! AWS may keep a table for 24 hours after it was the source of a new replica, even when the replica is gone (`ddb.delete.24h`). Nothing
//! shortens that, so that a `down` cannot end; only a time scale at which a day passes in seconds lets one see the next `down` finish it.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;

use super::dependency_violations::HELD;
use super::{Given, Outcome, Scenario};
use crate::corrections::{Call, Memory};
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::refusal::refusal;

/// How long a table is held.
const HOLD: Duration = Duration::from_secs(24 * 3600);

/// See the module.
pub(super) struct HeldSourceTables {
    given: Given,
    /// Until when each table is held, by region and name.
    ends: Memory<Duration>,
}

impl HeldSourceTables {
    pub(super) fn new(given: &Given) -> Self {
        Self { given: given.clone(), ends: Memory::default() }
    }

    fn is_held(&self, table: &str) -> bool {
        self.ends.get(table).is_some_and(|end| end > self.given.clock.now())
    }
}

#[async_trait]
impl Scenario for HeldSourceTables {
    fn name(&self) -> &'static str {
        "held-source-tables"
    }

    fn is_one_of_all(&self) -> bool {
        false
    }

    fn concerns(&self, operation: &Operation) -> bool {
        operation.service == "dynamodb" && matches!(operation.name.as_str(), "DeleteTable" | "UpdateTable")
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        let is_held = call.name() == "DeleteTable" && self.is_held(&table(call));
        let refuse = || Outcome::Answer(refusal(call, StatusCode::BAD_REQUEST, "ValidationException", HELD));
        Ok(is_held.then(refuse))
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        let input = call.original.json();
        let updates = input["ReplicaUpdates"].as_array().into_iter().flatten();
        if answer.status.is_success() && updates.into_iter().any(|update| update["Create"].is_object()) {
            self.ends.set(table(call), self.given.clock.now() + HOLD);
        }
        Ok(Outcome::Answer(answer))
    }
}

fn table(call: &Call<'_>) -> String {
    format!("{}/{}", call.region(), call.original.json()["TableName"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::scenarios::tests::given;

    #[tokio::test(start_paused = true)]
    async fn a_source_is_held_for_a_day() {
        let given = given(7);
        let tables = HeldSourceTables::new(&given);
        assert!(!tables.is_held("us-east-1/payments"));
        tables.ends.set("us-east-1/payments", given.clock.now() + HOLD);
        advance(HOLD - Duration::from_secs(1)).await;
        assert!(tables.is_held("us-east-1/payments"));
        advance(Duration::from_secs(1)).await;
        assert!(!tables.is_held("us-east-1/payments"));
    }
}
