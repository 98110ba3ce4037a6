//! `route53_record`: one record set of a hosted zone: values, an alias, or one side of a failover pair.
//!
//! Facts: `r53.record.change` (upsert creates and changes; a deletion repeats every field exactly, so it is read first),
//! `r53.record.read` (lower case, trailing dot, an escaped asterisk), `r53.record.delete` and `r53.protection` (one code for many
//! refusals: the message tells what is gone from what is protected), `r53.record.failover` (set identifiers), `r53.record.apigw-alias`,
//! `r53.change.wait`, `r53.prior-request` (one request of a zone at a time, so those that would wait go together: `aws::merge`),
//! `r53.rate` (a zone is listed once for all its records).
//! Replacement: `zone`, `name`, `type`, `set_identifier`. Slow: an alias or a delegation, until all of Route 53's servers answer it.
//!
//! An alias is waited for because callers use it the moment the run is done; a delegation, because a name that is looked up too
//! early is remembered as missing, and on deletion, because it must not outlive the zone it names (`r53.zone.delete`). Nobody reads
//! other values before they are everywhere without asking again.

use std::collections::BTreeMap;

use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, ChangeInfo, ChangeStatus, ResourceRecord, ResourceRecordSet,
    ResourceRecordSetFailover, RrType,
};
use serde::{Deserialize, Serialize};

use super::route53::{bare, plain};
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted,
};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Pages, Tags};
use crate::outputs;
use crate::reference::{DnsName, HealthCheckId, HostedZoneId, Ref, Text};

/// The kind.
#[derive(Debug)]
pub struct Record;

/// The desired properties of a record set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordSpec {
    /// The hosted zone it is in.
    pub zone: Ref<HostedZoneId>,
    /// The name, complete and without the trailing dot.
    pub name: Text,
    /// `A`, `AAAA`, `CNAME`, `NS` and so on.
    pub r#type: String,
    /// What the name leads to.
    pub target: RecordTarget,
    /// What tells records of the same name and type apart; a failover record needs one.
    pub set_identifier: Option<String>,
    /// Its side of a failover pair.
    pub failover: Option<Failover>,
    /// The health check that takes it out of the answers.
    pub health_check: Option<Ref<HealthCheckId>>,
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordTarget {
    /// Values that are kept by resolvers for a time.
    Values {
        /// Seconds that resolvers keep them.
        ttl: u32,
        /// The values; their order means nothing.
        values: Vec<Text>,
    },
    /// The name servers of a zone below.
    NameServers {
        /// Seconds that resolvers keep them.
        ttl: u32,
        /// The name servers of that zone.
        name_servers: Ref<Vec<String>>,
    },
    /// Another name of AWS, answered with its addresses.
    Alias {
        /// The name.
        name: Ref<DnsName>,
        /// The hosted zone of that name, which AWS publishes for each service and region.
        zone: Ref<HostedZoneId>,
        /// Whether the record counts as unhealthy when its target does.
        evaluate_health: bool,
    },
}

/// A side of a failover pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failover {
    /// Answered while it is healthy.
    Primary,
    /// Answered while the primary is not.
    Secondary,
}

outputs! {
    /// What is known of a record once it exists.
    pub struct RecordOutputs of Record {
        /// The name, complete and without the trailing dot.
        name: DnsName,
    }
}

impl Kind for Record {
    type Spec = RecordSpec;
    type Outputs = RecordOutputs;

    const TRAITS: Traits = Traits {
        name: "route53_record",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["zone", "name", "type", "set_identifier"],
        locked_by: None,
        expected: Expected::seconds(45, 45, 5),
        permissions: Permissions {
            read: &["route53:ListResourceRecordSets"],
            change: &["route53:ChangeResourceRecordSets", "route53:GetChange"],
        },
        retries: &[
            Retry::seconds("route53:ChangeResourceRecordSets", "PriorRequestNotComplete", "", 300),
            Retry::seconds("route53:ChangeResourceRecordSets", "NoSuchHostedZone", "", 60),
            // A health check made a moment ago.
            Retry::seconds("route53:ChangeResourceRecordSets", "InvalidChangeBatch", "health check", 60),
            Retry::seconds("route53:ChangeResourceRecordSets", "NoSuchHealthCheck", "", 60),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::shared("zone"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for wanted in wanted {
            if let (Some(zone), Some(name)) = (wanted.spec.zone.get(), wanted.spec.name.get()) {
                names.entry(zone.into()).or_default().push(plain(&name));
            }
        }
        let mut found = BTreeMap::new();
        for (zone, names) in names {
            let records = list(context, &zone, names).await?;
            found.insert(zone, records);
        }
        let object = |wanted: &Wanted<Self>| {
            let records = found.get(wanted.spec.zone.get()?.as_str())?;
            let name = wanted.spec.name.get()?;
            let record = records.iter().find(|record| is(record, &name, &wanted.spec))?;
            let outputs = RecordOutputs { name: plain(&name).into() };
            Some(Object { spec: spec(record, &wanted.spec), outputs, tags: Tags::new() })
        };
        Ok(wanted.iter().map(object).collect())
    }

    async fn ensure(task: &Task<'_>, spec: &RecordSpec, object: Option<Object<Self>>) -> Result<RecordOutputs> {
        let outputs = RecordOutputs { name: plain(&spec.name.known()).into() };
        if object.is_none_or(|object| object.spec != *spec) {
            let change = change(task, spec, ChangeAction::Upsert, record_set(spec)?).await?;
            task.identified(&outputs).await?;
            if is_awaited(&spec.target) {
                settle(task, change).await?;
            }
        }
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &RecordSpec, _: &RecordOutputs) -> Result<Deletion> {
        let name = spec.name.known();
        let records = list(&task.context, spec.zone.known().as_str(), vec![plain(&name)]).await?;
        let Some(record) = records.into_iter().find(|record| is(record, &name, spec)) else {
            return Ok(Deletion::Gone);
        };
        match change(task, spec, ChangeAction::Delete, record).await {
            Ok(change) if matches!(spec.target, RecordTarget::NameServers { .. }) => settle(task, change).await?,
            Ok(_) => {}
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(Deletion::Gone)
    }
}

/// Whether it matters at once that all servers know a record: an alias is called and a delegation looked up.
fn is_awaited(target: &RecordTarget) -> bool {
    match target {
        RecordTarget::Alias { .. } | RecordTarget::NameServers { .. } => true,
        RecordTarget::Values { .. } => false,
    }
}

/// Tells whether a deletion was refused because there is nothing to delete (`r53.record.delete`).
fn is_absent(error: &Error) -> bool {
    error.is(&["NoSuchHostedZone"]) || error.says("InvalidChangeBatch", "not found")
}

/// The records with these names, in as few pages as the order of Route 53 allows; none when the zone is gone.
async fn list(context: &Context, zone: &str, mut names: Vec<String>) -> Result<Vec<ResourceRecordSet>> {
    let clients = context.clients();
    names.sort_by_key(|name| order(name));
    let last = names.last().map(|name| order(name));
    let mut records = Vec::new();
    let (mut name, mut kind, mut identifier) = (names.first().cloned(), None, None);
    let mut read = Pages::of("route53:ListResourceRecordSets");
    loop {
        let page = context
            .call("route53:ListResourceRecordSets", || {
                let request = clients.route53().list_resource_record_sets().hosted_zone_id(zone);
                let request = request.set_start_record_name(name.clone()).set_start_record_type(kind.clone());
                request.set_start_record_identifier(identifier.clone()).send()
            })
            .await;
        let page = match page {
            Ok(page) => page,
            Err(error) if error.is_gone() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        records.extend_from_slice(page.resource_record_sets());
        let next = page.next_record_name().filter(|_| page.is_truncated());
        if next.is_none() || next.map(|next| order(&plain(next))) > last {
            return Ok(records);
        }
        name = next.map(str::to_owned);
        kind = page.next_record_type().cloned();
        identifier = page.next_record_identifier().map(str::to_owned);
        read.once(&(&name, kind.as_ref().map(RrType::as_str), &identifier))?;
    }
}

/// The order of a zone: by labels, the last one first.
fn order(name: &str) -> Vec<String> {
    name.split('.').rev().map(str::to_owned).collect()
}

async fn change(
    task: &Task<'_>,
    spec: &RecordSpec,
    action: ChangeAction,
    record: ResourceRecordSet,
) -> Result<ChangeInfo> {
    let clients = task.clients();
    let operation = "route53:ChangeResourceRecordSets";
    let change = Change::builder().action(action).resource_record_set(record).build();
    let change = change.expect("action and record are given");
    let zone = spec.zone.known();
    let send = async |changes: Vec<Change>| {
        let batch = ChangeBatch::builder().set_changes(Some(changes)).build().expect("there are changes");
        let answer = task
            .call(operation, || {
                let request = clients.route53().change_resource_record_sets().hosted_zone_id(zone);
                request.change_batch(batch.clone()).send()
            })
            .await?;
        answer.change_info().cloned().ok_or_else(|| Error::incomplete(operation, "change"))
    };
    task.record_changes().submit(zone.as_str(), operation, change, send).await
}

/// Waits until all of Route 53's servers know a change.
async fn settle(task: &Task<'_>, change: ChangeInfo) -> Result<()> {
    if let Look::Ready(()) = judge(Some(&change)) {
        return Ok(());
    }
    let clients = task.clients();
    let id = bare(change.id());
    // Five requests per second are all that an account has (`r53.rate`).
    task.wait("Route 53's servers to know the record", Patience::seconds(30 * 60, 15), || async {
        let answer = task.call("route53:GetChange", || clients.route53().get_change().id(id).send()).await?;
        Ok(judge(answer.change_info()))
    })
    .await
}

fn judge(change: Option<&ChangeInfo>) -> Look<()> {
    match change.map(ChangeInfo::status) {
        Some(ChangeStatus::Insync) => Look::Ready(()),
        status => Look::Pending(status.map_or("unknown", ChangeStatus::as_str).to_owned()),
    }
}

/// Tells whether a record set is the one of a spec.
fn is(record: &ResourceRecordSet, name: &str, spec: &RecordSpec) -> bool {
    plain(record.name()) == plain(name)
        && record.r#type().as_str() == spec.r#type
        && record.set_identifier() == spec.set_identifier.as_deref()
}

/// A record set in the terms of the spec; where the two mean the same, in the words of the wanted one.
fn spec(record: &ResourceRecordSet, wanted: &RecordSpec) -> RecordSpec {
    let ttl = record.ttl().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or_default();
    let actual: Vec<&str> = record.resource_records().iter().map(ResourceRecord::value).collect();
    let target = match (record.alias_target(), &wanted.target) {
        (Some(alias), wanted) => alias_target(alias, wanted),
        (None, RecordTarget::NameServers { name_servers, .. }) => {
            let same = name_servers.get().is_some_and(|wanted| same_names(wanted, &actual));
            let name_servers = match same {
                true => name_servers.clone(),
                false => Ref::Known(actual.iter().map(|server| plain(server)).collect()),
            };
            RecordTarget::NameServers { ttl, name_servers }
        }
        (None, RecordTarget::Values { values, .. }) => {
            let known: Option<Vec<String>> = values.iter().map(Text::get).collect();
            let values = match known.is_some_and(|wanted| same_values(&wanted, &actual, record.r#type())) {
                true => values.clone(),
                false => actual.iter().map(|value| Text::from(*value)).collect(),
            };
            RecordTarget::Values { ttl, values }
        }
        (None, RecordTarget::Alias { .. }) => {
            RecordTarget::Values { ttl, values: actual.iter().map(|value| Text::from(*value)).collect() }
        }
    };
    RecordSpec {
        target,
        failover: record.failover().and_then(|failover| match failover {
            ResourceRecordSetFailover::Primary => Some(Failover::Primary),
            ResourceRecordSetFailover::Secondary => Some(Failover::Secondary),
            _ => None,
        }),
        health_check: record.health_check_id().map(|id| Ref::Known(id.into())),
        ..wanted.clone()
    }
}

fn alias_target(alias: &AliasTarget, wanted: &RecordTarget) -> RecordTarget {
    let actual = plain(alias.dns_name());
    let name = match wanted {
        RecordTarget::Alias { name, .. } if name.get().is_some_and(|name| plain(name.as_str()) == actual) => {
            name.clone()
        }
        _ => Ref::Known(actual.into()),
    };
    let zone = Ref::Known(alias.hosted_zone_id().into());
    RecordTarget::Alias { name, zone, evaluate_health: alias.evaluate_target_health() }
}

fn same_names(wanted: &[String], actual: &[&str]) -> bool {
    let plain_and_sorted = |names: &mut dyn Iterator<Item = &str>| {
        let mut names: Vec<String> = names.map(plain).collect();
        names.sort_unstable();
        names
    };
    plain_and_sorted(&mut wanted.iter().map(String::as_str)) == plain_and_sorted(&mut actual.iter().copied())
}

/// Values that are names may have a trailing dot; all others are compared as they are.
fn same_values(wanted: &[String], actual: &[&str], kind: &RrType) -> bool {
    if matches!(kind, RrType::Cname | RrType::Ns | RrType::Ptr) {
        return same_names(wanted, actual);
    }
    let mut wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let mut actual = actual.to_vec();
    wanted.sort_unstable();
    actual.sort_unstable();
    wanted == actual
}

fn record_set(spec: &RecordSpec) -> Result<ResourceRecordSet> {
    let record = ResourceRecordSet::builder()
        .name(spec.name.known())
        .r#type(RrType::from(spec.r#type.as_str()))
        .set_set_identifier(spec.set_identifier.clone())
        .set_failover(spec.failover.map(|failover| match failover {
            Failover::Primary => ResourceRecordSetFailover::Primary,
            Failover::Secondary => ResourceRecordSetFailover::Secondary,
        }))
        .set_health_check_id(spec.health_check.as_ref().map(|check| check.known().into()));
    let values = |ttl: &u32, values: Vec<String>| {
        let values = values.into_iter().map(|value| ResourceRecord::builder().value(value).build());
        let values = values.collect::<std::result::Result<Vec<_>, _>>().expect("every record has a value");
        (i64::from(*ttl), values)
    };
    let record = match &spec.target {
        RecordTarget::Alias { name, zone, evaluate_health } => {
            let alias = AliasTarget::builder()
                .dns_name(name.known())
                .hosted_zone_id(zone.known())
                .evaluate_target_health(*evaluate_health)
                .build();
            record.alias_target(alias.expect("zone and name are given"))
        }
        RecordTarget::Values { ttl, values: texts } => {
            let (ttl, values) = values(ttl, texts.iter().map(Text::known).collect());
            record.ttl(ttl).set_resource_records(Some(values))
        }
        RecordTarget::NameServers { ttl, name_servers } => {
            let (ttl, values) = values(ttl, name_servers.known().clone());
            record.ttl(ttl).set_resource_records(Some(values))
        }
    };
    record.build().map_err(|error| Error::Failed(format!("the record {} is not complete: {error}", spec.name.known())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;
    use aws_sdk_route53::primitives::DateTime;

    fn wanted(kind: &str, target: RecordTarget) -> RecordSpec {
        RecordSpec {
            zone: Ref::Known("Z1".into()),
            name: "api.dr.example.com".into(),
            r#type: kind.to_owned(),
            target,
            set_identifier: None,
            failover: None,
            health_check: None,
        }
    }

    fn alias() -> RecordSpec {
        let target = RecordTarget::Alias {
            name: Ref::Known("d-abc.execute-api.us-east-1.amazonaws.com".into()),
            zone: Ref::Known("Z1UJRXOUMOOFQ8".into()),
            evaluate_health: true,
        };
        RecordSpec {
            set_identifier: Some("us-east-1".to_owned()),
            failover: Some(Failover::Primary),
            health_check: Some(Ref::Known("check-1".into())),
            ..wanted("A", target)
        }
    }

    /// What AWS answers for a record, as `r53.record.read` says it spells names.
    fn answered(spec: &RecordSpec) -> ResourceRecordSet {
        let mut record = record_set(spec).unwrap();
        record.name = format!("{}.", record.name.to_uppercase().replace('*', "\\052"));
        if let Some(alias) = &mut record.alias_target {
            alias.dns_name.push('.');
        }
        record
    }

    /// Invariant 6 of the kinds: no permanent differences.
    #[test]
    fn an_unchanged_failover_alias_equals_its_spec() {
        let record = answered(&alias());
        assert!(is(&record, "api.dr.example.com", &alias()));
        assert_eq!(spec(&record, &alias()), alias());
    }

    #[test]
    fn each_changed_part_of_an_alias_is_seen() {
        let mut elsewhere = answered(&alias());
        elsewhere.alias_target.as_mut().unwrap().dns_name = "d-old.example.com.".into();
        assert_ne!(spec(&elsewhere, &alias()).target, alias().target);
        let mut unchecked = answered(&alias());
        unchecked.health_check_id = None;
        assert_eq!(spec(&unchecked, &alias()).health_check, None);
        let mut swapped = answered(&alias());
        swapped.failover = Some(ResourceRecordSetFailover::Secondary);
        assert_eq!(spec(&swapped, &alias()).failover, Some(Failover::Secondary));
    }

    #[test]
    fn both_sides_of_a_pair_are_told_apart() {
        let other = RecordSpec { set_identifier: Some("us-east-2".to_owned()), ..alias() };
        assert!(!is(&answered(&alias()), "api.dr.example.com", &other));
    }

    #[test]
    fn an_escaped_asterisk_is_the_same_name() {
        let spec = RecordSpec { name: "*.dr.example.com".into(), ..alias() };
        assert!(is(&answered(&spec), "*.dr.example.com", &spec));
    }

    #[test]
    fn order_and_trailing_dots_of_name_servers_mean_nothing() {
        let servers = |names: &[&str]| RecordTarget::NameServers {
            ttl: 300,
            name_servers: Ref::Known(names.iter().map(|name| (*name).to_owned()).collect()),
        };
        let spec_of = |actual: &[&str]| {
            let actual = record_set(&wanted("NS", servers(actual))).unwrap();
            spec(&actual, &wanted("NS", servers(&["ns-1.awsdns.com", "ns-2.awsdns.org"])))
        };
        let wanted = wanted("NS", servers(&["ns-1.awsdns.com", "ns-2.awsdns.org"]));
        assert_eq!(spec_of(&["ns-2.awsdns.org.", "ns-1.awsdns.com."]), wanted);
        assert_ne!(spec_of(&["ns-1.awsdns.com.", "ns-9.awsdns.org."]), wanted);
    }

    #[test]
    fn text_values_are_compared_to_the_letter() {
        assert!(!same_values(&["\"a.\"".to_owned()], &["\"a\""], &RrType::Txt));
        assert!(same_values(&["x.acm.aws.".to_owned()], &["X.acm.aws"], &RrType::Cname));
    }

    /// `r53.change.wait`
    #[test]
    fn a_change_that_callers_meet_at_once_is_waited_for_until_all_servers_know_it() {
        let change = |status| {
            let change = ChangeInfo::builder().id("/change/C1").status(status);
            change.submitted_at(DateTime::from_secs(0)).build().unwrap()
        };
        let pending = |change: Option<&ChangeInfo>| match judge(change) {
            Look::Pending(state) => Some(state),
            Look::Ready(()) => None,
        };
        assert_eq!(pending(Some(&change(ChangeStatus::Insync))), None);
        assert_eq!(pending(Some(&change(ChangeStatus::Pending))).as_deref(), Some("PENDING"));
        assert_eq!(pending(None).as_deref(), Some("unknown"));

        let name_servers = RecordTarget::NameServers { ttl: 300, name_servers: Ref::Known(Vec::new()) };
        assert!(is_awaited(&alias().target) && is_awaited(&name_servers));
        assert!(!is_awaited(&RecordTarget::Values { ttl: 300, values: Vec::new() }));
    }

    /// `r53.record.delete`
    #[test]
    fn only_the_message_tells_that_there_is_nothing_to_delete() {
        let absent = |code: &str, message: &str| {
            is_absent(&Refusal { code: code.into(), message: message.into(), ..Refusal::default() }.into())
        };
        let tried = "Tried to delete resource record set [name='a', type='A'] but";
        assert!(absent("InvalidChangeBatch", &format!("[{tried} it was not found]")));
        assert!(absent("NoSuchHostedZone", "No hosted zone found with ID: Z1"));
        let other = format!("[{tried} the values provided do not match the current values]");
        assert!(!absent("InvalidChangeBatch", &other));
        assert!(!absent("NoSuchHealthCheck", "No health check exists with the specified ID"));
    }

    /// `r53.record.apigw-alias`
    #[test]
    fn an_alias_has_no_time_to_live() {
        assert_eq!(record_set(&alias()).unwrap().ttl(), None);
    }

    #[test]
    fn a_zone_is_ordered_by_its_labels_from_the_right() {
        assert!(order("a.z.example.com") > order("z.b.example.com"));
        assert!(order("example.com") < order("a.example.com"));
    }
}
