//! The changes, before they are made: what, why by field, how many, and how long it will take. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::page::{Page, count, span};
use super::{Estimate, twins, value};
use crate::address::{Address, Scope};
use crate::changes::{Action, Change, ChangeSet, Difference, Drift, Twin};
use crate::shell::quoted;
use crate::topology::Stack;

/// How many there are of each sort in each scope, the scopes in the order of [`scope_order`].
pub(super) type ByScope<'a, T> = BTreeMap<(bool, &'a str), BTreeMap<T, usize>>;

/// How many operations of the longest chain are shown.
const MOST_STEPS: usize = 8;

/// The changes as people read them, or the line that says that there are none.
pub(super) fn text(suffix: &str, set: &ChangeSet, estimate: &Estimate, page: Page) -> String {
    let unasked: Vec<Twin> = set.twins.iter().filter(|twin| !set.removes(twin)).cloned().collect();
    let mut parts = vec![drift(set, page), twins::text(suffix, &unasked, page)];
    if set.is_empty() {
        parts.push(no_changes(suffix, set));
    } else {
        parts.extend([changes(suffix, set, page), kept(set), table(set), summary(set), duration(estimate, page)]);
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

/// The line of a run that has nothing to do.
pub(super) fn no_changes(suffix: &str, set: &ChangeSet) -> String {
    match set.changes.len() {
        0 => format!("no changes: `{suffix}` has no resources"),
        1 => format!("no changes: 1 resource of `{suffix}` is as the plan says"),
        number => format!("no changes: {number} resources of `{suffix}` are as the plan says"),
    }
}

/// The changes as one document.
pub(super) fn document(suffix: &str, set: &ChangeSet, estimate: &Estimate) -> Value {
    let losing = losing(set);
    let changes: Vec<Value> = in_order(set.changing())
        .into_iter()
        .map(|change| {
            let differences: Vec<Difference> = change.differences.iter().map(value::shown_difference).collect();
            json!({
                "address": change.address,
                "stack": change.stack,
                "action": change.action,
                "differences": differences,
                "loses_data": losing.contains(&change.address),
                "expected_milliseconds": milliseconds(change.expected),
            })
        })
        .collect();
    let drift: Vec<Value> = set
        .drifted()
        .map(|change| {
            let fields = drifted_fields(&change.drift);
            let kind = if fields.is_some() { "changed" } else { "missing" };
            json!({ "address": change.address, "stack": change.stack, "drift": kind, "fields": fields.unwrap_or_default() })
        })
        .collect();
    let counts: serde_json::Map<String, Value> = Action::CHANGING
        .iter()
        .chain(&[Action::None])
        .map(|action| (action.to_string(), set.count(*action).into()))
        .collect();
    let path: Vec<Value> = estimate
        .critical_path
        .iter()
        .map(|operation| {
            let expected = milliseconds(operation.expected);
            json!({ "address": operation.address, "action": operation.action, "expected_milliseconds": expected })
        })
        .collect();
    json!({
        "suffix": suffix,
        "counts": counts,
        "changes": changes,
        "drift": drift,
        "kept": kept_resources(set).map(|change| &change.address).collect::<Vec<_>>(),
        "twins": twins::documents(&set.twins),
        "estimate": { "milliseconds": milliseconds(estimate.duration), "critical_path": path },
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The fields that somebody else changed, free of secrets; nothing when the object is gone.
pub(super) fn drifted_fields(drift: &Drift) -> Option<Vec<Difference>> {
    match drift {
        Drift::Changed { fields } => Some(fields.iter().map(value::shown_difference).collect()),
        Drift::Missing | Drift::None => None,
    }
}

/// The place of a stack in the order people read them.
pub(super) fn stack_order(stack: &str) -> usize {
    Stack::ALL.iter().position(|known| known.as_str() == stack).unwrap_or(Stack::ALL.len())
}

/// Regions first, then what has none.
pub(super) fn scope_order(scope: &Scope) -> (bool, &str) {
    (scope.is_global(), scope.as_str())
}

fn in_order<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<&'a Change> {
    let mut changes: Vec<_> = changes.collect();
    changes.sort_by_key(|change| (stack_order(&change.stack), scope_order(change.address.scope()), &change.address));
    changes
}

fn drift(set: &ChangeSet, page: Page) -> String {
    let drifted = in_order(set.drifted());
    if drifted.is_empty() {
        return String::new();
    }
    let mut lines = vec![page.strong("changed outside of drctl")];
    for change in drifted {
        lines.push(format!("  {}", change.address));
        lines.extend(drift_lines(&change.drift, page));
    }
    lines.join("\n")
}

/// What somebody else did to one resource.
pub(super) fn drift_lines(drift: &Drift, page: Page) -> Vec<String> {
    match drift {
        Drift::None => Vec::new(),
        Drift::Missing => vec![format!("      {}", page.bad("missing: AWS does not show what is on record"))],
        Drift::Changed { fields } => fields.iter().flat_map(|field| indented(field, page)).collect(),
    }
}

fn indented(difference: &Difference, page: Page) -> Vec<String> {
    let inner = Page { width: page.width.saturating_sub(6), ..page };
    value::lines(difference, inner).into_iter().map(|line| format!("      {line}")).collect()
}

fn changes(suffix: &str, set: &ChangeSet, page: Page) -> String {
    let losing = losing(set);
    let mut lines = vec![page.strong(&format!("changes to `{suffix}`"))];
    let mut group = None;
    for change in in_order(set.changing()) {
        let own = (change.stack.as_str(), change.address.scope());
        if group != Some(own) {
            group = Some(own);
            lines.push(format!("\n  {}", page.strong(&format!("{} {}", own.0, own.1))));
        }
        let mark = if losing.contains(&change.address) { page.strong_bad(" (loses data)") } else { String::new() };
        lines.push(format!("  {} {}{mark}", sign(change.action, page), change.address));
        lines.extend(change.differences.iter().flat_map(|difference| indented(difference, page)));
    }
    lines.join("\n")
}

/// What loses data. `down` believes the record, since it need not have seen an object to delete it.
fn losing(set: &ChangeSet) -> BTreeSet<&Address> {
    let on_record = set.changing().filter(|change| {
        let bearing = change.record.as_ref().is_some_and(|record| record.data_bearing);
        bearing && change.desired.is_none() && change.action == Action::Delete
    });
    set.losing_data().chain(on_record).map(|change| &change.address).collect()
}

fn sign(action: Action, page: Page) -> String {
    let symbol = action.symbol();
    match action {
        Action::None => symbol.to_owned(),
        Action::Create => page.good(symbol),
        Action::Update => page.warn(symbol),
        Action::Replace | Action::Delete => page.bad(symbol),
        Action::Adopt => page.note(symbol),
    }
}

/// What `down` leaves: only resources that nobody desires can be kept although nothing is done to them.
pub(super) fn kept_resources(set: &ChangeSet) -> impl Iterator<Item = &Change> {
    set.changes.values().filter(|change| change.action == Action::None && change.desired.is_none())
}

fn kept(set: &ChangeSet) -> String {
    let kept: Vec<String> =
        kept_resources(set).map(|change| format!("  {}{}", change.address, why_kept(change))).collect();
    if kept.is_empty() { String::new() } else { format!("kept, with what it needs\n{}", kept.join("\n")) }
}

/// Why a resource is kept.
pub(super) fn why_kept(change: &Change) -> &'static str {
    match change.record.as_ref().is_some_and(|record| record.is_protected()) {
        true => " (protected)",
        false => "",
    }
}

/// The command that ends the protection of all that is kept, if anything is.
pub(super) fn to_unprotect(suffix: &str, set: &ChangeSet) -> Option<String> {
    let protected = kept_resources(set).filter(|change| !why_kept(change).is_empty());
    let kinds: BTreeSet<&str> = protected.map(|change| change.address.kind()).collect();
    let patterns: Vec<String> = kinds.into_iter().map(|kind| quoted(&format!("*/{kind}/*"))).collect();
    (!patterns.is_empty()).then(|| format!("drctl state unprotect --suffix {suffix} {}", patterns.join(" ")))
}

/// The counts by stack, scope and action.
fn table(set: &ChangeSet) -> String {
    let mut counts: BTreeMap<(usize, &str), ByScope<'_, Action>> = BTreeMap::new();
    let mut scopes = BTreeSet::new();
    for change in set.changing() {
        let scope = scope_order(change.address.scope());
        scopes.insert(scope);
        let stack = counts.entry((stack_order(&change.stack), &change.stack)).or_default();
        *stack.entry(scope).or_default().entry(change.action).or_default() += 1;
    }
    let cell = |counts: Option<&BTreeMap<Action, usize>>| {
        let signed = |action: &Action| Some(format!("{}{}", action.symbol(), counts?.get(action)?));
        Action::CHANGING.iter().filter_map(signed).collect::<Vec<_>>().join(" ")
    };
    let mut table = plain_table();
    table.set_header(std::iter::once("").chain(scopes.iter().map(|(_, scope)| *scope)));
    for ((_, stack), by_scope) in &counts {
        let cells = scopes.iter().map(|scope| cell(by_scope.get(scope)));
        table.add_row(std::iter::once((*stack).to_owned()).chain(cells));
    }
    finished(table)
}

/// A table without lines.
pub(super) fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

/// The text of a table whose first column holds names and whose others hold numbers.
pub(super) fn finished(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        let alignment = if column.index == 0 { CellAlignment::Left } else { CellAlignment::Right };
        column.set_cell_alignment(alignment);
    }
    trimmed(table)
}

/// The text of a table without spaces around it.
pub(super) fn trimmed(mut table: Table) -> String {
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table.trim_fmt()
}

fn summary(set: &ChangeSet) -> String {
    let parts: Vec<String> = Action::CHANGING
        .iter()
        .map(|action| (action, set.count(*action)))
        .filter(|(_, number)| *number > 0)
        .map(|(action, number)| format!("{number} to {action}"))
        .collect();
    let unchanged = set.count(Action::None) - kept_resources(set).count();
    match unchanged {
        0 => parts.join(", "),
        _ => format!("{}; {unchanged} unchanged", parts.join(", ")),
    }
}

/// The estimate, with the chain of operations that decides it.
fn duration(estimate: &Estimate, page: Page) -> String {
    let mut lines = vec![format!("expected to take {}, by the longest chain", span(estimate.duration))];
    let mut longest: Vec<Duration> = estimate.critical_path.iter().map(|operation| operation.expected).collect();
    longest.sort_unstable_by(|a, b| b.cmp(a));
    let least = longest.get(MOST_STEPS - 1).copied().unwrap_or_default();
    let shown: Vec<_> =
        estimate.critical_path.iter().filter(|operation| operation.expected >= least).take(MOST_STEPS).collect();
    let left = estimate.critical_path.len() - shown.len();
    lines.extend(shown.iter().map(|operation| format!("  {operation} {}", page.faint(&span(operation.expected)))));
    if left > 0 {
        lines.push(page.faint(&format!("  and {} between them", count(left, "shorter one"))));
    }
    lines.join("\n")
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
