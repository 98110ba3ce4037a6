//! The store of one deployment, as the engine sees it.
//!
//! Reading is cheap and never waits for a disk; writing is a future that ends when the entry is durable.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::durable::{Hold, Medium, Names};
use super::error::StateError;
use super::journal::{self, Effect, Item, Line};
use super::lease::Lease;
use super::load::{self, Loaded};
use super::lock::Holder;
use super::status::{Entry, Record};
use super::version::{Deployment, Records, Snapshot, hex};
use super::writer::{Job, Reply, Shared, Writer};
use crate::address::Address;

/// The state of one deployment, held by this run alone.
///
/// Dropping the store gives the lock back and leaves the journal as it is, which is safe; [`Store::close`] also folds it.
pub struct Store {
    medium: Arc<dyn Medium>,
    shared: Arc<Shared>,
    lease: Option<Lease>,
    desk: Desk,
}

/// Where jobs are handed in.
enum Desk {
    Inline(Box<Mutex<Writer>>),
    Thread { queue: Option<mpsc::Sender<Job>>, thread: Option<JoinHandle<()>> },
}

impl Store {
    /// Begins a new deployment, after waiting at most `wait` for its lock.
    ///
    /// # Errors
    /// [`StateError::Exists`] when any file of a deployment with that suffix is there; [`StateError::Locked`] or
    /// [`StateError::Write`] when the files cannot be had or written.
    pub async fn create(
        medium: Arc<dyn Medium>,
        mut deployment: Deployment,
        holder: &Holder,
        wait: Duration,
    ) -> Result<Self, StateError> {
        let suffix = deployment.suffix.clone();
        let hold = take_lock(medium.as_ref(), &suffix, holder, wait).await?;
        // What was read as absent is written only if it still is.
        load::read_file(medium.as_ref(), &Names::of(&suffix).snapshot)?;
        let names = load::list(medium.as_ref())?;
        if let Some(name) = names.iter().find(|name| Names::suffix_in(name) == Some(&suffix)) {
            return Err(StateError::Exists { path: medium.locate(name), suffix });
        }
        deployment.lineage = lineage(medium.as_ref(), &suffix, holder);
        Self::start(medium, Snapshot { deployment, ..Snapshot::default() }, hold, true)
    }

    /// Opens a deployment for writing, after waiting at most `wait` for its lock. Entries that an earlier run left in
    /// the journal are folded into the state file.
    ///
    /// # Errors
    /// When there is no such deployment, another run holds it, or its files are damaged; see [`StateError`].
    pub async fn open(
        medium: Arc<dyn Medium>,
        suffix: &str,
        holder: &Holder,
        wait: Duration,
    ) -> Result<Self, StateError> {
        // Without a deployment there is nothing to lock, and no lock file is left behind.
        load::exists(medium.as_ref(), suffix)?;
        let hold = take_lock(medium.as_ref(), suffix, holder, wait).await?;
        loop {
            let Loaded { mut snapshot, must_fold } = load::load(medium.as_ref(), suffix)?;
            if !hold.is_takeover() {
                return Self::start(medium, snapshot, hold, must_fold);
            }
            let serial = snapshot.serial + 1;
            if seal(medium.as_ref(), suffix, serial, holder)? {
                snapshot.apply(serial, Effect::Nothing);
                return Self::start(medium, snapshot, hold, true);
            }
        }
    }

    /// Begins a deployment anew whose files are lost or damaged, without any record; what was there is kept beside it
    /// as `*.damaged`. The caller then records what it observes.
    ///
    /// # Errors
    /// When another run holds the deployment, or a file cannot be read or written.
    pub async fn rebuild(
        medium: Arc<dyn Medium>,
        mut deployment: Deployment,
        holder: &Holder,
        wait: Duration,
    ) -> Result<Self, StateError> {
        let hold = take_lock(medium.as_ref(), &deployment.suffix, holder, wait).await?;
        deployment.lineage = lineage(medium.as_ref(), &deployment.suffix, holder);
        let serial = outdate(medium.as_ref(), &deployment.suffix, hold.as_ref(), holder)?;
        Self::start(medium, Snapshot { deployment, serial, records: Records::new() }, hold, true)
    }

    /// Puts a state where its lock is held and nothing stands that may not be lost.
    pub(super) fn place(medium: Arc<dyn Medium>, snapshot: Snapshot, hold: Box<dyn Hold>) -> Result<Self, StateError> {
        Self::start(medium, snapshot, hold, true)
    }

    fn start(
        medium: Arc<dyn Medium>,
        snapshot: Snapshot,
        mut hold: Box<dyn Hold>,
        must_fold: bool,
    ) -> Result<Self, StateError> {
        hold.settle();
        let suffix = snapshot.deployment.suffix.clone();
        let is_instant = medium.is_instant();
        let lease = hold.lease();
        let shared = Arc::new(Shared::new(snapshot));
        let mut writer = Writer::new(Arc::clone(&medium), &suffix, Arc::clone(&shared), hold);
        if must_fold {
            writer.fold()?;
        }
        let desk = if is_instant {
            Desk::Inline(Box::new(Mutex::new(writer)))
        } else {
            let (queue, jobs) = mpsc::channel();
            let builder = std::thread::Builder::new().name("state".to_owned());
            let thread = builder.spawn(move || writer.run(&jobs));
            let thread = thread.map_err(|error| StateError::write(suffix, error))?;
            Desk::Thread { queue: Some(queue), thread: Some(thread) }
        };
        Ok(Self { medium, shared, lease, desk })
    }

    /// Records an entry. It is queued by the call itself, in the order of calls, and written even if the future is
    /// dropped; the future ends when the entry is durable and visible to readers.
    ///
    /// # Errors
    /// [`StateError::Illegal`] when it cannot follow what is on record (nothing is written, and the store goes on);
    /// [`StateError::Write`] when it could not be written, after which every other call is refused with
    /// [`StateError::Stopped`].
    pub fn record(
        &self,
        address: &Address,
        entry: Entry,
    ) -> impl Future<Output = Result<(), StateError>> + Send + use<> {
        self.write(Item::Entry { address: address.clone(), entry })
    }

    /// Records a fact that was resolved once for the whole deployment. See [`Store::record`].
    ///
    /// # Errors
    /// As for [`Store::record`].
    pub fn set_fact(&self, name: &str, value: Value) -> impl Future<Output = Result<(), StateError>> + Send + use<> {
        self.write(Item::Fact { fact: name.to_owned(), value })
    }

    /// Records which plan this run makes so, and its regions. See [`Store::record`].
    ///
    /// # Errors
    /// As for [`Store::record`].
    pub fn set_plan(
        &self,
        digest: &str,
        regions: &[String],
    ) -> impl Future<Output = Result<(), StateError>> + Send + use<> {
        self.write(Item::Plan { plan_digest: digest.to_owned(), regions: regions.to_vec() })
    }

    /// Everything that is durable now. Costs one pointer per record.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.look(Snapshot::clone)
    }

    /// The deployment as a whole.
    pub fn deployment(&self) -> Deployment {
        self.shared.look(|snapshot| snapshot.deployment.clone())
    }

    /// What was resolved once for the whole deployment.
    pub fn facts(&self) -> BTreeMap<String, Value> {
        self.shared.look(|snapshot| snapshot.deployment.facts.clone())
    }

    /// All records.
    pub fn records(&self) -> Records {
        self.shared.look(|snapshot| snapshot.records.clone())
    }

    /// The record of one address.
    pub fn get(&self, address: &Address) -> Option<Arc<Record>> {
        self.shared.look(|snapshot| snapshot.records.get(address).cloned())
    }

    /// The time by the clock that stamps the entries.
    pub fn now(&self) -> Timestamp {
        self.medium.now()
    }

    /// The lease under which this run writes, if its lock is one.
    pub fn lease(&self) -> Option<Lease> {
        self.lease.clone()
    }

    /// Ends, in time, all waiting for this store.
    pub fn abandonment(&self) -> Abandonment {
        Abandonment(self.shared.abandoned().clone())
    }

    /// Waits until every entry that was handed in is durable or refused, or nobody waits for that any more. An entry whose future
    /// was dropped may still be on its way.
    pub async fn settle(&self) {
        // What was refused is told where it was handed in, and in the report.
        let _ = self.hear(self.ask(None, Job::Settle)).await;
    }

    /// The first write that failed, if one did.
    pub fn failure(&self) -> Option<StateError> {
        self.shared.cause()
    }

    /// Every entry that could not be recorded, or not before the run had to end, in the order of the calls. Their outputs may exist
    /// nowhere else, so they must be shown.
    pub fn unrecorded(&self) -> Vec<(Address, Entry)> {
        self.shared.unrecorded()
    }

    /// Folds the journal into the state file and gives the lock back. A second call does nothing.
    ///
    /// # Errors
    /// When that failed, or when a write had failed before; what was recorded is safe in either case.
    pub async fn close(&self) -> Result<(), StateError> {
        self.hear(self.ask(None, Job::Close)).await
    }

    /// Removes every file of a deployment that has no records left, and closes the store.
    ///
    /// # Errors
    /// [`StateError::NotGone`] while there are records; [`StateError::Write`] when a file could not be removed.
    pub async fn remove(&self) -> Result<(), StateError> {
        self.hear(self.ask(None, Job::Remove)).await
    }

    fn write(&self, item: Item) -> impl Future<Output = Result<(), StateError>> + Send + use<> {
        let number = self.shared.hand_in(&item);
        self.hear(self.ask(number, |reply| Job::Write(Box::new(item), reply)))
    }

    /// Waits for the writer's answer, unless nobody waits for it any more. It always comes, unless the writer panicked.
    fn hear(&self, answer: Answer) -> impl Future<Output = Result<(), StateError>> + Send + use<> {
        let abandoned = self.shared.abandoned().clone();
        async move {
            tokio::select! {
                biased;
                answer = answer => answer.unwrap_or(Err(StateError::Closed)),
                () = abandoned.cancelled() => Err(StateError::Abandoned),
            }
        }
    }

    fn ask(&self, number: Option<u64>, job: impl FnOnce(Reply) -> Job) -> Answer {
        let (sender, answer) = oneshot::channel();
        let reply = Reply { answer: sender, number };
        match &self.desk {
            Desk::Inline(writer) => writer.lock().unwrap_or_else(PoisonError::into_inner).work([job(reply)]),
            Desk::Thread { queue, .. } => {
                let queue = queue.as_ref().expect("the queue is there until the store is dropped");
                // A job comes back only if the writer panicked. Its entry is then one that was not recorded.
                if let Err(mpsc::SendError(Job::Write(item, reply))) = queue.send(job(reply)) {
                    self.shared.refuse(item, reply, StateError::Closed);
                }
            }
        }
        answer
    }
}

type Answer = oneshot::Receiver<Result<(), StateError>>;

/// The end of all waiting for a store: a run that was asked to stop is out in time, however slow the medium is.
#[derive(Clone, Debug)]
pub struct Abandonment(CancellationToken);

impl Abandonment {
    /// Lets nobody wait for the store any more. What is not durable by then counts as unrecorded; nothing else is lost, because the
    /// journal says everything that the state file does not, and a lease that is not given back ends by itself.
    pub fn abandon(&self) {
        self.0.cancel();
    }
}

impl Drop for Store {
    /// Waits for the writer, so that everything that was queued is durable and the lock is free afterwards; unless nobody waits for
    /// it any more.
    fn drop(&mut self) {
        let is_abandoned = self.shared.abandoned().is_cancelled();
        if let Desk::Thread { queue, thread } = &mut self.desk {
            drop(queue.take());
            if let Some(thread) = thread.take().filter(|_| !is_abandoned) {
                // If the writer panicked, the one who waited for its answer has been told.
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (suffix, serial) = self.shared.look(|snapshot| (snapshot.deployment.suffix.clone(), snapshot.serial));
        f.debug_struct("Store").field("suffix", &suffix).field("serial", &serial).finish_non_exhaustive()
    }
}

/// Takes the lock, after waiting at most `wait` for it.
///
/// A lease may be that of a run that is no more. So even who may not wait is refused only when the lease has been seen to
/// be renewed; until then it is waited for, which is no longer than it lasts.
pub(super) async fn take_lock(
    medium: &dyn Medium,
    suffix: &str,
    holder: &Holder,
    wait: Duration,
) -> Result<Box<dyn Hold>, StateError> {
    let deadline = Instant::now().checked_add(wait);
    let interval = medium.lock_interval();
    let mut seen = None;
    loop {
        let left = deadline.map_or(interval, |deadline| deadline.saturating_duration_since(Instant::now()));
        let (refused, is_doubtful) = match medium.lock(suffix, holder) {
            Err(refused @ StateError::Locked { .. }) => (refused, false),
            Err(StateError::Leased(leased)) => {
                let is_doubtful = *seen.get_or_insert_with(|| leased.beat.clone()) == leased.beat;
                (StateError::Leased(leased), is_doubtful)
            }
            taken => return taken,
        };
        match (left.is_zero(), is_doubtful) {
            (true, false) => return Err(refused),
            (true, true) => tokio::time::sleep(interval).await,
            (false, _) => tokio::time::sleep(left.min(interval)).await,
        }
    }
}

/// Takes the place in the journal at which the run before would go on, so that nothing of it that is still on the way can
/// be added any more. Tells whether it did; if not, a last write of that run came first, and is to be read.
pub(super) fn seal(medium: &dyn Medium, suffix: &str, serial: u64, holder: &Holder) -> Result<bool, StateError> {
    let journal = Names::of(suffix).journal;
    let item = Item::Takeover { taken_over_by: Box::new(holder.clone()) };
    match medium.append(&journal, &Line { serial, time: medium.now(), item }.encode()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(StateError::write(medium.locate(&journal), error)),
    }
}

/// Keeps what is there of a deployment as `*.damaged`, and returns the serial of a state that is later than every copy and
/// every line that is left, so that none of them counts any more.
pub(super) fn outdate(medium: &dyn Medium, suffix: &str, hold: &dyn Hold, holder: &Holder) -> Result<u64, StateError> {
    let names = Names::of(suffix);
    loop {
        for name in [&names.snapshot, &names.journal] {
            if let Some(bytes) = load::read_file(medium, name)? {
                let kept = Names::damaged(name);
                let written = medium.replace(&kept, &bytes);
                written.map_err(|error| StateError::write(medium.locate(&kept), error))?;
            }
        }
        let journal = load::read_file(medium, &names.journal)?.unwrap_or_default();
        let newest_copy = load::copies(medium, &names)?.pop().unwrap_or(0);
        let serial = newest_copy.max(journal::last_serial(&journal)) + 1;
        if !hold.is_takeover() || seal(medium, suffix, serial, holder)? {
            return Ok(serial);
        }
    }
}

/// What tells two deployments of one name apart. No process makes two of one name at the same millisecond.
fn lineage(medium: &dyn Medium, suffix: &str, holder: &Holder) -> String {
    let birth = format!("{suffix} {} {} {} {}", medium.now(), holder.host, holder.process, holder.started);
    hex(&Sha256::digest(birth)[..16])
}
