//! The kinds: what drctl knows about each type of AWS object, one file per kind.
//!
//! A kind owns exactly one AWS object. It has three verbs: `observe` (what is there, for many resources in few calls), `ensure`
//! (create if absent, sync each mutable part, wait until usable: one flow for first run, update, adoption and recovery) and
//! `delete` (already gone is success; waits until gone). Kinds never see the state file, the graph or each other's code.
//! Adding a kind is one file and one line in [`KINDS`]; `docs/adding-a-kind.md` walks through it.
//!
//! Invariants every kind keeps:
//! 1. Tags are in the create call, so that no object ever exists without its address on it.
//! 2. The create call has an idempotency token or a fixed name, or `observe` finds the object by its tags (`x.idempotency`).
//! 3. The id goes to [`Task::identified`] right after the create call, before any wait or read.
//! 4. `ensure` changes only what differs from the observed object; `ensure` of an object that is as desired changes nothing.
//! 5. `delete` of what is gone is success, and returns only when the object is gone for those that depend on its absence.
//! 6. What `observe` returns as spec is canonical: equal to the desired spec when nothing has to be done.

mod apigateway;
mod backup;
mod cloudwatch;
mod dynamodb;
mod ec2;
mod elb;
mod erased;
mod eventbridge;
mod existing;
mod globalaccelerator;
mod kms;
mod list;
mod on_aws;
mod page;
mod rds;
mod route53;
mod s3;

pub mod acm_certificate;
pub mod acm_validation;
pub mod apigateway_account;
pub mod apigateway_base_path_mapping;
pub mod apigateway_deployment;
pub mod apigateway_domain_name;
pub mod apigateway_method;
pub mod apigateway_resource;
pub mod apigateway_rest_api;
pub mod apigateway_stage;
pub mod backup_plan;
pub mod backup_selection;
pub mod backup_vault;
pub mod cloudwatch_alarm;
pub mod cloudwatch_dashboard;
pub mod dynamodb_replica;
pub mod dynamodb_table;
pub mod ec2_default_security_group;
pub mod ec2_elastic_ip;
pub mod ec2_flow_log;
pub mod ec2_internet_gateway;
pub mod ec2_nat_gateway;
pub mod ec2_route;
pub mod ec2_route_table;
pub mod ec2_route_table_association;
pub mod ec2_security_group;
pub mod ec2_security_group_rule;
pub mod ec2_subnet;
pub mod ec2_vpc;
pub mod ec2_vpc_endpoint;
pub mod elb_listener;
pub mod elb_listener_rule;
pub mod elb_load_balancer;
pub mod elb_target;
pub mod elb_target_group;
pub mod eventbridge_archive;
pub mod eventbridge_bus;
pub mod eventbridge_rule;
pub mod eventbridge_target;
pub mod globalaccelerator_accelerator;
pub mod globalaccelerator_endpoint_group;
pub mod globalaccelerator_listener;
pub mod iam_role;
pub mod kms_alias;
pub mod kms_key;
pub mod kms_replica_key;
pub mod lambda_alias;
pub mod lambda_function;
pub mod lambda_permission;
pub mod logs_log_group;
pub mod rds_cluster;
pub mod rds_cluster_parameter_group;
pub mod rds_global_cluster;
pub mod rds_instance;
pub mod rds_subnet_group;
pub mod route53_health_check;
pub mod route53_record;
pub mod route53_zone;
pub mod s3_bucket;
pub mod s3_bucket_replication;
pub mod secretsmanager_replica;
pub mod secretsmanager_secret;
pub mod sns_subscription;
pub mod sns_topic;
pub mod sqs_queue;

use std::fmt::Debug;
use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::address::Address;
use crate::aws::Tags;
use crate::aws::error::Result;

pub use drctl_core::kind::{
    Adoption, AnyKind, AnyObject, AnyWanted, Assets, Context, Deletion, Expected, Index, Kinds, Observation, Observer,
    Parent, Permissions, Provider, Retry, Surroundings, Task, Token, Traits,
};
pub use erased::Erased;
pub use page::kinds_page;

use on_aws::OnAws;

/// Every kind drctl knows, by name.
pub const KINDS: &[&dyn AnyKind] = &[
    &Erased::<acm_certificate::Certificate>::NEW,
    &Erased::<acm_validation::Validation>::NEW,
    &Erased::<apigateway_account::Account>::NEW,
    &Erased::<apigateway_base_path_mapping::BasePathMapping>::NEW,
    &Erased::<apigateway_deployment::Deployment>::NEW,
    &Erased::<apigateway_domain_name::DomainName>::NEW,
    &Erased::<apigateway_method::Method>::NEW,
    &Erased::<apigateway_resource::Resource>::NEW,
    &Erased::<apigateway_rest_api::RestApi>::NEW,
    &Erased::<apigateway_stage::Stage>::NEW,
    &Erased::<backup_plan::Plan>::NEW,
    &Erased::<backup_selection::Selection>::NEW,
    &Erased::<backup_vault::Vault>::NEW,
    &Erased::<cloudwatch_alarm::Alarm>::NEW,
    &Erased::<cloudwatch_dashboard::Dashboard>::NEW,
    &Erased::<dynamodb_replica::Replica>::NEW,
    &Erased::<dynamodb_table::Table>::NEW,
    &Erased::<ec2_default_security_group::DefaultSecurityGroup>::NEW,
    &Erased::<ec2_elastic_ip::ElasticIp>::NEW,
    &Erased::<ec2_flow_log::FlowLog>::NEW,
    &Erased::<ec2_internet_gateway::InternetGateway>::NEW,
    &Erased::<ec2_nat_gateway::NatGateway>::NEW,
    &Erased::<ec2_route::Route>::NEW,
    &Erased::<ec2_route_table::RouteTable>::NEW,
    &Erased::<ec2_route_table_association::RouteTableAssociation>::NEW,
    &Erased::<ec2_security_group::SecurityGroup>::NEW,
    &Erased::<ec2_security_group_rule::SecurityGroupRule>::NEW,
    &Erased::<ec2_subnet::Subnet>::NEW,
    &Erased::<ec2_vpc::Vpc>::NEW,
    &Erased::<ec2_vpc_endpoint::VpcEndpoint>::NEW,
    &Erased::<elb_listener::Listener>::NEW,
    &Erased::<elb_listener_rule::ListenerRule>::NEW,
    &Erased::<elb_load_balancer::LoadBalancer>::NEW,
    &Erased::<elb_target::Target>::NEW,
    &Erased::<elb_target_group::TargetGroup>::NEW,
    &Erased::<eventbridge_archive::Archive>::NEW,
    &Erased::<eventbridge_bus::Bus>::NEW,
    &Erased::<eventbridge_rule::Rule>::NEW,
    &Erased::<eventbridge_target::Target>::NEW,
    &Erased::<globalaccelerator_accelerator::Accelerator>::NEW,
    &Erased::<globalaccelerator_endpoint_group::EndpointGroup>::NEW,
    &Erased::<globalaccelerator_listener::AcceleratorListener>::NEW,
    &Erased::<iam_role::Role>::NEW,
    &Erased::<kms_alias::Alias>::NEW,
    &Erased::<kms_key::Key>::NEW,
    &Erased::<kms_replica_key::ReplicaKey>::NEW,
    &Erased::<lambda_alias::Alias>::NEW,
    &Erased::<lambda_function::Function>::NEW,
    &Erased::<lambda_permission::Permission>::NEW,
    &Erased::<logs_log_group::LogGroup>::NEW,
    &Erased::<rds_cluster::Cluster>::NEW,
    &Erased::<rds_cluster_parameter_group::ParameterGroup>::NEW,
    &Erased::<rds_global_cluster::GlobalCluster>::NEW,
    &Erased::<rds_instance::Instance>::NEW,
    &Erased::<rds_subnet_group::SubnetGroup>::NEW,
    &Erased::<route53_health_check::HealthCheck>::NEW,
    &Erased::<route53_record::Record>::NEW,
    &Erased::<route53_zone::Zone>::NEW,
    &Erased::<s3_bucket::Bucket>::NEW,
    &Erased::<s3_bucket_replication::BucketReplication>::NEW,
    &Erased::<secretsmanager_replica::SecretReplica>::NEW,
    &Erased::<secretsmanager_secret::Secret>::NEW,
    &Erased::<sns_subscription::Subscription>::NEW,
    &Erased::<sns_topic::Topic>::NEW,
    &Erased::<sqs_queue::Queue>::NEW,
];

/// The kinds of AWS, as the engine takes them.
pub fn kinds() -> Kinds {
    Kinds::of(KINDS.iter().copied())
}

/// A type of AWS object, and how to bring one about.
pub trait Kind: Sized + Send + Sync + 'static {
    /// The desired properties. Field names are the ones users see in plans and diffs.
    type Spec: Serialize + DeserializeOwned + Clone + Debug + Send + Sync;
    /// What is known only after the object exists; declared by [`outputs!`](crate::outputs).
    type Outputs: Serialize + DeserializeOwned + Clone + Debug + Send + Sync;

    /// What the engine has to know about the kind.
    const TRAITS: Traits;

    /// Outputs that an update in place may change, so that whoever refers to them cannot be sure of them before.
    const CHANGING_OUTPUTS: &'static [&'static str] = &[];

    /// Fields that AWS changes in place, but by which the object keeps what they refer to from being deleted: when that has to be
    /// replaced, this has to go first and is replaced with it.
    const HOLDS: &'static [&'static str] = &[];

    /// Fields that refer to what only has to be made before the object is: later changes of the two need not wait for each other.
    const ORDERING_CREATION: &'static [&'static str] = &[];

    /// Fields whose update puts the object out of use for a while, so that the objects of the kind are updated one at a time, by their
    /// [`turn`](Kind::turn).
    const IN_TURNS: &'static [&'static str] = &[];

    /// Whether somebody may make the object again after its deletion without knowing better, so that `down` looks twice.
    const RETURNS: bool = false;

    /// Whether the tagging service's index has its objects, if they carry tags.
    const INDEXED: bool = true;

    /// The object that this one is a part of, for kinds without tags: a part is ours when its whole is.
    const PARENT: Option<Parent> = None;

    /// Whether AWS lets the object go whoever refers to it, so that its deletion waits for none of them: for those that leave behind
    /// what takes long to vanish.
    const UNHELD: bool = false;

    /// When the object's turn is, by what it does now: lower numbers first.
    fn turn(outputs: &Self::Outputs) -> u32 {
        let _ = outputs;
        0
    }

    /// What a person should know of the object as it is now, though drctl has nothing to change about it.
    fn remark(outputs: &Self::Outputs) -> Option<String> {
        let _ = outputs;
        None
    }

    /// Looks at many resources of one scope at once. The answer has one entry per wanted resource, in the same order:
    /// the object, or `None` when there is none.
    ///
    /// An object is found by its recorded outputs, else by its fixed name or its tags. A spec may still have unknown
    /// references; an object whose parent is not known yet does not exist.
    fn observe(
        context: &Context,
        wanted: &[Wanted<Self>],
    ) -> impl Future<Output = Result<Vec<Option<Object<Self>>>>> + Send;

    /// Makes the object be as the spec says, starting from what was observed, and returns its outputs once it is usable.
    fn ensure(
        task: &Task<'_>,
        spec: &Self::Spec,
        object: Option<Object<Self>>,
    ) -> impl Future<Output = Result<Self::Outputs>> + Send;

    /// Deletes the object with whatever preparatory calls AWS demands, and waits until it is gone.
    fn delete(
        task: &Task<'_>,
        spec: &Self::Spec,
        outputs: &Self::Outputs,
    ) -> impl Future<Output = Result<Deletion>> + Send;
}

/// A resource to look for.
#[derive(Clone, Debug)]
pub struct Wanted<K: Kind> {
    /// Its address, which is also the value of its `drctl:address` tag.
    pub address: Address,
    /// The desired spec; the recorded one when the plan no longer has the resource.
    pub spec: K::Spec,
    /// The recorded outputs, when there is a record.
    pub outputs: Option<K::Outputs>,
}

/// What AWS has.
#[derive(Clone, Debug)]
pub struct Object<K: Kind> {
    /// Its properties, in the terms of the spec. Properties that AWS does not tell are copied from the wanted spec.
    pub spec: K::Spec,
    /// Its outputs.
    pub outputs: K::Outputs,
    /// All its tags; empty for kinds that carry none.
    pub tags: Tags,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    fn traits(kind: &str) -> &'static Traits {
        KINDS.iter().map(|known| known.traits()).find(|traits| traits.name == kind).expect("a kind")
    }

    /// Checks for how many seconds kinds go on: each case is a kind, an operation, a code, a message, and the seconds.
    #[track_caller]
    fn expect_patience(cases: &[(&str, &str, &str, &str, u64)]) {
        for &(kind, operation, code, message, seconds) in cases {
            assert_eq!(patience(kind, operation, code, message), seconds, "{operation}: {code}: {message}");
        }
    }

    /// For how many seconds a kind goes on when AWS refuses like this; 0 when it does not.
    fn patience(kind: &str, operation: &str, code: &str, message: &str) -> u64 {
        let error = Refusal { code: code.into(), message: message.into(), ..Refusal::default() }.into();
        let retries = traits(kind).retries.iter().filter(|retry| retry.matches(operation, &error));
        retries.map(|retry| retry.deadline.as_secs()).max().unwrap_or_default()
    }

    /// What AWS says while something is on its way, in its own words, and for how long.
    #[test]
    fn what_passes_by_itself_is_told_from_what_is_wrong_for_good() {
        let (bucket, replication) = ("s3_bucket", "s3_bucket_replication");
        let (record, secret, queue) = ("route53_record", "secretsmanager_secret", "sqs_queue");
        let (topic, selection) = ("sns_topic", "backup_selection");
        let (put_policy, put_replication) = ("s3:PutBucketPolicy", "s3:PutBucketReplication");
        let (create_secret, create_queue) = ("secretsmanager:CreateSecret", "sqs:CreateQueue");
        let (set_topic, create_selection) = ("sns:SetTopicAttributes", "backup:CreateBackupSelection");
        let change_records = "route53:ChangeResourceRecordSets";
        let (subnet, endpoint, role) = ("ec2_subnet", "ec2_vpc_endpoint", "iam_role");
        let (gateway, address) = ("ec2_nat_gateway", "ec2_elastic_ip");
        let (create_subnet, create_endpoint) = ("ec2:CreateSubnet", "ec2:CreateVpcEndpoint");
        let (target, put_targets) = ("eventbridge_target", "events:PutTargets");
        let absent = "The vpc ID 'vpc-1' does not exist";
        let routed = "route table rtb-1 already has a route with destination-prefix-list-id pl-1";
        let conflicting = "private-dns-enabled cannot be set because there is already a conflicting DNS domain for x";
        let principal = r#"Invalid principal in policy: "AWS":"arn:aws:iam::1:role/r""#;
        let replicated = "A replication configuration is present on this bucket, so you cannot change the versioning state. \
                          To change the versioning state, first delete the replication configuration.";
        let unversioned = "Versioning must be 'Enabled' on the bucket to apply a replication configuration";
        let unversioned_there = "Destination bucket must have versioning enabled.";
        let deleted = "You can't create this secret because a secret with this name was deleted a moment ago.";
        let copied = "You can't delete secret that still has replica regions [us-east-2].";
        let stranger = "Invalid parameter: Policy Error: PrincipalNotFound";
        let denied = "User: arn:aws:iam::1:user/u is not authorized to perform: SNS:SetTopicAttributes on resource: x";
        let unassumed = "IAM Role arn:aws:iam::1:role/r cannot be assumed by AWS Backup";
        let powerless = "The role arn:aws:iam::1:role/r is not authorized to call tag:GetResources";
        let invalid = "InvalidParameterValueException";
        expect_patience(&[
            (bucket, "s3:PutBucketVersioning", "InvalidBucketState", replicated, 300),
            (bucket, put_policy, "MalformedPolicy", "Invalid principal in policy", 120),
            (bucket, put_policy, "MalformedPolicy", "Policy has invalid resource", 0),
            (replication, put_replication, "InvalidRequest", unversioned, 120),
            (replication, put_replication, "InvalidRequest", unversioned_there, 120),
            (replication, put_replication, "NoSuchBucket", "The specified bucket does not exist", 120),
            (replication, put_replication, "InvalidRequest", "Role ARN is malformed", 0),
            (subnet, create_subnet, "InvalidVpcID.NotFound", absent, 120),
            (subnet, create_subnet, "InvalidSubnet.Conflict", "The CIDR conflicts with another subnet", 0),
            (endpoint, create_endpoint, "RouteAlreadyExists", routed, 300),
            (endpoint, create_endpoint, "InvalidParameter", conflicting, 600),
            (endpoint, create_endpoint, "InvalidParameter", "The VPC must have DNS support enabled", 0),
            (gateway, "ec2:CreateNatGateway", "InvalidAllocationID.NotFound", "eipalloc-1 does not exist", 120),
            (gateway, "ec2:CreateNatGateway", "InvalidAllocationID.Malformed", "eipalloc-1 is malformed", 0),
            (address, "ec2:ReleaseAddress", "InvalidIPAddress.InUse", "Address 192.0.2.1 is in use.", 1800),
            (address, "ec2:ReleaseAddress", "InvalidAddress.Locked", "Address 192.0.2.1 is locked.", 0),
            (role, "iam:CreateRole", "MalformedPolicyDocument", principal, 120),
            (role, "iam:CreateRole", "MalformedPolicyDocument", "Syntax errors in policy.", 0),
            (target, put_targets, "ConcurrentModificationException", "m", 120),
            (target, put_targets, "ResourceNotFoundException", "Rule payments does not exist.", 120),
            (target, put_targets, "LimitExceededException", "The requested resource exceeds the maximum.", 0),
            (record, change_records, "NoSuchHealthCheck", "No health check exists with the specified ID.", 60),
            (record, change_records, "InvalidChangeBatch", "The specified health check does not exist", 60),
            (record, change_records, "InvalidChangeBatch", "Domain name is not permitted in zone", 0),
            (secret, create_secret, "InvalidRequestException", deleted, 120),
            (secret, create_secret, "InvalidRequestException", "You can't perform this operation.", 0),
            (secret, "secretsmanager:DeleteSecret", "InvalidParameterException", copied, 120),
            (queue, create_queue, "QueueDeletedRecently", "You must wait 60 seconds", 90),
            (queue, create_queue, "AWS.SimpleQueueService.QueueDeletedRecently", "You must wait 60 seconds", 90),
            (topic, set_topic, "InvalidParameter", stranger, 120),
            (topic, "sns:CreateTopic", "InvalidParameter", stranger, 120),
            (topic, set_topic, "AuthorizationError", denied, 120),
            (topic, set_topic, "InvalidParameter", "Invalid parameter: DisplayName", 0),
            (selection, create_selection, invalid, unassumed, 120),
            (selection, create_selection, invalid, powerless, 120),
            (selection, create_selection, invalid, "Invalid resource ARN", 0),
        ]);
    }

    /// The same of functions, interfaces, keys and databases.
    #[test]
    fn what_passes_by_itself_in_front_of_and_behind_the_functions() {
        let (function, permission, invalid) =
            ("lambda_function", "lambda_permission", "InvalidParameterValueException");
        let (domain, mapping, account) =
            ("apigateway_domain_name", "apigateway_base_path_mapping", "apigateway_account");
        let (balancer, group, target) = ("elb_load_balancer", "elb_target_group", "elb_target");
        let (listener, cluster) = ("elb_listener", "rds_cluster");
        let (secret, table) = ("secretsmanager_secret", "dynamodb_table");
        let (bad, create_function) = ("BadRequestException", "lambda:CreateFunction");
        let create_listener = "elasticloadbalancing:CreateListener";
        let add_permission = "lambda:AddPermission";
        let unassumed = "The role defined for the function cannot be assumed by Lambda.";
        let powerless = "The provided execution role does not have permissions to call CreateNetworkInterface on EC2";
        let ungranted = "Lambda was unable to configure access to your environment variables because the KMS key is invalid \
                         for CreateGrant. Please check your KMS key settings.";
        let throttled = "Your request has been throttled by EC2, please make sure you have enough API rate limit.";
        let changing = "An update is in progress for resource: x";
        let uncertain = "The certificate with identifier x could not be found or is not valid";
        let mute = "The role ARN does not have required permissions configured.";
        let many = "Too many tables are being created, updated or deleted simultaneously. The limit is 500.";
        let unusable = "The specified KMS key k does not exist, is not enabled or you do not have permissions to it.";
        let busy = "DB cluster is not available for modification with status modifying";
        expect_patience(&[
            ("kms_alias", "kms:CreateAlias", "NotFoundException", "Key 'k' does not exist", 600),
            ("kms_alias", "kms:CreateAlias", "KMSInvalidStateException", "k is creating.", 600),
            ("kms_alias", "kms:CreateAlias", "KMSInvalidStateException", "k is pending deletion.", 0),
            (function, create_function, invalid, unassumed, 300),
            (function, create_function, invalid, powerless, 300),
            (function, create_function, invalid, ungranted, 300),
            (function, create_function, invalid, throttled, 840),
            (function, create_function, invalid, "Unzipped size must be smaller than 262144000 bytes", 0),
            (permission, add_permission, "ResourceNotFoundException", "Function not found: f", 300),
            (permission, add_permission, "ResourceConflictException", changing, 300),
            (
                permission,
                add_permission,
                "ResourceConflictException",
                "The statement id (x) provided already exists.",
                0,
            ),
            (domain, "apigateway:CreateDomainName", bad, uncertain, 120),
            (domain, "apigateway:CreateDomainName", bad, "Invalid security policy", 0),
            (mapping, "apigateway:CreateBasePathMapping", "NotFoundException", "Invalid domain name identifier", 30),
            (account, "apigateway:UpdateAccount", bad, mute, 120),
            (account, "apigateway:UpdateAccount", bad, "Invalid patch path", 0),
            (balancer, "elasticloadbalancing:CreateLoadBalancer", "SubnetNotFound", "subnet-1", 120),
            (balancer, "elasticloadbalancing:CreateLoadBalancer", "InvalidSecurityGroup", "sg-1", 120),
            (group, "elasticloadbalancing:ModifyTargetGroup", "TargetGroupNotFound", "One or more", 120),
            (target, "elasticloadbalancing:RegisterTargets", "InvalidTarget", "f is not in a valid state", 600),
            (listener, create_listener, "CertificateNotFound", "Certificate ARN 'x' is not valid", 300),
            (
                listener,
                create_listener,
                "UnsupportedCertificate",
                "The certificate must have a fully-qualified name",
                0,
            ),
            (cluster, "rds:CreateDBCluster", "KMSKeyNotAccessibleFault", unusable, 120),
            (cluster, "rds:ModifyDBCluster", "InvalidDBClusterStateFault", busy, 300),
            (cluster, "rds:ModifyDBCluster", "InvalidParameterCombination", "x", 0),
            (secret, "secretsmanager:CreateSecret", "EncryptionFailure", "x", 120),
            (secret, "secretsmanager:CreateSecret", "AccessDeniedException", "Access to KMS is not allowed", 120),
            (secret, "secretsmanager:CreateSecret", "AccessDeniedException", "not authorized", 0),
            (table, "dynamodb:CreateTable", "LimitExceededException", many, 1800),
            (table, "dynamodb:CreateTable", "ValidationException", "x", 0),
        ]);
    }

    /// `x.consistency.read-after-create`: what is new is unknown for a while to whichever call names it, so the call that changes a
    /// reference waits as long as the one that makes the object with it.
    #[test]
    fn what_is_new_is_waited_for_by_whatever_refers_to_it() {
        let (endpoint, association, alias) = ("ec2_vpc_endpoint", "ec2_route_table_association", "kms_alias");
        let (balancer, listener, rule) = ("elb_load_balancer", "elb_listener", "elb_listener_rule");
        let (function, mapping, domain) = ("lambda_function", "apigateway_base_path_mapping", "apigateway_domain_name");
        let (create_balancer, create_endpoint) = ("elasticloadbalancing:CreateLoadBalancer", "ec2:CreateVpcEndpoint");
        for (kind, making, changing, code, message) in [
            (endpoint, create_endpoint, "ec2:ModifyVpcEndpoint", "InvalidRouteTableId.NotFound", ""),
            (endpoint, create_endpoint, "ec2:ModifyVpcEndpoint", "InvalidSubnetId.NotFound", ""),
            (endpoint, create_endpoint, "ec2:ModifyVpcEndpoint", "InvalidSecurityGroupID.NotFound", ""),
            (
                association,
                "ec2:AssociateRouteTable",
                "ec2:ReplaceRouteTableAssociation",
                "InvalidRouteTableID.NotFound",
                "",
            ),
            (balancer, create_balancer, "elasticloadbalancing:SetSubnets", "SubnetNotFound", ""),
            (balancer, create_balancer, "elasticloadbalancing:SetSecurityGroups", "InvalidSecurityGroup", ""),
            (
                listener,
                "elasticloadbalancing:CreateListener",
                "elasticloadbalancing:ModifyListener",
                "CertificateNotFound",
                "",
            ),
            (rule, "elasticloadbalancing:CreateRule", "elasticloadbalancing:ModifyRule", "TargetGroupNotFound", ""),
            (alias, "kms:CreateAlias", "kms:UpdateAlias", "NotFoundException", ""),
            (alias, "kms:CreateAlias", "kms:UpdateAlias", "KMSInvalidStateException", "k is creating."),
            (
                function,
                "lambda:CreateFunction",
                "lambda:UpdateFunctionConfiguration",
                "InvalidParameterValueException",
                "The role defined for the function cannot be assumed by Lambda.",
            ),
            (
                mapping,
                "apigateway:CreateBasePathMapping",
                "apigateway:UpdateBasePathMapping",
                "BadRequestException",
                "Invalid stage identifier specified",
            ),
            (
                domain,
                "apigateway:CreateDomainName",
                "apigateway:UpdateDomainName",
                "BadRequestException",
                "The certificate provided is not valid",
            ),
        ] {
            let (first, later) = (patience(kind, making, code, message), patience(kind, changing, code, message));
            assert!(first > 0 && later == first, "{making} waits {first} s for {code}, {changing} {later} s");
        }
    }

    /// `nat.update`, `sg.update`, `sgr.update`, `flowlog.update`, `vpc.update`, `rds.global.replace`, `rds.cluster.replace`,
    /// `rds.primary.join-only-at-create`, `ddb.table.replace`, `r53.hc.create`, `bk.plan.update`, `tg.register.retry`.
    #[test]
    fn what_aws_cannot_change_in_place_forces_a_replacement_and_nothing_else_does() {
        for (kind, fixed, changeable) in [
            ("ec2_vpc", &["cidr"][..], &["dns_hostnames", "dns_support"][..]),
            ("ec2_nat_gateway", &["subnet", "elastic_ip"], &[]),
            ("ec2_security_group", &["name", "description", "vpc"], &[]),
            ("ec2_security_group_rule", &["group", "direction", "protocol", "from_port", "peer"], &["description"]),
            ("ec2_flow_log", &["vpc", "log_group", "role", "aggregation_seconds"], &[]),
            ("rds_global_cluster", &["name", "encrypted"], &["engine_version", "deletion_protection"]),
            (
                "rds_cluster",
                &["name", "global_cluster", "database", "subnet_group", "key", "master_username"],
                &["security_groups"],
            ),
            ("rds_instance", &["name", "cluster"], &["class"]),
            ("dynamodb_table", &["name", "hash_key", "range_key"], &["billing", "key", "ttl_attribute"]),
            ("route53_health_check", &["interval_seconds"], &["path", "failure_threshold"]),
            ("backup_selection", &["plan", "name", "role"], &[]),
            ("backup_plan", &[], &["rules"]),
            ("elb_target", &["target_group", "function"], &[]),
        ] {
            let immutable = traits(kind).immutable;
            let missing: Vec<_> = fixed.iter().filter(|field| !immutable.contains(field)).collect();
            let excessive: Vec<_> = changeable.iter().filter(|field| immutable.contains(field)).collect();
            assert!(missing.is_empty() && excessive.is_empty(), "{kind}: {missing:?}, {excessive:?}");
        }
    }

    /// `ddb.replica.iam`: rights that no call of ours has the name of.
    #[test]
    fn whoever_makes_a_replica_may_copy_the_items() {
        let may = |action: &str| {
            traits("dynamodb_replica").permissions.change.contains(&format!("dynamodb:{action}").as_str())
        };
        for action in
            ["UpdateTable", "CreateTable", "CreateTableReplica", "Scan", "Query", "GetItem", "PutItem", "UpdateItem"]
        {
            assert!(may(action), "{action}");
        }
    }

    /// S3 and EventBridge refuse a change while another one of the same object is under way.
    #[test]
    fn every_change_of_a_bucket_or_a_bus_outlasts_the_change_before_it() {
        let message = "A conflicting operation is in progress.";
        let bucket = [
            "PutBucketTagging",
            "PutPublicAccessBlock",
            "PutBucketOwnershipControls",
            "PutBucketVersioning",
            "PutBucketEncryption",
            "PutBucketPolicy",
            "DeleteBucketPolicy",
            "PutBucketLifecycleConfiguration",
            "DeleteBucketLifecycle",
            "DeleteBucket",
        ];
        for operation in bucket {
            let operation = format!("s3:{operation}");
            assert_eq!(patience("s3_bucket", &operation, "OperationAborted", message), 300, "{operation}");
        }
        // The name of a bucket stays taken for long after its deletion.
        assert_eq!(patience("s3_bucket", "s3:CreateBucket", "OperationAborted", message), 3600);
        for (kind, operations) in [
            ("eventbridge_bus", &["CreateEventBus", "UpdateEventBus", "DeleteEventBus"][..]),
            ("eventbridge_rule", &["PutRule", "DeleteRule"]),
            ("eventbridge_target", &["PutTargets", "RemoveTargets"]),
            ("eventbridge_archive", &["CreateArchive", "UpdateArchive", "DeleteArchive"]),
        ] {
            for operation in operations {
                let operation = format!("events:{operation}");
                assert_eq!(patience(kind, &operation, "ConcurrentModificationException", message), 120, "{operation}");
            }
        }
    }

    #[test]
    fn kinds_are_listed_once_and_in_order() {
        let names: Vec<_> = KINDS.iter().map(|kind| kind.traits().name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
    }

    #[test]
    fn every_kind_declares_what_it_may_call() {
        for kind in KINDS {
            let traits = kind.traits();
            assert!(!traits.permissions.read.is_empty(), "{} declares no reading action", traits.name);
            assert!(!traits.permissions.change.is_empty(), "{} declares no changing action", traits.name);
            for action in traits.permissions.read.iter().chain(traits.permissions.change) {
                assert!(action.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty()));
            }
        }
    }
}
