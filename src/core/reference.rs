//! References in canonical JSON: how a spec names what another resource will turn out to be, and how that is filled in.
//!
//! A reference that is not known yet is `{"$ref": "us-east-1/ec2_vpc/main#id"}`, a text with such parts is `{"$join": [...]}`, and what
//! is known is the plain value. The types that make references are drctl's; this is all that the engine knows of them.
//!
//! Invariant:
//! 1. `resolve` replaces exactly the references that the lookup knows, and leaves no `$join` whose parts are all known.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::address::Address;

/// One output of one resource, written `address#field`.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The resource.
    pub address: Address,
    /// The output's name.
    pub field: String,
}

impl Output {
    /// The reference as canonical JSON.
    pub fn to_json(&self) -> Value {
        json!({ "$ref": format!("{}#{}", self.address, self.field) })
    }

    /// The reference that a value is, if it is one.
    pub fn from_json(value: &Value) -> Option<Self> {
        let (address, field) = value.as_object()?.get("$ref")?.as_str()?.split_once('#')?;
        Some(Self { address: address.parse().ok()?, field: field.to_owned() })
    }
}

/// The addresses that a spec refers to.
pub fn references(spec: &Value) -> BTreeSet<Address> {
    let mut found = BTreeSet::new();
    collect(spec, &mut found);
    found
}

fn collect(value: &Value, found: &mut BTreeSet<Address>) {
    if let Some(output) = Output::from_json(value) {
        found.insert(output.address);
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, found)),
        _ => {}
    }
}

/// Replaces every reference that `lookup` knows by its value.
pub fn resolve(spec: &Value, lookup: &impl Fn(&Address, &str) -> Option<Value>) -> Value {
    if let Some(output) = Output::from_json(spec) {
        return lookup(&output.address, &output.field).unwrap_or_else(|| spec.clone());
    }
    match spec {
        Value::Array(items) => items.iter().map(|item| resolve(item, lookup)).collect(),
        Value::Object(fields) => match fields.get("$join") {
            Some(Value::Array(parts)) => {
                let parts: Vec<Value> = parts.iter().map(|part| resolve(part, lookup)).collect();
                match parts.iter().map(plain_text).collect::<Option<String>>() {
                    Some(text) => Value::from(text),
                    None => json!({ "$join": parts }),
                }
            }
            _ => fields.iter().map(|(name, field)| (name.clone(), resolve(field, lookup))).collect(),
        },
        plain => plain.clone(),
    }
}

/// Tells whether nothing in the value is a reference.
pub fn is_known(value: &Value) -> bool {
    references(value).is_empty()
}

/// A value as part of a text; `None` while it is a reference.
pub fn plain_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(items) => Some(items.iter().map(plain_text).collect::<Option<Vec<_>>>()?.join(", ")),
        _ => None,
    }
}
