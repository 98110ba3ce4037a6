//! Decides what starts when: an event in, the operations to start out.
//!
//! The scheduler does nothing itself: it awaits nothing, reads no clock and knows no resource. Whoever runs the
//! operations starts what it returns and tells it how each one ended.
//!
//! Invariants:
//! 1. An operation starts once, and only after everything it waits for has succeeded.
//! 2. Of the operations that may start, the one with the longest remaining path by expected durations does; ties go to
//!    the one listed first. There are no levels and no barriers.
//! 3. At most one operation of a lock group runs, and no more of a class or overall than the limits allow. What such
//!    a limit holds back holds back nothing else.
//! 4. A failure stops only what waits for it, directly or through others; each of those is skipped with its root cause.
//! 5. After an interrupt nothing starts any more.
//! 6. In the end every operation has exactly one status, and it depends on the events alone.
//! 7. All events of a run together cost O((V+E) log V).

mod ready;
mod simulate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::{Incoming, Outgoing};
use serde::Serialize;

use crate::address::Address;
use crate::graph::critical_path::Longest;
use crate::graph::order;

use ready::{Rank, ReadyQueue};
pub use simulate::{Simulation, simulate};

/// The place of an operation in the list the scheduler was made from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OperationId(usize);

impl OperationId {
    /// The operation at this place of the list, counted from 0.
    pub fn new(index: usize) -> Self {
        Self(index)
    }

    /// The place in the list, counted from 0.
    pub fn index(self) -> usize {
        self.0
    }

    fn node(self) -> NodeIndex {
        NodeIndex::new(self.0)
    }
}

impl From<NodeIndex> for OperationId {
    fn from(node: NodeIndex) -> Self {
        Self(node.index())
    }
}

/// What an operation does to its resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes the object.
    Create,
    /// Changes the object in place.
    Update,
    /// Takes over an object that is already there.
    Adopt,
    /// Removes the object.
    Delete,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Adopt => "adopt",
            Self::Delete => "delete",
        })
    }
}

/// One thing to do to one resource. A replacement is two operations: delete and create of one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The resource.
    pub address: Address,
    /// What is done to it.
    pub action: Action,
    /// How long it is expected to take.
    pub expected: Duration,
    /// Operations of one lock group never run side by side.
    pub lock_group: Option<String>,
    /// Operations of one class run side by side up to the limit of the class.
    pub class: Option<&'static str>,
    /// The operations that must have succeeded before this one starts.
    pub after: Vec<OperationId>,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.address)
    }
}

/// How many operations may run side by side.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Limits {
    /// Overall; no limit if absent.
    pub parallelism: Option<NonZeroUsize>,
    /// Per class; a class that is not listed has no limit.
    pub classes: BTreeMap<&'static str, NonZeroUsize>,
}

/// What the scheduler is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A running operation succeeded, and its result is durable.
    Succeeded(OperationId),
    /// A running operation failed for good.
    Failed(OperationId),
    /// A running operation can only be finished by a later run. This is no failure, but what waits for it is skipped.
    Deferred(OperationId),
    /// A running operation was cut short by an interrupt. What waits for it is just not started.
    Stopped(OperationId),
    /// Nothing may start any more.
    Interrupt,
}

/// Where an operation stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Not started.
    Waiting,
    /// Started, and its end not yet told.
    Running,
    /// Done.
    Succeeded,
    /// A root cause.
    Failed,
    /// Left to a later run.
    Deferred,
    /// Cut short.
    Stopped,
    /// Never started, because something it waits for, directly or through others, failed or was deferred.
    Skipped {
        /// The operation that failed or was deferred. A failure goes before a deferral, and otherwise the one that
        /// happened first; [`Scheduler::causes`] finds all.
        because: OperationId,
    },
}

/// An operation that was skipped, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// The operation.
    pub operation: OperationId,
    /// The operation that failed or was deferred.
    pub because: OperationId,
}

/// How things stand; each operation is in exactly one list, and each list is in the order of the operations.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Report {
    /// Done.
    pub succeeded: Vec<OperationId>,
    /// Failed themselves: the root causes.
    pub failed: Vec<OperationId>,
    /// Left to a later run themselves.
    pub deferred: Vec<OperationId>,
    /// Cut short by an interrupt.
    pub stopped: Vec<OperationId>,
    /// Skipped because of one that failed.
    pub skipped: Vec<Skipped>,
    /// Skipped because of one that was deferred, and not because of any that failed.
    pub skipped_as_deferred: Vec<Skipped>,
    /// Not started; when the scheduler has finished, because of an interrupt.
    pub not_started: Vec<OperationId>,
    /// Not ended; empty when the scheduler has finished.
    pub running: Vec<OperationId>,
}

impl Report {
    /// Tells whether every operation succeeded.
    pub fn is_success(&self) -> bool {
        *self == Self { succeeded: self.succeeded.clone(), ..Self::default() }
    }
}

/// Operations that cannot be scheduled.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScheduleError {
    /// An operation waits for one that is not in the list.
    #[error("`{operation}` waits for operation number {after}, but there are only {count}")]
    UnknownOperation {
        /// The operation, as action and address.
        operation: String,
        /// What it waits for.
        after: usize,
        /// The length of the list.
        count: usize,
    },
    /// Operations wait for each other, so that none can be the first.
    #[error("operations wait for each other in a cycle: {} -> {}", .path.join(" -> "), .path[0])]
    Cycle {
        /// The operations of the cycle, as action and address; each waits for the next, and the last for the first.
        path: Vec<String>,
    },
}

/// Decides what starts when.
#[derive(Clone, Debug)]
pub struct Scheduler {
    work: Arc<Work>,
    parallelism: Option<NonZeroUsize>,
    status: Vec<Status>,
    /// How many of those an operation waits for have not succeeded.
    unmet: Vec<usize>,
    ready: ReadyQueue,
    running: usize,
    interrupted: bool,
}

/// What stays the same while the scheduler runs.
#[derive(Debug)]
struct Work {
    /// An edge goes from an operation to one it waits for.
    graph: DiGraph<Operation, ()>,
    longest: Longest,
}

impl Scheduler {
    /// Makes a scheduler; the first operation of the list has the id 0, and so on.
    ///
    /// # Errors
    /// When an operation waits for one that is not in the list, or operations wait for each other.
    pub fn new(operations: Vec<Operation>, limits: &Limits) -> Result<Self, ScheduleError> {
        let count = operations.len();
        let ready = ReadyQueue::new(&operations, &limits.classes);
        let mut graph = DiGraph::with_capacity(count, operations.iter().map(|operation| operation.after.len()).sum());
        for operation in operations {
            graph.add_node(operation);
        }
        for node in graph.node_indices() {
            for at in 0..graph[node].after.len() {
                let after = graph[node].after[at];
                if after.0 >= count {
                    let operation = graph[node].to_string();
                    return Err(ScheduleError::UnknownOperation { operation, after: after.0, count });
                }
                graph.add_edge(node, after.node(), ());
            }
        }
        let order = order::sort(&graph).map_err(|cycle| ScheduleError::Cycle {
            path: cycle.into_iter().map(|node| graph[node].to_string()).collect(),
        })?;
        let longest = Longest::find(
            order.iter().rev().copied(),
            |node| graph[node].expected,
            |node| graph.neighbors_directed(node, Incoming),
        );
        let unmet: Vec<usize> = graph.node_indices().map(|node| graph.edges(node).count()).collect();
        let mut scheduler = Self {
            work: Arc::new(Work { graph, longest }),
            parallelism: limits.parallelism,
            status: vec![Status::Waiting; count],
            unmet,
            ready,
            running: 0,
            interrupted: false,
        };
        for id in (0..count).map(OperationId).filter(|id| scheduler.unmet[id.0] == 0).collect::<Vec<_>>() {
            scheduler.make_ready(id);
        }
        Ok(scheduler)
    }

    /// Returns the operations to start at once, the most urgent first.
    pub fn start(&mut self) -> Vec<OperationId> {
        let mut started = Vec::new();
        while !self.interrupted && self.parallelism.is_none_or(|limit| self.running < limit.get()) {
            let Some(id) = self.ready.take() else { break };
            self.status[id.0] = Status::Running;
            self.running += 1;
            started.push(id);
        }
        started
    }

    /// Takes note of an event and returns the operations to start because of it, the most urgent first.
    ///
    /// # Panics
    /// When the event ends an operation that is not running.
    pub fn on(&mut self, event: Event) -> Vec<OperationId> {
        match event {
            Event::Succeeded(id) => {
                self.end(id, Status::Succeeded);
                let work = Arc::clone(&self.work);
                for waiting in work.graph.neighbors_directed(id.node(), Incoming) {
                    self.unmet[waiting.index()] -= 1;
                    if self.unmet[waiting.index()] == 0 {
                        self.make_ready(waiting.into());
                    }
                }
            }
            Event::Failed(id) => {
                self.end(id, Status::Failed);
                self.skip_all_after(id);
            }
            Event::Deferred(id) => {
                self.end(id, Status::Deferred);
                self.skip_all_after(id);
            }
            Event::Stopped(id) => self.end(id, Status::Stopped),
            Event::Interrupt => self.interrupted = true,
        }
        self.start()
    }

    /// Tells whether nothing runs and nothing can start.
    pub fn is_finished(&self) -> bool {
        self.running == 0 && (self.interrupted || self.ready.is_idle())
    }

    /// Tells how things stand, at any time.
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        for (id, &status) in self.status.iter().enumerate() {
            let operation = OperationId(id);
            match status {
                Status::Waiting => report.not_started.push(operation),
                Status::Running => report.running.push(operation),
                Status::Succeeded => report.succeeded.push(operation),
                Status::Failed => report.failed.push(operation),
                Status::Deferred => report.deferred.push(operation),
                Status::Stopped => report.stopped.push(operation),
                Status::Skipped { because } if self.status(because) == Status::Failed => {
                    report.skipped.push(Skipped { operation, because });
                }
                Status::Skipped { because } => report.skipped_as_deferred.push(Skipped { operation, because }),
            }
        }
        report
    }

    /// Where an operation stands.
    pub fn status(&self, id: OperationId) -> Status {
        self.status[id.0]
    }

    /// The operation itself.
    pub fn operation(&self, id: OperationId) -> &Operation {
        &self.work.graph[id.node()]
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.status.len()
    }

    /// Tells whether there are no operations at all.
    pub fn is_empty(&self) -> bool {
        self.status.is_empty()
    }

    /// Everything that failed or was deferred and because of which an operation could not start.
    pub fn causes(&self, id: OperationId) -> Vec<OperationId> {
        let mut causes = Vec::new();
        let mut seen = BTreeSet::from([id.node()]);
        let mut open = vec![id.node()];
        while let Some(node) = open.pop() {
            for before in self.work.graph.neighbors_directed(node, Outgoing).filter(|&before| seen.insert(before)) {
                match self.status[before.index()] {
                    Status::Failed | Status::Deferred => causes.push(before.into()),
                    Status::Skipped { .. } => open.push(before),
                    _ => {}
                }
            }
        }
        causes.sort_unstable();
        causes
    }

    /// How long an operation and the longest chain that waits for it are expected to take.
    pub fn chain(&self, id: OperationId) -> Duration {
        self.work.longest.remaining(id.node())
    }

    /// The longest path by expected durations, from the first operation to the last.
    pub fn critical_path(&self) -> Vec<OperationId> {
        self.work.longest.path().into_iter().map(OperationId::from).collect()
    }

    fn make_ready(&mut self, id: OperationId) {
        self.ready.put(Rank::new(self.work.longest.remaining(id.node()), id));
    }

    fn end(&mut self, id: OperationId, status: Status) {
        assert!(self.status(id) == Status::Running, "`{}` ended without running", self.operation(id));
        self.status[id.0] = status;
        self.running -= 1;
        self.ready.release(id);
    }

    /// Each operation is skipped at most twice, first as deferred and then because of a failure, so that all calls
    /// together walk every edge at most twice.
    fn skip_all_after(&mut self, root: OperationId) {
        let root_failed = self.status(root) == Status::Failed;
        let work = Arc::clone(&self.work);
        let mut open = vec![root.node()];
        while let Some(node) = open.pop() {
            for waiting in work.graph.neighbors_directed(node, Incoming) {
                let skips = match self.status[waiting.index()] {
                    Status::Skipped { because } => root_failed && self.status(because) == Status::Deferred,
                    _ => true,
                };
                if skips {
                    self.status[waiting.index()] = Status::Skipped { because: root };
                    open.push(waiting);
                }
            }
        }
    }
}
