//! From a change set to operations and the order between them.
//!
//! Creations follow references; deletions follow them backwards, as *recorded*, plus the recorded delete edges. A resource that
//! is no longer wanted goes only after those that referred to it were changed to do without. Pure.

use std::collections::BTreeMap;

use super::scheduler::{Action, Operation, OperationId};
use crate::address::Address;
use crate::changes::{self, Change, ChangeSet};

/// The operations of a change set, each after those it has to wait for.
pub fn operations(set: &ChangeSet) -> Vec<Operation> {
    let mut list = List::default();
    for change in set.changes.values() {
        match change.action {
            changes::Action::None => {}
            changes::Action::Create => list.push(change, Action::Create),
            changes::Action::Adopt => list.push(change, Action::Adopt),
            changes::Action::Update => list.push(change, Action::Update),
            changes::Action::Delete => list.push(change, Action::Delete),
            changes::Action::Replace => {
                list.push(change, Action::Delete);
                list.push(change, Action::Create);
            }
        }
    }
    for change in set.changes.values() {
        if let Some(&making) = list.making.get(&change.address) {
            let deletion = list.deleting.get(&change.address).copied();
            let references = change.desired.iter().flat_map(|resource| &resource.references);
            let made = references.filter_map(|reference| list.making.get(reference).copied());
            list.operations[making.index()].after = made.chain(deletion).collect();
        }
    }
    let edges: Vec<(OperationId, OperationId)> =
        set.changes.values().flat_map(|change| deletion_edges(set, &list, change)).collect();
    for (first, then) in edges {
        list.operations[then.index()].after.push(first);
    }
    list.operations
}

#[derive(Default)]
struct List {
    operations: Vec<Operation>,
    /// The operation that creates, adopts or updates a resource.
    making: BTreeMap<Address, OperationId>,
    /// The operation that deletes it.
    deleting: BTreeMap<Address, OperationId>,
}

impl List {
    fn push(&mut self, change: &Change, action: Action) {
        let id = OperationId::new(self.operations.len());
        let place = if action == Action::Delete { &mut self.deleting } else { &mut self.making };
        place.insert(change.address.clone(), id);
        let replaced = change.action == changes::Action::Replace;
        self.operations.push(Operation {
            address: change.address.clone(),
            action,
            expected: if replaced { change.expected / 2 } else { change.expected },
            lock_group: lock_group(change),
            class: None,
            after: Vec::new(),
        });
    }
}

fn lock_group(change: &Change) -> Option<String> {
    let desired = change.desired.as_ref().and_then(|resource| resource.lock_group.as_ref()).map(ToString::to_string);
    desired.or_else(|| change.record.as_ref().and_then(|record| record.lock_group.clone()))
}

/// The edges that this resource's record asks of deletions, as pairs of what goes first and what waits.
fn deletion_edges(set: &ChangeSet, list: &List, change: &Change) -> Vec<(OperationId, OperationId)> {
    let Some(record) = &change.record else { return Vec::new() };
    let own_deletion = list.deleting.get(&change.address).copied();
    let mut edges = Vec::new();
    for reference in record.all_references() {
        let Some(&gone) = list.deleting.get(reference) else { continue };
        match own_deletion {
            Some(own) => edges.push((own, gone)),
            // What is replaced is made again before its dependents are updated, so they cannot let go of it first.
            None if set.changes[reference].action == changes::Action::Delete => {
                edges.extend(list.making.get(&change.address).map(|&update| (update, gone)));
            }
            None => {}
        }
    }
    if let Some(own) = own_deletion {
        let first = record.all_delete_after().filter_map(|first| list.deleting.get(first).copied());
        edges.extend(first.map(|first| (first, own)));
    }
    edges
}
