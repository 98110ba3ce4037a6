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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::Edge;
    use super::super::test_graphs::{address, dependencies, graph};
    use super::*;

    #[test]
    fn each_direction_has_its_own_path() {
        let edges = [
            Edge::reference(address("cluster"), address("subnet")),
            Edge::reference(address("alarm"), address("subnet")),
            Edge::delete_after(address("alarm"), address("cluster"), "it watches the deletion"),
        ];
        let nodes = [("subnet", 1), ("cluster", 600), ("alarm", 2)];
        let graph = Graph::build(nodes.map(|(name, seconds)| (address(name), seconds)), edges).unwrap();
        let path = |direction| graph.critical_path(direction, |_, &seconds| Duration::from_secs(seconds));

        let create = path(Direction::Create);
        assert_eq!(create.length(), Duration::from_secs(601));
        assert_eq!(create.addresses().map(Address::name).collect::<Vec<_>>(), ["subnet", "cluster"]);
        assert_eq!(create.remaining(&address("alarm")), Some(Duration::from_secs(2)));
        assert_eq!(create.remaining(&address("nobody")), None);

        let delete = path(Direction::Delete);
        assert_eq!(delete.length(), Duration::from_secs(603));
        assert_eq!(delete.addresses().map(Address::name).collect::<Vec<_>>(), ["cluster", "alarm", "subnet"]);
    }

    #[test]
    fn nothing_takes_no_time() {
        let graph = Graph::<()>::build([], []).unwrap();
        let path = graph.critical_path(Direction::Create, |_, ()| Duration::MAX);
        assert_eq!((path.length(), path.addresses().count()), (Duration::ZERO, 0));
    }

    proptest! {
        /// Starting everything as early as its edges allow ends exactly when the critical path does.
        #[test]
        fn the_length_is_the_earliest_end(dependencies in dependencies(40)) {
            let graph = graph(&dependencies);
            let expected = |id: usize| Duration::from_secs(id as u64 * 7 % 13);
            for direction in [Direction::Create, Direction::Delete] {
                let mut end: BTreeMap<&Address, Duration> = BTreeMap::new();
                let mut order: Vec<_> = graph.order().collect();
                if direction == Direction::Delete {
                    order.reverse();
                }
                for address in order {
                    let start = graph.waits_for(address, direction).map(|other| end[&other]).max().unwrap_or_default();
                    end.insert(address, start + expected(*graph.get(address).unwrap()));
                }
                let path = graph.critical_path(direction, |_, &id| expected(id));
                prop_assert_eq!(path.length(), end.values().max().copied().unwrap_or_default());

                let addresses: Vec<_> = path.addresses().collect();
                let sum: Duration = addresses.iter().map(|address| expected(*graph.get(address).unwrap())).sum();
                prop_assert_eq!(sum, path.length());
                for pair in addresses.windows(2) {
                    prop_assert!(graph.waits_for(pair[1], direction).any(|other| other == pair[0]));
                }
            }
        }
    }
}
