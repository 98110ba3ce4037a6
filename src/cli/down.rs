//! `drctl down`.

use std::sync::Arc;

use clap::Args;

use super::Flags;
use super::session::{Session, state_failure};
use super::up::{close, confirmed, ending, estimate, execute};
use crate::changes::{self, Action, ChangeSet};
use crate::engine::executor::RunReport;
use crate::engine::observe::Objects;
use crate::engine::recover;
use crate::error::{Failure, Kind, Outcome};
use crate::resources::Assets;
use crate::state::{Records, Store};
use crate::ui::{RunEnd, Screen};

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
        // Nobody has to be asked who we are to say that there is nothing.
        session.existing(&suffix)?;
        let cloud = session.connect(&suffix, Assets::new()).await?;
        let store = Arc::new(session.open(&suffix, "down").await.map_err(|error| state_failure(&error))?);
        let checked = store.deployment().check_account(&cloud.identity.account, &cloud.identity.partition);
        checked.map_err(|error| state_failure(&error))?;
        let result = self.destroy(&session, suffix.as_str(), &cloud, &store).await;
        match result.is_ok() && store.records().is_empty() {
            true => store.remove().await.map_err(|error| state_failure(&error))?,
            false => close(&store, false).await?,
        }
        result
    }

    async fn destroy(
        &self,
        session: &Session<'_>,
        suffix: &str,
        cloud: &super::session::Cloud,
        store: &Arc<Store>,
    ) -> Outcome {
        // Only what an earlier run left in flight has to be looked at; deletions find out themselves whether all else is there.
        let records = store.records();
        let in_flight: Records = records
            .iter()
            .filter(|(_, record)| record.status.is_in_flight())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let looked = session.screen.watch(async |events| {
            let objects = match in_flight.is_empty() {
                true => Objects::new(),
                false => session.observe(cloud, &in_flight, None, &events).await?,
            };
            recover::settle_in_flight(store, &objects, &events).await.map_err(|error| state_failure(&error))?;
            Ok(objects)
        });
        let objects = looked.await?;

        let set = changes::teardown(&store.records(), &objects, &session.kinds);
        if !set.is_empty() {
            session.screen.changes(suffix, &set, &estimate(&set, session.flags.parallelism));
            if !session.flags.yes {
                confirmed(cloud, session.screen.confirm_typed(suffix)).await?;
            }
        }
        let report = if set.is_empty() {
            RunReport::default()
        } else {
            session.screen.watch(async |events| execute(session, cloud, store, &events, set.clone()).await).await
        };
        session.screen.report(&RunEnd {
            command: "down",
            suffix,
            set: &set,
            report: &report,
            records: &store.records(),
            outputs: &[],
            unrecorded: &store.unrecorded(),
        });
        ending(&report, cloud)?;
        self.kept(&set)
    }

    fn kept(&self, set: &ChangeSet) -> Outcome {
        match self.keep_protected || set.count(Action::None) == 0 {
            true => Ok(()),
            false => Err(Failure::silent(Kind::Partial)),
        }
    }
}
