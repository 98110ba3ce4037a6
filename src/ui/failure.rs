//! How failures read: message, causes, hints, in that order; commands to copy stand alone on a line. Pure.

use std::fmt;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use serde_json::{Value, json};

use super::again::command_at;
use super::page::{Page, count};
use crate::error::{Failure, Kind};
use crate::plan::{Problem, Problems};

/// A failure as people read it.
pub(super) fn text(failure: &Failure, page: Page) -> String {
    let mut lines = vec![format!("{} {}", page.strong_bad("error:"), page.strong(&failure.message))];
    for cause in &failure.causes {
        let mut parts = cause.lines();
        lines.push(format!("  because: {}", parts.next().unwrap_or_default()));
        lines.extend(parts.map(|part| format!("    {part}")));
    }
    lines.extend(failure.hints.iter().flat_map(|hint| hint_lines(hint, page)));
    lines.join("\n")
}

/// The lines of one hint. A command at its end gets a line of its own, so that it can be copied whole.
pub(super) fn hint_lines(hint: &str, page: Page) -> Vec<String> {
    match command_at(hint) {
        Some(at) => vec![format!("  hint: {}", hint[..at].trim_end()), format!("    {}", page.note(&hint[at..]))],
        None => vec![format!("  hint: {hint}")],
    }
}

/// A failure as the fields of an event.
pub(super) fn document(failure: &Failure) -> Value {
    json!({
        "kind": word(failure.kind),
        "exit_code": failure.kind.exit_code(),
        "message": failure.message,
        "causes": failure.causes,
        "hints": failure.hints,
    })
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Failed => "failed",
        Kind::Changes => "changes",
        Kind::Denied => "denied",
        Kind::Locked => "locked",
        Kind::Partial => "partial",
        Kind::Preflight => "preflight",
        Kind::Timeout => "timeout",
        Kind::Usage => "usage",
        Kind::Internal => "internal",
        Kind::Interrupted(_) => "interrupted",
    }
}

/// What is wrong with a plan, in one sentence.
pub(super) fn problems_summary(problems: &Problems) -> String {
    format!("{} has {}; nothing was called", problems.name(), count(problems.count(), "problem"))
}

/// Every problem of a plan, each with the place in the file.
pub(super) fn problems(problems: &Problems, page: Page) -> String {
    let theme = if page.color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(page.width)
        .with_context_lines(1)
        .with_links(false)
        .with_wrap_lines(true);
    let mut text = String::new();
    for problem in problems {
        let shown = Shown { problem, problems };
        handler.render_report(&mut text, &shown).expect("writing to a string cannot fail");
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_start_matches('\n').to_owned()
}

/// One problem with the file it is in.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    problems: &'a Problems,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem.path.is_empty() {
            true => f.write_str(&self.problem.message),
            false => write!(f, "{}: {}", self.problem.path, self.problem.message),
        }
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.problems.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(None, self.problem.span.clone()))))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
}

#[cfg(test)]
#[path = "failure/tests.rs"]
mod tests;
