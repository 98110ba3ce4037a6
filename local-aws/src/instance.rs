//! A running local AWS as its folder records it, and how other processes find it there.
//!
//! Invariants:
//! 1. One process at a time holds the lock of a folder, for as long as it lives; the operating system releases it.
//! 2. The record is written when the local AWS is ready, and counts only while the process it names answers with the
//!    same id, so that a record left by a killed process, or a process id used again, deceives nobody.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access;
use crate::error::Error;

/// What the folder records of the local AWS that runs in it, and what its health call answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Instance {
    /// The process id of the proxy.
    pub(crate) pid: u32,
    /// The port of the proxy on 127.0.0.1.
    pub(crate) port: u16,
    /// The process id of the emulator.
    pub(crate) emulator_pid: u32,
    /// The port of the emulator on 127.0.0.1.
    pub(crate) emulator_port: u16,
    /// The port of the name server on 127.0.0.1.
    pub(crate) dns_port: u16,
    /// Since when it is ready (RFC 3339, UTC).
    pub(crate) started: String,
    /// The access key without which it answers nothing but calls of deployed APIs.
    pub(crate) access_key: String,
}

impl Instance {
    /// The endpoint to set as `AWS_ENDPOINT_URL`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The shell lines that point AWS clients at it. The secret key is not looked at, so it is the same.
    pub(crate) fn shell_lines(&self) -> String {
        format!(
            "export AWS_ENDPOINT_URL={}\nexport AWS_ACCESS_KEY_ID={key}\nexport AWS_SECRET_ACCESS_KEY={key}\n\
             export AWS_EC2_METADATA_DISABLED=true\nexport DRCTL_DNS_SERVER=127.0.0.1:{}\n\
             unset AWS_PROFILE AWS_SESSION_TOKEN\n",
            self.endpoint(),
            self.dns_port,
            key = self.access_key
        )
    }

    /// Records the instance in its folder.
    pub(crate) fn record(&self, folder: &Path) -> Result<(), Error> {
        let path = record_path(folder);
        let draft = path.with_extension("draft");
        let text = serde_json::to_vec_pretty(self).expect("an instance has only plain fields");
        let mut how = fs::OpenOptions::new();
        let file = how.create(true).write(true).truncate(true).mode(0o600).open(&draft);
        file.and_then(|mut file| file.write_all(&text)).map_err(Error::file("write", &draft))?;
        fs::rename(&draft, &path).map_err(Error::file("write", &path))
    }

    /// The instance that runs in `folder` and answers, if any.
    pub(crate) fn running(folder: &Path) -> Option<Self> {
        let recorded: Self = serde_json::from_slice(&fs::read(record_path(folder)).ok()?).ok()?;
        let answered = ask_health(&recorded)?;
        (answered == recorded).then_some(recorded)
    }
}

/// Forgets the instance recorded in the folder.
pub(crate) fn forget(folder: &Path) {
    // A record that stays behind is no instance: its process does not answer.
    let _ = fs::remove_file(record_path(folder));
}

/// Takes the folder for this process; `None` when another has it.
pub(crate) fn lock(folder: &Path) -> Result<Option<File>, Error> {
    create(folder)?;
    let path = folder.join("lock");
    let file = File::create(&path).map_err(Error::file("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(Error::file("lock", &path)(error)),
    }
}

/// Creates the folder of an instance, which is nobody else's.
pub(crate) fn create(folder: &Path) -> Result<(), Error> {
    let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.map_err(Error::file("create", folder))
}

fn record_path(folder: &Path) -> PathBuf {
    folder.join("instance.json")
}

/// Asks whoever listens on the recorded port which instance it is.
fn ask_health(recorded: &Instance) -> Option<Instance> {
    let Instance { port, access_key, .. } = recorded;
    let timeout = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, *port).into(), timeout).ok()?;
    stream.set_read_timeout(Some(timeout)).ok()?;
    let request = format!(
        "GET /_local-aws/health HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{}: {access_key}\r\n\r\n",
        access::KEY_HEADER
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 1.
    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        assert!(held.is_some());
        assert!(lock(folder.path()).unwrap().is_none());
        drop(held);
        assert!(lock(folder.path()).unwrap().is_some());
    }

    /// Invariant 2.
    #[test]
    fn a_record_whose_process_does_not_answer_is_no_instance() {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let instance = Instance {
            pid: 1,
            port,
            emulator_pid: 2,
            emulator_port: 3,
            dns_port: 4,
            started: "now".to_owned(),
            access_key: "k".to_owned(),
        };
        instance.record(folder.path()).unwrap();
        assert_eq!(Instance::running(folder.path()), None);
    }
}
