//! `secretsmanager_secret`: a login that drctl generates once and that lives in Secrets Manager only.
//!
//! The spec says what to generate, never the value. The value is made in memory when the secret is created, goes into the
//! request, whose debug form hides it, and is dropped; nothing reads it back here. A secret that exists keeps its value.
//!
//! Facts: `sm.secret.create`, `sm.secret.name-reuse`, `sm.secret.read` (a deleted secret still answers, with the date of its
//! deletion), `sm.secret.update`, `sm.secret.content` (no host is in it: replicas hold the same text), `sm.secret.delete`
//! (asynchronous; replicas first), `x.kms-propagation`. A secret of ours that is scheduled for deletion is restored: its value is the one a database
//! may still have.
//! Replacement: `name`, `username`, `password_length`. Slow: nothing.

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::types::Tag;
use rand::seq::IndexedRandom;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::reference::{KeyArn, Ref, SecretArn};
use crate::{from_sdk_tags, outputs, sdk_tags};

/// The characters of a password: printable ASCII without those that RDS refuses (`/`, `@`, `"`, space) and without those that
/// shells, connection strings and JSON would have to escape. 67 of them: six bits each.
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+=";

/// The kind.
#[derive(Debug)]
pub struct Secret;

/// The desired properties of a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecretSpec {
    /// The name; unique in the region, and not ending like the six characters AWS appends to it in ARNs.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The key that encrypts it.
    pub key: Ref<KeyArn>,
    /// The user whose password is generated; the secret is the JSON object `{"username": ..., "password": ...}`.
    pub username: String,
    /// How many characters the password has.
    pub password_length: usize,
}

outputs! {
    /// What is known of a secret once it exists; never its value.
    pub struct SecretOutputs of Secret {
        /// The ARN, which ends in six characters of AWS's choice.
        arn: SecretArn,
    }
}

impl Kind for Secret {
    type Spec = SecretSpec;
    type Outputs = SecretOutputs;

    const TRAITS: Traits = Traits {
        name: "secretsmanager_secret",
        taggable: true,
        data_bearing: true,
        adoption: Adoption::ByTag,
        immutable: &["name", "username", "password_length"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 10),
        permissions: Permissions {
            read: &["secretsmanager:DescribeSecret"],
            change: &[
                "secretsmanager:CreateSecret",
                "secretsmanager:UpdateSecret",
                "secretsmanager:RestoreSecret",
                "secretsmanager:DeleteSecret",
                "secretsmanager:TagResource",
                "secretsmanager:UntagResource",
                "kms:GenerateDataKey",
                "kms:Decrypt",
            ],
        },
        retries: &[
            Retry::seconds("secretsmanager:CreateSecret", "InvalidRequestException", "was deleted", 120),
            Retry::seconds("secretsmanager:CreateSecret", "EncryptionFailure", "", 120),
            Retry::seconds("secretsmanager:CreateSecret", "AccessDeniedException", "Access to KMS is not allowed", 120),
            Retry::seconds("secretsmanager:DeleteSecret", "InvalidParameterException", "replica regions", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context
            .each(wanted, |wanted| async {
                let found = describe(context, &wanted.spec.name).await?;
                found.and_then(|secret| present(&secret, &wanted.spec)).transpose()
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &SecretSpec, object: Option<Object<Self>>) -> Result<SecretOutputs> {
        let object = match object {
            Some(object) => object,
            None => match create(task, spec).await {
                Err(error) if is_name_in_use(&error) => reclaim(task, spec).await?,
                created => created?,
            },
        };
        let arn = &object.outputs.arn;
        if object.spec != *spec {
            let clients = task.clients();
            task.call("secretsmanager:UpdateSecret", || {
                let request = clients.secretsmanager().update_secret().secret_id(arn);
                request.description(&spec.description).kms_key_id(spec.key.known()).send()
            })
            .await?;
        }
        sync_tags(task, arn, &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &SecretSpec, outputs: &SecretOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("secretsmanager:DeleteSecret", || {
                let request = clients.secretsmanager().delete_secret().secret_id(&outputs.arn);
                request.force_delete_without_recovery(true).send()
            })
            .await;
        match deleted {
            Err(error) if error.is_gone() => return Ok(Deletion::Gone),
            deleted => drop(deleted?),
        }
        task.wait("the secret to be gone", Patience::seconds(120, 5), || async {
            Ok(match describe(task, &spec.name).await? {
                None => Look::Ready(Deletion::Gone),
                Some(_) => Look::Pending("still there".to_owned()),
            })
        })
        .await
    }
}

/// A name is in use by a secret that lives, or by one that waits for its deletion.
fn is_name_in_use(error: &Error) -> bool {
    error.is(&["ResourceExistsException"]) || error.says("InvalidRequestException", "scheduled for deletion")
}

async fn create(task: &Task<'_>, spec: &SecretSpec) -> Result<Object<Secret>> {
    let clients = task.clients();
    let value = login(&spec.username, spec.password_length);
    let created = task
        .call("secretsmanager:CreateSecret", || {
            let request = clients.secretsmanager().create_secret().name(&spec.name).description(&spec.description);
            let request = request.kms_key_id(spec.key.known()).client_request_token(task.token);
            request.secret_string(value.expose_secret()).set_tags(Some(sdk_tags!(task.tags, Tag))).send()
        })
        .await?;
    let arn = created.arn().ok_or_else(|| Error::incomplete("secretsmanager:CreateSecret", "ARN"))?;
    let outputs = SecretOutputs { arn: arn.into() };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

/// The name was there although nothing was observed: restores our own secret, waits for one that is being removed for good,
/// and leaves somebody else's alone.
async fn reclaim(task: &Task<'_>, spec: &SecretSpec) -> Result<Object<Secret>> {
    let Some(secret) = describe(task, &spec.name).await? else {
        // It is on its way out without recovery: the name becomes free within two minutes.
        return task
            .wait("the name of the former secret to be free", Patience::seconds(120, 10), || async {
                match create(task, spec).await {
                    Err(error) if is_name_in_use(&error) => Ok(Look::Pending("still taken".to_owned())),
                    created => created.map(Look::Ready),
                }
            })
            .await;
    };
    let object = object(&secret, spec)?;
    if !task.owns(&object.tags) {
        return Err(Error::Taken(format!(
            "a secret named {} exists in {} and does not belong to deployment {}; delete it, or choose another suffix",
            spec.name,
            task.scope(),
            task.suffix()
        )));
    }
    if secret.deleted_date().is_some() {
        let clients = task.clients();
        let arn = &object.outputs.arn;
        task.call("secretsmanager:RestoreSecret", || clients.secretsmanager().restore_secret().secret_id(arn).send())
            .await?;
    }
    task.identified(&object.outputs).await?;
    Ok(object)
}

/// A new login as the secret holds it.
fn login(username: &str, length: usize) -> SecretString {
    let mut random = rand::rng();
    let password: String =
        (0..length).map(|_| char::from(*ALPHABET.choose(&mut random).expect("the alphabet is not empty"))).collect();
    json!({ "username": username, "password": password }).to_string().into()
}

async fn sync_tags(task: &Task<'_>, arn: &SecretArn, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = sdk_tags!(changes.set, Tag);
        task.call("secretsmanager:TagResource", || {
            clients.secretsmanager().tag_resource().secret_id(arn).set_tags(Some(set.clone())).send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        let remove = changes.remove;
        task.call("secretsmanager:UntagResource", || {
            clients.secretsmanager().untag_resource().secret_id(arn).set_tag_keys(Some(remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}

/// The secret, unless it only waits for its deletion (`sm.secret.read`).
fn present(secret: &DescribeSecretOutput, wanted: &SecretSpec) -> Option<Result<Object<Secret>>> {
    secret.deleted_date().is_none().then(|| object(secret, wanted))
}

fn object(secret: &DescribeSecretOutput, wanted: &SecretSpec) -> Result<Object<Secret>> {
    let missing = |field: &str| Error::incomplete("secretsmanager:DescribeSecret", field);
    let spec = SecretSpec {
        name: secret.name().ok_or_else(|| missing("Name"))?.to_owned(),
        description: secret.description().unwrap_or_default().to_owned(),
        key: Ref::Known(secret.kms_key_id().unwrap_or_default().into()),
        // What was generated is inside the value, which nobody reads to compare it.
        username: wanted.username.clone(),
        password_length: wanted.password_length,
    };
    let outputs = SecretOutputs { arn: secret.arn().ok_or_else(|| missing("ARN"))?.into() };
    Ok(Object { spec, outputs, tags: from_sdk_tags!(secret.tags()) })
}

async fn describe(context: &Context, id: &str) -> Result<Option<DescribeSecretOutput>> {
    let clients = context.clients();
    let answer = context
        .call("secretsmanager:DescribeSecret", || clients.secretsmanager().describe_secret().secret_id(id).send())
        .await;
    match answer {
        Ok(secret) => Ok(Some(secret)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::aws::Refusal;
    use aws_sdk_secretsmanager::operation::describe_secret::builders::DescribeSecretOutputBuilder;
    use aws_sdk_secretsmanager::primitives::DateTime;

    const KEY: &str = "arn:aws:kms:us-east-1:1:key/k";

    fn spec() -> SecretSpec {
        SecretSpec {
            name: "dr-payments-dev/aurora".into(),
            description: "The login".into(),
            key: Ref::Known(KEY.into()),
            username: "payments_admin".into(),
            password_length: 40,
        }
    }

    fn described() -> DescribeSecretOutputBuilder {
        let tag = Tag::builder().key("team").value("x").build();
        let described = DescribeSecretOutput::builder().name("dr-payments-dev/aurora").description("The login");
        described
            .arn("arn:aws:secretsmanager:us-east-1:1:secret:dr-payments-dev/aurora-AbCdEf")
            .kms_key_id(KEY)
            .tags(tag)
    }

    /// `sm.secret.read`
    #[test]
    fn a_secret_with_a_date_of_deletion_is_not_there() {
        let there = present(&described().build(), &spec()).unwrap().unwrap();
        assert_eq!((there.spec, there.tags.get("team").map(String::as_str)), (spec(), Some("x")));
        let leaving = described().deleted_date(DateTime::from_secs(1)).build();
        assert!(present(&leaving, &spec()).is_none());
        let told = present(&described().set_arn(None).build(), &spec()).unwrap().unwrap_err().to_string();
        assert!(told.contains("secretsmanager:DescribeSecret") && told.contains("ARN"), "{told}");
    }

    /// `sm.secret.update`
    #[test]
    fn description_and_key_change_in_place_and_the_name_does_not() {
        let seen = |described: DescribeSecretOutputBuilder| object(&described.build(), &spec()).unwrap().spec;
        assert_eq!(seen(described()), spec());
        let other = seen(described().description("Another"));
        assert_eq!(other, SecretSpec { description: "Another".into(), ..spec() });
        let other = seen(described().kms_key_id("other"));
        assert_eq!(other, SecretSpec { key: Ref::Known("other".into()), ..spec() });
        assert_eq!(Secret::TRAITS.immutable, ["name", "username", "password_length"]);
    }

    /// `sm.secret.name-reuse`
    #[test]
    fn a_name_in_recovery_or_in_use_is_looked_at_again() {
        let in_use = |code: &str, message: &str| {
            let refusal = Refusal { code: code.into(), message: message.into(), ..Refusal::default() };
            is_name_in_use(&refusal.into())
        };
        let scheduled =
            "You can't create this secret because a secret with this name is already scheduled for deletion.";
        assert!(in_use("InvalidRequestException", scheduled) && in_use("ResourceExistsException", "It exists."));
        assert!(!in_use("InvalidRequestException", "You can't do that."));
    }

    #[test]
    fn a_generated_login_is_json_that_rds_takes_and_never_the_same() {
        let (one, other) = (login("payments_admin", 40), login("payments_admin", 40));
        assert_ne!(one.expose_secret(), other.expose_secret());
        let value: serde_json::Value = serde_json::from_str(one.expose_secret()).unwrap();
        assert_eq!(value["username"], "payments_admin");
        let password = value["password"].as_str().unwrap();
        assert_eq!(password.len(), 40);
        assert!(password.chars().all(|c| c.is_ascii_graphic() && !"/@\"'\\".contains(c)), "{password}");
    }

    /// `sm.secret.content`
    #[test]
    fn a_secret_holds_a_login_and_no_host() {
        let value: serde_json::Value = serde_json::from_str(login("payments_admin", 40).expose_secret()).unwrap();
        let fields: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, BTreeSet::from(["password", "username"]));
    }

    /// R24: the value shows in no debug form.
    #[test]
    fn the_value_shows_nowhere() {
        let value = login("payments_admin", 40);
        let input = aws_sdk_secretsmanager::operation::create_secret::CreateSecretInput::builder()
            .secret_string(value.expose_secret());
        let shown = format!("{value:?} {input:?} {:?}", input.clone().build());
        assert!(!shown.contains(value.expose_secret()) && !shown.contains("payments_admin"), "{shown}");
    }
}
