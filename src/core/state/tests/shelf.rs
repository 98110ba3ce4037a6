//! An object store in memory with the conditions of S3: it loses answers, delivers writes late, and crashes, and its clock
//! goes only when it is told to.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::crash::Machine;
use crate::aws;
use crate::state::memory::{Effect, Fault};
use crate::state::version::hex;
use crate::state::{Bucket, Hold, Holder, Journal, Medium, Object, ObjectError, Objects, Only, StateError};

/// Longer than a lease.
const LONG: Duration = Duration::from_secs(100);

/// Objects in memory. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Shelf {
    shared: Arc<Mutex<Inner>>,
    /// What the clock of this machine shows, if it stands still.
    asleep_at: Option<Duration>,
}

#[derive(Clone, Default)]
struct Inner {
    objects: BTreeMap<String, Kept>,
    now: Duration,
    writes: u64,
    takeovers: u64,
    fault: Option<Fault>,
    is_crashed: bool,
    /// Whether answers are lost, before a request arrives.
    is_cut_off: bool,
    on_the_way: Vec<Write>,
}

#[derive(Clone)]
struct Kept {
    bytes: Vec<u8>,
    tag: String,
    written: Duration,
}

#[derive(Clone)]
enum Write {
    Put { name: String, bytes: Vec<u8>, only: Condition },
    Delete { name: String, tag: Option<String> },
}

#[derive(Clone)]
enum Condition {
    Always,
    IfAbsent,
    IfSame(String),
}

impl Shelf {
    pub(super) fn advance(&self, length: Duration) {
        self.inner().now += length;
    }

    /// The same objects as a machine sees them that sleeps from now on: its clock stands still.
    pub(super) fn asleep(&self) -> Self {
        Self { shared: self.shared.clone(), asleep_at: Some(self.clock()) }
    }

    pub(super) fn cut_off(&self, is_cut_off: bool) {
        self.inner().is_cut_off = is_cut_off;
    }

    pub(super) fn sabotage(&self, fault: Fault) {
        self.inner().fault = Some(fault);
    }

    pub(super) fn writes(&self) -> u64 {
        self.inner().writes
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.inner().objects.keys().cloned().collect()
    }

    pub(super) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.inner().objects.get(name).map(|kept| kept.bytes.clone())
    }

    /// Changes an object as a person would, or removes it.
    pub(super) fn set(&self, name: &str, bytes: Option<Vec<u8>>) {
        let mut inner = self.inner();
        match bytes {
            Some(bytes) => drop(inner.apply(&Write::Put { name: name.to_owned(), bytes, only: Condition::Always })),
            None => drop(inner.objects.remove(name)),
        }
    }

    /// What was on the way arrives.
    pub(super) fn arrive(&self) {
        let mut inner = self.inner();
        for write in std::mem::take(&mut inner.on_the_way) {
            // Nobody waits for the answer any more.
            let _ = inner.apply(&write);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock().expect("not poisoned")
    }

    fn write(&self, write: &Write) -> Result<String, ObjectError> {
        let mut inner = self.inner();
        inner.check()?;
        inner.writes += 1;
        let Some(fault) = inner.fault.filter(|fault| fault.at == inner.writes) else { return inner.apply(write) };
        inner.is_crashed = fault.crash;
        match fault.effect {
            Effect::None => {}
            Effect::Part(_) => inner.on_the_way.push(write.clone()),
            Effect::Whole => drop(inner.apply(write)),
        }
        Err(no_answer())
    }
}

impl Inner {
    fn check(&self) -> Result<(), ObjectError> {
        if self.is_crashed || self.is_cut_off { Err(no_answer()) } else { Ok(()) }
    }

    fn apply(&mut self, write: &Write) -> Result<String, ObjectError> {
        match write {
            Write::Put { name, bytes, only } => {
                let there = self.objects.get(name).map(|kept| &kept.tag);
                let is_met = match only {
                    Condition::Always => true,
                    Condition::IfAbsent => there.is_none(),
                    Condition::IfSame(tag) => there == Some(tag),
                };
                if !is_met {
                    return Err(ObjectError::Unmet);
                }
                if bytes.windows(16).any(|window| window == b"\"taken_over_by\":") {
                    self.takeovers += 1;
                }
                // As in S3, equal contents have equal tags.
                let tag = hex(&Sha256::digest(bytes));
                self.objects.insert(name.clone(), Kept { bytes: bytes.clone(), tag: tag.clone(), written: self.now });
                Ok(tag)
            }
            Write::Delete { name, tag } => {
                let there = self.objects.get(name).map(|kept| &kept.tag);
                if tag.is_some() && there != tag.as_ref() {
                    return Err(ObjectError::Unmet);
                }
                self.objects.remove(name);
                Ok(String::new())
            }
        }
    }
}

fn no_answer() -> ObjectError {
    aws::Error::NoAnswer { operation: "s3:PutObject".to_owned(), cause: "the connection broke".to_owned() }.into()
}

impl Objects for Shelf {
    fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let inner = self.inner();
        inner.check()?;
        Ok(inner.objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn get(&self, name: &str) -> Result<Option<Object>, ObjectError> {
        let inner = self.inner();
        inner.check()?;
        let object = |kept: &Kept| Object {
            bytes: kept.bytes.clone(),
            tag: kept.tag.clone(),
            // S3 tells whole seconds.
            age: Duration::from_secs(inner.now.as_secs() - kept.written.as_secs()),
        };
        Ok(inner.objects.get(name).map(object))
    }

    fn put(&self, name: &str, bytes: &[u8], only: Only<'_>) -> Result<String, ObjectError> {
        let only = match only {
            Only::Always => Condition::Always,
            Only::IfAbsent => Condition::IfAbsent,
            Only::IfSame(tag) => Condition::IfSame(tag.to_owned()),
        };
        self.write(&Write::Put { name: name.to_owned(), bytes: bytes.to_owned(), only })
    }

    fn delete(&self, name: &str, tag: &str) -> Result<(), ObjectError> {
        self.write(&Write::Delete { name: name.to_owned(), tag: Some(tag.to_owned()) }).map(drop)
    }

    /// One by one, as S3 may do it, so that a crash leaves some of them.
    fn delete_all(&self, names: &[String]) -> Result<(), ObjectError> {
        names.iter().try_for_each(|name| self.write(&Write::Delete { name: name.clone(), tag: None }).map(drop))
    }

    fn locate(&self, name: &str) -> String {
        format!("s3://shelf/{name}")
    }

    fn clock(&self) -> Duration {
        self.asleep_at.unwrap_or_else(|| self.inner().now)
    }

    fn pause(&self, length: Duration) {
        self.advance(length);
    }

    fn is_instant(&self) -> bool {
        true
    }
}

/// A machine with its state on a shelf: when it starts anew, it knows nothing of what it saw there. Clones share it.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) shelf: Shelf,
    bucket: Arc<Mutex<Bucket>>,
}

impl Remote {
    pub(super) fn on(shelf: &Shelf) -> Self {
        let bucket = Bucket::new(Arc::new(shelf.clone()));
        Self { shelf: shelf.clone(), bucket: Arc::new(Mutex::new(bucket)) }
    }

    fn bucket(&self) -> Bucket {
        self.bucket.lock().expect("not poisoned").clone()
    }
}

impl Machine for Remote {
    fn new() -> Self {
        Self::on(&Shelf::default())
    }

    fn writes(&self) -> u64 {
        self.shelf.writes()
    }

    fn sabotage(&self, fault: Fault) {
        self.shelf.sabotage(fault);
    }

    fn restart(&self) {
        let mut inner = self.shelf.inner();
        let arrives_now = matches!(inner.fault, Some(Fault { effect: Effect::Part(0), .. }));
        inner.is_crashed = false;
        inner.fault = None;
        drop(inner);
        if arrives_now {
            self.shelf.arrive();
        }
        self.shelf.advance(LONG);
        *self.bucket.lock().expect("not poisoned") = Bucket::new(Arc::new(self.shelf.clone()));
    }

    fn arrive(&self) {
        // The next run took over itself; a takeover that comes after it changes nothing.
        let takeovers = self.takeovers();
        self.shelf.arrive();
        self.shelf.inner().takeovers = takeovers;
    }

    fn fork(&self) -> Self {
        let inner = self.shelf.inner().clone();
        let fork = Self::on(&Shelf { shared: Arc::new(Mutex::new(inner)), asleep_at: None });
        fork.restart();
        fork
    }

    fn takeovers(&self) -> u64 {
        self.shelf.inner().takeovers
    }
}

impl Medium for Remote {
    fn list(&self) -> io::Result<Vec<String>> {
        self.bucket().list()
    }
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.bucket().read(name)
    }
    fn journal(&self, name: &str) -> io::Result<Journal> {
        self.bucket().journal(name)
    }
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.bucket().append(name, bytes)
    }
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.bucket().replace(name, bytes)
    }
    fn drop_folded(&self, journal: &str) -> io::Result<()> {
        self.bucket().drop_folded(journal)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.bucket().remove(name)
    }
    fn lock(&self, suffix: &str, holder: &Holder) -> Result<Box<dyn Hold>, StateError> {
        self.bucket().lock(suffix, holder)
    }
    fn unlock(&self, suffix: &str) -> Result<Option<Holder>, StateError> {
        self.bucket().unlock(suffix)
    }
    fn unlock_by_force(&self, suffix: &str) -> Result<Option<Holder>, StateError> {
        self.bucket().unlock_by_force(suffix)
    }
    fn lock_interval(&self) -> Duration {
        self.bucket().lock_interval()
    }
    fn locate(&self, name: &str) -> String {
        self.bucket().locate(name)
    }
    fn is_instant(&self) -> bool {
        true
    }
}
