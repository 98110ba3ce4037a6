//! Each field of the plan, changed alone: what becomes of a deployment.
//!
//! A field that leads nowhere is a promise that nobody keeps. The table has a line for every field of the schema, with
//! another value than the default, and the snapshot says which resources come (`+`), go (`-`) or change, and in which
//! fields. On a running deployment a field is changed in place, but one that is marked with `!` replaces its resource.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};

use super::{Inputs, Topology, expand};
use crate::plan::{self, Plan};
use crate::resources::KINDS;

/// The default plan with some fields changed, and those that are null left out, read as the user's files are: every
/// rule is looked at.
fn changed(changes: &[(&str, Value)]) -> Plan {
    let mut document = serde_json::to_value(Plan::default()).unwrap();
    for (path, value) in changes {
        let (tables, field) = path.rsplit_once('.').unwrap_or(("", path));
        let pointer = match tables {
            "" => String::new(),
            tables => format!("/{}", tables.replace("[0]", ".0").replace('.', "/")),
        };
        let table = document.pointer_mut(&pointer).and_then(Value::as_object_mut).unwrap();
        match value {
            Value::Null => drop(table.remove(field)),
            value => drop(table.insert(field.to_owned(), value.clone())),
        }
    }
    let text = toml::to_string(&document).unwrap();
    plan::load("changed.toml", &text).unwrap_or_else(|problems| panic!("{changes:?}: {problems}"))
}

fn topology(plan: &Plan) -> Topology {
    let suffix = "dev".parse().unwrap();
    // What the callers of a topology make of the plan: the digest of the sources, the exact version of Aurora.
    let digest = |function: &plan::Function| (function.name.to_string(), format!("digest of {}", function.source));
    let code: BTreeMap<String, String> = plan.functions.iter().map(digest).collect();
    let version = format!("{} or later", plan.database.aurora.engine_version);
    expand(Inputs { engine_version: Some(&version), ..Inputs::plain(plan, &suffix, &code) })
}

/// Which resources differ: `kind.{fields}` for those of one kind that change, `+kind` and `-kind` for those that come
/// and go.
fn difference(before: &Topology, after: &Topology) -> String {
    let mut effects: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (address, resource) in &before.resources {
        let kind = address.kind().to_owned();
        let Some(now) = after.resources.get(address) else {
            effects.entry(format!("-{kind}")).or_default();
            continue;
        };
        let immutable = KINDS.iter().find(|known| known.traits().name == kind).unwrap().traits().immutable;
        let fields = resource.spec.as_object().unwrap().iter();
        let differing = fields
            .filter(|(field, value)| now.spec.get(*field) != Some(value))
            .map(|(field, _)| if immutable.contains(&field.as_str()) { format!("{field}!") } else { field.clone() });
        let differing: BTreeSet<String> = differing.collect();
        let protection = (resource.protected != now.protected).then(|| "(protected)".to_owned());
        let differing: BTreeSet<String> = differing.into_iter().chain(protection).collect();
        if !differing.is_empty() {
            effects.entry(kind).or_default().extend(differing);
        }
    }
    for address in after.resources.keys().filter(|address| !before.resources.contains_key(address)) {
        effects.entry(format!("+{}", address.kind())).or_default();
    }
    let effect = |(kind, fields): (String, BTreeSet<String>)| match fields.len() {
        0 => kind,
        1 => format!("{kind}.{}", fields.first().unwrap()),
        _ => format!("{kind}.{{{}}}", Vec::from_iter(fields).join(" ")),
    };
    let effects: Vec<String> = effects.into_iter().map(effect).collect();
    match effects.len() {
        // A name that is in everything: all of it is made anew.
        12.. => format!("{} kinds of changes", effects.len()),
        _ => effects.join(", "),
    }
}

/// The paths of all fields of the plan; those of a function as those of the first one.
fn leaves(path: &str, schema: &Value, definitions: &Value, found: &mut BTreeSet<String>) {
    let resolve = |schema: &'_ Value| -> Value {
        match schema["$ref"].as_str() {
            Some(reference) => definitions[reference.trim_start_matches("#/$defs/")].clone(),
            None => schema.clone(),
        }
    };
    let schema = resolve(schema);
    let items = resolve(&schema["items"]);
    let (path, schema) =
        if items["properties"].is_object() { (format!("{path}[0]"), items) } else { (path.to_owned(), schema) };
    match schema["properties"].as_object() {
        Some(fields) => {
            for (field, inner) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                leaves(&format!("{path}{dot}{field}"), inner, definitions, found);
            }
        }
        None => drop(found.insert(path)),
    }
}

/// Another value of each field, and what has to be changed with it for the plan to be taken.
fn cases() -> Vec<Vec<(&'static str, Value)>> {
    let alone = |path, value| vec![(path, value)];
    vec![
        alone("domain", json!("example.org")),
        alone("protect", json!(["*/s3_bucket/*"])),
        alone("tags", json!({ "team": "payments" })),
        alone("regions.primary", json!("us-west-2")),
        alone("regions.secondary", json!("us-west-2")),
        alone("security.key_rotation", json!(false)),
        alone("security.key_rotation_days", json!(90)),
        alone("security.key_deletion_days", json!(30)),
        alone("network.nat", json!("single")),
        alone("network.flow_logs.enabled", json!(false)),
        alone("network.flow_logs.retention_days", json!(7)),
        alone("network.flow_logs.aggregation_seconds", json!(60)),
        vec![
            ("network.primary.cidr", json!("10.8.0.0/16")),
            ("network.primary.public_subnets", Value::Null),
            ("network.primary.private_subnets", Value::Null),
        ],
        vec![
            ("network.primary.zones", json!(["a", "b"])),
            ("network.primary.public_subnets", Value::Null),
            ("network.primary.private_subnets", Value::Null),
        ],
        alone("network.primary.public_subnets", json!(["10.0.250.0/24", "10.0.241.0/24", "10.0.242.0/24"])),
        alone("network.primary.private_subnets", json!(["10.0.64.0/20", "10.0.16.0/20", "10.0.32.0/20"])),
        vec![
            ("network.secondary.cidr", json!("10.8.0.0/16")),
            ("network.secondary.public_subnets", Value::Null),
            ("network.secondary.private_subnets", Value::Null),
        ],
        vec![
            ("network.secondary.zones", json!(["a", "b"])),
            ("network.secondary.public_subnets", Value::Null),
            ("network.secondary.private_subnets", Value::Null),
        ],
        alone("network.secondary.public_subnets", json!(["10.1.250.0/24", "10.1.241.0/24", "10.1.242.0/24"])),
        alone("network.secondary.private_subnets", json!(["10.1.64.0/20", "10.1.16.0/20", "10.1.32.0/20"])),
        alone("database.dynamodb.ttl_attribute", json!("forget_at")),
        alone("database.dynamodb.point_in_time_recovery", json!(false)),
        alone("database.dynamodb.recovery_days", json!(7)),
        vec![("database.aurora.enabled", json!(false)), ("backup.enabled", json!(false))],
        alone("database.aurora.engine_version", json!("15")),
        alone("database.aurora.instance_class", json!("db.r7g.large")),
        alone("database.aurora.instances", json!(3)),
        alone("database.aurora.database_name", json!("ledger")),
        alone("database.aurora.master_username", json!("ledger_admin")),
        alone("database.aurora.port", json!(5433)),
        alone("database.aurora.backup_retention_days", json!(1)),
        alone("database.aurora.backup_window", json!("03:00-04:00")),
        alone("database.aurora.maintenance_window", json!("mon:09:30-mon:10:30")),
        alone("database.aurora.export_logs", json!(false)),
        alone("database.aurora.log_retention_days", json!(7)),
        alone("database.aurora.deletion_protection", json!(true)),
        alone("database.aurora.skip_final_snapshot", json!(false)),
        alone("database.aurora.extended_support", json!(false)),
        vec![("storage.versioning", json!(false)), ("storage.replication.enabled", json!(false))],
        alone("storage.force_destroy", json!(false)),
        alone("storage.lifecycle.noncurrent_days", json!(7)),
        alone("storage.lifecycle.abort_uploads_days", json!(1)),
        alone("storage.replication.enabled", json!(false)),
        alone("storage.replication.time_control", json!(false)),
        alone("storage.replication.replicate_back", json!(false)),
        alone("functions[0].name", json!("pay")),
        alone("functions[0].source", json!("lambda/other")),
        alone("functions[0].handler", json!("index.main")),
        alone("functions[0].runtime", json!("python3.12")),
        alone("functions[0].architecture", json!("x86_64")),
        alone("functions[0].route", json!("PUT /payment")),
        alone("functions[0].memory_mb", json!(1024)),
        alone("functions[0].timeout_seconds", json!(29)),
        alone("functions[0].log_retention_days", json!(7)),
        alone("functions[0].tracing", json!(false)),
        alone("functions[0].environment", json!({ "RECORD_TTL_DAYS": "400" })),
        alone("api.stage", json!("live")),
        alone("api.metrics", json!(false)),
        alone("api.tracing", json!(false)),
        alone("api.throttling.rate_per_second", json!(10)),
        alone("api.throttling.burst", json!(10)),
        alone("api.access_logs.enabled", json!(false)),
        alone("api.access_logs.retention_days", json!(7)),
        vec![
            ("api.custom_domain.enabled", json!(false)),
            ("routing.load_balancers.enabled", json!(false)),
            ("routing.accelerator.enabled", json!(false)),
        ],
        alone("routing.hosted_zone", json!("Z1")),
        alone("routing.parent_zone", json!("Z2")),
        alone("routing.health_check.interval_seconds", json!(30)),
        alone("routing.health_check.failure_threshold", json!(3)),
        vec![("routing.load_balancers.enabled", json!(false)), ("routing.accelerator.enabled", json!(false))],
        alone("routing.load_balancers.tls_policy", json!("ELBSecurityPolicy-TLS13-1-3-2021-06")),
        alone("routing.load_balancers.health_interval_seconds", json!(5)),
        alone("routing.accelerator.enabled", json!(false)),
        alone("routing.accelerator.client_affinity", json!("source-ip")),
        alone("routing.accelerator.primary_traffic_percent", json!(50)),
        alone("routing.accelerator.secondary_traffic_percent", json!(0)),
        alone("events.forwarding", json!(false)),
        alone("events.archive_retention_days", json!(0)),
        alone("events.retry_attempts", json!(0)),
        alone("events.max_event_age_seconds", json!(60)),
        alone("events.queue.retention_days", json!(1)),
        alone("events.queue.dead_letter_retention_days", json!(5)),
        alone("events.queue.visibility_timeout_seconds", json!(30)),
        alone("events.queue.max_receives", json!(1)),
        alone("backup.enabled", json!(false)),
        alone("backup.schedule", json!("cron(0 6 * * ? *)")),
        alone("backup.start_window_minutes", json!(90)),
        alone("backup.completion_window_minutes", json!(400)),
        alone("backup.retention_days", json!(7)),
        alone("backup.copy_retention_days", json!(7)),
        alone("monitoring.emails", json!(["oncall@example.com"])),
        alone("monitoring.dashboard", json!(false)),
        alone("monitoring.failover.period_seconds", json!(120)),
        alone("monitoring.failover.periods", json!(4)),
        alone("monitoring.failover.datapoints", json!(1)),
        alone("monitoring.failover.api_5xx_percent", json!(1.5)),
        alone("monitoring.failover.api_latency_p99_ms", json!(500)),
        alone("monitoring.failover.function_errors", json!(1)),
        alone("monitoring.failover.function_throttles", json!(2)),
        alone("monitoring.failover.aurora_cpu_percent", json!(50.0)),
        alone("monitoring.failover.aurora_connections", json!(10)),
        alone("monitoring.failover.dynamodb_throttles", json!(1)),
        alone("monitoring.failover.dead_letter_messages", json!(2)),
        alone("monitoring.failover.load_balancer_healthy_targets", json!(2)),
        alone("monitoring.failover.accelerator_healthy_endpoints", json!(2)),
        alone("monitoring.replication.period_seconds", json!(120)),
        alone("monitoring.replication.periods", json!(6)),
        alone("monitoring.replication.datapoints", json!(1)),
        alone("monitoring.replication.aurora_lag_ms", json!(100)),
        alone("monitoring.replication.dynamodb_latency_ms", json!(100)),
        alone("monitoring.replication.s3_latency_seconds", json!(60)),
        alone("monitoring.replication.s3_pending_bytes", json!(1)),
        alone("monitoring.replication.s3_failed_objects", json!(5)),
    ]
}

/// Fields without a line, and why.
const WITHOUT: [(&str, &str); 3] = [
    ("backup.require_opt_in", "it decides about a check before the first change, and the deployment stays as it is"),
    ("regions.unlisted", "it says something about the plan itself, and the deployment stays as it is"),
    ("api.custom_domain.tls", "it has one value only"),
];

#[test]
fn every_field_of_the_plan_is_in_the_table() {
    let (schema, mut fields) = (plan::schema(), BTreeSet::new());
    leaves("", &schema, &schema["$defs"], &mut fields);
    let table: BTreeSet<String> = cases().iter().map(|case| case[0].0.to_owned()).collect();
    let missing: Vec<&String> =
        fields.difference(&table).filter(|path| !WITHOUT.iter().any(|(without, _)| without == path)).collect();
    assert!(missing.is_empty(), "no test says what these fields change: {missing:?}");
    assert!(table.is_subset(&fields), "{:?}", table.difference(&fields).collect::<Vec<_>>());
}

#[test]
fn every_field_of_the_plan_changes_what_it_says() {
    let before = topology(&Plan::default());
    let mut told = String::new();
    for case in cases() {
        // What has to be changed with a field is no effect of it.
        let base = if case.len() == 1 { before.clone() } else { topology(&changed(&companions(&case))) };
        let effect = difference(&base, &topology(&changed(&case)));
        assert!(!effect.is_empty(), "{} = {} changes nothing", case[0].0, case[0].1);
        writeln!(told, "{} = {}: {effect}", case[0].0, case[0].1).unwrap();
    }
    insta::assert_snapshot!(told);
}

/// The changes beside the first one, where the plan is taken with them alone.
fn companions(case: &[(&'static str, Value)]) -> Vec<(&'static str, Value)> {
    case[1..].to_vec()
}
