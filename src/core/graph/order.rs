//! The order in which resources can be made, one after the other, and the cycle if there is none.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::{Incoming, Outgoing};

use super::Graph;
use crate::address::Address;

impl<N> Graph<N> {
    /// All resources, every one after all it depends on; of those that could be next, the smallest address is.
    pub fn order(&self) -> impl DoubleEndedIterator<Item = &Address> + ExactSizeIterator {
        self.order.iter().map(|&node| &self.inner[node].0)
    }

    /// All resources, every one before all it depends on: an order in which they can be deleted.
    pub fn reverse_order(&self) -> impl DoubleEndedIterator<Item = &Address> + ExactSizeIterator {
        self.order().rev()
    }
}

/// Orders nodes so that each comes after all it has an edge to; ties go by index.
///
/// # Errors
/// The nodes of one cycle, each once, from the smallest index on, each with an edge to the next.
pub(crate) fn sort<N, E>(graph: &DiGraph<N, E>) -> Result<Vec<NodeIndex>, Vec<NodeIndex>> {
    let mut unmet: Vec<usize> = graph.node_indices().map(|node| graph.edges(node).count()).collect();
    let mut ready: BinaryHeap<Reverse<NodeIndex>> =
        graph.node_indices().filter(|node| unmet[node.index()] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(graph.node_count());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for dependent in graph.neighbors_directed(node, Incoming) {
            unmet[dependent.index()] -= 1;
            if unmet[dependent.index()] == 0 {
                ready.push(Reverse(dependent));
            }
        }
    }
    match graph.node_indices().find(|node| unmet[node.index()] > 0) {
        Some(stuck) => Err(cycle(graph, &unmet, stuck)),
        None => Ok(order),
    }
}

/// Every stuck node depends on another stuck node, so following them leads into a cycle.
fn cycle<N, E>(graph: &DiGraph<N, E>, unmet: &[usize], stuck: NodeIndex) -> Vec<NodeIndex> {
    let mut path = Vec::new();
    let mut seen = HashMap::new();
    let mut node = stuck;
    let start = loop {
        if let Some(&start) = seen.get(&node) {
            break start;
        }
        seen.insert(node, path.len());
        path.push(node);
        node = graph
            .neighbors_directed(node, Outgoing)
            .filter(|next| unmet[next.index()] > 0)
            .min()
            .expect("a node is stuck only because something it depends on is");
    };
    let mut cycle = path.split_off(start);
    let smallest = (0..cycle.len()).min_by_key(|&at| cycle[at]).expect("a cycle has at least one node");
    cycle.rotate_left(smallest);
    cycle
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::test_graphs::{address, dependencies, graph};
    use super::super::{Direction, Edge};
    use super::*;

    #[test]
    fn ties_go_by_address() {
        let edges = [("b", "z"), ("a", "y")].map(|(from, to)| Edge::reference(address(from), address(to)));
        let graph = Graph::build(["z", "y", "c", "b", "a"].map(|name| (address(name), ())), edges).unwrap();
        assert_eq!(graph.order().map(Address::name).collect::<Vec<_>>(), ["c", "y", "a", "z", "b"]);
        assert_eq!(graph.reverse_order().map(Address::name).collect::<Vec<_>>(), ["b", "z", "a", "y", "c"]);
    }

    proptest! {
        #[test]
        fn nothing_comes_before_what_it_waits_for(dependencies in dependencies(40)) {
            let graph = graph(&dependencies);
            for direction in [Direction::Create, Direction::Delete] {
                let order: Vec<_> = match direction {
                    Direction::Create => graph.order().collect(),
                    Direction::Delete => graph.reverse_order().collect(),
                };
                let mut done = BTreeSet::new();
                for address in order {
                    prop_assert!(graph.waits_for(address, direction).all(|other| done.contains(other)));
                    done.insert(address);
                }
                prop_assert_eq!(done.len(), dependencies.len());
            }
        }

        /// One more edge, from something to what already depends on it, makes a cycle, and what is named is one.
        #[test]
        fn a_cycle_is_named_as_it_is(mut dependencies in dependencies(40), pick: prop::sample::Index) {
            let edges: Vec<_> =
                (0..dependencies.len()).flat_map(|from| dependencies[from].iter().map(move |&to| (from, to))).collect();
            prop_assume!(!edges.is_empty());
            let (from, to) = edges[pick.index(edges.len())];
            dependencies[to].push(from);
            let mut graph = DiGraph::<(), ()>::new();
            for _ in 0..dependencies.len() {
                graph.add_node(());
            }
            for (from, to) in dependencies.iter().enumerate().flat_map(|(from, to)| to.iter().map(move |&to| (from, to))) {
                graph.add_edge(NodeIndex::new(from), NodeIndex::new(to), ());
            }
            let cycle = sort(&graph).expect_err("there is a cycle");
            for (at, &node) in cycle.iter().enumerate() {
                prop_assert!(graph.contains_edge(node, cycle[(at + 1) % cycle.len()]));
            }
            prop_assert_eq!(cycle.iter().collect::<BTreeSet<_>>().len(), cycle.len(), "each once");
            prop_assert_eq!(cycle.iter().min(), cycle.first());
        }
    }
}
