//! The durable truth about a deployment: what is on record, and the one way to change it.
//!
//! Life of an entry: the engine calls [`Store::record`] → `status::next` says what the record becomes → the line is
//! appended to the journal and synced, together with all others that wait → readers see the new record → the caller
//! goes on. When a run ends, the journal is folded into the state file.
//!
//! ```text
//! dev.json             the state file: one deployment, all its records, readable by people
//! dev.json.<serial>    the last five versions of it, the newest equal to it
//! dev.journal          the entries since: one line each
//! dev.lock             who runs now; locked by the operating system, not by being there
//! dev.*.damaged        what a rebuild replaced
//! ```
//!
//! The same files are in a folder or in a bucket. A bucket cannot append, so there the journal is one segment for each
//! append, `dev.journal.<first entry>`, and `dev.lock` is a lease: a lock that ends when it is not renewed.
//!
//! This module never looks at the objects it records and never prints. It writes what it is given, so specs, outputs, facts and errors must
//! be free of secrets before they come here.
//!
//! Invariants, numbered as those of a run:
//!
//! 1. Intent is durable before the mutating call: `record` returns after the sync, and never before.
//! 2. The result is durable before any dependent starts: readers of the store see an entry only after its sync.
//! 3. One writer: a store that can write holds the lock; one that has lost it, as a lease can be, adds nothing any more. No lock inside the store is held across an await. After the
//!    first write that fails nothing is written any more, and [`Store::unrecorded`] has every entry that was not.
//! 4. Nothing created is forgotten: an id leaves the state only when its object is deleted or given up.
//! 6. An empty, unreadable, truncated, edited, stale or newer-format state is an error, never an empty state. File mode
//!    0600.
//! 7. The references of every record are kept, so `down` needs no plan file.
//! 10. A crash at any write, or in the middle of one, leaves a state that opens and has every entry that was reported
//!     as written.
//! 11. The cost of an entry does not depend on the number of records: the journal is folded into the state file only
//!     when it has outgrown it.

mod bucket;
mod durable;
mod error;
mod journal;
mod lease;
mod load;
mod lock;
pub mod memory;
mod objects;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod transfer;
mod version;
mod writer;

pub use bucket::Bucket;
pub use durable::{COPIES, Folder, Hold, Journal, Medium, Segment};
pub use error::{Damage, Damaged, Leased, Obstacle, StateError};
pub use lease::Lease;
pub use load::{deployments_in, read};
pub use lock::Holder;
pub use objects::{Object, ObjectError, Objects, Only};
pub use status::{Desired, Entry, IllegalTransition, Intent, Record, Status, next};
pub use store::{Abandonment, Store};
pub use transfer::{End, Transfer, transfer};
pub use version::{Deployment, FORMAT, Records, Snapshot};
