//! `globalaccelerator_listener`: the ports of an accelerator.
//!
//! Facts: `ga.region`, `ga.listener.create` (a token; ports and affinity change in place; no tags), `ga.status-shared`, `ga.read`,
//! `ga.delete` (endpoint groups first).
//! Replacement: `accelerator`. Slow: every change, 1 to 5 minutes until it is everywhere.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_globalaccelerator::types::{ClientAffinity, Listener as Described, PortRange, Protocol};
use serde::{Deserialize, Serialize};

use super::globalaccelerator::{clients, deployed, in_progress};
use super::{Adoption, Context, Deletion, Expected, Kind, Object, Parent, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{AcceleratorArn, AcceleratorListenerArn, Ref};

/// The kind.
#[derive(Debug)]
pub struct AcceleratorListener;

/// The desired properties of an accelerator's listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcceleratorListenerSpec {
    /// The accelerator it is part of.
    pub accelerator: Ref<AcceleratorArn>,
    /// The TCP ports.
    pub ports: BTreeSet<u16>,
    /// Whether all connections of one address go to one endpoint.
    pub source_affinity: bool,
}

outputs! {
    /// What is known of an accelerator's listener once it exists.
    #[serde(from = "Recorded")]
    pub struct AcceleratorListenerOutputs of AcceleratorListener {
        /// The ARN.
        arn: AcceleratorListenerArn,
        /// The end of the ARN: the dimension of its metrics.
        id: String,
    }
}

/// The outputs on record. Those of earlier versions of drctl have the ARN alone.
#[derive(Deserialize)]
struct Recorded {
    arn: AcceleratorListenerArn,
}

impl From<Recorded> for AcceleratorListenerOutputs {
    fn from(recorded: Recorded) -> Self {
        outputs(recorded.arn.as_str())
    }
}

fn outputs(arn: &str) -> AcceleratorListenerOutputs {
    let id = arn.rsplit('/').next().unwrap_or(arn).to_owned();
    AcceleratorListenerOutputs { arn: arn.into(), id }
}

impl Kind for AcceleratorListener {
    type Spec = AcceleratorListenerSpec;
    type Outputs = AcceleratorListenerOutputs;

    const TRAITS: Traits = Traits {
        name: "globalaccelerator_listener",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["accelerator"],
        locked_by: Some("accelerator"),
        expected: Expected::seconds(60, 60, 60),
        permissions: Permissions {
            read: &["globalaccelerator:ListListeners"],
            change: &[
                "globalaccelerator:CreateListener",
                "globalaccelerator:UpdateListener",
                "globalaccelerator:DeleteListener",
                "globalaccelerator:DescribeAccelerator",
            ],
        },
        retries: &[
            in_progress("globalaccelerator:CreateListener"),
            in_progress("globalaccelerator:UpdateListener"),
            in_progress("globalaccelerator:DeleteListener"),
            // For a moment after the last endpoint group went.
            Retry::seconds("globalaccelerator:DeleteListener", "AssociatedEndpointGroupFoundException", "", 120),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::apart("accelerator"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let mut found: BTreeMap<String, Vec<Described>> = BTreeMap::new();
        for accelerator in wanted.iter().filter_map(parent).collect::<BTreeSet<_>>() {
            let listeners = list(context, &accelerator).await?;
            found.insert(accelerator, listeners);
        }
        let object = |wanted: &Wanted<Self>| {
            let accelerator = parent(wanted)?;
            let described = found.get(&accelerator)?.iter().find(|described| match &wanted.outputs {
                Some(outputs) => described.listener_arn() == Some(outputs.arn.as_str()),
                // A port belongs to one listener of an accelerator only.
                None => !ports(described).is_disjoint(&wanted.spec.ports),
            })?;
            let arn =
                described.listener_arn().ok_or_else(|| Error::incomplete("globalaccelerator:ListListeners", "ARN"));
            let spec = spec(described, accelerator.into());
            Some(arn.map(|arn| Object { spec, outputs: outputs(arn), tags: Tags::new() }))
        };
        wanted.iter().map(|wanted| object(wanted).transpose()).collect()
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &AcceleratorListenerSpec,
        object: Option<Object<Self>>,
    ) -> Result<AcceleratorListenerOutputs> {
        let clients = clients(task);
        let outputs = match object {
            None => create(task, spec).await?,
            Some(object) => {
                if object.spec != *spec {
                    task.call("globalaccelerator:UpdateListener", || {
                        clients
                            .globalaccelerator()
                            .update_listener()
                            .listener_arn(&object.outputs.arn)
                            .set_port_ranges(Some(ranges(spec)))
                            .protocol(Protocol::Tcp)
                            .client_affinity(affinity(spec))
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

    async fn delete(
        task: &Task<'_>,
        spec: &AcceleratorListenerSpec,
        outputs: &AcceleratorListenerOutputs,
    ) -> Result<Deletion> {
        let clients = clients(task);
        let deleted = task
            .call("globalaccelerator:DeleteListener", || {
                clients.globalaccelerator().delete_listener().listener_arn(&outputs.arn).send()
            })
            .await;
        if let Err(error) = deleted
            && !error.is_gone()
        {
            return Err(error);
        }
        deployed(task, spec.accelerator.known()).await?;
        Ok(Deletion::Gone)
    }
}

async fn create(task: &Task<'_>, spec: &AcceleratorListenerSpec) -> Result<AcceleratorListenerOutputs> {
    let clients = clients(task);
    let created = task
        .call("globalaccelerator:CreateListener", || {
            clients
                .globalaccelerator()
                .create_listener()
                .accelerator_arn(spec.accelerator.known())
                .set_port_ranges(Some(ranges(spec)))
                .protocol(Protocol::Tcp)
                .client_affinity(affinity(spec))
                .idempotency_token(task.token)
                .send()
        })
        .await?;
    let arn = created.listener().and_then(|listener| listener.listener_arn());
    let arn = arn.ok_or_else(|| Error::incomplete("globalaccelerator:CreateListener", "ARN"))?;
    let outputs = outputs(arn);
    task.identified(&outputs).await?;
    Ok(outputs)
}

/// The listeners of an accelerator; none when it is gone.
async fn list(context: &Context, accelerator: &str) -> Result<Vec<Described>> {
    let clients = clients(context);
    // An accelerator has at most 10 listeners and a page holds 100 (`ga.limits`).
    let answer = context
        .call("globalaccelerator:ListListeners", || {
            clients.globalaccelerator().list_listeners().accelerator_arn(accelerator).max_results(100).send()
        })
        .await;
    match answer {
        Ok(answer) => Ok(answer.listeners().to_vec()),
        Err(error) if error.is_gone() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The accelerator of a listener: told by the listener's own ARN, of which it is the beginning, else by the spec.
fn parent(wanted: &Wanted<AcceleratorListener>) -> Option<String> {
    match &wanted.outputs {
        Some(outputs) => Some(outputs.arn.as_str().split_once("/listener/")?.0.to_owned()),
        None => wanted.spec.accelerator.get().map(String::from),
    }
}

fn ports(described: &Described) -> BTreeSet<u16> {
    let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    let ranges = described.port_ranges().iter();
    ranges.filter_map(|range| Some(port(range.from_port())?..=port(range.to_port())?)).flatten().collect()
}

fn spec(described: &Described, accelerator: AcceleratorArn) -> AcceleratorListenerSpec {
    AcceleratorListenerSpec {
        accelerator: Ref::Known(accelerator),
        ports: ports(described),
        source_affinity: described.client_affinity() == Some(&ClientAffinity::SourceIp),
    }
}

fn ranges(spec: &AcceleratorListenerSpec) -> Vec<PortRange> {
    let range = |port: &u16| PortRange::builder().from_port(i32::from(*port)).to_port(i32::from(*port)).build();
    spec.ports.iter().map(range).collect()
}

fn affinity(spec: &AcceleratorListenerSpec) -> ClientAffinity {
    if spec.source_affinity { ClientAffinity::SourceIp } else { ClientAffinity::None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The metrics of a listener name it by the end of its ARN, also one that an earlier version of drctl recorded.
    #[test]
    fn a_listener_on_record_without_an_id_has_that_of_its_arn() {
        let arn = "arn:aws:globalaccelerator::1:accelerator/a1/listener/l2";
        let recorded = serde_json::from_value(serde_json::json!({ "arn": arn }));
        let recorded: AcceleratorListenerOutputs = recorded.unwrap();
        assert_eq!((recorded.arn.as_str(), recorded.id.as_str()), (arn, "l2"));
        assert_eq!(serde_json::to_value(&recorded).unwrap(), serde_json::json!({ "arn": arn, "id": "l2" }));
    }

    #[test]
    fn an_unchanged_listener_equals_its_spec() {
        let wanted = AcceleratorListenerSpec {
            accelerator: Ref::Known("arn:a".into()),
            ports: BTreeSet::from([80, 443]),
            source_affinity: true,
        };
        let described =
            Described::builder().set_port_ranges(Some(ranges(&wanted))).client_affinity(affinity(&wanted)).build();
        assert_eq!(spec(&described, "arn:a".into()), wanted);
    }
}
