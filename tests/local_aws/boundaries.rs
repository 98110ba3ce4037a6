//! The binary cut short at the boundaries of its calls and of its durable writes, again and again through the life of a deployment.
//!
//! CI takes every tenth changing call. By turns the first to the twelfth call, or sync of the state's files, takes long and, for the
//! latter, `strace`: `cargo test --test local_aws boundaries -- --ignored --nocapture`; `DRCTL_STRIDE=5` turns through the first five.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{LocalAws, Run, Workspace};
use crate::real_aws::{DOWN, PLAN, UP, objects, undisturbed};
use crate::story::census;

/// Invariants 4, 9 and 10.
#[test]
fn a_run_that_is_killed_at_every_tenth_call_is_finished_by_the_next() {
    assert!(live(|workspace, arguments| killed_at_calls(workspace, arguments, |_| 10)) >= 20);
}

#[test]
#[ignore = "takes long"]
fn a_run_that_is_killed_at_any_call_is_finished_by_the_next() {
    // Before and after each. A run that never gets beyond its first calls, which may repeat what the one before did, would never end.
    let most = stride(12);
    live(|workspace, arguments| killed_at_calls(workspace, arguments, |kills| 1 + kills / 2 % most));
}

/// Invariants 4 and 10, with a line of the journal that is there and may not be.
#[test]
#[ignore = "takes long, and strace"]
fn a_run_that_is_killed_at_any_write_is_finished_by_the_next() {
    live(|workspace, arguments| cut_at_syncs(workspace, arguments, "signal=KILL", stride(12)));
}

/// Invariants 3 and 10: the disk says that it did not keep what was written.
#[test]
#[ignore = "takes long, and strace"]
fn a_run_whose_disk_fails_at_any_write_is_finished_by_the_next() {
    live(|workspace, arguments| cut_at_syncs(workspace, arguments, "error=EIO", stride(12)));
    live(|workspace, arguments| cut_at_syncs(workspace, arguments, "error=ENOSPC", stride(12)));
}

fn stride(usual: usize) -> usize {
    std::env::var("DRCTL_STRIDE").map_or(usual, |text| text.parse().expect("DRCTL_STRIDE is a number"))
}

/// The life of a deployment whose runs are cut short until each has nothing left to be cut. The account is then what it shall be,
/// and in the end empty. Returns how often a run was cut.
#[expect(clippy::print_stdout, reason = "how often a run was cut is the result of the long tests")]
fn live(cut: impl Fn(&Workspace<'_>, &[&str]) -> usize) -> usize {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let expected: BTreeMap<String, usize> = undisturbed(&workspace, &UP);

    let in_up = cut(&workspace, &UP);
    workspace.drctl(&UP).expect(0);
    workspace.drctl(&PLAN).expect(0).shows(&["no changes"]);
    assert_eq!(objects(&aws), expected, "nothing is there twice, and nothing is missing");

    let in_down = cut(&workspace, &DOWN);
    if workspace.path("state/dev.json").exists() {
        workspace.drctl(&DOWN).expect(0);
    }
    assert_eq!(census(&aws, "dev"), Vec::<String>::new(), "no orphan is left");
    println!("cut {in_up} times in up and {in_down} times in down");
    in_up + in_down
}

/// Runs a command again and again, each time killed at the changing call that `at` says, by turns before and after it took effect, until
/// it makes fewer. Returns how often it was killed.
fn killed_at_calls(workspace: &Workspace<'_>, arguments: &[&str], at: impl Fn(usize) -> usize) -> usize {
    let aws = workspace.aws;
    let freeze = format!("{}/_local-aws/freeze", aws.url());
    for kills in 0.. {
        assert!(kills < 1000, "a run makes no progress");
        let (status, answer) = aws.http("PUT", &freeze, Some(&json!({ "call": at(kills), "after": kills % 2 == 0 })));
        assert!((200..300).contains(&status), "{answer}");
        let mut run =
            workspace.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let is_frozen = loop {
            let (_, state) = aws.http("GET", &format!("{freeze}?wait=1"), None);
            if state["frozen"] == Value::Bool(true) {
                break true;
            }
            if run.try_wait().expect("the run can be watched").is_some() {
                break false;
            }
        };
        run.kill().expect("a process can be killed");
        run.wait().expect("a killed process ends");
        aws.http("DELETE", &freeze, None);
        if !is_frozen {
            return kills;
        }
    }
    unreachable!("the loop returns")
}

/// Runs a command again and again with a fault at one of its syncs, by turns the first to the last of so many, until it makes fewer. Returns
/// how often it had one. A run that never gets beyond its first syncs, which write what it is going to do, would never do it.
fn cut_at_syncs(workspace: &Workspace<'_>, arguments: &[&str], fault: &str, most: usize) -> usize {
    for faults in 0.. {
        assert!(faults < 1000, "a run makes no progress");
        let drctl = workspace.command(arguments);
        let mut traced = Command::new("strace");
        traced.args(["--follow-forks", "--quiet=all", "--output=/dev/null", "--trace=fsync,fdatasync"]);
        traced.arg(format!("--inject=fsync,fdatasync:{fault}:when={}", 1 + faults % most));
        traced.arg(drctl.get_program()).args(drctl.get_args()).current_dir(workspace.path("."));
        traced.env_clear().envs(drctl.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let run = Run::of(traced.output().expect("strace can be run"), arguments);
        match run.code {
            Some(0) => return faults,
            // The last fault met the removal of the state itself, the last thing that a `down` does.
            Some(64) if !workspace.path("state/dev.json").exists() => return faults,
            // A killed process has no code, and strace ends as it did.
            None => {}
            Some(1) => drop(run.shows(&["state/dev"])),
            other => panic!("a fault of the disk is no reason to end with {other:?}: {run:?}"),
        }
    }
    unreachable!("the loop returns")
}
