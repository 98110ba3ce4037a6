//! The log of every call that passed the proxy, which tests and benchmarks query.
//!
//! Invariants:
//! 1. Sequence numbers rise by one per call and are never used twice, not even after the log was cleared.
//! 2. A call is listed once it is answered; its number is given then.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::operation::{Kind, Operation};

/// One call and its answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Call {
    /// The position in the log; starts at 1.
    pub(crate) seq: u64,
    /// When it was answered (RFC 3339, UTC).
    pub(crate) time: String,
    /// `api`, or `data-plane` for calls of a deployed REST API.
    pub(crate) kind: Kind,
    /// The service as it is named in the signature, such as `ec2`, `monitoring`, `elasticloadbalancing`.
    pub(crate) service: String,
    /// The region in the signature.
    pub(crate) region: String,
    /// The operation as AWS names it.
    pub(crate) operation: String,
    /// The HTTP status of the answer.
    pub(crate) status: u16,
    /// The error code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The scenario that refused it, cut its connection or answered in AWS's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scenario: Option<&'static str>,
    /// From the last byte of the request to the last byte of the answer, in milliseconds.
    pub(crate) duration_ms: f64,
    /// Whether the operation can change anything.
    pub(crate) mutating: bool,
}

/// How AWS says that calls come too fast.
const THROTTLED: [&str; 5] =
    ["RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"];

impl Call {
    fn is_throttled(&self) -> bool {
        self.error.as_deref().is_some_and(|code| THROTTLED.contains(&code))
    }
}

/// How a call ended, as the client saw it.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// The HTTP status; 0 when the connection was cut.
    pub(crate) status: u16,
    /// The error code of a refusal.
    pub(crate) error: Option<String>,
    /// The scenario that decided it.
    pub(crate) scenario: Option<&'static str>,
}

/// Which calls are asked for. Without a filter: all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    kind: Option<Kind>,
    service: Option<String>,
    region: Option<String>,
    operation: Option<String>,
    scenario: Option<String>,
    /// Only calls with a higher sequence number.
    since: Option<u64>,
    mutating: Option<bool>,
}

impl Filter {
    fn admits(&self, call: &Call) -> bool {
        self.kind.is_none_or(|kind| kind == call.kind)
            && self.service.as_ref().is_none_or(|service| *service == call.service)
            && self.region.as_ref().is_none_or(|region| *region == call.region)
            && self.operation.as_ref().is_none_or(|operation| *operation == call.operation)
            && self.scenario.as_ref().is_none_or(|scenario| Some(scenario.as_str()) == call.scenario)
            && self.since.is_none_or(|since| call.seq > since)
            && self.mutating.is_none_or(|mutating| mutating == call.mutating)
    }
}

/// How often one operation was called in one region.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Count {
    service: String,
    operation: String,
    region: String,
    calls: usize,
    errors: usize,
    mutating: bool,
    duration_ms: f64,
}

/// How often every operation was called.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// All API calls.
    calls: usize,
    /// API calls that can change something.
    mutating: usize,
    /// API calls that were refused or failed.
    errors: usize,
    /// Of these, those that AWS would take a little later.
    throttled: usize,
    /// Calls of deployed REST APIs, which are in none of the other numbers.
    data_plane: usize,
    /// The number of the last call.
    last_seq: u64,
    /// By service, operation and region.
    operations: Vec<Count>,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    calls: Vec<Call>,
    last_seq: u64,
}

impl Log {
    /// Adds a call that was just answered.
    pub(crate) fn add(&self, operation: &Operation, ending: Ending, duration: Duration) {
        let mut entries = self.entries();
        entries.last_seq += 1;
        let call = Call {
            seq: entries.last_seq,
            time: jiff::Timestamp::now().to_string(),
            kind: operation.kind,
            service: operation.service.clone(),
            region: operation.region.clone(),
            operation: operation.name.clone(),
            status: ending.status,
            error: ending.error,
            scenario: ending.scenario,
            duration_ms: (duration.as_secs_f64() * 1e6).round() / 1e3,
            mutating: operation.is_mutating(),
        };
        entries.calls.push(call);
    }

    /// The calls that the filter admits, in order.
    pub(crate) fn list(&self, filter: &Filter) -> Vec<Call> {
        self.entries().calls.iter().filter(|call| filter.admits(call)).cloned().collect()
    }

    /// Counts of the calls that the filter admits.
    pub(crate) fn summary(&self, filter: &Filter) -> Summary {
        let entries = self.entries();
        let mut summary = Summary { last_seq: entries.last_seq, ..Summary::default() };
        let mut counts: BTreeMap<(&str, &str, &str), Count> = BTreeMap::new();
        for call in entries.calls.iter().filter(|call| filter.admits(call)) {
            if call.kind == Kind::DataPlane {
                summary.data_plane += 1;
                continue;
            }
            let error = usize::from(call.status >= 400 || call.status == 0);
            summary.calls += 1;
            summary.errors += error;
            summary.throttled += usize::from(call.is_throttled());
            summary.mutating += usize::from(call.mutating);
            let count = counts.entry((&call.service, &call.operation, &call.region)).or_insert_with(|| Count {
                service: call.service.clone(),
                operation: call.operation.clone(),
                region: call.region.clone(),
                calls: 0,
                errors: 0,
                mutating: call.mutating,
                duration_ms: 0.0,
            });
            count.calls += 1;
            count.errors += error;
            count.duration_ms = ((count.duration_ms + call.duration_ms) * 1e3).round() / 1e3;
        }
        summary.operations = counts.into_values().collect();
        summary
    }

    /// Forgets all calls; numbers go on.
    pub(crate) fn clear(&self) {
        self.entries().calls.clear();
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(log: &Log, service: &str, name: &str, status: u16) {
        let kind = if service == "execute-api" { Kind::DataPlane } else { Kind::Api };
        let operation =
            Operation { kind, service: service.to_owned(), region: "eu-west-1".to_owned(), name: name.to_owned() };
        let error = (status >= 400).then(|| "Refused".to_owned());
        log.add(&operation, Ending { status, error, scenario: None }, Duration::from_micros(1500));
    }

    /// Invariant 1.
    #[test]
    fn numbers_go_on_after_the_log_is_cleared() {
        let log = Log::default();
        call(&log, "ec2", "DescribeVpcs", 200);
        log.clear();
        call(&log, "ec2", "CreateVpc", 200);
        let calls = log.list(&Filter::default());
        assert_eq!(calls.iter().map(|call| call.seq).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn every_filter_narrows_the_list() {
        let log = Log::default();
        call(&log, "ec2", "DescribeVpcs", 200);
        call(&log, "ec2", "CreateVpc", 200);
        call(&log, "s3", "CreateBucket", 200);
        let listed = |filter: Filter| log.list(&filter).iter().map(|call| call.seq).collect::<Vec<_>>();
        assert_eq!(listed(Filter { service: Some("ec2".into()), ..Filter::default() }), [1, 2]);
        assert_eq!(listed(Filter { operation: Some("CreateVpc".into()), ..Filter::default() }), [2]);
        assert_eq!(listed(Filter { mutating: Some(true), ..Filter::default() }), [2, 3]);
        assert_eq!(listed(Filter { since: Some(2), ..Filter::default() }), [3]);
        assert_eq!(listed(Filter { region: Some("us-east-1".into()), ..Filter::default() }), [0; 0]);
    }

    #[test]
    fn throttled_calls_are_counted_and_the_scenario_that_refused_is_named() {
        let log = Log::default();
        let operation = Operation {
            kind: Kind::Api,
            service: "ec2".to_owned(),
            region: "eu-west-1".to_owned(),
            name: "CreateVpc".to_owned(),
        };
        for (error, scenario) in [("RequestLimitExceeded", "quotas"), ("VpcLimitExceeded", "hard-limits")] {
            let ending = Ending { status: 503, error: Some(error.to_owned()), scenario: Some(scenario) };
            log.add(&operation, ending, Duration::ZERO);
        }
        assert_eq!(log.summary(&Filter::default()).throttled, 1);
        let quotas = Filter { scenario: Some("quotas".into()), ..Filter::default() };
        assert_eq!(log.list(&quotas).iter().map(|call| call.seq).collect::<Vec<_>>(), [1]);
    }

    /// A call of a deployed REST API is no API call of the tool under test.
    #[test]
    fn the_data_plane_is_counted_apart() {
        let log = Log::default();
        call(&log, "ec2", "CreateVpc", 400);
        call(&log, "execute-api", "Invoke", 500);
        let summary = log.summary(&Filter::default());
        assert_eq!((summary.calls, summary.errors, summary.mutating, summary.data_plane), (1, 1, 1, 1));
        assert_eq!(summary.operations.len(), 1);
    }
}
