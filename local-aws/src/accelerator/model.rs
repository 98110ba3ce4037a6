//! Accelerators and listeners: their records and rules. Endpoint groups are in [`super::groups`].
//!
//! Every change of an accelerator or of what belongs to it puts it back to IN_PROGRESS until it is deployed
//! (`ga.status-shared`); deletion needs it disabled, deployed and without listeners (`ga.delete`).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::groups::EndpointGroup;
use super::wire::{CreateAccelerator, CreateListener, UpdateAccelerator, UpdateAttributes, UpdateListener};

/// Quotas of an account that asked for no more (`ga.limits`).
const MAX_ACCELERATORS: usize = 20;
const MAX_LISTENERS: usize = 10;
const MAX_PORT_RANGES: usize = 10;
const MAX_NAME: usize = 64;

/// A refusal, under the code that AWS gives it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    /// The exception's name.
    pub(super) code: &'static str,
    /// What was wrong.
    pub(super) message: String,
}

impl Fault {
    /// A refusal with this code.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A refusal of an argument.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidArgumentException", message)
    }

    /// A refusal of more than a quota allows.
    pub(super) fn limit(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }
}

/// A tag.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    /// The key.
    pub(super) key: String,
    /// The value.
    pub(super) value: String,
}

/// Ports that a listener listens on, both ends included.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PortRange {
    /// The first port.
    pub(super) from_port: u32,
    /// The last port.
    pub(super) to_port: u32,
}

/// Flow log settings of an accelerator.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attributes {
    pub(super) flow_logs_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_logs_s3_bucket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_logs_s3_prefix: Option<String>,
}

/// An accelerator with everything below it.
#[derive(Clone, Debug)]
pub(super) struct Accelerator {
    pub(super) arn: String,
    pub(super) name: String,
    pub(super) dual_stack: bool,
    pub(super) enabled: bool,
    pub(super) dns_label: String,
    pub(super) addresses: [String; 2],
    pub(super) ipv6_addresses: [String; 2],
    pub(super) created: Duration,
    pub(super) modified: Duration,
    /// From when on it is deployed.
    pub(super) deployed: Duration,
    pub(super) attributes: Attributes,
    pub(super) tags: Vec<Tag>,
    pub(super) listeners: Vec<Listener>,
    /// A deleted listener is still seen by DeleteAccelerator until its deletion is deployed.
    ghost_listener_until: Duration,
    token: String,
}

impl Accelerator {
    /// Whether the last change is not deployed yet.
    pub(super) fn in_progress(&self, now: Duration) -> bool {
        now < self.deployed
    }

    /// Refuses what AWS refuses while a change is under way.
    pub(super) fn needs_deployed(&self, now: Duration) -> Result<(), Fault> {
        if self.in_progress(now) {
            let message = format!("A transaction is in progress on the accelerator {}. Try again later.", self.arn);
            return Err(Fault::new("TransactionInProgressException", message));
        }
        Ok(())
    }
}

/// A listener with its endpoint groups.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) arn: String,
    pub(super) port_ranges: Vec<PortRange>,
    pub(super) protocol: String,
    pub(super) client_affinity: String,
    pub(super) groups: Vec<EndpointGroup>,
    token: String,
}

/// All accelerators of the account.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) accelerators: Vec<Accelerator>,
    settle: Duration,
    /// How long the next change takes, when that differs.
    settle_next: Option<Duration>,
    made: u32,
}

impl Model {
    /// No accelerators; each change takes `settle` to be deployed.
    pub(super) fn new(settle: Duration) -> Self {
        Self { accelerators: Vec::new(), settle, settle_next: None, made: 0 }
    }

    /// The next change takes this long instead.
    pub(super) fn settle_next(&mut self, span: Duration) {
        self.settle_next = Some(span);
    }

    /// How long the change that is being made takes.
    pub(super) fn settle(&mut self) -> Duration {
        self.settle_next.take().unwrap_or(self.settle)
    }

    /// Notes a change of the accelerator: it is in progress from now on.
    pub(super) fn touch(&mut self, accelerator: usize, now: Duration) {
        let settle = self.settle();
        let accelerator = &mut self.accelerators[accelerator];
        accelerator.modified = now;
        accelerator.deployed = now + settle;
    }

    /// Where the accelerator with this ARN is.
    pub(super) fn find(&self, arn: &str) -> Result<usize, Fault> {
        self.accelerators
            .iter()
            .position(|accelerator| accelerator.arn == arn)
            .ok_or_else(|| Fault::new("AcceleratorNotFoundException", format!("The accelerator {arn} does not exist.")))
    }

    /// The accelerator with this ARN.
    pub(super) fn accelerator(&self, arn: &str) -> Result<&Accelerator, Fault> {
        self.find(arn).map(|index| &self.accelerators[index])
    }

    /// Where the listener with this ARN is.
    pub(super) fn find_listener(&self, arn: &str) -> Result<(usize, usize), Fault> {
        let position = self.accelerators.iter().enumerate().find_map(|(index, accelerator)| {
            let listener = accelerator.listeners.iter().position(|listener| listener.arn == arn)?;
            Some((index, listener))
        });
        position.ok_or_else(|| Fault::new("ListenerNotFoundException", format!("The listener {arn} does not exist.")))
    }

    /// The listener with this ARN.
    pub(super) fn listener(&self, arn: &str) -> Result<&Listener, Fault> {
        let (accelerator, listener) = self.find_listener(arn)?;
        Ok(&self.accelerators[accelerator].listeners[listener])
    }

    /// Creates an accelerator, or finds the one that the same token created.
    pub(super) fn create_accelerator(
        &mut self,
        now: Duration,
        input: CreateAccelerator,
    ) -> Result<&Accelerator, Fault> {
        check_token(&input.idempotency_token)?;
        let same = self.accelerators.iter().position(|accelerator| accelerator.token == input.idempotency_token);
        if let Some(index) = same {
            return Ok(&self.accelerators[index]);
        }
        check_name(&input.name)?;
        let dual_stack = is_dual_stack(input.ip_address_type.as_deref())?;
        if self.accelerators.len() >= MAX_ACCELERATORS {
            return Err(Fault::limit(format!("An account has at most {MAX_ACCELERATORS} accelerators.")));
        }
        let settle = self.settle();
        self.made += 1;
        let [high, low] = [self.made / 250, self.made % 250 + 1];
        self.accelerators.push(Accelerator {
            arn: format!("arn:aws:globalaccelerator::000000000000:accelerator/{}", Uuid::new_v4()),
            name: input.name,
            dual_stack,
            enabled: input.enabled.unwrap_or(true),
            dns_label: format!("a{}", random_hex(16)),
            addresses: [format!("75.2.{high}.{low}"), format!("99.83.{high}.{low}")],
            ipv6_addresses: [format!("2600:9000:a400::{:x}", self.made), format!("2600:9000:a500::{:x}", self.made)],
            created: now,
            modified: now,
            deployed: now + settle,
            attributes: Attributes::default(),
            tags: input.tags,
            listeners: Vec::new(),
            ghost_listener_until: Duration::ZERO,
            token: input.idempotency_token,
        });
        Ok(self.accelerators.last().expect("one was just added"))
    }

    /// Changes an accelerator.
    pub(super) fn update_accelerator(
        &mut self,
        now: Duration,
        input: UpdateAccelerator,
    ) -> Result<&Accelerator, Fault> {
        let index = self.find(&input.accelerator_arn)?;
        self.accelerators[index].needs_deployed(now)?;
        if let Some(name) = &input.name {
            check_name(name)?;
        }
        let dual_stack = match input.ip_address_type.as_deref() {
            Some(kind) => is_dual_stack(Some(kind))?,
            None => self.accelerators[index].dual_stack,
        };
        let accelerator = &mut self.accelerators[index];
        accelerator.dual_stack = dual_stack;
        accelerator.enabled = input.enabled.unwrap_or(accelerator.enabled);
        if let Some(name) = input.name {
            accelerator.name = name;
        }
        self.touch(index, now);
        Ok(&self.accelerators[index])
    }

    /// Changes the flow log settings.
    pub(super) fn update_attributes(&mut self, now: Duration, input: UpdateAttributes) -> Result<&Attributes, Fault> {
        let index = self.find(&input.accelerator_arn)?;
        self.accelerators[index].needs_deployed(now)?;
        let old = &self.accelerators[index].attributes;
        let new = Attributes {
            flow_logs_enabled: input.flow_logs_enabled.unwrap_or(old.flow_logs_enabled),
            flow_logs_s3_bucket: input.flow_logs_s3_bucket.or_else(|| old.flow_logs_s3_bucket.clone()),
            flow_logs_s3_prefix: input.flow_logs_s3_prefix.or_else(|| old.flow_logs_s3_prefix.clone()),
        };
        if new.flow_logs_enabled && (new.flow_logs_s3_bucket.is_none() || new.flow_logs_s3_prefix.is_none()) {
            return Err(Fault::invalid("Flow logs need FlowLogsS3Bucket and FlowLogsS3Prefix."));
        }
        self.accelerators[index].attributes = new;
        self.touch(index, now);
        Ok(&self.accelerators[index].attributes)
    }

    /// Deletes an accelerator that is disabled, deployed and without listeners.
    pub(super) fn delete_accelerator(&mut self, now: Duration, arn: &str) -> Result<(), Fault> {
        let index = self.find(arn)?;
        let accelerator = &self.accelerators[index];
        if accelerator.enabled {
            let message = format!("The accelerator {arn} must be disabled before it can be deleted.");
            return Err(Fault::new("AcceleratorNotDisabledException", message));
        }
        if !accelerator.listeners.is_empty() || now < accelerator.ghost_listener_until {
            let message = format!("The accelerator {arn} has a listener.");
            return Err(Fault::new("AssociatedListenerFoundException", message));
        }
        accelerator.needs_deployed(now)?;
        self.accelerators.remove(index);
        Ok(())
    }

    /// Creates a listener, or finds the one that the same token created.
    pub(super) fn create_listener(&mut self, now: Duration, input: CreateListener) -> Result<&Listener, Fault> {
        check_token(&input.idempotency_token)?;
        let index = self.find(&input.accelerator_arn)?;
        let accelerator = &self.accelerators[index];
        let same = accelerator.listeners.iter().position(|listener| listener.token == input.idempotency_token);
        if let Some(listener) = same {
            return Ok(&self.accelerators[index].listeners[listener]);
        }
        check_protocol(&input.protocol)?;
        let client_affinity = input.client_affinity.unwrap_or_else(|| "NONE".to_owned());
        check_affinity(&client_affinity)?;
        check_ports(accelerator, None, &input.port_ranges)?;
        if accelerator.listeners.len() >= MAX_LISTENERS {
            return Err(Fault::limit(format!("An accelerator has at most {MAX_LISTENERS} listeners.")));
        }
        let listener = Listener {
            arn: format!("{}/listener/{}", accelerator.arn, random_hex(8)),
            port_ranges: input.port_ranges,
            protocol: input.protocol,
            client_affinity,
            groups: Vec::new(),
            token: input.idempotency_token,
        };
        self.accelerators[index].listeners.push(listener);
        self.touch(index, now);
        Ok(self.accelerators[index].listeners.last().expect("one was just added"))
    }

    /// Changes a listener in place.
    pub(super) fn update_listener(&mut self, now: Duration, input: UpdateListener) -> Result<&Listener, Fault> {
        let (index, position) = self.find_listener(&input.listener_arn)?;
        if let Some(ports) = &input.port_ranges {
            check_ports(&self.accelerators[index], Some(&input.listener_arn), ports)?;
        }
        if let Some(protocol) = &input.protocol {
            check_protocol(protocol)?;
        }
        if let Some(affinity) = &input.client_affinity {
            check_affinity(affinity)?;
        }
        let listener = &mut self.accelerators[index].listeners[position];
        listener.port_ranges = input.port_ranges.unwrap_or_else(|| std::mem::take(&mut listener.port_ranges));
        listener.protocol = input.protocol.unwrap_or_else(|| std::mem::take(&mut listener.protocol));
        listener.client_affinity =
            input.client_affinity.unwrap_or_else(|| std::mem::take(&mut listener.client_affinity));
        self.touch(index, now);
        Ok(&self.accelerators[index].listeners[position])
    }

    /// Deletes a listener without endpoint groups.
    pub(super) fn delete_listener(&mut self, now: Duration, arn: &str) -> Result<(), Fault> {
        let (index, position) = self.find_listener(arn)?;
        if !self.accelerators[index].listeners[position].groups.is_empty() {
            let message = format!("The listener {arn} has an endpoint group.");
            return Err(Fault::new("AssociatedEndpointGroupFoundException", message));
        }
        self.accelerators[index].listeners.remove(position);
        self.touch(index, now);
        self.accelerators[index].ghost_listener_until = self.accelerators[index].deployed;
        Ok(())
    }

    /// Sets tags of an accelerator; the other kinds have none.
    pub(super) fn tag(&mut self, arn: &str, tags: Vec<Tag>) -> Result<(), Fault> {
        let index = self.find(arn)?;
        let present = &mut self.accelerators[index].tags;
        for tag in tags {
            present.retain(|other| other.key != tag.key);
            present.push(tag);
        }
        Ok(())
    }

    /// Removes tags of an accelerator.
    pub(super) fn untag(&mut self, arn: &str, keys: &[String]) -> Result<(), Fault> {
        let index = self.find(arn)?;
        self.accelerators[index].tags.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    }
}

/// Lower-case hexadecimal digits, at most 32.
pub(super) fn random_hex(digits: usize) -> String {
    Uuid::new_v4().simple().to_string()[..digits].to_owned()
}

/// Refuses a create call without a token.
pub(super) fn check_token(token: &str) -> Result<(), Fault> {
    if token.is_empty() || token.len() > 255 {
        return Err(Fault::invalid("IdempotencyToken needs 1 to 255 characters."));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Fault> {
    let allowed = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '.' || letter == '-');
    let edge = |letter: Option<char>| matches!(letter, Some('.' | '-'));
    if name.is_empty() || name.len() > MAX_NAME || !allowed || edge(name.chars().next()) || edge(name.chars().last()) {
        return Err(Fault::invalid(format!(
            "The name '{name}' needs 1 to {MAX_NAME} letters, digits, periods and hyphens, and neither of these at an end."
        )));
    }
    Ok(())
}

fn is_dual_stack(kind: Option<&str>) -> Result<bool, Fault> {
    match kind {
        None | Some("IPV4") => Ok(false),
        Some("DUAL_STACK") => Ok(true),
        Some(other) => Err(Fault::invalid(format!("IpAddressType is IPV4 or DUAL_STACK, not {other}."))),
    }
}

fn check_protocol(protocol: &str) -> Result<(), Fault> {
    match protocol {
        "TCP" | "UDP" => Ok(()),
        other => Err(Fault::invalid(format!("Protocol is TCP or UDP, not {other}."))),
    }
}

fn check_affinity(affinity: &str) -> Result<(), Fault> {
    match affinity {
        "NONE" | "SOURCE_IP" => Ok(()),
        other => Err(Fault::invalid(format!("ClientAffinity is NONE or SOURCE_IP, not {other}."))),
    }
}

/// Refuses ports that are none, or that the accelerator listens on already, `except` by the listener that changes.
fn check_ports(accelerator: &Accelerator, except: Option<&str>, ports: &[PortRange]) -> Result<(), Fault> {
    if ports.is_empty() || ports.len() > MAX_PORT_RANGES {
        return Err(Fault::invalid(format!("A listener needs 1 to {MAX_PORT_RANGES} port ranges.")));
    }
    let refused = |range: &PortRange, why: &str| {
        let message = format!("The ports {} to {} {why}.", range.from_port, range.to_port);
        Err(Fault::new("InvalidPortRangeException", message))
    };
    let others = accelerator.listeners.iter().filter(|listener| Some(listener.arn.as_str()) != except);
    let taken: Vec<&PortRange> = others.flat_map(|listener| &listener.port_ranges).collect();
    for (index, range) in ports.iter().enumerate() {
        if range.from_port == 0 || range.to_port > 65535 || range.from_port > range.to_port {
            return refused(range, "are no range within 1 to 65535");
        }
        let overlaps = |other: &PortRange| range.from_port <= other.to_port && other.from_port <= range.to_port;
        if taken.iter().any(|other| overlaps(other)) || ports[..index].iter().any(overlaps) {
            return refused(range, "are already listened on by this accelerator");
        }
    }
    Ok(())
}
