//! Builds the change set: for every resource of the plan and every record, what has to be done.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::diff::{Difference, differences};
use super::referents::Owners;
use super::{Action, Change, ChangeSet, Drift};
use crate::address::Address;
use crate::aws::tags;
use crate::graph::{Edge, Graph};
use crate::kind::{Adoption, AnyKind, AnyObject, Kinds, Parent};
use crate::reference::{is_known, plain_text, resolve};
use crate::state::{Record, Records, Status};
use crate::topology::{Resource, Topology};

/// An object in the place of one of our resources that does not say it is ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address}: {} and belongs to {owner}", self.what())]
pub struct Taken {
    /// The resource whose name is taken, or whose record names the object.
    pub address: Address,
    /// Whose it is, as far as its tags tell.
    pub owner: String,
    /// What people know the object by: its id on record, or the name that it has.
    pub object: String,
    /// Whether the object is on record; otherwise it only has the resource's name.
    pub is_recorded: bool,
}

impl Taken {
    fn what(&self) -> String {
        match self.is_recorded {
            true => format!("the object on record, {}, exists", self.object),
            false => format!("an object with this name, {}, exists already", self.object),
        }
    }
}

/// Builds the change set of `up`. `objects` is what `observe` found, by address.
///
/// # Errors
/// Every object that has one of our names and is not ours.
///
/// # Panics
/// When the topology is no graph or has kinds that do not exist: faults in drctl, found by its tests.
pub fn build(
    topology: &Topology,
    records: &Records,
    objects: &BTreeMap<Address, AnyObject>,
    suffix: &str,
    kinds: &Kinds,
) -> Result<ChangeSet, Vec<Taken>> {
    let edges = topology.resources.values().flat_map(|resource| {
        resource.references.iter().map(|to| Edge::reference(resource.address.clone(), to.clone()))
    });
    let nodes = topology.resources.values().map(|resource| (resource.address.clone(), resource));
    let graph = Graph::build(nodes, edges).expect("stacks refer only to what was added before");

    let mut set = ChangeSet::default();
    let mut taken = Vec::new();
    // Only what has no record needs them.
    let owners =
        LazyCell::new(|| objects.iter().map(|(address, object)| (address, &object.outputs)).collect::<Owners<'_>>());
    for address in graph.order() {
        let resource = &topology.resources[address];
        let kind = kind_of(kinds, address);
        let record = records.get(address).cloned();
        let object = objects.get(address).cloned();
        // An intent is no claim: only an id on record, or its tags, make an object ours.
        if let Some(object) = &object
            && !record.as_ref().is_some_and(|record| record.is_identified())
            && let Some(owner) = foreign_owner(kinds, address, object, suffix)
        {
            taken.push(Taken { address: address.clone(), owner, object: name_of(address, object), is_recorded: false });
            continue;
        }
        let desired = resolve(&resource.spec, &|of, field| known_output(&set, kinds, of, field));
        let replaced = |of: &Address| set.changes.get(of).is_some_and(|change| change.action == Action::Replace);
        let referents = |desired: &Value, seen: &Value| owners.referents(address, &resource.spec, desired, seen);
        let change = change(resource, &desired, record, object, kind, &replaced, &referents);
        set.changes.insert(address.clone(), change);
    }
    taken.extend(strangers(records, objects, suffix, kinds));
    if !taken.is_empty() {
        return Err(taken);
    }
    for (address, record) in records {
        if !topology.resources.contains_key(address) {
            let object = objects.get(address).cloned();
            set.changes.insert(address.clone(), deletion(address, record, object, kinds));
        }
    }
    set.outputs = topology
        .outputs
        .iter()
        .map(|(name, text)| (name.clone(), resolve(text, &|of, field| known_output(&set, kinds, of, field))))
        .collect();
    Ok(set)
}

/// Builds the change set of `down`: everything on record goes, except what is protected and what that needs.
pub fn teardown(records: &Records, objects: &BTreeMap<Address, AnyObject>, kinds: &Kinds) -> ChangeSet {
    let kept = kept(records);
    let mut set = ChangeSet::default();
    for (address, record) in records {
        let mut change = deletion(address, record, objects.get(address).cloned(), kinds);
        if kept.contains(&address) {
            change.action = Action::None;
        }
        set.changes.insert(address.clone(), change);
    }
    set
}

/// The protected resources and, transitively, all they refer to.
fn kept(records: &Records) -> BTreeSet<&Address> {
    let mut kept = BTreeSet::new();
    let mut open: Vec<&Address> =
        records.iter().filter(|(_, record)| record.is_protected()).map(|(address, _)| address).collect();
    while let Some(address) = open.pop() {
        if kept.insert(address)
            && let Some(record) = records.get(address)
        {
            open.extend(record.all_references().filter(|reference| records.contains_key(*reference)));
        }
    }
    kept
}

fn change(
    resource: &Resource,
    desired: &Value,
    record: Option<Arc<Record>>,
    object: Option<AnyObject>,
    kind: &dyn AnyKind,
    replaced: &dyn Fn(&Address) -> bool,
    referents: &dyn Fn(&Value, &Value) -> BTreeSet<Address>,
) -> Change {
    let traits = kind.traits();
    let expected = traits.expected;
    // A spec that no longer fits its kind was made by an earlier version; then every field counts as different.
    let desired = kind.canonical(desired).unwrap_or_else(|_| desired.clone());
    let drift = drift(record.as_deref(), object.as_ref());
    let (action, differences, seconds) = match (&record, &object) {
        (_, None) => (Action::Create, Vec::new(), expected.create),
        (record, Some(object)) => {
            let creating = record.as_ref().filter(|record| record.status == Status::Creating);
            let mut found = match creating {
                // What is half made may not tell its properties yet; it was made by the recorded spec.
                Some(record) => differences(&record.spec, &desired, traits.immutable),
                None => between(object, &desired, record.as_deref(), traits.immutable),
            };
            for difference in found.iter_mut().filter(|difference| kind.holds(&difference.field)) {
                let referents = difference.to.iter().flat_map(crate::reference::references);
                difference.forces_replacement |= referents.into_iter().any(|referent| replaced(&referent));
            }
            if found.iter().any(|difference| difference.forces_replacement) {
                (Action::Replace, found, expected.delete + expected.create)
            } else if creating.is_some() {
                (Action::Create, Vec::new(), expected.create)
            } else {
                match record.as_ref().map(|record| &record.status) {
                    None | Some(Status::Adopting) => (Action::Adopt, found, expected.update),
                    Some(Status::Ready) if found.is_empty() => (Action::None, found, 0),
                    // What was left in flight may not be usable yet, even when nothing differs.
                    Some(_) => (Action::Update, found, expected.update),
                }
            }
        }
    };
    let unrecorded = object.as_ref().filter(|_| record.is_none());
    let seen_references = unrecorded.map(|object| referents(&desired, &object.spec)).unwrap_or_default();
    let is_update = matches!(action, Action::Update | Action::Adopt);
    let turn = object
        .as_ref()
        .filter(|_| is_update)
        .and_then(|object| differences.iter().find_map(|difference| kind.turn(&difference.field, &object.outputs)));
    let learned = record.as_ref().and_then(|record| record.milliseconds).map(Duration::from_millis);
    Change {
        address: resource.address.clone(),
        stack: resource.stack.to_string(),
        action,
        differences,
        drift,
        desired: Some(resource.clone()),
        object,
        record,
        seen_references,
        expected: match (action, learned) {
            (Action::Create, Some(learned)) => learned,
            _ => Duration::from_secs(seconds.into()),
        },
        is_unheld: false,
        made_after: made_after(resource, kind),
        turn,
    }
}

/// What a resource refers to by fields that order its creation alone.
fn made_after(resource: &Resource, kind: &dyn AnyKind) -> BTreeSet<Address> {
    let fields = resource.spec.as_object().into_iter().flatten();
    let (ordering, lasting): (Vec<_>, Vec<_>) = fields.partition(|(field, _)| kind.orders_creation(field));
    let referents = |fields: Vec<(&String, &Value)>| -> BTreeSet<Address> {
        fields.into_iter().flat_map(|(_, value)| crate::reference::references(value)).collect()
    };
    let lasting = referents(lasting);
    referents(ordering).into_iter().filter(|referent| !lasting.contains(referent)).collect()
}

fn deletion(address: &Address, record: &Arc<Record>, object: Option<AnyObject>, kinds: &Kinds) -> Change {
    let kind = kinds.get(address.kind());
    let seconds = kind.map_or(5, |kind| kind.traits().expected.delete);
    Change {
        address: address.clone(),
        stack: record.stack.clone(),
        action: Action::Delete,
        differences: Vec::new(),
        drift: Drift::None,
        desired: None,
        object,
        record: Some(record.clone()),
        seen_references: BTreeSet::new(),
        expected: Duration::from_secs(seconds.into()),
        is_unheld: kind.is_some_and(AnyKind::is_unheld),
        made_after: BTreeSet::new(),
        turn: None,
    }
}

/// What somebody else did: the difference between the record and the object, on the fields the record has.
pub(super) fn drift(record: Option<&Record>, object: Option<&AnyObject>) -> Drift {
    match (record, object) {
        (Some(record), None) if record.status == Status::Ready => Drift::Missing,
        (Some(record), Some(object)) if record.status == Status::Ready => {
            let fields = between(object, &record.spec, Some(record), &[]);
            // Told in the direction of time: from what was recorded to what is there.
            let fields: Vec<_> = fields
                .into_iter()
                .map(|difference| Difference { from: difference.to, to: difference.from, ..difference })
                .collect();
            if fields.is_empty() { Drift::None } else { Drift::Changed { fields } }
        }
        _ => Drift::None,
    }
}

/// Compares an object with a spec that may have tags: only keys that are desired or that drctl set before count.
fn between(object: &AnyObject, desired: &Value, record: Option<&Record>, immutable: &[&str]) -> Vec<Difference> {
    let wanted = desired.get("tags");
    let ours = |key: &str| {
        let desired = wanted.is_some_and(|tags| tags.get(key).is_some());
        desired || record.is_some_and(|record| record.all_tags().any(|recorded| recorded == key))
    };
    let actual = seen(object, wanted.is_some().then_some(&ours as &dyn Fn(&str) -> bool));
    differences(&actual, desired, immutable)
}

/// An object as a spec: its properties, and, where a kind has tags, those that are ours. Others may tag it as they like.
pub fn seen(object: &AnyObject, ours: Option<&dyn Fn(&str) -> bool>) -> Value {
    let mut spec = object.spec.clone();
    if let (Some(ours), Some(fields)) = (ours, spec.as_object_mut()) {
        let tags = object.tags.iter().filter(|(key, _)| ours(key));
        let tags: serde_json::Map<_, _> = tags.map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
        fields.insert("tags".to_owned(), tags.into());
    }
    spec
}

/// Whose an object is that was found by its name or tags, when it is not ours.
pub fn foreign_owner(kinds: &Kinds, address: &Address, object: &AnyObject, suffix: &str) -> Option<String> {
    if kinds.get(address.kind()).is_none_or(|kind| kind.traits().adoption == Adoption::ByName) {
        return None;
    }
    owner(object, suffix)
}

/// Whose an object is by its tags, when it is not ours.
fn owner(object: &AnyObject, suffix: &str) -> Option<String> {
    match object.tags.get(tags::DEPLOYMENT) {
        Some(owner) if owner == suffix => None,
        Some(owner) => Some(format!("the deployment `{owner}`")),
        None => Some("somebody else (it has no drctl tags)".to_owned()),
    }
}

/// The records of what has to be looked at to know whose it is: what carries tags, and what is in another object under an id of its own, or
/// may be in one of somebody else's. Not what comes back by itself, and without tags: its name alone says whose it is.
pub fn to_be_proved(records: &Records, kinds: &Kinds) -> Records {
    let mut records = records.clone();
    records.retain(|address, _| {
        let kind = kinds.get(address.kind());
        kind.is_some_and(|kind| {
            let is_part = kind.parent().is_some_and(|parent| !parent.is_named || parent.may_be_foreign);
            kind.traits().taggable && !kind.returns() || is_part
        })
    });
    records
}

/// The objects on record that do not say they are ours. A state may be an old copy or edited, and an id may be used again: nothing that the
/// state says makes an object ours. Tagged objects carry the deployment's tag; others are in an object that does, or, where their whole may
/// be somebody else's, are still what the record says.
pub fn strangers(records: &Records, objects: &BTreeMap<Address, AnyObject>, suffix: &str, kinds: &Kinds) -> Vec<Taken> {
    let mut strangers: Vec<Taken> = Vec::new();
    for (address, record) in records.iter().filter(|(_, record)| record.is_identified()) {
        let Some(kind) = kinds.get(address.kind()) else { continue };
        let owner = match (objects.get(address), kind.parent()) {
            (Some(object), _) if kind.traits().taggable => {
                let comes_back = kind.returns() && !object.tags.contains_key(tags::DEPLOYMENT);
                match record.status {
                    // What is taken over by its name, or only just being made, gets its tags later.
                    Status::Creating | Status::Adopting => foreign_owner(kinds, address, object, suffix),
                    // The name of what comes back by itself says whose it is; it comes back without tags.
                    _ if comes_back => None,
                    _ => owner(object, suffix),
                }
            }
            (object, Some(Parent { field, is_named, may_be_foreign })) if is_named || object.is_some() => {
                let whole = &object.map_or(&record.spec, |object| &object.spec)[field];
                let is_within =
                    is_within(records, record, whole) && (!is_named || is_within(records, record, &record.spec[field]));
                let is_tagged = object.is_some_and(|object| owner(object, suffix).is_none());
                let whole = || plain_text(whole).unwrap_or_default();
                match may_be_foreign {
                    _ if is_within || is_tagged => None,
                    true if object.is_none_or(|object| is_as_recorded(record, object)) => None,
                    true => Some(format!("somebody else by now: in the {field} {} it is not as recorded", whole())),
                    false => Some(format!("another {field}, {}", whole())),
                }
            }
            _ => None,
        };
        strangers.extend(owner.map(|owner| Taken {
            address: address.clone(),
            owner,
            object: identity(&record.outputs).unwrap_or_else(|| address.name().to_owned()),
            is_recorded: true,
        }));
    }
    strangers
}

/// Tells whether an object is what its record says. What was left in flight is known to neither.
fn is_as_recorded(record: &Record, object: &AnyObject) -> bool {
    let is_settled = matches!(record.status, Status::Ready | Status::Deleting | Status::Deferred { .. });
    !is_settled || object.spec == record.spec
}

/// Tells whether a part is in an object that its record refers to: whether `whole` is one of the outputs of such an object. Where not all
/// of these are on record any more, nobody can tell.
fn is_within(records: &Records, record: &Record, whole: &Value) -> bool {
    let holds =
        |outputs: &Value| outputs.as_object().is_some_and(|fields| fields.values().any(|output| output == whole));
    let mut referents = record.all_references().map(|reference| records.get(reference)).peekable();
    referents.peek().is_none() || referents.any(|referent| referent.is_none_or(|referent| holds(&referent.outputs)))
}

/// The name by which an object was found in the place of a resource.
pub fn name_of(address: &Address, object: &AnyObject) -> String {
    let name = object.spec.get("name").and_then(Value::as_str).map(str::to_owned);
    name.or_else(|| identity(&object.outputs)).unwrap_or_else(|| address.name().to_owned())
}

/// What people know an object by.
pub fn identity(outputs: &Value) -> Option<String> {
    let fields = outputs.as_object()?;
    let named = ["id", "arn", "name"].iter().find_map(|name| fields.get(*name)?.as_str());
    named.or_else(|| fields.values().find_map(Value::as_str)).map(str::to_owned)
}

/// An output of a resource that keeps its object: what is to be made or made again has no known outputs yet. What an earlier run
/// left half made keeps its object too.
fn known_output(set: &ChangeSet, kinds: &Kinds, address: &Address, field: &str) -> Option<Value> {
    let change = set.changes.get(address)?;
    let keeps = match change.action {
        Action::None => true,
        // A creation without an object has no outputs to look at.
        Action::Update | Action::Adopt | Action::Create => !kind_of(kinds, address).changes_on_update(field),
        Action::Replace | Action::Delete => false,
    };
    let value = change.object.as_ref().filter(|_| keeps)?.outputs.get(field)?;
    is_known(value).then(|| value.clone())
}

fn kind_of<'k>(kinds: &Kinds, address: &Address) -> &'k dyn AnyKind {
    kinds.get(address.kind()).expect("topologies are made of known kinds")
}
