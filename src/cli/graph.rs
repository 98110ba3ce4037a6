//! `drctl graph`.

use clap::{Args, ValueEnum};

use super::Flags;
use super::session::Session;
use crate::address::Address;
use crate::error::Outcome;
use crate::graph::{self, Edge};
use crate::topology::{self, Topology};
use crate::ui::{OutputMode, Screen};

/// Prints the dependency graph of the plan
///
/// Contacts nobody: what only AWS knows does not change the graph.
#[derive(Debug, Args)]
pub(super) struct Graph {
    /// The language to write it in; by default `dot`, and `json` with `--output json`
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// For programs
    Json,
}

impl Graph {
    pub(super) fn run(self, flags: Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags, screen);
        let plan = session.load_plan()?;
        let format = self.format.unwrap_or(match session.flags.output {
            OutputMode::Human => Format::Dot,
            OutputMode::Json => Format::Json,
        });
        screen.text(&render(&topology::sketch(&plan.plan), format));
        Ok(())
    }
}

fn render(topology: &Topology, format: Format) -> String {
    let resources = topology.resources.values();
    let edges = resources.clone().flat_map(|resource| {
        let references = resource.references.iter().map(|to| Edge::reference(resource.address.clone(), to.clone()));
        let deletions = resource
            .delete_after
            .iter()
            .map(|(first, reason)| Edge::delete_after(resource.address.clone(), first.clone(), reason.clone()));
        references.chain(deletions)
    });
    let graph = graph::Graph::build(resources.map(|resource| (resource.address.clone(), ())), edges)
        .expect("stacks refer only to what was added before");
    let label = |address: &Address| format!("{}/{}", address.kind(), address.name());
    let group = |address: &Address| Some(topology.resources[address].stack.to_string());
    match format {
        Format::Dot => graph::dot::render(&graph, label, group),
        Format::Mermaid => graph::mermaid::render(&graph, label, group),
        Format::Json => graph::json::render(&graph, label, group),
    }
}
