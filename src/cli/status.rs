//! `drctl status`.

use clap::Args;

use super::Flags;
use super::session::{Session, state_failure};
use crate::changes;
use crate::engine::run::OUTPUTS;
use crate::error::Outcome;
use crate::resources::Assets;
use crate::ui::Screen;

/// Tells the truth about a deployment: recorded against observed, drift, what is in flight, outputs
#[derive(Debug, Args)]
pub(super) struct Status {}

impl Status {
    pub(super) async fn run(self, flags: Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags, screen);
        let suffix = session.suffix()?;
        let snapshot = session.existing(&suffix)?;
        let cloud = session.connect(&suffix, Assets::new()).await?;
        let checked = snapshot.deployment.check_account(&cloud.identity.account, &cloud.identity.partition);
        checked.map_err(|error| state_failure(&error))?;
        let looked = screen.watch(async |events| session.observe(&cloud, &snapshot.records, None, &events).await);
        let seen = looked.await?;
        let conditions = changes::conditions(&snapshot.records, &seen.objects, &session.kinds);
        let outputs = snapshot.deployment.facts.get(OUTPUTS).and_then(|outputs| outputs.as_object()).cloned();
        let outputs: Vec<_> = outputs.unwrap_or_default().into_iter().collect();
        screen.status(&snapshot.deployment, &conditions, &seen.twins, &outputs);
        Ok(())
    }
}
