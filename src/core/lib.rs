//! The part of drctl that is the same for every cloud it could be given: addresses, graph, state, change sets, and the engine.
//!
//! It has none of the SDK's services, so that what runs it thousands of times in memory is compiled in seconds and runs optimised. What it
//! knows of AWS is what AWS says and how long it takes ([`aws`]); the objects are behind [`kind`].
//!
//! Arrows point down only: [`engine`] → [`changes`] → [`state`], [`topology`], [`kind`] → [`mod@reference`], [`graph`], [`aws`] →
//! [`address`]; [`mod@error`] is what a command ends with.

pub mod address;
pub mod aws;
pub mod changes;
pub mod engine;
pub mod error;
pub mod graph;
pub mod kind;
pub mod reference;
pub mod shell;
pub mod state;
pub mod topology;
