//! What can go wrong with the state, told so that the reader knows what is lost (nothing) and what to do.
//!
//! The text of an error says what failed and why; [`StateError::hints`] says what to do.

use std::io;
use std::sync::Arc;

use super::lock::Holder;
use super::status::IllegalTransition;
use crate::address::Address;

/// Why the state could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StateError {
    /// There is no such deployment.
    #[error("there is no deployment `{suffix}` in {place}")]
    NotFound {
        /// The suffix asked for.
        suffix: String,
        /// The state folder.
        place: String,
        /// The deployments that are there.
        known: Vec<String>,
    },
    /// A new deployment would overwrite an old one.
    #[error("the deployment `{suffix}` exists already: {path} is there")]
    Exists {
        /// The suffix asked for.
        suffix: String,
        /// The file that is in the way.
        path: String,
    },
    /// The files of the deployment are not as drctl left them.
    #[error(transparent)]
    Damaged(Box<Damaged>),
    /// The state file was written by a later drctl.
    #[error(
        "the state file {path} has format {found}, written by drctl {drctl}; this drctl knows formats up to {known}"
    )]
    Newer {
        /// The state file.
        path: String,
        /// Its format.
        found: u32,
        /// The newest format this drctl reads.
        known: u32,
        /// The version that wrote it.
        drctl: String,
    },
    /// The state file belongs to another deployment.
    #[error("the state file {path} belongs to the deployment `{inside}`, not to `{expected}`")]
    WrongDeployment {
        /// The state file.
        path: String,
        /// The suffix inside.
        inside: String,
        /// The suffix its name says.
        expected: String,
    },
    /// The credentials are those of another account.
    #[error("the deployment `{suffix}` is in account {inside}, but the credentials are for {actual}")]
    WrongAccount {
        /// The deployment.
        suffix: String,
        /// The account, with its partition, that the state names.
        inside: String,
        /// The account, with its partition, of the credentials.
        actual: String,
    },
    /// The state file is older than one of its own copies, so entries are missing.
    #[error("the state file {path} ends at entry {serial}, but its copy {copy} has entries up to {newest}")]
    Stale {
        /// The state file.
        path: String,
        /// The last entry found.
        serial: u64,
        /// The newest copy.
        copy: String,
        /// The last entry in that copy.
        newest: u64,
    },
    /// The entry cannot follow what is on record.
    #[error("{address}: {source}")]
    Illegal {
        /// The resource.
        address: Address,
        /// The rule that was broken.
        source: IllegalTransition,
    },
    /// Another run holds the deployment.
    #[error("the deployment `{suffix}` is locked by {}", holder.as_ref().map_or_else(|| "another run".to_owned(), ToString::to_string))]
    Locked {
        /// The deployment.
        suffix: String,
        /// Who holds it, unless it has not said so yet.
        holder: Option<Box<Holder>>,
    },
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: Arc<io::Error>,
    },
    /// A file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: Arc<io::Error>,
    },
    /// An earlier write failed, and nothing is written after that.
    #[error("nothing was written, because an earlier write of the state failed")]
    Stopped {
        /// The failure.
        source: Box<StateError>,
    },
    /// The store was closed.
    #[error("the state was closed before this entry was written")]
    Closed,
    /// The state of a deployment that still has resources cannot be removed.
    #[error("the deployment `{suffix}` still has {count} resources on record")]
    NotGone {
        /// The deployment.
        suffix: String,
        /// The number of records.
        count: usize,
    },
}

/// A file of a deployment that is not as drctl left it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} {path} {damage}", damage.file())]
pub struct Damaged {
    /// The deployment.
    pub suffix: String,
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub damage: Damage,
    /// The newest copy of the state file that is whole.
    pub copy: Option<String>,
}

/// What is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Damage {
    /// The state file is gone although other files of the deployment are there.
    #[error("is missing, although {remains} is there")]
    Missing {
        /// A file of the same deployment.
        remains: String,
    },
    /// The state file has no content.
    #[error("is empty")]
    Empty,
    /// The state file ends too early.
    #[error("is truncated: it ends in line {line}, in the middle of the JSON text")]
    Truncated {
        /// Its last line.
        line: usize,
    },
    /// The state file is no JSON.
    #[error("is not JSON: {why}")]
    NotJson {
        /// What the parser met, with line and column.
        why: String,
    },
    /// The content is not what drctl wrote.
    #[error("does not match its checksum: it was edited by hand or damaged on its disk")]
    Edited,
    /// The state file is JSON, but no state.
    #[error("is not a state file of drctl: {why}")]
    Malformed {
        /// What is wrong, with line and column.
        why: String,
    },
    /// A line of the journal is not what drctl wrote. Only a last line without an end may be: a crash tore it.
    #[error("is damaged in line {line}: {why}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

impl Damage {
    fn file(&self) -> &'static str {
        match self {
            Self::Line { .. } => "the journal",
            _ => "the state file",
        }
    }
}

impl Damaged {
    fn hints(&self) -> Vec<String> {
        let Self { suffix, path, damage, copy } = self;
        let mut hints = Vec::new();
        if let Some(copy) = copy {
            hints.push(format!("put the newest good copy back, and leave the journal where it is: cp {copy} {path}"));
        }
        hints.push(format!(
            "make the state anew from the tags and names of the objects: drctl state rebuild --suffix {suffix}"
        ));
        if *damage == Damage::Edited {
            hints.push(
                "to accept an edit that was made on purpose, set \"checksum\" in the file to \"edited\"".to_owned(),
            );
        }
        hints
    }
}

impl StateError {
    /// What the reader can do, most likely help first.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NotFound { suffix, known, .. } => {
                let mut hints = Vec::new();
                if !known.is_empty() {
                    hints.push(format!("the deployments here are: {}", known.join(", ")));
                }
                hints.push(format!(
                    "if `{suffix}` was deployed from elsewhere, copy its state here or run: drctl state rebuild --suffix {suffix}"
                ));
                hints
            }
            Self::Exists { suffix, .. } => vec![format!("to go on with it, run: drctl up --suffix {suffix}")],
            Self::Damaged(damaged) => damaged.hints(),
            Self::Newer { drctl, .. } => vec![format!("use drctl {drctl} or later; the file was left as it is")],
            Self::WrongDeployment { inside, .. } => {
                vec![format!("the file was renamed or copied; to work on that deployment, name its file {inside}.json")]
            }
            Self::WrongAccount { inside, .. } => {
                vec![format!("choose credentials for {inside}, for example with --profile, or another --state-dir")]
            }
            Self::Stale { copy, newest, path, .. } => vec![
                format!("put the copy back: cp {copy} {path}"),
                format!("or, if the state was set back on purpose, remove the copies with numbers up to {newest}"),
            ],
            Self::Illegal { .. } => {
                vec!["this is a mistake in drctl; nothing was written, and running again is safe".to_owned()]
            }
            Self::Locked { .. } => vec![
                "wait for that run to end, or let drctl wait: --lock-timeout 10m".to_owned(),
                "the lock goes away by itself when that process ends, however it ends".to_owned(),
            ],
            Self::Read { source, .. } => vec![io_hint(source.kind(), "readable").to_owned()],
            Self::Write { source, .. } => vec![io_hint(source.kind(), "writable").to_owned()],
            Self::Stopped { source } => source.hints(),
            Self::Closed => vec!["running again is safe".to_owned()],
            Self::NotGone { suffix, .. } => vec![format!("destroy them first: drctl down --suffix {suffix}")],
        }
    }

    pub(super) fn damaged(suffix: &str, path: &str, damage: Damage) -> Self {
        Self::Damaged(Box::new(Damaged { suffix: suffix.to_owned(), path: path.to_owned(), damage, copy: None }))
    }

    /// Names the copy that the hints recommend, if a copy can help.
    pub(super) fn with_copy(mut self, find: impl FnOnce() -> Option<String>) -> Self {
        if let Self::Damaged(damaged) = &mut self
            && !matches!(damaged.damage, Damage::Line { .. })
        {
            damaged.copy = find();
        }
        self
    }

    pub(super) fn read(path: String, source: io::Error) -> Self {
        Self::Read { path, source: Arc::new(source) }
    }

    pub(super) fn write(path: String, source: io::Error) -> Self {
        Self::Write { path, source: Arc::new(source) }
    }
}

fn io_hint(kind: io::ErrorKind, wanted: &str) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some space, then run again; the next run settles what was in flight"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the folder is on a read-only file system: choose another with --state-dir"
        }
        io::ErrorKind::PermissionDenied if wanted == "writable" => {
            "make the folder and its files writable for this user, or choose another folder with --state-dir"
        }
        io::ErrorKind::PermissionDenied => {
            "make the folder and its files readable for this user, or choose another folder with --state-dir"
        }
        io::ErrorKind::NotADirectory => "a part of the path is a file: choose another folder with --state-dir",
        _ => "check the disk and the folder, then run again; what was recorded before is safe",
    }
}
