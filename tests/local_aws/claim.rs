//! Two places for the state of one deployment, which no lock keeps apart.

use serde_json::json;

use crate::harness::LocalAws;
use crate::story::census;

/// The claim of somebody's run, which is over at a time that is given in seconds from now.
fn claimed_until(aws: &LocalAws, seconds: i32) {
    aws.python(&format!(
        r#"
import datetime
now = datetime.datetime.now(datetime.timezone.utc)
until = (now + datetime.timedelta(seconds={seconds})).strftime("%Y-%m-%dT%H:%M:%SZ")
tags = {{"drctl:claim-id": "other", "drctl:claim-by": "ann@build-7", "drctl:claim-place": "s3://acme/x",
        "drctl:claim-since": "2026-01-02T03:04:05Z", "drctl:claim-until": until}}
logs = boto3.client("logs", region_name="us-east-1")
name = "/drctl/dr-claim-dev"
if not logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
    logs.create_log_group(logGroupName=name)
account = boto3.client("sts", region_name="us-east-1").get_caller_identity()["Account"]
logs.tag_resource(resourceArn=f"arn:aws:logs:us-east-1:{{account}}:log-group:{{name}}", tags=tags)
result = None
"#
    ));
}

/// Invariants 1 and 3 of a claim: while somebody's run is at work nothing is made; afterwards a run goes on, from wherever its state is. What
/// exists although the state is empty is said, and is taken over unless that is refused.
#[test]
fn two_state_places_are_kept_apart_and_the_second_takes_over() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    claimed_until(&aws, 120);
    aws.forget_calls();
    let refused = workspace.drctl(&["up", "--suffix", "dev", "--yes"]).expect(4);
    refused.shows(&["another run is at work on `dev`; nothing was changed", "ann@build-7", "s3://acme/x"]);
    let made: Vec<_> = aws.calls(true).into_iter().filter(|call| call["status"] == 200).collect();
    assert!(made.is_empty(), "nothing is made beside another run: {made:?}");

    claimed_until(&aws, -1);
    workspace.drctl(&["up", "--suffix", "dev", "--yes"]).expect(0);
    let there = "b";
    let refused = workspace.drctl(&["up", "--suffix", "dev", "--yes", "--state-dir", there, "--no-adopt"]).expect(6);
    refused.shows(&["`dev` exists", "no state of it is here", "--no-adopt"]);
    let adopted = workspace.drctl(&["up", "--suffix", "dev", "--yes", "--state-dir", there]).expect(0);
    adopted.shows(&["`dev` exists", "no state of it is here", "adopted in"]);
    workspace.drctl(&["down", "--suffix", "dev", "--yes", "--state-dir", there]).expect(0);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new(), "the claim goes with the deployment");
    let groups = aws.python(
        r#"result = boto3.client("logs", region_name="us-east-1").describe_log_groups(logGroupNamePrefix="/drctl/")["logGroups"]"#,
    );
    assert_eq!(groups, json!([]));
}
