//! How drctl talks to AWS: clients per region, one choke point for every request, errors, retries, waiting and tags.
//!
//! This layer knows services and regions and no kinds: what a subnet is stands in `resources`.
//!
//! Invariants:
//! 1. Every request passes [`transport::Transport`]; nothing else opens a connection to AWS.
//! 2. After the first interrupt no changing request leaves the transport any more.
//! 3. What is retried is listed: throttling, and lost answers and server errors of reads, by the SDK as far as [`retry`] lets it;
//!    everything else in a kind's own table.

pub mod clients;
mod doubt;
pub mod merge;
pub mod pages;
pub mod policy;
mod presign;
mod profile;
pub mod regions;
mod retry;
mod sdk_tags;
pub mod throttle;
pub mod transport;

pub use clients::{Aws, Clients, Connection};
pub use drctl_core::aws::{Error, Refusal, TagChanges, Tags, error, tags, wait};
pub use pages::Pages;
pub use policy::Policy;
