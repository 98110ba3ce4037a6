//! Invariant 9: after a signal no mutating call starts, the run is out within six seconds, and nothing is lost. The same when the
//! credentials end in the middle of a run.

use std::time::Duration;

use drctl_core::topology::Topology;

use super::cloud::Faults;
use super::topologies::{at, small};
use super::world::{Command, Ended, World};

/// The credentials end at every call of a command.
fn expire_everywhere(base: &World, command: Command<'_>, topology: &Topology) {
    let mut undisturbed = base.fork();
    assert!(undisturbed.run(command).is_success());
    for call in 1..=undisturbed.cloud.calls {
        let mut world = base.fork();
        world.cloud.expire_at = Some(call);
        let ended = world.run(command);
        let Ended::Run { result, unrecorded, .. } = &ended else { panic!("call {call}: {ended:?}") };
        assert!(unrecorded.is_empty(), "call {call}: {unrecorded:?}");
        match result.as_ref() {
            Ok(end) => {
                // The last look of a `down` is of many objects at once.
                let unseen = end.report.unseen.iter().take(1).map(ToString::to_string);
                let failed = end.report.failed.iter().map(|(_, error)| error.to_string());
                let causes: Vec<_> = failed.chain(unseen).collect();
                assert_eq!(causes.len(), 1, "call {call}: one root cause: {causes:?}");
                assert!(causes[0].contains("ExpiredToken"), "call {call}: {causes:?}");
            }
            Err(error) => assert!(format!("{error:?}").contains("ExpiredToken"), "call {call}: {error:?}"),
        }
        let mut down = world.fork();
        world.finish_up(topology);
        down.finish_down();
    }
}

/// A signal at every call of a command, and at every third one once more with faults of all sorts.
fn interrupt_everywhere(base: &World, command: Command<'_>, topology: &Topology) {
    let mut undisturbed = base.fork();
    assert!(undisturbed.run(command).is_success());
    for call in 1..=undisturbed.cloud.calls {
        let disturbed = (call % 3 == 0).then_some(Faults { probability: 0.5, left: 1000 });
        for faults in [Some(Faults::default()), disturbed].into_iter().flatten() {
            let mut world = base.fork();
            world.cloud.interrupt_at = Some(call);
            world.cloud.faults = faults;
            let ended = world.run(command);
            let Some(at) = world.cloud.interrupted else {
                assert!(faults.left > 0, "call {call}: the run makes this call");
                continue;
            };
            let late = world.cloud.begin.saturating_sub(at);
            assert!(late <= Duration::from_secs(5), "call {call}: out {late:?} after the signal");
            assert!(matches!(ended, Ended::Run { .. }), "call {call}: {ended:?}");
            if faults.left == 0 {
                // No answer takes five seconds, so every one was heard.
                let records = world.records();
                for (id, object) in world.cloud.live() {
                    let address = object.address.as_ref().expect("nothing of others is there");
                    assert_eq!(records[address].outputs["id"], id.as_str(), "call {call}: what {address} became");
                }
            }
            let mut down = world.fork();
            world.finish_up(topology);
            down.finish_down();
        }
    }
}

#[test]
fn in_an_up_from_nothing() {
    interrupt_everywhere(&World::new(1), Command::Up(&small().topology()), &small().topology());
}

#[test]
fn in_an_up_that_changes() {
    let (mut world, mut design) = (World::new(2), small());
    world.finish_up(&design.topology());
    design.part("network").shape += 1;
    design.part("function").team = None;
    design.part("bucket").size += 1;
    design.remove(&at("sim_token", "room-b"));
    interrupt_everywhere(&world, Command::Up(&design.topology()), &design.topology());
}

#[test]
fn when_the_credentials_end_in_mid_run() {
    let (mut world, mut design) = (World::new(2), small());
    expire_everywhere(&world, Command::Up(&design.topology()), &design.topology());
    world.finish_up(&design.topology());
    expire_everywhere(&world, Command::Down, &design.topology());
    design.part("network").shape += 1;
    design.remove(&at("sim_token", "room-b"));
    expire_everywhere(&world, Command::Up(&design.topology()), &design.topology());
}

#[test]
fn in_a_down() {
    let mut world = World::new(3);
    world.finish_up(&small().topology());
    interrupt_everywhere(&world, Command::Down, &small().topology());
}

/// A creation that takes forty minutes is left alone, its id is on record, and the next run waits for the same object.
#[test]
fn with_a_long_creation_pending() {
    let (mut world, topology) = (World::new(4), small().topology());
    let gateway = at("sim_slow", "gateway");
    world.cloud.extra.insert(gateway.clone(), Duration::from_secs(40 * 60));
    // The call number at which the gateway is being waited for and everything beside it is done.
    let mut undisturbed = world.fork();
    assert!(undisturbed.up(&topology).is_success());
    world.cloud.interrupt_at = Some(undisturbed.cloud.calls - 25);
    let ended = world.up(&topology);
    let stopped: Vec<_> = ended.end().report.stopped.iter().map(|operation| &operation.address).collect();
    assert_eq!(stopped, [&gateway]);
    let late = world.cloud.begin - world.cloud.interrupted.expect("the signal came");
    assert!(late <= Duration::from_secs(5), "{late:?}");
    let ids = world.ids(&gateway);
    assert_eq!(world.records()[&gateway].outputs["id"], ids[0].as_str());
    world.finish_up(&topology);
    assert_eq!(world.ids(&gateway), ids);
}
