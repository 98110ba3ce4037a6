//! `eventbridge_archive`: keeps the events of a bus for replay.
//!
//! Facts: `eb.archive` (makes a rule of its own on the bus, so it is deleted before the bus; events arrive in it late),
//! `eb.bus.kms` (an encrypted bus wants its archive encrypted too), `eb.concurrent`, `x.tags-on-create` (archives carry no tags).
//! Replacement: `name`, `bus`. Slow: nothing.

use aws_sdk_eventbridge::operation::describe_archive::DescribeArchiveOutput;
use aws_sdk_eventbridge::operation::update_archive::builders::UpdateArchiveInputBuilder;
use aws_sdk_eventbridge::types::ArchiveState;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::eventbridge;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted,
};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{EventArchiveArn, EventBusArn, KeyArn, Ref};

/// How long an archive may take to be made, changed or deleted.
const PATIENCE: Patience = Patience::seconds(300, 5);

/// The kind.
#[derive(Debug)]
pub struct Archive;

/// The desired properties of an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArchiveSpec {
    /// The name, unique in its region, at most 48 characters.
    pub name: String,
    /// The bus.
    pub bus: Ref<EventBusArn>,
    /// What it is for.
    pub description: String,
    /// The event pattern; without one every event is kept.
    pub pattern: Option<Value>,
    /// Days events are kept; 0 keeps them for ever.
    pub retention_days: u32,
    /// The key that encrypts the events; without one EventBridge uses a key of its own.
    pub kms_key: Option<Ref<KeyArn>>,
}

outputs! {
    /// What is known of an archive once it exists.
    pub struct ArchiveOutputs of Archive {
        /// The ARN: where a replay takes its events from.
        arn: EventArchiveArn,
    }
}

impl Kind for Archive {
    type Spec = ArchiveSpec;
    type Outputs = ArchiveOutputs;

    const TRAITS: Traits = Traits {
        name: "eventbridge_archive",
        taggable: false,
        data_bearing: true,
        adoption: Adoption::ByName,
        immutable: &["name", "bus"],
        locked_by: None,
        expected: Expected::seconds(5, 5, 5),
        permissions: Permissions {
            read: &["events:DescribeArchive"],
            change: &[
                "events:CreateArchive",
                "events:UpdateArchive",
                "events:DeleteArchive",
                "events:PutRule",
                "events:PutTargets",
                "events:DeleteRule",
                "events:RemoveTargets",
                "kms:DescribeKey",
            ],
        },
        retries: &[
            Retry::seconds("events:CreateArchive", "ConcurrentModificationException", "", 120),
            Retry::seconds("events:CreateArchive", "ResourceNotFoundException", "", 60),
            Retry::seconds("events:UpdateArchive", "ConcurrentModificationException", "", 120),
            Retry::seconds("events:DeleteArchive", "ConcurrentModificationException", "", 120),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::apart("bus"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context
            .each(wanted, |wanted| async move {
                let archive = describe(context, &wanted.spec.name).await?;
                archive.map(|archive| parse(&archive, &wanted.spec.name)).transpose()
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &ArchiveSpec, object: Option<Object<Self>>) -> Result<ArchiveOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        if object.spec != *spec {
            let clients = task.clients();
            let changes = changes(&object.spec, spec);
            let updated =
                task.call("events:UpdateArchive", || changes.clone().send_with(clients.eventbridge())).await?;
            if updated.state() != Some(&ArchiveState::Enabled) {
                task.wait("the archive to be enabled", PATIENCE, || enabled(task, &spec.name)).await?;
            }
        }
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &ArchiveSpec, _: &ArchiveOutputs) -> Result<Deletion> {
        match delete(task, &spec.name).await {
            Err(error) if error.is_gone() => return Ok(Deletion::Gone),
            deleted => deleted?,
        }
        task.wait("the archive to be gone", PATIENCE, || async {
            Ok(match describe(task, &spec.name).await? {
                Some(_) => Look::Pending("being deleted".to_owned()),
                None => Look::Ready(()),
            })
        })
        .await?;
        Ok(Deletion::Gone)
    }
}

async fn create(task: &Task<'_>, spec: &ArchiveSpec) -> Result<Object<Archive>> {
    let clients = task.clients();
    let created = task
        .call("events:CreateArchive", || {
            clients
                .eventbridge()
                .create_archive()
                .archive_name(&spec.name)
                .event_source_arn(spec.bus.known())
                .description(&spec.description)
                .set_event_pattern(pattern(spec))
                .retention_days(days(spec))
                .set_kms_key_identifier(key(spec))
                .send()
        })
        .await?;
    let arn = created.archive_arn().ok_or_else(|| Error::incomplete("events:CreateArchive", "ArchiveArn"))?;
    let outputs = ArchiveOutputs { arn: arn.into() };
    task.identified(&outputs).await?;
    if created.state() != Some(&ArchiveState::Enabled) {
        let waited = task.wait("the archive to be enabled", PATIENCE, || enabled(task, &spec.name)).await;
        if let Err(error @ Error::Failed(_)) = waited {
            // An archive whose creation failed stays, useless, and keeps its name from the next try.
            delete(task, &spec.name).await?;
            return Err(error);
        }
        waited?;
    }
    Ok(Object { spec: spec.clone(), outputs, tags: Tags::new() })
}

async fn enabled(task: &Task<'_>, name: &str) -> Result<Look<()>> {
    let Some(archive) = describe(task, name).await? else { return Ok(Look::Pending("not visible yet".to_owned())) };
    match archive.state() {
        Some(ArchiveState::Enabled) => Ok(Look::Ready(())),
        Some(state @ (ArchiveState::CreateFailed | ArchiveState::UpdateFailed)) => Err(Error::Failed(format!(
            "the archive {name} is {state}: {}",
            archive.state_reason().unwrap_or("AWS gives no reason")
        ))),
        state => Ok(Look::Pending(state.map_or("in no state", ArchiveState::as_str).to_owned())),
    }
}

async fn describe(context: &Context, name: &str) -> Result<Option<DescribeArchiveOutput>> {
    let clients = context.clients();
    let archive = context
        .call("events:DescribeArchive", || clients.eventbridge().describe_archive().archive_name(name).send())
        .await;
    match archive {
        Err(error) if error.is_gone() => Ok(None),
        archive => archive.map(Some),
    }
}

async fn delete(task: &Task<'_>, name: &str) -> Result<()> {
    let clients = task.clients();
    task.call("events:DeleteArchive", || clients.eventbridge().delete_archive().archive_name(name).send()).await?;
    Ok(())
}

/// What an archive is told to become. An empty text takes a pattern or a key away, and is sent where there is one to
/// take away only: AWS wants no empty pattern for an archive that has none (`eb.archive.update`).
fn changes(actual: &ArchiveSpec, spec: &ArchiveSpec) -> UpdateArchiveInputBuilder {
    let away = |is_there: bool| is_there.then(String::new);
    UpdateArchiveInputBuilder::default()
        .archive_name(&spec.name)
        .description(&spec.description)
        .retention_days(days(spec))
        .set_event_pattern(pattern(spec).or(away(actual.pattern.is_some())))
        .set_kms_key_identifier(key(spec).or(away(actual.kms_key.is_some())))
}

fn key(spec: &ArchiveSpec) -> Option<String> {
    spec.kms_key.as_ref().map(|key| key.known().to_string())
}

fn pattern(spec: &ArchiveSpec) -> Option<String> {
    spec.pattern.as_ref().map(Value::to_string)
}

fn days(spec: &ArchiveSpec) -> i32 {
    i32::try_from(spec.retention_days).expect("the plan limits the retention")
}

fn parse(archive: &DescribeArchiveOutput, name: &str) -> Result<Object<Archive>> {
    let arn = archive.archive_arn().ok_or_else(|| Error::incomplete("events:DescribeArchive", "ArchiveArn"))?;
    let missing = || Error::incomplete("events:DescribeArchive", "EventSourceArn");
    let bus = archive.event_source_arn().ok_or_else(missing)?;
    let spec = ArchiveSpec {
        name: name.to_owned(),
        bus: Ref::Known(bus.into()),
        description: archive.description().unwrap_or_default().to_owned(),
        pattern: archive.event_pattern().filter(|pattern| !pattern.is_empty()).map(eventbridge::json),
        retention_days: archive.retention_days().unwrap_or_default().unsigned_abs(),
        kms_key: archive.kms_key_identifier().filter(|key| !key.is_empty()).map(|key| Ref::Known(key.into())),
    };
    Ok(Object { spec, outputs: ArchiveOutputs { arn: arn.into() }, tags: Tags::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of the retention alone says nothing of a pattern and a key that the archive never had.
    #[test]
    fn what_is_not_meant_is_not_sent() {
        let plain = ArchiveSpec {
            name: "a".into(),
            bus: Ref::Known("arn:bus".into()),
            description: "d".into(),
            pattern: None,
            retention_days: 30,
            kms_key: None,
        };
        let longer = ArchiveSpec { retention_days: 60, ..plain.clone() };
        let sent = |actual, wanted| {
            let sent = changes(actual, wanted);
            (sent.get_event_pattern().clone(), sent.get_kms_key_identifier().clone(), *sent.get_retention_days())
        };
        assert_eq!(sent(&plain, &longer), (None, None, Some(60)));

        let special = ArchiveSpec {
            pattern: Some(serde_json::json!({ "source": ["a"] })),
            kms_key: Some(Ref::Known("arn:key".into())),
            ..plain.clone()
        };
        let whole = (Some(r#"{"source":["a"]}"#.to_owned()), Some("arn:key".to_owned()), Some(30));
        assert_eq!(sent(&plain, &special), whole);
        assert_eq!(sent(&special, &plain), (Some(String::new()), Some(String::new()), Some(30)));
    }

    /// Invariant 6 of the kinds: AWS writes "no pattern" and "no key" as empty texts.
    #[test]
    fn an_archive_of_everything_has_no_pattern() {
        let archive = DescribeArchiveOutput::builder()
            .archive_arn("arn:aws:events:us-east-1:1:archive/a")
            .event_source_arn("arn:aws:events:us-east-1:1:event-bus/b")
            .event_pattern("")
            .kms_key_identifier("")
            .retention_days(30)
            .build();
        let object = parse(&archive, "a").unwrap();
        assert_eq!(
            object.spec,
            ArchiveSpec {
                name: "a".into(),
                bus: Ref::Known("arn:aws:events:us-east-1:1:event-bus/b".into()),
                description: String::new(),
                pattern: None,
                retention_days: 30,
                kms_key: None,
            }
        );
    }
}
