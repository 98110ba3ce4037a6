//! The second look of a run that deletes: what a late writer made again after its deletion is deleted once more.
//!
//! The last invocation of a function writes its log when the function is already gone, and that makes the log group again
//! (`logs.delete.resurrection`), without tags, so that nothing would find it later. Kinds whose objects can come back say so
//! ([`RETURNS`](crate::kind::Kind::RETURNS)). The look is taken when everything else is done, and waits for nothing: what makes a
//! `down` long, the network interfaces of functions, gives late writers their time.
//!
//! Invariants (numbers as in `engine`):
//! 1. What came back is on record before it is deleted, so that a run cut short leaves it to the next one.
//! 2. What is somebody else's by now stays, whatever its name, and so does what this run made again itself.

use std::sync::Arc;

use super::executor::{Execution, RunReport};
use super::recover;
use super::run::{self, RunError};
use super::scheduler::{Action, Operation};
use crate::changes::{self, ChangeSet};
use crate::state::{Desired, Record, Records};

/// Looks again for what `report` says was deleted, as far as it can come back, and deletes what did.
pub(super) async fn sweep(execution: &Arc<Execution>, set: &ChangeSet, mut report: RunReport) -> RunReport {
    let Execution { kinds, store, surroundings, events, shutdown, .. } = &**execution;
    let returns = |operation: &&Operation| {
        operation.action == Action::Delete && kinds.get(operation.address.kind()).is_some_and(|kind| kind.returns())
    };
    let deleted: Records = report
        .succeeded
        .iter()
        .filter(returns)
        // What was only replaced is on record again.
        .filter(|operation| store.get(&operation.address).is_none())
        .filter_map(|operation| Some((operation.address.clone(), set.changes.get(&operation.address)?.record.clone()?)))
        .collect();
    if deleted.is_empty() || shutdown.is_requested() || store.failure().is_some() {
        return report;
    }
    let objects = match run::look(kinds, surroundings, events, shutdown, &deleted, None).await {
        Ok(objects) => objects,
        Err(RunError::Unseen(errors)) => {
            for error in errors {
                report.fail(|address| address.scope() == &error.scope && address.kind() == error.kind, error.error);
            }
            return report;
        }
        // An interrupt, after everything that was to be done.
        Err(_) => return report,
    };
    let mut returned = Records::new();
    for (address, object) in &objects {
        if changes::foreign_owner(kinds, address, object, &surroundings.suffix).is_some() {
            continue;
        }
        for entry in recover::taken_over(alone(&deleted[address]), object) {
            if store.record(address, entry).await.is_err() {
                // It is told when the state is closed.
                return report;
            }
        }
        returned.extend(store.get(address).map(|record| (address.clone(), record)));
    }
    if !returned.is_empty() {
        let again = run::execute(execution, &changes::teardown(&returned, &objects, kinds)).await;
        report.replace(again);
    }
    report
}

/// What a record says, but for its place among resources that are gone.
fn alone(record: &Record) -> Desired {
    Desired { stack: record.stack.clone(), spec: record.spec.clone(), ..Desired::default() }
}
