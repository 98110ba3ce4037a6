//! Makes it so: decides what runs when, and runs it.

pub mod event;
pub mod scheduler;
