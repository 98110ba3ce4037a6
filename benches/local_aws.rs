//! Prints what a deployment's life costs against the local AWS: time, CPU and memory of drctl alone, and API calls per resource.
//!
//! Run with `cargo bench --bench local_aws`. It asserts nothing: figures depend on the machine, and the elapsed times above all on the
//! emulator, which answers in milliseconds and works on one processor.

#![expect(clippy::print_stdout, reason = "printing figures is all that a benchmark does")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use wait4::Wait4;

/// How often each command is run.
const ROUNDS: usize = 3;

fn main() {
    let drctl = Path::new(env!("CARGO_BIN_EXE_drctl"));
    let size = fs::metadata(drctl).expect("drctl is built").len();
    println!("binary: {:.1} MB", size as f64 / 1e6);
    let start = (0..20).map(|_| measure(Command::new(drctl).arg("--version")).elapsed).min();
    println!("drctl --version: {:.1} ms, the best of 20", start.unwrap_or_default().as_secs_f64() * 1e3);

    let local = LocalAws::start();
    println!(
        "{:<10} {:>9} {:>9} {:>9} {:>7} {:>9} {:>13}",
        "", "elapsed", "CPU", "memory", "calls", "changing", "per resource"
    );
    for _ in 0..ROUNDS {
        for (name, arguments) in [
            ("up", &["up", "--suffix", "bench"][..]),
            ("up again", &["up", "--suffix", "bench"]),
            ("plan", &["plan", "--suffix", "bench"]),
            ("status", &["status", "--suffix", "bench"]),
            ("down", &["down", "--suffix", "bench", "--yes"]),
        ] {
            let before = local.last_call();
            let resources = local.resources().max(1);
            let cost = measure(&mut local.drctl(arguments));
            let resources = local.resources().max(resources);
            let summary = local.get(&format!("/_local-aws/summary?since={before}"));
            let calls = summary["calls"].as_u64().unwrap_or_default();
            println!(
                "{name:<10} {:>7.2} s {:>7.2} s {:>6.1} MB {calls:>7} {:>9} {:>13.2}",
                cost.elapsed.as_secs_f64(),
                cost.cpu.as_secs_f64(),
                cost.memory as f64 / 1e6,
                summary["mutating"].as_u64().unwrap_or_default(),
                calls as f64 / resources as f64,
            );
        }
    }
}

/// What one run of a program took.
struct Cost {
    elapsed: Duration,
    /// User and system time of the process.
    cpu: Duration,
    /// The peak of its resident memory, in bytes.
    memory: u64,
}

/// Runs a program to its end.
fn measure(command: &mut Command) -> Cost {
    let begin = Instant::now();
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program can be run");
    let used = child.wait4().expect("the program can be waited for");
    assert!(used.status.success(), "{command:?} failed: {}", used.status);
    let rusage = used.rusage;
    Cost { elapsed: begin.elapsed(), cpu: rusage.utime + rusage.stime, memory: rusage.maxrss }
}

/// A local AWS and a folder to run drctl in.
struct LocalAws {
    program: PathBuf,
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl LocalAws {
    fn start() -> Self {
        let target = Path::new(env!("CARGO_BIN_EXE_drctl")).parent().expect("a program is in a folder");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--release", "--workspace", "--bins"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        build.env("CARGO_TARGET_DIR", target.parent().expect("profiles are folders of the target folder"));
        assert!(build.status().expect("cargo can be run").success(), "the local AWS cannot be built");

        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let program = target.join("local-aws");
        let started = Command::new(&program).arg("start").arg("--dir").arg(folder.path()).output();
        let lines = String::from_utf8(started.expect("the local AWS can be run").stdout).expect("it prints UTF-8");
        let variables = lines.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { program, folder, environment }
    }

    fn drctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drctl"));
        // The plan and the functions are those of the repository, the state is not.
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
        command.arg("--state-dir").arg(self.folder.path().join("state")).envs(self.environment.iter().cloned());
        command
    }

    /// How many resources are on record.
    fn resources(&self) -> usize {
        let text = fs::read_to_string(self.folder.path().join("state/bench.json")).unwrap_or_default();
        let state: Value = serde_json::from_str(&text).unwrap_or_default();
        state["records"].as_object().map_or(0, serde_json::Map::len)
    }

    fn last_call(&self) -> u64 {
        self.get("/_local-aws/summary")["last_seq"].as_u64().unwrap_or_default()
    }

    /// Asks the local AWS about itself.
    fn get(&self, path: &str) -> Value {
        let endpoint = self.environment.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL");
        let host = endpoint.expect("the local AWS names its address").1.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).expect("the local AWS listens");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").expect("it can be asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a head and a body");
        serde_json::from_str(body).expect("the answer is JSON")
    }
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        // A local AWS that has already ended is as good as a stopped one.
        let _ = Command::new(&self.program).arg("stop").arg("--dir").arg(self.folder.path()).output();
    }
}
