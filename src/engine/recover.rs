//! Settles what an earlier run left in flight, before anything else happens.
//!
//! A record in flight says that a call may have been made whose end is unknown. What `observe` sees decides. An object that is
//! there stays on record, as it was seen. An object that is not there and whose id was never known leaves the record, unless it is
//! still wanted: then the record keeps the token, so that AWS answers the next try with the first object should there be one.
//! An object that is not there although its id is known was deleted, or is about to vanish: that is for a deletion to
//! finish, which waits until the name is free. Deciding is pure; only the recording is not.

use std::time::Duration;

use serde_json::Value;

use super::event::{Event, Events};
use super::observe::Objects;
use crate::address::Address;
use crate::changes;
use crate::resources::{AnyObject, Kinds};
use crate::state::{Desired, Entry, Record, Records, StateError, Status, Store};
use crate::topology::Topology;

/// For how long after its intent a new object may not be seen by a look for its tags (`x.consistency.unfiltered-list`).
pub const UNSEEN: Duration = Duration::from_secs(5);

/// Settles every record in flight against what was seen. With a topology, what it wants is kept (`up`); without one, only
/// what decides whether there is something to delete is settled (`down`).
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
        let wanted = match topology {
            Some(topology) => topology.resources.contains_key(&address),
            None if is_uncertain(&record) => false,
            None => continue,
        };
        let ours = |object: &&AnyObject| {
            record.is_identified() || changes::foreign_owner(kinds, &address, object, &suffix).is_none()
        };
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

/// How long to wait before one more look at those of the uncertain that were not seen but are too young for that to mean
/// anything, and which they are.
pub fn unseen(store: &Store, objects: &Objects) -> Option<(Duration, Records)> {
    let now = store.now();
    let age = |record: &Record| Duration::try_from(now.duration_since(record.updated_at)).unwrap_or_default();
    let mut young = uncertain(&store.records());
    young.retain(|address, record| !objects.contains_key(address) && age(record) < UNSEEN);
    let youngest = young.values().map(|record| age(record)).min()?;
    Some((UNSEEN - youngest, young))
}

fn is_uncertain(record: &Record) -> bool {
    matches!(record.status, Status::Creating | Status::Adopting) && !record.is_identified()
}

/// What an observation says about a record in flight; `None` when there is nothing to settle.
fn settlement(record: &Record, object: Option<&AnyObject>, wanted: bool) -> Option<(Entry, &'static str)> {
    match (&record.status, object) {
        (Status::Ready, _) => None,
        // The next creation carries on with the same token; until then the ids are what has to be kept.
        (Status::Creating, Some(object)) => (record.outputs != object.outputs).then(|| {
            let entry = Entry::Identified { outputs: object.outputs.clone() };
            (entry, "it was created, and its ids were not on record yet")
        }),
        (Status::Creating, None) if wanted => None,
        (_, None) => is_uncertain(record).then_some((Entry::Deleted, "it was not created")),
        (Status::Updating | Status::Adopting, Some(object)) => {
            Some((observed(record, object), "it exists; what differs will be changed"))
        }
        (Status::Deleting | Status::Deferred { .. }, Some(object)) => {
            Some((observed(record, object), "it still exists"))
        }
    }
}

/// The object as it was seen. The tags that drctl may have set are told by both shapes of the record.
fn observed(record: &Record, object: &AnyObject) -> Entry {
    let pending = record.pending.as_deref();
    let specs = [Some(&record.spec), pending.map(|pending| &pending.spec)];
    let ours =
        |key: &str| specs.iter().flatten().any(|spec| spec.get("tags").is_some_and(|tags| tags.get(key).is_some()));
    let mut desired = Desired {
        stack: record.stack.clone(),
        spec: changes::seen(object, record.spec.get("tags").is_some().then_some(&ours as &dyn Fn(&str) -> bool)),
        references: record.references.clone(),
        delete_after: record.delete_after.clone(),
        lock_group: record.lock_group.clone(),
        data_bearing: record.data_bearing,
        protected: record.protected,
    };
    // Part of an update may have reached the object, so its edges hold too.
    if let Some(pending) = pending {
        desired.references.extend(only_new(&record.references, &pending.references));
        desired.delete_after.extend(only_new(&record.delete_after, &pending.delete_after));
        desired.data_bearing |= pending.data_bearing;
        desired.protected |= pending.protected;
    }
    Entry::Observed { outputs: object.outputs.clone(), desired: Some(desired) }
}

fn only_new(known: &[Address], more: &[Address]) -> Vec<Address> {
    more.iter().filter(|address| !known.contains(address)).cloned().collect()
}

/// The entry that puts an object on record that has none, as it was seen.
pub fn taken_over(desired: Desired, object: &AnyObject) -> Entry {
    let tags = desired.spec.get("tags").and_then(Value::as_object).cloned();
    let ours = |key: &str| tags.as_ref().is_some_and(|tags| tags.contains_key(key));
    let spec = changes::seen(object, tags.is_some().then_some(&ours as &dyn Fn(&str) -> bool));
    Entry::Observed { outputs: object.outputs.clone(), desired: Some(Desired { spec, ..desired }) }
}
