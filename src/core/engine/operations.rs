//! From a change set to operations and the order between them.
//!
//! Creations follow references; deletions follow them backwards, as *recorded*, plus the recorded delete edges. A resource that
//! goes, for good or to be made again, goes only after those that referred to it were changed to do without. Pure.
//!
//! Invariants:
//! 1. What was seen under an id is deleted before its address is created again, and so is what a run before this one had not finished. What
//!    was finished and is not seen is not deleted.
//! 2. The order of creations is always kept. Edges of deletions come from records, which plans of different times and runs
//!    that were cut short have written, so they may contradict each other and the plan; of those that close a circle the
//!    one that matters least is dropped, and AWS has the last word.
//! 3. A resource that others lock to change their parts is itself changed under that lock, after the parts that go for good:
//!    while it has them AWS may refuse to change it (`s3.versioning`).
//! 4. Updates that put objects of one kind out of use are made one at a time, in the order of what the objects do now. What was only
//!    made after something else is not updated after it.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::{has_path_connecting, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use super::scheduler::{Action, Operation, OperationId};
use crate::address::Address;
use crate::changes::{self, Change, ChangeSet};

/// The operations of a change set, each after those it has to wait for.
pub fn operations(set: &ChangeSet) -> Vec<Operation> {
    let mut list = List::default();
    for change in set.changes.values() {
        if deletes(change) {
            list.push(change, Action::Delete);
        }
        match change.action {
            changes::Action::Create | changes::Action::Replace => list.push(change, Action::Create),
            changes::Action::Adopt => list.push(change, Action::Adopt),
            changes::Action::Update => list.push(change, Action::Update),
            changes::Action::None | changes::Action::Delete => {}
        }
    }
    list.lock_parents();
    let edges = list.edges(set);
    for (first, then) in without_circles(list.operations.len(), edges) {
        list.operations[then.index()].after.push(first);
    }
    list.operations
}

/// Tells whether something on record has to go first. What is not seen under an id that we know is deleted only where an earlier run had
/// not finished making it or had begun to delete it: that deletion waits until AWS has let go of the name. What was finished once is never
/// deleted unseen: one look that does not show it may be wrong, and what stands under the id may be all the data there is.
fn deletes(change: &Change) -> bool {
    match change.action {
        changes::Action::Delete | changes::Action::Replace => true,
        changes::Action::Create => {
            let is_known = change.record.as_ref().is_some_and(|record| record.is_identified());
            change.object.is_none() && is_known && !change.is_missing()
        }
        changes::Action::None | changes::Action::Adopt | changes::Action::Update => false,
    }
}

/// How much an edge matters when not all can be kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// The plan's references, and deletion before creation of the same address. Among themselves they have no circle.
    Plan,
    /// A recorded reference or delete edge between two deletions.
    Record,
    /// A change that lets go of what is deleted.
    LettingGo,
    /// A part that is deleted before its whole is changed.
    Part,
    /// Updates of one kind that are made one at a time.
    Turn,
}

/// What goes first, what waits for it, and how much that matters.
type WeightedEdge = (Weight, OperationId, OperationId);

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
            lock_group: lock_group(change, action),
            class: None,
            after: Vec::new(),
        });
    }

    /// Puts every resource that is the lock of a group into that group.
    fn lock_parents(&mut self) {
        let groups: BTreeSet<String> = self.operations.iter().filter_map(|one| one.lock_group.clone()).collect();
        for operation in self.operations.iter_mut().filter(|operation| operation.lock_group.is_none()) {
            operation.lock_group = groups.get(&operation.address.to_string()).cloned();
        }
    }

    fn edges(&self, set: &ChangeSet) -> Vec<WeightedEdge> {
        let mut edges = Vec::new();
        for change in set.changes.values() {
            self.making_edges(change, &mut edges);
            self.deletion_edges(set, change, &mut edges);
            edges.extend(self.part_edge(set, change));
            edges.extend(self.superseding_edges(change));
        }
        self.turn_edges(set, &mut edges);
        edges
    }

    /// A part that goes for good goes before the resource that it is a part of is changed (invariant 3).
    fn part_edge(&self, set: &ChangeSet, change: &Change) -> Option<WeightedEdge> {
        let gone = self.deleting.get(&change.address).filter(|_| change.action == changes::Action::Delete)?;
        let whole: Address = self.operations[gone.index()].lock_group.as_ref()?.parse().ok()?;
        let changed = set.changes.get(&whole).is_some_and(|whole| whole.action == changes::Action::Update);
        Some((Weight::Part, *gone, *self.making.get(&whole).filter(|_| changed)?))
    }

    /// What takes turns is updated one at a time (invariant 4).
    fn turn_edges(&self, set: &ChangeSet, edges: &mut Vec<WeightedEdge>) {
        let mut kinds: BTreeMap<&str, Vec<(u32, &Address)>> = BTreeMap::new();
        for change in set.changes.values() {
            if let Some(turn) = change.turn {
                kinds.entry(change.address.kind()).or_default().push((turn, &change.address));
            }
        }
        for mut turns in kinds.into_values() {
            turns.sort_unstable();
            let updates: Vec<OperationId> = turns.iter().filter_map(|(_, at)| self.making.get(*at).copied()).collect();
            edges.extend(updates.windows(2).map(|pair| (Weight::Turn, pair[0], pair[1])));
        }
    }

    /// What a changed resource takes the place of goes only then: nothing on record says who still needs it.
    fn superseding_edges(&self, change: &Change) -> impl Iterator<Item = WeightedEdge> {
        let making = self.making.get(&change.address).copied();
        let superseded = change.desired.iter().flat_map(|resource| &resource.supersedes);
        let gone = superseded.filter_map(|superseded| self.deleting.get(superseded).copied());
        gone.filter_map(move |gone| Some((Weight::LettingGo, making?, gone)))
    }

    /// What is made waits for what it refers to, and for the end of its predecessor.
    fn making_edges(&self, change: &Change, edges: &mut Vec<WeightedEdge>) {
        let Some(&making) = self.making.get(&change.address) else { return };
        let references = change.desired.iter().flat_map(|resource| &resource.references);
        let is_update = change.action == changes::Action::Update;
        let lasting = references.filter(|reference| !(is_update && change.made_after.contains(*reference)));
        let made = lasting.filter_map(|reference| self.making.get(reference));
        let first = made.chain(self.deleting.get(&change.address));
        edges.extend(first.map(|&first| (Weight::Plan, first, making)));
    }

    /// What the record asks of deletions.
    fn deletion_edges(&self, set: &ChangeSet, change: &Change, edges: &mut Vec<WeightedEdge>) {
        let own = self.deleting.get(&change.address).copied();
        let (references, delete_after) = recorded_edges(change);
        for reference in references {
            let Some(&gone) = self.deleting.get(reference) else { continue };
            if let Some(own) = own {
                if !set.changes[reference].is_unheld {
                    edges.push((Weight::Record, own, gone));
                }
            } else if let Some(&letting_go) = self.making.get(&change.address)
                // Who will refer to it again is changed after it was made again.
                && !(set.changes[reference].desired.is_some() && still_refers(change, reference))
            {
                edges.push((Weight::LettingGo, letting_go, gone));
            }
        }
        if let Some(own) = own {
            // What stays, and would make it again, is changed first so that it no longer does.
            let changed =
                |first: &Address| set.changes.get(first).is_some_and(|change| change.action == changes::Action::Update);
            let first = delete_after.into_iter().filter_map(|first| {
                let updating = || self.making.get(first).filter(|_| changed(first));
                self.deleting.get(first).or_else(updating).copied()
            });
            edges.extend(first.map(|first| (Weight::Record, first, own)));
        }
    }
}

/// What the object may refer to, and what has to be gone before it. Of an object that is taken over there is no record yet: what was seen
/// and what the plan says will be the record.
fn recorded_edges(change: &Change) -> (Vec<&Address>, Vec<&Address>) {
    match (&change.record, &change.desired) {
        (Some(record), _) => (record.all_references().collect(), record.all_delete_after().collect()),
        (None, Some(resource)) => (change.seen_references.iter().collect(), resource.delete_after.keys().collect()),
        (None, None) => (Vec::new(), Vec::new()),
    }
}

fn still_refers(change: &Change, reference: &Address) -> bool {
    change.desired.as_ref().is_some_and(|resource| resource.references.contains(reference))
}

/// What is deleted is locked by what is on record, which the plan may have moved away from since.
fn lock_group(change: &Change, action: Action) -> Option<String> {
    let desired = change.desired.as_ref().and_then(|resource| resource.lock_group.as_ref()).map(ToString::to_string);
    match (action, &change.record) {
        (Action::Delete, Some(record)) => record.lock_group.clone(),
        _ => desired,
    }
}

/// Keeps all edges when they have no circle, else each that closes none with those that matter more.
fn without_circles(operations: usize, mut edges: Vec<WeightedEdge>) -> Vec<(OperationId, OperationId)> {
    let node = |id: OperationId| NodeIndex::<u32>::new(id.index());
    let all = edges.iter().map(|&(_, first, then)| (node(first), node(then)));
    let mut graph = DiGraph::<(), ()>::with_capacity(operations, edges.len());
    for _ in 0..operations {
        graph.add_node(());
    }
    graph.extend_with_edges(all);
    if toposort(&graph, None).is_err() {
        graph.clear_edges();
        edges.sort_by_key(|&(weight, ..)| weight);
        edges.retain(|&(weight, first, then)| {
            let closes = weight > Weight::Plan && has_path_connecting(&graph, node(then), node(first), None);
            if !closes {
                graph.add_edge(node(first), node(then), ());
            }
            !closes
        });
    }
    edges.into_iter().map(|(_, first, then)| (first, then)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scheduler::{Limits, Scheduler};
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::graph::test_graphs::address;
    use crate::state::{Desired, Entry, next};
    use crate::topology::{Resource, Stack};
    use jiff::Timestamp;
    use serde_json::json;

    /// A change of a resource whose record and plan refer to others by name.
    fn change(name: &str, action: changes::Action, recorded: &[&str], wanted: Option<&[&str]>) -> (Address, Change) {
        let references = recorded.iter().map(|name| address(name)).collect();
        let desired = Some(Desired { references, ..Desired::default() });
        let seen = Entry::Observed { outputs: json!({ "id": name }), desired };
        let record = next(None, &seen, Timestamp::UNIX_EPOCH).unwrap().map(Arc::new);
        let resource = wanted.map(|references| Resource {
            address: address(name),
            stack: Stack::Network,
            spec: json!({}),
            references: references.iter().map(|name| address(name)).collect(),
            delete_after: BTreeMap::new(),
            supersedes: BTreeSet::new(),
            lock_group: None,
            data_bearing: false,
            protected: false,
        });
        let change = Change {
            address: address(name),
            stack: "network".to_owned(),
            action,
            differences: Vec::new(),
            drift: changes::Drift::None,
            desired: resource,
            object: None,
            record,
            seen_references: BTreeSet::new(),
            expected: Duration::ZERO,
            is_unheld: false,
            made_after: BTreeSet::new(),
            turn: None,
        };
        (address(name), change)
    }

    fn order(changes: Vec<(Address, Change)>) -> Vec<String> {
        let set = ChangeSet { changes: changes.into_iter().collect(), ..ChangeSet::default() };
        let mut scheduler = Scheduler::new(operations(&set), &Limits::default()).expect("no circle");
        let mut running = scheduler.start();
        let mut order = Vec::new();
        while let Some(id) = running.pop() {
            let operation = scheduler.operation(id);
            order.push(format!("{} {}", operation.action, operation.address.name()));
            running.extend(scheduler.on(super::super::scheduler::Event::Succeeded(id)));
        }
        assert_eq!(order.len(), scheduler.len(), "everything is done");
        order
    }

    /// Invariant 2: records that contradict each other do not keep `down` from ending.
    #[test]
    fn records_that_refer_to_each_other_are_deleted_all_the_same() {
        use changes::Action::Delete;
        let deleted = order(vec![change("a", Delete, &["b"], None), change("b", Delete, &["a"], None)]);
        assert_eq!(deleted.len(), 2);
    }

    /// Invariant 2: `user` lets go of `old`, which needs `base`, which is replaced and stays in use.
    #[test]
    fn letting_go_gives_way_where_it_would_close_a_circle() {
        use changes::Action::{Delete, Replace, Update};
        let order = order(vec![
            change("base", Replace, &[], Some(&[])),
            change("old", Delete, &["base"], None),
            change("user", Update, &["old", "base"], Some(&["base"])),
        ]);
        assert_eq!(order, ["delete old", "delete base", "create base", "update user"]);
    }

    /// Invariant 3: a bucket's versioning cannot be suspended while its replication is there.
    #[test]
    fn a_part_that_goes_goes_before_its_whole_is_changed() {
        use changes::Action::{Delete, Update};
        let mut part = change("replication", Delete, &["bucket"], None);
        let record = part.1.record.as_deref().cloned().map(|mut record| {
            record.lock_group = Some(address("bucket").to_string());
            Arc::new(record)
        });
        part.1.record = record;
        let order = order(vec![change("bucket", Update, &[], Some(&[])), part]);
        assert_eq!(order, ["delete replication", "update bucket"]);
    }

    /// A cluster that no longer exports its log is told so before the group of the log goes: it would make the group again.
    #[test]
    fn what_would_make_it_again_is_changed_before_it_goes() {
        use changes::Action::{Delete, Update};
        let mut group = change("group", Delete, &[], None);
        let record = group.1.record.as_deref().cloned().map(|mut record| {
            record.delete_after = vec![address("cluster")].into_iter().collect();
            Arc::new(record)
        });
        group.1.record = record;
        let order = order(vec![group, change("cluster", Update, &[], Some(&[]))]);
        assert_eq!(order, ["update cluster", "delete group"]);
    }

    /// Invariant 4: `first` was made before `second`, and has its turn after it now.
    #[test]
    fn what_takes_turns_is_updated_one_at_a_time_by_what_it_does_now() {
        use changes::Action::Update;
        let turn = |name: &str, after: &[&str], turn| {
            let (at, change) = change(name, Update, after, Some(after));
            let made_after = after.iter().map(|name| address(name)).collect();
            (at, Change { made_after, turn: Some(turn), ..change })
        };
        let order = order(vec![turn("first", &[], 2), turn("second", &["first"], 1), turn("other", &["second"], 0)]);
        assert_eq!(order, ["update other", "update second", "update first"]);
        let alike = self::order(vec![turn("b", &[], 1), turn("a", &[], 1), turn("c", &[], 1)]);
        assert_eq!(alike, ["update a", "update b", "update c"]);
    }

    /// The listener's rule moves to another target group: until then the old group needs its target, which the rule never named.
    #[test]
    fn what_is_superseded_goes_only_when_its_successor_was_changed() {
        use changes::Action::{Create, Delete, Update};
        let mut rule = change("rule", Update, &["a-group"], Some(&["new-group"]));
        rule.1.desired.as_mut().expect("it is wanted").supersedes.insert(address("a-target"));
        let mut group = change("new-group", Create, &[], Some(&[]));
        group.1.record = None;
        let order = order(vec![
            change("a-target", Delete, &["a-group"], None),
            change("a-group", Delete, &[], None),
            group,
            rule,
        ]);
        assert_eq!(order, ["create new-group", "update rule", "delete a-target", "delete a-group"]);
    }

    /// A function goes at once, whatever calls it, because its network interfaces take long to go.
    #[test]
    fn what_nobody_holds_waits_for_nobody() {
        use changes::Action::Delete;
        let mut function = change("function", Delete, &["subnet"], None);
        function.1.is_unheld = true;
        let methods = ["function"];
        let set = ChangeSet {
            changes: [function, change("method", Delete, &methods, None), change("subnet", Delete, &[], None)].into(),
            ..ChangeSet::default()
        };
        let operations = operations(&set);
        let waits = |name: &str| {
            let of = operations.iter().find(|operation| operation.address.name() == name).expect("it is deleted");
            of.after.iter().map(|id| operations[id.index()].address.name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!((waits("function").len(), waits("method").len()), (0, 0));
        assert_eq!(waits("subnet"), ["function"]);
    }

    /// What is taken over only to be replaced has no record; then what was seen says what goes first.
    #[test]
    fn replacements_of_what_is_not_on_record_go_inside_out_too() {
        use changes::Action::Replace;
        let unrecorded = |(at, change): (Address, Change), seen: &[&str]| {
            let seen_references = seen.iter().map(|name| address(name)).collect();
            (at, Change { record: None, seen_references, ..change })
        };
        let order = order(vec![
            unrecorded(change("vpc", Replace, &[], Some(&[])), &["subnet"]),
            unrecorded(change("subnet", Replace, &[], Some(&["vpc"])), &[]),
        ]);
        assert_eq!(order, ["delete vpc", "create vpc", "delete subnet", "create subnet"]);
    }

    /// Invariant 1, and the order of replacements: what is in something goes before it and comes after it.
    #[test]
    fn replacements_go_inside_out_and_come_outside_in() {
        use changes::Action::Replace;
        let order =
            order(vec![change("vpc", Replace, &[], Some(&[])), change("subnet", Replace, &["vpc"], Some(&["vpc"]))]);
        assert_eq!(order, ["delete subnet", "delete vpc", "create vpc", "create subnet"]);
    }
}
