//! `apigateway_account`: the role by which API Gateway writes logs, a setting of the account in one region.
//!
//! The setting is nobody's own: every API of the account and region logs by it. So a role that somebody else has set serves as well and
//! stays, at creation and at deletion. Only an empty setting is filled, with a role that belongs to no deployment: [`ROLE`], which is
//! made when it is absent and is the same in all regions and for all deployments of drctl.
//!
//! Setting and role outlive the deployment that made them, because nobody can see in a few calls who else in which region logs by them;
//! `down` says what stays, and how it is removed. A setting that still names a role of the deployment itself, as earlier versions
//! of drctl made it, is handed to the shared role before that role goes, or all other APIs would stop to log without a word.
//!
//! Facts: `apigw.account.role` (a new role is refused for up to two minutes), `apigw.account.shared`, `apigw.stage.logs`, `apigw.rates`,
//! `preflight.apigw` (what is set is read with everything else, before the first change), `iam.role.create`, `iam.policy.inline`.
//! Replacement: nothing. Slow: a change, one every 20 s per account and region.

use aws_sdk_iam::types::Tag;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::apigateway;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{Ref, RoleArn};

/// The role of all deployments and regions of an account.
pub const ROLE: &str = "drctl-apigateway-logs";
/// The tag that tells it from a role of this name that somebody else made.
const SHARED: (&str, &str) = ("drctl:shared", "apigateway-logs");
/// The name of its policy.
const POLICY: &str = "logs";

/// The kind.
#[derive(Debug)]
pub struct Account;

/// The desired properties of the setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountSpec {
    /// The role to set when none is set.
    pub role: Ref<RoleArn>,
}

outputs! {
    /// What is known once a role is set.
    pub struct AccountOutputs of Account {
        /// The role that is set: ours, or one that was there before.
        role: RoleArn,
    }
}

impl Kind for Account {
    type Spec = AccountSpec;
    type Outputs = AccountOutputs;

    const TRAITS: Traits = Traits {
        name: "apigateway_account",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &[],
        locked_by: None,
        expected: Expected::seconds(15, 15, 2),
        permissions: Permissions {
            read: &["apigateway:GET"],
            change: &[
                "apigateway:PATCH",
                "iam:CreateRole",
                "iam:TagRole",
                "iam:GetRole",
                "iam:PutRolePolicy",
                "iam:PassRole",
            ],
        },
        retries: &[
            apigateway::busy("apigateway:UpdateAccount"),
            Retry::seconds(
                "apigateway:UpdateAccount",
                "BadRequestException",
                "does not have required permissions",
                120,
            ),
            Retry::seconds("apigateway:UpdateAccount", "BadRequestException", "could not successfully write to", 120),
            // The other region may make the role at the same moment.
            Retry::seconds("iam:CreateRole", "ConcurrentModification", "", 120),
            Retry::seconds("iam:PutRolePolicy", "ConcurrentModification", "", 120),
            Retry::seconds("iam:PutRolePolicy", "NoSuchEntity", "", 120),
            Retry::seconds("iam:GetRole", "NoSuchEntity", "", 120),
        ],
    };

    const CHANGING_OUTPUTS: &'static [&'static str] = &["role"];

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let current = current(context).await?;
        let object = |wanted: &Wanted<Self>| {
            let role = current.clone()?;
            // Any role that is set will do, so it is never a difference.
            Some(Object { spec: wanted.spec.clone(), outputs: AccountOutputs { role }, tags: Tags::new() })
        };
        Ok(wanted.iter().map(object).collect())
    }

    async fn ensure(task: &Task<'_>, spec: &AccountSpec, object: Option<Object<Self>>) -> Result<AccountOutputs> {
        if let Some(object) = object
            && !is_outdated(&object, spec)
        {
            return Ok(object.outputs);
        }
        let outputs = AccountOutputs { role: spec.role.known().clone() };
        make_role(task).await?;
        set(task, outputs.role.as_str()).await?;
        task.identified(&outputs).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &AccountSpec, _: &AccountOutputs) -> Result<Deletion> {
        let shared = format!("arn:aws:iam::{}:role/{ROLE}", task.account());
        match current(task).await? {
            Some(role) if role.as_str() == shared => {}
            // The deployment's own role goes next, and others log by it.
            Some(role) if spec.role.get() == Some(&role) => {
                make_role(task).await?;
                set(task, &shared).await?;
            }
            _ => return Ok(Deletion::Gone),
        }
        Ok(Deletion::Left(left(task.scope().as_str())))
    }
}

/// What stays of the setting, and how a person removes it.
fn left(region: &str) -> String {
    format!(
        "API Gateway in {region} goes on to write logs with the role {ROLE}, because every API of the account does; when none needs it any \
         more: aws apigateway update-account --region {region} --patch-operations op=replace,path=/cloudwatchRoleArn,value= ; and \
         after the last region: aws iam delete-role-policy --role-name {ROLE} --policy-name {POLICY} && aws iam delete-role \
         --role-name {ROLE}"
    )
}

/// Makes the shared role, unless it is there.
async fn make_role(task: &Task<'_>) -> Result<()> {
    let clients = task.clients();
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Principal": { "Service": "apigateway.amazonaws.com" }, "Action": "sts:AssumeRole" },
        ],
    });
    let tag = Tag::builder().key(SHARED.0).value(SHARED.1).build();
    let tag = tag.map_err(|error| Error::Failed(format!("the tag of the role {ROLE}: {error}")))?;
    let created = task
        .call("iam:CreateRole", || {
            let request = clients.iam().create_role().role_name(ROLE).tags(tag.clone());
            let request =
                request.description("Writes the logs of all APIs of the account; of no single deployment of drctl");
            request.assume_role_policy_document(trust.to_string()).send()
        })
        .await;
    match created {
        Err(error) if error.already_exists() => {
            let found = task.call("iam:GetRole", || clients.iam().get_role().role_name(ROLE).send()).await?;
            let tags = found.role().map(|role| role.tags()).unwrap_or_default();
            if !tags.iter().any(|tag| (tag.key(), tag.value()) == SHARED) {
                let (key, value) = SHARED;
                return Err(Error::Taken(format!("the role {ROLE} exists and has no tag {key} = {value}")));
            }
        }
        created => drop(created?),
    }
    // API Gateway accepts only a role that may write to all log groups, because it serves every API of the account.
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": [
                "logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogGroups", "logs:DescribeLogStreams",
                "logs:PutLogEvents", "logs:GetLogEvents", "logs:FilterLogEvents",
            ],
            "Resource": "*",
        }],
    });
    task.call("iam:PutRolePolicy", || {
        let request = clients.iam().put_role_policy().role_name(ROLE).policy_name(POLICY);
        request.policy_document(policy.to_string()).send()
    })
    .await?;
    Ok(())
}

/// Tells whether the role that is set is one of ours that is no longer the wanted one.
fn is_outdated(object: &Object<Account>, spec: &AccountSpec) -> bool {
    object.spec.role != spec.role && object.spec.role.get() == Some(&object.outputs.role)
}

/// The role that is set.
async fn current(context: &Context) -> Result<Option<RoleArn>> {
    let clients = context.clients();
    let account = context.call("apigateway:GetAccount", || clients.apigateway().get_account().send()).await?;
    Ok(account.cloudwatch_role_arn().filter(|role| !role.is_empty()).map(RoleArn::from))
}

/// Sets the role.
async fn set(task: &Task<'_>, role: &str) -> Result<()> {
    let clients = task.clients();
    let patch = apigateway::replace("/cloudwatchRoleArn", role);
    task.call("apigateway:UpdateAccount", || {
        clients.apigateway().update_account().patch_operations(patch.clone()).send()
    })
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(role: &str) -> AccountSpec {
        AccountSpec { role: Ref::Known(role.into()) }
    }

    fn object(recorded: &str, set: &str) -> Object<Account> {
        Object { spec: spec(recorded), outputs: AccountOutputs { role: set.into() }, tags: Tags::new() }
    }

    /// `apigw.account.shared`: every API of the region logs by the setting.
    #[test]
    fn only_a_role_of_ours_is_ever_replaced() {
        assert!(is_outdated(&object("ours", "ours"), &spec("our new one")));
        assert!(!is_outdated(&object("ours", "ours"), &spec("ours")));
        assert!(!is_outdated(&object("ours", "theirs"), &spec("ours")));
        assert!(!is_outdated(&object("ours", "theirs"), &spec("our new one")));
    }
}
