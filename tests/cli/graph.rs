//! The graph of the plan, which nobody has to be asked for.

use std::process::Command;

use crate::support::Folder;

/// No credentials, no suffix, no state, and an endpoint where nobody listens.
fn graph(arguments: &str) -> String {
    let folder = Folder::new().variable("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let said = folder.drctl(&format!("graph {arguments}"));
    said.strip_prefix("exit 0\n--- stdout\n").unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
fn the_graph_for_programs_is_json() {
    for arguments in ["--output json", "--format json"] {
        let document: serde_json::Value = serde_json::from_str(&graph(arguments)).expect("one JSON document");
        assert_eq!(document["version"], 1);
        let nodes = document["nodes"].as_array().expect("nodes").iter().map(|node| node["address"].as_str());
        let nodes: std::collections::BTreeSet<&str> = nodes.map(|address| address.expect("an address")).collect();
        assert!(nodes.contains("us-east-1/ec2_vpc/vpc") && nodes.contains("us-east-2/ec2_vpc/vpc"), "{nodes:?}");
        for edge in document["edges"].as_array().expect("edges") {
            for end in ["from", "to"] {
                assert!(nodes.contains(edge[end].as_str().expect("an address")), "{edge}");
            }
        }
    }
    assert!(graph("--output json --format dot").starts_with("digraph "), "what is asked for by name comes first");
}

/// Graphviz itself reads the graph; a machine without it checks nothing here.
#[test]
fn graphviz_reads_the_graph_without_a_complaint() {
    let folder = Folder::new();
    folder.write("graph.dot", &graph(""));
    let file = folder.path("graph.dot");
    let Ok(output) = Command::new("dot").arg("-Tcanon").arg(&file).output() else { return };
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    let read = String::from_utf8_lossy(&output.stdout);
    assert!(read.contains("\"us-east-1/ec2_vpc/vpc\""), "{read}");
}
