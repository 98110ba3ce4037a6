//! Who we are, and facts of AWS that hold for the whole deployment.

use std::collections::BTreeMap;

use aws_config::retry::RetryConfig;
use serde_json::Value;

use super::domain;
use crate::aws::{Aws, Error};
use crate::error::{Failure, Kind, Outcome};
use crate::plan::{Plan, Side};
use crate::resources::rds_global_cluster;

/// The fact that holds the exact version of Aurora.
pub const ENGINE_VERSION: &str = "aurora_engine_version";

/// How often AWS is asked who we are before giving up; the pauses between stay below two seconds in all.
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
    let operation = "sts:GetCallerIdentity";
    let clients = aws.region("us-east-1");
    // This is the first call of all: when nobody answers, somebody is waiting for us to say so.
    let impatient =
        aws_sdk_sts::config::Config::builder().retry_config(RetryConfig::standard().with_max_attempts(TRIES));
    let call = clients.sts().get_caller_identity().customize().config_override(impatient);
    let answer = call.send().await.map_err(|error| Error::from_sdk(operation, error))?;
    let arn = answer.arn().ok_or_else(|| Error::incomplete(operation, "arn"))?.to_owned();
    let account = answer.account().ok_or_else(|| Error::incomplete(operation, "account"))?.to_owned();
    let partition = arn.split(':').nth(1).unwrap_or("aws").to_owned();
    Ok(Identity { account, partition, arn })
}

/// Resolves the facts that are not known yet. What is known stays, so that a deployment does not move with AWS's defaults; but for
/// the zone above, which is somebody's to change.
///
/// # Errors
/// When AWS offers nothing that fits the plan; nothing was changed.
pub async fn facts(aws: &Aws, plan: &Plan, known: &BTreeMap<String, Value>) -> Outcome<BTreeMap<String, Value>> {
    let mut facts = known.clone();
    let zones = serde_json::Value::from(zone_names(plan));
    if facts.get(ZONES) != Some(&zones) {
        check_zones(aws, plan).await?;
        facts.insert(ZONES.to_owned(), zones);
    }
    // The domain may be another one today, and a zone that was deleted and made anew has another id.
    match domain::parent_zone(aws, plan).await? {
        Some(id) => facts.insert(domain::PARENT_ZONE.to_owned(), id.into()),
        None => facts.remove(domain::PARENT_ZONE),
    };
    if plan.database.aurora.enabled && !facts.contains_key(ENGINE_VERSION) {
        let regions = [plan.regions.primary.as_str(), plan.regions.secondary.as_str()];
        let family = plan.database.aurora.engine_version.as_str();
        let version = rds_global_cluster::newest_version(aws, regions, family).await.map_err(|error| {
            Failure::new(Kind::of(&error), "cannot find a version of Aurora for both regions").because(error)
        })?;
        facts.insert(ENGINE_VERSION.to_owned(), version.into());
    }
    Ok(facts)
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
        let answer = answer.map_err(|error| Error::from_sdk(operation, error)).map_err(|error| {
            Failure::new(Kind::of(&error), format!("cannot list the zones of {region}")).because(error)
        })?;
        let offered: Vec<&str> = answer.availability_zones().iter().filter_map(|zone| zone.zone_name()).collect();
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
