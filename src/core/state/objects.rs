//! What a bucket needs of an object store: few operations, with the conditions that S3 offers. S3 itself is behind it
//! (`s3.rs`), and in tests a store in memory that loses answers and crashes.
//!
//! Invariants of every implementation:
//! 1. A put that returns is durable, and is seen by every later `get` and `list`, whoever asks.
//! 2. A put is there as a whole or not at all; its condition is checked and the object written in one step.
//! 3. After a put that failed with an uncertain error the object may be there, or may come later.

use std::io;
use std::time::Duration;

use crate::aws;

/// An object as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// The content.
    pub bytes: Vec<u8>,
    /// Changes with every other content.
    pub tag: String,
    /// How long ago it was written, by the clock of the object store alone.
    pub age: Duration,
}

/// Under which condition an object is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Only<'a> {
    /// Under none.
    Always,
    /// If there is none of that name.
    IfAbsent,
    /// If it still has the content with this tag.
    IfSame(&'a str),
}

/// Why an operation on an object failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ObjectError {
    /// The condition did not hold; nothing was changed.
    #[error("somebody else wrote it meanwhile")]
    Unmet,
    /// Anything else.
    #[error(transparent)]
    Aws(#[from] aws::Error),
}

impl ObjectError {
    /// Tells whether the object may have been written nevertheless, or will be when it is tried again.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unmet => false,
            // S3 refuses one of two writes that come at the same time, whatever their conditions.
            Self::Aws(error) => {
                error.is_unanswered() || error.is(&["ConditionalRequestConflict", "OperationAborted", "SlowDown"])
            }
        }
    }
}

impl From<ObjectError> for io::Error {
    fn from(error: ObjectError) -> Self {
        let kind = match &error {
            ObjectError::Unmet => io::ErrorKind::AlreadyExists,
            ObjectError::Aws(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// The outcome of an operation on an object.
pub(super) type Result<T> = std::result::Result<T, ObjectError>;

/// A place in an object store. All methods block.
pub trait Objects: Send + Sync + 'static {
    /// The names of all objects that begin with the given text.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// An object, or nothing if there is none of that name.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    fn get(&self, name: &str) -> Result<Option<Object>>;

    /// Several objects, side by side.
    ///
    /// # Errors
    /// When one is there but cannot be read.
    fn get_all(&self, names: &[String]) -> Result<Vec<Option<Object>>> {
        names.iter().map(|name| self.get(name)).collect()
    }

    /// Writes an object and returns its tag.
    ///
    /// # Errors
    /// [`ObjectError::Unmet`] when the condition does not hold.
    fn put(&self, name: &str, bytes: &[u8], only: Only<'_>) -> Result<String>;

    /// Removes an object that still has the content with this tag.
    ///
    /// # Errors
    /// [`ObjectError::Unmet`] when it is not there, or not so.
    fn delete(&self, name: &str, tag: &str) -> Result<()>;

    /// Removes objects; they need not exist.
    ///
    /// # Errors
    /// When that failed; some may be gone.
    fn delete_all(&self, names: &[String]) -> Result<()>;

    /// Where an object is, for people.
    fn locate(&self, name: &str) -> String;

    /// The time since some moment, by this machine's clock.
    fn clock(&self) -> Duration;

    /// Waits before something is tried again.
    fn pause(&self, length: Duration);

    /// Whether nothing here takes time, so that no threads are needed.
    fn is_instant(&self) -> bool {
        false
    }
}
