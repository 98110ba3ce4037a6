//! What was created a moment ago is not seen everywhere. AWS's answers come from several copies: the new object is not found, then
//! found, then at times not found again; calls that name it are refused as if it did not exist; lists lack it; and the index of
//! tags lags minutes behind.
//!
//! Deletions are never refused: whoever deletes what was created a moment ago has its id, and AWS does find it.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;

use super::tree::{At, Tree, is};
use super::{Given, Outcome, Scenario, durations};
use crate::corrections::{Call, Memory};
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::refusal::refusal;

/// See the module. Objects are remembered by service, region, kind and id.
pub(super) struct EventualReads {
    given: Given,
    made: Memory<Sight>,
}

/// When a new object is seen.
#[derive(Clone, Debug)]
struct Sight {
    id: String,
    /// Not before this.
    first: Duration,
    /// Not in this span either.
    again: Option<(Duration, Duration)>,
    /// Not before this in the index of tags.
    indexed: Duration,
}

impl Sight {
    fn is_hidden(&self, now: Duration) -> bool {
        now < self.first || self.again.is_some_and(|(from, to)| from <= now && now < to)
    }
}

/// A kind of object, as far as it lags.
struct Kind {
    name: &'static str,
    /// Whether all regions see the same one.
    global: bool,
    /// What makes one, and where its id is.
    made_by: &'static [(&'static str, At)],
    /// Calls that do not find it.
    missed_by: &'static [Missed],
    /// Lists that lack it: operation, where the objects are, where each has its id.
    lists: &'static [(&'static str, &'static str, &'static str)],
}

/// A call that does not find a new object.
struct Missed(&'static str, At, u16, &'static str);

const fn kind(name: &'static str, made_by: &'static [(&'static str, At)]) -> Kind {
    Kind { name, global: false, made_by, missed_by: &[], lists: &[] }
}

const KINDS: &[Kind] = &[
    // EC2 names its objects in parameters of many calls; `EC2` says how it refuses them.
    Kind {
        lists: &[("ec2:DescribeVpcs", "vpcSet/item", "vpcId")],
        ..kind("vpc", &[("ec2:CreateVpc", At::Answer("vpc/vpcId"))])
    },
    Kind {
        lists: &[("ec2:DescribeSubnets", "subnetSet/item", "subnetId")],
        ..kind("subnet", &[("ec2:CreateSubnet", At::Answer("subnet/subnetId"))])
    },
    Kind {
        lists: &[("ec2:DescribeInternetGateways", "internetGatewaySet/item", "internetGatewayId")],
        ..kind("internet gateway", &[("ec2:CreateInternetGateway", At::Answer("internetGateway/internetGatewayId"))])
    },
    Kind {
        lists: &[("ec2:DescribeAddresses", "addressesSet/item", "allocationId")],
        ..kind("address", &[("ec2:AllocateAddress", At::Answer("allocationId"))])
    },
    Kind {
        lists: &[("ec2:DescribeNatGateways", "natGatewaySet/item", "natGatewayId")],
        ..kind("nat gateway", &[("ec2:CreateNatGateway", At::Answer("natGateway/natGatewayId"))])
    },
    Kind {
        lists: &[("ec2:DescribeRouteTables", "routeTableSet/item", "routeTableId")],
        ..kind("route table", &[("ec2:CreateRouteTable", At::Answer("routeTable/routeTableId"))])
    },
    Kind {
        lists: &[("ec2:DescribeSecurityGroups", "securityGroupInfo/item", "groupId")],
        ..kind("security group", &[("ec2:CreateSecurityGroup", At::Answer("groupId"))])
    },
    Kind {
        lists: &[("ec2:DescribeVpcEndpoints", "vpcEndpointSet/item", "vpcEndpointId")],
        ..kind("vpc endpoint", &[("ec2:CreateVpcEndpoint", At::Answer("vpcEndpoint/vpcEndpointId"))])
    },
    Kind {
        lists: &[("ec2:DescribeFlowLogs", "flowLogSet/item", "flowLogId")],
        ..kind("flow log", &[("ec2:CreateFlowLogs", At::Answer("flowLogIdSet/item"))])
    },
    Kind {
        missed_by: &[
            Missed("kms:DescribeKey", At::Request("KeyId"), 400, "NotFoundException"),
            Missed("kms:GetKeyPolicy", At::Request("KeyId"), 400, "NotFoundException"),
            Missed("kms:PutKeyPolicy", At::Request("KeyId"), 400, "NotFoundException"),
            Missed("kms:EnableKeyRotation", At::Request("KeyId"), 400, "NotFoundException"),
            Missed("kms:GetKeyRotationStatus", At::Request("KeyId"), 400, "NotFoundException"),
            Missed("kms:ListResourceTags", At::Request("KeyId"), 400, "NotFoundException"),
            Missed("kms:TagResource", At::Request("KeyId"), 400, "NotFoundException"),
            Missed("kms:ReplicateKey", At::Request("KeyId"), 400, "NotFoundException"),
            Missed("kms:CreateAlias", At::Request("TargetKeyId"), 400, "NotFoundException"),
        ],
        lists: &[("kms:ListKeys", "Keys", "KeyId")],
        ..kind("key", &[("kms:CreateKey", At::Answer("KeyMetadata/KeyId"))])
    },
    Kind {
        lists: &[("kms:ListAliases", "Aliases", "AliasName")],
        ..kind("alias", &[("kms:CreateAlias", At::Request("AliasName"))])
    },
    Kind {
        global: true,
        missed_by: &[
            Missed("iam:GetRole", At::Request("RoleName"), 404, "NoSuchEntity"),
            Missed("iam:PutRolePolicy", At::Request("RoleName"), 404, "NoSuchEntity"),
        ],
        lists: &[
            ("iam:ListRoles", "ListRolesResult/Roles/member", "RoleName"),
            (
                "iam:GetAccountAuthorizationDetails",
                "GetAccountAuthorizationDetailsResult/RoleDetailList/member",
                "RoleName",
            ),
        ],
        ..kind("role", &[("iam:CreateRole", At::Request("RoleName"))])
    },
    Kind {
        missed_by: &[
            Missed("lambda:GetFunction", At::Segment(2), 404, "ResourceNotFoundException"),
            Missed("lambda:GetFunctionConfiguration", At::Segment(2), 404, "ResourceNotFoundException"),
            Missed("lambda:AddPermission", At::Segment(2), 404, "ResourceNotFoundException"),
            Missed("lambda:GetPolicy", At::Segment(2), 404, "ResourceNotFoundException"),
        ],
        lists: &[("lambda:ListFunctions", "Functions", "FunctionName")],
        ..kind("function", &[("lambda:CreateFunction", At::Answer("FunctionName"))])
    },
    Kind {
        missed_by: &[Missed("logs:PutRetentionPolicy", At::Request("logGroupName"), 400, "ResourceNotFoundException")],
        lists: &[("logs:DescribeLogGroups", "logGroups", "logGroupName")],
        ..kind("log group", &[("logs:CreateLogGroup", At::Request("logGroupName"))])
    },
    Kind {
        missed_by: &[
            Missed("dynamodb:DescribeTable", At::Request("TableName"), 400, "ResourceNotFoundException"),
            Missed("dynamodb:DescribeContinuousBackups", At::Request("TableName"), 400, "TableNotFoundException"),
        ],
        ..kind("table", &[("dynamodb:CreateTable", At::Request("TableName"))])
    },
    Kind {
        missed_by: &[Missed(
            "rds:DescribeDBClusters",
            At::Request("DBClusterIdentifier"),
            404,
            "DBClusterNotFoundFault",
        )],
        lists: &[("rds:DescribeDBClusters", "DescribeDBClustersResult/DBClusters/DBCluster", "DBClusterIdentifier")],
        ..kind("cluster", &[("rds:CreateDBCluster", At::Request("DBClusterIdentifier"))])
    },
    Kind {
        missed_by: &[Missed("rds:DescribeDBInstances", At::Request("DBInstanceIdentifier"), 404, "DBInstanceNotFound")],
        lists: &[(
            "rds:DescribeDBInstances",
            "DescribeDBInstancesResult/DBInstances/DBInstance",
            "DBInstanceIdentifier",
        )],
        ..kind("instance", &[("rds:CreateDBInstance", At::Request("DBInstanceIdentifier"))])
    },
    Kind {
        global: true,
        missed_by: &[Missed(
            "rds:DescribeGlobalClusters",
            At::Request("GlobalClusterIdentifier"),
            404,
            "GlobalClusterNotFoundFault",
        )],
        lists: &[(
            "rds:DescribeGlobalClusters",
            "DescribeGlobalClustersResult/GlobalClusters/GlobalClusterMember",
            "GlobalClusterIdentifier",
        )],
        ..kind("global cluster", &[("rds:CreateGlobalCluster", At::Request("GlobalClusterIdentifier"))])
    },
    Kind {
        missed_by: &[
            Missed("s3:HeadBucket", At::Segment(0), 404, "NoSuchBucket"),
            Missed("s3:GetBucketTagging", At::Segment(0), 404, "NoSuchBucket"),
            Missed("s3:PutBucketTagging", At::Segment(0), 404, "NoSuchBucket"),
            Missed("s3:PutPublicAccessBlock", At::Segment(0), 404, "NoSuchBucket"),
            Missed("s3:PutBucketOwnershipControls", At::Segment(0), 404, "NoSuchBucket"),
            Missed("s3:PutBucketVersioning", At::Segment(0), 404, "NoSuchBucket"),
            Missed("s3:PutBucketEncryption", At::Segment(0), 404, "NoSuchBucket"),
            Missed("s3:PutBucketPolicy", At::Segment(0), 404, "NoSuchBucket"),
            Missed("s3:PutBucketLifecycleConfiguration", At::Segment(0), 404, "NoSuchBucket"),
            Missed("s3:PutBucketReplication", At::Segment(0), 404, "NoSuchBucket"),
        ],
        ..kind("bucket", &[("s3:CreateBucket", At::Segment(0))])
    },
    Kind {
        missed_by: &[
            Missed("sqs:GetQueueUrl", At::Request("QueueName"), 400, "AWS.SimpleQueueService.NonExistentQueue"),
            Missed("sqs:GetQueueAttributes", At::Request("QueueUrl"), 400, "AWS.SimpleQueueService.NonExistentQueue"),
            Missed("sqs:SetQueueAttributes", At::Request("QueueUrl"), 400, "AWS.SimpleQueueService.NonExistentQueue"),
        ],
        ..kind("queue", &[("sqs:CreateQueue", At::Request("QueueName"))])
    },
    Kind {
        missed_by: &[
            Missed("sns:GetTopicAttributes", At::Request("TopicArn"), 404, "NotFound"),
            Missed("sns:SetTopicAttributes", At::Request("TopicArn"), 404, "NotFound"),
            Missed("sns:Subscribe", At::Request("TopicArn"), 404, "NotFound"),
        ],
        ..kind("topic", &[("sns:CreateTopic", At::Request("Name"))])
    },
    Kind {
        missed_by: &[
            Missed("events:DescribeEventBus", At::Request("Name"), 400, "ResourceNotFoundException"),
            Missed("events:PutRule", At::Request("EventBusName"), 400, "ResourceNotFoundException"),
            Missed("events:CreateArchive", At::Request("EventSourceArn"), 400, "ResourceNotFoundException"),
        ],
        ..kind("event bus", &[("events:CreateEventBus", At::Request("Name"))])
    },
    Kind {
        missed_by: &[
            Missed("events:DescribeRule", At::Request("Name"), 400, "ResourceNotFoundException"),
            Missed("events:PutTargets", At::Request("Rule"), 400, "ResourceNotFoundException"),
        ],
        lists: &[("events:ListRules", "Rules", "Name")],
        ..kind("rule", &[("events:PutRule", At::Request("Name"))])
    },
    Kind {
        missed_by: &[
            Missed(
                "elasticloadbalancing:DescribeLoadBalancers",
                At::Request("LoadBalancerArns.member.1"),
                400,
                LOAD_BALANCER,
            ),
            Missed(
                "elasticloadbalancing:ModifyLoadBalancerAttributes",
                At::Request("LoadBalancerArn"),
                400,
                LOAD_BALANCER,
            ),
            Missed("elasticloadbalancing:CreateListener", At::Request("LoadBalancerArn"), 400, LOAD_BALANCER),
        ],
        ..kind(
            "load balancer",
            &[(
                "elasticloadbalancing:CreateLoadBalancer",
                At::Answer("CreateLoadBalancerResult/LoadBalancers/member/LoadBalancerArn"),
            )],
        )
    },
    Kind {
        missed_by: &[
            Missed(
                "elasticloadbalancing:DescribeTargetGroups",
                At::Request("TargetGroupArns.member.1"),
                400,
                TARGET_GROUP,
            ),
            Missed("elasticloadbalancing:RegisterTargets", At::Request("TargetGroupArn"), 400, TARGET_GROUP),
        ],
        ..kind(
            "target group",
            &[(
                "elasticloadbalancing:CreateTargetGroup",
                At::Answer("CreateTargetGroupResult/TargetGroups/member/TargetGroupArn"),
            )],
        )
    },
    Kind {
        missed_by: &[Missed(
            "acm:DescribeCertificate",
            At::Request("CertificateArn"),
            400,
            "ResourceNotFoundException",
        )],
        lists: &[("acm:ListCertificates", "CertificateSummaryList", "CertificateArn")],
        ..kind("certificate", &[("acm:RequestCertificate", At::Answer("CertificateArn"))])
    },
    Kind {
        global: true,
        missed_by: &[
            Missed("route53:GetHostedZone", At::Segment(2), 404, "NoSuchHostedZone"),
            Missed("route53:ChangeResourceRecordSets", At::Segment(2), 404, "NoSuchHostedZone"),
            Missed("route53:ChangeTagsForResource", At::Segment(3), 404, "NoSuchHostedZone"),
        ],
        ..kind("hosted zone", &[("route53:CreateHostedZone", At::Answer("HostedZone/Id"))])
    },
    Kind {
        missed_by: &[Missed("apigateway:CreateBasePathMapping", At::Segment(1), 404, "NotFoundException")],
        ..kind("custom domain", &[("apigateway:CreateDomainName", At::Request("domainName"))])
    },
];

const LOAD_BALANCER: &str = "LoadBalancerNotFound";
const TARGET_GROUP: &str = "TargetGroupNotFound";

/// How EC2 refuses an id that it does not know: the id's beginning, the usual code, and other spellings by operation.
type Unknown = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const EC2: [Unknown; 9] = [
    (
        "vpc-",
        "InvalidVpcID.NotFound",
        &[("CreateFlowLogs", "InvalidVpcId.NotFound"), ("CreateVpcEndpoint", "InvalidVpcId.NotFound")],
    ),
    ("subnet-", "InvalidSubnetID.NotFound", &[("CreateVpcEndpoint", "InvalidSubnetId.NotFound")]),
    ("igw-", "InvalidInternetGatewayID.NotFound", &[("CreateRoute", "InvalidGatewayID.NotFound")]),
    ("eipalloc-", "InvalidAllocationID.NotFound", &[]),
    ("nat-", "NatGatewayNotFound", &[("CreateRoute", "InvalidNatGatewayID.NotFound")]),
    ("rtb-", "InvalidRouteTableID.NotFound", &[("CreateVpcEndpoint", "InvalidRouteTableId.NotFound")]),
    ("sg-", "InvalidGroup.NotFound", &[("CreateVpcEndpoint", "InvalidSecurityGroupID.NotFound")]),
    ("vpce-", "InvalidVpcEndpointId.NotFound", &[]),
    ("fl-", "InvalidFlowLogId.NotFound", &[]),
];

/// EC2 takes these with an id it cannot see yet: a gateway would fail afterwards, tags are kept for whatever comes.
const TAKEN_ON_TRUST: [&str; 2] = ["CreateNatGateway", "CreateTags"];

/// How load balancers refuse what EC2 made a moment ago.
const BALANCED: [(&str, &str); 2] = [("subnet-", "SubnetNotFound"), ("sg-", "InvalidSecurityGroup")];

impl EventualReads {
    pub(super) fn new(given: &Given) -> Self {
        Self { given: given.clone(), made: Memory::default() }
    }

    /// Takes note of a creation.
    fn learn(&self, operation: &Operation, request: &Request, answer: Option<&Tree>) {
        for kind in KINDS {
            let made_by = kind.made_by.iter().find(|(name, _)| is(name, operation));
            let Some(id) = made_by.and_then(|(_, at)| at.find(request, answer)) else { continue };
            let key = key(kind, &operation.region, &id);
            // The calls that make some kinds also change what is there, which stays seen.
            if self.made.get(&key).is_some() {
                continue;
            }
            let region = operation.region.as_str();
            let draw = |step: durations::Step| step.draw(&self.given, region);
            let now = self.given.clock.now();
            let first = now + draw(durations::VISIBLE);
            let is_lost = self.given.dice.happens(&format!("{region}/{} lost", kind.name), 1.0 / 3.0);
            let lost = first + draw(durations::LOST_AGAIN);
            let again = is_lost.then(|| (lost, lost + draw(durations::VISIBLE_AGAIN)));
            self.made.set(key, Sight { id, first, again, indexed: now + draw(durations::TAGS_INDEXED) });
        }
    }

    /// What is said to a call that names what is not seen: the status, the code and the id.
    fn objection(&self, operation: &Operation, request: &Request) -> Option<(StatusCode, &'static str, String)> {
        for kind in KINDS {
            for Missed(name, at, status, code) in kind.missed_by {
                if is(name, operation)
                    && let Some(id) = at.find(request, None)
                    && self.is_hidden(kind, &operation.region, &id)
                {
                    return Some((StatusCode::from_u16(*status).expect("the table holds statuses"), code, id));
                }
            }
        }
        let is_balancer = is("elasticloadbalancing:CreateLoadBalancer", operation);
        if !(operation.service == "ec2" || is_balancer) || undoes(operation) {
            return None;
        }
        let form = request.form();
        let named = form.0.iter().filter(|(name, _)| !name.starts_with("Filter."));
        for (_, id) in named {
            let code = if is_balancer {
                BALANCED.iter().find(|(start, _)| id.starts_with(start)).map(|(_, code)| *code)
            } else {
                let unknown = EC2.iter().find(|(start, ..)| id.starts_with(start));
                unknown.map(|(_, usual, others)| {
                    let other = others.iter().find(|(name, _)| *name == operation.name);
                    other.map_or(*usual, |(_, code)| *code)
                })
            };
            let is_hidden =
                || KINDS.iter().filter(|kind| kind.is_of_ec2()).any(|kind| self.is_hidden(kind, &operation.region, id));
            if let Some(code) = code.filter(|_| is_hidden()) {
                return Some((StatusCode::BAD_REQUEST, code, id.clone()));
            }
        }
        None
    }

    fn is_hidden(&self, kind: &Kind, region: &str, id: &str) -> bool {
        let now = self.given.clock.now();
        self.made.get(&key(kind, region, id)).is_some_and(|sight| sight.is_hidden(now))
    }

    /// Takes out of a list what is not seen yet.
    fn show(&self, operation: &Operation, mut answer: Response) -> Response {
        let lists = KINDS.iter().flat_map(|kind| kind.lists.iter().map(move |list| (kind, list)));
        let lists: Vec<_> = lists.filter(|(_, (name, ..))| is(name, operation)).collect();
        let is_index = is("tagging:GetResources", operation);
        if !answer.status.is_success() || (lists.is_empty() && !is_index) {
            return answer;
        }
        let Some(mut tree) = Tree::of(&answer) else { return answer };
        for (kind, (_, path, field)) in lists {
            tree.retain(path, &|part| {
                let id = part.text(field).unwrap_or_default();
                !self.is_hidden(kind, &operation.region, super::tree::bare(&id))
            });
        }
        if is_index {
            let now = self.given.clock.now();
            let unindexed: Vec<Sight> = self.made.values().into_iter().filter(|sight| now < sight.indexed).collect();
            tree.retain("ResourceTagMappingList", &|part| {
                let arn = part.text("ResourceARN").unwrap_or_default();
                !unindexed.iter().any(|sight| arn.split([':', '/']).any(|part| part == sight.id))
            });
        }
        tree.write(&mut answer);
        answer
    }
}

impl Kind {
    fn is_of_ec2(&self) -> bool {
        self.made_by.iter().any(|(name, _)| name.starts_with("ec2:"))
    }

    fn concerns(&self, operation: &Operation) -> bool {
        self.made_by.iter().any(|(name, _)| is(name, operation))
            || self.missed_by.iter().any(|Missed(name, ..)| is(name, operation))
            || self.lists.iter().any(|(name, ..)| is(name, operation))
    }
}

#[async_trait]
impl Scenario for EventualReads {
    fn name(&self) -> &'static str {
        "eventual-reads"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        operation.service == "ec2"
            || is("tagging:GetResources", operation)
            || is("elasticloadbalancing:CreateLoadBalancer", operation)
            || KINDS.iter().any(|kind| kind.concerns(operation))
    }

    async fn before(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Outcome>, Error> {
        Ok(self
            .objection(call.operation, request)
            .map(|(status, code, id)| Outcome::Answer(refusal(call, status, code, &format!("'{id}' does not exist")))))
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        if answer.status.is_success() && call.operation.is_mutating() {
            self.learn(call.operation, call.original, Tree::of(&answer).as_ref());
        }
        Ok(Outcome::Answer(self.show(call.operation, answer)))
    }
}

/// Tells whether a call of EC2 finds every object there is.
fn undoes(operation: &Operation) -> bool {
    ["Delete", "Release", "Detach", "Disassociate"].iter().any(|start| operation.name.starts_with(start))
        || TAKEN_ON_TRUST.contains(&operation.name.as_str())
}

fn key(kind: &Kind, region: &str, id: &str) -> String {
    format!("{}/{}/{id}", if kind.global { "global" } else { region }, kind.name)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};
    use serde_json::json;

    use super::*;
    use crate::scenarios::tests::{given, operation};

    fn scenario() -> EventualReads {
        EventualReads::new(&given(1))
    }

    fn request(body: &str) -> Request {
        Request::new(Method::POST, "/".parse().unwrap(), HeaderMap::new(), body.to_owned().into())
    }

    fn answer(body: &str) -> Response {
        Response { status: StatusCode::OK, headers: HeaderMap::new(), body: body.to_owned().into() }
    }

    fn make_vpc(reads: &EventualReads) {
        let created = Tree::of(&answer("<R><vpc><vpcId>vpc-1</vpcId></vpc></R>"));
        reads.learn(&operation("ec2:CreateVpc"), &request("Action=CreateVpc"), created.as_ref());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_network_is_in_no_list_and_no_call_may_name_it() {
        let reads = scenario();
        make_vpc(&reads);
        let list = || {
            let all = "<R><vpcSet><item><vpcId>vpc-0</vpcId></item><item><vpcId>vpc-1</vpcId></item></vpcSet></R>";
            let mut ids = Vec::new();
            let shown = reads.show(&operation("ec2:DescribeVpcs"), answer(all));
            Tree::of(&shown).unwrap().each("vpcSet/item/vpcId", &mut |id| ids.push(id.text("").unwrap()));
            ids
        };
        let says = |name: &str, body: &str| reads.objection(&operation(name), &request(body)).map(|(_, code, _)| code);
        assert_eq!(list(), ["vpc-0"]);
        assert_eq!(says("ec2:CreateSubnet", "VpcId=vpc-1"), Some("InvalidVpcID.NotFound"));
        assert_eq!(says("ec2:CreateVpcEndpoint", "VpcId=vpc-1"), Some("InvalidVpcId.NotFound"));
        assert_eq!(says("ec2:CreateSubnet", "VpcId=vpc-0"), None);
        assert_eq!(says("ec2:DescribeSubnets", "Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1"), None);
        assert_eq!(says("ec2:DeleteVpc", "VpcId=vpc-1"), None);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(list(), ["vpc-0", "vpc-1"]);
        assert_eq!(says("ec2:CreateSubnet", "VpcId=vpc-1"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn some_objects_are_found_and_then_lost_again() {
        let reads = scenario();
        let is_hidden = |id: &str| {
            let get = request(&json!({ "KeyId": format!("arn:aws:kms:us-east-1:0:key/{id}") }).to_string());
            reads.objection(&operation("kms:DescribeKey"), &get).is_some()
        };
        let ids: Vec<String> = (0..30).map(|index| format!("k{index}")).collect();
        for id in &ids {
            let created = Tree::Json(json!({ "KeyMetadata": { "KeyId": id } }));
            reads.learn(&operation("kms:CreateKey"), &request("{}"), Some(&created));
        }
        let mut seen = vec![false; ids.len()];
        let mut lost = 0;
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            for (index, id) in ids.iter().enumerate() {
                let hidden = is_hidden(id);
                lost += usize::from(seen[index] && hidden);
                seen[index] = !hidden;
            }
        }
        assert!(seen.iter().all(|seen| *seen));
        assert!((1..=20).contains(&lost), "{lost} of {}", ids.len());
    }

    #[tokio::test(start_paused = true)]
    async fn the_index_of_tags_lags_behind_the_objects() {
        let reads = scenario();
        make_vpc(&reads);
        let index = || {
            let all = json!({ "ResourceTagMappingList": [{ "ResourceARN": "arn:aws:ec2:us-east-1:0:vpc/vpc-1" }] });
            let shown = reads.show(&operation("tagging:GetResources"), answer(&all.to_string()));
            shown.json_body()["ResourceTagMappingList"].as_array().unwrap().len()
        };
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(index(), 0);
        tokio::time::sleep(Duration::from_secs(180)).await;
        assert_eq!(index(), 1);
    }

    #[test]
    fn every_operation_is_named_as_calls_are_named() {
        for kind in KINDS {
            let made = kind.made_by.iter().map(|(name, _)| *name);
            let missed = kind.missed_by.iter().map(|Missed(name, ..)| *name);
            for name in made.chain(missed).chain(kind.lists.iter().map(|(name, ..)| *name)) {
                let (service, operation) = name.split_once(':').expect("service:Operation");
                assert_eq!(service, service.to_lowercase(), "{}", kind.name);
                assert!(operation.starts_with(char::is_uppercase), "{}", kind.name);
            }
        }
    }
}
