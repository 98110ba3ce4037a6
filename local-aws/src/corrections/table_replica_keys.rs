//! Replicas of a table ignore the KMS key that is given for them: they read back without one, and their region's table
//! with the key of the home region. On AWS each replica has its own key, and every region reads it back.

use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;

use super::{Call, Correction, Memory};
use crate::error::Error;
use crate::message::Response;

/// See the module. Keys are remembered by table name and region.
#[derive(Default)]
pub(super) struct TableReplicaKeys {
    tables: Memory<Keys>,
}

/// The KMS key of a table in each region that has one of its own.
type Keys = BTreeMap<String, String>;

#[async_trait]
impl Correction for TableReplicaKeys {
    fn id(&self) -> &'static str {
        "table-replica-keys"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["dynamodb:CreateTable", "dynamodb:UpdateTable", "dynamodb:DescribeTable"]
    }

    async fn response(&self, call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        let input = call.original.json();
        response.change_json(|document| {
            let field = if call.name() == "DescribeTable" { "Table" } else { "TableDescription" };
            if let Some(table) = document.get_mut(field) {
                self.correct(call.name(), call.region(), &input, table);
            }
        });
        Ok(())
    }
}

impl TableReplicaKeys {
    fn correct(&self, operation: &str, region: &str, input: &Value, table: &mut Value) {
        let Some(name) = table["TableName"].as_str().map(str::to_owned) else { return };
        let mut keys = self.tables.get(&name).unwrap_or_default();
        if operation == "CreateTable" {
            keys.remove(region);
        }
        if operation != "DescribeTable" {
            learn(&mut keys, region, input);
            self.tables.set(name, keys.clone());
        }
        if let Some(key) = keys.get(region)
            && table["SSEDescription"].is_object()
        {
            table["SSEDescription"]["KMSMasterKeyArn"] = key.as_str().into();
        }
        for replica in table["Replicas"].as_array_mut().into_iter().flatten() {
            if let Some(key) = replica["RegionName"].as_str().and_then(|region| keys.get(region)) {
                replica["KMSMasterKeyId"] = key.as_str().into();
            }
        }
    }
}

fn learn(keys: &mut Keys, region: &str, input: &Value) {
    if let Some(key) = input["SSESpecification"]["KMSMasterKeyId"].as_str() {
        keys.insert(region.to_owned(), key.to_owned());
    }
    for update in input["ReplicaUpdates"].as_array().into_iter().flatten() {
        for change in ["Create", "Update"].into_iter().filter_map(|action| update.get(action)) {
            let Some(region) = change["RegionName"].as_str() else { continue };
            match change["KMSMasterKeyId"].as_str() {
                Some(key) => keys.insert(region.to_owned(), key.to_owned()),
                None => keys.remove(region),
            };
        }
        if let Some(region) = update["Delete"]["RegionName"].as_str() {
            keys.remove(region);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_region_reads_back_its_own_key_and_those_of_the_others() {
        let correction = TableReplicaKeys::default();
        let create = json!({ "SSESpecification": { "KMSMasterKeyId": "home" } });
        correction.correct("CreateTable", "eu-west-1", &create, &mut json!({ "TableName": "t" }));
        let update =
            json!({ "ReplicaUpdates": [{ "Create": { "RegionName": "us-east-1", "KMSMasterKeyId": "away" } }] });
        correction.correct("UpdateTable", "eu-west-1", &update, &mut json!({ "TableName": "t" }));

        let read = |region: &str, other: &str| {
            let mut table = json!({ "TableName": "t", "SSEDescription": { "KMSMasterKeyArn": "home" },
                "Replicas": [{ "RegionName": other }] });
            correction.correct("DescribeTable", region, &json!({ "TableName": "t" }), &mut table);
            (table["SSEDescription"]["KMSMasterKeyArn"].clone(), table["Replicas"][0]["KMSMasterKeyId"].clone())
        };
        assert_eq!(read("eu-west-1", "us-east-1"), (json!("home"), json!("away")));
        assert_eq!(read("us-east-1", "eu-west-1"), (json!("away"), json!("home")));
    }

    #[test]
    fn a_table_created_anew_forgets_the_keys_of_the_old_one() {
        let correction = TableReplicaKeys::default();
        let create = json!({ "SSESpecification": { "KMSMasterKeyId": "old" } });
        correction.correct("CreateTable", "eu-west-1", &create, &mut json!({ "TableName": "t" }));
        correction.correct("CreateTable", "eu-west-1", &json!({}), &mut json!({ "TableName": "t" }));
        let mut table = json!({ "TableName": "t", "SSEDescription": { "KMSMasterKeyArn": "default" } });
        correction.correct("DescribeTable", "eu-west-1", &json!({}), &mut table);
        assert_eq!(table["SSEDescription"]["KMSMasterKeyArn"], "default");
    }
}
