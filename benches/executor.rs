//! Prints how near to the critical path a run through the real executor comes, and what the journal costs per transition.
//!
//! Run with `cargo run --release --example executor`. It asserts nothing: figures depend on the machine and its disk.

#![expect(clippy::print_stdout, reason = "printing figures is all that a benchmark does")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drctl_core::address::{Address, Scope};
use drctl_core::aws::error::Result;
use drctl_core::engine::event::Events;
use drctl_core::engine::executor::Execution;
use drctl_core::engine::run::{self, Goal};
use drctl_core::engine::scheduler::Limits;
use drctl_core::engine::shutdown::Shutdown;
use drctl_core::kind::{
    Adoption, AnyKind, AnyObject, AnyWanted, Context, Deletion, Expected, Kinds, Permissions, Surroundings, Task,
    Traits,
};
use drctl_core::reference::references;
use drctl_core::state::memory::Memory;
use drctl_core::state::{Deployment, Desired, Entry, Folder, Holder, Intent, Medium, Store};
use drctl_core::topology::{Resource, Stack, Topology};
use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

fn main() {
    makespan(10_000);
    println!("journal on a folder, per transition; every entry waits for its sync");
    for records in [100, 10_000, 100_000] {
        journal(records);
    }
}

/// A kind whose objects take as long to make as their spec says.
struct Timed;

static TIMED: Timed = Timed;

impl AnyKind for Timed {
    fn traits(&self) -> &'static Traits {
        &const {
            Traits {
                name: "timed",
                taggable: false,
                data_bearing: false,
                adoption: Adoption::ByName,
                immutable: &[],
                locked_by: None,
                expected: Expected::seconds(600, 1, 1),
                permissions: Permissions { read: &[], change: &[] },
                retries: &[],
            }
        }
    }

    fn holds(&self, _: &str) -> bool {
        false
    }

    fn changes_on_update(&self, _: &str) -> bool {
        false
    }

    fn canonical(&self, spec: &Value) -> Result<Value> {
        Ok(spec.clone())
    }

    fn observe<'a>(&'a self, _: &'a Context, wanted: &'a [AnyWanted]) -> BoxFuture<'a, Result<Vec<Option<AnyObject>>>> {
        Box::pin(async move { Ok(vec![None; wanted.len()]) })
    }

    fn ensure<'a>(&'a self, task: &'a Task<'a>, spec: &'a Value, _: Option<AnyObject>) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async move {
            let outputs = json!({ "id": task.address.name() });
            task.identified(&outputs).await?;
            tokio::time::sleep(Duration::from_secs(spec["seconds"].as_u64().unwrap_or_default())).await;
            Ok(outputs)
        })
    }

    fn delete<'a>(&'a self, _: &'a Task<'a>, _: &'a Value, _: &'a Value) -> BoxFuture<'a, Result<Deletion>> {
        Box::pin(async { Ok(Deletion::Gone) })
    }
}

fn address(number: usize) -> Address {
    Address::new(Scope::region("us-east-1"), "timed", &format!("r{number}"))
}

fn deployment() -> Deployment {
    Deployment { suffix: "bench".to_owned(), ..Deployment::default() }
}

/// One whole `up` in virtual time, without limits, over resources that each refer to a few before them.
fn makespan(count: usize) {
    let mut dice = StdRng::seed_from_u64(1);
    let mut topology = Topology::default();
    let mut ends: Vec<u64> = Vec::new();
    for number in 0..count {
        let seconds = dice.random_range(60..1200);
        let uses: Vec<usize> = (0..dice.random_range(0..4))
            .filter(|_| number > 0)
            .map(|_| number - dice.random_range(1..=number.min(1000)))
            .collect();
        ends.push(seconds + uses.iter().map(|&before| ends[before]).max().unwrap_or(0));
        let uses: Vec<_> = uses.iter().map(|&before| json!({ "$ref": format!("{}#id", address(before)) })).collect();
        let spec = json!({ "seconds": seconds, "uses": uses });
        let resource = Resource {
            address: address(number),
            stack: Stack::Network,
            references: references(&spec),
            spec,
            delete_after: BTreeMap::new(),
            supersedes: BTreeSet::new(),
            lock_group: None,
            data_bearing: false,
            protected: false,
        };
        topology.resources.insert(address(number), resource);
    }
    let critical = ends.into_iter().max().unwrap_or(0);
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let elapsed = runtime.expect("a runtime").block_on(deploy(&topology));
    let over = 100.0 * (elapsed.as_secs_f64() / critical as f64 - 1.0);
    println!("{count} resources through the executor in virtual time");
    println!("  makespan {:.1} s, critical path {critical} s ({over:+.2} %)", elapsed.as_secs_f64());
    println!("  took {:.2} s of real time, journal in memory", start.elapsed().as_secs_f64());
}

async fn deploy(topology: &Topology) -> Duration {
    let holder = Holder::current("bench");
    let store = Store::create(Arc::new(Memory::new()), deployment(), &holder, Duration::ZERO).await;
    let shutdown = Shutdown::default();
    let execution = Arc::new(Execution {
        kinds: Kinds::of([&TIMED as &dyn AnyKind]),
        surroundings: Surroundings {
            provider: Arc::new(()),
            suffix: "bench".to_owned(),
            account: "123456789012".to_owned(),
            stop: shutdown.token(),
            assets: Arc::default(),
        },
        store: Arc::new(store.expect("a new deployment in memory")),
        events: Events::unheard(),
        shutdown,
        limits: Limits::default(),
    });
    let goal = Goal { topology, facts: &BTreeMap::new(), plan_digest: "", removes_twins: false };
    let set = run::prepare_up(&execution, goal).await.expect("AWS can be looked at");
    let end = run::carry_out_up(&execution, goal, set).await.expect("nothing stands in the way");
    assert!(end.report.is_complete());
    end.report.elapsed
}

/// The cost of one entry beside so many records: bytes appended, and microseconds until it is durable.
fn journal(records: usize) {
    const TRANSITIONS: usize = 900;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let medium: Arc<dyn Medium> = Arc::new(Folder::new(folder.path()));
        let holder = Holder::current("bench");
        let store = Store::create(medium, deployment(), &holder, Duration::ZERO).await.expect("an empty folder");
        let ready = (0..records).map(|number| {
            let desired = Some(desired(number));
            store
                .record(&address(number), Entry::Observed { outputs: json!({ "id": format!("id-{number}") }), desired })
        });
        for written in futures::future::join_all(ready).await {
            written.expect("the folder can be written");
        }
        let path = folder.path().join("bench.journal");
        let size = || std::fs::metadata(&path).map_or(0, |file| file.len());
        let (before, start) = (size(), Instant::now());
        for number in 0..TRANSITIONS / 3 {
            let address = address(records + number);
            let outputs = json!({ "id": format!("id-{number}") });
            let token = format!("{number:032x}");
            let intent = Entry::Intended(Intent::Create { token, desired: desired(number) });
            let done = Entry::Done { outputs: outputs.clone(), milliseconds: 1 };
            for entry in [intent, Entry::Identified { outputs }, done] {
                store.record(&address, entry).await.expect("the folder can be written");
            }
        }
        let microseconds = start.elapsed().as_secs_f64() * 1e6 / TRANSITIONS as f64;
        let bytes = (size().saturating_sub(before)) as f64 / TRANSITIONS as f64;
        println!("  {records:>7} records: {bytes:>6.0} bytes, {microseconds:>7.0} µs");
        store.close().await.expect("the folder can be written");
    });
}

fn desired(number: usize) -> Desired {
    let spec = json!({ "cidr": format!("10.{}.{}.0/24", number % 256, number / 256 % 256), "zone": "us-east-1a" });
    Desired { stack: "network".to_owned(), spec, references: vec![address(number / 2)], ..Desired::default() }
}
