use serde_json::json;

use super::super::fixtures::{change, difference, estimate, every_change, set};
use super::*;

#[test]
fn every_kind_of_change_is_told_with_its_fields() {
    insta::assert_snapshot!(text("dev", &every_change(), &estimate(), Page::PLAIN), @r#"
    changed outside of drctl
      us-east-1/cloudwatch_alarm/errors
          threshold: 5 -> 9
      us-east-2/sns_topic/alerts
          missing: AWS does not show what is on record

    changes to `dev`

      security global
      - global/iam_role/function

      network us-east-1
      ± us-east-1/ec2_subnet/private-a
          cidr: "10.0.0.0/24" -> "10.0.9.0/24" (forces replacement)
          vpc: "vpc-1" -> (known after create) (forces replacement)
      + us-east-1/ec2_vpc/vpc

      network us-east-2
      > us-east-2/ec2_vpc/vpc

      database us-east-1
      ± us-east-1/dynamodb_table/payments (loses data)
          vpc: "vpc-1" -> (known after create) (forces replacement)

      monitoring us-east-1
      ~ us-east-1/cloudwatch_alarm/errors
          threshold: 9 -> 5
          environment.PASSWORD: (hidden) -> (removed)

      monitoring us-east-2
      + us-east-2/sns_topic/alerts

                us-east-1  us-east-2  global
    security                              -1
    network         +1 ±1         >1
    database           ±1
    monitoring         ~1         +1

    2 to create, 1 to adopt, 1 to update, 2 to replace, 1 to delete; 1 unchanged

    expected to take 6 min 12 s, by the longest chain
      create us-east-1/ec2_vpc/vpc 2 s
      create us-east-1/ec2_subnet/private-a 10 s
      create us-east-1/rds_cluster/aurora 6 min
    "#);
}

#[test]
fn nothing_to_do_is_one_line() {
    let set = set(vec![change("us-east-1/ec2_vpc/vpc", Stack::Network, Action::None, vec![])]);
    insta::assert_snapshot!(text("dev", &set, &estimate(), Page::PLAIN), @"no changes: 1 resource of `dev` is as the plan says");
}

#[test]
fn a_teardown_names_what_it_keeps() {
    let mut kept = change("us-east-1/s3_bucket/payments", Stack::Storage, Action::Delete, vec![]);
    kept.action = Action::None;
    let record = std::sync::Arc::make_mut(kept.record.as_mut().expect("it is on record"));
    record.protected = true;
    let set = set(vec![kept, change("us-east-1/ec2_vpc/vpc", Stack::Network, Action::Delete, vec![])]);
    let text = text("dev", &set, &estimate(), Page::PLAIN);
    assert!(text.contains("kept, with what it needs\n  us-east-1/s3_bucket/payments (protected)"), "{text}");
    assert!(text.contains("\n1 to delete\n"), "{text}");
    let command = "drctl state unprotect --suffix dev '*/s3_bucket/*'";
    assert_eq!(to_unprotect("dev", &set).as_deref(), Some(command));
}

/// Invariant 4 of the module.
#[test]
fn neither_form_of_a_plan_holds_a_secret() {
    let fields = vec![difference("environment", json!({ "DB_PASSWORD": "hunter2" }), json!({ "LEVEL": "info" }))];
    let mut function = change("us-east-1/lambda_function/pay", Stack::Compute, Action::Update, fields.clone());
    function.drift = Drift::Changed { fields };
    let set = set(vec![function]);
    let document = document("dev", &set, &estimate()).to_string();
    for shown in [text("dev", &set, &estimate(), Page::PLAIN), document] {
        assert!(shown.contains("(hidden)") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn the_document_has_what_the_text_has() {
    insta::assert_snapshot!(format!("{:#}", document("dev", &every_change(), &estimate())), @r#"
    {
      "suffix": "dev",
      "counts": {
        "create": 2,
        "adopt": 1,
        "update": 1,
        "replace": 2,
        "delete": 1,
        "none": 1
      },
      "changes": [
        {
          "address": "global/iam_role/function",
          "stack": "security",
          "action": "delete",
          "differences": [],
          "loses_data": false,
          "expected_milliseconds": 5000
        },
        {
          "address": "us-east-1/ec2_subnet/private-a",
          "stack": "network",
          "action": "replace",
          "differences": [
            {
              "field": "cidr",
              "from": "10.0.0.0/24",
              "to": "10.0.9.0/24",
              "known_after_create": false,
              "forces_replacement": true
            },
            {
              "field": "vpc",
              "from": "vpc-1",
              "to": "(known after create)",
              "known_after_create": true,
              "forces_replacement": true
            }
          ],
          "loses_data": false,
          "expected_milliseconds": 5000
        },
        {
          "address": "us-east-1/ec2_vpc/vpc",
          "stack": "network",
          "action": "create",
          "differences": [],
          "loses_data": false,
          "expected_milliseconds": 5000
        },
        {
          "address": "us-east-2/ec2_vpc/vpc",
          "stack": "network",
          "action": "adopt",
          "differences": [],
          "loses_data": false,
          "expected_milliseconds": 5000
        },
        {
          "address": "us-east-1/dynamodb_table/payments",
          "stack": "database",
          "action": "replace",
          "differences": [
            {
              "field": "vpc",
              "from": "vpc-1",
              "to": "(known after create)",
              "known_after_create": true,
              "forces_replacement": true
            }
          ],
          "loses_data": true,
          "expected_milliseconds": 5000
        },
        {
          "address": "us-east-1/cloudwatch_alarm/errors",
          "stack": "monitoring",
          "action": "update",
          "differences": [
            {
              "field": "threshold",
              "from": 9,
              "to": 5,
              "known_after_create": false,
              "forces_replacement": false
            },
            {
              "field": "environment.PASSWORD",
              "from": "(hidden)",
              "to": null,
              "known_after_create": false,
              "forces_replacement": false
            }
          ],
          "loses_data": false,
          "expected_milliseconds": 5000
        },
        {
          "address": "us-east-2/sns_topic/alerts",
          "stack": "monitoring",
          "action": "create",
          "differences": [],
          "loses_data": false,
          "expected_milliseconds": 5000
        }
      ],
      "drift": [
        {
          "address": "us-east-1/cloudwatch_alarm/errors",
          "stack": "monitoring",
          "drift": "changed",
          "fields": [
            {
              "field": "threshold",
              "from": 5,
              "to": 9,
              "known_after_create": false,
              "forces_replacement": false
            }
          ]
        },
        {
          "address": "us-east-2/sns_topic/alerts",
          "stack": "monitoring",
          "drift": "missing",
          "fields": []
        }
      ],
      "kept": [],
      "twins": [],
      "estimate": {
        "milliseconds": 372000,
        "critical_path": [
          {
            "address": "us-east-1/ec2_vpc/vpc",
            "action": "create",
            "expected_milliseconds": 2000
          },
          {
            "address": "us-east-1/ec2_subnet/private-a",
            "action": "create",
            "expected_milliseconds": 10000
          },
          {
            "address": "us-east-1/rds_cluster/aurora",
            "action": "create",
            "expected_milliseconds": 360000
          }
        ]
      }
    }
    "#);
}

#[test]
fn only_the_longest_steps_of_a_long_chain_are_shown() {
    let mut estimate = estimate();
    let short = estimate.critical_path[0].clone();
    estimate.critical_path.extend(std::iter::repeat_n(short, 20));
    let text = duration(&estimate, Page::PLAIN);
    assert_eq!(text.lines().count(), MOST_STEPS + 2, "{text}");
    assert!(text.contains("rds_cluster/aurora 6 min") && text.ends_with("and 15 shorter ones between them"), "{text}");
}
