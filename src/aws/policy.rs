//! IAM-style policy documents, compared by meaning.
//!
//! Services give policies back normalised in their own ways: a list of one becomes a string, lists are reordered, an account
//! id becomes the ARN of its root (`kms.key.policy.compare`, `iam.read.encoding`, `sqs.attributes-lag`). The canonical form
//! here makes equal policies equal values.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Error;

/// A policy document in canonical form; may hold references while it is not resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Policy(Value);

impl Policy {
    /// A policy of these statements.
    pub fn new(statements: Vec<Value>) -> Self {
        Self(canonical(&serde_json::json!({ "Version": "2012-10-17", "Statement": statements })))
    }

    /// Reads the text that a service answers.
    ///
    /// # Errors
    /// When the text is no JSON object with statements. What such a text allows is unknown, which is not the same as nothing.
    pub fn read(operation: &str, text: &str) -> super::error::Result<Self> {
        match serde_json::from_str::<Value>(text) {
            Ok(value) if value.get("Statement").is_some() => Ok(Self(canonical(&value))),
            _ => Err(Error::incomplete(operation, "a policy that can be read")),
        }
    }

    /// The text to send.
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    /// The document as JSON.
    pub fn value(&self) -> &Value {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(canonical(&value)))
    }
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) if fields.contains_key("$join") || fields.contains_key("$ref") => value.clone(),
        Value::Object(fields) => {
            let mut sorted: Vec<(String, Value)> =
                fields.iter().map(|(name, field)| (name.clone(), field_of(name, field))).collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            sorted.into_iter().collect()
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(canonical).collect();
            if items.len() == 1 {
                return items.remove(0);
            }
            items.sort_by_cached_key(Value::to_string);
            items.into()
        }
        Value::Bool(truth) => Value::from(truth.to_string()),
        plain => plain.clone(),
    }
}

/// A statement list stays a list, also of one; principals that are bare account ids become their ARN.
fn field_of(name: &str, value: &Value) -> Value {
    match (name, value) {
        ("Statement", Value::Array(items)) => items.iter().map(canonical).collect(),
        ("Statement", Value::Object(_)) => vec![canonical(value)].into(),
        ("AWS", Value::Array(principals)) => canonical(&principals.iter().map(principal).collect()),
        ("AWS", one) => principal(one),
        _ => canonical(value),
    }
}

/// A principal of AWS; an account stands for its root.
fn principal(value: &Value) -> Value {
    match value {
        Value::String(id) if id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()) => {
            Value::from(format!("arn:aws:iam::{id}:root"))
        }
        _ => canonical(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_meaning_is_equal() {
        let ours = Policy::new(vec![json!({
            "Sid": "a", "Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": ["arn:x"],
            "Principal": { "AWS": "123456789012" }, "Condition": { "Bool": { "aws:SecureTransport": false } },
        })]);
        let theirs = Policy::read(
            "s3:GetBucketPolicy",
            r#"{"Statement":{"Resource":"arn:x","Action":["s3:GetObject","s3:PutObject"],"Effect":"Allow","Sid":"a",
                "Principal":{"AWS":["arn:aws:iam::123456789012:root"]},
                "Condition":{"Bool":{"aws:SecureTransport":"false"}}},"Version":"2012-10-17"}"#,
        )
        .unwrap();
        assert_eq!(ours, theirs);
    }

    /// What can't be read is unknown: taken for no statements, it would be put again.
    #[test]
    fn what_is_no_policy_is_an_error_that_names_the_operation() {
        for text in ["", "{", "<html>", "null", "[]", "{}"] {
            let read = Policy::read("kms:GetKeyPolicy", text);
            assert!(
                read.as_ref().is_err_and(|error| error.to_string().contains("kms:GetKeyPolicy")),
                "{text}: {read:?}"
            );
        }
    }

    #[test]
    fn an_account_is_its_root_alone_and_among_others() {
        let policy =
            |principals: Value| Policy::new(vec![json!({ "Effect": "Allow", "Principal": { "AWS": principals } })]);
        let (one, root) = ("123456789012", "arn:aws:iam::123456789012:root");
        let role = "arn:aws:iam::123456789012:role/r";
        assert_eq!(policy(json!([one])), policy(json!(root)));
        assert_eq!(policy(json!([one, role])), policy(json!([role, root])));
        assert_ne!(policy(json!([one, role])), policy(json!([role])));
    }

    /// AWS may put a role's unique id in place of a role that is gone: that is another policy, to be put again.
    #[test]
    fn a_principal_that_decayed_is_different() {
        let policy =
            |principal: &str| Policy::new(vec![json!({ "Effect": "Allow", "Principal": { "AWS": principal } })]);
        assert_ne!(policy("arn:aws:iam::1:role/r"), policy("AROAEXAMPLE"));
    }

    #[test]
    fn a_different_resource_is_different() {
        let one = Policy::new(vec![json!({ "Effect": "Allow", "Action": "a:b", "Resource": "x" })]);
        let two = Policy::new(vec![json!({ "Effect": "Allow", "Action": "a:b", "Resource": "y" })]);
        assert_ne!(one, two);
    }
}
