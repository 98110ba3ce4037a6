//! Makes it so: observes, settles, decides what runs when, and runs it.
//!
//! The path of one `up` is in [`run`]: [`observe`] what AWS has, [`recover`] what an earlier run left in flight, let `changes` say what has to
//! be done, turn that into [`operations`], and let the [`executor`] carry them out in the order the [`scheduler`] decides, telling
//! the watchers by [`event`]s. The engine knows no kind and prints nothing.
//!
//! Invariants of a run:
//! 1. Intent is durable before the mutating call; it holds the resolved spec and the idempotency token.
//! 2. The result is durable before any dependent starts and before the run says so.
//! 3. One writer of state; no lock is held across an AWS call; a write that fails stops scheduling and prints every id that could
//!    not be recorded.
//! 4. A record in flight from an earlier run is settled by `observe` before anything else happens; nothing is created twice,
//!    nothing created is forgotten.
//! 5. Every object that can carry tags carries its deployment and address from its create call on.
//! 6. An empty, unreadable, truncated or newer-format state file is an error, never an empty state.
//! 7. Delete order is the reverse of create order as recorded, so `down` needs no plan file.
//! 8. A failure stops only what depends on it; everything else finishes, and the report names each root cause once.
//! 9. First interrupt: no mutating call starts any more, waits are dropped, calls in flight get 5 s and are recorded; out within
//!    6 s. Second: at once. Never lose an id, never leave an invalid state. Credentials that are gone stop a run as the first
//!    interrupt does.
//! 10. From any state that any prefix of any run can leave, `up` and `down` both come to an end in success.
//! 11. Cost per state transition does not grow with the size of the deployment.

pub mod event;
pub mod executor;
pub mod observe;
pub mod operations;
pub mod recover;
pub mod run;
pub mod scheduler;
pub mod shutdown;
mod sweep;
mod twins;
