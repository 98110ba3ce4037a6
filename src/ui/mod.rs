//! What the user sees; the only code that prints.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::address::Address;
use crate::changes::{ChangeSet, Condition};
use crate::engine::event::{Event, Events};
use crate::engine::executor::RunReport;
use crate::engine::scheduler::Operation;
use crate::error::{Failure, Kind};
use crate::plan::Problems;
use crate::state::{Deployment, Entry, Records};

/// How results and progress are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputMode {
    /// For people
    #[default]
    Human,
    /// For programs: one document for queries, one event per line for `up` and `down`
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How long changes are expected to take, and the chain of operations that decides it.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The expected duration of the whole run.
    pub duration: Duration,
    /// The longest chain.
    pub critical_path: Vec<Operation>,
}

/// Where everything is shown.
#[derive(Debug)]
pub struct Screen {
    mode: OutputMode,
    #[allow(dead_code)]
    color: ColorChoice,
}

/// Shows events while a run goes on.
pub struct Watcher(tokio::task::JoinHandle<()>);

impl Watcher {
    /// Waits until all events are shown.
    pub async fn finish(self) {
        let _ = self.0.await;
    }
}

#[allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]
impl Screen {
    pub fn new(mode: OutputMode, color: ColorChoice) -> Self {
        Self { mode, color }
    }

    pub fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        eprintln!("error: {}", failure.message);
        for cause in &failure.causes {
            eprintln!("  because: {cause}");
        }
        for hint in &failure.hints {
            eprintln!("  hint: {hint}");
        }
    }

    pub fn problems(&self, problems: &Problems) -> Failure {
        Failure::new(Kind::Usage, problems)
    }

    pub fn can_ask(&self) -> bool {
        false
    }

    pub fn confirm(&self, _question: &str) -> bool {
        true
    }

    pub fn confirm_typed(&self, _suffix: &str) -> bool {
        false
    }

    pub fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    pub fn text(&self, text: &str) {
        println!("{text}");
    }

    pub fn document(&self, value: &Value) {
        println!("{value:#}");
    }

    pub fn value(&self, value: &Value) {
        match value {
            Value::String(text) => println!("{text}"),
            value => println!("{value}"),
        }
    }

    pub fn outputs(&self, outputs: &[(String, Value)]) {
        for (name, value) in outputs {
            println!("{name} = {value}");
        }
    }

    pub fn watch(&self) -> (Events, Watcher) {
        let (events, mut receiver): (_, UnboundedReceiver<Event>) = Events::channel();
        (
            events,
            Watcher(tokio::spawn(async move {
                while let Some(event) = receiver.recv().await {
                    eprintln!("{}", serde_json::to_string(&event).unwrap_or_default());
                }
            })),
        )
    }

    pub fn changes(&self, _suffix: &str, set: &ChangeSet, estimate: &Estimate) {
        for change in set.changing() {
            eprintln!("{} {}", change.action.symbol(), change.address);
            for difference in &change.differences {
                eprintln!("    {} {:?} -> {:?}", difference.field, difference.from, difference.to);
            }
        }
        eprintln!("estimate {:?}", estimate.duration);
    }

    pub fn plan(&self, suffix: &str, set: &ChangeSet, estimate: &Estimate) {
        self.changes(suffix, set, estimate);
    }

    pub fn up_report(
        &self,
        _suffix: &str,
        set: &ChangeSet,
        report: &RunReport,
        outputs: &[(String, Value)],
        _unrecorded: &[(Address, Entry)],
    ) {
        if set.is_empty() {
            eprintln!("no changes");
        }
        for (operation, error) in &report.failed {
            eprintln!("failed: {operation}: {error}");
        }
        eprintln!("done {} in {:?} (skipped {})", report.succeeded.len(), report.elapsed, report.skipped.len());
        self.outputs(outputs);
    }

    pub fn down_report(&self, _suffix: &str, _set: &ChangeSet, report: &RunReport, _unrecorded: &[(Address, Entry)]) {
        for (operation, error) in &report.failed {
            eprintln!("failed: {operation}: {error}");
        }
        eprintln!("done {} in {:?} (skipped {})", report.succeeded.len(), report.elapsed, report.skipped.len());
    }

    pub fn status(&self, _deployment: &Deployment, conditions: &[Condition], outputs: &[(String, Value)]) {
        for condition in conditions {
            println!("{} healthy={} {:?}", condition.address, condition.is_healthy(), condition.drift);
        }
        self.outputs(outputs);
    }

    pub fn records(&self, records: &Records) {
        for (address, record) in records {
            println!("{address} {}", record.status.word());
        }
        let _ = self.mode;
    }
}
