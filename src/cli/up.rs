//! `drctl up`.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::Flags;
use super::session::{Cloud, LoadedPlan, Session, state_failure};
use crate::changes::{Action, ChangeSet};
use crate::engine::event::Events;
use crate::engine::executor::{self, Execution, RunReport};
use crate::engine::operations::operations;
use crate::engine::recover;
use crate::engine::scheduler::{Limits, Scheduler};
use crate::error::{Failure, Kind, Outcome};
use crate::functions;
use crate::plan::Suffix;
use crate::state::{Deployment, Entry, Holder, StateError, Store};
use crate::topology::Topology;
use crate::ui::{RunEnd, Screen};

/// Deploys what the plan says, and changes what differs from it
///
/// Settles what an earlier run left, looks at AWS, shows the changes, makes them, and prints the outputs. A second run changes
/// nothing. Without a terminal it goes ahead without asking.
#[derive(Debug, Args)]
pub(super) struct Up {
    /// Allow changes that lose data: replacing or deleting a database, table, bucket, key, secret or vault
    #[arg(long)]
    allow_data_loss: bool,
}

impl Up {
    pub(super) async fn run(self, flags: Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags, screen);
        let suffix = session.named_suffix()?;
        let plan = session.load_plan()?;
        let sources = functions::load(&plan.plan.functions)?;
        let cloud = session.connect(&suffix, sources.assets).await?;
        let store = Arc::new(open_or_create(&session, &suffix, &plan, &cloud).await?);
        let result = self.deploy(&session, &suffix, &plan, &cloud, &sources.code, &store).await;
        close(&store, result.is_err()).await?;
        result
    }

    async fn deploy(
        &self,
        session: &Session<'_>,
        suffix: &Suffix,
        plan: &LoadedPlan,
        cloud: &Cloud,
        code: &BTreeMap<String, String>,
        store: &Arc<Store>,
    ) -> Outcome {
        let (topology, facts) = session.topology(suffix, &plan.plan, cloud, code, &store.facts()).await?;
        let looked = session.screen.watch(async |events| {
            let objects = session.observe(cloud, &store.records(), Some(&topology), &events).await?;
            recover::settle(store, &objects, &events).await.map_err(|error| state_failure(&error))?;
            Ok(objects)
        });
        let objects = looked.await?;
        let set = session.changes(suffix, &topology, &store.records(), &objects)?;
        self.permit(session, suffix, &set, cloud).await?;
        note(store, &topology, &set, &facts, plan).await.map_err(|error| state_failure(&error))?;

        let report = if set.is_empty() {
            RunReport::default()
        } else {
            session.screen.watch(async |events| execute(session, cloud, store, &events, set.clone()).await).await
        };
        let outputs = final_outputs(&topology, store);
        if report.is_complete() {
            let value = Value::Object(outputs.iter().cloned().collect());
            store.set_fact(OUTPUTS, value).await.map_err(|error| state_failure(&error))?;
        }
        session.screen.report(&RunEnd {
            command: "up",
            suffix: suffix.as_str(),
            set: &set,
            report: &report,
            records: &store.records(),
            outputs: &outputs,
            unrecorded: &store.unrecorded(),
        });
        ending(&report, cloud)
    }

    /// Shows the changes, refuses those that may not be, and asks for the others.
    async fn permit(&self, session: &Session<'_>, suffix: &Suffix, set: &ChangeSet, cloud: &Cloud) -> Outcome {
        if set.is_empty() {
            return Ok(());
        }
        session.screen.changes(suffix.as_str(), set, &estimate(set, session.flags.parallelism));
        refuse_protected(set)?;
        let losing: Vec<String> =
            set.losing_data().map(|change| format!("{} {}", change.action, change.address)).collect();
        if !losing.is_empty() && !self.allow_data_loss {
            let failure = Failure::new(Kind::Preflight, "these changes lose data; nothing was changed");
            return Err(losing
                .into_iter()
                .fold(failure, |failure, what| failure.because(what))
                .hint(format!("if that is what you want: drctl up --suffix {suffix} --allow-data-loss")));
        }
        match session.flags.yes {
            true => Ok(()),
            false => confirmed(cloud, session.screen.confirm("Make these changes?")).await,
        }
    }
}

/// Waits for the answer to a question; a signal while it stands ends the command.
pub(super) async fn confirmed(cloud: &Cloud, answer: impl Future<Output = bool>) -> Outcome {
    tokio::select! {
        answer = answer => match answer {
            true => Ok(()),
            false => Err(Failure::new(Kind::Preflight, "not confirmed; nothing was changed")),
        },
        () = cloud.shutdown.first() => {
            let kind = Kind::Interrupted(cloud.shutdown.signal().unwrap_or(2));
            Err(Failure::new(kind, "interrupted; nothing was changed"))
        }
    }
}

/// The fact that keeps the outputs of the last complete run.
pub(super) const OUTPUTS: &str = "outputs";

fn refuse_protected(set: &ChangeSet) -> Outcome {
    let protected: Vec<String> = set
        .changing()
        .filter(|change| matches!(change.action, Action::Replace | Action::Delete))
        .filter(|change| {
            change.record.as_ref().is_some_and(|record| record.protected)
                && change.desired.as_ref().is_none_or(|resource| resource.protected)
        })
        .map(|change| format!("{} {}", change.action, change.address))
        .collect();
    if protected.is_empty() {
        return Ok(());
    }
    let failure =
        Failure::new(Kind::Preflight, "the plan protects what these changes would remove; nothing was changed");
    Err(protected
        .into_iter()
        .fold(failure, |failure, what| failure.because(what))
        .hint("take it out of `protect` in the plan, or undo the change that asks for this"))
}

async fn open_or_create(session: &Session<'_>, suffix: &Suffix, plan: &LoadedPlan, cloud: &Cloud) -> Outcome<Store> {
    let opened = match session.open(suffix, "up").await {
        Err(StateError::NotFound { .. }) => {
            let regions = &plan.plan.regions;
            let deployment = Deployment {
                suffix: suffix.to_string(),
                account: cloud.identity.account.clone(),
                partition: cloud.identity.partition.clone(),
                regions: vec![regions.primary.to_string(), regions.secondary.to_string()],
                ..Deployment::default()
            };
            Store::create(session.medium(), deployment, &Holder::current("up"), session.flags.lock_timeout).await
        }
        opened => opened,
    };
    let store = opened.map_err(|error| state_failure(&error))?;
    let checked = store.deployment().check_account(&cloud.identity.account, &cloud.identity.partition);
    checked.map_err(|error| state_failure(&error))?;
    Ok(store)
}

/// Brings the records of unchanged resources, the facts and the plan's digest up to date, without a call to AWS.
async fn note(
    store: &Store,
    topology: &Topology,
    set: &ChangeSet,
    facts: &BTreeMap<String, Value>,
    plan: &LoadedPlan,
) -> Result<(), StateError> {
    for (address, change) in &set.changes {
        let (Action::None, Some(record), Some(object)) = (change.action, &change.record, &change.object) else {
            continue;
        };
        let resolved = crate::reference::resolve(&topology.resources[address].spec, &|of, field| {
            set.changes.get(of)?.object.as_ref()?.outputs.get(field).cloned()
        });
        let Some(kind) = crate::resources::Kinds::aws().get(address.kind()) else { continue };
        let Ok(spec) = kind.canonical(&resolved) else { continue };
        let desired = executor::desired(&topology.resources[address], &spec);
        if !executor::is_current(record, &desired) || record.outputs != object.outputs {
            let entry = Entry::Observed { outputs: object.outputs.clone(), desired: Some(desired) };
            store.record(address, entry).await?;
        }
    }
    let known = store.facts();
    for (name, value) in facts {
        if known.get(name) != Some(value) {
            store.set_fact(name, value.clone()).await?;
        }
    }
    let deployment = store.deployment();
    if deployment.plan_digest.as_ref() != Some(&plan.digest) {
        store.set_plan(&plan.digest, &deployment.regions).await?;
    }
    Ok(())
}

/// Carries out a change set.
pub(super) async fn execute(
    session: &Session<'_>,
    cloud: &Cloud,
    store: &Arc<Store>,
    events: &Events,
    set: ChangeSet,
) -> RunReport {
    let operations = operations(&set);
    let execution = Execution {
        kinds: session.kinds.clone(),
        surroundings: cloud.surroundings.clone(),
        store: store.clone(),
        events: events.clone(),
        shutdown: cloud.shutdown.clone(),
        limits: Limits { parallelism: session.flags.parallelism, ..Limits::default() },
    };
    executor::execute(Arc::new(execution), Arc::new(set), operations).await
}

/// Runs the scheduler over the expected durations.
pub(super) fn estimate(set: &ChangeSet, parallelism: Option<std::num::NonZeroUsize>) -> crate::ui::Estimate {
    let limits = Limits { parallelism, ..Limits::default() };
    let scheduler = Scheduler::new(operations(set), &limits).expect("operations follow the graph");
    let simulation = scheduler.simulation();
    crate::ui::Estimate {
        duration: simulation.makespan,
        critical_path: simulation.critical_path.iter().map(|&id| scheduler.operation(id).clone()).collect(),
    }
}

/// Keeps the state of a run; an attempt that recorded nothing leaves no trace.
pub(super) async fn close(store: &Store, failed: bool) -> Outcome {
    let closed = match failed && store.records().is_empty() && store.failure().is_none() {
        true => store.remove().await,
        false => store.close().await,
    };
    closed.map_err(|error| state_failure(&error))
}

fn final_outputs(topology: &Topology, store: &Store) -> Vec<(String, Value)> {
    let records = store.records();
    let lookup = |of: &crate::address::Address, field: &str| records.get(of)?.outputs.get(field).cloned();
    topology.outputs.iter().map(|(name, text)| (name.clone(), crate::reference::resolve(text, &lookup))).collect()
}

/// The exit of a run: its report has been shown.
pub(super) fn ending(report: &RunReport, cloud: &Cloud) -> Outcome {
    if let Some(signal) = cloud.shutdown.signal() {
        return Err(Failure::silent(Kind::Interrupted(signal)));
    }
    if !report.failed.is_empty() {
        let kinds: Vec<Kind> = report.failed.iter().map(|(_, error)| Kind::of(error)).collect();
        // What the reader has to mend first decides: rights, then plain failures, then patience, then leftovers.
        let first = [Kind::Denied, Kind::Failed, Kind::Preflight, Kind::Timeout, Kind::Partial];
        let kind = first.into_iter().find(|kind| kinds.contains(kind)).unwrap_or(Kind::Failed);
        return Err(Failure::silent(kind));
    }
    if !report.deferred.is_empty() || !report.skipped.is_empty() {
        return Err(Failure::silent(Kind::Partial));
    }
    Ok(())
}
