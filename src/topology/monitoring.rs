//! Who is told when something is wrong, and what can be seen: topics, e-mail subscriptions, alarms and dashboards.
//!
//! Each region has two topics: `failover` for alarms that say a region fails, `replication` for those that say the copies fall
//! behind. An alarm sees the metrics of its own region only and tells a topic of its own region only (`cw.alarm.region`,
//! `sns.topic.region`), so each alarm stands where its metric is:
//!
//! | metric | region |
//! |---|---|
//! | API, functions, Aurora, DynamoDB (`cw.metric.dynamodb`), queue, load balancer | the region they are in |
//! | lag of Aurora | both, because after a failover the other cluster is the one behind (`cw.metric.aurora`, `dr.aurora.lag`) |
//! | latency and backlog of S3's replication | the region of the destination bucket (`cw.metric.s3`) |
//! | objects that S3 gave up copying | the region of the source bucket (`cw.metric.s3`) |
//! | Route 53 health checks | us-east-1 |
//! | Global Accelerator | us-west-2 |
//!
//! The clusters of Aurora have the same alarms in both regions: one that is promoted inherits none (`rds.failover.not-inherited`).
//!
//! Where the plan does not use one of the last two regions, there is a failover topic for these alarms alone. It has no key of
//! ours, because the deployment has none there; its messages say which alarm fired and nothing about payments.
//!
//! Invariants:
//! 1. Every alarm is in the region of its metric, and tells topics of that region.
//! 2. A dashboard shows the metrics of its region's alarms with their thresholds, and those of both regions that are measured elsewhere.
//! 3. Every address of the plan gets every alert.
//! 4. No alarm fires because it is new: silence is never taken for failure, but is told as silence where it means
//!    something.
//!
//! Each alarm has a row in `docs/alarms.md`: where it is, when it fires, what silence means, and what is left of it
//! when a region is lost.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::address::Scope;
use crate::aws::Policy;
use crate::plan::Side;
use crate::reference::{Handle, HealthCheckId, KeyArn, Ref, Text};
use crate::resources::cloudwatch_alarm::{Alarm, AlarmSpec, Comparison, Metric, MissingData, SINGLE};
use crate::resources::cloudwatch_dashboard::{Dashboard, DashboardSpec};
use crate::resources::sns_subscription::{Subscription, SubscriptionSpec};
use crate::resources::sns_topic::{Topic, TopicSpec};

use super::names::REPLICATION_RULE;
use super::{Builder, Sides};

/// The only region that has the metrics of Route 53.
const ROUTE53_REGION: &str = "us-east-1";
/// The only region that has the metrics of Global Accelerator.
const ACCELERATOR_REGION: &str = "us-west-2";
/// A dashboard is 24 columns wide; three charts stand side by side.
const CHARTS_IN_A_ROW: usize = 3;
const CHART_WIDTH: usize = 8;
const CHART_HEIGHT: usize = 6;

/// What the monitoring needs of other stacks.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    /// The key of each region, which encrypts the topics.
    pub(super) keys: Sides<Ref<KeyArn>>,
    /// The Route 53 health check of each region.
    pub(super) health_checks: Sides<Ref<HealthCheckId>>,
    /// The load balancer of each region; none without load balancers.
    pub(super) load_balancers: Option<Sides<LoadBalancer>>,
    /// The accelerator; none without one.
    pub(super) accelerator: Option<Accelerator>,
}

/// An accelerator, as its metrics name it.
#[derive(Clone, Debug)]
pub(super) struct Accelerator {
    /// The end of its ARN.
    pub(super) id: Ref<String>,
    /// The end of its listener's ARN.
    pub(super) listener: Ref<String>,
}

/// A load balancer, as its metrics name it.
#[derive(Clone, Debug)]
pub(super) struct LoadBalancer {
    /// The end of its ARN.
    pub(super) full_name: Ref<String>,
    /// The ends of its target groups' ARNs, by the function's name in the plan.
    pub(super) target_groups: BTreeMap<String, Ref<String>>,
}

/// Adds the monitoring of both regions, and of what is measured elsewhere.
pub(super) fn build(builder: &mut Builder<'_>, needs: &Needs) {
    let mut monitoring = Monitoring { builder, topics: BTreeMap::new(), charts: Vec::new() };
    for side in Side::BOTH {
        let region = monitoring.builder.region(side);
        for alert in [Alert::Failover, Alert::Replication] {
            monitoring.topic(region, alert, Some(needs.keys.side(side).clone()));
        }
    }
    for side in Side::BOTH {
        monitoring.api(side);
        monitoring.functions(side);
        monitoring.databases(side);
        monitoring.storage(side);
        monitoring.events(side);
        if let Some(load_balancers) = &needs.load_balancers {
            monitoring.load_balancer(side, load_balancers.side(side));
        }
    }
    monitoring.health_checks(&needs.health_checks);
    if let Some(accelerator) = &needs.accelerator {
        monitoring.accelerator(accelerator);
    }
    if monitoring.builder.plan().monitoring.dashboard {
        for side in Side::BOTH {
            monitoring.dashboard(side);
        }
    }
}

/// What a topic is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alert {
    /// A region fails.
    Failover,
    /// The copies fall behind.
    Replication,
}

impl Alert {
    fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Replication => "replication",
        }
    }
}

/// Where a metric is.
#[derive(Clone, Copy)]
enum Place {
    /// In the region that it is about.
    Side(Side),
    /// In a region that AWS chose.
    Elsewhere(&'static str),
}

struct Monitoring<'b, 'a> {
    builder: &'b mut Builder<'a>,
    topics: BTreeMap<(String, Alert), Handle<Topic>>,
    /// A chart for every alarm; one of a side stands on that side's dashboard, the others on both.
    charts: Vec<(Option<Side>, Value)>,
}

/// What it means that a metric has no data.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// Nothing happened that could have failed: as good as a value that is well.
    Well,
    /// Nothing can be said, and nobody is told.
    Unknown,
    /// The metric is there as long as its object is, so people are told that it is not there any more. They aren't told
    /// while it is not there yet: an alarm begins without data and tells only of changes (`cw.alarm.birth`).
    Told,
}

/// What an alarm watches.
struct Watch {
    alert: Alert,
    name: String,
    description: String,
    metrics: BTreeMap<String, Metric>,
    expression: Option<String>,
    comparison: Comparison,
    threshold: f64,
    silence: Silence,
    /// Whether one period beyond the threshold is enough, because what happened then stays.
    at_once: bool,
}

impl Watch {
    /// Fires when one metric is at the threshold or above it.
    fn above(alert: Alert, name: impl Into<String>, metric: Metric, threshold: f64, description: String) -> Self {
        Self {
            alert,
            name: name.into(),
            description,
            metrics: [(SINGLE.to_owned(), metric)].into(),
            expression: None,
            comparison: Comparison::GreaterOrEqual,
            threshold,
            silence: Silence::Well,
            at_once: false,
        }
    }

    /// Fires when one metric is below the threshold.
    fn below(alert: Alert, name: impl Into<String>, metric: Metric, threshold: f64, description: String) -> Self {
        Self { comparison: Comparison::Less, ..Self::above(alert, name, metric, threshold, description) }
    }

    fn silence(self, silence: Silence) -> Self {
        Self { silence, ..self }
    }
}

impl Monitoring<'_, '_> {
    fn api(&mut self, side: Side) {
        let (region, plan) = (self.builder.region(side), self.builder.plan());
        let limits = &plan.monitoring.failover;
        let api = self.builder.names().regional("api", region);
        let metric = |name: &str, statistic: &str| {
            let dimensions = [("ApiName", Text::from(api.as_str())), ("Stage", plan.api.stage.as_str().into())];
            metric("AWS/ApiGateway", name, statistic, dimensions)
        };
        // The average of this metric is the share of requests, between 0 and 1.
        let errors = Watch::above(
            Alert::Failover,
            "api-5xx",
            metric("5XXError", "Average"),
            limits.api_5xx_percent / 100.0,
            format!("The API of {region} answers {} % of its requests or more with 5xx", limits.api_5xx_percent),
        );
        let latency = Watch::above(
            Alert::Failover,
            "api-latency",
            metric("Latency", "p99"),
            f64::from(limits.api_latency_p99_ms),
            format!("The slowest requests to the API of {region} take {} ms or more", limits.api_latency_p99_ms),
        );
        self.alarm(Place::Side(side), errors);
        self.alarm(Place::Side(side), latency);
    }

    fn functions(&mut self, side: Side) {
        let (region, plan) = (self.builder.region(side), self.builder.plan());
        let limits = &plan.monitoring.failover;
        for function in &plan.functions {
            let name = function.name.as_str();
            // The metrics of a function count the calls by its alias, too (`lambda.metrics.alias`).
            let function = Text::from(self.builder.names().function(name, region));
            for (what, count, threshold, happens) in [
                ("errors", "Errors", limits.function_errors, "fails"),
                ("throttles", "Throttles", limits.function_throttles, "is refused by Lambda"),
            ] {
                let watch = Watch::above(
                    Alert::Failover,
                    format!("function-{what}-{name}"),
                    metric("AWS/Lambda", count, "Sum", [("FunctionName", function.clone())]),
                    f64::from(threshold),
                    format!("The function {name} of {region} {happens} {threshold} times or more in one period"),
                );
                self.alarm(Place::Side(side), watch);
            }
        }
    }

    fn databases(&mut self, side: Side) {
        let (region, plan) = (self.builder.region(side), self.builder.plan());
        let (failover, replication) = (&plan.monitoring.failover, &plan.monitoring.replication);
        let other = self.builder.region(side.other());

        let table = Text::from(self.builder.names().shared());
        let throttles = |name| metric("AWS/DynamoDB", name, "Sum", [("TableName", table.clone())]);
        let threshold = failover.dynamodb_throttles;
        // These metrics have values only while something is refused, and alarms on DynamoDB ignore silence whatever they are told
        // (`cw.alarm.dynamodb-missing`): without the zeros this one would never end.
        let refused = Watch {
            metrics: [
                ("reads".to_owned(), throttles("ReadThrottleEvents")),
                ("writes".to_owned(), throttles("WriteThrottleEvents")),
            ]
            .into(),
            expression: Some("FILL(reads, 0) + FILL(writes, 0)".to_owned()),
            ..Watch::above(
                Alert::Failover,
                "dynamodb-throttles",
                throttles("ReadThrottleEvents"),
                f64::from(threshold),
                format!("DynamoDB refuses {threshold} requests or more in one period in {region}"),
            )
        };
        let threshold = replication.dynamodb_latency_ms;
        let late = Watch::above(
            Alert::Replication,
            "dynamodb-latency",
            metric(
                "AWS/DynamoDB",
                "ReplicationLatency",
                "Average",
                [("TableName", table.clone()), ("ReceivingRegion", other.into())],
            ),
            f64::from(threshold),
            format!("What is written to DynamoDB in {region} takes {threshold} ms or more to reach {other}"),
        );
        self.alarm(Place::Side(side), refused);
        self.alarm(Place::Side(side), late);
        if plan.database.aurora.enabled {
            self.aurora(side);
        }
    }

    fn aurora(&mut self, side: Side) {
        let (region, plan) = (self.builder.region(side), self.builder.plan());
        let (failover, replication) = (&plan.monitoring.failover, &plan.monitoring.replication);
        let cluster = Text::from(self.builder.names().regional("aurora", region));
        let metric = |name, statistic| metric("AWS/RDS", name, statistic, [("DBClusterIdentifier", cluster.clone())]);
        let busy = Watch::above(
            Alert::Failover,
            "aurora-cpu",
            metric("CPUUtilization", "Average"),
            failover.aurora_cpu_percent,
            format!(
                "The Aurora instances of {region} are {} % busy or more; without data there are none that run",
                failover.aurora_cpu_percent
            ),
        )
        .silence(Silence::Told);
        let crowded = Watch::above(
            Alert::Failover,
            "aurora-connections",
            metric("DatabaseConnections", "Maximum"),
            f64::from(failover.aurora_connections),
            format!("An Aurora instance of {region} has {} connections or more", failover.aurora_connections),
        );
        // AWS doesn't say whether this metric has a second dimension, the region of the writer. An alarm on other
        // dimensions than the published ones never has data (`cw.alarm.unvalidated`), and a query finds the metric by
        // the one that is sure.
        let name = self.builder.names().regional("aurora", region);
        let lag = format!("SELECT MAX(AuroraGlobalDBRPOLag) FROM \"AWS/RDS\" WHERE DBClusterIdentifier = '{name}'");
        let behind = Watch {
            metrics: BTreeMap::new(),
            expression: Some(lag),
            ..Watch::above(
                Alert::Replication,
                "aurora-lag",
                metric("AuroraGlobalDBRPOLag", "Maximum"),
                f64::from(replication.aurora_lag_ms),
                format!(
                    "The Aurora cluster of {region} is {} ms or more behind the writer; without data it is the writer \
                     itself, or nothing is copied to it",
                    replication.aurora_lag_ms
                ),
            )
            .silence(Silence::Told)
        };
        for watch in [busy, crowded, behind] {
            self.alarm(Place::Side(side), watch);
        }
    }

    /// The replication of objects into the bucket of this side, where AWS measures it: what is on its way there, and
    /// what was given up where it comes from.
    fn storage(&mut self, side: Side) {
        let plan = self.builder.plan();
        let arrives = match side {
            Side::Primary => plan.storage.replication.replicate_back,
            Side::Secondary => true,
        };
        if !plan.storage.replication.enabled || !arrives {
            return;
        }
        let (region, source) = (self.builder.region(side), self.builder.region(side.other()));
        let limits = &plan.monitoring.replication;
        let names = self.builder.names();
        let (source_bucket, bucket) = (names.bucket(source), names.bucket(region));
        let metric = |name, statistic| {
            let dimensions = [
                ("SourceBucket", Text::from(source_bucket.as_str())),
                ("DestinationBucket", bucket.as_str().into()),
                ("RuleId", REPLICATION_RULE.into()),
            ];
            metric("AWS/S3", name, statistic, dimensions)
        };
        let (seconds, bytes, failed) = (limits.s3_latency_seconds, limits.s3_pending_bytes, limits.s3_failed_objects);
        let late = Watch::above(
            Alert::Replication,
            "s3-latency",
            metric("ReplicationLatency", "Maximum"),
            f64::from(seconds),
            format!("Objects take {seconds} s or more from {source} to {region}"),
        )
        .silence(Silence::Unknown);
        let pending = Watch::above(
            Alert::Replication,
            "s3-pending",
            metric("BytesPendingReplication", "Maximum"),
            // Exact up to 2^53 bytes, which is eight petabytes.
            bytes as f64,
            format!("{bytes} bytes or more wait to be copied from {source} to {region}"),
        )
        .silence(Silence::Unknown);
        let given_up = Watch {
            at_once: true,
            ..Watch::above(
                Alert::Replication,
                "s3-failed",
                metric("OperationsFailedReplication", "Sum"),
                f64::from(failed),
                format!(
                    "S3 gave up copying {failed} objects or more from {source} to {region} in one period, and doesn't try \
                     them again: look for the replication status FAILED"
                ),
            )
        };
        self.alarm(Place::Side(side), late);
        self.alarm(Place::Side(side), pending);
        self.alarm(Place::Side(side.other()), given_up);
    }

    fn events(&mut self, side: Side) {
        let region = self.builder.region(side);
        let threshold = self.builder.plan().monitoring.failover.dead_letter_messages;
        let queue = Text::from(self.builder.names().regional("dead-letter", region));
        let watch = Watch::above(
            Alert::Failover,
            "dead-letter",
            metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", [("QueueName", queue)]),
            f64::from(threshold),
            format!("{threshold} or more events of {region} could not be delivered or handled"),
        );
        self.alarm(Place::Side(side), watch);
    }

    fn load_balancer(&mut self, side: Side, load_balancer: &LoadBalancer) {
        let region = self.builder.region(side);
        let threshold = self.builder.plan().monitoring.failover.load_balancer_healthy_targets;
        for (function, target_group) in &load_balancer.target_groups {
            let dimensions = [
                ("LoadBalancer", Text::from(load_balancer.full_name.clone())),
                ("TargetGroup", target_group.clone().into()),
            ];
            let watch = Watch::below(
                Alert::Failover,
                format!("load-balancer-{function}"),
                metric("AWS/ApplicationELB", "HealthyHostCount", "Minimum", dimensions),
                f64::from(threshold),
                format!("The load balancer of {region} finds fewer than {threshold} healthy targets for {function}"),
            );
            self.alarm(Place::Side(side), watch.silence(Silence::Told));
        }
    }

    fn health_checks(&mut self, health_checks: &Sides<Ref<HealthCheckId>>) {
        for side in Side::BOTH {
            let region = self.builder.region(side);
            let id = Text::from(health_checks.side(side).clone());
            let watch = Watch::below(
                Alert::Failover,
                format!("health-check-{}", side.as_str()),
                metric("AWS/Route53", "HealthCheckStatus", "Minimum", [("HealthCheckId", id)]),
                1.0,
                format!("Route 53 finds the API of {region} unhealthy and leads callers to the other region"),
            );
            self.alarm(Place::Elsewhere(ROUTE53_REGION), watch.silence(Silence::Told));
        }
    }

    /// The accelerator has metrics only while traffic flows, so its silence says nothing (`cw.metric.ga`).
    fn accelerator(&mut self, accelerator: &Accelerator) {
        let threshold = self.builder.plan().monitoring.failover.accelerator_healthy_endpoints;
        for side in Side::BOTH {
            let region = self.builder.region(side);
            let dimensions = [
                ("Accelerator", Text::from(accelerator.id.clone())),
                ("Listener", accelerator.listener.clone().into()),
                ("EndpointGroup", region.into()),
            ];
            let watch = Watch::below(
                Alert::Failover,
                format!("accelerator-{}", side.as_str()),
                metric("AWS/GlobalAccelerator", "HealthyEndpointCount", "Minimum", dimensions),
                f64::from(threshold),
                format!("The accelerator finds fewer than {threshold} healthy endpoints in {region}"),
            );
            self.alarm(Place::Elsewhere(ACCELERATOR_REGION), watch.silence(Silence::Unknown));
        }
    }

    /// Adds an alarm in the region of its metric, and its chart (invariants 1 and 2).
    fn alarm(&mut self, place: Place, watch: Watch) {
        let (side, region) = match place {
            Place::Side(side) => (Some(side), self.builder.region(side)),
            Place::Elsewhere(region) => (None, region),
        };
        let plan = &self.builder.plan().monitoring;
        let (failover, replication) = (&plan.failover, &plan.replication);
        let (period_seconds, periods, datapoints) = match watch.alert {
            Alert::Failover => (failover.period_seconds, failover.periods, failover.datapoints),
            Alert::Replication => (replication.period_seconds, replication.periods, replication.datapoints),
        };
        let key = (region.to_owned(), watch.alert);
        if !self.topics.contains_key(&key) {
            self.topic(region, watch.alert, None);
        }
        let topic = self.topics[&key].arn();
        self.charts.push((side, chart(region, period_seconds, &watch)));
        let spec = AlarmSpec {
            name: self.builder.names().regional(&watch.name, region),
            description: watch.description,
            metrics: watch.metrics,
            expression: watch.expression,
            period_seconds,
            periods,
            datapoints: if watch.at_once { 1 } else { datapoints },
            comparison: watch.comparison,
            threshold: watch.threshold,
            missing_data: match watch.silence {
                Silence::Well => MissingData::NotBreaching,
                Silence::Unknown | Silence::Told => MissingData::Missing,
            },
            alarm_topics: vec![topic.clone()],
            no_data_topics: if watch.silence == Silence::Told { vec![topic.clone()] } else { Vec::new() },
            ok_topics: vec![topic],
            actions_enabled: true,
        };
        self.builder.add::<Alarm>(Scope::region(region), &watch.name, spec);
    }

    /// Adds a topic that the region's alarms publish to, and a subscription for every address (invariant 3).
    fn topic(&mut self, region: &str, alert: Alert, key: Option<Ref<KeyArn>>) {
        let (scope, name) = (Scope::region(region), alert.as_str());
        let names = self.builder.names();
        let topic_name = names.regional(name, region);
        let arn = names.topic_arn(&topic_name, region);
        let policy = Policy::new(vec![
            // A policy of one's own replaces the default one, so the account's own rights stand here too (`sns.topic.policy`).
            json!({
                "Sid": "Account", "Effect": "Allow", "Principal": { "AWS": names.root_arn() }, "Resource": arn,
                "Action": [
                    "sns:AddPermission", "sns:DeleteTopic", "sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic",
                    "sns:Publish", "sns:RemovePermission", "sns:SetTopicAttributes", "sns:Subscribe",
                ],
            }),
            json!({
                "Sid": "Alarms", "Effect": "Allow", "Principal": { "Service": "cloudwatch.amazonaws.com" },
                "Action": "sns:Publish", "Resource": arn,
                "Condition": {
                    "StringEquals": { "aws:SourceAccount": names.account() },
                    "ArnLike": { "aws:SourceArn": names.arn("cloudwatch", region, "alarm:*") },
                },
            }),
        ]);
        let display_name = format!("Payments {} {name}", names.suffix());
        let spec = TopicSpec { name: topic_name, display_name, kms_key: key, policy };
        let topic = self.builder.add::<Topic>(scope.clone(), name, spec);
        for email in &self.builder.plan().monitoring.emails {
            let spec = SubscriptionSpec {
                topic: topic.arn(),
                protocol: "email".to_owned(),
                endpoint: email.as_str().to_owned(),
            };
            let name = format!("{name}-{}", address_part(email.as_str()));
            self.builder.add::<Subscription>(scope.clone(), &name, spec);
        }
        self.topics.insert((region.to_owned(), alert), topic);
    }

    fn dashboard(&mut self, side: Side) {
        let shown = self.charts.iter().filter(|(of, _)| of.is_none_or(|of| of == side));
        let widgets: Vec<Value> = shown
            .enumerate()
            .map(|(index, (_, chart))| {
                json!({
                    "type": "metric", "width": CHART_WIDTH, "height": CHART_HEIGHT, "properties": chart,
                    "x": index % CHARTS_IN_A_ROW * CHART_WIDTH, "y": index / CHARTS_IN_A_ROW * CHART_HEIGHT,
                })
            })
            .collect();
        let name = self.builder.names().regional("payments", self.builder.region(side));
        let spec = DashboardSpec { name, body: json!({ "widgets": widgets }) };
        self.builder.add::<Dashboard>(self.builder.scope(side), "payments", spec);
    }
}

/// The chart of what an alarm watches, with its threshold as a line.
fn chart(region: &str, period_seconds: u32, watch: &Watch) -> Value {
    let mut rows: Vec<Value> = Vec::new();
    if let Some(expression) = &watch.expression {
        rows.push(json!([{ "expression": expression, "label": watch.name }]));
    }
    for (id, metric) in &watch.metrics {
        let dimensions = metric.dimensions.iter().flat_map(|(name, value)| [json!(name), json!(value)]);
        let shown = json!({ "id": id, "stat": metric.statistic, "visible": watch.expression.is_none() });
        rows.push([json!(metric.namespace), json!(metric.name)].into_iter().chain(dimensions).chain([shown]).collect());
    }
    json!({
        "title": watch.name, "region": region, "view": "timeSeries", "period": period_seconds, "metrics": rows,
        "annotations": { "horizontal": [{ "label": "alarm", "value": watch.threshold }] },
    })
}

fn metric<'d>(
    namespace: &str,
    name: &str,
    statistic: &str,
    dimensions: impl IntoIterator<Item = (&'d str, Text)>,
) -> Metric {
    Metric {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        dimensions: dimensions.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        statistic: statistic.to_owned(),
    }
}

/// A text as a part of an address: characters that addresses do not allow, and the sign that marks them, as `=` and two or more
/// hexadecimal digits.
fn address_part(text: &str) -> String {
    let part = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' | '@' | '+' => c.to_string(),
        _ => format!("={:02x}", u32::from(c)),
    };
    text.chars().map(part).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::Plan;
    use crate::topology::{Inputs, Resource, Stack, Topology};

    fn topology(plan: &Plan) -> Topology {
        let suffix = "dev".parse().unwrap();
        let code = BTreeMap::new();
        let mut builder = Builder::new(Inputs::plain(plan, &suffix, &code));
        builder.stack = Stack::Monitoring;
        let known = |what: &str, side: Side| format!("{what}-{}", side.as_str());
        let needs = Needs {
            keys: Sides::build(|side| Ref::Known(known("arn:key", side).into())),
            health_checks: Sides::build(|side| Ref::Known(known("check", side).into())),
            load_balancers: plan.routing.load_balancers.enabled.then(|| {
                Sides::build(|side| LoadBalancer {
                    full_name: Ref::Known(known("app/alb", side)),
                    target_groups: [("health_check".to_owned(), Ref::Known(known("targetgroup/h", side)))].into(),
                })
            }),
            accelerator: plan.routing.accelerator.enabled.then(|| Accelerator {
                id: Ref::Known("accelerator-id".into()),
                listener: Ref::Known("listener-id".into()),
            }),
        };
        build(&mut builder, &needs);
        builder.topology
    }

    fn addresses(topology: &Topology) -> BTreeSet<String> {
        topology.resources.keys().map(ToString::to_string).collect()
    }

    fn of<'a>(topology: &'a Topology, kind: &str) -> Vec<&'a Resource> {
        topology.resources.values().filter(|resource| resource.address.kind() == kind).collect()
    }

    /// Invariant 1.
    #[test]
    fn every_alarm_stands_where_its_metric_is_and_tells_a_topic_there() {
        for regions in [("us-east-1", "us-east-2"), ("eu-west-1", "us-west-2")] {
            let mut plan = Plan::default();
            plan.regions.primary = regions.0.parse().unwrap();
            plan.regions.secondary = regions.1.parse().unwrap();
            let topology = topology(&plan);
            for alarm in of(&topology, "cloudwatch_alarm") {
                let scope = alarm.address.scope();
                for metric in alarm.spec["metrics"].as_object().unwrap().values() {
                    match metric["namespace"].as_str().unwrap() {
                        "AWS/Route53" => assert_eq!(scope.as_str(), "us-east-1"),
                        "AWS/GlobalAccelerator" => assert_eq!(scope.as_str(), "us-west-2"),
                        _ => assert!([regions.0, regions.1].contains(&scope.as_str()), "{}", alarm.address),
                    }
                }
                assert_eq!(alarm.references.len(), 1, "{}", alarm.address);
                for topic in &alarm.references {
                    assert_eq!((topic.kind(), topic.scope()), ("sns_topic", scope), "{}", alarm.address);
                }
            }
        }
    }

    #[test]
    fn a_region_of_its_own_has_a_topic_only_for_what_is_measured_there() {
        let mut plan = Plan::default();
        let elsewhere = |plan: &Plan| -> Vec<String> {
            let all = addresses(&topology(plan));
            all.into_iter().filter(|address| address.starts_with("us-west-2/")).collect()
        };
        assert_eq!(
            elsewhere(&plan),
            [
                "us-west-2/cloudwatch_alarm/accelerator-primary",
                "us-west-2/cloudwatch_alarm/accelerator-secondary",
                "us-west-2/sns_topic/failover",
            ]
        );
        plan.routing.accelerator.enabled = false;
        assert_eq!(elsewhere(&plan), [""; 0]);
    }

    /// The backlog of a copy is measured at its destination, and what was given up at its source (`cw.metric.s3`).
    #[test]
    fn replication_of_objects_is_watched_where_it_is_measured() {
        let mut plan = Plan::default();
        plan.storage.replication.replicate_back = false;
        let topology = topology(&plan);
        let watched: Vec<_> = addresses(&topology).into_iter().filter(|address| address.contains("/s3-")).collect();
        let expected = [
            "us-east-1/cloudwatch_alarm/s3-failed",
            "us-east-2/cloudwatch_alarm/s3-latency",
            "us-east-2/cloudwatch_alarm/s3-pending",
        ];
        assert_eq!(watched, expected);
        for address in expected {
            let dimensions = &resource(&topology, address).spec["metrics"][SINGLE]["dimensions"];
            assert_eq!(dimensions["SourceBucket"], "dr-payment-data-us-east-1-dev", "{address}");
            assert_eq!(dimensions["DestinationBucket"], "dr-payment-data-us-east-2-dev", "{address}");
            assert_eq!(dimensions["RuleId"], REPLICATION_RULE, "{address}");
        }
    }

    /// S3 tries no object again that it gave up, and counts each once: an alarm that waited for more periods would
    /// never fire.
    #[test]
    fn one_object_that_was_given_up_is_enough() {
        let topology = topology(&Plan::default());
        for region in ["us-east-1", "us-east-2"] {
            let alarm = &resource(&topology, &format!("{region}/cloudwatch_alarm/s3-failed")).spec;
            assert_eq!((&alarm["datapoints"], &alarm["threshold"]), (&json!(1), &json!(1.0)));
            assert_eq!(alarm["metrics"][SINGLE]["statistic"], "Sum");
        }
    }

    /// Switching a part off takes away its alarms and nothing else.
    #[test]
    fn switches_take_away_exactly_their_part() {
        let all = addresses(&topology(&Plan::default()));
        let gone = |change: fn(&mut Plan)| {
            let mut plan = Plan::default();
            change(&mut plan);
            let left = addresses(&topology(&plan));
            assert!(left.is_subset(&all));
            all.difference(&left).cloned().collect::<Vec<_>>()
        };
        type Switch = fn(&mut Plan);
        let parts: [(&str, Switch); 4] = [
            ("/aurora-", |plan| plan.database.aurora.enabled = false),
            ("/s3-", |plan| plan.storage.replication.enabled = false),
            ("/load-balancer-", |plan| plan.routing.load_balancers.enabled = false),
            ("cloudwatch_dashboard", |plan| plan.monitoring.dashboard = false),
        ];
        for (part, change) in parts {
            let gone = gone(change);
            assert!(!gone.is_empty() && gone.iter().all(|address| address.contains(part)), "{part}: {gone:?}");
        }
    }

    /// Invariant 3; addresses with characters of their own stay apart.
    #[test]
    fn every_address_gets_every_alert() {
        let mut plan = Plan::default();
        plan.monitoring.emails = ["a/b@example.com", "a=2fb@example.com"].map(|email| email.parse().unwrap()).into();
        let topology = topology(&plan);
        let topics = of(&topology, "sns_topic").len();
        assert_eq!((topics, of(&topology, "sns_subscription").len()), (5, 10));
    }

    /// Invariant 2.
    #[test]
    fn a_dashboard_shows_its_region_and_what_is_measured_elsewhere() {
        let topology = topology(&Plan::default());
        for dashboard in of(&topology, "cloudwatch_dashboard") {
            let region = dashboard.address.scope().as_str();
            let charts = dashboard.spec["body"]["widgets"].as_array().unwrap();
            let titles: BTreeSet<&str> =
                charts.iter().map(|chart| chart["properties"]["title"].as_str().unwrap()).collect();
            let alarms: BTreeSet<&str> = of(&topology, "cloudwatch_alarm")
                .into_iter()
                .map(|alarm| (alarm.address.scope().as_str(), alarm.address.name()))
                .filter(|(scope, name)| {
                    *scope == region || name.starts_with("health-check-") || name.starts_with("accelerator-")
                })
                .map(|(_, name)| name)
                .collect();
            assert_eq!(titles, alarms);
        }
        // Their names are unique in the account, not in a region.
        let names =
            of(&topology, "cloudwatch_dashboard").into_iter().map(|dashboard| dashboard.spec["name"].to_string());
        assert_eq!(names.collect::<BTreeSet<_>>().len(), 2);
    }

    fn resource<'a>(topology: &'a Topology, address: &str) -> &'a Resource {
        &topology.resources[&address.parse().unwrap()]
    }

    /// CloudWatch takes any name: an alarm with a slip of the finger never has data. The table is written from the services' own
    /// lists of metrics. A query names one dimension and finds the metric whatever its others are.
    #[test]
    fn every_alarm_is_on_a_metric_that_its_service_publishes() {
        let published: BTreeSet<(String, String, Vec<String>)> = [
            ("AWS/ApiGateway", "5XXError", "ApiName Stage"),
            ("AWS/ApiGateway", "Latency", "ApiName Stage"),
            ("AWS/ApplicationELB", "HealthyHostCount", "LoadBalancer TargetGroup"),
            ("AWS/DynamoDB", "ReadThrottleEvents", "TableName"),
            ("AWS/DynamoDB", "ReplicationLatency", "ReceivingRegion TableName"),
            ("AWS/DynamoDB", "WriteThrottleEvents", "TableName"),
            ("AWS/GlobalAccelerator", "HealthyEndpointCount", "Accelerator EndpointGroup Listener"),
            ("AWS/Lambda", "Errors", "FunctionName"),
            ("AWS/Lambda", "Throttles", "FunctionName"),
            ("AWS/RDS", "CPUUtilization", "DBClusterIdentifier"),
            ("AWS/RDS", "DatabaseConnections", "DBClusterIdentifier"),
            ("AWS/Route53", "HealthCheckStatus", "HealthCheckId"),
            ("AWS/S3", "BytesPendingReplication", "DestinationBucket RuleId SourceBucket"),
            ("AWS/S3", "OperationsFailedReplication", "DestinationBucket RuleId SourceBucket"),
            ("AWS/S3", "ReplicationLatency", "DestinationBucket RuleId SourceBucket"),
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
        ]
        .map(|(namespace, name, dimensions)| {
            (namespace.to_owned(), name.to_owned(), dimensions.split(' ').map(str::to_owned).collect())
        })
        .into();
        let topology = topology(&Plan::default());
        let alarms: Vec<AlarmSpec> = of(&topology, "cloudwatch_alarm")
            .into_iter()
            .map(|alarm| serde_json::from_value(alarm.spec.clone()).unwrap())
            .collect();
        let queries: BTreeSet<_> = alarms
            .iter()
            .filter(|alarm| alarm.metrics.is_empty())
            .map(|alarm| alarm.expression.clone().unwrap())
            .collect();
        let lag = |region: &str| {
            format!(
                "SELECT MAX(AuroraGlobalDBRPOLag) FROM \"AWS/RDS\" WHERE DBClusterIdentifier = 'dr-aurora-{region}-dev'"
            )
        };
        assert_eq!(queries, ["us-east-1", "us-east-2"].map(lag).into());
        let watched: BTreeSet<_> = alarms
            .into_iter()
            .flat_map(|alarm| alarm.metrics.into_values())
            .map(|metric| (metric.namespace, metric.name, metric.dimensions.into_keys().collect::<Vec<_>>()))
            .collect();
        assert_eq!(watched, published);
    }

    /// An alarm on DynamoDB ignores missing data whatever it is told, so it is given zeros.
    #[test]
    fn throttles_of_dynamodb_are_filled_with_zeros() {
        let topology = topology(&Plan::default());
        for region in ["us-east-1", "us-east-2"] {
            let alarm = &resource(&topology, &format!("{region}/cloudwatch_alarm/dynamodb-throttles")).spec;
            assert_eq!(alarm["expression"], "FILL(reads, 0) + FILL(writes, 0)");
            assert_eq!(alarm["metrics"].as_object().unwrap().keys().collect::<Vec<_>>(), ["reads", "writes"]);
        }
    }

    /// The lag has milliseconds and is there for the reading cluster alone, which may be either. The writer's silence
    /// isn't taken for health, nor is that of a cluster that nothing is copied to.
    #[test]
    fn the_lag_of_aurora_is_watched_on_both_clusters_and_its_end_is_told() {
        let plan = Plan::default();
        let topology = topology(&plan);
        for region in ["us-east-1", "us-east-2"] {
            let alarm = &resource(&topology, &format!("{region}/cloudwatch_alarm/aurora-lag")).spec;
            assert!(alarm["expression"].as_str().unwrap().contains(&format!("'dr-aurora-{region}-dev'")));
            assert_eq!(alarm["threshold"], f64::from(plan.monitoring.replication.aurora_lag_ms));
            assert_eq!((&alarm["missing_data"], &alarm["no_data_topics"]), (&json!("missing"), &alarm["alarm_topics"]));
        }
    }

    /// `rds.failover.not-inherited`: a cluster that is promoted has no alarms but its own.
    #[test]
    fn the_clusters_of_both_regions_have_the_same_alarms() {
        let topology = topology(&Plan::default());
        for region in ["us-east-1", "us-east-2"] {
            let mut names = Vec::new();
            for alarm in of(&topology, "cloudwatch_alarm") {
                if alarm.address.scope().as_str() == region && alarm.address.name().starts_with("aurora-") {
                    let cluster = format!("dr-aurora-{region}-dev");
                    assert!(
                        alarm.spec["metrics"].to_string().contains(&cluster)
                            || alarm.spec["expression"].to_string().contains(&cluster),
                        "{}",
                        alarm.address
                    );
                    names.push(alarm.address.name());
                }
            }
            assert_eq!(names, ["aurora-connections", "aurora-cpu", "aurora-lag"], "{region}");
        }
    }

    /// The accelerator has metrics only while there is traffic; a health check always has one.
    #[test]
    fn silence_is_told_only_where_a_metric_is_always_there() {
        let topology = topology(&Plan::default());
        let silence = |address: &str| {
            let spec = &resource(&topology, address).spec;
            (spec["missing_data"].as_str().unwrap().to_owned(), spec["no_data_topics"] == spec["alarm_topics"])
        };
        for side in ["primary", "secondary"] {
            let accelerator = silence(&format!("us-west-2/cloudwatch_alarm/accelerator-{side}"));
            assert_eq!(accelerator, ("missing".to_owned(), false));
            let health_check = silence(&format!("us-east-1/cloudwatch_alarm/health-check-{side}"));
            assert_eq!(health_check, ("missing".to_owned(), true));
        }
    }

    /// Invariant 4: no metric has data when its alarm is made.
    #[test]
    fn no_alarm_takes_silence_for_failure() {
        for alarm in of(&topology(&Plan::default()), "cloudwatch_alarm") {
            assert_ne!(alarm.spec["missing_data"], "breaching", "{}", alarm.address);
        }
    }

    /// The page has a row for each alarm, and each row is of an alarm: its regions, and what its silence means.
    #[test]
    fn the_page_of_alarms_says_where_each_is_and_what_its_silence_means() {
        let plan = Plan::default();
        let mut alarms: BTreeMap<String, (BTreeSet<String>, &str)> = BTreeMap::new();
        let topology = topology(&plan);
        for alarm in of(&topology, "cloudwatch_alarm") {
            let told = alarm.spec["no_data_topics"].as_array().is_some_and(|topics| !topics.is_empty());
            let silence = match (alarm.spec["missing_data"].as_str().unwrap(), told) {
                ("not_breaching", false) => "well",
                ("missing", false) => "unknown",
                ("missing", true) => "told",
                other => panic!("{other:?}"),
            };
            let mut name = alarm.address.name().to_owned();
            for function in &plan.functions {
                name = name.replace(function.name.as_str(), "{function}");
            }
            for side in ["primary", "secondary"] {
                name = name.replace(&format!("-{side}"), "-{side}");
            }
            let (regions, of_alarm) = alarms.entry(name).or_insert((BTreeSet::new(), silence));
            regions.insert(alarm.address.scope().to_string());
            assert_eq!(*of_alarm, silence, "{}", alarm.address);
        }
        let alarms: BTreeSet<[String; 3]> = alarms
            .into_iter()
            .map(|(name, (regions, silence))| {
                let both = regions.contains("us-east-1") && regions.contains("us-east-2");
                let region = if both { "both".to_owned() } else { Vec::from_iter(regions).join(", ") };
                [format!("`{name}`"), region, silence.to_owned()]
            })
            .collect();
        let page: BTreeSet<[String; 3]> = include_str!("../../docs/alarms.md")
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
                let [name, region, fires, silence, lost] = cells[..] else { panic!("{line}") };
                assert!(!fires.is_empty() && !lost.is_empty(), "{line}");
                [name, region, silence].map(str::to_owned)
            })
            .collect();
        assert_eq!(page, alarms);
    }

    /// Alarms publish nothing to a topic whose key does not let them in, and one in a region without a key of ours has none.
    #[test]
    fn a_topic_has_the_key_of_its_own_region_or_none() {
        let topology = topology(&Plan::default());
        for (region, key) in [("us-east-1", "arn:key-primary"), ("us-east-2", "arn:key-secondary")] {
            for name in ["failover", "replication"] {
                assert_eq!(resource(&topology, &format!("{region}/sns_topic/{name}")).spec["kms_key"], key);
            }
        }
        assert!(resource(&topology, "us-west-2/sns_topic/failover").spec["kms_key"].is_null());
    }

    /// A policy of one's own takes away what the default one gives the account.
    #[test]
    fn a_topic_restates_the_rights_of_the_account_and_lets_alarms_publish() {
        let topology = topology(&Plan::default());
        for topic in of(&topology, "sns_topic") {
            let arn = format!("arn:aws:sns:{}:1:{}", topic.address.scope(), topic.spec["name"].as_str().unwrap());
            let statements = topic.spec["policy"]["Statement"].as_array().unwrap();
            assert!(statements.iter().all(|statement| statement["Resource"] == arn), "{}", topic.address);
            let of =
                |principal: Value| statements.iter().find(|statement| statement["Principal"] == principal).unwrap();
            let account = of(json!({ "AWS": "arn:aws:iam::1:root" }))["Action"].as_array().unwrap();
            for action in ["sns:Publish", "sns:Subscribe", "sns:SetTopicAttributes", "sns:DeleteTopic"] {
                assert!(account.contains(&action.into()), "{action}");
            }
            assert_eq!(of(json!({ "Service": "cloudwatch.amazonaws.com" }))["Action"], "sns:Publish");
        }
    }
}
