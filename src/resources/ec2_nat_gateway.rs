//! `ec2_nat_gateway`: how private subnets reach the internet, in one zone.
//!
//! Facts: `nat.create.call`, `nat.create.igw-first` (the create call succeeds without an internet gateway; the NAT gateway fails later),
//! `nat.create.failure-codes`, `nat.wait`, `nat.read.gone` (deleted ones stay visible for an hour and are absent), `nat.update`,
//! `nat.delete` and `order.nat-before-igw` (subnet, internet gateway and address are blocked until it is really deleted),
//! `nat.limit` (a full quota is final; what is still being deleted counts, so a deletion waits for its end), `eip.consistency` (the
//! creation is tried again while the address is not known), `x.idem.token-supported`.
//! Replacement: everything. Slow: creation and deletion, two minutes each.

use aws_sdk_ec2::operation::create_nat_gateway::CreateNatGatewayInput;
use aws_sdk_ec2::operation::create_nat_gateway::builders::CreateNatGatewayInputBuilder;
use aws_sdk_ec2::types::{NatGateway as Gateway, NatGatewayState, ResourceType, TagSpecification};
use serde::{Deserialize, Serialize};

use super::ec2;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::outputs;
use crate::reference::{AllocationId, InternetGatewayId, NatGatewayId, Ref, SubnetId};

/// The kind.
#[derive(Debug)]
pub struct NatGateway;

/// The desired properties of a NAT gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatGatewaySpec {
    /// The public subnet it stands in.
    pub subnet: Ref<SubnetId>,
    /// The address that its traffic comes from.
    pub elastic_ip: Ref<AllocationId>,
    /// The attached internet gateway that its traffic leaves by. AWS does not ask for it, but a NAT gateway made before it
    /// fails, and it cannot be detached before the NAT gateway is gone.
    pub internet_gateway: Ref<InternetGatewayId>,
}

outputs! {
    /// What is known of a NAT gateway once it exists.
    pub struct NatGatewayOutputs of NatGateway {
        /// The id, `nat-...`.
        id: NatGatewayId,
    }
}

impl Kind for NatGateway {
    type Spec = NatGatewaySpec;
    type Outputs = NatGatewayOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_nat_gateway",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["subnet", "elastic_ip", "internet_gateway"],
        locked_by: None,
        expected: Expected::seconds(120, 2, 120),
        permissions: Permissions {
            read: &["ec2:DescribeNatGateways"],
            change: &["ec2:CreateNatGateway", "ec2:DeleteNatGateway", "ec2:CreateTags", "ec2:DeleteTags"],
        },
        retries: &[
            Retry::seconds("ec2:CreateNatGateway", "InvalidSubnet", "", 120),
            Retry::seconds("ec2:CreateNatGateway", "InvalidSubnetID.NotFound", "", 120),
            Retry::seconds("ec2:CreateNatGateway", "InvalidAllocationID.NotFound", "", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let found = ec2::describe(
            context,
            "ec2:DescribeNatGateways",
            "nat-gateway-id",
            wanted,
            |outputs: &NatGatewayOutputs| outputs.id.as_str(),
            |filter, token| clients.ec2().describe_nat_gateways().filter(filter).set_next_token(token).send(),
            |page| (page.nat_gateways, page.next_token),
        )
        .await?;
        list::each_tells(&found, |one| one.nat_gateway_id(), "ec2:DescribeNatGateways", "natGatewayId")?;
        let object = |wanted: &Wanted<Self>| {
            let gateway = found.iter().filter(|gateway| is_present(gateway)).find(|gateway| {
                let id = gateway.nat_gateway_id();
                ec2::is(context, wanted, |outputs: &NatGatewayOutputs| id == Some(outputs.id.as_str()), gateway.tags())
            })?;
            let outputs = NatGatewayOutputs { id: gateway.nat_gateway_id().unwrap_or_default().into() };
            Some(Object { spec: spec(gateway, &wanted.spec), outputs, tags: ec2::tags(gateway.tags()) })
        };
        Ok(wanted.iter().map(object).collect())
    }

    async fn ensure(task: &Task<'_>, spec: &NatGatewaySpec, object: Option<Object<Self>>) -> Result<NatGatewayOutputs> {
        let object = match object {
            Some(object) => {
                // It may still be pending: an earlier run ended while it waited.
                task.wait("the NAT gateway to be available", AVAILABLE, || available(task, &object.outputs.id)).await?;
                object
            }
            None => create(task, spec).await?,
        };
        ec2::sync_tags(task, object.outputs.id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &NatGatewaySpec, outputs: &NatGatewayOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let id = &outputs.id;
        match task.call("ec2:DeleteNatGateway", || clients.ec2().delete_nat_gateway().nat_gateway_id(id).send()).await {
            Err(error) if !error.is_gone() => return Err(error),
            _ => {}
        }
        task.wait("the NAT gateway to be deleted", Patience::minutes(30), || async {
            Ok(removal(state(task, id).await?))
        })
        .await
    }
}

const AVAILABLE: Patience = Patience::minutes(15);

/// A failed gateway never comes to life and vanishes within an hour, so it is as absent as a deleted one.
fn is_present(gateway: &Gateway) -> bool {
    matches!(gateway.state(), Some(NatGatewayState::Pending | NatGatewayState::Available))
}

fn spec(gateway: &Gateway, wanted: &NatGatewaySpec) -> NatGatewaySpec {
    let addresses = gateway.nat_gateway_addresses();
    let primary = addresses.iter().find(|address| address.is_primary() == Some(true)).or(addresses.first());
    let allocation = primary.and_then(|address| address.allocation_id()).unwrap_or_default();
    NatGatewaySpec {
        subnet: Ref::Known(gateway.subnet_id().unwrap_or_default().into()),
        elastic_ip: Ref::Known(allocation.into()),
        internet_gateway: wanted.internet_gateway.clone(),
    }
}

async fn create(task: &Task<'_>, spec: &NatGatewaySpec) -> Result<Object<NatGateway>> {
    let (subnet, elastic_ip) = (spec.subnet.known(), spec.elastic_ip.known());
    // One that is still being deleted would make the new one fail: it keeps the address until the end.
    task.wait("the deleted NAT gateway to give its address back", Patience::minutes(30), || {
        vacated(task, subnet, elastic_ip)
    })
    .await?;
    let clients = task.clients();
    let tags = ec2::tag_specification(task, ResourceType::Natgateway);
    let created =
        task.call("ec2:CreateNatGateway", || request(spec, task.token, tags.clone()).send_with(clients.ec2())).await?;
    let gateway = created.nat_gateway().ok_or_else(|| Error::incomplete("ec2:CreateNatGateway", "natGateway"))?;
    let outputs = NatGatewayOutputs { id: gateway.nat_gateway_id().unwrap_or_default().into() };
    task.identified(&outputs).await?;
    if gateway.state() != Some(&NatGatewayState::Available) {
        task.wait("the NAT gateway to be available", AVAILABLE, || available(task, &outputs.id)).await?;
    }
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

fn request(spec: &NatGatewaySpec, token: &str, tags: TagSpecification) -> CreateNatGatewayInputBuilder {
    CreateNatGatewayInput::builder()
        .subnet_id(spec.subnet.known())
        .allocation_id(spec.elastic_ip.known())
        .client_token(token)
        .tag_specifications(tags)
}

async fn vacated(task: &Task<'_>, subnet: &SubnetId, elastic_ip: &AllocationId) -> Result<Look<()>> {
    let clients = task.clients();
    let filters = [ec2::filter("subnet-id", subnet.as_str()), ec2::filter("state", NatGatewayState::Deleting.as_str())];
    let found = task
        .call("ec2:DescribeNatGateways", || {
            clients.ec2().describe_nat_gateways().set_filter(Some(filters.to_vec())).send()
        })
        .await?;
    let keeper = found.nat_gateways().iter().find(|gateway| {
        gateway.nat_gateway_addresses().iter().any(|address| address.allocation_id() == Some(elastic_ip.as_str()))
    });
    Ok(match keeper.and_then(|gateway| gateway.nat_gateway_id()) {
        None => Look::Ready(()),
        Some(id) => Look::Pending(format!("kept by {id}")),
    })
}

async fn available(task: &Task<'_>, id: &NatGatewayId) -> Result<Look<()>> {
    look(id, state(task, id).await?)
}

/// What a state says to one who waits for the gateway: the create call knows nothing of a failure (`nat.create.failure-codes`).
fn look(id: &NatGatewayId, state: Option<(NatGatewayState, String)>) -> Result<Look<()>> {
    match state {
        Some((NatGatewayState::Available, _)) => Ok(Look::Ready(())),
        Some((NatGatewayState::Pending, _)) => Ok(Look::Pending("pending".to_owned())),
        Some((state, why)) => Err(Error::Failed(format!("the NAT gateway {id} is {}: {why}", state.as_str()))),
        None => Ok(Look::Pending("not visible yet".to_owned())),
    }
}

/// What a state says to one who deletes the gateway: it holds its subnet and address until it is gone (`nat.delete`).
fn removal(state: Option<(NatGatewayState, String)>) -> Look<Deletion> {
    match state {
        None | Some((NatGatewayState::Deleted, _)) => Look::Ready(Deletion::Gone),
        Some((state, _)) => Look::Pending(state.as_str().to_owned()),
    }
}

/// The state of the gateway, and why it failed if it did.
async fn state(task: &Task<'_>, id: &NatGatewayId) -> Result<Option<(NatGatewayState, String)>> {
    let clients = task.clients();
    let filter = ec2::filter("nat-gateway-id", id.as_str());
    let found = task
        .call("ec2:DescribeNatGateways", || clients.ec2().describe_nat_gateways().filter(filter.clone()).send())
        .await?;
    let gateway = found.nat_gateways().iter().find(|gateway| gateway.nat_gateway_id() == Some(id.as_str()));
    Ok(gateway.and_then(|gateway| {
        let why = format!(
            "{} {}",
            gateway.failure_code().unwrap_or("no failure code"),
            gateway.failure_message().unwrap_or_default()
        );
        Some((gateway.state()?.clone(), why))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::NatGatewayAddress;

    /// `nat.read.gone`: what AWS still shows of dead gateways is not taken for a live one.
    #[test]
    fn dead_gateways_are_absent() {
        let gateway = |state: &str| Gateway::builder().state(state.into()).build();
        assert!(is_present(&gateway("pending")) && is_present(&gateway("available")));
        for dead in ["failed", "deleting", "deleted"] {
            assert!(!is_present(&gateway(dead)), "{dead}");
        }
    }

    /// `nat.delete`
    #[test]
    fn a_gateway_that_is_being_deleted_is_not_gone() {
        let at = |state: NatGatewayState| removal(Some((state, String::new())));
        assert!(matches!(at(NatGatewayState::Deleting), Look::Pending(_)));
        assert!(matches!(at(NatGatewayState::Deleted), Look::Ready(Deletion::Gone)));
        assert!(matches!(removal(None), Look::Ready(Deletion::Gone)));
    }

    fn wanted() -> NatGatewaySpec {
        NatGatewaySpec {
            subnet: Ref::Known("subnet-1".into()),
            elastic_ip: Ref::Known("eipalloc-1".into()),
            internet_gateway: Ref::Known("igw-1".into()),
        }
    }

    /// `nat.create.call`, `x.idem.token-supported`: a repeat makes no second one.
    #[test]
    fn a_gateway_is_asked_for_with_its_token_and_its_address() {
        let request = request(&wanted(), "token", TagSpecification::builder().build());
        assert_eq!(request.get_client_token().as_deref(), Some("token"));
        assert_eq!(request.get_allocation_id().as_deref(), Some("eipalloc-1"));
        assert_eq!(request.get_subnet_id().as_deref(), Some("subnet-1"));
    }

    /// `nat.create.failure-codes`, `nat.wait`
    #[test]
    fn a_gateway_that_fails_ends_the_wait_with_the_reason_of_aws() {
        let seen = |state: NatGatewayState| {
            look(&"nat-1".into(), Some((state, "Gateway.NotAttached Network vpc-1 has no gateway".to_owned())))
        };
        for state in [NatGatewayState::Failed, NatGatewayState::Deleting, NatGatewayState::Deleted] {
            assert!(
                matches!(seen(state), Err(Error::Failed(told)) if told.contains("Gateway.NotAttached Network vpc-1"))
            );
        }
        assert!(matches!(seen(NatGatewayState::Pending), Ok(Look::Pending(_))));
        assert!(matches!(look(&"nat-1".into(), None), Ok(Look::Pending(_))));
        assert!(matches!(seen(NatGatewayState::Available), Ok(Look::Ready(()))));
    }

    #[test]
    fn the_primary_address_is_the_elastic_ip() {
        let address = |id: &str, primary| NatGatewayAddress::builder().allocation_id(id).is_primary(primary).build();
        let gateway = Gateway::builder()
            .subnet_id("subnet-1")
            .nat_gateway_addresses(address("eipalloc-2", false))
            .nat_gateway_addresses(address("eipalloc-1", true))
            .build();
        assert_eq!(spec(&gateway, &wanted()), wanted());
    }
}
