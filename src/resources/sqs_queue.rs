//! `sqs_queue`: a standard queue with its policy and its dead-letter queue.
//!
//! Facts: `sqs.create` (an exact repeat answers the URL of the first), `sqs.recreate-60s` (a name is free a minute after its
//! queue was deleted), `x.error-code-sqs` (in two spellings), `sqs.read` (every attribute is a string), `sqs.attributes-lag`
//! (policies come back normalised), `sqs.delete` (reads succeed for a while after it), `sqs.dlq` (the dead-letter queue exists
//! first), `sqs.kms` (EventBridge needs the key's policy).
//! Replacement: `name`. Slow: creation, when a queue of the same name was deleted less than a minute ago.
//!
//! A queue's policy is one of its attributes, so it is a field here and no resource of its own. It names the rules that may
//! send by their fixed ARNs, because a reference would make the rule and its queue wait for each other.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_sqs::types::QueueAttributeName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::existing;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Policy, Tags};
use crate::outputs;
use crate::reference::{KeyArn, QueueArn, QueueUrl, Ref};

/// How many looks in a row must not find a deleted queue: one alone proves nothing (`sqs.delete`).
const LOOKS_UNTIL_GONE: u32 = 3;

/// The kind.
#[derive(Debug)]
pub struct Queue;

/// The desired properties of a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueSpec {
    /// The name.
    pub name: String,
    /// The key that encrypts the messages; without one SQS uses a key of its own.
    pub kms_key: Option<Ref<KeyArn>>,
    /// Seconds a message waits for a consumer.
    pub retention_seconds: u32,
    /// Seconds a consumer has before the message appears again.
    pub visibility_timeout_seconds: u32,
    /// Seconds a receiving call waits for a message; 0 answers at once.
    pub receive_wait_seconds: u32,
    /// Where messages go that nobody manages to handle.
    pub dead_letter: Option<DeadLetter>,
    /// Who may send and receive besides the account's own identities.
    pub policy: Option<Policy>,
}

/// Where messages go that nobody manages to handle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The queue they go to.
    pub queue: Ref<QueueArn>,
    /// How often a message is received before it goes there.
    pub max_receives: u32,
}

outputs! {
    /// What is known of a queue once it exists.
    pub struct QueueOutputs of Queue {
        /// The ARN.
        arn: QueueArn,
        /// The address that consumers read.
        url: QueueUrl,
        /// The name: the dimension of its metrics.
        name: String,
    }
}

impl Kind for Queue {
    type Spec = QueueSpec;
    type Outputs = QueueOutputs;

    const TRAITS: Traits = Traits {
        name: "sqs_queue",
        taggable: true,
        // Messages that nobody has read yet are lost with their queue.
        data_bearing: true,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 10),
        permissions: Permissions {
            read: &["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ListQueueTags", "tag:GetResources"],
            change: &[
                "sqs:CreateQueue",
                "sqs:SetQueueAttributes",
                "sqs:TagQueue",
                "sqs:UntagQueue",
                "sqs:DeleteQueue",
                "kms:Decrypt",
                "kms:GenerateDataKey",
            ],
        },
        retries: &[
            Retry::seconds("sqs:CreateQueue", "AWS.SimpleQueueService.QueueDeletedRecently", "", 90),
            Retry::seconds("sqs:CreateQueue", "QueueDeletedRecently", "", 90),
            Retry::seconds("sqs:CreateQueue", "InvalidParameterValue", "does not exist", 60),
            Retry::seconds("sqs:SetQueueAttributes", "InvalidParameterValue", "does not exist", 60),
            Retry::seconds("sqs:SetQueueAttributes", "AWS.SimpleQueueService.NonExistentQueue", "", 20),
            Retry::seconds("sqs:SetQueueAttributes", "QueueDoesNotExist", "", 20),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| look(context, wanted)).await
    }

    async fn ensure(task: &Task<'_>, spec: &QueueSpec, object: Option<Object<Self>>) -> Result<QueueOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let clients = task.clients();
        let url = object.outputs.url.as_str();
        let changes = changes(&object.spec, spec);
        if !changes.is_empty() {
            task.call("sqs:SetQueueAttributes", || {
                clients.sqs().set_queue_attributes().queue_url(url).set_attributes(Some(changes.clone())).send()
            })
            .await?;
        }
        sync_tags(task, url, &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &QueueSpec, outputs: &QueueOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let url = outputs.url.as_str();
        match task.call("sqs:DeleteQueue", || clients.sqs().delete_queue().queue_url(url).send()).await {
            Err(error) if error.is_gone() => return Ok(Deletion::Gone),
            deleted => deleted?,
        };
        let missed = AtomicU32::new(0);
        task.wait("the queue to be gone", Patience::seconds(180, 3), || gone(task, url, &missed)).await?;
        Ok(Deletion::Gone)
    }
}

async fn look(context: &Context, wanted: &Wanted<Queue>) -> Result<Option<Object<Queue>>> {
    let clients = context.clients();
    let name = wanted.spec.name.as_str();
    let url = match &wanted.outputs {
        Some(outputs) => outputs.url.clone(),
        None => {
            let found = context.call("sqs:GetQueueUrl", || clients.sqs().get_queue_url().queue_name(name).send()).await;
            match found {
                Err(error) if error.is_gone() => return Ok(None),
                found => {
                    let missing = || Error::incomplete("sqs:GetQueueUrl", "QueueUrl");
                    found?.queue_url().ok_or_else(missing)?.into()
                }
            }
        }
    };
    let (attributes, tags) = tokio::join!(
        context.call("sqs:GetQueueAttributes", || {
            let all = QueueAttributeName::All;
            clients.sqs().get_queue_attributes().queue_url(url.as_str()).attribute_names(all).send()
        }),
        tags_of(context, name, url.as_str()),
    );
    let attributes = match attributes {
        Err(error) if error.is_gone() => return Ok(None),
        attributes => attributes?.attributes.unwrap_or_default(),
    };
    let tags = match tags {
        Err(error) if error.is_gone() => return Ok(None),
        tags => tags?,
    };
    let spec = parse(&attributes)?;
    let arn = attributes.get(&QueueAttributeName::QueueArn).map(String::as_str).unwrap_or_default().into();
    let outputs = QueueOutputs { arn, url, name: spec.name.clone() };
    Ok(Some(Object { spec, outputs, tags }))
}

async fn tags_of(context: &Context, name: &str, url: &str) -> Result<Tags> {
    let arn = format!("arn:aws:sqs:{}:{}:{name}", context.scope(), context.account());
    if let Some(tags) = context.confirmed_tags(&arn).await? {
        return Ok(tags);
    }
    let clients = context.clients();
    let answer = context.call("sqs:ListQueueTags", || clients.sqs().list_queue_tags().queue_url(url).send()).await?;
    Ok(answer.tags.unwrap_or_default().into_iter().collect())
}

async fn create(task: &Task<'_>, spec: &QueueSpec) -> Result<Object<Queue>> {
    let clients = task.clients();
    let attributes: HashMap<_, _> = attributes(spec).into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let tags: HashMap<_, _> = task.tags.clone().into_iter().collect();
    let created = task
        .call("sqs:CreateQueue", || {
            clients
                .sqs()
                .create_queue()
                .queue_name(&spec.name)
                .set_attributes(Some(attributes.clone()))
                .set_tags(Some(tags.clone()))
                .send()
        })
        .await;
    let created = match created {
        Err(error) if is_taken(&error) => {
            return existing::own(task, spec, &format!("the queue {}", spec.name), error).await;
        }
        created => created?,
    };
    let url = created.queue_url().ok_or_else(|| Error::incomplete("sqs:CreateQueue", "QueueUrl"))?;
    let arn = format!("arn:aws:sqs:{}:{}:{}", task.scope(), task.account(), spec.name);
    let outputs = QueueOutputs { arn: arn.into(), url: url.into(), name: spec.name.clone() };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

/// The name is in use by a queue with other attributes: a second look tells whose it is (`sqs.create`).
fn is_taken(error: &Error) -> bool {
    error.is(&["QueueAlreadyExists", "QueueNameExists"])
}

async fn gone(task: &Task<'_>, url: &str, missed: &AtomicU32) -> Result<Look<()>> {
    let clients = task.clients();
    let arn = QueueAttributeName::QueueArn;
    let found = task
        .call("sqs:GetQueueAttributes", || {
            clients.sqs().get_queue_attributes().queue_url(url).attribute_names(arn.clone()).send()
        })
        .await;
    match found {
        Err(error) if !error.is_gone() => Err(error),
        found => Ok(note(missed, found.is_ok())),
    }
}

/// Counts the looks in a row that do not find the queue.
fn note(missed: &AtomicU32, found: bool) -> Look<()> {
    let count = if found { 0 } else { missed.load(Ordering::Relaxed) + 1 };
    missed.store(count, Ordering::Relaxed);
    if count >= LOOKS_UNTIL_GONE { Look::Ready(()) } else { Look::Pending("being deleted".to_owned()) }
}

async fn sync_tags(task: &Task<'_>, url: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set: HashMap<_, _> = changes.set.into_iter().collect();
        task.call("sqs:TagQueue", || clients.sqs().tag_queue().queue_url(url).set_tags(Some(set.clone())).send())
            .await?;
    }
    if !changes.remove.is_empty() {
        task.call("sqs:UntagQueue", || {
            clients.sqs().untag_queue().queue_url(url).set_tag_keys(Some(changes.remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}

/// The attributes that say what the spec says; an empty text takes an attribute away.
fn attributes(spec: &QueueSpec) -> BTreeMap<QueueAttributeName, String> {
    let redrive = spec.dead_letter.as_ref().map(|dead_letter| {
        let arn = dead_letter.queue.known().as_str();
        json!({ "deadLetterTargetArn": arn, "maxReceiveCount": dead_letter.max_receives }).to_string()
    });
    BTreeMap::from([
        (QueueAttributeName::MessageRetentionPeriod, spec.retention_seconds.to_string()),
        (QueueAttributeName::VisibilityTimeout, spec.visibility_timeout_seconds.to_string()),
        (QueueAttributeName::ReceiveMessageWaitTimeSeconds, spec.receive_wait_seconds.to_string()),
        (QueueAttributeName::RedrivePolicy, redrive.unwrap_or_default()),
        (QueueAttributeName::Policy, spec.policy.as_ref().map(Policy::text).unwrap_or_default()),
        // The two ways of encrypting exclude each other, so a change between them says both.
        (
            QueueAttributeName::KmsMasterKeyId,
            spec.kms_key.as_ref().map(|key| key.known().to_string()).unwrap_or_default(),
        ),
        (QueueAttributeName::SqsManagedSseEnabled, spec.kms_key.is_none().to_string()),
    ])
}

/// The attributes to set, so that a queue of the one spec becomes one of the other.
fn changes(actual: &QueueSpec, desired: &QueueSpec) -> HashMap<QueueAttributeName, String> {
    let actual = attributes(actual);
    attributes(desired).into_iter().filter(|(name, value)| actual.get(name) != Some(value)).collect()
}

fn parse(attributes: &HashMap<QueueAttributeName, String>) -> Result<QueueSpec> {
    let text = |name: &QueueAttributeName| attributes.get(name).filter(|value| !value.is_empty());
    let missing = |name: &QueueAttributeName| Error::incomplete("sqs:GetQueueAttributes", name.as_str());
    let number =
        |name: QueueAttributeName| text(&name).and_then(|value| value.parse().ok()).ok_or_else(|| missing(&name));
    let arn = text(&QueueAttributeName::QueueArn).ok_or_else(|| missing(&QueueAttributeName::QueueArn))?;
    Ok(QueueSpec {
        name: arn.rsplit(':').next().unwrap_or_default().to_owned(),
        kms_key: text(&QueueAttributeName::KmsMasterKeyId).map(|key| Ref::Known(key.as_str().into())),
        retention_seconds: number(QueueAttributeName::MessageRetentionPeriod)?,
        visibility_timeout_seconds: number(QueueAttributeName::VisibilityTimeout)?,
        receive_wait_seconds: number(QueueAttributeName::ReceiveMessageWaitTimeSeconds)?,
        dead_letter: text(&QueueAttributeName::RedrivePolicy).and_then(|redrive| dead_letter(redrive)),
        policy: text(&QueueAttributeName::Policy)
            .map(|policy| Policy::read("sqs:GetQueueAttributes", policy))
            .transpose()?,
    })
}

/// Reads a redrive policy, whose count AWS gives back as a number or as a string, as it was set.
fn dead_letter(redrive: &str) -> Option<DeadLetter> {
    let redrive: Value = serde_json::from_str(redrive).ok()?;
    let count = redrive.get("maxReceiveCount")?;
    let max_receives = count.as_u64().or_else(|| count.as_str()?.parse().ok())?;
    Some(DeadLetter {
        queue: Ref::Known(redrive.get("deadLetterTargetArn")?.as_str()?.into()),
        max_receives: u32::try_from(max_receives).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    fn spec() -> QueueSpec {
        QueueSpec {
            name: "dr-payments-us-east-1-dev".into(),
            kms_key: Some(Ref::Known("arn:aws:kms:us-east-1:1:key/k".into())),
            retention_seconds: 345_600,
            visibility_timeout_seconds: 180,
            receive_wait_seconds: 20,
            dead_letter: Some(DeadLetter { queue: Ref::Known("arn:aws:sqs:us-east-1:1:dead".into()), max_receives: 5 }),
            policy: Some(Policy::new(vec![json!({ "Effect": "Allow", "Action": ["sqs:SendMessage"] })])),
        }
    }

    /// Invariant 6 of the kinds, for a queue that AWS describes in its own words.
    #[test]
    fn what_was_set_reads_back_as_the_spec() {
        let mut told: HashMap<_, _> = attributes(&spec()).into_iter().collect();
        told.insert(QueueAttributeName::QueueArn, "arn:aws:sqs:us-east-1:1:dr-payments-us-east-1-dev".into());
        told.insert(QueueAttributeName::SqsManagedSseEnabled, "false".into());
        told.insert(
            QueueAttributeName::RedrivePolicy,
            r#"{"maxReceiveCount":"5","deadLetterTargetArn":"arn:aws:sqs:us-east-1:1:dead"}"#.into(),
        );
        told.insert(
            QueueAttributeName::Policy,
            r#"{"Statement":[{"Action":"sqs:SendMessage","Effect":"Allow"}],"Version":"2012-10-17"}"#.into(),
        );
        assert_eq!(parse(&told).unwrap(), spec());
    }

    /// `sqs.create`
    #[test]
    fn a_name_in_use_is_told_from_one_that_is_not_free_yet() {
        let taken = |code: &str| is_taken(&Refusal { code: code.into(), ..Refusal::default() }.into());
        assert!(taken("QueueAlreadyExists") && taken("QueueNameExists"));
        assert!(!taken("QueueDeletedRecently"));
    }

    /// `sqs.delete`
    #[test]
    fn a_queue_is_gone_after_a_row_of_looks_that_do_not_find_it() {
        let missed = AtomicU32::new(0);
        for found in [false, false, true, false, false] {
            assert!(matches!(note(&missed, found), Look::Pending(_)));
        }
        assert!(matches!(note(&missed, false), Look::Ready(())));
    }

    #[test]
    fn only_what_differs_is_set_and_what_is_gone_is_emptied() {
        assert!(changes(&spec(), &spec()).is_empty());
        let desired = QueueSpec { visibility_timeout_seconds: 60, dead_letter: None, kms_key: None, ..spec() };
        let expected = HashMap::from([
            (QueueAttributeName::VisibilityTimeout, "60".to_owned()),
            (QueueAttributeName::RedrivePolicy, String::new()),
            (QueueAttributeName::KmsMasterKeyId, String::new()),
            (QueueAttributeName::SqsManagedSseEnabled, "true".to_owned()),
        ]);
        assert_eq!(changes(&spec(), &desired), expected);
    }
}
