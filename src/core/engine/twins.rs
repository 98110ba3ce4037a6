//! Finds objects that carry the address of a resource whose object is another one.
//!
//! A request that was carried out twice, an answer that was refused after it had taken effect, or a second state makes two objects of one
//! resource. The state knows one of them; the other, its *twin*, is paid for and nobody uses it. The index of tags shows both. It also shows
//! what is gone, so each twin is looked at by its own id before it is believed.
//!
//! A twin has the kind of the recorded object, and so its outputs are those on record but for the id: `nat-1` becomes `nat-2` wherever it
//! stands. Copies of an object that carry its tags, such as snapshots, are of another type in their ARN and no twins.
//!
//! Invariants (numbers as in `engine`):
//! 1. A twin is on record, under an address of its own, before it is deleted.
//! 2. `up` deletes a twin only when it is asked to; `down` deletes all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::observe::{Objects, ObserveError, observe_alike};
use super::recover;
use crate::address::{Address, Scope};
use crate::aws::{Tags, tags};
use crate::changes::{ChangeSet, Twin, identity, last_part};
use crate::kind::{AnyWanted, Index, Kinds, Observation, Surroundings};
use crate::state::{self, Desired, Entry, Records, StateError, Store};

/// Finds the twins of what is on record and was seen.
pub(super) async fn find(
    kinds: &Kinds,
    surroundings: &Surroundings,
    observation: &Observation,
    records: &Records,
    objects: &Objects,
) -> Result<Vec<Twin>, Vec<ObserveError>> {
    let mut twins = Vec::new();
    // The index goes on to show what is gone, for hours; so one look has to do for all of a kind.
    let mut groups: BTreeMap<(Scope, String), Vec<Candidate>> = BTreeMap::new();
    for candidate in candidates(surroundings, observation, records, objects).await? {
        let address = &candidate.wanted.address;
        groups.entry((address.scope().clone(), address.kind().to_owned())).or_default().push(candidate);
    }
    for ((scope, kind), group) in groups {
        let (arns, wanted): (Vec<_>, Vec<_>) = group.into_iter().map(|one| (one.arn, one.wanted)).unzip();
        let objects = observe_alike(kinds, surroundings, &wanted).await;
        let objects = objects.map_err(|error| vec![ObserveError { scope, kind, error }])?;
        for ((arn, wanted), object) in arns.into_iter().zip(wanted).zip(objects) {
            let (Some(object), address) = (object, wanted.address) else { continue };
            let own = identity(&records[&address].outputs);
            if is_of(&object.tags, &address, &surroundings.suffix) && identity(&object.outputs) != own {
                twins.push(Twin { address, arn, object });
            }
        }
    }
    Ok(twins)
}

/// An object that the index shows besides the one on record.
struct Candidate {
    /// Its name in the index.
    arn: String,
    /// What to look for to find it.
    wanted: AnyWanted,
}

/// What the indexes of tags show besides the objects on record.
async fn candidates(
    surroundings: &Surroundings,
    observation: &Observation,
    records: &Records,
    objects: &Objects,
) -> Result<Vec<Candidate>, Vec<ObserveError>> {
    let mut found = Vec::new();
    for (region, index) in indexes(surroundings, observation, records.keys().map(Address::scope)).await? {
        let mut arns: BTreeMap<Address, Vec<&String>> = BTreeMap::new();
        for (arn, tags) in index.iter() {
            let address = tags.get(tags::ADDRESS).and_then(|text| text.parse::<Address>().ok());
            if let Some(address) = address.filter(|address| objects.contains_key(address)) {
                arns.entry(address).or_default().push(arn);
            }
        }
        tracing::trace!(region, addresses = arns.len(), "the index of tags");
        for (address, mut arns) in arns.into_iter().filter(|(_, arns)| arns.len() > 1) {
            let Some(record) = records.get(&address).filter(|record| record.was_finished()) else { continue };
            let Some(own) = arns.iter().find(|arn| names(&record.outputs, arn)).map(|arn| (*arn).clone()) else {
                continue;
            };
            arns.sort_unstable();
            for arn in arns.into_iter().filter(|arn| **arn != own && is_alike(arn, &own)) {
                let outputs = Some(renamed(&record.outputs, &own, arn));
                let wanted = AnyWanted { address: address.clone(), spec: record.spec.clone(), outputs };
                found.push(Candidate { arn: arn.clone(), wanted });
            }
        }
    }
    Ok(found)
}

/// The indexes of tags in which the objects of some scopes are, by region.
pub(super) async fn indexes(
    surroundings: &Surroundings,
    observation: &Observation,
    scopes: impl Iterator<Item = &Scope>,
) -> Result<BTreeMap<String, Arc<Index>>, Vec<ObserveError>> {
    let regions: BTreeSet<String> = scopes.flat_map(|scope| surroundings.provider.index_regions(scope)).collect();
    let mut indexes = BTreeMap::new();
    for region in regions {
        let failed = |error| vec![ObserveError { scope: Scope::region(&region), kind: "tags".into(), error }];
        let index = observation.index(surroundings, &region).await.map_err(failed)?;
        indexes.insert(region, index);
    }
    Ok(indexes)
}

/// Puts the twins on record that a change set deletes.
///
/// # Errors
/// When the state cannot be written.
pub(super) async fn put_on_record(store: &Store, set: &ChangeSet) -> Result<(), StateError> {
    for (address, entry) in entries(&store.records(), &set.twins) {
        if set.changes.contains_key(&address) {
            store.record(&address, entry).await?;
        }
    }
    Ok(())
}

/// The records with those of the twins, which are not in the state yet, and the objects with theirs.
pub(super) fn with_twins(
    mut records: Records,
    mut objects: Objects,
    twins: &[Twin],
    now: Timestamp,
) -> (Records, Objects) {
    for (address, entry) in entries(&records, twins) {
        let record = state::next(None, &entry, now).expect("an observation begins a record");
        records.extend(record.map(|record| (address, Arc::new(record))));
    }
    objects.extend(twins.iter().filter_map(|twin| Some((twin.own_address()?, twin.object.clone()))));
    (records, objects)
}

/// What puts twins on record that are not on record yet.
fn entries(records: &Records, twins: &[Twin]) -> Vec<(Address, Entry)> {
    // A twin may be in the twins of what its brother is in.
    let also = |of: &Address| {
        twins.iter().filter(move |twin| twin.address == *of).filter_map(Twin::own_address).collect::<Vec<_>>()
    };
    let with_twins = |addresses: &[Address]| -> Vec<Address> {
        addresses.iter().flat_map(|one| std::iter::once(one.clone()).chain(also(one))).collect()
    };
    let entry = |twin: &Twin| {
        let (address, record) = (twin.own_address()?, records.get(&twin.address)?);
        let desired = Desired {
            references: with_twins(&record.references),
            delete_after: with_twins(&record.delete_after),
            protected: false,
            ..Desired::of(record)
        };
        (!records.contains_key(&address)).then(|| (address, recover::seen(desired, &twin.object)))
    };
    twins.iter().filter_map(entry).collect()
}

/// Tells whether tags say that an object is that of an address.
pub(super) fn is_of(tags: &Tags, address: &Address, suffix: &str) -> bool {
    tags.get(tags::DEPLOYMENT).is_some_and(|owner| owner == suffix)
        && tags.get(tags::ADDRESS).is_some_and(|tagged| *tagged == address.to_string())
}

/// Tells whether two ARNs differ in their last part alone, and so name objects of one type in one place.
fn is_alike(arn: &str, own: &str) -> bool {
    arn.strip_suffix(last_part(arn)) == own.strip_suffix(last_part(own))
}

/// Tells whether outputs name the object of an ARN.
fn names(outputs: &Value, arn: &str) -> bool {
    let id = last_part(arn);
    let mut texts = outputs.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(Value::as_str);
    texts.any(|text| text == arn || text == id)
}

/// Outputs with one object's names in the place of another's.
fn renamed(outputs: &Value, own: &str, other: &str) -> Value {
    match outputs {
        Value::String(text) => text.replace(own, other).replace(last_part(own), last_part(other)).into(),
        Value::Array(items) => items.iter().map(|item| renamed(item, own, other)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), renamed(field, own, other))).collect()
        }
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_twin_has_the_outputs_of_its_brother_but_for_the_id() {
        let (own, other) = ("arn:aws:ec2:us-east-1:1:natgateway/nat-1", "arn:aws:ec2:us-east-1:1:natgateway/nat-2");
        assert!(names(&json!({ "id": "nat-1" }), own) && !names(&json!({ "id": "nat-1" }), other));
        assert_eq!(renamed(&json!({ "id": "nat-1" }), own, other), json!({ "id": "nat-2" }));
        let outputs = json!({ "arn": own, "zones": ["a"], "url": "https://nat-1.example" });
        let twin = json!({ "arn": other, "zones": ["a"], "url": "https://nat-2.example" });
        assert_eq!(renamed(&outputs, own, other), twin);
    }

    /// Snapshots and recovery points carry the tags of what they are copies of.
    #[test]
    fn a_copy_is_no_twin() {
        let cluster = "arn:aws:rds:us-east-1:1:cluster:dr-aurora";
        assert!(is_alike("arn:aws:rds:us-east-1:1:cluster:dr-aurora-2", cluster));
        assert!(!is_alike("arn:aws:rds:us-east-1:1:cluster-snapshot:rds:dr-aurora-2026", cluster));
        assert!(!is_alike("arn:aws:rds:us-east-2:1:cluster:dr-aurora", cluster));
    }
}
