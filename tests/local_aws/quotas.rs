//! Rates and limits: drctl keeps the published ones by itself, and tells of a full one at once.

use serde_json::json;

use crate::harness::LocalAws;
use crate::story::census;

/// R16: with the rates of AWS nothing is ever refused for being too fast.
#[test]
fn no_call_comes_too_fast() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let commands: [&[&str]; 5] = [
        &["up", "--suffix", "dev"],
        &["up", "--suffix", "dev"],
        &["plan", "--suffix", "dev"],
        &["status", "--suffix", "dev"],
        &["down", "--suffix", "dev", "--yes"],
    ];
    for arguments in commands {
        // Switched on anew, every bucket is full again, as it would be some minutes later.
        aws.play(&["quotas"], 1);
        aws.forget_calls();
        workspace.drctl(arguments).expect(0);
        let (_, summary) = aws.http("GET", &format!("{}/_local-aws/summary", aws.url()), None);
        assert!(summary["calls"].as_u64() > Some(0), "{summary}");
        assert_eq!(summary["throttled"], 0, "{arguments:?}: {summary}");
    }
}

/// R16: a full quota ends the run at once, with its name and what AWS said; nothing is tried a second time, and once there is
/// room the next run goes on.
#[test]
fn a_full_quota_is_told_at_once() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let up = ["up", "--suffix", "dev", "--plan", "plans/minimal.toml"];
    // Each with the code of its service, and how many the plan wants of it.
    let limits = [
        ("ec2:CreateVpc", "VpcLimitExceeded", 2),
        ("ec2:AllocateAddress", "AddressLimitExceeded", 2),
        ("apigateway:CreateRestApi", "LimitExceededException", 2),
        ("rds:CreateDBCluster", "DBClusterQuotaExceeded", 1),
        ("sns:CreateTopic", "TopicLimitExceeded", 10),
        ("route53:CreateHealthCheck", "TooManyHealthChecks", 10),
    ];
    for (operation, code, most) in limits {
        aws.scenarios(&json!({ "names": ["hard-limits"], "limit": operation }));
        aws.forget_calls();
        workspace.drctl(&up).expect(1).shows(&[operation, code, "quota"]);
        let refused = aws.calls(true).iter().filter(|call| call["scenario"] == "hard-limits").count();
        assert!((1..=most).contains(&refused), "{operation} was tried {refused} times");
        aws.scenarios(&json!({ "names": [] }));
        workspace.drctl(&up).expect(0);
        workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
        assert_eq!(census(&aws, "dev"), Vec::<String>::new());
    }
}
