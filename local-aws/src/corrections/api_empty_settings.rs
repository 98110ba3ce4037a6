//! Settings of stages and domain names that were never set read back as empty objects and texts. AWS leaves them out.

use async_trait::async_trait;
use serde_json::Value;

use super::{Call, Correction};
use crate::error::Error;
use crate::message::Response;

/// The settings that AWS leaves out when they are not set.
const OPTIONAL: [&str; 7] = [
    "accessLogSettings",
    "certificateArn",
    "certificateName",
    "description",
    "mutualTlsAuthentication",
    "ownershipVerificationCertificateArn",
    "regionalCertificateName",
];

/// See the module.
pub(super) struct ApiEmptySettings;

#[async_trait]
impl Correction for ApiEmptySettings {
    fn id(&self) -> &'static str {
        "api-empty-settings"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "apigateway:CreateStage",
            "apigateway:GetStage",
            "apigateway:GetStages",
            "apigateway:UpdateStage",
            "apigateway:CreateDomainName",
            "apigateway:GetDomainName",
            "apigateway:GetDomainNames",
            "apigateway:UpdateDomainName",
        ]
    }

    async fn response(&self, _call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        response.change_json(correct);
        Ok(())
    }
}

fn correct(document: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Object(settings) => settings.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    match document {
        Value::Array(items) => items.iter_mut().for_each(correct),
        Value::Object(fields) => {
            fields.retain(|name, value| !(OPTIONAL.contains(&name.as_str()) && is_empty(value)));
            // Lists are in `item` on the wire.
            fields.get_mut("item").into_iter().for_each(correct);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_never_set_is_left_out_of_one_and_of_lists() {
        let stage = json!({ "stageName": "prod", "accessLogSettings": {}, "description": "", "variables": {} });
        let mut list = json!({ "item": [stage, { "accessLogSettings": { "format": "x" } }] });
        correct(&mut list);
        let expected = json!({ "item": [
            { "stageName": "prod", "variables": {} },
            { "accessLogSettings": { "format": "x" } },
        ] });
        assert_eq!(list, expected);
    }
}
