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
