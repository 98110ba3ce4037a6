//! The password of the database is in Secrets Manager and nowhere else: not in the state, not in what is printed or traced, not
//! in what other processes of the machine can see.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{LocalAws, Workspace};

/// Asks for everything, by names that are more exact than any general rule.
const NOSY: &str = "trace,aws_smithy_runtime::client::orchestrator=trace,aws_smithy_runtime_api::client=trace,\
                    aws_smithy_http_client::client=trace,aws_sdk_secretsmanager::operation::create_secret=trace,\
                    aws_sdk_rds::operation::create_db_cluster=trace,aws_sigv4::http_request::sign=trace,\
                    aws_runtime::auth=trace,hyper_util::client::legacy=trace";

/// Everything that was to be seen, each with where.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    /// Runs drctl, and keeps what it prints and what the machine shows of it meanwhile. It may fail.
    fn run(&mut self, workspace: &Workspace<'_>, arguments: &[&str]) {
        let what = arguments.join(" ");
        let mut command = workspace.command(arguments);
        command.env("RUST_LOG", NOSY).env("RUST_BACKTRACE", "full").stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("drctl can be run");
        let (process, has_ended) = (format!("/proc/{}", child.id()), Arc::new(AtomicBool::new(false)));
        let watched = has_ended.clone();
        let watching = std::thread::spawn(move || {
            let mut views = BTreeSet::new();
            while !watched.load(Ordering::Relaxed) {
                // Both are empty before the program is loaded and after its end.
                let files = ["cmdline", "environ"].map(|name| fs::read(format!("{process}/{name}")));
                views.extend(files.into_iter().flatten().filter(|view| !view.is_empty()));
                std::thread::sleep(Duration::from_millis(1));
            }
            views
        });
        let output = child.wait_with_output().expect("drctl ends");
        has_ended.store(true, Ordering::Relaxed);
        let views = watching.join().expect("the watcher ends");
        // A command that contacts nobody may have ended before the first look.
        assert!(!views.is_empty() || !arguments.contains(&"--yes"), "nothing was to be seen of {what}");
        self.0.push((format!("standard output of {what}"), output.stdout));
        self.0.push((format!("standard error of {what}"), output.stderr));
        self.0.extend(views.into_iter().map(|view| (format!("/proc during {what}"), view)));
        self.keep(&workspace.path("state"));
    }

    /// Keeps every file of a folder.
    fn keep(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().expect("the file can be looked at").is_dir() {
                true => self.keep(&entry.path()),
                false => {
                    // A file may be gone by the time it is read.
                    let bytes = fs::read(entry.path()).unwrap_or_default();
                    self.0.push((entry.path().display().to_string(), bytes));
                }
            }
        }
    }

    /// Demands that the password is nowhere, however it is written.
    #[track_caller]
    fn expect_nowhere(&self, password: &str) {
        assert!(password.len() >= 16, "{} characters are no password", password.len());
        let percent: String = form(password);
        let json = serde_json::to_string(password).expect("a text is JSON");
        let forms = [password.to_owned(), percent, json.trim_matches('"').to_owned(), base64(password.as_bytes())];
        for (place, bytes) in &self.0 {
            for form in &forms {
                let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
                assert!(!found, "the password is in {place}");
            }
        }
    }
}

/// As the query protocol writes it.
fn form(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The part of the base64 form that does not depend on what follows.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| char::from(DIGITS[usize::try_from(bits & 63).expect("six bits")]);
    let groups = bytes.chunks_exact(3).map(|group| group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)));
    groups.flat_map(|bits| [18, 12, 6, 0].map(|shift| digit(bits >> shift))).collect()
}

fn password(aws: &LocalAws) -> String {
    let secret = aws.python(
        "client = boto3.client('secretsmanager', region_name='us-east-1')\n\
         result = json.loads(client.get_secret_value(SecretId='dr-payments-dev/aurora')['SecretString'])",
    );
    secret["password"].as_str().expect("the secret has a password").to_owned()
}

#[test]
fn the_password_is_nowhere_but_in_its_secret() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let mut seen = Seen::default();
    // One operation after the other, so that the calls come in the same order in every run.
    seen.run(&workspace, &["up", "--suffix", "dev", "--yes", "--parallelism", "1"]);
    let calls = aws.calls(false);
    let password = password(&aws);
    seen.run(&workspace, &["up", "--suffix", "dev", "--yes", "-vv", "--output", "json"]);
    seen.run(&workspace, &["plan", "--suffix", "dev", "-vv"]);
    seen.run(&workspace, &["status", "-vv", "--output", "json"]);
    let records = workspace.drctl(&["state", "list", "--output", "json"]).expect(0).json();
    let records = records["records"].as_array().expect("a list of records").clone();
    let secretive = |record: &&Value| {
        let address = record["address"].as_str().unwrap_or_default();
        ["secret", "rds_", "lambda_"].iter().any(|part| address.contains(part))
    };
    for record in records.iter().filter(secretive) {
        seen.run(&workspace, &["state", "show", record["address"].as_str().expect("an address")]);
    }
    seen.run(&workspace, &["down", "--suffix", "dev", "--yes", "-vv"]);
    seen.expect_nowhere(&password);

    // The calls that carry the password are refused.
    for operation in ["CreateDBCluster", "GetSecretValue"] {
        let before = calls.iter().position(|call| call["operation"] == operation);
        let before = before.unwrap_or_else(|| panic!("{operation} was not called"));
        refused(before, operation);
    }
}

/// A run whose credentials expire right before an operation.
fn refused(calls: usize, operation: &str) {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    aws.scenarios(&json!({ "names": ["expired-credentials"], "credentials_last": calls }));
    let mut seen = Seen::default();
    seen.run(&workspace, &["up", "--suffix", "dev", "--yes", "--parallelism", "1"]);
    aws.scenarios(&json!({ "names": [] }));
    let is_it = |call: &Value| call["operation"] == operation && call["status"] != 200;
    assert!(aws.calls(false).iter().any(is_it), "{operation} was not refused");
    seen.expect_nowhere(&password(&aws));
}
