//! Every rule of the plan file, tried on bad files: what is said, and about which place.

use super::*;

/// Loads a file that must be refused, and returns its problems in plain text.
fn refused(text: &str) -> String {
    match load("bad.toml", text) {
        Ok(_) => panic!("this plan was taken:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}

/// Invariant 1 of the module.
#[test]
fn an_empty_file_is_the_default_plan() {
    assert_eq!(load("empty.toml", "").unwrap(), Plan::default());
}

/// Invariant 1 of the module: the comments of the file are about numbers that are true.
#[test]
fn the_built_in_plan_states_the_defaults() {
    assert_eq!(Plan::builtin(), Plan::default());
}

/// Every field of the schema stands in the file, so that a reader of the file knows all of them.
#[test]
fn the_built_in_plan_states_every_field() {
    let text = format!("\n{BUILTIN}");
    for (name, section) in schema()["$defs"].as_object().unwrap() {
        for field in section["properties"].as_object().into_iter().flatten().map(|(field, _)| field) {
            let stated = ["", "# "].iter().any(|start| text.contains(&format!("\n{start}{field} = ")))
                || text.contains(&format!(".{field}]"));
            assert!(stated, "{field} of {name} is not in plans/payments.toml");
        }
    }
}

/// The subnets that stand in comments are those that are derived.
#[test]
fn the_subnets_in_the_comments_are_the_derived_ones() {
    let text = BUILTIN.replace("# public_subnets", "public_subnets").replace("# private_subnets", "private_subnets");
    assert_ne!(text, BUILTIN);
    assert_eq!(load("uncommented.toml", &text).unwrap(), Plan::default());
}

#[test]
fn the_minimal_plan_is_the_cheap_variant() {
    let plan = load("plans/minimal.toml", include_str!("../../plans/minimal.toml")).unwrap();
    assert_eq!(plan.network.nat, Nat::Single);
    assert_eq!(plan.database.aurora.instances, 1);
    assert!(!plan.routing.accelerator.enabled && !plan.routing.load_balancers.enabled);
    assert_eq!(plan.functions, Plan::default().functions);
}

/// A plan that is written out and read again is the same plan.
#[test]
fn a_plan_survives_being_written() {
    for plan in [Plan::default(), load("minimal.toml", include_str!("../../plans/minimal.toml")).unwrap()] {
        let text = toml::to_string(&plan).unwrap();
        assert_eq!(load("written.toml", &text).unwrap(), plan);
    }
}

#[test]
fn a_table_with_some_fields_keeps_the_defaults_of_its_side() {
    let plan = load("plan.toml", "[network.secondary]\nzones = [\"a\", \"b\"]\n").unwrap();
    assert_eq!(plan.network.primary, Plan::default().network.primary);
    assert_eq!(plan.network.secondary.cidr.to_string(), "10.1.0.0/16");
    assert_eq!(plan.network.secondary.private_subnets.len(), 2);
}
