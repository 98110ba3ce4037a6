//! The engine against a cloud in memory: the same path as the binary, in virtual time, under everything that can go wrong.
//!
//! Every test names the invariant of a run (`drctl_core::engine`) that it checks. Random tests take their seeds from a fixed list and
//! add fresh ones, 4,000 lives in each run of all tests; `DRCTL_FRESH_SEEDS=10000` takes so many fresh ones instead, and
//! `DRCTL_SEED=7 cargo test --test simulation <test>` runs one seed alone and tells what happens in each run. A seed means something
//! else whenever the simulation changes, so what one has found becomes a test of its own.
//!
//! `DRCTL_FRESH_SEEDS=10000 cargo test --release -p drctl-core --test simulation every_life -- --nocapture` is the fastest way to many lives,
//! and prints how many it lived a second: without the SDK it is built in minutes.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a failing simulation tells how to replay it")]

mod cloud;
mod crash;
mod drift;
mod executor;
mod faults;
mod interrupt;
mod kinds;
mod life;
mod mutations;
mod random;
mod topologies;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Tells whether one seed is run alone: then every run tells what it does.
fn is_replay() -> bool {
    std::env::var_os("DRCTL_SEED").is_some()
}

/// Runs a test with seeds: the one of `DRCTL_SEED`, else the fixed ones and so many fresh ones, or as many as
/// `DRCTL_FRESH_SEEDS` says.
fn with_seeds(test: &str, fixed: u64, fresh: u64, mut run: impl FnMut(u64)) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let seeds: Vec<u64> = match number("DRCTL_SEED") {
        Some(seed) => vec![seed],
        None => {
            let fresh = 0..number("DRCTL_FRESH_SEEDS").unwrap_or(fresh);
            let fresh = fresh.map(|_| u64::from(rand::random::<u32>()) + fixed);
            (0..fixed).chain(fresh).collect()
        }
    };
    let mut failed = 0;
    for seed in seeds {
        if catch_unwind(AssertUnwindSafe(|| run(seed))).is_err() {
            eprintln!("seed {seed} fails; replay it: DRCTL_SEED={seed} cargo test --test simulation {test}");
            failed += 1;
        }
    }
    assert_eq!(failed, 0, "so many seeds fail; each is named above");
}
