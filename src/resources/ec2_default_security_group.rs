//! `ec2_default_security_group`: the group that AWS gives every VPC, without its rules.
//!
//! Interfaces that name no group get this one, so nothing must pass it. It is never created and never deleted: AWS makes it
//! with the VPC and takes it away with the VPC. Facts: `vpc.create.call`, `vpc.delete.order`, `sg.create.default-egress`,
//! `sgr.identity`. Replacement: `vpc`. Slow: nothing.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, IpPermission, SecurityGroup as Group};
use serde::{Deserialize, Serialize};

use super::ec2;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::outputs;
use crate::reference::{Ref, SecurityGroupId, VpcId};

/// The kind.
#[derive(Debug)]
pub struct DefaultSecurityGroup;

/// The desired properties of a VPC's default group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefaultSecurityGroupSpec {
    /// The VPC whose group it is.
    pub vpc: Ref<VpcId>,
    /// The rules in it, in words: none are wanted, and those that are observed are removed.
    pub rules: BTreeSet<String>,
}

outputs! {
    /// What is known of a default group.
    pub struct DefaultSecurityGroupOutputs of DefaultSecurityGroup {
        /// The id, `sg-...`.
        id: SecurityGroupId,
    }
}

impl Kind for DefaultSecurityGroup {
    type Spec = DefaultSecurityGroupSpec;
    type Outputs = DefaultSecurityGroupOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_default_security_group",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["vpc"],
        locked_by: None,
        expected: Expected::seconds(3, 3, 1),
        permissions: Permissions {
            read: &["ec2:DescribeSecurityGroups"],
            change: &[
                "ec2:RevokeSecurityGroupEgress",
                "ec2:RevokeSecurityGroupIngress",
                "ec2:CreateTags",
                "ec2:DeleteTags",
            ],
        },
        retries: &[
            Retry::seconds("ec2:RevokeSecurityGroupEgress", "InvalidGroup.NotFound", "", 120),
            Retry::seconds("ec2:RevokeSecurityGroupIngress", "InvalidGroup.NotFound", "", 120),
            // Policies that allow this by the group's tags see tags that were just set a little later.
            Retry::seconds("ec2:RevokeSecurityGroupEgress", "UnauthorizedOperation", "", 15),
            Retry::seconds("ec2:RevokeSecurityGroupIngress", "UnauthorizedOperation", "", 15),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let vpcs: Vec<&VpcId> = wanted.iter().filter_map(|wanted| wanted.spec.vpc.get()).collect();
        if vpcs.is_empty() {
            return Ok(wanted.iter().map(|_| None).collect());
        }
        let found = groups(context, &vpcs).await?;
        let object = |wanted: &Wanted<Self>| {
            let vpc = wanted.spec.vpc.get()?;
            found.iter().find(|group| group.vpc_id() == Some(vpc.as_str())).map(object)
        };
        Ok(wanted.iter().map(object).collect())
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &DefaultSecurityGroupSpec,
        object: Option<Object<Self>>,
    ) -> Result<DefaultSecurityGroupOutputs> {
        match object {
            Some(object) if object.spec.rules.is_empty() => {
                ec2::sync_tags(task, object.outputs.id.as_str(), &object.tags).await?;
                Ok(object.outputs)
            }
            _ => empty(task, spec.vpc.known()).await,
        }
    }

    async fn delete(_: &Task<'_>, _: &DefaultSecurityGroupSpec, _: &DefaultSecurityGroupOutputs) -> Result<Deletion> {
        Ok(Deletion::Gone)
    }
}

fn object(group: &Group) -> Object<DefaultSecurityGroup> {
    let rules = |way: &'static str, permissions: &[IpPermission]| {
        permissions.iter().flat_map(|permission| in_words(way, permission)).collect::<Vec<_>>()
    };
    let spec = DefaultSecurityGroupSpec {
        vpc: Ref::Known(group.vpc_id().unwrap_or_default().into()),
        rules: rules("from", group.ip_permissions())
            .into_iter()
            .chain(rules("to", group.ip_permissions_egress()))
            .collect(),
    };
    let outputs = DefaultSecurityGroupOutputs { id: group.group_id().unwrap_or_default().into() };
    Object { spec, outputs, tags: ec2::tags(group.tags()) }
}

/// The rules that AWS merged into one permission, one line each.
fn in_words(way: &str, permission: &IpPermission) -> Vec<String> {
    let ports = match (permission.from_port(), permission.to_port()) {
        (Some(from), Some(to)) if from == to => format!(" {from}"),
        (Some(from), Some(to)) => format!(" {from}-{to}"),
        _ => String::new(),
    };
    let protocol = permission.ip_protocol().unwrap_or_default();
    let peers = permission
        .ip_ranges()
        .iter()
        .filter_map(|range| range.cidr_ip())
        .chain(permission.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6()))
        .chain(permission.prefix_list_ids().iter().filter_map(|list| list.prefix_list_id()))
        .chain(permission.user_id_group_pairs().iter().filter_map(|pair| pair.group_id()));
    peers.map(|peer| format!("{protocol}{ports} {way} {peer}")).collect()
}

async fn groups(context: &Context, vpcs: &[&VpcId]) -> Result<Vec<Group>> {
    let clients = context.clients();
    let vpcs = vpcs.iter().map(|vpc| (*vpc).into()).collect();
    let filters =
        [Filter::builder().name("vpc-id").set_values(Some(vpcs)).build(), ec2::filter("group-name", "default")];
    list::all(
        context,
        "ec2:DescribeSecurityGroups",
        |token| {
            let groups = clients.ec2().describe_security_groups().set_filters(Some(filters.to_vec()));
            groups.set_next_token(token).send()
        },
        |page| (page.security_groups.unwrap_or_default(), page.next_token),
    )
    .await
}

/// Removes the rules the group has now. The tags come first: by them policies tell our groups from others.
async fn empty(task: &Task<'_>, vpc: &VpcId) -> Result<DefaultSecurityGroupOutputs> {
    let group = task
        .wait("the default security group to be visible", Patience::minutes(2), || async {
            Ok(match groups(task, &[vpc]).await?.pop() {
                Some(group) => Look::Ready(group),
                None => Look::Pending("not visible yet".to_owned()),
            })
        })
        .await?;
    let found = object(&group);
    task.identified(&found.outputs).await?;
    ec2::sync_tags(task, found.outputs.id.as_str(), &found.tags).await?;
    let (clients, id) = (task.clients(), &found.outputs.id);
    let (ingress, egress) = (group.ip_permissions, group.ip_permissions_egress);
    if ingress.as_ref().is_some_and(|permissions| !permissions.is_empty()) {
        let revoke =
            || clients.ec2().revoke_security_group_ingress().group_id(id).set_ip_permissions(ingress.clone()).send();
        gone(task.call("ec2:RevokeSecurityGroupIngress", revoke).await.map(drop))?;
    }
    if egress.as_ref().is_some_and(|permissions| !permissions.is_empty()) {
        let revoke =
            || clients.ec2().revoke_security_group_egress().group_id(id).set_ip_permissions(egress.clone()).send();
        gone(task.call("ec2:RevokeSecurityGroupEgress", revoke).await.map(drop))?;
    }
    Ok(found.outputs)
}

/// Rules that somebody else removed meanwhile are as good as removed.
fn gone(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.is(&["InvalidPermission.NotFound"]) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{IpRange, UserIdGroupPair};

    /// Every rule in the group is a difference, and the difference says which rule it is.
    #[test]
    fn rules_are_told_in_words() {
        let itself = IpPermission::builder()
            .ip_protocol("-1")
            .user_id_group_pairs(UserIdGroupPair::builder().group_id("sg-1").build())
            .build();
        let web = IpPermission::builder().ip_protocol("tcp").from_port(80).to_port(80);
        let web = web.ip_ranges(IpRange::builder().cidr_ip("10.0.0.0/8").build()).build();
        let group = Group::builder().ip_permissions(itself).ip_permissions_egress(web).build();
        assert_eq!(object(&group).spec.rules.into_iter().collect::<Vec<_>>(), ["-1 from sg-1", "tcp 80 to 10.0.0.0/8"]);
        assert!(object(&Group::builder().build()).spec.rules.is_empty());
    }
}
