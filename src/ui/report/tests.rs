use std::time::Duration;

use serde_json::json;

use super::super::fixtures::{change, every_change, operation, records, refusal, set, time};
use super::*;
use crate::changes;
use crate::topology::Stack;

fn failed() -> RunReport {
    let cluster = operation("us-east-1/rds_cluster/aurora", Action::Create, 300);
    let instance = |n| operation(&format!("us-east-1/rds_instance/aurora-{n}"), Action::Create, 300);
    let role = operation("global/iam_role/function", Action::Create, 5);
    RunReport {
        succeeded: vec![operation("us-east-1/ec2_vpc/vpc", Action::Create, 2)],
        failed: vec![
            (cluster.clone(), refusal("rds:CreateDBCluster", "DBClusterQuotaExceededFault", "The quota is used up.")),
            (role, refusal("iam:CreateRole", "AccessDenied", "User x is not authorized to perform: iam:CreateRole")),
        ],
        skipped: (1..=12).map(|n| (instance(n), cluster.address.clone())).collect(),
        elapsed: Duration::from_secs(95),
        ..RunReport::default()
    }
}

fn end<'a>(set: &'a ChangeSet, report: &'a RunReport, records: &'a Records) -> RunEnd<'a> {
    RunEnd { command: "up", suffix: "dev", set, report, records, outputs: &[], unrecorded: &[] }
}

/// Invariant 8 of a run.
#[test]
fn each_root_cause_is_told_once_with_what_it_kept_from_happening() {
    let (set, report) = (every_change(), failed());
    let records =
        records(vec![("us-east-1/ec2_vpc/vpc", Status::Ready), ("us-east-1/rds_cluster/aurora", Status::Creating)]);
    insta::assert_snapshot!(text(&end(&set, &report, &records), &Again::default(), Page::PLAIN), @"
    error: us-east-1/rds_cluster/aurora: create failed
      rds:CreateDBCluster was refused: DBClusterQuotaExceededFault
      The quota is used up.
      request 7b4c0d5e-0000-4000-8000-000000000000
      hint: a quota of the account is used up: ask AWS for a higher one, or remove what is not needed
      skipped because of it: 12 operations
        create us-east-1/rds_instance/aurora-1
        create us-east-1/rds_instance/aurora-2
        create us-east-1/rds_instance/aurora-3
        create us-east-1/rds_instance/aurora-4
        create us-east-1/rds_instance/aurora-5
        create us-east-1/rds_instance/aurora-6
        create us-east-1/rds_instance/aurora-7
        create us-east-1/rds_instance/aurora-8
        create us-east-1/rds_instance/aurora-9
        create us-east-1/rds_instance/aurora-10
        and 2 more

    error: global/iam_role/function: create failed
      iam:CreateRole was refused: AccessDenied
      User x is not authorized to perform: iam:CreateRole
      request 7b4c0d5e-0000-4000-8000-000000000000
      hint: the credentials in use need the permission iam:CreateRole

    failed: 1 created, 2 failed, 12 skipped in 1 min 35 s

    on record now: 1 ready, 1 in flight

    running again is safe and goes on from here:
      drctl up --suffix dev
    or remove what there is:
      drctl down --suffix dev
    ");
}

/// No right would help where the credentials themselves are gone.
#[test]
fn credentials_that_are_gone_are_to_be_renewed() {
    let set = every_change();
    let vpc = operation("us-east-1/ec2_vpc/vpc", Action::Create, 2);
    let report = RunReport {
        failed: vec![(vpc, refusal("ec2:CreateVpc", "RequestExpired", "Request has expired."))],
        stopped: vec![operation("us-east-1/rds_cluster/aurora", Action::Create, 300)],
        not_started: vec![operation("us-east-1/ec2_subnet/private-a", Action::Create, 2)],
        elapsed: Duration::from_secs(3),
        ..RunReport::default()
    };
    insta::assert_snapshot!(text(&end(&set, &report, &Records::new()), &Again::default(), Page::PLAIN), @"
    error: us-east-1/ec2_vpc/vpc: create failed
      ec2:CreateVpc was refused: RequestExpired
      Request has expired.
      request 7b4c0d5e-0000-4000-8000-000000000000
      hint: the credentials are no longer valid: renew them, or set the clock, then run again; everything done is on record

    failed: nothing done, 1 failed, 1 cut short, 1 not started in 3 s

    on record now: 0 ready

    running again is safe and goes on from here:
      drctl up --suffix dev
    or remove what there is:
      drctl down --suffix dev
    ");
}

/// What to do about a refusal with this code and this message.
fn hint(code: &str, message: &str) -> String {
    hints(&refusal("rds:CreateDBInstance", code, message), &Again::default()).join("\n")
}

/// `x.clock`: neither a right nor other credentials would help.
#[test]
fn a_clock_that_is_off_is_to_be_set() {
    let expired = "Signature expired: 20260921T140000Z is now earlier than 20260921T141313Z";
    let early = "Signature not yet current: 20260921T143000Z is still later than 20260921T142313Z";
    for (code, message) in [
        ("InvalidSecurity.RequestHasExpired", "Request has expired."),
        ("SignatureDoesNotMatch", expired),
        ("SignatureDoesNotMatch", early),
    ] {
        assert!(hint(code, message).starts_with("check this machine's clock"), "{code}: {message}");
    }
    let both = hint("RequestExpired", "Request has expired.");
    assert!(both.contains("renew them, or set the clock"), "{both}");
    assert!(!hint("ExpiredToken", "The security token included in the request is expired").contains("clock"));
    assert!(!hint("SignatureDoesNotMatch", "The request signature we calculated does not match.").contains("clock"));
}

/// `rds.instance.capacity`
#[test]
fn an_instance_that_aws_has_none_of_is_to_be_asked_for_later_or_in_another_class() {
    for code in ["InsufficientDBInstanceCapacity", "InsufficientDBInstanceCapacityFault"] {
        let hint = hint(code, "The specified DB instance class is not available in the specified Availability Zone.");
        assert!(hint.contains("run again later") && hint.contains("instance_class"), "{code}: {hint}");
    }
}

#[test]
fn a_run_that_did_all_says_how_much_and_how_long() {
    let set = every_change();
    let report = RunReport {
        succeeded: vec![
            operation("us-east-1/ec2_vpc/vpc", Action::Create, 2),
            operation("us-east-1/ec2_vpc/old", Action::Delete, 2),
        ],
        elapsed: Duration::from_secs(8),
        ..RunReport::default()
    };
    insta::assert_snapshot!(text(&end(&set, &report, &Records::new()), &Again::default(), Page::PLAIN), @"complete: 1 created, 1 deleted in 8 s");
}

#[test]
fn a_run_without_work_has_one_line() {
    let set = set(vec![change("us-east-1/ec2_vpc/vpc", Stack::Network, changes::Action::None, vec![])]);
    insta::assert_snapshot!(text(&end(&set, &RunReport::default(), &Records::new()), &Again::default(), Page::PLAIN), @"no changes: 1 resource of `dev` is as the plan says");
    let (nothing, report, records) = (ChangeSet::default(), RunReport::default(), Records::new());
    let end = RunEnd { command: "down", ..end(&nothing, &report, &records) };
    insta::assert_snapshot!(text(&end, &Again::default(), Page::PLAIN), @"nothing to destroy: `dev` has no resources");
}

/// Invariant 3 of a run: a write that fails prints every id that could not be recorded, in full.
#[test]
fn what_could_not_be_recorded_is_printed_in_full() {
    let set = every_change();
    let report = failed();
    let id = "arn:aws:rds:us-east-1:123456789012:cluster:".to_owned() + &"x".repeat(200);
    let done = Entry::Done { outputs: json!({ "arn": id }), milliseconds: 5 };
    let intended = Entry::Intended(crate::state::Intent::Delete);
    let unrecorded =
        [("us-east-1/rds_cluster/aurora".parse().unwrap(), done), ("us-east-1/ec2_vpc/vpc".parse().unwrap(), intended)];
    let records = Records::new();
    let text =
        text(&RunEnd { unrecorded: &unrecorded, ..end(&set, &report, &records) }, &Again::default(), Page::PLAIN);
    assert!(text.contains(&format!("us-east-1/rds_cluster/aurora: done {{\"arn\":\"{id}\"}}")), "{text}");
    assert!(text.contains("us-east-1/ec2_vpc/vpc: intended delete"), "{text}");
    assert!(text.contains("make the state writable first"), "{text}");
}

#[test]
fn a_deferred_deletion_says_until_when_and_that_nothing_is_broken() {
    let set = set(vec![change("us-east-1/backup_vault/vault", Stack::Backup, changes::Action::Delete, vec![])]);
    let vault = operation("us-east-1/backup_vault/vault", Action::Delete, 5);
    let key = operation("us-east-1/kms_key/data", Action::Delete, 5);
    let report = RunReport {
        deferred: vec![(vault.clone(), time(0), "a recovery point is younger than 1 day".to_owned())],
        skipped: vec![(key, vault.address.clone())],
        ..RunReport::default()
    };
    let status = Status::Deferred { until: time(0), reason: String::new() };
    let records = records(vec![("us-east-1/backup_vault/vault", status), ("us-east-1/kms_key/data", Status::Ready)]);
    let end = RunEnd { command: "down", ..end(&set, &report, &records) };
    insta::assert_snapshot!(text(&end, &Again::default(), Page::PLAIN), @"
    deferred: AWS deletes these only later
      us-east-1/backup_vault/vault: not before 2026-09-21T14:13:20Z: a recovery point is younger than 1 day
        skipped because of it: 1 operation
          delete us-east-1/kms_key/data

    partial: nothing done, 1 skipped, 1 deferred in 0 s

    on record now: 1 ready, 1 deferred

    nothing is broken; run this again later to finish:
      drctl down --suffix dev
    ");
}

#[test]
fn an_interrupted_run_says_that_the_state_is_saved() {
    let set = every_change();
    let report = RunReport {
        stopped: vec![operation("us-east-1/rds_cluster/aurora", Action::Create, 300)],
        not_started: vec![operation("us-east-1/sns_topic/alerts", Action::Create, 300)],
        elapsed: Duration::from_secs(61),
        ..RunReport::default()
    };
    let records = records(vec![("us-east-1/rds_cluster/aurora", Status::Creating)]);
    insta::assert_snapshot!(text(&end(&set, &report, &records), &Again::default(), Page::PLAIN), @"
    interrupted: nothing done, 1 cut short, 1 not started in 1 min 1 s

    on record now: 0 ready, 1 in flight

    the state is saved; running again is safe and goes on from here:
      drctl up --suffix dev
    or remove what there is:
      drctl down --suffix dev
    ");
}

#[test]
fn the_document_names_code_message_and_request() {
    let (set, report, records) = (every_change(), failed(), Records::new());
    let document = document(&end(&set, &report, &records), &Again::default());
    assert_eq!(document["result"], "failed");
    let cause = &document["failed"][0];
    assert_eq!(cause["address"], "us-east-1/rds_cluster/aurora");
    assert_eq!(cause["operation"], "rds:CreateDBCluster");
    assert_eq!(cause["code"], "DBClusterQuotaExceededFault");
    assert_eq!(cause["request_id"], "7b4c0d5e-0000-4000-8000-000000000000");
    assert_eq!(document["skipped"].as_array().map(Vec::len), Some(12));
}

#[test]
fn outputs_are_shown_only_when_they_can_be_relied_on() {
    let outputs = [
        ("s3_bucket_us_east_1".to_owned(), json!("dr-payment-data")),
        ("api_endpoint_us_east_1".to_owned(), json!({ "$ref": "us-east-1/apigateway_rest_api/api#url" })),
    ];
    let (set, good, bad, records) = (every_change(), RunReport::default(), failed(), Records::new());
    let end = RunEnd { outputs: &outputs, ..end(&set, &good, &records) };
    assert_eq!(output_lines(&end.known_outputs()), "s3_bucket_us_east_1 = \"dr-payment-data\"");
    assert!(RunEnd { report: &bad, ..end }.known_outputs().is_empty());
}

#[test]
fn a_full_quota_is_told_from_too_many_requests() {
    for code in [
        "VpcLimitExceeded",
        "NatGatewayLimitExceeded",
        "SecurityGroupLimitExceeded",
        "RulesPerSecurityGroupLimitExceeded",
        "VpcEndpointLimitExceeded",
        "InternetGatewayLimitExceeded",
        "RouteLimitExceeded",
        "DBClusterQuotaExceededFault",
        "TooManyBuckets",
        "CodeStorageExceededException",
    ] {
        assert!(is_quota(code), "{code}");
    }
    for code in ["TooManyRequestsException", "RequestLimitExceeded", "Throttling"] {
        assert!(!is_quota(code), "{code}");
    }
}
