use serde_json::json;

use super::super::fixtures::{condition, deployment, difference, record, records as some_records, time};
use super::*;

fn conditions() -> Vec<Condition> {
    let drifted = Condition {
        drift: Drift::Changed { fields: vec![difference("tags.team", json!("payments"), json!("x"))] },
        ..condition("us-east-1/ec2_vpc/vpc", record("network", Status::Ready))
    };
    let missing = Condition {
        drift: Drift::Missing,
        exists: false,
        ..condition("us-east-2/ec2_vpc/vpc", record("network", Status::Ready))
    };
    let mut creating = record("database", Status::Creating);
    creating.last_error = Some("rds:CreateDBCluster was refused: InsufficientDBInstanceCapacity: none left".to_owned());
    let mut deferred = record("backup", Status::Ready);
    deferred.status =
        Status::Deferred { until: time(86_400), reason: "a recovery point is younger than 1 day".to_owned() };
    let remarkable = Condition {
        remark: Some("the writer is in us-east-2".to_owned()),
        ..condition("us-east-1/rds_global_cluster/aurora", record("database", Status::Ready))
    };
    vec![
        condition("global/iam_role/function", record("security", Status::Ready)),
        drifted,
        condition("us-east-1/ec2_subnet/private-a", record("network", Status::Ready)),
        missing,
        Condition { exists: false, ..condition("us-east-1/rds_cluster/aurora", creating) },
        condition("us-east-1/backup_vault/vault", deferred),
        remarkable,
    ]
}

fn outputs() -> Vec<(String, Value)> {
    vec![("s3_bucket_us_east_1".to_owned(), json!("dr-payment-data-us-east-1-dev"))]
}

#[test]
fn every_resource_that_is_not_well_is_named_with_the_reason() {
    insta::assert_snapshot!(text(&deployment(), &conditions(), &[], &outputs(), Page::PLAIN), @r#"
    dev in account 123456789012 (us-east-1, us-east-2)

                us-east-1  us-east-2     global
    security                          1 healthy
    network     1 healthy  1 missing
                1 drifted
    database    1 healthy
              1 in flight
    backup     1 deferred

    7 resources: 3 healthy, 1 drifted, 1 missing, 1 in flight, 1 deferred

    changed outside of drctl
      us-east-1/ec2_vpc/vpc
          tags.team: "payments" -> "x"

    missing: on record, but AWS does not show them
      us-east-2/ec2_vpc/vpc

    in flight: the next `up` or `down` settles these
      us-east-1/rds_cluster/aurora
          creating since 2026-09-21T14:13:20Z; no object was found
          last error: rds:CreateDBCluster was refused: InsufficientDBInstanceCapacity: none left

    deferred: AWS deletes these only later
      us-east-1/backup_vault/vault
          not before 2026-09-22T14:13:20Z: a recovery point is younger than 1 day

    good to know
      us-east-1/rds_global_cluster/aurora
          the writer is in us-east-2

    s3_bucket_us_east_1 = "dr-payment-data-us-east-1-dev"
    "#);
}

#[test]
fn a_healthy_deployment_says_so() {
    let conditions = conditions();
    insta::assert_snapshot!(text(&deployment(), &conditions[..1], &[], &outputs(), Page::PLAIN), @r#"
    dev in account 123456789012 (us-east-1, us-east-2)

                 global
    security  1 healthy

    1 resource, all healthy, no drift

    s3_bucket_us_east_1 = "dr-payment-data-us-east-1-dev"
    "#);
}

#[test]
fn the_document_counts_and_names_the_same() {
    let document = document(&deployment(), &conditions(), &[], &outputs());
    let counts = json!({ "healthy": 3, "drifted": 1, "missing": 1, "in_flight": 1, "deferred": 1 });
    assert_eq!(document["counts"], counts);
    assert_eq!(document["resources"][1]["drift"][0]["field"], "tags.team");
    assert_eq!(document["resources"][4]["last_error"].as_str().map(|error| &error[..19]), Some("rds:CreateDBCluster"));
    assert_eq!(document["resources"][5]["until"], json!(time(86_400)));
    assert_eq!(document["resources"][6]["remark"], "the writer is in us-east-2");
    assert_eq!(document["outputs"]["s3_bucket_us_east_1"], "dr-payment-data-us-east-1-dev");
}

#[test]
fn records_are_listed_one_a_line() {
    let records = some_records(vec![("us-east-1/ec2_vpc/vpc", Status::Ready), ("global/iam_role/a", Status::Deleting)]);
    insta::assert_snapshot!(super::records(&records), @"
    global/iam_role/a      deleting  network
    us-east-1/ec2_vpc/vpc  ready     network
    ");
}
