//! How far the right to an action has to reach: which objects it is for, and under which conditions.
//!
//! What is not named here is allowed on everything, because AWS allows nothing narrower for it or drctl has to look at objects
//! before it knows whose they are. `{suffix}` stands for the suffix of the deployment. Names of objects are those of
//! `topology::names`, and a test compares the two.
//!
//! Roles linked to a service are made by AWS on first use, which takes a right of the caller (`slr.implicit`). They belong to the
//! whole account, so there is no right here to delete one (`slr.delete`).

/// The objects and conditions that some actions need.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// The name of the statement in a policy: letters and digits only.
    pub name: &'static str,
    /// The actions; a `*` at the end stands for all that begin so.
    pub actions: &'static [&'static str],
    /// The ARNs of the objects.
    pub objects: &'static [&'static str],
    /// What must hold besides.
    pub conditions: &'static [Condition],
}

/// A condition of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// The operator.
    pub operator: &'static str,
    /// The key.
    pub key: &'static str,
    /// The values of which one must match; the first stands for all where AWS is asked what is allowed.
    pub values: &'static [&'static str],
}

const fn when(operator: &'static str, key: &'static str, values: &'static [&'static str]) -> Condition {
    Condition { operator, key, values }
}

/// The object is ours by its tags.
const TAGGED: Condition = when("StringLike", "aws:ResourceTag/drctl:deployment", &["{suffix}"]);
/// The same call makes the object ours.
const TAGGING: Condition = when("StringLike", "aws:RequestTag/drctl:deployment", &["{suffix}"]);
/// Tags are set by the call that makes the object, and not on one that was there before.
const CREATING: Condition = when("Null", "ec2:CreateAction", &["false"]);

/// Whatever the actions of a kind need to reach.
pub const EVERYTHING: Reach = Reach { name: "Everything", actions: &["*"], objects: &["*"], conditions: &[] };

/// Where rights end, by service. Of the patterns that an action matches the longest decides; the same action in several
/// places needs each of them.
pub const REACHES: &[Reach] = &[
    Reach {
        name: "Certificates",
        actions: &["acm:RequestCertificate", "acm:AddTagsToCertificate"],
        objects: &["*"],
        conditions: &[TAGGING],
    },
    Reach {
        name: "OwnCertificates",
        actions: &["acm:AddTagsToCertificate", "acm:RemoveTagsFromCertificate", "acm:DeleteCertificate"],
        objects: &["arn:aws:acm:*:*:certificate/*"],
        conditions: &[TAGGED],
    },
    Reach {
        name: "Apis",
        actions: &["apigateway:*"],
        objects: &[
            "arn:aws:apigateway:*::/account",
            "arn:aws:apigateway:*::/apis",
            "arn:aws:apigateway:*::/domainnames*",
            "arn:aws:apigateway:*::/restapis*",
            "arn:aws:apigateway:*::/tags/*",
        ],
        conditions: &[],
    },
    Reach {
        name: "Vaults",
        actions: &["backup:*"],
        objects: &["arn:aws:backup:*:*:backup-vault:dr-*-{suffix}", "arn:aws:backup:*:*:backup-plan:*"],
        conditions: &[],
    },
    Reach {
        name: "BackupPlans",
        actions: &["backup:CreateBackupPlan"],
        objects: &["arn:aws:backup:*:*:backup-plan:*"],
        conditions: &[TAGGING],
    },
    Reach {
        name: "OwnBackupPlans",
        actions: &[
            "backup:UpdateBackupPlan",
            "backup:DeleteBackupPlan",
            "backup:CreateBackupSelection",
            "backup:DeleteBackupSelection",
        ],
        objects: &["arn:aws:backup:*:*:backup-plan:*"],
        conditions: &[TAGGED],
    },
    Reach {
        // A recovery point has the ARN of what it is of, a snapshot for example.
        name: "RecoveryPoints",
        actions: &[
            "backup:DeleteRecoveryPoint",
            "backup:DescribeRegionSettings",
            "backup:ListBackupJobs",
            "backup:ListBackupPlans",
            "backup:ListBackupVaults",
            "backup:StopBackupJob",
        ],
        objects: &["*"],
        conditions: &[],
    },
    Reach {
        name: "AlarmsAndDashboards",
        actions: &["cloudwatch:*"],
        objects: &["arn:aws:cloudwatch:*:*:alarm:dr-*-{suffix}", "arn:aws:cloudwatch::*:dashboard/dr-*-{suffix}"],
        conditions: &[],
    },
    Reach { name: "AllAlarms", actions: &["cloudwatch:DescribeAlarms"], objects: &["*"], conditions: &[] },
    Reach {
        name: "Table",
        actions: &["dynamodb:*"],
        objects: &["arn:aws:dynamodb:*:*:table/dr-payments-{suffix}"],
        conditions: &[],
    },
    Reach {
        name: "AllNetworks",
        actions: &["ec2:Describe*", "ec2:GetSecurityGroupsForVpc"],
        objects: &["*"],
        conditions: &[],
    },
    Reach {
        name: "NewNetworks",
        actions: &[
            "ec2:AllocateAddress",
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateFlowLogs",
            "ec2:CreateInternetGateway",
            "ec2:CreateNatGateway",
            "ec2:CreateRouteTable",
            "ec2:CreateSecurityGroup",
            "ec2:CreateSubnet",
            "ec2:CreateVpc",
            "ec2:CreateVpcEndpoint",
        ],
        objects: &["*"],
        conditions: &[TAGGING],
    },
    Reach { name: "NewNetworkTags", actions: &["ec2:CreateTags"], objects: &["*"], conditions: &[TAGGING, CREATING] },
    Reach {
        // The default security group comes with its network, without tags.
        name: "DefaultSecurityGroup",
        actions: &["ec2:CreateTags"],
        objects: &["arn:aws:ec2:*:*:security-group/*"],
        conditions: &[TAGGING],
    },
    Reach {
        // What is made in a network or with an address needs the right to these, too.
        name: "OwnNetworks",
        actions: &[
            "ec2:*",
            "ec2:AuthorizeSecurityGroupEgress",
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateFlowLogs",
            "ec2:CreateNatGateway",
            "ec2:CreateRouteTable",
            "ec2:CreateSecurityGroup",
            "ec2:CreateSubnet",
            "ec2:CreateTags",
            "ec2:CreateVpcEndpoint",
        ],
        objects: &["*"],
        conditions: &[TAGGED],
    },
    Reach {
        // Global Accelerator leaves a security group of its own in the network, without tags of ours.
        name: "SecurityGroups",
        actions: &["ec2:DeleteSecurityGroup"],
        objects: &["arn:aws:ec2:*:*:security-group/*"],
        conditions: &[],
    },
    Reach {
        // Names of more than 32 characters end in a digest instead of the suffix.
        name: "LoadBalancers",
        actions: &["elasticloadbalancing:*"],
        objects: &[
            "arn:aws:elasticloadbalancing:*:*:loadbalancer/app/dr-*",
            "arn:aws:elasticloadbalancing:*:*:listener/app/dr-*",
            "arn:aws:elasticloadbalancing:*:*:listener-rule/app/dr-*",
            "arn:aws:elasticloadbalancing:*:*:targetgroup/dr-*",
        ],
        conditions: &[],
    },
    Reach { name: "AllLoadBalancers", actions: &["elasticloadbalancing:Describe*"], objects: &["*"], conditions: &[] },
    Reach {
        name: "Buses",
        actions: &["events:*"],
        objects: &[
            "arn:aws:events:*:*:archive/dr-payments-{suffix}",
            "arn:aws:events:*:*:event-bus/dr-payments-{suffix}",
            "arn:aws:events:*:*:rule/dr-payments-{suffix}/*",
        ],
        conditions: &[],
    },
    Reach { name: "AllRules", actions: &["events:ListRules"], objects: &["*"], conditions: &[] },
    Reach {
        name: "Accelerators",
        actions: &["globalaccelerator:*"],
        objects: &["arn:aws:globalaccelerator::*:accelerator/*"],
        conditions: &[],
    },
    Reach {
        name: "AllAccelerators",
        actions: &["globalaccelerator:CreateAccelerator", "globalaccelerator:List*"],
        objects: &["*"],
        conditions: &[],
    },
    Reach {
        // API Gateway writes its logs with one role for a whole region.
        name: "Roles",
        actions: &["iam:*"],
        objects: &["arn:aws:iam::*:role/dr-*-{suffix}", "arn:aws:iam::*:role/drctl-apigateway-logs-*"],
        conditions: &[],
    },
    Reach {
        name: "AllRoles",
        actions: &["iam:GetAccountAuthorizationDetails", "iam:ListRoles", "iam:SimulatePrincipalPolicy"],
        objects: &["*"],
        conditions: &[],
    },
    Reach {
        name: "InstanceProfiles",
        actions: &["iam:RemoveRoleFromInstanceProfile"],
        objects: &["arn:aws:iam::*:instance-profile/*"],
        conditions: &[],
    },
    Reach {
        name: "PassedRoles",
        actions: &["iam:PassRole"],
        objects: &["arn:aws:iam::*:role/dr-*-{suffix}", "arn:aws:iam::*:role/drctl-apigateway-logs-*"],
        conditions: &[when(
            "StringEquals",
            "iam:PassedToService",
            &[
                "lambda.amazonaws.com",
                "apigateway.amazonaws.com",
                "backup.amazonaws.com",
                "events.amazonaws.com",
                "s3.amazonaws.com",
                "vpc-flow-logs.amazonaws.com",
            ],
        )],
    },
    Reach {
        name: "ServiceLinkedRoles",
        actions: &["iam:CreateServiceLinkedRole"],
        objects: &["arn:aws:iam::*:role/aws-service-role/*"],
        conditions: &[when(
            "StringEquals",
            "iam:AWSServiceName",
            &[
                "backup.amazonaws.com",
                "elasticloadbalancing.amazonaws.com",
                "globalaccelerator.amazonaws.com",
                "mrk.kms.amazonaws.com",
                "ops.apigateway.amazonaws.com",
                "rds.amazonaws.com",
                "replication.dynamodb.amazonaws.com",
            ],
        )],
    },
    Reach {
        // Needed right after a key was made, when authorization by its tags may lag behind. Every key is a multi-region one.
        name: "NewKeys",
        actions: &[
            "kms:CreateAlias",
            "kms:DeleteAlias",
            "kms:EnableKeyRotation",
            "kms:ReplicateKey",
            "kms:TagResource",
            "kms:UpdateAlias",
        ],
        objects: &["arn:aws:kms:*:*:alias/dr-payments-{suffix}", "arn:aws:kms:*:*:key/mrk-*"],
        conditions: &[],
    },
    Reach {
        name: "AllKeys",
        actions: &["kms:CreateKey", "kms:DescribeKey", "kms:Get*", "kms:List*"],
        objects: &["*"],
        conditions: &[],
    },
    Reach {
        // Only on behalf of the services that encrypt with our keys.
        name: "UsedKeys",
        actions: &["kms:CreateGrant", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:RetireGrant"],
        objects: &["arn:aws:kms:*:*:key/mrk-*"],
        conditions: &[when(
            "StringLike",
            "kms:ViaService",
            &[
                "backup.*.amazonaws.com",
                "dynamodb.*.amazonaws.com",
                "lambda.*.amazonaws.com",
                "rds.*.amazonaws.com",
                "secretsmanager.*.amazonaws.com",
                "sqs.*.amazonaws.com",
            ],
        )],
    },
    Reach { name: "OwnKeys", actions: &["kms:*"], objects: &["arn:aws:kms:*:*:key/mrk-*"], conditions: &[TAGGED] },
    Reach {
        name: "Functions",
        actions: &["lambda:*"],
        // Versions and aliases have the function's ARN with their names at the end.
        objects: &["arn:aws:lambda:*:*:function:dr-*-{suffix}", "arn:aws:lambda:*:*:function:dr-*-{suffix}:*"],
        conditions: &[],
    },
    Reach {
        name: "LogGroups",
        actions: &["logs:*"],
        objects: &[
            "arn:aws:logs:*:*:log-group:*dr-*-{suffix}",
            "arn:aws:logs:*:*:log-group:*dr-*-{suffix}:*",
            "arn:aws:logs:*:*:log-group:*dr-*-{suffix}/*",
        ],
        conditions: &[],
    },
    Reach {
        name: "AllLogGroups",
        actions: &["logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups"],
        objects: &["*"],
        conditions: &[],
    },
    Reach {
        // Instances use the default groups of options and parameters that come with the engine.
        name: "Databases",
        actions: &["rds:*"],
        objects: &[
            "arn:aws:rds:*:*:cluster:dr-*-{suffix}",
            "arn:aws:rds:*:*:cluster-pg:dr-*-{suffix}",
            "arn:aws:rds:*:*:db:dr-*-{suffix}",
            "arn:aws:rds:*:*:subgrp:dr-*-{suffix}",
            "arn:aws:rds::*:global-cluster:dr-*-{suffix}",
            "arn:aws:rds:*:*:cluster-snapshot:dr-*-{suffix}-final-*",
            "arn:aws:rds:*:*:og:default*",
            "arn:aws:rds:*:*:pg:default*",
        ],
        conditions: &[],
    },
    Reach { name: "AllDatabases", actions: &["rds:Describe*"], objects: &["*"], conditions: &[] },
    Reach {
        name: "Zones",
        actions: &["route53:*"],
        objects: &["arn:aws:route53:::change/*", "arn:aws:route53:::healthcheck/*", "arn:aws:route53:::hostedzone/*"],
        conditions: &[],
    },
    Reach {
        name: "AllZones",
        actions: &[
            "route53:CreateHealthCheck",
            "route53:CreateHostedZone",
            "route53:ListHealthChecks",
            "route53:ListHostedZonesByName",
        ],
        objects: &["*"],
        conditions: &[],
    },
    Reach {
        // The record that delegates our zone is in the zone above.
        name: "Records",
        actions: &["route53:ChangeResourceRecordSets"],
        objects: &["arn:aws:route53:::hostedzone/*"],
        conditions: &[when(
            "ForAllValues:StringLike",
            "route53:ChangeResourceRecordSetsNormalizedRecordNames",
            &["dr-payments-{suffix}.*", "*.dr-payments-{suffix}.*"],
        )],
    },
    Reach {
        name: "Buckets",
        actions: &["s3:*"],
        objects: &["arn:aws:s3:::dr-payment-data-*-{suffix}", "arn:aws:s3:::dr-payment-data-*-{suffix}/*"],
        conditions: &[],
    },
    Reach {
        name: "Secrets",
        actions: &["secretsmanager:*"],
        objects: &["arn:aws:secretsmanager:*:*:secret:dr-payments-{suffix}/*"],
        conditions: &[],
    },
    Reach { name: "Topics", actions: &["sns:*"], objects: &["arn:aws:sns:*:*:dr-*-{suffix}"], conditions: &[] },
    // AWS knows no ARN for the right to end a subscription.
    Reach { name: "Subscriptions", actions: &["sns:Unsubscribe"], objects: &["*"], conditions: &[] },
    Reach { name: "Queues", actions: &["sqs:*"], objects: &["arn:aws:sqs:*:*:dr-*-{suffix}"], conditions: &[] },
];

/// The places in which an action is named most exactly.
pub fn reaches(action: &str) -> Vec<&'static Reach> {
    let exactness =
        |reach: &Reach| reach.actions.iter().filter(|pattern| names(pattern, action)).map(|p| p.len()).max();
    let best = REACHES.iter().filter_map(exactness).max();
    match best {
        Some(best) => REACHES.iter().filter(|reach| exactness(reach) == Some(best)).collect(),
        None => vec![&EVERYTHING],
    }
}

fn names(pattern: &str, action: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => action.starts_with(start),
        None => pattern == action,
    }
}
