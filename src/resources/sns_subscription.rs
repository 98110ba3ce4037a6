//! `sns_subscription`: one endpoint that gets the messages of a topic.
//!
//! Facts: `sns.sub.email` (an e-mail address must confirm within three days, else the subscription vanishes and the next `up`
//! asks again; nothing waits for it), `sns.sub.delete` (a subscription that waits for its confirmation cannot be deleted: it goes
//! with its topic or by itself), `sns.topic.delete` (100 per page).
//! Replacement: every field. Slow: nothing.

use aws_sdk_sns::types::Subscription as Subscribed;
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted,
};
use crate::aws::error::Result;
use crate::aws::{Error, Pages, Tags};
use crate::outputs;
use crate::reference::{Ref, SubscriptionArn, TopicArn};

/// What a list says for a while instead of the ARN of a deleted subscription.
const DELETED: &str = "Deleted";

/// The kind.
#[derive(Debug)]
pub struct Subscription;

/// The desired properties of a subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionSpec {
    /// The topic.
    pub topic: Ref<TopicArn>,
    /// How messages are delivered: `email`.
    pub protocol: String,
    /// Where they are delivered.
    pub endpoint: String,
}

outputs! {
    /// What is known of a subscription once it exists.
    pub struct SubscriptionOutputs of Subscription {
        /// The ARN; `PendingConfirmation` where only a list told of it before it was confirmed.
        arn: SubscriptionArn,
        /// The address that has to confirm it before messages are delivered.
        unconfirmed: Option<String>,
    }
}

impl Kind for Subscription {
    type Spec = SubscriptionSpec;
    type Outputs = SubscriptionOutputs;

    const TRAITS: Traits = Traits {
        name: "sns_subscription",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["topic", "protocol", "endpoint"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["sns:ListSubscriptionsByTopic"],
            change: &["sns:Subscribe", "sns:Unsubscribe"],
        },
        retries: &[Retry::seconds("sns:Subscribe", "NotFound", "", 60)],
    };

    const PARENT: Option<Parent> = Some(Parent::apart("topic"));

    fn remark(outputs: &SubscriptionOutputs) -> Option<String> {
        let endpoint = outputs.unconfirmed.as_ref()?;
        Some(format!("gets no messages until {endpoint} confirms the subscription by the link AWS sent there"))
    }

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let mut topics: Vec<&TopicArn> = wanted.iter().filter_map(|wanted| wanted.spec.topic.get()).collect();
        topics.sort_unstable();
        topics.dedup();
        let lists = context.each(&topics, |topic| subscriptions(context, topic)).await?;
        let object = |wanted: &Wanted<Self>| {
            let spec = &wanted.spec;
            let list = &lists[topics.binary_search(&spec.topic.get()?).ok()?];
            let found = list.iter().find(|found| found.is(spec))?;
            let arn = match &wanted.outputs {
                // A list names a subscription that waits for its confirmation by a word instead of its ARN.
                Some(outputs) if !is_arn(&found.arn) => outputs.arn.clone(),
                _ => found.arn.as_str().into(),
            };
            let unconfirmed = (!is_arn(&found.arn)).then(|| spec.endpoint.clone());
            let outputs = SubscriptionOutputs { arn, unconfirmed };
            Some(Object { spec: spec.clone(), outputs, tags: Tags::new() })
        };
        Ok(wanted.iter().map(object).collect())
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &SubscriptionSpec,
        object: Option<Object<Self>>,
    ) -> Result<SubscriptionOutputs> {
        if let Some(object) = object {
            return Ok(object.outputs);
        }
        let clients = task.clients();
        let created = task
            .call("sns:Subscribe", || {
                clients
                    .sns()
                    .subscribe()
                    .topic_arn(spec.topic.known())
                    .protocol(&spec.protocol)
                    .endpoint(&spec.endpoint)
                    .return_subscription_arn(true)
                    .send()
            })
            .await?;
        let arn = created.subscription_arn().ok_or_else(|| Error::incomplete("sns:Subscribe", "SubscriptionArn"))?;
        let outputs = SubscriptionOutputs { arn: arn.into(), unconfirmed: Some(spec.endpoint.clone()) };
        task.identified(&outputs).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &SubscriptionSpec, outputs: &SubscriptionOutputs) -> Result<Deletion> {
        let arn = match is_arn(outputs.arn.as_str()) {
            true => Some(outputs.arn.to_string()),
            false => {
                let list = subscriptions(task, spec.topic.known()).await?;
                list.into_iter().find(|found| found.is(spec) && is_arn(&found.arn)).map(|found| found.arn)
            }
        };
        let Some(arn) = arn else { return Ok(Deletion::Gone) };
        let clients = task.clients();
        match task.call("sns:Unsubscribe", || clients.sns().unsubscribe().subscription_arn(&arn).send()).await {
            Err(error) if !error.is_gone() && !error.says("InvalidParameter", "pending confirmation") => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

/// One subscription of a topic, as a list tells of it.
struct Listed {
    arn: String,
    protocol: String,
    endpoint: String,
}

impl Listed {
    fn is(&self, spec: &SubscriptionSpec) -> bool {
        self.protocol == spec.protocol && self.endpoint.eq_ignore_ascii_case(&spec.endpoint)
    }
}

/// The subscriptions of a topic; none when the topic is gone.
async fn subscriptions(context: &Context, topic: &TopicArn) -> Result<Vec<Listed>> {
    let clients = context.clients();
    let mut found = Vec::new();
    let mut pages = Pages::of("sns:ListSubscriptionsByTopic");
    loop {
        let page = context
            .call("sns:ListSubscriptionsByTopic", || {
                clients.sns().list_subscriptions_by_topic().topic_arn(topic).set_next_token(pages.token()).send()
            })
            .await;
        let page = match page {
            Err(error) if error.is_gone() => return Ok(Vec::new()),
            page => page?,
        };
        for subscription in page.subscriptions() {
            let listed = listed(subscription)?;
            if listed.arn != DELETED {
                found.push(listed);
            }
        }
        if !pages.turn(page.next_token)? {
            return Ok(found);
        }
    }
}

fn listed(subscription: &Subscribed) -> Result<Listed> {
    let text = |value: Option<&str>, field| {
        let text = value.ok_or_else(|| Error::incomplete("sns:ListSubscriptionsByTopic", field));
        text.map(str::to_owned)
    };
    Ok(Listed {
        arn: text(subscription.subscription_arn(), "SubscriptionArn")?,
        protocol: text(subscription.protocol(), "Protocol")?,
        endpoint: text(subscription.endpoint(), "Endpoint")?,
    })
}

/// A subscription that waits for its confirmation is listed with a word instead of an ARN.
fn is_arn(arn: &str) -> bool {
    arn.starts_with("arn:")
}
