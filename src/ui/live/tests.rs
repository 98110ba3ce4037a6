use super::super::fixtures::address;
use super::*;
use crate::engine::event::Action;
use crate::engine::shutdown::Reason;

fn running() -> (Progress, Instant) {
    let begin = Instant::now();
    let mut progress = Progress::default();
    progress.on(&Event::Begun { operations: 40, expected: Duration::from_secs(300) }, begin);
    for n in 0..12 {
        let address = address(&format!("us-east-1/rds_instance/aurora-{n:02}"));
        let at = begin + Duration::from_secs(n);
        let expected = Duration::from_secs(100);
        progress.on(&Event::Started { address, action: Action::Create, expected, chain: expected }, at);
    }
    let what = "the instance to be available (configuring-enhanced-monitoring)".to_owned();
    let address = address("us-east-1/rds_instance/aurora-00");
    progress.on(&Event::Waiting { address, what }, begin + Duration::from_secs(20));
    (progress, begin + Duration::from_secs(75))
}

#[test]
fn the_frame_shows_what_runs_longest_and_what_it_waits_for() {
    let (progress, now) = running();
    insta::assert_snapshot!(frame(&progress, now, Page { width: 140, color: false }).join("\n"), @"
    ──────────────────────── 0/40 done, 12 running, 1 min 15 s, about 3 min 45 s left
      creating us-east-1/rds_instance/aurora-00 1 min 15 s  waiting 55 s for the instance to be available (configuring-enhanced-monitoring)
      creating us-east-1/rds_instance/aurora-01 1 min 14 s
      creating us-east-1/rds_instance/aurora-02 1 min 13 s
      creating us-east-1/rds_instance/aurora-03 1 min 12 s
      creating us-east-1/rds_instance/aurora-04 1 min 11 s
      creating us-east-1/rds_instance/aurora-05 1 min 10 s
      creating us-east-1/rds_instance/aurora-06 1 min 9 s
      creating us-east-1/rds_instance/aurora-07 1 min 8 s
      and 4 more
    ");
}

/// Invariant 1.
#[test]
fn no_line_of_a_frame_is_wider_than_the_terminal() {
    let (progress, now) = running();
    for width in [20, 40, 80] {
        for color in [false, true] {
            for line in frame(&progress, now, Page { width, color }) {
                assert!(measure_text_width(&line) < width, "{line}");
            }
        }
    }
}

#[test]
fn a_run_that_is_late_or_stopping_says_so() {
    let (mut progress, now) = running();
    let late = frame(&progress, now + Duration::from_secs(400), Page::PLAIN)[0].clone();
    assert!(late.ends_with("longer than expected"), "{late}");
    progress.on(&Event::Stopping { reason: Reason::Signal(2), running: 12 }, now);
    let stopping = frame(&progress, now, Page::PLAIN)[0].clone();
    assert!(stopping.ends_with("stopping"), "{stopping}");
}

/// What is left is what waits for that which runs now: a chain that went faster than expected leaves less.
#[test]
fn what_is_left_is_counted_from_where_the_run_is() {
    let begin = Instant::now();
    let mut progress = Progress::default();
    let seconds = Duration::from_secs;
    let start = |at: &str, expected, chain| Event::Started {
        address: address(at),
        action: Action::Create,
        expected: seconds(expected),
        chain: seconds(chain),
    };
    progress.on(&Event::Begun { operations: 3, expected: seconds(300) }, begin);
    progress.on(&start("us-east-1/rds_cluster/aurora", 200, 300), begin);
    assert_eq!(progress.remaining(begin + seconds(50)), Some(seconds(250)));
    let ended = Event::Ended {
        address: address("us-east-1/rds_cluster/aurora"),
        action: Action::Create,
        outcome: crate::engine::event::Outcome::Succeeded,
        elapsed: seconds(60),
    };
    progress.on(&ended, begin + seconds(60));
    progress.on(&start("us-east-1/rds_instance/aurora-1", 100, 100), begin + seconds(60));
    assert_eq!(progress.remaining(begin + seconds(61)), Some(seconds(99)));
    assert_eq!(progress.remaining(begin + seconds(500)), None);
}
