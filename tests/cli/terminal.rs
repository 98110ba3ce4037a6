//! Questions are asked on the controlling terminal, and answered by nothing but what is typed after them.

use insta::assert_snapshot;

use crate::support::{Folder, STATE};

const FORGET: &str = "state forget us-east-1/ec2_subnet/private-a";

#[test]
fn a_question_is_asked_where_the_person_sits_although_the_streams_lead_elsewhere() {
    let folder = Folder::with_state(&[]);
    assert_snapshot!(folder.drctl_before_a_terminal("pipe", "", "n\n", FORGET), @"
    exit 6
    --- terminal
    Forget us-east-1/ec2_subnet/private-a? Its object stays in AWS, and drctl will neither change nor delete it. [y/N] n
    --- streams
    error: not confirmed; nothing was changed
    ");
    assert!(folder.drctl("state list").contains("us-east-1/ec2_subnet/private-a"));

    assert_snapshot!(folder.drctl_before_a_terminal("pipe", "", "y\n", FORGET), @"
    exit 0
    --- terminal
    Forget us-east-1/ec2_subnet/private-a? Its object stays in AWS, and drctl will neither change nor delete it. [y/N] y
    --- streams
    us-east-1/ec2_subnet/private-a is off the record; its object stays in AWS
    a `down` will name it as left for as long as it carries the deployment's tags
    ");
    assert!(!folder.drctl("state list").contains("us-east-1/ec2_subnet/private-a"));
}

#[test]
fn what_was_typed_before_the_question_is_no_answer() {
    let folder = Folder::with_state(&[]);
    for stderr in ["terminal", "pipe"] {
        let text = folder.drctl_before_a_terminal(stderr, "y\ny\ny", "\n", FORGET);
        assert!(text.starts_with("exit 6\n") && text.contains("not confirmed; nothing was changed"), "{text}");
        assert!(folder.drctl("state list").contains("us-east-1/ec2_subnet/private-a"), "{text}");
    }
}

/// The kernel would stop the whole run at its question, and nobody would hear of it.
#[test]
fn a_run_in_the_background_says_that_it_cannot_ask() {
    let folder = Folder::with_state(&[]);
    assert_snapshot!(folder.drctl_before_a_terminal("background", "", "", FORGET), @"
    exit 64
    --- terminal
    error: nobody can be asked here: Forget us-east-1/ec2_subnet/private-a? Its object stays in AWS, and drctl will neither change nor delete it.
      hint: if that is what you want, add --yes
    ");
    let text = folder.drctl_before_a_terminal("background", "", "", "down");
    assert!(text.starts_with("exit 64\n") && text.contains("drctl down --suffix dev --yes"), "{text}");
}

/// Whoever has a terminal need not say the name of the only deployment, nor `--yes`.
#[test]
fn who_can_be_asked_is_not_refused() {
    let folder = Folder::with_state(&[]);
    let text = folder.drctl_before_a_terminal("pipe", "", "", "down --endpoint-url http://127.0.0.1:1");
    assert!(text.starts_with("exit 3\n") && !text.contains("cannot ask here"), "{text}");
}

#[test]
fn a_readable_state_is_rebuilt_only_when_somebody_says_so() {
    let folder = Folder::with_state(&[]);
    assert_snapshot!(folder.drctl("state rebuild --suffix dev"), @"
    exit 64
    --- stderr
    error: nobody can be asked here: The state of `dev` is readable and has 2 records. Make it anew?
      hint: if that is what you want, add --yes
    ");
    assert_snapshot!(folder.drctl_before_a_terminal("terminal", "", "no\n", "state rebuild --suffix dev"), @"
    exit 6
    --- terminal
    The state of `dev` is readable and has 2 records. Make it anew? [y/N] no
    error: not confirmed; nothing was changed
    ");
    assert_eq!(folder.read("state/dev.json"), STATE);
}
