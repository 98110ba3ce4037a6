//! Many callers, one writer: order, visibility, failure, waiting for the lock, and what an entry costs.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use futures::FutureExt;
use serde_json::json;

use super::{address, create, deployment, done, holder, identified, new_store, open};
use crate::state::memory::{Effect, Fault, Memory};
use crate::state::{Entry, Hold, Holder, Medium, StateError, Store, read};

/// A slow disk: every append waits at a gate, and tells when it has come there.
#[derive(Clone)]
struct Gate {
    memory: Memory,
    is_open: Arc<(Mutex<bool>, Condvar)>,
    arrivals: mpsc::Sender<Vec<u8>>,
}

impl Gate {
    fn new() -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (arrivals, seen) = mpsc::channel();
        (Self { memory: Memory::new(), is_open: Arc::default(), arrivals }, seen)
    }

    fn open(&self) {
        *self.is_open.0.lock().expect("not poisoned") = true;
        self.is_open.1.notify_all();
    }
}

impl Medium for Gate {
    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.memory.read(name)
    }
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.arrivals.send(bytes.to_owned()).expect("the test listens");
        let is_open = self.is_open.0.lock().expect("not poisoned");
        drop(self.is_open.1.wait_while(is_open, |is_open| !*is_open).expect("not poisoned"));
        self.memory.append(name, bytes)
    }
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.memory.replace(name, bytes)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
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
}

/// Invariants 1, 2 and 11: what waits becomes durable with one sync, in the order of the calls; nobody sees it before.
#[tokio::test]
async fn waiting_entries_are_written_together_and_in_order() {
    let (gate, arrivals) = Gate::new();
    let store = new_store(&gate).await;
    let first = store.record(&address("first"), create("t"));
    let first_batch = arrivals.recv().expect("the first append");
    let names: Vec<_> = (0..50).map(|number| format!("n{number:02}")).collect();
    let waiting: Vec<_> = names.iter().map(|name| store.record(&address(name), create("t"))).collect();
    assert!(store.records().is_empty(), "an entry was visible before it was durable");

    gate.open();
    first.await.expect("recorded");
    let second_batch = String::from_utf8(arrivals.recv().expect("the second append")).expect("text");
    for answer in waiting {
        answer.await.expect("recorded");
    }
    assert_eq!(first_batch.iter().filter(|&&byte| byte == b'\n').count(), 1);
    assert_eq!(second_batch.lines().count(), names.len(), "more than one append");
    for (line, name) in second_batch.lines().zip(&names) {
        assert!(line.contains(&format!("/{name}\"")), "{line}");
    }
    assert_eq!(store.records().len(), names.len() + 1);
}

/// Invariant 2: an entry sees those before it, in the same batch too.
#[tokio::test]
async fn entries_of_one_batch_build_on_each_other() {
    let (gate, arrivals) = Gate::new();
    let store = new_store(&gate).await;
    let first = store.record(&address("first"), create("t"));
    arrivals.recv().expect("the first append");
    let made = store.record(&address("main"), create("t1"));
    let wrong = store.record(&address("main"), create("t2"));
    let named = store.record(&address("main"), identified("vpc-1"));
    let refused = store.record(&address("main"), create("t3"));
    gate.open();
    let answers = [first.await, made.await, wrong.await, named.await];
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(matches!(refused.await, Err(StateError::Illegal { .. })));
    assert_eq!(store.get(&address("main")).expect("a record").generation, 2);
    drop(store);
    assert_eq!(read(&gate, "dev").expect("replayed").serial, 4);
}

/// Invariant 3: nobody has to wait for an entry to be written.
#[tokio::test]
async fn an_entry_is_written_though_its_future_is_dropped() {
    let (gate, _arrivals) = Gate::new();
    gate.open();
    let store = new_store(&gate).await;
    drop(store.record(&address("main"), create("t")));
    drop(store);
    assert_eq!(read(&gate, "dev").expect("replayed").records.len(), 1);
}

/// Invariant 3: after a failed write nothing is written, everything refused is kept, and the next run goes on.
#[tokio::test]
async fn a_failed_write_stops_the_store_and_loses_no_id() {
    for effect in [Effect::None, Effect::Part(9), Effect::Whole] {
        let medium = Memory::new();
        let store = new_store(&medium).await;
        store.record(&address("main"), create("t1")).await.expect("recorded");
        medium.sabotage(Fault { at: medium.writes() + 1, effect, error: ErrorKind::StorageFull, crash: false });

        let error = store.record(&address("main"), identified("vpc-1")).await.expect_err("a full disk");
        assert_eq!(error.to_string(), "cannot write memory:dev.journal");
        assert!(error.hints()[0].contains("the disk is full"), "{:?}", error.hints());
        let writes = medium.writes();
        let error = store.record(&address("main"), done("vpc-1")).await.expect_err("stopped");
        assert!(matches!(error, StateError::Stopped { .. }), "{error:?}");
        store.set_fact("version", json!(1)).await.expect_err("stopped");
        store.close().await.expect_err("the run must not end as if all were well");
        assert_eq!(medium.writes(), writes, "something was written after the failure");
        assert!(store.failure().is_some());
        let expected = [(address("main"), identified("vpc-1")), (address("main"), done("vpc-1"))];
        assert_eq!(store.unrecorded(), expected);
        assert_eq!(store.unrecorded()[0].1.outputs(), Some(&json!({ "id": "vpc-1" })));

        let store = open(&medium).await.expect("the lock is free and the state is whole");
        assert_eq!(store.get(&address("main")).expect("a record").is_identified(), effect == Effect::Whole);
    }
}

#[tokio::test]
async fn an_illegal_entry_stops_nothing() {
    let medium = Memory::new();
    let store = new_store(&medium).await;
    let error = store.record(&address("main"), done("vpc-1")).await.expect_err("nothing was intended");
    assert_eq!(error.to_string(), "us-east-1/ec2_vpc/main: `done` cannot follow `absent`: the address has no record");
    store.record(&address("main"), create("t")).await.expect("recorded");
    assert_eq!(store.unrecorded(), []);
}

#[tokio::test]
async fn a_closed_store_refuses_entries_and_keeps_them() {
    let medium = Memory::new();
    let store = new_store(&medium).await;
    store.close().await.expect("closed");
    store.close().await.expect("closed already");
    assert!(matches!(store.record(&address("main"), create("t")).await, Err(StateError::Closed)));
    assert_eq!(store.unrecorded(), [(address("main"), create("t"))]);
}

/// Invariant 3, in virtual time.
#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_as_long_as_allowed() {
    let medium = Memory::new();
    let store = new_store(&medium).await;
    let error = open(&medium).await.expect_err("locked");
    assert_eq!(
        error.to_string(),
        "the deployment `dev` is locked by `drctl up --suffix dev`, process 4711 of ann on build-7, \
         started 1970-01-01T00:00:00Z, https://ci.example/runs/1"
    );
    let wait = |seconds| Store::open(Arc::new(medium.clone()), "dev", &HOLDER, Duration::from_secs(seconds));
    static HOLDER: std::sync::LazyLock<Holder> = std::sync::LazyLock::new(holder);
    let holding = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        store.close().await
    };
    let (impatient, patient, closed) = tokio::join!(wait(59), wait(61), holding);
    assert!(matches!(impatient, Err(StateError::Locked { .. })));
    assert!(patient.is_ok() && closed.is_ok());
}

/// A medium that a reader shares with a run: at the given access of the reader, the run ends.
struct Shared {
    memory: Memory,
    store: Store,
    accesses: Mutex<u32>,
    end_before: u32,
}

impl Shared {
    fn access(&self) -> &Memory {
        let mut accesses = self.accesses.lock().expect("not poisoned");
        *accesses += 1;
        if *accesses == self.end_before {
            self.store.close().now_or_never().expect("memory is instant").expect("closed");
        }
        &self.memory
    }
}

impl Medium for Shared {
    fn list(&self) -> io::Result<Vec<String>> {
        self.access().list()
    }
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.access().read(name)
    }
    fn append(&self, _: &str, _: &[u8]) -> io::Result<()> {
        panic!("a reader writes")
    }
    fn replace(&self, _: &str, _: &[u8]) -> io::Result<()> {
        panic!("a reader writes")
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        panic!("a reader writes")
    }
    fn lock(&self, _: &str, _: &Holder) -> Result<Box<dyn Hold>, StateError> {
        panic!("a reader locks")
    }
    fn unlock(&self, _: &str) -> Result<Option<Holder>, StateError> {
        panic!("a reader unlocks")
    }
    fn locate(&self, name: &str) -> String {
        self.memory.locate(name)
    }
}

/// Looking works while a run folds its journal, at whatever moment that happens.
#[tokio::test]
async fn a_reader_is_not_confused_by_a_run_that_ends() {
    for end_before in 1..=4 {
        let memory = Memory::new();
        let store = new_store(&memory).await;
        store.record(&address("main"), create("t")).await.expect("recorded");
        let medium = Shared { memory, store, accesses: Mutex::default(), end_before };
        assert_eq!(read(&medium, "dev").expect("a good state"), medium.store.snapshot());
        assert_eq!(*medium.accesses.lock().expect("not poisoned"), 3, "the moments above are no longer all there are");
    }
}

/// Invariant 11, in bytes, because bytes do not depend on the machine: an entry costs the same in a deployment of a
/// hundred times the size, the folding of the journal included.
#[tokio::test]
async fn an_entry_costs_the_same_in_a_large_deployment() {
    let small = bytes_per_entry(100).await;
    let large = bytes_per_entry(10_000).await;
    assert!(large < 2 * small, "{small} bytes in a small deployment, {large} in a large one");
}

async fn bytes_per_entry(records: usize) -> u64 {
    let medium = Memory::new();
    let store = new_store(&medium).await;
    let addresses: Vec<_> = (0..records).map(|number| address(&format!("n{number:06}"))).collect();
    for address in &addresses {
        store.record(address, create("t")).await.expect("recorded");
        store.record(address, done("vpc-1")).await.expect("recorded");
    }
    store.close().await.expect("closed");
    let store = open(&medium).await.expect("opened");
    let seen = Entry::Observed { outputs: json!({ "id": "vpc-1" }), desired: None };
    let before = medium.bytes();
    // Enough entries for the journal to be folded at least once.
    let entries = 5 * records.max(1024);
    for address in addresses.iter().cycle().take(entries) {
        store.record(address, seen.clone()).await.expect("recorded");
    }
    (medium.bytes() - before) / entries as u64
}

/// Invariant 11: a long run does not let the journal grow for ever.
#[tokio::test]
async fn the_journal_is_folded_when_it_has_outgrown_the_records() {
    let medium = Memory::new();
    let store = new_store(&medium).await;
    for number in 0..5000 {
        store.set_fact("number", json!(number)).await.expect("recorded");
    }
    drop(store);
    let lines = medium.get("dev.journal").expect("a journal").iter().filter(|&&byte| byte == b'\n').count();
    assert!(lines < 1000, "{lines}");
    let mut facts = deployment().facts;
    facts.insert("number".to_owned(), json!(4999));
    assert_eq!(read(&medium, "dev").expect("replayed").deployment.facts, facts);
}
