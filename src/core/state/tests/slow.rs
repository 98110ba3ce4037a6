//! A medium that takes as long as it likes: a run that has to be out does not wait for it, and tells what may not be on record.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::{address, create, deployment, holder, identified};
use crate::engine::run;
use crate::engine::shutdown::{Reason, Shutdown};
use crate::state::memory::Memory;
use crate::state::{Hold, Holder, Medium, StateError, Store, read};

/// A medium whose appends each take until they are let through.
struct Slow {
    memory: Memory,
    gate: Mutex<Receiver<()>>,
}

impl Slow {
    fn new() -> (Sender<()>, Arc<Self>) {
        let (open, gate) = channel();
        (open, Arc::new(Self { memory: Memory::new(), gate: Mutex::new(gate) }))
    }
}

impl Medium for Slow {
    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.memory.read(name)
    }
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // When the sender is gone, the medium is as fast as any.
        let _ = self.gate.lock().expect("not poisoned").recv();
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

/// Invariant 4 of the writer, and invariant 9 of a run: out within six seconds of the signal, though the write takes for ever; the id
/// that it would have written is told, and the one before it is on record.
#[tokio::test(start_paused = true)]
async fn a_run_that_has_to_be_out_does_not_wait_for_the_medium() {
    let (open, medium) = Slow::new();
    let memory = medium.memory.clone();
    let store = Store::create(medium, deployment(), &holder(), Duration::ZERO).await.expect("a new deployment");
    open.send(()).expect("the medium is there");
    store.record(&address("main"), create("t")).await.expect("recorded");

    let shutdown = Shutdown::default();
    let (abandonment, waits) = (store.abandonment(), shutdown.clone());
    tokio::spawn(async move {
        waits.last().await;
        abandonment.abandon();
    });
    let written = store.record(&address("main"), identified("vpc-1"));
    assert_eq!(store.unrecorded(), [], "it may be written yet");
    let signal = Instant::now();
    shutdown.give_up(Reason::Signal(15));
    store.settle().await;
    assert!(matches!(written.await, Err(StateError::Abandoned)));
    assert_eq!(store.unrecorded(), [(address("main"), identified("vpc-1"))], "its id is told");
    run::close(&store, true).await.expect("what was told is no further failure");
    drop(store);
    assert!(signal.elapsed() < Duration::from_secs(6), "{:?}", signal.elapsed());
    assert_eq!(read(&memory, "dev").expect("a valid state").serial, 1);
    drop(open);
}

/// A medium that is slow, but not too slow: what a dropped future has handed in is waited for, and nothing is told as lost.
#[tokio::test]
async fn what_was_handed_in_is_waited_for() {
    let (open, medium) = Slow::new();
    let store = Store::create(medium, deployment(), &holder(), Duration::ZERO).await.expect("a new deployment");
    drop(store.record(&address("main"), create("t")));
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(open);
    });
    store.settle().await;
    assert_eq!(store.snapshot().serial, 1);
    store.abandonment().abandon();
    assert_eq!(store.unrecorded(), []);
    late.join().expect("it ends");
}
