//! `dynamodb_replica`: the copy of a table in another region. Its scope is the copy's region.
//!
//! It is made and removed through the table's own region, which the table's ARN names; its tags and its recovery period are
//! set through its own, since none of them follow the table (`ddb.replica.not-propagated`).
//! Facts: `ddb.replica.create`, `ddb.replica.kms`, `ddb.replica.retry`, `ddb.replica.wait`, `ddb.replica.iam`,
//! `ddb.replica.rekey` (another key is another copy), `ddb.delete.order`, `ddb.delete.24h` (deferred, R6),
//! `ddb.delete.in-use`, `ddb.table.name`. No tags in the create call: between it and the tags the copy is known by its table alone.
//! Replacement: `table`, `key`. Slow: everything (1 to 10 minutes when empty).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use aws_sdk_dynamodb::types::{
    CreateReplicationGroupMemberAction, DeleteReplicationGroupMemberAction, ReplicaDescription, ReplicaStatus,
    ReplicationGroupUpdate, TableDescription, TableStatus,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dynamodb;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{KeyArn, Ref, TableArn};

/// How long a copy may take to come and go, from the wait table of the facts.
const PATIENCE: Patience = Patience::minutes(30);

/// In how many looks a table may look like somebody else's before it counts as that. One that was a replica may for a moment.
const OTHERS: u32 = 4;

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
        let (home, here) = (task.clients_in(region_of(table)), task.scope().as_str());
        let is_accepted = AtomicBool::new(false);
        task.wait("the replica to be gone", PATIENCE, || async {
            // AWS can answer for a moment that there is no such replica: it is told again for as long as the table lists it.
            if !is_accepted.load(Ordering::Relaxed) {
                match update(task, table, &remove).await {
                    Ok(()) => is_accepted.store(true, Ordering::Relaxed),
                    Err(error) if is_no_member(&error) => {}
                    Err(error) => {
                        let deferred = dynamodb::deferred(&error, None, Timestamp::now()).map(Look::Ready);
                        return deferred.ok_or_else(|| dynamodb::explain_protection(error, name_of(table), here));
                    }
                }
            }
            gone(dynamodb::describe(task, &home, name_of(table)).await?.as_ref(), here)
        })
        .await
    }
}

/// Tells whether AWS knows no replica there.
fn is_no_member(error: &Error) -> bool {
    let says = |text: &str| error.says("ValidationException", text);
    error.is_gone() || says("not found") || says("not part of the global table")
}

/// What a table says to one who waits until its replica in a region is gone. The table is done with it when it is active again: only
/// then does it take the next change, its own deletion included.
fn gone(table: Option<&TableDescription>, region: &str) -> Result<Look<Deletion>> {
    let Some(table) = table else { return Ok(Look::Ready(Deletion::Gone)) };
    if let Some(replica) = replica_in(table, region) {
        return Ok(Look::Pending(status(replica)));
    }
    Ok(match dynamodb::usable(Some(table))? {
        Look::Ready(()) => Look::Ready(Deletion::Gone),
        Look::Pending(status) => Look::Pending(format!("the table is {status}")),
    })
}

async fn create(task: &Task<'_>, spec: &ReplicaSpec) -> Result<Object<Replica>> {
    let table = spec.table.known();
    let create = CreateReplicationGroupMemberAction::builder().region_name(task.scope().as_str());
    let create = create.kms_master_key_id(spec.key.known()).build().expect("the one needed field is set");
    let create = ReplicationGroupUpdate::builder().create(create).build();
    let (home, here) = (task.clients_in(region_of(table)), task.clients());
    let looks_like_others = AtomicU32::new(0);
    // What exists already is the replica of an earlier try, the table of a former one on its way out, or somebody's table of that name.
    task.wait("the former replica to be gone", PATIENCE, || async {
        match update(task, table, &create).await {
            Err(error) if error.says("ValidationException", "already exist") => {
                let name = name_of(table);
                let (at_home, found) =
                    tokio::try_join!(dynamodb::describe(task, &home, name), dynamodb::describe(task, &here, name))?;
                if is_another_table(found.as_ref()) && looks_like_others.fetch_add(1, Ordering::Relaxed) >= OTHERS {
                    let text = format!("a table named {name} exists already in {} and is no replica", task.scope());
                    return Err(Error::Taken(text));
                }
                began(at_home.as_ref(), task.scope().as_str())
            }
            created => created.map(Look::Ready),
        }
    })
    .await?;
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
        match look(&found, task.scope().as_str())? {
            Look::Ready(()) => dynamodb::usable(dynamodb::describe(task, &here, name_of(table)).await?.as_ref()),
            pending => Ok(pending),
        }
    })
    .await
}

/// What a table says to one who waits for its replica in a region (`ddb.replica.wait`).
fn look(table: &TableDescription, region: &str) -> Result<Look<()>> {
    let Some(replica) = replica_in(table, region) else { return Ok(Look::Pending("not begun".to_owned())) };
    match replica.replica_status() {
        Some(ReplicaStatus::Active) => Ok(Look::Ready(())),
        Some(
            failed @ (ReplicaStatus::CreationFailed
            | ReplicaStatus::RegionDisabled
            | ReplicaStatus::InaccessibleEncryptionCredentials
            | ReplicaStatus::ReplicationNotAuthorized),
        ) => Err(Error::Failed(format!(
            "the replica of the table {} in {region} is {failed}: {}",
            table.table_name().unwrap_or_default(),
            replica.replica_status_description().unwrap_or("AWS gives no reason")
        ))),
        _ => Ok(Look::Pending(status(replica))),
    }
}

/// Whether a replica that "already exists" is one that comes or stays. The table of one that goes blocks the place for a while after
/// the home table has forgotten it.
fn began(table: Option<&TableDescription>, region: &str) -> Result<Look<()>> {
    let Some(table) = table else { return Ok(Look::Pending("not visible".to_owned())) };
    match replica_in(table, region).and_then(ReplicaDescription::replica_status) {
        Some(ReplicaStatus::Creating | ReplicaStatus::Updating) => Ok(Look::Ready(())),
        _ => look(table, region),
    }
}

/// Whether a table in the replica's region is one of its own (`ddb.table.name`).
fn is_another_table(table: Option<&TableDescription>) -> bool {
    table.is_some_and(|table| table.table_status() == Some(&TableStatus::Active) && table.replicas().is_empty())
}

fn replica_in<'t>(table: &'t TableDescription, region: &str) -> Option<&'t ReplicaDescription> {
    table.replicas().iter().find(|replica| replica.region_name() == Some(region))
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
    use crate::aws::Refusal;

    #[test]
    fn region_and_name_are_read_from_the_arn() {
        let arn = TableArn::from("arn:aws:dynamodb:us-east-1:123456789012:table/dr-payments-dev");
        assert_eq!((region_of(&arn), name_of(&arn)), ("us-east-1", "dr-payments-dev"));
    }

    /// The home table, active, with a replica in the other region if one has a status.
    fn table(status: Option<&str>) -> TableDescription {
        let replica = status.map(|status| {
            let replica = ReplicaDescription::builder().region_name("us-east-2").replica_status(status.into());
            replica.replica_status_description("because of this").build()
        });
        TableDescription::builder()
            .table_name("t")
            .table_status(TableStatus::Active)
            .set_replicas(Some(replica.into_iter().collect()))
            .build()
    }

    /// `ddb.replica.wait`.
    #[test]
    fn a_replica_is_waited_for_until_it_is_active_and_one_that_failed_says_why() {
        let look = |status| look(&table(status), "us-east-2");
        assert!(matches!(look(None), Ok(Look::Pending(state)) if state == "not begun"));
        assert!(matches!(look(Some("CREATING")), Ok(Look::Pending(state)) if state == "CREATING"));
        assert!(matches!(look(Some("ACTIVE")), Ok(Look::Ready(()))));
        for failed in
            ["CREATION_FAILED", "REGION_DISABLED", "INACCESSIBLE_ENCRYPTION_CREDENTIALS", "REPLICATION_NOT_AUTHORIZED"]
        {
            let told = look(Some(failed)).unwrap_err().to_string();
            assert!(told.contains(failed) && told.contains("because of this"), "{told}");
        }
    }

    /// `ddb.replica.rekey`, `ddb.replica.retry`: the table of the former replica exists for a while after it is gone.
    #[test]
    fn what_already_exists_is_the_replica_only_when_the_table_lists_it_as_coming_or_active() {
        for there in ["CREATING", "UPDATING", "ACTIVE"] {
            assert!(matches!(began(Some(&table(Some(there))), "us-east-2"), Ok(Look::Ready(()))), "{there}");
        }
        for former in [None, Some("DELETING")] {
            assert!(matches!(began(Some(&table(former)), "us-east-2"), Ok(Look::Pending(_))), "{former:?}");
        }
        assert!(matches!(began(None, "us-east-2"), Ok(Look::Pending(_))));
    }

    /// `ddb.table.name`
    #[test]
    fn a_table_without_replicas_in_the_other_region_is_another_one() {
        assert!(is_another_table(Some(&table(None))));
        assert!(!is_another_table(Some(&table(Some("ACTIVE")))), "a replica lists the others");
        assert!(!is_another_table(None));
        let going = TableDescription::builder().table_status(TableStatus::Deleting).build();
        assert!(!is_another_table(Some(&going)), "a former replica on its way out");
    }

    /// `ddb.delete.in-use`.
    #[test]
    fn a_replica_is_gone_when_the_table_does_not_list_it_and_is_active_again() {
        let is_gone = |table: Option<&TableDescription>| matches!(gone(table, "us-east-2"), Ok(Look::Ready(_)));
        for listed in ["ACTIVE", "DELETING"] {
            assert!(!is_gone(Some(&table(Some(listed)))), "{listed}");
        }
        let updating = TableDescription::builder().table_status(TableStatus::Updating).build();
        assert!(!is_gone(Some(&updating)));
        assert!(is_gone(Some(&table(None))) && is_gone(None));

        let refused = |code: &str, message: &str| {
            let (code, message) = (code.to_owned(), message.to_owned());
            is_no_member(&Refusal { code, message, ..Refusal::default() }.into())
        };
        let action = "Replica specified in the Replica Update or Replica Delete action of the request was not found";
        assert!(refused("ValidationException", action));
        assert!(refused("ValidationException", "The replica in us-east-2 is not part of the global table"));
        assert!(refused("ResourceNotFoundException", "Requested resource not found"));
        assert!(!refused("ValidationException", "One or more parameter values were invalid"));
    }
}
