//! A rule cannot go while it has targets (`eb.rule.delete`), nor a bus while it has rules (`eb.bus.delete`).

use serde_json::{Value, json};

use super::Refused;
use crate::corrections::Call;
use crate::error::Error;

pub(super) async fn in_the_way(call: &Call<'_>) -> Result<Option<Refused>, Error> {
    let input = call.original.json();
    let (target, question, list, message) = match call.name() {
        "DeleteRule" => (
            "AWSEvents.ListTargetsByRule",
            json!({ "Rule": input["Name"], "EventBusName": input["EventBusName"] }),
            "Targets",
            "Rule can't be deleted since it has targets.",
        ),
        _ => (
            "AWSEvents.ListRules",
            json!({ "EventBusName": input["Name"] }),
            "Rules",
            "Event bus can't be deleted since it has rules.",
        ),
    };
    let answer = call.emulator.json("events", call.region(), target, &question).await?.unwrap_or_default();
    let is_held = answer[list].as_array().is_some_and(|entries: &Vec<Value>| !entries.is_empty());
    Ok(is_held.then(|| Refused::new("ValidationException", message)))
}
