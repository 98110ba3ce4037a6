//! `[storage]`: the bucket of each region and the replication between them, with the times that S3 promises (`dr.s3.rtc`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The buckets that receipts are written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Whether old versions of objects are kept; replication needs it.
    pub versioning: bool,
    /// Whether `drctl down` empties the buckets. Without it, a bucket that holds anything is left and named.
    pub force_destroy: bool,
    /// What is cleaned up by itself.
    pub lifecycle: Lifecycle,
    /// Copying every object to the other region.
    pub replication: Replication,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            versioning: true,
            force_destroy: true,
            lifecycle: Lifecycle::default(),
            replication: Replication::default(),
        }
    }
}

/// What the buckets clean up by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lifecycle {
    /// Days after which a version that was replaced or deleted is removed.
    #[schemars(range(min = 1, max = 36500))]
    pub noncurrent_days: u32,
    /// Days after which an upload in parts that was never completed is removed.
    #[schemars(range(min = 1, max = 36500))]
    pub abort_uploads_days: u32,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { noncurrent_days: 90, abort_uploads_days: 7 }
    }
}

/// Copying objects between the buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Replication {
    /// Whether objects are copied from the primary to the secondary region.
    pub enabled: bool,
    /// Replication Time Control: 99.99 % of objects arrive within 15 minutes, measured; about 0.015 USD per GB.
    pub time_control: bool,
    /// Whether objects written in the secondary region are copied back; without it nothing written during a failover
    /// returns.
    pub replicate_back: bool,
}

impl Default for Replication {
    fn default() -> Self {
        Self { enabled: true, time_control: true, replicate_back: true }
    }
}
