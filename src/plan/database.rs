//! `[database]`: the DynamoDB Global Table and the Aurora Global Database.
//!
//! Neither region is without an instance (`rds.secondary.headless`), and neither has more than Aurora takes beside a secondary region
//! (`rds.global.limits`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::{DailyWindow, WeeklyWindow};
use super::values::{AttributeName, DatabaseName, EngineVersion, InstanceClass, RetentionDays};

/// The databases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// The DynamoDB Global Table of payments. It is on demand: it costs what is read and written, in both regions.
    pub dynamodb: Dynamodb,
    /// The Aurora PostgreSQL Global Database.
    pub aurora: Aurora,
}

/// The DynamoDB Global Table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dynamodb {
    /// The attribute that holds the second (Unix time) after which DynamoDB may remove an item.
    pub ttl_attribute: AttributeName,
    /// Whether both replicas can be restored to any second of the recovery period. AWS then also keeps a backup of a
    /// deleted table for 35 days, which is of use only as long as the key is there.
    pub point_in_time_recovery: bool,
    /// Days back that the table can be restored to, 1 to 35.
    #[schemars(range(min = 1, max = 35))]
    pub recovery_days: u32,
}

impl Default for Dynamodb {
    fn default() -> Self {
        Self {
            ttl_attribute: "expiresAt".parse().expect("the default is an attribute name"),
            point_in_time_recovery: true,
            recovery_days: 35,
        }
    }
}

/// The Aurora PostgreSQL Global Database: a writer cluster in the primary region, a reader cluster in the secondary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Aurora {
    /// Whether there is an Aurora database at all.
    pub enabled: bool,
    /// The PostgreSQL version: major (`14`) or exact (`14.15`). The newest minor version that both regions offer for
    /// global databases is chosen once, when the deployment is made. A major version past its standard support costs
    /// more (`extended_support`); `drctl plan` says when it ends.
    pub engine_version: EngineVersion,
    /// The class of every instance; memory optimised, as global databases demand. A `db.r6g.large` costs about 0.26 USD
    /// an hour. A new class restarts the instances one at a time: the region that stands by, the readers, and the writer last, after a
    /// failover.
    pub instance_class: InstanceClass,
    /// Instances in each region, 1 to 15; two survive the loss of a zone without waiting for a new instance.
    #[schemars(range(min = 1, max = 15))]
    pub instances: u32,
    /// The name of the database that is created, in lower case.
    pub database_name: DatabaseName,
    /// The name of the master user, in lower case; its password is generated and kept in Secrets Manager only.
    pub master_username: DatabaseName,
    /// The TCP port both clusters listen on.
    #[schemars(range(min = 1150, max = 65535))]
    pub port: u16,
    /// Days of automatic backups, 1 to 35.
    #[schemars(range(min = 1, max = 35))]
    pub backup_retention_days: u32,
    /// When the daily automatic backup is made, in UTC.
    pub backup_window: DailyWindow,
    /// When AWS may maintain the instances, in UTC; it must not overlap `backup_window`.
    pub maintenance_window: WeeklyWindow,
    /// Whether the PostgreSQL log goes to CloudWatch Logs.
    pub export_logs: bool,
    /// Days CloudWatch Logs keeps the PostgreSQL log.
    pub log_retention_days: RetentionDays,
    /// Whether AWS refuses to delete the clusters; `drctl down` then stops with an error.
    pub deletion_protection: bool,
    /// Whether the clusters are enrolled in Extended Support, AWS's default: a major version past its standard support goes on, for
    /// more money. Without it AWS refuses to make such a cluster anew, in a disaster as well, and upgrades the running one. On a
    /// running deployment the clusters change in place.
    pub extended_support: bool,
    /// Whether `drctl down` deletes the clusters without a last snapshot. One that is made ends with the key that the
    /// same `drctl down` gives up, after `key_deletion_days`: copy it under another key before.
    pub skip_final_snapshot: bool,
}

impl Default for Aurora {
    fn default() -> Self {
        Self {
            enabled: true,
            engine_version: "14".parse().expect("the default is a version"),
            instance_class: "db.r6g.large".parse().expect("the default is an instance class"),
            instances: 2,
            database_name: "payments".parse().expect("the default is a database name"),
            master_username: "payments_admin".parse().expect("the default is a user name"),
            port: 5432,
            backup_retention_days: 7,
            backup_window: "07:00-09:00".parse().expect("the default is a daily window"),
            maintenance_window: "sun:09:30-sun:10:30".parse().expect("the default is a weekly window"),
            export_logs: true,
            log_retention_days: RetentionDays::MONTH,
            deletion_protection: false,
            extended_support: true,
            skip_final_snapshot: true,
        }
    }
}
