//! AWS Backup tells and changes for which types of resources an account has opted in, in each region. The emulator tells none and
//! changes nothing.
//!
//! A region that nobody has changed is opted in to Aurora, so that a deployment can be made.

use async_trait::async_trait;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Call, Correction, Memory};
use crate::error::Error;
use crate::message::{Request, Response};

const OPT_IN: &str = "ResourceTypeOptInPreference";
const MANAGEMENT: &str = "ResourceTypeManagementPreference";

/// See the module. Preferences are remembered by region and field.
#[derive(Default)]
pub(super) struct BackupOptIn {
    preferences: Memory<Map<String, Value>>,
}

#[async_trait]
impl Correction for BackupOptIn {
    fn id(&self) -> &'static str {
        "backup-opt-in"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["backup:DescribeRegionSettings", "backup:UpdateRegionSettings"]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        if call.name() == "DescribeRegionSettings" {
            return Ok(Some(Response::json_document(StatusCode::OK, &self.told(call.region()))));
        }
        self.change(call.region(), &request.json());
        Ok(Some(Response::json_document(StatusCode::OK, &json!({}))))
    }
}

impl BackupOptIn {
    fn told(&self, region: &str) -> Value {
        json!({ OPT_IN: self.preferences(region, OPT_IN), MANAGEMENT: self.preferences(region, MANAGEMENT) })
    }

    /// What is not named stays as it is.
    fn change(&self, region: &str, input: &Value) {
        for field in [OPT_IN, MANAGEMENT] {
            let mut preferences = self.preferences(region, field);
            preferences.extend(input[field].as_object().cloned().unwrap_or_default());
            self.preferences.set(format!("{region} {field}"), preferences);
        }
    }

    fn preferences(&self, region: &str, field: &str) -> Map<String, Value> {
        self.preferences.get(&format!("{region} {field}")).unwrap_or_else(|| match field {
            OPT_IN => Map::from_iter([("Aurora".to_owned(), Value::Bool(true))]),
            _ => Map::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_region_is_opted_in_until_it_is_told_otherwise() {
        let settings = BackupOptIn::default();
        settings.change("us-east-2", &json!({ OPT_IN: { "Aurora": false, "EBS": true } }));
        assert_eq!(settings.told("us-east-1")[OPT_IN], json!({ "Aurora": true }));
        assert_eq!(settings.told("us-east-2")[OPT_IN], json!({ "Aurora": false, "EBS": true }));
        settings.change("us-east-2", &json!({ OPT_IN: { "Aurora": true } }));
        assert_eq!(settings.told("us-east-2")[OPT_IN], json!({ "Aurora": true, "EBS": true }));
    }
}
