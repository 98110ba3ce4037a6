//! What the exports share: resources by scope, and within a scope by group.

use std::collections::BTreeMap;

use super::Graph;
use crate::address::{Address, Scope};

/// The resources of each scope, by the group they are in; those in no group come first.
pub(super) type Clusters<'g> = BTreeMap<&'g Scope, BTreeMap<Option<String>, Vec<&'g Address>>>;

pub(super) fn clusters<N>(graph: &Graph<N>, group: impl Fn(&Address) -> Option<String>) -> Clusters<'_> {
    let mut clusters = Clusters::new();
    for (address, _) in graph.nodes() {
        clusters.entry(address.scope()).or_default().entry(group(address)).or_default().push(address);
    }
    clusters
}
