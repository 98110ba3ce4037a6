//! `kms_replica_key`: the replica of a multi-region key in another region.
//!
//! Its scope is the replica's region; the primary is another resource. Material, rotation and id are the primary's, everything else is
//! its own.
//!
//! Facts: `kms.mrk.create` (the call goes to the primary's region), `kms.mrk.not-copied`, `kms.mrk.wait`, `kms.mrk.rate`, `kms.mrk.delete`,
//! `kms.mrk.failover` (the primary may move; the id stays), `kms.key.consistency`, `kms.key.delete`.
//! A replica of the same primary that still waits for its deletion is in the way of a new one. It is the same key, so its deletion is
//! cancelled. Replacement: `primary`. Slow: nothing that anybody waits for.

use aws_sdk_kms::types::KeyMetadata;
use serde::{Deserialize, Serialize};

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use super::{existing, kms};
use crate::aws::error::Result;
use crate::aws::{Error, Policy};
use crate::outputs;
use crate::reference::{KeyArn, KeyId, Ref};

/// The kind.
#[derive(Debug)]
pub struct ReplicaKey;

/// The desired properties of a replica key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaKeySpec {
    /// The key it is a replica of.
    pub primary: Ref<KeyArn>,
    /// What it is for.
    pub description: String,
    /// Who may use and manage it.
    pub policy: Policy,
    /// Whether it can be used.
    pub enabled: bool,
    /// Days between its deletion and the moment it is gone for good, 7 to 30. AWS does not tell it.
    pub deletion_days: i32,
}

outputs! {
    /// What is known of a replica key once it exists.
    pub struct ReplicaKeyOutputs of ReplicaKey {
        /// The id, the same as the primary's.
        id: KeyId,
        /// The ARN, in the replica's region.
        arn: KeyArn,
    }
}

impl Kind for ReplicaKey {
    type Spec = ReplicaKeySpec;
    type Outputs = ReplicaKeyOutputs;

    const TRAITS: Traits = Traits {
        name: "kms_replica_key",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["primary"],
        locked_by: Some("primary"),
        expected: Expected::seconds(15, 3, 1),
        permissions: Permissions {
            read: &["kms:DescribeKey", "kms:GetKeyPolicy", "kms:ListResourceTags", "tag:GetResources"],
            change: &[
                "kms:ReplicateKey",
                "kms:CreateKey",
                "kms:PutKeyPolicy",
                "kms:UpdateKeyDescription",
                "kms:EnableKey",
                "kms:DisableKey",
                "kms:TagResource",
                "kms:UntagResource",
                "kms:ScheduleKeyDeletion",
                "kms:CancelKeyDeletion",
                "iam:CreateServiceLinkedRole",
            ],
        },
        retries: &[
            Retry::seconds("kms:ReplicateKey", "NotFoundException", "", kms::VISIBLE),
            Retry::seconds("kms:ReplicateKey", "KMSInvalidStateException", "creating", kms::VISIBLE),
            Retry::seconds("kms:ReplicateKey", "KMSInvalidStateException", "updating", 600),
            Retry::seconds("kms:ReplicateKey", "MalformedPolicyDocumentException", "invalid principals", kms::VISIBLE),
            Retry::seconds("kms:PutKeyPolicy", "MalformedPolicyDocumentException", "invalid principals", kms::VISIBLE),
            Retry::seconds("kms:PutKeyPolicy", "NotFoundException", "", kms::VISIBLE),
            Retry::seconds("kms:TagResource", "NotFoundException", "", kms::VISIBLE),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| observe(context, wanted)).await
    }

    async fn ensure(task: &Task<'_>, spec: &ReplicaKeySpec, object: Option<Object<Self>>) -> Result<ReplicaKeyOutputs> {
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
        kms::sync_tags(task, key, &object.tags).await?;
        if actual.enabled && !spec.enabled {
            let clients = task.clients();
            task.call("kms:DisableKey", || clients.kms().disable_key().key_id(key).send()).await?;
        }
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &ReplicaKeySpec, outputs: &ReplicaKeyOutputs) -> Result<Deletion> {
        kms::schedule_deletion(task, outputs.id.as_str(), spec.deletion_days).await
    }
}

async fn observe(context: &Context, wanted: &Wanted<ReplicaKey>) -> Result<Option<Object<ReplicaKey>>> {
    // A replica has the id of its primary: no search is needed.
    let id = match (&wanted.outputs, wanted.spec.primary.get()) {
        (Some(outputs), _) => outputs.id.as_str(),
        (None, Some(primary)) => id_of(primary),
        (None, None) => return Ok(None),
    };
    match kms::describe(context, id).await? {
        Some(key) => {
            let arn = kms::arn("kms:DescribeKey", &key)?;
            object(context, &wanted.spec, id, arn, kms::is_enabled(&key), key.description()).await.map(Some)
        }
        None => Ok(None),
    }
}

async fn object(
    context: &Context,
    wanted: &ReplicaKeySpec,
    id: &str,
    arn: &str,
    enabled: bool,
    description: Option<&str>,
) -> Result<Object<ReplicaKey>> {
    let (policy, tags) = tokio::try_join!(kms::policy(context, id), kms::tags(context, id))?;
    let spec = ReplicaKeySpec {
        primary: Ref::Known(primary(wanted, id)),
        description: description.unwrap_or_default().to_owned(),
        policy,
        enabled,
        deletion_days: wanted.deletion_days,
    };
    Ok(Object { spec, outputs: ReplicaKeyOutputs { id: id.into(), arn: arn.into() }, tags })
}

/// The primary of a key, as far as it is a difference: the keys of one family share the id, and which of them is the primary is a role
/// that can move (`kms.mrk.failover`).
fn primary(wanted: &ReplicaKeySpec, id: &str) -> KeyArn {
    match wanted.primary.get() {
        Some(primary) if id_of(primary) == id => primary.clone(),
        _ => KeyArn::from(id),
    }
}

async fn create(task: &Task<'_>, spec: &ReplicaKeySpec) -> Result<Object<ReplicaKey>> {
    let primary = spec.primary.known();
    let clients = task.clients_in(region_of(primary));
    let (policy, tags) = (spec.policy.text(), kms::sdk_tags(&task.tags));
    let keeps_account = kms::keeps_account(&spec.policy, task.account());
    let replicated = task
        .call("kms:ReplicateKey", || {
            clients
                .kms()
                .replicate_key()
                .key_id(primary)
                .replica_region(task.scope().as_str())
                .description(&spec.description)
                .policy(&policy)
                .bypass_policy_lockout_safety_check(keeps_account)
                .set_tags(Some(tags.clone()))
                .send()
        })
        .await;
    let replicated = match replicated {
        Err(error) if error.already_exists() => return restore(task, spec, error).await,
        replicated => replicated?,
    };
    let key = kms::created("kms:ReplicateKey", replicated.replica_key_metadata)?;
    let outputs = ReplicaKeyOutputs { id: key.key_id().into(), arn: kms::arn("kms:ReplicateKey", &key)?.into() };
    task.identified(&outputs).await?;
    if !kms::is_enabled(&key) {
        kms::wait_enabled(task, key.key_id()).await?;
    }
    Ok(Object { spec: ReplicaKeySpec { enabled: true, ..spec.clone() }, outputs, tags: task.tags.clone() })
}

/// Takes back the replica that is in the way, if it is ours.
async fn restore(task: &Task<'_>, spec: &ReplicaKeySpec, refusal: Error) -> Result<Object<ReplicaKey>> {
    let id = id_of(spec.primary.known());
    let Some(key) = kms::metadata(task, id).await? else { return Err(refusal) };
    let tags = kms::tags(task, id).await?;
    let former = former(&key, existing::is_own(&tags, &task.tags))?;
    let arn = kms::arn("kms:DescribeKey", &key)?;
    task.identified(&ReplicaKeyOutputs { id: id.into(), arn: arn.into() }).await?;
    if former.is_going {
        let clients = task.clients();
        task.call("kms:CancelKeyDeletion", || clients.kms().cancel_key_deletion().key_id(id).send()).await?;
    }
    object(task, spec, id, arn, former.is_enabled, key.description()).await
}

/// A replica that is in the way of a new one.
#[derive(Debug, PartialEq)]
struct Former {
    /// Whether its deletion has to be cancelled.
    is_going: bool,
    /// Whether it can be used then: a key whose deletion was cancelled is disabled.
    is_enabled: bool,
}

fn former(key: &KeyMetadata, is_own: bool) -> Result<Former> {
    if !is_own {
        let arn = key.arn().unwrap_or_default();
        return Err(Error::Taken(format!("the replica key {arn} exists and does not carry this deployment's tags")));
    }
    let is_going = kms::is_pending_deletion(key);
    Ok(Former { is_going, is_enabled: kms::is_enabled(key) && !is_going })
}

/// The id at the end of a key's ARN.
fn id_of(arn: &KeyArn) -> &str {
    arn.as_str().rsplit('/').next().unwrap_or_default()
}

/// The region in a key's ARN.
fn region_of(arn: &KeyArn) -> &str {
    arn.as_str().split(':').nth(3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kms::types::KeyState;

    #[test]
    fn the_region_to_call_and_the_id_to_look_for_are_in_the_primarys_arn() {
        let arn = KeyArn::from("arn:aws:kms:us-east-1:123456789012:key/mrk-1");
        assert_eq!((region_of(&arn), id_of(&arn)), ("us-east-1", "mrk-1"));
    }

    /// `kms.mrk.create`.
    #[test]
    fn a_replica_in_the_way_is_taken_back_when_it_is_ours() {
        let key = |state: KeyState, enabled: bool| {
            let key = KeyMetadata::builder().key_id("mrk-1").arn("arn:aws:kms:us-east-2:1:key/mrk-1");
            key.key_state(state).enabled(enabled).build().expect("a key with an id")
        };
        let going = former(&key(KeyState::PendingDeletion, false), true).unwrap();
        assert_eq!(going, Former { is_going: true, is_enabled: false });
        let living = former(&key(KeyState::Enabled, true), true).unwrap();
        assert_eq!(living, Former { is_going: false, is_enabled: true });
        for state in [KeyState::PendingDeletion, KeyState::Enabled] {
            let taken = former(&key(state, true), false);
            assert!(matches!(&taken, Err(Error::Taken(text)) if text.contains("us-east-2:1:key/mrk-1")), "{taken:?}");
        }
    }

    /// `kms.mrk.failover`.
    #[test]
    fn which_key_of_the_family_is_the_primary_is_no_difference() {
        let arn = KeyArn::from("arn:aws:kms:us-east-1:1:key/mrk-1");
        let wanted = ReplicaKeySpec {
            primary: Ref::Known(arn.clone()),
            description: String::new(),
            policy: Policy::default(),
            enabled: true,
            deletion_days: 7,
        };
        assert_eq!(primary(&wanted, "mrk-1"), arn);
        assert_ne!(primary(&wanted, "mrk-2"), arn, "a replica of another key is another replica");
    }
}
