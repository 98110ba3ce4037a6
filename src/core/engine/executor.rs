//! Carries out operations: the only part of drctl that runs things side by side.
//!
//! The scheduler decides, the executor does: it starts what the scheduler returns, each as a task, tells it how each ended, and
//! tells the watchers. What an operation does is always the same: intent, call, result, each durable before the next.
//!
//! Invariants (numbers as in `engine`):
//! 1. The intent is durable before the kind is called.
//! 2. The result is durable before the scheduler hears of it, and so before any dependent starts.
//! 3. After a write that failed nothing starts any more; nor after a fault in drctl itself, whose extent nobody knows.
//! 9. After the first interrupt nothing starts, waits end, and what is in flight gets [`GRACE`] to be recorded. The same holds
//!    once AWS says that the credentials are gone, which is told once, however many calls it hits.

use std::collections::{BTreeMap, HashMap};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::event::{Event, Events, Outcome};
use super::observe::{ObserveError, observe_one};
use super::recover::UNSEEN;
use super::scheduler::{self, Action, Limits, Operation, OperationId, Scheduler};
use super::shutdown::{Reason, Shutdown};
use crate::address::Address;
use crate::aws::{Error, Tags};
use crate::changes::{self, Change, ChangeSet};
use crate::kind::{AnyKind, AnyObject, AnyWanted, Context, Deletion, Kinds, Observer, Surroundings, Task, Token};
use crate::reference::{is_known, resolve};
use crate::state::{Desired, Entry, Intent, StateError, Store};
use crate::topology::Resource;

/// How long calls in flight may take to be recorded once the run has to stop.
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

/// An object that says it is of the deployment, and that no record leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The address on its tags.
    pub address: Address,
    /// Its ARN.
    pub arn: String,
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
    /// What an interrupt or a failed write kept from beginning.
    pub not_started: Vec<Operation>,
    /// What was there although it was deleted, and was deleted once more.
    pub swept: Vec<Operation>,
    /// What still says that it is of the deployment after a `down`, and no record leads to.
    pub left: Vec<Leftover>,
    /// Looks that failed after everything was done: nobody knows what is left there.
    pub unseen: Vec<ObserveError>,
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
            && self.left.is_empty()
            && self.unseen.is_empty()
    }
}

impl RunReport {
    /// Lets the end of operations that were carried out once more take the place of their first one.
    pub(super) fn replace(&mut self, again: Self) {
        let ended: Vec<Address> = again
            .failed
            .iter()
            .map(|(operation, _)| operation)
            .chain(again.deferred.iter().map(|(operation, ..)| operation))
            .chain(again.skipped.iter().map(|(operation, _)| operation))
            .chain(again.stopped.iter().chain(&again.not_started))
            .map(|operation| operation.address.clone())
            .collect();
        self.succeeded.retain(|operation| !ended.contains(&operation.address));
        self.swept.extend(again.succeeded);
        self.failed.extend(again.failed);
        self.deferred.extend(again.deferred);
        self.skipped.extend(again.skipped);
        self.stopped.extend(again.stopped);
        self.not_started.extend(again.not_started);
        self.elapsed += again.elapsed;
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
        self.stop_if_asked();
        let ready = self.scheduler.start();
        self.start(ready);
        let (mut deadline, mut is_over) = (None, false);
        while !self.tasks.is_empty() {
            let limit = deadline.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = self.execution.shutdown.first(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + GRACE);
                    let running = self.tasks.len();
                    let reason = self.execution.shutdown.reason().expect("what was asked for has a reason");
                    self.execution.events.tell(Event::Stopping { reason, running });
                }
                Some(joined) = self.tasks.join_next() => match joined {
                    Ok((id, ending)) => self.end(id, ending),
                    Err(lost) => self.lose(lost),
                },
                () = sleep_until(limit), if deadline.is_some() && !is_over => {
                    is_over = true;
                    self.tasks.abort_all();
                }
            }
        }
        self.report(begin.elapsed())
    }

    /// Keeps the scheduler from starting anything more when there is a reason to.
    fn stop_if_asked(&mut self) {
        if self.execution.shutdown.is_requested() || self.execution.store.failure().is_some() {
            self.scheduler.on(scheduler::Event::Interrupt);
        }
    }

    fn start(&mut self, ready: Vec<OperationId>) {
        for id in ready {
            let operation = self.scheduler.operation(id).clone();
            self.started.insert(id, Instant::now());
            self.execution.events.tell(Event::Started {
                address: operation.address.clone(),
                action: operation.action,
                expected: operation.expected,
                chain: self.scheduler.chain(id),
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
        let ending = self.with_credentials(ending);
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
        self.stop_if_asked();
        let ready = self.scheduler.on(event);
        self.start(ready);
    }

    /// Gives up when the credentials are gone. The first to meet that is the root cause, all others were only cut short.
    fn with_credentials(&self, ending: Ending) -> Ending {
        let is_gone = ending.as_ref().is_err_and(Error::is_without_credentials);
        if is_gone && self.execution.shutdown.is_requested() {
            return Err(Error::Interrupted);
        }
        if is_gone {
            self.execution.shutdown.give_up(Reason::CredentialsGone);
        }
        ending
    }

    fn lose(&mut self, lost: JoinError) {
        let id = self.owners[&lost.id()];
        match lost.try_into_panic() {
            // Whatever panics is a fault in drctl, which ends a command before this.
            Ok(fault) => resume_unwind(fault),
            Err(_) => self.end(id, Err(Error::Interrupted)),
        }
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
        let kind = self.kind()?;
        let spec = self.outputs.resolve(&resource.spec);
        if !is_known(&spec) {
            let missing = crate::reference::references(&spec);
            let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
            return Err(Error::Failed(format!("it needs outputs that are not there: {}", missing.join(", "))));
        }
        let spec = kind.canonical(&spec)?;
        let mut object = match (&self.change.action, &self.change.object) {
            (changes::Action::Replace, _) | (_, None) => None,
            // What it refers to exists by now.
            (_, Some(object)) => {
                Some(AnyObject { spec: self.complete(&self.outputs.resolve(&object.spec))?, ..object.clone() })
            }
        };
        self.check_stop()?;
        if self.operation.action == Action::Create && self.change.is_missing() {
            // A record that has an id belongs to that object. Its tags lead back to the object, should it exist all the same.
            self.record(Entry::Deleted).await?;
        }
        let (intent, token) = self.intent(desired(resource, &spec));
        self.record(Entry::Intended(intent)).await?;
        let mut tries = 0;
        let outputs = loop {
            let task = self.task(kind, &spec, &token);
            let error = match kind.ensure(&task, &spec, object).await {
                Ok(outputs) => break outputs,
                Err(error) => error,
            };
            object = loop {
                if !error.is_uncertain() || tries == TRIES {
                    return Err(error);
                }
                tries += 1;
                self.pause(&format!("another look, after: {error}"), Duration::from_secs(tries.into())).await?;
                match self.look_again(&spec).await {
                    Err(error) if error.is_unanswered() => {}
                    // What has an id is not made a second time because one look did not see it.
                    Ok(None) if self.known_outputs().is_some() => {}
                    looked => break looked?,
                }
            };
        };
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.record(Entry::Done { outputs: outputs.clone(), milliseconds }).await?;
        self.outputs.set(&self.operation.address, outputs);
        Ok(Done::Succeeded)
    }

    /// The intent, and the token of the object that it is about: the same in every process that goes on with the intent
    /// (`x.idem.token-auto-useless`), and another one as soon as the properties are others (`x.idem.token-mismatch`).
    fn intent(&self, desired: Desired) -> (Intent, Token) {
        let record = self.execution.store.get(&self.operation.address);
        let known = record.as_ref().and_then(|record| record.token.as_deref());
        match self.operation.action {
            Action::Adopt => (Intent::Adopt { desired }, Token::recorded(known)),
            Action::Update => (Intent::Update { desired }, Token::recorded(known)),
            Action::Create | Action::Delete => {
                // AWS refuses a token that comes back with other properties; and with an id the token is bound to the object.
                let same = record.as_ref().is_some_and(|record| record.is_identified() || record.spec == desired.spec);
                let token = Token::recorded(known.filter(|_| same));
                (Intent::Create { token: (&token).into(), desired }, token)
            }
        }
    }

    /// Looks for what a lost answer would have told. A new object is not seen at once by its tags, so one look that finds
    /// nothing is not believed.
    async fn look_again(&self, spec: &Value) -> Result<Option<AnyObject>, Error> {
        let address = &self.operation.address;
        let outputs = self.known_outputs();
        let wanted = AnyWanted { address: address.clone(), spec: spec.clone(), outputs: outputs.clone() };
        let (kinds, surroundings) = (&self.execution.kinds, &self.execution.surroundings);
        let mut object = observe_one(kinds, surroundings, wanted.clone()).await?;
        if object.is_none() && outputs.is_none() {
            self.pause("another look, because new objects are not seen at once", UNSEEN).await?;
            object = observe_one(kinds, surroundings, wanted).await?;
        }
        let Some(object) = object else { return Ok(None) };
        if outputs.is_none() {
            if let Some(owner) = changes::foreign_owner(kinds, address, &object, &surroundings.suffix) {
                let name = changes::name_of(address, &object);
                return Err(Error::Taken(format!(
                    "an object with this name, {name}, exists already and belongs to {owner}"
                )));
            }
            self.record(Entry::Identified { outputs: object.outputs.clone() }).await?;
        }
        Ok(Some(object))
    }

    fn known_outputs(&self) -> Option<Value> {
        let record = self.execution.store.get(&self.operation.address)?;
        record.is_identified().then(|| record.outputs.clone())
    }

    async fn delete(&self) -> Ending {
        let address = &self.operation.address;
        self.check_stop()?;
        let record = self.execution.store.get(address).expect("only what is on record is deleted");
        if !record.is_identified() {
            // Nothing is known of an object: it was looked for when the run began, and not found.
            self.record(Entry::Deleted).await?;
            return Ok(Done::Succeeded);
        }
        let kind = self.kind()?;
        let spec = self.complete(&record.spec)?;
        self.record(Entry::Intended(Intent::Delete)).await?;
        let token = Token::recorded(record.token.as_deref());
        let mut tries = 0;
        loop {
            let task = self.task(kind, &spec, &token);
            match kind.delete(&task, &spec, &record.outputs).await {
                Ok(Deletion::Gone) => {
                    self.record(Entry::Deleted).await?;
                    return Ok(Done::Succeeded);
                }
                Ok(Deletion::Left(what)) => {
                    self.record(Entry::Deleted).await?;
                    self.execution.events.tell(Event::Left { address: address.clone(), what });
                    return Ok(Done::Succeeded);
                }
                Ok(Deletion::Deferred { until, reason }) => {
                    self.record(Entry::Deferred { until, reason: reason.clone() }).await?;
                    return Ok(Done::Deferred(until, reason));
                }
                Err(error) if error.is_uncertain() && tries < TRIES => {
                    tries += 1;
                    self.pause(&format!("another try, after: {error}"), Duration::from_secs(tries.into())).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A recorded spec, as kinds take it: nothing in it is still to come. One that a state has otherwise, because it was edited or made
    /// by an earlier version, is completed by the other records.
    fn complete(&self, spec: &Value) -> Result<Value, Error> {
        let records = &self.execution.store;
        let spec = resolve(spec, &|address, field| records.get(address)?.outputs.get(field).cloned());
        if is_known(&spec) {
            return Ok(spec);
        }
        let missing: Vec<_> = crate::reference::references(&spec).iter().map(ToString::to_string).collect();
        Err(Error::Failed(format!(
            "its record does not say on what it depends ({}), so that drctl cannot know what to do; when you know that there is \
             nothing of it, forget it: drctl state forget {}",
            missing.join(", "),
            self.operation.address
        )))
    }

    /// Waits for a while. `what` comes after it, as readers are told: "waiting 2 s for another look".
    async fn pause(&self, what: &str, length: Duration) -> Result<(), Error> {
        self.execution.events.tell(Event::Waiting { address: self.operation.address.clone(), what: what.to_owned() });
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            () = self.execution.shutdown.first() => {}
        }
        self.check_stop()
    }

    fn check_stop(&self) -> Result<(), Error> {
        if self.execution.shutdown.is_requested() { Err(Error::Interrupted) } else { Ok(()) }
    }

    fn kind(&self) -> Result<&'static dyn AnyKind, Error> {
        let name = self.operation.address.kind();
        self.execution.kinds.get(name).ok_or_else(|| {
            Error::Failed(format!(
                "this drctl does not know the kind `{name}`; use the version that made it, or forget it"
            ))
        })
    }

    fn task<'a>(&'a self, kind: &dyn AnyKind, spec: &Value, token: &'a Token) -> Task<'a> {
        let tags: Tags =
            spec.get("tags").and_then(|tags| serde_json::from_value(tags.clone()).ok()).unwrap_or_default();
        let scope = self.operation.address.scope().clone();
        Task {
            context: Context::new(self.execution.surroundings.clone(), scope, kind.traits()),
            address: &self.operation.address,
            tags,
            recorded_tags: self.change.record.iter().flat_map(|record| record.all_tags().cloned()).collect(),
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
