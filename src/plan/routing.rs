//! `[routing]`: DNS, health checks, load balancers and the accelerator.
//!
//! A traffic percentage of 0 fences no region off: callers are sent there whenever the other one has nothing healthy
//! (`ga.failover-ignores-dial`).
//!
//! DNS leaves a silent region after the threshold of its checks times their interval and 4 seconds, and callers follow
//! when Route 53's servers know it and resolvers have forgotten the old answer, a minute later (`dr.r53.formula`): 93
//! to 98 seconds with the default numbers. Behind the accelerator the load balancers' checks decide, and it takes half
//! a minute itself (`dr.ga.alb`): about 105 seconds. Both miss the minute that a failover of traffic should take. The
//! accelerator leads new connections; those that stand, stay until they are closed (`ga.connections`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{HostedZoneId, SslPolicy};

/// How callers find the region that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Routing {
    /// The id of an existing public hosted zone to write the records into, a zone of `domain` or of a name below it.
    /// Left out, drctl makes the zone `dr-payments-{suffix}.{domain}` (0.50 USD a month).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosted_zone: Option<HostedZoneId>,
    /// The id of the hosted zone of `domain`, in the same account, where drctl delegates its own zone. Left out, drctl looks
    /// for it by its name; without one, nothing is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_zone: Option<HostedZoneId>,
    /// The HTTPS checks that decide which region DNS names.
    pub health_check: HealthCheck,
    /// An internal load balancer per region in front of the functions; the accelerator needs them. About 17 USD a month
    /// each.
    pub load_balancers: LoadBalancers,
    /// AWS Global Accelerator, which leads new connections to the other region when a load balancer's health checks fail:
    /// after about 105 seconds, about 45 with `health_interval_seconds = 5`. About 18 USD a month plus traffic.
    pub accelerator: Accelerator,
}

/// The health check of each region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheck {
    /// Seconds between two requests of one checker: 10 (costs extra) or 30. Changing it replaces the health check.
    #[schemars(extend("enum" = [10, 30]))]
    pub interval_seconds: u32,
    /// Failures in a row, 1 to 10, until a region counts as unhealthy. Callers follow when Route 53's servers know it
    /// and the old answer of DNS has ended: 93 to 98 seconds after a region fell silent, with the default numbers.
    #[schemars(range(min = 1, max = 10))]
    pub failure_threshold: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { interval_seconds: 10, failure_threshold: 2 }
    }
}

/// The load balancers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoadBalancers {
    /// Whether there are load balancers. Without their health checks nobody calls the payment function of the region that
    /// stands by, and Lambda takes back what a function needs that nobody has called for weeks: the first calls then fail
    /// for a minute.
    pub enabled: bool,
    /// The TLS policy of their HTTPS listeners.
    pub tls_policy: SslPolicy,
    /// Seconds between two health checks of a function; each is a call that Lambda bills. A check waits 10 seconds for
    /// its answer, or a second less than the interval. Two that fail in a row, and half a minute, pass before the
    /// accelerator moves callers.
    #[schemars(range(min = 5, max = 300))]
    pub health_interval_seconds: u32,
}

impl Default for LoadBalancers {
    fn default() -> Self {
        Self {
            enabled: true,
            tls_policy: "ELBSecurityPolicy-TLS13-1-2-2021-06".parse().expect("the default is a TLS policy"),
            health_interval_seconds: 35,
        }
    }
}

/// The accelerator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Accelerator {
    /// Whether there is an accelerator.
    pub enabled: bool,
    /// Whether a caller stays with one endpoint.
    pub client_affinity: ClientAffinity,
    /// Percent of the traffic near the primary region that goes there.
    #[schemars(range(min = 0, max = 100))]
    pub primary_traffic_percent: u32,
    /// Percent of the traffic near the secondary region that goes there. A region without a healthy endpoint hands all
    /// of its traffic to the other, whatever this number. With 0 one region alone takes payments while it is well; else
    /// both do, and of two writes of one payment at about the same time the last one wins.
    #[schemars(range(min = 0, max = 100))]
    pub secondary_traffic_percent: u32,
}

impl Default for Accelerator {
    fn default() -> Self {
        Self {
            enabled: true,
            client_affinity: ClientAffinity::None,
            primary_traffic_percent: 100,
            secondary_traffic_percent: 100,
        }
    }
}

/// Whether a caller stays with one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAffinity {
    /// Every connection is routed on its own.
    None,
    /// Connections of one address go to one endpoint.
    SourceIp,
}
