//! `sns_topic`: a topic with its policy and its key.
//!
//! Facts: `sns.topic.create` (idempotent by name), `sns.topic.read` (the policy comes back normalised), `sns.topic.kms` (only a
//! customer's key lets alarms publish to an encrypted topic), `sns.topic.policy` (a policy of our own takes the account's
//! default rights away, so it restates them), `sns.topic.delete`.
//! Replacement: `name`. Slow: nothing.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sns::types::Tag;
use serde::{Deserialize, Serialize};

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, Policy, Tags};
use crate::outputs;
use crate::reference::{KeyArn, Ref, TopicArn};

/// The kind.
#[derive(Debug)]
pub struct Topic;

/// The desired properties of a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicSpec {
    /// The name.
    pub name: String,
    /// The sender that e-mails show.
    pub display_name: String,
    /// The key that encrypts the messages while SNS holds them.
    pub kms_key: Option<Ref<KeyArn>>,
    /// Who may publish and manage.
    pub policy: Policy,
}

outputs! {
    /// What is known of a topic once it exists.
    pub struct TopicOutputs of Topic {
        /// The ARN.
        arn: TopicArn,
    }
}

impl Kind for Topic {
    type Spec = TopicSpec;
    type Outputs = TopicOutputs;

    const TRAITS: Traits = Traits {
        name: "sns_topic",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["sns:GetTopicAttributes", "sns:ListTagsForResource", "tag:GetResources"],
            change: &[
                "sns:CreateTopic",
                "sns:SetTopicAttributes",
                "sns:TagResource",
                "sns:UntagResource",
                "sns:DeleteTopic",
            ],
        },
        retries: &[
            // A policy may name a role made a moment ago.
            Retry::seconds("sns:CreateTopic", "InvalidParameter", "PrincipalNotFound", 120),
            Retry::seconds("sns:SetTopicAttributes", "InvalidParameter", "PrincipalNotFound", 120),
            // The rights of the caller may depend on the tags of a topic made a moment ago.
            Retry::seconds("sns:SetTopicAttributes", "AuthorizationError", "SNS:SetTopicAttributes", 120),
            Retry::seconds("sns:SetTopicAttributes", "NotFound", "", 60),
            Retry::seconds("sns:TagResource", "ConcurrentAccess", "", 60),
            Retry::seconds("sns:UntagResource", "ConcurrentAccess", "", 60),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| look(context, wanted)).await
    }

    async fn ensure(task: &Task<'_>, spec: &TopicSpec, object: Option<Object<Self>>) -> Result<TopicOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let clients = task.clients();
        let arn = object.outputs.arn.as_str();
        for (name, value) in changes(&object.spec, spec) {
            task.call("sns:SetTopicAttributes", || {
                let request = clients.sns().set_topic_attributes().topic_arn(arn);
                request.attribute_name(name).attribute_value(&value).send()
            })
            .await?;
        }
        sync_tags(task, arn, &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &TopicSpec, outputs: &TopicOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let arn = outputs.arn.as_str();
        match task.call("sns:DeleteTopic", || clients.sns().delete_topic().topic_arn(arn).send()).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn look(context: &Context, wanted: &Wanted<Topic>) -> Result<Option<Object<Topic>>> {
    let clients = context.clients();
    let arn = match &wanted.outputs {
        Some(outputs) => outputs.arn.to_string(),
        None => format!("arn:aws:sns:{}:{}:{}", context.scope(), context.account(), wanted.spec.name),
    };
    let (attributes, tags) = tokio::join!(
        context.call("sns:GetTopicAttributes", || clients.sns().get_topic_attributes().topic_arn(&arn).send()),
        tags_of(context, &arn),
    );
    let attributes = match attributes {
        Err(error) if error.is_gone() => return Ok(None),
        attributes => attributes?.attributes.unwrap_or_default(),
    };
    let tags = match tags {
        Err(error) if error.is_gone() => return Ok(None),
        tags => tags?,
    };
    for name in ["TopicArn", "Policy"] {
        if !attributes.contains_key(name) {
            return Err(Error::incomplete("sns:GetTopicAttributes", name));
        }
    }
    let spec = parse(&arn, &attributes)?;
    Ok(Some(Object { spec, outputs: TopicOutputs { arn: arn.into() }, tags }))
}

async fn tags_of(context: &Context, arn: &str) -> Result<Tags> {
    if let Some(tags) = context.confirmed_tags(arn).await? {
        return Ok(tags);
    }
    let clients = context.clients();
    let answer = context
        .call("sns:ListTagsForResource", || clients.sns().list_tags_for_resource().resource_arn(arn).send())
        .await?;
    Ok(answer.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
}

async fn create(task: &Task<'_>, spec: &TopicSpec) -> Result<Object<Topic>> {
    let clients = task.clients();
    let attributes: HashMap<_, _> = attributes(spec)
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let tags = sdk_tags(&task.tags);
    let created = task
        .call("sns:CreateTopic", || {
            let request = clients.sns().create_topic().name(&spec.name);
            request.set_attributes(Some(attributes.clone())).set_tags(Some(tags.clone())).send()
        })
        .await?;
    let arn = created.topic_arn().ok_or_else(|| Error::incomplete("sns:CreateTopic", "TopicArn"))?;
    let outputs = TopicOutputs { arn: arn.into() };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

async fn sync_tags(task: &Task<'_>, arn: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = sdk_tags(&changes.set);
        task.call("sns:TagResource", || {
            clients.sns().tag_resource().resource_arn(arn).set_tags(Some(set.clone())).send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        task.call("sns:UntagResource", || {
            clients.sns().untag_resource().resource_arn(arn).set_tag_keys(Some(changes.remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}

fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build().expect("a tag has a key and a value");
    tags.iter().map(tag).collect()
}

fn attributes(spec: &TopicSpec) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("DisplayName", spec.display_name.clone()),
        ("KmsMasterKeyId", spec.kms_key.as_ref().map(|key| key.known().to_string()).unwrap_or_default()),
        ("Policy", spec.policy.text()),
    ])
}

/// The attributes to set, one per request (`sns.topic.create`); an empty value takes the key away.
fn changes(actual: &TopicSpec, wanted: &TopicSpec) -> BTreeMap<&'static str, String> {
    let actual = attributes(actual);
    attributes(wanted).into_iter().filter(|(name, value)| actual.get(name) != Some(value)).collect()
}

fn parse(arn: &str, attributes: &HashMap<String, String>) -> Result<TopicSpec> {
    let text = |name: &str| attributes.get(name).map(String::as_str).unwrap_or_default();
    let key = text("KmsMasterKeyId");
    Ok(TopicSpec {
        name: arn.rsplit(':').next().unwrap_or_default().to_owned(),
        display_name: text("DisplayName").to_owned(),
        kms_key: (!key.is_empty()).then(|| Ref::Known(key.into())),
        policy: Policy::read("sns:GetTopicAttributes", text("Policy"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Invariant 6 of the kinds, for a policy that SNS gives back in its own form.
    #[test]
    fn what_was_set_reads_back_as_the_spec() {
        let spec = TopicSpec {
            name: "dr-failover-us-east-1-dev".into(),
            display_name: "payments".into(),
            kms_key: None,
            policy: Policy::new(vec![json!({ "Effect": "Allow", "Action": ["sns:Publish"], "Resource": "x" })]),
        };
        let policy =
            r#"{"Version":"2012-10-17","Statement":[{"Resource":"x","Action":"sns:Publish","Effect":"Allow"}]}"#;
        let told = HashMap::from([
            ("DisplayName".to_owned(), "payments".to_owned()),
            ("Policy".to_owned(), policy.to_owned()),
            ("SubscriptionsPending".to_owned(), "1".to_owned()),
        ]);
        assert_eq!(parse("arn:aws:sns:us-east-1:1:dr-failover-us-east-1-dev", &told).unwrap(), spec);
    }

    /// `sns.topic.create`
    #[test]
    fn only_what_differs_is_set_and_a_key_is_taken_away_by_an_empty_text() {
        let without = TopicSpec {
            name: "dr-failover-us-east-1-dev".into(),
            display_name: "payments".into(),
            kms_key: None,
            policy: Policy::new(vec![json!({ "Effect": "Allow", "Action": "sns:Publish", "Resource": "x" })]),
        };
        let with = TopicSpec { kms_key: Some(Ref::Known("arn:key".into())), ..without.clone() };
        assert_eq!(changes(&with, &with), BTreeMap::new());
        assert_eq!(changes(&with, &without), BTreeMap::from([("KmsMasterKeyId", String::new())]));
    }
}
