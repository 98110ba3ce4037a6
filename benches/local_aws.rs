//! Prints what a deployment's life costs against the local AWS: time, CPU and memory of drctl alone, and API calls per resource; then
//! how much longer an `up` takes than AWS itself, when AWS takes its time; then what a recovery reads.
//!
//! Run with `cargo run --release --example local_aws`; without `--release` it measures the development build, which is there sooner.
//! It asserts nothing: figures depend on the machine, and the elapsed times above all on the emulator, which answers in
//! milliseconds and works on one processor.

#![expect(clippy::print_stdout, reason = "printing figures is all that a benchmark does")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use wait4::Wait4;

/// How often each command is run.
const ROUNDS: usize = 3;

/// How many seconds of AWS pass in one of ours, where AWS takes its time.
const SCALE: u32 = 20;

/// After how many changing calls a run is killed.
const CRASH_AT: u64 = 150;

fn main() {
    build();
    let drctl = &programs().join("drctl");
    let size = fs::metadata(drctl).expect("drctl is built").len();
    println!("binary: {:.1} MB", size as f64 / 1e6);
    let start = (0..20).map(|_| measure(Command::new(drctl).arg("--version")).elapsed).min();
    println!("drctl --version: {:.1} ms, the best of 20", start.unwrap_or_default().as_secs_f64() * 1e3);

    costs();
    overhead();
    recovery();
}

/// The folder of the programs that are measured: those of the profile that this benchmark was built in.
fn programs() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows its file");
    own.ancestors().nth(2).expect("examples are built two folders below").to_owned()
}

/// Builds drctl and the local AWS, where they are not there yet.
fn build() {
    let folder = programs();
    let profile = if folder.ends_with("debug") { "dev" } else { "release" };
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--profile", profile, "--workspace", "--bins"]);
    build.env("CARGO_TARGET_DIR", folder.parent().expect("profiles are folders of the target folder"));
    assert!(build.status().expect("cargo can be run").success(), "drctl and the local AWS cannot be built");
}

fn costs() {
    let local = LocalAws::start(&[]);
    println!(
        "{:<10} {:>9} {:>9} {:>9} {:>7} {:>9} {:>13}",
        "", "elapsed", "CPU", "memory", "calls", "changing", "per resource"
    );
    for _ in 0..ROUNDS {
        for (name, arguments) in [
            ("up", &["up", "--suffix", "bench", "--yes"][..]),
            ("up again", &["up", "--suffix", "bench", "--yes"]),
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

/// `up` under delays like those of AWS, against the longest chain of those delays. At a scale of 20, a second of what drctl does beside
/// waiting counts as 20.
fn overhead() {
    let local = LocalAws::start(&["--scenario", "slow-states", "--time-scale", &SCALE.to_string()]);
    let cost = measure(&mut local.drctl(&["up", "--suffix", "bench", "--yes"]));
    let (elapsed, waits) = (cost.elapsed.as_secs_f64(), local.longest_wait() / f64::from(SCALE));
    println!(
        "up while AWS takes its time (a second stands for {SCALE}): {elapsed:.1} s; the longest chain of waits: {waits:.1} s; overhead \
         {:.1} %",
        (elapsed / waits - 1.0) * 100.0
    );
}

/// How much the run after a crash reads, beside one that has nothing to do.
fn recovery() {
    let local = LocalAws::start(&[]);
    let reads = |arguments: &[&str]| {
        let before = local.last_call();
        measure(&mut local.drctl(arguments));
        let summary = local.get(&format!("/_local-aws/summary?since={before}"));
        summary["calls"].as_u64().unwrap_or_default() - summary["mutating"].as_u64().unwrap_or_default()
    };
    let up = ["up", "--suffix", "bench", "--yes"];
    let mut run = local.drctl(&up).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("drctl can be run");
    while local.get("/_local-aws/summary")["mutating"].as_u64().is_none_or(|changes| changes < CRASH_AT) {
        assert!(run.try_wait().expect("the run can be watched").is_none(), "the run ended before it was killed");
    }
    run.kill().expect("a process can be killed");
    run.wait().expect("a killed process ends");
    let plan = ["plan", "--suffix", "bench"];
    let intents = local.in_flight();
    let after_crash = reads(&plan);
    reads(&up);
    println!(
        "reads after a crash at {CRASH_AT} changing calls, with {intents} intents in flight: {after_crash}; of a run without changes: {}",
        reads(&plan)
    );
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
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let program = programs().join("local-aws");
        let started = Command::new(&program).arg("start").arg("--dir").arg(folder.path()).args(options).output();
        let lines = String::from_utf8(started.expect("the local AWS can be run").stdout).expect("it prints UTF-8");
        let variables = lines.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { program, folder, environment }
    }

    fn drctl(&self, arguments: &[&str]) -> Command {
        // The plan and the functions are those of the repository, in which this is run; the state is not.
        let mut command = Command::new(programs().join("drctl"));
        command.args(arguments);
        command.arg("--state-dir").arg(self.folder.path().join("state")).envs(self.environment.iter().cloned());
        command
    }

    /// How many resources are on record.
    fn resources(&self) -> usize {
        self.records().len()
    }

    fn records(&self) -> serde_json::Map<String, Value> {
        let text = fs::read_to_string(self.folder.path().join("state/bench.json")).unwrap_or_default();
        let state: Value = serde_json::from_str(&text).unwrap_or_default();
        state["records"].as_object().cloned().unwrap_or_default()
    }

    /// How many resources a killed run was at work on.
    fn in_flight(&self) -> usize {
        let list = self.drctl(&["state", "list", "--suffix", "bench", "--output", "json"]).output();
        let list: Value = serde_json::from_slice(&list.expect("drctl can be run").stdout).expect("it prints JSON");
        list["records"].as_array().into_iter().flatten().filter(|record| record["status"] != "ready").count()
    }

    /// The longest chain of what AWS took for each resource and for what it refers to, in seconds of AWS. The local AWS says in its
    /// log how long each object takes: `SCOPE/KIND/ID is STATE for SECONDS s, from ...`.
    fn longest_wait(&self) -> f64 {
        let log = fs::read_to_string(self.folder.path().join("serve.log")).expect("the local AWS has a log");
        let waits: Vec<(&str, &str, &str, f64)> = log
            .lines()
            .filter_map(|line| {
                let (object, rest) = line.strip_prefix("local-aws: ")?.split_once(" is ")?;
                let (_, seconds) = rest.split_once(" for ")?;
                let mut parts = object.splitn(3, '/');
                let seconds = seconds.split_once(" s, from").map(|(seconds, _)| seconds.parse())?.ok()?;
                Some((parts.next()?, parts.next()?, parts.next()?, seconds))
            })
            .collect();
        let records = self.records();
        let mut chains = BTreeMap::new();
        records.keys().map(|address| chain(address, &records, &waits, &mut chains)).fold(0.0, f64::max)
    }

    fn last_call(&self) -> u64 {
        self.get("/_local-aws/summary")["last_seq"].as_u64().unwrap_or_default()
    }

    /// Asks the local AWS about itself.
    fn get(&self, path: &str) -> Value {
        let told = |name| self.environment.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let host = told("AWS_ENDPOINT_URL").expect("the local AWS names its address").trim_start_matches("http://");
        let key = told("AWS_ACCESS_KEY_ID").expect("the local AWS names its access key");
        let mut stream = TcpStream::connect(host).expect("the local AWS listens");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nx-local-aws-key: {key}\r\n\r\n")
            .expect("it can be asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a head and a body");
        serde_json::from_str(body).expect("the answer is JSON")
    }
}

/// How long AWS takes from the beginning until a resource is usable.
fn chain<'a>(
    address: &'a str,
    records: &'a serde_json::Map<String, Value>,
    waits: &[(&str, &str, &str, f64)],
    known: &mut BTreeMap<&'a str, f64>,
) -> f64 {
    if let Some(known) = known.get(address) {
        return *known;
    }
    let Some(record) = records.get(address) else { return 0.0 };
    let references = record["references"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let before = references.map(|reference| chain(reference, records, waits, known)).fold(0.0, f64::max);
    let outputs = record["outputs"].as_object().into_iter().flatten().filter_map(|(_, output)| output.as_str());
    let names: Vec<&str> = outputs.collect();
    let is_own = |(scope, kind, id, _): &&(&str, &str, &str, f64)| {
        let named = |name: &&str| name == id || name.strip_suffix(id).is_some_and(|rest| rest.ends_with([':', '/']));
        let kind = kind.replace(' ', "_");
        (*scope == "global" || address.starts_with(scope)) && address.contains(&kind) && names.iter().any(named)
    };
    let own: f64 = waits.iter().filter(is_own).map(|(.., seconds)| seconds).sum();
    known.insert(address, before + own);
    before + own
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        // A local AWS that has already ended is as good as a stopped one.
        let _ = Command::new(&self.program).arg("stop").arg("--dir").arg(self.folder.path()).output();
    }
}
