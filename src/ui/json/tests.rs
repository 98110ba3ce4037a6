use std::time::Duration;

use super::super::fixtures::{address, time};
use super::*;
use crate::engine::event::{Action, Outcome};
use crate::engine::shutdown::Reason;

#[test]
fn each_event_is_one_line_with_version_time_and_name_first() {
    let at = address("us-east-1/ec2_vpc/vpc");
    let second = Duration::from_secs(1);
    let ended = |outcome| Event::Ended { address: at.clone(), action: Action::Create, outcome, elapsed: second };
    let events = [
        Event::Observing { resources: 2 },
        Event::Observed { objects: 1, elapsed: second },
        Event::Settled { address: at.clone(), outcome: "it was not created".to_owned() },
        Event::Begun { operations: 2, expected: second },
        Event::Started { address: at.clone(), action: Action::Create, expected: second, chain: second },
        Event::Waiting { address: at.clone(), what: "the VPC to be available (pending)".to_owned() },
        ended(Outcome::Succeeded),
        ended(Outcome::Failed { error: "ec2:CreateVpc was refused".to_owned() }),
        ended(Outcome::Deferred { until: time(0), reason: "too young".to_owned() }),
        ended(Outcome::Skipped { because: address("us-east-1/kms_key/data") }),
        Event::Stopping { reason: Reason::Signal(2), running: 1 },
        Event::Stopping { reason: Reason::LeaseLost, running: 1 },
    ];
    let lines: Vec<String> = events.iter().map(|event| happened(event, time(0)).to_string()).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"observing","resources":2}
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"observed","objects":1,"milliseconds":1000}
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"settled","address":"us-east-1/ec2_vpc/vpc","outcome":"it was not created"}
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"begun","operations":2,"expected_milliseconds":1000}
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"started","address":"us-east-1/ec2_vpc/vpc","action":"create","expected_milliseconds":1000,"chain_milliseconds":1000}
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"waiting","address":"us-east-1/ec2_vpc/vpc","what":"the VPC to be available (pending)"}
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"ended","address":"us-east-1/ec2_vpc/vpc","action":"create","outcome":"succeeded","milliseconds":1000}
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"ended","address":"us-east-1/ec2_vpc/vpc","action":"create","outcome":"failed","error":"ec2:CreateVpc was refused","milliseconds":1000}
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"ended","address":"us-east-1/ec2_vpc/vpc","action":"create","outcome":"deferred","until":"2026-09-21T14:13:20Z","reason":"too young","milliseconds":1000}
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"ended","address":"us-east-1/ec2_vpc/vpc","action":"create","outcome":"skipped","because":"us-east-1/kms_key/data","milliseconds":1000}
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"stopping","reason":"interrupted","running":1}
    {"version":1,"time":"2026-09-21T14:13:20.000Z","event":"stopping","reason":"lease_lost","running":1}
    "#);
}

#[test]
fn a_heartbeat_says_what_runs_and_waits() {
    let begin = Instant::now();
    let at = address("us-east-1/ec2_vpc/vpc");
    let mut progress = Progress::default();
    progress.on(&Event::Begun { operations: 2, expected: Duration::from_secs(60) }, begin);
    let expected = Duration::from_secs(30);
    progress.on(&Event::Started { address: at.clone(), action: Action::Create, expected, chain: expected }, begin);
    progress.on(&Event::Waiting { address: at, what: "something".to_owned() }, begin);
    let line = heartbeat(&progress, begin + Duration::from_secs(10), time(10));
    insta::assert_snapshot!(line, @r#"{"version":1,"time":"2026-09-21T14:13:30.000Z","event":"heartbeat","done":0,"failed":0,"total":2,"running":[{"address":"us-east-1/ec2_vpc/vpc","action":"create","seconds":10,"waiting_for":"something"}],"remaining_seconds":50}"#);
}
