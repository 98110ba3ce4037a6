//! How a deployment is doing: counts by stack and scope, then each resource that is not well, then the outputs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::page::{Page, count};
use super::plan::{ByScope, drift_lines, drifted_fields, finished, plain_table, scope_order, stack_order, trimmed};
use super::report::output_lines;
use super::twins;
use crate::changes::{Condition, Drift, Twin};
use crate::state::{Deployment, Records, Status};

/// How one resource is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Healthy,
    Drifted,
    Missing,
    InFlight,
    Deferred,
}

impl Health {
    const ALL: [Self; 5] = [Self::Healthy, Self::Drifted, Self::Missing, Self::InFlight, Self::Deferred];

    fn of(condition: &Condition) -> Self {
        match &condition.record.status {
            Status::Deferred { .. } => Self::Deferred,
            status if status.is_in_flight() => Self::InFlight,
            _ if !condition.exists || condition.drift == Drift::Missing => Self::Missing,
            _ if !condition.drift.is_none() => Self::Drifted,
            _ => Self::Healthy,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Drifted => "drifted",
            Self::Missing => "missing",
            Self::InFlight => "in flight",
            Self::Deferred => "deferred",
        }
    }
}

/// The condition of a deployment as people read it.
pub(super) fn text(
    deployment: &Deployment,
    conditions: &[Condition],
    twins: &[Twin],
    outputs: &[(String, Value)],
    page: Page,
) -> String {
    let head = format!(
        "{} in account {} ({})",
        page.strong(&deployment.suffix),
        deployment.account,
        deployment.regions.join(", ")
    );
    let mut parts = vec![head, table(conditions), verdict(conditions, page)];
    parts.extend([drifted(conditions, page), missing(conditions, page), in_flight(conditions, page)]);
    parts.extend([deferred(conditions, page), twins::text(&deployment.suffix, twins, page), remarks(conditions, page)]);
    parts.push(output_lines(outputs));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

/// The condition of a deployment as one document.
pub(super) fn document(
    deployment: &Deployment,
    conditions: &[Condition],
    twins: &[Twin],
    outputs: &[(String, Value)],
) -> Value {
    let resources: Vec<Value> = conditions
        .iter()
        .map(|condition| {
            let record = &condition.record;
            let mut resource = json!({
                "address": condition.address,
                "stack": record.stack,
                "health": Health::of(condition).as_str().replace(' ', "_"),
                "status": record.status.word(),
                "since": record.updated_at,
            });
            if let Some(fields) = drifted_fields(&condition.drift) {
                resource["drift"] = json!(fields);
            }
            if let Some(remark) = &condition.remark {
                resource["remark"] = json!(remark);
            }
            if let Some(error) = &record.last_error {
                resource["last_error"] = json!(error);
            }
            if let Status::Deferred { until, reason } = &record.status {
                resource["until"] = json!(until);
                resource["reason"] = json!(reason);
            }
            resource
        })
        .collect();
    let counts: serde_json::Map<String, Value> = Health::ALL
        .iter()
        .map(|health| (health.as_str().replace(' ', "_"), number(conditions, *health).into()))
        .collect();
    json!({
        "suffix": deployment.suffix,
        "account": deployment.account,
        "partition": deployment.partition,
        "regions": deployment.regions,
        "counts": counts,
        "resources": resources,
        "twins": twins::documents(twins),
        "outputs": outputs.iter().cloned().collect::<serde_json::Map<_, _>>(),
    })
}

fn number(conditions: &[Condition], health: Health) -> usize {
    conditions.iter().filter(|condition| Health::of(condition) == health).count()
}

fn table(conditions: &[Condition]) -> String {
    let mut counts: BTreeMap<(usize, &str), ByScope<'_, Health>> = BTreeMap::new();
    let mut scopes = BTreeSet::new();
    for condition in conditions {
        let scope = scope_order(condition.address.scope());
        scopes.insert(scope);
        let stack = condition.record.stack.as_str();
        let stack = counts.entry((stack_order(stack), stack)).or_default();
        *stack.entry(scope).or_default().entry(Health::of(condition)).or_default() += 1;
    }
    if counts.is_empty() {
        return String::new();
    }
    let cell = |counts: Option<&BTreeMap<Health, usize>>| {
        let named = |(health, number): (&Health, &usize)| format!("{number} {}", health.as_str());
        counts.into_iter().flatten().map(named).collect::<Vec<_>>().join("\n")
    };
    let mut table = plain_table();
    table.set_header(std::iter::once("").chain(scopes.iter().map(|(_, scope)| *scope)));
    for ((_, stack), by_scope) in &counts {
        let cells = scopes.iter().map(|scope| cell(by_scope.get(scope)));
        table.add_row(std::iter::once((*stack).to_owned()).chain(cells));
    }
    finished(table)
}

fn verdict(conditions: &[Condition], page: Page) -> String {
    let total = count(conditions.len(), "resource");
    let ill: Vec<String> = Health::ALL[1..]
        .iter()
        .map(|health| (health, number(conditions, *health)))
        .filter(|(_, number)| *number > 0)
        .map(|(health, number)| format!("{number} {}", health.as_str()))
        .collect();
    match (conditions.len(), ill.is_empty()) {
        (0, _) => "no resources on record".to_owned(),
        (_, true) => page.good(&format!("{total}, all healthy, no drift")),
        (_, false) => {
            let healthy = number(conditions, Health::Healthy);
            page.warn(&format!("{total}: {healthy} healthy, {}", ill.join(", ")))
        }
    }
}

fn section(
    title: &str,
    conditions: &[Condition],
    health: Health,
    page: Page,
    lines: impl Fn(&Condition) -> Vec<String>,
) -> String {
    let mut text = Vec::new();
    for condition in conditions.iter().filter(|condition| Health::of(condition) == health) {
        text.push(format!("  {}", condition.address));
        text.extend(lines(condition));
    }
    if text.is_empty() { String::new() } else { format!("{}\n{}", page.strong(title), text.join("\n")) }
}

fn drifted(conditions: &[Condition], page: Page) -> String {
    let lines = |condition: &Condition| drift_lines(&condition.drift, page);
    section("changed outside of drctl", conditions, Health::Drifted, page, lines)
}

fn missing(conditions: &[Condition], page: Page) -> String {
    section("missing: on record, but AWS does not show them", conditions, Health::Missing, page, |_| Vec::new())
}

fn in_flight(conditions: &[Condition], page: Page) -> String {
    section("in flight: the next `up` or `down` settles these", conditions, Health::InFlight, page, |condition| {
        let record = &condition.record;
        let exists = if condition.exists { "the object exists" } else { "no object was found" };
        let mut lines = vec![format!("      {} since {:.0}; {exists}", record.status.word(), record.updated_at)];
        lines.extend(record.last_error.iter().map(|error| format!("      last error: {error}")));
        lines
    })
}

fn deferred(conditions: &[Condition], page: Page) -> String {
    section("deferred: AWS deletes these only later", conditions, Health::Deferred, page, |condition| match &condition
        .record
        .status
    {
        Status::Deferred { until, reason } => vec![format!("      not before {until:.0}: {reason}")],
        _ => Vec::new(),
    })
}

fn remarks(conditions: &[Condition], page: Page) -> String {
    let remark = |condition: &Condition| Some(format!("  {}\n      {}", condition.address, condition.remark.as_ref()?));
    let remarks: Vec<String> = conditions.iter().filter_map(remark).collect();
    if remarks.is_empty() { String::new() } else { format!("{}\n{}", page.strong("good to know"), remarks.join("\n")) }
}

/// The records as a list.
pub(super) fn records(records: &Records) -> String {
    let mut table = plain_table();
    for (address, record) in records {
        let protected = if record.protected { "protected" } else { "" };
        table.add_row([&address.to_string(), record.status.word(), &record.stack, protected]);
    }
    if records.is_empty() { String::new() } else { trimmed(table) }
}

/// The records as one document.
pub(super) fn records_document(records: &Records) -> Value {
    let records: Vec<Value> = records
        .iter()
        .map(|(address, record)| {
            json!({
                "address": address,
                "status": record.status.word(),
                "stack": record.stack,
                "protected": record.protected,
                "data_bearing": record.data_bearing,
                "created_at": record.created_at,
                "updated_at": record.updated_at,
            })
        })
        .collect();
    json!({ "records": records })
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
