//! `drctl down`.

use std::sync::Arc;

use clap::Args;

use super::Flags;
use super::session::{Session, run_failure, state_failure};
use super::up::{ending, estimate};
use crate::changes::{Action, ChangeSet};
use crate::engine::run;
use crate::error::{Failure, Kind, Outcome};
use crate::resources::Assets;
use crate::state::Store;
use crate::ui::Screen;

/// Destroys everything, in reverse order, from the state file alone
///
/// Asks for the suffix to be typed; without a terminal it needs --yes. What is protected stays, with what it needs.
#[derive(Debug, Args)]
pub(super) struct Down {
    /// Count kept protected resources as success
    #[arg(long)]
    keep_protected: bool,
}

impl Down {
    pub(super) async fn run(self, flags: Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags, screen);
        let suffix = session.suffix()?;
        if !session.flags.yes && !screen.can_ask() {
            return Err(Failure::new(
                Kind::Usage,
                format!("`down` destroys the deployment `{suffix}` and cannot ask here"),
            )
            .hint(format!("if that is what you want: drctl down --suffix {suffix} --yes")));
        }
        let cloud = session.connect(&suffix, Assets::new()).await?;
        let store = Arc::new(session.open(&suffix, "down").await.map_err(|error| state_failure(&error))?);
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
        let (events, watcher) = session.screen.watch();
        let execution = Arc::new(session.execution(cloud, store, &events));
        let end = run::down(&execution, |set| {
            session.screen.changes(suffix, set, &estimate(set, session.flags.parallelism));
            match session.flags.yes || session.screen.confirm_typed(suffix) {
                true => Ok(()),
                false => Err(Failure::new(Kind::Preflight, "not confirmed; nothing was changed")),
            }
        })
        .await;
        drop((execution, events));
        watcher.finish().await;
        let end = end.map_err(|error| run_failure(error, cloud, store))?;
        session.screen.down_report(suffix, &end.set, &end.report, &store.unrecorded());
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
