//! The table of all transitions, legal and illegal.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{address, create, desired, done, identified};
use crate::state::{Desired, Entry, Intent, Record, Status, next};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn step(record: Option<&Record>, entry: &Entry) -> Option<Record> {
    next(record, entry, NOW).expect("a legal entry")
}

fn after(entries: &[Entry]) -> Option<Record> {
    entries.iter().fold(None, |record, entry| step(record.as_ref(), entry))
}

fn update(cidr: &str) -> Entry {
    Entry::Intended(Intent::Update { desired: desired(cidr) })
}

fn adopt() -> Entry {
    Entry::Intended(Intent::Adopt { desired: desired("10.0.0.0/16") })
}

fn delete() -> Entry {
    Entry::Intended(Intent::Delete)
}

fn deferred() -> Entry {
    Entry::Deferred { until: NOW, reason: "a replica was added less than 24 hours ago".to_owned() }
}

fn observed(desired: Option<Desired>) -> Entry {
    Entry::Observed { outputs: json!({ "id": "vpc-9" }), desired }
}

/// Every status with every entry: the next status, `-` for no record, `!` for a refusal.
#[test]
fn every_entry_after_every_status() {
    let entries = [
        create("t1"),
        create("t2"),
        adopt(),
        update("10.1.0.0/16"),
        delete(),
        identified("vpc-1"),
        done("vpc-1"),
        Entry::Failed { error: "throttled".to_owned() },
        deferred(),
        observed(None),
        observed(Some(desired("10.2.0.0/16"))),
        Entry::Deleted,
        Entry::Forgotten,
        Entry::Unprotected,
    ];
    let deferred_record = after(&[create("t1"), done("vpc-1"), delete(), deferred()]);
    #[rustfmt::skip]
    let table: [(Option<Record>, &str); 8] = [
        // before                                              create   create   adopt    update   delete   identif. done     failed   deferred observed seen     deleted forgotten unprotected
        (None,                                                "creating creating adopting !        !        !        !        !        !        !        ready    !       !         !"),
        (after(&[create("t1")]),                              "creating creating !        !        deleting creating ready    creating !        ready    ready    -       -         creating"),
        (after(&[create("t1"), identified("vpc-1")]),         "creating !        !        !        deleting creating ready    creating !        ready    ready    -       -         creating"),
        (after(&[adopt()]),                                   "!        !        adopting !        deleting adopting ready    adopting !        ready    ready    -       -         adopting"),
        (after(&[create("t1"), done("vpc-1")]),               "!        !        !        updating deleting !        !        !        !        ready    ready    -       -         ready"),
        (after(&[create("t1"), done("v"), update("10.1.0.0/16")]), "!   !        !        updating deleting updating ready    updating !        ready    ready    -       -         updating"),
        (after(&[create("t1"), done("vpc-1"), delete()]),     "!        !        !        updating deleting !        !        deleting deferred ready    ready    -       -         deleting"),
        (deferred_record,                                     "!        !        !        updating deleting !        !        !        !        ready    ready    -       -         deferred"),
    ];
    for (record, row) in table {
        let before = record.as_ref().map_or("absent", |record| record.status.word());
        let expected: Vec<_> = row.split_whitespace().collect();
        assert_eq!(expected.len(), entries.len());
        for (entry, expected) in entries.iter().zip(expected) {
            let result = next(record.as_ref(), entry, NOW);
            let found = match &result {
                Ok(Some(record)) => record.status.word(),
                Ok(None) => "-",
                Err(error) => {
                    assert_eq!((error.status, error.entry), (before, entry.word()));
                    "!"
                }
            };
            assert_eq!(found, expected, "`{}` after `{before}`: {result:?}", entry.word());
        }
    }
}

/// A protection that was ended is ended in both shapes, and nothing else is lost.
#[test]
fn protection_ends_in_either_shape() {
    let protected = |cidr: &str| Desired { protected: true, ..desired(cidr) };
    let made = Entry::Intended(Intent::Create { token: "t".to_owned(), desired: protected("10.0.0.0/16") });
    let changed = Entry::Intended(Intent::Update { desired: protected("10.1.0.0/16") });
    let updating = after(&[made, done("vpc-1"), changed]).expect("a record");
    let unprotected = step(Some(&updating), &Entry::Unprotected).expect("a record");
    assert!(updating.is_protected() && !unprotected.is_protected());
    let pending = unprotected.pending.as_ref().map(|pending| &pending.spec);
    assert_eq!(pending, updating.pending.as_ref().map(|pending| &pending.spec));
    assert_eq!((unprotected.status, unprotected.outputs), (updating.status, updating.outputs));
}

/// Invariant 4: once the create call has answered, only the same create may be tried again.
#[test]
fn an_id_is_never_overwritten_by_a_new_create() {
    let creating = after(&[create("t1"), identified("vpc-1")]).expect("a record");
    let retried = step(Some(&creating), &create("t1")).expect("a record");
    assert_eq!((retried.outputs, retried.generation), (json!({ "id": "vpc-1" }), 1));
    let error = next(Some(&creating), &create("t2"), NOW).expect_err("a second object");
    assert!(error.to_string().contains("has an id"), "{error}");
}

/// Invariant 1: a token that AWS refuses, because the spec changed since, may be changed while nothing exists.
#[test]
fn a_new_token_is_a_new_generation() {
    let record = after(&[create("t1"), create("t2")]).expect("a record");
    assert_eq!((record.token.as_deref(), record.generation), (Some("t2"), 2));
}

/// Invariant 4: a second answer adds to the first.
#[test]
fn outputs_of_several_answers_are_united() {
    let more = Entry::Identified { outputs: json!({ "arn": "arn:1" }) };
    let record = after(&[create("t1"), identified("vpc-1"), more]).expect("a record");
    assert_eq!(record.outputs, json!({ "id": "vpc-1", "arn": "arn:1" }));
}

/// Invariants 4 and 7: until an update is done, the record has both shapes, and the delete order respects both.
#[test]
fn an_update_keeps_the_old_shape_until_it_is_done() {
    let refer = |name: &str| Desired { references: vec![address(name)], ..desired("10.1.0.0/16") };
    let made = Entry::Intended(Intent::Create { token: "t".to_owned(), desired: refer("old") });
    let changed = Entry::Intended(Intent::Update { desired: refer("new") });
    let updating = after(&[made, done("vpc-1"), changed]).expect("a record");
    assert_eq!(updating.references, [address("old")]);
    assert_eq!(updating.all_references().cloned().collect::<Vec<_>>(), [address("old"), address("new")]);
    assert_eq!(updating.outputs["id"], "vpc-1");

    let ready = step(Some(&updating), &done("vpc-1")).expect("a record");
    assert_eq!((ready.references, ready.pending), (vec![address("new")], None));

    let deleting = step(Some(&updating), &delete()).expect("a record");
    assert_eq!(deleting.references, [address("old"), address("new")]);
    let settled = step(Some(&updating), &observed(None)).expect("a record");
    assert_eq!(settled.references, [address("old"), address("new")]);
    let settled = step(Some(&updating), &observed(Some(refer("new")))).expect("a record");
    assert_eq!((settled.references, settled.status), (vec![address("new")], Status::Ready));
}

/// Invariants 5 and 7: the plan changes while a creation is unfinished. What the first try may have given the object is not forgotten:
/// its tags are ours to remove, and what it refers to goes after it.
#[test]
fn a_creation_that_is_reconsidered_keeps_what_the_first_try_may_have_set() {
    let shape = |tag: &str, reference: &str| Desired {
        spec: json!({ "cidr": "10.1.0.0/16", "tags": { tag: "x" } }),
        references: vec![address(reference)],
        ..desired("10.1.0.0/16")
    };
    let intended =
        |tag, reference| Entry::Intended(Intent::Create { token: "t".to_owned(), desired: shape(tag, reference) });
    let record =
        after(&[intended("team", "old"), identified("vpc-1"), intended("cost", "new"), intended("owner", "new")]);
    let record = record.expect("a record");
    let tags: Vec<&str> = record.all_tags().map(String::as_str).collect();
    assert_eq!(tags, ["team", "cost", "owner"]);
    assert!(record.all_references().any(|reference| *reference == address("old")));

    let ready = step(Some(&record), &done("vpc-1")).expect("a record");
    assert_eq!((&ready.spec, ready.pending), (&shape("owner", "new").spec, None));
    assert_eq!(ready.references, [address("new")]);
}

#[test]
fn a_failure_is_kept_until_the_record_settles() {
    let failed = Entry::Failed { error: "throttled".to_owned() };
    let record = after(&[create("t1"), failed, create("t1")]).expect("a record");
    assert_eq!(record.last_error.as_deref(), Some("throttled"));
    let record = step(Some(&record), &done("vpc-1")).expect("a record");
    assert_eq!((record.last_error, record.milliseconds), (None, Some(1200)));
}

/// The estimate of a create is not spoilt by a quick update.
#[test]
fn only_a_create_is_timed() {
    let quick = Entry::Done { outputs: Value::Null, milliseconds: 1 };
    let record = after(&[create("t1"), done("vpc-1"), update("10.1.0.0/16"), quick]).expect("a record");
    assert_eq!(record.milliseconds, Some(1200));
}
