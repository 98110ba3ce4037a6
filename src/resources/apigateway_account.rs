//! `apigateway_account`: the role by which API Gateway writes logs, a setting of the account in one region.
//!
//! The setting is not one deployment's own: every API of the account and region logs by it. So a role that somebody else has set
//! serves as well and stays, at creation and at deletion. Only an empty setting is filled with our role. At deletion it is cleared when
//! it still names our role: that role is deleted next, and a setting that names a missing role would silence every other API's logs
//! just the same, but without anybody seeing why. Two deployments in one account take turns: when the one whose role is
//! set goes away, the other sees the empty setting as drift, and its next `up` fills it.
//!
//! Facts: `apigw.account.role` (a new role is refused for up to two minutes), `apigw.account.shared`, `apigw.stage.logs`, `apigw.rates`,
//! `preflight.apigw` (what is set is read with everything else, before the first change).
//! Replacement: nothing. Slow: a change, one every 20 s per account and region.

use serde::{Deserialize, Serialize};

use super::apigateway;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::Tags;
use crate::aws::error::Result;
use crate::outputs;
use crate::reference::{Ref, RoleArn};

/// The kind.
#[derive(Debug)]
pub struct Account;

/// The desired properties of the setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountSpec {
    /// The role to set when none is set; AWS's managed policy `AmazonAPIGatewayPushToCloudWatchLogs` says what it must allow.
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
        permissions: Permissions { read: &["apigateway:GET"], change: &["apigateway:PATCH", "iam:PassRole"] },
        retries: &[
            apigateway::busy("apigateway:UpdateAccount"),
            Retry::seconds(
                "apigateway:UpdateAccount",
                "BadRequestException",
                "does not have required permissions",
                120,
            ),
            Retry::seconds("apigateway:UpdateAccount", "BadRequestException", "could not successfully write to", 120),
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
        set(task, outputs.role.as_str()).await?;
        task.identified(&outputs).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &AccountSpec, _: &AccountOutputs) -> Result<Deletion> {
        if current(task).await?.as_ref() == Some(spec.role.known()) {
            set(task, "").await?;
        }
        Ok(Deletion::Gone)
    }
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

/// Sets the role; an empty text clears it.
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
