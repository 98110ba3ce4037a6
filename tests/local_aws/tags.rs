//! The most, the longest and the oddest tags that a plan may have, through a whole life of a deployment: no service
//! refuses one, changes one, or reads one back otherwise.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::LocalAws;
use crate::story::census;

const PLAN: &str = "plans/payments.toml";

/// Each sort of character that the plan admits.
const ODD: &str = "aZ09 _.:/=+-@";

fn tags() -> BTreeMap<String, String> {
    let long = |length: usize| ODD.chars().cycle().take(length - 1).chain(['x']).collect::<String>();
    let tags = [
        (long(127), long(256)),
        ("k".repeat(127), "1".to_owned()),
        (ODD.to_owned(), ODD.to_owned()),
        ("@".to_owned(), "=".to_owned()),
        ("0".to_owned(), "v".repeat(256)),
        ("Team:Cost/Centre = 7".to_owned(), "http://example.com/a+b=c".to_owned()),
        ("-".to_owned(), "null".to_owned()),
    ];
    tags.into()
}

/// The tags as a table of TOML.
fn table(tags: &BTreeMap<String, String>) -> String {
    let fields: Vec<String> = tags.iter().map(|(key, value)| format!("{key:?} = {value:?}")).collect();
    format!("tags = {{ {} }}", fields.join(", "))
}

/// The tags that objects of the strictest services have.
fn seen(aws: &LocalAws) -> Vec<BTreeMap<String, String>> {
    let found = aws.python(
        r#"
route53 = boto3.client("route53", region_name="us-east-1")
zone = [z["Id"].rsplit("/", 1)[1] for z in route53.list_hosted_zones()["HostedZones"] if "dr-payments-dev" in z["Name"]][0]
zone = route53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=zone)["ResourceTagSet"]["Tags"]
iam = boto3.client("iam", region_name="us-east-1")
role = [r["RoleName"] for r in iam.list_roles()["Roles"] if r["RoleName"].endswith("-dev")][0]
role = iam.list_role_tags(RoleName=role)["Tags"]
rds = boto3.client("rds", region_name="us-east-2")
cluster = [c["DBClusterArn"] for c in rds.describe_db_clusters()["DBClusters"] if c["DBClusterIdentifier"].endswith("-dev")][0]
cluster = rds.list_tags_for_resource(ResourceName=cluster)["TagList"]
s3 = boto3.client("s3", region_name="us-east-1")
bucket = [b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"].endswith("us-east-1-dev")][0]
bucket = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
apis = boto3.client("apigateway", region_name="us-east-1")
api = [a["tags"] for a in apis.get_rest_apis()["items"] if "dev" in a["name"]][0]
result = [{tag["Key"]: tag["Value"] for tag in tags} for tags in [zone, role, cluster, bucket]] + [api]
"#,
    );
    serde_json::from_value(found).expect("tags are texts")
}

#[test]
fn the_most_and_oddest_tags_live_a_whole_life() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let mut wanted = tags();
    assert_eq!(wanted.len(), 7, "all that the plan admits");
    workspace.edit(PLAN, "\ntags = {}", &format!("\n{}", table(&wanted)));
    for round in 0..2 {
        workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
        for tags in seen(&aws) {
            let own: Vec<_> = tags.keys().filter(|key| !wanted.contains_key(*key)).collect();
            assert_eq!(own, ["Name", "drctl:address", "drctl:deployment"], "{tags:?}");
            assert!(wanted.iter().all(|(key, value)| tags.get(key) == Some(value)), "{tags:?}");
        }
        aws.forget_calls();
        workspace.drctl(&["up", "--suffix", "dev"]).expect(0).shows(&["no changes"]);
        assert_eq!(aws.calls(true), Vec::<Value>::new());
        if round == 0 {
            // One is another one, one has another value.
            let before = table(&wanted);
            let value = wanted.remove(&"k".repeat(127)).expect("it is one of them");
            wanted.insert("K".repeat(127), value);
            wanted.insert("@".to_owned(), ODD.to_owned());
            workspace.edit(PLAN, &before, &table(&wanted));
        }
    }
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}
