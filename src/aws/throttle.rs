//! AWS's published request rates, kept on our side for all tasks of a run together, so that it is not throttled on theirs: tries alone
//! do not help where AWS takes one request in half a minute (`x.throttle.sdk-default`).
//!
//! A bucket of tokens per account, region and limit, filled at the published rate. One drctl process works in one account, so
//! the account is not part of the key, and the global services are spoken to in one region. Repeated requests take tokens as
//! first ones do. Sources: `x.throttle.ec2-buckets`, `x.throttle.elb-buckets`, `x.throttle.others`, `kms.mrk.rate`,
//! `apigw.rates`, `apigw.rate.plan`, `cw.alarm.put`, `logs.limits.tps` and `r53.rate` of the facts restated in
//! `docs/aws-facts.md`. IAM, RDS and others publish no rates; what they refuse is repeated.
//!
//! Invariants:
//! 1. A request is counted when it is let go, not when it begins to wait, and by every limit that it falls under at the same moment.
//! 2. Requests of one limit go in the order of asking.
//! 3. AWS counts a request when it arrives, which may be up to [`TRANSIT`] later: a limit is kept even when one request is that
//!    slow and the next ones are not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::transport::Operation;

/// How much longer than another a request may take to arrive: a new connection is made, a name is looked up.
const TRANSIT: Duration = Duration::from_millis(500);

/// The requests that a limit is about.
#[derive(Clone, Copy, Debug)]
enum Requests {
    /// Every one of the service, beside whatever other limit it falls under.
    All,
    /// Those that only read, but for the operations that a line above names.
    Reads,
    /// Those that change something, but for the operations that a line above names.
    Changes,
    /// Both, but for the operations that a line above names.
    Others,
    /// These operations.
    Of(&'static [&'static str]),
}

/// Who shares a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bucket {
    /// Each operation has its own.
    Each,
    /// All requests of the limit together have one.
    Shared,
}

/// One published limit.
#[derive(Clone, Copy, Debug)]
struct Limit {
    service: &'static str,
    requests: Requests,
    bucket: Bucket,
    /// How many requests may go at once.
    burst: f64,
    /// How many are refilled per second.
    rate: f64,
}

const fn each(service: &'static str, requests: Requests, burst: f64, rate: f64) -> Limit {
    Limit { service, requests, bucket: Bucket::Each, burst, rate }
}

const fn shared(service: &'static str, requests: Requests, burst: f64, rate: f64) -> Limit {
    Limit { service, requests, bucket: Bucket::Shared, burst, rate }
}

const API_GATEWAY: &str = "API Gateway";
const CLOUDWATCH: &str = "CloudWatch";
const EC2: &str = "EC2";
const ELB: &str = "Elastic Load Balancing v2";
const KMS: &str = "KMS";
const LAMBDA: &str = "Lambda";
const LOGS: &str = "CloudWatch Logs";
const ROUTE_53: &str = "Route 53";

/// The published limits. Services are named as the SDK names them; within a service, the first line that fits counts.
const LIMITS: &[Limit] = {
    use Requests::{All, Changes, Of, Others, Reads};
    &[
        shared(API_GATEWAY, All, 40.0, 10.0),
        each(API_GATEWAY, Of(&["CreateDomainName", "UpdateDomainName", "DeleteDomainName"]), 1.0, 1.0 / 30.0),
        each(API_GATEWAY, Of(&["DeleteRestApi"]), 1.0, 1.0 / 30.0),
        each(API_GATEWAY, Of(&["UpdateAccount"]), 1.0, 1.0 / 20.0),
        each(API_GATEWAY, Of(&["CreateDeployment"]), 1.0, 1.0 / 5.0),
        each(API_GATEWAY, Of(&["CreateRestApi"]), 1.0, 1.0 / 3.0),
        each(API_GATEWAY, Of(&["GetResources"]), 5.0, 2.5),
        each(API_GATEWAY, Of(&["CreateResource", "DeleteResource"]), 5.0, 5.0),
        each(CLOUDWATCH, Of(&["PutMetricAlarm", "DeleteAlarms"]), 3.0, 3.0),
        each(CLOUDWATCH, Of(&["DescribeAlarms"]), 9.0, 9.0),
        each(LOGS, Of(&["CreateLogGroup", "DeleteLogGroup", "DescribeLogGroups"]), 5.0, 5.0),
        each(EC2, Of(&["CreateNatGateway", "DeleteNatGateway"]), 10.0, 1.0),
        each(EC2, Of(&["CreateVpcEndpoint", "ModifyVpcEndpoint", "DeleteVpcEndpoints"]), 4.0, 0.3),
        each(EC2, Of(&["CreateTags", "DeleteTags"]), 100.0, 10.0),
        // Those without filter and pages; ours have filters, but what counts as one is not said.
        each(EC2, Of(&["DescribeSecurityGroups", "DescribeNetworkInterfaces"]), 50.0, 10.0),
        each(EC2, Reads, 100.0, 20.0),
        each(EC2, Changes, 50.0, 5.0),
        shared(ELB, All, 40.0, 10.0),
        shared(ELB, Of(&["CreateLoadBalancer", "SetSubnets"]), 10.0, 0.2),
        shared(ELB, Of(&["RegisterTargets", "DeregisterTargets"]), 20.0, 4.0),
        shared(ELB, Changes, 20.0, 3.0),
        each(KMS, Of(&["CreateKey", "CreateAlias", "UpdateAlias", "EnableKey", "DisableKey"]), 5.0, 5.0),
        // Each costs two tokens of `CreateKey` in the other region.
        each(KMS, Of(&["ReplicateKey"]), 2.0, 2.0),
        each(KMS, Of(&["TagResource"]), 10.0, 10.0),
        each(KMS, Changes, 15.0, 15.0),
        each(LAMBDA, Of(&["GetFunction"]), 100.0, 100.0),
        each(LAMBDA, Of(&["GetPolicy"]), 15.0, 15.0),
        shared(LAMBDA, Others, 15.0, 15.0),
        shared(ROUTE_53, All, 5.0, 5.0),
    ]
};

impl Limit {
    fn is_about(&self, operation: &Operation) -> bool {
        self.service == operation.service
            && match self.requests {
                Requests::All | Requests::Others => true,
                Requests::Reads => operation.reads(),
                Requests::Changes => !operation.reads(),
                Requests::Of(names) => names.contains(&operation.name.as_str()),
            }
    }

    fn is_beside_others(&self) -> bool {
        matches!(self.requests, Requests::All)
    }
}

/// The places in [`LIMITS`] of the limits that an operation falls under, the narrow one first.
fn limits(operation: &Operation) -> impl Iterator<Item = usize> {
    let find =
        |beside: bool| LIMITS.iter().position(|limit| limit.is_beside_others() == beside && limit.is_about(operation));
    [find(false), find(true)].into_iter().flatten()
}

/// A bucket in use: by region, limit and, where each operation has its own, operation.
type Key = (String, usize, Option<String>);

/// Token buckets per region and limit.
#[derive(Debug, Default)]
pub struct Throttle {
    schedules: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<Schedule>>>>,
}

/// A bucket, as the moment at which it is full again at the latest.
#[derive(Debug, Default)]
struct Schedule {
    full: Option<Instant>,
}

impl Schedule {
    /// When a token is there.
    fn ready(&self, limit: &Limit) -> Option<Instant> {
        self.full?.checked_sub(Duration::from_secs_f64((limit.burst - 1.0) / limit.rate))
    }

    /// Takes a token for a request that leaves now.
    fn take(&mut self, limit: &Limit, now: Instant) {
        let arrives = now + TRANSIT;
        self.full = self.full.max(Some(arrives)).map(|full| full + Duration::from_secs_f64(1.0 / limit.rate));
    }
}

impl Throttle {
    /// Waits until the request may be sent. Who stops waiting takes nothing.
    pub async fn admit(&self, operation: &Operation) {
        // Whoever holds a bucket is the next to take from it. All take the narrow one first, so nobody waits in a circle.
        let mut held = Vec::new();
        for index in limits(operation) {
            let limit = &LIMITS[index];
            let schedule = self.schedule(operation, index).lock_owned().await;
            if let Some(ready) = schedule.ready(limit) {
                sleep_until(ready).await;
            }
            held.push((limit, schedule));
        }
        let now = Instant::now();
        for (limit, mut schedule) in held {
            schedule.take(limit, now);
        }
    }

    fn schedule(&self, operation: &Operation, index: usize) -> Arc<tokio::sync::Mutex<Schedule>> {
        let own = (LIMITS[index].bucket == Bucket::Each).then(|| operation.name.clone());
        let mut schedules = self.schedules.lock().expect("no code panics while it holds this lock");
        schedules.entry((operation.region.clone(), index, own)).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(service: &str, name: &str, region: &str) -> Operation {
        Operation { service: service.into(), name: name.into(), region: region.into() }
    }

    async fn admitted(throttle: &Throttle, service: &str, name: &str) {
        throttle.admit(&operation(service, name, "us-east-1")).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_operation_keeps_its_published_rate_and_regions_do_not_share_it() {
        let throttle = Throttle::default();
        let start = Instant::now();
        admitted(&throttle, API_GATEWAY, "CreateDomainName").await;
        throttle.admit(&operation(API_GATEWAY, "CreateDomainName", "us-east-2")).await;
        assert_eq!(start.elapsed().as_secs(), 0);
        admitted(&throttle, API_GATEWAY, "CreateDomainName").await;
        assert_eq!(start.elapsed().as_secs(), 30);
        admitted(&throttle, API_GATEWAY, "CreateDomainName").await;
        assert_eq!(start.elapsed().as_secs(), 61);
    }

    #[tokio::test(start_paused = true)]
    async fn operations_with_buckets_of_their_own_do_not_wait_for_each_other() {
        let throttle = Throttle::default();
        let start = Instant::now();
        admitted(&throttle, API_GATEWAY, "CreateDomainName").await;
        admitted(&throttle, API_GATEWAY, "DeleteDomainName").await;
        assert_eq!(start.elapsed().as_secs(), 0);
    }

    /// A bucket that is full again late, because requests were counted that are still waiting, would keep others back.
    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_for_a_narrow_limit_takes_nothing_from_the_wide_one() {
        let throttle = Throttle::default();
        admitted(&throttle, API_GATEWAY, "CreateDomainName").await;
        let start = Instant::now();
        let narrow = async {
            for _ in 0..2 {
                admitted(&throttle, API_GATEWAY, "CreateDomainName").await;
            }
        };
        let wide = async {
            for _ in 0..30 {
                admitted(&throttle, API_GATEWAY, "GetAccount").await;
            }
            assert_eq!(start.elapsed().as_secs(), 0);
        };
        tokio::join!(narrow, wide);
    }

    /// Invariant 3: whatever leaves in any second arrives in a bucket of that size, though the first be slow.
    #[tokio::test(start_paused = true)]
    async fn a_burst_leaves_room_for_a_request_that_is_slow_to_arrive() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let mut sent = Vec::new();
        for _ in 0..40 {
            admitted(&throttle, ROUTE_53, "ListHostedZones").await;
            sent.push(start.elapsed());
        }
        for (first, late) in sent.iter().enumerate() {
            for (last, on_time) in sent.iter().enumerate().skip(first + 1) {
                let arrived = (last - first + 1) as f64;
                let span = on_time.saturating_sub(*late + TRANSIT).as_secs_f64();
                assert!(arrived <= 5.0 + span * 5.0 + 1e-3, "{arrived} requests in {span} s");
            }
        }
        assert!(sent[39] < Duration::from_secs(9), "the rate is used: {:?}", sent[39]);
    }

    #[test]
    fn the_first_line_that_fits_counts_and_the_limit_of_all_beside_it() {
        let rates = |service: &str, name: &str| -> Vec<f64> {
            limits(&operation(service, name, "us-east-1")).map(|index| LIMITS[index].rate).collect()
        };
        assert_eq!(rates(EC2, "CreateVpc"), [5.0]);
        assert_eq!(rates(EC2, "CreateNatGateway"), [1.0]);
        assert_eq!(rates(EC2, "DescribeVpcs"), [20.0]);
        assert_eq!(rates(ELB, "SetSubnets"), [0.2, 10.0]);
        assert_eq!(rates(ELB, "DescribeRules"), [10.0]);
        assert_eq!(rates(LAMBDA, "AddPermission"), [15.0]);
        assert_eq!(rates(KMS, "CreateKey"), [5.0]);
        assert_eq!(rates(KMS, "CreateAlias"), [5.0]);
        assert_eq!(rates(KMS, "ReplicateKey"), [2.0]);
        assert_eq!(rates(KMS, "PutKeyPolicy"), [15.0]);
        assert_eq!(rates(KMS, "ScheduleKeyDeletion"), [15.0]);
        assert_eq!(rates("IAM", "CreateRole"), [0.0; 0]);
        assert_eq!(rates("S3", "CreateBucket"), [0.0; 0]);

        // `kms.mrk.rate`: a replica takes two of the five tokens that creations have.
        assert_eq!(rates(KMS, "ReplicateKey"), [2.0]);
        assert_eq!(rates(KMS, "CreateKey"), [5.0]);

        // `apigw.rates`.
        for (seconds, names) in [
            (30.0, &["CreateDomainName", "UpdateDomainName", "DeleteDomainName", "DeleteRestApi"][..]),
            (20.0, &["UpdateAccount"]),
            (5.0, &["CreateDeployment"]),
            (3.0, &["CreateRestApi"]),
            (1.0 / 2.5, &["GetResources"]),
            (1.0 / 5.0, &["CreateResource", "DeleteResource"]),
        ] {
            for name in names {
                assert_eq!(rates(API_GATEWAY, name), [1.0 / seconds, 10.0], "{name}");
            }
        }
        assert_eq!(rates(API_GATEWAY, "GetDomainNames"), [10.0]);
    }

    /// `logs.limits.tps`.
    #[test]
    fn log_groups_are_made_deleted_and_listed_five_times_a_second_each() {
        for name in ["CreateLogGroup", "DeleteLogGroup", "DescribeLogGroups"] {
            let found: Vec<&Limit> = limits(&operation(LOGS, name, "us-east-1")).map(|index| &LIMITS[index]).collect();
            let [limit] = found[..] else { panic!("{name} has one limit, not {found:?}") };
            assert_eq!((limit.burst, limit.rate, limit.bucket), (5.0, 5.0, Bucket::Each), "{name}");
        }
        assert_eq!(limits(&operation(LOGS, "PutRetentionPolicy", "us-east-1")).count(), 0);
    }
}
