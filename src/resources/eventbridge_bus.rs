//! `eventbridge_bus`: a custom event bus.
//!
//! Facts: `eb.bus.create` (ready at once), `eb.bus.kms` (a key whose policy does not let EventBridge in loses events silently),
//! `eb.bus.update` (an empty text clears), `eb.bus.delete` (all rules first, those of archives included), `eb.concurrent`.
//! Replacement: `name`. Slow: nothing.

use aws_sdk_eventbridge::operation::update_event_bus::builders::UpdateEventBusInputBuilder;
use serde::{Deserialize, Serialize};

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use super::{eventbridge, existing};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::outputs;
use crate::reference::{EventBusArn, EventBusName, KeyArn, Ref};

/// The kind.
#[derive(Debug)]
pub struct Bus;

/// The desired properties of a bus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BusSpec {
    /// The name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The key that encrypts events at rest; without one EventBridge uses a key of its own.
    pub kms_key: Option<Ref<KeyArn>>,
}

outputs! {
    /// What is known of a bus once it exists.
    pub struct BusOutputs of Bus {
        /// The name.
        name: EventBusName,
        /// The ARN.
        arn: EventBusArn,
    }
}

impl Kind for Bus {
    type Spec = BusSpec;
    type Outputs = BusOutputs;

    const TRAITS: Traits = Traits {
        name: "eventbridge_bus",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 5),
        permissions: Permissions {
            read: &["events:DescribeEventBus", "events:ListTagsForResource", "tag:GetResources"],
            change: &[
                "events:CreateEventBus",
                "events:UpdateEventBus",
                "events:TagResource",
                "events:UntagResource",
                "events:DeleteEventBus",
                "kms:DescribeKey",
            ],
        },
        retries: &[
            Retry::seconds("events:CreateEventBus", "ConcurrentModificationException", "", 120),
            Retry::seconds("events:UpdateEventBus", "ConcurrentModificationException", "", 120),
            Retry::seconds("events:DeleteEventBus", "ConcurrentModificationException", "", 120),
            Retry::seconds("events:DeleteEventBus", "ValidationException", "rules", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| look(context, wanted)).await
    }

    async fn ensure(task: &Task<'_>, spec: &BusSpec, object: Option<Object<Self>>) -> Result<BusOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        if object.spec != *spec {
            let clients = task.clients();
            let changes = changes(&object.spec, spec);
            task.call("events:UpdateEventBus", || changes.clone().send_with(clients.eventbridge())).await?;
        }
        eventbridge::sync_tags(task, object.outputs.arn.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &BusSpec, outputs: &BusOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let name = outputs.name.as_str();
        match task.call("events:DeleteEventBus", || clients.eventbridge().delete_event_bus().name(name).send()).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn look(context: &Context, wanted: &Wanted<Bus>) -> Result<Option<Object<Bus>>> {
    let clients = context.clients();
    let name = wanted.spec.name.as_str();
    let bus =
        context.call("events:DescribeEventBus", || clients.eventbridge().describe_event_bus().name(name).send()).await;
    let bus = match bus {
        Err(error) if error.is_gone() => return Ok(None),
        bus => bus?,
    };
    let arn = bus.arn().ok_or_else(|| Error::incomplete("events:DescribeEventBus", "Arn"))?;
    let tags = match eventbridge::tags(context, arn).await {
        Err(error) if error.is_gone() => return Ok(None),
        tags => tags?,
    };
    let spec = BusSpec {
        name: name.to_owned(),
        description: bus.description().unwrap_or_default().to_owned(),
        kms_key: bus.kms_key_identifier().filter(|key| !key.is_empty()).map(|key| Ref::Known(key.into())),
    };
    Ok(Some(Object { spec, outputs: BusOutputs { name: name.into(), arn: arn.into() }, tags }))
}

/// What a bus is told to become; an empty text takes a description or a key away (`eb.bus.update`), and is sent where
/// there is one to take away only.
fn changes(actual: &BusSpec, spec: &BusSpec) -> UpdateEventBusInputBuilder {
    let key = spec.kms_key.as_ref().map(|key| key.known().to_string());
    let description = Some(&spec.description).filter(|text| !text.is_empty() || !actual.description.is_empty());
    UpdateEventBusInputBuilder::default()
        .name(&spec.name)
        .set_description(description.cloned())
        .set_kms_key_identifier(key.or(actual.kms_key.is_some().then(String::new)))
}

async fn create(task: &Task<'_>, spec: &BusSpec) -> Result<Object<Bus>> {
    let clients = task.clients();
    let tags = eventbridge::sdk_tags(&task.tags);
    let created = task
        .call("events:CreateEventBus", || {
            clients
                .eventbridge()
                .create_event_bus()
                .name(&spec.name)
                .description(&spec.description)
                .set_kms_key_identifier(spec.kms_key.as_ref().map(|key| key.known().to_string()))
                .set_tags(Some(tags.clone()))
                .send()
        })
        .await;
    let created = match created {
        Err(error) if error.is(&["ResourceAlreadyExistsException"]) => {
            return existing::own(task, spec, &format!("the event bus {}", spec.name), error).await;
        }
        created => created?,
    };
    let arn = created.event_bus_arn().ok_or_else(|| Error::incomplete("events:CreateEventBus", "EventBusArn"))?;
    let outputs = BusOutputs { name: spec.name.as_str().into(), arn: arn.into() };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `eb.bus.update`
    #[test]
    fn a_bus_changes_in_place_and_what_is_taken_away_is_sent_as_nothing() {
        let bare = BusSpec { name: "dr-payments-dev".into(), description: String::new(), kms_key: None };
        let (key, description) = (Some(Ref::Known("arn:key".into())), "payments".to_owned());
        let with_key = BusSpec { kms_key: key, description, ..bare.clone() };
        assert_eq!(changes(&bare, &bare).get_kms_key_identifier(), &None);
        let sent = changes(&with_key, &bare).build().unwrap();
        assert_eq!((sent.name(), sent.description()), (Some("dr-payments-dev"), Some("")));
        assert_eq!(sent.kms_key_identifier(), Some(""));
        let sent = changes(&bare, &with_key).build().unwrap();
        assert_eq!(sent.kms_key_identifier(), Some("arn:key"));
        assert_eq!(Bus::TRAITS.immutable, ["name"]);
    }
}
