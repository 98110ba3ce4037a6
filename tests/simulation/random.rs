//! Random lives of random deployments: plans that change, crashes, faults, signals, credentials that end, full
//! disks, lost states, drift, in any order.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use drctl_core::address::Address;
use drctl_core::aws::tags;
use drctl_core::engine::run::RunError;
use drctl_core::engine::scheduler::Limits;
use drctl_core::error::{Failure, Kind};
use drctl_core::state::Medium;
use drctl_core::state::memory::{Effect, Fault};
use drctl_core::topology::Topology;
use rand::rngs::SmallRng;
use rand::seq::{IteratorRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::cloud::{CrashAt, Faults, Object};
use super::topologies::{Design, change, random};
use super::with_seeds;
use super::world::{Command, Ended, SUFFIX, World};

/// Invariants 1 to 10: whatever happened before, an undisturbed `up` ends with exactly the desired objects, a second one does
/// nothing, and `down` leaves nothing; and no run, however it ends, does what none may do.
#[test]
fn every_life_ends_well() {
    let (mut sum, start) = (Summary::default(), Instant::now());
    with_seeds("every_life_ends_well", 1000, 4_000, |seed| sum.add(&live(seed)));
    sum.print(start.elapsed());
}

/// What lives were like.
#[derive(Default)]
struct Summary {
    lives: u64,
    resources: u64,
    runs: u64,
    calls: u64,
    faults: u64,
}

impl Summary {
    fn add(&mut self, life: &Life) {
        let lived = life.world.cloud.lived;
        self.lives += 1;
        self.resources += life.most as u64;
        self.runs += lived.runs;
        self.calls += lived.calls;
        self.faults += lived.faults + life.disturbances;
    }

    fn print(&self, took: Duration) {
        let mean = |sum: u64| sum as f64 / self.lives as f64;
        println!("{} lives in {took:.1?}: {:.0} a second", self.lives, self.lives as f64 / took.as_secs_f64());
        println!(
            "a life has at most {:.1} resources at a time, {:.1} runs, {:.0} calls, {:.1} faults of calls and other disturbances",
            mean(self.resources),
            mean(self.runs),
            mean(self.calls),
            mean(self.faults)
        );
    }
}

/// One life.
struct Life {
    design: Design,
    /// The last design that nothing was said against.
    agreed: Design,
    /// The number of the next new part.
    fresh: usize,
    world: World,
    /// Until when what AWS has is not as a rebuilt state or a deferral makes believe.
    unsettled_until: Duration,
    /// The most resources there were at a time.
    most: usize,
    disturbances: u64,
}

fn live(seed: u64) -> Life {
    let dice = &mut SmallRng::seed_from_u64(seed);
    let fresh = few(dice.random_range(1..=24), dice);
    let design = random(fresh, dice);
    let mut life = Life {
        agreed: design.clone(),
        design,
        fresh,
        world: World::new(seed),
        unsettled_until: Duration::ZERO,
        most: 0,
        disturbances: 0,
    };
    for _ in 0..few(6, dice) {
        life.go_on(dice);
    }
    life.end(dice);
    life
}

/// At least one, seldom many: what goes wrong with many goes wrong with few as well, and more of those can be tried.
fn few(most: usize, dice: &mut SmallRng) -> usize {
    let most = dice.random_range(1..=most);
    dice.random_range(1..=most)
}

impl Life {
    /// Time passes, somebody does something, and a command is run.
    fn go_on(&mut self, dice: &mut SmallRng) {
        if dice.random_bool(0.5) {
            change(&mut self.design, &mut self.fresh, dice);
        }
        if dice.random_bool(0.3)
            && let Some(id) = drift(&mut self.world, dice)
        {
            self.meet_stranger(&id, dice.random());
        }
        if dice.random_bool(0.5) {
            self.world.cloud.begin += Duration::from_secs(dice.random_range(0..60));
        }
        if dice.random_bool(0.1)
            && let Some(part) = self.design.0.iter().choose(dice)
        {
            let until = self.world.cloud.begin + Duration::from_secs(dice.random_range(1..300));
            self.world.cloud.deferred.insert(part.address.clone(), until);
            self.unsettled_until = self.unsettled_until.max(until);
        }
        self.most = self.most.max(self.design.0.len());
        let topology = self.design.topology();
        if dice.random_bool(0.15) && self.is_all_of(&topology) {
            self.lose_state(&topology, dice);
        }
        let is_disturbed = self.disturb(dice) || self.unsettled_until > self.world.cloud.begin;
        match dice.random_bool(0.75) {
            true => self.up(&topology, is_disturbed),
            false => self.down(is_disturbed),
        }
        self.world.cloud.refused.clear();
        if let Some(theirs) = self.world.cloud.objects.remove("theirs") {
            assert!(theirs.version == 1 && theirs.gone_at.is_none(), "what belongs to others is not touched");
        }
    }

    /// An object on record says that it is somebody else's: nothing is done at all, until its tag is given back.
    fn meet_stranger(&mut self, id: &str, goes_up: bool) {
        let topology = self.design.topology();
        let ended = self.world.run(if goes_up { Command::Up(&topology) } else { Command::Down });
        let Ended::Run { result, .. } = &ended else { panic!("{ended:?}") };
        assert!(matches!(**result, Err(RunError::Taken(_))), "what is on record and not ours ends a run: {ended:?}");
        assert_eq!(self.world.cloud.mutations, 0, "nothing is changed beside what is not ours");
        let object = self.world.cloud.objects.get_mut(id).expect("it was not deleted");
        object.tags.insert(tags::DEPLOYMENT.to_owned(), SUFFIX.to_owned());
    }

    /// Runs `up` as a user who takes a change back that something protected forbids, and lifts the protection first.
    fn up(&mut self, topology: &Topology, is_disturbed: bool) {
        let mut is_refused = false;
        let ended = self.world.run_with(Command::Up(topology), &Limits::default(), |set| {
            is_refused = set.breaking_protection().count() > 0;
            if is_refused { Err(Failure::new(Kind::Preflight, "it is protected")) } else { Ok(()) }
        });
        if is_refused {
            assert_eq!(self.world.cloud.mutations, 0, "what breaks protection changes nothing");
            self.design = self.agreed.clone();
            self.lift_protection();
            return;
        }
        if matches!(ended, Ended::Run { .. }) {
            self.agreed = self.design.clone();
        }
        if !is_disturbed {
            assert!(ended.is_success(), "an undisturbed up succeeds: {ended:?}");
            self.world.check_is(topology);
        }
    }

    fn down(&mut self, is_disturbed: bool) {
        if is_disturbed {
            drop(self.world.down());
            return;
        }
        self.world.finish_down();
    }

    /// Ends with `up` and `down`, or with `down` alone.
    fn end(&mut self, dice: &mut SmallRng) {
        self.world.cloud.begin = self.world.cloud.begin.max(self.unsettled_until);
        if dice.random() {
            self.world.finish_up(&self.design.topology());
            if self.design.0.iter().any(|part| part.protected) {
                self.lift_protection();
                self.world.finish_up(&self.design.topology());
            }
        }
        self.world.finish_down();
    }

    fn lift_protection(&mut self) {
        for part in &mut self.design.0 {
            part.protected = false;
        }
    }

    /// Whether all objects are of the plan as it is now, so that it leads to each of them.
    fn is_all_of(&self, topology: &Topology) -> bool {
        let live = || self.world.cloud.live();
        live().all(|(_, object)| {
            let Some(address) = &object.address else { return true };
            let Some(resource) = topology.resources.get(address) else { return false };
            // What has no tags is found in its parent alone.
            let parent = object.spec["parent"].as_str().and_then(|id| self.world.cloud.get(id)?.address.as_ref());
            match object.taggable {
                // A tag that the plan no longer has could as well be somebody else's, to whoever has no record.
                true => {
                    let is_ours = object.tags.get(tags::DEPLOYMENT).is_some_and(|owner| owner == SUFFIX);
                    is_ours && object.tags.keys().all(|key| resource.spec["tags"].get(key).is_some())
                }
                false => parent.is_some_and(|parent| resource.lock_group.as_ref() == Some(parent)),
            }
        })
    }

    /// The state file is lost or damaged. That is seen, and a rebuild or, where all is lost, the next `up` finds everything.
    fn lose_state(&mut self, topology: &Topology, dice: &mut SmallRng) {
        self.world.cloud.begin += Duration::from_secs(dice.random_range(5..60));
        let mut names = self.world.disk.list().expect("memory can be listed");
        names.shuffle(dice);
        let Some(name) = names.first() else { return };
        let is_damaged = name == "sim.json" && dice.random_bool(0.7);
        if is_damaged {
            let text = self.world.disk.get(name).expect("it was listed");
            match dice.random_range(0..4) {
                // What it leaves behind tells that it was there.
                0 if names.len() > 1 => self.world.disk.take(name),
                1 => self.world.disk.put(name, &text[..0]),
                _ => self.world.disk.put(name, &text[..dice.random_range(0..text.len() - 2)]),
            }
            for command in [Command::Up(topology), Command::Down] {
                let ended = self.world.run(command);
                assert!(matches!(ended, Ended::Closed(_)), "invariant 6: a damaged state is an error: {ended:?}");
                assert_eq!(self.world.cloud.calls, 0, "invariant 6: nothing is done with a damaged state");
            }
        } else {
            self.world.lose_files();
            if dice.random_bool(0.5) {
                let ended = again_and_again(&mut self.world, Command::Up(topology));
                let is_done = ended.is_success() || !ended.end().report.deferred.is_empty();
                assert!(is_done, "what is ours is taken over: {ended:?}");
                return;
            }
        }
        self.disturb(dice);
        self.world.run(Command::Rebuild(topology));
        self.world.cloud.refused.clear();
        self.world.cloud.objects.remove("theirs");
        let ended = self.world.run(Command::Rebuild(topology));
        assert!(ended.is_success(), "a state can be made anew: {ended:?}");
        // Nobody knows any more what is on its way out, and still holds what it is in.
        let going = self.world.cloud.objects.values().filter_map(|object| object.gone_at);
        self.unsettled_until = going.fold(self.unsettled_until, Duration::max);
        let records = self.world.records();
        for (id, object) in self.world.cloud.live() {
            // A rebuild takes what it sees for finished; a run before that is true may have to be run again.
            self.unsettled_until = self.unsettled_until.max(object.ready_at);
            let address = object.address.as_ref().expect("all objects are ours");
            assert!(records[address].outputs["id"] == id.as_str(), "invariant 5: a rebuild finds {address}");
        }
    }

    /// Lets something go wrong in the next run.
    fn disturb(&mut self, dice: &mut SmallRng) -> bool {
        let world = &mut self.world;
        let crash = |dice: &mut SmallRng| CrashAt { call: dice.random_range(1..120), after: dice.random() };
        self.disturbances += 1;
        match dice.random_range(0..10) {
            0 => world.cloud.crash = Some(crash(dice)),
            1 => {
                let at = world.disk.writes() + dice.random_range(1..80);
                let effect = [Effect::None, Effect::Part(11), Effect::Whole][dice.random_range(0..3)];
                world.disk.sabotage(Fault { at, effect, error: ErrorKind::StorageFull, crash: dice.random() });
            }
            2 => world.cloud.faults = faults(dice.random_range(0.0..0.3), 40),
            3 => world.cloud.interrupt_at = Some(dice.random_range(1..120)),
            4 => {
                world.cloud.faults = faults(0.1, 10);
                world.cloud.crash = Some(crash(dice));
            }
            5 => {
                world.cloud.interrupt_at = Some(dice.random_range(1..120));
                world.cloud.second_after = Some(Duration::from_millis(dice.random_range(0..6000)));
            }
            6 => {
                let refused = self.design.0.iter().filter(|_| dice.random_bool(0.1));
                world.cloud.refused = refused.map(|part| part.address.clone()).collect();
            }
            7 => {
                let named = self.design.0.iter().rfind(|part| part.address.kind() == "sim_named");
                let Some(part) = named else { return false };
                world.cloud.objects.insert("theirs".to_owned(), theirs(&part.address));
            }
            8 => world.cloud.expire_at = Some(dice.random_range(1..120)),
            _ => {
                self.disturbances -= 1;
                return false;
            }
        }
        true
    }
}

/// Runs a command until it succeeds, with a minute between the tries. What is deleted goes in the order of the plan where the state was
/// lost, which need not be that of the objects: AWS may refuse it as often as there are objects that others are in. And nobody knows any
/// more what is on its way out, and holds what it is in until it is gone.
fn again_and_again(world: &mut World, command: Command<'_>) -> Ended {
    let mut ended = world.run(command);
    for _ in 0..10 {
        if ended.is_success() {
            break;
        }
        world.cloud.begin += Duration::from_secs(60);
        ended = world.run(command);
    }
    ended
}

fn faults(probability: f64, left: u32) -> Faults {
    Faults { probability, left }
}

/// What somebody else made under a name that is to be ours.
fn theirs(address: &Address) -> Object {
    Object {
        address: None,
        kind: "sim_named",
        taggable: true,
        name: Some(format!("sim/{address}")),
        spec: json!({ "parent": null, "uses": [], "size": 1, "shape": 1 }),
        tags: [(tags::DEPLOYMENT.to_owned(), "other".to_owned())].into_iter().collect(),
        version: 1,
        ready_at: Duration::ZERO,
        visible_at: Duration::ZERO,
        gone_at: None,
    }
}

/// Somebody changes or deletes an object that nothing is in, or puts a name of theirs on it: then this is the object.
fn drift(world: &mut World, dice: &mut SmallRng) -> Option<String> {
    let id = world.cloud.live().map(|(id, _)| id.clone()).choose(dice)?;
    let holds =
        world.cloud.objects.values().any(|object| object.gone_at.is_none() && object.spec["parent"] == id.as_str());
    let now = world.cloud.now();
    let records = world.records();
    let object = world.cloud.objects.get_mut(&id).expect("it is there");
    let is_known =
        object.address.as_ref().and_then(|address| records.get(address)).is_some_and(|one| one.is_identified());
    match dice.random_range(0..4) {
        0 => object.spec["size"] = json!(99),
        1 if object.tags.contains_key("team") => drop(object.tags.remove("team")),
        // What drctl never heard of would be theirs for good.
        2 if object.taggable && is_known && object.visible_at <= now => {
            object.tags.insert(tags::DEPLOYMENT.to_owned(), "other".to_owned());
            return Some(id);
        }
        // What nobody has heard of costs a run when somebody deletes it: `drift` has a test of its own for that.
        _ if !holds && is_known => object.gone_at = Some(now + Duration::from_secs(dice.random_range(0..10))),
        _ => {}
    }
    None
}
