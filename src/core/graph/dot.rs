//! The graph in the DOT language of Graphviz.
//!
//! An arrow goes from a resource to what it depends on; a dashed one says what is deleted after what, and why.

use std::fmt::Write as _;

use super::clusters::clusters;
use super::{EdgeKind, Graph};
use crate::address::Address;

/// Writes the graph as DOT, one cluster per scope and within it one per group.
pub fn render<N>(
    graph: &Graph<N>,
    label: impl Fn(&Address) -> String,
    group: impl Fn(&Address) -> Option<String>,
) -> String {
    let mut out = String::from("digraph drctl {\n  rankdir=LR;\n  node [shape=box];\n");
    for (scope, groups) in clusters(graph, group) {
        let scope = scope.as_str();
        line(&mut out, 1, format_args!("subgraph {} {{", quote(&format!("cluster_{scope}"))));
        line(&mut out, 2, format_args!("label={};", quote(scope)));
        for (group, addresses) in groups {
            let mut depth = 2;
            if let Some(group) = &group {
                line(&mut out, 2, format_args!("subgraph {} {{", quote(&format!("cluster_{scope}/{group}"))));
                line(&mut out, 3, format_args!("label={};", quote(group)));
                depth = 3;
            }
            for address in addresses {
                let (id, label) = (quote(&address.to_string()), quote(&label(address)));
                line(&mut out, depth, format_args!("{id} [label={label}];"));
            }
            if group.is_some() {
                line(&mut out, 2, format_args!("}}"));
            }
        }
        line(&mut out, 1, format_args!("}}"));
    }
    for edge in graph.edges() {
        let (from, to) = (quote(&edge.from.to_string()), quote(&edge.to.to_string()));
        match edge.kind {
            EdgeKind::Reference => line(&mut out, 1, format_args!("{from} -> {to};")),
            EdgeKind::DeleteAfter { reason } => {
                line(&mut out, 1, format_args!("{from} -> {to} [style=dashed, label={}];", quote(reason)));
            }
        }
    }
    out.push_str("}\n");
    out
}

fn line(out: &mut String, depth: usize, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{:1$}{text}", "", depth * 2).expect("writing to a string cannot fail");
}

/// In a DOT string a backslash starts an escape such as `\N`, the name of the node, and an ampersand an HTML entity.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '&' => quoted.push_str("&amp;"),
            '"' | '\\' => quoted.extend(['\\', c]),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
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
            r##"digraph drctl {
  rankdir=LR;
  node [shape=box];
  subgraph "cluster_global" {
    label="global";
    "global/route53_zone/main" [label="main"];
  }
  subgraph "cluster_us-east-1" {
    label="us-east-1";
    subgraph "cluster_us-east-1/net \"work\"" {
      label="net \"work\"";
      "us-east-1/ec2_internet_gateway/main" [label="main"];
      "us-east-1/ec2_nat_gateway/a" [label="a"];
      "us-east-1/ec2_vpc/main" [label="10.0.0.0/16 \\N <b>&amp;\n`main` #1"];
    }
  }
  "global/route53_zone/main" -> "us-east-1/ec2_vpc/main";
  "us-east-1/ec2_internet_gateway/main" -> "us-east-1/ec2_vpc/main";
  "us-east-1/ec2_nat_gateway/a" -> "us-east-1/ec2_internet_gateway/main" [style=dashed, label="\"mapped\" addresses"];
}
"##
        );
    }
}
