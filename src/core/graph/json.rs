//! The graph as JSON, for programs.

use serde::Serialize;

use super::{EdgeKind, Graph};
use crate::address::Address;

/// Grows when a reader of older documents would misread a new one.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'g> {
    version: u32,
    nodes: Vec<Node<'g>>,
    edges: Vec<Edge<'g>>,
}

#[derive(Serialize)]
struct Node<'g> {
    address: &'g Address,
    label: String,
    scope: &'g str,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
}

#[derive(Serialize)]
struct Edge<'g> {
    from: &'g Address,
    to: &'g Address,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'g str>,
}

/// Writes the graph as one JSON document: `nodes` by address, `edges` with `from` depending on `to`.
pub fn render<N>(
    graph: &Graph<N>,
    label: impl Fn(&Address) -> String,
    group: impl Fn(&Address) -> Option<String>,
) -> String {
    let nodes = graph.nodes().map(|(address, _)| Node {
        address,
        label: label(address),
        scope: address.scope().as_str(),
        group: group(address),
    });
    let edges = graph.edges().map(|edge| {
        let (kind, reason) = match edge.kind {
            EdgeKind::Reference => ("reference", None),
            EdgeKind::DeleteAfter { reason } => ("delete_after", Some(reason.as_ref())),
        };
        Edge { from: edge.from, to: edge.to, kind, reason }
    });
    let document = Document { version: VERSION, nodes: nodes.collect(), edges: edges.collect() };
    serde_json::to_string_pretty(&document).expect("strings and numbers always make JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::clusters::sample;
    use super::*;

    #[test]
    fn the_whole_text() {
        let text = render(&sample::graph(), sample::label, sample::group);
        assert_eq!(
            text,
            r##"{
  "version": 1,
  "nodes": [
    {
      "address": "global/route53_zone/main",
      "label": "main",
      "scope": "global"
    },
    {
      "address": "us-east-1/ec2_internet_gateway/main",
      "label": "main",
      "scope": "us-east-1",
      "group": "net \"work\""
    },
    {
      "address": "us-east-1/ec2_nat_gateway/a",
      "label": "a",
      "scope": "us-east-1",
      "group": "net \"work\""
    },
    {
      "address": "us-east-1/ec2_vpc/main",
      "label": "10.0.0.0/16 \\N <b>&\n`main` #1",
      "scope": "us-east-1",
      "group": "net \"work\""
    }
  ],
  "edges": [
    {
      "from": "global/route53_zone/main",
      "to": "us-east-1/ec2_vpc/main",
      "kind": "reference"
    },
    {
      "from": "us-east-1/ec2_internet_gateway/main",
      "to": "us-east-1/ec2_vpc/main",
      "kind": "reference"
    },
    {
      "from": "us-east-1/ec2_nat_gateway/a",
      "to": "us-east-1/ec2_internet_gateway/main",
      "kind": "delete_after",
      "reason": "\"mapped\" addresses"
    }
  ]
}
"##
        );
    }
}
