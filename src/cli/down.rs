//! `drctl down`.

use std::sync::Arc;

use clap::Args;

use super::Flags;
use super::preflight::Preflight;
use super::session::{Session, run_failure, state_failure};
use super::up::{confirmed, ending, estimate};
use crate::changes::{Action, ChangeSet};
use crate::engine::run;
use crate::error::{Failure, Kind, Outcome};
use crate::resources::Assets;
use crate::state::Store;
use crate::ui::{RunEnd, Screen};

/// Destroys everything, in reverse order, from the state file alone
///
/// Asks for the suffix to be typed; without a terminal it needs --yes. What is protected stays, with what it needs.
#[derive(Debug, Args)]
pub(super) struct Down {
    /// Count kept protected resources as success
    #[arg(long)]
    keep_protected: bool,
    #[command(flatten)]
    preflight: Preflight,
}

impl Down {
    pub(super) async fn run(self, flags: Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags, screen);
        let suffix = session.suffix()?;
        if session.flags.yes && session.flags.suffix.is_none() && !screen.can_ask() {
            let message = "`down --yes` needs the deployment's name where nobody can be asked";
            return Err(Failure::new(Kind::Usage, message).hint(format!("name it: drctl down --suffix {suffix} --yes")));
        }
        if !session.flags.yes && !screen.can_ask() {
            return Err(Failure::new(
                Kind::Usage,
                format!("`down` destroys the deployment `{suffix}` and cannot ask here"),
            )
            .hint(format!("if that is what you want: drctl down --suffix {suffix} --yes")));
        }
        // Nobody has to be asked who we are to say that there is nothing.
        session.existing(&suffix)?;
        let cloud = session.connect(&suffix, Assets::new()).await?;
        let store = Arc::new(session.open(&suffix, &cloud, "down").await?);
        cloud.watch_over(&store);
        let checked = store.deployment().check_account(&cloud.identity.account, &cloud.identity.partition);
        checked.map_err(|error| state_failure(&error))?;
        let result = self.destroy(&session, suffix.as_str(), &cloud, &store).await;
        run::close(&store, result.is_err()).await.map_err(|error| state_failure(&error))?;
        result
    }

    async fn destroy(
        &self,
        session: &Session<'_>,
        suffix: &str,
        cloud: &super::session::Cloud,
        store: &Arc<Store>,
    ) -> Outcome {
        let failed = |error| run_failure(error, cloud, store);
        let prepared =
            session.screen.watch(async |events| run::prepare_down(&session.execution(cloud, store, &events)).await);
        let set = prepared.await.map_err(failed)?;
        if !set.is_empty() {
            let estimate = estimate(&set, session.flags.parallelism);
            session.screen.changes(suffix, &set, &estimate);
            self.preflight.check(session, suffix, cloud, &set, estimate.duration).await?;
            if !session.flags.yes {
                confirmed(cloud, async { Ok(session.screen.confirm_typed(suffix).await) }).await?;
            }
        }
        let carried_out = session
            .screen
            .watch(async |events| run::carry_out_down(&Arc::new(session.execution(cloud, store, &events)), set).await);
        let end = carried_out.await.map_err(failed)?;
        if store.records().is_empty() && end.report.is_complete() {
            session.remove_claim(cloud, store).await;
        }
        session.screen.report(&RunEnd {
            command: "down",
            suffix,
            set: &end.set,
            report: &end.report,
            records: &store.records(),
            outputs: &[],
            unrecorded: &store.unrecorded(),
        });
        ending(&end.report, cloud)?;
        self.kept(&end.set)
    }

    fn kept(&self, set: &ChangeSet) -> Outcome {
        match self.keep_protected || set.count(Action::None) == 0 {
            true => Ok(()),
            false => Err(Failure::silent(Kind::Partial)),
        }
    }
}
