//! `drctl graph`.

use clap::{Args, ValueEnum};

use super::Flags;
use super::session::Session;
use crate::address::Address;
use crate::error::Outcome;
use crate::functions;
use crate::graph::{self, Edge};
use crate::topology::Topology;
use crate::ui::Screen;

/// Prints the dependency graph of the plan
#[derive(Debug, Args)]
pub(super) struct Graph {
    /// The language to write it in
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// For Graphviz
    #[default]
    Dot,
    /// For Markdown
    Mermaid,
    /// For programs
    Json,
}

impl Graph {
    pub(super) async fn run(self, flags: Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags, screen);
        let suffix = session.named_suffix()?;
        let plan = session.load_plan()?;
        let sources = functions::load(&plan.plan.functions)?;
        let snapshot = session.read_for(&suffix, &plan.plan)?.unwrap_or_default();
        let cloud = session.connect(&suffix, sources.assets).await?;
        let facts = &snapshot.deployment.facts;
        let (topology, _) = session.topology(&suffix, &plan.plan, &cloud, &sources.code, facts).await?;
        screen.text(&self.render(&topology));
        Ok(())
    }

    fn render(&self, topology: &Topology) -> String {
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
        match self.format {
            Format::Dot => graph::dot::render(&graph, label, group),
            Format::Mermaid => graph::mermaid::render(&graph, label, group),
            Format::Json => graph::json::render(&graph, label, group),
        }
    }
}
