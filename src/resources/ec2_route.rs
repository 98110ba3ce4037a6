//! `ec2_route`: one route of a route table.
//!
//! Facts: `route.create` (no token and no tags: a table has one route per destination, and the table is ours),
//! `route.update` (the target changes in one step), `route.ignore` (routes that AWS makes are never touched), `route.gone`.
//! Replacement: `table`, `destination`. Slow: nothing.
//!
//! A new route is not read again until reads agree on it (`route.wait`): nothing refers to a route, and a run that misses one meets
//! `RouteAlreadyExists` and replaces it by the same. Nor is its state read. A blackhole is a route whose gateway is gone; the
//! gateway is made anew, and the route differs from then on by the gateway it leads to.

use aws_sdk_ec2::types::{Route as AwsRoute, RouteOrigin, RouteTable};
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted, ec2,
};
use crate::aws::Tags;
use crate::aws::error::Result;
use crate::outputs;
use crate::reference::{InternetGatewayId, NatGatewayId, Ref, RouteTableId};

/// The kind.
#[derive(Debug)]
pub struct Route;

/// The desired properties of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteSpec {
    /// The table it is part of.
    pub table: Ref<RouteTableId>,
    /// The addresses it is for, `0.0.0.0/0`.
    pub destination: String,
    /// Where their traffic goes.
    pub target: RouteTarget,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteTarget {
    /// To the internet and back.
    InternetGateway(Ref<InternetGatewayId>),
    /// To the internet, answers only.
    NatGateway(Ref<NatGatewayId>),
    /// To something that drctl never routes to: somebody changed the route.
    Other(String),
}

outputs! {
    /// What identifies a route once it exists.
    pub struct RouteOutputs of Route {
        /// The table it is part of.
        table: RouteTableId,
        /// The addresses it is for.
        destination: String,
    }
}

impl Kind for Route {
    type Spec = RouteSpec;
    type Outputs = RouteOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_route",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["table", "destination"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["ec2:DescribeRouteTables"],
            change: &["ec2:CreateRoute", "ec2:ReplaceRoute", "ec2:DeleteRoute"],
        },
        retries: &[
            Retry::seconds("ec2:CreateRoute", "InvalidRouteTableID.NotFound", "", 120),
            Retry::seconds("ec2:CreateRoute", "InvalidGatewayID.NotFound", "", 120),
            Retry::seconds("ec2:CreateRoute", "InvalidInternetGatewayID.NotFound", "", 120),
            Retry::seconds("ec2:CreateRoute", "InvalidNatGatewayID.NotFound", "", 120),
            Retry::seconds("ec2:CreateRoute", "NatGatewayNotFound", "", 120),
            Retry::seconds("ec2:ReplaceRoute", "InvalidRouteTableID.NotFound", "", 120),
            Retry::seconds("ec2:ReplaceRoute", "InvalidGatewayID.NotFound", "", 120),
            Retry::seconds("ec2:ReplaceRoute", "InvalidInternetGatewayID.NotFound", "", 120),
            Retry::seconds("ec2:ReplaceRoute", "InvalidNatGatewayID.NotFound", "", 120),
            Retry::seconds("ec2:ReplaceRoute", "NatGatewayNotFound", "", 120),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::named("table"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let identities: Vec<Option<RouteOutputs>> = wanted.iter().map(identity).collect();
        let tables: Vec<String> = identities.iter().flatten().map(|identity| (&identity.table).into()).collect();
        if tables.is_empty() {
            return Ok(wanted.iter().map(|_| None).collect());
        }
        let found = ec2::route_tables(context, ec2::one_of("route-table-id", tables)).await?;
        let object = |identity: Option<RouteOutputs>| {
            let outputs = identity?;
            let table = found.iter().find(|table| table.route_table_id() == Some(outputs.table.as_str()))?;
            let route = own(table, &outputs.destination)?;
            let spec = RouteSpec {
                table: Ref::Known(outputs.table.clone()),
                destination: outputs.destination.clone(),
                target: target(route),
            };
            Some(Object { spec, outputs, tags: Tags::new() })
        };
        Ok(identities.into_iter().map(object).collect())
    }

    async fn ensure(task: &Task<'_>, spec: &RouteSpec, object: Option<Object<Self>>) -> Result<RouteOutputs> {
        let outputs = RouteOutputs { table: spec.table.known().clone(), destination: spec.destination.clone() };
        match object {
            Some(object) if object.spec.target == spec.target => {}
            Some(_) => replace(task, spec).await?,
            None => match create(task, spec).await {
                // Only a repeat of our own call can have made it, or somebody in a table of ours: the target decides.
                Err(error) if error.already_exists() => replace(task, spec).await?,
                created => created?,
            },
        }
        task.identified(&outputs).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, _: &RouteSpec, outputs: &RouteOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("ec2:DeleteRoute", || {
                let request = clients.ec2().delete_route().route_table_id(&outputs.table);
                request.destination_cidr_block(&outputs.destination).send()
            })
            .await;
        match deleted {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

/// What to look for: the recorded route, else the wanted one once its table is known.
fn identity(wanted: &Wanted<Route>) -> Option<RouteOutputs> {
    wanted.outputs.clone().or_else(|| {
        let table = wanted.spec.table.get()?.clone();
        Some(RouteOutputs { table, destination: wanted.spec.destination.clone() })
    })
}

/// The route that somebody made for a destination. Those that the table came with, and those that a virtual private gateway
/// propagates, are AWS's own (`route.ignore`); AWS lets one of ours stand beside them.
fn own<'a>(table: &'a RouteTable, destination: &str) -> Option<&'a AwsRoute> {
    let by_aws = |route: &AwsRoute| {
        matches!(route.origin(), Some(RouteOrigin::CreateRouteTable | RouteOrigin::EnableVgwRoutePropagation))
    };
    table.routes().iter().find(|route| route.destination_cidr_block() == Some(destination) && !by_aws(route))
}

fn target(route: &AwsRoute) -> RouteTarget {
    match (route.gateway_id(), route.nat_gateway_id()) {
        (Some(id), _) if id.starts_with("igw-") => RouteTarget::InternetGateway(Ref::Known(id.into())),
        (_, Some(id)) => RouteTarget::NatGateway(Ref::Known(id.into())),
        (Some(id), _) => RouteTarget::Other(id.to_owned()),
        _ => {
            let id = route.vpc_peering_connection_id().or(route.transit_gateway_id()).or(route.network_interface_id());
            RouteTarget::Other(id.unwrap_or("unknown").to_owned())
        }
    }
}

/// The two fields by which AWS takes a target: an internet gateway's and a NAT gateway's.
fn target_ids(target: &RouteTarget) -> (Option<String>, Option<String>) {
    match target {
        RouteTarget::InternetGateway(id) => (Some(id.known().into()), None),
        RouteTarget::NatGateway(id) => (None, Some(id.known().into())),
        RouteTarget::Other(id) => (Some(id.clone()), None),
    }
}

async fn create(task: &Task<'_>, spec: &RouteSpec) -> Result<()> {
    let clients = task.clients();
    let (gateway, nat) = target_ids(&spec.target);
    task.call("ec2:CreateRoute", || {
        let request = clients.ec2().create_route().route_table_id(spec.table.known());
        let request = request.destination_cidr_block(&spec.destination);
        request.set_gateway_id(gateway.clone()).set_nat_gateway_id(nat.clone()).send()
    })
    .await
    .map(drop)
}

async fn replace(task: &Task<'_>, spec: &RouteSpec) -> Result<()> {
    let clients = task.clients();
    let (gateway, nat) = target_ids(&spec.target);
    task.call("ec2:ReplaceRoute", || {
        let request = clients.ec2().replace_route().route_table_id(spec.table.known());
        let request = request.destination_cidr_block(&spec.destination);
        request.set_gateway_id(gateway.clone()).set_nat_gateway_id(nat.clone()).send()
    })
    .await
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::RouteState;

    #[test]
    fn targets_are_read_back_as_they_were_set() {
        let nat = AwsRoute::builder().nat_gateway_id("nat-1").build();
        assert_eq!(target(&nat), RouteTarget::NatGateway(Ref::Known("nat-1".into())));
        let gateway = AwsRoute::builder().gateway_id("igw-1").build();
        assert_eq!(target(&gateway), RouteTarget::InternetGateway(Ref::Known("igw-1".into())));
        let peering = AwsRoute::builder().vpc_peering_connection_id("pcx-1").build();
        assert_eq!(target(&peering), RouteTarget::Other("pcx-1".into()));
    }

    /// `route.create`, `x.codes.ec2-aliases`: a new gateway is unknown for seconds, to whichever call names it, and in several spellings.
    #[test]
    fn a_target_that_is_not_known_yet_is_waited_for_by_both_calls() {
        let codes = |operation: &str| -> Vec<&str> {
            Route::TRAITS.retries.iter().filter(|retry| retry.operation == operation).map(|retry| retry.code).collect()
        };
        assert_eq!(codes("ec2:ReplaceRoute"), codes("ec2:CreateRoute"));
        assert!(codes("ec2:ReplaceRoute").contains(&"NatGatewayNotFound"));
    }

    /// `route.ignore`
    #[test]
    fn routes_that_aws_makes_are_not_ours() {
        let route = |origin: &str| AwsRoute::builder().destination_cidr_block("0.0.0.0/0").origin(origin.into());
        let table = |routes: Vec<AwsRoute>| RouteTable::builder().set_routes(Some(routes)).build();
        let ours = route("CreateRoute").nat_gateway_id("nat-1").build();
        for origin in ["CreateRouteTable", "EnableVgwRoutePropagation"] {
            let theirs = route(origin).gateway_id("vgw-1").build();
            assert_eq!(own(&table(vec![theirs.clone()]), "0.0.0.0/0"), None, "{origin}");
            assert_eq!(own(&table(vec![theirs, ours.clone()]), "0.0.0.0/0"), Some(&ours), "{origin}");
        }
        let endpoint = AwsRoute::builder().destination_prefix_list_id("pl-1").origin(RouteOrigin::CreateRoute).build();
        assert_eq!(own(&table(vec![endpoint]), "0.0.0.0/0"), None);
    }

    /// `route.wait`: it is there, so that it is not made a second time, and leads elsewhere than to the gateway made anew.
    #[test]
    fn a_blackhole_is_a_difference_only_by_its_target() {
        let route = AwsRoute::builder().destination_cidr_block("0.0.0.0/0").nat_gateway_id("nat-1");
        let route = route.origin(RouteOrigin::CreateRoute);
        let read = |state: RouteState| {
            let table = RouteTable::builder().routes(route.clone().state(state).build()).build();
            own(&table, "0.0.0.0/0").map(target)
        };
        let to = |id: &str| Some(RouteTarget::NatGateway(Ref::Known(id.into())));
        assert_eq!((read(RouteState::Active), read(RouteState::Blackhole)), (to("nat-1"), to("nat-1")));
        assert_ne!(read(RouteState::Blackhole), to("nat-2"));
    }

    /// A route whose destination the plan changed is still found by its record, so that it is replaced and not forgotten.
    #[test]
    fn a_recorded_route_is_looked_for_where_it_was() {
        let address = crate::address::Address::new(crate::address::Scope::region("us-east-1"), "ec2_route", "a");
        let spec = RouteSpec {
            table: Ref::Known("rtb-1".into()),
            destination: "0.0.0.0/0".into(),
            target: RouteTarget::NatGateway(Ref::Known("nat-1".into())),
        };
        let recorded = RouteOutputs { table: "rtb-1".into(), destination: "10.9.0.0/16".into() };
        let wanted = Wanted { address, spec, outputs: Some(recorded.clone()) };
        assert_eq!(identity(&wanted), Some(recorded));
        let unrecorded = identity(&Wanted { outputs: None, ..wanted });
        assert_eq!(unrecorded.unwrap().destination, "0.0.0.0/0");
    }
}
