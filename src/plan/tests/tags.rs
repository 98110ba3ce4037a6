//! The user's tags against the rules of the services, as AWS's own API models state them.

use super::{refused, *};

/// What a service takes.
struct Rules {
    service: &'static str,
    key: usize,
    value: std::ops::RangeInclusive<usize>,
    count: usize,
    /// Beginnings that keys may not have, and values neither where RDS says so.
    prefixes: &'static [&'static str],
    keys_ignore_case: bool,
}

/// Transcribed from botocore 1.43's models (`Tag`, `TagKey`, `TagValue`, `TagList` and the documentation of their
/// members), not from drctl's own rules. The patterns there are all `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`, which [`fits`] has
/// for ASCII.
const SERVICES: [Rules; 14] = [
    rules("acm", 128, 0..=256, 50),
    rules("apigateway", 128, 0..=256, 50),
    rules("cloudwatch", 128, 0..=256, 50),
    rules("dynamodb", 128, 0..=256, 50),
    rules("ec2", 127, 0..=256, 50),
    rules("elbv2", 128, 0..=256, 50),
    rules("events", 128, 0..=256, 50),
    rules("globalaccelerator", 128, 0..=256, 50),
    Rules { keys_ignore_case: true, ..rules("iam", 128, 0..=256, 50) },
    rules("kms", 128, 0..=256, 50),
    rules("logs", 128, 0..=256, 50),
    Rules { prefixes: &["aws:", "rds:"], ..rules("rds", 128, 1..=256, 50) },
    rules("route53", 128, 0..=256, 10),
    rules("secretsmanager", 128, 0..=256, 50),
];

const fn rules(service: &'static str, key: usize, value: std::ops::RangeInclusive<usize>, count: usize) -> Rules {
    Rules { service, key, value, count, prefixes: &["aws:"], keys_ignore_case: false }
}

/// Tells why a service refuses the tags of a resource.
fn fits(rules: &Rules, tags: &BTreeMap<String, String>) -> Result<(), String> {
    let charset = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || " _.:/=+-@".contains(c));
    let free = |text: &str| !rules.prefixes.iter().any(|prefix| text.to_lowercase().starts_with(prefix));
    let mut seen = Vec::new();
    for (key, value) in tags {
        let well = (1..=rules.key).contains(&key.len()) && rules.value.contains(&value.len());
        let taken = rules.keys_ignore_case && seen.contains(&key.to_lowercase());
        if !well || taken || !charset(key) || !charset(value) || !free(key) || (rules.service == "rds" && !free(value))
        {
            return Err(format!("{}: {key:?} = {value:?}", rules.service));
        }
        seen.push(key.to_lowercase());
    }
    if tags.len() > rules.count {
        return Err(format!("{}: {} tags", rules.service, tags.len()));
    }
    Ok(())
}

/// A resource's tags: the user's, and drctl's own at their longest.
fn with_own(plan: &Plan) -> BTreeMap<String, String> {
    let user = plan.tags.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    let own = ["Name", "drctl:deployment", "drctl:address"].map(|key| (key.to_owned(), "x".repeat(256)));
    user.chain(own).collect()
}

fn file(tags: &[(String, String)]) -> String {
    let lines: Vec<String> = tags.iter().map(|(key, value)| format!("{key:?} = {value:?}")).collect();
    format!("[tags]\n{}\n", lines.join("\n"))
}

/// The most, the longest and the oddest that a plan may have.
#[test]
fn every_service_takes_the_tags_that_a_plan_may_have() {
    let odd = " _.:/=+-@".repeat(14);
    let longest = |n: usize| format!("{n}{}", &odd[..125]) + "x";
    let tags: Vec<(String, String)> = (1..=7).map(|n| (longest(n), "=".repeat(256))).collect();
    assert_eq!(tags[0].0.len(), 127);
    let plan = load("plan.toml", &file(&tags)).unwrap();
    for rules in &SERVICES {
        fits(rules, &with_own(&plan)).unwrap();
    }
}

/// One step beyond, each is refused by the plan; and a service is what refuses it.
#[test]
fn what_one_service_refuses_no_plan_may_have() {
    let tag = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let many: Vec<(String, String)> = (0..8).map(|n| (format!("t{n}"), "x".to_owned())).collect();
    let twins = [tag("Owner", "a"), tag("owner", "b")].concat();
    for tags in [
        many,
        twins,
        tag("name", "x"),
        tag("NAME", "x"),
        tag(&"k".repeat(128), "x"),
        tag("k", &"v".repeat(257)),
        tag("k", ""),
        tag("aws:k", "x"),
        tag("RDS:k", "x"),
        tag("k", "AWS:x"),
        tag("k", "rds:x"),
        tag("\u{24b6}", "x"),
        tag("k", "a\u{300}"),
        tag("k", "a;b"),
        tag("k\t", "x"),
    ] {
        let mut all = with_own(&Plan::default());
        all.extend(tags.iter().cloned());
        assert!(SERVICES.iter().any(|rules| fits(rules, &all).is_err()), "{tags:?}");
        refused(&file(&tags));
    }
}

#[test]
fn tags_that_do_not_go_together_are_named() {
    let tags: String = (0..8).map(|n| format!("t{n} = 'x'\n")).collect();
    assert_eq!(
        refused(&format!("domain = 'example.com'\n[tags]\n{tags}")),
        "bad.toml:2:1: tags: 8 extra tags; Route 53 takes 10 on a health check and a hosted zone, and 3 of them are drctl's; keep 7"
    );
    assert_eq!(
        refused("[tags]\nOwner = 'a'\n'cost centre' = 'c'\nowner = 'b'\n"),
        r#"bad.toml:4:9: tags.owner: "owner" and "Owner" differ in case alone, and IAM takes them for one key; keep one of them"#
    );
}

/// A tag `Name` of the user would be the same on every resource, and the one that drctl sets tells them apart in AWS's
/// console.
#[test]
fn the_name_of_a_resource_is_not_overwritten_without_a_word() {
    assert_eq!(
        refused("tags = { Name = 'payments' }"),
        r#"bad.toml:1:10: tags.Name: "Name" is taken: drctl tags each resource with the name it has, and IAM ignores case in keys"#
    );
}
