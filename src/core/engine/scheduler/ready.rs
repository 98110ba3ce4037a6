//! Operations that wait for nothing but room: a lock group, a class.
//!
//! Each level offers its first to the next one, so that what has no room is never looked at and hides nobody:
//! a lane (all with the same lock group and class) offers while its lock group is free, a class while it has
//! room, and the best of all classes is taken. A lock group has one lane per class it occurs with.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::{Operation, OperationId};

/// The longest remaining path comes first, then the smaller id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rank {
    remaining: Reverse<Duration>,
    operation: OperationId,
}

impl Rank {
    pub(super) fn new(remaining: Duration, operation: OperationId) -> Self {
        Self { remaining: Reverse(remaining), operation }
    }
}

#[derive(Clone, Debug)]
pub(super) struct ReadyQueue {
    /// The lane of each operation.
    lane_of: Vec<usize>,
    lanes: Vec<Lane>,
    groups: Vec<LockGroup>,
    classes: Vec<Class>,
    /// What the classes offer.
    offers: BTreeSet<Rank>,
}

#[derive(Clone, Debug)]
struct Lane {
    group: Option<usize>,
    class: usize,
    waiting: BTreeSet<Rank>,
    /// What this lane offers to its class at the moment.
    offer: Option<Rank>,
}

#[derive(Clone, Debug, Default)]
struct LockGroup {
    taken: bool,
    lanes: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Class {
    running: usize,
    limit: Option<NonZeroUsize>,
    /// What the lanes offer.
    offers: BTreeSet<Rank>,
    /// What this class offers at the moment.
    offer: Option<Rank>,
}

impl ReadyQueue {
    /// Makes an empty queue for these operations.
    pub(super) fn new(operations: &[Operation], limits: &BTreeMap<&'static str, NonZeroUsize>) -> Self {
        let mut queue = Self {
            lane_of: Vec::with_capacity(operations.len()),
            lanes: Vec::new(),
            groups: Vec::new(),
            classes: Vec::new(),
            offers: BTreeSet::new(),
        };
        let mut groups = HashMap::new();
        let mut classes = HashMap::new();
        let mut lanes = HashMap::new();
        for operation in operations {
            let group = operation.lock_group.as_deref().map(|name| {
                *groups.entry(name).or_insert_with(|| {
                    queue.groups.push(LockGroup::default());
                    queue.groups.len() - 1
                })
            });
            let class = *classes.entry(operation.class).or_insert_with(|| {
                let limit = operation.class.and_then(|name| limits.get(name).copied());
                queue.classes.push(Class { running: 0, limit, offers: BTreeSet::new(), offer: None });
                queue.classes.len() - 1
            });
            let lane = *lanes.entry((group, class)).or_insert_with(|| {
                let lane = queue.lanes.len();
                queue.lanes.push(Lane { group, class, waiting: BTreeSet::new(), offer: None });
                if let Some(group) = group {
                    queue.groups[group].lanes.push(lane);
                }
                lane
            });
            queue.lane_of.push(lane);
        }
        queue
    }

    /// Adds an operation that may start as soon as there is room.
    pub(super) fn put(&mut self, rank: Rank) {
        let lane = self.lane_of[rank.operation.0];
        self.lanes[lane].waiting.insert(rank);
        self.refresh_lane(lane);
    }

    /// Takes out the first operation for which there is room, and takes up that room.
    pub(super) fn take(&mut self) -> Option<OperationId> {
        let rank = *self.offers.first()?;
        let lane = self.lane_of[rank.operation.0];
        self.lanes[lane].waiting.remove(&rank);
        self.classes[self.lanes[lane].class].running += 1;
        self.set_group(lane, true);
        Some(rank.operation)
    }

    /// Gives back the room that an operation took up.
    pub(super) fn release(&mut self, operation: OperationId) {
        let lane = self.lane_of[operation.0];
        self.classes[self.lanes[lane].class].running -= 1;
        self.set_group(lane, false);
    }

    /// Tells whether there is nothing to take.
    pub(super) fn is_idle(&self) -> bool {
        self.offers.is_empty()
    }

    fn set_group(&mut self, lane: usize, taken: bool) {
        if let Some(group) = self.lanes[lane].group {
            self.groups[group].taken = taken;
            for at in 0..self.groups[group].lanes.len() {
                self.refresh_lane(self.groups[group].lanes[at]);
            }
        } else {
            self.refresh_lane(lane);
        }
    }

    fn refresh_lane(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        let free = lane.group.is_none_or(|group| !self.groups[group].taken);
        let offer = lane.waiting.first().copied().filter(|_| free);
        let class = &mut self.classes[lane.class];
        exchange(&mut class.offers, &mut lane.offer, offer);
        let room = class.limit.is_none_or(|limit| class.running < limit.get());
        let offer = class.offers.first().copied().filter(|_| room);
        exchange(&mut self.offers, &mut class.offer, offer);
    }
}

fn exchange(offers: &mut BTreeSet<Rank>, old: &mut Option<Rank>, new: Option<Rank>) {
    if *old != new {
        if let Some(old) = old {
            offers.remove(old);
        }
        offers.extend(new);
        *old = new;
    }
}
