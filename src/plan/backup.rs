//! `[backup]`: daily backups of Aurora by AWS Backup, copied to the other region.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::Schedule;

/// The backup plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// Whether AWS Backup is used; Aurora's own backups go on without it, in the primary region only.
    pub enabled: bool,
    /// Whether drctl refuses to go on where the account has not opted Aurora in to AWS Backup, which then makes no backup of it.
    pub require_opt_in: bool,
    /// When a backup begins, a cron expression in UTC, at most once an hour.
    pub schedule: Schedule,
    /// Minutes within which a backup must have begun, at least 60.
    #[schemars(range(min = 60, max = 10080))]
    pub start_window_minutes: u32,
    /// Minutes within which a backup must have ended, at least 60 more than `start_window_minutes`.
    #[schemars(range(min = 120, max = 20160))]
    pub completion_window_minutes: u32,
    /// Days a backup is kept in the primary region.
    #[schemars(range(min = 1, max = 36500))]
    pub retention_days: u32,
    /// Days the copy is kept in the secondary region. Every copy is a full one.
    #[schemars(range(min = 1, max = 36500))]
    pub copy_retention_days: u32,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            enabled: true,
            require_opt_in: true,
            schedule: "cron(0 5 * * ? *)".parse().expect("the default is a schedule"),
            start_window_minutes: 60,
            completion_window_minutes: 360,
            retention_days: 35,
            copy_retention_days: 35,
        }
    }
}
