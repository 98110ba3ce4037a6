//! One run at a time: the lock of a deployment in a local folder.
//!
//! The lock is the operating system's, on the file `<suffix>.lock`; it dies with the process that holds it, however
//! that ends. The file's text only tells people who holds it and never decides anything.
//!
//! Invariants:
//! 1. At most one process holds the lock of a deployment.
//! 2. The file is removed only by the one who holds its lock, and a lock taken on a file that is no longer the one at
//!    its path does not count. So a removal cannot leave two runs with a lock each, on two files of one name.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};

use super::durable::{self, Hold};
use super::error::StateError;

/// Who holds a lock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// The process id.
    pub process: u32,
    /// The name of the machine.
    pub host: String,
    /// The user name.
    pub user: String,
    /// What was typed, without anything secret.
    pub command: String,
    /// When the run started.
    pub started: Timestamp,
    /// Where the run can be watched, when it runs in CI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_run: Option<String>,
}

impl Holder {
    /// Describes this process, which runs the given command.
    pub fn current(command: &str) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let now = Timestamp::now();
        Self {
            process: std::process::id(),
            host: host_name().unwrap_or_else(|| "an unknown host".to_owned()),
            user: variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| "an unknown user".to_owned()),
            command: command.to_owned(),
            started: now.round(Unit::Second).unwrap_or(now),
            ci_run: ci_run(variable),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, host, user, command, started, ci_run } = self;
        write!(f, "`{command}`, process {process} of {user} on {host}, started {started}")?;
        match ci_run {
            Some(address) => write!(f, ", {address}"),
            None => Ok(()),
        }
    }
}

/// The name of this machine, as the kernel or else `uname` tells it.
fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| {
        let output = std::process::Command::new("uname").arg("-n").output().ok()?;
        String::from_utf8(output.stdout).ok()
    })?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The address of the CI run this process is part of, from what the common CI services put into the environment.
fn ci_run(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let github = || {
        let (server, repository) = (variable("GITHUB_SERVER_URL")?, variable("GITHUB_REPOSITORY")?);
        Some(format!("{server}/{repository}/actions/runs/{}", variable("GITHUB_RUN_ID")?))
    };
    let others = ["CI_JOB_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL", "BUILD_URL"];
    github().or_else(|| others.into_iter().find_map(variable))
}

/// The lock of one deployment in a local folder.
#[derive(Debug)]
pub(super) struct FileLock {
    path: PathBuf,
    file: File,
}

impl FileLock {
    pub(super) fn take(folder: &Path, suffix: &str, holder: &Holder) -> Result<Self, StateError> {
        let path = path_of(folder, suffix);
        let failed = |error| StateError::write(path.display().to_string(), error);
        let lock = loop {
            let file = match durable::open_or_make(&path, OpenOptions::new().read(true).write(true)) {
                // Another run made or removed it at the same moment.
                Err(error) if is_passing(&error, &path) => continue,
                file => file.map_err(failed)?.0,
            };
            let Some(lock) = Self::try_on(&path, suffix, file)? else { continue };
            break lock;
        };
        let text = serde_json::to_vec_pretty(holder).expect("a holder has string keys");
        lock.write(&text).map_err(failed)?;
        Ok(lock)
    }

    pub(super) fn clear(folder: &Path, suffix: &str) -> Result<Option<Holder>, StateError> {
        let path = path_of(folder, suffix);
        let failed = |error| StateError::write(path.display().to_string(), error);
        loop {
            let file = match durable::open_itself(&path, OpenOptions::new().read(true).write(true)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file.map_err(failed)?,
            };
            if let Some(lock) = Self::try_on(&path, suffix, file)? {
                // Dropping the lock takes the stale text away.
                return Ok(read_holder(&lock.file));
            }
        }
    }

    /// Locks an open file, or returns nothing if the path has another file by now.
    fn try_on(path: &Path, suffix: &str, file: File) -> Result<Option<Self>, StateError> {
        let failed = |error| StateError::write(path.display().to_string(), error);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&file).map(Box::new);
                return Err(StateError::Locked { suffix: suffix.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let ours = file.metadata().map_err(failed)?;
        let at_path = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(failed)?,
        };
        let is_same = (ours.dev(), ours.ino()) == (at_path.dev(), at_path.ino());
        Ok(is_same.then(|| Self { path: path.to_owned(), file }))
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(text)
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // The text decides nothing, so a failure to take it away harms nothing; closing the file gives the lock back.
        let _ = self.file.set_len(0);
    }
}

impl Hold for FileLock {
    fn remove(self: Box<Self>) -> Result<(), StateError> {
        fs::remove_file(&self.path).map_err(|error| StateError::write(self.path.display().to_string(), error))
    }
}

/// Tells whether a lock file could not be opened only because another run made or removed it meanwhile.
fn is_passing(error: &io::Error, path: &Path) -> bool {
    let is_race = matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound);
    is_race && path.parent().is_some_and(Path::is_dir) && !path.is_symlink()
}

fn path_of(folder: &Path, suffix: &str) -> PathBuf {
    folder.join(format!("{suffix}.lock"))
}

fn read_holder(mut file: &File) -> Option<Holder> {
    let mut text = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut text)).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 2: one who waited on a file that was removed meanwhile has no lock.
    #[test]
    fn a_lock_on_a_removed_file_does_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let holder = Holder::current("drctl down");
        let first = FileLock::take(folder.path(), "dev", &holder).expect("free");
        let path = path_of(folder.path(), "dev");
        let late = || OpenOptions::new().read(true).write(true).open(&path).expect("the file of the first");
        let (second, third) = (late(), late());
        Box::new(first).remove().expect("removed");
        assert!(FileLock::try_on(&path, "dev", second).expect("no error").is_none());
        let other = FileLock::take(folder.path(), "dev", &holder).expect("free");
        assert!(FileLock::try_on(&path, "dev", third).expect("no error").is_none());
        drop(other);
    }

    #[test]
    fn a_ci_run_is_found_by_its_variables() {
        let github = |name: &str| match name {
            "GITHUB_SERVER_URL" => Some("https://github.com".to_owned()),
            "GITHUB_REPOSITORY" => Some("acme/payments".to_owned()),
            "GITHUB_RUN_ID" => Some("42".to_owned()),
            _ => None,
        };
        assert_eq!(ci_run(github).as_deref(), Some("https://github.com/acme/payments/actions/runs/42"));
        let gitlab = |name: &str| (name == "CI_JOB_URL").then(|| "https://gitlab.example/jobs/7".to_owned());
        assert_eq!(ci_run(gitlab).as_deref(), Some("https://gitlab.example/jobs/7"));
        assert_eq!(ci_run(|_| None), None);
    }

    #[test]
    fn this_process_is_described() {
        let holder = Holder::current("drctl up");
        assert_eq!(holder.process, std::process::id());
        assert!(!holder.host.is_empty() && !holder.host.contains('\n'));
    }
}
