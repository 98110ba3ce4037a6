//! The JSON protocol of Global Accelerator: what calls say, which rule answers them, and how answers look.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::groups::{EndpointConfiguration, EndpointGroup, PortOverride};
use super::model::{Accelerator, Fault, Listener, Model, PortRange, Tag};

/// Items per page when the call does not say (`ga.read`).
const PAGE: usize = 10;
const MAX_PAGE: usize = 100;

macro_rules! inputs {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Deserialize)]
            #[serde(rename_all = "PascalCase")]
            pub(super) struct $name { $(pub(super) $field: $type,)* }
        )*
    };
}

inputs! {
    /// A call that names only an accelerator.
    OfAccelerator { accelerator_arn: String }
    /// A call that names only a listener.
    OfListener { listener_arn: String }
    /// A call that names only an endpoint group.
    OfGroup { endpoint_group_arn: String }
    /// A call that names only a tagged resource.
    OfResource { resource_arn: String }
    /// UpdateAccelerator.
    UpdateAccelerator {
        accelerator_arn: String, name: Option<String>, ip_address_type: Option<String>, enabled: Option<bool>,
    }
    /// UpdateAcceleratorAttributes.
    UpdateAttributes {
        accelerator_arn: String, flow_logs_enabled: Option<bool>, flow_logs_s3_bucket: Option<String>,
        flow_logs_s3_prefix: Option<String>,
    }
    /// CreateListener.
    CreateListener {
        accelerator_arn: String, port_ranges: Vec<PortRange>, protocol: String, client_affinity: Option<String>,
        idempotency_token: String,
    }
    /// UpdateListener.
    UpdateListener {
        listener_arn: String, port_ranges: Option<Vec<PortRange>>, protocol: Option<String>,
        client_affinity: Option<String>,
    }
    /// What creating and updating an endpoint group have in common.
    GroupSettings {
        endpoint_configurations: Option<Vec<EndpointConfiguration>>, traffic_dial_percentage: Option<f64>,
        health_check_port: Option<u32>, health_check_protocol: Option<String>, health_check_path: Option<String>,
        health_check_interval_seconds: Option<u32>, threshold_count: Option<u32>,
        port_overrides: Option<Vec<PortOverride>>,
    }
    /// AddEndpoints.
    AddEndpoints { endpoint_group_arn: String, endpoint_configurations: Vec<EndpointConfiguration> }
    /// RemoveEndpoints.
    RemoveEndpoints { endpoint_group_arn: String, endpoint_identifiers: Vec<EndpointIdentifier> }
    /// One endpoint to remove.
    EndpointIdentifier { endpoint_id: String }
    /// TagResource.
    TagResource { resource_arn: String, tags: Vec<Tag> }
    /// UntagResource.
    UntagResource { resource_arn: String, tag_keys: Vec<String> }
}

/// CreateAccelerator.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateAccelerator {
    pub(super) name: String,
    pub(super) ip_address_type: Option<String>,
    pub(super) enabled: Option<bool>,
    pub(super) idempotency_token: String,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

/// CreateEndpointGroup.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateGroup {
    pub(super) listener_arn: String,
    pub(super) endpoint_group_region: String,
    pub(super) idempotency_token: String,
    #[serde(flatten)]
    pub(super) settings: GroupSettings,
}

/// UpdateEndpointGroup.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateGroup {
    pub(super) endpoint_group_arn: String,
    #[serde(flatten)]
    pub(super) settings: GroupSettings,
}

/// A page of a list of what belongs to `parent`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Page {
    #[serde(alias = "AcceleratorArn", alias = "ListenerArn")]
    parent: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

/// What a call says.
#[derive(Debug)]
pub(super) enum Input {
    CreateAccelerator(CreateAccelerator),
    DescribeAccelerator(OfAccelerator),
    UpdateAccelerator(UpdateAccelerator),
    DeleteAccelerator(OfAccelerator),
    ListAccelerators(Page),
    DescribeAcceleratorAttributes(OfAccelerator),
    UpdateAcceleratorAttributes(UpdateAttributes),
    CreateListener(CreateListener),
    DescribeListener(OfListener),
    UpdateListener(UpdateListener),
    DeleteListener(OfListener),
    ListListeners(Page),
    CreateEndpointGroup(CreateGroup),
    DescribeEndpointGroup(OfGroup),
    UpdateEndpointGroup(UpdateGroup),
    DeleteEndpointGroup(OfGroup),
    ListEndpointGroups(Page),
    AddEndpoints(AddEndpoints),
    RemoveEndpoints(RemoveEndpoints),
    TagResource(TagResource),
    UntagResource(UntagResource),
    ListTagsForResource(OfResource),
}

impl Input {
    /// Reads the body of a call of `operation`.
    pub(super) fn parse(operation: &str, body: &[u8]) -> Result<Self, Fault> {
        fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
            serde_json::from_slice(body).map_err(|error| Fault::invalid(format!("The request is not valid: {error}.")))
        }
        Ok(match operation {
            "CreateAccelerator" => Self::CreateAccelerator(read(body)?),
            "DescribeAccelerator" => Self::DescribeAccelerator(read(body)?),
            "UpdateAccelerator" => Self::UpdateAccelerator(read(body)?),
            "DeleteAccelerator" => Self::DeleteAccelerator(read(body)?),
            "ListAccelerators" => Self::ListAccelerators(read(body)?),
            "DescribeAcceleratorAttributes" => Self::DescribeAcceleratorAttributes(read(body)?),
            "UpdateAcceleratorAttributes" => Self::UpdateAcceleratorAttributes(read(body)?),
            "CreateListener" => Self::CreateListener(read(body)?),
            "DescribeListener" => Self::DescribeListener(read(body)?),
            "UpdateListener" => Self::UpdateListener(read(body)?),
            "DeleteListener" => Self::DeleteListener(read(body)?),
            "ListListeners" => Self::ListListeners(read(body)?),
            "CreateEndpointGroup" => Self::CreateEndpointGroup(read(body)?),
            "DescribeEndpointGroup" => Self::DescribeEndpointGroup(read(body)?),
            "UpdateEndpointGroup" => Self::UpdateEndpointGroup(read(body)?),
            "DeleteEndpointGroup" => Self::DeleteEndpointGroup(read(body)?),
            "ListEndpointGroups" => Self::ListEndpointGroups(read(body)?),
            "AddEndpoints" => Self::AddEndpoints(read(body)?),
            "RemoveEndpoints" => Self::RemoveEndpoints(read(body)?),
            "TagResource" => Self::TagResource(read(body)?),
            "UntagResource" => Self::UntagResource(read(body)?),
            "ListTagsForResource" => Self::ListTagsForResource(read(body)?),
            other => return Err(Fault::new("UnknownOperationException", format!("There is no operation {other}."))),
        })
    }
}

/// Performs a call at the time `now` (since the epoch) and returns the document to answer.
pub(super) fn perform(model: &mut Model, now: Duration, input: Input) -> Result<Value, Fault> {
    Ok(match input {
        Input::CreateAccelerator(input) => one_accelerator(model.create_accelerator(now, input)?, now),
        Input::DescribeAccelerator(input) => one_accelerator(model.accelerator(&input.accelerator_arn)?, now),
        Input::UpdateAccelerator(input) => one_accelerator(model.update_accelerator(now, input)?, now),
        Input::DeleteAccelerator(input) => {
            model.delete_accelerator(now, &input.accelerator_arn)?;
            json!({})
        }
        Input::ListAccelerators(page) => {
            page.of("Accelerators", &model.accelerators, |accelerator| accelerator_view(accelerator, now))?
        }
        Input::DescribeAcceleratorAttributes(input) => {
            json!({ "AcceleratorAttributes": model.accelerator(&input.accelerator_arn)?.attributes })
        }
        Input::UpdateAcceleratorAttributes(input) => {
            json!({ "AcceleratorAttributes": model.update_attributes(now, input)? })
        }
        Input::CreateListener(input) => one_listener(model.create_listener(now, input)?),
        Input::DescribeListener(input) => one_listener(model.listener(&input.listener_arn)?),
        Input::UpdateListener(input) => one_listener(model.update_listener(now, input)?),
        Input::DeleteListener(input) => {
            model.delete_listener(now, &input.listener_arn)?;
            json!({})
        }
        Input::ListListeners(page) => {
            let accelerator = model.accelerator(page.parent("AcceleratorArn")?)?;
            page.of("Listeners", &accelerator.listeners, listener_view)?
        }
        Input::CreateEndpointGroup(input) => {
            let arn = model.create_group(now, input)?;
            one_group(model, now, &arn)?
        }
        Input::DescribeEndpointGroup(input) => one_group(model, now, &input.endpoint_group_arn)?,
        Input::UpdateEndpointGroup(input) => {
            let arn = input.endpoint_group_arn.clone();
            model.update_group(now, input)?;
            one_group(model, now, &arn)?
        }
        Input::DeleteEndpointGroup(input) => {
            model.delete_group(now, &input.endpoint_group_arn)?;
            json!({})
        }
        Input::ListEndpointGroups(page) => {
            let (accelerator, listener) = model.find_listener(page.parent("ListenerArn")?)?;
            let accelerator = &model.accelerators[accelerator];
            let pending = accelerator.in_progress(now);
            page.of("EndpointGroups", &accelerator.listeners[listener].groups, |group| group_view(group, pending))?
        }
        Input::AddEndpoints(input) => {
            let arn = input.endpoint_group_arn.clone();
            model.add_endpoints(now, input)?;
            let (group, pending) = model.group(now, &arn)?;
            json!({ "EndpointGroupArn": arn, "EndpointDescriptions": endpoints_view(group, pending) })
        }
        Input::RemoveEndpoints(input) => {
            model.remove_endpoints(now, &input)?;
            json!({})
        }
        Input::TagResource(input) => {
            model.tag(&input.resource_arn, input.tags)?;
            json!({})
        }
        Input::UntagResource(input) => {
            model.untag(&input.resource_arn, &input.tag_keys)?;
            json!({})
        }
        Input::ListTagsForResource(input) => json!({ "Tags": model.accelerator(&input.resource_arn)?.tags }),
    })
}

impl Page {
    fn parent(&self, name: &str) -> Result<&str, Fault> {
        self.parent.as_deref().ok_or_else(|| Fault::invalid(format!("{name} is needed.")))
    }

    fn of<T>(&self, name: &str, all: &[T], view: impl Fn(&T) -> Value) -> Result<Value, Fault> {
        let size = self.max_results.unwrap_or(PAGE);
        if !(1..=MAX_PAGE).contains(&size) {
            return Err(Fault::invalid(format!("MaxResults is 1 to {MAX_PAGE}.")));
        }
        let start = match &self.next_token {
            None => 0,
            Some(token) => token
                .parse()
                .map_err(|_| Fault::new("InvalidNextTokenException", "There is no other item to return."))?,
        };
        let items: Vec<Value> = all.iter().skip(start).take(size).map(view).collect();
        let end = start + items.len();
        let mut document = json!({ name: items });
        if end < all.len() {
            document["NextToken"] = json!(end.to_string());
        }
        Ok(document)
    }
}

fn one_accelerator(accelerator: &Accelerator, now: Duration) -> Value {
    json!({ "Accelerator": accelerator_view(accelerator, now) })
}

fn accelerator_view(accelerator: &Accelerator, now: Duration) -> Value {
    let set = |family: &str, old_family: &str, addresses: &[String; 2]| json!({ "IpFamily": old_family, "IpAddressFamily": family, "IpAddresses": addresses });
    let mut sets = vec![set("IPv4", "IPv4", &accelerator.addresses)];
    if accelerator.dual_stack {
        sets.push(set("IPv6", "IPv6", &accelerator.ipv6_addresses));
    }
    let mut view = json!({
        "AcceleratorArn": accelerator.arn,
        "Name": accelerator.name,
        "IpAddressType": if accelerator.dual_stack { "DUAL_STACK" } else { "IPV4" },
        "Enabled": accelerator.enabled,
        "IpSets": sets,
        "DnsName": format!("{}.awsglobalaccelerator.com", accelerator.dns_label),
        "Status": if accelerator.in_progress(now) { "IN_PROGRESS" } else { "DEPLOYED" },
        "CreatedTime": accelerator.created.as_secs_f64(),
        "LastModifiedTime": accelerator.modified.as_secs_f64(),
    });
    if accelerator.dual_stack {
        view["DualStackDnsName"] = json!(format!("{}.dualstack.awsglobalaccelerator.com", accelerator.dns_label));
    }
    view
}

fn one_listener(listener: &Listener) -> Value {
    json!({ "Listener": listener_view(listener) })
}

fn listener_view(listener: &Listener) -> Value {
    json!({
        "ListenerArn": listener.arn,
        "PortRanges": listener.port_ranges,
        "Protocol": listener.protocol,
        "ClientAffinity": listener.client_affinity,
    })
}

fn one_group(model: &Model, now: Duration, arn: &str) -> Result<Value, Fault> {
    let (group, pending) = model.group(now, arn)?;
    Ok(json!({ "EndpointGroup": group_view(group, pending) }))
}

fn group_view(group: &EndpointGroup, pending: bool) -> Value {
    let mut view = json!({
        "EndpointGroupArn": group.arn,
        "EndpointGroupRegion": group.region,
        "EndpointDescriptions": endpoints_view(group, pending),
        "TrafficDialPercentage": group.traffic_dial,
        "HealthCheckPort": group.health_check_port,
        "HealthCheckProtocol": group.health_check_protocol,
        "HealthCheckIntervalSeconds": group.health_check_interval,
        "ThresholdCount": group.threshold,
        "PortOverrides": group.port_overrides,
    });
    if let Some(path) = &group.health_check_path {
        view["HealthCheckPath"] = json!(path);
    }
    view
}

fn endpoints_view(group: &EndpointGroup, pending: bool) -> Vec<Value> {
    let view = |endpoint: &super::groups::Endpoint| {
        json!({
            "EndpointId": endpoint.id,
            "Weight": endpoint.weight,
            "HealthState": if pending { "INITIAL" } else { "HEALTHY" },
            "ClientIPPreservationEnabled": endpoint.keeps_client_address,
        })
    };
    group.endpoints.iter().map(view).collect()
}
