//! `[regions]`: which regions there are.
//!
//! Every ARN and every endpoint that drctl makes is of AWS's commercial partition, `aws`. The others (`aws-cn`,
//! `aws-us-gov` and so on) have accounts, names and services of their own, and a plan with a region of theirs is
//! refused.

use super::rules::Violation;
use super::shape::nearest;
use super::values::{consists, require, text_value};
use super::{Regions, Side};

/// The regions of the commercial partition that AWS's own list had in the summer of 2026 (`partitions.json` of
/// botocore).
const KNOWN: [&str; 34] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// How the regions of other partitions begin, and whose they are.
const OTHER_PARTITIONS: [(&str, &str); 7] = [
    ("cn-", "AWS in China"),
    ("us-gov-", "AWS GovCloud (US)"),
    ("eusc-", "the AWS European Sovereign Cloud"),
    ("us-iso-", "an isolated cloud of AWS"),
    ("us-isob-", "an isolated cloud of AWS"),
    ("us-isof-", "an isolated cloud of AWS"),
    ("eu-isoe-", "an isolated cloud of AWS"),
];

text_value! {
    /// A region of AWS's commercial partition, for example `us-east-1`.
    Region, example = "us-east-1", check = |text| {
        for (prefix, owner) in OTHER_PARTITIONS {
            require(!text.starts_with(prefix), || {
                format!("{text:?} is a region of {owner}; drctl deploys to the commercial regions of AWS only")
            })?;
        }
        let parts: Vec<&str> = text.split('-').collect();
        let well_formed = matches!(parts[..], [area, place, number]
            if consists(area, 2..=2, |c| c.is_ascii_lowercase())
                && consists(place, 2..=9, |c| c.is_ascii_lowercase())
                && consists(number, 1..=1, |c| c.is_ascii_digit()));
        require(well_formed, || format!("{text:?} is not a region; regions look like \"us-east-1\""))
    }
}

/// Finds the regions that drctl does not know, and that the plan does not call new.
pub(super) fn check(regions: &Regions) -> Vec<Violation> {
    let unknown = Side::BOTH
        .map(|side| (side, regions.side(side)))
        .into_iter()
        .filter(|(_, region)| !KNOWN.contains(&region.as_str()) && !regions.unlisted.contains(region));
    unknown
        .map(|(side, region)| {
            let meant = nearest(region.as_str(), KNOWN.into_iter());
            let meant = meant.map(|known| format!("did you mean {known:?}? ")).unwrap_or_default();
            Violation {
                paths: vec![format!("regions.{}", side.as_str()), "regions.unlisted".to_owned()],
                message: format!("{:?} is no region that this version of drctl knows", region.as_str()),
                help: Some(format!(
                    "{meant}if AWS opened it since, add unlisted = [{:?}] to [regions]",
                    region.as_str()
                )),
            }
        })
        .collect()
}
