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

/// What the tests of all exports draw: two scopes, with and without group, both kinds of edges, and names to escape.
#[cfg(test)]
pub(super) mod sample {
    use super::super::Edge;
    use super::*;

    pub(in super::super) fn graph() -> Graph<()> {
        let east = || Scope::region("us-east-1");
        let vpc = Address::new(east(), "ec2_vpc", "main");
        let igw = Address::new(east(), "ec2_internet_gateway", "main");
        let nat = Address::new(east(), "ec2_nat_gateway", "a");
        let zone = Address::new(Scope::global(), "route53_zone", "main");
        let edges = [
            Edge::reference(zone.clone(), vpc.clone()),
            Edge::reference(igw.clone(), vpc.clone()),
            Edge::delete_after(igw.clone(), nat.clone(), "\"mapped\" addresses"),
        ];
        Graph::build([zone, nat, igw, vpc].map(|address| (address, ())), edges).unwrap()
    }

    pub(in super::super) fn label(address: &Address) -> String {
        match address.kind() {
            "ec2_vpc" => "10.0.0.0/16 \\N <b>&\n`main` #1".to_owned(),
            _ => address.name().to_owned(),
        }
    }

    pub(in super::super) fn group(address: &Address) -> Option<String> {
        (!address.scope().is_global()).then(|| "net \"work\"".to_owned())
    }
}
