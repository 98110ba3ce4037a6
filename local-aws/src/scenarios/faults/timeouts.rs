//! A call gets no answer for longer than any client waits, before it took effect or after it did.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::super::{Given, Outcome, Scenario};
use super::{may_strike, strikes};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;

/// How long the connection stays open. Clients commonly give up after a minute.
const SILENCE: Duration = Duration::from_secs(65);

/// How many calls are struck before the scenario is switched anew: each takes its client a minute.
const MOST: usize = 2;

/// See the module.
pub(in super::super) struct Timeouts {
    given: Given,
    struck: AtomicUsize,
}

impl Timeouts {
    pub(in super::super) fn new(given: Given) -> Self {
        Self { given, struck: AtomicUsize::new(0) }
    }

    async fn silent(&self, fault: &str, call: &Call<'_>) -> bool {
        let silent = strikes(&self.given, fault, call) && self.struck.fetch_add(1, Ordering::Relaxed) < MOST;
        if silent {
            tokio::time::sleep(SILENCE).await;
        }
        silent
    }
}

#[async_trait]
impl Scenario for Timeouts {
    fn name(&self) -> &'static str {
        "timeouts"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        may_strike(operation)
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        Ok(self.silent("timeouts before", call).await.then_some(Outcome::Cut))
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        Ok(if self.silent("timeouts after", call).await { Outcome::Cut } else { Outcome::Answer(answer) })
    }
}
