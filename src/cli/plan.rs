//! `drctl plan`.

use clap::Args;

use super::session::{Session, state_failure};
use super::up::estimate;
use super::{Flags, preflight};
use crate::error::{Failure, Kind, Outcome};
use crate::functions;
use crate::preflight::{aurora, backup};
use crate::ui::Screen;

/// Shows what `up` would do, and changes nothing
#[derive(Debug, Args)]
pub(super) struct Plan {
    /// Exit with 0 when nothing has to be done, 2 when something has, 1 on errors
    #[arg(long)]
    detailed_exitcode: bool,
}

impl Plan {
    pub(super) async fn run(self, flags: Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags, screen);
        let suffix = session.suffix()?;
        let plan = session.load_plan()?;
        let sources = functions::load(&plan.plan.functions)?;
        let snapshot = session.read_for(&suffix, &plan.plan)?.unwrap_or_default();
        let cloud = session.connect(&suffix, sources.assets).await?;
        if !snapshot.deployment.account.is_empty() {
            let checked = snapshot.deployment.check_account(&cloud.identity.account, &cloud.identity.partition);
            checked.map_err(|error| state_failure(&error))?;
        }
        let facts = &snapshot.deployment.facts;
        let (topology, mut facts) = session.topology(&suffix, &plan.plan, &cloud, &sources.code, facts).await?;
        backup::check(&cloud.aws, &plan.plan).await?;
        session.check_domain(&suffix, &plan.plan, &cloud, &snapshot.records, &mut facts).await?;
        let looked =
            screen.watch(async |events| session.observe(&cloud, &snapshot.records, Some(&topology), &events).await);
        let seen = looked.await?;
        let set = session.changes(&suffix, &topology, &snapshot.records, seen)?;
        let estimate = estimate(&set, session.flags.parallelism);
        screen.plan(suffix.as_str(), &set, &estimate);
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        for note in aurora::support(&plan.plan, today).into_iter().chain(aurora::restarts(&set)) {
            screen.note(&note);
        }
        if !set.is_empty() {
            preflight::tell_lifetime(&session, &cloud, estimate.duration).await;
        }
        match self.detailed_exitcode && !set.is_empty() {
            true => Err(Failure::silent(Kind::Changes)),
            false => Ok(()),
        }
    }
}
