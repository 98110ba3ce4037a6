//! The events of a region: a bus, the queue that consumers read, an archive, and the way to the other region.
//!
//! Payments publish to the bus of their own region. Queues are not copied to other regions (`dr.sqs.none`), events are: a rule puts every
//! payment event, whichever region it comes from, into the region's queue, so consumers of either region see all payments; a payment
//! can arrive twice, and consumers must bear that (`eb.xregion.target`). What cannot be delivered, and what consumers fail on again and
//! again, ends in the dead-letter queue.
//!
//! The bus and the archive are encrypted with EventBridge's own key: with the deployment's key every event would be lost without a
//! word whenever the key's policy and EventBridge disagree (`eb.bus.kms`). Queues keep messages for days and have the key.
//! Within one account the role of the forwarding target is all that the other region's bus asks for, so it has no policy of its own.
//!
//! A bus is there before the other region's target that sends to it. The rule of that bus may come later than the target or go earlier, and
//! what is forwarded meanwhile misses the other region's queue (`eb.xregion.order`). That costs little: when a deployment is made there
//! are no payments yet, when it is destroyed none any more, and where a rule is made anew in between, the region that an event comes from
//! has queued it all the same.
//!
//! Invariants:
//! 1. An event is forwarded by the region it comes from and by no other, so it never returns, and a replay stays where it is made.
//! 2. A queue takes messages from exactly the rules that deliver to it.
//! 3. Nothing here refers to the other region but the target of the forwarding rule.

use serde_json::{Value, json};

use crate::aws::Policy;
use crate::plan::Side;
use crate::reference::{Handle, KeyArn, Ref, RoleArn};
use crate::resources::eventbridge_archive::{Archive, ArchiveSpec};
use crate::resources::eventbridge_bus::{Bus, BusSpec};
use crate::resources::eventbridge_rule::{Rule, RuleSpec};
use crate::resources::eventbridge_target::{Target, TargetSpec};
use crate::resources::sqs_queue::{DeadLetter, Queue, QueueSpec};

use super::{Builder, Sides};

/// Who publishes payment events.
const SOURCE: &str = "dr.payments";
/// What is said about a payment that was made.
const PROCESSED: &str = "PaymentProcessed";
/// The longest that SQS lets a receiving call wait; it saves calls that would find nothing.
const LONG_POLL_SECONDS: u32 = 20;
const SECONDS_OF_A_DAY: u32 = 86_400;

/// What the events of a region need of the security stack.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    /// The region's key, which encrypts the queues.
    pub(super) key: Ref<KeyArn>,
    /// The role that events are sent to the other region's bus with; none without forwarding.
    pub(super) forwarding_role: Option<Ref<RoleArn>>,
}

/// What other stacks need of a region's events.
#[derive(Clone, Debug)]
pub(super) struct Events {
    /// The bus that payments are published to.
    pub(super) bus: Handle<Bus>,
    /// Where events go that cannot be delivered or handled.
    pub(super) dead_letter: Handle<Queue>,
}

/// Adds the events of both regions and the forwarding between them.
pub(super) fn build(builder: &mut Builder<'_>, needs: &Sides<Needs>) -> Sides<Events> {
    let events = Sides::build(|side| region(builder, side, &needs.side(side).key));
    for side in Side::BOTH {
        if let Some(role) = &needs.side(side).forwarding_role {
            forwarding(builder, side, role.clone(), &events);
        }
    }
    events
}

fn region(builder: &mut Builder<'_>, side: Side, key: &Ref<KeyArn>) -> Events {
    let plan = &builder.plan().events;
    let (scope, region) = (builder.scope(side), builder.region(side));
    let name = builder.names().shared();
    let description = format!("Payment events of {region}");
    let bus = builder.add::<Bus>(scope.clone(), "payments", BusSpec { name, description, kms_key: None });

    let rule = FixedRule::payments(builder, side);
    let dead_letter_rules = match plan.forwarding {
        true => vec![rule.arn.clone(), FixedRule::forwarding(builder, side).arn],
        false => vec![rule.arn.clone()],
    };
    let dead_letter = queue(builder, side, "dead-letter", dead_letter_rules, |name, policy| QueueSpec {
        name,
        kms_key: Some(key.clone()),
        retention_seconds: plan.queue.dead_letter_retention_days * SECONDS_OF_A_DAY,
        visibility_timeout_seconds: plan.queue.visibility_timeout_seconds,
        receive_wait_seconds: LONG_POLL_SECONDS,
        dead_letter: None,
        policy: Some(policy),
    });
    let redrive = DeadLetter { queue: dead_letter.arn(), max_receives: plan.queue.max_receives };
    let queue = queue(builder, side, "payments", vec![rule.arn], |name, policy| QueueSpec {
        name,
        kms_key: Some(key.clone()),
        retention_seconds: plan.queue.retention_days * SECONDS_OF_A_DAY,
        visibility_timeout_seconds: plan.queue.visibility_timeout_seconds,
        receive_wait_seconds: LONG_POLL_SECONDS,
        dead_letter: Some(redrive),
        policy: Some(policy),
    });

    let spec = RuleSpec {
        name: rule.name,
        bus: bus.name(),
        description: "Payments that were made, for the queue".to_owned(),
        pattern: json!({ "source": [SOURCE], "detail-type": [PROCESSED] }),
        enabled: true,
    };
    let rule = builder.add::<Rule>(scope.clone(), "payments", spec);
    let spec = TargetSpec {
        rule: rule.name(),
        bus: bus.name(),
        id: "queue".to_owned(),
        arn: queue.arn().into(),
        role: None,
        input: None,
        retry_attempts: plan.retry_attempts,
        max_event_age_seconds: plan.max_event_age_seconds,
        dead_letter: Some(dead_letter.arn()),
    };
    builder.add::<Target>(scope.clone(), "payments-queue", spec);

    // Both regions keep all events, so that no region takes the other's archive with it.
    let spec = ArchiveSpec {
        name: builder.names().shared(),
        bus: bus.arn(),
        description: format!("Every event that reached {region}"),
        pattern: None,
        retention_days: plan.archive_retention_days,
        kms_key: None,
    };
    builder.add::<Archive>(scope, "payments", spec);

    builder.output(format!("queue_url_{}", region.replace('-', "_")), queue.url());
    Events { bus, dead_letter }
}

/// The rule that sends a region's own events to the other region's bus (invariant 1).
fn forwarding(builder: &mut Builder<'_>, side: Side, role: Ref<RoleArn>, events: &Sides<Events>) {
    let plan = &builder.plan().events;
    let (scope, here, there) = (builder.scope(side), builder.region(side), builder.region(side.other()));
    let own = events.side(side);
    let spec = RuleSpec {
        name: FixedRule::forwarding(builder, side).name,
        bus: own.bus.name(),
        description: format!("Events of {here}, for {there}"),
        pattern: own_events(here),
        enabled: true,
    };
    let rule = builder.add::<Rule>(scope.clone(), "forwarding", spec);
    let spec = TargetSpec {
        rule: rule.name(),
        bus: own.bus.name(),
        id: "bus".to_owned(),
        arn: events.side(side.other()).bus.arn().into(),
        role: Some(role),
        input: None,
        retry_attempts: plan.retry_attempts,
        max_event_age_seconds: plan.max_event_age_seconds,
        dead_letter: Some(own.dead_letter.arn()),
    };
    builder.add::<Target>(scope, "forwarding-bus", spec);
}

/// Payment events that come from a region for the first time: an event keeps its region when it is forwarded, and a replayed
/// one carries the name of its replay.
fn own_events(region: &str) -> Value {
    json!({ "source": [SOURCE], "region": [region], "replay-name": [{ "exists": false }] })
}

/// Adds a queue that takes messages from these rules and no others (invariant 2).
fn queue(
    builder: &mut Builder<'_>,
    side: Side,
    service: &str,
    rules: Vec<String>,
    spec: impl FnOnce(String, Policy) -> QueueSpec,
) -> Handle<Queue> {
    let region = builder.region(side);
    let name = builder.names().regional(service, region);
    let policy = Policy::new(vec![json!({
        "Sid": "Rules", "Effect": "Allow", "Principal": { "Service": "events.amazonaws.com" }, "Action": "sqs:SendMessage",
        "Resource": builder.names().queue_arn(&name, region),
        "Condition": { "ArnEquals": { "aws:SourceArn": rules } },
    })]);
    let spec = spec(name, policy);
    builder.add::<Queue>(builder.scope(side), service, spec)
}

/// The fixed name of a rule and the ARN that follows from it.
struct FixedRule {
    name: String,
    arn: String,
}

impl FixedRule {
    fn payments(builder: &Builder<'_>, side: Side) -> Self {
        Self::of(builder, side, "payments")
    }

    fn forwarding(builder: &Builder<'_>, side: Side) -> Self {
        Self::of(builder, side, "forwarding")
    }

    fn of(builder: &Builder<'_>, side: Side, service: &str) -> Self {
        let region = builder.region(side);
        let name = builder.names().regional(service, region);
        Self { arn: builder.names().rule_arn(&name, region), name }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::Plan;
    use crate::topology::{Inputs, Resource, Stack, Topology};

    fn topology(plan: &Plan) -> Topology {
        let suffix = "dev".parse().unwrap();
        let code = BTreeMap::new();
        let mut builder = Builder::new(Inputs::plain(plan, &suffix, &code));
        builder.stack = Stack::Events;
        let role = |side: Side| format!("arn:aws:iam::1:role/{}", side.as_str());
        let needs = Sides::build(|side| Needs {
            key: Ref::Known(format!("arn:key:{}", side.as_str()).into()),
            forwarding_role: plan.events.forwarding.then(|| Ref::Known(role(side).into())),
        });
        build(&mut builder, &needs);
        builder.topology
    }

    fn resource<'a>(topology: &'a Topology, address: &str) -> &'a Resource {
        &topology.resources[&address.parse().unwrap()]
    }

    /// Invariant 1.
    #[test]
    fn each_region_forwards_its_own_events_only() {
        let topology = topology(&Plan::default());
        for (here, there) in [("us-east-1", "us-east-2"), ("us-east-2", "us-east-1")] {
            let rule = &resource(&topology, &format!("{here}/eventbridge_rule/forwarding")).spec;
            assert_eq!(rule["pattern"]["region"], json!([here]));
            assert_eq!(rule["pattern"]["replay-name"], json!([{ "exists": false }]));
            let target = resource(&topology, &format!("{here}/eventbridge_target/forwarding-bus"));
            assert_eq!(target.spec["arn"]["$join"][0]["$ref"], format!("{there}/eventbridge_bus/payments#arn"));
        }
    }

    /// Invariant 2.
    #[test]
    fn queues_take_messages_from_exactly_their_rules() {
        let topology = topology(&Plan::default());
        let sources = |queue: &str| {
            let spec = &resource(&topology, &format!("us-east-1/sqs_queue/{queue}")).spec;
            spec["policy"]["Statement"][0]["Condition"]["ArnEquals"]["aws:SourceArn"].clone()
        };
        let rule = |name: &str| format!("arn:aws:events:us-east-1:1:rule/dr-payments-dev/dr-{name}-us-east-1-dev");
        assert_eq!(sources("payments"), json!(rule("payments")));
        assert_eq!(sources("dead-letter"), json!([rule("forwarding"), rule("payments")]));
    }

    /// Invariant 3.
    #[test]
    fn without_forwarding_the_regions_know_nothing_of_each_other() {
        let mut plan = Plan::default();
        let with = topology(&plan);
        plan.events.forwarding = false;
        let without = topology(&plan);
        let gone: Vec<String> = with
            .resources
            .keys()
            .filter(|address| !without.resources.contains_key(*address))
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            gone,
            [
                "us-east-1/eventbridge_rule/forwarding",
                "us-east-1/eventbridge_target/forwarding-bus",
                "us-east-2/eventbridge_rule/forwarding",
                "us-east-2/eventbridge_target/forwarding-bus",
            ]
        );
        for resource in without.resources.values() {
            assert!(resource.references.iter().all(|other| other.scope() == resource.address.scope()));
        }
    }

    #[test]
    fn what_cannot_be_delivered_is_kept() {
        let topology = topology(&Plan::default());
        for target in ["payments-queue", "forwarding-bus"] {
            let spec = &resource(&topology, &format!("us-east-2/eventbridge_target/{target}")).spec;
            assert_eq!(spec["dead_letter"]["$ref"], "us-east-2/sqs_queue/dead-letter#arn");
        }
        let queue = &resource(&topology, "us-east-2/sqs_queue/payments").spec;
        assert_eq!(queue["dead_letter"]["queue"]["$ref"], "us-east-2/sqs_queue/dead-letter#arn");
        assert_eq!(queue["kms_key"], "arn:key:secondary");
    }
    /// With a key of ours EventBridge would lose every event whenever it may not use it.
    #[test]
    fn queues_have_the_key_of_their_region_and_bus_and_archive_have_none() {
        let topology = topology(&Plan::default());
        for (region, side) in [("us-east-1", "primary"), ("us-east-2", "secondary")] {
            let key = |address: &str| &resource(&topology, &format!("{region}/{address}")).spec["kms_key"];
            for own in ["eventbridge_bus/payments", "eventbridge_archive/payments"] {
                assert!(key(own).is_null(), "{own}");
            }
            for queue in ["sqs_queue/payments", "sqs_queue/dead-letter"] {
                assert_eq!(*key(queue), format!("arn:key:{side}"), "{queue}");
            }
        }
    }

    /// An archive puts a rule of its own on its bus, which cannot go before it.
    #[test]
    fn an_archive_goes_before_its_bus() {
        let topology = topology(&Plan::default());
        let archive = resource(&topology, "us-east-1/eventbridge_archive/payments");
        assert!(archive.references.contains(&"us-east-1/eventbridge_bus/payments".parse().unwrap()));
    }
}
