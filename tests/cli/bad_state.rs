//! A state that is not as drctl left it is an error of its own, and is left as it is.

use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;

use crate::support::{Folder, STATE};

/// What `state list` says to this state file, which must survive untouched.
fn refused(text: &str) -> String {
    let folder = Folder::new();
    folder.write("state/dev.json", text);
    let said = folder.drctl("state list --suffix dev");
    assert_eq!(folder.read("state/dev.json"), text);
    said
}

#[test]
fn an_empty_file() {
    assert_snapshot!(refused(""), @"
    exit 1
    --- stderr
    error: the state file state/dev.json is empty
      hint: make the state anew from the tags and names of the objects:
        drctl state rebuild --suffix dev
    ");
}

#[test]
fn a_truncated_file() {
    assert_snapshot!(refused(&STATE[..STATE.len() / 2]), @"
    exit 1
    --- stderr
    error: the state file state/dev.json is truncated: it ends in line 23, in the middle of the JSON text
      hint: make the state anew from the tags and names of the objects:
        drctl state rebuild --suffix dev
    ");
}

#[test]
fn a_file_of_a_newer_format() {
    assert_snapshot!(refused(r#"{ "format": 9, "drctl": "3.1.0" }"#), @"
    exit 1
    --- stderr
    error: the state file state/dev.json has format 9, written by drctl 3.1.0; this drctl knows formats up to 1
      hint: use drctl 3.1.0 or later; the file was left as it is
    ");
}

#[test]
fn an_edited_file() {
    let checksum = format!("sha256:{}", "0".repeat(64));
    assert_snapshot!(refused(&STATE.replace("\"edited\"", &format!("\"{checksum}\""))), @r#"
    exit 1
    --- stderr
    error: the state file state/dev.json does not match its checksum: it was edited by hand or damaged on its disk
      hint: make the state anew from the tags and names of the objects:
        drctl state rebuild --suffix dev
      hint: to accept an edit that was made on purpose, set "checksum" in the file to "edited"
    "#);
}

#[test]
fn a_file_of_another_deployment() {
    assert_snapshot!(refused(&STATE.replace("\"dev\"", "\"prod\"")), @"
    exit 1
    --- stderr
    error: the state file state/dev.json belongs to the deployment `prod`, not to `dev`
      hint: the file was renamed or copied; to work on that deployment, name its file prod.json
    ");
}

#[test]
fn a_file_that_is_no_json() {
    assert_snapshot!(refused("format: 1\n"), @"
    exit 1
    --- stderr
    error: the state file state/dev.json is not JSON: expected ident at line 1 column 2
      hint: make the state anew from the tags and names of the objects:
        drctl state rebuild --suffix dev
    ");
}

#[test]
fn a_folder_that_cannot_be_written() {
    let folder = Folder::with_state(&[]);
    let read_only = std::fs::Permissions::from_mode(0o500);
    std::fs::set_permissions(folder.path("state"), read_only).expect("the folder is ours");
    // The superuser writes everywhere; then there is nothing to see.
    let is_refused = std::fs::write(folder.path("state/probe"), "").is_err();
    let said = folder.drctl("state forget us-east-1/ec2_vpc/vpc --suffix dev");
    std::fs::set_permissions(folder.path("state"), std::fs::Permissions::from_mode(0o700)).expect("the folder is ours");
    if is_refused {
        assert!(said.starts_with("exit 1\n--- stderr\nerror: cannot write state/dev.lock"), "{said}");
        assert!(said.contains("hint: make the folder and its files writable"), "{said}");
    }
}

#[test]
fn a_folder_that_is_a_file() {
    let folder = Folder::new();
    folder.write("state", "");
    assert_snapshot!(folder.drctl("state list --suffix dev"), @"
    exit 1
    --- stderr
    error: cannot read state/
      because: Not a directory (os error 20)
      hint: a part of the path is a file: choose another folder with --state-dir
    ");
}

/// Nothing is called, because there are no credentials to call with, and the state is left as it is.
#[test]
fn a_plan_with_other_regions_than_the_state() {
    let folder = Folder::with_state(&[]);
    folder.drctl("init plans/swapped.toml");
    let plan = folder.read("plans/swapped.toml");
    let regions = "primary = \"us-east-1\"\nsecondary = \"us-east-2\"";
    assert!(plan.contains(regions), "{plan}");
    folder.write("plans/swapped.toml", &plan.replace(regions, "primary = \"us-east-2\"\nsecondary = \"us-east-1\""));
    for command in ["up --yes", "plan"] {
        let said = folder.drctl(&format!("{command} --suffix dev --plan plans/swapped.toml"));
        assert!(said.starts_with("exit 6\n"), "{command}: {said}");
        for text in [
            "`dev` is in us-east-1 (primary) and us-east-2 (secondary), but the plan says us-east-2 and us-east-1",
            "by a failover",
        ] {
            assert!(said.contains(text), "{command}: {said}");
        }
    }
    assert_eq!(folder.read("state/dev.json"), STATE);
}
