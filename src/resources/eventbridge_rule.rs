//! `eventbridge_rule`: which events of a bus go to the rule's targets.
//!
//! Facts: `eb.rule.put` (creates or replaces as a whole; tags count at creation only), `eb.rule.delete` (targets first; an absent
//! rule is success), `eb.list` (one list per bus), `eb.concurrent`.
//! Replacement: `name`, `bus`. Slow: nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use aws_sdk_eventbridge::types::{Rule as Described, RuleState};

use super::eventbridge;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, Pages};
use crate::outputs;
use crate::reference::{EventBusName, Ref, RuleArn, RuleName};

/// The kind.
#[derive(Debug)]
pub struct Rule;

/// The desired properties of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleSpec {
    /// The name, unique on its bus.
    pub name: String,
    /// The bus.
    pub bus: Ref<EventBusName>,
    /// What it is for.
    pub description: String,
    /// The event pattern.
    pub pattern: Value,
    /// Whether it passes events on.
    pub enabled: bool,
}

outputs! {
    /// What is known of a rule once it exists.
    pub struct RuleOutputs of Rule {
        /// The name.
        name: RuleName,
        /// The ARN.
        arn: RuleArn,
    }
}

impl Kind for Rule {
    type Spec = RuleSpec;
    type Outputs = RuleOutputs;

    const TRAITS: Traits = Traits {
        name: "eventbridge_rule",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name", "bus"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 5),
        permissions: Permissions {
            read: &["events:ListRules", "events:ListTagsForResource", "tag:GetResources"],
            change: &[
                "events:PutRule",
                "events:TagResource",
                "events:UntagResource",
                "events:DeleteRule",
                "events:ListTargetsByRule",
            ],
        },
        retries: &[
            Retry::seconds("events:PutRule", "ConcurrentModificationException", "", 120),
            Retry::seconds("events:PutRule", "ResourceNotFoundException", "", 60),
            Retry::seconds("events:TagResource", "ResourceNotFoundException", "", 120),
            Retry::seconds("events:DeleteRule", "ConcurrentModificationException", "", 120),
            Retry::seconds("events:DeleteRule", "ValidationException", "has targets", 300),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let mut buses: Vec<&EventBusName> = wanted.iter().filter_map(|wanted| wanted.spec.bus.get()).collect();
        buses.sort_unstable();
        buses.dedup();
        let lists = context.each(&buses, |bus| rules(context, bus)).await?;
        context
            .each(wanted, |wanted| {
                let spec = &wanted.spec;
                let list = spec.bus.get().and_then(|bus| buses.binary_search(&bus).ok()).map(|index| &lists[index]);
                let rule =
                    list.and_then(|list| list.iter().find(|rule| rule.name() == Some(spec.name.as_str()))).cloned();
                async move {
                    let Some(rule) = rule else { return Ok(None) };
                    let arn = rule.arn().ok_or_else(|| Error::incomplete("events:ListRules", "Arn"))?;
                    let tags = match eventbridge::tags(context, arn).await {
                        Err(error) if error.is_gone() => return Ok(None),
                        tags => tags?,
                    };
                    let outputs = RuleOutputs { name: spec.name.as_str().into(), arn: arn.into() };
                    Ok(Some(Object { spec: parse(&rule, spec), outputs, tags }))
                }
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &RuleSpec, object: Option<Object<Self>>) -> Result<RuleOutputs> {
        let Some(object) = object else { return put(task, spec, true).await };
        if object.spec != *spec {
            put(task, spec, false).await?;
        }
        eventbridge::sync_tags(task, object.outputs.arn.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &RuleSpec, outputs: &RuleOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let (bus, name) = (spec.bus.known(), &outputs.name);
        let deleted = task
            .call("events:DeleteRule", || clients.eventbridge().delete_rule().event_bus_name(bus).name(name).send())
            .await;
        match deleted {
            Err(error) if error.says("ValidationException", "has targets") => {
                Err(name_targets(task, bus, name, error).await)
            }
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

/// Creates the rule, with its tags, or replaces it, when AWS ignores tags.
async fn put(task: &Task<'_>, spec: &RuleSpec, new: bool) -> Result<RuleOutputs> {
    let clients = task.clients();
    let tags = new.then(|| eventbridge::sdk_tags(&task.tags));
    let answer = task
        .call("events:PutRule", || {
            clients
                .eventbridge()
                .put_rule()
                .name(&spec.name)
                .event_bus_name(spec.bus.known())
                .description(&spec.description)
                .event_pattern(spec.pattern.to_string())
                .state(if spec.enabled { RuleState::Enabled } else { RuleState::Disabled })
                .set_tags(tags.clone())
                .send()
        })
        .await?;
    let arn = answer.rule_arn().ok_or_else(|| Error::incomplete("events:PutRule", "RuleArn"))?;
    let outputs = RuleOutputs { name: spec.name.as_str().into(), arn: arn.into() };
    task.identified(&outputs).await?;
    Ok(outputs)
}

/// All rules of a bus; none when the bus is gone.
async fn rules(context: &Context, bus: &EventBusName) -> Result<Vec<Described>> {
    let clients = context.clients();
    let mut found = Vec::new();
    let mut pages = Pages::of("events:ListRules");
    loop {
        let page = context
            .call("events:ListRules", || {
                clients.eventbridge().list_rules().event_bus_name(bus).set_next_token(pages.token()).send()
            })
            .await;
        let page = match page {
            Err(error) if error.is_gone() => return Ok(Vec::new()),
            page => page?,
        };
        found.extend(page.rules.unwrap_or_default());
        if !pages.turn(page.next_token)? {
            return Ok(found);
        }
    }
}

fn parse(rule: &Described, wanted: &RuleSpec) -> RuleSpec {
    RuleSpec {
        name: wanted.name.clone(),
        bus: wanted.bus.clone(),
        description: rule.description().unwrap_or_default().to_owned(),
        pattern: rule.event_pattern().map(eventbridge::json).unwrap_or_default(),
        enabled: rule.state() != Some(&RuleState::Disabled),
    }
}

/// Adds to the refusal the targets that are in the way, which the plan does not know.
async fn name_targets(task: &Task<'_>, bus: &EventBusName, rule: &RuleName, error: Error) -> Error {
    let clients = task.clients();
    let found = task
        .call("events:ListTargetsByRule", || {
            clients.eventbridge().list_targets_by_rule().event_bus_name(bus).rule(rule).send()
        })
        .await;
    let targets: Vec<String> = found
        .iter()
        .flat_map(|answer| answer.targets())
        .map(|target| format!("{} ({})", target.id(), target.arn()))
        .collect();
    match targets.is_empty() {
        true => error,
        false => Error::Blocked(format!("{error}; its targets: {}", targets.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Invariant 6 of the kinds.
    #[test]
    fn a_described_rule_equals_its_spec_whatever_the_order_of_its_pattern() {
        let spec = RuleSpec {
            name: "payments".into(),
            bus: Ref::Known("bus".into()),
            description: "why".into(),
            pattern: json!({ "source": ["dr.payments"], "region": ["us-east-1"] }),
            enabled: true,
        };
        let described = Described::builder()
            .name("payments")
            .description("why")
            .event_pattern(r#"{"region":["us-east-1"],"source":["dr.payments"]}"#)
            .state(RuleState::Enabled)
            .build();
        assert_eq!(parse(&described, &spec), spec);
        let disabled = Described::builder().state(RuleState::Disabled).build();
        assert!(!parse(&disabled, &spec).enabled);
    }
}
