//! The path of one `up` and of one `down`, from the opened state to the end of the last operation.
//!
//! Commands only open the state, ask for permission and show the end; the simulation takes the same path.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::event::{Event, Events};
use super::executor::{self, Execution, RunReport};
use super::observe::{self, ObserveError, Seen};
use super::operations::operations;
use super::recover;
use super::shutdown::Shutdown;
use super::sweep::{self, sweep};
use super::twins;
use crate::address::Address;
use crate::changes::{self, Action, ChangeSet, Taken};
use crate::kind::{Kinds, Surroundings};
use crate::reference::resolve;
use crate::state::{Desired, Entry, Records, StateError, Store};
use crate::topology::Topology;

/// The fact that keeps the outputs of the last complete run.
pub const OUTPUTS: &str = "outputs";

/// What `up` brings about.
#[derive(Clone, Copy, Debug)]
pub struct Goal<'a> {
    /// The resources.
    pub topology: &'a Topology,
    /// What was resolved once for the whole deployment.
    pub facts: &'a BTreeMap<String, Value>,
    /// The digest of the plan.
    pub plan_digest: &'a str,
    /// Whether further objects go that say they are those of resources on record.
    pub removes_twins: bool,
}

/// What a run did.
#[derive(Debug)]
pub struct End {
    /// What it set out to do.
    pub set: ChangeSet,
    /// How that went.
    pub report: RunReport,
    /// The deployment's outputs as far as they are known; empty after `down`.
    pub outputs: Vec<(String, Value)>,
}

/// Why a run ended before its first operation.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// AWS could not be looked at.
    #[error("AWS could not be looked at; nothing was changed")]
    Unseen(Vec<ObserveError>),
    /// Somebody else's objects have names of the deployment, or are on its record.
    #[error("somebody else's objects are in the way; nothing was changed")]
    Taken(Vec<Taken>),
    /// The state could not be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
}

/// Looks at AWS, settles what an earlier run left, and says what has to be done for the goal.
///
/// # Errors
/// Whatever keeps the run from knowing that for sure; nothing was changed.
pub async fn prepare_up(execution: &Execution, goal: Goal<'_>) -> Result<ChangeSet, RunError> {
    let Execution { kinds, store, surroundings, events, .. } = execution;
    let records = store.records();
    let Seen { objects, twins } = look_twice(execution, &records, Some(goal.topology)).await?;
    recover::settle(store, &objects, Some(goal.topology), kinds, events).await?;
    let mut all = (store.records(), objects);
    if goal.removes_twins {
        all = twins::with_twins(all.0, all.1, &twins, store.now());
    }
    let set = changes::build(goal.topology, &all.0, &all.1, &surroundings.suffix, kinds);
    Ok(ChangeSet { twins, ..set.map_err(RunError::Taken)? })
}

/// Makes the changes that [`prepare_up`] found, and looks once more for what came back of what they deleted.
///
/// # Errors
/// Whatever ends the run before its first operation. What goes wrong later is in the report.
pub async fn carry_out_up(execution: &Arc<Execution>, goal: Goal<'_>, set: ChangeSet) -> Result<End, RunError> {
    check_stop(execution)?;
    note(execution, goal, &set).await?;
    twins::put_on_record(&execution.store, &set).await?;
    let store = &execution.store;
    let report = execute(execution, &set).await;
    let report = sweep::sweep_returned(execution, &set, report).await;
    let outputs = outputs(goal.topology, &store.records());
    if report.is_complete() {
        let value = Value::Object(outputs.iter().cloned().collect());
        if store.facts().get(OUTPUTS) != Some(&value) {
            // A write that fails here is told when the store is closed; the report matters more.
            let _ = store.set_fact(OUTPUTS, value).await;
        }
    }
    Ok(End { set, report, outputs })
}

/// Settles what an earlier run left, and says what has to be done to remove everything on record, except what is protected
/// and what that needs.
///
/// # Errors
/// Whatever keeps the run from knowing that for sure, and every object on record that is not ours; nothing was changed.
pub async fn prepare_down(execution: &Execution) -> Result<ChangeSet, RunError> {
    let Execution { kinds, store, surroundings, events, .. } = execution;
    let records = store.records();
    let mut looked_for = changes::to_be_proved(&records, kinds);
    looked_for.extend(recover::uncertain(&records));
    let Seen { objects, twins } = match looked_for.is_empty() {
        true => Seen::default(),
        false => look_twice(execution, &looked_for, None).await?,
    };
    let strangers = changes::strangers(&records, &objects, &surroundings.suffix, kinds);
    if !strangers.is_empty() {
        return Err(RunError::Taken(strangers));
    }
    recover::settle(store, &objects, None, kinds, events).await?;
    let (records, objects) = twins::with_twins(store.records(), objects, &twins, store.now());
    Ok(ChangeSet { twins, ..changes::teardown(&records, &objects, kinds) })
}

/// Makes the deletions that [`prepare_down`] found, and looks once more for what came back.
///
/// # Errors
/// Whatever ends the run before its first operation. What goes wrong later is in the report.
pub async fn carry_out_down(execution: &Arc<Execution>, set: ChangeSet) -> Result<End, RunError> {
    check_stop(execution)?;
    twins::put_on_record(&execution.store, &set).await?;
    let gone = sweep::remember(&execution.store, &set).await?;
    if !set.is_empty() && execution.store.facts().contains_key(OUTPUTS) {
        // Whatever happens from here on, what they name may be gone.
        execution.store.set_fact(OUTPUTS, Value::Null).await?;
    }
    let report = execute(execution, &set).await;
    let report = sweep(execution, gone, report).await;
    Ok(End { set, report, outputs: Vec::new() })
}

/// Keeps the state of a run. `trace` says whether a state without records is kept: not after an `up` that made nothing
/// because it failed, nor after a `down` that removed everything.
///
/// # Errors
/// When the state cannot be written, or could not be at any time of the run.
pub async fn close(store: &Store, trace: bool) -> Result<(), StateError> {
    let closed = match !trace && store.records().is_empty() && store.failure().is_none() {
        true => store.remove().await,
        false => store.close().await,
    };
    match closed {
        // The run was asked to stop and has to be out; what is not on record was told, and the journal leads to all else.
        Err(StateError::Abandoned) => Ok(()),
        closed => closed,
    }
}

/// Looks at AWS, unless a signal comes.
///
/// # Errors
/// [`RunError::Unseen`] or [`RunError::Interrupted`].
pub async fn look(
    kinds: &Kinds,
    surroundings: &Surroundings,
    events: &Events,
    shutdown: &Shutdown,
    records: &Records,
    topology: Option<&Topology>,
) -> Result<Seen, RunError> {
    let new = topology.iter().flat_map(|topology| topology.resources.keys()).filter(|key| !records.contains_key(*key));
    events.tell(Event::Observing { resources: records.len() + new.count() });
    let start = Instant::now();
    let seen = tokio::select! {
        biased;
        () = shutdown.first() => return Err(RunError::Interrupted),
        seen = observe::observe(kinds, surroundings, records, topology) => seen.map_err(RunError::Unseen)?,
    };
    events.tell(Event::Observed { objects: seen.objects.len(), elapsed: start.elapsed() });
    Ok(seen)
}

/// Looks, and once more for what an earlier run may have made so short a time before that it was not to be seen yet.
async fn look_twice(execution: &Execution, records: &Records, topology: Option<&Topology>) -> Result<Seen, RunError> {
    let Execution { kinds, store, surroundings, events, shutdown, .. } = execution;
    let began = store.now();
    let mut seen = look(kinds, surroundings, events, shutdown, records, topology).await?;
    if let Some((wait, young)) = recover::unseen(store, records, &seen.objects, began) {
        tokio::select! {
            biased;
            () = shutdown.first() => return Err(RunError::Interrupted),
            () = tokio::time::sleep(wait) => {}
        }
        seen.objects.extend(look(kinds, surroundings, events, shutdown, &young, None).await?.objects);
    }
    Ok(seen)
}

fn check_stop(execution: &Execution) -> Result<(), RunError> {
    if execution.shutdown.is_requested() { Err(RunError::Interrupted) } else { Ok(()) }
}

/// Brings the records of unchanged resources, the facts and the plan's digest up to date, and puts on record all that is taken
/// over, all without a call to AWS: however this run ends, `down` knows of every object.
async fn note(execution: &Execution, goal: Goal<'_>, set: &ChangeSet) -> Result<(), StateError> {
    let store = &execution.store;
    for (address, change) in &set.changes {
        let (Some(resource), Some(object)) = (&change.desired, &change.object) else { continue };
        let output = |of: &Address, field: &str| set.changes.get(of)?.object.as_ref()?.outputs.get(field).cloned();
        let spec = resolve(&resource.spec, &output);
        let entries = match (change.action, &change.record) {
            (Action::None, Some(record)) => {
                let Some(kind) = execution.kinds.get(address.kind()) else { continue };
                let Ok(spec) = kind.canonical(&spec) else { continue };
                let desired = executor::desired(resource, &spec);
                if Desired::of(record) == desired && record.outputs == object.outputs {
                    continue;
                }
                vec![Entry::Observed { outputs: object.outputs.clone(), desired: Some(desired) }]
            }
            (Action::Replace, None) => vec![recover::seen(recover::first_record(change, resource, &spec), object)],
            (Action::Adopt, None) if recover::is_told(object) => {
                recover::taken_over(recover::first_record(change, resource, &spec), object).into()
            }
            _ => continue,
        };
        for entry in entries {
            store.record(address, entry).await?;
        }
    }
    let known = store.facts();
    for (name, value) in goal.facts.iter().filter(|(name, value)| known.get(*name) != Some(*value)) {
        store.set_fact(name, value.clone()).await?;
    }
    let deployment = store.deployment();
    if deployment.plan_digest.as_deref() != Some(goal.plan_digest) {
        store.set_plan(goal.plan_digest, &deployment.regions).await?;
    }
    Ok(())
}

pub(super) async fn execute(execution: &Arc<Execution>, set: &ChangeSet) -> RunReport {
    if set.is_empty() {
        return RunReport::default();
    }
    let report = executor::execute(execution.clone(), Arc::new(set.clone()), operations(set)).await;
    // What an interrupt cut short may have handed in an entry just before.
    execution.store.settle().await;
    report
}

fn outputs(topology: &Topology, records: &Records) -> Vec<(String, Value)> {
    let lookup = |of: &Address, field: &str| records.get(of)?.outputs.get(field).cloned();
    topology.outputs.iter().map(|(name, text)| (name.clone(), resolve(text, &lookup))).collect()
}
