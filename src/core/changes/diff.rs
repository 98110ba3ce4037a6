//! The difference between two specs, field by field.

use serde::Serialize;
use serde_json::Value;

use crate::reference::is_known;

/// One field in which two specs differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The field, with dots into structures: `tags.team`, `lifecycle.noncurrent_days`.
    pub field: String,
    /// What is there; `None` when the field is absent.
    pub from: Option<Value>,
    /// What is wanted; `None` when the field is to be removed.
    pub to: Option<Value>,
    /// Whether the wanted value depends on something that is still to be created.
    pub known_after_create: bool,
    /// Whether AWS cannot change it in place.
    pub forces_replacement: bool,
}

/// Compares what is there with what is wanted. Fields of structures are compared one by one, lists as a whole.
pub fn differences(actual: &Value, desired: &Value, immutable: &[&str]) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(actual), Some(desired), &mut found);
    for difference in &mut found {
        let top = difference.field.split('.').next().unwrap_or_default();
        difference.forces_replacement = immutable.contains(&top);
    }
    found
}

fn compare(path: &str, actual: Option<&Value>, desired: Option<&Value>, found: &mut Vec<Difference>) {
    // A field that is absent and one that is null mean the same.
    let (actual, desired) = (actual.filter(|value| !value.is_null()), desired.filter(|value| !value.is_null()));
    if actual == desired {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (actual, desired)
        && !is_reference(new)
    {
        let mut names: Vec<&String> = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))).collect();
        names.sort();
        for name in names {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            compare(&path, old.get(name), new.get(name), found);
        }
        return;
    }
    found.push(Difference {
        field: path.to_owned(),
        from: actual.cloned(),
        to: desired.cloned(),
        known_after_create: desired.is_some_and(|value| !is_known(value)),
        forces_replacement: false,
    });
}

fn is_reference(fields: &serde_json::Map<String, Value>) -> bool {
    fields.contains_key("$ref") || fields.contains_key("$join")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Invariant 2 of the module.
    #[test]
    fn every_field_that_differs_is_named_and_says_whether_it_forces_replacement() {
        let actual = json!({ "cidr": "10.0.0.0/16", "dns": true, "tags": { "a": "1", "b": "2" }, "list": [1, 2] });
        let desired = json!({ "cidr": "10.1.0.0/16", "dns": true, "tags": { "a": "1", "b": "3" }, "list": [2, 1] });
        let found: Vec<_> = differences(&actual, &desired, &["cidr"])
            .into_iter()
            .map(|difference| (difference.field, difference.forces_replacement))
            .collect();
        assert_eq!(found, [("cidr".to_owned(), true), ("list".to_owned(), false), ("tags.b".to_owned(), false)]);
    }

    #[test]
    fn a_reference_to_something_new_is_known_after_create() {
        let found = differences(
            &json!({ "vpc": "vpc-1" }),
            &json!({ "vpc": { "$ref": "us-east-1/ec2_vpc/vpc#id" } }),
            &["vpc"],
        );
        assert!(found[0].known_after_create && found[0].forces_replacement);
    }

    /// Invariant 1 of the module.
    #[test]
    fn absent_and_null_are_the_same() {
        assert_eq!(differences(&json!({ "a": null, "b": 1 }), &json!({ "b": 1, "c": null }), &[]), []);
    }
}
