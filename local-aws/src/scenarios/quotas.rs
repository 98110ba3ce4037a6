//! AWS's published rates: buckets of tokens per account, region and operation or group of operations, as the services
//! document them (`x.throttle.ec2-buckets`, `x.throttle.elb-buckets`, `x.throttle.others`, `apigw.rates`, `r53.rate`,
//! `cw.alarm.put`, `logs.limits.tps`), and each service's own word for too many calls (`x.throttle.codes`).
//!
//! The table is written down a second time here, and not shared with drctl, so that a wrong line there is found out. Buckets
//! fill in our time: clients keep rates by their own clock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use axum::http::StatusCode;
use tokio::time::Instant;

use super::{Outcome, Scenario};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::Request;
use crate::operation::{Kind, Operation};
use crate::refusal::refusal;

/// The operations of a quota.
enum Calls {
    /// Every one of the service, whatever other quota it has.
    All,
    /// Those that only read and have no quota in an earlier line.
    Reads,
    /// Those that change something and have no quota in an earlier line.
    Changes,
    /// These.
    Of(&'static [&'static str]),
}

/// A published rate.
struct Quota {
    service: &'static str,
    calls: Calls,
    /// Whether the operations share one bucket; else each has its own.
    together: bool,
    size: f64,
    per_second: f64,
}

const fn each(service: &'static str, calls: Calls, size: f64, per_second: f64) -> Quota {
    Quota { service, calls, together: false, size, per_second }
}

const fn together(service: &'static str, calls: Calls, size: f64, per_second: f64) -> Quota {
    Quota { service, calls, together: true, size, per_second }
}

/// By service as the signature names it. Where AWS publishes only a rate, one second's worth may come at once.
const QUOTAS: &[Quota] = {
    use Calls::{All, Changes, Of, Reads};
    &[
        together("apigateway", All, 40.0, 10.0),
        each("apigateway", Of(&["CreateRestApi", "ImportRestApi"]), 1.0, 1.0 / 3.0),
        each("apigateway", Of(&["PutRestApi"]), 1.0, 1.0),
        each("apigateway", Of(&["CreateDeployment"]), 1.0, 1.0 / 5.0),
        each("apigateway", Of(&["DeleteRestApi"]), 1.0, 1.0 / 30.0),
        each("apigateway", Of(&["CreateDomainName", "UpdateDomainName", "DeleteDomainName"]), 1.0, 1.0 / 30.0),
        each("apigateway", Of(&["UpdateAccount", "UpdateUsagePlan", "CreateDocumentationVersion"]), 1.0, 1.0 / 20.0),
        each("apigateway", Of(&["GetResources"]), 5.0, 2.5),
        each("apigateway", Of(&["CreateResource", "DeleteResource", "CreateApiKey", "DeleteApiKey"]), 5.0, 5.0),
        each("ec2", Of(&["CreateNatGateway", "DeleteNatGateway"]), 10.0, 1.0),
        each("ec2", Of(&["CreateVpcEndpoint", "ModifyVpcEndpoint", "DeleteVpcEndpoints"]), 4.0, 0.3),
        each("ec2", Of(&["CreateDefaultVpc", "CreateDefaultSubnet"]), 1.0, 1.0),
        each("ec2", Of(&["CreateTags", "DeleteTags"]), 100.0, 10.0),
        each("ec2", Of(&["DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups"]), 50.0, 10.0),
        each("ec2", Reads, 100.0, 20.0),
        each("ec2", Changes, 50.0, 5.0),
        together("elasticloadbalancing", All, 40.0, 10.0),
        together("elasticloadbalancing", Of(&["CreateLoadBalancer", "SetSubnets"]), 10.0, 0.2),
        together("elasticloadbalancing", Of(&["DeregisterTargets", "RegisterTargets"]), 20.0, 4.0),
        together("elasticloadbalancing", Changes, 20.0, 3.0),
        each("kms", Of(&["CreateAlias", "CreateKey", "ReplicateKey", "UpdateAlias"]), 5.0, 5.0),
        each("kms", Of(&["DisableKey", "EnableKey"]), 5.0, 5.0),
        each("kms", Of(&["DeleteAlias", "EnableKeyRotation", "PutKeyPolicy", "ScheduleKeyDeletion"]), 15.0, 15.0),
        each("kms", Of(&["TagResource"]), 10.0, 10.0),
        each("lambda", Of(&["GetFunction"]), 100.0, 100.0),
        each("lambda", Of(&["GetPolicy"]), 15.0, 15.0),
        together("lambda", Reads, 15.0, 15.0),
        together("lambda", Changes, 15.0, 15.0),
        each("logs", Of(&["CreateLogGroup", "DeleteLogGroup", "DescribeLogGroups"]), 5.0, 5.0),
        each("monitoring", Of(&["DeleteAlarms", "PutCompositeAlarm", "PutMetricAlarm"]), 3.0, 3.0),
        each("monitoring", Of(&["DescribeAlarms"]), 9.0, 9.0),
        together("route53", All, 5.0, 5.0),
    ]
};

/// How a service answers too many calls.
fn words(service: &str) -> (StatusCode, &'static str, &'static str) {
    match service {
        "ec2" => (StatusCode::SERVICE_UNAVAILABLE, "RequestLimitExceeded", "Request limit exceeded."),
        "apigateway" => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Too Many Requests"),
        "lambda" => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate exceeded"),
        "kms" | "logs" => (StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded"),
        _ => (StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded"),
    }
}

impl Quota {
    fn is_about(&self, operation: &Operation) -> bool {
        self.service == operation.service
            && match self.calls {
                Calls::All => true,
                Calls::Reads => !operation.is_mutating(),
                Calls::Changes => operation.is_mutating(),
                Calls::Of(names) => names.contains(&operation.name.as_str()),
            }
    }
}

/// The quotas of an operation, by their places in the table: its own, and that of all calls of its service.
fn quotas(operation: &Operation) -> impl Iterator<Item = usize> {
    let find = |all: bool| {
        QUOTAS.iter().position(|quota| matches!(quota.calls, Calls::All) == all && quota.is_about(operation))
    };
    [find(false), find(true)].into_iter().flatten()
}

/// A bucket, and when it was last looked into.
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// See the module.
#[derive(Default)]
pub(super) struct Quotas(Mutex<HashMap<String, Bucket>>);

impl Quotas {
    /// Takes a token from every bucket of the operation, if all have one.
    fn admits(&self, operation: &Operation) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut keys = Vec::new();
        let mut admitted = true;
        for index in quotas(operation) {
            let quota = &QUOTAS[index];
            // Calls of a global service are all signed for the same region.
            let own = if quota.together { "" } else { &operation.name };
            let key = format!("{}/{index}/{own}", operation.region);
            let bucket = buckets.entry(key.clone()).or_insert(Bucket { tokens: quota.size, at: now });
            let refill = now.duration_since(bucket.at).as_secs_f64() * quota.per_second;
            *bucket = Bucket { tokens: (bucket.tokens + refill).min(quota.size), at: now };
            admitted &= bucket.tokens >= 1.0;
            keys.push(key);
        }
        if admitted {
            for key in keys {
                buckets.get_mut(&key).expect("it was just looked into").tokens -= 1.0;
            }
        }
        admitted
    }
}

#[async_trait]
impl Scenario for Quotas {
    fn name(&self) -> &'static str {
        "quotas"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        operation.kind == Kind::Api && quotas(operation).next().is_some()
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        if call.original.is_of_a_function() || self.admits(call.operation) {
            return Ok(None);
        }
        let (status, code, message) = words(&call.operation.service);
        Ok(Some(Outcome::Answer(refusal(call, status, code, message))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn operation(service: &str, name: &str, region: &str) -> Operation {
        Operation { kind: Kind::Api, service: service.into(), region: region.into(), name: name.into() }
    }

    /// How many calls of an operation pass at once.
    fn burst(quotas: &Quotas, service: &str, name: &str) -> usize {
        (0..200).take_while(|_| quotas.admits(&operation(service, name, "us-east-1"))).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_its_size_at_once_and_then_its_rate() {
        let quotas = Quotas::default();
        assert_eq!(burst(&quotas, "monitoring", "PutMetricAlarm"), 3);
        assert!(quotas.admits(&operation("monitoring", "PutMetricAlarm", "us-east-2")), "regions are apart");
        tokio::time::advance(Duration::from_millis(700)).await;
        assert_eq!(burst(&quotas, "monitoring", "PutMetricAlarm"), 2);
        assert_eq!(burst(&quotas, "apigateway", "CreateDomainName"), 1);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(burst(&quotas, "apigateway", "CreateDomainName"), 0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(burst(&quotas, "apigateway", "CreateDomainName"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn all_calls_of_a_service_together_have_a_bucket_beside_their_own() {
        let quotas = Quotas::default();
        assert_eq!(burst(&quotas, "elasticloadbalancing", "CreateRule"), 20);
        assert_eq!(burst(&quotas, "elasticloadbalancing", "DeleteRule"), 0, "changes share one");
        assert_eq!(burst(&quotas, "elasticloadbalancing", "DescribeRules"), 20, "of the 40 of all");
        assert_eq!(burst(&quotas, "route53", "ListHostedZones"), 5);
        assert_eq!(burst(&quotas, "route53", "GetChange"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn ec2_has_a_bucket_per_operation() {
        let quotas = Quotas::default();
        assert_eq!(burst(&quotas, "ec2", "CreateVpcEndpoint"), 4);
        assert_eq!(burst(&quotas, "ec2", "CreateSubnet"), 50);
        assert_eq!(burst(&quotas, "ec2", "DeleteSubnet"), 50);
        assert_eq!(burst(&quotas, "ec2", "DescribeSubnets"), 100);
    }

    /// `x.throttle.codes`
    #[test]
    fn too_many_calls_are_refused_in_the_words_of_the_service() {
        for (service, status, code) in [
            ("ec2", 503, "RequestLimitExceeded"),
            ("apigateway", 429, "TooManyRequestsException"),
            ("lambda", 429, "TooManyRequestsException"),
            ("kms", 400, "ThrottlingException"),
            ("logs", 400, "ThrottlingException"),
            ("elasticloadbalancing", 400, "Throttling"),
        ] {
            let (told, word, _) = words(service);
            assert_eq!((told.as_u16(), word), (status, code), "{service}");
        }
    }

    #[test]
    fn what_publishes_no_rate_passes() {
        let quotas = Quotas::default();
        assert!(!quotas.concerns(&operation("iam", "CreateRole", "us-east-1")));
        assert!(!quotas.concerns(&operation("kms", "DescribeKey", "us-east-1")));
    }
}
