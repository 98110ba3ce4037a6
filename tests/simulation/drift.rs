//! What others do behind drctl's back: it is seen, named and mended.

use std::time::Duration;

use drctl_core::aws::tags;
use drctl_core::changes::{Action, Drift};
use drctl_core::engine::event::Action as Deed;
use drctl_core::engine::operations::operations;
use drctl_core::engine::run::RunError;
use drctl_core::engine::scheduler::Limits;
use drctl_core::error::{Failure, Kind};
use serde_json::json;

use super::cloud::{CrashAt, Object};
use super::topologies::{Design, Part, at, small};
use super::world::{Command, Ended, World};

#[test]
fn changed_properties_and_tags_are_put_back_and_tags_of_others_stay() {
    let (mut world, topology) = (World::new(1), small().topology());
    world.finish_up(&topology);
    let id = world.ids(&at("sim_named", "function")).remove(0);
    let object = world.cloud.objects.get_mut(&id).expect("it was made");
    object.spec["size"] = json!(9);
    object.tags.insert("team".to_owned(), "2".to_owned());
    object.tags.insert("cost-centre".to_owned(), "42".to_owned());
    let ended = world.up(&topology);
    assert!(ended.is_success());
    let change = &ended.end().set.changes[&at("sim_named", "function")];
    let Drift::Changed { fields } = &change.drift else { panic!("{:?}", change.drift) };
    let fields: Vec<_> = fields.iter().map(|difference| difference.field.as_str()).collect();
    assert_eq!(fields, ["size", "tags.team"]);
    let object = world.cloud.objects.get_mut(&id).expect("it was not replaced");
    assert_eq!(object.tags.remove("cost-centre"), Some("42".to_owned()), "what others tag is theirs");
    world.check_is(&topology);
}

/// Each resource in turn is deleted by somebody else, and everything two at a time.
#[test]
fn what_somebody_deleted_is_made_again() {
    let topology = small().topology();
    let mut base = World::new(2);
    base.finish_up(&topology);
    for address in topology.resources.keys() {
        let mut world = base.fork();
        let id = world.ids(address).remove(0);
        let is_in_it = |object: &Object| object.spec["parent"] == id.as_str();
        if world.cloud.live().any(|(_, object)| is_in_it(object)) {
            continue;
        }
        world.cloud.objects.get_mut(&id).expect("it is there").gone_at = Some(Duration::ZERO);
        let mut down = world.fork();
        let ended = world.up(&topology);
        assert!(ended.is_success(), "{address}: {ended:?}");
        let change = &ended.end().set.changes[address];
        assert_eq!((change.action, &change.drift), (Action::Create, &Drift::Missing), "{address}");
        world.check_is(&topology);
        world.finish_up(&topology);
        down.finish_down();
    }
}

/// AWS answers a token with what was made with it, even when somebody has deleted that since. What a crash left unheard and somebody
/// deleted costs one run, and no more.
#[test]
fn what_somebody_deleted_before_it_was_heard_of_costs_one_run() {
    let topology = small().topology();
    let calls = {
        let mut world = World::new(6);
        assert!(world.up(&topology).is_success());
        world.cloud.calls
    };
    let mut failed = 0;
    for call in 1..=calls {
        let mut world = World::new(6);
        world.cloud.crash = Some(CrashAt { call, after: true });
        assert!(matches!(world.up(&topology), Ended::Crashed), "call {call}");
        let records = world.records();
        for object in world.cloud.objects.values_mut() {
            let record = object.address.as_ref().and_then(|address| records.get(address));
            if !record.is_some_and(|record| record.is_identified()) {
                object.gone_at = Some(Duration::ZERO);
            }
        }
        let mut down = world.fork();
        failed += u32::from(!world.up(&topology).is_success());
        world.finish_up(&topology);
        down.finish_down();
    }
    assert!(failed > 0, "no token was answered with what is gone");
}

/// A name is not ours because we wanted it: neither `up` nor `down` touches what somebody else made under it.
#[test]
fn what_belongs_to_somebody_else_is_never_touched() {
    let topology = small().topology();
    let foreign = |owner: Option<&str>| Object {
        address: None,
        kind: "sim_named",
        taggable: true,
        name: Some("sim/us-east-1/sim_named/zone".to_owned()),
        spec: json!({ "parent": null, "uses": [], "size": 1, "shape": 1 }),
        tags: owner.map(|owner| (tags::DEPLOYMENT.to_owned(), owner.to_owned())).into_iter().collect(),
        version: 1,
        ready_at: Duration::ZERO,
        visible_at: Duration::ZERO,
        gone_at: None,
    };
    for owner in [None, Some("other")] {
        // It is there from the beginning: nothing is changed at all.
        let mut world = World::new(3);
        world.cloud.objects.insert("theirs".to_owned(), foreign(owner));
        let ended = world.up(&topology);
        let Ended::Run { result, .. } = &ended else { panic!("{ended:?}") };
        assert!(matches!(**result, Err(RunError::Taken(_))), "{result:?}");
        world.check_empty();

        // It comes between the look and the create call: the intent is on record, and still the object is theirs.
        let mut world = World::new(3);
        world.cloud.refused.push(at("sim_named", "zone"));
        assert_eq!(world.up(&topology).end().report.failed.len(), 1);
        world.cloud.refused.clear();
        world.cloud.objects.insert("theirs".to_owned(), foreign(owner));
        let mut later = world.fork();
        let ended = world.up(&topology);
        let Ended::Run { result, .. } = &ended else { panic!("{ended:?}") };
        assert!(matches!(**result, Err(RunError::Taken(_))), "{result:?}");
        later.finish_down();
        assert!(later.cloud.get("theirs").is_some(), "down does not touch it");
        assert_eq!(later.cloud.objects["theirs"].version, 1);
    }
}

/// A lost state file: what says that it is ours is taken over, and what differs from the plan is changed or replaced.
#[test]
fn objects_without_a_record_are_taken_over() {
    let (mut world, mut design) = (World::new(4), small());
    world.finish_up(&design.topology());
    for name in ["sim.json", "sim.journal"] {
        world.disk.take(name);
    }
    use drctl_core::state::Medium;
    for name in world.disk.list().expect("memory can be listed") {
        world.disk.take(&name);
    }
    world.cloud.begin += Duration::from_secs(60);
    design.part("function").size = 2;
    design.part("gateway").shape = 2;
    let topology = design.topology();
    let ended = world.up(&topology);
    assert!(ended.is_success(), "{ended:?}");
    assert_eq!(ended.end().set.count(Action::Create), 0);
    assert_eq!(ended.end().set.count(Action::Replace), 1);
    world.check_is(&topology);
    world.finish_up(&topology);
    world.finish_down();
}

/// Invariant 7: a state that was lost is made anew with the order of the objects, although the plan has turned it round since.
#[test]
fn after_a_lost_state_objects_go_in_their_own_order() {
    let (network, room) = (at("sim_tagged", "network"), at("sim_token", "room"));
    let made = Design(vec![Part::new(network.clone()), Part::new(room.clone()).within(&network)]).topology();
    let planned = Design(vec![Part::new(room.clone()), Part::new(network).using(&room, "id")]).topology();
    let mut world = World::new(8);
    world.finish_up(&made);
    world.lose_files();
    world.cloud.begin += Duration::from_secs(60);
    let mut rebuilt = world.fork();
    assert!(rebuilt.run(Command::Rebuild(&planned)).is_success());
    rebuilt.finish_down();
    world.finish_up(&planned);
    world.finish_down();
}

/// Invariant 1: a token is bound to the properties it came with, even when the object it made is gone.
#[test]
fn a_token_is_not_used_again_for_other_properties() {
    let (room, mut design) = (at("sim_token", "room-b"), small());
    // The process dies when AWS has made the room and nobody has heard of it yet.
    let died = (1..200).find_map(|call| {
        let mut world = World::new(31);
        world.cloud.crash = Some(CrashAt { call, after: true });
        world.up(&design.topology());
        let is_unheard = world.records().get(&room).is_some_and(|record| !record.is_identified());
        (is_unheard && world.ids(&room).len() == 1).then_some(world)
    });
    let mut world = died.expect("one of the calls makes the room");
    let id = world.ids(&room).remove(0);
    let now = world.cloud.now();
    world.cloud.objects.get_mut(&id).expect("it is there").gone_at = Some(now);
    design.part("room-b").size += 1;
    world.finish_up(&design.topology());
}

/// Invariant 5 of `changes`: a false "not found" deletes nothing. One look that does not show an object, or two, change nothing at all; when
/// none shows it, it is missing: it is not deleted under its id, and what has data is not made anew without leave.
#[test]
fn what_one_look_does_not_show_is_looked_for_again_and_never_deleted() {
    let topology = small().topology();
    let mut base = World::new(13);
    base.finish_up(&topology);
    for address in topology.resources.keys() {
        let id = base.ids(address).remove(0);
        for looks in 1..=2 {
            let mut world = base.fork();
            world.cloud.hidden.insert(id.clone(), looks);
            world.finish_up(&topology);
            assert_eq!(world.ids(address), [id.clone()], "{address} is kept");
        }

        let mut world = base.fork();
        world.cloud.hidden.insert(id.clone(), u32::MAX);
        let mut seen = None;
        world.run_with(Command::Up(&topology), &Limits::default(), |set| {
            seen = Some(set.clone());
            Err(Failure::new(Kind::Preflight, "not permitted"))
        });
        let set = seen.expect("there are changes");
        let change = &set.changes[address];
        assert_eq!((change.action, &change.drift), (Action::Create, &Drift::Missing), "{address}");
        let deleted: Vec<_> = operations(&set).into_iter().filter(|one| one.action == Deed::Delete).collect();
        assert!(deleted.iter().all(|one| one.address != *address), "{address} would be deleted unseen");
        let loses = set.losing_data().any(|change| change.address == *address);
        assert_eq!(loses, topology.resources[address].data_bearing, "{address} is made anew only with leave");
        world.cloud.hidden.clear();
        world.finish_up(&topology);
    }
}

/// Invariant 4 of `changes`: what a state says makes no object ours. A record that names somebody else's object, or a part of one, ends `up`
/// and `down` before anything is changed.
#[test]
fn records_that_name_objects_of_others_end_a_run() {
    let topology = small().topology();
    let mut base = World::new(14);
    base.finish_up(&topology);
    for (address, record) in base.records() {
        let id = record.outputs["id"].as_str().expect("all objects have ids").to_owned();
        let mut world = base.fork();
        let object = world.cloud.objects.get_mut(&id).expect("it was made");
        match object.taggable {
            true => drop(object.tags.remove(tags::DEPLOYMENT)),
            false => object.spec["parent"] = json!("somebody-elses"),
        }
        for command in [Command::Up(&topology), Command::Down] {
            let mut world = world.fork();
            let ended = world.run(command);
            let Ended::Run { result, .. } = &ended else { panic!("{ended:?}") };
            let Err(RunError::Taken(taken)) = &**result else { panic!("{address}, {command:?}: {ended:?}") };
            assert_eq!(taken.iter().map(|one| &one.address).collect::<Vec<_>>(), [&address]);
            assert!(taken[0].is_recorded && taken[0].object == *id, "the object is named");
            assert_eq!(world.cloud.mutations, 0, "nothing is changed");
        }
    }
}

/// Two objects of one resource: both are named, `up` removes the one that is not on record only when it is asked to, and `down` removes both.
#[test]
fn a_twin_is_named_and_goes_when_it_is_asked_for() {
    let topology = small().topology();
    let mut base = World::new(15);
    base.finish_up(&topology);
    base.cloud.begin += Duration::from_secs(60);
    let gateway = at("sim_slow", "gateway");
    let id = base.ids(&gateway).remove(0);
    // The checks after each run know one object of an address.
    let twin = Object { address: None, ..base.cloud.objects[&id].clone() };
    base.cloud.objects.insert("sim_slow-99".to_owned(), twin);

    let mut world = base.fork();
    let ended = world.up(&topology);
    let set = &ended.end().set;
    assert!(set.is_empty(), "nobody asked for it: {ended:?}");
    let named: Vec<_> = set.twins.iter().map(|twin| (&twin.address, twin.id())).collect();
    assert_eq!(named, [(&gateway, "sim_slow-99".to_owned())]);
    assert!(world.cloud.get("sim_slow-99").is_some());

    assert!(world.run(Command::UpWithoutTwins(&topology)).is_success());
    assert!(world.cloud.get("sim_slow-99").is_none() && world.cloud.get(&id).is_some(), "the one on record stays");
    world.finish_up(&topology);

    let ended = base.down();
    assert!(ended.is_success(), "{ended:?}");
    base.check_empty();
    assert!(base.cloud.get("sim_slow-99").is_none(), "down removes both");
}

/// A state of before: the deployment was made anew since, and has other ids. The last look of `down` finds it by its tags, and what is in it.
#[test]
fn an_old_state_put_back_leaves_nothing_behind() {
    let topology = small().topology();
    let mut world = World::new(16);
    world.finish_up(&topology);
    let old = world.disk.fork();
    world.finish_down();
    world.finish_up(&topology);
    world.disk = old;
    world.cloud.begin += Duration::from_secs(60);
    let ended = world.down();
    assert!(ended.is_success(), "{ended:?}");
    world.check_empty();
}

/// "Gone" is the answer to each deletion in turn, and the object stays: the last look finds it.
#[test]
fn a_deletion_that_did_not_happen_is_made_once_more() {
    let topology = small().topology();
    let mut base = World::new(17);
    base.finish_up(&topology);
    base.cloud.begin += Duration::from_secs(60);
    for (address, resource) in &topology.resources {
        let mut world = base.fork();
        let id = world.ids(address).remove(0);
        // What is in it would be refused to outlive it; what has no tags is found in what has some.
        let holds = world.cloud.live().any(|(_, object)| object.spec["parent"] == id.as_str());
        if holds || resource.spec.get("tags").is_none() {
            continue;
        }
        world.cloud.undying.insert(id, 1);
        let ended = world.down();
        assert_eq!(ended.end().report.swept.len(), 1, "{address}: {ended:?}");
        // What it is in is refused to go before it, and goes with the next run.
        let is_in_something = !resource.spec["parent"].is_null();
        assert!(ended.is_success() || is_in_something, "{address}: {ended:?}");
        world.finish_down();
        world.check_empty();
    }
}
