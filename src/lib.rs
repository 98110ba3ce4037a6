//! drctl deploys, checks and destroys a multi-region disaster-recovery stack on AWS.

pub mod address;
pub mod engine;
pub mod graph;
