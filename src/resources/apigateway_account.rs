//! `apigateway_account`: the role by which API Gateway writes logs, a setting of the account in one region.
//!
//! The setting is nobody's own: every REST and WebSocket API of the account and region logs by it. So a role that somebody else has set
//! serves as well and stays, at creation and at deletion. Only an empty setting is filled, with a role that belongs to no deployment: the
//! one of [`role_name`], which is made when it is absent and is the same for all deployments of drctl in a region.
//!
//! Setting and role outlive the deployment that made them for as long as somebody else needs them: another deployment that has an API,
//! a REST API that logs, a WebSocket API, of which one look does not tell whether it does, or whoever drctl may not look for. Then `down`
//! says who that is and how a person removes them; otherwise they go, whichever deployment made them. A setting that still names a role of
//! the deployment itself, as earlier versions of drctl made it, is handed to the shared role before that role goes, or all
//! others would stop to log without a word.
//!
//! Nothing keeps another run from beginning to use the setting while this one takes it away. Where the other run sets it again before
//! the role is gone, this one sees that in its last look and makes the role anew. Where the other run found the setting and made nothing
//! but its stage, AWS refuses the stage, that run fails, and its next `up` finds the setting empty and fills it.
//!
//! Facts: `apigw.account.role` (a new role is refused for up to two minutes), `apigw.account.shared`, `apigw.stage.logs`, `apigw.rates`,
//! `preflight.apigw` (what is set is read with everything else, before the first change), `iam.role.create`, `iam.policy.inline`.
//! Replacement: nothing. Slow: a change, one every 20 s per account and region.

use aws_sdk_apigateway::types::Stage;
use aws_sdk_apigatewayv2::types::ProtocolType;
use aws_sdk_iam::operation::get_role::GetRoleOutput;
use aws_sdk_iam::types::Tag;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, apigateway,
    iam_role, list,
};
use crate::aws::error::{Result, told};
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags, tags};
use crate::outputs;
use crate::reference::{Ref, RoleArn};

/// The name of the role of all deployments of a region.
pub fn role_name(region: &str) -> String {
    format!("drctl-apigateway-logs-{region}")
}

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
                "iam:ListRolePolicies",
                "iam:ListAttachedRolePolicies",
                "iam:ListInstanceProfilesForRole",
                "iam:RemoveRoleFromInstanceProfile",
                "iam:DetachRolePolicy",
                "iam:DeleteRolePolicy",
                "iam:DeleteRole",
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
            // Another deployment may make the role at the same moment.
            Retry::seconds("iam:CreateRole", "ConcurrentModification", "", 120),
            Retry::seconds("iam:PutRolePolicy", "ConcurrentModification", "", 120),
            Retry::seconds("iam:PutRolePolicy", "NoSuchEntity", "", 120),
            Retry::seconds("iam:DeleteRole", "ConcurrentModification", "", 120),
            Retry::seconds("iam:DeleteRole", "DeleteConflict", "", 120),
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
        let region = task.scope().as_str();
        let shared = format!("arn:aws:iam::{}:role/{}", task.account(), role_name(region));
        let is_ours = |role: &RoleArn| role.as_str() == shared || spec.role.get() == Some(role);
        if let Some(role) = current(task).await?.filter(is_ours) {
            if let Some(user) = user(task).await? {
                if role.as_str() != shared {
                    // The deployment's own role goes next.
                    make_role(task).await?;
                    set(task, &shared).await?;
                }
                return Ok(Deletion::Left(left(region, &user)));
            }
            set(task, "").await?;
        }
        delete_role(task).await?;
        if current(task).await?.is_some_and(|role| role.as_str() == shared) {
            make_role(task).await?;
            return Ok(Deletion::Left(left(region, "another run has just begun to use it")));
        }
        Ok(Deletion::Gone)
    }
}

/// What stays of the setting and why, and how a person removes it.
fn left(region: &str, user: &str) -> String {
    let role = role_name(region);
    format!(
        "API Gateway in {region} goes on to write logs with the role {role}, because {user}; the `down` of the last deployment that is \
         alone in the region takes both away; when nobody needs them any more: aws apigateway update-account --region {region} \
         --patch-operations op=replace,path=/cloudwatchRoleArn,value= && aws iam delete-role-policy --role-name {role} \
         --policy-name {POLICY} && aws iam delete-role --role-name {role}"
    )
}

/// Who else in the region may write logs by the setting: one of them, and what is known of it.
async fn user(context: &Context) -> Result<Option<String>> {
    match find_user(context).await {
        Err(error) if error.is_denied() && !error.is_without_credentials() => {
            Ok(Some(format!("drctl cannot look who else does ({error})")))
        }
        found => found,
    }
}

async fn find_user(context: &Context) -> Result<Option<String>> {
    let clients = context.clients();
    let apis = list::all(
        context,
        "apigateway:GetApis",
        |token| clients.apigatewayv2().get_apis().set_next_token(token).send(),
        |page| (page.items.unwrap_or_default(), page.next_token),
    );
    // HTTP APIs write their logs without a role.
    if let Some(api) = apis.await?.iter().find(|api| api.protocol_type() != Some(&ProtocolType::Http)) {
        let (name, id) = (api.name().unwrap_or("?"), api.api_id().unwrap_or("?"));
        return Ok(Some(format!("the WebSocket API {name} ({id}) may log by it")));
    }
    for api in apigateway::rest_apis(context).await?.iter() {
        let (tags, id) = (apigateway::tags(api.tags()), told(api.id(), apigateway::LIST_APIS, "id")?);
        if context.owns(&tags) {
            continue;
        }
        let name = format!("{} ({id})", api.name().unwrap_or("?"));
        if let Some(suffix) = tags.get(tags::DEPLOYMENT) {
            return Ok(Some(format!("the deployment `{suffix}` has the API {name}")));
        }
        if apigateway::stages(context, id).await?.iter().any(writes_logs) {
            return Ok(Some(format!("the API {name} logs by it")));
        }
    }
    Ok(None)
}

/// Whether a stage writes a log of its accesses, or of what it does for some method.
fn writes_logs(stage: &Stage) -> bool {
    let accesses = stage.access_log_settings().and_then(|logs| logs.destination_arn());
    let mut levels = stage.method_settings().into_iter().flatten().filter_map(|(_, method)| method.logging_level());
    accesses.is_some_and(|arn| !arn.is_empty()) || levels.any(|level| !["", "OFF"].contains(&level))
}

/// Deletes the shared role, unless somebody else made it.
async fn delete_role(task: &Task<'_>) -> Result<()> {
    let (clients, name) = (task.clients(), role_name(task.scope().as_str()));
    match task.call("iam:GetRole", || clients.iam().get_role().role_name(&name).send()).await {
        Ok(found) if is_shared(&found) => match iam_role::delete_by_name(task, &name).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(()),
        },
        Err(error) if !error.is_gone() => Err(error),
        _ => Ok(()),
    }
}

/// Whether a role has the tag of the shared ones.
fn is_shared(found: &GetRoleOutput) -> bool {
    let tags = found.role().map(|role| role.tags()).unwrap_or_default();
    tags.iter().any(|tag| (tag.key(), tag.value()) == SHARED)
}

/// Makes the shared role, unless it is there.
async fn make_role(task: &Task<'_>) -> Result<()> {
    let (clients, name) = (task.clients(), role_name(task.scope().as_str()));
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Principal": { "Service": "apigateway.amazonaws.com" }, "Action": "sts:AssumeRole" },
        ],
    });
    let tag = Tag::builder().key(SHARED.0).value(SHARED.1).build();
    let tag = tag.map_err(|error| Error::Failed(format!("the tag of the role {name}: {error}")))?;
    let created = task
        .call("iam:CreateRole", || {
            let request = clients.iam().create_role().role_name(&name).tags(tag.clone());
            let request =
                request.description("Writes the logs of all APIs of the region; of no single deployment of drctl");
            request.assume_role_policy_document(trust.to_string()).send()
        })
        .await;
    match created {
        Err(error) if error.already_exists() => {
            let look = || async {
                match task.call("iam:GetRole", || clients.iam().get_role().role_name(&name).send()).await {
                    Err(error) if error.is_gone() => Ok(Look::Pending("not visible yet".to_owned())),
                    found => found.map(Look::Ready),
                }
            };
            if !is_shared(&task.wait("the role to be visible", Patience::seconds(120, 5), look).await?) {
                let (key, value) = SHARED;
                return Err(Error::Taken(format!("the role {name} exists and has no tag {key} = {value}")));
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
        let request = clients.iam().put_role_policy().role_name(&name).policy_name(POLICY);
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
    use aws_sdk_apigateway::types::{AccessLogSettings, MethodSetting};

    use super::*;

    /// `apigw.account.shared`.
    #[test]
    fn a_stage_needs_the_role_when_it_writes_any_log() {
        let stage = || Stage::builder().stage_name("prod");
        let logging =
            |level: &str| stage().method_settings("*/*", MethodSetting::builder().logging_level(level).build());
        let access = |arn: &str| AccessLogSettings::builder().destination_arn(arn).build();
        assert!(!writes_logs(&stage().build()));
        assert!(!writes_logs(&logging("OFF").access_log_settings(access("")).build()));
        assert!(writes_logs(&logging("ERROR").build()));
        assert!(writes_logs(&logging("OFF").access_log_settings(access("arn:aws:logs:x")).build()));
    }

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
