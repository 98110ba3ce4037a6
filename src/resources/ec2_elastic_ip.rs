//! `ec2_elastic_ip`: a public address that stays ours until it is released.
//!
//! Facts: `eip.create` (no token: found by its tags), `eip.consistency` (nothing is read after the creation; the NAT gateway waits until
//! the address is known), `eip.limit` (5 per region), `eip.read.gone`, `eip.delete.in-use` (until the NAT gateway that has it is really
//! deleted), `eip.delete.locked` (told at once), `eip.delete.twice`. Replacement: nothing. Slow: nothing.

use aws_sdk_ec2::types::{Address, DomainType, ResourceType};
use serde::{Deserialize, Serialize};

use super::ec2;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::outputs;
use crate::reference::AllocationId;

/// How long a NAT gateway that an earlier, interrupted run began to delete may keep its address.
const IN_USE: u64 = 30 * 60;

/// The kind.
#[derive(Debug)]
pub struct ElasticIp;

/// The desired properties of an Elastic IP: it has none that could differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ElasticIpSpec {}

outputs! {
    /// What is known of an Elastic IP once it exists.
    pub struct ElasticIpOutputs of ElasticIp {
        /// The id, `eipalloc-...`.
        id: AllocationId,
        /// The address itself.
        public_ip: String,
    }
}

impl Kind for ElasticIp {
    type Spec = ElasticIpSpec;
    type Outputs = ElasticIpOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_elastic_ip",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &[],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["ec2:DescribeAddresses"],
            change: &["ec2:AllocateAddress", "ec2:ReleaseAddress", "ec2:CreateTags", "ec2:DeleteTags"],
        },
        retries: &[Retry::seconds("ec2:ReleaseAddress", "InvalidIPAddress.InUse", "", IN_USE)],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let found = ec2::describe(
            context,
            "ec2:DescribeAddresses",
            "allocation-id",
            wanted,
            |outputs: &ElasticIpOutputs| outputs.id.as_str(),
            // Addresses are answered on one page.
            |filter, _| clients.ec2().describe_addresses().filters(filter).send(),
            |page| (page.addresses, None),
        )
        .await?;
        list::each_tells(&found, |one| one.allocation_id(), "ec2:DescribeAddresses", "allocationId")?;
        let object = |wanted| {
            let address = found.iter().find(|address| {
                let id = address.allocation_id();
                ec2::is(context, wanted, |outputs: &ElasticIpOutputs| id == Some(outputs.id.as_str()), address.tags())
            })?;
            let outputs = ElasticIpOutputs {
                id: address.allocation_id().unwrap_or_default().into(),
                public_ip: address.public_ip().unwrap_or_default().to_owned(),
            };
            Some(Object { spec: ElasticIpSpec {}, outputs, tags: ec2::tags(address.tags()) })
        };
        Ok(wanted.iter().map(object).collect())
    }

    async fn ensure(task: &Task<'_>, _: &ElasticIpSpec, object: Option<Object<Self>>) -> Result<ElasticIpOutputs> {
        let object = match object {
            Some(object) => object,
            None => return create(task).await,
        };
        ec2::sync_tags(task, object.outputs.id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &ElasticIpSpec, outputs: &ElasticIpOutputs) -> Result<Deletion> {
        let clients = task.clients();
        task.wait("the address to be free", Patience::seconds(IN_USE, 10), || async {
            let release = || clients.ec2().release_address().allocation_id(&outputs.id).send();
            match task.call("ec2:ReleaseAddress", release).await {
                Err(error) if error.is(&["AuthFailure"]) => {
                    released(error, describe(task, &outputs.id).await?.as_ref())
                }
                Err(error) if !error.is_gone() => Err(explained(error, outputs)),
                _ => Ok(Look::Ready(Deletion::Gone)),
            }
        })
        .await
    }
}

async fn create(task: &Task<'_>) -> Result<ElasticIpOutputs> {
    let clients = task.clients();
    let tags = ec2::tag_specification(task, ResourceType::ElasticIp);
    let created = task
        .call("ec2:AllocateAddress", || {
            clients.ec2().allocate_address().domain(DomainType::Vpc).tag_specifications(tags.clone()).send()
        })
        .await?;
    let id = created.allocation_id().ok_or_else(|| Error::incomplete("ec2:AllocateAddress", "allocationId"))?;
    let outputs = ElasticIpOutputs { id: id.into(), public_ip: created.public_ip().unwrap_or_default().to_owned() };
    task.identified(&outputs).await?;
    Ok(outputs)
}

/// What `AuthFailure` means for an address: it was released and may be somebody else's by now (`eip.delete.twice`), it is still
/// associated (`eip.delete.in-use`), or the caller really may not.
fn released(error: Error, address: Option<&Address>) -> Result<Look<Deletion>> {
    match address {
        None => Ok(Look::Ready(Deletion::Gone)),
        Some(address) => match address.association_id() {
            Some(association) => Ok(Look::Pending(format!("kept by the association {association}"))),
            None => Err(error),
        },
    }
}

/// Says of a locked address, which no further try releases, who can help (`eip.delete.locked`).
fn explained(error: Error, outputs: &ElasticIpOutputs) -> Error {
    if !error.is(&["InvalidAddress.Locked"]) {
        return error;
    }
    Error::Blocked(format!(
        "{error}; somebody set reverse DNS for {} ({}), which only AWS support can lift: ask it to, then run this again",
        outputs.public_ip, outputs.id
    ))
}

async fn describe(task: &Task<'_>, id: &AllocationId) -> Result<Option<Address>> {
    let clients = task.clients();
    let filter = ec2::filter("allocation-id", id.as_str());
    let found = task
        .call("ec2:DescribeAddresses", || clients.ec2().describe_addresses().filters(filter.clone()).send())
        .await?;
    let mut addresses = found.addresses.unwrap_or_default().into_iter();
    Ok(addresses.find(|address| address.allocation_id() == Some(id.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::existing::tests::refused;

    /// `eip.delete.twice`, `eip.delete.in-use`
    #[test]
    fn a_refused_release_is_told_by_the_address_itself() {
        let released = |address: Option<&Address>| released(refused("AuthFailure"), address);
        let address = || Address::builder().allocation_id("eipalloc-1");
        assert!(matches!(released(None), Ok(Look::Ready(Deletion::Gone))));
        let associated = address().association_id("eipassoc-1").build();
        assert!(matches!(released(Some(&associated)), Ok(Look::Pending(told)) if told.contains("eipassoc-1")));
        assert!(released(Some(&address().build())).is_err_and(|error| error.is(&["AuthFailure"])));
    }

    /// `eip.delete.locked`
    #[test]
    fn a_locked_address_is_blocked_and_told_who_can_help() {
        let outputs = ElasticIpOutputs { id: "eipalloc-1".into(), public_ip: "192.0.2.1".to_owned() };
        let explained = |code: &str| explained(refused(code), &outputs);
        let Error::Blocked(told) = explained("InvalidAddress.Locked") else { panic!("nothing but AWS support helps") };
        for word in ["192.0.2.1", "eipalloc-1", "AWS support", "InvalidAddress.Locked"] {
            assert!(told.contains(word), "{told}");
        }
        assert!(explained("InvalidIPAddress.InUse").is(&["InvalidIPAddress.InUse"]), "it is met again");
    }
}
