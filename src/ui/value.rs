//! How single values and differences of values are written: short, legible, and free of secrets.
//!
//! Invariants:
//! 1. A value whose field has the name of a secret is never shown, however deep it stands: somebody may have put a password
//!    into the environment of a function behind drctl's back, and drift must not spread it.
//! 2. What depends on something still to be created reads `(known after create)`.

use std::fmt::Write;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::page::Page;
use crate::changes::Difference;
use crate::reference::is_known;

const UNKNOWN: &str = "(known after create)";
const HIDDEN: &str = "(hidden)";

/// How many lines of the difference of two documents are shown.
const MOST_LINES: usize = 40;

/// The value as it may be shown under the name of this field.
pub(super) fn shown(field: &str, value: &Value) -> Value {
    match value {
        Value::Object(fields) if fields.contains_key("$ref") => UNKNOWN.into(),
        Value::Object(fields) if fields.contains_key("$join") => joined(&fields["$join"]).into(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), shown(&format!("{field}.{name}"), value))).collect()
        }
        Value::Array(items) => items.iter().map(|item| shown(field, item)).collect(),
        Value::String(text) if names_secret(field) && !text.starts_with("arn:") => HIDDEN.into(),
        Value::String(text) => match document(text) {
            // A policy may come as a text of its own; what is hidden in a structure is hidden in its text.
            Some(inner) if shown(field, &inner) != inner => shown(field, &inner).to_string().into(),
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

/// The difference with both sides as they may be shown.
pub(super) fn shown_difference(difference: &Difference) -> Difference {
    let side = |value: &Option<Value>| value.as_ref().map(|value| shown(&difference.field, value));
    Difference { from: side(&difference.from), to: side(&difference.to), ..difference.clone() }
}

/// The lines that tell one difference.
pub(super) fn lines(difference: &Difference, page: Page) -> Vec<String> {
    let Difference { field, from, to, forces_replacement, .. } = shown_difference(difference);
    let mark = if forces_replacement { page.bad(" (forces replacement)") } else { String::new() };
    let known = difference.to.as_ref().is_none_or(is_known);
    if let (Some(from), Some(to), true) = (&from, &to, known)
        && let (Some(from), Some(to)) = (pretty(from), pretty(to))
        && from.len().max(to.len()) > 60
    {
        let mut lines = vec![format!("{field}:{mark}")];
        lines.extend(changed_lines(&from, &to, page));
        return lines;
    }
    let room = (page.width.saturating_sub(field.len() + 16) / 2).max(24);
    let (from, to) = (short(from.as_ref(), room, "(none)"), short(to.as_ref(), room, "(removed)"));
    vec![format!("{field}: {from} -> {to}{mark}")]
}

fn short(value: Option<&Value>, room: usize, absent: &str) -> String {
    let text = match value {
        None => return absent.to_owned(),
        Some(Value::String(text)) if text == UNKNOWN || text == HIDDEN => return text.clone(),
        Some(value) => value.to_string(),
    };
    if text.chars().count() <= room {
        return text;
    }
    let length = value.and_then(Value::as_str).unwrap_or(&text).chars().count();
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}… ({length} characters)")
}

/// The text of a structure, one field a line; nothing for plain values.
fn pretty(value: &Value) -> Option<String> {
    let structure = match value {
        Value::String(text) if text.trim_end().contains('\n') && document(text).is_none() => return Some(text.clone()),
        Value::String(text) => document(text)?,
        Value::Object(_) | Value::Array(_) => value.clone(),
        _ => return None,
    };
    Some(format!("{structure:#}"))
}

fn document(text: &str) -> Option<Value> {
    let is_document = text.trim_start().starts_with(['{', '[']);
    is_document.then(|| serde_json::from_str(text).ok()).flatten()
}

fn changed_lines(from: &str, to: &str, page: Page) -> Vec<String> {
    let diff = TextDiff::from_lines(from, to);
    let mut lines = Vec::new();
    for (n, group) in diff.grouped_ops(1).iter().enumerate() {
        if n > 0 {
            lines.push(page.faint("  ..."));
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let text = change.value().trim_end();
            lines.push(match change.tag() {
                ChangeTag::Delete => page.bad(&format!("- {text}")),
                ChangeTag::Insert => page.good(&format!("+ {text}")),
                ChangeTag::Equal => page.faint(&format!("  {text}")),
            });
        }
    }
    if lines.len() > MOST_LINES {
        let left = lines.len() - MOST_LINES;
        lines.truncate(MOST_LINES);
        lines.push(page.faint(&format!("  ... and {left} more lines")));
    }
    lines
}

fn joined(parts: &Value) -> String {
    let mut text = String::new();
    for part in parts.as_array().into_iter().flatten() {
        match part {
            Value::String(part) => text.push_str(part),
            Value::Object(_) => text.push_str(UNKNOWN),
            part => write!(text, "{part}").expect("writing to a string cannot fail"),
        }
    }
    text
}

/// Tells whether a field holds a secret by its name. What names a secret, such as its ARN, is none.
fn names_secret(field: &str) -> bool {
    let name = field.rsplit('.').next().unwrap_or(field).to_lowercase();
    let points = ["arn", "id", "name", "key_id", "version", "days", "window"].iter().any(|end| name.ends_with(end));
    let words = ["password", "passwd", "secret", "token", "private_key", "api_key", "apikey", "credential"];
    !points && words.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(field: &str, from: Value, to: Value) -> String {
        let difference = Difference {
            field: field.to_owned(),
            from: Some(from).filter(|value| !value.is_null()),
            known_after_create: !is_known(&to),
            to: Some(to).filter(|value| !value.is_null()),
            forces_replacement: false,
        };
        lines(&difference, Page::PLAIN).join("\n")
    }

    #[test]
    fn plain_values_stand_on_one_line() {
        assert_eq!(told("memory", json!(256), json!(512)), "memory: 256 -> 512");
        assert_eq!(told("tags.team", json!("a"), Value::Null), "tags.team: \"a\" -> (removed)");
        assert_eq!(told("tags.team", Value::Null, json!("a")), "tags.team: (none) -> \"a\"");
    }

    /// Invariant 2.
    #[test]
    fn what_is_not_known_yet_says_so() {
        let id = json!({ "$ref": "us-east-1/ec2_vpc/vpc#id" });
        assert_eq!(told("vpc", json!("vpc-1"), id.clone()), "vpc: \"vpc-1\" -> (known after create)");
        let arn = json!({ "$join": ["arn:aws:x:", id, "/*"] });
        assert_eq!(told("arn", json!("a"), arn), "arn: \"a\" -> \"arn:aws:x:(known after create)/*\"");
    }

    /// Invariant 1.
    #[test]
    fn secrets_are_hidden_however_deep_they_stand() {
        let texts = [
            told("environment.DB_PASSWORD", json!("hunter2"), Value::Null),
            told("environment", json!({ "a": { "api_key": "hunter2" } }), json!({})),
            told("body", json!("{\"client_secret\": \"hunter2\"}"), json!("{}")),
            told("master_password", Value::Null, json!(["hunter2"])),
        ];
        for text in texts {
            assert!(!text.contains("hunter2") && text.contains("(hidden)"), "{text}");
        }
        let arn = "arn:aws:secretsmanager:us-east-1:1:secret:x";
        assert!(told("secret", json!(arn), Value::Null).contains("arn:aws:secretsmanager"));
        assert!(told("secret_name", json!("dr-aurora"), Value::Null).contains("dr-aurora"));
    }

    #[test]
    fn long_values_are_shortened() {
        insta::assert_snapshot!(
            told("description", json!("x".repeat(300)), json!("y")),
            @r#"description: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (300 characters) -> "y""#
        );
    }

    #[test]
    fn policies_are_compared_line_by_line() {
        let policy = |actions: Value| {
            json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }] })
                .to_string()
        };
        insta::assert_snapshot!(
            told("policy", policy(json!(["s3:GetObject"])).into(), policy(json!(["s3:GetObject", "s3:PutObject"])).into()),
            @r#"
            policy:
                    "Action": [
            -         "s3:GetObject"
            +         "s3:GetObject",
            +         "s3:PutObject"
                    ],
            "#
        );
    }
}
