//! The list of faults that `mutate.py` puts into the engine does not part from the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
struct List {
    mutation: Vec<Mutation>,
}

#[derive(Deserialize)]
struct Mutation {
    invariant: u32,
    fault: String,
    file: String,
    from: String,
    to: String,
}

/// Reads a file of the project: cargo runs tests in the folder of their crate.
fn read(name: &str) -> String {
    fs::read_to_string(Path::new("../..").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_fault_fits_the_code() {
    let list: List = toml::from_str(&read("tests/simulation/mutations.toml")).expect("the list of faults");
    for Mutation { fault, file, from, to, .. } in &list.mutation {
        assert_eq!(read(file).matches(from).count(), 1, "{fault}: the code has changed");
        assert_ne!(from, to, "{fault}");
    }
    let broken: BTreeSet<u32> = list.mutation.iter().map(|mutation| mutation.invariant).collect();
    assert_eq!(broken, (1..=10).collect(), "every invariant that the simulation can check is broken");
}
