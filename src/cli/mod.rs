//! What the user types: one file per command, named as typed.
//!
//! A command reads its arguments, calls the layers below in order, and hands what they return to `ui`. It holds no rule of the
//! product itself. The doc comments on arguments are the help texts.

mod down;
mod fault;
mod graph;
mod iam_policy;
mod init;
mod outputs;
mod plan;
mod preflight;
mod schema;
mod session;
mod state;
mod status;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{Failure, Kind};
use crate::plan::Suffix;
use crate::state::Place;
use crate::ui::{Again, ColorChoice, OutputMode, Screen, Settings};

/// Deploys, checks and destroys a complete multi-region disaster-recovery stack on AWS.
#[derive(Debug, Parser)]
#[command(name = "drctl", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Down(down::Down),
    Status(status::Status),
    Plan(plan::Plan),
    Outputs(outputs::Outputs),
    Graph(graph::Graph),
    IamPolicy(iam_policy::IamPolicy),
    Init(init::Init),
    Schema(schema::Schema),
    State(state::State),
}

/// The flags that every command has.
#[derive(Clone, Debug, Args)]
struct Flags {
    /// The short name that makes the deployment unique, such as `dev`
    #[arg(long, env = "ENVIRONMENT_SUFFIX", value_name = "NAME", global = true)]
    suffix: Option<Suffix>,
    /// The plan file; by default `plans/payments.toml`, else the built-in plan, which is that same file
    #[arg(long, value_name = "FILE", global = true)]
    plan: Option<PathBuf>,
    /// The folder of the state files; by default `state`
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    /// A place in S3 for the state instead of a folder, such as `s3://acme-state/payments`
    #[arg(long, env = "DRCTL_STATE", value_name = "URL", global = true)]
    state: Option<Place>,
    /// A named profile of the AWS configuration
    #[arg(long, value_name = "NAME", global = true)]
    profile: Option<String>,
    /// An endpoint for every AWS service, instead of AWS's own
    #[arg(long, value_name = "URL", value_parser = endpoint, global = true)]
    endpoint_url: Option<String>,
    /// How many operations may run at the same time; by default as many as AWS's rate limits allow
    #[arg(long, value_name = "N", global = true)]
    parallelism: Option<std::num::NonZeroUsize>,
    /// How long to wait for another run's lock, such as `10m`
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, global = true)]
    lock_timeout: Duration,
    /// Go ahead without asking
    #[arg(long, global = true)]
    yes: bool,
    /// How results and progress are written
    #[arg(long, value_enum, default_value_t, global = true)]
    output: OutputMode,
    /// When to use colour
    #[arg(long, value_enum, default_value_t, global = true)]
    color: ColorChoice,
    /// Trace to standard error: -v requests, -vv everything; RUST_LOG is finer
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

impl Flags {
    /// What a command that follows from this one needs besides, also where it came from the environment: the next shell may lack it.
    fn again(&self) -> Again {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        Again::new([
            ("--suffix", self.suffix.as_ref().map(ToString::to_string)),
            ("--plan", path(&self.plan)),
            ("--state-dir", path(&self.state_dir)),
            ("--state", self.state.as_ref().map(ToString::to_string)),
            ("--profile", self.profile.clone()),
            ("--endpoint-url", self.endpoint_url.clone()),
        ])
    }
}

fn endpoint(text: &str) -> Result<String, String> {
    let host = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(text.to_owned()),
        _ => {
            Err("an endpoint begins with http:// or https:// and names a host, as in http://127.0.0.1:4566".to_owned())
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "write a duration such as 30s, 10m or 1h".to_owned())?;
    Duration::try_from(span).map_err(|_| "a duration is not negative".to_owned())
}

/// The parser of the command line.
pub fn parser() -> clap::Command {
    Cli::command()
}

/// Parses the command line, runs the command, shows how it ended, and returns the exit code.
pub fn run() -> ExitCode {
    let parsed = parser().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and versions are results; everything else is wrong usage. A reader that went away is no fault.
            let _ = error.print();
            return if error.use_stderr() { Kind::Usage.exit_code().into() } else { ExitCode::SUCCESS };
        }
    };
    let screen = Screen::new(Settings {
        mode: cli.flags.output,
        color: cli.flags.color,
        is_run: matches!(cli.command, Command::Up(_) | Command::Down(_)),
        is_traced: cli.flags.verbose > 0 || std::env::var_os("RUST_LOG").is_some(),
        again: cli.flags.again(),
    });
    fault::tell(screen.clone());
    trace(cli.flags.verbose, screen.has_coloured_diagnostics());
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(&screen, &Failure::of(Kind::Internal, &error)),
    };
    let result = runtime.block_on(dispatch(cli, &screen));
    // A read from the terminal or a lost connection may still be pending; nothing waits for it.
    runtime.shutdown_background();
    match result {
        Ok(()) if screen.has_lost_output() => Kind::Failed.exit_code().into(),
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&screen, &failure),
    }
}

async fn dispatch(cli: Cli, screen: &Screen) -> crate::error::Outcome {
    let flags = cli.flags;
    match cli.command {
        Command::Up(command) => command.run(flags, screen).await,
        Command::Down(command) => command.run(flags, screen).await,
        Command::Status(command) => command.run(flags, screen).await,
        Command::Plan(command) => command.run(flags, screen).await,
        Command::Outputs(command) => command.run(&flags, screen),
        Command::Graph(command) => command.run(flags, screen),
        Command::IamPolicy(command) => command.run(flags, screen),
        Command::Init(command) => command.run(&flags, screen),
        Command::Schema(command) => command.run(screen),
        Command::State(command) => command.run(flags, screen).await,
    }
}

fn end(screen: &Screen, failure: &Failure) -> ExitCode {
    screen.failure(failure);
    failure.kind.exit_code().into()
}

/// What would show requests and bodies, which hold the database password, and signatures.
const SECRETIVE: [&str; 6] = ["aws_runtime", "aws_sdk", "aws_sigv4", "aws_smithy", "h2", "hyper"];

/// Tracing goes to standard error. The wire is never traced, whatever `RUST_LOG` says.
fn trace(verbose: u8, is_coloured: bool) {
    use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
    use tracing_subscriber::prelude::*;
    let default = match verbose {
        0 => "off",
        1 => "drctl=debug",
        _ => "drctl=trace,aws_config=debug",
    };
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if verbose == 0 => filter,
        _ => default.to_owned(),
    };
    if filter == "off" {
        return;
    }
    // No directive is exact enough to get around this one.
    let open = filter_fn(|metadata| !SECRETIVE.iter().any(|start| metadata.target().starts_with(start)));
    // A trace that cannot be written, because the terminal is closed, is no reason to write that there, which would panic.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let lines = lines.with_ansi(is_coloured);
    tracing_subscriber::registry().with(lines.with_filter(EnvFilter::new(filter).and(open))).init();
}
