//! The last look of `down`: what is there although it was deleted is deleted once more, and what says it is ours and cannot be deleted is
//! named.
//!
//! A deletion that was answered with "gone" may not have happened; a state that was an old copy had other ids; and the last invocation of a
//! function writes its log when the function is already gone, which makes the log group again without tags
//! (`logs.delete.resurrection`). So, when everything else is done, `down` reads the indexes of tags and looks for what they show by its
//! names and tags, as if there had never been a state. What the indexes do not have is looked for in any case: kinds that say so
//! ([`AnyKind::is_indexed`]), and kinds whose objects come back ([`AnyKind::returns`]). The look waits for nothing: what makes a `down`
//! long, the network interfaces of functions, gives late writers their time.
//!
//! An index also shows what is gone, so it never counts alone: the object's own service has to show it as well. Of what was never on record
//! nothing is known but its ARN; it is named only when the index still shows it after [`LATE`].
//!
//! Invariants (numbers as in `engine`):
//! 1. What is found is on record before it is deleted, so that a run cut short leaves it to the next one.
//! 2. What is somebody else's by now stays, whatever its name.
//! 3. What a `down` has deleted is remembered for as long as there is a state ([`TEARDOWN`]), so that the last look of a later one, which finds
//!    no records of it any more, is for all of it: after a run that was cut short, or that kept what is protected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::event::Event;
use super::executor::{Execution, Leftover, RunReport};
use super::observe::{Objects, ObserveError};
use super::recover;
use super::run::{self, RunError};
use super::scheduler::{Action, Operation};
use super::twins::{indexes, is_of};
use crate::address::Address;
use crate::aws::{Tags, tags};
use crate::changes;
use crate::kind::{AnyKind, AnyObject, Kinds, Observation};
use crate::reference::{Output, is_known, resolve};
use crate::state::{Desired, Record, Records, StateError, Store};
use crate::topology::{Resource, Stack, Topology};

/// The fact that keeps the records that a `down` deletes.
pub(super) const TEARDOWN: &str = "teardown";

/// How often `down` looks and deletes what it finds.
const ROUNDS: usize = 3;

/// For how long an index may show what is gone (`x.discover-by-tag`: minutes), and the pause between two reads of it.
const LATE: (Duration, Duration) = (Duration::from_secs(180), Duration::from_secs(15));

/// Remembers what is about to be deleted, beside what earlier runs of this state deleted.
pub(super) async fn remember(store: &Store, set: &changes::ChangeSet) -> Result<Records, StateError> {
    let mut gone = remembered(store);
    let deletions = set.changes.values().filter(|change| change.action == changes::Action::Delete);
    let earlier = gone.len();
    gone.extend(deletions.filter_map(|change| Some((change.address.clone(), change.record.clone()?))));
    if !set.is_empty() || gone.len() > earlier {
        let records: BTreeMap<&Address, &Record> = gone.iter().map(|(address, record)| (address, &**record)).collect();
        store.set_fact(TEARDOWN, serde_json::to_value(records).expect("records are plain data")).await?;
    }
    Ok(gone)
}

/// What earlier runs of this state deleted. What this version cannot read is none of its business.
fn remembered(store: &Store) -> Records {
    let facts = store.facts();
    let gone = facts.get(TEARDOWN).and_then(|gone| BTreeMap::<Address, Record>::deserialize(gone).ok());
    gone.into_iter().flatten().map(|(address, record)| (address, Arc::new(record))).collect()
}

/// Looks for what is there although it was deleted, and deletes it.
pub(super) async fn sweep(execution: &Arc<Execution>, gone: Records, mut report: RunReport) -> RunReport {
    let Execution { store, shutdown, .. } = &**execution;
    for _ in 0..ROUNDS {
        let mut gone = gone.clone();
        let records = store.records();
        gone.retain(|address, _| !records.contains_key(address));
        if gone.is_empty() || shutdown.is_requested() || store.failure().is_some() {
            break;
        }
        let found = match look(execution, &gone).await {
            Ok((found, left)) => {
                report.left = left;
                found
            }
            Err(RunError::Unseen(errors)) => {
                report.unseen = errors;
                break;
            }
            // An interrupt, after everything that was to be done.
            Err(_) => break,
        };
        if found.is_empty() {
            break;
        }
        if delete_again(execution, &gone, &found, &mut report).await.is_err() {
            return report;
        }
    }
    report
}

/// Looks once more, after an `up`, for what it deleted as far as that comes back by itself, and deletes what did.
pub(super) async fn sweep_returned(
    execution: &Arc<Execution>,
    set: &changes::ChangeSet,
    mut report: RunReport,
) -> RunReport {
    let Execution { kinds, store, surroundings, events, shutdown, .. } = &**execution;
    let comes_back = |operation: &&Operation| {
        let returns = kinds.get(operation.address.kind()).is_some_and(AnyKind::returns);
        // What was only replaced is on record again.
        operation.action == Action::Delete && returns && store.get(&operation.address).is_none()
    };
    let gone: Records = report
        .succeeded
        .iter()
        .filter(comes_back)
        .filter_map(|operation| Some((operation.address.clone(), set.changes.get(&operation.address)?.record.clone()?)))
        .collect();
    if gone.is_empty() || shutdown.is_requested() || store.failure().is_some() {
        return report;
    }
    let topology = as_made(kinds, &gone);
    match run::look(kinds, surroundings, events, shutdown, &Records::new(), Some(&topology)).await {
        Ok(seen) => {
            let found = ours(kinds, &surroundings.suffix, seen.objects);
            if !found.is_empty() {
                // A write that fails is told when the state is closed.
                let _ = delete_again(execution, &gone, &found, &mut report).await;
            }
        }
        Err(RunError::Unseen(errors)) => report.unseen = errors,
        // An interrupt, after everything that was to be done.
        Err(_) => {}
    }
    report
}

/// Puts what was found on record and deletes it, in its order.
async fn delete_again(
    execution: &Arc<Execution>,
    gone: &Records,
    found: &Objects,
    report: &mut RunReport,
) -> Result<(), StateError> {
    let Execution { kinds, store, .. } = &**execution;
    let mut again = Records::new();
    for (address, object) in found {
        let mut desired = Desired::of(&gone[address]);
        desired.references.retain(|reference| found.contains_key(reference));
        desired.delete_after.retain(|first| found.contains_key(first));
        // What AWS does not tell was copied from what was looked for, and may refer to what is not there: then the old value will do.
        let output = |of: &Address, field: &str| {
            let there = found.get(of).map(|object| &object.outputs);
            there.or(gone.get(of).map(|record| &record.outputs))?.get(field).cloned()
        };
        let object = AnyObject { spec: resolve(&object.spec, &output), ..object.clone() };
        for entry in recover::taken_over(desired, &object) {
            store.record(address, entry).await?;
        }
        again.extend(store.get(address).map(|record| (address.clone(), record)));
    }
    report.replace(run::execute(execution, &changes::teardown(&again, found, kinds)).await);
    Ok(())
}

/// What there is of what was deleted, and what else says that it is ours.
async fn look(execution: &Execution, gone: &Records) -> Result<(Objects, Vec<Leftover>), RunError> {
    let Execution { kinds, store, surroundings, events, shutdown, .. } = execution;
    let is_told = |address: &Address| gone.contains_key(address) || store.get(address).is_some();
    let begin = Instant::now();
    let (tagged, left) = loop {
        let tagged = tokio::select! {
            biased;
            () = shutdown.first() => return Err(RunError::Interrupted),
            tagged = tagged(execution, gone) => tagged.map_err(RunError::Unseen)?,
        };
        let left = tagged.iter().filter(|(address, _)| !is_told(address));
        let left: Vec<_> = left.map(|(address, arn)| Leftover { address: address.clone(), arn: arn.clone() }).collect();
        let Some(first) = left.first().filter(|_| begin.elapsed() < LATE.0) else { break (tagged, left) };
        let what = "AWS's index of tags to forget it, or to insist".to_owned();
        events.tell(Event::Waiting { address: first.address.clone(), what });
        tokio::select! {
            biased;
            () = shutdown.first() => return Err(RunError::Interrupted),
            () = tokio::time::sleep(LATE.1) => {}
        }
    };
    // What the index shows is mostly what went a moment ago, or keys that wait for their end: only when one of it is there is everything
    // looked for, in the order in which parts are found by their wholes.
    let is_unindexed = |kind: &dyn AnyKind| kind.returns() || kind.traits().taggable && !kind.is_indexed();
    let all = as_made(kinds, gone);
    let mut suspects = all.clone();
    suspects
        .resources
        .retain(|address, _| tagged.contains_key(address) || kinds.get(address.kind()).is_some_and(is_unindexed));
    let mut found = Objects::new();
    for topology in [suspects, all] {
        if topology.resources.is_empty() {
            break;
        }
        let unknown = Records::new();
        let mut seen = run::look(kinds, surroundings, events, shutdown, &unknown, Some(&topology)).await?.objects;
        let rest = with_old_values(topology, &seen, gone);
        if !rest.resources.is_empty() && !seen.is_empty() {
            seen.extend(run::look(kinds, surroundings, events, shutdown, &unknown, Some(&rest)).await?.objects);
        }
        found = ours(kinds, &surroundings.suffix, seen);
        if !found.keys().any(|address| tagged.contains_key(address)) {
            break;
        }
    }
    Ok((found, left))
}

/// The ARNs of all that the indexes of tags show, by the address that is on it.
async fn tagged(execution: &Execution, gone: &Records) -> Result<BTreeMap<Address, String>, Vec<ObserveError>> {
    let observation = Observation::new([]);
    let indexes = indexes(&execution.surroundings, &observation, gone.keys().map(Address::scope)).await?;
    let entries = indexes.values().flat_map(|index| index.iter());
    let address = |tags: &Tags| tags.get(tags::ADDRESS)?.parse().ok();
    Ok(entries.filter_map(|(arn, tags)| Some((address(tags)?, arn.clone()))).collect())
}

/// The objects that are ours by their tags, or by their names where somebody makes them again without tags; and what is in them.
fn ours(kinds: &Kinds, suffix: &str, objects: Objects) -> Objects {
    let is_taggable = |address: &Address| kinds.get(address.kind()).is_some_and(|kind| kind.traits().taggable);
    let comes_back = |address: &Address, object: &AnyObject| {
        kinds.get(address.kind()).is_some_and(AnyKind::returns) && !object.tags.contains_key(tags::DEPLOYMENT)
    };
    let (tagged, others): (Objects, Objects) = objects.into_iter().partition(|(address, _)| is_taggable(address));
    let mut ours: Objects = tagged
        .into_iter()
        .filter(|(address, object)| is_of(&object.tags, address, suffix) || comes_back(address, object))
        .collect();
    let outputs: BTreeSet<String> = ours
        .values()
        .filter_map(|object| object.outputs.as_object())
        .flat_map(|outputs| outputs.values())
        .filter_map(text)
        .collect();
    ours.extend(others.into_iter().filter(|(_, object)| mentions(&object.spec, &outputs)));
    ours
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Tells whether one of the texts stands anywhere in a value.
fn mentions(value: &Value, texts: &BTreeSet<String>) -> bool {
    match value {
        Value::String(text) => texts.contains(text),
        Value::Array(items) => items.iter().any(|item| mentions(item, texts)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, texts)),
        _ => false,
    }
}

/// The resources that records are of, as a plan would have them: where a spec has an output of what it refers to, it refers to that again.
/// So objects are found whose ids are not those on record.
fn as_made(kinds: &Kinds, records: &Records) -> Topology {
    let mut topology = Topology::default();
    for (address, record) in records {
        let mut made = resource(address, record);
        let outputs: BTreeMap<String, Output> = record
            .all_references()
            .filter_map(|of| Some((of, records.get(of)?.outputs.as_object()?)))
            .flat_map(|(of, outputs)| {
                let output = |(field, value): (&String, &Value)| {
                    Some((text(value)?, Output { address: of.clone(), field: field.clone() }))
                };
                outputs.iter().filter_map(output).collect::<Vec<_>>()
            })
            .collect();
        if let Some(kind) = kinds.get(address.kind()) {
            let mut places = Vec::new();
            find_places(&made.spec, &outputs, &mut String::new(), &mut places);
            for (place, output) in places {
                let mut spec = made.spec.clone();
                if let Some(value) = spec.pointer_mut(&place) {
                    *value = output.to_json();
                }
                // A text that only looks like an output is no reference: there the kind takes none.
                if kind.canonical(&spec).is_ok() {
                    made.spec = spec;
                }
            }
        }
        topology.resources.insert(address.clone(), made);
    }
    topology
}

/// What was not seen and refers to what is not there any more, with the values that this had: a record in a zone may outlive what it leads to.
fn with_old_values(mut topology: Topology, seen: &Objects, gone: &Records) -> Topology {
    topology.resources.retain(|address, resource| {
        let there = |of: &Address, field: &str| seen.get(of)?.outputs.get(field).cloned();
        resource.spec = resolve(&resource.spec, &there);
        let is_open = !seen.contains_key(address) && !is_known(&resource.spec);
        resource.spec = resolve(&resource.spec, &|of, field| gone.get(of)?.outputs.get(field).cloned());
        is_open
    });
    topology
}

/// The places in a spec that have an output of something else, as JSON pointers.
fn find_places<'a>(
    value: &Value,
    outputs: &'a BTreeMap<String, Output>,
    path: &mut String,
    places: &mut Vec<(String, &'a Output)>,
) {
    let length = path.len();
    let mut enter = |name: &str, child: &Value| {
        path.push('/');
        path.push_str(&name.replace('~', "~0").replace('/', "~1"));
        find_places(child, outputs, path, places);
        path.truncate(length);
    };
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| enter(&at.to_string(), item)),
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| *name != "tags").for_each(|(name, item)| enter(name, item))
        }
        Value::String(text) => places.extend(outputs.get(text).map(|output| (path.clone(), output))),
        _ => {}
    }
}

/// The resource that a record is of.
fn resource(address: &Address, record: &Record) -> Resource {
    let stack = Stack::ALL.into_iter().find(|stack| stack.as_str() == record.stack);
    Resource {
        address: address.clone(),
        // A stack of another version is none that anybody reads here.
        stack: stack.unwrap_or(Stack::Security),
        spec: record.spec.clone(),
        references: record.references.iter().cloned().collect(),
        delete_after: record.delete_after.iter().map(|first| (first.clone(), String::new())).collect(),
        lock_group: record.lock_group.as_ref().and_then(|group| group.parse().ok()),
        data_bearing: record.data_bearing,
        protected: false,
        supersedes: BTreeSet::new(),
    }
}
