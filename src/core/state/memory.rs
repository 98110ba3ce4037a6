//! A medium in memory whose writes can be made to fail or to be the last before a crash, for tests and simulations.
//!
//! Invariants:
//! 1. Without a fault it keeps the promises of [`Medium`].
//! 2. A fault happens at one durable write, chosen by its number, and leaves what a real disk may leave: nothing of the
//!    write, a part of it (of an append only), or all of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::durable::{Hold, Medium};
use super::error::StateError;
use super::lock::Holder;

/// How much of a faulty write reaches the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing.
    None,
    /// The first bytes of an append; nothing of a replacement or a removal.
    Part(usize),
    /// Everything, though the writer is not told so.
    Whole,
}

/// What happens at one durable write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The number of the write, counted from 1 over the life of the medium.
    pub at: u64,
    /// How much of it reaches the disk.
    pub effect: Effect,
    /// The error that the writer sees.
    pub error: io::ErrorKind,
    /// Whether every later call fails too, until [`Memory::restart`].
    pub crash: bool,
}

/// Files in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    files: BTreeMap<String, Vec<u8>>,
    locks: BTreeMap<String, Holder>,
    starts: u64,
    writes: u64,
    bytes: u64,
    fault: Option<Fault>,
    crashed: bool,
}

impl Memory {
    /// A medium without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of durable writes so far: appends, replacements and removals.
    pub fn writes(&self) -> u64 {
        self.disk().writes
    }

    /// The number of bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.disk().bytes
    }

    /// Lets one write go wrong; replaces a fault that was set before.
    pub fn sabotage(&self, fault: Fault) {
        self.disk().fault = Some(fault);
    }

    /// Tells whether a fault with `crash` has happened.
    pub fn is_crashed(&self) -> bool {
        self.disk().crashed
    }

    /// Starts the machine anew: the files are as they were left, all locks are free, no fault is set.
    pub fn restart(&self) {
        let mut disk = self.disk();
        disk.crashed = false;
        disk.fault = None;
        disk.locks.clear();
        disk.starts += 1;
    }

    /// A medium of its own with the same files, as the next run would find them.
    #[must_use]
    pub fn fork(&self) -> Self {
        let fork = Self { disk: Arc::new(Mutex::new(self.disk().clone())) };
        fork.restart();
        fork
    }

    /// The content of a file.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.disk().files.get(name).cloned()
    }

    /// Gives a file new content, as a person with an editor would.
    pub fn put(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.disk().files.insert(name.to_owned(), bytes.into());
    }

    /// Takes a file away, as a person would.
    pub fn take(&self, name: &str) {
        self.disk().files.remove(name);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a write and tells how much of it takes effect and what its writer is told.
    fn write(&self, length: usize, act: impl FnOnce(&mut Disk, Effect)) -> io::Result<()> {
        let mut disk = self.disk();
        if disk.crashed {
            return Err(io::Error::other("the machine has crashed"));
        }
        disk.writes += 1;
        disk.bytes += length as u64;
        match disk.fault.filter(|fault| fault.at == disk.writes) {
            Some(fault) => {
                disk.crashed = fault.crash;
                act(&mut disk, fault.effect);
                Err(fault.error.into())
            }
            None => {
                act(&mut disk, Effect::Whole);
                Ok(())
            }
        }
    }
}

impl Medium for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.disk().files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.get(name))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes.len(), |disk, effect| {
            let length = match effect {
                Effect::None => return,
                Effect::Part(length) => length.min(bytes.len()),
                Effect::Whole => bytes.len(),
            };
            disk.files.entry(name.to_owned()).or_default().extend_from_slice(&bytes[..length]);
        })
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes.len(), |disk, effect| {
            if effect == Effect::Whole {
                disk.files.insert(name.to_owned(), bytes.to_owned());
            }
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.write(0, |disk, effect| {
            if effect == Effect::Whole {
                disk.files.remove(name);
            }
        })
    }

    fn lock(&self, suffix: &str, holder: &Holder) -> Result<Box<dyn Hold>, StateError> {
        let mut disk = self.disk();
        if let Some(holder) = disk.locks.get(suffix) {
            return Err(StateError::Locked { suffix: suffix.to_owned(), holder: Some(Box::new(holder.clone())) });
        }
        disk.locks.insert(suffix.to_owned(), holder.clone());
        let hold = MemoryLock { memory: self.clone(), suffix: suffix.to_owned(), start: disk.starts };
        Ok(Box::new(hold))
    }

    fn unlock(&self, suffix: &str) -> Result<Option<Holder>, StateError> {
        match self.disk().locks.get(suffix).cloned() {
            Some(holder) => Err(StateError::Locked { suffix: suffix.to_owned(), holder: Some(Box::new(holder)) }),
            None => Ok(None),
        }
    }

    fn locate(&self, name: &str) -> String {
        format!("memory:{name}")
    }

    /// A clock that depends on nothing but the number of writes, so that equal runs write equal bytes.
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_millis(i64::try_from(self.writes()).unwrap_or(i64::MAX))
    }

    fn is_instant(&self) -> bool {
        true
    }
}

struct MemoryLock {
    memory: Memory,
    suffix: String,
    start: u64,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut disk = self.memory.disk();
        // After a restart the lock may be somebody else's.
        if disk.starts == self.start {
            disk.locks.remove(&self.suffix);
        }
    }
}

impl Hold for MemoryLock {
    fn remove(self: Box<Self>) -> Result<(), StateError> {
        Ok(())
    }
}
