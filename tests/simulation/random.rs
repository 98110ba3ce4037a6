//! Random lives of random deployments: plans that change, crashes, faults, signals, full disks, drift, in any order.

use std::io::ErrorKind;
use std::time::Duration;

use drctl::state::memory::{Effect, Fault};
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::cloud::{CrashAt, Faults};
use super::topologies::{change, random};
use super::with_seeds;
use super::world::{Command, World};

/// Invariants 2, 4, 5, 7 and 10: whatever happened before, an undisturbed `up` ends with exactly the desired objects, a second
/// one does nothing, and `down` leaves nothing.
#[test]
fn every_life_ends_well() {
    with_seeds("every_life_ends_well", 200, 60, live);
}

fn live(seed: u64) {
    let dice = &mut SmallRng::seed_from_u64(seed);
    let mut fresh = dice.random_range(1..25);
    let mut design = random(fresh, dice);
    let mut world = World::new(seed);
    for _ in 0..dice.random_range(1..7) {
        if dice.random_bool(0.5) {
            change(&mut design, &mut fresh, dice);
        }
        if dice.random_bool(0.3) {
            drift(&mut world, dice);
        }
        if dice.random_bool(0.5) {
            world.cloud.begin += Duration::from_secs(dice.random_range(0..60));
        }
        let topology = design.topology();
        let command = if dice.random_bool(0.75) { Command::Up(&topology) } else { Command::Down };
        let is_disturbed = disturb(&mut world, dice);
        let ended = world.run(command);
        if !is_disturbed {
            assert!(ended.is_success(), "an undisturbed run succeeds: {ended:?}");
            match command {
                Command::Up(topology) => world.check_is(topology),
                Command::Down => world.check_empty(),
            }
        }
    }
    let topology = design.topology();
    let mut down = world.fork();
    world.finish_up(&topology);
    world.finish_down();
    down.finish_down();
}

/// Lets something go wrong in the next run.
fn disturb(world: &mut World, dice: &mut SmallRng) -> bool {
    match dice.random_range(0..6) {
        0 => world.cloud.crash = Some(CrashAt { call: dice.random_range(1..120), after: dice.random() }),
        1 => {
            let at = world.disk.writes() + dice.random_range(1..80);
            let effect = [Effect::None, Effect::Part(11), Effect::Whole][dice.random_range(0..3)];
            world.disk.sabotage(Fault { at, effect, error: ErrorKind::StorageFull, crash: dice.random() });
        }
        2 => world.cloud.faults = Faults { probability: dice.random_range(0.0..0.3), left: 40 },
        3 => world.cloud.interrupt_at = Some(dice.random_range(1..120)),
        4 => {
            world.cloud.faults = Faults { probability: 0.1, left: 10 };
            world.cloud.crash = Some(CrashAt { call: dice.random_range(1..120), after: dice.random() });
        }
        _ => return false,
    }
    true
}

/// Somebody changes or deletes an object that nothing is in.
fn drift(world: &mut World, dice: &mut SmallRng) {
    let Some(id) = world.cloud.live().map(|(id, _)| id.clone()).choose(dice) else { return };
    let holds =
        world.cloud.objects.values().any(|object| object.gone_at.is_none() && object.spec["parent"] == id.as_str());
    let now = world.cloud.now();
    let object = world.cloud.objects.get_mut(&id).expect("it is there");
    match dice.random_range(0..3) {
        0 => object.spec["size"] = json!(99),
        1 if object.tags.contains_key("team") => drop(object.tags.remove("team")),
        _ if !holds => object.gone_at = Some(now + Duration::from_secs(dice.random_range(0..10))),
        _ => {}
    }
}
