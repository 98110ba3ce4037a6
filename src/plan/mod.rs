//! The plan: what the user wants, as a TOML file. Its types, its reader and its rules.
//!
//! This module is pure: it never calls AWS, reads no file and knows neither resources nor state. [`load`] turns text
//! into a [`Plan`] or into all the [`Problems`] of the text at once.
//!
//! | struct | section | what the topology makes of it |
//! |---|---|---|
//! | [`Plan`] | top level | the domain, extra tags of every resource, patterns of addresses that are never deleted |
//! | [`Regions`] | `[regions]` | the two regional scopes; [`Side`] picks one |
//! | [`Security`] | `[security]` | the multi-region key and its replica |
//! | [`Network`] | `[network]` | VPCs, subnets (ranges always filled in, the n-th in the n-th zone), NAT gateways, flow logs |
//! | [`Dynamodb`], [`Aurora`] | `[database.*]` | the Global Table, the Global Database and its secret |
//! | [`Storage`] | `[storage]` | a bucket per region, lifecycle and replication |
//! | [`Function`] | `[[functions]]` | a function, role, log group per region; route of the API; target group |
//! | [`Api`] | `[api]` | REST API, stage, certificates and custom domain per region |
//! | [`Routing`] | `[routing]` | hosted zone, health checks, failover records, load balancers, accelerator |
//! | [`Events`] | `[events]` | buses, rules, queues, archives, forwarding |
//! | [`Backup`] | `[backup]` | vaults, plan, selection |
//! | [`Monitoring`] | `[monitoring]` | topics, subscriptions, alarms, dashboards |
//!
//! Invariants:
//! 1. Every section and field is optional; an empty file is [`Plan::default`], and so is `plans/payments.toml`
//!    ([`BUILTIN`]).
//! 2. A plan that [`load`] returned obeys every rule for every [`Suffix`]: code below relies on it and checks nothing
//!    again.
//! 3. The doc comments of the fields are the user's documentation: [`schema`] publishes them, and ranges stated there
//!    are enforced.
//! 4. A value that has a grammar has a type; a `String` in a plan is free text.

mod api;
mod backup;
mod compute;
mod database;
mod events;
mod load;
mod monitoring;
mod network;
mod problem;
mod protect;
mod regions;
mod routing;
mod rules;
mod security;
mod shape;
mod storage;
mod suffix;
mod tags;
#[cfg(test)]
mod tests;
mod time;
mod tree;
mod values;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use api::{AccessLogs, Api, CustomDomain, Throttling, Tls};
pub use backup::Backup;
pub use compute::{Architecture, Function, Runtime};
pub use database::{Aurora, Database, Dynamodb};
pub use events::{Events, Queue};
pub use load::load;
pub use monitoring::{FailoverAlarms, Monitoring, ReplicationAlarms};
pub use network::{Cidr, FlowLogs, Nat, Network, RegionNetwork, derive_subnets};
pub use problem::{Problem, Problems};
pub use protect::check_protection;
pub use regions::Region;
pub use routing::{Accelerator, ClientAffinity, HealthCheck, LoadBalancers, Routing};
pub use security::Security;
pub use storage::{Lifecycle, Replication, Storage};
pub use suffix::{Suffix, SuffixError};
pub use tags::{NAME as NAME_TAG, TagKey, TagValue};
pub use time::{DailyWindow, Schedule, WeeklyWindow};
pub use values::{
    AddressPattern, AttributeName, DatabaseName, DomainName, EmailAddress, EngineVersion, FunctionName, Handler,
    HostedZoneId, InstanceClass, Method, RESERVED_VARIABLES, RetentionDays, Route, SourceFolder, SslPolicy, StageName,
    ValueError, VariableName, Zone,
};

/// The plan file that is built in, and that `drctl init` writes: every field with its default and a comment.
pub const BUILTIN: &str = include_str!("../../plans/payments.toml");

/// What one deployment contains. Everything is optional; what is left out has the default shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// The domain below which the names of the deployment lie: `api.dr-payments-{suffix}.{domain}` and `pay.` for the
    /// accelerator.
    pub domain: DomainName,
    /// Patterns of addresses (`scope/kind/name`, `*` for any text) that drctl neither deletes nor replaces:
    /// `*/s3_bucket/*`. Each has to match a resource of the plan; `drctl state unprotect` ends what a deployment has on
    /// record.
    pub protect: Vec<AddressPattern>,
    /// Further tags for every resource, at most 7: Route 53 takes 10, and three are drctl's. Keys have 1 to 127
    /// characters, values 1 to 256: letters from a to z, digits, spaces and `_.:/=+-@`. No key is `Name`, and no two
    /// differ in case alone.
    pub tags: BTreeMap<TagKey, TagValue>,
    /// Where everything lives.
    pub regions: Regions,
    /// Encryption.
    pub security: Security,
    /// The networks.
    pub network: Network,
    /// The databases.
    pub database: Database,
    /// The buckets.
    pub storage: Storage,
    /// The Lambda functions, the same in both regions. A list in a plan file replaces the default list as a whole.
    #[schemars(length(min = 1, max = 20))]
    pub functions: Vec<Function>,
    /// The REST API.
    pub api: Api,
    /// DNS, health checks, load balancers and the accelerator.
    pub routing: Routing,
    /// The event buses.
    pub events: Events,
    /// AWS Backup.
    pub backup: Backup,
    /// Alerts and dashboards.
    pub monitoring: Monitoring,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            domain: "example.com".parse().expect("the default is a domain"),
            protect: Vec::new(),
            tags: BTreeMap::new(),
            regions: Regions::default(),
            security: Security::default(),
            network: Network::default(),
            database: Database::default(),
            storage: Storage::default(),
            functions: compute::default_functions(),
            api: Api::default(),
            routing: Routing::default(),
            events: Events::default(),
            backup: Backup::default(),
            monitoring: Monitoring::default(),
        }
    }
}

impl Plan {
    /// The plan of [`BUILTIN`], which is used when there is no plan file.
    pub fn builtin() -> Self {
        load("built-in plan", BUILTIN).expect("the built-in plan is free of problems")
    }
}

/// The two regions of the deployment. Changing one means another deployment: `drctl down` first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Regions {
    /// The region where Aurora writes when the deployment is made; the table of payments is written in both.
    pub primary: Region,
    /// The region that stands by.
    pub secondary: Region,
    /// Regions that AWS opened after this version of drctl was made. It refuses any other region that it doesn't know,
    /// because such a name is mostly a slip of the finger.
    pub unlisted: Vec<Region>,
}

impl Default for Regions {
    fn default() -> Self {
        Self {
            primary: "us-east-1".parse().expect("the default is a region"),
            secondary: "us-east-2".parse().expect("the default is a region"),
            unlisted: Vec::new(),
        }
    }
}

impl Regions {
    /// The region of one side.
    pub fn side(&self, side: Side) -> &Region {
        match side {
            Side::Primary => &self.primary,
            Side::Secondary => &self.secondary,
        }
    }
}

/// One of the two regions of a plan. It never changes, unlike the role that a region plays after a failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The first region.
    Primary,
    /// The second region.
    Secondary,
}

impl Side {
    /// Both sides, primary first.
    pub const BOTH: [Self; 2] = [Self::Primary, Self::Secondary];

    /// The other side.
    pub fn other(self) -> Self {
        match self {
            Self::Primary => Self::Secondary,
            Self::Secondary => Self::Primary,
        }
    }

    /// The name of the side in the plan file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

/// The JSON Schema of the plan file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Plan).into()
}
