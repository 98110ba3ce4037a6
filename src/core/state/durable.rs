//! Where state is kept: the promises of every medium, and the local folder.
//!
//! A [`Medium`] holds the files of all deployments of one place. [`Folder`] is the local one; a bucket of S3 is the
//! other (`bucket.rs`). Nothing else writes state, and nothing above the two knows which of them it is.
//!
//! Invariants:
//! 1. When `append` or `replace` returns without error, its effect survives a crash of the machine: the file is synced,
//!    and so is the folder whenever a name in it changed.
//! 2. `replace` is atomic: a reader, or the next run after a crash, sees the old bytes or the new ones.
//! 3. After an `append` that failed or did not return, the file holds a prefix of the appended bytes after the old ones.
//! 4. Files have mode 0600, the temporary ones included, and the folder 0700 when drctl makes it. A folder in which everybody may
//!    write is refused.
//! 5. Links in the folder are never followed, neither for reading nor for writing: who can prepare one could have any file of this
//!    user overwritten. Temporary files have random names and are made exclusively.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{Timestamp, Unit};

use super::error::StateError;
use super::lease::Lease;
use super::lock::{self, Holder};

/// The number of copies of the state file that are kept.
pub const COPIES: usize = 5;

/// A place that keeps named files durably.
///
/// All methods block; the store calls the writing ones from its own thread.
pub trait Medium: Send + Sync + 'static {
    /// The names of all files.
    ///
    /// # Errors
    /// When the place exists but cannot be listed; a place that does not exist yet has no files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The content of a file, or nothing if there is no such file.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// The journal of that name. A medium that has files keeps it in one.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    fn journal(&self, name: &str) -> io::Result<Journal> {
        self.read(name).map(|text| Journal::File(text.unwrap_or_default()))
    }

    /// Adds whole lines to the end of a journal, which is made if need be, and returns when they are durable.
    ///
    /// # Errors
    /// When that failed; any prefix of the bytes may have been added, but never to what another run has gone on with:
    /// then it is [`io::ErrorKind::AlreadyExists`], and nothing was added.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file new content, all or nothing, and returns when it is durable. Where several machines can write, a
    /// file that was read before is replaced only if it is still as it was read.
    ///
    /// # Errors
    /// When that failed; the file has its old content or the new.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Drops the lines of a journal that the state file contains by now, as far as nothing else depends on them.
    ///
    /// # Errors
    /// When that failed; any of them may be there or not.
    fn drop_folded(&self, journal: &str) -> io::Result<()> {
        self.remove(journal)
    }

    /// Removes a file durably; it need not exist.
    ///
    /// # Errors
    /// When that failed; the file may be there or not.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Takes the lock of a deployment for this run, without waiting.
    ///
    /// # Errors
    /// [`StateError::Locked`] when another run has it, another variant when the lock cannot be used.
    fn lock(&self, suffix: &str, holder: &Holder) -> Result<Box<dyn Hold>, StateError>;

    /// Removes what a run that is no more left in the lock, and tells whose it was.
    ///
    /// # Errors
    /// [`StateError::Locked`] or [`StateError::Leased`] when a live run has it.
    fn unlock(&self, suffix: &str) -> Result<Option<Holder>, StateError>;

    /// As `unlock`, but a lease that is still running is ended too. A lock of the operating system cannot be: it is
    /// never that of a dead run.
    ///
    /// # Errors
    /// As for `unlock`.
    fn unlock_by_force(&self, suffix: &str) -> Result<Option<Holder>, StateError> {
        self.unlock(suffix)
    }

    /// How often a lock that another run holds is tried again.
    fn lock_interval(&self) -> Duration {
        Duration::from_millis(250)
    }

    /// Where a file is, for people: a path or an address.
    fn locate(&self, name: &str) -> String;

    /// The time written beside entries.
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.round(Unit::Millisecond).unwrap_or(now)
    }

    /// Whether writes take no time, so that the store needs no thread for them.
    fn is_instant(&self) -> bool {
        false
    }
}

/// A journal as its medium keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Journal {
    /// One file that is appended to. Its last line may be torn.
    File(Vec<u8>),
    /// One segment for each append, in the order of their entries. Each is there as a whole or not at all.
    Segments(Vec<Segment>),
}

/// What one append added to a journal, on a medium that cannot append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The number of its first entry, which is in its name.
    pub first: u64,
    /// Its lines.
    pub text: Vec<u8>,
}

/// A lock that this run holds. Dropping it gives the lock back.
pub trait Hold: Send {
    /// Checks that the lock is still held. A lock that can be lost says so before another run can have it.
    ///
    /// # Errors
    /// [`StateError::LeaseLost`] when it may be another run's by now.
    fn check(&self) -> Result<(), StateError> {
        Ok(())
    }

    /// Whether the run before did not give its lock back, so that a write of its may still be on the way.
    fn is_takeover(&self) -> bool {
        false
    }

    /// Says that nothing of the run before can be added any more. Until then a lock that was taken over is not given back, so
    /// that whoever has it next is told as well.
    fn settle(&mut self) {}

    /// Keeps the lock from being given back when it is dropped: it ends by itself, when nothing that this run has on the
    /// way can arrive any more.
    fn abandon(&mut self) {}

    /// The lease, if that is what the lock is.
    fn lease(&self) -> Option<Lease> {
        None
    }

    /// Removes the lock altogether, with whatever it left in its place, because the deployment is gone.
    ///
    /// # Errors
    /// When it cannot be removed; it is given back all the same.
    fn remove(self: Box<Self>) -> Result<(), StateError>;
}

/// The names of the files of one deployment.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) snapshot: String,
    pub(super) journal: String,
}

impl Names {
    pub(super) fn of(suffix: &str) -> Self {
        Self { snapshot: format!("{suffix}.json"), journal: format!("{suffix}.journal") }
    }

    /// The copy of the state file that ends at the given entry.
    pub(super) fn copy(&self, serial: u64) -> String {
        format!("{}.{serial}", self.snapshot)
    }

    /// The entry at which a copy ends, if the name is that of a copy.
    pub(super) fn copy_serial(&self, name: &str) -> Option<u64> {
        name.strip_prefix(&self.snapshot)?.strip_prefix('.')?.parse().ok()
    }

    /// The segment of the journal that begins with the given entry.
    pub(super) fn segment(&self, first: u64) -> String {
        format!("{}.{first:010}", self.journal)
    }

    /// The journal that a segment belongs to, and the entry that it begins with, if the name is that of a segment.
    pub(super) fn segment_in(name: &str) -> Option<(&str, u64)> {
        let (journal, first) = name.rsplit_once('.')?;
        let is_segment = journal.ends_with(".journal") && first.len() >= 10;
        is_segment.then(|| first.parse().ok()).flatten().map(|first| (journal, first))
    }

    /// Where the bytes of a damaged file are kept after a rebuild.
    pub(super) fn damaged(name: &str) -> String {
        format!("{name}.damaged")
    }

    /// Tells whether a file belongs to this deployment. Suffixes have no dots, so no name belongs to two.
    pub(super) fn has(&self, name: &str) -> bool {
        [&self.snapshot, &self.journal]
            .into_iter()
            .any(|ours| name.strip_prefix(ours.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// The suffix of the deployment that a file belongs to.
    pub(super) fn suffix_in(name: &str) -> Option<&str> {
        let (suffix, rest) = name.split_once('.')?;
        (!suffix.is_empty() && Self::of(suffix).has(name) && !rest.ends_with("damaged")).then_some(suffix)
    }
}

/// A local folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Names a folder; it is made at the first lock, and not before.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// A new temporary file for a content that replaces a file, and its path.
    fn temporary(&self, name: &str) -> io::Result<(PathBuf, File)> {
        let path = self.path.join(format!("{}{:016x}.tmp", temporary_prefix(name), rand::random::<u64>()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((path, file))
    }

    /// Removes what killed runs left of temporary files. Only the holder of the lock writes, so nobody needs them.
    fn remove_temporaries(&self, name: &str) -> io::Result<()> {
        let (prefix, fixed) = (temporary_prefix(name), format!(".{name}.tmp"));
        for found in self.list()? {
            // Earlier versions had one fixed name.
            if found == fixed || (found.starts_with(&prefix) && found.ends_with(".tmp")) {
                remove_if_there(&self.path.join(found))?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn make(&self) -> io::Result<()> {
        if self.path.is_dir() {
            return match fs::metadata(&self.path)?.mode() & 0o002 {
                0 => Ok(()),
                _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "everybody may write in this folder")),
            };
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        match self.path.parent() {
            Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }
}

/// What the names of a file's temporary files begin with. File names begin with a suffix, which has no dot, so no two files share it.
fn temporary_prefix(name: &str) -> String {
    format!(".{name}.tmp-")
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Opens a file that is there under this very path, without following a link.
///
/// # Errors
/// When it is not there, is a link, or cannot be opened.
pub(super) fn open_itself(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let link = || io::Error::other("it is a link, and links in the state folder are not followed");
    if fs::symlink_metadata(path)?.is_symlink() {
        return Err(link());
    }
    let file = options.open(path)?;
    // A link may have been put there between the two calls; then what is open is not what the path names.
    let (open, named) = (file.metadata()?, fs::symlink_metadata(path)?);
    match named.is_symlink() {
        true => Err(link()),
        false if (open.dev(), open.ino()) == (named.dev(), named.ino()) => Ok(file),
        false => Err(io::Error::other("it was replaced by another file just now")),
    }
}

/// Opens a file as [`open_itself`] does, or makes it; tells whether it did.
pub(super) fn open_or_make(path: &Path, options: &OpenOptions) -> io::Result<(File, bool)> {
    match open_itself(path, options) {
        // A file is made only where there is nothing, not even a link that leads nowhere.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            options.clone().create_new(true).mode(0o600).open(path).map(|file| (file, true))
        }
        file => file.map(|file| (file, false)),
    }
}

impl Medium for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut file = match open_itself(&self.path.join(name), OpenOptions::new().read(true)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (mut file, is_new) = open_or_make(&self.path.join(name), OpenOptions::new().append(true))?;
        file.write_all(bytes)?;
        file.sync_data()?;
        if is_new { self.sync() } else { Ok(()) }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.remove_temporaries(name)?;
        let (temporary, mut file) = self.temporary(name)?;
        let written = (|| {
            file.write_all(bytes)?;
            file.sync_all()?;
            // A link that stands there is replaced itself.
            fs::rename(&temporary, self.path.join(name))
        })();
        if written.is_err() {
            // On a full disk the half-written file is itself the trouble. That it cannot be removed changes nothing.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        self.sync()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.remove_temporaries(name)?;
        remove_if_there(&self.path.join(name))?;
        self.sync()
    }

    fn lock(&self, suffix: &str, holder: &Holder) -> Result<Box<dyn Hold>, StateError> {
        self.make().map_err(|error| StateError::write(self.path.display().to_string(), error))?;
        lock::FileLock::take(&self.path, suffix, holder).map(|lock| Box::new(lock) as Box<dyn Hold>)
    }

    fn unlock(&self, suffix: &str) -> Result<Option<Holder>, StateError> {
        lock::FileLock::clear(&self.path, suffix)
    }

    fn locate(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}
