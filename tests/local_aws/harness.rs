//! A local AWS for a group of tests, and the drctl binary pointed at it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::advice;

/// The plan of an odd workspace.
pub(crate) const ODD_PLAN: &str = "plans/it's the plan.toml";

/// Where an odd workspace has what is elsewhere found without a word.
const ODD_PLACE: [&str; 6] = ["--plan", ODD_PLAN, "--state-dir", "the state", "--profile", "mine@work"];

/// A local AWS that runs as long as this value lives.
pub(crate) struct LocalAws {
    program: PathBuf,
    folder: TempDir,
    environment: Vec<(String, String)>,
    python: String,
}

impl LocalAws {
    pub(crate) fn start() -> Self {
        let program = program();
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let started = run(Command::new(&program).arg("start").arg("--dir").arg(folder.path()));
        let environment = started
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).to_owned()))
            .collect();
        let python = run(Command::new(&program).arg("python")).trim().to_owned();
        Self { program, folder, environment, python }
    }

    /// A folder to run drctl in, with plans and functions as in the repository.
    pub(crate) fn workspace(&self) -> Workspace<'_> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for part in ["plans", "lambda/payment_processor", "lambda/health_check"] {
            copy(Path::new(part), &folder.path().join(part));
        }
        Workspace { aws: self, folder, place: &[] }
    }

    /// The same with plan, state and credentials in places that have to be named, and with names that a shell would
    /// split.
    pub(crate) fn odd_workspace(&self) -> Workspace<'_> {
        let workspace = Workspace { place: &ODD_PLACE, ..self.workspace() };
        std::fs::rename(workspace.path("plans/payments.toml"), workspace.path(ODD_PLAN))
            .expect("they are in one folder");
        let [key, secret] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| self.variable(name));
        let profile = format!("[mine@work]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
        std::fs::create_dir_all(workspace.path(".aws")).expect("the folder can be made");
        std::fs::write(workspace.path(".aws/credentials"), profile).expect("the file can be written");
        workspace
    }

    /// Runs Python with boto3 against this AWS; `result` is what the code assigns to that name.
    pub(crate) fn python(&self, code: &str) -> Value {
        let code = format!("import json, boto3\n{code}\nprint(json.dumps(result, default=str))");
        let output = run(Command::new(&self.python).arg("-c").arg(code).envs(self.environment.clone()));
        serde_json::from_str(&output).expect("the code prints JSON")
    }

    /// The answer of one address of the local AWS itself, or of a deployed API.
    pub(crate) fn http(&self, method: &str, url: &str, body: Option<&Value>) -> (u64, Value) {
        let body = body.map_or("None".to_owned(), |body| format!("{:?}.encode()", body.to_string()));
        let answer = self.python(&format!(
            r#"
import urllib.request, urllib.error
headers = {{"content-type": "application/json", "x-local-aws-key": {key:?}}}
request = urllib.request.Request({url:?}, data={body}, method={method:?}, headers=headers)
try:
    answer = urllib.request.urlopen(request, timeout=60)
except urllib.error.HTTPError as error:
    answer = error
text = answer.read().decode()
result = [answer.status, json.loads(text) if text else None]
"#,
            key = self.variable("AWS_ACCESS_KEY_ID"),
        ));
        (answer[0].as_u64().expect("a status"), answer[1].clone())
    }

    pub(crate) fn url(&self) -> &str {
        self.variable("AWS_ENDPOINT_URL")
    }

    fn variable(&self, name: &str) -> &str {
        let found = self.environment.iter().find(|(given, _)| given == name);
        &found.expect("the local AWS tells its address and its access key").1
    }

    /// The local address of a deployed API's public one.
    pub(crate) fn local_url(&self, public: &str) -> String {
        run(Command::new(&self.program).arg("url").arg("--dir").arg(self.folder.path()).arg(public)).trim().to_owned()
    }

    /// Switches scenarios on; `time_scale` seconds of AWS pass in one of ours.
    pub(crate) fn play(&self, names: &[&str], time_scale: u32) {
        let settings = serde_json::json!({ "names": names, "time_scale": time_scale });
        let (status, answer) = self.http("PUT", &format!("{}/_local-aws/scenarios", self.url()), Some(&settings));
        assert_eq!(status, 204, "the scenarios cannot be switched on: {answer}");
    }

    /// Forgets the calls logged so far.
    pub(crate) fn forget_calls(&self) {
        self.http("DELETE", &format!("{}/_local-aws/calls", self.url()), None);
    }

    /// The API calls since the log was forgotten.
    pub(crate) fn calls(&self, mutating_only: bool) -> Vec<Value> {
        let query = if mutating_only { "&mutating=true" } else { "" };
        let (_, calls) = self.http("GET", &format!("{}/_local-aws/calls?kind=api{query}", self.url()), None);
        let calls = calls.as_array().or_else(|| calls["calls"].as_array()).expect("a list of calls").clone();
        // The health of functions is checked by the service itself now and then; those are not drctl's.
        calls.into_iter().filter(|call| call["kind"] != "data-plane").collect()
    }

    /// Switches the scenarios on that the settings name, and all others off.
    pub(crate) fn scenarios(&self, settings: &Value) {
        let (status, answer) = self.http("PUT", &format!("{}/_local-aws/scenarios", self.url()), Some(settings));
        assert_eq!(status, 204, "{answer}");
    }

    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    pub(crate) fn python_path(&self) -> &str {
        &self.python
    }
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        // A local AWS that has already ended is as good as a stopped one.
        let _ = Command::new(&self.program).arg("stop").arg("--dir").arg(self.folder.path()).output();
    }
}

/// A folder with plans, functions and state.
pub(crate) struct Workspace<'a> {
    pub(crate) aws: &'a LocalAws,
    folder: TempDir,
    /// What every command is given besides, unless it says otherwise.
    place: &'static [&'static str],
}

impl Workspace<'_> {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs drctl.
    pub(crate) fn drctl(&self, arguments: &[&str]) -> Run {
        self.drctl_with(arguments, &[])
    }

    /// Runs drctl with further environment variables.
    pub(crate) fn drctl_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        let output = self.command(arguments).envs(environment.iter().copied()).output().expect("drctl can be run");
        Run::of(output, &self.complete(arguments))
    }

    /// The command, to be started by the caller. It runs in a session of its own, which has no controlling terminal:
    /// drctl would ask there before it changes anything, also where a person runs the tests.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setsid");
        command.arg(env!("CARGO_BIN_EXE_drctl")).args(self.complete(arguments));
        command.current_dir(self.folder.path()).env_clear();
        command.env("HOME", self.folder.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.aws.environment.iter().cloned());
        if !self.place.is_empty() {
            command.env("AWS_SHARED_CREDENTIALS_FILE", self.path(".aws/credentials"));
        }
        command
    }

    /// The arguments with the place of this workspace.
    fn complete<'b>(&self, arguments: &[&'b str]) -> Vec<&'b str> {
        let missing = self.place.chunks(2).filter(|pair| !arguments.contains(&pair[0])).flatten();
        arguments.iter().chain(missing).copied().collect()
    }

    /// Runs drctl before a controlling terminal while its streams lead elsewhere, and types the answer when its
    /// question stands there.
    pub(crate) fn drctl_before_a_terminal(&self, arguments: &[&str], answer: &str) -> Run {
        self.drctl_on_a_terminal("pipe", arguments, answer)
    }

    /// Runs drctl before a controlling terminal, in a way that `terminal.py` knows.
    pub(crate) fn drctl_on_a_terminal(&self, way: &str, arguments: &[&str], answer: &str) -> Run {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/terminal.py");
        let drctl = self.command(arguments);
        let mut command = Command::new(self.aws.python_path());
        command.args([script, way, "", answer, env!("CARGO_BIN_EXE_drctl")]).args(arguments);
        command.current_dir(self.folder.path()).env_clear();
        command.envs(drctl.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Run::of(command.output().expect("python can be run"), arguments)
    }

    /// Changes the plan file: the first occurrence of a text.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.path(file);
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        assert!(text.contains(from), "{file} has no {from:?}");
        std::fs::write(path, text.replacen(from, to, 1)).expect("the file can be written");
    }

    /// Puts a state in the place of the one there is, as whoever restores a copy does.
    pub(crate) fn put_state(&self, suffix: &str, text: &str) {
        let folder = self.path("state");
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            std::fs::remove_file(entry.path()).expect("the file can be removed");
        }
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        std::fs::write(folder.join(format!("{suffix}.json")), text).expect("the file can be written");
    }

    /// The outputs of the deployment.
    pub(crate) fn outputs(&self, suffix: &str) -> Value {
        self.drctl(&["outputs", "--suffix", suffix, "--output", "json"]).expect(0).json()["outputs"].clone()
    }
}

/// What a run of drctl printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Run {
    arguments: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(output: Output, arguments: &[&str]) -> Self {
        let run = Self {
            arguments: arguments.join(" "),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        advice::check(arguments, &format!("{}\n{}", run.stdout, run.stderr));
        run
    }

    /// Demands an exit code, and shows everything when it is another one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert!(
            self.code == Some(code),
            "drctl {} ended with {:?} instead of {code}\n--- stdout\n{}\n--- stderr\n{}",
            self.arguments,
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Demands texts in what was printed, on either stream.
    #[track_caller]
    pub(crate) fn shows(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.stdout.contains(text) || self.stderr.contains(text),
                "drctl {} does not show {text:?}\n--- stdout\n{}\n--- stderr\n{}",
                self.arguments,
                self.stdout,
                self.stderr
            );
        }
        self
    }
}

/// The local-aws binary beside this test's, built if need be.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its file");
    let folder = test.parent().and_then(Path::parent).expect("tests are built two folders below");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace", "--bins"])
        .env("CARGO_TARGET_DIR", folder.parent().expect("profiles are folders of the target folder"))
        .status();
    assert!(status.expect("cargo can be run").success(), "the local AWS cannot be built");
    folder.join("local-aws")
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program can be run");
    assert!(
        output.status.success(),
        "{command:?} failed\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("programs print UTF-8")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder can be read").flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("the file can be copied");
        }
    }
}
