//! Answers that somebody else gives in AWS's place, and lists without an end, as a person meets them.

use serde_json::{Value, json};

use crate::harness::{LocalAws, Workspace};

/// An operation of each protocol: query, JSON, EC2, REST with XML, REST with JSON, CBOR.
const PROTOCOLS: [&str; 6] = [
    "sts:GetCallerIdentity",
    "kms:ListAliases",
    "ec2:DescribeAvailabilityZones",
    "route53:ListHostedZonesByName",
    "apigateway:GetRestApis",
    "monitoring:DescribeAlarms",
];

/// Plans while an operation is answered falsely.
fn plan(aws: &LocalAws, workspace: &Workspace<'_>, operation: &str, answer: &str) -> String {
    let order: Value = json!({ "answer": answer, "operation": operation, "times": 1000 });
    aws.scenarios(&json!({ "names": ["false-answers"], "false_answer": order }));
    workspace.drctl(&["plan", "--suffix", "dev"]).expect(1).stderr
}

/// Whoever sits behind a proxy or a captive portal learns what came, and from whom it may be; nothing of it is believed.
#[test]
fn an_answer_that_is_not_of_aws_is_told_as_it_came() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    for (answer, told) in [
        ("page", &["status 200, text/html; charset=utf-8", "Sign in to the guest network", "captive portal"][..]),
        ("proxy", &["status 407", "wants to know who asks"]),
        ("blank", &["status 200", "empty", "cut"]),
        ("cut", &["status 200", "beginning with `"]),
        ("error-inside", &["status 200", "beginning with `"]),
    ] {
        // One service of each protocol. Pages are told by their type alone, whatever the protocol.
        let protocols = if ["page", "proxy"].contains(&answer) { 2 } else { PROTOCOLS.len() };
        for operation in &PROTOCOLS[..protocols] {
            let said = plan(&aws, &workspace, operation, answer);
            let name = operation.split_once(':').expect("service:Operation").1;
            assert!(
                said.contains(&format!("{name} got an answer that cannot be read")),
                "{operation} {answer}: {said}"
            );
            for text in told {
                assert!(said.replace("\n", " ").contains(text), "{operation} {answer} {text:?}: {said}");
            }
            assert!(!said.contains("0123456789abcdef"), "no token is shown: {said}");
        }
    }

    aws.forget_calls();
    let said = plan(&aws, &workspace, "kms:ListAliases", "endless");
    assert!(said.contains("the pages of kms:ListAliases have no end"), "{said}");
    let asked = aws.calls(false).iter().filter(|call| call["operation"] == "ListAliases").count();
    assert!(asked <= 6, "asked {asked} times");
    assert!(aws.calls(true).is_empty(), "nothing was changed");
}
