//! The local folder: modes, locks between processes, full disks, folders that cannot be used.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::{address, create, deployment, done, holder, identified, new_store, open};
use crate::state::memory::{Effect, Fault, Memory};
use crate::state::{Entry, Folder, Holder, Medium, StateError, Store, deployments_in, read};

fn names(path: &Path) -> Vec<String> {
    let mut names = Folder::new(path).list().expect("a folder");
    names.sort();
    names
}

/// Invariant 6.
#[tokio::test]
async fn files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().expect("a folder");
    // A run that was killed left a temporary file, and a person opened it to all.
    let leftover = folder.path().join(".dev.json.tmp");
    fs::write(&leftover, "half a file").expect("written");
    fs::set_permissions(&leftover, fs::Permissions::from_mode(0o644)).expect("set");

    let store = new_store(&Folder::new(folder.path())).await;
    store.record(&address("main"), create("t")).await.expect("recorded");
    assert_eq!(names(folder.path()), ["dev.journal", "dev.json", "dev.json.0", "dev.lock"]);
    for name in names(folder.path()) {
        let mode = fs::metadata(folder.path().join(&name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_deployment_comes_goes_and_leaves_nothing() {
    let parent = tempfile::tempdir().expect("a folder");
    let path = parent.path().join("deep/state");
    let folder = Folder::new(&path);
    assert_eq!(deployments_in(&folder).expect("no folder, no deployments"), [""; 0]);
    let store = new_store(&folder).await;
    for entry in [create("t"), identified("vpc-1"), done("vpc-1")] {
        store.record(&address("main"), entry).await.expect("recorded");
    }
    let before = store.snapshot();
    store.close().await.expect("closed");
    assert_eq!(deployments_in(&folder).expect("listed"), ["dev"]);
    let store = open(&folder).await.expect("opened");
    assert_eq!(store.snapshot(), before);
    store.record(&address("main"), Entry::Intended(crate::state::Intent::Delete)).await.expect("recorded");
    store.record(&address("main"), Entry::Deleted).await.expect("recorded");
    store.remove().await.expect("removed");
    assert_eq!(names(&path), [""; 0]);
    new_store(&folder).await.close().await.expect("the name is free again");
}

/// Looking needs no lock, waits for none, and leaves no trace, so it works in a folder that cannot be written.
#[tokio::test]
async fn looking_changes_nothing() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(parent.path());
    let store = new_store(&folder).await;
    store.record(&address("main"), create("t")).await.expect("recorded");
    let stamp = || {
        let stamp = |name: &String| {
            let metadata = fs::metadata(parent.path().join(name)).expect("a file");
            (name.clone(), metadata.len(), metadata.modified().expect("a time"))
        };
        names(parent.path()).iter().map(stamp).collect::<Vec<_>>()
    };
    let before = stamp();
    assert_eq!(read(&folder, "dev").expect("read while another run holds the lock"), store.snapshot());
    assert_eq!(stamp(), before);
    let absent = Folder::new(parent.path().join("absent"));
    assert!(matches!(read(&absent, "dev"), Err(StateError::NotFound { .. })));
    assert!(matches!(open(&absent).await, Err(StateError::NotFound { .. })));
    assert!(!parent.path().join("absent").exists());
}

/// Invariant 3.
#[tokio::test]
async fn a_second_run_is_told_who_has_the_deployment() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(parent.path());
    let store = new_store(&folder).await;
    let error = open(&folder).await.expect_err("locked");
    assert!(matches!(&error, StateError::Locked { holder: Some(found), .. } if **found == holder()), "{error:?}");
    assert!(matches!(folder.unlock("dev"), Err(StateError::Locked { .. })));
    store.close().await.expect("closed");
    assert_eq!(folder.unlock("dev").expect("free"), None);
    open(&folder).await.expect("free");
}

/// Not a test of its own: the other process of the next test. Takes the lock, says so, and waits to be killed.
#[test]
#[ignore = "run by `a_killed_run_gives_its_lock_back`"]
fn another_process_holds_the_lock() {
    let folder = std::env::var("DRCTL_TEST_FOLDER").expect("set by the test");
    let _hold = Folder::new(folder).lock("dev", &Holder::current("drctl up")).expect("free");
    println!("\nlocked");
    let _ = std::io::stdin().read(&mut [0]);
}

/// Invariant 3: the lock dies with its process, and says which process that was.
#[test]
fn a_killed_run_gives_its_lock_back() {
    let parent = tempfile::tempdir().expect("a folder");
    let (_, module) = module_path!().split_once("::").expect("a module");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", &format!("{module}::another_process_holds_the_lock"), "--ignored", "--nocapture"])
        .env("DRCTL_TEST_FOLDER", parent.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    assert!(output.lines().map_while(Result::ok).any(|line| line == "locked"), "the other process has no lock");

    let folder = Folder::new(parent.path());
    let error = folder.lock("dev", &holder()).err().expect("locked");
    let StateError::Locked { holder: Some(found), .. } = error else { panic!("{error:?}") };
    assert_eq!((found.process, found.command.as_str()), (child.id(), "drctl up"));
    assert!(matches!(folder.unlock("dev"), Err(StateError::Locked { .. })), "a live lock was taken away");

    child.kill().expect("killed");
    child.wait().expect("gone");
    let stale = folder.unlock("dev").expect("free").expect("what the killed run left");
    assert_eq!(stale, *found);
    assert_eq!(folder.unlock("dev").expect("free"), None);
    drop(folder.lock("dev", &holder()).expect("free"));
}

/// Invariant 3. The disk is one in memory: a link to a device that is always full is not followed.
#[tokio::test]
async fn a_full_disk_is_told_and_survived() {
    let medium = Memory::new();
    let store = new_store(&medium).await;
    let at = medium.writes() + 1;
    medium.sabotage(Fault { at, effect: Effect::None, error: ErrorKind::StorageFull, crash: false });
    let error = store.record(&address("main"), create("t")).await.expect_err("a full disk");
    assert_eq!(error.to_string(), "cannot write memory:dev.journal");
    assert!(error.hints()[0].starts_with("the disk is full"), "{:?}", error.hints());
    assert_eq!(store.unrecorded().len(), 1);
    drop(store);
    open(&medium).await.expect("the state is whole");
}

#[tokio::test]
async fn a_folder_that_cannot_be_is_named() {
    let parent = tempfile::tempdir().expect("a folder");
    let path = parent.path().join("file");
    fs::write(&path, "no folder").expect("written");
    let folder = Folder::new(path.join("state"));
    let error = Store::create(Arc::new(folder.clone()), deployment(), &holder(), Duration::ZERO).await;
    let error = error.expect_err("no folder");
    assert_eq!(error.to_string(), format!("cannot write {}", path.join("state").display()));
    assert!(error.hints()[0].contains("--state-dir"), "{:?}", error.hints());
    assert!(matches!(read(&folder, "dev"), Err(StateError::Read { .. })));
}

/// Invariant 5 of the folder: whatever was prepared under a name of the deployment, no file outside of it is read, made or changed.
#[tokio::test]
async fn links_in_the_folder_are_never_followed() {
    use std::os::unix::fs::symlink;
    for name in ["dev.json", "dev.journal", "dev.lock", "dev.json.0", ".dev.json.tmp", ".dev.json.0.tmp"] {
        for exists in [true, false] {
            let (place, outside) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
            let theirs = outside.path().join("theirs");
            if exists {
                std::fs::write(&theirs, "theirs").expect("written");
            }
            symlink(&theirs, place.path().join(name)).expect("a link");
            let medium = Arc::new(Folder::new(place.path()));
            let made = Store::create(medium.clone(), deployment(), &holder(), Duration::ZERO).await;
            if let Ok(store) = made {
                let recorded = store.record(&address("main"), create("t")).await;
                let closed = store.close().await;
                println!("{name}: {recorded:?} {closed:?}");
            }
            for bytes in [medium.append(name, b"ours"), medium.read(name).map(drop)] {
                if std::fs::symlink_metadata(place.path().join(name)).is_ok_and(|it| it.is_symlink()) {
                    assert!(bytes.expect_err("refused").to_string().contains("link"), "{name}");
                }
            }
            drop(medium.lock("dev", &holder()));
            let content = std::fs::read_to_string(&theirs).ok();
            assert_eq!(content.as_deref(), exists.then_some("theirs"), "{name} was followed");
        }
    }
}

/// Invariant 4 of the folder.
#[tokio::test]
async fn the_folder_is_made_for_this_user_alone_and_one_for_everybody_is_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("state");
    let store = Store::create(Arc::new(Folder::new(&path)), deployment(), &holder(), Duration::ZERO).await;
    drop(store.expect("a new deployment"));
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("changed");
    let refused = Store::open(Arc::new(Folder::new(&path)), "dev", &holder(), Duration::ZERO).await;
    let refused = refused.map(drop).expect_err("everybody may write there");
    assert!(format!("{refused:?}").contains("everybody may write"), "{refused:?}");
    assert!(refused.hints()[0].contains("chmod o-w"), "{:?}", refused.hints());
}
