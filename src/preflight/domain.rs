//! Finds the hosted zones that a deployment's names hang from, and has them compared with public DNS.
//!
//! Invariants:
//! 1. What the plan names is taken as it is named; only what it leaves out is looked for.
//! 2. Which zone it is may change from run to run, and is asked in each. A zone whose delegation was found right once is a fact of the
//!    deployment ([`DELEGATED`]), and is not compared with public DNS again.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_route53::operation::get_hosted_zone::GetHostedZoneOutput;
use serde_json::Value;

use super::dns::{self, DnsError, Hosted, Resolver};
use crate::aws::{Aws, Error};
use crate::error::{Failure, Kind, Outcome};
use crate::plan::Plan;

/// The fact that holds the id of the hosted zone of the plan's domain, where it was found in the account.
pub const PARENT_ZONE: &str = "parent_zone";

/// The fact that holds the zone whose delegation was found right: its id, or its name where it is known by that alone.
pub const DELEGATED: &str = "delegated";

/// The id of the hosted zone of the plan's domain, when the deployment makes a zone below it and the plan does not name it; `None` when
/// the account has no such zone, or none is needed. `known` is the one that was found before: a list that lacks it is not believed
/// before it was asked for by its id, because without a zone above it the deployment's delegation would be taken away.
///
/// # Errors
/// When Route 53 cannot be asked, or several zones have the name.
pub async fn parent_zone(aws: &Aws, plan: &Plan, known: Option<&str>) -> Outcome<Option<String>> {
    let routing = &plan.routing;
    if !plan.api.custom_domain.enabled || routing.hosted_zone.is_some() || routing.parent_zone.is_some() {
        return Ok(None);
    }
    let name = plan.domain.as_str();
    let operation = "route53:ListHostedZonesByName";
    let clients = aws.region("us-east-1");
    let answer = clients.route53().list_hosted_zones_by_name().dns_name(name).send().await;
    let answer = answer.map_err(|error| failed(name, &Error::from_sdk(operation, error)))?;
    let public = answer.hosted_zones().iter().filter(|zone| {
        let is_private = zone.config().is_some_and(|config| config.private_zone());
        !is_private && is_named(zone.name(), name)
    });
    let mut ids: BTreeSet<String> = public.map(|zone| bare(zone.id())).collect();
    match ids.len() {
        0 => match known {
            Some(id) => Ok(look_at(aws, id).await?.filter(|zone| is_named(&zone.name, name)).map(|_| id.to_owned())),
            None => Ok(None),
        },
        1 => Ok(ids.pop_first()),
        _ => Err(refused(&DnsError::Ambiguous { name: name.to_owned(), ids })),
    }
}

/// Checks that public DNS finds the names of a deployment and lets Amazon issue certificates for them. `zone` is the name of the
/// deployment's own zone, `own` that zone when it is on record already.
///
/// Adds what was found right to the facts; returns what could not be found out, which is no reason not to go on.
///
/// # Errors
/// When something is wrong that would keep the certificates from being issued; nothing was changed.
pub async fn check(
    aws: &Aws,
    plan: &Plan,
    zone: &str,
    own: Option<Hosted>,
    facts: &mut BTreeMap<String, Value>,
) -> Outcome<Vec<DnsError>> {
    if !plan.api.custom_domain.enabled {
        return Ok(Vec::new());
    }
    let routing = &plan.routing;
    let existing = routing.hosted_zone.as_ref().map(|id| id.as_str());
    let named = routing.parent_zone.as_ref().map(|id| id.as_str());
    let parent = named.or(facts.get(PARENT_ZONE).and_then(Value::as_str));
    let fact = Value::from(existing.or(parent).unwrap_or(zone));
    if facts.get(DELEGATED) == Some(&fact) {
        return Ok(Vec::new());
    }
    let expected = match (existing, parent) {
        (Some(id), _) => dns::expect(zone, Some(&hosted(aws, id).await?), None),
        (None, Some(id)) => dns::expect(zone, own.as_ref(), Some(&hosted(aws, id).await?)),
        (None, None) => dns::expect(zone, own.as_ref(), None),
    };
    let expected = expected.map_err(|error| refused(&error))?;
    let server = std::env::var(dns::SERVER_VARIABLE).ok();
    let resolver = Resolver::new(server.as_deref()).map_err(|error| refused(&error))?;
    let (servers, issuers) = tokio::join!(resolver.name_servers(&expected.name), resolver.issuers(&expected.name));
    let results = [dns::judge(&expected, servers), dns::judge_issuers(&expected.name, issuers)];
    let mut silent: Vec<DnsError> = Vec::new();
    for error in results.into_iter().filter_map(Result::err) {
        match error {
            DnsError::Silent { .. } => silent.push(error),
            error => return Err(refused(&error)),
        }
    }
    if silent.is_empty() {
        facts.insert(DELEGATED.to_owned(), fact);
    }
    // Both questions go to the same servers.
    silent.truncate(1);
    Ok(silent)
}

/// The hosted zone of an id that the plan or an earlier look names.
async fn hosted(aws: &Aws, id: &str) -> Outcome<Hosted> {
    look_at(aws, id).await?.ok_or_else(|| refused(&DnsError::NoZone { id: id.to_owned() }))
}

/// The public hosted zone of an id, if there is one.
async fn look_at(aws: &Aws, id: &str) -> Outcome<Option<Hosted>> {
    let operation = "route53:GetHostedZone";
    let clients = aws.region("us-east-1");
    let answer = clients.route53().get_hosted_zone().id(id).send().await;
    match answer.map_err(|error| Error::from_sdk(operation, error)) {
        Err(error) if error.is_gone() => Ok(None),
        answer => public(answer.map_err(|error| failed(id, &error))?).map_err(|error| failed(id, &error)),
    }
}

/// The zone of an answer; none when it is private, for public DNS never leads to it.
fn public(answer: GetHostedZoneOutput) -> Result<Option<Hosted>, Error> {
    let missing = |field| Error::incomplete("route53:GetHostedZone", field);
    let zone = answer.hosted_zone.ok_or_else(|| missing("HostedZone"))?;
    if zone.config.is_some_and(|config| config.private_zone) {
        return Ok(None);
    }
    let servers = answer.delegation_set.map(|set| set.name_servers).filter(|servers| !servers.is_empty());
    Ok(Some(Hosted { name: zone.name, name_servers: servers.ok_or_else(|| missing("NameServers"))? }))
}

fn is_named(zone: &str, name: &str) -> bool {
    zone.trim_end_matches('.').eq_ignore_ascii_case(name)
}

fn bare(id: &str) -> String {
    id.rsplit('/').next().unwrap_or(id).to_owned()
}

fn failed(what: &str, error: &Error) -> Failure {
    Failure::new(Kind::of(error), format!("cannot look at the hosted zone of {what}")).because(error)
}

fn refused(error: &DnsError) -> Failure {
    Failure::new(Kind::Preflight, "the certificates of this deployment would never be issued; nothing was changed")
        .because(error)
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::{DelegationSet, HostedZone, HostedZoneConfig};

    use super::*;

    fn answer(is_private: bool, servers: Option<&str>) -> GetHostedZoneOutput {
        let config = HostedZoneConfig::builder().private_zone(is_private).build();
        let zone = HostedZone::builder().id("/hostedzone/Z1").name("example.com.").caller_reference("c").config(config);
        let set = servers.map(|server| DelegationSet::builder().name_servers(server).build().expect("a set"));
        let zone = zone.build().expect("a zone");
        GetHostedZoneOutput::builder().hosted_zone(zone).set_delegation_set(set).build()
    }

    /// What AWS always sends and did not send says nothing about the zone.
    #[test]
    fn an_answer_without_name_servers_is_no_private_zone() {
        assert_eq!(public(answer(true, None)).unwrap(), None);
        let found = public(answer(false, Some("ns-1.awsdns-01.com"))).unwrap().expect("a public zone");
        assert_eq!((found.name.as_str(), found.name_servers.len()), ("example.com.", 1));
        assert!(public(answer(false, None)).unwrap_err().to_string().contains("GetHostedZone has no NameServers"));
        let nothing = GetHostedZoneOutput::builder().build();
        assert!(public(nothing).unwrap_err().to_string().contains("has no HostedZone"));
    }
}
