//! The graph as a Mermaid flowchart, as forges show it in Markdown.
//!
//! An arrow goes from a resource to what it depends on; a dotted one says what is deleted after what, and why.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::clusters::clusters;
use super::{EdgeKind, Graph};
use crate::address::Address;

/// Writes the graph as Mermaid, one subgraph per scope and within it one per group.
///
/// Mermaid allows few characters in an id, so resources are numbered in the order of their addresses.
pub fn render<N>(
    graph: &Graph<N>,
    label: impl Fn(&Address) -> String,
    group: impl Fn(&Address) -> Option<String>,
) -> String {
    let ids: HashMap<&Address, usize> = graph.nodes().enumerate().map(|(id, (address, _))| (address, id)).collect();
    let mut subgraphs = 0..;
    let mut subgraph = |out: &mut String, depth, title: &str| {
        let id = subgraphs.next().expect("the numbers do not run out");
        line(out, depth, format_args!("subgraph s{id}[{}]", quote(title)));
    };
    let mut out = String::from("flowchart LR\n");
    for (scope, groups) in clusters(graph, group) {
        subgraph(&mut out, 1, scope.as_str());
        for (group, addresses) in groups {
            let mut depth = 2;
            if let Some(group) = &group {
                subgraph(&mut out, 2, group);
                depth = 3;
            }
            for address in addresses {
                line(&mut out, depth, format_args!("n{}[{}]", ids[address], quote(&label(address))));
            }
            if group.is_some() {
                line(&mut out, 2, format_args!("end"));
            }
        }
        line(&mut out, 1, format_args!("end"));
    }
    for edge in graph.edges() {
        let (from, to) = (ids[edge.from], ids[edge.to]);
        match edge.kind {
            EdgeKind::Reference => line(&mut out, 1, format_args!("n{from} --> n{to}")),
            EdgeKind::DeleteAfter { reason } => {
                line(&mut out, 1, format_args!("n{from} -.->|{}| n{to}", quote(reason)));
            }
        }
    }
    out
}

fn line(out: &mut String, depth: usize, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{:1$}{text}", "", depth * 2).expect("writing to a string cannot fail");
}

/// Mermaid reads HTML and, between backticks, Markdown even in quoted text; its escapes start with `#`.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\n' => quoted.push_str("<br/>"),
            '"' | '#' | '&' | '<' | '>' | '`' | '\\' => {
                write!(quoted, "#{};", u32::from(c)).expect("writing to a string cannot fail");
            }
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
            r##"flowchart LR
  subgraph s0["global"]
    n0["main"]
  end
  subgraph s1["us-east-1"]
    subgraph s2["net #34;work#34;"]
      n1["main"]
      n2["a"]
      n3["10.0.0.0/16 #92;N #60;b#62;#38;<br/>#96;main#96; #35;1"]
    end
  end
  n0 --> n3
  n1 --> n3
  n2 -.->|"#34;mapped#34; addresses"| n1
"##
        );
    }
}
