//! `drctl status`.

use clap::Args;

use super::Flags;
use super::session::{Session, state_failure};
use crate::changes;
use crate::engine::event::Events;
use crate::engine::run::OUTPUTS;
use crate::error::{Failure, Kind, Outcome};
use crate::resources::Assets;
use crate::ui::Screen;

/// Tells the truth about a deployment: recorded against observed, drift, what is in flight, outputs
#[derive(Debug, Args)]
pub(super) struct Status {}

impl Status {
    pub(super) async fn run(self, flags: Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags, screen);
        let suffix = session.suffix()?;
        let snapshot = session.read(&suffix)?.ok_or_else(|| {
            Failure::new(Kind::Usage, format!("there is no deployment `{suffix}`"))
                .hint(format!("make it: drctl up --suffix {suffix}"))
                .hint(format!("or, if its state was lost: drctl state rebuild --suffix {suffix}"))
        })?;
        let cloud = session.connect(&suffix, Assets::new()).await?;
        let checked = snapshot.deployment.check_account(&cloud.identity.account, &cloud.identity.partition);
        checked.map_err(|error| state_failure(&error))?;
        let objects = session.observe(&cloud, &snapshot.records, None, &Events::unheard()).await?;
        let conditions = changes::conditions(&snapshot.records, &objects);
        let outputs = snapshot.deployment.facts.get(OUTPUTS).and_then(|outputs| outputs.as_object()).cloned();
        let outputs: Vec<_> = outputs.unwrap_or_default().into_iter().collect();
        screen.status(&snapshot.deployment, &conditions, &outputs);
        Ok(())
    }
}
