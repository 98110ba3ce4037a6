//! What takes time, in which states, and what AWS refuses meanwhile.

use crate::message::Request;
use crate::operation::Operation;
use crate::scenarios::durations::{self, Step};
use crate::scenarios::tree::{At, is};

/// A kind of object with states.
pub(super) struct Object {
    /// What it is, for the log.
    pub(super) name: &'static str,
    /// Whether all regions see the same one.
    pub(super) global: bool,
    /// What takes time.
    pub(super) starts: &'static [Start],
    /// Which answers tell of it.
    pub(super) views: &'static [View],
    /// What is refused while something is under way.
    pub(super) refused: &'static [Refused],
}

/// An operation whose effect takes time.
pub(super) struct Start {
    pub(super) operation: &'static str,
    /// Only for requests like this; of several that match the last one counts.
    pub(super) when: fn(&Request) -> bool,
    /// Which object it is about.
    pub(super) id: At,
    /// The parameter that names the object's region, when that is not the one called.
    pub(super) region: Option<&'static str>,
    /// The field that shows the state, within what a view finds.
    pub(super) field: &'static str,
    pub(super) state: &'static str,
    /// The state of the last tenth of the time.
    pub(super) finally: Option<&'static str>,
    pub(super) takes: Step,
    /// Where the answer describes what the emulator forgets with this call.
    pub(super) ghost: Option<&'static str>,
}

/// An answer that tells of objects.
pub(super) struct View {
    pub(super) operation: &'static str,
    /// Where the objects are.
    pub(super) path: &'static str,
    /// Where an object's id is.
    pub(super) id: At,
    /// The parameter by which the request asks for a single object.
    pub(super) asked: Option<&'static str>,
}

/// A call that AWS refuses while something is under way.
pub(super) struct Refused {
    pub(super) operation: &'static str,
    pub(super) id: At,
    /// Only in this state; in any without one.
    pub(super) during: Option<&'static str>,
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: &'static str,
}

impl Object {
    pub(super) fn concerns(&self, operation: &Operation) -> bool {
        self.starts.iter().any(|start| is(start.operation, operation))
            || self.views.iter().any(|view| is(view.operation, operation))
            || self.refused.iter().any(|refused| is(refused.operation, operation))
    }
}

const fn start(operation: &'static str, id: At, field: &'static str, state: &'static str, takes: Step) -> Start {
    Start { operation, when: |_| true, id, region: None, field, state, finally: None, takes, ghost: None }
}

const fn deletion(
    operation: &'static str,
    id: At,
    field: &'static str,
    state: &'static str,
    takes: Step,
    ghost: &'static str,
) -> Start {
    Start { ghost: Some(ghost), ..start(operation, id, field, state, takes) }
}

const fn view(operation: &'static str, path: &'static str, id: &'static str) -> View {
    View { operation, path, id: At::Answer(id), asked: None }
}

const fn named(operation: &'static str, path: &'static str, id: &'static str, asked: &'static str) -> View {
    View { operation, path, id: At::Answer(id), asked: Some(asked) }
}

const fn refused(operation: &'static str, id: &'static str, code: &'static str, message: &'static str) -> Refused {
    Refused { operation, id: At::Request(id), during: None, status: 400, code, message }
}

const fn function(operation: &'static str, during: &'static str, message: &'static str) -> Refused {
    Refused {
        operation,
        id: At::Segment(2),
        during: Some(during),
        status: 409,
        code: "ResourceConflictException",
        message,
    }
}

const PENDING_FUNCTION: &str =
    "The operation cannot be performed at this time. The function is currently in the following state: Pending";
const BUSY_FUNCTION: &str =
    "The operation cannot be performed at this time. An update is in progress for resource: {id}";
const BUSY_TABLE: &str = "Attempt to change a resource which is still in use: Table is being changed: {id}";
const BUSY_CLUSTER: &str = "DBCluster {id} is not currently in the available state (it is {state}).";
const BUSY_GLOBAL: &str = "Global cluster {id} is in state {state}, which does not allow this operation.";
const KEY_CREATING: &str = "{id} is creating.";

/// The deletion of an endpoint, which answers nothing about the endpoint.
pub(super) const VPC_ENDPOINT_DELETION: Start =
    start("ec2:DeleteVpcEndpoints", At::Request("VpcEndpointId.1"), "state", "deleting", durations::ENDPOINT_DELETED);

pub(super) const VPC_ENDPOINT: Object = Object {
    name: "vpc endpoint",
    global: false,
    starts: &[
        start(
            "ec2:CreateVpcEndpoint",
            At::Answer("vpcEndpoint/vpcEndpointId"),
            "state",
            "pending",
            durations::GATEWAY_ENDPOINT,
        ),
        Start {
            when: |request| request.form().get("VpcEndpointType") == Some("Interface"),
            ..start(
                "ec2:CreateVpcEndpoint",
                At::Answer("vpcEndpoint/vpcEndpointId"),
                "state",
                "pending",
                durations::INTERFACE_ENDPOINT,
            )
        },
    ],
    views: &[
        view("ec2:CreateVpcEndpoint", "vpcEndpoint", "vpcEndpointId"),
        named("ec2:DescribeVpcEndpoints", "vpcEndpointSet/item", "vpcEndpointId", "VpcEndpointId.1"),
    ],
    refused: &[],
};

pub(super) const CLUSTER: Object = Object {
    name: "cluster",
    global: false,
    starts: &[
        start(
            "rds:CreateDBCluster",
            At::Request("DBClusterIdentifier"),
            "Status",
            "creating",
            durations::CLUSTER_CREATED,
        ),
        Start {
            when: |request| {
                let form = request.form();
                form.get("GlobalClusterIdentifier").is_some() && form.get("MasterUsername").is_none()
            },
            ..start(
                "rds:CreateDBCluster",
                At::Request("DBClusterIdentifier"),
                "Status",
                "creating",
                durations::SECONDARY_CLUSTER_CREATED,
            )
        },
        start(
            "rds:ModifyDBCluster",
            At::Request("DBClusterIdentifier"),
            "Status",
            "modifying",
            durations::CLUSTER_MODIFIED,
        ),
        deletion(
            "rds:DeleteDBCluster",
            At::Request("DBClusterIdentifier"),
            "Status",
            "deleting",
            durations::CLUSTER_DELETED,
            "DeleteDBClusterResult/DBCluster",
        ),
    ],
    views: &[
        view("rds:CreateDBCluster", "CreateDBClusterResult/DBCluster", "DBClusterIdentifier"),
        view("rds:ModifyDBCluster", "ModifyDBClusterResult/DBCluster", "DBClusterIdentifier"),
        view("rds:DeleteDBCluster", "DeleteDBClusterResult/DBCluster", "DBClusterIdentifier"),
        named(
            "rds:DescribeDBClusters",
            "DescribeDBClustersResult/DBClusters/DBCluster",
            "DBClusterIdentifier",
            "DBClusterIdentifier",
        ),
    ],
    refused: &[
        refused("rds:ModifyDBCluster", "DBClusterIdentifier", "InvalidDBClusterStateFault", BUSY_CLUSTER),
        refused("rds:DeleteDBCluster", "DBClusterIdentifier", "InvalidDBClusterStateFault", BUSY_CLUSTER),
        refused("rds:RemoveFromGlobalCluster", "DbClusterIdentifier", "InvalidDBClusterStateFault", BUSY_CLUSTER),
    ],
};

pub(super) const INSTANCE: Object = Object {
    name: "instance",
    global: false,
    starts: &[
        Start {
            finally: Some("configuring-enhanced-monitoring"),
            ..start(
                "rds:CreateDBInstance",
                At::Request("DBInstanceIdentifier"),
                "DBInstanceStatus",
                "creating",
                durations::INSTANCE_CREATED,
            )
        },
        start(
            "rds:ModifyDBInstance",
            At::Request("DBInstanceIdentifier"),
            "DBInstanceStatus",
            "modifying",
            durations::INSTANCE_MODIFIED,
        ),
        deletion(
            "rds:DeleteDBInstance",
            At::Request("DBInstanceIdentifier"),
            "DBInstanceStatus",
            "deleting",
            durations::INSTANCE_DELETED,
            "DeleteDBInstanceResult/DBInstance",
        ),
    ],
    views: &[
        view("rds:CreateDBInstance", "CreateDBInstanceResult/DBInstance", "DBInstanceIdentifier"),
        view("rds:ModifyDBInstance", "ModifyDBInstanceResult/DBInstance", "DBInstanceIdentifier"),
        view("rds:DeleteDBInstance", "DeleteDBInstanceResult/DBInstance", "DBInstanceIdentifier"),
        named(
            "rds:DescribeDBInstances",
            "DescribeDBInstancesResult/DBInstances/DBInstance",
            "DBInstanceIdentifier",
            "DBInstanceIdentifier",
        ),
    ],
    refused: &[
        refused(
            "rds:ModifyDBInstance",
            "DBInstanceIdentifier",
            "InvalidDBInstanceState",
            "Database instance {id} is not in available state.",
        ),
        Refused {
            during: Some("deleting"),
            ..refused(
                "rds:DeleteDBInstance",
                "DBInstanceIdentifier",
                "InvalidDBInstanceState",
                "Instance {id} is already being deleted.",
            )
        },
    ],
};

pub(super) const GLOBAL_CLUSTER: Object = Object {
    name: "global cluster",
    global: true,
    starts: &[
        start(
            "rds:CreateGlobalCluster",
            At::Request("GlobalClusterIdentifier"),
            "Status",
            "creating",
            durations::GLOBAL_CLUSTER_CREATED,
        ),
        deletion(
            "rds:DeleteGlobalCluster",
            At::Request("GlobalClusterIdentifier"),
            "Status",
            "deleting",
            durations::GLOBAL_CLUSTER_DELETED,
            "DeleteGlobalClusterResult/GlobalCluster",
        ),
    ],
    views: &[
        view("rds:CreateGlobalCluster", "CreateGlobalClusterResult/GlobalCluster", "GlobalClusterIdentifier"),
        view("rds:DeleteGlobalCluster", "DeleteGlobalClusterResult/GlobalCluster", "GlobalClusterIdentifier"),
        named(
            "rds:DescribeGlobalClusters",
            "DescribeGlobalClustersResult/GlobalClusters/GlobalClusterMember",
            "GlobalClusterIdentifier",
            "GlobalClusterIdentifier",
        ),
    ],
    refused: &[
        refused("rds:CreateDBCluster", "GlobalClusterIdentifier", "InvalidGlobalClusterStateFault", BUSY_GLOBAL),
        refused("rds:ModifyGlobalCluster", "GlobalClusterIdentifier", "InvalidGlobalClusterStateFault", BUSY_GLOBAL),
        refused("rds:DeleteGlobalCluster", "GlobalClusterIdentifier", "InvalidGlobalClusterStateFault", BUSY_GLOBAL),
        refused(
            "rds:RemoveFromGlobalCluster",
            "GlobalClusterIdentifier",
            "InvalidGlobalClusterStateFault",
            BUSY_GLOBAL,
        ),
    ],
};

pub(super) const TABLE: Object = Object {
    name: "table",
    global: false,
    starts: &[
        start("dynamodb:CreateTable", At::Request("TableName"), "TableStatus", "CREATING", durations::TABLE_CREATED),
        start("dynamodb:UpdateTable", At::Request("TableName"), "TableStatus", "UPDATING", durations::TABLE_UPDATED),
        deletion(
            "dynamodb:DeleteTable",
            At::Request("TableName"),
            "TableStatus",
            "DELETING",
            durations::TABLE_DELETED,
            "TableDescription",
        ),
    ],
    views: &[
        view("dynamodb:CreateTable", "TableDescription", "TableName"),
        view("dynamodb:UpdateTable", "TableDescription", "TableName"),
        // A table that is on its way out answers another deletion with success (`ddb.delete.wait`).
        named("dynamodb:DeleteTable", "TableDescription", "TableName", "TableName"),
        named("dynamodb:DescribeTable", "Table", "TableName", "TableName"),
    ],
    refused: &[
        refused("dynamodb:CreateTable", "TableName", "ResourceInUseException", BUSY_TABLE),
        refused("dynamodb:UpdateTable", "TableName", "ResourceInUseException", BUSY_TABLE),
        Refused {
            during: Some("CREATING"),
            ..refused("dynamodb:DeleteTable", "TableName", "ResourceInUseException", BUSY_TABLE)
        },
        Refused {
            during: Some("UPDATING"),
            ..refused("dynamodb:DeleteTable", "TableName", "ResourceInUseException", BUSY_TABLE)
        },
        refused("dynamodb:UpdateTimeToLive", "TableName", "ResourceInUseException", BUSY_TABLE),
        Refused {
            during: Some("CREATING"),
            ..refused(
                "dynamodb:UpdateContinuousBackups",
                "TableName",
                "ContinuousBackupsUnavailableException",
                "Backups are being enabled for the table: {id}. Please retry later",
            )
        },
    ],
};

/// Everything that takes time.
pub(super) const OBJECTS: &[&Object] = &[
    &Object {
        name: "vpc",
        global: false,
        starts: &[start("ec2:CreateVpc", At::Answer("vpc/vpcId"), "state", "pending", durations::NETWORK)],
        views: &[view("ec2:CreateVpc", "vpc", "vpcId"), view("ec2:DescribeVpcs", "vpcSet/item", "vpcId")],
        refused: &[],
    },
    &Object {
        name: "subnet",
        global: false,
        starts: &[start("ec2:CreateSubnet", At::Answer("subnet/subnetId"), "state", "pending", durations::NETWORK)],
        views: &[
            view("ec2:CreateSubnet", "subnet", "subnetId"),
            view("ec2:DescribeSubnets", "subnetSet/item", "subnetId"),
        ],
        refused: &[],
    },
    &Object {
        name: "internet gateway",
        global: false,
        starts: &[start(
            "ec2:AttachInternetGateway",
            At::Request("InternetGatewayId"),
            "attachmentSet/item/state",
            "attaching",
            durations::ATTACHMENT,
        )],
        views: &[view("ec2:DescribeInternetGateways", "internetGatewaySet/item", "internetGatewayId")],
        refused: &[],
    },
    &Object {
        name: "route table association",
        global: false,
        starts: &[start(
            "ec2:AssociateRouteTable",
            At::Answer("associationId"),
            "associationState/state",
            "associating",
            durations::ASSOCIATION,
        )],
        views: &[view("ec2:DescribeRouteTables", "routeTableSet/item/associationSet/item", "routeTableAssociationId")],
        refused: &[],
    },
    &Object {
        name: "nat gateway",
        global: false,
        starts: &[
            start(
                "ec2:CreateNatGateway",
                At::Answer("natGateway/natGatewayId"),
                "state",
                "pending",
                durations::NAT_GATEWAY_CREATED,
            ),
            // The emulator keeps the deleted gateway, as AWS does for an hour.
            start(
                "ec2:DeleteNatGateway",
                At::Request("NatGatewayId"),
                "state",
                "deleting",
                durations::NAT_GATEWAY_DELETED,
            ),
        ],
        views: &[
            view("ec2:CreateNatGateway", "natGateway", "natGatewayId"),
            view("ec2:DescribeNatGateways", "natGatewaySet/item", "natGatewayId"),
        ],
        refused: &[],
    },
    &VPC_ENDPOINT,
    &Object {
        name: "load balancer",
        global: false,
        starts: &[start(
            "elasticloadbalancing:CreateLoadBalancer",
            At::Answer("CreateLoadBalancerResult/LoadBalancers/member/LoadBalancerArn"),
            "State/Code",
            "provisioning",
            durations::LOAD_BALANCER_ACTIVE,
        )],
        views: &[
            view(
                "elasticloadbalancing:CreateLoadBalancer",
                "CreateLoadBalancerResult/LoadBalancers/member",
                "LoadBalancerArn",
            ),
            view(
                "elasticloadbalancing:DescribeLoadBalancers",
                "DescribeLoadBalancersResult/LoadBalancers/member",
                "LoadBalancerArn",
            ),
        ],
        refused: &[],
    },
    &Object {
        name: "function",
        global: false,
        starts: &[
            start("lambda:CreateFunction", At::Answer("FunctionName"), "State", "Pending", durations::FUNCTION_ACTIVE),
            Start {
                when: |request| !request.json()["VpcConfig"]["SubnetIds"][0].is_null(),
                ..start(
                    "lambda:CreateFunction",
                    At::Answer("FunctionName"),
                    "State",
                    "Pending",
                    durations::NETWORK_FUNCTION_ACTIVE,
                )
            },
            start(
                "lambda:UpdateFunctionCode",
                At::Answer("FunctionName"),
                "LastUpdateStatus",
                "InProgress",
                durations::FUNCTION_UPDATED,
            ),
            start(
                "lambda:UpdateFunctionConfiguration",
                At::Answer("FunctionName"),
                "LastUpdateStatus",
                "InProgress",
                durations::FUNCTION_UPDATED,
            ),
        ],
        views: &[
            view("lambda:CreateFunction", "", "FunctionName"),
            view("lambda:UpdateFunctionCode", "", "FunctionName"),
            view("lambda:UpdateFunctionConfiguration", "", "FunctionName"),
            view("lambda:GetFunction", "Configuration", "FunctionName"),
            view("lambda:GetFunctionConfiguration", "", "FunctionName"),
        ],
        refused: &[
            function("lambda:UpdateFunctionCode", "Pending", PENDING_FUNCTION),
            function("lambda:UpdateFunctionConfiguration", "Pending", PENDING_FUNCTION),
            function("lambda:UpdateFunctionCode", "InProgress", BUSY_FUNCTION),
            function("lambda:UpdateFunctionConfiguration", "InProgress", BUSY_FUNCTION),
        ],
    },
    &TABLE,
    &Object {
        name: "continuous backups",
        global: false,
        starts: &[start(
            "dynamodb:UpdateContinuousBackups",
            At::Request("TableName"),
            "PointInTimeRecoveryDescription/PointInTimeRecoveryStatus",
            "DISABLED",
            durations::BACKUPS_SET,
        )],
        views: &[View {
            operation: "dynamodb:DescribeContinuousBackups",
            path: "ContinuousBackupsDescription",
            id: At::Request("TableName"),
            asked: None,
        }],
        refused: &[],
    },
    &GLOBAL_CLUSTER,
    &CLUSTER,
    &INSTANCE,
    &Object {
        name: "replica key",
        global: false,
        starts: &[Start {
            region: Some("ReplicaRegion"),
            ..start(
                "kms:ReplicateKey",
                At::Answer("ReplicaKeyMetadata/KeyId"),
                "KeyState",
                "Creating",
                durations::REPLICA_KEY_ENABLED,
            )
        }],
        views: &[
            view("kms:DescribeKey", "KeyMetadata", "KeyId"),
            view("kms:ReplicateKey", "ReplicaKeyMetadata", "KeyId"),
        ],
        refused: &[
            refused("kms:PutKeyPolicy", "KeyId", "KMSInvalidStateException", KEY_CREATING),
            refused("kms:TagResource", "KeyId", "KMSInvalidStateException", KEY_CREATING),
            refused("kms:CreateAlias", "TargetKeyId", "KMSInvalidStateException", KEY_CREATING),
            refused("kms:ScheduleKeyDeletion", "KeyId", "KMSInvalidStateException", KEY_CREATING),
        ],
    },
    &Object {
        name: "dns change",
        global: true,
        starts: &[
            start(
                "route53:ChangeResourceRecordSets",
                At::Answer("ChangeInfo/Id"),
                "Status",
                "PENDING",
                durations::CHANGE_IN_SYNC,
            ),
            start(
                "route53:CreateHostedZone",
                At::Answer("ChangeInfo/Id"),
                "Status",
                "PENDING",
                durations::CHANGE_IN_SYNC,
            ),
        ],
        views: &[
            view("route53:ChangeResourceRecordSets", "ChangeInfo", "Id"),
            view("route53:CreateHostedZone", "ChangeInfo", "Id"),
            view("route53:GetChange", "ChangeInfo", "Id"),
        ],
        refused: &[],
    },
    &Object {
        name: "archive",
        global: false,
        starts: &[
            start("events:CreateArchive", At::Request("ArchiveName"), "State", "CREATING", durations::ARCHIVE_ENABLED),
            start("events:UpdateArchive", At::Request("ArchiveName"), "State", "UPDATING", durations::ARCHIVE_ENABLED),
        ],
        views: &[
            View { operation: "events:CreateArchive", path: "", id: At::Request("ArchiveName"), asked: None },
            View { operation: "events:UpdateArchive", path: "", id: At::Request("ArchiveName"), asked: None },
            view("events:DescribeArchive", "", "ArchiveName"),
            view("events:ListArchives", "Archives", "ArchiveName"),
        ],
        refused: &[],
    },
    &Object {
        name: "secret replica",
        global: false,
        starts: &[
            start(
                "secretsmanager:ReplicateSecretToRegions",
                At::Answer("ARN"),
                "ReplicationStatus/Status",
                "InProgress",
                durations::SECRET_REPLICATED,
            ),
            Start {
                when: |request| !request.json()["AddReplicaRegions"][0].is_null(),
                ..start(
                    "secretsmanager:CreateSecret",
                    At::Answer("ARN"),
                    "ReplicationStatus/Status",
                    "InProgress",
                    durations::SECRET_REPLICATED,
                )
            },
        ],
        views: &[
            view("secretsmanager:CreateSecret", "", "ARN"),
            view("secretsmanager:ReplicateSecretToRegions", "", "ARN"),
            view("secretsmanager:DescribeSecret", "", "ARN"),
        ],
        refused: &[],
    },
    &Object {
        name: "custom domain",
        global: false,
        starts: &[
            start(
                "apigateway:CreateDomainName",
                At::Answer("domainName"),
                "domainNameStatus",
                "PENDING",
                durations::DOMAIN_AVAILABLE,
            ),
            start(
                "apigateway:UpdateDomainName",
                At::Answer("domainName"),
                "domainNameStatus",
                "UPDATING",
                durations::DOMAIN_UPDATED,
            ),
        ],
        views: &[
            view("apigateway:CreateDomainName", "", "domainName"),
            view("apigateway:UpdateDomainName", "", "domainName"),
            view("apigateway:GetDomainName", "", "domainName"),
            view("apigateway:GetDomainNames", "item", "domainName"),
        ],
        refused: &[],
    },
];
