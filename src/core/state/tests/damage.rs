//! Every way in which the files of a deployment can be wrong: each an error of its own, with its way out.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::crash::Machine;
use super::shelf::Remote;
use super::{address, crashed_run, deployment, done, holder, new_store, open};
use crate::state::memory::{Effect, Fault, Memory};
use crate::state::{Damage, Damaged, Entry, Medium, Snapshot, StateError, Status, Store, deployments_in, read};

/// A closed deployment whose state file has been through the given edit.
async fn edited(edit: impl FnOnce(String) -> String) -> Memory {
    let medium = crashed_run().await;
    open(&medium).await.expect("a good state").close().await.expect("closed");
    let text = String::from_utf8(medium.get("dev.json").expect("a state file")).expect("text");
    medium.put("dev.json", edit(text));
    medium
}

/// Opens a damaged deployment in both ways, checks that nothing was written, and returns the error.
async fn refusal(medium: &Memory) -> StateError {
    let writes = medium.writes();
    let error = read(medium, "dev").expect_err("a damaged state");
    assert_eq!(open(medium).await.expect_err("a damaged state").to_string(), error.to_string());
    assert_eq!(medium.writes(), writes, "a damaged state was written to");
    assert!(!error.hints().is_empty(), "{error}");
    error
}

async fn damage(medium: &Memory) -> Damaged {
    match refusal(medium).await {
        StateError::Damaged(damaged) => *damaged,
        other => panic!("{other:?}"),
    }
}

/// Invariant 6.
#[tokio::test]
async fn each_damage_is_told_apart_and_has_a_way_out() {
    let cut = |text: String| text[..text.len() / 2].to_owned();
    type Edit = fn(String) -> String;
    let cases: [(Edit, &str); 6] = [
        (|_| String::new(), "the state file memory:dev.json is empty"),
        (|_| " \n".to_owned(), "is empty"),
        (cut, "is truncated: it ends in line"),
        (|text| text.replacen(':', ";", 1), "is not JSON"),
        (|text| text.replace("10.0.0.0/16", "10.9.0.0/16"), "does not match its checksum"),
        (|_| "[]".to_owned(), "is not a state file"),
    ];
    for (edit, expected) in cases {
        let medium = edited(edit).await;
        let damaged = damage(&medium).await;
        assert!(damaged.to_string().contains(expected), "{damaged}");
        let hints = StateError::Damaged(Box::new(damaged.clone())).hints().join("\n");
        assert!(hints.contains("drctl state rebuild --suffix dev"), "{hints}");

        // The copy that the hint names does help.
        let copy = damaged.copy.expect("a good copy");
        assert!(hints.contains(&format!("cp {copy} memory:dev.json")), "{hints}");
        medium.put("dev.json", medium.get(copy.trim_start_matches("memory:")).expect("the copy"));
        assert_eq!(read(&medium, "dev").expect("repaired").records.len(), 2);
    }
}

/// Invariant 6: every single flipped bit of the file is noticed, and so is every cut.
#[tokio::test]
async fn no_flipped_bit_and_no_cut_goes_unnoticed() {
    let medium = edited(|text| text).await;
    let good = medium.get("dev.json").expect("a state file");
    let expected = read(&medium, "dev").expect("a good state");
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        medium.put("dev.json", flipped);
        // White space means nothing in JSON: turned into other white space it changes nothing.
        if let Ok(found) = read(&medium, "dev") {
            assert!(good[at].is_ascii_whitespace() && found == expected, "byte {at}");
        }
        medium.put("dev.json", &good[..at]);
        let cut = read(&medium, "dev");
        assert!(cut.is_err() || cut.is_ok_and(|found| found == expected && at == good.len() - 1), "cut at {at}");
    }
}

#[tokio::test]
async fn a_file_laid_out_anew_is_accepted_and_an_edit_on_purpose_too() {
    let compact = |text: String| serde_json::from_str::<Value>(&text).expect("JSON").to_string();
    let medium = edited(compact).await;
    assert_eq!(read(&medium, "dev").expect("the same content").records.len(), 2);

    let accept = |text: String| {
        let mut value: Value = serde_json::from_str(&text).expect("JSON");
        value["records"]["us-east-1/ec2_vpc/main"]["protected"] = json!(true);
        value["checksum"] = json!("edited");
        value.to_string()
    };
    let medium = edited(accept).await;
    let store = open(&medium).await.expect("an accepted edit");
    assert!(store.get(&address("main")).expect("a record").protected);
    let text = String::from_utf8(medium.get("dev.json").expect("a state file")).expect("text");
    assert!(text.contains("\"checksum\": \"sha256:"), "the next edit would not be noticed: {text}");
}

#[tokio::test]
async fn a_newer_format_names_the_drctl_it_needs() {
    let newer = |_| json!({ "format": 2, "drctl": "7.1.0", "layers": [] }).to_string();
    let error = refusal(&edited(newer).await).await;
    assert!(matches!(error, StateError::Newer { found: 2, known: 1, .. }), "{error:?}");
    assert!(error.hints()[0].contains("drctl 7.1.0 or later"));
}

#[tokio::test]
async fn a_format_that_never_was_is_refused() {
    let older = |_| json!({ "format": 0, "checksum": "edited" }).to_string();
    let damaged = damage(&edited(older).await).await;
    assert!(damaged.to_string().contains("no drctl ever wrote format 0"), "{damaged}");
}

#[tokio::test]
async fn the_state_of_another_deployment_or_account_is_refused() {
    let medium = crashed_run().await;
    open(&medium).await.expect("a good state").close().await.expect("closed");
    medium.put("prod.json", medium.get("dev.json").expect("a state file"));
    let error = read(&medium, "prod").expect_err("the state of dev");
    assert!(matches!(&error, StateError::WrongDeployment { inside, .. } if inside == "dev"), "{error:?}");

    assert!(deployment().check_account("123456789012", "aws").is_ok());
    let error = deployment().check_account("999999999999", "aws").expect_err("another account");
    assert!(error.to_string().contains("999999999999"), "{error}");
    deployment().check_account("123456789012", "aws-cn").expect_err("another partition");
}

/// Invariant 6: a lost state file is not a new deployment.
#[tokio::test]
async fn a_lost_state_file_is_noticed_by_what_remains() {
    let medium = edited(|text| text).await;
    medium.take("dev.json");
    assert!(matches!(damage(&medium).await.damage, Damage::Missing { .. }));
    assert_eq!(deployments_in(&medium).expect("listed"), ["dev"]);
    let error = Store::create(std::sync::Arc::new(medium.clone()), deployment(), &holder(), Default::default()).await;
    assert!(matches!(error, Err(StateError::Exists { .. })));
}

/// Invariant 6: an old file put in place of the current one is not the state.
#[tokio::test]
async fn an_older_state_file_is_noticed() {
    let medium = Memory::new();
    let store = new_store(&medium).await;
    let old = medium.get("dev.json").expect("a state file");
    store.record(&address("main"), super::create("t1")).await.expect("recorded");
    store.close().await.expect("closed");
    medium.put("dev.json", old);
    let error = refusal(&medium).await;
    assert!(matches!(error, StateError::Stale { serial: 0, newest: 1, .. }), "{error:?}");
    assert!(error.hints()[0].contains("cp memory:dev.json.1 memory:dev.json"), "{:?}", error.hints());
}

#[tokio::test]
async fn an_unknown_deployment_names_the_known_ones() {
    let medium = crashed_run().await;
    let error = read(&medium, "prod").expect_err("no such deployment");
    assert!(matches!(&error, StateError::NotFound { known, .. } if known == &["dev"]), "{error:?}");
}

/// Invariant 6: any whole line that is not as it was written is an error with its number.
#[tokio::test]
async fn damaged_journal_lines_are_named() {
    let medium = crashed_run().await;
    let good = String::from_utf8(medium.get("dev.journal").expect("a journal")).expect("text");
    let lines: Vec<_> = good.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 4);
    let flipped = lines[1].replace("vpc-1", "vpc-2");
    let cases = [
        ([lines[0], &flipped, lines[2], lines[3]].concat(), 2, "checksum"),
        ([lines[0], "\n", lines[2]].concat(), 2, "too short"),
        ([lines[0], lines[2], lines[3]].concat(), 2, "it is entry 3, but entry 2"),
        ([lines[1], lines[2]].concat(), 1, "it is entry 2, but entry 1"),
        ([lines[0], lines[0]].concat(), 2, "it is entry 1, but entry 2"),
        ([lines[0], lines[1], lines[2], &lines[3][..lines[3].len() - 2], "\n"].concat(), 4, "checksum"),
    ];
    for (text, line, why) in cases {
        medium.put("dev.journal", text);
        let damaged = damage(&medium).await;
        assert!(matches!(damaged.damage, Damage::Line { line: found, .. } if found == line), "{damaged}");
        assert!(damaged.to_string().contains(why), "{damaged}");
    }
    medium.put("dev.journal", good);
    assert_eq!(read(&medium, "dev").expect("the good journal").serial, 4);
}

/// A deployment with copies and a journal, whose state file is scrambled.
async fn scrambled() -> Memory {
    let medium = edited(|text| text).await;
    let store = open(&medium).await.expect("a good state");
    store.record(&address("other"), done("vpc-2")).await.expect("recorded");
    drop(store);
    medium.put("dev.json", "scrambled");
    medium
}

async fn rebuild(medium: &Memory) -> Result<Store, StateError> {
    Store::rebuild(std::sync::Arc::new(medium.clone()), deployment(), &holder(), Default::default()).await
}

/// Invariants 4 and 6: a rebuild starts without records, keeps the damaged files, and outdates every line and copy.
#[tokio::test]
async fn a_rebuild_keeps_what_it_replaces() {
    let medium = scrambled().await;
    let store = rebuild(&medium).await.expect("a new state");
    assert!(store.records().is_empty());
    let seen = Entry::Observed { outputs: json!({ "id": "vpc-1" }), desired: Some(super::desired("10.0.0.0/16")) };
    store.record(&address("main"), seen).await.expect("recorded");
    store.close().await.expect("closed");
    assert_eq!(medium.get("dev.json.damaged"), Some(b"scrambled".to_vec()));
    assert!(medium.get("dev.journal.damaged").is_some_and(|journal| !journal.is_empty()));
    let snapshot = read(&medium, "dev").expect("a good state");
    assert_eq!(snapshot.records[&address("main")].status, Status::Ready);
    assert_eq!(snapshot.records.len(), 1);
}

/// Invariants 6 and 10: a rebuild that crashed leaves damage to rebuild again, or the new state; never an old part of it.
#[tokio::test]
async fn a_rebuild_that_crashed_can_be_repeated() {
    let calm = scrambled().await;
    let before = calm.writes();
    drop(rebuild(&calm).await.expect("a new state"));
    for at in before + 1..=calm.writes() {
        for effect in [Effect::None, Effect::Whole] {
            let medium = scrambled().await;
            medium.sabotage(Fault { at, effect, error: std::io::ErrorKind::Other, crash: true });
            rebuild(&medium).await.expect_err("the fault");
            medium.restart();
            match read(&medium, "dev") {
                Ok(snapshot) => assert!(snapshot.records.is_empty() && snapshot.serial == 6),
                Err(error) => assert!(matches!(error, StateError::Damaged(_)), "{error:?}"),
            }
            let store = rebuild(&medium).await.expect("a new state");
            assert!(store.records().is_empty());
        }
    }
}

/// What may happen to one file, or to two.
#[derive(Clone, Debug)]
enum Harm {
    Flip { at: prop::sample::Index, bit: u8 },
    Cut { at: prop::sample::Index },
    Double { from: prop::sample::Index },
    Swap { other: prop::sample::Index },
    Lose,
}

fn harm() -> impl Strategy<Value = Harm> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), 0..8_u8).prop_map(|(at, bit)| Harm::Flip { at, bit }),
        2 => index().prop_map(|at| Harm::Cut { at }),
        2 => index().prop_map(|from| Harm::Double { from }),
        2 => index().prop_map(|other| Harm::Swap { other }),
        1 => Just(Harm::Lose),
    ]
}

impl Harm {
    /// Does the harm to the file of that number. Tells whether an append-only file may look like that after a crash: then
    /// its end is missing, and nothing can tell.
    fn strike(&self, files: &mut [(String, Option<Vec<u8>>)], target: usize) -> bool {
        let bytes = files[target].1.clone().expect("nothing is harmed twice");
        let harmed = match self {
            Self::Flip { at, bit } => {
                let mut bytes = bytes.clone();
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                bytes
            }
            Self::Cut { at } => bytes[..at.index(bytes.len())].to_owned(),
            Self::Double { from } => [&bytes[..], &bytes[from.index(bytes.len())..]].concat(),
            Self::Swap { other } => {
                let other = other.index(files.len());
                files[target].1 = files[other].1.replace(bytes);
                return false;
            }
            Self::Lose => {
                files[target].1 = None;
                return files[target].0.ends_with(".journal");
            }
        };
        let is_cut = files[target].0.ends_with(".journal") && bytes.starts_with(&harmed);
        files[target].1 = Some(harmed);
        is_cut
    }
}

/// Opens what was harmed: it is exactly right, or an error with a way out, and never less than it was.
async fn expect_right_or_refused(
    medium: &(impl Medium + Clone),
    expected: &Snapshot,
    history: &[Snapshot],
    harm: &Harm,
) {
    match read(medium, "dev") {
        Ok(found) => assert!(found == *expected || history.contains(&found), "{harm:?} went unnoticed: {found:?}"),
        Err(error) => {
            assert!(!error.hints().is_empty(), "{error}");
            assert!(!matches!(error, StateError::NotFound { .. }), "{harm:?} made a deployment disappear");
            let again = open(medium).await.expect_err("what cannot be read cannot be opened").to_string();
            assert_eq!(again, error.to_string());
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

/// A state file with entries in the journal after it, and the states along the way.
async fn written(medium: &(impl Medium + Clone)) -> Vec<Snapshot> {
    let store = new_store(medium).await;
    store.record(&address("main"), super::create("t1")).await.expect("recorded");
    store.close().await.expect("closed");
    drop(store);
    let store = open(medium).await.expect("opened");
    let mut history = vec![store.snapshot()];
    for (name, entry) in [("main", done("vpc-1")), ("other", super::create("t2")), ("other", done("vpc-2"))] {
        store.record(&address(name), entry).await.expect("recorded");
        history.push(store.snapshot());
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant 6. Where the journal is one file, a cut that could be a crash's leaves a state that was once true.
    #[test]
    fn harm_to_a_folder_is_noticed_or_harmless(harm in harm(), target in any::<prop::sample::Index>()) {
        block_on(async {
            let medium = Memory::new();
            let history = written(&medium).await;
            medium.restart();
            let names = ["dev.json", "dev.journal", "dev.json.1"];
            let mut files: Vec<_> = names.iter().map(|name| ((*name).to_owned(), medium.get(name))).collect();
            let is_cut = harm.strike(&mut files, target.index(names.len()));
            for (name, bytes) in files {
                match bytes {
                    Some(bytes) => medium.put(&name, bytes),
                    None => medium.take(&name),
                }
            }
            let expected = history.last().expect("some states");
            expect_right_or_refused(&medium, expected, if is_cut { &history } else { &[] }, &harm).await;
        });
    }

    /// Invariant 6. A segment is whole or damaged; only that the last ones are gone can nobody tell.
    #[test]
    fn harm_to_a_bucket_is_noticed_or_harmless(harm in harm(), target in any::<prop::sample::Index>()) {
        block_on(async {
            let remote = Remote::new();
            let history = written(&remote).await;
            remote.restart();
            let names = remote.shelf.names();
            let names: Vec<_> = names.into_iter().filter(|name| !name.ends_with(".lock")).collect();
            let mut files: Vec<_> = names.iter().map(|name| (name.clone(), remote.shelf.bytes(name))).collect();
            let target = target.index(files.len());
            harm.strike(&mut files, target);
            let is_last = names.iter().rfind(|name| name.contains(".journal.")) == Some(&names[target]);
            for (name, bytes) in files {
                remote.shelf.set(&name, bytes);
            }
            let expected = history.last().expect("some states");
            let is_cut = matches!(harm, Harm::Lose) && is_last;
            expect_right_or_refused(&remote, expected, if is_cut { &history } else { &[] }, &harm).await;
        });
    }
}

/// The file is for people: it is sorted, indented, and names what it holds.
#[tokio::test]
async fn the_state_file_can_be_read_by_a_person() {
    let medium = Memory::new();
    let store = new_store(&medium).await;
    store.record(&address("main"), super::create("t1")).await.expect("recorded");
    store.record(&address("main"), done("vpc-1")).await.expect("recorded");
    store.close().await.expect("closed");
    let text = String::from_utf8(medium.read("dev.json").expect("read").expect("a file")).expect("text");
    let expected = r#"{
  "format": 1,
  "drctl": "0.1.0",
  "deployment": {
    "suffix": "dev",
    "lineage": "6b243637f7fd55036a5a265c14b28a15",
    "account": "123456789012",
    "partition": "aws",
    "regions": [
      "us-east-1",
      "us-east-2"
    ],
    "facts": {
      "engine_version": "8.0.mysql_aurora.3.08.2"
    }
  },
  "serial": 2,
  "records": {
    "us-east-1/ec2_vpc/main": {
      "status": "ready",
      "spec": {
        "cidr": "10.0.0.0/16"
      },
      "outputs": {
        "id": "vpc-1",
        "arn": "arn:vpc-1"
      },
      "token": "t1",
      "generation": 1,
      "created_at": "1970-01-01T00:00:00.003Z",
      "updated_at": "1970-01-01T00:00:00.004Z",
      "milliseconds": 1200
    }
  },
  "checksum": "sha256:"#;
    assert!(text.starts_with(expected), "{text}");
}
