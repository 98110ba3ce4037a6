//! What can go wrong with the state, told so that the reader knows what is lost (nothing) and what to do.
//!
//! The text of an error says what failed and why; [`StateError::hints`] says what to do.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::lock::Holder;
use super::objects::ObjectError;
use super::status::IllegalTransition;
use crate::address::Address;
use crate::shell::quoted;

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
    /// A new deployment would overwrite one that another run made since this one found none.
    #[error("the deployment `{suffix}` was made by another run meanwhile: {path} is there")]
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
    /// The plan says other regions than those that the deployment is in.
    #[error(
        "the deployment `{suffix}` is in {} (primary) and {} (secondary), but the plan says {} and {}",
        recorded[0], recorded[1], planned[0], planned[1]
    )]
    OtherRegions {
        /// The deployment.
        suffix: String,
        /// The regions that the state names, the primary first.
        recorded: [String; 2],
        /// Those of the plan.
        planned: [String; 2],
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
    /// Another run holds the deployment by a lease, which ends when it is not renewed.
    #[error(transparent)]
    Leased(Box<Leased>),
    /// The lease of this run was not renewed in time, or another run has it.
    #[error("the lease on `{suffix}` was lost: {}", match to {
        Some(holder) => format!("it is held by {holder}"),
        None => format!("it could not be renewed for {} s", silence.as_secs()),
    })]
    LeaseLost {
        /// The deployment.
        suffix: String,
        /// Who has it now, if that is known.
        to: Option<Box<Holder>>,
        /// How long ago the last renewal was.
        silence: Duration,
    },
    /// There is no such bucket.
    #[error("the state bucket `{bucket}` does not exist")]
    NoBucket {
        /// Its name.
        bucket: String,
    },
    /// The object store cannot be used.
    #[error("the state in {place} cannot be reached")]
    Unreachable {
        /// The bucket and prefix.
        place: String,
        /// Why.
        source: Arc<crate::aws::Error>,
    },
    /// A state that is to be copied would overwrite one that is newer or that of another deployment.
    #[error("{path} is {}; it was left as it is", match why {
        Obstacle::Newer { ours, theirs } => format!("newer: it has entries up to {theirs}, the other up to {ours}"),
        Obstacle::Differs { serial } => format!("another state with as many entries ({serial})"),
        Obstacle::Foreign => "the state of another deployment of this name".to_owned(),
    })]
    InTheWay {
        /// The state file that would be overwritten.
        path: String,
        /// Why it is not.
        why: Obstacle,
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
    /// The run had to end before the entry was durable. It may have become so, or may become so yet.
    #[error("the state could not be written before the run had to end")]
    Abandoned,
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

/// Why a state is not overwritten by a copy of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// It has entries that the copy has not.
    Newer {
        /// The last entry of the copy.
        ours: u64,
        /// Its last entry.
        theirs: u64,
    },
    /// It has as many entries as the copy, but not the same.
    Differs {
        /// The last entry of both.
        serial: u64,
    },
    /// It was not made by the same `up` or `rebuild`.
    Foreign,
}

/// A lease that another run holds.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the deployment `{suffix}` is locked by {}, last heartbeat {} s ago",
    holder.as_ref().map_or_else(|| "another run".to_owned(), ToString::to_string),
    age.as_secs()
)]
pub struct Leased {
    /// The deployment.
    pub suffix: String,
    /// Who holds it, if the lease can be read.
    pub holder: Option<Holder>,
    /// Changes whenever the lease is renewed.
    pub beat: String,
    /// How long ago it was renewed, by the clock of the object store.
    pub age: Duration,
    /// How long it lasts after it was renewed.
    pub length: Duration,
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
            let copying = copying(copy, path);
            hints.push(format!("put the newest good copy back, and leave the journal where it is: {copying}"));
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
                vec![format!("choose credentials for {inside}, for example with --profile, or another state")]
            }
            Self::OtherRegions { suffix, recorded: [primary, secondary], planned } => {
                let mut hints = vec![format!(
                    "go on with its regions: say primary = \"{primary}\" and secondary = \"{secondary}\" under [regions]"
                )];
                if *planned == [secondary.as_str(), primary.as_str()] {
                    hints.push("which region writes is changed by a failover and never by the plan".to_owned());
                }
                hints.push(format!(
                    "to have it in other regions, deploy it under another suffix than `{suffix}`, move the data,"
                ));
                hints.push(format!("and then destroy this one: drctl down --suffix {suffix}"));
                hints
            }
            Self::Stale { copy, newest, path, .. } => vec![
                format!("put the copy back: {}", copying(copy, path)),
                format!("or, if the state was set back on purpose, remove the copies with numbers up to {newest}"),
            ],
            Self::Illegal { .. } => {
                vec!["this is a mistake in drctl; nothing was written, and running again is safe".to_owned()]
            }
            Self::Locked { .. } => vec![
                "wait for that run to end, or let drctl wait: --lock-timeout 10m".to_owned(),
                "the lock goes away by itself when that process ends, however it ends".to_owned(),
            ],
            Self::Leased(leased) => {
                let left = leased.length.saturating_sub(leased.age).as_secs();
                vec![
                    "wait for that run to end, or let drctl wait: --lock-timeout 10m".to_owned(),
                    format!("if that run is dead, its lease ends by itself within {left} s"),
                    format!(
                        "if it can do nothing any more, end its lease: drctl state unlock --suffix {} --force",
                        leased.suffix
                    ),
                ]
            }
            Self::LeaseLost { .. } => vec![
                "nothing was changed after that; see that no other run is at work, then run again: it is safe"
                    .to_owned(),
            ],
            Self::NoBucket { bucket } => vec![
                format!("make it, or name another with --state: aws s3 mb s3://{bucket}"),
                "drctl neither makes nor removes the bucket; docs/state.md says how it should be set up".to_owned(),
            ],
            Self::Unreachable { source, .. } => vec![object_hint(source)],
            Self::InTheWay { .. } => vec![
                "compare what `state list` says with --state and with --state-dir".to_owned(),
                "to overwrite it nevertheless, add --force; it is kept beside the new one".to_owned(),
            ],
            Self::Read { source, .. } => vec![read_or_write_hint(source, "readable")],
            Self::Write { source, .. } => vec![read_or_write_hint(source, "writable")],
            Self::Stopped { source } => source.hints(),
            Self::Abandoned | Self::Closed => vec!["running again is safe".to_owned()],
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

    /// Tells whether it is about who we are or what we may do in the object store.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.is_denied(),
            Self::Read { source, .. } | Self::Write { source, .. } => {
                matches!(object_error(source), Some(ObjectError::Aws(error)) if error.is_denied())
            }
            Self::Stopped { source } => source.is_denied(),
            _ => false,
        }
    }

    pub(super) fn read(path: String, source: io::Error) -> Self {
        Self::Read { path, source: Arc::new(source) }
    }

    /// A file or an object could not be written.
    pub fn write(path: String, source: io::Error) -> Self {
        Self::Write { path, source: Arc::new(source) }
    }
}

/// The failure of the object store below an error, if that is what it was.
fn object_error(error: &io::Error) -> Option<&ObjectError> {
    error.get_ref()?.downcast_ref()
}

fn read_or_write_hint(error: &io::Error, wanted: &str) -> String {
    match object_error(error) {
        Some(ObjectError::Unmet) => {
            "another run has gone on with this deployment; see how it ends, then run again: it is safe".to_owned()
        }
        Some(ObjectError::Aws(error)) => object_hint(error),
        None => io_hint(error.kind(), wanted).to_owned(),
    }
}

fn object_hint(error: &crate::aws::Error) -> String {
    match error.is_denied() {
        true => "check the credentials, and what they may do with the bucket: docs/state.md has the policy".to_owned(),
        false => "check the network, then run again; what was recorded before is safe".to_owned(),
    }
}

/// The command that copies a file of the state over another.
fn copying(from: &str, to: &str) -> String {
    let program = if from.starts_with("s3://") { "aws s3 cp" } else { "cp" };
    format!("{program} {} {}", quoted(from), quoted(to))
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
            "make the folder and its files writable for this user and for nobody else (chmod u+rw, chmod o-w), or choose another with --state-dir"
        }
        io::ErrorKind::PermissionDenied => {
            "make the folder and its files readable for this user, or choose another folder with --state-dir"
        }
        io::ErrorKind::NotADirectory => "a part of the path is a file: choose another folder with --state-dir",
        _ => "check the disk and the folder, then run again; what was recorded before is safe",
    }
}
