//! Prints what planning costs on synthetic graphs, and how near to the critical path the scheduler comes.
//!
//! Run with `cargo run --release --example graph`. It asserts nothing: figures depend on the machine.

#![expect(clippy::print_stdout, reason = "printing figures is all that a benchmark does")]

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use drctl_core::address::{Address, Scope};
use drctl_core::engine::scheduler::{Action, Event, Limits, Operation, OperationId, Scheduler, simulate};
use drctl_core::graph::{Direction, Edge, Graph};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn main() {
    let mut random = StdRng::seed_from_u64(1);
    planning(100_000, &mut random);
    makespan(10_000, &mut random);
}

/// What `drctl plan` does with a topology, and what a run asks of the scheduler.
fn planning(count: usize, random: &mut StdRng) {
    let (nodes, edges) = resources(count, random);
    println!("{count} resources, {} edges", edges.len());
    let whole = Instant::now();

    let graph = timed("build", || Graph::build(nodes, edges).expect("references go to earlier resources only"));
    timed("order", || assert_eq!(graph.order().len(), count));
    timed("critical path", || graph.critical_path(Direction::Create, |_, &expected| expected).length());
    let operations = timed("operations", || operations(&graph));
    let mut scheduler =
        timed("scheduler", || Scheduler::new(operations, &Limits::default()).expect("a graph has no cycle"));
    timed("run", || {
        let mut running = scheduler.start();
        while let Some(id) = running.pop() {
            running.extend(scheduler.on(Event::Succeeded(id)));
        }
        assert!(scheduler.is_finished() && scheduler.report().is_success());
    });
    println!("  {:<24}{:>9.1} ms", "all of it", whole.elapsed().as_secs_f64() * 1e3);
    println!("  {:<24}{:>9.1} MB", "peak memory", peak_memory_kb() as f64 / 1024.0);
}

/// How much longer than the critical path a run takes when operations take as long as expected.
fn makespan(count: usize, random: &mut StdRng) {
    let (nodes, edges) = resources(count, random);
    let graph = Graph::build(nodes, edges).expect("references go to earlier resources only");
    println!("{count} operations in virtual time: makespan over critical path");
    for parallelism in [None, Some(1024), Some(256), Some(64)] {
        let limits = Limits { parallelism: parallelism.and_then(NonZeroUsize::new), ..Limits::default() };
        let result = simulate(operations(&graph), &limits).expect("a graph has no cycle");
        let name = parallelism.map_or("unlimited".to_owned(), |limit| format!("{limit} at a time"));
        let over = 100.0 * (result.makespan.as_secs_f64() / result.critical_length.as_secs_f64() - 1.0);
        println!(
            "  {name:<24}{:>9.1} s / {:.1} s ({over:+.2} %)",
            result.makespan.as_secs_f64(),
            result.critical_length.as_secs_f64()
        );
    }
}

/// Resources that each reference up to six of those before them, mostly near ones, as subnets reference their VPC.
fn resources(count: usize, random: &mut StdRng) -> (Vec<(Address, Duration)>, Vec<Edge>) {
    let scopes = [Scope::region("us-east-1"), Scope::region("us-east-2"), Scope::global()];
    let address = |id: usize| Address::new(scopes[id % 3].clone(), "synthetic_resource", &format!("number-{id}"));
    let nodes = (0..count).map(|id| (address(id), Duration::from_millis(random.random_range(100..60_000)))).collect();
    let mut edges = Vec::new();
    for id in 1..count {
        for _ in 0..random.random_range(0..=6) {
            let reach = if random.random_bool(0.8) { id.min(1000) } else { id };
            edges.push(Edge::reference(address(id), address(id - random.random_range(1..=reach))));
        }
    }
    (nodes, edges)
}

fn operations(graph: &Graph<Duration>) -> Vec<Operation> {
    let id = |address| OperationId::new(graph.position(address).expect("an edge ends at a node"));
    let operation = |(address, &expected): (&Address, &Duration)| Operation {
        address: address.clone(),
        action: Action::Create,
        expected,
        lock_group: None,
        class: None,
        after: graph.waits_for(address, Direction::Create).map(id).collect(),
    };
    graph.nodes().map(operation).collect()
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("  {what:<24}{:>9.1} ms", start.elapsed().as_secs_f64() * 1e3);
    result
}

/// The most memory this process ever had resident, as Linux tells it; 0 elsewhere.
fn peak_memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
