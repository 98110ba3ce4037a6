//! The durable truth about a deployment: `drctl_core::state`, and S3 as the place of a bucket.

mod s3;

pub use drctl_core::state::*;
pub use s3::{Place, S3};
