//! Compares the tree of a plan file with the JSON Schema of the plan: keys, types, ranges, choices.
//!
//! The schema is made from the types, so that what the file may say is written down once. Whatever does not fit is
//! reported and taken out of the tree, so that the rest can be read as a plan and checked further.

use serde_json::Value as Json;

use super::load::Found;
use super::tree::{Node, Value, join};

/// Reports everything that does not fit the schema, and takes it out of the tree.
pub(super) fn check(root: &mut Node, schema: &Json) -> Vec<Found> {
    let mut found = Vec::new();
    fits(root, schema, &mut found);
    found
}

/// Tells whether a node may stay where it is.
fn fits(node: &mut Node, schema: &Json, found: &mut Vec<Found>) -> bool {
    let choices = choices(schema);
    let wrong = |message: String, help| Found::at(&node.path, &node.span, message, help);
    if !has_type(&node.value, schema) {
        let message = format!("expected {}, found {}", expected(schema, &choices), kind(&node.value));
        let tables = matches!(node.value, Value::Table(_)) && schema["items"]["type"] == "object";
        found.push(wrong(message, tables.then(|| format!("write [[{}]] for each entry", node.path))));
        return false;
    }
    if !choices.is_empty() {
        let text = json(&node.value);
        if !choices.contains(&text) {
            let is_text = matches!(node.value, Value::Text(_));
            let meant = nearest(text.trim_matches('"'), choices.iter().map(|choice| choice.trim_matches('"')));
            let help = meant.filter(|_| is_text).map(|known| format!("did you mean {known:?}?"));
            found.push(wrong(format!("unknown value {text}; one of {}", choices.join(", ")), help));
            return false;
        }
    }
    let problem = match &node.value {
        Value::Whole(number) => out_of_range(*number as f64, schema).then(|| number.to_string()),
        Value::Number(number) => out_of_range(*number, schema).then(|| number.to_string()),
        Value::List(elements) => {
            let count = elements.len() as u64;
            let fits = schema["minItems"].as_u64().is_none_or(|min| count >= min)
                && schema["maxItems"].as_u64().is_none_or(|max| count <= max);
            (!fits).then(|| format!("a list of {count} entries"))
        }
        _ => None,
    };
    if let Some(value) = problem {
        found.push(wrong(format!("{value} is out of range; expected {}", expected(schema, &choices)), None));
        return false;
    }
    match &mut node.value {
        Value::List(elements) => elements.retain_mut(|element| fits(element, &schema["items"], found)),
        Value::Table(_) => return table_fits(node, schema, found),
        _ => {}
    }
    true
}

/// Checks the keys of a table; false when a required one is missing or wrong, as then nothing can be read from the
/// table.
fn table_fits(node: &mut Node, schema: &Json, found: &mut Vec<Found>) -> bool {
    let Value::Table(children) = &mut node.value else {
        return true;
    };
    let names = |part: &str| schema[part].as_object().map(|names| names.keys().cloned().collect()).unwrap_or_default();
    let known: Vec<String> = names("properties");
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let required: Vec<&str> = required.iter().filter_map(Json::as_str).collect();
    for name in &required {
        if !children.iter().any(|(key, _)| key == name) {
            let message = format!("{name:?} is missing");
            found.push(Found { missing: true, ..Found::at(&node.path, &node.span, message, None) });
        }
    }
    children.retain_mut(|(key, child)| {
        if known.contains(key) {
            return fits(child, &schema["properties"][key.as_str()], found);
        }
        if schema["additionalProperties"].is_object() {
            return fits(child, &schema["additionalProperties"], found);
        }
        let meant = nearest(key, known.iter().map(String::as_str));
        let help = meant
            .map_or_else(|| format!("known here: {}", known.join(", ")), |known| format!("did you mean {known:?}?"));
        let meant = meant.map(|known| join(&node.path, known));
        found.push(Found { meant, ..Found::at(&child.path, &child.key, format!("unknown key {key:?}"), Some(help)) });
        false
    });
    required.iter().all(|name| children.iter().any(|(key, _)| key == name))
}

/// The known word that is most like an unknown one, if any is like it.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let likeness = |known: &str| {
        // A part of a compound name is as good a guess as a slip of the finger: `retention` for `retention_days`.
        let part = known.contains(word.as_str()) || (known.len() >= 3 && word.contains(known));
        strsim::jaro_winkler(&word, known).max(if part { 0.8 } else { 0.0 })
    };
    if word.len() < 3 {
        return None;
    }
    known
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// The type names of a schema, without `null`: TOML has none, an absent key says the same.
fn types(schema: &Json) -> Vec<&str> {
    let own = match &schema["type"] {
        Json::String(name) => vec![name.as_str()],
        Json::Array(names) => names.iter().filter_map(Json::as_str).collect(),
        _ => schema["oneOf"].as_array().into_iter().flatten().flat_map(types).collect(),
    };
    own.into_iter().filter(|name| *name != "null").collect()
}

fn has_type(value: &Value, schema: &Json) -> bool {
    let types = types(schema);
    types.is_empty()
        || types.iter().any(|name| {
            matches!(
                (value, *name),
                (Value::Text(_), "string")
                    | (Value::Whole(_), "integer" | "number")
                    | (Value::Number(_), "number")
                    | (Value::Flag(_), "boolean")
                    | (Value::List(_), "array")
                    | (Value::Table(_), "object")
            )
        })
}

/// The values that a schema names one by one, as TOML writes them.
fn choices(schema: &Json) -> Vec<String> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    let nested = variants.flat_map(|variant| match variant.get("const") {
        Some(value) => vec![value.to_string()],
        None => choices(variant),
    });
    listed.filter(|value| !value.is_null()).map(Json::to_string).chain(nested).collect()
}

fn out_of_range(number: f64, schema: &Json) -> bool {
    let (min, max) = range(schema);
    let within = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
    let step = schema["multipleOf"].as_f64().unwrap_or(0.0);
    number.is_nan() || !within || (step > 0.0 && number % step != 0.0)
}

/// The smallest and the largest number a schema takes; the largest may follow from the width of the integer.
fn range(schema: &Json) -> (Option<f64>, Option<f64>) {
    let width = match schema["format"].as_str() {
        Some("uint16") => Some(f64::from(u16::MAX)),
        Some("uint32") => Some(f64::from(u32::MAX)),
        Some("uint64") => Some(i64::MAX as f64),
        _ => None,
    };
    (schema["minimum"].as_f64(), schema["maximum"].as_f64().or(width))
}

/// What a schema takes, in words.
fn expected(schema: &Json, choices: &[String]) -> String {
    if !choices.is_empty() {
        return format!("one of {}", choices.join(", "));
    }
    let example = || schema["examples"][0].as_str().map(|example| format!(", such as {example:?}")).unwrap_or_default();
    let bounds = || match range(schema) {
        (Some(min), Some(max)) => format!(" from {min} to {max}"),
        (Some(min), None) => format!(" of at least {min}"),
        (None, Some(max)) => format!(" of at most {max}"),
        (None, None) => String::new(),
    };
    let step = || schema["multipleOf"].as_u64().map(|step| format!(", a multiple of {step}")).unwrap_or_default();
    let size = || match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
        (Some(min), Some(max)) => format!(" of {min} to {max}"),
        (None, Some(max)) => format!(" of at most {max}"),
        (Some(min), None) => format!(" of at least {min}"),
        (None, None) => String::new(),
    };
    match types(schema).first().copied().unwrap_or_default() {
        "string" => format!("a text in quotes{}", example()),
        "integer" => format!("a whole number{}{}", bounds(), step()),
        "number" => format!("a number{}", bounds()),
        "boolean" => "true or false".to_owned(),
        "array" => format!("a list{}", size()),
        _ => "a table".to_owned(),
    }
}

/// What a value is, in words.
fn kind(value: &Value) -> String {
    match value {
        Value::Text(_) => "a text".to_owned(),
        Value::Whole(number) => format!("the number {number}"),
        Value::Number(number) => format!("the number {number}"),
        Value::Flag(flag) => flag.to_string(),
        Value::Time(time) => format!("the date or time {time}"),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

/// A simple value as JSON and TOML write it.
fn json(value: &Value) -> String {
    match value {
        Value::Text(text) => Json::from(text.as_str()).to_string(),
        Value::Whole(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        other => kind(other),
    }
}
