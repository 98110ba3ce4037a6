//! A key that was made or given a policy a moment ago is not to be used everywhere: CloudWatch Logs, which tries the key of a log
//! group at once, refuses for some seconds, in the words that it has for a policy that leaves it out.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;

use super::{Given, Outcome, Scenario, durations};
use crate::corrections::{Call, Memory};
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::refusal::refusal;

/// See the module. Keys are remembered by region and id.
pub(super) struct UnreadyKeys {
    given: Given,
    usable: Memory<Duration>,
}

impl UnreadyKeys {
    pub(super) fn new(given: &Given) -> Self {
        Self { given: given.clone(), usable: Memory::default() }
    }

    /// Takes note of a key that was made or given a policy.
    fn learn(&self, call: &Call<'_>, answer: &Response) {
        let (asked, answered) = (call.original.json(), answer.json_body());
        let (region, key) = match call.name() {
            "CreateKey" => (call.region(), &answered["KeyMetadata"]["KeyId"]),
            "ReplicateKey" => {
                (asked["ReplicaRegion"].as_str().unwrap_or_default(), &answered["ReplicaKeyMetadata"]["KeyId"])
            }
            _ => (call.region(), &asked["KeyId"]),
        };
        let lag = durations::KEY_USABLE.draw(&self.given, region);
        self.usable.set(name(region, key.as_str().unwrap_or_default()), self.given.clock.now() + lag);
    }

    /// Whether the key that a request names is not to be used yet.
    fn is_unready(&self, region: &str, request: &Request) -> bool {
        let asked = request.json();
        let key = asked["kmsKeyId"].as_str().unwrap_or_default();
        self.usable.get(&name(region, key)).is_some_and(|usable| self.given.clock.now() < usable)
    }
}

/// What a key is remembered by, given its id or its ARN.
fn name(region: &str, key: &str) -> String {
    format!("{region}/{}", key.rsplit('/').next().unwrap_or_default())
}

#[async_trait]
impl Scenario for UnreadyKeys {
    fn name(&self) -> &'static str {
        "unready-keys"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        match operation.service.as_str() {
            "kms" => matches!(operation.name.as_str(), "CreateKey" | "ReplicateKey" | "PutKeyPolicy"),
            "logs" => matches!(operation.name.as_str(), "CreateLogGroup" | "AssociateKmsKey"),
            _ => false,
        }
    }

    async fn before(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Outcome>, Error> {
        if call.operation.service != "logs" || !self.is_unready(call.region(), request) {
            return Ok(None);
        }
        let group = request.json()["logGroupName"].as_str().unwrap_or_default().to_owned();
        let words = format!(
            "The specified KMS key does not exist or is not allowed to be used with Arn \
             'arn:aws:logs:{}:000000000000:log-group:{group}'",
            call.region()
        );
        let refused = refusal(call, StatusCode::BAD_REQUEST, "AccessDeniedException", &words);
        Ok(Some(Outcome::Answer(refused)))
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        if answer.status.is_success() && call.operation.service == "kms" {
            self.learn(call, &answer);
        }
        Ok(Outcome::Answer(answer))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};
    use serde_json::{Value, json};

    use super::*;
    use crate::scenarios::tests::{Caller, given};

    fn request(body: &Value) -> Request {
        Request::new(Method::POST, "/".parse().unwrap(), HeaderMap::new(), body.to_string().into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_is_refused_in_its_region_and_usable_within_twenty_seconds() {
        let keys = UnreadyKeys::new(&given(1));
        let headers = [("x-amz-target", "TrentService.ReplicateKey")];
        let caller = Caller::new("kms", "POST", "/", &headers, r#"{ "ReplicaRegion": "us-east-2" }"#);
        let answer = json!({ "ReplicaKeyMetadata": { "KeyId": "mrk-1" } });
        keys.learn(&caller.call(), &Response::json_document(StatusCode::OK, &answer));
        let use_of = |key: &str| request(&json!({ "kmsKeyId": key }));
        assert!(keys.is_unready("us-east-2", &use_of("arn:aws:kms:us-east-2:0:key/mrk-1")));
        assert!(!keys.is_unready("us-east-1", &use_of("arn:aws:kms:us-east-1:0:key/mrk-1")));
        assert!(!keys.is_unready("us-east-2", &request(&json!({}))), "a group without a key");
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!keys.is_unready("us-east-2", &use_of("arn:aws:kms:us-east-2:0:key/mrk-1")));
    }
}
