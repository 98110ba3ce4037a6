use super::super::fixtures::{address, time};
use super::*;
use crate::engine::event::Action;
use crate::engine::shutdown::Reason;

fn started(at: &str, seconds: u64) -> Event {
    let expected = Duration::from_secs(seconds);
    Event::Started { address: address(at), action: Action::Create, expected, chain: expected }
}

fn ended(at: &str, outcome: Outcome, seconds: u64) -> Event {
    Event::Ended { address: address(at), action: Action::Create, outcome, elapsed: Duration::from_secs(seconds) }
}

/// What is written when each event happens at its second, with a look at the clock every second.
fn log(events: Vec<(u64, Event)>, end: u64) -> String {
    let begin = Instant::now();
    let mut lines = Lines::new(Page::PLAIN, begin);
    let mut events = events.into_iter().peekable();
    let mut log = Vec::new();
    for second in 0..=end {
        let now = begin + Duration::from_secs(second);
        while let Some((_, event)) = events.next_if(|(at, _)| *at == second) {
            log.extend(lines.on(&event, now));
        }
        log.extend(lines.heartbeat(now));
    }
    log.join("\n")
}

fn a_run() -> Vec<(u64, Event)> {
    let cluster = "us-east-1/rds_cluster/aurora";
    let waiting = |what: &str| Event::Waiting { address: address(cluster), what: what.to_owned() };
    let settled =
        Event::Settled { address: address("us-east-1/sns_topic/alerts"), outcome: "it was not created".to_owned() };
    let because = Outcome::Skipped { because: address(cluster) };
    let until = Outcome::Deferred { until: time(0), reason: "it is too young".to_owned() };
    let error = "rds:CreateDBCluster was refused: Quota: used up".to_owned();
    vec![
        (0, Event::Observing { resources: 4 }),
        (12, Event::Observed { objects: 1, elapsed: Duration::from_millis(12_300) }),
        (12, settled),
        (13, Event::Begun { operations: 4, expected: Duration::from_secs(30) }),
        (13, started("us-east-1/ec2_vpc/vpc", 2)),
        (13, started(cluster, 25)),
        (15, ended("us-east-1/ec2_vpc/vpc", Outcome::Succeeded, 2)),
        (18, waiting("the cluster to be available (creating)")),
        (50, Event::Stopping { reason: Reason::Signal(2), running: 1 }),
        (51, ended("us-east-1/backup_vault/v", until, 1)),
        (52, ended(cluster, Outcome::Failed { error }, 39)),
        (52, ended("us-east-1/rds_instance/a", because, 0)),
    ]
}

#[test]
fn a_log_has_a_line_for_each_thing_worth_saying() {
    insta::assert_snapshot!(log(a_run(), 55), @"
     0:00  looking at 4 resources in AWS
     0:10  still looking at 4 resources in AWS, for 10 s
     0:12  found 1 object in 12 s
     0:12  us-east-1/sns_topic/alerts: left in flight by an earlier run: it was not created
     0:13  4 operations to do, expected to take 30 s
     0:13  creating us-east-1/rds_cluster/aurora, which usually takes 25 s
     0:15  [1/4] created us-east-1/ec2_vpc/vpc in 2 s
     0:20  1 of 4 operations done, 1 running, about 23 s left; longest: creating us-east-1/rds_cluster/aurora for 7 s, waiting 2 s for the cluster to be available (creating)
     0:30  1 of 4 operations done, 1 running, about 13 s left; longest: creating us-east-1/rds_cluster/aurora for 17 s, waiting 12 s for the cluster to be available (creating)
     0:40  1 of 4 operations done, 1 running, about 3 s left; longest: creating us-east-1/rds_cluster/aurora for 27 s, waiting 22 s for the cluster to be available (creating)
     0:50  interrupted: 1 operation running; nothing new starts; what is in flight gets 5 s to be recorded
     0:50  1 of 4 operations done, 1 running, longer than expected; longest: creating us-east-1/rds_cluster/aurora for 37 s, waiting 32 s for the cluster to be available (creating)
     0:51  [2/4] deferred us-east-1/backup_vault/v: not before 2026-09-21T14:13:20Z: it is too young
     0:52  [3/4] failed to create us-east-1/rds_cluster/aurora after 39 s: rds:CreateDBCluster was refused: Quota: used up
    ");
}

/// `down` looks twice, and what it finds the second time comes on top.
#[test]
fn what_is_found_later_adds_to_the_count() {
    let one = |at: &str| {
        let begun = Event::Begun { operations: 1, expected: Duration::from_secs(1) };
        [begun, ended(at, Outcome::Succeeded, 1)].map(|event| (0, event))
    };
    let log = log([one("us-east-1/ec2_vpc/vpc"), one("us-east-1/logs_log_group/f")].concat(), 0);
    assert!(log.contains("[1/1]") && log.contains("[2/2]"), "{log}");
}

/// Invariant 1.
#[test]
fn a_log_is_never_silent_for_longer_than_the_heartbeat() {
    let log = log(a_run(), 52);
    let seconds: Vec<u64> = log
        .lines()
        .map(|line| {
            let (minutes, seconds) = line.split_once("  ").unwrap().0.trim().split_once(':').unwrap();
            minutes.parse::<u64>().unwrap() * 60 + seconds.parse::<u64>().unwrap()
        })
        .collect();
    assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] <= HEARTBEAT.as_secs()), "{log}");
}

/// Invariant 2.
#[test]
fn a_log_has_no_control_characters() {
    assert!(log(a_run(), 55).chars().all(|c| c == '\n' || !c.is_control()));
}
