//! The engine against a cloud in memory: the same path as the binary, in virtual time, under everything that can go wrong.
//!
//! Every test names the invariant of a run (`drctl::engine`) that it checks. Random tests take their seeds from a fixed list and
//! add fresh ones; `DRCTL_SEED=7 cargo test --test simulation <test>` runs one seed alone.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a failing simulation tells how to replay it")]

mod cloud;
mod crash;
mod drift;
mod executor;
mod faults;
mod interrupt;
mod kinds;
mod life;
mod random;
mod topologies;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Seeds that have found something.
const TELLING: [u64; 2] = [1_251_007_035, 2_406_145_794];

/// Runs a test with seeds: the one of `DRCTL_SEED`, else the fixed ones, and with `DRCTL_FRESH_SEEDS` set as many fresh ones as
/// asked for.
fn with_seeds(test: &str, fixed: u64, fresh: u64, run: impl Fn(u64)) {
    let seeds: Vec<u64> = match std::env::var("DRCTL_SEED") {
        Ok(seed) => vec![seed.parse().expect("DRCTL_SEED is a number")],
        Err(_) => TELLING
            .into_iter()
            .chain(0..fixed)
            .chain(
                (0..fresh)
                    .filter(|_| std::env::var_os("DRCTL_FRESH_SEEDS").is_some())
                    .map(|_| u64::from(rand::random::<u32>()) + fixed),
            )
            .collect(),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("seed {seed} fails; replay it: DRCTL_SEED={seed} cargo test --test simulation {test}");
            resume_unwind(panic);
        }
    }
}
