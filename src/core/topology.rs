//! What a deployment contains: its resources and its outputs, as canonical JSON.
//!
//! drctl makes a topology from a plan, the simulation from dice. It is desired and nothing else: what there is, is `state` and what the
//! kinds observe.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::Address;

/// One of the groups a deployment consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stack {
    /// Keys and roles.
    Security,
    /// VPCs and what is in them.
    Network,
    /// The table and the Aurora clusters.
    Database,
    /// Buckets.
    Storage,
    /// Functions.
    Compute,
    /// REST APIs and their domains.
    Api,
    /// DNS, load balancers and the accelerator.
    Routing,
    /// Buses, queues and forwarding.
    Events,
    /// Vaults and plans.
    Backup,
    /// Topics, alarms and dashboards.
    Monitoring,
}

impl Stack {
    /// All stacks, in the order people read them.
    pub const ALL: [Self; 10] = [
        Self::Security,
        Self::Network,
        Self::Database,
        Self::Storage,
        Self::Compute,
        Self::Api,
        Self::Routing,
        Self::Events,
        Self::Backup,
        Self::Monitoring,
    ];

    /// The stack's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Network => "network",
            Self::Database => "database",
            Self::Storage => "storage",
            Self::Compute => "compute",
            Self::Api => "api",
            Self::Routing => "routing",
            Self::Events => "events",
            Self::Backup => "backup",
            Self::Monitoring => "monitoring",
        }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing drctl manages.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Its identity.
    pub address: Address,
    /// The group it belongs to.
    pub stack: Stack,
    /// The desired properties as canonical JSON, tags included; references are not resolved.
    pub spec: Value,
    /// What it refers to: created before it, deleted after it.
    pub references: BTreeSet<Address>,
    /// What AWS wants gone before this one is deleted, although nothing refers to it; with the reasons.
    pub delete_after: BTreeMap<Address, String>,
    /// Resources of earlier plans whose place this one takes: those that are still on record are deleted only after it was changed,
    /// because until then something may need them.
    pub supersedes: BTreeSet<Address>,
    /// The resource whose parts AWS refuses to change side by side.
    pub lock_group: Option<Address>,
    /// Whether losing it loses data.
    pub data_bearing: bool,
    /// Whether the plan forbids deleting or replacing it.
    pub protected: bool,
}

/// All resources of a deployment, and what `up` prints at the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// The resources by address.
    pub resources: BTreeMap<Address, Resource>,
    /// The deployment's outputs in the order they are printed; texts with references.
    pub outputs: Vec<(String, Value)>,
}
