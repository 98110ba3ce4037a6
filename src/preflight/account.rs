//! Who we are, and facts of AWS that hold for the whole deployment.
//!
//! Every account has its own zones under the names of the zones, and may lack one that another account has. So the plan names them
//! by their letters alone, and whether this account has them is looked up in it (`subnet.az-names`). That look
//! also tells, before anything is made, whether the account may use the regions at all (`preflight.region`).
//!
//! Who we are is asked wherever somebody answers, so that it can be told while a region is lost (`dr.state`).

use std::collections::BTreeMap;

use aws_config::retry::RetryConfig;
use serde_json::Value;

use super::domain;
use crate::aws::regions::first_that_answers;
use crate::aws::{Aws, Error};
use crate::error::{Failure, Kind, Outcome};
use crate::plan::{Plan, Side};
use crate::resources::rds_global_cluster::{is_wanted, newest_version, running_version, version_to_keep};

/// The fact that holds the exact version of Aurora.
pub const ENGINE_VERSION: &str = "aurora_engine_version";

/// How often a region is asked who we are before giving it up; the pauses between stay below two seconds in all.
const TRIES: u32 = 3;

/// The fact that holds the zones that were found to exist.
const ZONES: &str = "zones";

/// Who the credentials say we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account, twelve digits.
    pub account: String,
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// The user or role.
    pub arn: String,
}

/// Asks AWS who we are.
///
/// # Errors
/// When there are no credentials, they are refused, or AWS cannot be reached.
pub async fn identity(aws: &Aws) -> Result<Identity, Error> {
    first_that_answers(|region| identity_from(aws, region)).await
}

/// Asks one region who we are.
async fn identity_from(aws: &Aws, region: &str) -> Result<Identity, Error> {
    let operation = "sts:GetCallerIdentity";
    let clients = aws.region(region);
    // This is the first call of all: when nobody answers, somebody is waiting for us to say so.
    let impatient =
        aws_sdk_sts::config::Config::builder().retry_config(RetryConfig::standard().with_max_attempts(TRIES));
    let call = clients.sts().get_caller_identity().customize().config_override(impatient);
    let answer = call.send().await.map_err(|error| Error::from_sdk(operation, error))?;
    let arn = answer.arn().ok_or_else(|| Error::incomplete(operation, "arn"))?.to_owned();
    let account = answer.account().ok_or_else(|| Error::incomplete(operation, "account"))?.to_owned();
    let partition =
        arn.split(':').nth(1).ok_or_else(|| Error::incomplete(operation, "partition in its ARN"))?.to_owned();
    Ok(Identity { account, partition, arn })
}

/// Resolves the facts that are not known yet. What is known stays, so that a deployment does not move with AWS's defaults; but for
/// the zone above, which is somebody's to change, and a version that the plan no longer allows.
///
/// # Errors
/// When AWS offers nothing that fits the plan; nothing was changed.
pub async fn facts(
    aws: &Aws,
    plan: &Plan,
    global_cluster: &str,
    known: &BTreeMap<String, Value>,
) -> Outcome<BTreeMap<String, Value>> {
    let mut facts = known.clone();
    let zones = serde_json::Value::from(zone_names(plan));
    if facts.get(ZONES) != Some(&zones) {
        check_zones(aws, plan).await?;
        facts.insert(ZONES.to_owned(), zones);
    }
    // The domain may be another one today, and a zone that was deleted and made anew has another id.
    let known_zone = facts.get(domain::PARENT_ZONE).and_then(Value::as_str);
    match domain::parent_zone(aws, plan, known_zone).await? {
        Some(id) => facts.insert(domain::PARENT_ZONE.to_owned(), id.into()),
        None => facts.remove(domain::PARENT_ZONE),
    };
    let wanted = plan.database.aurora.engine_version.as_str();
    let resolved = facts.get(ENGINE_VERSION).and_then(Value::as_str);
    if plan.database.aurora.enabled && !resolved.is_some_and(|resolved| is_wanted(resolved, wanted)) {
        let version = engine_version(aws, plan, global_cluster).await?;
        facts.insert(ENGINE_VERSION.to_owned(), version.into());
    }
    Ok(facts)
}

/// The version that Aurora is to have, the first time or because the plan wants another one than so far. A new minor version becomes an
/// upgrade of all members.
async fn engine_version(aws: &Aws, plan: &Plan, global_cluster: &str) -> Outcome<String> {
    let regions = [plan.regions.primary.as_str(), plan.regions.secondary.as_str()];
    let wanted = plan.database.aurora.engine_version.as_str();
    let running = running_version(aws, regions[0], global_cluster).await.map_err(|error| {
        Failure::new(Kind::of(&error), "cannot find out which version of Aurora runs").because(error)
    })?;
    let kept = version_to_keep(global_cluster, running, wanted).map_err(|error| {
        Failure::new(Kind::Preflight, "the plan wants another major version of Aurora; nothing was changed")
            .because(error)
    })?;
    match kept {
        Some(version) => Ok(version),
        None => newest_version(aws, regions, wanted).await.map_err(|error| {
            Failure::new(Kind::of(&error), "cannot find a version of Aurora for both regions").because(error)
        }),
    }
}

/// The zones the plan names.
fn zone_names(plan: &Plan) -> Vec<String> {
    let names = |side| {
        let region = plan.regions.side(side).as_str();
        plan.network.side(side).zones.iter().map(move |zone| format!("{region}{}", zone.as_str()))
    };
    Side::BOTH.into_iter().flat_map(names).collect()
}

/// Checks that both regions have the zones the plan names.
///
/// # Errors
/// Every zone that is missing; nothing was changed.
async fn check_zones(aws: &Aws, plan: &Plan) -> Outcome {
    let mut missing = Vec::new();
    for side in Side::BOTH {
        let region = plan.regions.side(side).as_str();
        let operation = "ec2:DescribeAvailabilityZones";
        let clients = aws.region(region);
        let answer = clients.ec2().describe_availability_zones().send().await;
        let answer = answer.map_err(|error| without_zones(region, &Error::from_sdk(operation, error)))?;
        let offered: Vec<&str> = answer.availability_zones().iter().filter_map(|zone| zone.zone_name()).collect();
        if offered.is_empty() {
            return Err(without_zones(region, &Error::incomplete(operation, "zone")));
        }
        for zone in &plan.network.side(side).zones {
            let name = format!("{region}{}", zone.as_str());
            if !offered.contains(&name.as_str()) {
                missing.push(format!("{region} has no zone `{name}`; it has {}", offered.join(", ")));
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let failure = Failure::new(Kind::Preflight, "the plan names zones that do not exist; nothing was changed");
    Err(missing
        .into_iter()
        .fold(failure, Failure::because)
        .hint("change `zones` under [network.primary] and [network.secondary]"))
}

/// Why the zones of a region are not to be had. A region that is not enabled for the account refuses in words that say nothing of it.
fn without_zones(region: &str, error: &Error) -> Failure {
    let failure = Failure::new(Kind::of(error), format!("cannot list the zones of {region}")).because(error);
    match error.is(&["AuthFailure", "OptInRequired"]) {
        true => failure.hint(format!(
            "enable the Region for this account, if it is not: aws account enable-region --region-name {region}"
        )),
        false => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    /// `preflight.region`
    #[test]
    fn a_region_that_the_account_cannot_use_is_to_be_enabled() {
        let hints = |code: &str| {
            let refusal = Refusal { code: code.to_owned(), status: 401, ..Refusal::default() };
            let failure = without_zones("eu-south-1", &refusal.into());
            assert_eq!(failure.message, "cannot list the zones of eu-south-1");
            assert!(failure.causes[0].contains(code), "{:?}", failure.causes);
            failure.hints
        };
        for code in ["AuthFailure", "OptInRequired"] {
            let hints = hints(code);
            assert!(hints[0].starts_with("enable the Region for this account"), "{hints:?}");
            assert!(hints[0].ends_with("--region-name eu-south-1"), "{hints:?}");
        }
        assert_eq!(hints("UnauthorizedOperation"), Vec::<String>::new());
    }
}
