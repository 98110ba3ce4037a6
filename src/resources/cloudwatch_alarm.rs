//! `cloudwatch_alarm`: tells a topic when a metric is beyond a threshold.
//!
//! Facts: `cw.alarm.put` (overwrites everything; tags count at creation only), `cw.alarm.period`,
//! `cw.alarm.unvalidated` (a wrong dimension is never refused, it only never has data), `cw.alarm.query` (a query finds
//! a metric whatever its other dimensions are), `cw.alarm.birth` (nobody is told of the state that an alarm begins
//! with), `cw.alarm.region` (an alarm sees the metrics of its own region only), `cw.alarm.read` (100 per call; absent
//! is an empty list), `sns.topic.region` (the topic is in the alarm's region).
//! Replacement: `name`. Slow: nothing.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{
    AlarmType, ComparisonOperator, Dimension, Metric as SdkMetric, MetricAlarm, MetricDataQuery, MetricStat, Statistic,
    Tag,
};
use serde::{Deserialize, Serialize};

use super::cloudwatch;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{AlarmArn, Ref, Text, TopicArn};
use crate::sdk_tags;

/// How many alarms one call describes.
const PAGE: usize = 100;

/// The kind.
#[derive(Debug)]
pub struct Alarm;

/// The desired properties of an alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmSpec {
    /// The name.
    pub name: String,
    /// What it means that it fires, and what to look at.
    pub description: String,
    /// The metrics that are measured, by the id that the expression calls them; a single one is measured as it is, and
    /// none at all when the expression is a query.
    pub metrics: BTreeMap<String, Metric>,
    /// Metric math over the metrics' ids, needed when there is more than one; without metrics a query of CloudWatch
    /// Metrics Insights.
    pub expression: Option<String>,
    /// Seconds of one period.
    pub period_seconds: u32,
    /// Periods that are looked at.
    pub periods: u32,
    /// Periods of those that must be beyond the threshold.
    pub datapoints: u32,
    /// What "beyond" means.
    pub comparison: Comparison,
    /// The threshold, in the unit of the metric.
    pub threshold: f64,
    /// What a period without data counts as.
    pub missing_data: MissingData,
    /// The topics told when it fires.
    pub alarm_topics: Vec<Ref<TopicArn>>,
    /// The topics told when it is over.
    pub ok_topics: Vec<Ref<TopicArn>>,
    /// The topics told when there are no data any more.
    #[serde(default)]
    pub no_data_topics: Vec<Ref<TopicArn>>,
    /// Whether anybody is told.
    pub actions_enabled: bool,
}

/// One metric with its statistic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The namespace, `AWS/Lambda`.
    pub namespace: String,
    /// The name, `Errors`.
    pub name: String,
    /// The dimensions.
    pub dimensions: BTreeMap<String, Text>,
    /// `Average`, `Sum`, `Minimum`, `Maximum`, `SampleCount`, or a percentile such as `p99`.
    pub statistic: String,
}

/// What "beyond the threshold" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// More than it.
    Greater,
    /// It or more.
    GreaterOrEqual,
    /// Less than it.
    Less,
    /// It or less.
    LessOrEqual,
    /// A comparison that drctl does not use.
    Other,
}

/// What a period without data counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingData {
    /// As beyond the threshold.
    Breaching,
    /// As not beyond the threshold.
    NotBreaching,
    /// As if it were not there: the alarm keeps its state.
    Ignore,
    /// As unknown: without any data the alarm has none either.
    Missing,
}

outputs! {
    /// What is known of an alarm once it exists.
    pub struct AlarmOutputs of Alarm {
        /// The ARN.
        arn: AlarmArn,
    }
}

impl Kind for Alarm {
    type Spec = AlarmSpec;
    type Outputs = AlarmOutputs;

    const TRAITS: Traits = Traits {
        name: "cloudwatch_alarm",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource", "tag:GetResources"],
            change: &[
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
                "cloudwatch:DeleteAlarms",
            ],
        },
        retries: &[
            Retry::seconds("cloudwatch:TagResource", "ConcurrentModificationException", "", 60),
            Retry::seconds("cloudwatch:UntagResource", "ConcurrentModificationException", "", 60),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let names: Vec<String> = wanted.iter().map(|wanted| wanted.spec.name.clone()).collect();
        let pages: Vec<&[String]> = names.chunks(PAGE).collect();
        let found: Vec<MetricAlarm> =
            context.each(&pages, |names| describe(context, names)).await?.into_iter().flatten().collect();
        context
            .each(wanted, |wanted| {
                let alarm = found.iter().find(|alarm| alarm.alarm_name() == Some(wanted.spec.name.as_str()));
                async move {
                    let Some(alarm) = alarm else { return Ok(None) };
                    let arn = alarm.alarm_arn().ok_or_else(|| missing("AlarmArn"))?;
                    let tags = match tags_of(context, arn).await {
                        Err(error) if error.is_gone() => return Ok(None),
                        tags => tags?,
                    };
                    Ok(Some(Object { spec: parse(alarm)?, outputs: AlarmOutputs { arn: arn.into() }, tags }))
                }
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &AlarmSpec, object: Option<Object<Self>>) -> Result<AlarmOutputs> {
        let Some(object) = object else {
            put(task, spec, Some(sdk_tags!(task.tags, Tag))).await?;
            let arn = format!("arn:aws:cloudwatch:{}:{}:alarm:{}", task.scope(), task.account(), spec.name);
            let outputs = AlarmOutputs { arn: arn.into() };
            task.identified(&outputs).await?;
            return Ok(outputs);
        };
        if object.spec != *spec {
            put(task, spec, None).await?;
        }
        cloudwatch::sync_tags(task, object.outputs.arn.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &AlarmSpec, _: &AlarmOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let name = spec.name.as_str();
        let deleted = task
            .call("cloudwatch:DeleteAlarms", || clients.cloudwatch().delete_alarms().alarm_names(name).send())
            .await;
        match deleted {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn describe(context: &Context, names: &[String]) -> Result<Vec<MetricAlarm>> {
    let clients = context.clients();
    let answer = context
        .call("cloudwatch:DescribeAlarms", || {
            clients
                .cloudwatch()
                .describe_alarms()
                .set_alarm_names(Some(names.to_vec()))
                .alarm_types(AlarmType::MetricAlarm)
                .max_records(PAGE as i32)
                .send()
        })
        .await?;
    Ok(answer.metric_alarms.unwrap_or_default())
}

async fn tags_of(context: &Context, arn: &str) -> Result<Tags> {
    match context.confirmed_tags(arn).await? {
        Some(tags) => Ok(tags),
        None => cloudwatch::tags(context, arn).await,
    }
}

/// Creates the alarm, or overwrites it whole.
async fn put(task: &Task<'_>, spec: &AlarmSpec, tags: Option<Vec<Tag>>) -> Result<()> {
    let clients = task.clients();
    let arns = |topics: &[Ref<TopicArn>]| Some(topics.iter().map(|topic| topic.known().to_string()).collect());
    task.call("cloudwatch:PutMetricAlarm", || {
        let request = clients
            .cloudwatch()
            .put_metric_alarm()
            .alarm_name(&spec.name)
            .alarm_description(&spec.description)
            .evaluation_periods(int(spec.periods))
            .datapoints_to_alarm(int(spec.datapoints))
            .threshold(spec.threshold)
            .comparison_operator(operator(spec.comparison))
            .treat_missing_data(missing_data(spec.missing_data))
            .set_alarm_actions(arns(&spec.alarm_topics))
            .set_ok_actions(arns(&spec.ok_topics))
            .set_insufficient_data_actions(arns(&spec.no_data_topics))
            .actions_enabled(spec.actions_enabled)
            .set_tags(tags.clone());
        let request = match (&spec.expression, spec.metrics.values().next()) {
            (None, Some(metric)) => {
                let request = request
                    .namespace(&metric.namespace)
                    .metric_name(&metric.name)
                    .set_dimensions(Some(dimensions(metric)))
                    .period(int(spec.period_seconds));
                match Statistic::try_parse(&metric.statistic) {
                    Ok(statistic) => request.statistic(statistic),
                    Err(_) => request.extended_statistic(&metric.statistic),
                }
            }
            _ => request.set_metrics(Some(queries(spec))),
        };
        request.send()
    })
    .await?;
    Ok(())
}

/// The id of the query whose values are compared, which `parse` takes off again.
const RESULT: &str = "result";

/// The id of a metric that is measured as it is.
pub const SINGLE: &str = "m";

/// The metrics and the expression over them, as CloudWatch takes metric math.
fn queries(spec: &AlarmSpec) -> Vec<MetricDataQuery> {
    let metrics = spec.metrics.iter().map(|(id, metric)| {
        let what = SdkMetric::builder().namespace(&metric.namespace).metric_name(&metric.name);
        let stat = MetricStat::builder()
            .metric(what.set_dimensions(Some(dimensions(metric))).build())
            .period(int(spec.period_seconds))
            .stat(&metric.statistic);
        MetricDataQuery::builder().id(id).metric_stat(stat.build()).return_data(false).build()
    });
    // A query has a period of its own; metric math has those of its metrics.
    let period = spec.metrics.is_empty().then(|| int(spec.period_seconds));
    let result = MetricDataQuery::builder().id(RESULT).set_expression(spec.expression.clone()).return_data(true);
    metrics.chain([result.set_period(period).build()]).collect()
}

fn dimensions(metric: &Metric) -> Vec<Dimension> {
    let dimension = |(name, value): (&String, &Text)| Dimension::builder().name(name).value(value.known()).build();
    metric.dimensions.iter().map(dimension).collect()
}

/// The error of an answer without a field that every alarm has.
fn missing(field: &str) -> Error {
    Error::incomplete("cloudwatch:DescribeAlarms", field)
}

fn parse(alarm: &MetricAlarm) -> Result<AlarmSpec> {
    let mut metrics = BTreeMap::new();
    let mut period = alarm.period();
    let mut expression = None;
    for query in alarm.metrics() {
        expression = expression.or(query.expression().map(str::to_owned));
        let Some(stat) = query.metric_stat() else {
            period = period.or(query.period());
            continue;
        };
        let Some(metric) = stat.metric() else { continue };
        period = period.or(stat.period());
        let statistic = stat.stat().unwrap_or_default();
        let metric = metric_of(metric.namespace(), metric.metric_name(), metric.dimensions(), statistic);
        metrics.insert(query.id().unwrap_or_default().to_owned(), metric);
    }
    if alarm.metric_name().is_some() {
        let statistic = alarm.extended_statistic().or(alarm.statistic().map(Statistic::as_str)).unwrap_or_default();
        let metric = metric_of(alarm.namespace(), alarm.metric_name(), alarm.dimensions(), statistic);
        metrics.insert(SINGLE.to_owned(), metric);
    }
    let periods = alarm.evaluation_periods().ok_or_else(|| missing("EvaluationPeriods"))?;
    Ok(AlarmSpec {
        name: alarm.alarm_name().ok_or_else(|| missing("AlarmName"))?.to_owned(),
        description: alarm.alarm_description().unwrap_or_default().to_owned(),
        metrics,
        expression,
        period_seconds: period.unwrap_or_default().unsigned_abs(),
        periods: periods.unsigned_abs(),
        // Left out, it is as many as there are periods.
        datapoints: alarm.datapoints_to_alarm().unwrap_or(periods).unsigned_abs(),
        comparison: comparison(alarm.comparison_operator()),
        threshold: alarm.threshold().unwrap_or_default(),
        missing_data: match alarm.treat_missing_data() {
            Some("breaching") => MissingData::Breaching,
            Some("notBreaching") => MissingData::NotBreaching,
            Some("ignore") => MissingData::Ignore,
            _ => MissingData::Missing,
        },
        alarm_topics: topics(alarm.alarm_actions()),
        ok_topics: topics(alarm.ok_actions()),
        no_data_topics: topics(alarm.insufficient_data_actions()),
        actions_enabled: alarm.actions_enabled().unwrap_or(true),
    })
}

fn metric_of(namespace: Option<&str>, name: Option<&str>, dimensions: &[Dimension], statistic: &str) -> Metric {
    let dimension =
        |dimension: &Dimension| Some((dimension.name()?.to_owned(), Text::from(dimension.value().unwrap_or_default())));
    Metric {
        namespace: namespace.unwrap_or_default().to_owned(),
        name: name.unwrap_or_default().to_owned(),
        dimensions: dimensions.iter().filter_map(dimension).collect(),
        statistic: statistic.to_owned(),
    }
}

fn topics(actions: &[String]) -> Vec<Ref<TopicArn>> {
    actions.iter().map(|action| Ref::Known(action.as_str().into())).collect()
}

fn operator(comparison: Comparison) -> ComparisonOperator {
    match comparison {
        Comparison::Greater | Comparison::Other => ComparisonOperator::GreaterThanThreshold,
        Comparison::GreaterOrEqual => ComparisonOperator::GreaterThanOrEqualToThreshold,
        Comparison::Less => ComparisonOperator::LessThanThreshold,
        Comparison::LessOrEqual => ComparisonOperator::LessThanOrEqualToThreshold,
    }
}

fn comparison(operator: Option<&ComparisonOperator>) -> Comparison {
    match operator {
        Some(ComparisonOperator::GreaterThanThreshold) => Comparison::Greater,
        Some(ComparisonOperator::GreaterThanOrEqualToThreshold) => Comparison::GreaterOrEqual,
        Some(ComparisonOperator::LessThanThreshold) => Comparison::Less,
        Some(ComparisonOperator::LessThanOrEqualToThreshold) => Comparison::LessOrEqual,
        _ => Comparison::Other,
    }
}

fn missing_data(missing: MissingData) -> &'static str {
    match missing {
        MissingData::Breaching => "breaching",
        MissingData::NotBreaching => "notBreaching",
        MissingData::Ignore => "ignore",
        MissingData::Missing => "missing",
    }
}

fn int(number: u32) -> i32 {
    i32::try_from(number).expect("the plan limits periods")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, statistic: &str) -> Metric {
        Metric {
            namespace: "AWS/DynamoDB".into(),
            name: name.into(),
            dimensions: [("TableName".to_owned(), "dr-payments-dev".into())].into(),
            statistic: statistic.into(),
        }
    }

    fn spec() -> AlarmSpec {
        AlarmSpec {
            name: "dr-throttles-us-east-1-dev".into(),
            description: "why".into(),
            metrics: [("reads".to_owned(), metric("ReadThrottleEvents", "Sum"))].into(),
            expression: Some("FILL(reads, 0)".into()),
            period_seconds: 60,
            periods: 3,
            datapoints: 2,
            comparison: Comparison::GreaterOrEqual,
            threshold: 10.0,
            missing_data: MissingData::NotBreaching,
            alarm_topics: vec![Ref::Known("arn:aws:sns:us-east-1:1:t".into())],
            ok_topics: vec![],
            no_data_topics: vec![Ref::Known("arn:aws:sns:us-east-1:1:t".into())],
            actions_enabled: true,
        }
    }

    fn described() -> aws_sdk_cloudwatch::types::builders::MetricAlarmBuilder {
        MetricAlarm::builder()
            .alarm_name("dr-throttles-us-east-1-dev")
            .alarm_arn("arn:aws:cloudwatch:us-east-1:1:alarm:dr-throttles-us-east-1-dev")
            .alarm_description("why")
            .evaluation_periods(3)
            .datapoints_to_alarm(2)
            .comparison_operator(ComparisonOperator::GreaterThanOrEqualToThreshold)
            .threshold(10.0)
            .treat_missing_data("notBreaching")
            .alarm_actions("arn:aws:sns:us-east-1:1:t")
            .insufficient_data_actions("arn:aws:sns:us-east-1:1:t")
            .actions_enabled(true)
    }

    /// Invariant 6 of the kinds, for metric math.
    #[test]
    fn metric_math_reads_back_as_the_spec() {
        assert_eq!(parse(&described().set_metrics(Some(queries(&spec()))).build()).unwrap(), spec());
    }

    /// Invariant 6 of the kinds, for a query; AWS wants its period beside it.
    #[test]
    fn a_query_reads_back_as_the_spec() {
        let query = "SELECT MAX(AuroraGlobalDBRPOLag) FROM \"AWS/RDS\"".to_owned();
        let spec = AlarmSpec { metrics: BTreeMap::new(), expression: Some(query), ..spec() };
        let sent = queries(&spec);
        assert_eq!((sent.len(), sent[0].period(), sent[0].return_data()), (1, Some(60), Some(true)));
        assert_eq!(parse(&described().set_metrics(Some(sent)).build()).unwrap(), spec);
    }

    /// What AWS always sends and did not send is no difference, which `up` would write over.
    #[test]
    fn an_answer_without_what_every_alarm_has_is_an_error() {
        let alarm = described().set_evaluation_periods(None).set_metrics(Some(queries(&spec()))).build();
        let error = parse(&alarm).unwrap_err().to_string();
        assert!(error.contains("cloudwatch:DescribeAlarms") && error.contains("EvaluationPeriods"), "{error}");
    }

    /// Invariant 6 of the kinds, for one metric; a percentile stands in a field of its own.
    #[test]
    fn a_single_metric_reads_back_as_the_spec() {
        let single = metric("SuccessfulRequestLatency", "p99");
        let alarm = described()
            .namespace("AWS/DynamoDB")
            .metric_name("SuccessfulRequestLatency")
            .set_dimensions(Some(dimensions(&single)))
            .extended_statistic("p99")
            .period(60);
        let expected = AlarmSpec { metrics: [(SINGLE.to_owned(), single)].into(), expression: None, ..spec() };
        assert_eq!(parse(&alarm.build()).unwrap(), expected);
    }

    #[test]
    fn an_alarm_that_somebody_silenced_differs() {
        let alarm = described().set_metrics(Some(queries(&spec()))).actions_enabled(false).build();
        assert_ne!(parse(&alarm).unwrap(), spec());
    }
}
