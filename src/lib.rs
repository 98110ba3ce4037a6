//! drctl deploys, checks and destroys a multi-region disaster-recovery stack on AWS.
//!
//! # The path of one `up`
//!
//! 1. [`cli`] parses the command line; [`plan`] reads the plan file and reports all of its problems at once.
//! 2. [`functions`] zips the functions' sources; [`aws`] connects and says which account this is.
//! 3. [`state`] opens the deployment's state file under a lock.
//! 4. [`topology`] expands the plan into resources; their typed [`reference`]s are the edges of the [`graph`].
//! 5. [`engine`] lets the [`resources`] kinds observe what AWS has, in batches, and settles what an earlier run left in flight.
//! 6. [`changes`] compares desired, recorded and observed, and says what has to be done and which fields cause it.
//! 7. [`ui`] shows that, and asks.
//! 8. The engine's scheduler decides what starts when; its executor carries it out, intent and result durable at every step.
//! 9. `ui` shows the progress, and at the end what failed, what was skipped because of it, and what to run next.
//!
//! # Vocabulary
//!
//! A *plan* is what the user writes, a *resource* what drctl manages, an *object* what AWS has, a *record* what the state says.
//! A *spec* is desired, *outputs* are known only afterwards, an *intent* is the durable note before a call. All words are in
//! `docs/glossary.md`; the same thing has the same name everywhere.
//!
//! # Layers
//!
//! Arrows point down only: `cli`, `ui` → `preflight`, `permissions` → `topology` → `resources` → `plan`, [`reference`] → `aws`, and all of
//! them → `drctl-core`, where [`engine`], [`changes`], [`state`], [`graph`] and what they need are. `docs/architecture.md` says why.

pub mod aws;
pub mod cli;
pub mod functions;
pub mod permissions;
pub mod plan;
pub mod preflight;
pub mod reference;
pub mod resources;
pub mod state;
pub mod topology;
pub mod ui;

pub use drctl_core::{address, changes, engine, error, graph, shell};
