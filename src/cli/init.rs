//! `drctl init`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Flags;
use super::session::DEFAULT_PLAN;
use crate::error::{Failure, Kind, Outcome};
use crate::plan;
use crate::shell::quoted;
use crate::ui::Screen;

/// Writes a commented plan file to start from
#[derive(Debug, Args)]
pub(super) struct Init {
    /// Where to write it
    #[arg(value_name = "FILE", default_value = "plans/payments.toml")]
    file: PathBuf,
}

impl Init {
    pub(super) fn run(self, flags: &Flags, screen: &Screen) -> Outcome {
        let file = flags.plan.as_ref().unwrap_or(&self.file);
        let shown = file.display();
        let failed =
            |error| Failure::new(Kind::Failed, format!("the plan file {shown} cannot be written")).because(error);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut created = match std::fs::File::create_new(file) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Failure::new(Kind::Usage, format!("{shown} exists already; it was left as it is"))
                    .hint("write another one: drctl init plans/NAME.toml"));
            }
            created => created.map_err(failed)?,
        };
        created.write_all(plan::BUILTIN.as_bytes()).map_err(failed)?;
        screen.note(&format!("wrote {shown}; every field in it has its default"));
        let suffix = flags.suffix.as_ref().map_or_else(|| "dev".to_owned(), ToString::to_string);
        let plan = match file.as_path() == Path::new(DEFAULT_PLAN) {
            true => String::new(),
            false => format!(" --plan {}", quoted(&shown.to_string())),
        };
        screen.note(&format!("next: drctl plan --suffix {suffix}{plan}"));
        Ok(())
    }
}
