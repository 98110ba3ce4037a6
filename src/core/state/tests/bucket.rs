//! State in a bucket: the lease, lost answers, and runs that write though they have lost their lease.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::crash::Machine;
use super::shelf::{Remote, Shelf};
use super::{address, create, deployment, done, holder, identified, new_store, open};
use crate::state::memory::{Effect, Fault};
use crate::state::{Bucket, Holder, Leased, Medium, StateError, Store, deployments_in, read};

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn other() -> Holder {
    Holder { process: 12, host: "laptop".to_owned(), ..holder() }
}

fn leased(error: StateError) -> Leased {
    match error {
        StateError::Leased(leased) => *leased,
        other => panic!("{other:?}"),
    }
}

/// The lease of `dev`, taken without waiting.
fn take(remote: &Remote) -> Result<Box<dyn crate::state::Hold>, StateError> {
    remote.lock("dev", &other())
}

#[tokio::test]
async fn the_files_are_those_of_a_folder_and_a_segment_for_each_append() {
    let remote = Remote::new();
    let store = new_store(&remote).await;
    for entry in [create("t"), identified("vpc-1"), done("vpc-1")] {
        store.record(&address("main"), entry).await.expect("recorded");
    }
    let segments = ["dev.journal.0000000001", "dev.journal.0000000002", "dev.journal.0000000003"];
    assert_eq!(remote.shelf.names(), [&segments[..], &["dev.json", "dev.json.0", "dev.lock"]].concat());
    assert_eq!(deployments_in(&remote).expect("listed"), ["dev"]);
    assert_eq!(read(&Remote::on(&remote.shelf), "dev").expect("read without a lock"), store.snapshot());
    let snapshot = store.snapshot();
    store.close().await.expect("closed");
    assert_eq!(remote.shelf.names(), ["dev.json", "dev.json.0", "dev.json.3"]);
    assert_eq!(read(&remote, "dev").expect("folded"), snapshot);

    let store = open(&Remote::on(&remote.shelf)).await.expect("opened");
    assert_eq!(store.snapshot(), snapshot, "an entry was added though the lease had been given back");
    store.record(&address("main"), crate::state::Entry::Forgotten).await.expect("recorded");
    store.remove().await.expect("removed");
    assert_eq!(remote.shelf.names(), [""; 0]);
}

/// Invariant 3.
#[tokio::test]
async fn a_second_run_is_told_who_has_the_lease_and_for_how_long() {
    let remote = Remote::new();
    let store = new_store(&remote).await;
    remote.shelf.advance(seconds(20));
    let refused = leased(take(&Remote::on(&remote.shelf)).err().expect("leased"));
    assert_eq!((refused.holder.as_ref(), refused.age, refused.length), (Some(&holder()), seconds(20), seconds(60)));
    let error = StateError::Leased(Box::new(refused));
    assert_eq!(
        error.to_string(),
        "the deployment `dev` is locked by `drctl up --suffix dev`, process 4711 of ann on build-7, started \
         1970-01-01T00:00:00Z, https://ci.example/runs/1, last heartbeat 20 s ago"
    );
    assert!(error.hints()[1].contains("within 40 s"), "{:?}", error.hints());
    drop(store);
    drop(take(&Remote::on(&remote.shelf)).expect("given back"));
}

/// Invariant 3: the killed run holds up the next one for one lease, and what it had on the way does no harm.
#[tokio::test]
async fn a_lease_that_is_not_renewed_is_taken_over() {
    let remote = Remote::new();
    let store = new_store(&remote).await;
    store.record(&address("main"), create("t")).await.expect("recorded");
    remote.shelf.advance(seconds(59));
    leased(take(&Remote::on(&remote.shelf)).err().expect("leased"));
    remote.shelf.advance(seconds(1));
    let next = open(&Remote::on(&remote.shelf)).await.expect("taken over");
    assert_eq!(next.snapshot().serial, 2, "the takeover is an entry");

    let error = store.record(&address("main"), identified("vpc-1")).await.expect_err("the lease is lost");
    assert!(error.to_string().contains("the lease on `dev` was lost"), "{error}");
    assert_eq!(store.unrecorded(), [(address("main"), identified("vpc-1"))]);
    assert!(!store.lease().expect("a lease").is_held());
    store.lease().expect("a lease").lost().await;
    drop(store);
    next.record(&address("main"), identified("vpc-2")).await.expect("the next run goes on");
    next.close().await.expect("closed");
    assert_eq!(read(&remote, "dev").expect("a good state").records[&address("main")].outputs["id"], "vpc-2");
}

/// Invariant 3, without trusting any clock: a machine that slept while its lease was taken over believes that it has it, and
/// still can neither add an entry nor replace the state file.
#[tokio::test]
async fn a_run_that_slept_through_its_lease_cannot_write() {
    for is_folded in [false, true] {
        let remote = Remote::new();
        drop(new_store(&remote).await);
        let sleeper = open(&Remote::on(&remote.shelf.asleep())).await.expect("free");
        sleeper.record(&address("main"), create("t")).await.expect("recorded");
        remote.shelf.advance(seconds(60));
        let next = open(&Remote::on(&remote.shelf)).await.expect("taken over");
        next.record(&address("main"), identified("vpc-1")).await.expect("recorded");
        if !is_folded {
            // The segment with which the next run took the sleeper's place is still there.
            next.record(&address("main"), done("vpc-1")).await.expect("recorded");
        } else {
            next.close().await.expect("closed");
        }
        let before = read(&remote, "dev").expect("a good state");
        assert!(sleeper.lease().expect("a lease").is_held(), "its clock stands still");
        sleeper.record(&address("main"), identified("vpc-9")).await.expect_err("its place is taken");
        sleeper.close().await.expect_err("it was told before");
        assert_eq!(read(&remote, "dev").expect("a good state"), before);
        drop(sleeper);
        assert_eq!(take(&Remote::on(&remote.shelf)).is_ok(), is_folded, "the lease of the next run was removed");
    }
}

/// Lost answers are found out, not guessed, and nothing is written twice.
#[tokio::test]
async fn a_lost_answer_is_no_failure() {
    let calm = Remote::new();
    let run = async |remote: &Remote| {
        let store = new_store(remote).await;
        for entry in [create("t"), identified("vpc-1"), done("vpc-1")] {
            store.record(&address("main"), entry).await.expect("recorded");
        }
        store.close().await.expect("closed");
        store.snapshot().serial
    };
    run(&calm).await;
    for at in 1..=calm.writes() {
        for effect in [Effect::None, Effect::Whole] {
            let remote = Remote::new();
            remote.sabotage(Fault { at, effect, error: ErrorKind::TimedOut, crash: false });
            assert_eq!(run(&remote).await, 3);
            let found = read(&remote, "dev").expect("a good state");
            assert_eq!((found.serial, found.records.len()), (3, 1), "answer {at} was lost");
        }
    }
}

/// A write that is given up may still arrive, so the lease is not given back, and the next run takes its place first.
#[tokio::test]
async fn a_write_that_arrives_after_its_run_is_not_taken_in() {
    let remote = Remote::new();
    let store = new_store(&remote).await;
    let at = remote.writes() + 1;
    remote.sabotage(Fault { at, effect: Effect::Part(1), error: ErrorKind::TimedOut, crash: false });
    remote.shelf.cut_off(false);
    let recording = store.record(&address("main"), create("t1"));
    recording.await.expect("it was tried again");
    remote.shelf.cut_off(true);
    store.record(&address("main"), identified("vpc-1")).await.expect_err("no answers any more");
    drop(store);
    remote.shelf.cut_off(false);
    assert!(remote.shelf.names().contains(&"dev.lock".to_owned()), "the lease was given back");
    remote.shelf.advance(seconds(60));
    let next = open(&Remote::on(&remote.shelf)).await.expect("taken over");
    remote.shelf.arrive();
    let snapshot = next.snapshot();
    assert_eq!(read(&remote, "dev").expect("a good state"), snapshot);
    assert_eq!(snapshot.serial, 2);
}

#[test]
fn heartbeats_renew_the_lease_though_answers_are_lost() {
    let remote = Remote::new();
    let hold = take(&remote).expect("free");
    let lease = hold.lease().expect("a lease");
    for round in 0..4 {
        remote.shelf.advance(seconds(15));
        if round == 1 {
            // It arrives, but nobody is told: the next one is refused, and finds that it was its own.
            let at = remote.writes() + 1;
            remote.sabotage(Fault { at, effect: Effect::Whole, error: ErrorKind::TimedOut, crash: false });
            assert_eq!(lease.beat(), Some(seconds(2)));
            assert_eq!(lease.beat(), Some(Duration::ZERO));
        }
        assert_eq!(lease.beat(), Some(seconds(15)));
    }
    assert!(lease.is_held());
    let refused = leased(take(&Remote::on(&remote.shelf)).err().expect("leased"));
    assert_eq!(refused.age, Duration::ZERO);
    drop(hold);
    assert_eq!(remote.shelf.names(), [""; 0]);
}

/// The holder stops before anybody else may begin.
#[test]
fn a_lease_that_cannot_be_renewed_ends_for_its_holder_first() {
    let remote = Remote::new();
    let hold = take(&remote).expect("free");
    let lease = hold.lease().expect("a lease");
    remote.shelf.cut_off(true);
    remote.shelf.advance(seconds(54));
    assert_eq!(lease.beat(), Some(seconds(2)), "there is time to try again");
    remote.shelf.advance(seconds(1));
    assert_eq!(lease.beat(), None);
    let error = hold.check().expect_err("lost");
    assert_eq!(error.to_string(), "the lease on `dev` was lost: it could not be renewed for 55 s");
    remote.shelf.cut_off(false);
    leased(take(&Remote::on(&remote.shelf)).err().expect("nobody else may have it yet"));
    assert!(!lease.is_held(), "a lost lease came back");
    drop(hold);
    assert_eq!(remote.shelf.names(), ["dev.lock"], "a lease that may be another's was removed");
}

#[test]
fn a_live_lease_is_ended_by_force_only() {
    let remote = Remote::new();
    let person = Remote::on(&remote.shelf);
    assert_eq!(person.unlock("dev").expect("free"), None);
    let hold = take(&remote).expect("free");
    remote.shelf.advance(seconds(59));
    leased(person.unlock("dev").expect_err("it may be alive"));
    assert_eq!(person.unlock_by_force("dev").expect("ended"), Some(other()));
    assert_eq!(person.unlock("dev").expect("nobody has it"), None);

    let lease = hold.lease().expect("a lease");
    assert_eq!(lease.beat(), None, "its holder goes on");
    assert!(hold.check().expect_err("lost").to_string().contains("the lease on `dev` was lost"));
    let next = take(&person).expect("free");
    assert!(next.is_takeover(), "it was not given back, so something may be on the way");
    drop(hold);
    assert_eq!(remote.shelf.names(), ["dev.lock"], "the old holder removed the new lease");
}

/// The place of the run before is kept while it might still write, and no longer.
#[tokio::test]
async fn a_takeover_leaves_no_trace_for_ever() {
    let remote = Remote::new();
    std::mem::forget(new_store(&remote).await);
    remote.shelf.advance(seconds(60));
    open(&Remote::on(&remote.shelf)).await.expect("taken over").close().await.expect("closed");
    let guard = "dev.journal.0000000001".to_owned();
    for (minutes, is_there) in [(59, true), (1, false)] {
        remote.shelf.advance(seconds(60 * minutes));
        let store = open(&Remote::on(&remote.shelf)).await.expect("opened");
        store.set_fact("minutes", minutes.into()).await.expect("recorded");
        store.close().await.expect("closed");
        assert_eq!(remote.shelf.names().contains(&guard), is_there);
    }
    assert!(!remote.shelf.names().iter().any(|name| name.contains("journal")));
}

#[test]
fn a_dead_lease_is_cleared_and_an_unreadable_one_ends_too() {
    let remote = Remote::new();
    let hold = take(&remote).expect("free");
    std::mem::forget(hold);
    remote.shelf.advance(seconds(60));
    assert_eq!(remote.unlock("dev").expect("over"), Some(other()));

    remote.shelf.set("dev.lock", Some(b"scrambled".to_vec()));
    assert_eq!(leased(take(&remote).err().expect("it may be alive")).holder, None);
    remote.shelf.advance(seconds(60));
    assert!(take(&remote).expect("over").is_takeover());
}

/// Who may not wait still waits until it is clear whether the holder is alive.
#[tokio::test(start_paused = true)]
async fn a_dead_run_holds_up_the_next_one_for_one_lease_at_most() {
    let remote = Remote::new();
    let store = new_store(&remote).await;
    let open = async |remote: Remote| Store::open(Arc::new(remote), "dev", &other(), Duration::ZERO).await;
    let time = async |shelf: Shelf, lease: Option<crate::state::Lease>| {
        for second in 1_u64.. {
            tokio::time::sleep(seconds(1)).await;
            shelf.advance(seconds(1));
            if let Some(lease) = lease.as_ref().filter(|_| second.is_multiple_of(15)) {
                lease.beat();
            }
        }
    };
    let start = tokio::time::Instant::now();
    let refused = tokio::select! {
        opened = open(Remote::on(&remote.shelf)) => opened.expect_err("the holder is alive"),
        () = time(remote.shelf.clone(), store.lease()) => unreachable!("time does not end"),
    };
    assert_eq!(leased(refused).holder, Some(holder()));
    assert!(start.elapsed() <= seconds(17), "{:?}", start.elapsed());

    std::mem::forget(store);
    let start = tokio::time::Instant::now();
    tokio::select! {
        opened = open(Remote::on(&remote.shelf)) => drop(opened.expect("the holder is dead")),
        () = time(remote.shelf.clone(), None) => unreachable!("time does not end"),
    }
    assert!(start.elapsed() <= seconds(61), "{:?}", start.elapsed());
}

/// Two machines that begin the same deployment at the same time: one state, whoever comes first.
#[tokio::test]
async fn a_state_that_came_meanwhile_is_not_overwritten() {
    let remote = Remote::new();
    let hold = take(&remote).expect("free");
    assert_eq!(remote.read("dev.json").expect("read"), None);
    remote.shelf.advance(seconds(60));
    let next = Arc::new(Bucket::new(Arc::new(remote.shelf.clone())));
    let next = Store::create(next, deployment(), &holder(), Duration::ZERO).await.expect("created");
    let error = remote.replace("dev.json", b"late").expect_err("there is a state");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(read(&remote, "dev").expect("a good state"), next.snapshot());
    drop(hold);
}

/// Invariant 2 of the lease: one that ran out is not renewed, although nobody took it meanwhile.
#[tokio::test]
async fn a_lease_that_ran_out_is_never_renewed() {
    let remote = Remote::new();
    let store = new_store(&remote).await;
    let lease = store.lease().expect("a lease");
    remote.shelf.advance(seconds(54));
    assert!(lease.beat().is_some(), "it is renewed in time");
    remote.shelf.advance(seconds(61));
    let before = remote.shelf.bytes("dev.lock");
    assert!(lease.beat().is_none(), "it is over");
    assert_eq!(remote.shelf.bytes("dev.lock"), before, "nothing was written");
    assert!(!lease.is_held());
    drop(take(&Remote::on(&remote.shelf)).expect("the next run need not wait"));
}
