//! The durable truth about a deployment: `drctl_core::state`, S3 as the place of a bucket, and the claim on a deployment in AWS.

mod claim;
mod s3;

pub use claim::{Claim, ClaimError, Claimant, Claimed};
pub use drctl_core::state::*;
pub use s3::{Place, S3};
