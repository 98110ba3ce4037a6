//! `globalaccelerator_accelerator`: two fixed addresses that lead callers to the nearest healthy region.
//!
//! Facts: `ga.region` (every call in us-west-2), `ga.accelerator.create` (token and tags in the create call), `ga.status-shared`
//! (every change takes minutes to go out), `ga.read`, `ga.dns` (one hosted zone for all accelerators), `ga.delete` (listeners
//! first, then disabled, then deployed, then deleted; the addresses are lost for good).
//! Replacement: nothing. Slow: every change, 1 to 5 minutes; deletion twice that.

use aws_sdk_globalaccelerator::types::{Accelerator as Described, AcceleratorStatus, IpAddressType, Tag};
use serde::{Deserialize, Serialize};

use super::globalaccelerator::{self, clients, deployed, in_progress};
use super::{Adoption, Context, Deletion, Expected, Kind, Object, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, Pages, Tags, tags};
use crate::outputs;
use crate::reference::{AcceleratorArn, DnsName, HostedZoneId};
use crate::sdk_tags;

/// The hosted zone that alias records to any accelerator name.
const ZONE: &str = "Z2BJ6XQ5FK7U4H";

/// The kind.
#[derive(Debug)]
pub struct Accelerator;

/// The desired properties of an accelerator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcceleratorSpec {
    /// The name; AWS does not keep it unique.
    pub name: String,
    /// Whether it takes traffic.
    pub enabled: bool,
}

outputs! {
    /// What is known of an accelerator once it exists.
    pub struct AcceleratorOutputs of Accelerator {
        /// The ARN.
        arn: AcceleratorArn,
        /// The end of the ARN: the dimension of its metrics.
        id: String,
        /// The host name.
        dns_name: DnsName,
        /// The hosted zone that alias records to it name.
        zone: HostedZoneId,
        /// The fixed addresses.
        addresses: Vec<String>,
    }
}

impl Kind for Accelerator {
    type Spec = AcceleratorSpec;
    type Outputs = AcceleratorOutputs;

    const TRAITS: Traits = Traits {
        name: "globalaccelerator_accelerator",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &[],
        locked_by: None,
        expected: Expected::seconds(120, 120, 240),
        permissions: Permissions {
            read: &[
                "globalaccelerator:DescribeAccelerator",
                "globalaccelerator:ListAccelerators",
                "globalaccelerator:ListTagsForResource",
            ],
            change: &[
                "globalaccelerator:CreateAccelerator",
                "globalaccelerator:UpdateAccelerator",
                "globalaccelerator:TagResource",
                "globalaccelerator:UntagResource",
                "globalaccelerator:DeleteAccelerator",
            ],
        },
        retries: &[
            in_progress("globalaccelerator:UpdateAccelerator"),
            in_progress("globalaccelerator:DeleteAccelerator"),
            Retry::seconds("globalaccelerator:DeleteAccelerator", "AssociatedListenerFoundException", "", 120),
            Retry::seconds("globalaccelerator:DeleteAccelerator", "AcceleratorNotDisabledException", "", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let all = list(context).await?;
        context
            .each(wanted, |wanted| {
                let all = &all;
                async move {
                    for described in all.iter().filter(|described| may_be(described, wanted)) {
                        let tags = tags_of(context, described).await?;
                        let address = wanted.address.to_string();
                        let ours = context.owns(&tags) && tags.get(tags::ADDRESS) == Some(&address);
                        if wanted.outputs.is_some() || ours {
                            return Ok(Some(Object { spec: spec(described)?, outputs: outputs(described)?, tags }));
                        }
                    }
                    Ok(None)
                }
            })
            .await
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &AcceleratorSpec,
        object: Option<Object<Self>>,
    ) -> Result<AcceleratorOutputs> {
        let (object, mut is_deployed) = match object {
            Some(object) => (object, false),
            None => create(task, spec).await?,
        };
        let arn = &object.outputs.arn;
        if object.spec != *spec {
            update(task, arn, spec).await?;
            is_deployed = false;
        }
        sync_tags(task, arn, &object.tags).await?;
        if !is_deployed {
            deployed(task, arn).await?;
        }
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &AcceleratorSpec, outputs: &AcceleratorOutputs) -> Result<Deletion> {
        let arn = &outputs.arn;
        let Some(described) = globalaccelerator::describe(&task.context, arn).await? else {
            return Ok(Deletion::Gone);
        };
        if self::spec(&described)?.enabled {
            update(task, arn, &AcceleratorSpec { enabled: false, ..spec.clone() }).await?;
        }
        deployed(task, arn).await?;
        let clients = clients(task);
        let deleted = task
            .call("globalaccelerator:DeleteAccelerator", || {
                clients.globalaccelerator().delete_accelerator().accelerator_arn(arn).send()
            })
            .await;
        match deleted {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

/// Creates the accelerator; also tells whether it is deployed already.
async fn create(task: &Task<'_>, spec: &AcceleratorSpec) -> Result<(Object<Accelerator>, bool)> {
    let clients = clients(task);
    let tags = sdk_tags!(task.tags, Tag).into_iter().collect::<std::result::Result<Vec<_>, _>>();
    let tags = tags.expect("every tag has a key and a value");
    let created = task
        .call("globalaccelerator:CreateAccelerator", || {
            clients
                .globalaccelerator()
                .create_accelerator()
                .name(&spec.name)
                .enabled(spec.enabled)
                .ip_address_type(IpAddressType::Ipv4)
                .idempotency_token(task.token)
                .set_tags(Some(tags.clone()))
                .send()
        })
        .await?;
    let described =
        created.accelerator().ok_or_else(|| Error::incomplete("globalaccelerator:CreateAccelerator", "accelerator"))?;
    let outputs = outputs(described)?;
    task.identified(&outputs).await?;
    let object = Object { spec: self::spec(described)?, outputs, tags: task.tags.clone() };
    Ok((object, described.status() == Some(&AcceleratorStatus::Deployed)))
}

async fn update(task: &Task<'_>, arn: &AcceleratorArn, spec: &AcceleratorSpec) -> Result<()> {
    let clients = clients(task);
    task.call("globalaccelerator:UpdateAccelerator", || {
        let request = clients.globalaccelerator().update_accelerator().accelerator_arn(arn);
        request.name(&spec.name).enabled(spec.enabled).send()
    })
    .await?;
    Ok(())
}

async fn sync_tags(task: &Task<'_>, arn: &AcceleratorArn, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = clients(task);
    if !changes.set.is_empty() {
        let set = sdk_tags!(changes.set, Tag).into_iter().collect::<std::result::Result<Vec<_>, _>>();
        let set = set.expect("every tag has a key and a value");
        task.call("globalaccelerator:TagResource", || {
            clients.globalaccelerator().tag_resource().resource_arn(arn).set_tags(Some(set.clone())).send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        task.call("globalaccelerator:UntagResource", || {
            let request = clients.globalaccelerator().untag_resource().resource_arn(arn);
            request.set_tag_keys(Some(changes.remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}

async fn list(context: &Context) -> Result<Vec<Described>> {
    let clients = clients(context);
    let mut accelerators = Vec::new();
    let mut pages = Pages::of("globalaccelerator:ListAccelerators");
    loop {
        let page = context
            .call("globalaccelerator:ListAccelerators", || {
                let request = clients.globalaccelerator().list_accelerators().max_results(100);
                request.set_next_token(pages.token()).send()
            })
            .await?;
        accelerators.extend_from_slice(page.accelerators());
        if !pages.turn(page.next_token)? {
            return Ok(accelerators);
        }
    }
}

/// Tells whether an accelerator can be the wanted one: the recorded one, or one of its name, of which the tags tell the right one.
fn may_be(described: &Described, wanted: &Wanted<Accelerator>) -> bool {
    match &wanted.outputs {
        Some(outputs) => described.accelerator_arn() == Some(outputs.arn.as_str()),
        None => described.name() == Some(&wanted.spec.name),
    }
}

async fn tags_of(context: &Context, described: &Described) -> Result<Tags> {
    let clients = clients(context);
    let arn = described.accelerator_arn().ok_or_else(|| missing("ARN"))?;
    let answer = context
        .call("globalaccelerator:ListTagsForResource", || {
            clients.globalaccelerator().list_tags_for_resource().resource_arn(arn).send()
        })
        .await?;
    Ok(answer.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
}

fn missing(field: &str) -> Error {
    Error::incomplete("globalaccelerator:DescribeAccelerator", field)
}

fn outputs(described: &Described) -> Result<AcceleratorOutputs> {
    let arn = described.accelerator_arn().ok_or_else(|| missing("ARN"))?;
    Ok(AcceleratorOutputs {
        arn: arn.into(),
        id: arn.rsplit('/').next().unwrap_or_default().to_owned(),
        dns_name: described.dns_name().ok_or_else(|| missing("host name"))?.into(),
        zone: ZONE.into(),
        addresses: described.ip_sets().iter().flat_map(|set| set.ip_addresses()).cloned().collect(),
    })
}

fn spec(described: &Described) -> Result<AcceleratorSpec> {
    Ok(AcceleratorSpec {
        name: described.name().ok_or_else(|| missing("Name"))?.to_owned(),
        enabled: described.enabled().ok_or_else(|| missing("Enabled"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_globalaccelerator::types::IpSet;

    #[test]
    fn the_dimension_of_metrics_is_the_end_of_the_arn() {
        let described = Described::builder()
            .accelerator_arn("arn:aws:globalaccelerator::1:accelerator/1234abcd")
            .dns_name("a1234.awsglobalaccelerator.com")
            .ip_sets(IpSet::builder().ip_addresses("192.0.2.1").ip_addresses("192.0.2.2").build())
            .build();
        let outputs = outputs(&described).unwrap();
        assert_eq!((outputs.id.as_str(), outputs.addresses.len()), ("1234abcd", 2));
        assert_eq!(outputs.zone.as_str(), "Z2BJ6XQ5FK7U4H", "what aliases to an accelerator name (`ga.dns`)");
    }
}
