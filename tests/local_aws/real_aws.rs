//! Whole lives under the behaviours of the real AWS, and the binary killed at the boundaries of its calls.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{LocalAws, Workspace};
use crate::story::census;

const UP: [&str; 5] = ["up", "--suffix", "dev", "--plan", "plans/minimal.toml"];
const PLAN: [&str; 6] = ["plan", "--suffix", "dev", "--plan", "plans/minimal.toml", "--detailed-exitcode"];
const DOWN: [&str; 4] = ["down", "--suffix", "dev", "--yes"];

/// How many objects of each sort the deployment has: what does not depend on their ids.
fn objects(aws: &LocalAws) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for found in census(aws, "dev") {
        let sort = found.split(':').next().unwrap_or_default().to_owned();
        *counts.entry(sort).or_default() += 1;
    }
    counts
}

/// What an undisturbed `up` leaves in the account; the account is empty again afterwards.
fn undisturbed(workspace: &Workspace<'_>) -> BTreeMap<String, usize> {
    workspace.drctl(&UP).expect(0);
    let objects = objects(workspace.aws);
    workspace.drctl(&DOWN).expect(0);
    assert!(census(workspace.aws, "dev").is_empty());
    assert!(objects.len() > 20, "the census sees too little: {objects:?}");
    objects
}

/// Under each behaviour a deployment comes to its end, the account equals that of an undisturbed run, a second `up` has nothing to
/// do, and `down` leaves nothing.
fn lives_under(behaviours: &[&[&str]]) {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let expected = undisturbed(&workspace);
    for (seed, names) in behaviours.iter().enumerate() {
        aws.scenarios(&json!({ "names": names, "seed": seed + 1, "time_scale": 120 }));
        workspace.drctl(&UP).expect(0);
        workspace.drctl(&PLAN).expect(0).shows(&["no changes"]);
        aws.scenarios(&json!({ "names": [] }));
        assert_eq!(objects(&aws), expected, "after up under {names:?}");
        aws.scenarios(&json!({ "names": names, "seed": seed + 101, "time_scale": 120 }));
        workspace.drctl(&DOWN).expect(0);
        aws.scenarios(&json!({ "names": [] }));
        assert_eq!(census(&aws, "dev"), Vec::<String>::new(), "after down under {names:?}");
    }
}

#[test]
fn lost_answers_and_faults_are_survived() {
    lives_under(&[
        &["lost-replies"],
        &["server-errors"],
        &["connection-resets"],
        &["repeated-replies", "slow-replies"],
    ]);
}

#[test]
fn what_takes_time_is_waited_for() {
    lives_under(&[&["unready-roles"], &["eventual-reads"], &["slow-states"]]);
}

#[test]
fn what_aws_refuses_to_delete_goes_in_the_right_order() {
    lives_under(&[
        &["dependency-violations", "recovery-points"],
        &["deletion-windows"],
        &["lingering-interfaces", "returning-log-groups"],
    ]);
}

/// Invariants 4, 9 and 10: killed at every tenth changing call, before it takes effect and after, again and again, a deployment still
/// becomes exactly what it shall be and goes without a trace.
#[test]
fn a_run_that_is_killed_at_any_call_is_finished_by_the_next() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let expected = undisturbed(&workspace);

    let kills = killed_until_done(&workspace, &UP);
    assert!(kills >= 10, "the run was killed {kills} times only");
    workspace.drctl(&UP).expect(0);
    workspace.drctl(&PLAN).expect(0).shows(&["no changes"]);
    assert_eq!(objects(&aws), expected, "nothing is there twice, and nothing is missing");

    let kills = killed_until_done(&workspace, &DOWN);
    assert!(kills >= 10, "the run was killed {kills} times only");
    if workspace.path("state/dev.json").exists() {
        workspace.drctl(&DOWN).expect(0);
    }
    assert_eq!(census(&aws, "dev"), Vec::<String>::new(), "no orphan is left");
}

/// Runs a command again and again, each time killed at its tenth changing call, until it makes fewer. Returns how often it was killed.
fn killed_until_done(workspace: &Workspace<'_>, arguments: &[&str]) -> usize {
    let aws = workspace.aws;
    let freeze = format!("{}/_local-aws/freeze", aws.url());
    for kills in 0.. {
        assert!(kills < 200, "a run makes no progress");
        let (status, answer) = aws.http("PUT", &freeze, Some(&json!({ "call": 10, "after": kills % 2 == 0 })));
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
