//! `ec2_security_group`: a group of network interfaces that rules are about; its rules are resources of their own.
//!
//! Facts: `sg.create` (names are unique in the VPC; no token), `sg.create.default-egress` (a new group lets everything out),
//! `sg.consistency`, `sg.read.gone`, `sg.update`, `sg.delete.retry`, `sg.limits` (a full quota is final), `sgr.delete.references`,
//! `eni.lambda.duration` (functions' interfaces hold a group for up to 45 minutes).
//! Replacement: `vpc`, `name`, `description`. Slow: deletion, while interfaces linger.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{IpPermission, IpRange, ResourceType, SecurityGroup as Group};
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use super::{ec2, existing};
use crate::aws::error::Result;
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{Ref, SecurityGroupId, VpcId};

/// The kind.
#[derive(Debug)]
pub struct SecurityGroup;

/// The desired properties of a security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroupSpec {
    /// The VPC it is part of.
    pub vpc: Ref<VpcId>,
    /// Its name, unique in the VPC.
    pub name: String,
    /// What it is for; AWS demands one.
    pub description: String,
    /// Whether it keeps the rule that AWS gives every new group, which lets everything out.
    pub default_egress: bool,
}

outputs! {
    /// What is known of a security group once it exists.
    pub struct SecurityGroupOutputs of SecurityGroup {
        /// The id, `sg-...`.
        id: SecurityGroupId,
    }
}

impl Kind for SecurityGroup {
    type Spec = SecurityGroupSpec;
    type Outputs = SecurityGroupOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_security_group",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["vpc", "name", "description"],
        locked_by: None,
        expected: Expected::seconds(3, 2, 5),
        permissions: Permissions {
            read: &["ec2:DescribeSecurityGroups"],
            change: &[
                "ec2:CreateSecurityGroup",
                "ec2:AuthorizeSecurityGroupEgress",
                "ec2:RevokeSecurityGroupEgress",
                "ec2:DeleteSecurityGroup",
                "ec2:CreateTags",
                "ec2:DeleteTags",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeVpcEndpoints",
            ],
        },
        retries: &[
            Retry::seconds("ec2:CreateSecurityGroup", "InvalidVpcID.NotFound", "", 120),
            Retry::seconds("ec2:RevokeSecurityGroupEgress", "InvalidGroup.NotFound", "", 120),
            Retry::seconds("ec2:AuthorizeSecurityGroupEgress", "InvalidGroup.NotFound", "", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let found = ec2::describe(
            context,
            "ec2:DescribeSecurityGroups",
            "group-id",
            wanted,
            |outputs: &SecurityGroupOutputs| outputs.id.as_str(),
            |filter, token| clients.ec2().describe_security_groups().filters(filter).set_next_token(token).send(),
            |page| (page.security_groups, page.next_token),
        )
        .await?;
        list::each_tells(&found, |one| one.group_id(), "ec2:DescribeSecurityGroups", "groupId")?;
        let found = |wanted| {
            let group = found.iter().find(|group| {
                let id = group.group_id();
                ec2::is(context, wanted, |outputs: &SecurityGroupOutputs| id == Some(outputs.id.as_str()), group.tags())
            })?;
            Some(object(group))
        };
        Ok(wanted.iter().map(found).collect())
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &SecurityGroupSpec,
        object: Option<Object<Self>>,
    ) -> Result<SecurityGroupOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let id = &object.outputs.id;
        if object.spec.default_egress != spec.default_egress {
            set_default_egress(task, id, spec.default_egress).await?;
        }
        ec2::sync_tags(task, id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &SecurityGroupSpec, outputs: &SecurityGroupOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let id = outputs.id.as_str();
        ec2::delete_when_free(task, "the security group", "group-id", id, ec2::LINGERING, || async {
            let delete = || clients.ec2().delete_security_group().group_id(id).send();
            match task.call("ec2:DeleteSecurityGroup", delete).await {
                Err(error) if error.is(&["DependencyViolation"]) => Err(name_referrers(task, id, error).await?),
                deleted => deleted.map(drop),
            }
        })
        .await
    }
}

fn object(group: &Group) -> Object<SecurityGroup> {
    let spec = SecurityGroupSpec {
        vpc: Ref::Known(group.vpc_id().unwrap_or_default().into()),
        name: group.group_name().unwrap_or_default().to_owned(),
        description: group.description().unwrap_or_default().to_owned(),
        default_egress: group.ip_permissions_egress().iter().any(is_everything),
    };
    let outputs = SecurityGroupOutputs { id: group.group_id().unwrap_or_default().into() };
    Object { spec, outputs, tags: ec2::tags(group.tags()) }
}

async fn create(task: &Task<'_>, spec: &SecurityGroupSpec) -> Result<Object<SecurityGroup>> {
    let clients = task.clients();
    let tags = ec2::tag_specification(task, ResourceType::SecurityGroup);
    let created = task
        .call("ec2:CreateSecurityGroup", || {
            clients
                .ec2()
                .create_security_group()
                .vpc_id(spec.vpc.known())
                .group_name(&spec.name)
                .description(&spec.description)
                .tag_specifications(tags.clone())
                .send()
        })
        .await;
    let created = match created {
        Err(error) if error.already_exists() => return ours(task, spec, error).await,
        created => created?,
    };
    let id = created.group_id().ok_or_else(|| Error::incomplete("ec2:CreateSecurityGroup", "groupId"))?;
    let outputs = SecurityGroupOutputs { id: id.into() };
    task.identified(&outputs).await?;
    let spec = SecurityGroupSpec { default_egress: true, ..spec.clone() };
    Ok(Object { spec, outputs, tags: task.tags.clone() })
}

/// The group that has the name already, if an earlier attempt made it.
async fn ours(task: &Task<'_>, spec: &SecurityGroupSpec, error: Error) -> Result<Object<SecurityGroup>> {
    let clients = task.clients();
    let filters = [ec2::filter("vpc-id", spec.vpc.known().as_str()), ec2::filter("group-name", &spec.name)];
    let found = task
        .call("ec2:DescribeSecurityGroups", || {
            clients.ec2().describe_security_groups().set_filters(Some(filters.to_vec())).send()
        })
        .await?;
    let object = claimed(found.security_groups(), &task.tags, error)?;
    task.identified(&object.outputs).await?;
    Ok(object)
}

/// The group among those of one name, of which a VPC has one at most.
fn claimed(found: &[Group], desired: &Tags, refusal: Error) -> Result<Object<SecurityGroup>> {
    existing::claim(found.first().map(object), desired, refusal, |object| {
        format!(
            "the name {} is taken in the VPC by {}, a security group that is not of this deployment",
            object.spec.name, object.outputs.id
        )
    })
}

/// Looks whose rules name a group (`sgr.delete.references`). Those of somebody else's groups stay, so that waiting is no use.
async fn name_referrers(task: &Task<'_>, id: &str, error: Error) -> Result<Error> {
    let clients = task.clients();
    let (mut ours, mut foreign) = (BTreeSet::new(), BTreeSet::new());
    for name in ["ip-permission.group-id", "egress.ip-permission.group-id"] {
        let filter = ec2::filter(name, id);
        let found = task
            .call("ec2:DescribeSecurityGroups", || {
                clients.ec2().describe_security_groups().filters(filter.clone()).send()
            })
            .await?;
        for group in found.security_groups().iter().filter(|group| group.group_id() != Some(id)) {
            let referrers = if task.owns(&ec2::tags(group.tags())) { &mut ours } else { &mut foreign };
            referrers.insert(group.group_id().unwrap_or_default().to_owned());
        }
    }
    let names = |groups: BTreeSet<String>| groups.into_iter().collect::<Vec<_>>().join(", ");
    Ok(match (foreign.is_empty(), ours.is_empty()) {
        (false, _) => Error::Blocked(format!(
            "the security group {id} is named by rules of {}, which drctl did not make; delete these rules, then run this again",
            names(foreign)
        )),
        (true, false) => ec2::explain(error, &format!("rules of {} name it", names(ours))),
        (true, true) => error,
    })
}

/// Every protocol to everywhere: what AWS puts into a new group.
fn everything() -> IpPermission {
    IpPermission::builder().ip_protocol("-1").ip_ranges(IpRange::builder().cidr_ip("0.0.0.0/0").build()).build()
}

fn is_everything(permission: &IpPermission) -> bool {
    permission.ip_protocol() == Some("-1")
        && permission.ip_ranges().iter().any(|range| range.cidr_ip() == Some("0.0.0.0/0"))
}

async fn set_default_egress(task: &Task<'_>, id: &SecurityGroupId, on: bool) -> Result<()> {
    let clients = task.clients();
    let result = match on {
        true => {
            let authorize =
                || clients.ec2().authorize_security_group_egress().group_id(id).ip_permissions(everything()).send();
            task.call("ec2:AuthorizeSecurityGroupEgress", authorize).await.map(drop)
        }
        false => {
            let revoke =
                || clients.ec2().revoke_security_group_egress().group_id(id).ip_permissions(everything()).send();
            task.call("ec2:RevokeSecurityGroupEgress", revoke).await.map(drop)
        }
    };
    match result {
        Err(error) if error.is(&["InvalidPermission.NotFound", "InvalidPermission.Duplicate"]) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::Tag;

    use super::existing::tests::{refused, tags_of};
    use super::*;
    use crate::sdk_tags;

    /// `sg.create`
    #[test]
    fn a_group_that_an_earlier_try_made_is_taken_back_and_no_other() {
        let desired = tags_of("us-east-1/ec2_security_group/lambda");
        let claimed = |tags: Option<&Tags>| {
            let group = |tags: &Tags| Group::builder().group_id("sg-1").set_tags(Some(sdk_tags!(tags, Tag))).build();
            claimed(tags.map(group).as_slice(), &desired, refused("InvalidGroup.Duplicate"))
        };
        assert_eq!(claimed(Some(&desired)).expect("it is ours").outputs.id.as_str(), "sg-1");
        for foreign in [Tags::new(), tags_of("us-east-1/ec2_security_group/aurora")] {
            assert!(matches!(claimed(Some(&foreign)), Err(Error::Taken(told)) if told.contains("sg-1")));
        }
        assert!(claimed(None).is_err_and(|error| error.is(&["InvalidGroup.Duplicate"])));
    }

    /// A group whose first rule a crash left behind is seen as such; our own narrower rules are not taken for it.
    #[test]
    fn the_rule_of_a_new_group_is_recognised() {
        let https = IpPermission::builder()
            .ip_protocol("tcp")
            .from_port(443)
            .to_port(443)
            .ip_ranges(IpRange::builder().cidr_ip("0.0.0.0/0").build())
            .build();
        let group = |permission| object(&Group::builder().ip_permissions_egress(permission).build());
        assert!(group(everything()).spec.default_egress);
        assert!(!group(https).spec.default_egress);
    }
}
