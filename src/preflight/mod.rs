//! What is found out before anything is created, so that a run does not fail after half an hour of work.
//!
//! Checks only look. Each has a pure part that judges what was found.

pub mod account;
pub mod aurora;
pub mod backup;
pub mod credentials;
pub mod dns;
pub mod domain;
pub mod rights;
