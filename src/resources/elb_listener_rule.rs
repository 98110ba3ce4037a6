//! `elb_listener_rule`: which requests to a listener go to which target group.
//!
//! Facts: `rule.create` (the priority is unique on the listener and given by us: the largest so far plus one would race),
//! `rule.update` (conditions and actions in one call, the priority in another), `rule.delete`, `rule.limits`, `elb.tags`.
//! Rules that change places are changed each by itself. A rule that is refused its priority, because another rule of the deployment
//! still has it, sends that one to a free priority first; its own change takes it from there.
//! Replacement: `listener`. Slow: nothing.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, HttpRequestMethodConditionConfig, PathPatternConditionConfig, Rule as Described,
    RuleCondition, RulePriorityPair,
};
use serde::{Deserialize, Serialize};

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use super::{elb, existing};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Pages};
use crate::outputs;
use crate::reference::{ListenerArn, ListenerRuleArn, Ref, TargetGroupArn, Text};

/// Priorities end here.
const LAST_PRIORITY: u32 = 50_000;

/// The kind.
#[derive(Debug)]
pub struct ListenerRule;

/// The desired properties of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerRuleSpec {
    /// The listener it is part of.
    pub listener: Ref<ListenerArn>,
    /// 1 to 50000, unique on the listener; the rule with the lowest number that matches decides.
    pub priority: u32,
    /// The HTTP methods it matches.
    pub methods: BTreeSet<String>,
    /// The paths it matches; `*` stands for any text, slashes included.
    pub paths: BTreeSet<String>,
    /// Where the requests go.
    pub target_group: Ref<TargetGroupArn>,
    /// What is registered in the group: it has to be there first, because an empty group answers with an error.
    pub target: Option<Text>,
}

outputs! {
    /// What is known of a rule once it exists.
    pub struct ListenerRuleOutputs of ListenerRule {
        /// The ARN.
        arn: ListenerRuleArn,
    }
}

impl Kind for ListenerRule {
    type Spec = ListenerRuleSpec;
    type Outputs = ListenerRuleOutputs;

    const TRAITS: Traits = Traits {
        name: "elb_listener_rule",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["listener"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["elasticloadbalancing:DescribeRules", "elasticloadbalancing:DescribeTags", "tag:GetResources"],
            change: &[
                "elasticloadbalancing:CreateRule",
                "elasticloadbalancing:ModifyRule",
                "elasticloadbalancing:SetRulePriorities",
                "elasticloadbalancing:AddTags",
                "elasticloadbalancing:RemoveTags",
                "elasticloadbalancing:DeleteRule",
            ],
        },
        retries: &[
            Retry::seconds("elasticloadbalancing:CreateRule", "ListenerNotFound", "", 120),
            Retry::seconds("elasticloadbalancing:CreateRule", "TargetGroupNotFound", "", 120),
            Retry::seconds("elasticloadbalancing:ModifyRule", "TargetGroupNotFound", "", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let mut found: BTreeMap<String, Vec<Described>> = BTreeMap::new();
        for listener in wanted.iter().filter_map(parent).collect::<BTreeSet<_>>() {
            let rules = rules_of(context, &listener).await?;
            found.insert(listener, rules);
        }
        let find = |wanted: &Wanted<Self>| {
            found.get(&parent(wanted)?)?.iter().find(|rule| match &wanted.outputs {
                Some(outputs) => rule.rule_arn() == Some(outputs.arn.as_str()),
                None => priority(rule) == Some(wanted.spec.priority),
            })
        };
        let arns: Vec<String> =
            wanted.iter().filter_map(find).filter_map(|one| one.rule_arn().map(str::to_owned)).collect();
        let tags = elb::tags(context, &arns).await?;
        let object = |wanted: &Wanted<Self>| {
            let (Some(described), Some(listener)) = (find(wanted), parent(wanted)) else { return Ok(None) };
            let arn = described.rule_arn().ok_or_else(|| missing("RuleArn"))?;
            let tags = tags.get(arn).cloned().unwrap_or_default();
            let outputs = ListenerRuleOutputs { arn: arn.into() };
            Ok(Some(Object { spec: spec(described, listener.into(), wanted.spec.target.clone())?, outputs, tags }))
        };
        wanted.iter().map(object).collect()
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &ListenerRuleSpec,
        object: Option<Object<Self>>,
    ) -> Result<ListenerRuleOutputs> {
        let clients = task.clients();
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let arn = &object.outputs.arn;
        let part = |spec: &ListenerRuleSpec| (spec.methods.clone(), spec.paths.clone(), spec.target_group.clone());
        if part(&object.spec) != part(spec) {
            task.call("elasticloadbalancing:ModifyRule", || {
                let request = clients.elb().modify_rule().rule_arn(arn);
                request.set_conditions(Some(conditions(spec))).actions(forward(spec)).send()
            })
            .await?;
        }
        if object.spec.priority != spec.priority {
            task.wait("the priority to be free", Patience::seconds(120, 5), || move_to(task, spec, arn.as_str()))
                .await?;
        }
        elb::sync_tags(task, arn.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &ListenerRuleSpec, outputs: &ListenerRuleOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("elasticloadbalancing:DeleteRule", || clients.elb().delete_rule().rule_arn(&outputs.arn).send())
            .await;
        match deleted {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn create(task: &Task<'_>, spec: &ListenerRuleSpec) -> Result<Object<ListenerRule>> {
    let clients = task.clients();
    let created = task
        .call("elasticloadbalancing:CreateRule", || {
            clients
                .elb()
                .create_rule()
                .listener_arn(spec.listener.known())
                .priority(number(spec.priority))
                .set_conditions(Some(conditions(spec)))
                .actions(forward(spec))
                .set_tags(elb::create_tags(task))
                .send()
        })
        .await;
    let object = match created {
        Ok(created) => {
            let arn = created.rules().first().and_then(|rule| rule.rule_arn());
            let arn = arn.ok_or_else(|| Error::incomplete("elasticloadbalancing:CreateRule", "ARN"))?;
            Object { spec: spec.clone(), outputs: ListenerRuleOutputs { arn: arn.into() }, tags: task.tags.clone() }
        }
        Err(error) if error.is(&["PriorityInUse"]) => {
            existing::own(task, spec, &format!("a rule with the priority {}", spec.priority), error).await?
        }
        Err(error) => return Err(error),
    };
    task.identified(&object.outputs).await?;
    Ok(object)
}

/// Moves a rule to its priority, or the rule of this deployment out of its way that still has it.
async fn move_to(task: &Task<'_>, spec: &ListenerRuleSpec, arn: &str) -> Result<Look<()>> {
    let refusal = match set_priority(task, arn, spec.priority).await {
        Err(error) if error.is(&["PriorityInUse"]) => error,
        set => return set.map(Look::Ready),
    };
    let rules = rules_of(task, spec.listener.known().as_str()).await?;
    if let Some((other, free)) = aside(&rules, arn, spec.priority) {
        let tags = elb::tags(task, std::slice::from_ref(&other)).await?;
        if !tags.get(&other).is_some_and(|tags| task.owns(tags)) {
            return Err(refusal);
        }
        match set_priority(task, &other, free).await {
            Err(error) if !error.is(&["PriorityInUse"]) && !error.is_gone() => return Err(error),
            _ => {}
        }
    }
    Ok(Look::Pending("taken by another rule".to_owned()))
}

async fn set_priority(task: &Task<'_>, arn: &str, priority: u32) -> Result<()> {
    let clients = task.clients();
    let pair = RulePriorityPair::builder().rule_arn(arn).priority(number(priority)).build();
    task.call("elasticloadbalancing:SetRulePriorities", || {
        clients.elb().set_rule_priorities().rule_priorities(pair.clone()).send()
    })
    .await?;
    Ok(())
}

/// The other rule that has the priority wanted for a rule, and the last priority that is free for it.
fn aside(rules: &[Described], arn: &str, wanted: u32) -> Option<(String, u32)> {
    let other = rules.iter().find(|rule| priority(rule) == Some(wanted))?.rule_arn().filter(|other| *other != arn)?;
    let taken: BTreeSet<u32> = rules.iter().filter_map(priority).collect();
    let free = (1..=LAST_PRIORITY).rev().find(|free| !taken.contains(free))?;
    Some((other.to_owned(), free))
}

async fn rules_of(context: &Context, listener: &str) -> Result<Vec<Described>> {
    let clients = context.clients();
    let mut rules = Vec::new();
    let mut pages = Pages::of("elasticloadbalancing:DescribeRules");
    loop {
        let page = context
            .call("elasticloadbalancing:DescribeRules", || {
                clients.elb().describe_rules().listener_arn(listener).set_marker(pages.token()).send()
            })
            .await;
        let page = match page {
            Err(error) if error.is_gone() => return Ok(Vec::new()),
            page => page?,
        };
        rules.extend_from_slice(page.rules());
        if !pages.turn(page.next_marker)? {
            return Ok(rules);
        }
    }
}

/// The listener of a rule: told by the rule's own ARN, else by the spec.
fn parent(wanted: &Wanted<ListenerRule>) -> Option<String> {
    match &wanted.outputs {
        Some(outputs) => listener_of(outputs.arn.as_str()),
        None => wanted.spec.listener.get().map(String::from),
    }
}

/// `...:listener-rule/app/name/id/listener-id/rule-id` is part of `...:listener/app/name/id/listener-id`.
fn listener_of(rule: &str) -> Option<String> {
    let (rule, _) = rule.rsplit_once('/')?;
    Some(rule.replacen(":listener-rule/", ":listener/", 1))
}

/// The priority of a rule; the listener's own last rule has none.
fn priority(described: &Described) -> Option<u32> {
    described.priority()?.parse().ok()
}

fn missing(field: &str) -> Error {
    Error::incomplete("elasticloadbalancing:DescribeRules", field)
}

fn spec(described: &Described, listener: ListenerArn, target: Option<Text>) -> Result<ListenerRuleSpec> {
    for (field, absent) in
        [("Conditions", described.conditions().is_empty()), ("Actions", described.actions().is_empty())]
    {
        if absent {
            return Err(missing(field));
        }
    }
    // AWS repeats the values of a condition in its configuration, but need not do so for rules made long ago.
    let values = |field: &str| -> BTreeSet<String> {
        let conditions = described.conditions().iter().filter(|condition| condition.field() == Some(field));
        conditions
            .flat_map(|condition| {
                let paths = condition.path_pattern_config().map(|config| config.values()).unwrap_or_default();
                let methods = condition.http_request_method_config().map(|config| config.values()).unwrap_or_default();
                condition.values().iter().chain(paths).chain(methods).cloned()
            })
            .collect()
    };
    let target_group = described.actions().first().and_then(|action| {
        let weighted = action.forward_config().and_then(|forward| forward.target_groups().first());
        action.target_group_arn().or_else(|| weighted?.target_group_arn())
    });
    Ok(ListenerRuleSpec {
        listener: Ref::Known(listener),
        priority: priority(described).ok_or_else(|| missing("Priority"))?,
        methods: values("http-request-method"),
        paths: values("path-pattern"),
        target_group: Ref::Known(target_group.unwrap_or_default().into()),
        target,
    })
}

fn conditions(spec: &ListenerRuleSpec) -> Vec<RuleCondition> {
    let set = |values: &BTreeSet<String>| Some(values.iter().cloned().collect::<Vec<_>>());
    let methods = HttpRequestMethodConditionConfig::builder().set_values(set(&spec.methods)).build();
    let paths = PathPatternConditionConfig::builder().set_values(set(&spec.paths)).build();
    vec![
        RuleCondition::builder().field("http-request-method").http_request_method_config(methods).build(),
        RuleCondition::builder().field("path-pattern").path_pattern_config(paths).build(),
    ]
}

fn forward(spec: &ListenerRuleSpec) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(spec.target_group.known()).build()
}

fn number(priority: u32) -> i32 {
    i32::try_from(priority).expect("priorities end at 50000")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> ListenerRuleSpec {
        ListenerRuleSpec {
            listener: Ref::Known("arn:listener".into()),
            priority: 7,
            methods: BTreeSet::from(["POST".to_owned()]),
            paths: BTreeSet::from(["/payment".to_owned()]),
            target_group: Ref::Known("arn:tg".into()),
            target: Some("arn:function:live".into()),
        }
    }

    #[test]
    fn an_unchanged_rule_equals_its_spec() {
        let described = Described::builder()
            .priority("7")
            .set_conditions(Some(conditions(&wanted())))
            .actions(forward(&wanted()))
            .build();
        assert_eq!(spec(&described, "arn:listener".into(), wanted().target).unwrap(), wanted());
    }

    /// `rule.update`: priorities are unique at every moment, so that of two rules that change places one steps aside.
    #[test]
    fn a_rule_in_the_way_steps_aside_to_a_priority_that_nobody_has() {
        let rule = |arn: &str, priority: &str| Described::builder().rule_arn(arn).priority(priority).build();
        let rules = [rule("a", "1"), rule("b", "2"), rule("c", "50000"), rule("last", "default")];
        assert_eq!(aside(&rules, "a", 2), Some(("b".to_owned(), 49_999)));
        assert_eq!(aside(&rules, "b", 1), Some(("a".to_owned(), 49_999)));
        assert_eq!(aside(&rules, "a", 1), None, "it is there already");
        assert_eq!(aside(&rules, "a", 3), None, "whoever had it has left");
    }

    /// `rule.limits`: five values in the conditions of a rule.
    #[test]
    fn a_rule_has_few_values_in_its_conditions() {
        let values = conditions(&wanted()).into_iter().map(|condition| {
            let methods = condition.http_request_method_config().map_or(0, |config| config.values().len());
            methods + condition.path_pattern_config().map_or(0, |config| config.values().len())
        });
        assert_eq!(values.sum::<usize>(), 2, "one method and one path");
    }

    #[test]
    fn the_listeners_own_rule_is_never_ours() {
        assert_eq!(priority(&Described::builder().priority("default").build()), None);
    }

    #[test]
    fn a_rule_names_its_listener() {
        let arn = "arn:aws:elasticloadbalancing:us-east-1:1:listener-rule/app/dr/50dc/f2f7/9683";
        let parent = "arn:aws:elasticloadbalancing:us-east-1:1:listener/app/dr/50dc/f2f7";
        assert_eq!(listener_of(arn).as_deref(), Some(parent));
    }
}
