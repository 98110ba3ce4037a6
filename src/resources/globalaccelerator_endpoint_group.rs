//! `globalaccelerator_endpoint_group`: where a listener of an accelerator sends the traffic of one region.
//!
//! Facts: `ga.region`, `ga.epg.create` (one group per region and listener; the region is fixed; a token; no tags),
//! `ga.epg.update-replaces` (the whole list of endpoints), `ga.health` (of load balancers the target groups decide, the settings
//! here count for other endpoints only), `ga.internal-alb` (an internet gateway must be attached to the VPC),
//! `ga.status-shared`, `ga.eni-sg` (interfaces and a security group that AWS puts into the VPC and leaves there),
//! `ga.delete`, `ga.delete.before-alb`.
//! Replacement: `accelerator`, `listener`, `region`. Slow: every change, 1 to 5 minutes; deletion waits for the interfaces too.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Filter;
use aws_sdk_globalaccelerator::types::{EndpointConfiguration, EndpointGroup as Described, HealthCheckProtocol};
use serde::{Deserialize, Serialize};

use super::ec2;
use super::globalaccelerator::{clients, deployed, in_progress};
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted,
};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{
    AcceleratorArn, AcceleratorListenerArn, EndpointGroupArn, InternetGatewayId, LoadBalancerArn, Ref, VpcId,
};

/// The name of the security group that AWS makes for the interfaces of accelerators.
const GROUP: &str = "GlobalAccelerator";

/// The kind.
#[derive(Debug)]
pub struct EndpointGroup;

/// The desired properties of an endpoint group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointGroupSpec {
    /// The accelerator, which takes one change at a time.
    pub accelerator: Ref<AcceleratorArn>,
    /// The listener it is part of.
    pub listener: Ref<AcceleratorListenerArn>,
    /// The region of the endpoints.
    pub region: String,
    /// The VPC of the endpoints, in which AWS leaves a security group behind.
    pub vpc: Ref<VpcId>,
    /// The internet gateway that must be attached to that VPC, although no traffic passes it.
    pub internet_gateway: Ref<InternetGatewayId>,
    /// Where the traffic goes.
    pub endpoints: Vec<Endpoint>,
    /// Percent of the traffic near the region that goes here, while any endpoint is healthy.
    pub traffic_percent: u32,
    /// How endpoints that are no load balancers would be found to be healthy.
    pub health_check: EndpointHealthCheck,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The load balancer.
    pub load_balancer: Ref<LoadBalancerArn>,
    /// Its share among the endpoints of the group, 0 to 255.
    pub weight: u8,
}

/// How an endpoint is found to be healthy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointHealthCheck {
    /// `TCP`, `HTTP` or `HTTPS`.
    pub protocol: String,
    /// The port.
    pub port: u16,
    /// The path of the request; of no use with TCP.
    pub path: String,
    /// Seconds between two checks: 10 or 30.
    pub interval_seconds: u32,
    /// Equal results in a row, 1 to 10, that change an endpoint's health.
    pub threshold: u32,
}

outputs! {
    /// What is known of an endpoint group once it exists.
    pub struct EndpointGroupOutputs of EndpointGroup {
        /// The ARN.
        arn: EndpointGroupArn,
    }
}

impl Kind for EndpointGroup {
    type Spec = EndpointGroupSpec;
    type Outputs = EndpointGroupOutputs;

    const TRAITS: Traits = Traits {
        name: "globalaccelerator_endpoint_group",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["accelerator", "listener", "region"],
        locked_by: Some("accelerator"),
        expected: Expected::seconds(60, 60, 180),
        permissions: Permissions {
            read: &["globalaccelerator:ListEndpointGroups"],
            change: &[
                "globalaccelerator:CreateEndpointGroup",
                "globalaccelerator:UpdateEndpointGroup",
                "globalaccelerator:DeleteEndpointGroup",
                "globalaccelerator:DescribeAccelerator",
                "elasticloadbalancing:DescribeLoadBalancers",
                "ec2:DescribeInternetGateways",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DeleteSecurityGroup",
                "iam:CreateServiceLinkedRole",
            ],
        },
        retries: &[
            in_progress("globalaccelerator:CreateEndpointGroup"),
            in_progress("globalaccelerator:UpdateEndpointGroup"),
            in_progress("globalaccelerator:DeleteEndpointGroup"),
            Retry::seconds("ec2:DeleteSecurityGroup", "DependencyViolation", "", 300),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::apart("accelerator"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let mut found: BTreeMap<String, Vec<Described>> = BTreeMap::new();
        for listener in wanted.iter().filter_map(parent).collect::<BTreeSet<_>>() {
            let groups = list(context, &listener).await?;
            found.insert(listener, groups);
        }
        let object = |wanted: &Wanted<Self>| {
            let Some(listener) = parent(wanted) else { return Ok(None) };
            let described = found[&listener].iter().find(|described| match &wanted.outputs {
                Some(outputs) => described.endpoint_group_arn() == Some(outputs.arn.as_str()),
                None => described.endpoint_group_region() == Some(&wanted.spec.region),
            });
            let Some(described) = described else { return Ok(None) };
            let arn = described.endpoint_group_arn().ok_or_else(|| missing("EndpointGroupArn"))?.into();
            let spec = spec(described, &listener, &wanted.spec)?;
            Ok(Some(Object { spec, outputs: EndpointGroupOutputs { arn }, tags: Tags::new() }))
        };
        wanted.iter().map(object).collect()
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &EndpointGroupSpec,
        object: Option<Object<Self>>,
    ) -> Result<EndpointGroupOutputs> {
        let clients = clients(task);
        let check = &spec.health_check;
        let outputs = match object {
            None => create(task, spec).await?,
            Some(object) => {
                if object.spec != *spec {
                    task.call("globalaccelerator:UpdateEndpointGroup", || {
                        clients
                            .globalaccelerator()
                            .update_endpoint_group()
                            .endpoint_group_arn(&object.outputs.arn)
                            .set_endpoint_configurations(Some(endpoints(spec)))
                            .traffic_dial_percentage(dial(spec))
                            .health_check_protocol(HealthCheckProtocol::from(check.protocol.as_str()))
                            .health_check_port(i32::from(check.port))
                            .health_check_path(&check.path)
                            .health_check_interval_seconds(number(check.interval_seconds))
                            .threshold_count(number(check.threshold))
                            .send()
                    })
                    .await?;
                }
                object.outputs
            }
        };
        deployed(task, spec.accelerator.known()).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &EndpointGroupSpec, outputs: &EndpointGroupOutputs) -> Result<Deletion> {
        let clients = clients(task);
        let deleted = task
            .call("globalaccelerator:DeleteEndpointGroup", || {
                clients.globalaccelerator().delete_endpoint_group().endpoint_group_arn(&outputs.arn).send()
            })
            .await;
        if let Err(error) = deleted
            && !error.is_gone()
        {
            return Err(error);
        }
        deployed(task, spec.accelerator.known()).await?;
        // The subnets and the VPC cannot go before what AWS put into them; done again after a crash, whoever deleted the group.
        task.wait("the accelerator's network interfaces to go", Patience::minutes(20), || interfaces_gone(task, spec))
            .await?;
        delete_left_group(task, spec).await?;
        Ok(Deletion::Gone)
    }
}

async fn create(task: &Task<'_>, spec: &EndpointGroupSpec) -> Result<EndpointGroupOutputs> {
    let clients = clients(task);
    let check = &spec.health_check;
    let created = task
        .call("globalaccelerator:CreateEndpointGroup", || {
            clients
                .globalaccelerator()
                .create_endpoint_group()
                .listener_arn(spec.listener.known())
                .endpoint_group_region(&spec.region)
                .set_endpoint_configurations(Some(endpoints(spec)))
                .traffic_dial_percentage(dial(spec))
                .health_check_protocol(HealthCheckProtocol::from(check.protocol.as_str()))
                .health_check_port(i32::from(check.port))
                .health_check_path(&check.path)
                .health_check_interval_seconds(number(check.interval_seconds))
                .threshold_count(number(check.threshold))
                .idempotency_token(task.token)
                .send()
        })
        .await?;
    let arn = created.endpoint_group().and_then(|group| group.endpoint_group_arn());
    let arn = arn.ok_or_else(|| Error::incomplete("globalaccelerator:CreateEndpointGroup", "ARN"))?;
    let outputs = EndpointGroupOutputs { arn: arn.into() };
    task.identified(&outputs).await?;
    Ok(outputs)
}

/// The endpoint groups of a listener; none when it is gone.
async fn list(context: &Context, listener: &str) -> Result<Vec<Described>> {
    let clients = clients(context);
    // An accelerator has at most 42 endpoint groups and a page holds 100 (`ga.limits`).
    let answer = context
        .call("globalaccelerator:ListEndpointGroups", || {
            clients.globalaccelerator().list_endpoint_groups().listener_arn(listener).max_results(100).send()
        })
        .await;
    match answer {
        Ok(answer) => Ok(answer.endpoint_groups().to_vec()),
        Err(error) if error.is_gone() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn interfaces_gone(task: &Task<'_>, spec: &EndpointGroupSpec) -> Result<Look<()>> {
    let clients = task.clients_in(&spec.region);
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let filters =
        vec![filter("vpc-id", spec.vpc.known().as_str()), filter("interface-type", "global_accelerator_managed")];
    Ok(ec2::none_left(&ec2::interfaces_in(task, clients.ec2(), &filters).await?))
}

/// Deletes the security group that AWS made for the interfaces and never removes.
async fn delete_left_group(task: &Task<'_>, spec: &EndpointGroupSpec) -> Result<()> {
    let clients = task.clients_in(&spec.region);
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let filters = vec![filter("vpc-id", spec.vpc.known().as_str()), filter("group-name", GROUP)];
    let answer = task
        .call("ec2:DescribeSecurityGroups", || {
            clients.ec2().describe_security_groups().set_filters(Some(filters.clone())).send()
        })
        .await?;
    for id in answer.security_groups().iter().filter_map(|group| group.group_id()) {
        let deleted =
            task.call("ec2:DeleteSecurityGroup", || clients.ec2().delete_security_group().group_id(id).send()).await;
        if let Err(error) = deleted
            && !error.is_gone()
        {
            return Err(error);
        }
    }
    Ok(())
}

/// The listener of a group: told by the group's own ARN, of which it is the beginning, else by the spec.
fn parent(wanted: &Wanted<EndpointGroup>) -> Option<String> {
    match &wanted.outputs {
        Some(outputs) => Some(outputs.arn.as_str().split_once("/endpoint-group/")?.0.to_owned()),
        None => wanted.spec.listener.get().map(String::from),
    }
}

fn missing(field: &str) -> Error {
    Error::incomplete("globalaccelerator:ListEndpointGroups", field)
}

fn spec(described: &Described, listener: &str, wanted: &EndpointGroupSpec) -> Result<EndpointGroupSpec> {
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
    let mut endpoints: Vec<Endpoint> = described
        .endpoint_descriptions()
        .iter()
        .map(|endpoint| {
            let id = endpoint.endpoint_id().ok_or_else(|| missing("EndpointId"))?;
            let weight = endpoint.weight().and_then(|weight| u8::try_from(weight).ok());
            let weight = weight.ok_or_else(|| missing("Weight"))?;
            Ok(Endpoint { load_balancer: Ref::Known(id.into()), weight })
        })
        .collect::<Result<_>>()?;
    // AWS lists endpoints in no order: wanted ones first, in their order.
    let position = |endpoint: &Endpoint| {
        let found = wanted.endpoints.iter().position(|wanted| wanted.load_balancer == endpoint.load_balancer);
        found.unwrap_or(usize::MAX)
    };
    endpoints.sort_by_key(position);
    Ok(EndpointGroupSpec {
        accelerator: match listener.split_once("/listener/") {
            Some((accelerator, _)) => Ref::Known(accelerator.into()),
            None => wanted.accelerator.clone(),
        },
        listener: Ref::Known(listener.into()),
        region: described.endpoint_group_region().ok_or_else(|| missing("EndpointGroupRegion"))?.to_owned(),
        vpc: wanted.vpc.clone(),
        internet_gateway: wanted.internet_gateway.clone(),
        endpoints,
        traffic_percent: described.traffic_dial_percentage().map_or(100, |percent| percent.round() as u32),
        health_check: EndpointHealthCheck {
            protocol: described.health_check_protocol().map_or("", HealthCheckProtocol::as_str).to_owned(),
            port: described.health_check_port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
            path: described.health_check_path().unwrap_or_default().to_owned(),
            interval_seconds: number(described.health_check_interval_seconds()),
            threshold: number(described.threshold_count()),
        },
    })
}

fn endpoints(spec: &EndpointGroupSpec) -> Vec<EndpointConfiguration> {
    spec.endpoints
        .iter()
        .map(|endpoint| {
            EndpointConfiguration::builder()
                .endpoint_id(endpoint.load_balancer.known())
                .weight(i32::from(endpoint.weight))
                .build()
        })
        .collect()
}

fn dial(spec: &EndpointGroupSpec) -> f32 {
    f32::from(u8::try_from(spec.traffic_percent).expect("the plan's percentages end at 100"))
}

fn number(value: u32) -> i32 {
    i32::try_from(value).expect("intervals and thresholds are small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_globalaccelerator::types::EndpointDescription;

    const LISTENER: &str = "arn:aws:globalaccelerator::1:accelerator/1234/listener/abcd";

    fn wanted() -> EndpointGroupSpec {
        let endpoint = |arn: &str| Endpoint { load_balancer: Ref::Known(arn.into()), weight: 128 };
        EndpointGroupSpec {
            accelerator: Ref::Known("arn:aws:globalaccelerator::1:accelerator/1234".into()),
            listener: Ref::Known(LISTENER.into()),
            region: "us-east-1".into(),
            vpc: Ref::Known("vpc-1".into()),
            internet_gateway: Ref::Known("igw-1".into()),
            endpoints: vec![endpoint("arn:b"), endpoint("arn:a")],
            traffic_percent: 100,
            health_check: EndpointHealthCheck {
                protocol: "HTTPS".into(),
                port: 443,
                path: "/health".into(),
                interval_seconds: 10,
                threshold: 2,
            },
        }
    }

    fn described(endpoints: &[&str]) -> Described {
        let endpoint = |arn: &&str| EndpointDescription::builder().endpoint_id(*arn).weight(128).build();
        Described::builder()
            .endpoint_group_region("us-east-1")
            .set_endpoint_descriptions(Some(endpoints.iter().map(endpoint).collect()))
            .traffic_dial_percentage(100.0)
            .health_check_protocol(HealthCheckProtocol::Https)
            .health_check_port(443)
            .health_check_path("/health")
            .health_check_interval_seconds(10)
            .threshold_count(2)
            .build()
    }

    #[test]
    fn an_unchanged_group_equals_its_spec_whatever_the_order_of_endpoints() {
        assert_eq!(spec(&described(&["arn:a", "arn:b"]), LISTENER, &wanted()).unwrap(), wanted());
        assert_ne!(spec(&described(&["arn:a"]), LISTENER, &wanted()).unwrap(), wanted());
    }
}
