//! A table from which replicas were made cannot go before they do (`ddb.delete.order`, `ddb.delete.24h`).

use serde_json::{Value, json};

use super::Refused;
use crate::corrections::Call;
use crate::error::Error;

/// What AWS says of a table that it holds back.
pub(crate) const HELD: &str = "Replica cannot be deleted because it has acted as a source region for new replica(s) being added to the table in the \
     last 24 hours.";

pub(super) async fn in_the_way(call: &Call<'_>) -> Result<Option<Refused>, Error> {
    let question = json!({ "TableName": call.original.json()["TableName"] });
    let target = "DynamoDB_20120810.DescribeTable";
    let answer = call.emulator.json("dynamodb", call.region(), target, &question).await?.unwrap_or_default();
    Ok(has_replicas(&answer, call.region()).then(|| Refused::new("ValidationException", HELD)))
}

fn has_replicas(answer: &Value, region: &str) -> bool {
    let replicas = answer["Table"]["Replicas"].as_array().into_iter().flatten();
    replicas.filter_map(|replica| replica["RegionName"].as_str()).any(|of| of != region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_replicas_in_other_regions_only() {
        let table = |regions: &[&str]| {
            let replicas: Vec<Value> = regions.iter().map(|region| json!({ "RegionName": region })).collect();
            json!({ "Table": { "Replicas": replicas } })
        };
        assert!(has_replicas(&table(&["us-east-1", "us-east-2"]), "us-east-1"));
        assert!(!has_replicas(&table(&["us-east-1"]), "us-east-1"));
        assert!(!has_replicas(&json!({}), "us-east-1"));
    }
}
