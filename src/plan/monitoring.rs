//! `[monitoring]`: who is told, about what, and the dashboards.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::EmailAddress;

/// Alerts and dashboards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Monitoring {
    /// The addresses that get every alert, from both regions; each must confirm the message AWS sends within three
    /// days.
    #[schemars(length(max = 50))]
    pub emails: Vec<EmailAddress>,
    /// Whether there is a dashboard per region, 3 USD a month each.
    pub dashboard: bool,
    /// Alarms that say a region fails; they go to the failover topic.
    pub failover: FailoverAlarms,
    /// Alarms that say the copies fall behind; they go to the replication topic.
    pub replication: ReplicationAlarms,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self {
            emails: Vec::new(),
            dashboard: true,
            failover: FailoverAlarms::default(),
            replication: ReplicationAlarms::default(),
        }
    }
}

/// The alarms of the failover topic. Each fires when its metric is beyond the threshold in `datapoints` of the last
/// `periods`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FailoverAlarms {
    /// Seconds of one period, a multiple of 60.
    #[schemars(range(min = 60, max = 86400), extend("multipleOf" = 60))]
    pub period_seconds: u32,
    /// Periods that are looked at.
    #[schemars(range(min = 1, max = 1440))]
    pub periods: u32,
    /// Periods of those that must be beyond the threshold.
    #[schemars(range(min = 1, max = 1440))]
    pub datapoints: u32,
    /// Percent of requests that API Gateway answers with 5xx.
    #[schemars(range(min = 0.01, max = 100))]
    pub api_5xx_percent: f64,
    /// Milliseconds that 99 of 100 requests stay below.
    #[schemars(range(min = 1, max = 29000))]
    pub api_latency_p99_ms: u32,
    /// Failed calls of a function in one period.
    #[schemars(range(min = 1))]
    pub function_errors: u32,
    /// Calls of a function that Lambda refused in one period.
    #[schemars(range(min = 1))]
    pub function_throttles: u32,
    /// Percent of processor time of an Aurora cluster.
    #[schemars(range(min = 1, max = 100))]
    pub aurora_cpu_percent: f64,
    /// Connections to an Aurora instance.
    #[schemars(range(min = 1, max = 16000))]
    pub aurora_connections: u32,
    /// Requests that DynamoDB refused in one period.
    #[schemars(range(min = 1))]
    pub dynamodb_throttles: u32,
    /// Messages in the dead-letter queue.
    #[schemars(range(min = 1))]
    pub dead_letter_messages: u32,
    /// Healthy targets that a target group of a load balancer needs at least.
    #[schemars(range(min = 1, max = 100))]
    pub load_balancer_healthy_targets: u32,
    /// Healthy endpoints that the accelerator needs at least in a region.
    #[schemars(range(min = 1, max = 10))]
    pub accelerator_healthy_endpoints: u32,
}

impl Default for FailoverAlarms {
    fn default() -> Self {
        Self {
            period_seconds: 60,
            periods: 3,
            datapoints: 2,
            api_5xx_percent: 5.0,
            api_latency_p99_ms: 2000,
            function_errors: 5,
            function_throttles: 1,
            aurora_cpu_percent: 80.0,
            aurora_connections: 800,
            dynamodb_throttles: 10,
            dead_letter_messages: 1,
            load_balancer_healthy_targets: 1,
            accelerator_healthy_endpoints: 1,
        }
    }
}

/// The alarms of the replication topic. Each fires when its metric is beyond the threshold in `datapoints` of the last
/// `periods`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReplicationAlarms {
    /// Seconds of one period, a multiple of 60.
    #[schemars(range(min = 60, max = 86400), extend("multipleOf" = 60))]
    pub period_seconds: u32,
    /// Periods that are looked at.
    #[schemars(range(min = 1, max = 1440))]
    pub periods: u32,
    /// Periods of those that must be beyond the threshold.
    #[schemars(range(min = 1, max = 1440))]
    pub datapoints: u32,
    /// Milliseconds that the Aurora cluster of the region that stands by is behind.
    #[schemars(range(min = 1))]
    pub aurora_lag_ms: u32,
    /// Milliseconds until a write to DynamoDB arrives in the other region.
    #[schemars(range(min = 1))]
    pub dynamodb_latency_ms: u32,
    /// Seconds until an object arrives in the other bucket; Replication Time Control promises 900.
    #[schemars(range(min = 1))]
    pub s3_latency_seconds: u32,
    /// Bytes that wait to be copied to the other bucket.
    #[schemars(range(min = 1))]
    pub s3_pending_bytes: u64,
    /// Objects in one period that S3 gave up copying to the other bucket. One such period is enough, whatever
    /// `datapoints` says: S3 doesn't try these objects again.
    #[schemars(range(min = 1))]
    pub s3_failed_objects: u32,
}

impl Default for ReplicationAlarms {
    fn default() -> Self {
        Self {
            period_seconds: 60,
            periods: 5,
            datapoints: 3,
            aurora_lag_ms: 5000,
            dynamodb_latency_ms: 5000,
            s3_latency_seconds: 900,
            s3_pending_bytes: 1_073_741_824,
            s3_failed_objects: 1,
        }
    }
}
