//! drctl deploys, checks and destroys a multi-region disaster-recovery stack on AWS.

pub mod address;
pub mod aws;
pub mod changes;
pub mod cli;
pub mod engine;
pub mod error;
pub mod functions;
pub mod graph;
pub mod plan;
pub mod reference;
pub mod resources;
pub mod state;
pub mod topology;
pub mod ui;
