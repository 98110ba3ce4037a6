//! Temporary credentials expire in the middle of a run. AWS then refuses every call that is signed with them, each service with
//! the code of its own.
//!
//! Credentials are told apart by their access key, so that a client goes on with new ones. After how many calls they expire is
//! the setting `credentials_last`; without it they never do.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use axum::http::StatusCode;

use super::{Outcome, Scenario};
use crate::access::access_key;
use crate::corrections::Call;
use crate::error::Error;
use crate::message::Request;
use crate::operation::{Kind, Operation};
use crate::refusal::refusal;

/// See the module.
pub(super) struct ExpiredCredentials {
    last: Option<u64>,
    used: Mutex<HashMap<String, u64>>,
}

impl ExpiredCredentials {
    pub(super) fn new(last: Option<u64>) -> Self {
        Self { last, used: Mutex::default() }
    }

    /// Counts a call with this access key; tells whether it came too late.
    fn has_expired(&self, key: &str) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = used.entry(key.to_owned()).or_default();
        *calls += 1;
        self.last.is_some_and(|last| *calls > last)
    }
}

#[async_trait]
impl Scenario for ExpiredCredentials {
    fn name(&self) -> &'static str {
        "expired-credentials"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        operation.kind == Kind::Api
    }

    async fn before(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Outcome>, Error> {
        let Some(key) = access_key(request) else { return Ok(None) };
        Ok(self.has_expired(&key).then(|| {
            let (status, code, message) = words(&call.operation.service, request);
            Outcome::Answer(refusal(call, status, code, message))
        }))
    }
}

/// Status, code and message, as the service answers.
fn words(service: &str, request: &Request) -> (StatusCode, &'static str, &'static str) {
    let message = "The security token included in the request is expired";
    let is_xml = matches!(service, "iam" | "sts" | "rds" | "elasticloadbalancing" | "sns" | "monitoring" | "route53");
    match service {
        "ec2" => (StatusCode::BAD_REQUEST, "RequestExpired", "Request has expired."),
        "s3" => (StatusCode::BAD_REQUEST, "ExpiredToken", "The provided token has expired."),
        _ if is_xml => (StatusCode::FORBIDDEN, "ExpiredToken", message),
        _ if request.header("x-amz-target").is_some() => (StatusCode::BAD_REQUEST, "ExpiredTokenException", message),
        _ => (StatusCode::FORBIDDEN, "ExpiredTokenException", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_access_key_is_good_for_so_many_calls() {
        let scenario = ExpiredCredentials::new(Some(2));
        let late: Vec<bool> = ["a", "a", "b", "a", "b"].map(|key| scenario.has_expired(key)).to_vec();
        assert_eq!(late, [false, false, false, true, false]);
        let forever = ExpiredCredentials::new(None);
        assert!((0..1000).all(|_| !forever.has_expired("a")));
    }
}
