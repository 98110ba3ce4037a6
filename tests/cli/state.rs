//! Looking at the state needs no AWS.

use insta::assert_snapshot;

use crate::support::{Folder, STATE};

#[test]
fn outputs_are_lines_to_paste() {
    assert_snapshot!(Folder::with_state(&[]).drctl("outputs"), @r#"
    exit 0
    --- stdout
    global_accelerator_dns = "abcd1234.awsglobalaccelerator.com"
    s3_bucket_us_east_1 = "dr-payment-data-us-east-1-dev"
    "#);
}

#[test]
fn one_output_is_its_value_alone() {
    let text = Folder::with_state(&[]).drctl("outputs s3_bucket_us_east_1");
    assert_eq!(text, "exit 0\n--- stdout\ndr-payment-data-us-east-1-dev\n");
}

#[test]
fn outputs_for_programs_are_one_document() {
    assert_snapshot!(Folder::with_state(&[]).drctl("outputs --output json"), @r#"
    exit 0
    --- stdout
    {
      "version": 1,
      "outputs": {
        "global_accelerator_dns": "abcd1234.awsglobalaccelerator.com",
        "s3_bucket_us_east_1": "dr-payment-data-us-east-1-dev"
      }
    }
    "#);
}

#[test]
fn an_unknown_output_lists_the_known() {
    assert_snapshot!(Folder::with_state(&[]).drctl("outputs bucket"), @"
    exit 64
    --- stderr
    error: there is no output `bucket`
      hint: the outputs are: global_accelerator_dns, s3_bucket_us_east_1
    ");
}

#[test]
fn the_list_of_records() {
    assert_snapshot!(Folder::with_state(&[]).drctl("state list"), @"
    exit 0
    --- stdout
    us-east-1/ec2_subnet/private-a  creating  network
    us-east-1/ec2_vpc/vpc           ready     network
    ");
}

#[test]
fn one_record() {
    assert_snapshot!(Folder::with_state(&[]).drctl("state show us-east-1/ec2_subnet/private-a"), @r#"
    exit 0
    --- stdout
    {
      "status": "creating",
      "stack": "network",
      "spec": {
        "cidr": "10.0.0.0/24"
      },
      "references": [
        "us-east-1/ec2_vpc/vpc"
      ],
      "token": "0123456789abcdef0123456789abcdef",
      "generation": 1,
      "created_at": "2026-01-02T03:04:05Z",
      "updated_at": "2026-01-02T03:04:06Z",
      "last_error": "ec2:CreateSubnet was refused: SubnetLimitExceeded: none left"
    }
    "#);
}

#[test]
fn a_record_that_is_not_there() {
    assert_snapshot!(Folder::with_state(&[]).drctl("state show us-east-1/ec2_vpc/none"), @"
    exit 64
    --- stderr
    error: us-east-1/ec2_vpc/none: not on record
      hint: see all records:
        drctl state list
    ");
}

#[test]
fn a_forgotten_record_is_gone_and_the_others_stay() {
    let folder = Folder::with_state(&[]);
    // Nobody can be asked here, and silence is no agreement.
    let refused = folder.drctl("state forget us-east-1/ec2_subnet/private-a");
    assert!(refused.starts_with("exit 64\n") && refused.contains("--yes"), "{refused}");
    assert_snapshot!(folder.drctl("state forget us-east-1/ec2_subnet/private-a --yes"), @"
    exit 0
    --- stderr
    us-east-1/ec2_subnet/private-a is off the record; its object stays in AWS
    a `down` will name it as left for as long as it carries the deployment's tags
    ");
    assert_eq!(folder.drctl("state list"), "exit 0\n--- stdout\nus-east-1/ec2_vpc/vpc  ready  network\n");
}

/// What is protected can be unprotected without the plan; what is in flight stays in flight.
#[test]
fn protection_is_ended_by_pattern() {
    let folder = Folder::with_state(&[]);
    folder.write("state/dev.json", &STATE.replace("\"stack\":", "\"protected\": true, \"stack\":"));
    let list = folder.drctl("state list");
    assert_eq!(list.matches("protected").count(), 2, "{list}");
    assert_snapshot!(folder.drctl("state unprotect */ec2_subnet/*"), @"
    exit 64
    --- stderr
    error: nobody can be asked here: End the protection of us-east-1/ec2_subnet/private-a? `down` then deletes what is not protected.
      hint: if that is what you want, add --yes
    ");
    assert_eq!(folder.drctl("state list"), list);
    assert_snapshot!(folder.drctl("state unprotect */ec2_subnet/* --yes"), @"
    exit 0
    --- stderr
    us-east-1/ec2_subnet/private-a is not protected any more
    an `up` with a plan that still protects them protects them again
    ");
    assert_snapshot!(folder.drctl("state list"), @"
    exit 0
    --- stdout
    us-east-1/ec2_subnet/private-a  creating  network
    us-east-1/ec2_vpc/vpc           ready     network  protected
    ");
    assert_snapshot!(folder.drctl("state unprotect */ec2_subnet/*"), @"
    exit 0
    --- stderr
    nothing of it is protected; nothing was changed
    ");
    assert_snapshot!(folder.drctl("state unprotect */ec2_vpc/* */s3_bucket/* --yes"), @r#"
    exit 64
    --- stderr
    error: "*/s3_bucket/*" matches no resource on record; nothing was changed
      hint: see all records:
        drctl state list
    "#);
}

#[test]
fn no_deployment_at_all() {
    assert_snapshot!(Folder::new().drctl("status"), @"
    exit 64
    --- stderr
    error: there is no deployment in state
      hint: see what a new one would be:
        drctl plan --suffix dev
      hint: or say where its state is: --state-dir DIR, or --state URL
    ");
}

#[test]
fn no_deployment_of_that_name() {
    assert_snapshot!(Folder::with_state(&[]).drctl("outputs --suffix prod"), @"
    exit 64
    --- stderr
    error: there is no deployment `prod` in state/
      hint: the deployments here are: dev
      hint: if `prod` was deployed from elsewhere, copy its state here or run:
        drctl state rebuild --suffix prod
    ");
    assert_snapshot!(Folder::with_state(&[]).drctl("down --suffix prod --yes"), @"
    exit 64
    --- stderr
    error: there is no deployment `prod` in state/
      hint: the deployments here are: dev
      hint: if `prod` was deployed from elsewhere, copy its state here or run:
        drctl state rebuild --suffix prod
    ");
}

#[test]
fn several_deployments_without_a_suffix() {
    assert_snapshot!(Folder::with_state(&["staging"]).drctl("outputs"), @"
    exit 64
    --- stderr
    error: there are several deployments in state: dev, staging
      hint: say which one: --suffix NAME
    ");
}

#[test]
fn no_color_means_no_escape_codes_and_always_means_some() {
    let folder = Folder::new();
    assert!(!folder.drctl("status").contains('\u{1b}'));
    assert!(folder.drctl("status --color always").contains('\u{1b}'));
    assert!(!folder.drctl("status --color never").contains('\u{1b}'));
}
