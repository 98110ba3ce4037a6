//! `ec2_route_table_association`: which route table a subnet uses.
//!
//! Facts: `rta.create` (a subnet has at most one association of its own; it is found by the subnet), `rta.update` (taking over an
//! association gives it a new id), `rtb.delete` (a table cannot go while it is associated, so the association goes first).
//! Replacement: `table`, `subnet`. Slow: nothing.

use aws_sdk_ec2::operation::replace_route_table_association::ReplaceRouteTableAssociationOutput;
use aws_sdk_ec2::types::{
    Filter, RouteTable as Table, RouteTableAssociation as Association, RouteTableAssociationState,
    RouteTableAssociationStateCode,
};
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{Ref, RouteTableAssociationId, RouteTableId, SubnetId};

/// The kind.
#[derive(Debug)]
pub struct RouteTableAssociation;

/// The desired properties of an association.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTableAssociationSpec {
    /// The table.
    pub table: Ref<RouteTableId>,
    /// The subnet that uses it.
    pub subnet: Ref<SubnetId>,
}

outputs! {
    /// What is known of an association once it exists.
    pub struct RouteTableAssociationOutputs of RouteTableAssociation {
        /// The id, `rtbassoc-...`.
        id: RouteTableAssociationId,
        /// The subnet, by which it is found again.
        subnet: SubnetId,
    }
}

impl Kind for RouteTableAssociation {
    type Spec = RouteTableAssociationSpec;
    type Outputs = RouteTableAssociationOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_route_table_association",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["table", "subnet"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["ec2:DescribeRouteTables"],
            change: &["ec2:AssociateRouteTable", "ec2:ReplaceRouteTableAssociation", "ec2:DisassociateRouteTable"],
        },
        retries: &[
            Retry::seconds("ec2:AssociateRouteTable", "InvalidRouteTableID.NotFound", "", 120),
            Retry::seconds("ec2:AssociateRouteTable", "InvalidSubnetID.NotFound", "", 120),
            Retry::seconds("ec2:ReplaceRouteTableAssociation", "InvalidRouteTableID.NotFound", "", 120),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::apart("table"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let subnets: Vec<Option<SubnetId>> = wanted.iter().map(subnet).collect();
        let known: Vec<&SubnetId> = subnets.iter().flatten().collect();
        if known.is_empty() {
            return Ok(wanted.iter().map(|_| None).collect());
        }
        let tables = tables(context, &known).await?;
        let object = |subnet: &Option<SubnetId>| {
            let subnet = subnet.clone()?;
            let association = of_subnet(&tables, &subnet)?;
            let spec = RouteTableAssociationSpec {
                table: Ref::Known(association.route_table_id().unwrap_or_default().into()),
                subnet: Ref::Known(subnet.clone()),
            };
            let id = association.route_table_association_id().unwrap_or_default().into();
            Some(Object { spec, outputs: RouteTableAssociationOutputs { id, subnet }, tags: Tags::new() })
        };
        Ok(subnets.iter().map(object).collect())
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &RouteTableAssociationSpec,
        object: Option<Object<Self>>,
    ) -> Result<RouteTableAssociationOutputs> {
        let (table, subnet) = (spec.table.known(), spec.subnet.known());
        let (id, state) = match object {
            Some(object) if object.spec.table.known() == table => return Ok(object.outputs),
            Some(object) => take_over(task, &object.outputs.id, table).await?,
            None => associate(task, table, subnet).await?,
        };
        let outputs = RouteTableAssociationOutputs { id, subnet: subnet.clone() };
        task.identified(&outputs).await?;
        if state.is_some_and(|state| state.state() == Some(&RouteTableAssociationStateCode::Associating)) {
            task.wait("the route table to be associated", Patience::minutes(5), || associated(task, subnet)).await?;
        }
        Ok(outputs)
    }

    async fn delete(
        task: &Task<'_>,
        _: &RouteTableAssociationSpec,
        outputs: &RouteTableAssociationOutputs,
    ) -> Result<Deletion> {
        let clients = task.clients();
        let disassociate = || clients.ec2().disassociate_route_table().association_id(&outputs.id).send();
        match task.call("ec2:DisassociateRouteTable", disassociate).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

fn subnet(wanted: &Wanted<RouteTableAssociation>) -> Option<SubnetId> {
    match &wanted.outputs {
        Some(outputs) => Some(outputs.subnet.clone()),
        None => wanted.spec.subnet.get().cloned(),
    }
}

async fn tables(context: &Context, subnets: &[&SubnetId]) -> Result<Vec<Table>> {
    let clients = context.clients();
    let subnets = subnets.iter().map(|subnet| (*subnet).into()).collect();
    let filter = Filter::builder().name("association.subnet-id").set_values(Some(subnets)).build();
    list::all(
        context,
        "ec2:DescribeRouteTables",
        |token| clients.ec2().describe_route_tables().filters(filter.clone()).set_next_token(token).send(),
        |page| (page.route_tables.unwrap_or_default(), page.next_token),
    )
    .await
}

fn of_subnet<'a>(tables: &'a [Table], subnet: &SubnetId) -> Option<&'a Association> {
    tables.iter().flat_map(|table| table.associations()).find(|association| {
        let state = association.association_state().and_then(|state| state.state());
        association.subnet_id() == Some(subnet.as_str())
            && !matches!(
                state,
                Some(
                    RouteTableAssociationStateCode::Disassociating
                        | RouteTableAssociationStateCode::Disassociated
                        | RouteTableAssociationStateCode::Failed
                )
            )
    })
}

type Associated = (RouteTableAssociationId, Option<RouteTableAssociationState>);

async fn associate(task: &Task<'_>, table: &RouteTableId, subnet: &SubnetId) -> Result<Associated> {
    let clients = task.clients();
    let associated = task
        .call("ec2:AssociateRouteTable", || {
            clients.ec2().associate_route_table().route_table_id(table).subnet_id(subnet).send()
        })
        .await;
    match associated {
        // An association appeared since the look. The subnet is ours, so its association is, too.
        Err(error) if error.is(&["Resource.AlreadyAssociated"]) => {
            let tables = tables(task, &[subnet]).await?;
            let Some(present) = of_subnet(&tables, subnet) else { return Err(error) };
            let id = present.route_table_association_id().unwrap_or_default().into();
            match present.route_table_id() == Some(table.as_str()) {
                true => Ok((id, present.association_state().cloned())),
                false => take_over(task, &id, table).await,
            }
        }
        Err(error) => Err(error),
        Ok(answer) => {
            let id =
                answer.association_id.ok_or_else(|| Error::incomplete("ec2:AssociateRouteTable", "associationId"))?;
            Ok((id.into(), answer.association_state))
        }
    }
}

async fn take_over(task: &Task<'_>, id: &RouteTableAssociationId, table: &RouteTableId) -> Result<Associated> {
    let clients = task.clients();
    let answer = task
        .call("ec2:ReplaceRouteTableAssociation", || {
            clients.ec2().replace_route_table_association().association_id(id).route_table_id(table).send()
        })
        .await?;
    taken_over(answer)
}

/// The association after a change of its table, which is a new one (`rta.update`).
fn taken_over(answer: ReplaceRouteTableAssociationOutput) -> Result<Associated> {
    let id = answer.new_association_id;
    let id = id.ok_or_else(|| Error::incomplete("ec2:ReplaceRouteTableAssociation", "newAssociationId"))?;
    Ok((id.into(), answer.association_state))
}

async fn associated(task: &Task<'_>, subnet: &SubnetId) -> Result<Look<()>> {
    Ok(look(&tables(task, &[subnet]).await?, subnet))
}

fn look(tables: &[Table], subnet: &SubnetId) -> Look<()> {
    let state = of_subnet(tables, subnet).and_then(|association| association.association_state());
    match state.and_then(|state| state.state()) {
        Some(RouteTableAssociationStateCode::Associated) => Look::Ready(()),
        state => Look::Pending(state.map_or("not visible yet", |state| state.as_str()).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn association(subnet: &str, state: RouteTableAssociationStateCode) -> Association {
        let state = RouteTableAssociationState::builder().state(state).build();
        Association::builder().subnet_id(subnet).association_state(state).build()
    }

    /// `rta.create`
    #[test]
    fn an_association_is_usable_once_it_is_associated() {
        let seen =
            |state| look(&[Table::builder().associations(association("subnet-1", state)).build()], &"subnet-1".into());
        assert!(matches!(seen(RouteTableAssociationStateCode::Associating), Look::Pending(_)));
        assert!(matches!(seen(RouteTableAssociationStateCode::Associated), Look::Ready(())));
        assert!(matches!(look(&[], &"subnet-1".into()), Look::Pending(_)));
    }

    /// `rta.update`
    #[test]
    fn an_association_that_was_taken_over_has_its_new_id() {
        let answer = ReplaceRouteTableAssociationOutput::builder();
        let (id, _) = taken_over(answer.clone().new_association_id("rtbassoc-2").build()).expect("it has an id");
        assert_eq!(id.as_str(), "rtbassoc-2");
        assert!(matches!(taken_over(answer.build()), Err(Error::Incomplete { .. })));
    }

    /// A table may serve other subnets, and what is being taken away is already absent.
    #[test]
    fn only_a_live_association_of_the_subnet_counts() {
        let table = Table::builder()
            .associations(association("subnet-2", RouteTableAssociationStateCode::Associated))
            .associations(association("subnet-1", RouteTableAssociationStateCode::Disassociated))
            .build();
        assert_eq!(of_subnet(std::slice::from_ref(&table), &"subnet-1".into()), None);
        assert!(of_subnet(&[table], &"subnet-2".into()).is_some());
    }
}
