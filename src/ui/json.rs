//! Output for programs: `up` and `down` write one event a line, queries write one document. Pure.
//!
//! Invariants:
//! 1. Every line and every document is a JSON object that begins with `version`; a field may be added to a version, but none is
//!    removed or changes its meaning.
//! 2. Errors come the same way as results do.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::progress::Progress;
use crate::engine::event::Event;

/// The version of all JSON that drctl prints.
pub(super) const VERSION: u32 = 1;

/// The document with these fields.
pub(super) fn document(fields: Value) -> Value {
    let mut document = Map::new();
    document.insert("version".to_owned(), VERSION.into());
    add(&mut document, fields);
    Value::Object(document)
}

/// The event with this name and these fields.
pub(super) fn event(name: &str, fields: Value, time: Timestamp) -> Value {
    let mut event = Map::new();
    event.insert("version".to_owned(), VERSION.into());
    event.insert("time".to_owned(), format!("{time:.3}").into());
    event.insert("event".to_owned(), name.into());
    add(&mut event, fields);
    Value::Object(event)
}

/// Something that happened in a run, as an event.
pub(super) fn happened(happening: &Event, time: Timestamp) -> Value {
    let fields = serde_json::to_value(happening).expect("events are plain data");
    let name = fields["event"].as_str().unwrap_or_default().to_owned();
    event(&name, fields, time)
}

/// The event that says that a run goes on.
pub(super) fn heartbeat(progress: &Progress, now: Instant, time: Timestamp) -> Value {
    let seconds = |since: Instant| (now - since).as_secs();
    let running: Vec<Value> = progress
        .longest_running()
        .into_iter()
        .map(|(address, running)| {
            json!({
                "address": address,
                "action": running.action,
                "seconds": seconds(running.since),
                "waiting_for": running.waiting.as_ref().map(|(what, _)| what),
            })
        })
        .collect();
    let remaining = progress.remaining(now).map(|remaining| remaining.as_secs());
    let fields = json!({
        "done": progress.done,
        "failed": progress.failed,
        "total": progress.total(),
        "running": running,
        "remaining_seconds": remaining,
    });
    event("heartbeat", fields, time)
}

fn add(object: &mut Map<String, Value>, fields: Value) {
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
}

#[cfg(test)]
#[path = "json/tests.rs"]
mod tests;
