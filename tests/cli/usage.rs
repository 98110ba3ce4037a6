//! Wrong usage ends with 64, and nothing is called.

use std::process::Stdio;

use insta::assert_snapshot;

use crate::support::Folder;

#[test]
fn no_command_shows_the_help() {
    let text = Folder::new().drctl("");
    assert!(text.starts_with("exit 64\n--- stderr\n") && text.contains("Usage: drctl"), "{text}");
}

#[test]
fn an_unknown_command_names_the_nearest() {
    assert_snapshot!(Folder::new().drctl("dwon"), @"
    exit 64
    --- stderr
    error: unrecognized subcommand 'dwon'

      tip: a similar subcommand exists: 'down'

    Usage: drctl [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn an_unknown_flag() {
    assert_snapshot!(Folder::new().drctl("up --sufix dev"), @"
    exit 64
    --- stderr
    error: unexpected argument '--sufix' found

      tip: a similar argument exists: '--suffix'

    Usage: drctl up --suffix <NAME>

    For more information, try '--help'.
    ");
}

#[test]
fn a_suffix_that_does_not_fit_names() {
    assert_snapshot!(Folder::new().drctl("up --suffix Dev_1"), @r#"
    exit 64
    --- stderr
    error: invalid value 'Dev_1' for '--suffix <NAME>': "Dev_1" is not a suffix: S3 buckets and DNS names take lower-case letters only

    For more information, try '--help'.
    "#);
}

#[test]
fn a_suffix_in_the_environment_is_checked_too() {
    let text = Folder::new().variable("ENVIRONMENT_SUFFIX", "far-too-long-for-a-suffix").drctl("status");
    assert!(text.starts_with("exit 64\n") && text.contains("far-too-long-for-a-suffix"), "{text}");
}

#[test]
fn up_needs_a_suffix() {
    assert_snapshot!(Folder::new().drctl("up"), @"
    exit 64
    --- stderr
    error: the deployment needs a name
      hint: name it, for example:
        drctl up --suffix dev
    ");
}

#[test]
fn down_cannot_ask_without_a_terminal() {
    assert_snapshot!(Folder::with_state(&[]).drctl("down"), @"
    exit 64
    --- stderr
    error: `down` destroys the deployment `dev` and cannot ask here
      hint: if that is what you want:
        drctl down --suffix dev --yes
    ");
}

#[test]
fn an_address_that_is_none() {
    assert_snapshot!(Folder::with_state(&[]).drctl("state show vpc"), @"
    exit 64
    --- stderr
    error: invalid value 'vpc' for '<ADDRESS>': `vpc` is not an address: it needs three parts: scope/kind/name

    For more information, try '--help'.
    ");
}

#[test]
fn errors_for_programs_are_json() {
    let text = Folder::new().drctl("status --output json");
    let line = text.strip_prefix("exit 64\n--- stdout\n").expect("errors for programs are results");
    let mut error: serde_json::Value = serde_json::from_str(line).expect("one JSON object");
    let time = error.as_object_mut().and_then(|fields| fields.shift_remove("time")).expect("every event has its time");
    assert!(time.as_str().is_some_and(|time| time.ends_with('Z')), "{time}");
    assert_snapshot!(error, @r#"{"version":1,"event":"error","kind":"usage","exit_code":64,"message":"there is no deployment in state","causes":[],"hints":["see what a new one would be: drctl plan --suffix dev","or say where its state is: --state-dir DIR, or --state URL"]}"#);
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let (reader, writer) = std::io::pipe().expect("the system has pipes");
    drop(reader);
    let mut drctl = std::process::Command::new(assert_cmd::cargo::cargo_bin!("drctl"));
    let output = drctl.arg("schema").stdout(writer).stderr(Stdio::piped()).output().expect("drctl can be started");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let mut drctl = std::process::Command::new(assert_cmd::cargo::cargo_bin!("drctl"));
    let output = drctl.arg("schema").stdout(full).stderr(Stdio::piped()).output().expect("drctl can be started");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: standard output cannot be written"));
}

/// What only looks or mends never advises to deploy.
#[test]
fn a_missing_name_is_asked_for_by_the_same_command() {
    for command in ["up", "state rebuild", "state pull --state s3://acme/x", "state push --state s3://acme/x"] {
        let said = Folder::new().drctl(command);
        let (name, _) = command.split_once(" --").unwrap_or((command, ""));
        assert!(said.starts_with("exit 64\n") && said.contains(&format!("drctl {name} --suffix dev")), "{said}");
    }
    let said = Folder::new().drctl("plan");
    assert!(said.starts_with("exit 64\n") && !said.contains("drctl up"), "{said}");
}
