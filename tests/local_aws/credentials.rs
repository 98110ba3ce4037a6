//! Credentials that end: before the run is over, and in the middle of it.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::harness::LocalAws;

#[test]
fn credentials_that_end_too_early_are_refused_before_anything_is_changed() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let end = |minutes: u64| {
        let end = SystemTime::now() + Duration::from_secs(60 * minutes);
        jiff::Timestamp::try_from(end).expect("the time is within range").to_string()
    };
    let (soon, late) = (end(3), end(600));
    let with = |end: &'static str| [("AWS_SESSION_TOKEN", "token"), ("AWS_CREDENTIAL_EXPIRATION", end)];
    let (soon, late) = (with(soon.leak()), with(late.leak()));
    aws.forget_calls();

    workspace
        .drctl_with(&["plan", "--suffix", "dev"], &soon)
        .expect(0)
        .shows(&["credentials valid for", "estimated run"]);
    let refused = workspace.drctl_with(&["up", "--suffix", "dev", "--yes"], &soon).expect(3);
    refused.shows(&["the credentials end before the run is expected to", "nothing was changed", "--allow-expiry"]);
    assert!(aws.calls(true).is_empty(), "something was changed");
    assert!(!workspace.path("state/dev.json").exists());

    workspace.drctl_with(&["up", "--suffix", "dev", "--yes"], &late).expect(0);
    workspace.drctl_with(&["down", "--suffix", "dev", "--yes"], &soon).expect(3);
    workspace.drctl_with(&["down", "--suffix", "dev", "--yes", "--allow-expiry"], &soon).expect(0);
}

#[test]
fn credentials_that_expire_in_mid_run_stop_it_at_once_and_lose_nothing() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    aws.scenarios(&json!({ "names": ["expired-credentials"], "credentials_last": 300 }));
    aws.forget_calls();
    let up = workspace.drctl(&["up", "--suffix", "dev", "--yes"]).expect(3);
    let calls = aws.calls(false);
    let ended = |call: &&serde_json::Value| {
        call["error"].as_str().is_some_and(|code| code.starts_with("ExpiredToken") || code == "RequestExpired")
    };
    let refused = calls.iter().filter(ended).count();
    assert!((1..100).contains(&refused), "{refused} calls after the credentials had expired");
    assert!(up.stderr.contains("the credentials are no longer valid"), "{}", up.stderr);
    assert_eq!(up.stderr.matches("error:").count(), 1, "one root cause: {}", up.stderr);

    // New credentials of the same account: the same command goes on, and makes nothing a second time.
    aws.scenarios(&json!({ "names": [] }));
    let session = aws.python(
        "answer = boto3.client('sts', region_name='us-east-1').get_session_token()['Credentials']\n\
         result = [answer['AccessKeyId'], answer['SecretAccessKey'], answer['SessionToken']]",
    );
    let part = |index: usize| session[index].as_str().expect("a part of the credentials");
    let renewed = [("AWS_ACCESS_KEY_ID", part(0)), ("AWS_SECRET_ACCESS_KEY", part(1)), ("AWS_SESSION_TOKEN", part(2))];
    workspace.drctl_with(&["up", "--suffix", "dev", "--yes"], &renewed).expect(0);
    workspace.drctl_with(&["plan", "--suffix", "dev", "--detailed-exitcode"], &renewed).expect(0);
    let vpcs = aws.python(
        "ec2 = boto3.client('ec2', region_name='us-east-1')\n\
         result = len(ec2.describe_vpcs(Filters=[{'Name': 'tag:drctl:deployment', 'Values': ['dev']}])['Vpcs'])",
    );
    assert_eq!(vpcs, json!(1));

    // The same in a run that deletes.
    aws.scenarios(&json!({ "names": ["expired-credentials"], "credentials_last": 220 }));
    let start = Instant::now();
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(3).shows(&["running again is safe"]);
    // Not what decides: a run that waits for an object to be gone would take minutes.
    assert!(start.elapsed() < Duration::from_secs(60));
    aws.scenarios(&json!({ "names": [] }));
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert!(!workspace.path("state/dev.json").exists());
}
