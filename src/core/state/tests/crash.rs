//! Crashes: at every durable write, before, within and after it, and again while the next run mends what it finds.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::shelf::Remote;
use super::{address, crashed_run, create, deployment, desired, done, holder, identified, new_store, open};
use crate::address::Address;
use crate::state::memory::{Effect, Fault, Memory};
use crate::state::{COPIES, Entry, Intent, Medium, Record, Snapshot, StateError, Store, next, read};

type Script = Vec<(Address, Entry)>;
type Model = BTreeMap<Address, Record>;

/// A medium in memory that can be made to crash.
pub(super) trait Machine: Medium + Clone {
    fn new() -> Self;
    fn writes(&self) -> u64;
    fn sabotage(&self, fault: Fault);
    /// What is on the way when it crashes is lost, or arrives now.
    fn restart(&self);
    /// What was on the way longest arrives, when the next run is at work.
    fn arrive(&self) {}
    fn fork(&self) -> Self;
    /// The entries that runs made on taking over from others, beside those of their scripts.
    fn takeovers(&self) -> u64 {
        0
    }
}

impl Machine for Memory {
    fn new() -> Self {
        Self::new()
    }
    fn writes(&self) -> u64 {
        self.writes()
    }
    fn sabotage(&self, fault: Fault) {
        self.sabotage(fault);
    }
    fn restart(&self) {
        self.restart();
    }
    fn fork(&self) -> Self {
        self.fork()
    }
}

/// Turns random numbers into a script of legal entries.
fn script(choices: &[(usize, usize)]) -> Script {
    let mut model = Model::new();
    let mut script = Script::new();
    for (number, &(who, what)) in choices.iter().enumerate() {
        let address = address(["a", "b", "c"][who % 3]);
        let entries = [
            create(&format!("t{number}")),
            identified(&format!("id-{number}")),
            done(&format!("id-{number}")),
            Entry::Intended(Intent::Update { desired: desired(&format!("10.{number}.0.0/16")) }),
            Entry::Intended(Intent::Delete),
            Entry::Failed { error: format!("error {number}\nwith a second line") },
            Entry::Deferred { until: Timestamp::MAX, reason: "later".to_owned() },
            Entry::Deleted,
            Entry::Observed { outputs: json!({ "id": number }), desired: Some(desired("seen")) },
            Entry::Intended(Intent::Adopt { desired: desired("adopted") }),
        ];
        let legal = (0..entries.len()).map(|turn| &entries[(what + turn) % entries.len()]);
        let legal = legal.into_iter().find(|entry| next(model.get(&address), entry, Timestamp::UNIX_EPOCH).is_ok());
        let entry = legal.expect("some entry is legal in every status").clone();
        follow(&mut model, &address, &entry);
        script.push((address, entry));
    }
    script
}

fn follow(model: &mut Model, address: &Address, entry: &Entry) {
    match next(model.get(address), entry, Timestamp::UNIX_EPOCH).expect("a legal entry") {
        Some(record) => model.insert(address.clone(), record),
        None => model.remove(address),
    };
}

/// What the records must be after the first entries of a script.
fn model_after(script: &[(Address, Entry)]) -> Model {
    let mut model = Model::new();
    script.iter().for_each(|(address, entry)| follow(&mut model, address, entry));
    model
}

/// The records without their times, which a model does not know.
fn timeless(snapshot: &Snapshot) -> Model {
    let (created_at, updated_at) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    let records = snapshot.records.iter();
    records
        .map(|(address, record)| (address.clone(), Record { created_at, updated_at, ..(**record).clone() }))
        .collect()
}

/// Two runs that record a script between them; tells how many entries were reported as written before an error.
async fn play(medium: &impl Machine, script: &[(Address, Entry)], written: &mut usize) -> Result<(), StateError> {
    let half = script.len() / 2;
    let medium = std::sync::Arc::new(medium.clone());
    let store = Store::create(medium.clone(), deployment(), &holder(), Duration::ZERO).await?;
    resume(&store, &script[..half], written).await?;
    store.close().await?;
    drop(store);
    // The second run does not close, so that what the journal holds matters.
    let store = Store::open(medium, "dev", &holder(), Duration::ZERO).await?;
    resume(&store, &script[half..], written).await
}

async fn resume(store: &Store, script: &[(Address, Entry)], written: &mut usize) -> Result<(), StateError> {
    for (address, entry) in script {
        store.record(address, entry.clone()).await?;
        *written += 1;
    }
    Ok(())
}

/// Opens what a crash left, checks it against the script, records the rest, and checks the end.
async fn mend(medium: &impl Machine, script: &[(Address, Entry)], written: usize) {
    medium.restart();
    let looked = read(medium, "dev");
    let store = match open(medium).await {
        Err(StateError::NotFound { .. }) if written == 0 => new_store(medium).await,
        store => store.expect("a state that a crash left opens"),
    };
    medium.arrive();
    let found = timeless(&store.snapshot());
    if let Ok(looked) = looked {
        assert_eq!(timeless(&looked), found, "reading and opening disagree");
    }
    // The entry that was being written may be there, or not; nobody was told.
    let known = store.snapshot().serial - medium.takeovers();
    let known = usize::try_from(known).expect("a short script");
    assert!((written..=written + 1).contains(&known), "{known} entries of {written} that were reported as written");
    assert_eq!(found, model_after(&script[..known]));
    resume(&store, &script[known..], &mut 0).await.expect("recorded");
    store.close().await.expect("closed");
    let end = read(medium, "dev").expect("a good state");
    assert_eq!(timeless(&end), model_after(script));
    assert_eq!(end.serial, script.len() as u64 + medium.takeovers(), "an entry was lost or counted twice");
}

/// Lets a run crash at each of its writes, and the next run at each of those with which it mends that.
async fn crash_everywhere<M: Machine>(script: &Script, part: usize) {
    let calm = M::new();
    play(&calm, script, &mut 0).await.expect("no fault");
    for at in 1..=calm.writes() {
        for effect in [Effect::None, Effect::Part(part), Effect::Whole] {
            let medium = M::new();
            medium.sabotage(Fault { at, effect, error: ErrorKind::Other, crash: true });
            let mut written = 0;
            // Nothing is left to be told when giving back the lock is the last write.
            let played = play(&medium, script, &mut written).await;
            assert!(played.is_err() || at == calm.writes(), "the fault was not noticed");
            for second in 1..=4 {
                let medium = medium.fork();
                let at = medium.writes() + second;
                medium.sabotage(Fault { at, effect, error: ErrorKind::Other, crash: true });
                drop(open(&medium).await);
                mend(&medium, script, written).await;
            }
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariants 1, 2, 6 and 10: whatever a crash at whatever write leaves is a state that opens, has every entry that
    /// was reported as written, at most the one after, and goes on from there.
    #[test]
    fn a_crash_at_any_write_loses_nothing(
        choices in prop::collection::vec((0..3_usize, 0..10_usize), 1..24),
        part in 0..400_usize,
    ) {
        block_on(crash_everywhere::<Memory>(&script(&choices), part));
    }

    /// Invariant 6: replaying gives what the writer had in memory, times included.
    #[test]
    fn the_journal_replays_to_what_was_in_memory(
        choices in prop::collection::vec((0..3_usize, 0..10_usize), 0..64),
    ) {
        block_on(async {
            let medium = Memory::new();
            let store = new_store(&medium).await;
            resume(&store, &script(&choices), &mut 0).await.expect("recorded");
            store.set_fact("engine_version", json!({ "mysql": [8, 0.5, 31.245270191439438, 121.48791951161945, null] })).await.expect("recorded");
            store.set_plan("sha256:1", &["eu-west-1".to_owned()]).await.expect("recorded");
            let in_memory = store.snapshot();
            prop_assert_eq!(&read(&medium, "dev").expect("replayed"), &in_memory);
            store.close().await.expect("closed");
            prop_assert!(medium.get("dev.journal").is_none());
            prop_assert_eq!(&read(&medium, "dev").expect("folded"), &in_memory);
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same in a bucket, where a write that was on the way in the crash may also arrive when the next run is at work.
    #[test]
    fn a_crash_at_any_write_to_a_bucket_loses_nothing(
        choices in prop::collection::vec((0..3_usize, 0..10_usize), 1..12),
        part in 0..2_usize,
    ) {
        block_on(crash_everywhere::<Remote>(&script(&choices), part));
    }
}

/// Invariant 10: a last line that was torn anywhere was never reported as written, and is dropped for good.
#[tokio::test]
async fn a_torn_last_line_is_dropped() {
    let medium = crashed_run().await;
    let whole = medium.get("dev.journal").expect("a journal");
    for length in 0..=whole.len() {
        let medium = medium.fork();
        medium.put("dev.journal", &whole[..length]);
        let lines = whole[..length].iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(read(&medium, "dev").expect("read").serial, lines as u64);
        let store = open(&medium).await.expect("opened");
        store.record(&address("more"), create("t3")).await.expect("recorded");
        drop(store);
        assert_eq!(read(&medium, "dev").expect("read").serial, lines as u64 + 1);
    }
}

/// Invariant 10: a crash while the last files are removed leaves nothing, or an empty deployment to remove again.
#[tokio::test]
async fn a_crash_while_removing_leaves_a_state_to_remove_again() {
    let prepare = async || {
        let medium = crashed_run().await;
        let store = open(&medium).await.expect("opened");
        for name in ["main", "other"] {
            store.record(&address(name), Entry::Deleted).await.expect("recorded");
        }
        (medium, store)
    };
    let (calm, store) = prepare().await;
    let before = calm.writes();
    store.remove().await.expect("removed");
    assert_eq!(calm.list().expect("listed"), [""; 0]);
    for at in before + 1..=calm.writes() {
        for effect in [Effect::None, Effect::Whole] {
            let (medium, store) = prepare().await;
            medium.sabotage(Fault { at, effect, error: ErrorKind::Other, crash: true });
            store.remove().await.expect_err("the fault");
            drop(store);
            medium.restart();
            match open(&medium).await {
                Err(error) => assert!(matches!(error, StateError::NotFound { .. }), "{error}"),
                Ok(store) => {
                    assert!(store.records().is_empty());
                    store.remove().await.expect("removed");
                }
            }
            assert_eq!(medium.list().expect("listed"), [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_deployment_with_resources_is_not_removed() {
    let medium = crashed_run().await;
    let store = open(&medium).await.expect("opened");
    assert!(matches!(store.remove().await, Err(StateError::NotGone { count: 2, .. })));
    store.record(&address("main"), Entry::Forgotten).await.expect("the store goes on");
}

#[tokio::test]
async fn the_last_copies_are_kept() {
    let medium = Memory::new();
    drop(new_store(&medium).await);
    for number in 1..=9 {
        let store = open(&medium).await.expect("opened");
        store.set_fact("number", json!(number)).await.expect("recorded");
        store.close().await.expect("closed");
    }
    let names = medium.list().expect("listed");
    let copies: Vec<_> = names.iter().filter(|name| name.starts_with("dev.json.")).collect();
    assert_eq!(copies.len(), COPIES);
    assert_eq!(medium.get("dev.json.9"), medium.get("dev.json"));
}
