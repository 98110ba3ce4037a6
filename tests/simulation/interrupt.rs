//! Invariant 9: after a signal no mutating call starts, the run is out within six seconds, and nothing is lost.

use std::time::Duration;

use drctl::topology::Topology;

use super::cloud::Faults;
use super::topologies::{at, small};
use super::world::{Command, Ended, World};

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
            assert!(late <= Duration::from_secs(6), "call {call}: out {late:?} after the signal");
            assert!(matches!(ended, Ended::Run { .. }), "call {call}: {ended:?}");
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
    assert!(late <= Duration::from_secs(6), "{late:?}");
    let ids = world.ids(&gateway);
    assert_eq!(world.records()[&gateway].outputs["id"], ids[0].as_str());
    world.finish_up(&topology);
    assert_eq!(world.ids(&gateway), ids);
}
