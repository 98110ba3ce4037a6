//! What the whole binary prints and how it exits, wherever no AWS is needed: standard output, standard error, exit code.
//!
//! Each test runs drctl in an empty folder of its own, with an environment that has nothing but what the test puts there.

mod account;
mod advice;
mod again;
mod bad_state;
mod facts;
mod graph;
mod help;
mod iam_policy;
mod locked;
mod plan_file;
mod state;
mod support;
mod terminal;
mod usage;
mod workflow;
