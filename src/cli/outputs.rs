//! `drctl outputs`.

use clap::Args;
use serde_json::Value;

use super::Flags;
use super::session::Session;
use crate::engine::run::OUTPUTS;
use crate::error::{Failure, Kind, Outcome};
use crate::ui::Screen;

/// Prints the outputs of the last complete `up`: endpoints, names, domains
#[derive(Debug, Args)]
pub(super) struct Outputs {
    /// Print the value of this one alone
    name: Option<String>,
}

impl Outputs {
    pub(super) fn run(self, flags: &Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags.clone(), screen);
        let suffix = session.suffix()?;
        let snapshot = session.existing(&suffix)?;
        let outputs = match snapshot.deployment.facts.get(OUTPUTS) {
            Some(Value::Object(outputs)) => outputs.clone(),
            _ => {
                return Err(Failure::new(
                    Kind::Failed,
                    format!("the deployment `{suffix}` has no outputs: no `up` of it was completed"),
                )
                .hint(format!("complete it: drctl up --suffix {suffix}")));
            }
        };
        let Some(name) = self.name else {
            screen.outputs(&outputs.into_iter().collect::<Vec<_>>());
            return Ok(());
        };
        match outputs.get(&name) {
            Some(value) => {
                screen.value(value);
                Ok(())
            }
            None => {
                let known: Vec<&str> = outputs.keys().map(String::as_str).collect();
                Err(Failure::new(Kind::Usage, format!("there is no output `{name}`"))
                    .hint(format!("the outputs are: {}", known.join(", "))))
            }
        }
    }
}
