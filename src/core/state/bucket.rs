//! State in a bucket, for all machines of a team and for CI.
//!
//! The files have the names they have in a folder. What a folder does by appending and renaming, a bucket does by
//! conditions on its writes:
//!
//! - The journal is one object per append, a segment, named by its first entry and written only if there is none of that
//!   name. Two runs can never both go on after the same entry.
//! - The state file is replaced only if it is still as this run read it, or wrote it.
//! - The lock is a lease (`lease.rs`).
//!
//! Invariants:
//! 1. A write whose answer was lost is found out, not guessed: the object is read, and is ours if it has our content.
//! 2. Segments are removed only up to the last that this run read or wrote. The one by which a run took over keeps the
//!    place of the run before, and so stays until that one has surely ended ([`GUARDED`]), though it says nothing any more.
//! 3. The bucket itself is its owner's: it is neither made, set up nor removed.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::durable::{Hold, Journal, Medium, Names, Segment};
use super::error::StateError;
use super::journal::{self, Item};
use super::lease::{self, LeaseHold};
use super::lock::Holder;
use super::objects::{ObjectError, Objects, Only};

/// For how long a write is tried again whose answers are lost. Less than a lease lasts: who cannot write for longer must
/// stop anyway.
const PATIENCE: Duration = Duration::from_secs(45);

/// The first pause before something is tried again; each is twice as long as the one before, up to the longest.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long the place of a run is kept that did not give its lease back. Its heart tells it within seconds, and a request of
/// its that is on the way is refused by S3 a quarter of an hour after it was signed.
const GUARDED: Duration = Duration::from_secs(60 * 60);

/// How often the segments are listed again because a run folded its journal meanwhile.
const LISTINGS: usize = 10;

/// A place in an object store. Clones share what they know of it.
#[derive(Clone)]
pub struct Bucket {
    objects: Arc<dyn Objects>,
    known: Arc<Mutex<Known>>,
}

/// What this run has seen of the objects.
#[derive(Default)]
struct Known {
    /// The tag of each file that was read or written; nothing for one that was not there.
    tags: HashMap<String, Option<String>>,
    /// The first entry of the last segment that was read or written, by journal.
    last: HashMap<String, u64>,
    /// The segments that keep the place of a run before.
    guards: HashSet<String>,
}

impl Bucket {
    /// Keeps state among these objects.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects, known: Arc::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a segment that was read, or written just now.
    fn saw(&self, name: &str, text: &[u8], age: Duration) {
        let Some((journal, first)) = Names::segment_in(name) else { return };
        let mut known = self.known();
        let last = known.last.entry(journal.to_owned()).or_default();
        *last = first.max(*last);
        let is_takeover = journal::first_line(text).is_some_and(|line| matches!(line.item, Item::Takeover { .. }));
        if is_takeover && age < GUARDED {
            known.guards.insert(name.to_owned());
        }
    }

    /// Removes the segments that this run has seen, except those that are to be kept.
    fn remove_segments(&self, journal: &str, is_kept: impl Fn(&Known, &str) -> bool) -> io::Result<()> {
        let segments = self.segments(journal)?;
        let names: Vec<_> = {
            let known = self.known();
            let last = known.last.get(journal).copied().unwrap_or(0);
            let seen = segments.into_iter().filter(|(first, name)| *first <= last && !is_kept(&known, name));
            seen.map(|(_, name)| name).collect()
        };
        Ok(self.patiently(|| self.objects.delete_all(&names))?)
    }

    /// Writes an object, or finds out that it was written (invariant 1).
    fn put(&self, name: &str, bytes: &[u8], only: Only<'_>) -> Result<String, ObjectError> {
        self.patiently(|| match self.objects.put(name, bytes, only) {
            Err(error) if matches!(error, ObjectError::Unmet) || error.is_passing() => match self.objects.get(name)? {
                Some(object) if object.bytes == bytes => Ok(object.tag),
                _ => Err(error),
            },
            done => done,
        })
    }

    /// Tries something again that did not fail for good.
    fn patiently<T>(&self, attempt: impl Fn() -> Result<T, ObjectError>) -> Result<T, ObjectError> {
        let deadline = self.objects.clock() + PATIENCE;
        let mut pause = PAUSE;
        loop {
            match attempt() {
                Err(error) if error.is_passing() && self.objects.clock() < deadline => self.objects.pause(pause),
                done => return done,
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    fn segments(&self, journal: &str) -> Result<Vec<(u64, String)>, ObjectError> {
        let names = self.objects.list(&format!("{journal}."))?;
        let segments = names.into_iter().filter_map(|name| {
            let (of, first) = Names::segment_in(&name)?;
            (of == journal).then_some((first, name))
        });
        let mut segments: Vec<_> = segments.collect();
        segments.sort();
        Ok(segments)
    }

    /// The segments of a journal. If one is gone before it is read, a run has folded them all into the state file.
    fn read_segments(&self, journal: &str) -> Result<Vec<Segment>, ObjectError> {
        for _ in 0..LISTINGS {
            let (firsts, names): (Vec<u64>, Vec<String>) = self.segments(journal)?.into_iter().unzip();
            let objects = self.objects.get_all(&names)?;
            let Some(objects) = objects.into_iter().collect::<Option<Vec<_>>>() else { continue };
            for (name, object) in names.iter().zip(&objects) {
                self.saw(name, &object.bytes, object.age);
            }
            let segments = firsts.into_iter().zip(objects);
            return Ok(segments.map(|(first, object)| Segment { first, text: object.bytes }).collect());
        }
        Err(crate::aws::Error::Failed("its segments change faster than they can be read".to_owned()).into())
    }
}

impl Medium for Bucket {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.objects.list("")?;
        for name in &mut names {
            if let Some((journal, _)) = Names::segment_in(name) {
                *name = journal.to_owned();
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        if name.ends_with(".journal") {
            let segments = self.read_segments(name)?;
            return Ok((!segments.is_empty()).then(|| segments.into_iter().flat_map(|segment| segment.text).collect()));
        }
        let object = self.objects.get(name)?;
        self.known().tags.insert(name.to_owned(), object.as_ref().map(|object| object.tag.clone()));
        Ok(object.map(|object| object.bytes))
    }

    fn journal(&self, name: &str) -> io::Result<Journal> {
        Ok(Journal::Segments(self.read_segments(name)?))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let first = journal::first_line(bytes).expect("what is appended begins with a whole line");
        let suffix = Names::suffix_in(name).expect("journals belong to a deployment");
        let name = Names::of(suffix).segment(first.serial);
        self.put(&name, bytes, Only::IfAbsent)?;
        self.saw(&name, bytes, Duration::ZERO);
        Ok(())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let known = self.known().tags.get(name).cloned();
        let only = match &known {
            None => Only::Always,
            Some(None) => Only::IfAbsent,
            Some(Some(tag)) => Only::IfSame(tag),
        };
        let tag = self.put(name, bytes, only)?;
        self.known().tags.insert(name.to_owned(), Some(tag));
        Ok(())
    }

    fn drop_folded(&self, journal: &str) -> io::Result<()> {
        self.remove_segments(journal, |known, name| known.guards.contains(name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if name.ends_with(".journal") {
            return self.remove_segments(name, |_, _| false);
        }
        let known = self.known().tags.remove(name).flatten();
        match known {
            Some(tag) => Ok(self.patiently(|| match self.objects.delete(name, &tag) {
                // Gone is as good as removed, and what somebody else wrote is not ours to remove.
                Err(ObjectError::Unmet) if self.objects.get(name)?.is_none() => Ok(()),
                done => done,
            })?),
            None => Ok(self.patiently(|| self.objects.delete_all(&[name.to_owned()]))?),
        }
    }

    fn lock(&self, suffix: &str, holder: &Holder) -> Result<Box<dyn Hold>, StateError> {
        LeaseHold::take(&self.objects, suffix, holder).map(|hold| Box::new(hold) as Box<dyn Hold>)
    }

    fn unlock(&self, suffix: &str) -> Result<Option<Holder>, StateError> {
        lease::end(self.objects.as_ref(), suffix, false)
    }

    fn unlock_by_force(&self, suffix: &str) -> Result<Option<Holder>, StateError> {
        lease::end(self.objects.as_ref(), suffix, true)
    }

    fn lock_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn locate(&self, name: &str) -> String {
        self.objects.locate(name)
    }

    fn is_instant(&self) -> bool {
        self.objects.is_instant()
    }
}
