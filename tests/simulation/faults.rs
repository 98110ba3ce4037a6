//! Calls that fail, objects that take too long, disks that are full.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use drctl_core::aws::Error;
use drctl_core::state::memory::{Effect, Fault};

use super::cloud::Faults;
use super::topologies::{at, random, small};
use super::with_seeds;
use super::world::{Command, Ended, World};
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// Invariant 8: a failure stops only what depends on it, and is told once.
#[test]
fn a_refusal_stops_only_what_depends_on_it() {
    let (mut world, topology) = (World::new(1), small().topology());
    world.cloud.refused.push(at("sim_tagged", "room-a"));
    let ended = world.up(&topology);
    let report = &ended.end().report;
    let failed: Vec<_> = report.failed.iter().map(|(operation, _)| operation.address.name()).collect();
    assert_eq!(failed, ["room-a"], "each root cause once");
    let skipped: BTreeSet<_> = report
        .skipped
        .iter()
        .map(|(operation, because)| {
            assert_eq!(because.name(), "room-a");
            operation.address.name()
        })
        .collect();
    assert_eq!(skipped, BTreeSet::from(["gateway", "record-1", "function", "alarm"]));
    assert_eq!(report.succeeded.len(), topology.resources.len() - 5, "everything else finishes");
    assert!(report.not_started.is_empty() && report.stopped.is_empty());
    let mut down = world.fork();
    world.cloud.refused.clear();
    world.finish_up(&topology);
    down.finish_down();
}

/// Invariants 4 and 8: what takes AWS longer than drctl waits is a failure of its own, stays on record, and is waited for again.
#[test]
fn what_takes_longer_than_anybody_waits_for_it_is_waited_for_again() {
    let (mut world, topology, gateway) = (World::new(4), small().topology(), at("sim_slow", "gateway"));
    let hour = Duration::from_secs(3600);
    world.cloud.extra.insert(gateway.clone(), 3 * hour);
    let ended = world.up(&topology);
    let [(operation, error)] = ended.end().report.failed.as_slice() else { panic!("{ended:?}") };
    assert_eq!(operation.address, gateway);
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    let ids = world.ids(&gateway);
    let mut down = world.fork();
    down.finish_down();
    world.cloud.begin += hour;
    world.finish_up(&topology);
    assert_eq!(world.ids(&gateway), ids, "it is made once");
}

/// Invariant 4: whatever is lost on the way, nothing is made twice and nothing is forgotten.
#[test]
fn lost_answers_and_server_errors_make_no_duplicates() {
    with_seeds("lost_answers_and_server_errors_make_no_duplicates", 40, 20, |seed| {
        let mut world = World::new(seed);
        let topology = match seed % 2 {
            0 => small().topology(),
            _ => random(15, &mut SmallRng::seed_from_u64(seed)).topology(),
        };
        for _ in 0..3 {
            world.cloud.faults = Faults { probability: 0.15, left: 30 };
            world.up(&topology);
        }
        let mut down = world.fork();
        world.finish_up(&topology);
        for _ in 0..3 {
            down.cloud.faults = Faults { probability: 0.15, left: 30 };
            down.down();
        }
        down.finish_down();
    });
}

/// Invariant 3: at the first write that fails nothing starts any more, every id that is not on record is told, and when the
/// disk has room again the next run finds everything.
#[test]
fn a_full_disk_stops_the_run_and_every_id_is_told() {
    let topology = small().topology();
    let mut base = World::new(3);
    let nothing = base.fork();
    base.finish_up(&topology);
    for (base, command) in [(nothing, Command::Up(&topology)), (base, Command::Down)] {
        let mut undisturbed = base.fork();
        let before = undisturbed.disk.writes();
        assert!(undisturbed.run(command).is_success());
        for number in 1..=undisturbed.disk.writes() - before {
            let mut world = base.fork();
            let at = world.disk.writes() + number;
            let error = ErrorKind::StorageFull;
            world.disk.sabotage(Fault { at, effect: Effect::None, error, crash: false });
            let ended = world.run(command);
            assert!(!ended.is_success(), "write {number}: the failure is told");
            check_everything_is_told(&world, &ended);
            let mut down = world.fork();
            world.finish_up(&topology);
            down.finish_down();
        }
    }
}

fn check_everything_is_told(world: &World, ended: &Ended) {
    let Ended::Run { unrecorded, result, .. } = ended else { return };
    let records = world.records();
    let told: BTreeSet<&str> = unrecorded.iter().filter_map(|(_, entry)| entry.outputs()?["id"].as_str()).collect();
    for (id, object) in world.cloud.live() {
        let address = object.address.as_ref().expect("all objects are ours");
        let record =
            records.get(address).unwrap_or_else(|| panic!("invariant 1: {address} was made without an intent"));
        assert!(
            record.outputs["id"] == id.as_str() || told.contains(id.as_str()),
            "invariant 3: {id} is neither on record nor told: {unrecorded:?}"
        );
    }
    if let Ok(end) = result.as_ref() {
        let report = &end.report;
        let all = report.succeeded.len() + report.failed.len() + report.skipped.len() + report.not_started.len();
        let operations = drctl_core::engine::operations::operations(&end.set).len();
        assert_eq!(all + report.stopped.len() + report.deferred.len(), operations, "every operation is accounted for");
    }
}
