//! The small deployment that the tests of this module show.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Estimate;
use crate::address::Address;
use crate::aws::{Error, Refusal};
use crate::changes::{Action, Change, ChangeSet, Condition, Difference, Drift};
use crate::engine::scheduler::{self, Operation};
use crate::resources::AnyObject;
use crate::state::{Deployment, Desired, Entry, Intent, Record, Records, Status, next};
use crate::topology::{Resource, Stack};

pub(super) fn address(text: &str) -> Address {
    text.parse().expect("tests write addresses well")
}

pub(super) fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).expect("tests stay within the calendar")
}

pub(super) fn record(stack: &str, status: Status) -> Record {
    let desired = Desired { stack: stack.to_owned(), spec: json!({}), ..Desired::default() };
    let create = Entry::Intended(Intent::Create { token: "0".repeat(32), desired });
    let record = next(None, &create, time(0)).expect("a create may come first").expect("a create leaves a record");
    Record { status, outputs: json!({ "id": "x-1" }), ..record }
}

pub(super) fn difference(field: &str, from: Value, to: Value) -> Difference {
    let present = |value: Value| Some(value).filter(|value| !value.is_null());
    Difference {
        field: field.to_owned(),
        from: present(from),
        known_after_create: !crate::reference::is_known(&to),
        to: present(to),
        forces_replacement: false,
    }
}

pub(super) fn change(at: &str, stack: Stack, action: Action, differences: Vec<Difference>) -> Change {
    let address = address(at);
    let is_there = action != Action::Create;
    Change {
        address: address.clone(),
        stack: stack.to_string(),
        action,
        differences,
        drift: Drift::None,
        desired: (action != Action::Delete).then(|| Resource {
            address,
            stack,
            spec: json!({}),
            references: [].into(),
            delete_after: [].into(),
            supersedes: [].into(),
            lock_group: None,
            data_bearing: false,
            protected: false,
        }),
        object: is_there.then(|| AnyObject { spec: json!({}), outputs: json!({ "id": "x-1" }), tags: [].into() }),
        record: (is_there && action != Action::Adopt).then(|| Arc::new(record(stack.as_str(), Status::Ready))),
        expected: Duration::from_secs(5),
        seen_references: BTreeSet::new(),
        is_unheld: false,
        made_after: BTreeSet::new(),
        turn: None,
    }
}

pub(super) fn set(changes: Vec<Change>) -> ChangeSet {
    ChangeSet {
        changes: changes.into_iter().map(|change| (change.address.clone(), change)).collect(),
        outputs: Vec::new(),
        twins: Vec::new(),
    }
}

/// One change of each kind, and drift.
pub(super) fn every_change() -> ChangeSet {
    let replaced =
        Difference { forces_replacement: true, ..difference("cidr", json!("10.0.0.0/24"), json!("10.0.9.0/24")) };
    let vpc = json!({ "$ref": "us-east-1/ec2_vpc/vpc#id" });
    let moved = Difference { forces_replacement: true, ..difference("vpc", json!("vpc-1"), vpc) };
    let mut table = change("us-east-1/dynamodb_table/payments", Stack::Database, Action::Replace, vec![moved.clone()]);
    let desired = table.desired.as_mut().expect("a replacement is desired");
    desired.data_bearing = true;
    let mut alarm = change(
        "us-east-1/cloudwatch_alarm/errors",
        Stack::Monitoring,
        Action::Update,
        vec![
            difference("threshold", json!(9), json!(5)),
            difference("environment.PASSWORD", json!("hunter2"), Value::Null),
        ],
    );
    alarm.drift = Drift::Changed { fields: vec![difference("threshold", json!(5), json!(9))] };
    let mut gone = change("us-east-2/sns_topic/alerts", Stack::Monitoring, Action::Create, vec![]);
    gone.drift = Drift::Missing;
    set(vec![
        change("us-east-1/ec2_vpc/vpc", Stack::Network, Action::Create, vec![]),
        change("us-east-2/ec2_vpc/vpc", Stack::Network, Action::Adopt, vec![]),
        change("us-east-1/ec2_subnet/private-a", Stack::Network, Action::Replace, vec![replaced, moved]),
        change("global/iam_role/function", Stack::Security, Action::Delete, vec![]),
        change("global/iam_role/backup", Stack::Security, Action::None, vec![]),
        table,
        alarm,
        gone,
    ])
}

pub(super) fn estimate() -> Estimate {
    Estimate {
        duration: Duration::from_secs(372),
        critical_path: vec![
            operation("us-east-1/ec2_vpc/vpc", scheduler::Action::Create, 2),
            operation("us-east-1/ec2_subnet/private-a", scheduler::Action::Create, 10),
            operation("us-east-1/rds_cluster/aurora", scheduler::Action::Create, 360),
        ],
    }
}

pub(super) fn operation(at: &str, action: scheduler::Action, seconds: u64) -> Operation {
    Operation {
        address: address(at),
        action,
        expected: Duration::from_secs(seconds),
        lock_group: None,
        class: None,
        after: Vec::new(),
    }
}

pub(super) fn refusal(operation: &str, code: &str, message: &str) -> Error {
    Error::Refused(Refusal {
        operation: operation.to_owned(),
        code: code.to_owned(),
        message: message.to_owned(),
        request_id: Some("7b4c0d5e-0000-4000-8000-000000000000".to_owned()),
        status: 400,
    })
}

pub(super) fn records(statuses: Vec<(&str, Status)>) -> Records {
    statuses.into_iter().map(|(at, status)| (address(at), Arc::new(record("network", status)))).collect()
}

pub(super) fn deployment() -> Deployment {
    Deployment {
        suffix: "dev".to_owned(),
        account: "123456789012".to_owned(),
        partition: "aws".to_owned(),
        regions: vec!["us-east-1".to_owned(), "us-east-2".to_owned()],
        ..Deployment::default()
    }
}

pub(super) fn condition(at: &str, record: Record) -> Condition {
    Condition { address: address(at), record: Arc::new(record), drift: Drift::None, exists: true, remark: None }
}
