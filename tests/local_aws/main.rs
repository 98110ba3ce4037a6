//! The whole binary against the local AWS: what a user does, from the first `up` to the last `down`.
//!
//! Each group of tests has a local AWS of its own, on loopback, stopped when the group ends.

#[path = "../cli/advice.rs"]
mod advice;
mod boundaries;
mod canary;
mod claim;
mod credentials;
mod drift;
mod false_answers;
mod foreign;
mod functions;
mod harness;
mod interrupt;
mod quotas;
mod real_aws;
mod refusals;
mod remote_state;
mod rights;
mod story;
mod tags;
mod unreadable;
