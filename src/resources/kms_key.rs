//! `kms_key`: a symmetric key, the primary one of its kind when it spans regions.
//!
//! Facts: `kms.key.create` (no token, no name: see the shared part), `kms.key.create.principal-lag` and `kms.key.create.lockout`
//! (one code, two meanings; only the first passes), `kms.key.consistency`, `kms.key.read.gone`, `kms.key.policy.compare`, `kms.key.update`,
//! `kms.key.delete` (scheduled, 7 to 30 days; unusable at once; creating again makes another key), `kms.mrk.create`, `kms.mrk.delete`
//! (a primary goes days after its last replica).
//! Replacement: `multi_region`. Slow: nothing that anybody waits for.

use serde::{Deserialize, Serialize};

use super::kms;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::Policy;
use crate::aws::error::Result;
use crate::outputs;
use crate::reference::{KeyArn, KeyId};

/// The kind.
#[derive(Debug)]
pub struct Key;

/// The desired properties of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeySpec {
    /// What it is for.
    pub description: String,
    /// Who may use and manage it.
    pub policy: Policy,
    /// Whether it can be replicated to other regions.
    pub multi_region: bool,
    /// Whether it can be used.
    pub enabled: bool,
    /// Days between two rotations of the key material, 90 to 2560; none: never.
    pub rotation_days: Option<i32>,
    /// Days between its deletion and the moment it is gone for good, 7 to 30. AWS does not tell it.
    pub deletion_days: i32,
}

outputs! {
    /// What is known of a key once it exists.
    pub struct KeyOutputs of Key {
        /// The id; `mrk-...` when it spans regions.
        id: KeyId,
        /// The ARN.
        arn: KeyArn,
    }
}

impl Kind for Key {
    type Spec = KeySpec;
    type Outputs = KeyOutputs;

    const TRAITS: Traits = Traits {
        name: "kms_key",
        taggable: true,
        data_bearing: true,
        adoption: Adoption::ByTag,
        immutable: &["multi_region"],
        locked_by: None,
        expected: Expected::seconds(3, 3, 1),
        permissions: Permissions {
            read: &[
                "kms:ListKeys",
                "kms:DescribeKey",
                "kms:GetKeyPolicy",
                "kms:GetKeyRotationStatus",
                "kms:ListResourceTags",
                "tag:GetResources",
            ],
            change: &[
                "kms:CreateKey",
                "kms:PutKeyPolicy",
                "kms:UpdateKeyDescription",
                "kms:EnableKey",
                "kms:DisableKey",
                "kms:EnableKeyRotation",
                "kms:DisableKeyRotation",
                "kms:TagResource",
                "kms:UntagResource",
                "kms:ScheduleKeyDeletion",
                "iam:CreateServiceLinkedRole",
            ],
        },
        retries: &[
            Retry::seconds("kms:CreateKey", "MalformedPolicyDocumentException", "invalid principals", kms::VISIBLE),
            Retry::seconds("kms:PutKeyPolicy", "MalformedPolicyDocumentException", "invalid principals", kms::VISIBLE),
            Retry::seconds("kms:PutKeyPolicy", "NotFoundException", "", kms::VISIBLE),
            Retry::seconds("kms:EnableKeyRotation", "NotFoundException", "", 600),
            Retry::seconds("kms:EnableKeyRotation", "DisabledException", "", kms::ENABLED),
            Retry::seconds("kms:TagResource", "NotFoundException", "", kms::VISIBLE),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| observe(context, wanted)).await
    }

    async fn ensure(task: &Task<'_>, spec: &KeySpec, object: Option<Object<Self>>) -> Result<KeyOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let (key, actual) = (object.outputs.id.as_str(), &object.spec);
        // A disabled key takes no other change: enabling goes first, disabling last.
        if spec.enabled && !actual.enabled {
            kms::enable(task, key).await?;
        }
        if actual.policy != spec.policy {
            kms::put_policy(task, key, &spec.policy).await?;
        }
        if actual.description != spec.description {
            kms::describe_as(task, key, &spec.description).await?;
        }
        if actual.rotation_days != spec.rotation_days {
            rotate(task, key, spec.rotation_days).await?;
        }
        kms::sync_tags(task, key, &object.tags).await?;
        if actual.enabled && !spec.enabled {
            let clients = task.clients();
            task.call("kms:DisableKey", || clients.kms().disable_key().key_id(key).send()).await?;
        }
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &KeySpec, outputs: &KeyOutputs) -> Result<Deletion> {
        kms::schedule_deletion(task, outputs.id.as_str(), spec.deletion_days).await
    }
}

async fn observe(context: &Context, wanted: &Wanted<Key>) -> Result<Option<Object<Key>>> {
    let id = match &wanted.outputs {
        Some(outputs) => Some(outputs.id.to_string()),
        None => kms::find(context, &wanted.address).await?,
    };
    let Some(id) = id else { return Ok(None) };
    let Some(key) = kms::describe(context, &id).await? else { return Ok(None) };
    let (policy, rotation_days, tags) =
        tokio::try_join!(kms::policy(context, &id), rotation(context, &id), kms::tags(context, &id))?;
    let spec = KeySpec {
        description: key.description().unwrap_or_default().to_owned(),
        policy,
        multi_region: key.multi_region().unwrap_or_default(),
        enabled: key.enabled(),
        rotation_days,
        deletion_days: wanted.spec.deletion_days,
    };
    let outputs = KeyOutputs { id: id.into(), arn: kms::arn("kms:DescribeKey", &key)?.into() };
    Ok(Some(Object { spec, outputs, tags }))
}

async fn create(task: &Task<'_>, spec: &KeySpec) -> Result<Object<Key>> {
    let clients = task.clients();
    let (policy, tags) = (spec.policy.text(), kms::sdk_tags(&task.tags));
    let keeps_account = kms::keeps_account(&spec.policy, task.account());
    let created = task
        .call("kms:CreateKey", || {
            clients
                .kms()
                .create_key()
                .description(&spec.description)
                .policy(&policy)
                .bypass_policy_lockout_safety_check(keeps_account)
                .multi_region(spec.multi_region)
                .set_tags(Some(tags.clone()))
                .send()
        })
        .await?;
    let key = kms::created("kms:CreateKey", created.key_metadata)?;
    let outputs = KeyOutputs { id: key.key_id().into(), arn: kms::arn("kms:CreateKey", &key)?.into() };
    task.identified(&outputs).await?;
    if !key.enabled() {
        kms::wait_enabled(task, key.key_id()).await?;
    }
    // A new key does not rotate.
    let spec = KeySpec { enabled: true, rotation_days: None, ..spec.clone() };
    Ok(Object { spec, outputs, tags: task.tags.clone() })
}

async fn rotation(context: &Context, key: &str) -> Result<Option<i32>> {
    let clients = context.clients();
    let answer =
        context.call("kms:GetKeyRotationStatus", || clients.kms().get_key_rotation_status().key_id(key).send()).await?;
    // Keys that rotated before periods could be chosen do so every 365 days.
    Ok(answer.key_rotation_enabled().then(|| answer.rotation_period_in_days().unwrap_or(365)))
}

async fn rotate(task: &Task<'_>, key: &str, days: Option<i32>) -> Result<()> {
    let clients = task.clients();
    match days {
        Some(days) => {
            task.call("kms:EnableKeyRotation", || {
                clients.kms().enable_key_rotation().key_id(key).rotation_period_in_days(days).send()
            })
            .await?;
        }
        None => {
            task.call("kms:DisableKeyRotation", || clients.kms().disable_key_rotation().key_id(key).send()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::{Error, Refusal};

    /// `kms.key.create.lockout`, `kms.key.create.principal-lag`: one code, and only the message tells which of them passes.
    #[test]
    fn a_policy_that_locks_everybody_out_is_final_and_an_unknown_principal_passes() {
        let passes = |operation: &str, message: &str| {
            let code = "MalformedPolicyDocumentException".to_owned();
            let error: Error = Refusal { code, message: message.to_owned(), ..Refusal::default() }.into();
            Key::TRAITS.retries.iter().any(|retry| retry.matches(operation, &error))
        };
        let lockout = "The new key policy will not allow you to update the key policy in the future.";
        for operation in ["kms:CreateKey", "kms:PutKeyPolicy"] {
            assert!(!passes(operation, lockout), "{operation}");
            assert!(
                passes(operation, "Policy contains a statement with one or more invalid principals."),
                "{operation}"
            );
        }
    }

    /// `kms.key.consistency`: a key is taken for disabled for up to twenty minutes after it was enabled.
    #[test]
    fn a_key_that_was_enabled_a_moment_ago_may_be_taken_for_disabled_for_twenty_minutes() {
        let error: Error = Refusal { code: "DisabledException".to_owned(), ..Refusal::default() }.into();
        let retry = Key::TRAITS.retries.iter().find(|retry| retry.matches("kms:EnableKeyRotation", &error));
        assert!(retry.is_some_and(|retry| retry.deadline.as_secs() >= 20 * 60), "{retry:?}");
        const { assert!(kms::ENABLED >= 20 * 60) };
    }
}
