//! What drctl refuses, with its exit code, and that nothing is lost or half-written.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{LocalAws, Run};

#[test]
fn refusals_change_nothing_and_say_what_to_do() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();

    // A wrong plan: nothing is called.
    workspace.edit("plans/minimal.toml", "nat = \"single\"", "nat = \"per-zone\"");
    aws.forget_calls();
    workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(64).shows(&["per-az"]);
    assert!(aws.calls(false).is_empty());
    workspace.edit("plans/minimal.toml", "nat = \"per-zone\"", "nat = \"single\"");

    // A zone that does not exist.
    workspace.edit("plans/minimal.toml", "zones = [\"a\", \"b\"]", "zones = [\"a\", \"z\"]");
    workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(6).shows(&["us-east-1z"]);
    workspace.edit("plans/minimal.toml", "zones = [\"a\", \"z\"]", "zones = [\"a\", \"b\"]");

    // A name that somebody else has.
    aws.python(
        "boto3.client('s3', region_name='us-east-1').create_bucket(Bucket='dr-payment-data-us-east-1-dev')\nresult = None",
    );
    aws.forget_calls();
    workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(6).shows(&[
        "us-east-1/s3_bucket/",
        "somebody else",
        "nothing was changed",
    ]);
    assert!(aws.calls(true).is_empty());
    assert!(!workspace.path("state/dev.json").exists(), "a refused first run leaves no state");

    // A state folder that cannot be written.
    let state = workspace.path("state");
    std::fs::create_dir_all(&state).expect("the folder can be made");
    std::fs::write(state.join("file"), "").expect("the file can be written");
    workspace
        .drctl(&["up", "--suffix", "qa", "--plan", "plans/minimal.toml", "--state-dir", "state/file"])
        .expect(1)
        .shows(&["state/file"]);
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o700)).expect("the mode can be set");
}

#[test]
fn a_second_run_is_refused_while_the_first_works_and_an_interrupt_loses_nothing() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let arguments = ["up", "--suffix", "dev", "--plan", "plans/minimal.toml", "--parallelism", "1"];
    let mut first =
        workspace.command(&arguments).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn();
    let first = first.as_mut().expect("drctl can be started");
    // The first run has the lock as soon as its state file is there.
    while !workspace.path("state/dev.journal").exists() {
        assert!(first.try_wait().expect("the run can be watched").is_none(), "the first run ended early");
        std::thread::yield_now();
    }
    let second = workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(4);
    assert!(second.stderr.contains(&first.id().to_string()), "{}", second.stderr);

    let signal = std::process::Command::new("kill").args(["-INT", &first.id().to_string()]).status();
    assert!(signal.expect("kill can be run").success());
    let status = first.wait().expect("the run ends");
    assert_eq!(status.code(), Some(130));

    let resumed = workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(0);
    let _: &Run = &resumed;
    workspace.drctl(&["plan", "--suffix", "dev", "--plan", "plans/minimal.toml", "--detailed-exitcode"]).expect(0);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
}
