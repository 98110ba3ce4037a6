//! `ec2_vpc_endpoint`: a private way from a VPC to a service of AWS.
//!
//! Gateway endpoints (S3, DynamoDB) put a route into route tables and cost nothing; interface endpoints put an interface into
//! each subnet. Facts: `vpce.create.call`, `vpce.create.private-dns`, `vpce.create.gateway-conflict` (tried again while an earlier
//! endpoint goes), `vpce.wait`, `vpce.wait.state-case`, `vpce.read.gone`, `vpce.update`, `vpce.delete`, `vpce.limits` (a full quota is
//! final), `x.partial-200`. Replacement: `vpc`, `service`, `type`. Slow: interface endpoints, minutes both ways.

use std::collections::BTreeSet;

use aws_sdk_ec2::operation::create_vpc_endpoint::CreateVpcEndpointInput;
use aws_sdk_ec2::operation::create_vpc_endpoint::builders::CreateVpcEndpointInputBuilder;
use aws_sdk_ec2::types::{Filter, ResourceType, TagSpecification, VpcEndpoint as Endpoint, VpcEndpointType};
use serde::{Deserialize, Serialize};

use super::ec2;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::outputs;
use crate::reference::{PrefixListId, Ref, RefSet, RouteTableId, SecurityGroupId, SubnetId, VpcEndpointId, VpcId};

/// The kind.
#[derive(Debug)]
pub struct VpcEndpoint;

/// The desired properties of an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VpcEndpointSpec {
    /// The VPC it is part of.
    pub vpc: Ref<VpcId>,
    /// The service, `com.amazonaws.us-east-1.s3`.
    pub service: String,
    /// How traffic finds it.
    pub r#type: EndpointType,
    /// The route tables that lead to a gateway endpoint.
    pub route_tables: RefSet<RouteTableId>,
    /// The subnets that an interface endpoint has an interface in, at most one per zone.
    pub subnets: RefSet<SubnetId>,
    /// The groups of those interfaces.
    pub security_groups: RefSet<SecurityGroupId>,
    /// Whether the service's usual host name leads to an interface endpoint.
    pub private_dns: bool,
}

/// How traffic finds an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointType {
    /// By routes.
    Gateway,
    /// By addresses in the subnets.
    Interface,
}

outputs! {
    /// What is known of an endpoint once it exists.
    pub struct VpcEndpointOutputs of VpcEndpoint {
        /// The id, `vpce-...`.
        id: VpcEndpointId,
        /// The list of the service's addresses, for rules of security groups; empty for an interface endpoint.
        prefix_list: PrefixListId,
    }
}

const AVAILABLE: Patience = Patience::seconds(10 * 60, 5);

impl Kind for VpcEndpoint {
    type Spec = VpcEndpointSpec;
    type Outputs = VpcEndpointOutputs;

    const HOLDS: &'static [&'static str] = &["route_tables", "security_groups", "subnets"];

    const TRAITS: Traits = Traits {
        name: "ec2_vpc_endpoint",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["vpc", "service", "type"],
        locked_by: None,
        expected: Expected::seconds(10, 10, 20),
        permissions: Permissions {
            read: &["ec2:DescribeVpcEndpoints", "ec2:DescribePrefixLists"],
            change: &[
                "ec2:CreateVpcEndpoint",
                "ec2:ModifyVpcEndpoint",
                "ec2:DeleteVpcEndpoints",
                "ec2:CreateTags",
                "ec2:DeleteTags",
                // Private DNS makes AWS tie a hidden hosted zone to the VPC in the caller's name.
                "route53:AssociateVPCWithHostedZone",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
        },
        retries: &[
            Retry::seconds("ec2:CreateVpcEndpoint", "InvalidVpcId.NotFound", "", 120),
            Retry::seconds("ec2:CreateVpcEndpoint", "InvalidRouteTableId.NotFound", "", 120),
            Retry::seconds("ec2:CreateVpcEndpoint", "InvalidSubnetId.NotFound", "", 120),
            Retry::seconds("ec2:CreateVpcEndpoint", "InvalidSecurityGroupID.NotFound", "", 120),
            Retry::seconds("ec2:ModifyVpcEndpoint", "InvalidRouteTableId.NotFound", "", 120),
            Retry::seconds("ec2:ModifyVpcEndpoint", "InvalidSubnetId.NotFound", "", 120),
            Retry::seconds("ec2:ModifyVpcEndpoint", "InvalidSecurityGroupID.NotFound", "", 120),
            // An earlier endpoint for the same service is still being deleted.
            Retry::seconds("ec2:CreateVpcEndpoint", "InvalidParameter", "conflicting DNS domain", 600),
            Retry::seconds("ec2:CreateVpcEndpoint", "RouteAlreadyExists", "", 300),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let found = ec2::describe(
            context,
            "ec2:DescribeVpcEndpoints",
            "vpc-endpoint-id",
            wanted,
            |outputs: &VpcEndpointOutputs| outputs.id.as_str(),
            |filter, token| clients.ec2().describe_vpc_endpoints().filters(filter).set_next_token(token).send(),
            |page| (page.vpc_endpoints, page.next_token),
        )
        .await?;
        list::each_tells(&found, |one| one.vpc_endpoint_id(), "ec2:DescribeVpcEndpoints", "vpcEndpointId")?;
        let endpoints: Vec<Option<&Endpoint>> = wanted
            .iter()
            .map(|wanted| {
                found.iter().filter(|endpoint| is_present(endpoint)).find(|endpoint| {
                    let id = endpoint.vpc_endpoint_id();
                    ec2::is(
                        context,
                        wanted,
                        |outputs: &VpcEndpointOutputs| id == Some(outputs.id.as_str()),
                        endpoint.tags(),
                    )
                })
            })
            .collect();
        let specs: Vec<Option<VpcEndpointSpec>> = endpoints.iter().map(|endpoint| endpoint.map(spec)).collect();
        let services = specs.iter().flatten().filter(|spec| spec.r#type == EndpointType::Gateway);
        let lists = prefix_lists(context, services.map(|spec| spec.service.clone()).collect()).await?;
        let object = |(endpoint, spec): (Option<&Endpoint>, Option<VpcEndpointSpec>)| {
            let (endpoint, spec) = (endpoint?, spec?);
            let prefix_list = lists.iter().find(|(service, _)| *service == spec.service).map(|(_, id)| id.clone());
            let outputs = VpcEndpointOutputs {
                id: endpoint.vpc_endpoint_id().unwrap_or_default().into(),
                prefix_list: prefix_list.unwrap_or_default(),
            };
            Some(Object { spec, outputs, tags: ec2::tags(endpoint.tags()) })
        };
        Ok(endpoints.into_iter().zip(specs).map(object).collect())
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &VpcEndpointSpec,
        object: Option<Object<Self>>,
    ) -> Result<VpcEndpointOutputs> {
        let Some(object) = object else { return create(task, spec).await };
        // It may still be pending: an earlier run ended while it waited.
        task.wait("the endpoint to be available", AVAILABLE, || available(task, &object.outputs.id)).await?;
        if object.spec != *spec {
            modify(task, &object.outputs.id, &object.spec, spec).await?;
            task.wait("the endpoint to be available", AVAILABLE, || available(task, &object.outputs.id)).await?;
        }
        ec2::sync_tags(task, object.outputs.id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &VpcEndpointSpec, outputs: &VpcEndpointOutputs) -> Result<Deletion> {
        let (clients, id) = (task.clients(), &outputs.id);
        let deleted = task
            .call_checked(
                "ec2:DeleteVpcEndpoints",
                || clients.ec2().delete_vpc_endpoints().vpc_endpoint_ids(id).send(),
                |answer| ec2::accepted("ec2:DeleteVpcEndpoints", answer.unsuccessful()),
            )
            .await;
        match deleted {
            Err(error) if !error.is_gone() => return Err(error),
            _ => {}
        }
        task.wait("the endpoint to be deleted", Patience::minutes(10), || async {
            Ok(match state(task, id).await? {
                None => Look::Ready(Deletion::Gone),
                Some(state) if state == "deleted" => Look::Ready(Deletion::Gone),
                Some(state) => Look::Pending(state),
            })
        })
        .await
    }
}

/// What AWS still shows of endpoints that are going or gone is absent.
fn is_present(endpoint: &Endpoint) -> bool {
    !matches!(ec2::endpoint_state(endpoint).as_str(), "deleting" | "deleted" | "failed" | "rejected" | "expired")
}

fn spec(endpoint: &Endpoint) -> VpcEndpointSpec {
    let groups = endpoint.groups().iter().filter_map(|group| group.group_id());
    VpcEndpointSpec {
        vpc: Ref::Known(endpoint.vpc_id().unwrap_or_default().into()),
        service: endpoint.service_name().unwrap_or_default().to_owned(),
        r#type: match endpoint.vpc_endpoint_type() {
            Some(VpcEndpointType::Interface) => EndpointType::Interface,
            _ => EndpointType::Gateway,
        },
        route_tables: endpoint.route_table_ids().iter().map(|id| RouteTableId::from(id.as_str())).collect(),
        subnets: endpoint.subnet_ids().iter().map(|id| SubnetId::from(id.as_str())).collect(),
        security_groups: groups.map(SecurityGroupId::from).collect(),
        private_dns: endpoint.private_dns_enabled().unwrap_or_default(),
    }
}

/// The prefix lists of services, whose names are the services' own.
async fn prefix_lists(context: &Context, services: BTreeSet<String>) -> Result<Vec<(String, PrefixListId)>> {
    if services.is_empty() {
        return Ok(Vec::new());
    }
    let clients = context.clients();
    let services: Vec<String> = services.into_iter().collect();
    let filter = Filter::builder().name("prefix-list-name").set_values(Some(services)).build();
    let found = context
        .call("ec2:DescribePrefixLists", || clients.ec2().describe_prefix_lists().filters(filter.clone()).send())
        .await?;
    let list = |list: &aws_sdk_ec2::types::PrefixList| {
        Some((list.prefix_list_name()?.to_owned(), list.prefix_list_id()?.into()))
    };
    Ok(found.prefix_lists().iter().filter_map(list).collect())
}

async fn create(task: &Task<'_>, spec: &VpcEndpointSpec) -> Result<VpcEndpointOutputs> {
    let prefix_list = match spec.r#type {
        EndpointType::Gateway => {
            prefix_lists(task, BTreeSet::from([spec.service.clone()])).await?.pop().map(|(_, id)| id)
        }
        EndpointType::Interface => None,
    };
    let clients = task.clients();
    let tags = ec2::tag_specification(task, ResourceType::VpcEndpoint);
    let created =
        task.call("ec2:CreateVpcEndpoint", || request(spec, task.token, tags.clone()).send_with(clients.ec2())).await?;
    let endpoint = created.vpc_endpoint().ok_or_else(|| Error::incomplete("ec2:CreateVpcEndpoint", "vpcEndpoint"))?;
    let outputs = VpcEndpointOutputs {
        id: endpoint.vpc_endpoint_id().unwrap_or_default().into(),
        prefix_list: prefix_list.unwrap_or_default(),
    };
    task.identified(&outputs).await?;
    if ec2::endpoint_state(endpoint) != "available" {
        task.wait("the endpoint to be available", AVAILABLE, || available(task, &outputs.id)).await?;
    }
    Ok(outputs)
}

fn request(spec: &VpcEndpointSpec, token: &str, tags: TagSpecification) -> CreateVpcEndpointInputBuilder {
    let request = CreateVpcEndpointInput::builder()
        .vpc_id(spec.vpc.known())
        .service_name(&spec.service)
        .client_token(token)
        .tag_specifications(tags);
    match spec.r#type {
        EndpointType::Gateway => request
            .vpc_endpoint_type(VpcEndpointType::Gateway)
            .set_route_table_ids(Some(spec.route_tables.known().map(String::from).collect())),
        EndpointType::Interface => request
            .vpc_endpoint_type(VpcEndpointType::Interface)
            .set_subnet_ids(Some(spec.subnets.known().map(String::from).collect()))
            .set_security_group_ids(Some(spec.security_groups.known().map(String::from).collect()))
            .private_dns_enabled(spec.private_dns),
    }
}

async fn modify(task: &Task<'_>, id: &VpcEndpointId, from: &VpcEndpointSpec, to: &VpcEndpointSpec) -> Result<()> {
    let clients = task.clients();
    let (add_tables, remove_tables) = changes(from.route_tables.known(), to.route_tables.known());
    let (add_subnets, remove_subnets) = changes(from.subnets.known(), to.subnets.known());
    let (add_groups, remove_groups) = changes(from.security_groups.known(), to.security_groups.known());
    task.call("ec2:ModifyVpcEndpoint", || {
        clients
            .ec2()
            .modify_vpc_endpoint()
            .vpc_endpoint_id(id)
            .set_add_route_table_ids(add_tables.clone())
            .set_remove_route_table_ids(remove_tables.clone())
            .set_add_subnet_ids(add_subnets.clone())
            .set_remove_subnet_ids(remove_subnets.clone())
            .set_add_security_group_ids(add_groups.clone())
            .set_remove_security_group_ids(remove_groups.clone())
            .set_private_dns_enabled((from.private_dns != to.private_dns).then_some(to.private_dns))
            .send()
    })
    .await
    .map(drop)
}

type Changes = (Option<Vec<String>>, Option<Vec<String>>);

/// What to add and what to remove; AWS refuses empty lists.
fn changes<'a, T>(from: impl Iterator<Item = &'a T>, to: impl Iterator<Item = &'a T>) -> Changes
where
    T: 'a,
    String: From<&'a T>,
{
    let (from, to): (BTreeSet<String>, BTreeSet<String>) =
        (from.map(String::from).collect(), to.map(String::from).collect());
    let list = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
        let difference: Vec<String> = a.difference(b).cloned().collect();
        (!difference.is_empty()).then_some(difference)
    };
    (list(&to, &from), list(&from, &to))
}

async fn available(task: &Task<'_>, id: &VpcEndpointId) -> Result<Look<()>> {
    look(id, state(task, id).await?.as_deref())
}

/// What a state says to one who waits for the endpoint (`vpce.wait`).
fn look(id: &VpcEndpointId, state: Option<&str>) -> Result<Look<()>> {
    match state {
        Some("available") => Ok(Look::Ready(())),
        Some(state @ ("failed" | "rejected" | "expired" | "deleting" | "deleted")) => {
            Err(Error::Failed(format!("the endpoint {id} is {state}")))
        }
        state => Ok(Look::Pending(state.unwrap_or("not visible yet").to_owned())),
    }
}

async fn state(task: &Task<'_>, id: &VpcEndpointId) -> Result<Option<String>> {
    let clients = task.clients();
    let filter = ec2::filter("vpc-endpoint-id", id.as_str());
    let found = task
        .call("ec2:DescribeVpcEndpoints", || clients.ec2().describe_vpc_endpoints().filters(filter.clone()).send())
        .await?;
    let endpoint = found.vpc_endpoints().iter().find(|endpoint| endpoint.vpc_endpoint_id() == Some(id.as_str()));
    Ok(endpoint.map(ec2::endpoint_state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_added_and_removed() {
        let ids = |ids: &[&str]| ids.iter().map(|id| RouteTableId::from(*id)).collect::<Vec<_>>();
        let (from, to) = (ids(&["a", "b"]), ids(&["b", "c"]));
        let expected = (Some(vec!["c".to_owned()]), Some(vec!["a".to_owned()]));
        assert_eq!(changes(from.iter(), to.iter()), expected);
        assert_eq!(changes(to.iter(), to.iter()), (None, None));
    }

    /// `vpce.wait.state-case`
    #[test]
    fn states_are_read_in_either_case() {
        let endpoint = |state: &str| Endpoint::builder().state(state.into()).build();
        assert_eq!(ec2::endpoint_state(&endpoint("available")), ec2::endpoint_state(&endpoint("Available")));
        assert!(is_present(&endpoint("pending")) && is_present(&endpoint("Available")));
        for gone in ["Deleting", "deleting", "Deleted", "deleted", "failed", "rejected", "expired"] {
            assert!(!is_present(&endpoint(gone)), "{gone}");
        }
    }

    /// `vpce.wait`
    #[test]
    fn an_endpoint_that_fails_ends_the_wait() {
        let seen = |state| look(&"vpce-1".into(), state);
        for state in ["failed", "rejected", "expired", "deleting", "deleted"] {
            assert!(matches!(seen(Some(state)), Err(Error::Failed(told)) if told.contains(state)));
        }
        for state in [Some("pending"), Some("pendingacceptance"), None] {
            assert!(matches!(seen(state), Ok(Look::Pending(_))), "{state:?}");
        }
        assert!(matches!(seen(Some("available")), Ok(Look::Ready(()))));
    }

    /// `vpce.create.call`: a repeat makes no second one, and AWS refuses to either type what is the other's.
    #[test]
    fn an_endpoint_is_asked_for_with_its_token_and_what_its_type_takes() {
        let request = |r#type| {
            let spec = VpcEndpointSpec {
                vpc: Ref::Known("vpc-1".into()),
                service: "com.amazonaws.us-east-1.s3".to_owned(),
                r#type,
                route_tables: [RouteTableId::from("rtb-1")].into_iter().collect(),
                subnets: [SubnetId::from("subnet-1")].into_iter().collect(),
                security_groups: [SecurityGroupId::from("sg-1")].into_iter().collect(),
                private_dns: true,
            };
            let request = request(&spec, "token", TagSpecification::builder().build());
            assert_eq!(request.get_client_token().as_deref(), Some("token"));
            let ids = (request.get_route_table_ids(), request.get_subnet_ids(), request.get_security_group_ids());
            let (tables, subnets, groups) = ids;
            let first =
                |ids: &Option<Vec<String>>| ids.as_ref().and_then(|ids| ids.first().cloned()).unwrap_or_default();
            (first(tables), first(subnets), first(groups), *request.get_private_dns_enabled())
        };
        let texts = |[a, b, c]: [&str; 3]| (a.to_owned(), b.to_owned(), c.to_owned());
        let (tables, subnets, groups) = texts(["rtb-1", "", ""]);
        assert_eq!(request(EndpointType::Gateway), (tables, subnets, groups, None));
        let (tables, subnets, groups) = texts(["", "subnet-1", "sg-1"]);
        assert_eq!(request(EndpointType::Interface), (tables, subnets, groups, Some(true)));
    }
}
