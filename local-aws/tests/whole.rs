//! The whole local AWS: started, talked to, killed, and stopped, as people and tests use it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

/// A folder in which a local AWS may run; whatever runs there is stopped in the end.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, command: &str) -> Output {
        local_aws().arg(command).arg("--dir").arg(self.folder()).output().unwrap()
    }

    /// Starts and returns the endpoint and the access key that are printed.
    fn start(&self) -> [String; 2] {
        let output = self.run("start");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"].map(|name| {
            let start = format!("export {name}=");
            lines.lines().find_map(|line| line.strip_prefix(&start)).unwrap().to_owned()
        })
    }

    fn recorded(&self, field: &str) -> Pid {
        let text = std::fs::read(self.folder().join("instance.json")).unwrap();
        let instance: Value = serde_json::from_slice(&text).unwrap();
        Pid::from_raw(instance[field].as_i64().unwrap().try_into().unwrap()).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("serve.log")).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run("stop");
    }
}

fn local_aws() -> Command {
    Command::new(env!("CARGO_BIN_EXE_local-aws"))
}

fn python() -> Command {
    let output = local_aws().arg("python").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Command::new(String::from_utf8(output.stdout).unwrap().trim())
}

/// Waits until `done`; fails when that takes much longer than it ever should.
fn eventually(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_sees_aws_and_the_log_sees_the_client() {
    let place = Place::new();
    let printed = place.start();
    assert_eq!(place.start(), printed, "a second start gives the same environment");
    assert!(place.run("status").status.success());

    let output = python().arg("tests/scenario.py").args(&printed).env_remove("AWS_PROFILE").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    assert!(place.run("stop").status.success());
    assert_eq!(place.run("status").status.code(), Some(3));
    assert!(place.run("stop").status.success(), "stopping what does not run is no error");
}

/// Neither half lives on without the other, and the folder can be used again each time.
#[test]
fn instances_are_apart_and_each_half_ends_with_the_other() {
    let (one, two) = (Place::new(), Place::new());
    assert_ne!(one.start(), two.start());

    let (proxy, emulator) = (one.recorded("pid"), one.recorded("emulator_pid"));
    kill_process(proxy, Signal::KILL).unwrap();
    eventually("the emulator's end", || test_kill_process(emulator).is_err());
    assert_eq!(one.run("status").status.code(), Some(3));
    assert!(two.run("status").status.success(), "the other instance lives on");

    one.start();
    kill_process(one.recorded("emulator_pid"), Signal::KILL).unwrap();
    eventually("the proxy's end", || one.log().contains("the emulator ended by itself"));
    eventually("the folder's release", || one.run("status").status.code() == Some(3));
    one.start();
}
