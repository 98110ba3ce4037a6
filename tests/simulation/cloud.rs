//! A cloud in memory: objects, names, tokens, dependencies, delays, and everything that can go wrong with a call.
//!
//! It is strict where AWS is strict: what is referred to must exist, what others are in cannot be deleted, names are taken until
//! their object is gone, tokens are remembered for ever and bound to the properties they came with, an object without a name
//! or token is made twice when it is asked for twice, and a new object is not seen at once. Times are virtual and go on from run
//! to run.
//!
//! What the engine may never do is written down as a violation, and every check of a test looks at those first.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use drctl_core::address::Address;
use drctl_core::aws::error::Result;
use drctl_core::aws::{Error, Refusal, Tags, tags};
use drctl_core::engine::shutdown::{Reason, Shutdown};
use drctl_core::state::memory::Memory;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::world::{Command, SUFFIX};

thread_local! {
    /// The cloud of the run on this thread.
    static CLOUD: RefCell<Option<Cloud>> = const { RefCell::new(None) };
}

/// Looks at or changes the cloud of the run on this thread.
pub(crate) fn cloud<T>(work: impl FnOnce(&mut Cloud) -> T) -> T {
    CLOUD.with_borrow_mut(|cloud| work(cloud.as_mut().expect("a run is going on")))
}

/// Puts a cloud under the run that begins on this thread.
pub(crate) fn install(cloud: Cloud) {
    CLOUD.set(Some(cloud));
}

/// Takes the cloud back after a run.
pub(crate) fn take() -> Cloud {
    CLOUD.take().expect("a run has ended")
}

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// Whose it is for the checks of tests; the engine never sees this.
    pub(crate) address: Option<Address>,
    /// Its kind.
    pub(crate) kind: &'static str,
    /// Whether its kind has tags.
    pub(crate) taggable: bool,
    /// Its fixed name.
    pub(crate) name: Option<String>,
    /// Its properties, without tags.
    pub(crate) spec: Value,
    /// Its tags.
    pub(crate) tags: Tags,
    /// Counts its updates.
    pub(crate) version: u32,
    /// When it becomes usable.
    pub(crate) ready_at: Duration,
    /// When a look for its tags or its id finds it; its name is known at once.
    pub(crate) visible_at: Duration,
    /// When it is gone, once it was deleted.
    pub(crate) gone_at: Option<Duration>,
}

/// A call at which the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrashAt {
    /// The number of the call in the run, from 1.
    pub(crate) call: u64,
    /// Whether the call takes effect.
    pub(crate) after: bool,
}

/// What may go wrong with calls, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The probability per call.
    pub(crate) probability: f64,
    /// How many more happen at most.
    pub(crate) left: u32,
}

enum Fault {
    Refused,
    Throttled,
    ServerError { effect: bool },
    Lost { effect: bool },
    Slow(Duration),
}

/// What a cloud has seen in all runs on it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lived {
    /// The runs.
    pub(crate) runs: u64,
    /// Their calls.
    pub(crate) calls: u64,
    /// The calls that went wrong.
    pub(crate) faults: u64,
}

/// What the engine did, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The object of this address is gone.
    Deleted(Address),
    /// The object of this address was made or changed.
    Made(Address),
}

/// The cloud.
#[derive(Clone)]
pub(crate) struct Cloud {
    /// Every object there ever was, by id.
    pub(crate) objects: BTreeMap<String, Object>,
    tokens: HashMap<String, (String, Value)>,
    /// How many objects were ever made.
    made: u64,
    /// The virtual time at which the run on this thread began.
    pub(crate) begin: Duration,
    started: Option<Instant>,
    random: SmallRng,
    /// The calls of this run.
    pub(crate) calls: u64,
    /// Those that change something.
    pub(crate) mutations: u64,
    /// Where the process dies.
    pub(crate) crash: Option<CrashAt>,
    /// Told when it has died.
    pub(crate) dead: Arc<Notify>,
    is_dead: bool,
    /// The call at which a signal comes.
    pub(crate) interrupt_at: Option<u64>,
    /// How long after it a second one comes, which ends the process at once.
    pub(crate) second_after: Option<Duration>,
    /// The call from which on the credentials are no longer valid, in this run.
    pub(crate) expire_at: Option<u64>,
    /// When the signal came, or the first call with credentials that had ended was made.
    pub(crate) interrupted: Option<Duration>,
    /// When the run was asked to stop, for whatever reason.
    pub(crate) stopped: Option<Duration>,
    /// The shutdown of this run.
    pub(crate) shutdown: Shutdown,
    /// The disk of the machine that the run is on.
    pub(crate) disk: Memory,
    /// What goes wrong.
    pub(crate) faults: Faults,
    /// Operations whose answers take long, in this run.
    pub(crate) slow: BTreeMap<String, Duration>,
    /// How long each creation takes beyond the usual.
    pub(crate) extra: BTreeMap<Address, Duration>,
    /// How long each creation keeps its kind at work before the object can be looked at.
    pub(crate) work: BTreeMap<Address, Duration>,
    /// Deletions that are refused until a time.
    pub(crate) deferred: BTreeMap<Address, Duration>,
    /// Resources that AWS refuses to make.
    pub(crate) refused: Vec<Address>,
    /// Objects of which so many further deletions are answered as if they had happened.
    pub(crate) undying: BTreeMap<String, u32>,
    /// Objects that so many further looks do not show although they are there.
    pub(crate) hidden: BTreeMap<String, u32>,
    /// What is durable about each address: the last word of its entries, or the status of its record when the run began.
    pub(crate) on_record: BTreeMap<String, String>,
    /// Whether a write has failed in this run.
    pub(crate) disk_failed: bool,
    /// How many runs there were so far, with how many calls and how many of those that went wrong.
    pub(crate) lived: Lived,
    /// What the engine did in this run.
    pub(crate) deeds: Vec<Deed>,
    busy: Vec<String>,
    /// What must never happen.
    pub(crate) violations: Vec<String>,
}

impl Cloud {
    /// An empty cloud whose delays and faults come from a seed.
    pub(crate) fn new(seed: u64, disk: Memory) -> Self {
        Self {
            objects: BTreeMap::new(),
            tokens: HashMap::new(),
            made: 0,
            begin: Duration::ZERO,
            started: None,
            random: SmallRng::seed_from_u64(seed),
            calls: 0,
            mutations: 0,
            crash: None,
            dead: Arc::default(),
            is_dead: false,
            interrupt_at: None,
            second_after: None,
            expire_at: None,
            interrupted: None,
            stopped: None,
            shutdown: Shutdown::default(),
            disk,
            faults: Faults::default(),
            slow: BTreeMap::new(),
            extra: BTreeMap::new(),
            work: BTreeMap::new(),
            deferred: BTreeMap::new(),
            refused: Vec::new(),
            undying: BTreeMap::new(),
            hidden: BTreeMap::new(),
            on_record: BTreeMap::new(),
            disk_failed: false,
            lived: Lived::default(),
            deeds: Vec::new(),
            busy: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// Prepares for the next run, on a machine that has just started.
    pub(crate) fn restart(&mut self, disk: Memory) {
        (self.calls, self.mutations, self.is_dead) = (0, 0, false);
        (self.interrupted, self.started) = (None, Some(Instant::now()));
        (self.dead, self.shutdown, self.stopped) = (Arc::default(), Shutdown::default(), None);
        self.disk = disk;
        self.deeds.clear();
        self.busy.clear();
        self.on_record.clear();
        self.disk_failed = false;
    }

    /// Forgets the disturbances of the last run and keeps its time.
    pub(crate) fn rest(&mut self) {
        self.begin = self.now();
        self.lived.runs += 1;
        self.lived.calls += self.calls;
        self.started = None;
        (self.crash, self.faults) = (None, Faults::default());
        self.slow.clear();
        (self.interrupt_at, self.second_after, self.expire_at) = (None, None, None);
    }

    /// What is there and what will go wrong, for whoever replays a seed.
    pub(crate) fn story(&self, command: Command<'_>) -> String {
        let command = match command {
            Command::Up(_) => "up",
            Command::UpWithoutTwins(_) => "up --remove-twins",
            Command::Down => "down",
            Command::Rebuild(_) => "state rebuild",
        };
        let Self { crash, faults, interrupt_at, second_after, .. } = self;
        let mut text = format!("{command} at {:?} with {crash:?}, {faults:?}, ", self.begin);
        text += &format!("signals at call {interrupt_at:?} and {second_after:?} later, refused: {:?}\n", self.refused);
        for (id, object) in self.objects.iter().filter(|(_, object)| object.gone_at.is_none_or(|at| at > self.begin)) {
            let Object { address, spec, tags, ready_at, gone_at, .. } = object;
            let address = address.as_ref().map_or("theirs".to_owned(), Address::to_string);
            text += &format!("  {id}: {address} {spec} {tags:?}, ready at {ready_at:?}, gone at {gone_at:?}\n");
        }
        text
    }

    /// The virtual time.
    pub(crate) fn now(&self) -> Duration {
        self.begin + self.started.map(|started| started.elapsed()).unwrap_or_default()
    }

    /// The objects that are there and not about to go.
    pub(crate) fn live(&self) -> impl Iterator<Item = (&String, &Object)> {
        self.objects.iter().filter(|(_, object)| object.gone_at.is_none())
    }

    /// The object of an id, unless it is gone or going.
    pub(crate) fn get(&self, id: &str) -> Option<&Object> {
        self.objects.get(id).filter(|object| object.gone_at.is_none())
    }

    /// Tells whether a look is one of those that do not show an object although it is there.
    pub(crate) fn hides(&mut self, id: &str) -> bool {
        let Some(left) = self.hidden.get_mut(id).filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }

    /// What the outputs of an object are now.
    pub(crate) fn outputs(&self, id: &str, object: &Object) -> Value {
        let mut outputs = json!({ "id": id, "version": format!("{id}:v{}", object.version) });
        if object.ready_at <= self.now() {
            outputs["endpoint"] = format!("{id}.example").into();
        }
        outputs
    }

    /// Creates an object.
    pub(crate) fn create(&mut self, operation: &str, token: Option<&str>, object: Object) -> Result<String> {
        if let Some(token) = token
            && let Some((id, spec)) = self.tokens.get(token)
        {
            return match *spec == object.spec {
                true => Ok(id.clone()),
                false => Err(refusal(operation, "IdempotentParameterMismatch", 400)),
            };
        }
        if object.name.is_some() && self.named(object.kind, object.name.as_deref()).is_some() {
            return Err(refusal(operation, "AlreadyExists", 400));
        }
        self.check_references(operation, &object.spec)?;
        self.check_new(&object);
        self.made += 1;
        let id = format!("{}-{}", object.kind, self.made);
        if let Some(token) = token {
            self.tokens.insert(token.to_owned(), (id.clone(), object.spec.clone()));
        }
        self.deeds.extend(object.address.clone().map(Deed::Made));
        self.objects.insert(id.clone(), object);
        Ok(id)
    }

    /// Nothing is made twice, and what is made says whose it is from the beginning.
    fn check_new(&mut self, object: &Object) {
        let Some(address) = &object.address else { return };
        let twin = self.live().find(|(_, other)| other.address.as_ref() == Some(address));
        if let Some(twin) = twin.map(|(id, _)| id.clone()) {
            let text = format!("invariant 4: {address} is made while {twin} exists");
            self.violations.push(text);
        }
        let says = |key: &str, value: &str| object.tags.get(key).is_some_and(|found| found == value);
        if object.taggable && !(says(tags::DEPLOYMENT, SUFFIX) && says(tags::ADDRESS, &address.to_string())) {
            self.violations.push(format!("invariant 5: {address} is made without its tags: {:?}", object.tags));
        }
    }

    /// A call changes something only while its intent is on record.
    pub(crate) fn check_intent(&mut self, operation: &str, address: &Address) {
        let word = self.on_record.get(&address.to_string()).map_or("absent", String::as_str);
        if !matches!(word, "creating" | "adopting" | "updating" | "deleting") {
            self.violations.push(format!("invariant 1: {operation} for {address}, whose record is {word}"));
        }
    }

    /// What is made refers only to what is on record with its result.
    fn check_referents(&mut self, address: &Address, spec: &Value) {
        for id in referred(spec) {
            let referent = self.objects.get(&id).and_then(|object| object.address.clone());
            let Some(referent) = referent.map(|address| address.to_string()) else { continue };
            let word = self.on_record.get(&referent).map_or("absent", String::as_str);
            if word != "ready" {
                let text = format!("invariant 2: {address} began while {referent}, which it refers to, was {word}");
                self.violations.push(text);
            }
        }
    }

    /// The id of what has a name, even while it is going.
    pub(crate) fn named(&self, kind: &str, name: Option<&str>) -> Option<String> {
        let there = |object: &Object| object.gone_at.is_none_or(|at| at > self.now());
        let found = self.objects.iter().find(|(_, object)| {
            object.kind == kind && object.name.as_deref() == name && name.is_some() && there(object)
        });
        found.map(|(id, _)| id.clone())
    }

    /// Refuses references to what is not there or not usable yet.
    pub(crate) fn check_references(&self, operation: &str, spec: &Value) -> Result<()> {
        for id in referred(spec) {
            match self.get(&id) {
                None => return Err(refusal(operation, &format!("Dependency.{id}.NotFound"), 400)),
                Some(object) if object.ready_at > self.now() => {
                    return Err(refusal(operation, &format!("Dependency.{id}.NotReady"), 400));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Begins to delete an object, unless others are in it.
    pub(crate) fn delete(&mut self, operation: &str, id: &str, seconds: u64) -> Result<()> {
        let now = self.now();
        if let Some(left) = self.undying.get_mut(id).filter(|left| **left > 0) {
            *left -= 1;
            return Err(refusal(operation, "NotFound", 400));
        }
        let inside = self
            .objects
            .iter()
            .find(|(_, object)| object.spec["parent"] == id && object.gone_at.is_none_or(|at| at > now));
        if let Some((inside, _)) = inside {
            return Err(refusal(operation, &format!("DependencyViolation.{inside}"), 400));
        }
        if let Some(object) = self.objects.get_mut(id).filter(|object| object.gone_at.is_none()) {
            object.gone_at = Some(now + Duration::from_secs(seconds));
            self.deeds.extend(object.address.clone().map(Deed::Deleted));
        }
        Ok(())
    }

    /// Takes note of an entry that has become durable, given as a line of the journal.
    pub(crate) fn record(&mut self, line: &str) {
        let Some((_, rest)) = line.split_once(r#""address":""#) else { return };
        let Some((address, entry)) = rest.split_once(r#"","entry":"#) else { return };
        let mut words = entry.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        let status = match (words.next(), words.next()) {
            (Some("intended"), Some("create")) => "creating",
            (Some("intended"), Some("adopt")) => "adopting",
            (Some("intended"), Some("update")) => "updating",
            (Some("intended"), Some("delete")) => "deleting",
            (Some("done" | "observed"), _) => "ready",
            (Some("deferred"), _) => "deferred",
            (Some("deleted" | "forgotten"), _) => "absent",
            (Some("identified" | "failed"), _) => return,
            other => panic!("the journal has an unknown entry: {other:?}"),
        };
        let begins = matches!(status, "creating" | "adopting" | "updating" | "deleting");
        if begins && self.stopped.is_some_and(|at| self.now() > at) {
            self.violations.push(format!("invariant 9: {address} was begun after the run was asked to stop"));
        }
        self.on_record.insert(address.to_owned(), status.to_owned());
    }

    fn die(&mut self) {
        self.is_dead = true;
        self.dead.notify_one();
    }

    /// What becomes of a call at the moment it is sent; `None` when the process is dead.
    fn send(&mut self, mutating: bool) -> Option<Result<Option<Fault>>> {
        if self.is_dead || self.disk.is_crashed() {
            self.die();
            return None;
        }
        // As the transport to AWS does.
        if mutating && self.shutdown.is_requested() {
            return Some(Err(Error::Interrupted));
        }
        self.calls += 1;
        self.mutations += u64::from(mutating);
        if self.interrupt_at == Some(self.calls) {
            self.interrupted = Some(self.now());
            self.shutdown.give_up(Reason::Signal(2));
        }
        if self.crash == Some(CrashAt { call: self.calls, after: false }) {
            self.die();
            return None;
        }
        if self.expire_at.is_some_and(|at| self.calls >= at) {
            let now = self.now();
            self.interrupted.get_or_insert(now);
            return Some(Err(refusal("Any", "ExpiredTokenException", 400)));
        }
        if self.faults.left == 0 || !self.random.random_bool(self.faults.probability) {
            return Some(Ok(None));
        }
        self.faults.left -= 1;
        self.lived.faults += 1;
        Some(Ok(Some(match self.random.random_range(0..7) {
            0 => Fault::Refused,
            1 => Fault::ServerError { effect: false },
            2 => Fault::ServerError { effect: true },
            3 => Fault::Lost { effect: false },
            4 => Fault::Lost { effect: true },
            5 => Fault::Throttled,
            _ => Fault::Slow(Duration::from_secs(self.random.random_range(1..100))),
        })))
    }

    /// A random duration of so many milliseconds at most.
    pub(crate) fn milliseconds(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.random.random_range(1..=most))
    }
}

/// The ids that a spec refers to.
pub(crate) fn referred(spec: &Value) -> Vec<String> {
    let uses = spec["uses"].as_array().into_iter().flatten();
    let all = uses.chain([&spec["parent"]]).filter_map(Value::as_str);
    all.map(|text| text.split([':', '.']).next().unwrap_or_default().to_owned()).collect()
}

/// A refusal.
pub(crate) fn refusal(operation: &str, code: &str, status: u16) -> Error {
    let message = "says the cloud in memory".to_owned();
    Error::Refused(Refusal {
        operation: operation.to_owned(),
        code: code.to_owned(),
        message,
        request_id: None,
        status,
    })
}

/// One call: it travels, may go wrong, takes effect, and is answered.
pub(crate) async fn call<T>(
    operation: &str,
    mutating: bool,
    effect: impl FnOnce(&mut Cloud) -> Result<T>,
) -> Result<T> {
    sleep(cloud(|cloud| cloud.milliseconds(300))).await;
    let Some(sent) = cloud(|cloud| cloud.send(mutating)) else { return pending().await };
    let fault = sent?;
    let lost = || Error::NoAnswer { operation: operation.to_owned(), cause: "connection reset".to_owned() };
    let number = cloud(|cloud| cloud.calls);
    end_at_second_signal();
    match &fault {
        Some(Fault::Refused) => return Err(refusal(operation, "Refused", 400)),
        Some(Fault::Throttled) => return Err(refusal(operation, "ThrottlingException", 400)),
        Some(Fault::ServerError { effect: false }) => return Err(refusal(operation, "InternalFailure", 500)),
        Some(Fault::Lost { effect: false }) => return Err(lost()),
        _ => {}
    }
    let answer = cloud(effect);
    if cloud(|cloud| {
        let dies = cloud.crash == Some(CrashAt { call: number, after: true });
        if dies {
            cloud.die();
        }
        dies
    }) {
        return pending().await;
    }
    let mut back = cloud(|cloud| cloud.milliseconds(300) + cloud.slow.get(operation).copied().unwrap_or_default());
    if let Some(Fault::Slow(more)) = fault {
        back += more;
    }
    sleep(back).await;
    if cloud(|cloud| cloud.is_dead || cloud.disk.is_crashed()) {
        cloud(Cloud::die);
        return pending().await;
    }
    match fault {
        Some(Fault::ServerError { .. }) => Err(refusal(operation, "InternalFailure", 500)),
        Some(Fault::Lost { .. }) => Err(lost()),
        _ => answer,
    }
}

/// Lets the second signal come when the first has just come.
fn end_at_second_signal() {
    let after = cloud(|cloud| {
        let is_first = cloud.interrupt_at == Some(cloud.calls);
        cloud.second_after.filter(|_| is_first)
    });
    if let Some(after) = after {
        tokio::spawn(async move {
            sleep(after).await;
            cloud(Cloud::die);
        });
    }
}

/// Holds what may not be done side by side while a verb is at work.
pub(crate) struct Busy(Vec<String>);

/// Begins a verb that changes something, so that the object has the properties of the spec, if one is given.
pub(crate) fn begin(verb: &str, address: &Address, spec: Option<&Value>, locks: Vec<String>) -> Busy {
    cloud(|cloud| {
        if cloud.shutdown.is_requested() {
            cloud.violations.push(format!("invariant 9: {verb} {address} began after the interrupt"));
        }
        if cloud.disk_failed {
            cloud.violations.push(format!("invariant 3: {verb} {address} began after a write had failed"));
        }
        cloud.check_intent(verb, address);
        if let Some(spec) = spec {
            cloud.check_referents(address, spec);
        }
        for lock in &locks {
            if cloud.busy.contains(lock) {
                cloud.violations.push(format!("lock group {lock}: {verb} {address} began while another was at work"));
            }
        }
        cloud.busy.extend(locks.clone());
    });
    Busy(locks)
}

impl Drop for Busy {
    fn drop(&mut self) {
        cloud(|cloud| {
            for lock in &self.0 {
                let at = cloud.busy.iter().position(|busy| busy == lock).expect("a lock is given back once");
                cloud.busy.swap_remove(at);
            }
        });
    }
}
