//! `[api]`: the REST API of each region and its custom domain.
//!
//! No limit of requests is so low that it would refuse Route 53's health checkers (`r53.hc.traffic`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{RetentionDays, StageName};

/// The REST API, the same in both regions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// The name of the stage; the first part of every path below the regional endpoint. Changing it replaces the stage.
    pub stage: StageName,
    /// Whether CloudWatch gets metrics for each method; costs per metric.
    pub metrics: bool,
    /// Whether X-Ray traces requests.
    pub tracing: bool,
    /// How many requests the stage takes, over all callers.
    pub throttling: Throttling,
    /// One log line per request.
    pub access_logs: AccessLogs,
    /// `api.dr-payments-{suffix}.{domain}`.
    pub custom_domain: CustomDomain,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            stage: "prod".parse().expect("the default is a stage name"),
            metrics: true,
            tracing: true,
            throttling: Throttling::default(),
            access_logs: AccessLogs::default(),
            custom_domain: CustomDomain::default(),
        }
    }
}

/// How many requests the stage takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Throttling {
    /// Requests per second, on average. Route 53's health checkers alone make several per second, and a region that refuses them
    /// counts as lost.
    #[schemars(range(min = 10, max = 10000))]
    pub rate_per_second: u32,
    /// Requests at one moment, above the average.
    #[schemars(range(min = 10, max = 5000))]
    pub burst: u32,
}

impl Default for Throttling {
    fn default() -> Self {
        Self { rate_per_second: 1000, burst: 2000 }
    }
}

/// One log line per request, in CloudWatch Logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogs {
    /// Whether requests are logged.
    pub enabled: bool,
    /// Days CloudWatch Logs keeps the lines.
    pub retention_days: RetentionDays,
}

impl Default for AccessLogs {
    fn default() -> Self {
        Self { enabled: true, retention_days: RetentionDays::MONTH }
    }
}

/// The custom domain of the API, with a certificate in each region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CustomDomain {
    /// Whether there is a custom domain. Without it there are no certificates, hosted zone and failover records, and no
    /// load balancers and accelerator either: they need the certificate.
    pub enabled: bool,
    /// The oldest TLS version that callers may use.
    pub tls: Tls,
}

impl Default for CustomDomain {
    fn default() -> Self {
        Self { enabled: true, tls: Tls::default() }
    }
}

/// The security policies of API Gateway's regional custom domains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Tls {
    /// TLS 1.2 or newer.
    #[default]
    #[serde(rename = "TLS_1_2")]
    V1_2,
}
