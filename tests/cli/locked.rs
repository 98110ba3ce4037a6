//! Two runs at the same time: the second is told who is first.

use std::fs::File;

use insta::assert_snapshot;

use crate::support::{Folder, STATE};

const HOLDER: &str = r#"{
  "process": 4711,
  "host": "ci-7",
  "user": "deployer",
  "command": "up",
  "started": "2026-01-02T03:04:05Z",
  "ci_run": "https://ci.example.com/runs/9"
}"#;

#[test]
fn a_locked_deployment_names_the_holder_and_is_left_alone() {
    let folder = Folder::with_state(&[]);
    folder.write("state/dev.lock", HOLDER);
    let lock = File::options().read(true).write(true).open(folder.path("state/dev.lock")).expect("it was written");
    lock.lock().expect("nobody else has it");
    assert_snapshot!(folder.drctl("state forget us-east-1/ec2_vpc/vpc"), @"
    exit 4
    --- stderr
    error: the deployment `dev` is locked by `up`, process 4711 of deployer on ci-7, started 2026-01-02T03:04:05Z, https://ci.example.com/runs/9
      hint: wait for that run to end, or let drctl wait: --lock-timeout 10m
      hint: the lock goes away by itself when that process ends, however it ends
    ");
    assert_snapshot!(folder.drctl("state unlock"), @"
    exit 4
    --- stderr
    error: the deployment `dev` is locked by `up`, process 4711 of deployer on ci-7, started 2026-01-02T03:04:05Z, https://ci.example.com/runs/9
      hint: wait for that run to end, or let drctl wait: --lock-timeout 10m
      hint: the lock goes away by itself when that process ends, however it ends
    ");
    assert_eq!(folder.read("state/dev.json"), STATE);
}

#[test]
fn what_a_dead_run_left_is_no_lock() {
    let folder = Folder::with_state(&[]);
    folder.write("state/dev.lock", HOLDER);
    assert_snapshot!(folder.drctl("state unlock"), @"
    exit 0
    --- stderr
    cleared what process 4711 on ci-7 left behind
    ");
    assert_snapshot!(folder.drctl("state unlock"), @"
    exit 0
    --- stderr
    no run holds this deployment
    ");
}
