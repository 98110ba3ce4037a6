//! Replicas of tables: one is created or deleted in another region while its table is being updated, and shows only within the
//! description of the table.

use serde_json::{Value, json};

use super::table::{Object, Start, TABLE};
use super::underway::Underway;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::scenarios::durations::{self, Step};
use crate::scenarios::tree::{At, Tree, is};

/// A replica, known by its table and its region.
const REPLICA: Object = Object { name: "replica", global: true, starts: &[], views: &[], refused: &[] };

const CREATION: Start = change("CREATING", durations::REPLICA_CREATED);
const DELETION: Start = change("DELETING", durations::REPLICA_DELETED);

const fn change(state: &'static str, takes: Step) -> Start {
    Start {
        operation: "dynamodb:UpdateTable",
        when: |_| true,
        id: At::Request("TableName"),
        region: None,
        field: "ReplicaStatus",
        state,
        finally: None,
        takes,
        ghost: None,
    }
}

pub(super) fn concerns(operation: &Operation) -> bool {
    is("dynamodb:UpdateTable", operation) || is("dynamodb:DescribeTable", operation)
}

fn id(table: &str, region: &str) -> String {
    format!("{table} in {region}")
}

pub(super) fn learn(underway: &Underway, operation: &Operation, request: &Request) {
    if !is("dynamodb:UpdateTable", operation) {
        return;
    }
    let input = request.json();
    let name = input["TableName"].as_str().unwrap_or_default();
    for update in input["ReplicaUpdates"].as_array().into_iter().flatten() {
        for (action, start) in [("Create", &CREATION), ("Delete", &DELETION)] {
            let Some(region) = update[action]["RegionName"].as_str() else { continue };
            let ghost = Tree::Json(json!({ "RegionName": region }));
            underway.begin(&REPLICA, "", &id(name, region), start, (action == "Delete").then_some(ghost));
            if let Some(until) = underway.until(&REPLICA, "", &id(name, region)) {
                underway.prolong(&TABLE, &operation.region, name, until);
            }
        }
    }
}

pub(super) fn show(underway: &Underway, operation: &Operation, mut answer: Response) -> Response {
    if !concerns(operation) || !answer.status.is_success() {
        return answer;
    }
    answer.change_json(|document| {
        let field = if operation.name == "DescribeTable" { "Table" } else { "TableDescription" };
        let Some(table) = document.get_mut(field) else { return };
        let name = table["TableName"].as_str().unwrap_or_default().to_owned();
        for ghost in underway.ghosts(&REPLICA, "", None) {
            let Tree::Json(ghost) = ghost else { continue };
            let region = ghost["RegionName"].as_str().unwrap_or_default();
            if underway.until(&REPLICA, "", &id(&name, region)).is_some() && region != operation.region {
                match table["Replicas"].as_array_mut() {
                    Some(replicas) if replicas.iter().any(|replica| replica["RegionName"] == ghost["RegionName"]) => {}
                    Some(replicas) => replicas.push(ghost),
                    None => table["Replicas"] = Value::Array(vec![ghost]),
                }
            }
        }
        for replica in table["Replicas"].as_array_mut().into_iter().flatten() {
            let region = replica["RegionName"].as_str().unwrap_or_default();
            if let Some(state) = underway.state(&REPLICA, "", &id(&name, region)) {
                replica["ReplicaStatus"] = state.into();
            }
        }
    });
    answer
}
