//! `dynamodb_table`: an on-demand table, the home of a Global Table.
//!
//! Facts: `ddb.table.create`, `ddb.table.create-errors`, `ddb.table.wait`, `ddb.table.one-change` (each setting has its call,
//! and the table has to be active between them), `ddb.table.sse-wait`, `ddb.table.stream-change`, `ddb.table.replace`,
//! `ddb.table.read`, `ddb.pitr.enable`, `ddb.ttl`, `ddb.delete.24h` (the refusal becomes a deferred deletion, R6), `ddb.delete.wait`, `ddb.list`
//! (few changes of tables at a time). Found by its name, since lists have nothing but names. The copies in other regions are
//! `dynamodb_replica`s; drctl never removes one that it did not make.
//! Replacement: `name`, `hash_key`, `range_key`. Slow: a change of the key (1 to 10 minutes).

use aws_sdk_dynamodb::operation::update_table::builders::UpdateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, SseDescription, SseSpecification,
    SseStatus, SseType, StreamSpecification, StreamViewType, TableDescription, TableStatus, TimeToLiveSpecification,
    TimeToLiveStatus,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dynamodb;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::outputs;
use crate::reference::{KeyArn, Ref, TableArn, TableName};

/// The kind.
#[derive(Debug)]
pub struct Table;

/// The desired properties of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableSpec {
    /// The name, the same in every region of a Global Table.
    pub name: String,
    /// The attribute, a string, by which items are spread and found.
    pub hash_key: String,
    /// The attribute, a string, by which items of one hash key are ordered, if any.
    pub range_key: Option<String>,
    /// `PAY_PER_REQUEST`: what is read and written is paid, nothing has to be provisioned.
    pub billing: String,
    /// What the stream of changes shows; replication needs `NEW_AND_OLD_IMAGES`.
    pub stream: String,
    /// The key of the table's own region that encrypts it.
    pub key: Ref<KeyArn>,
    /// The attribute that holds the second after which an item may be removed, if any.
    pub ttl_attribute: Option<String>,
    /// Days back that the table can be restored to, 1 to 35; nothing when it cannot.
    pub recovery_days: Option<i32>,
    /// Whether AWS refuses to delete it.
    pub deletion_protection: bool,
}

outputs! {
    /// What is known of a table once it exists.
    pub struct TableOutputs of Table {
        /// The name.
        name: TableName,
        /// The ARN.
        arn: TableArn,
    }
}

impl Kind for Table {
    type Spec = TableSpec;
    type Outputs = TableOutputs;

    const TRAITS: Traits = Traits {
        name: "dynamodb_table",
        taggable: true,
        data_bearing: true,
        adoption: Adoption::ByTag,
        immutable: &["name", "hash_key", "range_key"],
        locked_by: None,
        expected: Expected::seconds(30, 60, 30),
        permissions: Permissions {
            read: &[
                "dynamodb:DescribeTable",
                "dynamodb:DescribeContinuousBackups",
                "dynamodb:DescribeTimeToLive",
                "dynamodb:ListTagsOfResource",
                "tag:GetResources",
            ],
            change: &[
                "dynamodb:CreateTable",
                "dynamodb:UpdateTable",
                "dynamodb:UpdateContinuousBackups",
                "dynamodb:UpdateTimeToLive",
                "dynamodb:TagResource",
                "dynamodb:UntagResource",
                "dynamodb:DeleteTable",
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:DescribeKey",
            ],
        },
        retries: &[
            dynamodb::UPDATE_BUSY[0],
            dynamodb::UPDATE_BUSY[1],
            dynamodb::UPDATE_BUSY[2],
            Retry::seconds("dynamodb:CreateTable", "LimitExceededException", "simultaneously", 30 * 60),
            Retry::seconds("dynamodb:UpdateTimeToLive", "ResourceInUseException", "", 300),
            // AWS takes one change an hour, and another attribute is two of them (`ddb.ttl`).
            Retry::seconds("dynamodb:UpdateTimeToLive", "ValidationException", "modified multiple times", 65 * 60),
            Retry::seconds("dynamodb:DeleteTable", "ResourceInUseException", "", 60 * 60),
            Retry::seconds("dynamodb:DeleteTable", "LimitExceededException", "", 10 * 60),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| find(context, &wanted.spec.name)).await
    }

    async fn ensure(task: &Task<'_>, spec: &TableSpec, object: Option<Object<Self>>) -> Result<TableOutputs> {
        let object = match object {
            Some(object) => object,
            None => match create(task, spec).await {
                Err(error) if error.is(&["ResourceInUseException"]) => reclaim(task, spec).await?,
                created => created?,
            },
        };
        let clients = task.clients();
        dynamodb::active(task, &clients, &spec.name).await?;
        sync_table(task, &object.spec, spec).await?;
        if object.spec.recovery_days != spec.recovery_days {
            dynamodb::set_recovery_days(task, &spec.name, spec.recovery_days).await?;
        }
        if object.spec.ttl_attribute != spec.ttl_attribute {
            set_ttl(task, object.spec.ttl_attribute.as_deref(), spec).await?;
        }
        dynamodb::sync_tags(task, object.outputs.arn.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &TableSpec, outputs: &TableOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let name = outputs.name.as_str();
        let deleted =
            task.call("dynamodb:DeleteTable", || clients.dynamodb().delete_table().table_name(name).send()).await;
        match deleted {
            Err(error) if error.is_gone() => return Ok(Deletion::Gone),
            Err(error) => {
                let table = dynamodb::describe(task, &clients, name).await?;
                let created = table.as_ref().and_then(dynamodb::created);
                let deferred = dynamodb::deferred(&error, created, Timestamp::now());
                return deferred.ok_or_else(|| dynamodb::explain_protection(error, name, task.scope().as_str()));
            }
            Ok(_) => {}
        }
        task.wait("the table to be gone", dynamodb::PATIENCE, || async {
            Ok(match dynamodb::describe(task, &clients, name).await? {
                None => Look::Ready(Deletion::Gone),
                Some(_) => Look::Pending("deleting".to_owned()),
            })
        })
        .await
    }
}

async fn create(task: &Task<'_>, spec: &TableSpec) -> Result<Object<Table>> {
    let clients = task.clients();
    let tags = dynamodb::sdk_tags(&task.tags);
    let created = task
        .call("dynamodb:CreateTable", || {
            let request = clients.dynamodb().create_table().table_name(&spec.name);
            let request = request.set_attribute_definitions(Some(attributes(spec))).set_key_schema(Some(keys(spec)));
            let request = request.billing_mode(BillingMode::from(spec.billing.as_str()));
            let request = request.stream_specification(stream(spec)).sse_specification(encryption(spec));
            let request = request.deletion_protection_enabled(spec.deletion_protection);
            request.set_tags(Some(tags.clone())).send()
        })
        .await?;
    let arn = created.table_description().and_then(|table| table.table_arn());
    let arn = arn.ok_or_else(|| Error::incomplete("dynamodb:CreateTable", "TableArn"))?.into();
    let outputs = TableOutputs { name: spec.name.as_str().into(), arn };
    task.identified(&outputs).await?;
    // A new table keeps items for ever and cannot be restored.
    let spec = TableSpec { ttl_attribute: None, recovery_days: None, ..spec.clone() };
    Ok(Object { spec, outputs, tags: task.tags.clone() })
}

/// The name was there although nothing was observed: a table on its way out, one of an earlier try, or somebody else's.
async fn reclaim(task: &Task<'_>, spec: &TableSpec) -> Result<Object<Table>> {
    let clients = task.clients();
    task.wait("the former table to be gone", dynamodb::PATIENCE, || async {
        Ok(departure(dynamodb::describe(task, &clients, &spec.name).await?.as_ref()))
    })
    .await?;
    match find(task, &spec.name).await? {
        None => create(task, spec).await,
        Some(object) if task.owns(&object.tags) => Ok(object),
        Some(_) => Err(Error::Taken(format!(
            "a table named {} exists in {} and does not belong to deployment {}; delete it, or choose another suffix",
            spec.name,
            task.scope(),
            task.suffix()
        ))),
    }
}

/// Whether what is in the way has to be waited for (`ddb.table.create-errors`).
fn departure(table: Option<&TableDescription>) -> Look<()> {
    match table.and_then(TableDescription::table_status) {
        Some(TableStatus::Deleting) => Look::Pending("deleting".to_owned()),
        _ => Look::Ready(()),
    }
}

/// Changes what `UpdateTable` changes, one thing per call, waiting in between.
async fn sync_table(task: &Task<'_>, actual: &TableSpec, spec: &TableSpec) -> Result<()> {
    let clients = task.clients();
    if actual.billing != spec.billing {
        update(task, spec, |request| request.billing_mode(BillingMode::from(spec.billing.as_str()))).await?;
    }
    if actual.key != spec.key {
        update(task, spec, |request| request.sse_specification(encryption(spec))).await?;
        encrypted(task, spec).await?;
    }
    for step in stream_steps(actual, spec) {
        update(task, spec, |request| request.stream_specification(step.clone())).await?;
    }
    if actual.deletion_protection != spec.deletion_protection {
        let name = &spec.name;
        task.call("dynamodb:UpdateTable", || {
            let request = clients.dynamodb().update_table().table_name(name);
            request.deletion_protection_enabled(spec.deletion_protection).send()
        })
        .await?;
        dynamodb::active(task, &clients, name).await?;
    }
    Ok(())
}

async fn update(
    task: &Task<'_>,
    spec: &TableSpec,
    set: impl Fn(UpdateTableFluentBuilder) -> UpdateTableFluentBuilder,
) -> Result<()> {
    let clients = task.clients();
    task.call("dynamodb:UpdateTable", || set(clients.dynamodb().update_table().table_name(&spec.name)).send()).await?;
    dynamodb::active(task, &clients, &spec.name).await
}

/// Waits until the table is encrypted by its new key; AWS may say so once and take it back.
async fn encrypted(task: &Task<'_>, spec: &TableSpec) -> Result<()> {
    let clients = task.clients();
    let done = dynamodb::Twice::default();
    task.wait("the table to be encrypted by its new key", Patience::seconds(20 * 60, 10), || async {
        let table = dynamodb::describe(task, &clients, &spec.name).await?;
        Ok(done.confirm(encrypted_by(spec.key.known(), table.as_ref().and_then(|table| table.sse_description()))))
    })
    .await
}

/// What the encryption of a table says to one who waits until a key encrypts it (`ddb.table.sse-wait`).
fn encrypted_by(key: &KeyArn, now: Option<&SseDescription>) -> Look<()> {
    let is_done = now
        .is_some_and(|now| now.status() == Some(&SseStatus::Enabled) && now.kms_master_key_arn() == Some(key.as_str()));
    let status = now.and_then(SseDescription::status).map_or("unknown", SseStatus::as_str);
    if is_done { Look::Ready(()) } else { Look::Pending(status.to_owned()) }
}

/// Sets which attribute ends an item's life. AWS knows no change of attribute, only off and on.
async fn set_ttl(task: &Task<'_>, actual: Option<&str>, spec: &TableSpec) -> Result<()> {
    let clients = task.clients();
    let steps = [(actual, false), (spec.ttl_attribute.as_deref(), true)];
    for (attribute, enabled) in steps.into_iter().filter_map(|(name, enabled)| Some((name?, enabled))) {
        let ttl = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(enabled).build();
        let ttl = ttl.expect("both fields are set");
        task.call("dynamodb:UpdateTimeToLive", || {
            let request = clients.dynamodb().update_time_to_live().table_name(&spec.name);
            request.time_to_live_specification(ttl.clone()).send()
        })
        .await
        .map_err(|error| explain_ttl(error, &spec.name))?;
    }
    Ok(())
}

/// AWS takes one change of the attribute an hour (`ddb.ttl`), longer than a run should wait.
fn explain_ttl(error: Error, table: &str) -> Error {
    match error {
        Error::Refused(refusal) if refusal.code == "ValidationException" => Error::Failed(format!(
            "{refusal}; AWS takes up to an hour between two changes of the time to live of {table}: run `up` again then"
        )),
        error => error,
    }
}

fn attributes(spec: &TableSpec) -> Vec<AttributeDefinition> {
    let attribute = |name: &String| {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        attribute.build().expect("both fields are set")
    };
    [&spec.hash_key].into_iter().chain(&spec.range_key).map(attribute).collect()
}

fn keys(spec: &TableSpec) -> Vec<KeySchemaElement> {
    let key = |(name, key_type): (&String, KeyType)| {
        KeySchemaElement::builder().attribute_name(name).key_type(key_type).build().expect("both fields are set")
    };
    let range = spec.range_key.iter().map(|name| (name, KeyType::Range));
    [(&spec.hash_key, KeyType::Hash)].into_iter().chain(range).map(key).collect()
}

fn stream(spec: &TableSpec) -> StreamSpecification {
    let view = StreamViewType::from(spec.stream.as_str());
    StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(view)
        .build()
        .expect("the one needed field is set")
}

/// What a stream shows cannot be edited: it is ended and begun again (`ddb.table.stream-change`).
fn stream_steps(actual: &TableSpec, spec: &TableSpec) -> Vec<StreamSpecification> {
    if actual.stream == spec.stream {
        return Vec::new();
    }
    let off = StreamSpecification::builder().stream_enabled(false).build().expect("the one needed field is set");
    let ended = (!actual.stream.is_empty()).then_some(off);
    ended.into_iter().chain([stream(spec)]).collect()
}

fn encryption(spec: &TableSpec) -> SseSpecification {
    SseSpecification::builder().enabled(true).sse_type(SseType::Kms).kms_master_key_id(spec.key.known()).build()
}

async fn find(context: &Context, name: &str) -> Result<Option<Object<Table>>> {
    let clients = context.clients();
    let Some(table) = dynamodb::describe(context, &clients, name).await? else { return Ok(None) };
    if table.table_status() == Some(&TableStatus::Deleting) {
        return Ok(None);
    }
    let arn = dynamodb::told(table.table_arn(), "dynamodb:DescribeTable", "TableArn")?;
    let (recovery_days, ttl_attribute, tags) = tokio::try_join!(
        dynamodb::recovery_days(context, name),
        ttl_attribute(context, name),
        dynamodb::list_tags(context, arn),
    )?;
    let spec = TableSpec { recovery_days, ttl_attribute, ..described(&table)? };
    Ok(Some(Object { spec, outputs: TableOutputs { name: name.into(), arn: arn.into() }, tags }))
}

/// What `DescribeTable` tells.
fn described(table: &TableDescription) -> Result<TableSpec> {
    let operation = "dynamodb:DescribeTable";
    let key = |key_type: KeyType| {
        let key = table.key_schema().iter().find(|key| *key.key_type() == key_type)?;
        Some(key.attribute_name().to_owned())
    };
    let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
    let stream = table.stream_specification().filter(|stream| stream.stream_enabled());
    let stream = stream.and_then(|stream| stream.stream_view_type());
    Ok(TableSpec {
        name: dynamodb::told(table.table_name(), operation, "TableName")?.to_owned(),
        hash_key: dynamodb::told(key(KeyType::Hash), operation, "KeySchema")?,
        range_key: key(KeyType::Range),
        billing: billing.unwrap_or(&BillingMode::Provisioned).as_str().to_owned(),
        stream: stream.map_or("", StreamViewType::as_str).to_owned(),
        key: Ref::Known(table.sse_description().and_then(|sse| sse.kms_master_key_arn()).unwrap_or_default().into()),
        ttl_attribute: None,
        recovery_days: None,
        deletion_protection: table.deletion_protection_enabled().unwrap_or_default(),
    })
}

async fn ttl_attribute(context: &Context, name: &str) -> Result<Option<String>> {
    let clients = context.clients();
    let operation = "dynamodb:DescribeTimeToLive";
    let answer = context.call(operation, || clients.dynamodb().describe_time_to_live().table_name(name).send()).await?;
    let on = |status: &TimeToLiveStatus| matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling);
    let ttl = dynamodb::told(answer.time_to_live_description(), operation, "TimeToLiveDescription")?;
    let ttl = Some(ttl).filter(|ttl| ttl.time_to_live_status().is_some_and(on));
    Ok(ttl.and_then(|ttl| ttl.attribute_name()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;
    use aws_sdk_dynamodb::types::BillingModeSummary;

    /// `ddb.table.create-errors`: the name is taken for as long as the former table is on its way out.
    #[test]
    fn a_table_that_is_being_deleted_is_waited_for_and_one_that_stays_is_not() {
        let table = |status: TableStatus| TableDescription::builder().table_status(status).build();
        assert!(matches!(departure(Some(&table(TableStatus::Deleting))), Look::Pending(_)));
        assert!(matches!(departure(Some(&table(TableStatus::Active))), Look::Ready(())));
        assert!(matches!(departure(None), Look::Ready(())));
    }

    fn spec() -> TableSpec {
        TableSpec {
            name: "dr-payments-dev".into(),
            hash_key: "transactionId".into(),
            range_key: None,
            billing: "PAY_PER_REQUEST".into(),
            stream: "NEW_AND_OLD_IMAGES".into(),
            key: Ref::Known("arn:aws:kms:us-east-1:1:key/k".into()),
            ttl_attribute: None,
            recovery_days: None,
            deletion_protection: false,
        }
    }

    #[test]
    fn a_table_as_desired_is_equal_to_its_spec() {
        let spec = spec();
        let sse = SseDescription::builder().kms_master_key_arn("arn:aws:kms:us-east-1:1:key/k").build();
        let table = TableDescription::builder()
            .table_name(&spec.name)
            .set_key_schema(Some(keys(&spec)))
            .billing_mode_summary(BillingModeSummary::builder().billing_mode(BillingMode::PayPerRequest).build())
            .stream_specification(stream(&spec))
            .sse_description(sse);
        assert_eq!(described(&table.clone().build()).unwrap(), spec);
        for (lacking, field) in
            [(table.clone().set_table_name(None), "TableName"), (table.clone().set_key_schema(None), "KeySchema")]
        {
            let told = described(&lacking.build()).unwrap_err().to_string();
            assert!(told.contains("dynamodb:DescribeTable") && told.contains(field), "{told}");
        }
        let off = StreamSpecification::builder().stream_enabled(false).build().unwrap();
        let changed = described(&table.stream_specification(off).set_billing_mode_summary(None).build()).unwrap();
        assert_eq!((changed.stream.as_str(), changed.billing.as_str()), ("", "PROVISIONED"));
    }

    /// `ddb.table.sse-wait`.
    #[test]
    fn a_table_is_encrypted_when_its_new_key_is_enabled() {
        let is_done = |status: SseStatus, key: &str| {
            let now = SseDescription::builder().status(status).kms_master_key_arn(key).build();
            matches!(encrypted_by(&"arn:new".into(), Some(&now)), Look::Ready(()))
        };
        assert!(!is_done(SseStatus::Updating, "arn:new"));
        assert!(!is_done(SseStatus::Enabled, "arn:old"));
        assert!(is_done(SseStatus::Enabled, "arn:new"));
        assert!(matches!(encrypted_by(&"arn:new".into(), None), Look::Pending(_)));
    }

    /// `ddb.table.stream-change`.
    #[test]
    fn a_stream_is_ended_before_it_shows_something_else() {
        let steps = |from: &str| -> Vec<bool> {
            let steps = stream_steps(&TableSpec { stream: from.into(), ..spec() }, &spec());
            steps.iter().map(StreamSpecification::stream_enabled).collect()
        };
        assert_eq!(steps("KEYS_ONLY"), [false, true]);
        assert_eq!(steps(""), [true]);
        assert_eq!(steps("NEW_AND_OLD_IMAGES"), [false; 0]);
    }

    /// `ddb.ttl`.
    #[test]
    fn a_change_of_the_time_to_live_that_comes_too_early_says_when_it_can_be_made() {
        let refused = |code: &str, message: &str| -> Error {
            Refusal { code: code.into(), message: message.into(), ..Refusal::default() }.into()
        };
        let early = "Time to live has been modified multiple times within a fixed interval";
        let told = explain_ttl(refused("ValidationException", early), "t");
        assert!(matches!(&told, Error::Failed(text) if text.contains("an hour") && text.contains("time to live of t")));
        assert!(explain_ttl(refused("ResourceInUseException", ""), "t").is(&["ResourceInUseException"]));
    }

    /// DynamoDB refuses attributes that no key uses.
    #[test]
    fn exactly_the_key_attributes_are_defined() {
        let spec = TableSpec { range_key: Some("at".into()), ..spec() };
        let names: Vec<_> = attributes(&spec).iter().map(|attribute| attribute.attribute_name().to_owned()).collect();
        assert_eq!(names, ["transactionId", "at"]);
        assert_eq!(keys(&spec).len(), 2);
    }
}
