//! Every rule of the plan file, tried on bad files: what is said, and about which place.

mod refused;
mod tags;

use super::*;

/// Loads a file that must be refused, and returns its problems in plain text.
fn refused(text: &str) -> String {
    match load("bad.toml", text) {
        Ok(_) => panic!("this plan was taken:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}

const MANY: &str = r#"domian = "example.org"

[network]
nat = "per-zone"

[network.primary]
cidr = "10.0.0.0/99"
private_subnets = ["10.9.0.0/20", "10.9.16.0/20", "10.9.32.0/20"]

[database.aurora]
instance_class = "db.t3.medium"
instances = "two"

[[functions]]
name = "Payment"
source = "lambda/payment"

[[functions]]
name = "health_check"
source = "lambda/health_check"
route = "GET /health"
timeout_seconds = 60

[monitoring]
emails = ["oncall@example.com", "oncall", "ONCALL@example.com"]
"#;

const BROKEN: &str = r#"domain = example.com
[api]
stage = "prod"
metric = true

[routing.health_check
interval_seconds = 10

[backup]
schedule = "cron(0 25 * * ? *)"
"#;

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

/// Every field of the schema stands in the file, if only in a comment, so that a reader of the file knows all of them.
#[test]
fn the_built_in_plan_states_every_field() {
    fn compare(path: &str, table: &toml::Table, schema: &serde_json::Value, defs: &serde_json::Value) {
        let schema = match schema["$ref"].as_str() {
            Some(reference) => &defs[reference.trim_start_matches("#/$defs/")],
            None => schema,
        };
        for (field, inner) in schema["properties"].as_object().into_iter().flatten() {
            match table.get(field) {
                Some(toml::Value::Table(table)) => compare(&format!("{path}{field}."), table, inner, defs),
                Some(_) => {}
                None => {
                    assert!(BUILTIN.contains(&format!("\n# {field} = ")), "{path}{field} is not in plans/payments.toml")
                }
            }
        }
    }
    let schema = schema();
    compare("", &BUILTIN.parse().unwrap(), &schema, &schema["$defs"]);
    let function = BUILTIN.parse::<toml::Table>().unwrap()["functions"][0].as_table().unwrap().clone();
    compare("functions.", &function, &schema["$defs"]["Function"], &schema["$defs"]);
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

/// Invariant 3 of the module.
#[test]
fn every_field_is_documented() {
    let schema = schema();
    let defs = schema["$defs"].as_object().unwrap();
    for (name, definition) in
        defs.iter().map(|(name, definition)| (name.as_str(), definition)).chain([("Plan", &schema)])
    {
        for (field, inner) in definition["properties"].as_object().into_iter().flatten() {
            assert!(inner["description"].is_string(), "{name}.{field} has no description");
        }
    }
}

/// Loading invariant 2: wrong ranges of subnets are no news when the range of the VPC is wrong, nor when its key is.
#[test]
fn consequences_of_a_problem_are_not_reported() {
    for (text, problems) in [
        ("[network.primary]\ncidr = 'x'\nprivate_subnets = ['10.9.0.0/20', '10.9.16.0/20', '10.9.32.0/20']\n", 1),
        (
            "[network.primary]\ncdir = '10.9.0.0/16'\nprivate_subnets = ['10.9.0.0/20', '10.9.16.0/20', '10.9.32.0/20']\n",
            1,
        ),
        ("[routing.load_balancers]\nenabled = false\n[routing.accelerator]\nenabled = 'false'\n", 1),
        ("[[functions]]\nname = 'health'\nsource = ''\nroute = 'GET /health'\n", 1),
    ] {
        assert_eq!(load("bad.toml", text).unwrap_err().count(), problems, "{text}");
    }
}

/// Tree invariant 1: a rule names the second function as the second also when the first was taken out.
#[test]
fn list_entries_keep_their_numbers() {
    let text = "[[functions]]\nname = 'A'\nsource = 's'\n[[functions]]\nname = 'b'\nsource = 's'\nroute = 'GET /health'\ntimeout_seconds = 40\n";
    let problems = load("bad.toml", text).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["functions[0].name", "functions[1].timeout_seconds"]);
}

#[test]
fn columns_count_characters_and_lines_end_with_or_without_carriage_return() {
    let expected = "bad.toml:1:27: tags.\"ö\": expected a text in quotes, such as \"payments\", found the number 1";
    assert!(refused("tags = { 'ü' = 'é', 'ö' = 1 }").contains(expected));
    assert!(refused("\r\n\r\nx = 1\r\n").starts_with("bad.toml:3:1: x: unknown key"));
}

/// Every problem of a file at once: all four looks at the text in one report.
#[test]
fn many_problems_are_reported_at_once() {
    insta::assert_snapshot!(refused(MANY), @r#"
    bad.toml:1:1: domian: unknown key "domian"; did you mean "domain"?
    bad.toml:4:7: network.nat: unknown value "per-zone"; one of "per-az", "single", "none"; did you mean "per-az"?
    bad.toml:7:8: network.primary.cidr: "10.0.0.0/99" is not a range of addresses; write "10.0.0.0/16"
    bad.toml:11:18: database.aurora.instance_class: "db.t3.medium" is burstable, and Aurora Global Database refuses burstable classes; the smallest is "db.r6g.large"
    bad.toml:12:13: database.aurora.instances: expected a whole number from 1 to 15, found a text
    bad.toml:15:8: functions[0].name: "Payment" is not a function name; lower-case letters, digits, _ and -, beginning with a letter
    bad.toml:22:19: functions[1].timeout_seconds: 60 seconds are too long for a function with a route; API Gateway waits 29 seconds at most
    bad.toml:25:33: monitoring.emails[1]: "oncall" is not an e-mail address; it has no @
    bad.toml:25:43: monitoring.emails[2]: "ONCALL@example.com" is listed twice
    "#);
}

#[test]
fn a_broken_line_hides_nothing_elsewhere() {
    insta::assert_snapshot!(refused(BROKEN), @r#"
    bad.toml:1:10: string values must be quoted, expected literal string
    bad.toml:4:1: api.metric: unknown key "metric"; did you mean "metrics"?
    bad.toml:6:22: unclosed table, expected `]`
    bad.toml:10:12: backup.schedule: "25" does not fit the field hour of a cron expression; a number from 0 to 23, *, a-b, a,b or a/b
    "#);
}

/// What a terminal shows: the list, then the places in the text.
#[test]
fn the_diagnostic_marks_the_places() {
    let problems = load("plans/bad.toml", "[network]\nnat = \"per-zone\"\n[events]\nforwardin = true\n").unwrap_err();
    let mut out = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
        .with_width(140)
        .render_report(&mut out, &problems)
        .unwrap();
    insta::assert_snapshot!(out, @r#"
      × plans/bad.toml:2:7: network.nat: unknown value "per-zone"; one of "per-az", "single", "none"; did you mean "per-az"?
      │ plans/bad.toml:4:1: events.forwardin: unknown key "forwardin"; did you mean "forwarding"?
       ╭─[plans/bad.toml:2:7]
     1 │ [network]
     2 │ nat = "per-zone"
       ·       ─────┬────
       ·            ╰── network.nat
     3 │ [events]
     4 │ forwardin = true
       · ────┬────
       ·     ╰── events.forwardin
       ╰────
    "#);
}

proptest::proptest! {
    /// Whatever is done to a file, loading it ends with a plan or with problems at places of the text.
    #[test]
    fn no_mutation_makes_loading_panic(
        edits in proptest::collection::vec((0..BUILTIN.len(), 0..40usize, "[ -~\\n\u{e9}\u{1f600}]{0,12}"), 0..12)
    ) {
        let mut text = BUILTIN.to_owned();
        for (at, length, insert) in edits {
            let boundary = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let range = boundary(at)..boundary(at + length);
            text.replace_range(range, &insert);
        }
        if let Err(problems) = load("mutated.toml", &text) {
            assert!(problems.count() > 0);
            let lines = text.matches('\n').count() + 1;
            for problem in &problems {
                assert!(text.get(problem.span.clone()).is_some(), "{problem} at {:?}", problem.span);
                assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{problem}");
            }
        }
    }

    /// A value of any type at any place of a valid file is refused or taken, never a panic, and never a broken rule let
    /// through.
    #[test]
    fn no_value_makes_loading_panic(field in 0..200usize, value in "(-?[0-9]{1,30}|true|nan|inf|'[ -&(-~]{0,40}'|\\[\\]|\\{\\}|\\[1, 'a'\\]|2026-01-01|\\{ a = 1 \\})") {
        let mut lines: Vec<String> = BUILTIN.lines().map(str::to_owned).collect();
        let fields: Vec<usize> = (0..lines.len()).filter(|n| !lines[*n].starts_with('#') && lines[*n].contains(" = ")).collect();
        let line = &mut lines[fields[field % fields.len()]];
        *line = format!("{} = {value}", line.split(" = ").next().unwrap_or_default());
        if let Ok(plan) = load("mutated.toml", &lines.join("\n")) {
            assert!(rules::check(&plan).is_empty());
        }
    }
}

#[test]
fn subnets_are_divided_without_overlap_and_stay_when_a_zone_is_added() {
    for (range, most) in [("10.0.0.0/16", 6), ("172.16.0.0/18", 6), ("192.168.16.0/20", 6)] {
        let vpc: Cidr = range.parse().unwrap();
        let (public, private) = derive_subnets(vpc, most).unwrap();
        let all: Vec<Cidr> = public.iter().chain(&private).copied().collect();
        for (n, subnet) in all.iter().enumerate() {
            assert!(
                vpc.contains(*subnet) && all[..n].iter().all(|other| !other.overlaps(*subnet)),
                "{subnet} of {vpc}"
            );
        }
        let (fewer_public, fewer_private) = derive_subnets(vpc, most - 1).unwrap();
        assert_eq!((fewer_public.as_slice(), fewer_private.as_slice()), (&public[..most - 1], &private[..most - 1]));
    }
    assert_eq!(derive_subnets("10.0.0.0/21".parse().unwrap(), 3), None);
    assert_eq!(derive_subnets("10.0.0.0/16".parse().unwrap(), 7), None);
}

#[test]
fn patterns_of_addresses_match_within_their_parts() {
    for (pattern, address, matches) in [
        ("*/s3_bucket/*", "us-east-1/s3_bucket/payments", true),
        ("us-east-1/*/*", "us-east-2/s3_bucket/payments", false),
        ("*/rds_*/*", "us-east-1/rds_cluster/main", true),
        ("*/rds_*/*", "us-east-1/s3_bucket/rds_", false),
        ("global/*zone/m*n", "global/route53_zone/main", true),
        ("global/*zone/m*n", "global/route53_zone/mai", false),
        ("*/a*a/*", "x/a/y", false),
        ("*/s3_bucket/payments", "us-east-1/s3_bucket/payments", true),
    ] {
        assert_eq!(pattern.parse::<AddressPattern>().unwrap().matches(address), matches, "{pattern} and {address}");
    }
}

#[test]
fn retention_is_one_of_the_numbers_of_cloudwatch_logs() {
    assert_eq!(RetentionDays::try_from(365).map(RetentionDays::days), Ok(365));
    assert!(
        RetentionDays::try_from(31)
            .unwrap_err()
            .to_string()
            .starts_with("CloudWatch Logs cannot keep entries for 31 days")
    );
}

/// What a schema shows as an example is a value of its type.
#[test]
fn examples_in_the_schema_are_values() {
    fn check<T: schemars::JsonSchema + std::str::FromStr>() {
        let schema = schemars::schema_for!(T);
        let example = schema.as_value()["examples"][0].as_str().unwrap();
        assert!(example.parse::<T>().is_ok(), "{example:?} is no {}", T::schema_name());
    }
    check::<AddressPattern>();
    check::<AttributeName>();
    check::<Cidr>();
    check::<DailyWindow>();
    check::<DatabaseName>();
    check::<DomainName>();
    check::<EmailAddress>();
    check::<EngineVersion>();
    check::<FunctionName>();
    check::<Handler>();
    check::<HostedZoneId>();
    check::<InstanceClass>();
    check::<Region>();
    check::<Route>();
    check::<Schedule>();
    check::<SourceFolder>();
    check::<SslPolicy>();
    check::<StageName>();
    check::<TagKey>();
    check::<TagValue>();
    check::<VariableName>();
    check::<WeeklyWindow>();
    check::<Zone>();
}

/// Values at the edge of what AWS takes load; `|` ends a line.
#[test]
fn what_aws_takes_is_taken() {
    let functions = "[[functions]]|name = 'health'|source = 's'|route = 'GET /health'|timeout_seconds = 29|\
                     [[functions]]|name = 'nightly-report2'|source = 's'|handler = 'jobs.report.main'|timeout_seconds = 900|\
                     [[functions]]|name = 'lookup'|source = 's'|route = 'GET /payment/{transactionId}'|environment = { LOG_LEVEL = 'debug', AWS_LAMBDA_EXEC_WRAPPER = '/opt/wrap', AWS_XRAY_CONTEXT_MISSING = 'LOG_ERROR' }";
    for text in [
        "domain = 'pay.eu-platform.example.net'",
        "domain = 'xn--bcher-kva.example'",
        "[regions]|primary = 'ap-southeast-1'|secondary = 'ap-southeast-7'",
        "[regions]|secondary = 'us-north-1'|unlisted = ['us-north-1']",
        "[network.primary]|cidr = '172.31.0.0/20'|zones = ['b', 'd']",
        "[network.primary]|cidr = '10.0.0.0/24'|zones = ['a', 'b']|\
         public_subnets = ['10.0.0.0/28', '10.0.0.16/28']|private_subnets = ['10.0.0.64/27', '10.0.0.96/27']",
        "[database.aurora]|instance_class = 'db.r5.large'",
        "[database.aurora]|instance_class = 'db.r7i.48xlarge'",
        "[database.aurora]|instance_class = 'db.x2g.xlarge'",
        "[database.aurora]|engine_version = '14.15'|instances = 15",
        "[database.aurora]|enabled = false|[backup]|enabled = false",
        "[api.custom_domain]|enabled = false|[routing.load_balancers]|enabled = false|[routing.accelerator]|enabled = false",
        "[routing.load_balancers]|enabled = false|[routing.accelerator]|enabled = false|[database.aurora]|enabled = false|\
         [backup]|enabled = false|[network.primary]|zones = ['c']",
        "[monitoring]|emails = ['first.last+alerts@mail.example.co.uk', 'ops@example.com']",
        "[monitoring.failover]|api_5xx_percent = 1|aurora_cpu_percent = 99.5|period_seconds = 300",
        "[monitoring.replication]|periods = 168|period_seconds = 3600",
        "[events.queue]|retention_days = 13",
        "[tags]|'cost centre' = 'a/b:c=d+e-f@g_1.2'|'names' = 'x y'|'xrds:' = '='",
        "[events]|archive_retention_days = 0|retry_attempts = 0|max_event_age_seconds = 60",
        "[[functions]]|name = 'health'|source = 's'|route = 'GET /health'|\
         [[functions]]|name = 'a'|source = 's'|route = 'GET /a/{b}/{c}/{d}/{e}/{f}'",
        "[routing.load_balancers]|enabled = false|[routing.accelerator]|enabled = false|\
         [[functions]]|name = 'health'|source = 's'|route = 'GET /health'|\
         [[functions]]|name = 'a'|source = 's'|route = 'GET /a/{b}/{c}/{d}/{e}/{f}/{g}'",
        "[backup]|schedule = 'cron(30 2/6 ? * MON-FRI *)'",
        "protect = ['*/*/*', 'global/route53_zone/main']",
        functions,
    ] {
        if let Err(problems) = load("good.toml", &text.replace('|', "\n")) {
            panic!("{text}\n{problems}");
        }
    }
}
