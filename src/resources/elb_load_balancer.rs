//! `elb_load_balancer`: an internal application load balancer.
//!
//! Facts: `alb.create` (internal must be said, two zones at least), `alb.create.idempotent` (success does not prove that it is
//! new: the name and the tags do), `alb.create.sg-lag`, `alb.wait`, `alb.update` (groups, subnets and attributes by calls of
//! their own), `alb.read.gone`, `alb.delete` (protection off first; deleting what is missing succeeds), `alb.delete.enis`, `eni.elb` and
//! `order.alb-eni` (its interfaces outlive the call and block groups and subnets), `elb.tags`.
//! Replacement: `name`. Slow: creation (2 to 4 minutes) and deletion (2 to 10 minutes, for the interfaces).

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Filter;
use aws_sdk_elasticloadbalancingv2::types::{
    LoadBalancer as Described, LoadBalancerAttribute, LoadBalancerSchemeEnum, LoadBalancerStateEnum,
    LoadBalancerTypeEnum,
};
use serde::{Deserialize, Serialize};

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use super::{ec2, elb, existing};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Pages};
use crate::outputs;
use crate::reference::{DnsName, HostedZoneId, LoadBalancerArn, Ref, SecurityGroupId, SubnetId};

/// The attribute that forbids deletion.
const PROTECTION: &str = "deletion_protection.enabled";

/// The kind.
#[derive(Debug)]
pub struct LoadBalancer;

/// The desired properties of a load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancerSpec {
    /// The name, unique in the region; at most 32 characters.
    pub name: String,
    /// The subnets, in at least two availability zones.
    pub subnets: Vec<Ref<SubnetId>>,
    /// The security groups of its interfaces.
    pub security_groups: Vec<Ref<SecurityGroupId>>,
    /// The attributes that matter, by AWS's keys (`idle_timeout.timeout_seconds`); all others stay as they are.
    pub attributes: BTreeMap<String, String>,
}

outputs! {
    /// What is known of a load balancer once it exists.
    pub struct LoadBalancerOutputs of LoadBalancer {
        /// The ARN.
        arn: LoadBalancerArn,
        /// The end of the ARN, `app/name/id`: the dimension of its metrics.
        full_name: String,
        /// The host name.
        dns_name: DnsName,
        /// The hosted zone that alias records to it name.
        zone: HostedZoneId,
    }
}

impl Kind for LoadBalancer {
    type Spec = LoadBalancerSpec;
    type Outputs = LoadBalancerOutputs;

    const HOLDS: &'static [&'static str] = &["security_groups", "subnets"];

    const TRAITS: Traits = Traits {
        name: "elb_load_balancer",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(180, 10, 300),
        permissions: Permissions {
            read: &[
                "elasticloadbalancing:DescribeLoadBalancers",
                "elasticloadbalancing:DescribeLoadBalancerAttributes",
                "elasticloadbalancing:DescribeTags",
                "tag:GetResources",
            ],
            change: &[
                "elasticloadbalancing:CreateLoadBalancer",
                "elasticloadbalancing:SetSubnets",
                "elasticloadbalancing:SetSecurityGroups",
                "elasticloadbalancing:ModifyLoadBalancerAttributes",
                "elasticloadbalancing:AddTags",
                "elasticloadbalancing:RemoveTags",
                "elasticloadbalancing:DeleteLoadBalancer",
                "ec2:DescribeAccountAttributes",
                "ec2:DescribeInternetGateways",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
                "ec2:GetSecurityGroupsForVpc",
                "iam:CreateServiceLinkedRole",
            ],
        },
        retries: &[
            Retry::seconds("elasticloadbalancing:CreateLoadBalancer", "SubnetNotFound", "", 120),
            Retry::seconds("elasticloadbalancing:CreateLoadBalancer", "InvalidSecurityGroup", "", 120),
            Retry::seconds("elasticloadbalancing:SetSubnets", "SubnetNotFound", "", 120),
            Retry::seconds("elasticloadbalancing:SetSecurityGroups", "InvalidSecurityGroup", "", 120),
            Retry::seconds("elasticloadbalancing:ModifyLoadBalancerAttributes", "LoadBalancerNotFound", "", 120),
            Retry::seconds("elasticloadbalancing:DeleteLoadBalancer", "ResourceInUse", "", 300),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        // Asking for names or ARNs fails the whole call for one that is gone; the list never does.
        let mut all = Vec::new();
        let mut pages = Pages::of("elasticloadbalancing:DescribeLoadBalancers");
        loop {
            let page = context
                .call("elasticloadbalancing:DescribeLoadBalancers", || {
                    clients.elb().describe_load_balancers().set_marker(pages.token()).send()
                })
                .await?;
            all.extend_from_slice(page.load_balancers());
            if !pages.turn(page.next_marker)? {
                break;
            }
        }
        let find = |wanted: &Wanted<Self>| match &wanted.outputs {
            Some(outputs) => all.iter().find(|one| one.load_balancer_arn() == Some(outputs.arn.as_str())),
            None => all.iter().find(|one| one.load_balancer_name() == Some(&wanted.spec.name)),
        };
        let arns: Vec<String> =
            wanted.iter().filter_map(find).filter_map(|one| one.load_balancer_arn().map(str::to_owned)).collect();
        let tags = elb::tags(context, &arns).await?;
        context
            .each(wanted, |wanted| {
                let described = find(wanted);
                let tags = &tags;
                async move {
                    let Some(described) = described else { return Ok(None) };
                    let outputs = outputs(described)?;
                    let Some(attributes) = attributes(context, &outputs.arn, &wanted.spec).await? else {
                        return Ok(None);
                    };
                    let tags = tags.get(outputs.arn.as_str()).cloned().unwrap_or_default();
                    Ok(Some(Object { spec: spec(described, &wanted.spec, attributes)?, outputs, tags }))
                }
            })
            .await
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &LoadBalancerSpec,
        object: Option<Object<Self>>,
    ) -> Result<LoadBalancerOutputs> {
        let clients = task.clients();
        let (object, mut active) = match object {
            Some(object) => (object, false),
            None => create(task, spec).await?,
        };
        let arn = &object.outputs.arn;
        if object.spec.security_groups != spec.security_groups {
            let groups: Vec<String> = spec.security_groups.iter().map(|group| group.known().into()).collect();
            task.call("elasticloadbalancing:SetSecurityGroups", || {
                let request = clients.elb().set_security_groups().load_balancer_arn(arn);
                request.set_security_groups(Some(groups.clone())).send()
            })
            .await?;
        }
        if object.spec.subnets != spec.subnets {
            let subnets: Vec<String> = spec.subnets.iter().map(|subnet| subnet.known().into()).collect();
            task.call("elasticloadbalancing:SetSubnets", || {
                clients.elb().set_subnets().load_balancer_arn(arn).set_subnets(Some(subnets.clone())).send()
            })
            .await?;
            active = false;
        }
        let changed: Vec<LoadBalancerAttribute> = spec
            .attributes
            .iter()
            .filter(|(key, value)| object.spec.attributes.get(*key) != Some(value))
            .map(|(key, value)| LoadBalancerAttribute::builder().key(key).value(value).build())
            .collect();
        if !changed.is_empty() {
            modify_attributes(task, arn, &changed).await?;
        }
        elb::sync_tags(task, arn.as_str(), &object.tags).await?;
        if !active {
            task.wait("the load balancer to be active", Patience::minutes(15), || is_active(task, arn)).await?;
        }
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &LoadBalancerSpec, outputs: &LoadBalancerOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let arn = &outputs.arn;
        let delete = || {
            task.call("elasticloadbalancing:DeleteLoadBalancer", || {
                clients.elb().delete_load_balancer().load_balancer_arn(arn).send()
            })
        };
        let deleted = match delete().await {
            Err(error) if error.is(&["OperationNotPermitted"]) => {
                let off = LoadBalancerAttribute::builder().key(PROTECTION).value("false").build();
                modify_attributes(task, arn, &[off]).await?;
                delete().await
            }
            deleted => deleted,
        };
        deleted.map(drop).or_else(|error| if error.is_gone() { Ok(()) } else { Err(error) })?;
        // Groups and subnets cannot go before the interfaces have gone.
        task.wait("the load balancer's network interfaces to go", Patience::minutes(35), || {
            interfaces_gone(task, &outputs.full_name)
        })
        .await?;
        Ok(Deletion::Gone)
    }
}

/// Creates the load balancer; also tells whether it is active already.
async fn create(task: &Task<'_>, spec: &LoadBalancerSpec) -> Result<(Object<LoadBalancer>, bool)> {
    let clients = task.clients();
    let created = task
        .call("elasticloadbalancing:CreateLoadBalancer", || {
            clients
                .elb()
                .create_load_balancer()
                .name(&spec.name)
                .r#type(LoadBalancerTypeEnum::Application)
                .scheme(LoadBalancerSchemeEnum::Internal)
                .set_subnets(Some(spec.subnets.iter().map(|subnet| subnet.known().into()).collect()))
                .set_security_groups(Some(spec.security_groups.iter().map(|group| group.known().into()).collect()))
                .set_tags(elb::create_tags(task))
                .send()
        })
        .await;
    let created = match created {
        Err(error) if error.already_exists() => {
            let object =
                existing::own::<LoadBalancer>(task, spec, &format!("the load balancer {}", spec.name), error).await?;
            task.identified(&object.outputs).await?;
            return Ok((object, false));
        }
        created => created?,
    };
    let described = created
        .load_balancers()
        .first()
        .ok_or_else(|| Error::incomplete("elasticloadbalancing:CreateLoadBalancer", "load balancer"))?;
    let outputs = outputs(described)?;
    task.identified(&outputs).await?;
    // The attributes of a new load balancer are AWS's defaults, which differ between partitions and change over time.
    let spec = LoadBalancerSpec { attributes: BTreeMap::new(), ..spec.clone() };
    Ok((Object { spec, outputs, tags: task.tags.clone() }, state(described) == Some(&LoadBalancerStateEnum::Active)))
}

async fn modify_attributes(task: &Task<'_>, arn: &LoadBalancerArn, changed: &[LoadBalancerAttribute]) -> Result<()> {
    let clients = task.clients();
    task.call("elasticloadbalancing:ModifyLoadBalancerAttributes", || {
        let request = clients.elb().modify_load_balancer_attributes().load_balancer_arn(arn);
        request.set_attributes(Some(changed.to_vec())).send()
    })
    .await?;
    Ok(())
}

/// The attributes that the spec names, as they are; `None` when the load balancer has gone meanwhile.
async fn attributes(
    context: &Context,
    arn: &LoadBalancerArn,
    wanted: &LoadBalancerSpec,
) -> Result<Option<BTreeMap<String, String>>> {
    if wanted.attributes.is_empty() {
        return Ok(Some(BTreeMap::new()));
    }
    let clients = context.clients();
    let answer = context
        .call("elasticloadbalancing:DescribeLoadBalancerAttributes", || {
            clients.elb().describe_load_balancer_attributes().load_balancer_arn(arn).send()
        })
        .await;
    match answer {
        Ok(answer) => Ok(Some(
            answer
                .attributes()
                .iter()
                .filter_map(|attribute| Some((attribute.key()?.to_owned(), attribute.value()?.to_owned())))
                .filter(|(key, _)| wanted.attributes.contains_key(key))
                .collect(),
        )),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn is_active(task: &Task<'_>, arn: &LoadBalancerArn) -> Result<Look<()>> {
    let clients = task.clients();
    let answer = task
        .call("elasticloadbalancing:DescribeLoadBalancers", || {
            clients.elb().describe_load_balancers().load_balancer_arns(arn).send()
        })
        .await;
    let answer = match answer {
        Err(error) if !error.is_gone() => return Err(error),
        answer => answer.ok(),
    };
    look(answer.as_ref().and_then(|answer| answer.load_balancers().first()))
}

/// What the state of a load balancer says to one who waits for it to be usable (`alb.wait`).
fn look(described: Option<&Described>) -> Result<Look<()>> {
    match described.and_then(state) {
        Some(LoadBalancerStateEnum::Active | LoadBalancerStateEnum::ActiveImpaired) => Ok(Look::Ready(())),
        Some(LoadBalancerStateEnum::Failed) => {
            let reason = described.and_then(|one| one.state()).and_then(|state| state.reason());
            Err(Error::Failed(format!(
                "AWS could not set the load balancer up: {}; run down and up again",
                reason.unwrap_or("it gives no reason")
            )))
        }
        state => Ok(Look::Pending(state.map_or("not visible yet", LoadBalancerStateEnum::as_str).to_owned())),
    }
}

async fn interfaces_gone(task: &Task<'_>, full_name: &str) -> Result<Look<()>> {
    let clients = task.clients();
    let filter = Filter::builder().name("description").values(description(full_name)).build();
    Ok(ec2::none_left(&ec2::interfaces_in(task, clients.ec2(), &[filter]).await?))
}

/// How AWS describes a load balancer's interfaces.
fn description(full_name: &str) -> String {
    format!("ELB {full_name}")
}

fn missing(field: &str) -> Error {
    Error::incomplete("elasticloadbalancing:DescribeLoadBalancers", field)
}

fn outputs(described: &Described) -> Result<LoadBalancerOutputs> {
    let arn = described.load_balancer_arn().ok_or_else(|| missing("ARN"))?;
    Ok(LoadBalancerOutputs {
        arn: arn.into(),
        full_name: arn.split_once(":loadbalancer/").ok_or_else(|| missing("name in the ARN"))?.1.to_owned(),
        dns_name: described.dns_name().ok_or_else(|| missing("host name"))?.into(),
        zone: described.canonical_hosted_zone_id().ok_or_else(|| missing("CanonicalHostedZoneId"))?.into(),
    })
}

fn spec(
    described: &Described,
    wanted: &LoadBalancerSpec,
    attributes: BTreeMap<String, String>,
) -> Result<LoadBalancerSpec> {
    if described.availability_zones().is_empty() {
        return Err(missing("AvailabilityZones"));
    }
    let subnets = described.availability_zones().iter().filter_map(|zone| zone.subnet_id()).map(SubnetId::from);
    let groups = described.security_groups().iter().map(|group| SecurityGroupId::from(group.as_str()));
    Ok(LoadBalancerSpec {
        name: described.load_balancer_name().ok_or_else(|| missing("LoadBalancerName"))?.to_owned(),
        subnets: elb::in_order_of(&wanted.subnets, subnets.collect()),
        security_groups: elb::in_order_of(&wanted.security_groups, groups.collect()),
        attributes,
    })
}

fn state(described: &Described) -> Option<&LoadBalancerStateEnum> {
    described.state()?.code()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_elasticloadbalancingv2::types::{AvailabilityZone, LoadBalancerState};

    fn described() -> Described {
        let zone = |id: &str| AvailabilityZone::builder().subnet_id(id).build();
        Described::builder()
            .load_balancer_arn("arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/dr-alb/50dc6c495c0c9188")
            .load_balancer_name("dr-alb")
            .dns_name("internal-dr-alb-1.us-east-1.elb.amazonaws.com")
            .canonical_hosted_zone_id("Z35SXDOTRQ7X7K")
            .availability_zones(zone("subnet-b"))
            .availability_zones(zone("subnet-a"))
            .security_groups("sg-1")
            .build()
    }

    /// Invariant 6 of the kinds: what is as wanted equals the wanted spec, whatever AWS's order.
    #[test]
    fn an_unchanged_load_balancer_equals_its_spec() {
        let wanted = LoadBalancerSpec {
            name: "dr-alb".into(),
            subnets: vec![Ref::Known("subnet-a".into()), Ref::Known("subnet-b".into())],
            security_groups: vec![Ref::Known("sg-1".into())],
            attributes: BTreeMap::new(),
        };
        assert_eq!(spec(&described(), &wanted, BTreeMap::new()).unwrap(), wanted);
    }

    /// `eni.elb`: another text finds no interfaces, and the wait for them ends at once.
    #[test]
    fn its_interfaces_are_found_by_the_end_of_the_arn() {
        let outputs = outputs(&described()).unwrap();
        assert_eq!(description(&outputs.full_name), "ELB app/dr-alb/50dc6c495c0c9188");
    }

    /// `alb.wait`.
    #[test]
    fn a_load_balancer_is_waited_for_until_it_is_active_and_one_that_failed_says_why() {
        let in_state = |code: &str| {
            let state = LoadBalancerState::builder().code(LoadBalancerStateEnum::from(code)).reason("no address left");
            look(Some(&Described::builder().state(state.build()).build()))
        };
        assert!(matches!(look(None), Ok(Look::Pending(_))));
        assert!(matches!(in_state("provisioning"), Ok(Look::Pending(state)) if state == "provisioning"));
        for usable in ["active", "active_impaired"] {
            assert!(matches!(in_state(usable), Ok(Look::Ready(()))), "{usable}");
        }
        let error = in_state("failed").unwrap_err().to_string();
        assert!(error.contains("no address left"), "{error}");
    }

    #[test]
    fn the_dimension_of_metrics_is_the_end_of_the_arn() {
        assert_eq!(outputs(&described()).unwrap().full_name, "app/dr-alb/50dc6c495c0c9188");
    }
}
