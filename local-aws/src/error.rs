//! What can go wrong before and while the local AWS runs, told to the person at the terminal.

use std::io;
use std::path::PathBuf;

/// A reason why a command of `local-aws` could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No usable Python was found.
    #[error("python3 is needed to run the emulator: {0}")]
    Python(String),
    /// The virtual environment could not be made.
    #[error("cannot set up the emulator's virtual environment at {path}: {reason}")]
    Environment {
        /// The folder of the virtual environment.
        path: PathBuf,
        /// The end of what the failing command said.
        reason: String,
    },
    /// The proxy's port is taken or forbidden.
    #[error("cannot listen on 127.0.0.1:{port}: {source}; choose another with --port, or leave it out")]
    Listen {
        /// The port asked for.
        port: u16,
        /// What the operating system said.
        source: io::Error,
    },
    /// The emulator did not come up, or ended by itself.
    #[error("the emulator {what}; its log is {log}")]
    Emulator {
        /// What happened, as a verb phrase.
        what: String,
        /// The emulator's log file.
        log: PathBuf,
    },
    /// The background process did not come up.
    #[error("the local AWS did not start: {reason}")]
    Start {
        /// The end of its log.
        reason: String,
    },
    /// Another process serves the same folder.
    #[error("another local AWS already runs in {0}")]
    Busy(PathBuf),
    /// A scenario that does not exist.
    #[error("{0}")]
    Scenario(String),
    /// An address that is not one of a deployed REST API.
    #[error("{0} is no address of a REST API; https://ID.execute-api.REGION.amazonaws.com/STAGE is")]
    NoApi(String),
    /// A process could not be stopped.
    #[error("process {pid} cannot be stopped: {reason}")]
    Stop {
        /// The recorded process id.
        pid: u32,
        /// Why not.
        reason: String,
    },
    /// A call to the emulator failed below HTTP.
    #[error("the emulator did not answer: {0}")]
    Call(String),
    /// The runtime of the proxy failed.
    #[error("the proxy failed: {0}")]
    Proxy(#[from] io::Error),
}

impl Error {
    /// Adds what was tried on which path to an error of the operating system.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
