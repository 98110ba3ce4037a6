//! `ec2_security_group_rule`: one rule of a security group, with one peer.
//!
//! Facts: `sgr.create` (a repeat is refused, whatever its description), `sgr.create.protocol-all` (no ports for all protocols),
//! `sgr.serialize` (rules of one group one after the other), `sgr.identity`, `sgr.update` (only the description in place), `sgr.delete`,
//! `order.sg-rules` (it refers to its group and to the one it names, so it goes before both), `sgr.create.cycles` and
//! `vpc.delete.empty-sg-refs` (groups may name each other: they are made before all rules and deleted after them).
//! Replacement: everything but `description`. Slow: nothing.

use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, PrefixListId as PrefixList, ResourceType, SecurityGroupRule as Rule,
    SecurityGroupRuleRequest, SecurityGroupRuleUpdate, UserIdGroupPair,
};
use serde::{Deserialize, Serialize};

use super::ec2;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::outputs;
use crate::reference::{PrefixListId, Ref, SecurityGroupId, SecurityGroupRuleId};

/// The kind.
#[derive(Debug)]
pub struct SecurityGroupRule;

/// The desired properties of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroupRuleSpec {
    /// The group it is part of.
    pub group: Ref<SecurityGroupId>,
    /// Whether it lets traffic in or out.
    pub direction: Direction,
    /// The protocol: `tcp`, `udp`, `icmp`, or `-1` for all.
    pub protocol: String,
    /// The first port; -1 with all protocols.
    pub from_port: i32,
    /// The last port; -1 with all protocols.
    pub to_port: i32,
    /// Who is at the other end.
    pub peer: Peer,
    /// What it is for.
    pub description: String,
}

/// The direction of traffic, seen from the group's interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Into the interfaces.
    Ingress,
    /// Out of the interfaces.
    Egress,
}

/// Who is at the other end of a rule's traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// A range of IPv4 addresses.
    Cidr(String),
    /// The interfaces of a security group.
    Group(Ref<SecurityGroupId>),
    /// The addresses of a service.
    PrefixList(Ref<PrefixListId>),
}

outputs! {
    /// What is known of a rule once it exists.
    pub struct SecurityGroupRuleOutputs of SecurityGroupRule {
        /// The id, `sgr-...`.
        id: SecurityGroupRuleId,
    }
}

impl Kind for SecurityGroupRule {
    type Spec = SecurityGroupRuleSpec;
    type Outputs = SecurityGroupRuleOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_security_group_rule",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["group", "direction", "protocol", "from_port", "to_port", "peer"],
        locked_by: Some("group"),
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["ec2:DescribeSecurityGroupRules"],
            change: &[
                "ec2:AuthorizeSecurityGroupIngress",
                "ec2:AuthorizeSecurityGroupEgress",
                "ec2:ModifySecurityGroupRules",
                "ec2:RevokeSecurityGroupIngress",
                "ec2:RevokeSecurityGroupEgress",
                "ec2:CreateTags",
                "ec2:DeleteTags",
            ],
        },
        retries: &[
            Retry::seconds("ec2:AuthorizeSecurityGroupIngress", "InvalidGroup.NotFound", "", 120),
            Retry::seconds("ec2:AuthorizeSecurityGroupEgress", "InvalidGroup.NotFound", "", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let found = ec2::describe(
            context,
            "ec2:DescribeSecurityGroupRules",
            "security-group-rule-id",
            wanted,
            |outputs: &SecurityGroupRuleOutputs| outputs.id.as_str(),
            |filter, token| clients.ec2().describe_security_group_rules().filters(filter).set_next_token(token).send(),
            |page| (page.security_group_rules, page.next_token),
        )
        .await?;
        list::each_tells(
            &found,
            |one| one.security_group_rule_id(),
            "ec2:DescribeSecurityGroupRules",
            "securityGroupRuleId",
        )?;
        let found = |wanted| {
            let rule = found.iter().find(|rule| {
                let id = rule.security_group_rule_id();
                ec2::is(
                    context,
                    wanted,
                    |outputs: &SecurityGroupRuleOutputs| id == Some(outputs.id.as_str()),
                    rule.tags(),
                )
            })?;
            Some(object(rule))
        };
        Ok(wanted.iter().map(found).collect())
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &SecurityGroupRuleSpec,
        object: Option<Object<Self>>,
    ) -> Result<SecurityGroupRuleOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        if object.spec.description != spec.description {
            describe(task, spec, &object.outputs.id).await?;
        }
        ec2::sync_tags(task, object.outputs.id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(
        task: &Task<'_>,
        spec: &SecurityGroupRuleSpec,
        outputs: &SecurityGroupRuleOutputs,
    ) -> Result<Deletion> {
        let (clients, group, id) = (task.clients(), spec.group.known(), &outputs.id);
        let revoked = match spec.direction {
            Direction::Ingress => {
                let revoke =
                    || clients.ec2().revoke_security_group_ingress().group_id(group).security_group_rule_ids(id).send();
                task.call("ec2:RevokeSecurityGroupIngress", revoke).await.map(drop)
            }
            Direction::Egress => {
                let revoke =
                    || clients.ec2().revoke_security_group_egress().group_id(group).security_group_rule_ids(id).send();
                task.call("ec2:RevokeSecurityGroupEgress", revoke).await.map(drop)
            }
        };
        match revoked {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

fn object(rule: &Rule) -> Object<SecurityGroupRule> {
    let group = rule.referenced_group_info().and_then(|group| group.group_id());
    let peer = match (rule.cidr_ipv4().or(rule.cidr_ipv6()), group, rule.prefix_list_id()) {
        (_, Some(group), _) => Peer::Group(Ref::Known(group.into())),
        (_, _, Some(list)) => Peer::PrefixList(Ref::Known(list.into())),
        (cidr, _, _) => Peer::Cidr(cidr.unwrap_or_default().to_owned()),
    };
    let spec = SecurityGroupRuleSpec {
        group: Ref::Known(rule.group_id().unwrap_or_default().into()),
        direction: if rule.is_egress() == Some(true) { Direction::Egress } else { Direction::Ingress },
        protocol: rule.ip_protocol().unwrap_or_default().to_owned(),
        from_port: rule.from_port().unwrap_or(-1),
        to_port: rule.to_port().unwrap_or(-1),
        peer,
        description: rule.description().unwrap_or_default().to_owned(),
    };
    let outputs = SecurityGroupRuleOutputs { id: rule.security_group_rule_id().unwrap_or_default().into() };
    Object { spec, outputs, tags: ec2::tags(rule.tags()) }
}

/// The rule as AWS takes it in a request: a permission of exactly one peer.
fn permission(spec: &SecurityGroupRuleSpec) -> IpPermission {
    let all = spec.protocol == "-1";
    let permission = IpPermission::builder()
        .ip_protocol(&spec.protocol)
        .set_from_port((!all).then_some(spec.from_port))
        .set_to_port((!all).then_some(spec.to_port));
    let description = &spec.description;
    match &spec.peer {
        Peer::Cidr(cidr) => permission.ip_ranges(IpRange::builder().cidr_ip(cidr).description(description).build()),
        Peer::Group(group) => permission
            .user_id_group_pairs(UserIdGroupPair::builder().group_id(group.known()).description(description).build()),
        Peer::PrefixList(list) => permission
            .prefix_list_ids(PrefixList::builder().prefix_list_id(list.known()).description(description).build()),
    }
    .build()
}

async fn create(task: &Task<'_>, spec: &SecurityGroupRuleSpec) -> Result<Object<SecurityGroupRule>> {
    let (clients, group, permission) = (task.clients(), spec.group.known(), permission(spec));
    let tags = ec2::tag_specification(task, ResourceType::SecurityGroupRule);
    let created = match spec.direction {
        Direction::Ingress => {
            let authorize = || {
                let request = clients.ec2().authorize_security_group_ingress().group_id(group);
                request.ip_permissions(permission.clone()).tag_specifications(tags.clone()).send()
            };
            let answer = task.call("ec2:AuthorizeSecurityGroupIngress", authorize).await;
            answer.map(|answer| answer.security_group_rules.unwrap_or_default())
        }
        Direction::Egress => {
            let authorize = || {
                let request = clients.ec2().authorize_security_group_egress().group_id(group);
                request.ip_permissions(permission.clone()).tag_specifications(tags.clone()).send()
            };
            let answer = task.call("ec2:AuthorizeSecurityGroupEgress", authorize).await;
            answer.map(|answer| answer.security_group_rules.unwrap_or_default())
        }
    };
    let object = match created {
        // The group is ours, so a rule in it that does the same is as good as our own; it only gets our tags and description.
        Err(error) if error.already_exists() => same(task, spec).await?.ok_or(error)?,
        created => {
            let rule = created?.first().and_then(|rule| rule.security_group_rule_id()).map(SecurityGroupRuleId::from);
            let id = rule.ok_or_else(|| Error::incomplete("ec2:AuthorizeSecurityGroup", "securityGroupRuleId"))?;
            let outputs = SecurityGroupRuleOutputs { id };
            Object { spec: spec.clone(), outputs, tags: task.tags.clone() }
        }
    };
    task.identified(&object.outputs).await?;
    Ok(object)
}

async fn same(task: &Task<'_>, spec: &SecurityGroupRuleSpec) -> Result<Option<Object<SecurityGroupRule>>> {
    let clients = task.clients();
    let filter = Filter::builder().name("group-id").values(spec.group.known()).build();
    let found = list::all(
        task,
        "ec2:DescribeSecurityGroupRules",
        |token| clients.ec2().describe_security_group_rules().filters(filter.clone()).set_next_token(token).send(),
        |page| (page.security_group_rules.unwrap_or_default(), page.next_token),
    );
    Ok(find_same(&found.await?, spec))
}

/// The rule that lets the same traffic through, whatever it says it is for: AWS takes no second one.
fn find_same(rules: &[Rule], spec: &SecurityGroupRuleSpec) -> Option<Object<SecurityGroupRule>> {
    rules
        .iter()
        .map(object)
        .find(|object| SecurityGroupRuleSpec { description: spec.description.clone(), ..object.spec.clone() } == *spec)
}

/// Changes the description. AWS takes the whole rule here, and keeps its id.
async fn describe(task: &Task<'_>, spec: &SecurityGroupRuleSpec, id: &SecurityGroupRuleId) -> Result<()> {
    let (clients, group) = (task.clients(), spec.group.known());
    let rule = SecurityGroupRuleRequest::builder()
        .ip_protocol(&spec.protocol)
        .from_port(spec.from_port)
        .to_port(spec.to_port)
        .description(&spec.description);
    let rule = match &spec.peer {
        Peer::Cidr(cidr) => rule.cidr_ipv4(cidr),
        Peer::Group(peer) => rule.referenced_group_id(peer.known()),
        Peer::PrefixList(list) => rule.prefix_list_id(list.known()),
    };
    let update =
        SecurityGroupRuleUpdate::builder().security_group_rule_id(id).security_group_rule(rule.build()).build();
    let modify = || {
        let request = clients.ec2().modify_security_group_rules().group_id(group);
        request.security_group_rules(update.clone()).send()
    };
    task.call("ec2:ModifySecurityGroupRules", modify).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::ReferencedSecurityGroup;

    fn spec(protocol: &str, port: i32, peer: Peer) -> SecurityGroupRuleSpec {
        SecurityGroupRuleSpec {
            group: Ref::Known("sg-1".into()),
            direction: Direction::Egress,
            protocol: protocol.into(),
            from_port: port,
            to_port: port,
            peer,
            description: "Aurora".into(),
        }
    }

    /// What AWS tells of a rule equals what was asked for, whatever the peer.
    #[test]
    fn rules_are_read_back_as_they_were_written() {
        let rule = || {
            Rule::builder()
                .group_id("sg-1")
                .is_egress(true)
                .ip_protocol("tcp")
                .from_port(5432)
                .to_port(5432)
                .description("Aurora")
        };
        let group = ReferencedSecurityGroup::builder().group_id("sg-2").build();
        for (rule, peer) in [
            (rule().referenced_group_info(group), Peer::Group(Ref::Known("sg-2".into()))),
            (rule().cidr_ipv4("10.0.0.0/16"), Peer::Cidr("10.0.0.0/16".into())),
            (rule().prefix_list_id("pl-1"), Peer::PrefixList(Ref::Known("pl-1".into()))),
        ] {
            assert_eq!(object(&rule.build()).spec, spec("tcp", 5432, peer));
        }
    }

    /// `sgr.create`
    #[test]
    fn a_duplicate_is_found_whatever_its_description() {
        let rule = |id: &str| {
            let rule = Rule::builder().security_group_rule_id(id).group_id("sg-1").is_egress(true).ip_protocol("tcp");
            rule.from_port(5432).to_port(5432).cidr_ipv4("10.0.0.0/16").description("by hand")
        };
        let others = [
            rule("sgr-1").to_port(5433).build(),
            rule("sgr-2").cidr_ipv4("10.1.0.0/16").build(),
            rule("sgr-3").is_egress(false).build(),
        ];
        let wanted = spec("tcp", 5432, Peer::Cidr("10.0.0.0/16".into()));
        assert!(find_same(&others, &wanted).is_none());
        let all = [&others[..], &[rule("sgr-4").build()]].concat();
        assert_eq!(find_same(&all, &wanted).expect("the last one").outputs.id.as_str(), "sgr-4");
    }

    /// `sgr.create.protocol-all`
    #[test]
    fn all_protocols_are_sent_without_ports() {
        let all = permission(&spec("-1", -1, Peer::Cidr("0.0.0.0/0".into())));
        assert_eq!((all.from_port(), all.to_port()), (None, None));
        let tcp = permission(&spec("tcp", 443, Peer::Cidr("0.0.0.0/0".into())));
        assert_eq!((tcp.from_port(), tcp.to_port()), (Some(443), Some(443)));
    }
}
