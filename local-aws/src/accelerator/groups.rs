//! Endpoint groups and their endpoints.
//!
//! A listener has one group per region (`ga.epg.create`); UpdateEndpointGroup replaces the list of endpoints, AddEndpoints
//! and RemoveEndpoints change it (`ga.epg.update-replaces`). Endpoints are load balancers, Elastic IPs and instances only
//! (`ga.endpoint-types`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::{Fault, Model, check_token, random_hex};
use super::wire::{AddEndpoints, CreateGroup, GroupSettings, Input, RemoveEndpoints, UpdateGroup};

/// Quotas of an account that asked for no more (`ga.limits`).
const MAX_GROUPS: usize = 42;
const MAX_ENDPOINTS: usize = 10;

/// What an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum EndpointKind {
    ApplicationLoadBalancer,
    NetworkLoadBalancer,
    ElasticIp,
    Instance,
}

impl EndpointKind {
    /// What the identifier names, for a group in `region`; refuses everything that cannot be an endpoint there.
    pub(super) fn of(id: &str, region: &str) -> Result<Self, Fault> {
        let hexadecimal = |rest: &str| !rest.is_empty() && rest.chars().all(|digit| digit.is_ascii_hexdigit());
        if id.strip_prefix("eipalloc-").is_some_and(hexadecimal) {
            return Ok(Self::ElasticIp);
        }
        if id.strip_prefix("i-").is_some_and(hexadecimal) {
            return Ok(Self::Instance);
        }
        let parts: Vec<&str> = id.splitn(6, ':').collect();
        let ["arn", _, "elasticloadbalancing", of_region, _, resource] = parts[..] else {
            return Err(Fault::invalid(format!(
                "The endpoint {id} is no load balancer, Elastic IP address or EC2 instance."
            )));
        };
        if of_region != region {
            return Err(Fault::invalid(format!("The endpoint {id} is not in {region}, the region of its group.")));
        }
        match resource.split('/').collect::<Vec<_>>()[..] {
            ["loadbalancer", "app", _, _] => Ok(Self::ApplicationLoadBalancer),
            ["loadbalancer", "net", _, _] => Ok(Self::NetworkLoadBalancer),
            _ => Err(Fault::invalid(format!("The endpoint {id} is no application or network load balancer."))),
        }
    }

    /// Whether the client's address is kept unless the call says otherwise.
    fn keeps_client_address(self) -> bool {
        matches!(self, Self::ApplicationLoadBalancer | Self::Instance)
    }
}

/// An endpoint as the client asks for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EndpointConfiguration {
    pub(super) endpoint_id: String,
    pub(super) weight: Option<u32>,
    #[serde(rename = "ClientIPPreservationEnabled")]
    pub(super) client_ip_preservation_enabled: Option<bool>,
}

/// An endpoint of a group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) weight: u32,
    pub(super) keeps_client_address: bool,
}

/// A port that endpoints listen on instead of the listener's.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PortOverride {
    pub(super) listener_port: u32,
    pub(super) endpoint_port: u32,
}

/// The endpoints of a listener in one region.
#[derive(Clone, Debug)]
pub(super) struct EndpointGroup {
    pub(super) arn: String,
    pub(super) region: String,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) traffic_dial: f64,
    pub(super) health_check_port: u32,
    pub(super) health_check_protocol: String,
    pub(super) health_check_path: Option<String>,
    pub(super) health_check_interval: u32,
    pub(super) threshold: u32,
    pub(super) port_overrides: Vec<PortOverride>,
    token: String,
}

impl EndpointGroup {
    /// Takes over what the settings say, and refuses what they must not.
    fn set(&mut self, settings: GroupSettings) -> Result<(), Fault> {
        if let Some(dial) = settings.traffic_dial_percentage {
            if !(0.0..=100.0).contains(&dial) {
                return Err(Fault::invalid("TrafficDialPercentage is 0 to 100."));
            }
            self.traffic_dial = dial;
        }
        if let Some(port) = settings.health_check_port {
            check_port(port)?;
            self.health_check_port = port;
        }
        if let Some(protocol) = settings.health_check_protocol {
            if !matches!(protocol.as_str(), "TCP" | "HTTP" | "HTTPS") {
                return Err(Fault::invalid(format!("HealthCheckProtocol is TCP, HTTP or HTTPS, not {protocol}.")));
            }
            self.health_check_protocol = protocol;
        }
        if let Some(path) = settings.health_check_path {
            if !path.starts_with('/') || path.len() > 255 {
                return Err(Fault::invalid("HealthCheckPath starts with / and has at most 255 characters."));
            }
            self.health_check_path = Some(path);
        }
        if self.health_check_protocol != "TCP" && self.health_check_path.is_none() {
            self.health_check_path = Some("/".to_owned());
        }
        if let Some(interval) = settings.health_check_interval_seconds {
            if !matches!(interval, 10 | 30) {
                return Err(Fault::invalid("HealthCheckIntervalSeconds is 10 or 30."));
            }
            self.health_check_interval = interval;
        }
        if let Some(threshold) = settings.threshold_count {
            if !(1..=10).contains(&threshold) {
                return Err(Fault::invalid("ThresholdCount is 1 to 10."));
            }
            self.threshold = threshold;
        }
        if let Some(overrides) = settings.port_overrides {
            for each in &overrides {
                check_port(each.listener_port)?;
                check_port(each.endpoint_port)?;
            }
            self.port_overrides = overrides;
        }
        if let Some(configurations) = settings.endpoint_configurations {
            self.endpoints.clear();
            self.add(configurations)?;
        }
        Ok(())
    }

    /// Adds endpoints; one that is there already takes the new settings.
    fn add(&mut self, configurations: Vec<EndpointConfiguration>) -> Result<(), Fault> {
        for configuration in configurations {
            let kind = EndpointKind::of(&configuration.endpoint_id, &self.region)?;
            let weight = configuration.weight.unwrap_or(128);
            if weight > 255 {
                return Err(Fault::invalid("Weight is 0 to 255."));
            }
            let endpoint = Endpoint {
                id: configuration.endpoint_id,
                weight,
                keeps_client_address: configuration
                    .client_ip_preservation_enabled
                    .unwrap_or_else(|| kind.keeps_client_address()),
            };
            match self.endpoints.iter_mut().find(|present| present.id == endpoint.id) {
                Some(present) => *present = endpoint,
                None => self.endpoints.push(endpoint),
            }
        }
        if self.endpoints.len() > MAX_ENDPOINTS {
            return Err(Fault::limit(format!("An endpoint group has at most {MAX_ENDPOINTS} endpoints.")));
        }
        Ok(())
    }
}

impl Model {
    /// The endpoint group with this ARN, as positions of accelerator, listener and group.
    fn find_group(&self, arn: &str) -> Result<(usize, usize, usize), Fault> {
        let listener_arn = arn.split("/endpoint-group/").next().unwrap_or(arn);
        let position = self.find_listener(listener_arn).ok().and_then(|(accelerator, listener)| {
            let groups = &self.accelerators[accelerator].listeners[listener].groups;
            let group = groups.iter().position(|group| group.arn == arn)?;
            Some((accelerator, listener, group))
        });
        position.ok_or_else(|| {
            Fault::new("EndpointGroupNotFoundException", format!("The endpoint group {arn} does not exist."))
        })
    }

    /// The endpoint group with this ARN, and whether its accelerator is in progress.
    pub(super) fn group(&self, now: Duration, arn: &str) -> Result<(&EndpointGroup, bool), Fault> {
        let (accelerator, listener, group) = self.find_group(arn)?;
        let accelerator = &self.accelerators[accelerator];
        Ok((&accelerator.listeners[listener].groups[group], accelerator.in_progress(now)))
    }

    /// The endpoints that a call names and its group does not have yet, each with the region of its group.
    pub(super) fn new_endpoints(&self, input: &Input) -> Vec<(String, String)> {
        let (region, present, named): (&str, &[Endpoint], &[EndpointConfiguration]) = match input {
            Input::CreateEndpointGroup(create) => {
                let named = create.settings.endpoint_configurations.as_deref().unwrap_or_default();
                (&create.endpoint_group_region, &[], named)
            }
            Input::UpdateEndpointGroup(UpdateGroup { endpoint_group_arn, settings }) => {
                let Ok((group, _)) = self.group(Duration::ZERO, endpoint_group_arn) else { return Vec::new() };
                (&group.region, &group.endpoints, settings.endpoint_configurations.as_deref().unwrap_or_default())
            }
            Input::AddEndpoints(AddEndpoints { endpoint_group_arn, endpoint_configurations }) => {
                let Ok((group, _)) = self.group(Duration::ZERO, endpoint_group_arn) else { return Vec::new() };
                (&group.region, &group.endpoints, endpoint_configurations)
            }
            _ => return Vec::new(),
        };
        let is_new = |id: &str| !present.iter().any(|endpoint| endpoint.id == id);
        let new = named.iter().filter(|configuration| is_new(&configuration.endpoint_id));
        new.map(|configuration| (region.to_owned(), configuration.endpoint_id.clone())).collect()
    }

    /// Creates an endpoint group, or finds the one that the same token created; returns its ARN.
    pub(super) fn create_group(&mut self, now: Duration, input: CreateGroup) -> Result<String, Fault> {
        check_token(&input.idempotency_token)?;
        let (index, position) = self.find_listener(&input.listener_arn)?;
        let accelerator = &self.accelerators[index];
        let listener = &accelerator.listeners[position];
        if let Some(same) = listener.groups.iter().find(|group| group.token == input.idempotency_token) {
            return Ok(same.arn.clone());
        }
        let region = input.endpoint_group_region;
        if region.split('-').count() < 3 {
            return Err(Fault::invalid(format!("'{region}' is no region.")));
        }
        if let Some(group) = listener.groups.iter().find(|group| group.region == region) {
            let message = format!("The listener has the endpoint group {} in {region}.", group.arn);
            return Err(Fault::new("EndpointGroupAlreadyExistsException", message));
        }
        if accelerator.listeners.iter().map(|listener| listener.groups.len()).sum::<usize>() >= MAX_GROUPS {
            return Err(Fault::limit(format!("An accelerator has at most {MAX_GROUPS} endpoint groups.")));
        }
        let mut group = EndpointGroup {
            arn: format!("{}/endpoint-group/{}", listener.arn, random_hex(12)),
            region,
            endpoints: Vec::new(),
            traffic_dial: 100.0,
            health_check_port: listener.port_ranges.first().map_or(80, |range| range.from_port),
            health_check_protocol: "TCP".to_owned(),
            health_check_path: None,
            health_check_interval: 30,
            threshold: 3,
            port_overrides: Vec::new(),
            token: input.idempotency_token,
        };
        group.set(input.settings)?;
        let arn = group.arn.clone();
        self.accelerators[index].listeners[position].groups.push(group);
        self.touch(index, now);
        Ok(arn)
    }

    /// Changes an endpoint group; a list of endpoints replaces the one there is.
    pub(super) fn update_group(&mut self, now: Duration, input: UpdateGroup) -> Result<(), Fault> {
        self.change_group(now, &input.endpoint_group_arn, |group| group.set(input.settings))
    }

    /// Adds endpoints to a group of a deployed accelerator.
    pub(super) fn add_endpoints(&mut self, now: Duration, input: AddEndpoints) -> Result<(), Fault> {
        let (accelerator, ..) = self.find_group(&input.endpoint_group_arn)?;
        self.accelerators[accelerator].needs_deployed(now)?;
        self.change_group(now, &input.endpoint_group_arn, |group| group.add(input.endpoint_configurations))
    }

    /// Removes endpoints from a group of a deployed accelerator.
    pub(super) fn remove_endpoints(&mut self, now: Duration, input: &RemoveEndpoints) -> Result<(), Fault> {
        let (accelerator, ..) = self.find_group(&input.endpoint_group_arn)?;
        self.accelerators[accelerator].needs_deployed(now)?;
        self.change_group(now, &input.endpoint_group_arn, |group| {
            for gone in &input.endpoint_identifiers {
                let position = group.endpoints.iter().position(|endpoint| endpoint.id == gone.endpoint_id);
                let missing = || Fault::invalid(format!("The endpoint {} is not in the group.", gone.endpoint_id));
                group.endpoints.remove(position.ok_or_else(missing)?);
            }
            Ok(())
        })
    }

    /// Deletes an endpoint group.
    pub(super) fn delete_group(&mut self, now: Duration, arn: &str) -> Result<(), Fault> {
        let (accelerator, listener, group) = self.find_group(arn)?;
        self.accelerators[accelerator].listeners[listener].groups.remove(group);
        self.touch(accelerator, now);
        Ok(())
    }

    /// Changes a copy and keeps it only when nothing was refused.
    fn change_group(
        &mut self,
        now: Duration,
        arn: &str,
        change: impl FnOnce(&mut EndpointGroup) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let (accelerator, listener, group) = self.find_group(arn)?;
        let mut changed = self.accelerators[accelerator].listeners[listener].groups[group].clone();
        change(&mut changed)?;
        self.accelerators[accelerator].listeners[listener].groups[group] = changed;
        self.touch(accelerator, now);
        Ok(())
    }
}

fn check_port(port: u32) -> Result<(), Fault> {
    match port {
        1..=65535 => Ok(()),
        other => Err(Fault::invalid(format!("{other} is no port."))),
    }
}
