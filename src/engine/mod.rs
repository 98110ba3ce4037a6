//! Makes it so: decides what runs when, and runs it.

pub mod scheduler;
