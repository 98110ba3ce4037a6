//! An interface of one of AWS's services, and how EC2 describes it.

use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest, Sha256};
use xmltree::{Element, XMLNode};

use crate::message::{branch, leaf};

/// Whom an interface serves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Owner {
    Accelerator,
    /// Nobody at AWS: somebody made it himself.
    Account,
    Database,
    Endpoint,
    Function,
    LoadBalancer,
    NatGateway,
}

impl Owner {
    /// For how long, at least and at most, an interface stays after what it served is gone. A NAT gateway and its interface
    /// are gone together.
    pub(super) fn linger(self) -> [Duration; 2] {
        let minutes = match self {
            Self::Function => [20, 45],
            Self::LoadBalancer => [2, 10],
            Self::Accelerator => [1, 5],
            Self::Database | Self::Endpoint => [1, 3],
            Self::Account | Self::NatGateway => [0, 0],
        };
        minutes.map(|minutes: u64| Duration::from_secs(minutes * 60))
    }

    fn interface_type(self) -> &'static str {
        match self {
            Self::Accelerator => "global_accelerator_managed",
            Self::Account | Self::Database | Self::LoadBalancer => "interface",
            Self::Endpoint => "vpc_endpoint",
            Self::Function => "lambda",
            Self::NatGateway => "nat_gateway",
        }
    }

    fn instance_owner(self) -> &'static str {
        match self {
            Self::Database => "amazon-rds",
            Self::LoadBalancer => "amazon-elb",
            _ => "amazon-aws",
        }
    }

    fn description(self, name: &str) -> String {
        match self {
            Self::Accelerator => "GlobalAccelerator".to_owned(),
            Self::Account => String::new(),
            Self::Database => "RDSNetworkInterface".to_owned(),
            Self::Endpoint => format!("VPC Endpoint Interface {name}"),
            Self::Function => format!("AWS Lambda VPC ENI-{name}"),
            Self::LoadBalancer => format!("ELB {name}"),
            Self::NatGateway => format!("Interface for NAT Gateway {name}"),
        }
    }
}

/// One interface.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Interface {
    pub(super) id: String,
    pub(super) owner: Owner,
    pub(super) description: String,
    pub(super) subnet: String,
    pub(super) vpc: String,
    pub(super) groups: Vec<String>,
    /// The roles with one of which Lambda releases it; empty for those of others.
    pub(super) roles: Vec<String>,
}

impl Interface {
    /// The interface of what has this name in a subnet. Functions of the same groups share theirs (`eni.lambda.find`).
    pub(super) fn new(owner: Owner, name: &str, subnet: &str, vpc: &str, groups: &[String]) -> Self {
        let mut groups = groups.to_vec();
        groups.sort_unstable();
        let of = if owner == Owner::Function { "" } else { name };
        let digest = Sha256::digest(format!("{owner:?}/{of}/{subnet}/{}", groups.join(",")));
        let mut id = "eni-0".to_owned();
        for byte in &digest[..8] {
            write!(id, "{byte:02x}").expect("writing to a text cannot fail");
        }
        let description = owner.description(name);
        Self { id, owner, description, subnet: subnet.to_owned(), vpc: vpc.to_owned(), groups, roles: Vec::new() }
    }

    /// Whether it has an address that is reached through the internet gateway.
    pub(super) fn is_public(&self) -> bool {
        matches!(self.owner, Owner::Accelerator | Owner::NatGateway)
    }

    /// The interface in an answer of `DescribeNetworkInterfaces`.
    pub(super) fn item(&self) -> Element {
        let text = |name: &str, text: &str| XMLNode::Element(leaf(name, text));
        let group = |id: &String| XMLNode::Element(branch("item", [text("groupId", id), text("groupName", id)]));
        let attachment = [
            text("attachmentId", &self.id.replacen("eni-", "ela-attach-", 1)),
            text("instanceOwnerId", self.owner.instance_owner()),
            text("status", "attached"),
        ];
        let parts = [
            text("networkInterfaceId", &self.id),
            text("subnetId", &self.subnet),
            text("vpcId", &self.vpc),
            text("description", &self.description),
            text("requesterId", self.owner.instance_owner()),
            text("requesterManaged", "true"),
            text("status", "in-use"),
            text("interfaceType", self.owner.interface_type()),
            XMLNode::Element(branch("groupSet", self.groups.iter().map(group))),
            XMLNode::Element(branch("attachment", attachment)),
        ];
        branch("item", parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::XmlExt;

    #[test]
    fn functions_of_the_same_groups_share_their_interface_and_others_do_not() {
        let groups = ["sg-1".to_owned()];
        let of = |owner, name| Interface::new(owner, name, "subnet-1", "vpc-1", &groups).id;
        assert_eq!(of(Owner::Function, "pay"), of(Owner::Function, "health"));
        assert_ne!(of(Owner::LoadBalancer, "a"), of(Owner::LoadBalancer, "b"));
        let other = Interface::new(Owner::Function, "pay", "subnet-1", "vpc-1", &["sg-2".to_owned()]);
        assert_ne!(other.id, of(Owner::Function, "pay"));
    }

    #[test]
    fn an_interface_says_whose_it_is() {
        let item = Interface::new(Owner::Function, "pay", "subnet-1", "vpc-1", &["sg-1".to_owned()]).item();
        assert_eq!(item.text_of("interfaceType").as_deref(), Some("lambda"));
        assert_eq!(item.text_of("requesterManaged").as_deref(), Some("true"));
        assert_eq!(item.text_of("description").as_deref(), Some("AWS Lambda VPC ENI-pay"));
    }
}
