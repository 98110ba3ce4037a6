//! `rds_subnet_group`: the subnets in which the instances of a region's cluster may stand.
//!
//! Facts: `rds.subnetgroup.create` (two zones at least; the name is stored in lower case), `rds.subnetgroup.delete` (in use
//! until the last instance is gone), `x.error-code-wire`. Found by its name.
//! Replacement: `name`. Slow: nothing.

use aws_sdk_rds::types::DbSubnetGroup;
use serde::{Deserialize, Serialize};

use super::rds;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::outputs;
use crate::reference::{RefSet, SubnetGroupName, SubnetId};

/// The kind.
#[derive(Debug)]
pub struct SubnetGroup;

/// The desired properties of a subnet group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubnetGroupSpec {
    /// The name, in lower case.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The subnets, in at least two zones.
    pub subnets: RefSet<SubnetId>,
}

outputs! {
    /// What is known of a subnet group once it exists.
    pub struct SubnetGroupOutputs of SubnetGroup {
        /// The name.
        name: SubnetGroupName,
    }
}

impl Kind for SubnetGroup {
    type Spec = SubnetGroupSpec;
    type Outputs = SubnetGroupOutputs;

    const HOLDS: &'static [&'static str] = &["subnets"];

    const TRAITS: Traits = Traits {
        name: "rds_subnet_group",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["rds:DescribeDBSubnetGroups", "rds:ListTagsForResource", "tag:GetResources"],
            change: &[
                "rds:CreateDBSubnetGroup",
                "rds:ModifyDBSubnetGroup",
                "rds:DeleteDBSubnetGroup",
                "rds:AddTagsToResource",
                "rds:RemoveTagsFromResource",
                "iam:CreateServiceLinkedRole",
            ],
        },
        retries: &[Retry::seconds("rds:DeleteDBSubnetGroup", "InvalidDBSubnetGroupStateFault", "", 180)],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| find(context, &wanted.spec)).await
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &SubnetGroupSpec,
        object: Option<Object<Self>>,
    ) -> Result<SubnetGroupOutputs> {
        let object = match object {
            Some(object) => object,
            None => match create(task, spec).await {
                Err(error) if error.is(&["DBSubnetGroupAlreadyExists"]) => {
                    let found = find(task, spec).await?.filter(|object| task.owns(&object.tags));
                    found.ok_or_else(|| rds::taken("a database subnet group named", &spec.name, task))?
                }
                created => created?,
            },
        };
        if object.spec != *spec {
            let clients = task.clients();
            task.call("rds:ModifyDBSubnetGroup", || {
                let request = clients.rds().modify_db_subnet_group().db_subnet_group_name(&spec.name);
                request.db_subnet_group_description(&spec.description).set_subnet_ids(Some(subnets(spec))).send()
            })
            .await?;
        }
        rds::sync_tags(task, &rds::arn(task, "subgrp", &spec.name), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &SubnetGroupSpec, outputs: &SubnetGroupOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let name = &outputs.name;
        let deleted = task
            .call("rds:DeleteDBSubnetGroup", || {
                clients.rds().delete_db_subnet_group().db_subnet_group_name(name).send()
            })
            .await;
        match deleted {
            Err(error) if error.is_gone() => return Ok(Deletion::Gone),
            deleted => drop(deleted?),
        }
        task.wait("the subnet group to be gone", Patience::minutes(3), || async {
            Ok(match describe(task, name.as_str()).await? {
                None => Look::Ready(Deletion::Gone),
                Some(_) => Look::Pending("still there".to_owned()),
            })
        })
        .await
    }
}

async fn create(task: &Task<'_>, spec: &SubnetGroupSpec) -> Result<Object<SubnetGroup>> {
    let clients = task.clients();
    let tags = rds::sdk_tags(&task.tags);
    task.call("rds:CreateDBSubnetGroup", || {
        let request = clients.rds().create_db_subnet_group().db_subnet_group_name(&spec.name);
        let request = request.db_subnet_group_description(&spec.description).set_subnet_ids(Some(subnets(spec)));
        request.set_tags(Some(tags.clone())).send()
    })
    .await?;
    let outputs = SubnetGroupOutputs { name: spec.name.as_str().into() };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

fn subnets(spec: &SubnetGroupSpec) -> Vec<String> {
    spec.subnets.known().map(String::from).collect()
}

async fn find(context: &Context, wanted: &SubnetGroupSpec) -> Result<Option<Object<SubnetGroup>>> {
    let Some(group) = describe(context, &wanted.name).await? else { return Ok(None) };
    let tags = rds::list_tags(context, &rds::arn(context, "subgrp", &wanted.name)).await?;
    let found = group.subnets().iter().filter_map(|subnet| subnet.subnet_identifier());
    let subnets = found.map(SubnetId::from).collect();
    let spec = SubnetGroupSpec {
        name: wanted.name.clone(),
        description: group.db_subnet_group_description().unwrap_or_default().to_owned(),
        subnets,
    };
    Ok(Some(Object { spec, outputs: SubnetGroupOutputs { name: wanted.name.as_str().into() }, tags }))
}

async fn describe(context: &Context, name: &str) -> Result<Option<DbSubnetGroup>> {
    let clients = context.clients();
    rds::confirmed(|| async {
        let answer = context
            .call("rds:DescribeDBSubnetGroups", || {
                clients.rds().describe_db_subnet_groups().db_subnet_group_name(name).send()
            })
            .await?;
        let mut groups = answer.db_subnet_groups.unwrap_or_default().into_iter();
        Ok(groups.find(|group| group.db_subnet_group_name() == Some(name)))
    })
    .await
}
