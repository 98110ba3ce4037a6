//! Invariants 4 and 10: the process dies at every durable write and at every call, before it takes effect and after; the next
//! `up` ends with exactly the desired objects, the next `down` with none.

use std::io::ErrorKind;
use std::time::Duration;

use drctl_core::changes::Action;
use drctl_core::engine::recover::UNSEEN;
use drctl_core::engine::scheduler::Limits;
use drctl_core::error::{Failure, Kind};
use drctl_core::state::memory::{Effect, Fault};
use drctl_core::topology::Topology;

use super::cloud::{CrashAt, Faults};
use super::topologies::{Design, Part, at, small};
use super::world::{Command, Ended, World};

/// Every moment at which a run can die.
fn moments(base: &World, command: Command<'_>) -> Vec<Death> {
    let mut world = base.fork();
    let before = world.disk.writes();
    assert!(world.run(command).is_success(), "an undisturbed run succeeds");
    let calls =
        (1..=world.cloud.calls).flat_map(|call| [false, true].map(|after| Death::Call(CrashAt { call, after })));
    let writes = world.disk.writes() - before;
    let effects = [Effect::None, Effect::Part(9), Effect::Whole];
    calls.chain((1..=writes).flat_map(|number| effects.map(|effect| Death::Write(number, effect)))).collect()
}

#[derive(Clone, Copy, Debug)]
enum Death {
    Call(CrashAt),
    Write(u64, Effect),
}

impl Death {
    fn prepare(self, world: &mut World) {
        match self {
            Self::Call(crash) => world.cloud.crash = Some(crash),
            Self::Write(number, effect) => {
                let at = world.disk.writes() + number;
                world.disk.sabotage(Fault { at, effect, error: ErrorKind::Other, crash: true });
            }
        }
    }
}

/// What a run reads that has nothing to do.
fn reads_without_changes(base: &World, topology: &Topology) -> u64 {
    let mut world = base.fork();
    world.finish_up(topology);
    reads_before_changes(&world, topology)
}

/// What an `up` reads until it knows what to do.
fn reads_before_changes(world: &World, topology: &Topology) -> u64 {
    let mut world = world.fork();
    world.run_with(Command::Up(topology), &Limits::default(), |_| Err(Failure::new(Kind::Preflight, "not permitted")));
    world.cloud.calls
}

/// Dies at every moment of a command, and goes on with `up` and with `down`; and dies once more a little later.
fn die_everywhere(base: &World, command: Command<'_>, topology: &Topology) {
    let moments = moments(base, command);
    assert!(moments.len() > 60, "there are many moments to die at: {}", moments.len());
    let usual = reads_without_changes(base, topology);
    for (number, &death) in moments.iter().enumerate() {
        let mut world = base.fork();
        death.prepare(&mut world);
        let ended = world.run(command);
        assert!(matches!(ended, Ended::Crashed), "{death:?}: {ended:?}");
        let mut down = world.fork();
        let mut twice = world.fork();

        let intents = world.records().values().filter(|record| record.status.is_in_flight()).count() as u64;
        let reads = reads_before_changes(&world, topology);
        assert!(reads <= usual + intents, "{death:?}: {reads} reads with {intents} intents, {usual} without a crash");

        println!("{death:?}, then up");
        world.finish_up(topology);
        println!("{death:?}, then down");
        down.finish_down();
        if number % 5 != 0 {
            continue;
        }

        println!("{death:?}, then another death in up, then down");
        Death::Call(CrashAt { call: 1 + number as u64 % 37, after: number % 2 == 0 }).prepare(&mut twice);
        twice.up(topology);
        let mut down = twice.fork();
        twice.finish_up(topology);
        down.finish_down();
    }
}

#[test]
fn in_an_up_from_nothing() {
    die_everywhere(&World::new(1), Command::Up(&small().topology()), &small().topology());
}

/// Invariant 4: an id on record is believed, although a look does not see the new object yet.
#[test]
fn what_has_an_id_is_kept_although_it_is_not_seen_yet() {
    let topology = small().topology();
    let mut unseen = 0;
    for call in 10..40 {
        let mut world = World::new(12);
        world.cloud.crash = Some(CrashAt { call, after: true });
        assert!(matches!(world.up(&topology), Ended::Crashed));
        unseen += world.cloud.live().filter(|(_, object)| object.visible_at > world.cloud.begin).count();
        let before = world.records();
        world.finish_up(&topology);
        let after = world.records();
        for (address, record) in before.iter().filter(|(_, record)| record.is_identified()) {
            assert_eq!(after[address].outputs["id"], record.outputs["id"], "{address} is made once");
        }
    }
    assert!(unseen > 30, "many objects were too young to be seen: {unseen}");
}

/// Invariants 4 and 10: the journal of a complete `up` lost its end, at any entry. What it calls `creating` is there, so its outputs
/// are known, and nothing that refers to it is made anew.
#[test]
fn a_journal_that_lost_its_end_leads_to_the_same_objects() {
    let topology = small().topology();
    let mut whole = World::new(15);
    assert!(whole.up(&topology).is_success());
    let writes = whole.disk.writes();
    whole.finish_up(&topology);
    let mut half_made = 0;
    for number in 1..writes {
        let mut cut = World::new(15);
        Death::Write(number, Effect::Whole).prepare(&mut cut);
        assert!(matches!(cut.up(&topology), Ended::Crashed));
        let mut world = World { cloud: whole.cloud.clone(), disk: cut.disk.fork() };
        half_made += world.records().values().filter(|record| record.status.is_in_flight()).count();
        let ended = world.up(&topology);
        let replaced = ended.end().set.count(Action::Replace);
        assert_eq!(replaced, 0, "the journal ends after write {number}: {ended:?}");
        assert!(ended.is_success(), "the journal ends after write {number}: {ended:?}");
        for address in topology.resources.keys() {
            assert_eq!(world.ids(address), whole.ids(address), "the journal ends after write {number}: {address}");
        }
    }
    assert!(half_made > 20, "many records were in flight: {half_made}");
}

/// Invariant 4: how old an object is when it is looked for counts, and not how old it has become while other looks took long.
#[test]
fn what_is_too_young_to_be_seen_is_looked_for_again_although_the_looks_took_long() {
    let topology = small().topology();
    let mut unheard = 0;
    for call in 10..40 {
        for kind in ["sim_data", "sim_named", "sim_part"] {
            let mut world = World::new(14);
            world.cloud.crash = Some(CrashAt { call, after: true });
            assert!(matches!(world.up(&topology), Ended::Crashed));
            unheard += world.records().values().filter(|record| !record.is_identified()).count();
            world.cloud.slow.insert(format!("{kind}:List"), Duration::from_secs(60));
            world.finish_up(&topology);
        }
    }
    assert!(unheard > 40, "many objects were made that nobody had heard of: {unheard}");
}

/// Invariant 4: a creation is tried again while its answers are lost, so that the object may be made long after its intent, just before the
/// run dies.
#[test]
fn what_was_made_at_a_later_try_is_not_forgotten() {
    let topology = Design(vec![Part::new(at("sim_token", "gateway"))]).topology();
    let mut late = 0;
    for seed in 0..300 {
        for call in 2..12 {
            let mut world = World::new(seed);
            world.cloud.faults = Faults { probability: 0.6, left: 8 };
            world.cloud.crash = Some(CrashAt { call, after: true });
            if !matches!(world.up(&topology), Ended::Crashed) {
                continue;
            }
            let is_unheard = world.records().values().any(|record| !record.is_identified());
            late += u32::from(is_unheard && world.cloud.begin > UNSEEN && world.cloud.live().next().is_some());
            world.fork().finish_down();
            world.finish_up(&topology);
        }
    }
    assert!(late > 20, "many objects were made late, and nobody had heard of them: {late}");
}

/// Invariant 5: a tag goes with the plan that wanted it, although the run that set it died, and so did the one that takes it away.
#[test]
fn what_the_first_try_of_a_creation_set_is_not_forgotten_when_the_plan_changes() {
    let mut design = Design(vec![Part::new(at("sim_token", "gateway"))]);
    design.part("gateway").team = Some(1);
    let before = design.topology();
    design.part("gateway").team = None;
    let after = design.topology();
    let calls = |world: &World, topology: &Topology| {
        let mut world = world.fork();
        world.up(topology);
        world.cloud.calls
    };
    let start = World::new(13);
    for first in 1..=calls(&start, &before) {
        let mut dead = start.fork();
        dead.cloud.crash = Some(CrashAt { call: first, after: true });
        dead.up(&before);
        for second in 1..=calls(&dead, &after) {
            let mut world = dead.fork();
            world.cloud.crash = Some(CrashAt { call: second, after: true });
            world.up(&after);
            world.finish_up(&after);
            world.finish_down();
        }
    }
}

#[test]
fn in_an_up_that_updates() {
    let (mut world, mut design) = (World::new(2), small());
    world.finish_up(&design.topology());
    for part in &mut design.0 {
        part.size += 1;
        part.team = part.team.is_none().then_some(7);
    }
    design.remove(&at("sim_named", "alarm"));
    die_everywhere(&world, Command::Up(&design.topology()), &design.topology());
}

#[test]
fn in_an_up_that_replaces() {
    let (mut world, mut design) = (World::new(3), small());
    world.finish_up(&design.topology());
    for name in ["network", "bucket", "zone"] {
        design.part(name).shape += 1;
    }
    die_everywhere(&world, Command::Up(&design.topology()), &design.topology());
}

/// The plan goes back to what it was: what the interrupted change has touched is changed back.
#[test]
fn in_an_up_whose_changes_are_then_given_up() {
    let (mut world, mut design) = (World::new(4), small());
    let first = design.topology();
    world.finish_up(&first);
    design.part("gateway").size += 1;
    design.part("network").shape += 1;
    design.part("function").team = Some(9);
    design.part("key").team = Some(9);
    design.remove(&at("sim_data", "bucket"));
    die_everywhere(&world, Command::Up(&design.topology()), &first);
}

#[test]
fn in_a_down() {
    let mut world = World::new(5);
    world.finish_up(&small().topology());
    die_everywhere(&world, Command::Down, &small().topology());
}
