//! Settles what an earlier run left uncertain, before anything else happens.
//!
//! An intent without an id says that an object may have been made that nobody has heard of. What `observe` sees decides: an
//! object that is there and ours gets its id on record. One that is not there leaves the record, unless it is still wanted:
//! then the record keeps the token, so that AWS answers the next try with the first object should there be one.
//!
//! Whatever has an id stays in flight until the work on it is done: `up` ensures it once more even when nothing differs, because
//! it may not be usable yet, and finishes the deletion of what vanished; `down` deletes it. Deciding is pure; only the recording is not.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::event::{Event, Events};
use super::executor;
use super::observe::Objects;
use crate::aws::tags;
use crate::changes::{self, Change, ChangeSet};
use crate::kind::{AnyObject, Kinds};
use crate::reference::is_known;
use crate::state::{Desired, Entry, Intent, Record, Records, StateError, Status, Store};
use crate::topology::{Resource, Topology};

/// For how long after its intent a new object may not be seen (`x.consistency.unfiltered-list`).
pub const UNSEEN: Duration = Duration::from_secs(5);

/// Settles every uncertain record against what was seen. What the topology wants keeps its token; `down` wants nothing.
///
/// # Errors
/// When the state cannot be written.
pub async fn settle(
    store: &Store,
    objects: &Objects,
    topology: Option<&Topology>,
    kinds: &Kinds,
    events: &Events,
) -> Result<(), StateError> {
    let suffix = store.deployment().suffix;
    for (address, record) in store.records() {
        let wanted = topology.is_some_and(|topology| topology.resources.contains_key(&address));
        let ours = |object: &&AnyObject| changes::foreign_owner(kinds, &address, object, &suffix).is_none();
        if let Some((entry, outcome)) = settlement(&record, objects.get(&address).filter(ours), wanted) {
            store.record(&address, entry).await?;
            events.tell(Event::Settled { address, outcome: outcome.to_owned() });
        }
    }
    Ok(())
}

/// The records of objects that may have been made without anybody having heard of it.
pub fn uncertain(records: &Records) -> Records {
    records.iter().filter(|(_, record)| is_uncertain(record)).map(|(a, record)| (a.clone(), record.clone())).collect()
}

/// How long to wait before one more look at those of the records that were not seen but were too young for that to mean
/// anything when the look began, and which they are. One that was seen already may be so young: looks at new objects do not agree for
/// a while (`x.consistency.read-after-create`).
pub fn unseen(
    store: &Store,
    looked_for: &Records,
    objects: &Objects,
    look_began: Timestamp,
) -> Option<(Duration, Records)> {
    // A call that was tried again and again may have taken effect long after its intent, at the latest just before this run began.
    let since = |record: &Record| if is_uncertain(record) { look_began } else { record.updated_at };
    let age = |record: &Record, at: Timestamp| Duration::try_from(at.duration_since(since(record))).unwrap_or_default();
    let is_wanted = |record: &Record| !matches!(record.status, Status::Deleting | Status::Deferred { .. });
    let mut young = looked_for.clone();
    young.retain(|address, record| {
        !objects.contains_key(address) && is_wanted(record) && age(record, look_began) < UNSEEN
    });
    let now = store.now();
    let youngest = young.values().map(|record| age(record, now)).min()?;
    Some((UNSEEN.saturating_sub(youngest), young))
}

fn is_uncertain(record: &Record) -> bool {
    matches!(record.status, Status::Creating | Status::Adopting) && !record.is_identified()
}

/// What an observation says about a record; `None` when there is nothing to settle.
fn settlement(record: &Record, object: Option<&AnyObject>, wanted: bool) -> Option<(Entry, &'static str)> {
    if !is_uncertain(record) {
        return None;
    }
    match object {
        Some(object) => {
            let entry = Entry::Identified { outputs: object.outputs.clone() };
            Some((entry, "it exists, and its ids were not on record yet"))
        }
        None if wanted && record.status == Status::Creating => None,
        None => Some((Entry::Deleted, "it was not created")),
    }
}

/// Puts every object that was found for the resources of a plan on record, in a state that has no records.
///
/// A deployment of which no object carries the tags does not exist: what was found by its name or place alone is then somebody else's,
/// such as a setting of the account.
///
/// # Errors
/// When the state cannot be written.
pub async fn put_on_record(store: &Store, set: &ChangeSet) -> Result<(), StateError> {
    let suffix = store.deployment().suffix;
    let found = set.changes.values().filter_map(|change| change.object.as_ref());
    if !found.into_iter().any(|object| object.tags.get(tags::DEPLOYMENT) == Some(&suffix)) {
        return Ok(());
    }
    for change in set.changes.values() {
        let (Some(resource), Some(object)) = (&change.desired, &change.object) else { continue };
        if is_told(object) {
            store.record(&change.address, seen(first_record(change, resource, &resource.spec), object)).await?;
        }
    }
    Ok(())
}

/// Whether an object is known in full. One that refers to what was not found is put on record by the operation that completes it: a
/// record that does not say on what its object depends would be of no use to a deletion.
pub fn is_told(object: &AnyObject) -> bool {
    is_known(&object.spec)
}

/// What the first record of an object says that was found for a resource. `spec` tells which tags are ours.
pub fn first_record(change: &Change, resource: &Resource, spec: &Value) -> Desired {
    let references = change.seen_references.iter().cloned().collect();
    Desired { references, ..executor::desired(resource, spec) }
}

/// The entry that puts an object on record that has none, as it was seen.
pub fn seen(desired: Desired, object: &AnyObject) -> Entry {
    Entry::Observed { outputs: object.outputs.clone(), desired: Some(as_seen(desired, object)) }
}

/// The entries that put an object on record that is to be taken over. It stays in flight until the work on it is done.
pub fn taken_over(desired: Desired, object: &AnyObject) -> [Entry; 2] {
    let intent = Intent::Adopt { desired: as_seen(desired, object) };
    [Entry::Intended(intent), Entry::Identified { outputs: object.outputs.clone() }]
}

/// The object's own properties are recorded, not the plan's: what differs is for the next `up` to see.
fn as_seen(desired: Desired, object: &AnyObject) -> Desired {
    let tags = desired.spec.get("tags").and_then(Value::as_object).cloned();
    let ours = |key: &str| tags.as_ref().is_some_and(|tags| tags.contains_key(key));
    let spec = changes::seen(object, tags.is_some().then_some(&ours as &dyn Fn(&str) -> bool));
    Desired { spec, ..desired }
}
