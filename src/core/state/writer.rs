//! The one writer of a deployment: checks entries, makes them durable together, folds the journal.
//!
//! It runs on a thread of its own, so that waiting for a disk never holds up the run; on a medium whose writes take no
//! time it runs inside the call, which keeps simulations free of threads.
//!
//! Invariants:
//! 1. Entries become durable in the order in which they were given, whole batches with one sync.
//! 2. Readers see a batch after it is durable, and before any of its writers is answered.
//! 3. After the first failure nothing is written any more, and every entry refused is kept for the report.
//! 4. A slow medium never holds the process: once the run has to be out, nobody waits for the writer, and every entry that is not
//!    answered by then is kept for the report as well, though it may become durable yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, mpsc};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::durable::{COPIES, Hold, Medium, Names};
use super::error::StateError;
use super::journal::{Effect, Item, Line};
use super::load;
use super::status::{Entry, Record};
use super::version::{self, Snapshot};
use crate::address::Address;

/// Where the answer to a job goes. The one who waits may be gone; the job is done all the same.
pub(super) struct Reply {
    pub(super) answer: oneshot::Sender<Result<(), StateError>>,
    /// The number of the entry that is answered for, if it is one.
    pub(super) number: Option<u64>,
}

/// What the writer is asked to do.
pub(super) enum Job {
    /// Make something durable.
    Write(Box<Item>, Reply),
    /// Answer when everything handed in before is answered.
    Settle(Reply),
    /// Fold the journal and give the lock back.
    Close(Reply),
    /// Remove all files of a deployment without records.
    Remove(Reply),
}

/// What the writer shows to the readers.
#[derive(Default)]
pub(super) struct Shared {
    snapshot: RwLock<Snapshot>,
    failure: Mutex<Failure>,
    open: Mutex<Open>,
    /// Cancelled when nobody waits for the writer any more.
    abandoned: CancellationToken,
}

/// Entries that were handed in and are not answered.
#[derive(Default)]
struct Open {
    handed_in: u64,
    entries: BTreeMap<u64, (Address, Entry)>,
}

#[derive(Default)]
struct Failure {
    cause: Option<StateError>,
    unrecorded: Vec<(Address, Entry)>,
}

impl Shared {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot: RwLock::new(snapshot), ..Self::default() }
    }

    /// Looks at what is durable.
    pub(super) fn look<T>(&self, read: impl FnOnce(&Snapshot) -> T) -> T {
        read(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn cause(&self) -> Option<StateError> {
        self.failure().cause.clone()
    }

    /// What was refused; and what is not answered either, once nobody waits for that any more.
    pub(super) fn unrecorded(&self) -> Vec<(Address, Entry)> {
        let mut unrecorded = self.failure().unrecorded.clone();
        if self.abandoned.is_cancelled() {
            unrecorded.extend(self.open().entries.values().cloned());
        }
        unrecorded
    }

    /// A token that is cancelled when nobody waits for the writer any more.
    pub(super) fn abandoned(&self) -> &CancellationToken {
        &self.abandoned
    }

    /// Keeps an entry in mind until it is answered, and returns its number.
    pub(super) fn hand_in(&self, item: &Item) -> Option<u64> {
        let Item::Entry { address, entry } = item else { return None };
        let mut open = self.open();
        open.handed_in += 1;
        let number = open.handed_in;
        open.entries.insert(number, (address.clone(), entry.clone()));
        Some(number)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> MutexGuard<'_, Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn refuse(&self, item: Box<Item>, reply: Reply, why: StateError) {
        if let Item::Entry { address, entry } = *item {
            self.failure().unrecorded.push((address, entry));
        }
        self.answer(reply, Err(why));
    }

    fn answer(&self, reply: Reply, result: Result<(), StateError>) {
        if let Some(number) = reply.number {
            self.open().entries.remove(&number);
        }
        // Whoever asked may have been dropped.
        let _ = reply.answer.send(result);
    }
}

/// The writer of one deployment.
pub(super) struct Writer {
    medium: Arc<dyn Medium>,
    names: Names,
    shared: Arc<Shared>,
    /// The lines in the journal.
    lines: usize,
    /// The lock; without it the writer is closed.
    hold: Option<Box<dyn Hold>>,
}

impl Writer {
    pub(super) fn new(medium: Arc<dyn Medium>, suffix: &str, shared: Arc<Shared>, hold: Box<dyn Hold>) -> Self {
        Self { medium, names: Names::of(suffix), shared, lines: 0, hold: Some(hold) }
    }

    /// Does jobs until nobody can send one any more.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            self.work(std::iter::once(first).chain(queue.try_iter()));
        }
    }

    /// Does the jobs in their order; neighbouring writes become durable together.
    pub(super) fn work(&mut self, jobs: impl IntoIterator<Item = Job>) {
        let mut batch = Vec::new();
        for job in jobs {
            match job {
                Job::Write(item, reply) => batch.push((item, reply)),
                Job::Settle(reply) => {
                    self.commit(std::mem::take(&mut batch));
                    self.shared.answer(reply, Ok(()));
                }
                Job::Close(reply) => {
                    self.commit(std::mem::take(&mut batch));
                    let closed = self.close();
                    self.shared.answer(reply, closed);
                }
                Job::Remove(reply) => {
                    self.commit(std::mem::take(&mut batch));
                    let removed = self.remove();
                    self.shared.answer(reply, removed);
                }
            }
        }
        self.commit(batch);
    }

    fn commit(&mut self, batch: Vec<(Box<Item>, Reply)>) {
        if batch.is_empty() {
            return;
        }
        if let Err(why) = self.usable() {
            return batch.into_iter().for_each(|(item, reply)| self.shared.refuse(item, reply, why.clone()));
        }
        let Staged { text, effects, accepted } = self.stage(batch);
        if accepted.is_empty() {
            return;
        }
        let appended = self.medium.append(&self.names.journal, &text);
        let appended = appended.map_err(|error| self.fail(&self.names.journal, error));
        // Durable is what the next run is sure to see: not what was written when the lock may have been lost.
        if let Err(why) = appended.and_then(|()| self.check()) {
            return accepted.into_iter().for_each(|(item, reply)| self.shared.refuse(item, reply, why.clone()));
        }
        self.lines += accepted.len();
        {
            let mut snapshot = self.shared.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            effects.into_iter().for_each(|(serial, effect)| snapshot.apply(serial, effect));
        }
        for (_, reply) in accepted {
            self.shared.answer(reply, Ok(()));
        }
        if self.lines > self.bound() {
            // The entries are durable; a failure here is told to the next one who writes, and to `close`.
            let _ = self.fold();
        }
    }

    /// Checks entries against what is on record and against those before them in the batch; answers the illegal ones.
    fn stage(&self, batch: Vec<(Box<Item>, Reply)>) -> Staged {
        self.shared.look(|snapshot| {
            let mut staged = Staged::default();
            let mut touched: HashMap<Address, Option<Arc<Record>>> = HashMap::new();
            for (item, reply) in batch {
                let serial = snapshot.serial + 1 + staged.accepted.len() as u64;
                let line = Line { serial, time: self.medium.now(), item: *item };
                let record = line.address().and_then(|address| match touched.get(address) {
                    Some(record) => record.as_deref(),
                    None => snapshot.records.get(address).map(AsRef::as_ref),
                });
                match line.effect(record) {
                    Ok(effect) => {
                        if let Effect::Record(address, record) = &effect {
                            touched.insert(address.clone(), record.clone());
                        }
                        staged.text.extend(line.encode());
                        staged.effects.push((serial, effect));
                        staged.accepted.push((Box::new(line.item), reply));
                    }
                    Err(source) => {
                        let address = line.address().cloned().expect("only entries about a resource can be illegal");
                        self.shared.answer(reply, Err(StateError::Illegal { address, source }));
                    }
                }
            }
            staged
        })
    }

    /// The lines the journal may have. In proportion to the records, so that folding it, which costs as much as all
    /// records, adds the same small share to every entry whatever the size of the deployment.
    fn bound(&self) -> usize {
        self.shared.look(|snapshot| (4 * snapshot.records.len()).max(4096))
    }

    /// Writes the state file anew and drops the journal it then contains.
    ///
    /// The order matters: a crash after any step leaves files that together say the same.
    pub(super) fn fold(&mut self) -> Result<(), StateError> {
        let (serial, text) = self.shared.look(|snapshot| (snapshot.serial, version::encode(snapshot)));
        self.replace(&self.names.snapshot, &text)?;
        self.replace(&self.names.copy(serial), &text)?;
        self.check()?;
        let dropped = self.medium.drop_folded(&self.names.journal);
        dropped.map_err(|error| self.fail(&self.names.journal, error))?;
        self.lines = 0;
        let copies = load::copies(self.medium.as_ref(), &self.names)?;
        for &old in copies.iter().rev().skip(COPIES) {
            self.delete(&self.names.copy(old))?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), StateError> {
        let done = match self.usable() {
            Ok(()) if self.lines > 0 => self.fold(),
            Err(StateError::Closed) => return Ok(()),
            usable => usable,
        };
        self.let_go();
        done
    }

    /// Removes the state file last: until then, what is left is a deployment without records.
    fn remove(&mut self) -> Result<(), StateError> {
        self.usable()?;
        let (suffix, count) = self.shared.look(|snapshot| (snapshot.deployment.suffix.clone(), snapshot.records.len()));
        if count > 0 {
            return Err(StateError::NotGone { suffix, count });
        }
        self.fold()?;
        for name in load::list(self.medium.as_ref())? {
            if self.names.has(&name) && name != self.names.snapshot {
                self.delete(&name)?;
            }
        }
        self.delete(&self.names.snapshot)?;
        self.hold.take().map_or(Ok(()), Hold::remove)
    }

    fn usable(&self) -> Result<(), StateError> {
        match self.shared.cause() {
            Some(cause) => Err(StateError::Stopped { source: Box::new(cause) }),
            None if self.hold.is_none() => Err(StateError::Closed),
            None => self.check(),
        }
    }

    /// Checks that the lock is still held.
    fn check(&self) -> Result<(), StateError> {
        let checked = self.hold.as_ref().map_or(Ok(()), |hold| hold.check());
        checked.map_err(|why| self.stop(why))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.check()?;
        self.medium.replace(name, bytes).map_err(|error| self.fail(name, error))
    }

    fn delete(&self, name: &str) -> Result<(), StateError> {
        self.check()?;
        self.medium.remove(name).map_err(|error| self.fail(name, error))
    }

    fn fail(&self, name: &str, error: std::io::Error) -> StateError {
        self.stop(StateError::write(self.medium.locate(name), error))
    }

    /// Remembers the first failure, after which nothing is written any more.
    fn stop(&self, why: StateError) -> StateError {
        self.shared.failure().cause.get_or_insert(why).clone()
    }

    /// Gives the lock back, unless a write of this run may still be on the way.
    fn let_go(&mut self) {
        if let Some(mut hold) = self.hold.take()
            && self.shared.cause().is_some()
        {
            hold.abandon();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// A batch that may be written.
#[derive(Default)]
struct Staged {
    text: Vec<u8>,
    effects: Vec<(u64, Effect)>,
    accepted: Vec<(Box<Item>, Reply)>,
}
