//! A cloud and a disk that outlive runs, and the runs themselves: each a process of its own, in virtual time.
//!
//! A crash drops everything but the cloud and the disk. The time goes on from run to run, without a pause between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use drctl_core::address::Address;
use drctl_core::aws::tags;
use drctl_core::changes::{self, ChangeSet};
use drctl_core::engine::event::{Action, Event, Events};
use drctl_core::engine::executor::{Execution, RunReport};
use drctl_core::engine::operations::operations;
use drctl_core::engine::recover;
use drctl_core::engine::run::{self, End, Goal, RunError};
use drctl_core::engine::scheduler::Limits;
use drctl_core::engine::shutdown::Shutdown;
use drctl_core::error::Failure;
use drctl_core::kind::Surroundings;
use drctl_core::reference::resolve;
use drctl_core::state::memory::Memory;
use drctl_core::state::{self, Deployment, Entry, Hold, Holder, Medium, Record, Records, StateError, Status, Store};
use drctl_core::topology::Topology;
use jiff::Timestamp;
use tokio::time::Instant;

use super::cloud::{self, Cloud, Deed};
use super::is_replay;
use super::kinds::{OfThread, kinds};

/// The suffix of every simulated deployment.
pub(crate) const SUFFIX: &str = "sim";

/// Who runs them all.
static HOLDER: LazyLock<Holder> = LazyLock::new(|| Holder::current("simulation"));

/// What a run is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command<'a> {
    /// Make it be so.
    Up(&'a Topology),
    /// Make it be so, and remove the twins of what is on record.
    UpWithoutTwins(&'a Topology),
    /// Remove everything.
    Down,
    /// Make the state anew from what AWS has, as `state rebuild` does.
    Rebuild(&'a Topology),
}

/// How a run ended.
pub(crate) enum Ended {
    /// The process died.
    Crashed,
    /// There was no deployment.
    Nothing,
    /// The state could not be opened.
    Closed(StateError),
    /// The state was made anew.
    Rebuilt(Result<(), RunError>),
    /// The run came to its end.
    Run {
        /// What the engine says.
        result: Box<Result<End, RunError>>,
        /// How the state was kept.
        kept: Result<(), StateError>,
        /// What could not be recorded.
        unrecorded: Vec<(Address, Entry)>,
        /// How long it took, in virtual time.
        elapsed: Duration,
    },
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crashed => f.write_str("the process died"),
            Self::Nothing => f.write_str("there was no deployment"),
            Self::Closed(error) => write!(f, "the state could not be opened: {error}"),
            Self::Rebuilt(result) => write!(f, "the state was made anew: {result:?}"),
            Self::Run { result, kept, unrecorded, elapsed } => {
                match result.as_ref() {
                    Err(error) => write!(f, "{error:?}")?,
                    Ok(end) => {
                        for change in end.set.changing() {
                            let fields: Vec<_> = change.differences.iter().map(|found| &found.field).collect();
                            writeln!(f, "  {} {} {fields:?}", change.action, change.address)?;
                        }
                        let RunReport { failed, deferred, skipped, stopped, not_started, .. } = &end.report;
                        for (operation, error) in failed {
                            writeln!(f, "  failed: {operation}: {error}")?;
                        }
                        let other = [deferred.len(), skipped.len(), stopped.len(), not_started.len()];
                        writeln!(f, "  deferred, skipped, stopped, not started: {other:?}")?;
                    }
                }
                write!(f, "  kept: {kept:?}, unrecorded: {unrecorded:?}, after {elapsed:?}")
            }
        }
    }
}

impl Ended {
    /// Tells whether everything was done.
    pub(crate) fn is_success(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Run { result, kept, .. } => {
                kept.is_ok() && result.as_ref().as_ref().is_ok_and(|end| end.report.is_complete())
            }
            Self::Rebuilt(result) => result.is_ok(),
            Self::Crashed | Self::Closed(_) => false,
        }
    }

    /// What the run did.
    pub(crate) fn end(&self) -> &End {
        match self {
            Self::Run { result, .. } => result.as_ref().as_ref().expect("the run began its operations"),
            other => panic!("the run did not come to its end: {other:?}"),
        }
    }

    /// How long the run took.
    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Self::Run { elapsed, .. } => *elapsed,
            other => panic!("the run did not come to its end: {other:?}"),
        }
    }
}

/// Everything that outlives a run.
pub(crate) struct World {
    /// The cloud.
    pub(crate) cloud: Cloud,
    /// The disk.
    pub(crate) disk: Memory,
}

impl World {
    /// Nothing yet.
    pub(crate) fn new(seed: u64) -> Self {
        let disk = Memory::new();
        Self { cloud: Cloud::new(seed, disk.clone()), disk }
    }

    /// The same world once more.
    pub(crate) fn fork(&self) -> Self {
        Self { cloud: self.cloud.clone(), disk: self.disk.fork() }
    }

    /// Runs `up`, permitting everything.
    pub(crate) fn up(&mut self, topology: &Topology) -> Ended {
        self.run(Command::Up(topology))
    }

    /// Runs `down`, permitting everything.
    pub(crate) fn down(&mut self) -> Ended {
        self.run(Command::Down)
    }

    /// Runs a command in a process of its own.
    pub(crate) fn run(&mut self, command: Command<'_>) -> Ended {
        self.run_with(command, &Limits::default(), |_| Ok(()))
    }

    /// Runs a command with limits and a permit.
    pub(crate) fn run_with(
        &mut self,
        command: Command<'_>,
        limits: &Limits,
        permit: impl FnOnce(&ChangeSet) -> Result<(), Failure>,
    ) -> Ended {
        let is_told = is_replay();
        if is_told {
            println!("{}", self.cloud.story(command));
            if let Ok(snapshot) = state::read(&self.disk, SUFFIX) {
                for (address, record) in snapshot.records.iter().filter(|(_, record)| record.status != Status::Ready) {
                    let (status, id) = (record.status.word(), &record.outputs["id"]);
                    println!("  on record: {address} {status}, {id}, since {}", record.updated_at);
                }
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without input and output needs nothing");
        let (mut cloud, disk) = (std::mem::replace(&mut self.cloud, Cloud::new(0, Memory::new())), self.disk.clone());
        let ended = runtime.block_on(async {
            cloud.restart(disk.clone());
            let (dead, shutdown) = (cloud.dead.clone(), cloud.shutdown.clone());
            cloud::install(cloud);
            let stop = async {
                shutdown.first().await;
                cloud::cloud(|cloud| cloud.stopped = Some(cloud.now()));
                pending().await
            };
            tokio::select! {
                biased;
                () = dead.notified() => Ended::Crashed,
                ended = stop => ended,
                ended = process(command, &disk, limits, permit) => ended,
            }
        });
        let ended = if self.disk.is_crashed() { Ended::Crashed } else { ended };
        runtime.block_on(async { cloud::cloud(Cloud::rest) });
        drop(runtime);
        self.cloud = cloud::take();
        self.disk.restart();
        if is_told {
            println!("{ended:?}\n");
        }
        assert_eq!(self.cloud.violations, Vec::<String>::new(), "the engine did what it may never do");
        self.check_run(&ended);
        ended
    }

    /// Checks what holds after every run, however it ended.
    fn check_run(&self, ended: &Ended) {
        let Ended::Run { result, unrecorded, .. } = ended else { return };
        if let Some(at) = self.cloud.interrupted {
            let late = self.cloud.begin.saturating_sub(at);
            assert!(
                late <= Duration::from_secs(5),
                "invariant 9: out {late:?} after the signal or the end of the credentials"
            );
        }
        let Ok(end) = result.as_ref() else { return };
        let report = &end.report;
        let all = report.succeeded.len() + report.failed.len() + report.skipped.len() + report.not_started.len();
        let operations = operations(&end.set).len();
        assert_eq!(all + report.stopped.len() + report.deferred.len(), operations, "every operation is accounted for");
        let failed = report.failed.iter().map(|(operation, _)| operation);
        let causes: BTreeSet<_> =
            failed.chain(report.deferred.iter().map(|(operation, ..)| operation)).map(|one| &one.address).collect();
        for (operation, because) in &report.skipped {
            assert!(causes.contains(because), "invariant 8: {operation} was skipped because of {because}");
        }
        if self.cloud.interrupted.is_none() && !self.cloud.disk_failed {
            let left: Vec<_> = report.not_started.iter().chain(&report.stopped).collect();
            assert!(left.is_empty(), "invariant 8: nothing kept these from being done: {left:?}");
        }

        let records = self.records();
        for operation in report.succeeded.iter().filter(|operation| operation.action != Action::Delete) {
            let is_ready = records.get(&operation.address).is_some_and(|record| record.status == Status::Ready);
            assert!(is_ready, "invariant 2: {operation} counts as done, and its record does not say so");
        }
        let told: BTreeSet<&str> = unrecorded.iter().filter_map(|(_, entry)| entry.outputs()?["id"].as_str()).collect();
        for (id, object) in self.cloud.live() {
            let Some(address) = &object.address else { continue };
            let Some(record) = records.get(address) else { panic!("invariant 4: {address}, {id}, is forgotten") };
            // An id that nobody ever heard of is found again by the intent.
            let is_known = record.outputs["id"] == id.as_str() || told.contains(id.as_str());
            assert!(
                is_known || !record.is_identified(),
                "invariant 3: {id} of {address} is neither on record nor told"
            );
        }
    }

    /// What is on record.
    pub(crate) fn records(&self) -> Records {
        match state::read(&self.disk, SUFFIX) {
            Ok(snapshot) => snapshot.records,
            Err(StateError::NotFound { .. }) => Records::new(),
            Err(error) => panic!("the state is not readable: {error}"),
        }
    }

    /// Takes all that is on disk away.
    pub(crate) fn lose_files(&self) {
        let files = self.disk.list().expect("memory can be listed");
        files.iter().for_each(|name| self.disk.take(name));
    }

    /// The ids of the objects of an address.
    pub(crate) fn ids(&self, address: &Address) -> Vec<String> {
        let ours = self.cloud.live().filter(|(_, object)| object.address.as_ref() == Some(address));
        ours.map(|(id, _)| id.clone()).collect()
    }

    /// Checks that exactly the desired objects exist, each once and as desired, and that the state says so.
    #[track_caller]
    pub(crate) fn check_is(&self, topology: &Topology) {
        let records = self.records();
        let mut by_address: BTreeMap<&Address, Vec<&String>> = BTreeMap::new();
        for (id, object) in self.cloud.live() {
            if let Some(address) = &object.address {
                by_address.entry(address).or_default().push(id);
            }
        }
        let there: BTreeSet<&Address> = by_address.keys().copied().collect();
        assert_eq!(there, topology.resources.keys().collect(), "invariant 4: the objects are the desired ones");
        assert_eq!(records.keys().collect::<BTreeSet<_>>(), there, "the records are the desired ones");
        let output = |address: &Address, field: &str| {
            let id = by_address[address][0];
            self.cloud.outputs(id, &self.cloud.objects[id]).get(field).cloned()
        };
        for (address, resource) in &topology.resources {
            let [id] = by_address[address].as_slice() else {
                panic!("invariant 4: {address} exists more than once: {:?}", by_address[address]);
            };
            let object = &self.cloud.objects[*id];
            let kind = kinds().get(address.kind()).expect("the simulation has its kinds");
            let mut spec = kind.canonical(&resolve(&resource.spec, &output)).expect("a spec");
            let wanted_tags = spec.as_object_mut().expect("a spec is an object").remove("tags");
            assert_eq!(object.spec, spec, "{address} is as desired");
            if let Some(wanted) = wanted_tags {
                let tags = serde_json::to_value(&object.tags).expect("tags are plain data");
                assert_eq!(tags, wanted, "invariant 5: the tags of {address}");
                assert_eq!(object.tags[tags::DEPLOYMENT], SUFFIX);
            }
            let record = &records[address];
            assert_eq!(record.status, Status::Ready, "{address} is settled");
            assert_eq!(record.outputs, self.cloud.outputs(id, object), "invariant 2: the outputs of {address}");
            let references: BTreeSet<_> = record.references.iter().collect();
            assert_eq!(references, resource.references.iter().collect(), "invariant 7: the edges of {address}");
            let first: BTreeSet<_> = record.delete_after.iter().collect();
            assert_eq!(first, resource.delete_after.keys().collect(), "invariant 7: what {address} outlives");
        }
    }

    /// Checks what a `down` has left: nothing but what was protected on record before, and what that needs.
    #[track_caller]
    pub(crate) fn check_down(&self, before: &Records) {
        // What was never made protects nothing.
        let exists = |address: &Address, record: &Record| record.is_identified() || !self.ids(address).is_empty();
        let protected = before.iter().filter(|(address, record)| record.is_protected() && exists(address, record));
        let mut open: Vec<&Address> = protected.map(|(address, _)| address).collect();
        let mut kept = BTreeSet::new();
        while let Some(address) = open.pop() {
            if kept.insert(address) {
                let there =
                    |reference: &&Address| before.get(*reference).is_some_and(|record| exists(reference, record));
                open.extend(before[address].all_references().filter(there));
            }
        }
        if kept.is_empty() {
            return self.check_empty();
        }
        let records = self.records();
        let left: BTreeSet<&Address> = self.cloud.live().filter_map(|(_, object)| object.address.as_ref()).collect();
        assert!(left.is_subset(&kept), "left behind: {:?}", left.difference(&kept));
        assert!(left.iter().all(|address| records.contains_key(*address)), "invariant 4: what is left is on record");
        let deleted = self.cloud.deeds.iter().filter_map(|deed| match deed {
            Deed::Deleted(address) => Some(address),
            Deed::Made(_) => None,
        });
        for address in deleted {
            assert!(!kept.contains(address), "{address} is protected, or what is protected needs it");
        }
    }

    /// Checks that nothing of the deployment is left, its state included.
    #[track_caller]
    pub(crate) fn check_empty(&self) {
        let left: Vec<_> = self.cloud.live().filter(|(_, object)| object.address.is_some()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        let files = self.disk.list().expect("memory can be listed");
        assert!(files.is_empty(), "files left behind: {files:?}");
    }

    /// Runs `up` undisturbed and checks its result, then once more, which must do nothing.
    #[track_caller]
    pub(crate) fn finish_up(&mut self, topology: &Topology) {
        let ended = self.up(topology);
        assert!(ended.is_success(), "invariant 10: up ends in success: {ended:?}");
        self.check_is(topology);
        let again = self.up(topology);
        assert!(again.end().set.is_empty(), "a second up has no changes: {:?}", again.end().set);
        assert_eq!(self.cloud.mutations, 0, "a second up makes no mutating call");
        assert!(again.is_success());
    }

    /// Runs `down` undisturbed and checks that nothing is left but what is protected.
    #[track_caller]
    pub(crate) fn finish_down(&mut self) {
        let before = self.records();
        let ended = self.down();
        assert!(ended.is_success(), "invariant 10: down ends in success: {ended:?}");
        self.check_down(&before);
    }
}

async fn process(
    command: Command<'_>,
    disk: &Memory,
    limits: &Limits,
    permit: impl FnOnce(&ChangeSet) -> Result<(), Failure>,
) -> Ended {
    let begin = Instant::now();
    let medium: Arc<dyn Medium> = Arc::new(Disk { memory: disk.clone() });
    let holder = HOLDER.clone();
    let shutdown = cloud::cloud(|cloud| cloud.shutdown.clone());
    let surroundings = Surroundings {
        provider: Arc::new(OfThread),
        suffix: SUFFIX.to_owned(),
        account: "123456789012".to_owned(),
        stop: shutdown.token(),
        assets: Arc::default(),
    };
    if let Command::Rebuild(topology) = command {
        return Ended::Rebuilt(rebuild(topology, medium, &holder, &surroundings, &shutdown).await);
    }
    let mut opened = Store::open(medium.clone(), SUFFIX, &holder, Duration::ZERO).await;
    if matches!((&opened, command), (Err(StateError::NotFound { .. }), Command::Up(_) | Command::UpWithoutTwins(_))) {
        let deployment = Deployment { suffix: SUFFIX.to_owned(), ..Deployment::default() };
        opened = Store::create(medium, deployment, &holder, Duration::ZERO).await;
    }
    let store = match opened {
        Ok(store) => Arc::new(store),
        Err(StateError::NotFound { .. }) => return Ended::Nothing,
        Err(error) => return Ended::Closed(error),
    };
    cloud::cloud(|cloud| {
        let status = |(address, record): (Address, Arc<Record>)| (address.to_string(), record.status.word().to_owned());
        cloud.on_record = store.records().into_iter().map(status).collect();
    });
    let (events, mut told) = Events::channel();
    let execution = Arc::new(Execution {
        kinds: kinds(),
        surroundings,
        store: store.clone(),
        events,
        shutdown,
        limits: limits.clone(),
    });
    let (result, trace) = match command {
        Command::Up(topology) | Command::UpWithoutTwins(topology) => {
            let removes_twins = matches!(command, Command::UpWithoutTwins(_));
            let goal = Goal { topology, facts: &BTreeMap::new(), plan_digest: "", removes_twins };
            let result = up(&execution, goal, permit).await;
            let trace = result.as_ref().is_ok_and(|end| end.report.is_complete());
            (result, trace)
        }
        Command::Down => {
            let result = down(&execution, permit).await;
            let trace = !result.as_ref().is_ok_and(|end| end.report.is_complete());
            (result, trace)
        }
        Command::Rebuild(_) => unreachable!("a rebuild opens no state"),
    };
    while let Ok(event) = told.try_recv() {
        if let Event::Waiting { what, .. } = event {
            assert!(!what.starts_with("to "), "nobody reads: waiting 2 s for {what}");
        }
    }
    let kept = run::close(&store, trace).await;
    Ended::Run { result: Box::new(result), kept, unrecorded: store.unrecorded(), elapsed: begin.elapsed() }
}

/// What the command `state rebuild` does.
async fn rebuild(
    topology: &Topology,
    medium: Arc<dyn Medium>,
    holder: &Holder,
    surroundings: &Surroundings,
    shutdown: &Shutdown,
) -> Result<(), RunError> {
    let (kinds, unknown) = (kinds(), Records::new());
    let looked = run::look(&kinds, surroundings, &Events::unheard(), shutdown, &unknown, Some(topology)).await?;
    let set = changes::build(topology, &unknown, &looked.objects, SUFFIX, &kinds).map_err(RunError::Taken)?;
    let deployment = Deployment { suffix: SUFFIX.to_owned(), ..Deployment::default() };
    let store = Store::rebuild(medium, deployment, holder, Duration::ZERO).await?;
    recover::put_on_record(&store, &set).await?;
    Ok(store.close().await?)
}

/// What the command `up` does, with a permission instead of a question.
async fn up(
    execution: &Arc<Execution>,
    goal: Goal<'_>,
    permit: impl FnOnce(&ChangeSet) -> Result<(), Failure>,
) -> Result<End, RunError> {
    let set = run::prepare_up(execution, goal).await?;
    if !set.is_empty() {
        // A refusal ends the run as a signal does: before anything is changed.
        permit(&set).map_err(|_| RunError::Interrupted)?;
    }
    run::carry_out_up(execution, goal, set).await
}

/// What the command `down` does, with a permission instead of a question.
async fn down(
    execution: &Arc<Execution>,
    permit: impl FnOnce(&ChangeSet) -> Result<(), Failure>,
) -> Result<End, RunError> {
    let set = run::prepare_down(execution).await?;
    if !set.is_empty() {
        permit(&set).map_err(|_| RunError::Interrupted)?;
    }
    run::carry_out_down(execution, set).await
}

/// Lets the cloud know of a write that failed, after which nothing may begin.
fn noted(written: io::Result<()>) -> io::Result<()> {
    if written.is_err() {
        cloud::cloud(|cloud| cloud.disk_failed = true);
    }
    written
}

/// A disk whose clock is the virtual one, and whose journal the cloud reads along.
struct Disk {
    memory: Memory,
}

impl Medium for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.memory.read(name)
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        noted(self.memory.append(name, bytes))?;
        let text = std::str::from_utf8(bytes).expect("the journal is text");
        cloud::cloud(|cloud| text.lines().for_each(|line| cloud.record(line)));
        Ok(())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        noted(self.memory.replace(name, bytes))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        noted(self.memory.remove(name))
    }

    fn lock(&self, suffix: &str, holder: &Holder) -> Result<Box<dyn Hold>, StateError> {
        self.memory.lock(suffix, holder)
    }

    fn unlock(&self, suffix: &str) -> Result<Option<Holder>, StateError> {
        self.memory.unlock(suffix)
    }

    fn locate(&self, name: &str) -> String {
        self.memory.locate(name)
    }

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + cloud::cloud(|cloud| cloud.now())
    }

    fn is_instant(&self) -> bool {
        true
    }
}
