//! Whole lives under the behaviours of the real AWS.

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::{LocalAws, Workspace};
use crate::story::census;

pub(crate) const UP: [&str; 5] = ["up", "--suffix", "dev", "--plan", "plans/minimal.toml"];
/// The change from the cheap plan to the whole: more of nearly everything, load balancers and an accelerator.
const GROW: [&str; 6] = ["up", "--suffix", "dev", "--plan", "plans/payments.toml", "--yes"];
pub(crate) const PLAN: [&str; 6] = ["plan", "--suffix", "dev", "--plan", "plans/minimal.toml", "--detailed-exitcode"];
const PLAN_WHOLE: [&str; 6] = ["plan", "--suffix", "dev", "--plan", "plans/payments.toml", "--detailed-exitcode"];
const REBUILD: [&str; 6] = ["state", "rebuild", "--suffix", "dev", "--plan", "plans/payments.toml"];
pub(crate) const DOWN: [&str; 4] = ["down", "--suffix", "dev", "--yes"];

/// How many objects of each sort the deployment has: what does not depend on their ids.
pub(crate) fn objects(aws: &LocalAws) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for found in census(aws, "dev") {
        let sort = found.split(':').next().unwrap_or_default().to_owned();
        *counts.entry(sort).or_default() += 1;
    }
    counts
}

/// What an undisturbed `up` leaves in the account; the account is empty again afterwards.
pub(crate) fn undisturbed(workspace: &Workspace<'_>, up: &[&str]) -> BTreeMap<String, usize> {
    workspace.drctl(up).expect(0);
    let objects = objects(workspace.aws);
    workspace.drctl(&DOWN).expect(0);
    assert!(census(workspace.aws, "dev").is_empty());
    assert!(objects.len() > 20, "the census sees too little: {objects:?}");
    objects
}

/// Under each behaviour a deployment is made, grows by a changed plan, and comes to its end. The account equals that of an undisturbed
/// run, there is nothing more to do, not even after the state was lost and made anew, and `down` leaves nothing.
fn lives_under(behaviours: &[&[&str]]) {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let expected = undisturbed(&workspace, &GROW);
    for (seed, names) in behaviours.iter().enumerate() {
        aws.scenarios(&json!({ "names": names, "seed": seed + 1, "time_scale": 120 }));
        workspace.drctl(&UP).expect(0);
        workspace.drctl(&PLAN).expect(0).shows(&["no changes"]);
        workspace.drctl(&GROW).expect(0);
        workspace.drctl(&PLAN_WHOLE).expect(0).shows(&["no changes"]);
        std::fs::remove_dir_all(workspace.path("state")).expect("the state can be lost");
        workspace.drctl(&REBUILD).expect(0);
        workspace.drctl(&PLAN_WHOLE).expect(0).shows(&["no changes"]);
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
    lives_under(&[&["unready-roles", "unready-keys", "small-pages"], &["eventual-reads"], &["slow-states"]]);
}

#[test]
fn what_aws_refuses_to_delete_goes_in_the_right_order() {
    lives_under(&[
        &["dependency-violations", "recovery-points"],
        &["deletion-windows"],
        &["lingering-interfaces", "returning-log-groups"],
    ]);
}

/// Names of queues, and of secrets and keys that wait to be deleted, are in use for a while after a `down`.
#[test]
fn what_was_deleted_a_moment_ago_is_made_anew() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    aws.play(&["deletion-windows"], 10);
    for _ in 0..2 {
        workspace.drctl(&UP).expect(0);
        workspace.drctl(&PLAN).expect(0).shows(&["no changes"]);
        workspace.drctl(&DOWN).expect(0);
    }
    aws.play(&[], 1);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}

/// Everything that AWS does at once, at rates like those of AWS. `DRCTL_SEEDS=20` takes so many seeds.
#[test]
fn everything_at_once_is_survived() {
    let seeds = std::env::var("DRCTL_SEEDS").map_or(1, |text| text.parse().expect("DRCTL_SEEDS is a number"));
    lives_under(&vec![&["all"][..]; seeds]);
}
