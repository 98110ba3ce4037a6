//! `[events]`: the event bus of each region, its queue and archive.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How payment events travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Whether each region's own events go to the other region's bus too.
    pub forwarding: bool,
    /// Days the archive keeps events for replay; 0 keeps them for ever.
    #[schemars(range(min = 0, max = 3650))]
    pub archive_retention_days: u32,
    /// Attempts to deliver an event after the first one, 0 to 185; then it goes to the dead-letter queue.
    #[schemars(range(min = 0, max = 185))]
    pub retry_attempts: u32,
    /// Seconds after which an event that could not be delivered goes to the dead-letter queue, 60 to 86400.
    #[schemars(range(min = 60, max = 86400))]
    pub max_event_age_seconds: u32,
    /// The queue that consumers read, and its dead-letter queue.
    pub queue: Queue,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            forwarding: true,
            archive_retention_days: 30,
            retry_attempts: 185,
            max_event_age_seconds: 86400,
            queue: Queue::default(),
        }
    }
}

/// The queue that consumers read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Days a message waits for a consumer, 1 to 14.
    #[schemars(range(min = 1, max = 14))]
    pub retention_days: u32,
    /// Days a message stays in the dead-letter queue, 1 to 14; counted from the first sending, so more than
    /// `retention_days`.
    #[schemars(range(min = 1, max = 14))]
    pub dead_letter_retention_days: u32,
    /// Seconds a consumer has before the message appears again, 0 to 43200.
    #[schemars(range(min = 0, max = 43200))]
    pub visibility_timeout_seconds: u32,
    /// Times a message is received, 1 to 1000, until it goes to the dead-letter queue.
    #[schemars(range(min = 1, max = 1000))]
    pub max_receives: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { retention_days: 4, dead_letter_retention_days: 14, visibility_timeout_seconds: 180, max_receives: 5 }
    }
}
