//! Settles what an earlier run left in flight, before anything else happens.
//!
//! A record in flight says that a call may have been made whose end is unknown. What `observe` sees decides: an object that is
//! there stays on record, an object that is not there leaves it. Deciding is pure; only the recording is not.

use crate::resources::AnyObject;
use crate::state::{Entry, Record, StateError, Status, Store};

use super::event::{Event, Events};
use super::observe::Objects;

/// Settles every record in flight, and takes back deferred deletions: what `up` does.
///
/// # Errors
/// When the state cannot be written.
pub async fn settle(store: &Store, objects: &Objects, events: &Events) -> Result<(), StateError> {
    settle_some(store, objects, events, |_| true).await
}

/// Settles every record in flight and leaves deferred deletions as they are: what `down` does.
///
/// # Errors
/// When the state cannot be written.
pub async fn settle_in_flight(store: &Store, objects: &Objects, events: &Events) -> Result<(), StateError> {
    settle_some(store, objects, events, |record| record.status.is_in_flight()).await
}

async fn settle_some(
    store: &Store,
    objects: &Objects,
    events: &Events,
    concerned: impl Fn(&Record) -> bool,
) -> Result<(), StateError> {
    for (address, record) in store.records().into_iter().filter(|(_, record)| concerned(record)) {
        if let Some((entry, outcome)) = settlement(&record, objects.get(&address)) {
            store.record(&address, entry).await?;
            events.tell(Event::Settled { address, outcome: outcome.to_owned() });
        }
    }
    Ok(())
}

/// What an observation says about a record in flight; `None` when there is nothing to settle.
fn settlement(record: &Record, object: Option<&AnyObject>) -> Option<(Entry, &'static str)> {
    match (&record.status, object) {
        (Status::Ready, _) => None,
        // The next creation carries on with the same token; until then the ids are what has to be kept.
        (Status::Creating, Some(object)) => (record.outputs != object.outputs).then(|| {
            let entry = Entry::Identified { outputs: object.outputs.clone() };
            (entry, "it was created, and its ids were not on record yet")
        }),
        (Status::Creating | Status::Adopting, None) => Some((Entry::Deleted, "it was not created")),
        (Status::Updating, None) => Some((Entry::Deleted, "it is gone")),
        (Status::Deleting | Status::Deferred { .. }, None) => Some((Entry::Deleted, "its deletion had succeeded")),
        (Status::Updating | Status::Adopting, Some(object)) => {
            Some((observed(object), "it exists; what differs will be changed"))
        }
        (Status::Deleting | Status::Deferred { .. }, Some(object)) => Some((observed(object), "it still exists")),
    }
}

fn observed(object: &AnyObject) -> Entry {
    Entry::Observed { outputs: object.outputs.clone(), desired: None }
}
