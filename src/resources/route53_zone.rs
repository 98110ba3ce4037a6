//! `route53_zone`: a public hosted zone.
//!
//! Facts: `r53.zone.create` (a caller reference, no tags; names are not unique), `x.tags-on-create`, `r53.zone.delegation` (a zone
//! made anew has other name servers), `r53.zone.delete` (only its own NS and SOA records may be left), `r53.rate`.
//! Replacement: `name`. Slow: nothing.
//!
//! Records that are not ours are named when they block a deletion, and never touched.

use std::collections::HashMap;

use aws_sdk_route53::types::{HostedZone, ResourceRecordSet, RrType, TagResourceType};
use serde::{Deserialize, Serialize};

use super::route53::{self, bare, plain};
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Pages, Tags};
use crate::outputs;
use crate::reference::HostedZoneId;

/// How many of the records in the way an error names.
const NAMED: usize = 10;

/// The kind.
#[derive(Debug)]
pub struct Zone;

/// The desired properties of a hosted zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZoneSpec {
    /// The domain name, without the trailing dot.
    pub name: String,
}

outputs! {
    /// What is known of a hosted zone once it exists.
    pub struct ZoneOutputs of Zone {
        /// The id, `Z...`.
        id: HostedZoneId,
        /// The name servers that its parent zone has to name.
        name_servers: Vec<String>,
    }
}

impl Kind for Zone {
    type Spec = ZoneSpec;
    type Outputs = ZoneOutputs;

    const TRAITS: Traits = Traits {
        name: "route53_zone",
        taggable: true,
        data_bearing: false,
        // A zone that a crash left without tags is ours all the same; `observe` finds no other ones (see `route53::mark`).
        adoption: Adoption::ByName,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 5),
        permissions: Permissions {
            read: &[
                "route53:GetHostedZone",
                "route53:ListHostedZonesByName",
                "route53:ListTagsForResources",
                "tag:GetResources",
            ],
            change: &[
                "route53:CreateHostedZone",
                "route53:ChangeTagsForResource",
                "route53:ListResourceRecordSets",
                "route53:DeleteHostedZone",
            ],
        },
        retries: &[
            Retry::seconds("route53:ChangeTagsForResource", "NoSuchHostedZone", "", 60),
            Retry::seconds("route53:ChangeTagsForResource", "PriorRequestNotComplete", "", 120),
            Retry::seconds("route53:DeleteHostedZone", "PriorRequestNotComplete", "", 300),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let found = context
            .each(wanted, |wanted| async move {
                let id = match &wanted.outputs {
                    Some(outputs) => Some(outputs.id.as_str().to_owned()),
                    None => {
                        let mark = route53::mark(context.suffix(), &wanted.address);
                        find(context, &wanted.spec.name, |reference| reference.starts_with(&mark)).await?
                    }
                };
                match id {
                    Some(id) => get(context, &id).await,
                    None => Ok(None),
                }
            })
            .await?;
        let ids: Vec<String> = found.iter().flatten().map(|(_, outputs)| String::from(&outputs.id)).collect();
        let mut tags = match ids.is_empty() {
            true => HashMap::new(),
            false => route53::tags(context, TagResourceType::Hostedzone, &ids).await?,
        };
        let mut object = |(spec, outputs): (ZoneSpec, ZoneOutputs)| {
            let tags = tags.remove(outputs.id.as_str()).unwrap_or_default();
            Object { spec, outputs, tags }
        };
        Ok(found.into_iter().map(|found| found.map(&mut object)).collect())
    }

    async fn ensure(task: &Task<'_>, spec: &ZoneSpec, object: Option<Object<Self>>) -> Result<ZoneOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        route53::sync_tags(task, TagResourceType::Hostedzone, object.outputs.id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &ZoneSpec, outputs: &ZoneOutputs) -> Result<Deletion> {
        task.wait("the hosted zone to be empty", Patience::minutes(2), || try_delete(task, spec, &outputs.id)).await?;
        Ok(Deletion::Gone)
    }
}

async fn create(task: &Task<'_>, spec: &ZoneSpec) -> Result<Object<Zone>> {
    let clients = task.clients();
    let reference = route53::caller_reference(task);
    let created = task
        .call("route53:CreateHostedZone", || {
            clients.route53().create_hosted_zone().name(&spec.name).caller_reference(&reference).send()
        })
        .await;
    let outputs = match created {
        Ok(created) => {
            let zone = created.hosted_zone().ok_or_else(|| Error::incomplete("route53:CreateHostedZone", "zone"))?;
            let servers = created.delegation_set().map(|set| set.name_servers()).unwrap_or_default();
            outputs("route53:CreateHostedZone", zone, servers)?
        }
        // An earlier try with the same reference made it, and its answer was lost.
        Err(error) if error.is(&["HostedZoneAlreadyExists"]) => {
            let Some(id) = find(&task.context, &spec.name, |other| other == reference).await? else {
                return Err(error);
            };
            get(&task.context, &id).await?.ok_or(error)?.1
        }
        Err(error) => return Err(error),
    };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: Tags::new() })
}

/// The id of the zone with this name whose caller reference is the right one.
async fn find(context: &Context, name: &str, right: impl Fn(&str) -> bool) -> Result<Option<String>> {
    let clients = context.clients();
    let (mut next_name, mut next_id) = (Some(name.to_owned()), None);
    let mut read = Pages::of("route53:ListHostedZonesByName");
    loop {
        let page = context
            .call("route53:ListHostedZonesByName", || {
                let request = clients.route53().list_hosted_zones_by_name();
                request.set_dns_name(next_name.clone()).set_hosted_zone_id(next_id.clone()).send()
            })
            .await?;
        let same: Vec<_> = page.hosted_zones().iter().filter(|zone| plain(zone.name()) == plain(name)).collect();
        if let Some(zone) = same.iter().find(|zone| right(zone.caller_reference())) {
            return Ok(Some(bare(zone.id()).to_owned()));
        }
        // Zones of one name stand together, at the beginning of the list.
        if !page.is_truncated() || same.len() < page.hosted_zones().len() {
            return Ok(None);
        }
        (next_name, next_id) = (page.next_dns_name().map(str::to_owned), page.next_hosted_zone_id().map(str::to_owned));
        read.once(&(&next_name, &next_id))?;
    }
}

async fn get(context: &Context, id: &str) -> Result<Option<(ZoneSpec, ZoneOutputs)>> {
    let clients = context.clients();
    match context.call("route53:GetHostedZone", || clients.route53().get_hosted_zone().id(id).send()).await {
        Ok(answer) => {
            let zone = answer.hosted_zone().ok_or_else(|| Error::incomplete("route53:GetHostedZone", "zone"))?;
            let servers = answer.delegation_set().map(|set| set.name_servers()).unwrap_or_default();
            Ok(Some((ZoneSpec { name: plain(zone.name()) }, outputs("route53:GetHostedZone", zone, servers)?)))
        }
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn try_delete(task: &Task<'_>, spec: &ZoneSpec, id: &HostedZoneId) -> Result<Look<()>> {
    let clients = task.clients();
    let deleted = task.call("route53:DeleteHostedZone", || clients.route53().delete_hosted_zone().id(id).send()).await;
    let refusal = match deleted {
        Ok(_) => return Ok(Look::Ready(())),
        Err(error) if error.is_gone() => return Ok(Look::Ready(())),
        Err(error) if error.is(&["HostedZoneNotEmpty"]) => error,
        Err(error) => return Err(error),
    };
    let answer = task
        .call("route53:ListResourceRecordSets", || {
            clients.route53().list_resource_record_sets().hosted_zone_id(id).send()
        })
        .await?;
    match foreign(&spec.name, answer.resource_record_sets()) {
        // Our own records are deleted, and the zone has not noticed yet; or the zone is signed.
        left if left.is_empty() => Ok(Look::Pending("HostedZoneNotEmpty".to_owned())),
        left => Err(Error::Blocked(format!(
            "{refusal}; records that are not part of this deployment are in the zone {}: {}; delete them and run down again",
            spec.name,
            left.join(", ")
        ))),
    }
}

/// The records of a zone besides the two that belong to every zone, by type and name.
fn foreign(zone: &str, records: &[ResourceRecordSet]) -> Vec<String> {
    let own = |record: &&ResourceRecordSet| {
        matches!(record.r#type(), RrType::Ns | RrType::Soa) && plain(record.name()) == plain(zone)
    };
    let others: Vec<_> = records.iter().filter(|record| !own(record)).collect();
    let mut named: Vec<String> =
        others.iter().take(NAMED).map(|record| format!("{} {}", record.r#type(), plain(record.name()))).collect();
    if others.len() > NAMED {
        named.push(format!("and {} more", others.len() - NAMED));
    }
    named
}

fn outputs(operation: &str, zone: &HostedZone, servers: &[String]) -> Result<ZoneOutputs> {
    // A public zone without any would take the delegation's record away.
    if servers.is_empty() {
        return Err(Error::incomplete(operation, "NameServers"));
    }
    let mut name_servers: Vec<String> = servers.iter().map(|server| plain(server)).collect();
    name_servers.sort_unstable();
    Ok(ZoneOutputs { id: bare(zone.id()).into(), name_servers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, kind: RrType) -> ResourceRecordSet {
        ResourceRecordSet::builder().name(name).r#type(kind).build().unwrap()
    }

    #[test]
    fn a_zone_is_empty_with_its_own_two_records_and_others_are_named() {
        let own = [record("dr.example.com.", RrType::Ns), record("dr.example.com.", RrType::Soa)];
        assert!(foreign("dr.example.com", &own).is_empty());
        let with =
            [own.to_vec(), vec![record("a.dr.example.com.", RrType::Ns), record("\\052.dr.example.com.", RrType::A)]];
        assert_eq!(foreign("dr.example.com", &with.concat()), ["NS a.dr.example.com", "A *.dr.example.com"]);
    }

    #[test]
    fn many_records_are_counted_instead_of_listed() {
        let records: Vec<_> = (0..13).map(|n| record(&format!("h{n}.dr.example.com."), RrType::A)).collect();
        let named = foreign("dr.example.com", &records);
        assert_eq!((named.len(), named.last().map(String::as_str)), (NAMED + 1, Some("and 3 more")));
    }
}
