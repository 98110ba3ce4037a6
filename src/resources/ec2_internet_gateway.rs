//! `ec2_internet_gateway`: a VPC's door to the internet, attached to that VPC.
//!
//! Facts: `igw.create` (no token: found by its tags), `igw.attach.state`, `igw.attach.duplicate`,
//! `igw.detach.mapped-addresses` (refused while a public address is in use in the VPC), `igw.detach.gone`, `igw.limit`.
//! Replacement: `vpc`. Slow: deletion, while NAT gateways or load balancers are still going away.

use aws_sdk_ec2::types::{AttachmentStatus, InternetGateway as Gateway, ResourceType};
use serde::{Deserialize, Serialize};

use super::ec2;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::outputs;
use crate::reference::{InternetGatewayId, Ref, VpcId};

/// The kind.
#[derive(Debug)]
pub struct InternetGateway;

/// The desired properties of an internet gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InternetGatewaySpec {
    /// The VPC it belongs to.
    pub vpc: Ref<VpcId>,
    /// Whether it is attached to the VPC; a gateway between its two create calls is not.
    pub attached: bool,
}

outputs! {
    /// What is known of an internet gateway once it exists.
    pub struct InternetGatewayOutputs of InternetGateway {
        /// The id, `igw-...`.
        id: InternetGatewayId,
    }
}

impl Kind for InternetGateway {
    type Spec = InternetGatewaySpec;
    type Outputs = InternetGatewayOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_internet_gateway",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["vpc"],
        locked_by: None,
        expected: Expected::seconds(5, 2, 5),
        permissions: Permissions {
            read: &["ec2:DescribeInternetGateways"],
            change: &[
                "ec2:CreateInternetGateway",
                "ec2:AttachInternetGateway",
                "ec2:DetachInternetGateway",
                "ec2:DeleteInternetGateway",
                "ec2:CreateTags",
                "ec2:DeleteTags",
                "ec2:DescribeNetworkInterfaces",
            ],
        },
        retries: &[
            Retry::seconds("ec2:AttachInternetGateway", "InvalidInternetGatewayID.NotFound", "", 120),
            Retry::seconds("ec2:AttachInternetGateway", "InvalidVpcID.NotFound", "", 120),
            Retry::seconds("ec2:DetachInternetGateway", "DependencyViolation", "", 20 * 60),
            Retry::seconds("ec2:DeleteInternetGateway", "DependencyViolation", "", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let found = ec2::describe(
            context,
            "ec2:DescribeInternetGateways",
            "internet-gateway-id",
            wanted,
            |outputs: &InternetGatewayOutputs| outputs.id.as_str(),
            |filter, token| clients.ec2().describe_internet_gateways().filters(filter).set_next_token(token).send(),
            |page| (page.internet_gateways, page.next_token),
        )
        .await?;
        list::each_tells(&found, |one| one.internet_gateway_id(), "ec2:DescribeInternetGateways", "internetGatewayId")?;
        let object = |wanted: &Wanted<Self>| {
            let gateway = found.iter().find(|gateway| {
                let id = gateway.internet_gateway_id();
                ec2::is(
                    context,
                    wanted,
                    |outputs: &InternetGatewayOutputs| id == Some(outputs.id.as_str()),
                    gateway.tags(),
                )
            })?;
            let outputs = InternetGatewayOutputs { id: gateway.internet_gateway_id().unwrap_or_default().into() };
            Some(Object { spec: spec(gateway, &wanted.spec), outputs, tags: ec2::tags(gateway.tags()) })
        };
        Ok(wanted.iter().map(object).collect())
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &InternetGatewaySpec,
        object: Option<Object<Self>>,
    ) -> Result<InternetGatewayOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let id = &object.outputs.id;
        if spec.attached && !object.spec.attached {
            attach(task, id, spec.vpc.known()).await?;
        }
        if !spec.attached && object.spec.attached {
            detach(task, id, spec.vpc.known()).await?;
        }
        ec2::sync_tags(task, id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &InternetGatewaySpec, outputs: &InternetGatewayOutputs) -> Result<Deletion> {
        detach(task, &outputs.id, spec.vpc.known()).await?;
        let clients = task.clients();
        let delete = || clients.ec2().delete_internet_gateway().internet_gateway_id(&outputs.id).send();
        match task.call("ec2:DeleteInternetGateway", delete).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

/// What a gateway is. One that is attached nowhere keeps the VPC it is meant for, so that it is attached and not replaced.
fn spec(gateway: &Gateway, wanted: &InternetGatewaySpec) -> InternetGatewaySpec {
    let attachment = gateway.attachments().iter().find(|attachment| {
        !matches!(attachment.state(), Some(AttachmentStatus::Detaching | AttachmentStatus::Detached))
    });
    match attachment.and_then(|attachment| attachment.vpc_id()) {
        Some(vpc) => InternetGatewaySpec { vpc: Ref::Known(vpc.into()), attached: true },
        None => InternetGatewaySpec { vpc: wanted.vpc.clone(), attached: false },
    }
}

async fn create(task: &Task<'_>, spec: &InternetGatewaySpec) -> Result<Object<InternetGateway>> {
    let clients = task.clients();
    let tags = ec2::tag_specification(task, ResourceType::InternetGateway);
    let created = task
        .call("ec2:CreateInternetGateway", || {
            clients.ec2().create_internet_gateway().tag_specifications(tags.clone()).send()
        })
        .await?;
    let id = created.internet_gateway().and_then(|gateway| gateway.internet_gateway_id());
    let id = id.ok_or_else(|| Error::incomplete("ec2:CreateInternetGateway", "internetGatewayId"))?;
    let outputs = InternetGatewayOutputs { id: id.into() };
    task.identified(&outputs).await?;
    let spec = InternetGatewaySpec { attached: false, ..spec.clone() };
    Ok(Object { spec, outputs, tags: task.tags.clone() })
}

/// Attaches the gateway. A NAT gateway made before the attachment shows fails later, so this waits for it (`nat.create.igw-first`).
async fn attach(task: &Task<'_>, id: &InternetGatewayId, vpc: &VpcId) -> Result<()> {
    let clients = task.clients();
    let attached = task
        .call("ec2:AttachInternetGateway", || {
            clients.ec2().attach_internet_gateway().internet_gateway_id(id).vpc_id(vpc).send()
        })
        .await;
    match attached {
        // An earlier attempt whose answer was lost, or another gateway in this VPC: the look tells.
        Err(error) if error.is(&["Resource.AlreadyAssociated"]) => match attachment(task, id, vpc).await? {
            Look::Ready(()) => return Ok(()),
            Look::Pending(_) => return Err(error),
        },
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    task.wait("the internet gateway to be attached", Patience::minutes(5), || attachment(task, id, vpc)).await
}

async fn attachment(task: &Task<'_>, id: &InternetGatewayId, vpc: &VpcId) -> Result<Look<()>> {
    let clients = task.clients();
    let filter = ec2::filter("internet-gateway-id", id.as_str());
    let found = task
        .call("ec2:DescribeInternetGateways", || {
            clients.ec2().describe_internet_gateways().filters(filter.clone()).send()
        })
        .await?;
    let gateway = found.internet_gateways().iter().find(|gateway| gateway.internet_gateway_id() == Some(id.as_str()));
    Ok(attached(gateway, vpc))
}

fn attached(gateway: Option<&Gateway>, vpc: &VpcId) -> Look<()> {
    let attachment = gateway
        .and_then(|gateway| gateway.attachments().iter().find(|attachment| attachment.vpc_id() == Some(vpc.as_str())));
    // AWS answers `available` here, a state that its own enumeration lacks.
    match attachment.and_then(|attachment| attachment.state()).map(AttachmentStatus::as_str) {
        Some("available" | "attached") => Look::Ready(()),
        state => Look::Pending(state.unwrap_or("detached").to_owned()),
    }
}

async fn detach(task: &Task<'_>, id: &InternetGatewayId, vpc: &VpcId) -> Result<()> {
    let clients = task.clients();
    let detached = task
        .call("ec2:DetachInternetGateway", || {
            clients.ec2().detach_internet_gateway().internet_gateway_id(id).vpc_id(vpc).send()
        })
        .await;
    match detached {
        Err(error) if !is_detached(&error) => {
            let public = [ec2::filter("vpc-id", vpc.as_str()), ec2::filter("association.public-ip", "*")];
            Err(ec2::name_dependents(task, &public, error).await)
        }
        _ => Ok(()),
    }
}

/// Tells whether a refused detachment has nothing to do (`igw.detach.gone`).
fn is_detached(error: &Error) -> bool {
    error.is_gone() || error.is(&["Gateway.NotAttached"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::existing::tests::refused;
    use aws_sdk_ec2::types::InternetGatewayAttachment;

    /// `igw.attach.duplicate`: after `Resource.AlreadyAssociated` this tells our own earlier call from a gateway of somebody else.
    #[test]
    fn only_the_own_vpc_counts_as_attached() {
        let seen = |vpc: &str, state: &str| {
            let attachment = InternetGatewayAttachment::builder().vpc_id(vpc).state(state.into()).build();
            attached(Some(&Gateway::builder().attachments(attachment).build()), &"vpc-1".into())
        };
        assert!(matches!(seen("vpc-1", "available"), Look::Ready(())));
        assert!(matches!(seen("vpc-1", "attaching"), Look::Pending(_)));
        assert!(matches!(seen("vpc-2", "available"), Look::Pending(_)));
        assert!(matches!(attached(None, &"vpc-1".into()), Look::Pending(_)));
    }

    /// `igw.detach.gone`
    #[test]
    fn a_gateway_that_is_not_attached_needs_no_detachment() {
        assert!(is_detached(&refused("Gateway.NotAttached")));
        assert!(is_detached(&refused("InvalidInternetGatewayID.NotFound")));
        assert!(!is_detached(&refused("DependencyViolation")));
    }

    /// A crash between the two create calls leaves a gateway that only has to be attached.
    #[test]
    fn a_detached_gateway_differs_only_in_being_detached() {
        let wanted = InternetGatewaySpec { vpc: Ref::Known("vpc-1".into()), attached: true };
        let gateway = |state: Option<&str>| {
            let attachment =
                state.map(|state| InternetGatewayAttachment::builder().vpc_id("vpc-1").state(state.into()));
            Gateway::builder().set_attachments(attachment.map(|a| vec![a.build()])).build()
        };
        assert_eq!(spec(&gateway(Some("available")), &wanted), wanted);
        let detached = InternetGatewaySpec { attached: false, ..wanted.clone() };
        assert_eq!(spec(&gateway(None), &wanted), detached);
        assert_eq!(spec(&gateway(Some("detaching")), &wanted), detached);
    }
}
