//! `eventbridge_target`: one destination of a rule.
//!
//! Facts: `eb.target.put` (a partial failure is a success by its status, so the answer's failed entries are looked at; the same
//! id replaces), `eb.target.permissions` (another bus needs a role, a queue a policy of its own; AWS checks neither here),
//! `eb.target.dlq`, `eb.target.retry`, `eb.list` (one list per rule), `eb.concurrent`.
//! Replacement: `rule`, `bus`, `id`. Slow: nothing.

use aws_sdk_eventbridge::types::{DeadLetterConfig, RetryPolicy, Target as Described};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::eventbridge;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted,
};
use crate::aws::error::Result;
use crate::aws::{Pages, Refusal, Tags};
use crate::outputs;
use crate::reference::{EventBusName, QueueArn, Ref, RoleArn, RuleName, Text};

/// How often and how long EventBridge tries when nothing is said (`eb.target.retry`).
const DEFAULT_ATTEMPTS: i32 = 185;
const DEFAULT_AGE_SECONDS: i32 = 86_400;

/// The kind.
#[derive(Debug)]
pub struct Target;

/// The desired properties of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetSpec {
    /// The rule.
    pub rule: Ref<RuleName>,
    /// The bus of the rule.
    pub bus: Ref<EventBusName>,
    /// The name, unique among the targets of the rule.
    pub id: String,
    /// The ARN of what gets the events.
    pub arn: Text,
    /// The role EventBridge takes to deliver.
    pub role: Option<Ref<RoleArn>>,
    /// What is delivered instead of the event.
    pub input: Option<Value>,
    /// Attempts to deliver an event after the first one.
    pub retry_attempts: u32,
    /// Seconds after which an event that could not be delivered is given up.
    pub max_event_age_seconds: u32,
    /// The queue for events that are given up; without one they are lost.
    pub dead_letter: Option<Ref<QueueArn>>,
}

outputs! {
    /// What is known of a target once it exists.
    pub struct TargetOutputs of Target {
        /// The name, unique among the targets of the rule.
        id: String,
    }
}

impl Kind for Target {
    type Spec = TargetSpec;
    type Outputs = TargetOutputs;

    const TRAITS: Traits = Traits {
        name: "eventbridge_target",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["rule", "bus", "id"],
        locked_by: Some("rule"),
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["events:ListTargetsByRule"],
            change: &["events:PutTargets", "events:RemoveTargets", "iam:PassRole"],
        },
        retries: &[
            Retry::seconds("events:PutTargets", "ConcurrentModificationException", "", 120),
            Retry::seconds("events:PutTargets", "ResourceNotFoundException", "", 120),
            // A role made a moment ago.
            Retry::seconds("events:PutTargets", "ValidationException", "cannot be assumed by principal", 120),
            Retry::seconds("events:RemoveTargets", "ConcurrentModificationException", "", 120),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::named("rule"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let rule = |wanted: &Wanted<Self>| Some((wanted.spec.bus.get()?.clone(), wanted.spec.rule.get()?.clone()));
        let mut rules: Vec<(EventBusName, RuleName)> = wanted.iter().filter_map(rule).collect();
        rules.sort_unstable();
        rules.dedup();
        let lists = context.each(&rules, |(bus, rule)| targets(context, bus, rule)).await?;
        let object = |wanted: &Wanted<Self>| {
            let list = &lists[rules.binary_search(&rule(wanted)?).ok()?];
            let target = list.iter().find(|target| target.id() == wanted.spec.id)?;
            let outputs = TargetOutputs { id: wanted.spec.id.clone() };
            Some(Object { spec: parse(target, &wanted.spec), outputs, tags: Tags::new() })
        };
        Ok(wanted.iter().map(object).collect())
    }

    async fn ensure(task: &Task<'_>, spec: &TargetSpec, object: Option<Object<Self>>) -> Result<TargetOutputs> {
        let outputs = TargetOutputs { id: spec.id.clone() };
        if object.as_ref().is_some_and(|object| object.spec == *spec) {
            return Ok(outputs);
        }
        let clients = task.clients();
        let target = target(spec);
        task.call_checked(
            "events:PutTargets",
            || {
                let request = clients.eventbridge().put_targets();
                request.event_bus_name(spec.bus.known()).rule(spec.rule.known()).targets(target.clone()).send()
            },
            |answer| {
                let failed = answer.failed_entries().first().map(|entry| (entry.error_code(), entry.error_message()));
                accepted("events:PutTargets", failed)
            },
        )
        .await?;
        if object.is_none() {
            task.identified(&outputs).await?;
        }
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &TargetSpec, outputs: &TargetOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let removed = task
            .call_checked(
                "events:RemoveTargets",
                || {
                    let request = clients.eventbridge().remove_targets();
                    request.event_bus_name(spec.bus.known()).rule(spec.rule.known()).ids(&outputs.id).send()
                },
                |answer| {
                    let failed =
                        answer.failed_entries().first().map(|entry| (entry.error_code(), entry.error_message()));
                    accepted("events:RemoveTargets", failed)
                },
            )
            .await;
        match removed {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

/// All targets of a rule; none when the rule or its bus is gone.
async fn targets(context: &Context, bus: &EventBusName, rule: &RuleName) -> Result<Vec<Described>> {
    let clients = context.clients();
    let mut found = Vec::new();
    let mut pages = Pages::of("events:ListTargetsByRule");
    loop {
        let page = context
            .call("events:ListTargetsByRule", || {
                let request = clients.eventbridge().list_targets_by_rule();
                request.event_bus_name(bus).rule(rule).set_next_token(pages.token()).send()
            })
            .await;
        let page = match page {
            Err(error) if error.is_gone() => return Ok(Vec::new()),
            page => page?,
        };
        found.extend(page.targets.unwrap_or_default());
        if !pages.turn(page.next_token)? {
            return Ok(found);
        }
    }
}

fn target(spec: &TargetSpec) -> Described {
    let dead_letter = spec.dead_letter.as_ref();
    let seconds = i32::try_from(spec.max_event_age_seconds).expect("the plan limits the age of events");
    let attempts = i32::try_from(spec.retry_attempts).expect("the plan limits the attempts");
    Described::builder()
        .id(&spec.id)
        .arn(spec.arn.known())
        .set_role_arn(spec.role.as_ref().map(|role| role.known().to_string()))
        .set_input(spec.input.as_ref().map(Value::to_string))
        .retry_policy(
            RetryPolicy::builder().maximum_event_age_in_seconds(seconds).maximum_retry_attempts(attempts).build(),
        )
        .set_dead_letter_config(dead_letter.map(|queue| DeadLetterConfig::builder().arn(queue.known()).build()))
        .build()
        .expect("a target has an id and an ARN")
}

fn parse(target: &Described, wanted: &TargetSpec) -> TargetSpec {
    let retry = target.retry_policy();
    let attempts = retry.and_then(|retry| retry.maximum_retry_attempts()).unwrap_or(DEFAULT_ATTEMPTS);
    let seconds = retry.and_then(|retry| retry.maximum_event_age_in_seconds()).unwrap_or(DEFAULT_AGE_SECONDS);
    TargetSpec {
        rule: wanted.rule.clone(),
        bus: wanted.bus.clone(),
        id: target.id().to_owned(),
        arn: target.arn().into(),
        role: target.role_arn().map(|role| Ref::Known(role.into())),
        input: target.input().map(eventbridge::json),
        retry_attempts: attempts.unsigned_abs(),
        max_event_age_seconds: seconds.unsigned_abs(),
        dead_letter: target.dead_letter_config().and_then(|queue| queue.arn()).map(|queue| Ref::Known(queue.into())),
    }
}

/// A failed entry of an answer, by code and message, is the refusal of its target (`eb.target.put`).
fn accepted(operation: &str, failed: Option<(Option<&str>, Option<&str>)>) -> Result<()> {
    let Some((code, message)) = failed else { return Ok(()) };
    let refusal = Refusal {
        operation: operation.to_owned(),
        code: code.unwrap_or("Unknown").to_owned(),
        message: message.unwrap_or("no message").to_owned(),
        request_id: None,
        status: 200,
    };
    Err(refusal.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> TargetSpec {
        TargetSpec {
            rule: Ref::Known("payments".into()),
            bus: Ref::Known("bus".into()),
            id: "queue".into(),
            arn: "arn:aws:sqs:us-east-1:1:q".into(),
            role: Some(Ref::Known("arn:aws:iam::1:role/r".into())),
            input: Some(json!({ "a": 1 })),
            retry_attempts: 3,
            max_event_age_seconds: 60,
            dead_letter: Some(Ref::Known("arn:aws:sqs:us-east-1:1:dead".into())),
        }
    }

    /// Invariant 6 of the kinds.
    #[test]
    fn what_was_put_reads_back_as_the_spec() {
        assert_eq!(parse(&target(&spec()), &spec()), spec());
    }

    /// `eb.target.put`
    #[test]
    fn a_failed_entry_of_a_successful_answer_is_a_refusal() {
        let failed = (Some("ConcurrentModificationException"), Some("m"));
        let error = accepted("events:PutTargets", Some(failed)).unwrap_err();
        assert!(error.says("ConcurrentModificationException", "m") && !error.is_uncertain(), "{error}");
        assert!(accepted("events:PutTargets", None).is_ok());
    }

    #[test]
    fn a_target_without_a_retry_policy_has_the_one_of_aws() {
        let plain = Described::builder().id("queue").arn("arn:aws:sqs:us-east-1:1:q").build().unwrap();
        let parsed = parse(&plain, &spec());
        assert_eq!((parsed.retry_attempts, parsed.max_event_age_seconds), (185, 86_400));
    }
}
