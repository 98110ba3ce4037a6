//! The end of `up` and `down`: what was done, each root cause once, what it cost, what there is now, and what to do next. Pure.
//!
//! What to do about an error follows from AWS's code, and from its words where one code has several causes: a clock that is off
//! (`x.clock`), a quota that is full, an instance that AWS has none of at the moment (`rds.instance.capacity`).

use serde_json::{Value, json};

use super::again::Again;
use super::failure::hint_lines;
use super::page::{Page, count, span};
use super::plan::{kept_resources, no_changes, to_unprotect, why_kept};
use crate::address::Address;
use crate::aws::Error;
use crate::changes::ChangeSet;
use crate::engine::executor::RunReport;
use crate::engine::scheduler::{Action, Operation};
use crate::reference::is_known;
use crate::state::{Entry, Records, Status};

/// How many skipped operations are named below one root cause.
const MOST_SKIPPED: usize = 10;

/// The code by which RDS says that a zone has no more instances of a class, in both spellings.
const NO_INSTANCE: [&str; 2] = ["InsufficientDBInstanceCapacity", "InsufficientDBInstanceCapacityFault"];

/// What follows what has to be put right on this side first.
const AGAIN: &str = "then run again; everything done is on record";

/// Everything there is to say at the end of a run.
#[derive(Clone, Copy, Debug)]
pub struct RunEnd<'a> {
    /// The command that ran: `up` or `down`.
    pub command: &'a str,
    /// The deployment.
    pub suffix: &'a str,
    /// What was to be done.
    pub set: &'a ChangeSet,
    /// What was done.
    pub report: &'a RunReport,
    /// What is on record now.
    pub records: &'a Records,
    /// The deployment's outputs; empty after `down`.
    pub outputs: &'a [(String, Value)],
    /// What happened and could not be written to the state.
    pub unrecorded: &'a [(Address, Entry)],
}

impl RunEnd<'_> {
    fn is_interrupted(&self) -> bool {
        !self.report.stopped.is_empty() || !self.report.not_started.is_empty()
    }

    fn word(&self) -> &'static str {
        if !self.report.failed.is_empty() || !self.unrecorded.is_empty() {
            "failed"
        } else if self.is_interrupted() {
            "interrupted"
        } else if !self.report.is_complete() || kept_resources(self.set).next().is_some() {
            "partial"
        } else {
            "complete"
        }
    }

    /// The outputs that may be shown: those of a run that left nothing open, and whose values are known.
    pub(super) fn known_outputs(&self) -> Vec<(String, Value)> {
        match self.report.failed.is_empty() && !self.is_interrupted() {
            true => self.outputs.iter().filter(|(_, value)| is_known(value)).cloned().collect(),
            false => Vec::new(),
        }
    }
}

/// The report as people read it, outputs excluded.
pub(super) fn text(end: &RunEnd<'_>, again: &Again, page: Page) -> String {
    let mut parts: Vec<String> =
        end.report.failed.iter().map(|(operation, error)| root_cause(end, operation, error, again, page)).collect();
    parts.extend([unrecorded(end, page), deferred(end, page), kept(end, page), left(end, page)]);
    parts.extend([summary(end, page), existing(end), next(end)]);
    parts.retain(|part| !part.is_empty());
    again.complete(&parts.join("\n\n"))
}

/// The report as the fields of the last event.
pub(super) fn document(end: &RunEnd<'_>, again: &Again) -> Value {
    let report = end.report;
    let named = |operation: &Operation| json!({ "address": operation.address, "action": operation.action });
    let failed: Vec<Value> = report
        .failed
        .iter()
        .map(|(operation, error)| {
            let mut cause = named(operation);
            cause["error"] = again.complete(&error.to_string()).into();
            if let Error::Refused(refusal) = error {
                cause["operation"] = refusal.operation.clone().into();
                cause["code"] = refusal.code.clone().into();
                cause["message"] = refusal.message.clone().into();
                cause["request_id"] = json!(refusal.request_id);
            }
            cause["hints"] = json!(hints(error, again));
            cause
        })
        .collect();
    let skipped: Vec<Value> = report
        .skipped
        .iter()
        .map(|(operation, because)| {
            json!({ "address": operation.address, "action": operation.action, "because": because })
        })
        .collect();
    let deferred: Vec<Value> = report
        .deferred
        .iter()
        .map(|(operation, until, reason)| json!({ "address": operation.address, "until": until, "reason": reason }))
        .collect();
    let unrecorded: Vec<Value> = end
        .unrecorded
        .iter()
        .map(|(address, entry)| json!({ "address": address, "entry": entry.word(), "outputs": entry.outputs() }))
        .collect();
    json!({
        "result": end.word(),
        "suffix": end.suffix,
        "milliseconds": u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
        "succeeded": report.succeeded.len(),
        "failed": failed,
        "skipped": skipped,
        "deferred": deferred,
        "stopped": report.stopped.iter().map(named).collect::<Vec<_>>(),
        "not_started": report.not_started.len(),
        "unrecorded": unrecorded,
        "swept": report.swept.iter().map(|operation| &operation.address).collect::<Vec<_>>(),
        "left": report.left.iter().map(|one| json!({ "address": one.address, "arn": one.arn })).collect::<Vec<_>>(),
        "unseen": report.unseen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "kept": kept_resources(end.set).map(|change| &change.address).collect::<Vec<_>>(),
        "on_record": end.records.len(),
        "outputs": end.known_outputs().into_iter().collect::<serde_json::Map<_, _>>(),
    })
}

/// The outputs, one a line: `name = "value"`.
pub(super) fn output_lines(outputs: &[(String, Value)]) -> String {
    outputs.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join("\n")
}

fn root_cause(end: &RunEnd<'_>, operation: &Operation, error: &Error, again: &Again, page: Page) -> String {
    let head = format!("{}: {} failed", operation.address, operation.action);
    let mut lines = vec![format!("{} {}", page.strong_bad("error:"), page.strong(&head))];
    match error {
        Error::Refused(refusal) => {
            lines.push(format!("  {} was refused: {}", refusal.operation, page.bad(&refusal.code)));
            lines.extend(refusal.message.lines().map(|line| format!("  {line}")));
            lines.extend(refusal.request_id.iter().map(|id| format!("  request {id}")));
        }
        error => lines.extend(error.to_string().lines().map(|line| format!("  {line}"))),
    }
    lines.extend(hints(error, again).iter().flat_map(|hint| hint_lines(hint, page)));
    let skipped: Vec<&Operation> = end
        .report
        .skipped
        .iter()
        .filter(|(_, because)| *because == operation.address)
        .map(|(operation, _)| operation)
        .collect();
    lines.extend(skipped_lines(&skipped, page));
    lines.join("\n")
}

fn skipped_lines(skipped: &[&Operation], page: Page) -> Vec<String> {
    if skipped.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("  skipped because of it: {}", count(skipped.len(), "operation"))];
    lines.extend(skipped.iter().take(MOST_SKIPPED).map(|operation| page.faint(&format!("    {operation}"))));
    if skipped.len() > MOST_SKIPPED {
        lines.push(page.faint(&format!("    and {} more", skipped.len() - MOST_SKIPPED)));
    }
    lines
}

/// What the reader can do about an error of AWS. The commands are completed here, before anything is coloured.
fn hints(error: &Error, again: &Again) -> Vec<String> {
    let hint = match error {
        Error::Refused(_) if error.blames_the_clock() => format!("check this machine's clock and set it, {AGAIN}"),
        Error::Refused(_) if error.is(&["RequestExpired"]) => {
            format!("the credentials are no longer valid: renew them, or set the clock, {AGAIN}")
        }
        Error::Refused(_) if error.is_without_credentials() => {
            format!("the credentials are no longer valid: renew them, {AGAIN}")
        }
        Error::Credentials { .. } => "check the credentials: aws sts get-caller-identity".to_owned(),
        Error::Refused(refusal) if error.is_denied() => {
            format!("the credentials in use need the permission {}", refusal.operation)
        }
        Error::Refused(refusal) if is_quota(&refusal.code) => {
            "a quota of the account is used up: ask AWS for a higher one, or remove what is not needed".to_owned()
        }
        Error::Refused(_) if error.is(&NO_INSTANCE) => {
            "AWS has no such instance free now: run again later, or choose another `instance_class`".to_owned()
        }
        Error::Deadline { .. } => "it may still get there: the next run goes on where this one stopped".to_owned(),
        Error::Unsent { .. } => {
            format!("check the network, and --endpoint-url or AWS_ENDPOINT_URL if you set one, {AGAIN}")
        }
        Error::Unreadable(_) => {
            "find out who answers in AWS's place: a proxy (HTTPS_PROXY), a captive portal, --endpoint-url".to_owned()
        }
        Error::NoAnswer { .. } => "the next run looks what became of the request before it goes on".to_owned(),
        Error::Taken(_) => "choose another suffix, or remove that object if nobody needs it".to_owned(),
        Error::Blocked(_) => "remove what is in the way, which drctl did not make, then run again".to_owned(),
        _ => return Vec::new(),
    };
    vec![again.complete(&hint)]
}

fn is_quota(code: &str) -> bool {
    ["LimitExceeded", "QuotaExceeded", "StorageExceeded", "TooMany"].iter().any(|part| code.contains(part))
        && !code.starts_with("TooManyRequests")
        && !code.starts_with("RequestLimit")
}

/// What is lost unless the reader keeps it: ids in full, one a line.
fn unrecorded(end: &RunEnd<'_>, page: Page) -> String {
    if end.unrecorded.is_empty() {
        return String::new();
    }
    let mut lines = vec![
        format!("{} {}", page.strong_bad("error:"), page.strong("the state could not be written; keep this text")),
        "  these happened and are not on record:".to_owned(),
    ];
    for (address, entry) in end.unrecorded {
        let outputs = entry.outputs().map(|outputs| format!(" {outputs}")).unwrap_or_default();
        lines.push(format!("    {address}: {}{outputs}", entry.word()));
    }
    lines.join("\n")
}

fn deferred(end: &RunEnd<'_>, page: Page) -> String {
    if end.report.deferred.is_empty() {
        return String::new();
    }
    let mut lines = vec![page.strong("deferred: AWS deletes these only later")];
    for (operation, until, reason) in &end.report.deferred {
        lines.push(format!("  {}: not before {until:.0}: {reason}", operation.address));
        let skipped = end.report.skipped.iter().filter(|(_, because)| *because == operation.address);
        let skipped: Vec<&Operation> = skipped.map(|(operation, _)| operation).collect();
        lines.extend(skipped_lines(&skipped, page).into_iter().map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

/// What the last look of `down` could not end: what says that it is of the deployment, and where nobody could look.
fn left(end: &RunEnd<'_>, page: Page) -> String {
    let RunReport { left, unseen, .. } = end.report;
    let mut lines = Vec::new();
    if !left.is_empty() {
        lines.push(page.strong("left: these say that they are of the deployment, and no record leads to them"));
        lines.extend(left.iter().map(|one| format!("  {} ({})", one.address, one.arn)));
        lines.push("AWS lists what is gone for some minutes: run `down` again later. What stays is found by the plan that made".into());
        lines.push(format!("it: drctl state rebuild --suffix {} --plan FILE", end.suffix));
    }
    if !unseen.is_empty() {
        lines.push(page.strong("not seen: nobody knows what is left here"));
        lines.extend(unseen.iter().map(|error| format!("  {error}")));
    }
    lines.join("\n")
}

fn kept(end: &RunEnd<'_>, page: Page) -> String {
    let kept: Vec<String> =
        kept_resources(end.set).map(|change| format!("  {}{}", change.address, why_kept(change))).collect();
    if kept.is_empty() {
        return String::new();
    }
    let mut lines = vec![page.strong("kept, with what it needs")];
    lines.extend(kept);
    if let Some(command) = to_unprotect(end.suffix, end.set) {
        lines.push(format!("to delete it too, end its protection, then run `down` again:\n  {command}"));
    }
    lines.join("\n")
}

fn summary(end: &RunEnd<'_>, page: Page) -> String {
    let report = end.report;
    if end.set.is_empty() && report.swept.is_empty() && report.is_complete() {
        return match (end.command, kept_resources(end.set).next()) {
            ("down", Some(_)) => "nothing to destroy but what is protected".to_owned(),
            ("down", None) => format!("nothing to destroy: `{}` has no resources", end.suffix),
            _ => page.good(&no_changes(end.suffix, end.set)),
        };
    }
    let done: Vec<String> = [
        (Action::Create, "created"),
        (Action::Adopt, "adopted"),
        (Action::Update, "updated"),
        (Action::Delete, "deleted"),
    ]
    .into_iter()
    .map(|(action, word)| (report.succeeded.iter().filter(|done| done.action == action).count(), word))
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{number} {word}"))
    .collect();
    let done = if done.is_empty() { "nothing done".to_owned() } else { done.join(", ") };
    let swept = match report.swept.len() {
        0 => String::new(),
        number => format!(", {number} more that were still there"),
    };
    let open: String = [
        (report.failed.len(), "failed"),
        (report.skipped.len(), "skipped"),
        (report.deferred.len(), "deferred"),
        (report.stopped.len(), "cut short"),
        (report.not_started.len(), "not started"),
        (report.left.len(), "left"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!(", {number} {word}"))
    .collect();
    let text = format!("{}: {done}{swept}{open} in {}", end.word(), span(report.elapsed));
    match end.word() {
        "complete" => page.good(&text),
        "failed" => page.bad(&text),
        _ => page.warn(&text),
    }
}

/// What there is after a run that did not do all it set out to do.
fn existing(end: &RunEnd<'_>) -> String {
    if end.word() == "complete" {
        return String::new();
    }
    let number = |wanted: fn(&Status) -> bool| end.records.values().filter(|record| wanted(&record.status)).count();
    let parts: String = [
        (number(Status::is_in_flight), "in flight"),
        (number(|status| matches!(status, Status::Deferred { .. })), "deferred"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!(", {number} {word}"))
    .collect();
    let ready = number(|status| *status == Status::Ready);
    format!("on record now: {ready} ready{parts}")
}

/// The command to run next.
fn next(end: &RunEnd<'_>) -> String {
    let RunEnd { command, suffix, .. } = end;
    let other = match *command {
        "up" => format!("or remove what there is:\n  drctl down --suffix {suffix}"),
        _ => String::new(),
    };
    let again = format!("  drctl {command} --suffix {suffix}");
    match end.word() {
        "complete" => String::new(),
        "partial" if end.report.is_complete() => String::new(),
        "partial" => format!("nothing is broken; run this again later to finish:\n{again}"),
        _ if !end.unrecorded.is_empty() => format!(
            "make the state writable first; then running again is safe, and finds by tags and names what is not on record:\n{again}"
        ),
        "interrupted" => format!("the state is saved; running again is safe and goes on from here:\n{again}\n{other}")
            .trim_end()
            .to_owned(),
        _ => format!("running again is safe and goes on from here:\n{again}\n{other}").trim_end().to_owned(),
    }
}

#[cfg(test)]
#[path = "report/tests.rs"]
mod tests;
