//! What the user sees; the only code that prints.
//!
//! Commands hand their results over as data; each file here turns one kind of data into text, by pure functions that take the
//! width and the colour from outside. [`Screen`] alone knows the two streams.
//!
//! Invariants:
//! 1. Results go to standard output, progress and diagnostics to standard error.
//! 2. Nothing is redrawn where there is no terminal; each stream is judged by itself. Questions are asked on the
//!    controlling terminal, wherever the streams lead, and what was typed before a question does not answer it.
//! 3. A reader that goes away is no fault: nothing panics, and the run goes on.
//! 4. No secret is shown, not even one that somebody put where drift shows it.

mod again;
mod failure;
#[cfg(test)]
mod fixtures;
mod json;
mod lines;
mod live;
mod page;
mod plan;
mod progress;
mod prompt;
mod report;
mod status;
mod twins;
mod value;

use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use console::Term;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::changes::{ChangeSet, Condition, Twin};
use crate::engine::event::{self, Event, Events};
use crate::engine::scheduler::Operation;
use crate::error::{Failure, Kind, Outcome};
use crate::plan::Problems;
use crate::state::{Deployment, Records};

pub use again::Again;
use lines::{HEARTBEAT, Lines};
use live::Live;
use page::Page;
pub use page::span;
use progress::Progress;
use prompt::{Asker, is_yes};
pub use report::RunEnd;

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

/// What the command line says about the screen.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// For people or programs.
    pub mode: OutputMode,
    /// When to use colour.
    pub color: ColorChoice,
    /// Whether the command is a run, whose JSON is a stream of events; a query's is one document.
    pub is_run: bool,
    /// Whether traces are written between the lines of progress, so that nothing can be redrawn.
    pub is_traced: bool,
    /// What the commands that are told to people need besides.
    pub again: Again,
}

/// How long changes are expected to take, and the chain of operations that decides it.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The expected duration of the whole run.
    pub duration: Duration,
    /// The longest chain.
    pub critical_path: Vec<Operation>,
}

/// How wide a page is whose reader is no terminal.
const LOG_WIDTH: usize = 120;

/// How often the live view is redrawn.
const REDRAW: Duration = Duration::from_millis(100);

/// Where everything is shown.
#[derive(Clone, Debug)]
pub struct Screen {
    settings: Settings,
    output: Page,
    diagnostics: Page,
    is_live: bool,
}

impl Screen {
    /// The two streams of this process.
    pub fn new(settings: Settings) -> Self {
        let (output, diagnostics) = (Term::stdout(), Term::stderr());
        let (is_traced, color) = (settings.is_traced, settings.color);
        let is_smart = std::env::var("TERM").is_ok_and(|term| term != "dumb");
        Self {
            settings,
            output: page(&output, std::io::stdout().is_terminal(), color),
            diagnostics: page(&diagnostics, std::io::stderr().is_terminal(), color),
            is_live: std::io::stderr().is_terminal() && is_smart && !is_traced,
        }
    }

    /// Tells whether diagnostics are coloured, which traces are too.
    pub fn has_coloured_diagnostics(&self) -> bool {
        self.diagnostics.color
    }

    fn complete(&self, text: &str) -> String {
        self.settings.again.complete(text)
    }

    fn is_json(&self) -> bool {
        self.settings.mode == OutputMode::Json
    }

    /// Tells whether a result could not be written, for a reason other than that its reader went away.
    pub fn has_lost_output(&self) -> bool {
        LOST_OUTPUT.load(Ordering::Relaxed)
    }

    /// Shows why a command ends. A silent failure has been shown already.
    pub fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let mut failure = failure.clone();
        let told = std::iter::once(&mut failure.message).chain(&mut failure.causes).chain(&mut failure.hints);
        told.for_each(|text| *text = self.complete(text));
        match self.is_json() {
            true => self.event("error", failure::document(&failure)),
            false => tell(&failure::text(&failure, self.diagnostics)),
        }
    }

    /// Shows everything that is wrong with a plan, and returns the failure to end with.
    pub fn problems(&self, problems: &Problems) -> Failure {
        let failure = Failure::new(Kind::Usage, failure::problems_summary(problems));
        if self.is_json() {
            return problems.iter().fold(failure, |failure, problem| {
                failure.because(format!("{}:{}:{}: {problem}", problems.name(), problem.line, problem.column))
            });
        }
        tell(&failure::problems(problems, self.diagnostics));
        tell("");
        failure.hint("a complete plan with comments: drctl init plans/example.toml")
    }

    /// Tells whether somebody can be asked: whether this process is in the foreground of a controlling terminal,
    /// wherever the streams lead.
    pub fn can_ask(&self) -> bool {
        matches!(Asker::find(), Asker::Person(_))
    }

    /// Asks a yes-or-no question. Where there is no terminal, the answer is yes.
    ///
    /// # Errors
    /// When somebody could be asked if this process were in the foreground.
    pub async fn confirm(&self, question: &str) -> Outcome<bool> {
        match Asker::find() {
            Asker::Person(terminal) => {
                Ok(terminal.ask(format!("{question} [y/N]")).await.is_some_and(|answer| is_yes(&answer)))
            }
            Asker::Background => {
                Err(Failure::new(Kind::Usage, format!("nobody can be asked from the background: {question}")).hint(
                    "bring the run to the foreground of its terminal, or go ahead without the question: add --yes",
                ))
            }
            Asker::Nobody => Ok(true),
        }
    }

    /// Asks for the suffix to be typed. Where nobody can be asked, the answer is no.
    pub async fn confirm_typed(&self, suffix: &str) -> bool {
        let Asker::Person(terminal) = Asker::find() else { return false };
        let question = format!("This destroys `{suffix}`. To go ahead, type its name:");
        terminal.ask(question).await.is_some_and(|answer| answer == suffix)
    }

    /// Shows a line about what the command did.
    pub fn note(&self, text: &str) {
        tell(&self.complete(text));
    }

    /// Prints a text that is the result.
    pub fn text(&self, text: &str) {
        print(text.trim_end_matches('\n'));
    }

    /// Prints a document that is the result, whatever the mode.
    pub fn document(&self, value: &Value) {
        print(&format!("{value:#}"));
    }

    /// Prints one value: plain for people, as JSON for programs.
    pub fn value(&self, value: &Value) {
        match value {
            Value::String(text) if !self.is_json() => print(text),
            value => print(&value.to_string()),
        }
    }

    /// Prints the outputs of a deployment.
    pub fn outputs(&self, outputs: &[(String, Value)]) {
        match self.is_json() {
            true => {
                let fields: serde_json::Map<_, _> = outputs.iter().cloned().collect();
                self.document(&json::document(json!({ "outputs": fields })));
            }
            false => print_some(&report::output_lines(outputs)),
        }
    }

    /// Does the work and shows the events it tells of meanwhile. When it returns, the screen is at rest.
    pub async fn watch<T>(&self, work: impl AsyncFnOnce(Events) -> T) -> T {
        let (events, mut receiver) = Events::channel();
        let mut view = self.view();
        let mut work = pin!(work(events));
        let mut ticks = interval(REDRAW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let result = loop {
            tokio::select! {
                // What was told is shown before anything that follows from the end of the work.
                biased;
                Some(event) = receiver.recv() => view.on(&self.completed(event)),
                result = &mut work => break result,
                _ = ticks.tick() => view.tick(),
            }
        };
        while let Ok(event) = receiver.try_recv() {
            view.on(&self.completed(event));
        }
        view.end();
        result
    }

    fn view(&self) -> View {
        match (self.is_json() && self.settings.is_run, self.is_live) {
            (true, _) => View::Json { progress: Progress::default(), last: Instant::now() },
            (false, true) => View::Live(Live::new(self.diagnostics)),
            (false, false) => View::Lines(Lines::new(self.diagnostics, Instant::now())),
        }
    }

    /// Shows the changes that `up` or `down` is about to make.
    pub fn changes(&self, suffix: &str, set: &ChangeSet, estimate: &Estimate) {
        match self.is_json() {
            true => self.event("changes", plan::document(suffix, set, estimate)),
            false => tell(&format!("{}\n", self.complete(&plan::text(suffix, set, estimate, self.diagnostics)))),
        }
    }

    /// Prints the changes as the result of `plan`.
    pub fn plan(&self, suffix: &str, set: &ChangeSet, estimate: &Estimate) {
        match self.is_json() {
            true => self.document(&json::document(plan::document(suffix, set, estimate))),
            false => print(&self.complete(&plan::text(suffix, set, estimate, self.output))),
        }
    }

    /// Shows how `up` or `down` ended, and prints the outputs.
    pub fn report(&self, end: &RunEnd<'_>) {
        if self.is_json() {
            return self.event("finished", report::document(end, &self.settings.again));
        }
        let outputs = report::output_lines(&end.known_outputs());
        let gap = if outputs.is_empty() { "" } else { "\n" };
        let text = report::text(end, &self.settings.again, self.diagnostics);
        tell(&format!("{text}{gap}"));
        print_some(&outputs);
    }

    /// Prints how a deployment is doing.
    pub fn status(
        &self,
        deployment: &Deployment,
        conditions: &[Condition],
        twins: &[Twin],
        outputs: &[(String, Value)],
    ) {
        match self.is_json() {
            true => self.document(&json::document(status::document(deployment, conditions, twins, outputs))),
            false => print(&self.complete(&status::text(deployment, conditions, twins, outputs, self.output))),
        }
    }

    /// Prints the list of all records.
    pub fn records(&self, records: &Records) {
        match self.is_json() {
            true => self.document(&json::document(status::records_document(records))),
            false => print_some(&status::records(records)),
        }
    }

    /// The event with the commands completed that its error tells people to run.
    fn completed(&self, mut event: Event) -> Event {
        if let Event::Ended { outcome: event::Outcome::Failed { error }, .. } = &mut event {
            *error = self.complete(error);
        }
        event
    }

    fn event(&self, name: &str, fields: Value) {
        print(&json::event(name, fields, Timestamp::now()).to_string());
    }
}

/// Shows a run while it goes on.
enum View {
    Live(Live),
    Lines(Lines),
    Json { progress: Progress, last: Instant },
}

impl View {
    fn on(&mut self, event: &Event) {
        let now = Instant::now();
        match self {
            Self::Live(live) => live.on(event, now),
            Self::Lines(lines) => lines.on(event, now).iter().for_each(|line| tell(line)),
            Self::Json { progress, .. } => {
                progress.on(event, now);
                print(&json::happened(event, Timestamp::now()).to_string());
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        match self {
            Self::Live(live) => live.draw(now),
            Self::Lines(lines) => lines.heartbeat(now).iter().for_each(|line| tell(line)),
            Self::Json { progress, last } if now - *last >= HEARTBEAT => {
                *last = now;
                print(&json::heartbeat(progress, now, Timestamp::now()).to_string());
            }
            Self::Json { .. } => {}
        }
    }

    fn end(&self) {
        if let Self::Live(live) = self {
            live.end();
        }
    }
}

fn page(term: &Term, is_terminal: bool, choice: ColorChoice) -> Page {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let color = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => is_terminal && !no_color && std::env::var("TERM").is_ok_and(|term| term != "dumb"),
    };
    let width = if is_terminal { usize::from(term.size().1) } else { LOG_WIDTH };
    Page { width, color }
}

/// Whether a result could not be written; standard output is one per process, and so is this.
static LOST_OUTPUT: AtomicBool = AtomicBool::new(false);

/// Writes a result. A reader that went away has seen what it wanted.
fn print(text: &str) {
    let mut stream = std::io::stdout().lock();
    match writeln!(stream, "{text}").and_then(|()| stream.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            LOST_OUTPUT.store(true, Ordering::Relaxed);
            tell(&format!("error: standard output cannot be written: {error}"));
        }
        _ => {}
    }
}

fn print_some(text: &str) {
    if !text.is_empty() {
        print(text);
    }
}

/// Writes progress or a diagnostic. There is nowhere left to say that this failed.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
