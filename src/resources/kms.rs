//! What both kinds of KMS key share: reading one key, finding one without a record, tags, deletion.
//!
//! A key has neither a name nor a token, and tag searches of the tagging API lag minutes behind (`kms.key.create`,
//! `x.batch.tagging-api`), so that a key whose create answer was lost is looked for in the list of all keys, tags read one by one. That is
//! many calls in an account with many keys, but only when there is no record, and the quota for reading tags is high (`x.throttle.others`).

use aws_sdk_kms::types::{KeyMetadata, KeyState, Tag};

use super::{Context, Deletion, OnAws, Task};
use crate::address::Address;
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Pages, Policy, Tags, tags};

/// How long a new key or policy can be unknown to the call that follows (`kms.key.consistency`).
pub(super) const VISIBLE: u64 = 120;

/// How long a key can tell that it is not enabled, or be taken for disabled by other calls, although it is (`kms.key.consistency`).
pub(super) const ENABLED: u64 = 20 * 60;

/// A key as it is, if it is: one that waits for its deletion counts as gone (`kms.key.read.gone`).
pub(super) async fn describe(context: &Context, key: &str) -> Result<Option<KeyMetadata>> {
    Ok(metadata(context, key).await?.filter(|key| !is_pending_deletion(key)))
}

/// A key in any state.
pub(super) async fn metadata(context: &Context, key: &str) -> Result<Option<KeyMetadata>> {
    let clients = context.clients();
    match context.call("kms:DescribeKey", || clients.kms().describe_key().key_id(key).send()).await {
        Ok(answer) => created("kms:DescribeKey", answer.key_metadata).map(Some),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The ARN of a key, which every answer about a key tells.
pub(super) fn arn<'a>(operation: &str, key: &'a KeyMetadata) -> Result<&'a str> {
    key.arn().ok_or_else(|| Error::incomplete(operation, "Arn"))
}

/// Tells whether a policy lets the account's own IAM policies do everything with the key. Then nobody can be locked out, and KMS's own check is
/// switched off: it asks whether the caller may put the policy again, and the caller's right hangs on tags that the key gets by the same
/// call (`kms.key.create.lockout`).
pub(super) fn keeps_account(policy: &Policy, account: &str) -> bool {
    let root = format!("arn:aws:iam::{account}:root");
    let statements = policy.value()["Statement"].as_array();
    statements.into_iter().flatten().any(|statement| {
        statement["Effect"] == "Allow"
            && statement["Principal"]["AWS"] == root
            && statement["Action"] == "kms:*"
            && statement["Resource"] == "*"
            && statement["Condition"].is_null()
    })
}

/// Tells whether a key waits for its deletion.
pub(super) fn is_pending_deletion(key: &KeyMetadata) -> bool {
    matches!(key.key_state(), Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion))
}

/// Tells whether a key can be used. A replica that is still being made may call itself enabled (`kms.mrk.wait`).
pub(super) fn is_enabled(key: &KeyMetadata) -> bool {
    key.enabled() && key.key_state() != Some(&KeyState::Creating)
}

/// The policy of a key.
pub(super) async fn policy(context: &Context, key: &str) -> Result<Policy> {
    let clients = context.clients();
    let answer = context
        .call("kms:GetKeyPolicy", || clients.kms().get_key_policy().key_id(key).policy_name("default").send())
        .await?;
    Policy::read("kms:GetKeyPolicy", answer.policy().unwrap_or_default())
}

/// The tags of a key.
pub(super) async fn tags(context: &Context, key: &str) -> Result<Tags> {
    let arn = format!("arn:aws:kms:{}:{}:key/{key}", context.scope(), context.account());
    if let Some(tags) = context.confirmed_tags(&arn).await? {
        return Ok(tags);
    }
    let clients = context.clients();
    let answer = context
        .call("kms:ListResourceTags", || clients.kms().list_resource_tags().key_id(key).limit(50).send())
        .await?;
    Ok(answer.tags().iter().map(|tag| (tag.tag_key().to_owned(), tag.tag_value().to_owned())).collect())
}

/// The id of the living key that carries the tags of this resource.
pub(super) async fn find(context: &Context, address: &Address) -> Result<Option<String>> {
    let clients = context.clients();
    let (mut ids, mut pages) = (Vec::new(), Pages::of("kms:ListKeys"));
    loop {
        let page = context
            .call("kms:ListKeys", || clients.kms().list_keys().limit(1000).set_marker(pages.token()).send())
            .await?;
        ids.extend(page.keys().iter().filter_map(|key| key.key_id().map(str::to_owned)));
        if !pages.turn(page.next_marker)? {
            break;
        }
    }
    let tagged = context
        .each(&ids, |id| async move {
            match tags(context, id).await {
                // Keys that keep their tags to themselves, and those that vanish meanwhile, are not ours.
                Err(error) if error.is_gone() || error.is(&["AccessDeniedException"]) => Ok(Tags::new()),
                tags => tags,
            }
        })
        .await?;
    let address = address.to_string();
    for (id, tags) in ids.iter().zip(&tagged) {
        let ours = context.owns(tags) && tags.get(tags::ADDRESS) == Some(&address);
        if ours && describe(context, id).await?.is_some() {
            return Ok(Some(id.clone()));
        }
    }
    Ok(None)
}

/// Waits until a key can be used.
pub(super) async fn wait_enabled(task: &Task<'_>, key: &str) -> Result<()> {
    task.wait("the key to be enabled", Patience::seconds(ENABLED, 5), || async {
        Ok(match metadata(task, key).await?.and_then(|key| key.key_state) {
            Some(KeyState::Enabled) => Look::Ready(()),
            Some(state) => Look::Pending(state.as_str().to_owned()),
            None => Look::Pending("not visible yet".to_owned()),
        })
    })
    .await
}

/// Replaces the policy of a key.
pub(super) async fn put_policy(task: &Task<'_>, key: &str, policy: &Policy) -> Result<()> {
    let clients = task.clients();
    let (text, keeps_account) = (policy.text(), keeps_account(policy, task.account()));
    task.call("kms:PutKeyPolicy", || {
        let request = clients.kms().put_key_policy().key_id(key).policy_name("default").policy(&text);
        request.bypass_policy_lockout_safety_check(keeps_account).send()
    })
    .await?;
    Ok(())
}

/// Replaces the description of a key.
pub(super) async fn describe_as(task: &Task<'_>, key: &str, description: &str) -> Result<()> {
    let clients = task.clients();
    task.call("kms:UpdateKeyDescription", || {
        clients.kms().update_key_description().key_id(key).description(description).send()
    })
    .await?;
    Ok(())
}

/// Makes a disabled key usable again.
pub(super) async fn enable(task: &Task<'_>, key: &str) -> Result<()> {
    // What is still being made becomes enabled by itself, and refuses to be told so.
    if metadata(task, key).await?.is_some_and(|key| key.key_state() == Some(&KeyState::Creating)) {
        return wait_enabled(task, key).await;
    }
    let clients = task.clients();
    task.call("kms:EnableKey", || clients.kms().enable_key().key_id(key).send()).await?;
    Ok(())
}

/// Brings the tags of a key up to date.
pub(super) async fn sync_tags(task: &Task<'_>, key: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = sdk_tags(&changes.set);
        task.call("kms:TagResource", || clients.kms().tag_resource().key_id(key).set_tags(Some(set.clone())).send())
            .await?;
    }
    if !changes.remove.is_empty() {
        let keys = &changes.remove;
        task.call("kms:UntagResource", || {
            clients.kms().untag_resource().key_id(key).set_tag_keys(Some(keys.clone())).send()
        })
        .await?;
    }
    Ok(())
}

/// Schedules the deletion of a key. It is unusable at once, and nobody waits for the days until it really goes.
pub(super) async fn schedule_deletion(task: &Task<'_>, key: &str, days: i32) -> Result<Deletion> {
    let clients = task.clients();
    let scheduled = task
        .call("kms:ScheduleKeyDeletion", || {
            clients.kms().schedule_key_deletion().key_id(key).pending_window_in_days(days).send()
        })
        .await;
    scheduled.map(drop).or_else(already_scheduled).map(|()| Deletion::Gone)
}

/// A key that is gone, or whose deletion was scheduled before, needs no more (`kms.key.delete`).
fn already_scheduled(error: Error) -> Result<()> {
    if error.is_gone() || error.says("KMSInvalidStateException", "pending") { Ok(()) } else { Err(error) }
}

/// Tags in the form of KMS.
pub(super) fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value)| Tag::builder().tag_key(key).tag_value(value).build().expect("key and value are set");
    tags.iter().map(tag).collect()
}

/// The metadata of a key in the answer to a call that always tells it.
pub(super) fn created(operation: &str, metadata: Option<KeyMetadata>) -> Result<KeyMetadata> {
    metadata.ok_or_else(|| Error::incomplete(operation, "key metadata"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    /// `kms.key.read.gone`, `kms.mrk.delete`: a primary that waits for its replica is on its way out as well.
    #[test]
    fn a_key_that_waits_for_its_deletion_counts_as_gone() {
        let waits = |state: KeyState| {
            let key = KeyMetadata::builder().key_id("k").key_state(state).build();
            is_pending_deletion(&key.expect("a key with an id"))
        };
        for state in [KeyState::PendingDeletion, KeyState::PendingReplicaDeletion] {
            assert!(waits(state.clone()), "{state}");
        }
        for state in [KeyState::Enabled, KeyState::Disabled, KeyState::Creating, KeyState::Unavailable] {
            assert!(!waits(state.clone()), "{state}");
        }
    }

    /// `kms.key.create.lockout`: KMS's own check is switched off only for a policy that can lock nobody out.
    #[test]
    fn only_a_policy_that_gives_the_whole_key_to_the_account_keeps_it() {
        let keeps = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut statement = serde_json::json!({
                "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::123456789012:root" }, "Action": "kms:*",
                "Resource": "*",
            });
            change(&mut statement);
            keeps_account(&Policy::new(vec![statement]), "123456789012")
        };
        assert!(keeps(&|_| ()));
        assert!(!keeps(&|statement| statement["Effect"] = "Deny".into()));
        assert!(!keeps(&|statement| statement["Action"] = "kms:Decrypt".into()));
        assert!(!keeps(&|statement| statement["Principal"] = serde_json::json!({ "AWS": "210987654321" })));
        assert!(!keeps(&|statement| statement["Condition"] = serde_json::json!({ "Bool": { "a": "true" } })));
        assert!(!keeps_account(&Policy::default(), "123456789012"));
    }

    /// `kms.key.delete`.
    #[test]
    fn a_deletion_that_is_scheduled_already_is_done_and_no_other_refusal_is() {
        let refused = |code: &str, message: &str| {
            let (code, message) = (code.to_owned(), message.to_owned());
            already_scheduled(Refusal { code, message, status: 400, ..Refusal::default() }.into())
        };
        assert!(refused("KMSInvalidStateException", "arn:aws:kms:us-east-1:1:key/k is pending deletion.").is_ok());
        assert!(refused("NotFoundException", "Key 'k' does not exist").is_ok());
        assert!(refused("KMSInvalidStateException", "arn:aws:kms:us-east-1:1:key/k is creating.").is_err());
        assert!(refused("AccessDeniedException", "not authorized").is_err());
    }
}
