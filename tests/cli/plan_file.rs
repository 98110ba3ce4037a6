//! The plan file: all its problems at once, and the one that `init` writes.

use insta::assert_snapshot;

use crate::support::Folder;

const BAD: &str = r#"[network]
nat = "per-zone"

[network.primary]
cidr = "10.0.0.0/8"

[events]
forwardin = true

[monitoring]
emails = ["nobody"]
"#;

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let folder = Folder::new();
    folder.write("bad.toml", BAD);
    assert_snapshot!(folder.drctl("plan --suffix dev --plan bad.toml"), @r#"
    exit 64
    --- stderr
      × network.nat: unknown value "per-zone"; one of "per-az", "single", "none"
       ╭─[bad.toml:2:7]
     1 │ [network]
     2 │ nat = "per-zone"
       ·       ──────────
     3 │
       ╰────
      help: did you mean "per-az"?
      × network.primary.cidr: /8 is out of range; VPCs and subnets have /16 to /28
       ╭─[bad.toml:5:8]
     4 │ [network.primary]
     5 │ cidr = "10.0.0.0/8"
       ·        ────────────
     6 │
       ╰────
      × events.forwardin: unknown key "forwardin"
       ╭─[bad.toml:8:1]
     7 │ [events]
     8 │ forwardin = true
       · ─────────
     9 │
       ╰────
      help: did you mean "forwarding"?
      × monitoring.emails[0]: "nobody" is not an e-mail address; it has no @
        ╭─[bad.toml:11:11]
     10 │ [monitoring]
     11 │ emails = ["nobody"]
        ·           ────────
        ╰────

    error: bad.toml has 4 problems; nothing was called
      hint: a complete plan with comments:
        drctl init plans/example.toml
    "#);
}

#[test]
fn problems_for_programs_are_one_document() {
    let folder = Folder::new();
    folder.write("bad.toml", BAD);
    let text = folder.drctl("up --suffix dev --plan bad.toml --output json");
    let document = text.strip_prefix("exit 64\n--- stdout\n").expect("errors of programs are results");
    let document: serde_json::Value = serde_json::from_str(document).expect("one JSON object");
    assert_eq!(document["event"], "error");
    assert_eq!(document["exit_code"], 64);
    let causes = document["causes"].as_array().expect("causes are a list");
    assert!(
        causes.iter().any(|cause| cause.as_str().is_some_and(|text| text.starts_with("bad.toml:2:7: network.nat")))
    );
}

#[test]
fn a_plan_that_is_no_toml() {
    let folder = Folder::new();
    folder.write("plans/payments.toml", "[network\n");
    assert_snapshot!(folder.drctl("up --suffix dev"), @"
    exit 64
    --- stderr
      × unclosed table, expected `]`
       ╭─[plans/payments.toml:1:9]
     1 │ [network
       ·         ▲
       ╰────

    error: plans/payments.toml has 1 problem; nothing was called
      hint: a complete plan with comments:
        drctl init plans/example.toml
    ");
}

#[test]
fn a_pattern_that_protects_nothing() {
    let folder = Folder::new();
    folder.write("plans/payments.toml", "protect = [\"*/s3_bucket/*\", \"*/s3_buckets/*\"]\n");
    assert_snapshot!(folder.drctl("plan --suffix dev"), @r#"
    exit 64
    --- stderr
      × protect[1]: "*/s3_buckets/*" protects nothing: no resource of this plan has such an address
       ╭─[plans/payments.toml:1:29]
     1 │ protect = ["*/s3_bucket/*", "*/s3_buckets/*"]
       ·                             ────────────────
       ╰────
      help: did you mean "*/s3_bucket/*"?

    error: plans/payments.toml has 1 problem; nothing was called
      hint: a complete plan with comments:
        drctl init plans/example.toml
    "#);
}

/// What is advised is taken.
#[test]
fn a_schedule_that_aws_backup_cannot_follow() {
    let folder = Folder::new();
    for schedule in ["every day", "rate(1 day)"] {
        folder.write("plans/payments.toml", &format!("[backup]\nschedule = \"{schedule}\"\n"));
        let said = folder.drctl("graph");
        assert!(said.starts_with("exit 64\n") && !said.replace(schedule, "").contains("rate("), "{said}");
        let (_, advised) = said.split_once("such as \"").expect("an example");
        let (advised, _) = advised.split_once('"').expect("the end of the example");
        folder.write("plans/payments.toml", &format!("[backup]\nschedule = \"{advised}\"\n"));
        assert!(folder.drctl("graph").starts_with("exit 0\n"), "{advised}");
    }
}

#[test]
fn a_plan_that_is_not_utf_8() {
    let folder = Folder::new();
    folder.write("plans/payments.toml", "");
    let text = b"domain = \"example.com\"\n# caf\xe9\n";
    std::fs::write(folder.path("plans/payments.toml"), text).expect("the file can be written");
    assert_snapshot!(folder.drctl("plan --suffix dev"), @"
    exit 64
    --- stderr
    error: the plan file plans/payments.toml is not UTF-8; nothing was called
      because: plans/payments.toml:2:6: the byte 0xe9 is no character of UTF-8
      hint: save it as UTF-8 without a BOM
    ");
}

#[test]
fn a_plan_that_is_not_there() {
    assert_snapshot!(Folder::new().drctl("plan --suffix dev --plan plans/none.toml"), @"
    exit 64
    --- stderr
    error: the plan file plans/none.toml cannot be read
      because: No such file or directory (os error 2)
      hint: write one to start from:
        drctl init plans/none.toml
    ");
}

#[test]
fn init_writes_a_plan_and_never_overwrites_one() {
    let folder = Folder::new();
    assert_snapshot!(folder.drctl("init"), @"
    exit 0
    --- stderr
    wrote plans/payments.toml; every field in it has its default
    next: drctl plan --suffix dev
    ");
    let written = folder.read("plans/payments.toml");
    assert!(written.contains("[network") && written.starts_with('#'), "{written}");

    folder.write("plans/payments.toml", "mine");
    assert_snapshot!(folder.drctl("init"), @"
    exit 64
    --- stderr
    error: plans/payments.toml exists already; it was left as it is
      hint: write another one:
        drctl init plans/NAME.toml
    ");
    assert_eq!(folder.read("plans/payments.toml"), "mine");
}

#[test]
fn the_schema_is_json_and_knows_the_fields() {
    let text = Folder::new().drctl("schema");
    let schema = text.strip_prefix("exit 0\n--- stdout\n").expect("the schema is the result");
    let schema: serde_json::Value = serde_json::from_str(schema).expect("the schema is JSON");
    assert!(schema["properties"]["network"].is_object(), "{schema:#}");
}
