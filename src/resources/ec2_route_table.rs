//! `ec2_route_table`: a route table of a VPC; its routes and associations are resources of their own.
//!
//! Facts: `rtb.create` (idempotency token), `rtb.delete` (every association first), `rtb.limits`, `x.batch.ec2-by-tag`.
//! Replacement: `vpc`. Slow: nothing.

use aws_sdk_ec2::operation::create_route_table::CreateRouteTableInput;
use aws_sdk_ec2::operation::create_route_table::builders::CreateRouteTableInputBuilder;
use aws_sdk_ec2::types::{ResourceType, TagSpecification};
use serde::{Deserialize, Serialize};

use super::ec2;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::outputs;
use crate::reference::{Ref, RouteTableId, VpcId};

/// The kind.
#[derive(Debug)]
pub struct RouteTable;

/// The desired properties of a route table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTableSpec {
    /// The VPC it is part of.
    pub vpc: Ref<VpcId>,
}

outputs! {
    /// What is known of a route table once it exists.
    pub struct RouteTableOutputs of RouteTable {
        /// The id, `rtb-...`.
        id: RouteTableId,
    }
}

impl Kind for RouteTable {
    type Spec = RouteTableSpec;
    type Outputs = RouteTableOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_route_table",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["vpc"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["ec2:DescribeRouteTables"],
            change: &["ec2:CreateRouteTable", "ec2:DeleteRouteTable", "ec2:CreateTags", "ec2:DeleteTags"],
        },
        retries: &[
            Retry::seconds("ec2:CreateRouteTable", "InvalidVpcID.NotFound", "", 120),
            Retry::seconds("ec2:DeleteRouteTable", "DependencyViolation", "", 300),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let filters = ec2::filters(context, "route-table-id", wanted, |outputs| outputs.id.as_str());
        let found = context.each(&filters, |filter| ec2::route_tables(context, filter.clone())).await?;
        let object = |wanted| {
            let table = found.iter().flat_map(|some| some.iter()).find(|table| {
                let id = table.route_table_id();
                ec2::is(context, wanted, |outputs: &RouteTableOutputs| id == Some(outputs.id.as_str()), table.tags())
            })?;
            let spec = RouteTableSpec { vpc: Ref::Known(table.vpc_id().unwrap_or_default().into()) };
            let outputs = RouteTableOutputs { id: table.route_table_id().unwrap_or_default().into() };
            Some(Object { spec, outputs, tags: ec2::tags(table.tags()) })
        };
        Ok(wanted.iter().map(object).collect())
    }

    async fn ensure(task: &Task<'_>, spec: &RouteTableSpec, object: Option<Object<Self>>) -> Result<RouteTableOutputs> {
        let object = match object {
            Some(object) => object,
            None => return create(task, spec).await,
        };
        ec2::sync_tags(task, object.outputs.id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &RouteTableSpec, outputs: &RouteTableOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let delete = || clients.ec2().delete_route_table().route_table_id(&outputs.id).send();
        match task.call("ec2:DeleteRouteTable", delete).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn create(task: &Task<'_>, spec: &RouteTableSpec) -> Result<RouteTableOutputs> {
    let clients = task.clients();
    let tags = ec2::tag_specification(task, ResourceType::RouteTable);
    let created =
        task.call("ec2:CreateRouteTable", || request(spec, task.token, tags.clone()).send_with(clients.ec2())).await?;
    let id = created.route_table().and_then(|table| table.route_table_id());
    let id = id.ok_or_else(|| Error::incomplete("ec2:CreateRouteTable", "routeTableId"))?;
    let outputs = RouteTableOutputs { id: id.into() };
    task.identified(&outputs).await?;
    Ok(outputs)
}

fn request(spec: &RouteTableSpec, token: &str, tags: TagSpecification) -> CreateRouteTableInputBuilder {
    CreateRouteTableInput::builder().vpc_id(spec.vpc.known()).client_token(token).tag_specifications(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `rtb.create`: a repeat makes no second one.
    #[test]
    fn a_table_is_asked_for_with_its_token() {
        let spec = RouteTableSpec { vpc: Ref::Known("vpc-1".into()) };
        let request = request(&spec, "token", TagSpecification::builder().build());
        assert_eq!(request.get_client_token().as_deref(), Some("token"));
    }
}
