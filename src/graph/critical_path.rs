//! How long the rest of a run takes at least, seen from each resource: the longest path by expected durations.

use std::time::Duration;

use petgraph::graph::NodeIndex;

use super::{Direction, Graph};
use crate::address::Address;

impl<N> Graph<N> {
    /// Finds the longest paths through the graph, given how long each resource is expected to take.
    pub fn critical_path(
        &self,
        direction: Direction,
        expected: impl Fn(&Address, &N) -> Duration,
    ) -> CriticalPath<'_, N> {
        let expected = |node: NodeIndex| {
            let (address, value) = &self.inner[node];
            expected(address, value)
        };
        let waiting = |node| self.next(node, direction.waited_for_by());
        let longest = match direction {
            Direction::Create => Longest::find(self.order.iter().rev().copied(), expected, waiting),
            Direction::Delete => Longest::find(self.order.iter().copied(), expected, waiting),
        };
        CriticalPath { graph: self, longest }
    }
}

/// The longest paths of a graph.
#[derive(Clone, Debug)]
pub struct CriticalPath<'g, N> {
    graph: &'g Graph<N>,
    longest: Longest,
}

impl<'g, N> CriticalPath<'g, N> {
    /// How long the whole takes when nothing but the edges holds it up.
    pub fn length(&self) -> Duration {
        self.longest.length()
    }

    /// The longest path itself, from the first resource to the last.
    pub fn addresses(&self) -> impl Iterator<Item = &'g Address> {
        let graph = self.graph;
        self.longest.path().into_iter().map(|node| &graph.inner[node].0)
    }

    /// How long it takes from the start of a resource until the last of all that wait for it is done.
    pub fn remaining(&self, address: &Address) -> Option<Duration> {
        self.graph.index.get(address).map(|&node| self.longest.remaining(node))
    }
}

/// The longest path from every node on, and where it goes next.
#[derive(Clone, Debug)]
pub(crate) struct Longest {
    remaining: Vec<Duration>,
    next: Vec<Option<NodeIndex>>,
}

impl Longest {
    /// Takes the nodes in an order that has each after all `waiting` for it. Ties go to the smaller index.
    pub(crate) fn find<I: Iterator<Item = NodeIndex>>(
        last_first: impl ExactSizeIterator<Item = NodeIndex>,
        expected: impl Fn(NodeIndex) -> Duration,
        waiting: impl Fn(NodeIndex) -> I,
    ) -> Self {
        let mut remaining = vec![Duration::ZERO; last_first.len()];
        let mut next = vec![None; last_first.len()];
        for node in last_first {
            let longest =
                waiting(node).max_by(|a, b| remaining[a.index()].cmp(&remaining[b.index()]).then_with(|| b.cmp(a)));
            let after = longest.map_or(Duration::ZERO, |next| remaining[next.index()]);
            remaining[node.index()] = expected(node).saturating_add(after);
            next[node.index()] = longest;
        }
        Self { remaining, next }
    }

    pub(crate) fn remaining(&self, node: NodeIndex) -> Duration {
        self.remaining[node.index()]
    }

    pub(crate) fn length(&self) -> Duration {
        self.remaining.iter().max().copied().unwrap_or_default()
    }

    pub(crate) fn path(&self) -> Vec<NodeIndex> {
        let length = self.length();
        let first = self.remaining.iter().position(|&remaining| remaining == length).map(NodeIndex::new);
        std::iter::successors(first, |node| self.next[node.index()]).collect()
    }
}
