//! AWS's published request rates, kept on our side, so that a run is not throttled on theirs.
//!
//! A bucket of tokens per account, region and operation, filled at the published rate. One drctl process works in one account,
//! so the account is not part of the key. Sources: `x.throttle.ec2-buckets`, `x.throttle.elb-buckets`, `x.throttle.others`,
//! `apigw.rates` and `cw.alarm.put` of the facts restated in `docs/aws-facts.md`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::transport::Operation;

/// One published limit.
#[derive(Clone, Copy, Debug)]
struct Limit {
    service: &'static str,
    /// The operation; an empty text is all operations of the service together.
    operation: &'static str,
    /// How many requests may go at once.
    burst: f64,
    /// How many are refilled per second.
    rate: f64,
}

const fn limit(service: &'static str, operation: &'static str, burst: f64, rate: f64) -> Limit {
    Limit { service, operation, burst, rate }
}

/// The published limits, by service and operation. Services are named as the SDK names them.
const LIMITS: &[Limit] = &[
    limit("API Gateway", "", 40.0, 10.0),
    limit("API Gateway", "CreateDeployment", 1.0, 0.2),
    limit("API Gateway", "CreateDomainName", 1.0, 1.0 / 30.0),
    limit("API Gateway", "DeleteDomainName", 1.0, 1.0 / 30.0),
    limit("API Gateway", "UpdateDomainName", 1.0, 1.0 / 30.0),
    limit("API Gateway", "DeleteRestApi", 1.0, 1.0 / 30.0),
    limit("API Gateway", "UpdateAccount", 1.0, 0.05),
    limit("CloudWatch", "DeleteAlarms", 3.0, 3.0),
    limit("CloudWatch", "DescribeAlarms", 9.0, 9.0),
    limit("CloudWatch Logs", "CreateLogGroup", 10.0, 10.0),
    limit("CloudWatch Logs", "DeleteLogGroup", 10.0, 10.0),
    limit("CloudWatch Logs", "DescribeLogGroups", 10.0, 10.0),
    limit("EC2", "CreateNatGateway", 10.0, 1.0),
    limit("EC2", "DeleteNatGateway", 10.0, 1.0),
    limit("EC2", "CreateVpcEndpoint", 4.0, 0.3),
    limit("EC2", "ModifyVpcEndpoint", 4.0, 0.3),
    limit("EC2", "DeleteVpcEndpoints", 4.0, 0.3),
    limit("Elastic Load Balancing v2", "", 40.0, 10.0),
    limit("Elastic Load Balancing v2", "CreateLoadBalancer", 10.0, 0.2),
    limit("KMS", "CreateKey", 5.0, 5.0),
    limit("KMS", "ReplicateKey", 2.0, 2.0),
    limit("KMS", "CreateAlias", 5.0, 5.0),
];

/// Token buckets per region and limit.
#[derive(Debug, Default)]
pub struct Throttle {
    /// When the bucket will have given out all the tokens promised so far, as a virtual schedule.
    buckets: Mutex<HashMap<(String, usize), Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Throttle {
    /// Waits until the request may be sent, in the order of asking.
    pub async fn admit(&self, operation: &Operation) {
        let mut ready = None::<Instant>;
        for (index, limit) in LIMITS.iter().enumerate() {
            if limit.service == operation.service && (limit.operation.is_empty() || limit.operation == operation.name) {
                ready = ready.max(self.take(&operation.region, index, limit));
            }
        }
        if let Some(ready) = ready {
            sleep_until(ready).await;
        }
    }

    /// Takes one token, possibly one that is still to be filled in, and says when it is there.
    fn take(&self, region: &str, index: usize, limit: &Limit) -> Option<Instant> {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().expect("no code panics while it holds this lock");
        let bucket =
            buckets.entry((region.to_owned(), index)).or_insert_with(|| Bucket { tokens: limit.burst, at: now });
        let refill = now.duration_since(bucket.at).as_secs_f64() * limit.rate;
        bucket.tokens = (bucket.tokens + refill).min(limit.burst) - 1.0;
        bucket.at = now;
        (bucket.tokens < 0.0).then(|| now + Duration::from_secs_f64(-bucket.tokens / limit.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(region: &str) -> Operation {
        Operation { service: "API Gateway".into(), name: "CreateDomainName".into(), region: region.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_operation_keeps_its_published_rate_and_regions_do_not_share_it() {
        let throttle = Throttle::default();
        let start = Instant::now();
        throttle.admit(&operation("us-east-1")).await;
        throttle.admit(&operation("us-east-2")).await;
        assert_eq!(start.elapsed().as_secs(), 0);
        throttle.admit(&operation("us-east-1")).await;
        assert_eq!(start.elapsed().as_secs(), 30);
        throttle.admit(&operation("us-east-1")).await;
        assert_eq!(start.elapsed().as_secs(), 60);
    }
}
