//! A read answers once more what it answered a moment ago: it reached a server that has not heard of the latest change.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::super::{Given, Outcome, Scenario};
use super::{may_strike, strikes};
use crate::corrections::{Call, Memory};
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;

/// How old an answer may be. Nearly everything is seen everywhere after some seconds, and clients wait that long.
const OLDEST: Duration = Duration::from_secs(4);

/// See the module.
pub(in super::super) struct RepeatedReplies {
    given: Given,
    /// The last answer to a read, and when it was given.
    answered: Memory<(Instant, Response)>,
}

impl RepeatedReplies {
    pub(in super::super) fn new(given: Given) -> Self {
        Self { given, answered: Memory::default() }
    }
}

#[async_trait]
impl Scenario for RepeatedReplies {
    fn name(&self) -> &'static str {
        "repeated-replies"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        may_strike(operation) && !operation.is_mutating()
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        let fresh = |(at, _): &(Instant, Response)| at.elapsed() <= OLDEST;
        let Some((_, answer)) = self.answered.get(&key(call)).filter(fresh) else { return Ok(None) };
        Ok(strikes(&self.given, self.name(), call).then_some(Outcome::Answer(answer)))
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        if !answer.status.is_server_error() {
            self.answered.set(key(call), (Instant::now(), answer.clone()));
        }
        Ok(Outcome::Answer(answer))
    }
}

/// What makes two reads the same.
fn key(call: &Call<'_>) -> String {
    let Operation { service, name, region, .. } = call.operation;
    let body = String::from_utf8_lossy(&call.original.body);
    format!("{service}:{name}/{region} {} {body}", call.original.uri)
}
