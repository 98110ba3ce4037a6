//! The policies that `iam-policy` prints.

use serde_json::Value;

use crate::support::Folder;

fn policies(arguments: &str) -> Vec<Value> {
    let told = Folder::new().drctl(&format!("iam-policy --output json {arguments}"));
    let document = told.strip_prefix("exit 0\n--- stdout\n").unwrap_or_else(|| panic!("{told}"));
    let document: Value = serde_json::from_str(document).expect("the result is JSON");
    document["policies"].as_array().expect("a list of policies").clone()
}

fn actions(policies: &[Value]) -> Vec<String> {
    let statements = policies.iter().flat_map(|policy| policy["Statement"].as_array().expect("a list of statements"));
    let actions = statements.flat_map(|statement| statement["Action"].as_array().expect("a list of actions"));
    actions.map(|action| action.as_str().expect("actions are texts").to_owned()).collect()
}

#[test]
fn the_policies_of_the_built_in_plan() {
    insta::assert_snapshot!(Folder::new().drctl("iam-policy --suffix dev"));
}

#[test]
fn looking_takes_no_right_to_change_anything() {
    for action in actions(&policies("--read-only")) {
        let (_, name) = action.split_once(':').expect("service:Action");
        assert!(["Describe", "Get", "List", "GET"].iter().any(|verb| name.starts_with(verb)), "{action}");
        assert_ne!(action, "secretsmanager:GetSecretValue");
    }
}

#[test]
fn what_the_plan_leaves_out_may_be_looked_at_and_deleted_and_not_made() {
    let folder = Folder::new();
    folder.write("small.toml", "[database.aurora]\nenabled = false\n\n[backup]\nenabled = false\n");
    let told = folder.drctl("iam-policy --plan small.toml");
    assert!(told.starts_with("exit 0\n"), "{told}");
    let may = |action: &str| told.contains(&format!("\"{action}\""));
    for action in ["dynamodb:CreateTable", "rds:DescribeDBClusters", "rds:DeleteDBCluster", "backup:DeleteBackupVault"]
    {
        assert!(may(action), "{action}");
    }
    for action in ["rds:CreateDBCluster", "rds:CreateDBInstance", "backup:CreateBackupVault"] {
        assert!(!may(action), "{action}");
    }
}

#[test]
fn without_a_suffix_the_policies_are_for_every_deployment() {
    let text = serde_json::to_string(&policies("")).expect("policies are JSON");
    assert!(text.contains("arn:aws:sqs:*:*:dr-*-*"), "{text}");
}
