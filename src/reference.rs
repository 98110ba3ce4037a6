//! Typed references: how a spec names what another resource will turn out to be.
//!
//! A field that needs another resource's output has the type of that output, `Ref<SubnetId>`, and can only be made from
//! the [`Handle`] that adding the other resource to the topology returned. The graph's edges are read from these references
//! and from nowhere else, so an order that matters cannot be forgotten, and wiring a subnet where a VPC belongs does not compile.
//!
//! What they are in canonical JSON, and how they are resolved, is `drctl_core::reference`. This module never looks at AWS or at the state
//! file.
//!
//! Invariants:
//! 1. Only a `Handle` makes an unknown reference.
//! 2. Whatever JSON becomes a [`Ref`] or a [`Text`], it is unknown only where [`is_known`] says so: a state that was edited by hand cannot
//!    have what looks resolved and is not.

use std::fmt;
use std::marker::PhantomData;

use drctl_core::reference::{Output, plain_text};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::address::Address;

pub use drctl_core::reference::{is_known, references, resolve};

/// A value that is another resource's output: known, or still to be produced by that resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Ref<T> {
    /// The value itself.
    Known(T),
    /// The output of a resource that may not exist yet.
    Unknown(Output),
}

impl<T> Ref<T> {
    /// The value, when it is known.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// The value, where the engine guarantees that specs are resolved: in `ensure` and `delete`.
    ///
    /// # Panics
    /// When the reference is unknown, which is a fault in drctl itself.
    pub fn known(&self) -> &T {
        self.get().expect("specs are resolved before ensure and delete")
    }
}

impl<T: Serialize> Serialize for Ref<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(value) => value.serialize(serializer),
            Self::Unknown(output) => output.to_json().serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Ref<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match Output::from_json(&value) {
            Some(output) => Ok(Self::Unknown(output)),
            None => serde_json::from_value(value).map(Self::Known).map_err(serde::de::Error::custom),
        }
    }
}

/// References whose order means nothing, such as the subnets of an endpoint: kept sorted, so that equal sets are equal JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct RefSet<T: Serialize>(Vec<Ref<T>>);

impl<T: Serialize> RefSet<T> {
    /// The values, where the engine guarantees that specs are resolved.
    ///
    /// # Panics
    /// When a reference is unknown, which is a fault in drctl itself.
    pub fn known(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(Ref::known)
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Default for RefSet<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Serialize> FromIterator<Ref<T>> for RefSet<T> {
    fn from_iter<I: IntoIterator<Item = Ref<T>>>(references: I) -> Self {
        let mut references: Vec<Ref<T>> = references.into_iter().collect();
        references.sort_by_cached_key(|reference| part(reference).to_string());
        references.dedup_by_key(|reference| part(reference).to_string());
        Self(references)
    }
}

impl<T: Serialize> FromIterator<T> for RefSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        values.into_iter().map(Ref::Known).collect()
    }
}

impl<'de, T: Serialize + DeserializeOwned> Deserialize<'de> for RefSet<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Ref<T>>::deserialize(deserializer).map(|references| references.into_iter().collect())
    }
}

/// What adding a resource of kind `K` to the topology returns: the only source of references to it.
///
/// Every kind gives its handle one method per output, by the [`outputs!`](crate::outputs) macro.
pub struct Handle<K> {
    address: Address,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Handle<K> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), kind: PhantomData }
    }
}

impl<K> fmt::Debug for Handle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.address)
    }
}

impl<K> Handle<K> {
    /// Only the topology makes handles, when it adds a resource.
    pub(crate) fn new(address: Address) -> Self {
        Self { address, kind: PhantomData }
    }

    /// The address of the resource.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A reference to one output; the `outputs!` macro wraps it in a typed method.
    pub(crate) fn output<T>(&self, field: &str) -> Ref<T> {
        Ref::Unknown(Output { address: self.address.clone(), field: field.to_owned() })
    }
}

/// A text that may have other resources' outputs in it, such as `arn:aws:s3:::` + bucket name + `/*`.
///
/// Made by the [`text!`](crate::text) macro.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text(Vec<Value>);

impl Text {
    /// Joins parts; each is a string, a number, or a reference. Called by `text!`.
    pub fn join(parts: Vec<Value>) -> Self {
        Self(parts)
    }

    /// The text, when every part of it is known.
    pub fn get(&self) -> Option<String> {
        self.0.iter().map(plain_text).collect()
    }

    /// The text, where the engine guarantees that specs are resolved.
    ///
    /// # Panics
    /// When a part is unknown, which is a fault in drctl itself.
    pub fn known(&self) -> String {
        self.get().expect("specs are resolved before ensure and delete")
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(vec![Value::from(text)])
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(vec![Value::from(text)])
    }
}

impl<T: Serialize> From<Ref<T>> for Text {
    fn from(reference: Ref<T>) -> Self {
        Self(vec![part(&reference)])
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.get() {
            Some(text) => text.serialize(serializer),
            None => json!({ "$join": self.0 }).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let parts = match value.get("$join") {
            Some(Value::Array(parts)) => parts.clone(),
            _ => vec![value],
        };
        let is_part = |part: &Value| Output::from_json(part).is_some() || plain_text(part).is_some();
        match parts.iter().find(|part| !is_part(part)) {
            Some(part) => Err(serde::de::Error::custom(format!("{part} is neither a text nor a reference"))),
            None => Ok(Self(parts)),
        }
    }
}

/// One part of a [`Text`]; called by `text!`.
pub fn part(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("parts of a text are strings, numbers and references")
}

/// Joins string literals, values and references into a [`Text`]: `text!["arn:aws:s3:::", bucket.name(), "/*"]`.
#[macro_export]
macro_rules! text {
    ($($part:expr),* $(,)?) => { $crate::reference::Text::join(vec![$($crate::reference::part(&$part)),*]) };
}

/// Declares the outputs of a kind: the struct, and a typed reference to each field on the kind's [`Handle`].
#[macro_export]
macro_rules! outputs {
    ($(#[$meta:meta])* $vis:vis struct $name:ident of $kind:ty { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        $(#[$meta])*
        $vis struct $name { $($(#[$doc])* pub $field: $type,)* }

        impl $crate::reference::Handle<$kind> {
            $($(#[$doc])* pub fn $field(&self) -> $crate::reference::Ref<$type> { self.output(stringify!($field)) })*
        }
    };
}

/// Declares identifier types: strings that the compiler keeps apart.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
            #[serde(transparent)]
            pub struct $name(String);

            impl $name {
                /// The identifier as AWS writes it.
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.pad(&self.0)
                }
            }

            impl From<String> for $name {
                fn from(id: String) -> Self {
                    Self(id)
                }
            }

            impl From<&str> for $name {
                fn from(id: &str) -> Self {
                    Self(id.to_owned())
                }
            }

            impl From<$name> for String {
                fn from(id: $name) -> Self {
                    id.0
                }
            }

            impl From<&$name> for String {
                fn from(id: &$name) -> Self {
                    id.0.clone()
                }
            }
        )*
    };
}

ids! {
    /// An accelerator of Global Accelerator.
    AcceleratorArn,
    /// A listener of an accelerator.
    AcceleratorListenerArn,
    /// A CloudWatch alarm.
    AlarmArn,
    /// An alias of a KMS key.
    AliasArn,
    /// An Elastic IP, `eipalloc-...`.
    AllocationId,
    /// A deployment of a REST API.
    ApiDeploymentId,
    /// A resource (path) of a REST API.
    ApiResourceId,
    /// A backup plan.
    BackupPlanId,
    /// A backup selection.
    BackupSelectionId,
    /// A backup vault.
    BackupVaultArn,
    /// The name of a backup vault.
    BackupVaultName,
    /// An S3 bucket.
    BucketArn,
    /// The name of an S3 bucket.
    BucketName,
    /// A certificate of ACM that is issued: one that listeners and custom domains can use.
    CertificateArn,
    /// An Aurora cluster.
    ClusterArn,
    /// The name of an Aurora cluster.
    ClusterId,
    /// The name of an Aurora cluster parameter group.
    ClusterParameterGroupName,
    /// A host name.
    DnsName,
    /// The name of a regional custom domain of API Gateway.
    DomainNameId,
    /// An endpoint group of Global Accelerator.
    EndpointGroupArn,
    /// An archive of EventBridge.
    EventArchiveArn,
    /// An event bus.
    EventBusArn,
    /// The name of an event bus.
    EventBusName,
    /// A VPC flow log.
    FlowLogId,
    /// A Lambda function.
    FunctionArn,
    /// The name of a Lambda function.
    FunctionName,
    /// The name of an Aurora global cluster.
    GlobalClusterId,
    /// A Route 53 health check.
    HealthCheckId,
    /// A Route 53 hosted zone.
    HostedZoneId,
    /// The name of a database instance.
    InstanceId,
    /// An internet gateway.
    InternetGatewayId,
    /// A KMS key, `arn:aws:kms:...:key/...`.
    KeyArn,
    /// The id of a KMS key.
    KeyId,
    /// A listener of a load balancer.
    ListenerArn,
    /// A rule of a load balancer's listener.
    ListenerRuleArn,
    /// A load balancer.
    LoadBalancerArn,
    /// A CloudWatch log group; without the `:*` that some calls append.
    LogGroupArn,
    /// The name of a CloudWatch log group.
    LogGroupName,
    /// A NAT gateway.
    NatGatewayId,
    /// A prefix list: the addresses of a service.
    PrefixListId,
    /// An SQS queue.
    QueueArn,
    /// The address of an SQS queue.
    QueueUrl,
    /// A certificate of ACM that is requested, and may not be issued yet.
    RequestedCertificateArn,
    /// A REST API of API Gateway.
    RestApiId,
    /// An IAM role.
    RoleArn,
    /// The name of an IAM role.
    RoleName,
    /// A route table's association with a subnet.
    RouteTableAssociationId,
    /// A route table.
    RouteTableId,
    /// An EventBridge rule.
    RuleArn,
    /// The name of an EventBridge rule.
    RuleName,
    /// A secret of Secrets Manager.
    SecretArn,
    /// A security group.
    SecurityGroupId,
    /// A rule of a security group.
    SecurityGroupRuleId,
    /// The name of a stage of a REST API.
    StageName,
    /// A statement of a policy.
    StatementId,
    /// The name of a database subnet group.
    SubnetGroupName,
    /// A subnet.
    SubnetId,
    /// A subscription to an SNS topic.
    SubscriptionArn,
    /// A DynamoDB table.
    TableArn,
    /// The name of a DynamoDB table.
    TableName,
    /// A target group of a load balancer.
    TargetGroupArn,
    /// An SNS topic.
    TopicArn,
    /// A VPC endpoint.
    VpcEndpointId,
    /// A VPC.
    VpcId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Scope;

    struct Vpc;
    outputs! {
        /// What a test VPC knows.
        struct VpcOutputs of Vpc {
            /// The id.
            id: VpcId,
        }
    }

    fn vpc() -> Handle<Vpc> {
        Handle::new(Address::new(Scope::region("us-east-1"), "ec2_vpc", "main"))
    }

    #[test]
    fn a_reference_is_an_edge_and_resolves() {
        let spec =
            json!({ "vpc": vpc().id(), "arn": text!["arn:", vpc().id(), "/", 5], "list": [{ "deep": vpc().id() }] });
        assert_eq!(spec["vpc"], json!({ "$ref": "us-east-1/ec2_vpc/main#id" }));
        assert_eq!(references(&spec).into_iter().collect::<Vec<_>>(), [vpc().address().clone()]);

        let outputs = serde_json::to_value(VpcOutputs { id: "vpc-1".into() }).unwrap();
        let known = resolve(&spec, &|_, field| outputs.get(field).cloned());
        assert_eq!(known, json!({ "vpc": "vpc-1", "arn": "arn:vpc-1/5", "list": [{ "deep": "vpc-1" }] }));
        assert!(is_known(&known));
    }

    /// Invariant 1 of `drctl_core::reference`.
    #[test]
    fn what_the_lookup_does_not_know_stays() {
        let spec = json!({ "vpc": vpc().id(), "arn": text!["arn:", vpc().id()] });
        assert_eq!(resolve(&spec, &|_, _| None), spec);
    }

    /// References are ordered by address while they are unknown, and by value afterwards.
    #[test]
    fn a_set_of_references_has_one_canonical_form() {
        let set = |ids: &[&str]| ids.iter().map(|id| VpcId::from(*id)).collect::<RefSet<_>>();
        assert_eq!(set(&["b", "a", "b"]), set(&["a", "b"]));
        let read: RefSet<VpcId> = serde_json::from_value(json!(["b", "a"])).unwrap();
        assert_eq!(read, set(&["a", "b"]));
    }

    #[test]
    fn a_list_in_a_text_reads_as_a_list() {
        let text = json!({ "$join": ["servers: ", { "$ref": "global/route53_zone/main#name_servers" }] });
        let known = resolve(&text, &|_, _| Some(json!(["ns-1", "ns-2"])));
        assert_eq!(known, json!("servers: ns-1, ns-2"));
    }

    /// Invariant 2. A state may be edited, so a spec may be any JSON.
    #[test]
    fn what_is_read_is_known_or_says_that_it_is_not() {
        let broken = |value: &Value| {
            let text = serde_json::from_value::<Text>(value.clone());
            let reference = serde_json::from_value::<Ref<VpcId>>(value.clone());
            let list = serde_json::from_value::<Ref<Vec<String>>>(value.clone());
            let unknown = [
                text.is_ok_and(|text| text.get().is_none()),
                reference.is_ok_and(|reference| reference.get().is_none()),
                list.is_ok_and(|reference| reference.get().is_none()),
            ];
            is_known(value) && unknown.contains(&true)
        };
        let reference = json!({ "$ref": "us-east-1/ec2_vpc/main#id" });
        let parts = [
            json!(null),
            json!(true),
            json!(7),
            json!("text"),
            json!({}),
            json!({ "$ref": 7 }),
            json!({ "$ref": "nonsense" }),
            json!({ "$ref": "no/address#id" }),
            json!({ "$join": "text" }),
            json!([null]),
            json!(["a", { "b": 1 }]),
            reference.clone(),
            json!([reference]),
            json!({ "$join": ["a", { "$join": [reference] }] }),
        ];
        for part in &parts {
            for value in [part.clone(), json!({ "$join": [part] }), json!({ "$join": ["a", part] })] {
                assert!(!broken(&value), "{value}");
            }
        }
    }

    #[test]
    fn typed_specs_survive_the_canonical_form() {
        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        struct Spec {
            vpc: Ref<VpcId>,
            arn: Text,
        }
        let unknown = Spec { vpc: vpc().id(), arn: text!["arn:", vpc().id()] };
        let json = serde_json::to_value(&unknown).unwrap();
        assert_eq!(serde_json::from_value::<Spec>(json).unwrap(), unknown);
        let known: Spec = serde_json::from_value(json!({ "vpc": "vpc-1", "arn": "arn:vpc-1" })).unwrap();
        assert_eq!((known.vpc.known().as_str(), known.arn.known().as_str()), ("vpc-1", "arn:vpc-1"));
    }
}
