//! Whether AWS Backup backs Aurora up at all: the account decides that for each region and type of resource.
//!
//! A plan can name a cluster by its ARN and still get no backup of it, without a word, where the account has not opted Aurora in
//! (`bk.optin`). The setting belongs to the account and to everybody in it, so drctl reads it and never changes it. `plan` and `up` insist
//! on it; commands that only show or recover a state do not.

use futures::future::try_join_all;

use crate::aws::error::Result;
use crate::aws::{Aws, Error};
use crate::error::{Failure, Kind, Outcome};
use crate::plan::{Plan, Side};

/// The type of resource, as the settings name it.
const AURORA: &str = "Aurora";

/// Checks that both regions are opted in, when the plan has a backup of Aurora that counts on it.
///
/// # Errors
/// The regions that are not; nothing was changed.
pub async fn check(aws: &Aws, plan: &Plan) -> Outcome {
    if !plan.backup.enabled || !plan.backup.require_opt_in {
        return Ok(());
    }
    let regions = Side::BOTH.map(|side| plan.regions.side(side).as_str());
    let opted_in = try_join_all(regions.map(|region| is_opted_in(aws, region))).await;
    let opted_in = opted_in.map_err(|error| {
        Failure::new(Kind::of(&error), "cannot find out whether AWS Backup backs Aurora up").because(error)
    })?;
    judge(regions.into_iter().zip(opted_in))
}

async fn is_opted_in(aws: &Aws, region: &str) -> Result<bool> {
    let operation = "backup:DescribeRegionSettings";
    let answer = aws.region(region).backup().describe_region_settings().send().await;
    let answer = answer.map_err(|error| Error::from_sdk(operation, error))?;
    let preferences = answer.resource_type_opt_in_preference();
    let preferences = preferences.ok_or_else(|| Error::incomplete(operation, "ResourceTypeOptInPreference"))?;
    // A type that nobody has decided on is missing or false.
    Ok(preferences.get(AURORA) == Some(&true))
}

fn judge<'r>(regions: impl IntoIterator<Item = (&'r str, bool)>) -> Outcome {
    let out: Vec<&str> =
        regions.into_iter().filter(|(_, is_opted_in)| !is_opted_in).map(|(region, _)| region).collect();
    if out.is_empty() {
        return Ok(());
    }
    let failure = Failure::new(Kind::Preflight, "AWS Backup would make no backup of Aurora; nothing was changed");
    let failure = out.iter().fold(failure, |failure, region| {
        failure.because(format!("the account has not opted Aurora in to AWS Backup in {region}"))
    });
    let opt_in = |failure: Failure, region: &&str| {
        failure.hint(format!(
            "opt in, for everybody in the account: aws backup update-region-settings --region {region} \
             --resource-type-opt-in-preference {AURORA}=true"
        ))
    };
    Err(out
        .iter()
        .fold(failure, opt_in)
        .hint("or go without: set require_opt_in = false, or enabled = false, under [backup]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `bk.optin`
    #[test]
    fn a_region_that_is_not_opted_in_is_named_with_what_to_do() {
        assert!(judge([("us-east-1", true), ("us-east-2", true)]).is_ok());
        let failure = judge([("us-east-1", true), ("us-east-2", false)]).unwrap_err();
        assert_eq!(failure.kind, Kind::Preflight);
        assert!(failure.causes.len() == 1 && failure.causes[0].ends_with("us-east-2"), "{:?}", failure.causes);
        assert!(failure.hints[0].contains("--region us-east-2"), "{:?}", failure.hints);
        assert!(failure.hints[1].contains("require_opt_in = false"), "{:?}", failure.hints);
    }
}
