//! `ec2_vpc`: a virtual private cloud.
//!
//! Facts: `vpc.create.call`, `vpc.create.dns-attrs` (two attributes that only calls of their own set and read), `vpc.wait`,
//! `vpc.read.gone`, `vpc.update`, `vpc.delete.order` (everything in it first; AWS removes the main route table, the default ACL and
//! the default group with it), `ga.eni-sg` (the accelerator's group stays and keeps the VPC), `vpc.delete.guardduty` (its endpoint and
//! its group keep the VPC: they are named and left alone), `vpc.limits`, `x.idem.token-absent` (no token: found by its tags).
//! Replacement: `cidr`. Slow: nothing.

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, VpcAttributeName, VpcState};
use serde::{Deserialize, Serialize};

use super::ec2;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::outputs;
use crate::reference::VpcId;

/// The kind.
#[derive(Debug)]
pub struct Vpc;

/// The desired properties of a VPC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VpcSpec {
    /// The address range, /16 to /28.
    pub cidr: String,
    /// Whether instances get DNS host names.
    pub dns_hostnames: bool,
    /// Whether the VPC's resolver answers.
    pub dns_support: bool,
}

outputs! {
    /// What is known of a VPC once it exists.
    pub struct VpcOutputs of Vpc {
        /// The id, `vpc-...`.
        id: VpcId,
    }
}

impl Kind for Vpc {
    type Spec = VpcSpec;
    type Outputs = VpcOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_vpc",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["cidr"],
        locked_by: None,
        expected: Expected::seconds(5, 2, 5),
        permissions: Permissions {
            read: &["ec2:DescribeVpcs", "ec2:DescribeVpcAttribute"],
            change: &[
                "ec2:CreateVpc",
                "ec2:ModifyVpcAttribute",
                "ec2:CreateTags",
                "ec2:DeleteTags",
                "ec2:DeleteVpc",
                "ec2:DescribeSecurityGroups",
                "ec2:DeleteSecurityGroup",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeVpcEndpoints",
            ],
        },
        retries: &[Retry::seconds("ec2:ModifyVpcAttribute", "InvalidVpcID.NotFound", "", 120)],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let found = ec2::describe(
            context,
            "ec2:DescribeVpcs",
            "vpc-id",
            wanted,
            |outputs: &VpcOutputs| outputs.id.as_str(),
            |filter, token| clients.ec2().describe_vpcs().filters(filter).set_next_token(token).send(),
            |page| (page.vpcs, page.next_token),
        )
        .await?;
        list::each_tells(&found, |one| one.vpc_id(), "ec2:DescribeVpcs", "vpcId")?;
        context
            .each(wanted, |wanted| {
                let vpc = found.iter().find(|vpc| {
                    ec2::is(context, wanted, |outputs| vpc.vpc_id() == Some(outputs.id.as_str()), vpc.tags())
                });
                async move {
                    let Some(vpc) = vpc else { return Ok(None) };
                    let id = VpcId::from(vpc.vpc_id().unwrap_or_default());
                    let (dns_hostnames, dns_support) = tokio::try_join!(
                        attribute(context, &id, VpcAttributeName::EnableDnsHostnames),
                        attribute(context, &id, VpcAttributeName::EnableDnsSupport),
                    )?;
                    let cidr = vpc.cidr_block().unwrap_or_default().to_owned();
                    let spec = VpcSpec { cidr, dns_hostnames, dns_support };
                    Ok(Some(Object { spec, outputs: VpcOutputs { id }, tags: ec2::tags(vpc.tags()) }))
                }
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &VpcSpec, object: Option<Object<Self>>) -> Result<VpcOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let id = &object.outputs.id;
        // AWS takes one attribute per request, and host names only while the resolver is on.
        if object.spec.dns_support != spec.dns_support {
            let on = AttributeBooleanValue::builder().value(spec.dns_support).build();
            modify(task, id, |request| request.enable_dns_support(on.clone())).await?;
        }
        if object.spec.dns_hostnames != spec.dns_hostnames {
            let on = AttributeBooleanValue::builder().value(spec.dns_hostnames).build();
            modify(task, id, |request| request.enable_dns_hostnames(on.clone())).await?;
        }
        ec2::sync_tags(task, id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &VpcSpec, outputs: &VpcOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let id = outputs.id.as_str();
        ec2::delete_when_free(task, "the VPC", "vpc-id", id, Patience::minutes(5), || async {
            match task.call("ec2:DeleteVpc", || clients.ec2().delete_vpc().vpc_id(id).send()).await {
                Err(error) if error.is(&["DependencyViolation"]) => Err(clear(task, id, error).await?),
                deleted => deleted.map(drop),
            }
        })
        .await
    }
}

/// Removes the group that Global Accelerator leaves behind (`ga.eni-sg`). Groups that are somebody's own stay, so that waiting for
/// them is no use.
async fn clear(task: &Task<'_>, id: &str, error: Error) -> Result<Error> {
    let clients = task.clients();
    let filter = ec2::filter("vpc-id", id);
    let found = task
        .call("ec2:DescribeSecurityGroups", || clients.ec2().describe_security_groups().filters(filter.clone()).send())
        .await?;
    let mut others = Vec::new();
    for group in found.security_groups() {
        let group_id = group.group_id().unwrap_or_default();
        match group.group_name().unwrap_or_default() {
            "default" => {}
            "GlobalAccelerator" => {
                let delete = || clients.ec2().delete_security_group().group_id(group_id).send();
                match task.call("ec2:DeleteSecurityGroup", delete).await {
                    Err(error) if !error.is_gone() && !error.is(&["DependencyViolation"]) => return Err(error),
                    _ => {}
                }
            }
            // One of ours that went a moment ago may still be listed.
            _ if task.owns(&ec2::tags(group.tags())) => {}
            name => others.push(format!("{group_id} ({name})")),
        }
    }
    Ok(match others.is_empty() {
        true => error,
        false => Error::Blocked(format!(
            "the VPC {id} holds the security groups {}, which drctl did not make; delete them, then run this again",
            others.join(", ")
        )),
    })
}

async fn create(task: &Task<'_>, spec: &VpcSpec) -> Result<Object<Vpc>> {
    let clients = task.clients();
    let tags = ec2::tag_specification(task, ResourceType::Vpc);
    let created = task
        .call("ec2:CreateVpc", || {
            clients.ec2().create_vpc().cidr_block(&spec.cidr).tag_specifications(tags.clone()).send()
        })
        .await?;
    let vpc = created.vpc().ok_or_else(|| Error::incomplete("ec2:CreateVpc", "vpc"))?;
    let outputs = VpcOutputs { id: vpc.vpc_id().unwrap_or_default().into() };
    task.identified(&outputs).await?;
    if vpc.state() != Some(&VpcState::Available) {
        task.wait("the VPC to be available", Patience::minutes(10), || available(task, &outputs.id)).await?;
    }
    // A new VPC resolves names and gives none.
    let spec = VpcSpec { cidr: spec.cidr.clone(), dns_hostnames: false, dns_support: true };
    Ok(Object { spec, outputs, tags: task.tags.clone() })
}

async fn available(task: &Task<'_>, id: &VpcId) -> Result<Look<()>> {
    let clients = task.clients();
    match task.call("ec2:DescribeVpcs", || clients.ec2().describe_vpcs().vpc_ids(id).send()).await {
        Ok(answer) => Ok(ec2::availability(answer.vpcs().first().and_then(|vpc| vpc.state()).map(VpcState::as_str))),
        Err(error) if error.is_gone() => Ok(Look::Pending("not visible yet".to_owned())),
        Err(error) => Err(error),
    }
}

async fn attribute(context: &Context, id: &VpcId, name: VpcAttributeName) -> Result<bool> {
    let clients = context.clients();
    let answer = context
        .call("ec2:DescribeVpcAttribute", || {
            clients.ec2().describe_vpc_attribute().vpc_id(id).attribute(name.clone()).send()
        })
        .await?;
    let value = match name {
        VpcAttributeName::EnableDnsHostnames => answer.enable_dns_hostnames(),
        _ => answer.enable_dns_support(),
    };
    Ok(value.and_then(|value| value.value()).unwrap_or_default())
}

async fn modify(
    task: &Task<'_>,
    id: &VpcId,
    set: impl Fn(
        aws_sdk_ec2::operation::modify_vpc_attribute::builders::ModifyVpcAttributeFluentBuilder,
    ) -> aws_sdk_ec2::operation::modify_vpc_attribute::builders::ModifyVpcAttributeFluentBuilder,
) -> Result<()> {
    let clients = task.clients();
    task.call("ec2:ModifyVpcAttribute", || set(clients.ec2().modify_vpc_attribute().vpc_id(id)).send()).await?;
    Ok(())
}
