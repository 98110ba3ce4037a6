//! `ec2_subnet`: one subnet of a VPC in one availability zone.
//!
//! Facts: `subnet.create.call` (a repeat answers `InvalidSubnet.Conflict`; VPC and block find the first), `subnet.create.vpc-lag`,
//! `subnet.wait`, `subnet.read.gone`, `subnet.update.one-attr`, `subnet.delete` (blocked by every interface in it), `x.idem.token-absent`.
//! Replacement: `vpc`, `cidr`, `zone`. Slow: deletion, while functions' or load balancers' interfaces linger in it.

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, Subnet as AwsSubnet, SubnetState};
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use super::{ec2, existing};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{Ref, SubnetId, VpcId};

/// The kind.
#[derive(Debug)]
pub struct Subnet;

/// The desired properties of a subnet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubnetSpec {
    /// The VPC it is part of.
    pub vpc: Ref<VpcId>,
    /// The address range, inside the VPC's.
    pub cidr: String,
    /// The availability zone, `us-east-1a`.
    pub zone: String,
    /// Whether interfaces in it get public addresses by themselves.
    pub public_addresses: bool,
}

outputs! {
    /// What is known of a subnet once it exists.
    pub struct SubnetOutputs of Subnet {
        /// The id, `subnet-...`.
        id: SubnetId,
    }
}

impl Kind for Subnet {
    type Spec = SubnetSpec;
    type Outputs = SubnetOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_subnet",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["vpc", "cidr", "zone"],
        locked_by: None,
        // A private subnet waits for the network interfaces of its functions.
        expected: Expected::seconds(5, 2, 25 * 60),
        permissions: Permissions {
            read: &["ec2:DescribeSubnets"],
            change: &[
                "ec2:CreateSubnet",
                "ec2:ModifySubnetAttribute",
                "ec2:CreateTags",
                "ec2:DeleteTags",
                "ec2:DeleteSubnet",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeVpcEndpoints",
            ],
        },
        retries: &[
            Retry::seconds("ec2:CreateSubnet", "InvalidVpcID.NotFound", "", 120),
            Retry::seconds("ec2:ModifySubnetAttribute", "InvalidSubnetID.NotFound", "", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let found = ec2::describe(
            context,
            "ec2:DescribeSubnets",
            "subnet-id",
            wanted,
            |outputs: &SubnetOutputs| outputs.id.as_str(),
            |filter, token| clients.ec2().describe_subnets().filters(filter).set_next_token(token).send(),
            |page| (page.subnets, page.next_token),
        )
        .await?;
        list::each_tells(&found, |one| one.subnet_id(), "ec2:DescribeSubnets", "subnetId")?;
        let found = |wanted| {
            let subnet = found.iter().find(|subnet| {
                ec2::is(
                    context,
                    wanted,
                    |outputs: &SubnetOutputs| subnet.subnet_id() == Some(outputs.id.as_str()),
                    subnet.tags(),
                )
            })?;
            Some(object(subnet))
        };
        Ok(wanted.iter().map(found).collect())
    }

    async fn ensure(task: &Task<'_>, spec: &SubnetSpec, object: Option<Object<Self>>) -> Result<SubnetOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let id = &object.outputs.id;
        if object.spec.public_addresses != spec.public_addresses {
            let clients = task.clients();
            let on = AttributeBooleanValue::builder().value(spec.public_addresses).build();
            task.call("ec2:ModifySubnetAttribute", || {
                clients.ec2().modify_subnet_attribute().subnet_id(id).map_public_ip_on_launch(on.clone()).send()
            })
            .await?;
        }
        ec2::sync_tags(task, id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &SubnetSpec, outputs: &SubnetOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let id = outputs.id.as_str();
        ec2::delete_when_free(task, "the subnet", "subnet-id", id, ec2::LINGERING, || async {
            task.call("ec2:DeleteSubnet", || clients.ec2().delete_subnet().subnet_id(id).send()).await.map(drop)
        })
        .await
    }
}

fn object(subnet: &AwsSubnet) -> Object<Subnet> {
    let spec = SubnetSpec {
        vpc: Ref::Known(subnet.vpc_id().unwrap_or_default().into()),
        cidr: subnet.cidr_block().unwrap_or_default().to_owned(),
        zone: subnet.availability_zone().unwrap_or_default().to_owned(),
        public_addresses: subnet.map_public_ip_on_launch().unwrap_or_default(),
    };
    let outputs = SubnetOutputs { id: subnet.subnet_id().unwrap_or_default().into() };
    Object { spec, outputs, tags: ec2::tags(subnet.tags()) }
}

async fn create(task: &Task<'_>, spec: &SubnetSpec) -> Result<Object<Subnet>> {
    let clients = task.clients();
    let tags = ec2::tag_specification(task, ResourceType::Subnet);
    let created = task
        .call("ec2:CreateSubnet", || {
            clients
                .ec2()
                .create_subnet()
                .vpc_id(spec.vpc.known())
                .cidr_block(&spec.cidr)
                .availability_zone(&spec.zone)
                .tag_specifications(tags.clone())
                .send()
        })
        .await;
    let created = match created {
        Err(error) if error.already_exists() => return ours(task, spec, error).await,
        created => created?,
    };
    let subnet = created.subnet().ok_or_else(|| Error::incomplete("ec2:CreateSubnet", "subnet"))?;
    let outputs = SubnetOutputs { id: subnet.subnet_id().unwrap_or_default().into() };
    task.identified(&outputs).await?;
    if subnet.state() != Some(&SubnetState::Available) {
        task.wait("the subnet to be available", Patience::minutes(5), || available(task, &outputs.id)).await?;
    }
    // A new subnet gives no public addresses.
    let spec = SubnetSpec { public_addresses: false, ..spec.clone() };
    Ok(Object { spec, outputs, tags: task.tags.clone() })
}

/// The subnet that has the block already, if an earlier attempt made it.
async fn ours(task: &Task<'_>, spec: &SubnetSpec, error: Error) -> Result<Object<Subnet>> {
    let clients = task.clients();
    let filters = [ec2::filter("vpc-id", spec.vpc.known().as_str()), ec2::filter("cidr-block", &spec.cidr)];
    let found = task
        .call("ec2:DescribeSubnets", || clients.ec2().describe_subnets().set_filters(Some(filters.to_vec())).send())
        .await?;
    let object = claimed(found.subnets(), &task.tags, error)?;
    task.identified(&object.outputs).await?;
    task.wait("the subnet to be available", Patience::minutes(5), || available(task, &object.outputs.id)).await?;
    Ok(object)
}

/// The subnet among those of one block, of which a VPC has one at most. With another block that overlaps there is none.
fn claimed(found: &[AwsSubnet], desired: &Tags, refusal: Error) -> Result<Object<Subnet>> {
    existing::claim(found.first().map(object), desired, refusal, |object| {
        format!(
            "the block {} is taken in the VPC by {}, a subnet that is not of this deployment",
            object.spec.cidr, object.outputs.id
        )
    })
}

async fn available(task: &Task<'_>, id: &SubnetId) -> Result<Look<()>> {
    let clients = task.clients();
    match task.call("ec2:DescribeSubnets", || clients.ec2().describe_subnets().subnet_ids(id).send()).await {
        Ok(answer) => {
            Ok(ec2::availability(answer.subnets().first().and_then(|subnet| subnet.state()).map(SubnetState::as_str)))
        }
        Err(error) if error.is_gone() => Ok(Look::Pending("not visible yet".to_owned())),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::Tag;

    use super::existing::tests::{refused, tags_of};
    use super::*;
    use crate::sdk_tags;

    /// `subnet.create.call`
    #[test]
    fn a_subnet_that_an_earlier_try_made_is_taken_back_and_no_other() {
        let desired = tags_of("us-east-1/ec2_subnet/public-a");
        let claimed = |tags: Option<&Tags>| {
            let subnet = |tags: &Tags| {
                let subnet = AwsSubnet::builder().subnet_id("subnet-1").cidr_block("10.0.0.0/20");
                subnet.set_tags(Some(sdk_tags!(tags, Tag))).build()
            };
            claimed(tags.map(subnet).as_slice(), &desired, refused("InvalidSubnet.Conflict"))
        };
        assert_eq!(claimed(Some(&desired)).expect("it is ours").outputs.id.as_str(), "subnet-1");
        for foreign in [Tags::new(), tags_of("us-east-1/ec2_subnet/public-b")] {
            assert!(matches!(claimed(Some(&foreign)), Err(Error::Taken(told)) if told.contains("subnet-1")));
        }
        assert!(claimed(None).is_err_and(|error| error.is(&["InvalidSubnet.Conflict"])));
    }
}
