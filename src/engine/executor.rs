//! Carries out operations: the only part of drctl that runs things side by side.
//!
//! The scheduler decides, the executor does: it starts what the scheduler returns, each as a task, tells it how each ended, and
//! tells the watchers. What an operation does is always the same: intent, call, result, each durable before the next.
//!
//! Invariants (numbers as in `engine`):
//! 1. The intent is durable before the kind is called.
//! 2. The result is durable before the scheduler hears of it, and so before any dependent starts.
//! 3. After a write that failed nothing starts any more.
//! 9. After the first interrupt nothing starts, waits end, and what is in flight gets [`GRACE`] to be recorded.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::event::{Event, Events, Outcome};
use super::observe::observe_one;
use super::scheduler::{self, Action, Limits, Operation, OperationId, Scheduler};
use super::shutdown::Shutdown;
use crate::address::Address;
use crate::aws::{Error, Tags};
use crate::changes::{Change, ChangeSet};
use crate::reference::{is_known, resolve};
use crate::resources::{AnyKind, AnyObject, AnyWanted, Context, Deletion, Kinds, Observer, Surroundings, Task};
use crate::state::{Desired, Entry, Intent, Record, StateError, Store};
use crate::topology::Resource;

/// How long calls in flight may take to be recorded after the first interrupt.
const GRACE: Duration = Duration::from_secs(5);

/// How often an operation looks again and goes on after an answer was lost.
const TRIES: u32 = 4;

/// What an execution needs.
pub struct Execution {
    /// The kinds.
    pub kinds: Kinds,
    /// Clients and identity.
    pub surroundings: Surroundings,
    /// The state.
    pub store: Arc<Store>,
    /// Who watches.
    pub events: Events,
    /// When to stop.
    pub shutdown: Shutdown,
    /// How many operations may run at once.
    pub limits: Limits,
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct RunReport {
    /// What was done.
    pub succeeded: Vec<Operation>,
    /// The root causes.
    pub failed: Vec<(Operation, Error)>,
    /// What AWS lets happen only later: until when, and why.
    pub deferred: Vec<(Operation, jiff::Timestamp, String)>,
    /// What was not begun because of a failure or deferral, and the root cause of each.
    pub skipped: Vec<(Operation, Address)>,
    /// What an interrupt cut short.
    pub stopped: Vec<Operation>,
    /// What an interrupt kept from beginning.
    pub not_started: Vec<Operation>,
    /// How long it took.
    pub elapsed: Duration,
}

impl RunReport {
    /// Tells whether everything was done.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty()
            && self.deferred.is_empty()
            && self.skipped.is_empty()
            && self.stopped.is_empty()
            && self.not_started.is_empty()
    }
}

/// Carries out the operations of a change set.
///
/// # Panics
/// When the operations wait for each other in a circle: a fault in drctl.
pub async fn execute(execution: Arc<Execution>, set: Arc<ChangeSet>, operations: Vec<Operation>) -> RunReport {
    let scheduler = Scheduler::new(operations, &execution.limits).expect("operations follow the graph");
    Run::new(execution, set, scheduler).finish().await
}

/// How one operation ended.
type Ending = Result<Done, Error>;

enum Done {
    Succeeded,
    Deferred(jiff::Timestamp, String),
}

struct Run {
    execution: Arc<Execution>,
    set: Arc<ChangeSet>,
    outputs: Outputs,
    scheduler: Scheduler,
    tasks: JoinSet<(OperationId, Ending)>,
    started: BTreeMap<OperationId, Instant>,
    owners: HashMap<tokio::task::Id, OperationId>,
    endings: BTreeMap<OperationId, Ending>,
}

impl Run {
    fn new(execution: Arc<Execution>, set: Arc<ChangeSet>, scheduler: Scheduler) -> Self {
        let outputs = Outputs::of(&set);
        let (started, owners, endings) = (BTreeMap::new(), HashMap::new(), BTreeMap::new());
        Self { execution, set, outputs, scheduler, tasks: JoinSet::new(), started, owners, endings }
    }

    async fn finish(mut self) -> RunReport {
        let begin = Instant::now();
        let expected = self.scheduler.estimate(|_| Duration::ZERO);
        self.execution.events.tell(Event::Begun { operations: self.scheduler.len(), expected });
        let ready = self.scheduler.start();
        self.start(ready);
        let mut deadline = None;
        while !self.tasks.is_empty() {
            let limit = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
            tokio::select! {
                Some(joined) = self.tasks.join_next() => match joined {
                    Ok((id, ending)) => self.end(id, ending),
                    // A task that panicked is a fault in drctl; its record stays in flight and the next run settles it.
                    Err(fault) => self.lose(&fault),
                },
                () = self.execution.shutdown.first(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + GRACE);
                    self.execution.events.tell(Event::Interrupted { running: self.tasks.len() });
                    self.scheduler.on(scheduler::Event::Interrupt);
                }
                () = sleep_until(limit), if deadline.is_some() => self.tasks.abort_all(),
            }
        }
        self.report(begin.elapsed())
    }

    fn start(&mut self, ready: Vec<OperationId>) {
        for id in ready {
            let operation = self.scheduler.operation(id).clone();
            self.started.insert(id, Instant::now());
            self.execution.events.tell(Event::Started {
                address: operation.address.clone(),
                action: operation.action,
                expected: operation.expected,
            });
            let work = Work {
                execution: self.execution.clone(),
                change: self.set.changes[&operation.address].clone(),
                outputs: self.outputs.clone(),
                operation,
            };
            let handle = self.tasks.spawn(async move { (id, work.run().await) });
            self.owners.insert(handle.id(), id);
        }
    }

    fn end(&mut self, id: OperationId, ending: Ending) {
        let event = match &ending {
            Ok(Done::Succeeded) => scheduler::Event::Succeeded(id),
            Ok(Done::Deferred(..)) => scheduler::Event::Deferred(id),
            Err(Error::Interrupted) => scheduler::Event::Stopped(id),
            Err(_) => scheduler::Event::Failed(id),
        };
        let outcome = match &ending {
            Ok(Done::Succeeded) => Outcome::Succeeded,
            Ok(Done::Deferred(until, reason)) => Outcome::Deferred { until: *until, reason: reason.clone() },
            Err(Error::Interrupted) => Outcome::Stopped,
            Err(error) => Outcome::Failed { error: error.to_string() },
        };
        let elapsed = self.started.get(&id).map(Instant::elapsed).unwrap_or_default();
        self.tell_end(id, outcome, elapsed);
        self.endings.insert(id, ending);
        let ready = self.scheduler.on(event);
        if self.execution.store.failure().is_some() {
            self.scheduler.on(scheduler::Event::Interrupt);
        } else {
            self.start(ready);
        }
    }

    fn lose(&mut self, fault: &tokio::task::JoinError) {
        let id = self.owners[&fault.id()];
        let error = match fault.is_cancelled() {
            true => Error::Interrupted,
            false => Error::Failed(format!("internal error: {fault}")),
        };
        self.end(id, Err(error));
    }

    fn tell_end(&self, id: OperationId, outcome: Outcome, elapsed: Duration) {
        let operation = self.scheduler.operation(id);
        let (address, action) = (operation.address.clone(), operation.action);
        self.execution.events.tell(Event::Ended { address, action, outcome, elapsed });
    }

    fn report(mut self, elapsed: Duration) -> RunReport {
        let end = self.scheduler.report();
        let operation = |id: OperationId| self.scheduler.operation(id).clone();
        let skipped: Vec<_> = end.skipped.iter().chain(&end.skipped_as_deferred).copied().collect();
        for skip in &skipped {
            let because = operation(skip.because).address;
            self.tell_end(skip.operation, Outcome::Skipped { because }, Duration::ZERO);
        }
        let mut report = RunReport {
            succeeded: end.succeeded.iter().copied().map(operation).collect(),
            skipped: skipped.iter().map(|skip| (operation(skip.operation), operation(skip.because).address)).collect(),
            stopped: end.stopped.iter().copied().map(operation).collect(),
            not_started: end.not_started.iter().copied().map(operation).collect(),
            elapsed,
            ..RunReport::default()
        };
        for (id, ending) in std::mem::take(&mut self.endings) {
            match ending {
                Ok(Done::Deferred(until, reason)) => {
                    report.deferred.push((self.scheduler.operation(id).clone(), until, reason));
                }
                Err(error) if !matches!(error, Error::Interrupted) => {
                    report.failed.push((self.scheduler.operation(id).clone(), error));
                }
                _ => {}
            }
        }
        report
    }
}

/// The outputs of every resource that exists, as references are resolved by them.
#[derive(Clone, Default)]
struct Outputs(Arc<Mutex<BTreeMap<Address, Value>>>);

impl Outputs {
    fn of(set: &ChangeSet) -> Self {
        let known = set
            .changes
            .iter()
            .filter_map(|(address, change)| Some((address.clone(), change.object.as_ref()?.outputs.clone())));
        Self(Arc::new(Mutex::new(known.collect())))
    }

    fn set(&self, address: &Address, outputs: Value) {
        self.0.lock().expect("no code panics while it holds this lock").insert(address.clone(), outputs);
    }

    fn resolve(&self, spec: &Value) -> Value {
        let known = self.0.lock().expect("no code panics while it holds this lock");
        resolve(spec, &|address, field| known.get(address)?.get(field).cloned())
    }
}

/// One operation at work.
struct Work {
    execution: Arc<Execution>,
    change: Change,
    outputs: Outputs,
    operation: Operation,
}

impl Work {
    async fn run(self) -> Ending {
        let ending = match self.operation.action {
            Action::Delete => self.delete().await,
            Action::Create | Action::Adopt | Action::Update => self.make().await,
        };
        if let Err(error) = &ending
            && !matches!(error, Error::Interrupted | Error::Unrecorded(_))
        {
            // The failure itself is worth keeping, but a failure to keep it must not hide it.
            let _ = self.record(Entry::Failed { error: error.to_string() }).await;
        }
        ending
    }

    async fn make(&self) -> Ending {
        let start = Instant::now();
        let resource = self.change.desired.as_ref().expect("only what is desired is made");
        let kind = self.kind();
        let spec = self.outputs.resolve(&resource.spec);
        if !is_known(&spec) {
            let missing = crate::reference::references(&spec);
            let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
            return Err(Error::Failed(format!("it needs outputs that are not there: {}", missing.join(", "))));
        }
        let spec = kind.canonical(&spec)?;
        let (intent, token) = self.intent(desired(resource, &spec));
        self.record(Entry::Intended(intent)).await?;
        let mut object = match self.change.action {
            crate::changes::Action::Replace => None,
            _ => self.change.object.clone(),
        };
        let mut tries = 0;
        let outputs = loop {
            let task = self.task(kind, &spec, &token);
            match kind.ensure(&task, &spec, object).await {
                Ok(outputs) => break outputs,
                Err(error) if error.is_uncertain() && tries < TRIES && !self.execution.shutdown.is_requested() => {
                    tries += 1;
                    self.pause(&format!("to look again after: {error}"), tries).await;
                    object = self.look_again(&spec).await?;
                }
                Err(error) => return Err(error),
            }
        };
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.record(Entry::Done { outputs: outputs.clone(), milliseconds }).await?;
        self.outputs.set(&self.operation.address, outputs);
        Ok(Done::Succeeded)
    }

    fn intent(&self, desired: Desired) -> (Intent, String) {
        let record = self.execution.store.get(&self.operation.address);
        let kept = record
            .and_then(|record| record.token.clone())
            .filter(|_| self.change.action != crate::changes::Action::Replace);
        let token = kept.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let intent = match self.operation.action {
            Action::Adopt => Intent::Adopt { desired },
            Action::Update => Intent::Update { desired },
            Action::Create | Action::Delete => Intent::Create { token: token.clone(), desired },
        };
        (intent, token)
    }

    async fn look_again(&self, spec: &Value) -> Result<Option<AnyObject>, Error> {
        let record = self.execution.store.get(&self.operation.address);
        let outputs = record.filter(|record| record.is_identified()).map(|record| record.outputs.clone());
        let wanted = AnyWanted { address: self.operation.address.clone(), spec: spec.clone(), outputs };
        observe_one(&self.execution.kinds, &self.execution.surroundings, wanted).await
    }

    async fn delete(&self) -> Ending {
        let address = &self.operation.address;
        let record = self.execution.store.get(address).expect("only what is on record is deleted");
        if !record.is_identified() {
            // Nothing is known of an object: it was looked for when the run began, and not found.
            self.record(Entry::Deleted).await?;
            return Ok(Done::Succeeded);
        }
        self.record(Entry::Intended(Intent::Delete)).await?;
        let kind = self.kind();
        let token = record.token.clone().unwrap_or_default();
        let mut tries = 0;
        loop {
            let task = self.task(kind, &record.spec, &token);
            match kind.delete(&task, &record.spec, &record.outputs).await {
                Ok(Deletion::Gone) => {
                    self.record(Entry::Deleted).await?;
                    return Ok(Done::Succeeded);
                }
                Ok(Deletion::Deferred { until, reason }) => {
                    self.record(Entry::Deferred { until, reason: reason.clone() }).await?;
                    return Ok(Done::Deferred(until, reason));
                }
                Err(error) if error.is_uncertain() && tries < TRIES && !self.execution.shutdown.is_requested() => {
                    tries += 1;
                    self.pause(&format!("to try again after: {error}"), tries).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn pause(&self, why: &str, tries: u32) {
        self.execution.events.tell(Event::Waiting { address: self.operation.address.clone(), what: why.to_owned() });
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(u64::from(tries))) => {}
            () = self.execution.surroundings.stop.cancelled() => {}
        }
    }

    fn kind(&self) -> &'static dyn AnyKind {
        self.execution.kinds.get(self.operation.address.kind()).expect("operations are of known kinds")
    }

    fn task<'a>(&'a self, kind: &dyn AnyKind, spec: &Value, token: &'a str) -> Task<'a> {
        let tags: Tags =
            spec.get("tags").and_then(|tags| serde_json::from_value(tags.clone()).ok()).unwrap_or_default();
        let recorded = self.change.record.as_ref().and_then(|record| record.spec.get("tags")?.as_object());
        let scope = self.operation.address.scope().clone();
        Task {
            context: Context::new(self.execution.surroundings.clone(), scope, kind.traits()),
            address: &self.operation.address,
            tags,
            recorded_tags: recorded.into_iter().flat_map(|tags| tags.keys().cloned()).collect(),
            token,
            observer: self,
        }
    }

    async fn record(&self, entry: Entry) -> Result<(), Error> {
        let written = self.execution.store.record(&self.operation.address, entry).await;
        written.map_err(|error: StateError| Error::Unrecorded(error.to_string()))
    }
}

impl Observer for Work {
    fn waiting(&self, address: &Address, what: &str) {
        self.execution.events.tell(Event::Waiting { address: address.clone(), what: what.to_owned() });
    }

    fn identified<'a>(&'a self, address: &'a Address, outputs: Value) -> BoxFuture<'a, Result<(), String>> {
        let written = self.execution.store.record(address, Entry::Identified { outputs });
        async move { written.await.map_err(|error| error.to_string()) }.boxed()
    }
}

/// What the record of a resource says it shall be.
pub fn desired(resource: &Resource, spec: &Value) -> Desired {
    Desired {
        stack: resource.stack.to_string(),
        spec: spec.clone(),
        references: resource.references.iter().cloned().collect(),
        delete_after: resource.delete_after.keys().cloned().collect(),
        lock_group: resource.lock_group.as_ref().map(ToString::to_string),
        data_bearing: resource.data_bearing,
        protected: resource.protected,
    }
}

/// Tells whether a record already says all that a resource's place in the graph demands.
pub fn is_current(record: &Record, desired: &Desired) -> bool {
    record.stack == desired.stack
        && record.references == desired.references
        && record.delete_after == desired.delete_after
        && record.lock_group == desired.lock_group
        && record.data_bearing == desired.data_bearing
        && record.protected == desired.protected
        && record.spec == desired.spec
}
