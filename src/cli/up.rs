//! `drctl up`.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;

use super::Flags;
use super::preflight::Preflight;
use super::session::{Cloud, LoadedPlan, Session, check_regions, release, run_failure, state_failure};
use crate::aws::tags;
use crate::changes::{Action, Change, ChangeSet};
use crate::engine::executor::RunReport;
use crate::engine::operations::operations;
use crate::engine::run::{self, Goal};
use crate::engine::scheduler::{Limits, Scheduler};
use crate::error::{Failure, Kind, Outcome};
use crate::functions;
use crate::plan::Suffix;
use crate::preflight::{aurora, backup};
use crate::state::{Deployment, Records, StateError, Store};
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
    /// Remove objects that carry the address of a resource whose object on record is another one
    #[arg(long)]
    remove_twins: bool,
    /// Refuse to take over objects of the deployment that are not on record here
    #[arg(long)]
    no_adopt: bool,
    #[command(flatten)]
    preflight: Preflight,
}

impl Up {
    pub(super) async fn run(self, flags: Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags, screen);
        let suffix = session.named_suffix("up")?;
        let plan = session.load_plan()?;
        session.read_for(&suffix, &plan.plan)?;
        let sources = functions::load(&plan.plan.functions)?;
        let cloud = session.connect(&suffix, sources.assets).await?;
        let store = Arc::new(open_or_create(&session, &suffix, &plan, &cloud).await?);
        let result = self.deploy(&session, &suffix, &plan, &cloud, &sources.code, &store).await;
        run::close(&store, result.is_ok()).await.map_err(|error| state_failure(&error))?;
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
        let (topology, mut facts) = session.topology(suffix, &plan.plan, cloud, code, &store.facts()).await?;
        backup::check(&cloud.aws, &plan.plan).await?;
        session.check_domain(suffix, &plan.plan, cloud, &store.records(), &mut facts).await?;
        let goal =
            Goal { topology: &topology, facts: &facts, plan_digest: &plan.digest, removes_twins: self.remove_twins };
        let failed = |error| run_failure(error, cloud, store);
        let prepared =
            session.screen.watch(async |events| run::prepare_up(&session.execution(cloud, store, &events), goal).await);
        let set = prepared.await.map_err(failed)?;
        self.welcome(session, suffix, &set, &store.records())?;
        self.permit(session, suffix, &set, cloud).await?;
        let makes = |change: &Change| matches!(change.action, Action::Create | Action::Adopt | Action::Replace);
        let claim = match set.changing().any(makes) {
            true => Some(session.claim(cloud, store, "up").await?),
            false => None,
        };
        let carried_out = session.screen.watch(async |events| {
            run::carry_out_up(&Arc::new(session.execution(cloud, store, &events)), goal, set).await
        });
        let carried_out = carried_out.await;
        release(claim).await;
        let end = carried_out.map_err(failed)?;
        session.screen.report(&RunEnd {
            command: "up",
            suffix: suffix.as_str(),
            set: &end.set,
            report: &end.report,
            records: &store.records(),
            outputs: &end.outputs,
            unrecorded: &store.unrecorded(),
        });
        ending(&end.report, cloud)
    }

    /// Says so when the deployment exists although no state of it is here, and refuses to take it over if that is not wanted.
    fn welcome(&self, session: &Session<'_>, suffix: &Suffix, set: &ChangeSet, records: &Records) -> Outcome {
        let ours = |change: &&Change| {
            let tags = change.object.as_ref().filter(|_| change.record.is_none()).map(|object| &object.tags);
            tags.and_then(|tags| tags.get(tags::DEPLOYMENT)).is_some_and(|owner| owner == suffix.as_str())
        };
        let adopted: Vec<&Change> = set.changes.values().filter(|change| change.action == Action::Adopt).collect();
        if records.is_empty() {
            let count = set.changes.values().filter(ours).count();
            if count > 0 {
                session
                    .screen
                    .note(&format!("`{suffix}` exists: {count} objects carry its tags; no state of it is here"));
            }
        }
        if !self.no_adopt || adopted.is_empty() {
            return Ok(());
        }
        let failure = Failure::new(Kind::Preflight, "these objects are not on record here; nothing was changed");
        Err(adopted
            .into_iter()
            .fold(failure, |failure, change| failure.because(&change.address))
            .hint("work with the state that has them, by --state or --state-dir; or leave out --no-adopt"))
    }

    /// Shows the changes, refuses those that may not be, and asks for the others.
    async fn permit(&self, session: &Session<'_>, suffix: &Suffix, set: &ChangeSet, cloud: &Cloud) -> Outcome {
        if set.is_empty() {
            return Ok(());
        }
        let estimate = estimate(set, session.flags.parallelism);
        session.screen.changes(suffix.as_str(), set, &estimate);
        if let Some(note) = aurora::restarts(set) {
            session.screen.note(&note);
        }
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
        self.preflight.check(session, suffix.as_str(), cloud, set, estimate.duration).await?;
        match session.flags.yes {
            true => Ok(()),
            false => confirmed(cloud, session.screen.confirm("Make these changes?")).await,
        }
    }
}

/// Waits for the answer to a question; a signal while it stands ends the command.
pub(super) async fn confirmed(cloud: &Cloud, answer: impl Future<Output = Outcome<bool>>) -> Outcome {
    tokio::select! {
        answer = answer => match answer? {
            true => Ok(()),
            false => Err(Failure::new(Kind::Preflight, "not confirmed; nothing was changed")),
        },
        () = cloud.shutdown.first() => {
            let kind = Kind::Interrupted(cloud.shutdown.signal().unwrap_or(2));
            Err(Failure::new(kind, "interrupted; nothing was changed"))
        }
    }
}

fn refuse_protected(set: &ChangeSet) -> Outcome {
    let left_out = set.breaking_protection().find(|change| change.desired.is_none());
    let protected: Vec<String> =
        set.breaking_protection().map(|change| format!("{} {}", change.action, change.address)).collect();
    if protected.is_empty() {
        return Ok(());
    }
    let failure =
        Failure::new(Kind::Preflight, "the plan protects what these changes would remove; nothing was changed");
    let failure = protected
        .into_iter()
        .fold(failure, |failure, what| failure.because(what))
        .hint("take it out of `protect` in the plan, or undo the change that asks for this");
    Err(match left_out {
        None => failure,
        // The record has the protection of the last plan that had the resource.
        Some(change) => {
            failure.hint(format!("if the plan does not have it any more: drctl state unprotect {}", change.address))
        }
    })
}

/// Opens the deployment's state, or begins a new one. Who lets drctl wait for other runs goes on with what another run made meanwhile;
/// who does not is told of that run.
async fn open_or_create(session: &Session<'_>, suffix: &Suffix, plan: &LoadedPlan, cloud: &Cloud) -> Outcome<Store> {
    let opened = match session.try_to_open(suffix, cloud, "up").await? {
        Err(StateError::NotFound { .. }) => {
            let regions = &plan.plan.regions;
            let deployment = Deployment {
                suffix: suffix.to_string(),
                account: cloud.identity.account.clone(),
                partition: cloud.identity.partition.clone(),
                regions: vec![regions.primary.to_string(), regions.secondary.to_string()],
                ..Deployment::default()
            };
            match session.try_to_create(suffix, cloud, deployment, "up").await? {
                Err(StateError::Exists { .. }) if !session.flags.lock_timeout.is_zero() => {
                    session.try_to_open(suffix, cloud, "up").await?
                }
                created => created,
            }
        }
        opened => opened,
    };
    let store = opened.map_err(|error| state_failure(&error))?;
    cloud.watch_over(&store);
    let deployment = store.deployment();
    let checked = deployment.check_account(&cloud.identity.account, &cloud.identity.partition);
    checked.map_err(|error| state_failure(&error))?;
    check_regions(&deployment, &plan.plan)?;
    Ok(store)
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
    if let Some(unseen) = report.unseen.first() {
        return Err(Failure::silent(Kind::of(&unseen.error)));
    }
    if !report.deferred.is_empty() || !report.skipped.is_empty() || !report.left.is_empty() {
        return Err(Failure::silent(Kind::Partial));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::state::Records;
    use crate::topology::{Inputs, expand};
    use crate::{changes, resources};

    /// The longest chain leads over both regions' databases: global cluster, cluster, its first instance, the other region's cluster, and
    /// all its instances at once.
    #[test]
    fn a_first_up_is_expected_to_take_23_minutes() {
        let (plan, suffix) = (Plan::default(), "dev".parse().unwrap());
        let code = plan.functions.iter().map(|function| (function.name.to_string(), "digest".to_owned())).collect();
        let topology = expand(Inputs { engine_version: Some("14.15"), ..Inputs::plain(&plan, &suffix, &code) });
        let set = changes::build(&topology, &Records::new(), &BTreeMap::new(), "dev", &resources::kinds()).unwrap();
        assert_eq!(estimate(&set, None).duration.as_secs() / 60, 23);
    }
}
