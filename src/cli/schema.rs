//! `drctl schema`.

use clap::Args;

use crate::error::Outcome;
use crate::plan;
use crate::ui::Screen;

/// Prints the JSON Schema of the plan file, for editors
#[derive(Debug, Args)]
pub(super) struct Schema {}

impl Schema {
    pub(super) fn run(self, screen: &Screen) -> Outcome {
        screen.document(&plan::schema());
        Ok(())
    }
}
