//! Resources and what they depend on: petgraph inside, addresses outside.
//!
//! A graph knows addresses, edges and whatever value its nodes carry; it knows no kinds and no clouds, and it
//! starts nothing: it only answers what comes before what.
//!
//! Invariants:
//! 1. A graph has no cycle and no edge to a node it does not have; [`Graph::build`] refuses both.
//! 2. Every answer comes in an order that depends on the addresses alone, never on the order in which nodes and edges
//!    were given, so that plans, exports and tests are the same every time.
//! 3. Time and memory are linear in nodes and edges (sorting apart), and nothing recurses: a chain of 100,000
//!    resources is as good as any other graph.

mod clusters;
pub mod critical_path;
pub mod dot;
pub mod json;
pub mod mermaid;
pub mod order;

use std::borrow::Cow;
use std::collections::HashMap;

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;
use petgraph::{Direction as Side, Incoming, Outgoing};

use crate::address::Address;

/// Why one resource depends on another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EdgeKind {
    /// The resource has a field that needs an output of the other one: created after it, deleted before it.
    Reference,
    /// The other resource may be deleted only after this one is gone. Creation is free to go in any order.
    DeleteAfter {
        /// What goes wrong otherwise, for the person who reads the graph.
        reason: Cow<'static, str>,
    },
}

/// `from` depends on `to`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Edge {
    /// The resource that depends on the other one.
    pub from: Address,
    /// The resource that is depended on.
    pub to: Address,
    /// Why.
    pub kind: EdgeKind,
}

impl Edge {
    /// `from` needs an output of `to`.
    pub fn reference(from: Address, to: Address) -> Self {
        Self { from, to, kind: EdgeKind::Reference }
    }

    /// `later` may be deleted only after `earlier` is gone, for the reason given.
    pub fn delete_after(later: Address, earlier: Address, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { from: earlier, to: later, kind: EdgeKind::DeleteAfter { reason: reason.into() } }
    }
}

/// An edge of a graph, borrowed from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EdgeRef<'g> {
    /// The resource that depends on the other one.
    pub from: &'g Address,
    /// The resource that is depended on.
    pub to: &'g Address,
    /// Why.
    pub kind: &'g EdgeKind,
}

/// Which way a run goes through the graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// A resource waits for everything it references. Delete edges say nothing here.
    Create,
    /// A resource waits for everything that depends on it to be gone, by whichever kind of edge.
    Delete,
}

/// Resources, each with a value of type `N`, and the edges between them.
#[derive(Clone, Debug)]
pub struct Graph<N> {
    /// Nodes are added in the order of their addresses, so comparing two indices compares two addresses.
    inner: DiGraph<(Address, N), EdgeKind>,
    index: HashMap<Address, NodeIndex>,
    /// Dependencies first.
    order: Vec<NodeIndex>,
}

impl<N> Graph<N> {
    /// Builds a graph. An edge that is given several times counts once.
    ///
    /// # Errors
    /// When two nodes have one address, an edge names an address that is no node, or the edges make a cycle.
    pub fn build(
        nodes: impl IntoIterator<Item = (Address, N)>,
        edges: impl IntoIterator<Item = Edge>,
    ) -> Result<Self, GraphError> {
        let mut nodes: Vec<(Address, N)> = nodes.into_iter().collect();
        nodes.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut inner = DiGraph::with_capacity(nodes.len(), 0);
        let mut index = HashMap::with_capacity(nodes.len());
        for (address, value) in nodes {
            let node = inner.add_node((address.clone(), value));
            if index.insert(address.clone(), node).is_some() {
                return Err(GraphError::DuplicateNode { address });
            }
        }

        let mut sorted = Vec::new();
        for edge in edges {
            match (index.get(&edge.from), index.get(&edge.to)) {
                (Some(&from), Some(&to)) => sorted.push((from, to, edge.kind)),
                (from, _) => {
                    let missing = if from.is_none() { edge.from.clone() } else { edge.to.clone() };
                    return Err(GraphError::UnknownNode { edge: Box::new(edge), missing });
                }
            }
        }
        sorted.sort_unstable();
        sorted.dedup();
        inner.reserve_exact_edges(sorted.len());
        // petgraph walks the edges of a node from the newest to the oldest, so the last one goes in first.
        for (from, to, kind) in sorted.into_iter().rev() {
            inner.add_edge(from, to, kind);
        }

        let order = order::sort(&inner).map_err(|cycle| GraphError::Cycle {
            path: CyclePath(cycle.into_iter().map(|node| inner[node].0.clone()).collect()),
        })?;
        Ok(Self { inner, index, order })
    }

    /// The number of resources.
    pub fn len(&self) -> usize {
        self.inner.node_count()
    }

    /// Tells whether there are no resources.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of one resource.
    pub fn get(&self, address: &Address) -> Option<&N> {
        self.index.get(address).map(|&node| &self.inner[node].1)
    }

    /// The place of a resource among [`Graph::nodes`], counted from 0: an index for whoever keeps a list beside the graph.
    pub fn position(&self, address: &Address) -> Option<usize> {
        self.index.get(address).map(|node| node.index())
    }

    /// All resources and their values, by address.
    pub fn nodes(&self) -> impl Iterator<Item = (&Address, &N)> {
        self.inner.node_weights().map(|(address, value)| (address, value))
    }

    /// All edges, by `from`, `to` and kind.
    pub fn edges(&self) -> impl Iterator<Item = EdgeRef<'_>> {
        self.inner.node_indices().flat_map(|node| self.edges_of(node, Outgoing))
    }

    /// The edges to what a resource depends on. None for an address that is not in the graph.
    pub fn dependencies<'g>(&'g self, address: &Address) -> impl Iterator<Item = EdgeRef<'g>> + use<'g, N> {
        self.index.get(address).into_iter().flat_map(|&node| self.edges_of(node, Outgoing))
    }

    /// The edges from what depends on a resource. None for an address that is not in the graph.
    pub fn dependents<'g>(&'g self, address: &Address) -> impl Iterator<Item = EdgeRef<'g>> + use<'g, N> {
        self.index.get(address).into_iter().flat_map(|&node| self.edges_of(node, Incoming))
    }

    /// What must be there (or, when deleting, gone) before the turn of a resource comes; each address once.
    pub fn waits_for<'g>(
        &'g self,
        address: &Address,
        direction: Direction,
    ) -> impl Iterator<Item = &'g Address> + use<'g, N> {
        self.index
            .get(address)
            .into_iter()
            .flat_map(move |&node| {
                let mut last = None;
                self.next(node, direction.waits_for()).filter(move |&other| last.replace(other) != Some(other))
            })
            .map(|node| &self.inner[node].0)
    }

    fn edges_of(&self, node: NodeIndex, side: Side) -> impl Iterator<Item = EdgeRef<'_>> {
        self.inner.edges_directed(node, side).map(|edge| EdgeRef {
            from: &self.inner[edge.source()].0,
            to: &self.inner[edge.target()].0,
            kind: edge.weight(),
        })
    }

    /// The neighbours of a node that count in one direction.
    fn next(&self, node: NodeIndex, (side, delete_edges): (Side, bool)) -> impl Iterator<Item = NodeIndex> {
        self.inner
            .edges_directed(node, side)
            .filter(move |edge| delete_edges || *edge.weight() == EdgeKind::Reference)
            .map(move |edge| if side == Outgoing { edge.target() } else { edge.source() })
    }
}

impl Direction {
    /// On which side of a node stands what it waits for, and whether delete edges count.
    fn waits_for(self) -> (Side, bool) {
        match self {
            Self::Create => (Outgoing, false),
            Self::Delete => (Incoming, true),
        }
    }

    /// On which side of a node stands what waits for it, and whether delete edges count.
    fn waited_for_by(self) -> (Side, bool) {
        let (side, delete_edges) = self.waits_for();
        (side.opposite(), delete_edges)
    }
}

/// Nodes and edges that make no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two nodes have the same address.
    #[error("there are two resources with the address `{address}`")]
    DuplicateNode {
        /// The address.
        address: Address,
    },
    /// An edge starts or ends at an address that is no node.
    #[error("`{}` depends on `{}`, but there is no `{missing}`", .edge.from, .edge.to)]
    UnknownNode {
        /// The edge.
        edge: Box<Edge>,
        /// The end of it that is missing.
        missing: Address,
    },
    /// Resources depend on each other, so that none can be the first.
    #[error("resources depend on each other in a cycle: {path}")]
    Cycle {
        /// The resources of the cycle, each once; each depends on the next, and the last one on the first.
        path: CyclePath,
    },
}

/// A closed path, displayed as `a -> b -> a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CyclePath(pub Vec<Address>);

impl std::fmt::Display for CyclePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for address in &self.0 {
            write!(f, "{address} -> ")?;
        }
        self.0.first().map_or(Ok(()), |first| write!(f, "{first}"))
    }
}

#[cfg(test)]
mod tests {
    use super::test_graphs::address;
    use super::*;

    fn build(names: &[&str], edges: &[(&str, &str)]) -> Result<Graph<()>, GraphError> {
        let edges = edges.iter().map(|(from, to)| Edge::reference(address(from), address(to)));
        Graph::build(names.iter().map(|name| (address(name), ())), edges)
    }

    /// Invariant 1.
    #[test]
    fn what_makes_no_graph_is_refused_by_name() {
        for (names, edges, message) in [
            (&["a", "b", "a"][..], &[][..], "there are two resources with the address `global/thing/a`"),
            (&["a"], &[("a", "b")], "`global/thing/a` depends on `global/thing/b`, but there is no `global/thing/b`"),
            (&["a"], &[("b", "a")], "`global/thing/b` depends on `global/thing/a`, but there is no `global/thing/b`"),
            (&["a"], &[("a", "a")], "resources depend on each other in a cycle: global/thing/a -> global/thing/a"),
            (
                &["a", "b", "c", "d", "e"],
                // `a` only waits for the cycle, and `e` only is waited for.
                &[("a", "d"), ("d", "b"), ("b", "c"), ("c", "d"), ("c", "e")],
                "resources depend on each other in a cycle: \
                 global/thing/b -> global/thing/c -> global/thing/d -> global/thing/b",
            ),
        ] {
            assert_eq!(build(names, edges).expect_err(message).to_string(), message);
        }
    }

    /// An object cannot be both the first and the last to go.
    #[test]
    fn delete_edges_count_for_cycles() {
        let edges = [
            Edge::reference(address("subnet"), address("vpc")),
            Edge::delete_after(address("subnet"), address("vpc"), "nonsense"),
        ];
        let nodes = ["subnet", "vpc"].map(|name| (address(name), ()));
        assert!(matches!(Graph::build(nodes, edges), Err(GraphError::Cycle { .. })));
    }

    /// Invariant 2.
    #[test]
    fn the_order_of_the_input_changes_nothing() {
        let names = ["a", "b", "c", "d"];
        let edges = [("d", "b"), ("a", "b"), ("c", "d"), ("c", "b"), ("a", "b")];
        let (mut other_names, mut other_edges) = (names, edges);
        other_names.reverse();
        other_edges.reverse();
        let (one, other) = (build(&names, &edges).unwrap(), build(&other_names, &other_edges).unwrap());
        let told = |graph: &Graph<()>| {
            let edges = graph.edges().map(|edge| format!("{}-{}", edge.from.name(), edge.to.name()));
            let dependents = graph.dependents(&address("b")).map(|edge| edge.from.name().to_owned());
            (edges.collect::<Vec<_>>(), dependents.collect::<Vec<_>>())
        };
        assert_eq!(told(&one), told(&other));
        assert_eq!(told(&one).0, ["a-b", "c-b", "c-d", "d-b"]);
        assert_eq!(told(&one).1, ["a", "c", "d"]);
    }

    #[test]
    fn delete_edges_hold_up_deletion_only() {
        let edges = [
            Edge::reference(address("nat"), address("subnet")),
            Edge::reference(address("nat"), address("eip")),
            Edge::delete_after(address("eip"), address("nat"), "it is in use until then"),
            Edge::delete_after(address("igw"), address("nat"), "it has mapped public addresses until then"),
        ];
        let graph = Graph::build(["nat", "subnet", "eip", "igw"].map(|name| (address(name), ())), edges).unwrap();
        let waits_for =
            |name: &str, direction| graph.waits_for(&address(name), direction).map(Address::name).collect::<Vec<_>>();
        assert_eq!(waits_for("nat", Direction::Create), ["eip", "subnet"]);
        assert_eq!(waits_for("igw", Direction::Create), [""; 0]);
        assert_eq!(waits_for("igw", Direction::Delete), ["nat"]);
        assert_eq!(waits_for("eip", Direction::Delete), ["nat"], "each address once");
        assert_eq!(waits_for("nat", Direction::Delete), [""; 0]);
    }

    /// Invariant 3.
    #[test]
    fn a_long_chain_overflows_no_stack() {
        let names: Vec<String> = (0..100_000).map(|id| format!("{id:06}")).collect();
        let edges = names.windows(2).map(|pair| Edge::reference(address(&pair[0]), address(&pair[1])));
        let graph = Graph::build(names.iter().map(|name| (address(name), ())), edges).unwrap();
        assert_eq!(graph.order().next(), Some(&address("099999")));
        let second = std::time::Duration::from_secs(1);
        assert_eq!(graph.critical_path(Direction::Create, |_, ()| second).length(), second * 100_000);
    }
}

#[cfg(test)]
pub(crate) mod test_graphs {
    use proptest::prelude::*;

    use super::*;
    use crate::address::Scope;

    pub(crate) fn address(name: &str) -> Address {
        Address::new(Scope::global(), "thing", name)
    }

    /// For each of up to `size` nodes, smaller or larger nodes it depends on, in no order that their numbers show.
    pub(crate) fn dependencies(size: usize) -> impl Strategy<Value = Vec<Vec<usize>>> {
        (0..=size).prop_flat_map(|size| {
            let picks = prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), size);
            (Just((0..size).collect::<Vec<_>>()).prop_shuffle(), picks).prop_map(|(order, picks)| {
                let mut dependencies = vec![Vec::new(); order.len()];
                for (at, picks) in picks.into_iter().enumerate().skip(1) {
                    dependencies[order[at]] = picks.into_iter().map(|pick| order[pick.index(at)]).collect();
                }
                dependencies
            })
        })
    }

    /// The graph of [`dependencies`], in which every third edge is a delete edge.
    pub(crate) fn graph(dependencies: &[Vec<usize>]) -> Graph<usize> {
        let named = |id: usize| address(&format!("{id:03}"));
        let pairs = dependencies.iter().enumerate().flat_map(|(from, to)| to.iter().map(move |&to| (from, to)));
        let edges = pairs.map(|(from, to)| match (from + to) % 3 {
            0 => Edge::delete_after(named(to), named(from), "it is so"),
            _ => Edge::reference(named(from), named(to)),
        });
        Graph::build((0..dependencies.len()).map(|id| (named(id), id)), edges).expect("there is no cycle")
    }
}
