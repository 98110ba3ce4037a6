//! AWS's services work through network interfaces of their own in the subnets and groups of the account. These stay for a
//! while after what they served is gone (`eni.lambda.duration`, `eni.elb`, `ga.eni-sg`), and as long as any interface
//! is left, nobody can delete its subnet, its groups or its VPC, nor detach the gateway through which its public address is reached.
//!
//! The emulator has no such interfaces. This scenario tells who must have some from what there is, shows them, and refuses what
//! they are in the way of. Interfaces that somebody made himself are in the way as well.
//!
//! Invariants:
//! 1. An interface has the same id from its first sight to its end, which the seed decides.
//! 2. A role that is deleted while interfaces of its functions linger leaves them there for good (`eni.lambda.role-needed`).

mod interface;
mod ledger;
mod owners;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use axum::http::StatusCode;
use xmltree::XMLNode;

use super::{Given, Outcome, Scenario};
use crate::corrections::Call;
use crate::corrections::network_interface_filters::admits;
use crate::error::Error;
use crate::message::{Form, Request, Response};
use crate::operation::Operation;
use crate::refusal::refusal;

use interface::Interface;
use ledger::Ledger;

/// What takes interfaces away, or gives an accelerator some.
const CHANGING: [&str; 9] = [
    "ec2:DeleteNatGateway",
    "ec2:DeleteVpcEndpoints",
    "elasticloadbalancing:DeleteLoadBalancer",
    "globalaccelerator:DeleteEndpointGroup",
    "globalaccelerator:RemoveEndpoints",
    "globalaccelerator:UpdateEndpointGroup",
    "lambda:DeleteFunction",
    "lambda:UpdateFunctionConfiguration",
    "rds:DeleteDBInstance",
];

/// What interfaces are in the way of.
const HINDERED: [&str; 4] =
    ["ec2:DeleteSecurityGroup", "ec2:DeleteSubnet", "ec2:DeleteVpc", "ec2:DetachInternetGateway"];

/// What makes an accelerator's group in the VPC of its endpoints.
const REACHING: [&str; 3] = [
    "globalaccelerator:AddEndpoints",
    "globalaccelerator:CreateEndpointGroup",
    "globalaccelerator:UpdateEndpointGroup",
];

/// See the module.
pub(super) struct LingeringInterfaces {
    given: Given,
    ledger: Mutex<Ledger>,
}

impl LingeringInterfaces {
    pub(super) fn new(given: &Given) -> Self {
        Self { given: given.clone(), ledger: Mutex::default() }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the ledger of the regions that a call can have changed up to date.
    async fn look(&self, call: &Call<'_>) -> Result<(), Error> {
        let mut regions = BTreeSet::from([call.region().to_owned()]);
        if call.operation.service == "globalaccelerator" {
            regions = self.ledger().regions();
            regions.extend(call.accelerators.endpoints().into_iter().map(|(region, _)| region));
        }
        for region in regions {
            let in_use = owners::interfaces(call, &region).await?;
            self.ledger().note(&region, in_use, &self.given);
        }
        Ok(())
    }

    /// The interfaces of AWS's services that are in the region now.
    async fn present(&self, call: &Call<'_>) -> Result<Vec<Interface>, Error> {
        self.look(call).await?;
        Ok(self.ledger().present(call.region()))
    }
}

#[async_trait]
impl Scenario for LingeringInterfaces {
    fn name(&self) -> &'static str {
        "lingering-interfaces"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        let name = format!("{}:{}", operation.service, operation.name);
        let concerns = |list: &[&str]| list.contains(&name.as_str());
        concerns(&CHANGING)
            || concerns(&HINDERED)
            || concerns(&REACHING)
            || name == "ec2:DescribeNetworkInterfaces"
            || name == "iam:DeleteRole"
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        let name = format!("{}:{}", call.operation.service, call.name());
        if CHANGING.contains(&name.as_str()) {
            self.look(call).await?;
        }
        if !HINDERED.contains(&name.as_str()) {
            return Ok(None);
        }
        let mut interfaces = self.present(call).await?;
        interfaces.extend(owners::made_by_hand(call).await?);
        Ok(hindrance(call.name(), &call.original.form(), &interfaces)
            .map(|message| Outcome::Answer(refusal(call, StatusCode::BAD_REQUEST, "DependencyViolation", &message))))
    }

    async fn after(&self, call: &Call<'_>, mut answer: Response) -> Result<Outcome, Error> {
        if !answer.status.is_success() {
            return Ok(Outcome::Answer(answer));
        }
        match (call.operation.service.as_str(), call.name()) {
            ("ec2", "DescribeNetworkInterfaces") => {
                let (interfaces, form) = (self.present(call).await?, call.original.form());
                answer.change_xml(|document| {
                    let Some(set) = document.get_mut_child("networkInterfaceSet") else { return };
                    let items = interfaces.iter().map(Interface::item).filter(|item| admits(&form, item));
                    set.children.extend(items.map(XMLNode::Element));
                });
            }
            ("iam", "DeleteRole") => {
                if let Some(role) = call.original.form().get("RoleName") {
                    self.ledger().strand(role);
                }
            }
            ("ec2", name) if HINDERED.contains(&format!("ec2:{name}").as_str()) => {}
            (service, name) => {
                if REACHING.contains(&format!("{service}:{name}").as_str()) {
                    owners::make_accelerator_groups(call).await?;
                }
                self.look(call).await?;
            }
        }
        Ok(Outcome::Answer(answer))
    }
}

/// What AWS says when an interface is in the way of a deletion.
fn hindrance(operation: &str, form: &Form, interfaces: &[Interface]) -> Option<String> {
    let (parameter, is_in_the_way): (_, fn(&Interface, &str) -> bool) = match operation {
        "DeleteSubnet" => ("SubnetId", |one, id| one.subnet == id),
        "DeleteSecurityGroup" => ("GroupId", |one, id| one.groups.iter().any(|group| group == id)),
        "DeleteVpc" => ("VpcId", |one, id| one.vpc == id),
        "DetachInternetGateway" => ("VpcId", |one, id| one.vpc == id && one.is_public()),
        _ => return None,
    };
    let id = form.get(parameter)?;
    interfaces.iter().any(|one| is_in_the_way(one, id)).then(|| match operation {
        "DeleteSubnet" => format!("The subnet '{id}' has dependencies and cannot be deleted."),
        "DeleteSecurityGroup" => format!("resource {id} has a dependent object"),
        "DeleteVpc" => format!("The vpc '{id}' has dependencies and cannot be deleted."),
        _ => format!(
            "Network {id} has some mapped public address(es). Please unmap those public address(es) before detaching the \
             gateway."
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::interface::Owner;
    use super::*;

    #[test]
    fn an_interface_is_in_the_way_of_its_own_subnet_groups_and_network_only() {
        let interfaces = [
            Interface::new(Owner::Function, "pay", "subnet-1", "vpc-1", &["sg-1".to_owned()]),
            Interface::new(Owner::NatGateway, "nat-1", "subnet-2", "vpc-2", &[]),
        ];
        let is_refused = |operation: &str, parameter: &str, id: &str| {
            let form = Form(vec![(parameter.to_owned(), id.to_owned())]);
            hindrance(operation, &form, &interfaces).is_some_and(|message| message.contains(id))
        };
        assert!(is_refused("DeleteSubnet", "SubnetId", "subnet-1"));
        assert!(!is_refused("DeleteSubnet", "SubnetId", "subnet-3"));
        assert!(is_refused("DeleteSecurityGroup", "GroupId", "sg-1"));
        assert!(!is_refused("DeleteSecurityGroup", "GroupId", "sg-2"));
        assert!(is_refused("DeleteVpc", "VpcId", "vpc-1"));
        assert!(!is_refused("DeleteVpc", "VpcId", "vpc-3"));
        assert!(is_refused("DetachInternetGateway", "VpcId", "vpc-2"));
        assert!(!is_refused("DetachInternetGateway", "VpcId", "vpc-1"), "a function has no public address");
    }
}
