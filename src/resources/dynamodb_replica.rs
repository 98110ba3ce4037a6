//! `dynamodb_replica`: the copy of a table in another region. Its scope is the copy's region.
//!
//! It is made and removed through the table's own region, which the table's ARN names; its tags and its recovery period are
//! set through its own, since none of them follow the table (`ddb.replica.not-propagated`).
//! Facts: `ddb.replica.create`, `ddb.replica.kms`, `ddb.replica.retry`, `ddb.replica.wait`, `ddb.replica.iam`,
//! `ddb.replica.rekey` (another key is another copy), `ddb.delete.order`, `ddb.delete.24h` (deferred, R6),
//! `ddb.delete.in-use`. No tags in the create call: between it and the tags the copy is known by its table alone.
//! Replacement: `table`, `key`. Slow: everything (1 to 10 minutes when empty).

use aws_sdk_dynamodb::types::{
    CreateReplicationGroupMemberAction, DeleteReplicationGroupMemberAction, ReplicaDescription, ReplicaStatus,
    ReplicationGroupUpdate, TableStatus,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dynamodb;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{KeyArn, Ref, TableArn};

/// How long a copy may take to come and go, from the wait table of the facts.
const PATIENCE: Patience = Patience::minutes(30);

/// The kind.
#[derive(Debug)]
pub struct Replica;

/// The desired properties of a copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaSpec {
    /// The table, in another region.
    pub table: Ref<TableArn>,
    /// The key of the copy's own region that encrypts it.
    pub key: Ref<KeyArn>,
    /// Days back that the copy can be restored to, 1 to 35; nothing when it cannot.
    pub recovery_days: Option<i32>,
}

outputs! {
    /// What is known of a copy once it exists.
    pub struct ReplicaOutputs of Replica {
        /// The ARN: the table's, in the copy's region.
        arn: TableArn,
    }
}

impl Kind for Replica {
    type Spec = ReplicaSpec;
    type Outputs = ReplicaOutputs;

    const TRAITS: Traits = Traits {
        name: "dynamodb_replica",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["table", "key"],
        locked_by: Some("table"),
        expected: Expected::seconds(180, 20, 180),
        permissions: Permissions {
            read: &[
                "dynamodb:DescribeTable",
                "dynamodb:DescribeContinuousBackups",
                "dynamodb:ListTagsOfResource",
                "tag:GetResources",
            ],
            change: &[
                "dynamodb:UpdateTable",
                "dynamodb:CreateTable",
                "dynamodb:CreateTableReplica",
                "dynamodb:DeleteTable",
                "dynamodb:DeleteTableReplica",
                "dynamodb:Scan",
                "dynamodb:Query",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:UpdateItem",
                "dynamodb:DeleteItem",
                "dynamodb:BatchWriteItem",
                "dynamodb:UpdateContinuousBackups",
                "dynamodb:TagResource",
                "dynamodb:UntagResource",
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:DescribeKey",
                "iam:CreateServiceLinkedRole",
            ],
        },
        retries: &[
            dynamodb::UPDATE_BUSY[0],
            dynamodb::UPDATE_BUSY[1],
            dynamodb::UPDATE_BUSY[2],
            Retry::seconds("dynamodb:TagResource", "ResourceNotFoundException", "", 60),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| find(context, &wanted.spec)).await
    }

    async fn ensure(task: &Task<'_>, spec: &ReplicaSpec, object: Option<Object<Self>>) -> Result<ReplicaOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let table = spec.table.known();
        active(task, table).await?;
        if object.spec.recovery_days != spec.recovery_days {
            dynamodb::set_recovery_days(task, name_of(table), spec.recovery_days).await?;
        }
        dynamodb::sync_tags(task, object.outputs.arn.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &ReplicaSpec, _: &ReplicaOutputs) -> Result<Deletion> {
        let table = spec.table.known();
        let remove = DeleteReplicationGroupMemberAction::builder().region_name(task.scope().as_str());
        let remove = ReplicationGroupUpdate::builder().delete(remove.build().expect("the one field is set")).build();
        match update(task, table, &remove).await {
            Err(error) if error.is_gone() || error.says("ValidationException", "not found") => {}
            Err(error) => return dynamodb::deferred(&error, None, Timestamp::now()).ok_or(error),
            Ok(()) => {}
        }
        let home = task.clients_in(region_of(table));
        task.wait("the replica to be gone", PATIENCE, || async {
            // The table is done with it when it is active again: only then does it take the next change, its own deletion included.
            let Some(found) = dynamodb::describe(task, &home, name_of(table)).await? else {
                return Ok(Look::Ready(Deletion::Gone));
            };
            if let Some(replica) = found.replicas().iter().find(|replica| is_in(task, replica)) {
                return Ok(Look::Pending(status(replica)));
            }
            Ok(match dynamodb::usable(Some(&found))? {
                Look::Ready(()) => Look::Ready(Deletion::Gone),
                Look::Pending(status) => Look::Pending(format!("the table is {status}")),
            })
        })
        .await
    }
}

async fn create(task: &Task<'_>, spec: &ReplicaSpec) -> Result<Object<Replica>> {
    let table = spec.table.known();
    let create = CreateReplicationGroupMemberAction::builder().region_name(task.scope().as_str());
    let create = create.kms_master_key_id(spec.key.known()).build().expect("the one needed field is set");
    match update(task, table, &ReplicationGroupUpdate::builder().create(create).build()).await {
        Err(error) if error.says("ValidationException", "already exist") => {}
        created => created?,
    }
    let outputs = outputs(task, table);
    task.identified(&outputs).await?;
    // A new copy has no tags and cannot be restored.
    let spec = ReplicaSpec { recovery_days: None, ..spec.clone() };
    Ok(Object { spec, outputs, tags: Tags::new() })
}

/// Changes the table's copies, through its own region.
async fn update(task: &Task<'_>, table: &TableArn, update: &ReplicationGroupUpdate) -> Result<()> {
    let home = task.clients_in(region_of(table));
    task.call("dynamodb:UpdateTable", || {
        home.dynamodb().update_table().table_name(name_of(table)).replica_updates(update.clone()).send()
    })
    .await?;
    Ok(())
}

/// Waits until the table tells that its copy is active, and the copy's own region does too.
async fn active(task: &Task<'_>, table: &TableArn) -> Result<()> {
    let (home, here) = (task.clients_in(region_of(table)), task.clients());
    task.wait("the replica to be active", PATIENCE, || async {
        let found = dynamodb::describe(task, &home, name_of(table)).await?;
        let found = found.ok_or_else(|| Error::Failed(format!("the table {table} is gone")))?;
        let Some(replica) = found.replicas().iter().find(|replica| is_in(task, replica)) else {
            return Ok(Look::Pending("not begun".to_owned()));
        };
        match replica.replica_status() {
            Some(ReplicaStatus::Active) => {}
            Some(
                failed @ (ReplicaStatus::CreationFailed
                | ReplicaStatus::RegionDisabled
                | ReplicaStatus::InaccessibleEncryptionCredentials
                | ReplicaStatus::ReplicationNotAuthorized),
            ) => {
                return Err(Error::Failed(format!(
                    "the replica of {table} in {} is {failed}: {}",
                    task.scope(),
                    replica.replica_status_description().unwrap_or("AWS gives no reason")
                )));
            }
            _ => return Ok(Look::Pending(status(replica))),
        }
        dynamodb::usable(dynamodb::describe(task, &here, name_of(table)).await?.as_ref())
    })
    .await
}

fn is_in(context: &Context, replica: &ReplicaDescription) -> bool {
    replica.region_name() == Some(context.scope().as_str())
}

fn status(replica: &ReplicaDescription) -> String {
    let status = replica.replica_status().map_or("unknown", ReplicaStatus::as_str).to_owned();
    match replica.replica_status_percent_progress() {
        Some(percent) => format!("{status}, {percent}%"),
        None => status,
    }
}

/// Looks from the copy's own region: that of a table which replicates with the wanted one.
async fn find(context: &Context, wanted: &ReplicaSpec) -> Result<Option<Object<Replica>>> {
    let Some(table) = wanted.table.get() else { return Ok(None) };
    let name = name_of(table);
    let Some(found) = dynamodb::describe(context, &context.clients(), name).await? else { return Ok(None) };
    let replicates = found.replicas().iter().any(|replica| replica.region_name() == Some(region_of(table)));
    if found.table_status() == Some(&TableStatus::Deleting) || !replicates {
        return Ok(None);
    }
    let outputs = outputs(context, table);
    let (recovery_days, tags) =
        tokio::try_join!(dynamodb::recovery_days(context, name), dynamodb::list_tags(context, outputs.arn.as_str()))?;
    let key = found.sse_description().and_then(|sse| sse.kms_master_key_arn()).unwrap_or_default();
    let spec = ReplicaSpec { table: wanted.table.clone(), key: Ref::Known(key.into()), recovery_days };
    Ok(Some(Object { spec, outputs, tags }))
}

fn outputs(context: &Context, table: &TableArn) -> ReplicaOutputs {
    let arn = table.as_str().replacen(region_of(table), context.scope().as_str(), 1);
    ReplicaOutputs { arn: arn.into() }
}

/// The region in a table's ARN.
fn region_of(table: &TableArn) -> &str {
    table.as_str().split(':').nth(3).unwrap_or_default()
}

/// The name in a table's ARN.
fn name_of(table: &TableArn) -> &str {
    table.as_str().rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_and_name_are_read_from_the_arn() {
        let arn = TableArn::from("arn:aws:dynamodb:us-east-1:123456789012:table/dr-payments-dev");
        assert_eq!((region_of(&arn), name_of(&arn)), ("us-east-1", "dr-payments-dev"));
    }
}
