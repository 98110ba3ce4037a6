//! `[security]`: the KMS key of the deployment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The multi-region key that encrypts everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Whether AWS makes new key material regularly.
    pub key_rotation: bool,
    /// Days between two rotations.
    #[schemars(range(min = 90, max = 2560))]
    pub key_rotation_days: u32,
    /// Days between `drctl down` and the moment the key is gone for good, 7 to 30: AWS deletes no key at once.
    #[schemars(range(min = 7, max = 30))]
    pub key_deletion_days: u32,
}

impl Default for Security {
    fn default() -> Self {
        Self { key_rotation: true, key_rotation_days: 365, key_deletion_days: 7 }
    }
}
