//! The executor alone, with many operations.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::topologies::{Design, Part, at};
use super::world::World;

/// No barriers: without limits a run takes as long as its longest chain, and no more than 2 % above that.
#[test]
fn a_run_takes_as_long_as_its_critical_path() {
    let mut dice = SmallRng::seed_from_u64(1);
    let mut world = World::new(1);
    let mut design = Design::default();
    let mut finished: Vec<Duration> = Vec::new();
    for number in 0..10_000_usize {
        let mut part = Part::new(at("sim_token", &format!("r{number}")));
        let mut begin = Duration::ZERO;
        for _ in 0..dice.random_range(0..4) {
            if number > 0 {
                let before = number - dice.random_range(1..=number.min(1000));
                part.uses.insert((at("sim_token", &format!("r{before}")), "id"));
                begin = begin.max(finished[before]);
            }
        }
        let work = Duration::from_secs(dice.random_range(60..1200));
        world.cloud.work.insert(part.address.clone(), work);
        finished.push(begin + work);
        design.0.push(part);
    }
    let critical = finished.iter().max().copied().unwrap_or_default();
    let ended = world.up(&design.topology());
    assert!(ended.is_success());
    let over = ended.elapsed().as_secs_f64() / critical.as_secs_f64() - 1.0;
    assert!(
        over < 0.02,
        "{:.1} s is {:.2} % over {:.1} s",
        ended.elapsed().as_secs_f64(),
        over * 100.0,
        critical.as_secs_f64()
    );
}
