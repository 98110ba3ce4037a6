//! Copying a state between a folder and a bucket, in both directions.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::crash::Machine;
use super::shelf::Remote;
use super::{address, create, done, holder, new_store, open};
use crate::state::memory::Memory;
use crate::state::{Medium, Obstacle, Snapshot, StateError, Transfer, read, transfer};

async fn copy(
    from: &(impl Medium + Clone),
    to: &(impl Medium + Clone),
    by_force: bool,
) -> Result<Option<Snapshot>, StateError> {
    let holder = holder();
    let (from, to): (Arc<dyn Medium>, Arc<dyn Medium>) = (Arc::new(from.clone()), Arc::new(to.clone()));
    transfer(Transfer { from, to, suffix: "dev", holder: &holder, wait: Duration::ZERO, by_force })
        .await
        .map_err(|(_, error)| error)
}

fn obstacle(error: StateError) -> Obstacle {
    assert!(error.hints().iter().any(|hint| hint.contains("--force")), "{:?}", error.hints());
    match error {
        StateError::InTheWay { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

/// A state with some entries, the last ones in the journal.
async fn local() -> Memory {
    let medium = Memory::new();
    let store = new_store(&medium).await;
    store.record(&address("main"), create("t")).await.expect("recorded");
    store.record(&address("main"), done("vpc-1")).await.expect("recorded");
    drop(store);
    medium
}

async fn note(medium: &(impl Medium + Clone), number: u32) {
    let store = open(medium).await.expect("opened");
    store.set_fact("number", json!(number)).await.expect("recorded");
    store.close().await.expect("closed");
}

#[tokio::test]
async fn a_state_goes_to_the_bucket_and_comes_back() {
    let (folder, bucket) = (local().await, Remote::new());
    let before = read(&folder, "dev").expect("a good state");
    assert_eq!(copy(&folder, &bucket, false).await.expect("copied"), Some(before.clone()));
    assert_eq!(read(&bucket, "dev").expect("a good state"), before);
    assert_eq!(read(&folder, "dev").expect("a good state"), before);
    assert_eq!(copy(&folder, &bucket, false).await.expect("compared"), None);

    note(&bucket, 1).await;
    let newer = read(&bucket, "dev").expect("a good state");
    assert_eq!(copy(&bucket, &folder, false).await.expect("copied"), Some(newer.clone()));
    assert_eq!(read(&folder, "dev").expect("a good state"), newer);
    note(&folder, 2).await;
    assert_eq!(bucket.shelf.names().iter().filter(|name| name.contains("lock")).count(), 0, "both are unlocked");
}

#[tokio::test]
async fn what_would_be_lost_is_overwritten_by_force_only_and_kept() {
    let (folder, bucket) = (local().await, Remote::new());
    copy(&folder, &bucket, false).await.expect("copied");
    note(&bucket, 1).await;
    let error = copy(&folder, &bucket, false).await.expect_err("the bucket is newer");
    assert_eq!(
        error.to_string(),
        "s3://shelf/dev.json is newer: it has entries up to 3, the other up to 2; it was left as it is"
    );
    assert_eq!(obstacle(error), Obstacle::Newer { ours: 2, theirs: 3 });
    note(&folder, 2).await;
    let error = copy(&folder, &bucket, false).await.expect_err("they parted");
    assert_eq!(obstacle(error), Obstacle::Differs { serial: 3 });

    let lost = bucket.shelf.bytes("dev.json");
    copy(&folder, &bucket, true).await.expect("copied by force");
    assert_eq!(bucket.shelf.bytes("dev.json.damaged"), lost);
    let there = read(&bucket, "dev").expect("a good state");
    assert_eq!((there.deployment.facts["number"].clone(), there.serial), (json!(2), 4));
    assert_eq!(there.records, read(&folder, "dev").expect("a good state").records);
}

#[tokio::test]
async fn the_state_of_another_deployment_of_that_name_is_left_alone() {
    let folder = local().await;
    let bucket = Remote::new();
    // Made by another process than that of the folder.
    let other = crate::state::Holder { process: 1, ..holder() };
    let made = crate::state::Store::create(Arc::new(bucket.clone()), super::deployment(), &other, Duration::ZERO);
    made.await.expect("created").close().await.expect("closed");
    for by_force in [false, true] {
        let copied = copy(&folder, &bucket, by_force).await;
        match by_force {
            false => assert_eq!(obstacle(copied.expect_err("foreign")), Obstacle::Foreign),
            true => assert_eq!(read(&bucket, "dev").expect("a good state").records.len(), 1),
        }
    }
}

#[tokio::test]
async fn a_locked_or_damaged_state_is_neither_copied_nor_overwritten() {
    let (folder, bucket) = (local().await, Remote::new());
    let hold = bucket.lock("dev", &holder()).expect("free");
    drop(hold);
    let store = open(&folder).await.expect("opened");
    assert!(matches!(copy(&folder, &bucket, true).await, Err(StateError::Locked { .. })));
    drop(store);
    copy(&folder, &bucket, false).await.expect("copied");
    bucket.shelf.set("dev.json", Some(b"scrambled".to_vec()));
    assert!(matches!(copy(&folder, &bucket, false).await, Err(StateError::Damaged(_))));
    assert!(matches!(copy(&bucket, &folder, true).await, Err(StateError::Damaged(_))));
    copy(&folder, &bucket, true).await.expect("copied by force");
    assert_eq!(bucket.shelf.bytes("dev.json.damaged"), Some(b"scrambled".to_vec()));
}
