//! Signals while AWS takes its time: the run does not wait for AWS, and the next one goes on where it stood.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{LocalAws, Workspace};
use crate::story::census;

const UP: [&str; 5] = ["up", "--suffix", "dev", "--plan", "plans/minimal.toml"];
const GATEWAY: &str = "us-east-1/ec2_nat_gateway/public-a";

/// Six seconds are promised from a signal to the exit; a machine that is busy with other tests may take some more, and
/// what is waited for takes minutes.
pub(crate) const BUSY: Duration = Duration::from_secs(12);

/// Invariant 9 and R10: one signal ends a run that waits for AWS, with what is in flight on record; a second one ends it at once.
/// Either way the next run goes on with the same objects.
#[test]
fn a_signal_does_not_wait_for_aws() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    // A NAT gateway takes as long as on AWS: minutes.
    aws.play(&["slow-states"], 1);
    let mut gateways = Vec::new();
    let mut gateway = || {
        let record = workspace.drctl(&["state", "show", GATEWAY, "--suffix", "dev"]).expect(0).json();
        assert_eq!(record["status"], "creating", "it was not waited for: {record}");
        gateways.push(record["outputs"]["id"].as_str().expect("the id is on record").to_owned());
    };
    for (signals, code) in [(&["INT"][..], 130), (&["TERM"], 143), (&["HUP"], 129), (&["INT", "INT"], 130)] {
        let mut run = waiting(&workspace, GATEWAY);
        let asked = Instant::now();
        signals.iter().for_each(|signal| send(&run, signal));
        let status = run.wait().expect("the run ends");
        let took = asked.elapsed();
        println!("{signals:?} to exit: {:.1} s", took.as_secs_f64());
        assert_eq!(status.code(), Some(code), "{signals:?}");
        assert!(took < BUSY, "{signals:?}: {took:?}");
        gateway();
    }
    // A window that is closed takes the terminal with it, on which drctl still has things to say.
    let drctl = workspace.command(&[&UP[..], &["--yes", "--output", "json"]].concat());
    let mut closed = Command::new(aws.python_path());
    closed.args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/local_aws/closed_terminal.py"), "waiting", GATEWAY]);
    closed.args(drctl.get_args()).current_dir(workspace.path(".")).env_clear();
    closed.envs(drctl.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = closed.output().expect("python can be run");
    assert_eq!(ended.status.code(), Some(129), "{}", String::from_utf8_lossy(&ended.stderr));
    gateway();
    assert!(gateways.windows(2).all(|pair| pair[0] == pair[1]), "it was made once: {gateways:?}");

    aws.play(&[], 1);
    workspace.drctl(&UP).expect(0);
    let record = workspace.drctl(&["state", "show", GATEWAY, "--suffix", "dev"]).expect(0).json();
    assert_eq!((&record["status"], &record["outputs"]["id"]), (&"ready".into(), &Value::from(gateways[0].as_str())));
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}

/// R2: whatever of Aurora an interrupted `up` has left being made, `down` waits until it can be deleted, and deletes it.
#[test]
fn a_database_that_is_half_made_goes_without_a_trace() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    for address in [
        "us-east-1/rds_cluster/aurora",
        "us-east-1/rds_instance/aurora-1",
        "us-east-2/rds_cluster/aurora",
        "us-east-2/rds_instance/aurora-1",
    ] {
        aws.play(&["slow-states", "dependency-violations"], 60);
        let mut run = waiting(&workspace, address);
        send(&run, "INT");
        assert_eq!(run.wait().expect("the run ends").code(), Some(130), "{address}");
        let record = workspace.drctl(&["state", "show", address, "--suffix", "dev"]).expect(0).json();
        assert_eq!(record["status"], "creating", "{record}");
        workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
        aws.play(&[], 1);
        assert_eq!(census(&aws, "dev"), Vec::<String>::new(), "{address}");
    }
}

/// Starts `up` and returns when it waits for a resource.
fn waiting(workspace: &Workspace<'_>, address: &str) -> Child {
    let mut command = workspace.command(&UP);
    command.args(["--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut run = command.spawn().expect("drctl can be started");
    let mut lines = BufReader::new(run.stdout.take().expect("it is piped")).lines();
    let waits = |line: String| {
        let event: Value = serde_json::from_str(&line).expect("each line is an event");
        event["event"] == "waiting" && event["address"] == address
    };
    assert!(lines.by_ref().map_while(Result::ok).any(waits), "it never waited for {address}");
    // What it still says has to be read, or it would be kept from ending.
    std::thread::spawn(move || lines.for_each(drop));
    // Let it get into the wait.
    std::thread::sleep(Duration::from_millis(200));
    run
}

pub(crate) fn send(run: &Child, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &run.id().to_string()]).status();
    assert!(sent.expect("kill can be run").success());
}
