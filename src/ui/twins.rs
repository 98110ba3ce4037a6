//! Objects that carry the address of a resource whose object on record is another one. Pure.

use serde_json::{Value, json};

use super::page::Page;
use crate::changes::Twin;

/// The twins as people read them, with what to do about them.
pub(super) fn text(suffix: &str, twins: &[Twin], page: Page) -> String {
    if twins.is_empty() {
        return String::new();
    }
    let mut lines = vec![page.strong("exists twice: these say that they are of the deployment, and are not on record")];
    for twin in twins {
        lines.push(format!("  {}", twin.address));
        lines.push(format!("      {} ({})", page.warn(&twin.id()), twin.arn));
    }
    lines.push(format!(
        "they are paid for and nobody uses them; remove them: drctl up --suffix {suffix} --remove-twins"
    ));
    lines.join("\n")
}

/// The twins as a list of documents.
pub(super) fn documents(twins: &[Twin]) -> Vec<Value> {
    twins.iter().map(|twin| json!({ "address": twin.address, "id": twin.id(), "arn": twin.arn })).collect()
}
