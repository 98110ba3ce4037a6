//! Looks at what AWS has, with few calls: one observation per kind and scope, all at the same time.
//!
//! Resources on record are found by their outputs. The others are found by fixed names and tags; since their specs may refer
//! to each other, they are looked for in rounds, each round with what the one before has found. What several kinds read is
//! read once in all rounds; a look for one resource, which follows a change, shares nothing.
//!
//! One answer that lacks an object proves nothing: a list may be cut or late, and an answer may be false. What was finished once and is not
//! seen is therefore looked for again, alone and after pauses ([`AGAIN`]), before it counts as missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;
use serde_json::Value;

use super::twins;
use crate::address::{Address, Scope};
use crate::aws::{Error, Tags, tags};
use crate::changes::Twin;
use crate::kind::{AnyObject, AnyWanted, Context, Kinds, Observation, Surroundings};
use crate::reference::{is_known, resolve};
use crate::state::{Record, Records, Status};
use crate::topology::Topology;

/// How many kinds are observed at the same time.
const KINDS_AT_ONCE: usize = 24;

/// How many single resources are looked for again at the same time.
const AGAIN_AT_ONCE: usize = 8;

/// The pauses before each further look for what is on record and was not seen.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// What AWS has, by address.
pub type Objects = BTreeMap<Address, AnyObject>;

/// What a look has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The objects of the resources.
    pub objects: Objects,
    /// Further objects that say they are those of the same resources.
    pub twins: Vec<Twin>,
}

/// An observation that failed: one per kind and scope.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{scope}/{kind}: cannot look: {error}")]
pub struct ObserveError {
    /// Where.
    pub scope: Scope,
    /// What.
    pub kind: String,
    /// Why.
    #[source]
    pub error: Error,
}

/// Looks for all records, and for the resources of a topology that are not on record.
///
/// # Errors
/// Every observation that failed; then nothing is known for sure, and nothing may be changed.
pub async fn observe(
    kinds: &Kinds,
    surroundings: &Surroundings,
    records: &Records,
    topology: Option<&Topology>,
) -> Result<Seen, Vec<ObserveError>> {
    let mut objects = Objects::new();
    let mut wanted: Vec<AnyWanted> = records
        .iter()
        .filter(|(address, _)| kinds.get(address.kind()).is_some())
        .map(|(address, record)| AnyWanted {
            address: address.clone(),
            spec: record.spec.clone(),
            outputs: record.is_identified().then(|| record.outputs.clone()),
        })
        .collect();
    let new = topology.iter().flat_map(|topology| topology.resources.values());
    let mut unfound: BTreeMap<&Address, &Value> = new
        .filter(|resource| !records.contains_key(&resource.address))
        .map(|resource| (&resource.address, &resource.spec))
        .collect();
    let observation = Observation::new(settled(kinds, records));
    // What is looked for again has to have a spec that became clearer, so the rounds come to an end.
    let mut looked: BTreeMap<&Address, Value> = BTreeMap::new();
    loop {
        for (&address, &spec) in &unfound {
            let spec = resolve(spec, &|of, field| outputs(&objects, records, of)?.get(field).cloned());
            if looked.get(address) != Some(&spec) {
                wanted.push(AnyWanted { address: address.clone(), spec: spec.clone(), outputs: None });
                looked.insert(address, spec);
            }
        }
        let before = objects.len();
        objects.extend(look(kinds, surroundings, &observation, std::mem::take(&mut wanted)).await?);
        unfound.retain(|address, _| !objects.contains_key(*address));
        if objects.len() == before {
            objects.extend(look_again(kinds, surroundings, records, &objects).await?);
            let twins = match observation.has_records() {
                true => twins::find(kinds, surroundings, &observation, records, &objects).await?,
                false => Vec::new(),
            };
            return Ok(Seen { objects: completed(kinds, objects), twins });
        }
    }
}

/// Looks again for what was finished once and was not seen, each alone.
async fn look_again(
    kinds: &Kinds,
    surroundings: &Surroundings,
    records: &Records,
    seen: &Objects,
) -> Result<Objects, Vec<ObserveError>> {
    let mut found = Objects::new();
    for pause in AGAIN {
        let is_missed = |address: &Address, record: &Record| {
            let is_seen = seen.contains_key(address) || found.contains_key(address);
            record.was_finished() && !is_seen && kinds.get(address.kind()).is_some()
        };
        let missed: Vec<AnyWanted> = records
            .iter()
            .filter(|(address, record)| is_missed(address, record))
            .map(|(address, record)| AnyWanted {
                address: address.clone(),
                spec: record.spec.clone(),
                outputs: Some(record.outputs.clone()),
            })
            .collect();
        if missed.is_empty() {
            break;
        }
        tokio::time::sleep(pause).await;
        let looks = missed.into_iter().map(|wanted| async move {
            let address = wanted.address.clone();
            match observe_one(kinds, surroundings, wanted).await {
                Ok(object) => Ok(object.map(|object| (address, object))),
                Err(error) => {
                    let (scope, kind) = (address.scope().clone(), address.kind().to_owned());
                    Err(ObserveError { scope, kind, error })
                }
            }
        });
        let looked: Vec<_> = futures::stream::iter(looks).buffer_unordered(AGAIN_AT_ONCE).collect().await;
        let (objects, errors): (Vec<_>, Vec<_>) = looked.into_iter().partition(Result::is_ok);
        if !errors.is_empty() {
            return Err(errors.into_iter().filter_map(Result::err).collect());
        }
        found.extend(objects.into_iter().filter_map(Result::ok).flatten());
    }
    Ok(found)
}

/// The outputs of a resource as far as they are known now. Of what is on record with its id, those on record, which spares a round:
/// nothing refers to it by outputs that it did not have yet.
fn outputs<'a>(objects: &'a Objects, records: &'a Records, address: &Address) -> Option<&'a Value> {
    match records.get(address).filter(|record| record.is_identified()) {
        Some(record) => Some(&record.outputs),
        None => objects.get(address).map(|object| &object.outputs),
    }
}

/// Fills in what a later round found: properties that AWS does not tell are copied from the wanted spec, and that may have
/// referred to an object that was not found yet.
fn completed(kinds: &Kinds, mut objects: Objects) -> Objects {
    let unclear = objects.iter().filter(|(_, object)| !is_known(&object.spec));
    let clear: Vec<(Address, Value)> = unclear
        .filter_map(|(address, object)| {
            let spec = resolve(&object.spec, &|of, field| objects.get(of)?.outputs.get(field).cloned());
            Some((address.clone(), kinds.get(address.kind())?.canonical(&spec).ok()?))
        })
        .collect();
    for (address, spec) in clear {
        objects.entry(address).and_modify(|object| object.spec = spec);
    }
    objects
}

/// Looks for one resource.
///
/// # Errors
/// When the look fails.
///
/// # Panics
/// When the kind does not exist.
pub async fn observe_one(
    kinds: &Kinds,
    surroundings: &Surroundings,
    wanted: AnyWanted,
) -> Result<Option<AnyObject>, Error> {
    Ok(observe_alike(kinds, surroundings, std::slice::from_ref(&wanted)).await?.pop().flatten())
}

/// Looks for resources that are all of one kind and scope, and shares no read with another look.
///
/// # Errors
/// When the look fails.
///
/// # Panics
/// When the kind does not exist.
pub(super) async fn observe_alike(
    kinds: &Kinds,
    surroundings: &Surroundings,
    wanted: &[AnyWanted],
) -> Result<Vec<Option<AnyObject>>, Error> {
    let Some(first) = wanted.first() else { return Ok(Vec::new()) };
    let kind = kinds.get(first.address.kind()).expect("operations are of known kinds");
    let context = Context::new(surroundings.clone(), first.address.scope().clone(), kind.traits());
    let found = kind.observe(&context, wanted).await?.into_iter();
    let is_meant = |(object, one): (Option<_>, &_)| object.filter(|object| is_meant(one, object, &surroundings.suffix));
    Ok(found.zip(wanted).map(is_meant).collect())
}

/// Whether an object that was found is that of the resource it was looked for. What is found by a name, or by a place that only one
/// can have, may still be that of another resource of the deployment, which is about to go: a listener rule by its priority.
fn is_meant(wanted: &AnyWanted, object: &AnyObject, suffix: &str) -> bool {
    let is_ours = object.tags.get(tags::DEPLOYMENT).is_some_and(|owner| owner == suffix);
    let other = |address: &String| *address != wanted.address.to_string();
    wanted.outputs.is_some() || !is_ours || !object.tags.get(tags::ADDRESS).is_some_and(other)
}

/// The tags of the records that nothing is in flight for.
fn settled<'a>(kinds: &'a Kinds, records: &'a Records) -> impl Iterator<Item = (&'a Address, Tags)> {
    let taggable = |address: &Address| kinds.get(address.kind()).is_some_and(|kind| kind.traits().taggable);
    records
        .iter()
        .filter(move |(address, record)| record.status == Status::Ready && taggable(address))
        .filter_map(|(address, record)| Some((address, Tags::deserialize(record.spec.get("tags")?).ok()?)))
}

async fn look(
    kinds: &Kinds,
    surroundings: &Surroundings,
    observation: &Arc<Observation>,
    wanted: Vec<AnyWanted>,
) -> Result<Objects, Vec<ObserveError>> {
    let mut groups: BTreeMap<(Scope, String), Vec<AnyWanted>> = BTreeMap::new();
    for one in wanted {
        groups.entry((one.address.scope().clone(), one.address.kind().to_owned())).or_default().push(one);
    }
    let looks = groups.into_iter().map(|((scope, name), wanted)| async move {
        let kind = kinds.get(&name).expect("only known kinds are looked for");
        let context = Context::new(surroundings.clone(), scope.clone(), kind.traits()).within(observation);
        match kind.observe(&context, &wanted).await {
            Ok(objects) => {
                let found = wanted.into_iter().zip(objects).filter_map(|(one, object)| Some((one, object?)));
                let meant = found.filter(|(one, object)| is_meant(one, object, &surroundings.suffix));
                Ok(meant.map(|(one, object)| (one.address, object)))
            }
            Err(error) => Err(ObserveError { scope, kind: name, error }),
        }
    });
    let results: Vec<_> = futures::stream::iter(looks).buffer_unordered(KINDS_AT_ONCE).collect().await;
    let mut objects = Objects::new();
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(found) => objects.extend(found),
            Err(error) => errors.push(error),
        }
    }
    errors.sort_by(|a, b| (&a.scope, &a.kind).cmp(&(&b.scope, &b.kind)));
    if errors.is_empty() { Ok(objects) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A renamed function keeps its route, and with it the priority of its listener rule: the rule of the old name is not taken over,
    /// or the deletion under the old name would take it away (`rule.create`).
    #[test]
    fn the_object_of_another_resource_is_not_taken_for_ones_own() {
        let address: Address = "us-east-1/elb_listener_rule/charge".parse().expect("an address");
        let found = |deployment: &str, at: &str| AnyObject {
            spec: json!({}),
            outputs: json!({}),
            tags: [(tags::DEPLOYMENT, deployment), (tags::ADDRESS, at)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        };
        let mut wanted = AnyWanted { address: address.clone(), spec: json!({}), outputs: None };
        let other = "us-east-1/elb_listener_rule/pay";
        assert!(is_meant(&wanted, &found("dev", &address.to_string()), "dev"));
        assert!(!is_meant(&wanted, &found("dev", other), "dev"));
        // Whose it is has to be told, when it is somebody else's.
        assert!(is_meant(&wanted, &found("prod", other), "dev"));
        // What is on record is ours, whatever became of its tags.
        wanted.outputs = Some(json!({}));
        assert!(is_meant(&wanted, &found("dev", other), "dev"));
    }
}
