//! State in a bucket: a whole life, a killed run, a second machine, and copies to a folder and back.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{LocalAws, Workspace};
use crate::interrupt::{BUSY, send};
use crate::story::census;

const STATE: &str = "s3://acme-state/payments";
const PLAN: [&str; 2] = ["--plan", "plans/minimal.toml"];

fn make_bucket(aws: &LocalAws) {
    // Not the region that is asked first, so that S3 has to tell it.
    aws.python(
        "s3 = boto3.client('s3', region_name='us-west-2')\n\
         s3.create_bucket(Bucket='acme-state', CreateBucketConfiguration={'LocationConstraint': 'us-west-2'})\n\
         result = None",
    );
}

/// The names of the objects of the state.
fn objects(aws: &LocalAws) -> Vec<String> {
    let found = aws.python(
        "pages = boto3.client('s3', region_name='us-west-2').get_paginator('list_objects_v2')\n\
         pages = pages.paginate(Bucket='acme-state', Prefix='payments/')\n\
         result = [object['Key'] for page in pages for object in page.get('Contents', [])]",
    );
    found.as_array().expect("a list").iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

fn with_state<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &["--suffix", "dev", "--state", STATE]].concat()
}

fn up(workspace: &Workspace<'_>) -> Child {
    let arguments = with_state(&[&["up"][..], &PLAN, &["--parallelism", "1"]].concat());
    let mut command = workspace.command(&arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("drctl can be started")
}

/// Waits until the run has recorded so many entries in the bucket.
fn wait_for_segments(aws: &LocalAws, run: &mut Child, count: usize) {
    while objects(aws).iter().filter(|name| name.contains(".journal.")).count() < count {
        assert!(run.try_wait().expect("the run can be watched").is_none(), "the run ended early");
    }
}

#[test]
fn a_deployment_lives_in_a_bucket_and_nothing_is_left_of_it() {
    let aws = LocalAws::start();
    make_bucket(&aws);
    let workspace = aws.workspace();
    workspace.drctl(&with_state(&[&["up"][..], &PLAN].concat())).expect(0);
    assert!(!workspace.path("state").exists(), "a folder was made beside the bucket");

    // Another machine knows everything.
    let other = aws.workspace();
    let arguments = with_state(&[&["plan"][..], &PLAN, &["--detailed-exitcode"]].concat());
    other.drctl(&arguments).expect(0);
    other.drctl_with(&["outputs"], &[("DRCTL_STATE", STATE)]).expect(0).shows(&["api_endpoint_us_east_1"]);
    let names = objects(&aws);
    assert!(names.contains(&"payments/dev.json".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("journal") || name.contains("lock")), "{names:?}");

    // To the folder and back; what is newer is not overwritten.
    other.drctl(&with_state(&["state", "pull"])).expect(0).shows(&["copied `dev`"]);
    other.drctl(&with_state(&["state", "push"])).expect(0).shows(&["the same state"]);
    let address = other.drctl(&["state", "list", "--suffix", "dev", "--output", "json"]).expect(0).json();
    let address = first_address(&address);
    other.drctl(&["state", "forget", &address, "--suffix", "dev", "--yes"]).expect(0);
    workspace.drctl(&with_state(&["state", "pull"])).expect(0);
    other.drctl(&with_state(&["state", "pull"])).expect(6).shows(&["state/dev.json is newer", "--force"]);
    other.drctl(&with_state(&["state", "pull", "--force"])).expect(0);
    assert!(other.path("state/dev.json.damaged").exists());

    other.drctl(&with_state(&["down", "--yes"])).expect(0);
    assert_eq!(objects(&aws), [""; 0]);
}

fn first_address(records: &Value) -> String {
    let records = records["records"].as_array().expect("a list of records");
    records[0]["address"].as_str().expect("an address").to_owned()
}

/// A run that is killed holds up the next one for one lease at most, without anybody's help, and nothing is made twice.
#[test]
fn a_killed_run_is_followed_by_the_next_one() {
    let aws = LocalAws::start();
    make_bucket(&aws);
    let workspace = aws.workspace();
    let mut killed = up(&workspace);
    wait_for_segments(&aws, &mut killed, 40);

    killed.kill().expect("killed");
    killed.wait().expect("gone");
    // Nobody can know yet that it is dead.
    let refused = workspace.drctl(&with_state(&["state", "unlock"])).expect(4);
    let refused = refused.shows(&["last heartbeat", "--lock-timeout 10m", "state unlock --suffix dev --force"]);
    assert!(refused.stderr.contains(&format!("process {} ", killed.id())), "{}", refused.stderr);
    workspace.drctl(&with_state(&[&["up"][..], &PLAN].concat())).expect(0).shows(&["waiting for the lock"]);
    let arguments = with_state(&[&["plan"][..], &PLAN, &["--detailed-exitcode"]].concat());
    workspace.drctl(&arguments).expect(0);
    workspace.drctl(&with_state(&["down", "--yes"])).expect(0);
    assert_eq!(objects(&aws), [""; 0]);
}

/// A run whose lease was ended stops, says why, and leaves the state to the next one.
#[test]
fn a_run_that_lost_its_lease_stops() {
    let aws = LocalAws::start();
    make_bucket(&aws);
    let workspace = aws.workspace();
    let arguments = with_state(&[&["up"][..], &PLAN, &["--parallelism", "1"]].concat());
    let mut first = workspace.command(&arguments);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("drctl can be started");
    wait_for_segments(&aws, &mut first, 10);
    workspace.drctl(&with_state(&["state", "unlock", "--force"])).expect(0).shows(&["cleared what process"]);
    let next = workspace.drctl(&with_state(&[&["up"][..], &PLAN].concat()));
    let ended = first.wait_with_output().expect("the run ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("somebody else wrote it meanwhile") || said.contains("was lost"), "{said}");
    next.expect(0);
    workspace.drctl(&with_state(&["down", "--yes"])).expect(0);
}

/// The state is recorded with what AWS answers; but a bucket that does not answer keeps nobody who wants to be out, and
/// what was recorded before is good.
#[test]
fn a_bucket_that_does_not_answer_keeps_no_interrupted_run() {
    let aws = LocalAws::start();
    make_bucket(&aws);
    let workspace = aws.workspace();
    let mut run = up(&workspace);
    wait_for_segments(&aws, &mut run, 10);
    let freeze = format!("{}/_local-aws/freeze", aws.url());
    aws.http("PUT", &freeze, Some(&json!({ "call": 1, "after": false })));
    let (_, frozen) = aws.http("GET", &format!("{freeze}?wait=30"), None);
    assert_eq!(frozen["frozen"], true, "{frozen}");
    let asked = Instant::now();
    send(&run, "INT");
    assert_eq!(run.wait().expect("the run ends").code(), Some(130));
    assert!(asked.elapsed() < BUSY, "{:?}", asked.elapsed());

    aws.http("DELETE", &freeze, None);
    workspace.drctl(&with_state(&["state", "unlock", "--force"])).expect(0);
    workspace.drctl(&with_state(&["down", "--yes"])).expect(0);
    assert_eq!(objects(&aws), [""; 0]);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}

/// Neither of two first runs at once can see a state of the other; one of them makes it, and the other is told who
/// works there.
#[test]
fn one_of_two_first_runs_is_told_of_the_other() {
    let aws = LocalAws::start();
    make_bucket(&aws);
    let workspaces = [aws.workspace(), aws.workspace()];
    let mut runs = workspaces.each_ref().map(|workspace| {
        let arguments = with_state(&[&["up"][..], &PLAN, &["--parallelism", "1"]].concat());
        let mut command = workspace.command(&arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("drctl can be started")
    });
    let second = loop {
        let ended = runs.iter_mut().position(|run| run.try_wait().expect("the run can be watched").is_some());
        if let Some(ended) = ended {
            break ended;
        }
        std::thread::yield_now();
    };
    let [mut first, mut second] = if second == 0 { runs.into_iter().rev().collect::<Vec<_>>() } else { runs.into() }
        .try_into()
        .expect("they are two");
    let said = |run: &mut Child| {
        let mut text = String::new();
        run.stderr.take().expect("it is piped").read_to_string(&mut text).expect("drctl writes UTF-8");
        text
    };
    let refused = said(&mut second);
    assert_eq!(second.wait().expect("it has ended").code(), Some(4), "{refused}");
    let told = [format!("process {} ", first.id()), "was made by another run meanwhile".to_owned()];
    assert!(told.iter().any(|text| refused.contains(text)), "{refused}");

    send(&first, "INT");
    let interrupted = said(&mut first);
    assert_eq!(first.wait().expect("it ends").code(), Some(130), "{interrupted}");
    workspaces[0].drctl(&with_state(&["down", "--yes"])).expect(0);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}

#[test]
fn a_bucket_that_cannot_be_used_is_an_error_with_a_way_out() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let run = workspace.drctl(&with_state(&[&["up"][..], &PLAN].concat())).expect(6);
    run.shows(&["the state bucket `acme-state` does not exist", "aws s3 mb s3://acme-state"]);
    assert!(!Path::new(&workspace.path("state")).exists());
    let both = workspace.drctl(&["status", "--state", STATE, "--state-dir", "state"]).expect(64);
    both.shows(&["leave out one of --state"]);
    workspace.drctl(&["state", "push", "--suffix", "dev"]).expect(64).shows(&["--state s3://BUCKET/PREFIX"]);
}
