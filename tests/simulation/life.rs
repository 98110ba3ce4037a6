//! Undisturbed runs, and plans that change.

use std::collections::BTreeMap;

use drctl_core::address::Address;
use drctl_core::changes::Action;
use drctl_core::engine::run::RunError;
use drctl_core::engine::scheduler::Limits;
use drctl_core::error::{Failure, Kind};
use drctl_core::state::{Medium, Status};
use serde_json::{Value, json};
use std::time::Duration;

use super::cloud::Deed;
use super::topologies::{Design, Part, at, small};
use super::world::{Command, Ended, World};

#[test]
fn up_makes_exactly_what_is_desired_once_and_down_leaves_nothing() {
    let (mut world, topology) = (World::new(1), small().topology());
    world.finish_up(&topology);
    world.finish_down();
    assert!(matches!(world.down(), Ended::Nothing), "there is nothing left to take down");
    // The same again: AWS remembers tokens of deleted objects, and names have to be free again.
    world.finish_up(&topology);
    world.finish_down();
}

#[test]
fn changes_are_made_in_place_where_they_can_be() {
    let (mut world, mut design) = (World::new(2), small());
    world.finish_up(&design.topology());
    let gateway = world.ids(&at("sim_slow", "gateway"));
    design.part("gateway").size = 2;
    design.part("function").team = None;
    let topology = design.topology();
    let ended = world.up(&topology);
    world.check_is(&topology);
    assert_eq!(world.ids(&at("sim_slow", "gateway")), gateway, "an update keeps the object");
    // The version of the gateway changes with it, and so do those that use it; the function's own tag change as well.
    let actions: BTreeMap<_, _> =
        ended.end().set.changing().map(|change| (change.address.name().to_owned(), change.action)).collect();
    let updated = ["alarm", "function", "gateway"].map(|name| (name.to_owned(), Action::Update));
    assert_eq!(actions, BTreeMap::from(updated));
    world.finish_up(&topology);
    world.finish_down();
}

/// Invariant 7, for replacements: what is in something goes before it and comes after it.
#[test]
fn a_replacement_takes_along_what_is_in_it() {
    let (mut world, mut design) = (World::new(3), small());
    world.finish_up(&design.topology());
    design.part("network").shape = 2;
    let topology = design.topology();
    assert!(world.up(&topology).is_success());
    world.check_is(&topology);
    let deleted = world.cloud.deeds.iter().filter(|deed| matches!(deed, Deed::Deleted(_))).count();
    assert_eq!(deleted, 5, "network, two rooms, gateway, door");
    world.finish_up(&topology);
    world.finish_down();
}

/// Invariant 7: what is no longer wanted goes after those that used it were changed to do without.
#[test]
fn what_is_removed_goes_after_its_users_let_go_of_it() {
    let (mut world, mut design) = (World::new(4), small());
    world.finish_up(&design.topology());
    design.remove(&at("sim_data", "bucket"));
    let topology = design.topology();
    assert!(world.up(&topology).is_success());
    let deeds = &world.cloud.deeds;
    let place = |wanted: Deed| deeds.iter().position(|deed| *deed == wanted).expect("it was done");
    assert!(place(Deed::Made(at("sim_named", "function"))) < place(Deed::Deleted(at("sim_data", "bucket"))));
    world.finish_up(&topology);
}

/// Invariant 10: what is no longer wanted needs what is replaced, and is needed by what stays: no order is right for all of them.
#[test]
fn what_asks_for_contradicting_orders_is_done_all_the_same() {
    let (base, old, user) = (at("sim_token", "base"), at("sim_tagged", "old"), at("sim_named", "user"));
    let mut design = Design([&base, &old, &user].map(|address| Part::new(address.clone())).into());
    design.part("old").uses.insert((base.clone(), "id"));
    design.part("user").uses.extend([(old.clone(), "id"), (base, "id")]);
    let mut world = World::new(12);
    world.finish_up(&design.topology());
    design.part("base").shape = 2;
    design.remove(&old);
    world.finish_up(&design.topology());
    world.finish_down();
}

/// Invariant 7: `down` deletes in the reverse of the recorded references and by the recorded delete edges.
#[test]
fn down_keeps_the_recorded_order() {
    let (mut world, topology) = (World::new(5), small().topology());
    world.finish_up(&topology);
    let records = world.records();
    assert!(world.down().is_success());
    let place = |address: &Address| {
        let wanted = Deed::Deleted(address.clone());
        world.cloud.deeds.iter().position(|deed| *deed == wanted).expect("everything is deleted")
    };
    for (address, record) in &records {
        for reference in &record.references {
            assert!(place(address) < place(reference), "{address} before {reference}");
        }
        for first in topology.resources[address].delete_after.keys() {
            assert!(place(first) < place(address), "{first} before {address}");
        }
    }
}

#[test]
fn what_is_protected_stays_with_what_it_needs() {
    let (mut world, mut design) = (World::new(6), small());
    design.part("bucket").protected = true;
    let topology = design.topology();
    world.finish_up(&topology);
    let ended = world.down();
    assert!(ended.is_success());
    let left: Vec<_> = world.records().into_keys().collect();
    assert_eq!(left, [at("sim_data", "bucket"), at("sim_token", "key")]);
    assert_eq!(world.cloud.live().count(), 2);
    world.finish_up(&topology);
    design.part("bucket").protected = false;
    world.finish_up(&design.topology());
    world.finish_down();
}

#[test]
fn breaking_protection_is_seen_before_anything_is_changed() {
    let (mut world, mut design) = (World::new(7), small());
    design.part("bucket").protected = true;
    world.finish_up(&design.topology());
    let mut replaced = design.clone();
    replaced.part("bucket").shape = 2;
    let mut removed = design.clone();
    removed.remove(&at("sim_data", "bucket"));
    for design in [replaced, removed] {
        let topology = design.topology();
        let ended = world.run_with(Command::Up(&topology), &Limits::default(), |set| {
            assert_eq!(set.breaking_protection().count(), 1);
            assert_eq!(set.losing_data().count(), 1);
            Err(Failure::new(Kind::Preflight, "refused"))
        });
        let Ended::Run { result, .. } = ended else { panic!("{ended:?}") };
        assert!(matches!(*result, Err(RunError::Interrupted)));
        assert_eq!(world.cloud.mutations, 0, "nothing was changed");
    }
    world.check_is(&design.topology());
}

#[test]
fn an_up_that_is_refused_leaves_no_trace() {
    let (mut world, topology) = (World::new(8), small().topology());
    let refuse = |_: &_| Err(Failure::new(Kind::Preflight, "refused"));
    world.run_with(Command::Up(&topology), &Limits::default(), refuse);
    world.check_empty();
}

/// A deletion that AWS lets happen only later is left to a later `down`, and nothing that needs it gone is tried.
#[test]
fn a_deferred_deletion_is_finished_by_a_later_down() {
    let (mut world, topology) = (World::new(9), small().topology());
    world.finish_up(&topology);
    let bucket = at("sim_data", "bucket");
    world.cloud.deferred.insert(bucket.clone(), Duration::from_secs(86_400));
    let ended = world.down();
    let report = &ended.end().report;
    assert_eq!(report.deferred.len(), 1);
    assert_eq!(report.skipped.len(), 1, "the key that it uses");
    assert!(matches!(world.records()[&bucket].status, Status::Deferred { .. }));

    // An `up` before that takes the deletion back.
    let mut wanted_again = World { cloud: world.cloud.clone(), disk: world.disk.fork() };
    wanted_again.finish_up(&topology);

    world.cloud.begin += Duration::from_secs(86_400);
    world.finish_down();
}

/// Parallel limits change the duration and nothing else.
#[test]
fn one_at_a_time_comes_to_the_same_end() {
    let (mut world, topology) = (World::new(10), small().topology());
    let limits = Limits { parallelism: std::num::NonZeroUsize::new(1), ..Limits::default() };
    assert!(world.run_with(Command::Up(&topology), &limits, |_| Ok(())).is_success());
    world.check_is(&topology);
    world.finish_up(&topology);
    assert!(world.run_with(Command::Down, &limits, |_| Ok(())).is_success());
    world.check_empty();
}

/// Parts of one lock group, and the resource that is the lock, are never changed side by side: the cloud counts that.
#[test]
fn lock_groups_never_overlap() {
    let (mut world, mut design) = (World::new(11), small());
    let zone = at("sim_named", "zone");
    for number in 0..20 {
        let mut part = Part::new(at("sim_part", &format!("more-{number}")));
        part.parent = Some(zone.clone());
        design.0.push(part);
    }
    world.finish_up(&design.topology());
    // Some go, some change, and so does the zone itself.
    for number in 0..10 {
        design.remove(&at("sim_part", &format!("more-{number}")));
        design.part(&format!("more-{}", number + 10)).size = 2;
    }
    design.part("zone").size = 2;
    world.finish_up(&design.topology());
    world.finish_down();
}

/// A state that was edited, or made by an earlier version, may refer to what is on record, which is known, or to nothing at all: then the
/// deletion is an error that names the reference, never a panic, and everything else goes.
#[test]
fn a_record_with_an_open_reference_is_completed_or_named() {
    let down_with_reference_to = |to: &str| {
        let (mut world, topology) = (World::new(12), small().topology());
        world.finish_up(&topology);
        let files = world.disk.list().expect("memory can be listed");
        let name = files.iter().find(|name| name.ends_with(".json")).expect("there is a state");
        let text = String::from_utf8(world.disk.get(name).expect("it can be read")).expect("it is text");
        let mut state: Value = serde_json::from_str(&text).expect("it is JSON");
        let parent = &mut state["records"][at("sim_tagged", "door").to_string()]["spec"]["parent"];
        assert!(parent.is_string(), "the door is in the network");
        *parent = json!({ "$ref": to });
        // What a person writes who accepts an edit.
        state["checksum"] = json!("edited");
        world.disk.put(name, state.to_string());
        world.down()
    };
    assert!(down_with_reference_to(&format!("{}#id", at("sim_tagged", "network"))).is_success());
    let ended = down_with_reference_to(&format!("{}#id", at("sim_slow", "nowhere")));
    let failed = &ended.end().report.failed;
    assert_eq!(failed.len(), 1, "{failed:?}");
    let told = failed[0].1.to_string();
    assert!(told.contains("nowhere") && told.contains("drctl state forget"), "{told}");
}
