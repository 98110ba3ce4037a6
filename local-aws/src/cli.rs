//! The command line: `start`, `stop`, `status`, and `serve`, which is what `start` runs in the background.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf, absolute};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::environment;
use crate::error::Error;
use crate::instance::{self, Instance};
use crate::scenarios;
use crate::serve;

/// Begins every line for the person at the terminal.
const PREFIX: &str = "local-aws: ";

/// A local AWS for demonstrations and tests: an emulator on loopback behind a proxy that corrects it and logs every call.
#[derive(Debug, Parser)]
#[command(name = "local-aws", version)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start in the background and print the environment to use: eval "$(local-aws start)".
    Start(Settings),
    /// Stop what runs in the folder.
    Stop(Folder),
    /// Say whether it runs, and where.
    Status(Folder),
    /// Print the Python that runs the emulator; scripts and tests find boto3 in it.
    Python,
    /// Print where the running instance serves a deployed REST API: the local form of https://ID.execute-api.REGION.amazonaws.com/STAGE.
    Url(Address),
    /// Run in the foreground; `start` runs this in the background.
    Serve(Settings),
}

#[derive(Args, Clone, Debug)]
struct Folder {
    /// The folder of this instance, with its record, logs and data; instances in different folders run side by side.
    #[arg(long, default_value = "target/local-aws", env = "LOCAL_AWS_DIR")]
    dir: PathBuf,
}

#[derive(Args, Clone, Debug)]
struct Address {
    #[command(flatten)]
    folder: Folder,
    /// The address that AWS would serve it at.
    url: String,
}

/// How to start a local AWS.
#[derive(Args, Clone, Debug)]
pub(crate) struct Settings {
    /// The folder of this instance, with its record, logs and data; instances in different folders run side by side.
    #[arg(long, default_value = "target/local-aws", env = "LOCAL_AWS_DIR")]
    pub(crate) dir: PathBuf,
    /// The port to listen on at 127.0.0.1; a free one if left out.
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// How long an accelerator is IN_PROGRESS after each change, in milliseconds.
    #[arg(long, default_value_t = 300, value_name = "MS")]
    accelerator_settle: u64,
    /// A behaviour of the real AWS to add, by name; `all` for every one. May be repeated.
    #[arg(long = "scenario", value_name = "NAME", value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Decides everything that scenarios draw by lot.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seconds of AWS pass in one of ours, for scenarios that take time.
    #[arg(long, default_value_t = 60.0, value_name = "FACTOR")]
    time_scale: f64,
    /// For how many calls credentials are good, for the scenario `expired-credentials`; for ever if left out.
    #[arg(long, value_name = "CALLS")]
    credentials_last: Option<u64>,
}

impl Settings {
    /// How long an accelerator is in progress after each change.
    pub(crate) fn settle(&self) -> Duration {
        Duration::from_millis(self.accelerator_settle)
    }

    /// The scenarios that are switched on from the start.
    pub(crate) fn scenarios(&self) -> scenarios::Settings {
        scenarios::Settings {
            names: self.scenarios.clone(),
            seed: self.seed,
            time_scale: self.time_scale,
            credentials_last: self.credentials_last,
            ..scenarios::Settings::default()
        }
    }
}

/// Runs the command that was typed.
pub(crate) fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Action::Start(settings) => start(&settings),
        Action::Stop(folder) => stop(&folder.dir),
        Action::Status(folder) => status(&folder.dir),
        Action::Python => python(),
        Action::Url(address) => url(&address),
        Action::Serve(settings) => serve_here(&settings),
    };
    outcome.unwrap_or_else(|error| {
        say(&error.to_string());
        ExitCode::FAILURE
    })
}

fn start(settings: &Settings) -> Result<ExitCode, Error> {
    let dir = absolute(&settings.dir).map_err(Error::file("find", &settings.dir))?;
    instance::create(&dir)?;
    if let Some(instance) = Instance::running(&dir) {
        say(&format!("already running in {} (process {})", dir.display(), instance.pid));
        print(&instance.shell_lines());
        return Ok(ExitCode::SUCCESS);
    }
    // Done here and not only in the background, so that the progress of the set-up is seen.
    environment::ensure(say)?;

    let log_path = dir.join("serve.log");
    // Another `start` may be under way in this folder: its log is emptied only when nobody holds the folder.
    let is_free = instance::lock(&dir)?.is_some();
    let mut how = OpenOptions::new();
    how.create(true).append(!is_free).write(true).truncate(is_free);
    let log = how.open(&log_path).map_err(Error::file("create", &log_path))?;
    let also_log = log.try_clone().map_err(Error::file("open", &log_path))?;
    let program = std::env::current_exe().map_err(Error::file("find", "local-aws"))?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--dir").arg(&dir);
    command.arg("--accelerator-settle").arg(settings.accelerator_settle.to_string());
    command.arg("--seed").arg(settings.seed.to_string()).arg("--time-scale").arg(settings.time_scale.to_string());
    command
        .args(settings.credentials_last.iter().flat_map(|calls| ["--credentials-last".to_owned(), calls.to_string()]));
    command.args(settings.scenarios.iter().flat_map(|name| ["--scenario", name]));
    if let Some(port) = settings.port {
        command.arg("--port").arg(port.to_string());
    }
    // A group of its own keeps the terminal's Ctrl-C from it.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(also_log)
        .process_group(0)
        .spawn()
        .map_err(Error::file("start", "local-aws serve"))?;

    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(instance) = Instance::running(&dir) {
            say(&format!("running in {} (process {})", dir.display(), instance.pid));
            print(&instance.shell_lines());
            return Ok(ExitCode::SUCCESS);
        }
        let ended = child.try_wait().map_err(Error::file("watch", "local-aws serve"))?;
        // When another `start` won the folder, its instance is as good as ours.
        let lost = ended.is_some() && instance::lock(&dir)?.is_none();
        if (ended.is_some() && !lost) || Instant::now() > deadline {
            let said = fs::read_to_string(&log_path).unwrap_or_default();
            let said = environment::tail(&said, 10);
            return Err(Error::Start { reason: said.trim_start_matches(PREFIX).to_owned() });
        }
        thread::sleep(Duration::from_millis(30));
    }
}

fn stop(dir: &Path) -> Result<ExitCode, Error> {
    let Some(instance) = Instance::running(dir) else {
        if dir.exists() && instance::lock(dir)?.is_none() {
            return Err(Error::Busy(dir.to_owned()));
        }
        say(&format!("not running in {}", dir.display()));
        return Ok(ExitCode::SUCCESS);
    };
    let failed = |reason: String| Error::Stop { pid: instance.pid, reason };
    let pid = i32::try_from(instance.pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| failed("no process has this id".to_owned()))?;
    kill_process(pid, Signal::TERM).map_err(|error| failed(error.to_string()))?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while instance::lock(dir)?.is_none() {
        if Instant::now() > deadline {
            let still = if test_kill_process(pid).is_ok() { "it does not end" } else { "its folder stays locked" };
            return Err(failed(still.to_owned()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    say(&format!("stopped (process {})", instance.pid));
    Ok(ExitCode::SUCCESS)
}

/// Ends with 0 when it runs and 3 when it does not, as `systemctl status` does.
fn status(dir: &Path) -> Result<ExitCode, Error> {
    match Instance::running(dir) {
        Some(instance) => {
            print(&format!(
                "running since {} at {} (process {}, emulator {})\n",
                instance.started,
                instance.endpoint(),
                instance.pid,
                instance.emulator_pid
            ));
            Ok(ExitCode::SUCCESS)
        }
        None => {
            print(&format!("not running in {}\n", dir.display()));
            Ok(ExitCode::from(3))
        }
    }
}

fn python() -> Result<ExitCode, Error> {
    let python = environment::ensure(say)?;
    print(&format!("{}\n", python.display()));
    Ok(ExitCode::SUCCESS)
}

fn url(address: &Address) -> Result<ExitCode, Error> {
    let Some(instance) = Instance::running(&address.folder.dir) else {
        return status(&address.folder.dir);
    };
    let local = local_url(&instance.endpoint(), &address.url).ok_or_else(|| Error::NoApi(address.url.clone()))?;
    print(&format!("{local}\n"));
    Ok(ExitCode::SUCCESS)
}

/// Where the data plane of a REST API answers, from the address that AWS would serve it at.
fn local_url(endpoint: &str, public: &str) -> Option<String> {
    let (host, path) = public.strip_prefix("https://")?.split_once('/')?;
    let (api, rest) = host.split_once('.')?;
    rest.starts_with("execute-api.").then(|| format!("{endpoint}/_aws/execute-api/{api}/{path}"))
}

fn serve_here(settings: &Settings) -> Result<ExitCode, Error> {
    // One thread passes a call on without waking another, and the emulator has only one as well.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dir = absolute(&settings.dir).map_err(Error::file("find", &settings.dir))?;
    let settings = Settings { dir, ..settings.clone() };
    runtime.block_on(serve::serve(&settings, |instance| {
        say(&format!("serving at {} (process {})", instance.endpoint(), instance.pid));
    }))?;
    Ok(ExitCode::SUCCESS)
}

/// Standard output holds only what `eval` may read; a closed one is nobody's error.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Tells the person at the terminal something; standard error may go to a log.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{PREFIX}{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployed_api_has_a_local_address() {
        let public = "https://abc.execute-api.us-east-1.amazonaws.com/prod/health";
        let local = local_url("http://127.0.0.1:1", public);
        assert_eq!(local.as_deref(), Some("http://127.0.0.1:1/_aws/execute-api/abc/prod/health"));
        assert_eq!(local_url("http://127.0.0.1:1", "https://example.com/prod"), None);
    }
}
