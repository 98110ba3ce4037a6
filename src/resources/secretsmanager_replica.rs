//! `secretsmanager_replica`: the read-only copy of a secret in another region. Its scope is the copy's region.
//!
//! All its calls go to the secret's own region, which its ARN names; the copy has the secret's name, tags and six characters.
//! Facts: `sm.secret.replica-async` (the call succeeds even when copying fails; the status tells), `sm.secret.replica-readonly`,
//! `sm.secret.delete` (a secret with copies cannot go), `sm.secret.promote` and `dr.sm` (a copy set free in a disaster is
//! overwritten when it is ours).
//! Replacement: `secret`, `key`. Slow: nothing (up to a minute).

use aws_sdk_secretsmanager::types::{ReplicaRegionType, ReplicationStatusType, StatusType};
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted,
};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags, tags};
use crate::reference::{KeyArn, Ref, SecretArn};
use crate::{from_sdk_tags, outputs};

/// The kind.
#[derive(Debug)]
pub struct SecretReplica;

/// The desired properties of a copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecretReplicaSpec {
    /// The secret, in another region.
    pub secret: Ref<SecretArn>,
    /// The key of the copy's own region that encrypts it.
    pub key: Ref<KeyArn>,
}

outputs! {
    /// What is known of a copy once it exists.
    pub struct SecretReplicaOutputs of SecretReplica {
        /// The ARN: the secret's, in the copy's region.
        arn: SecretArn,
    }
}

impl Kind for SecretReplica {
    type Spec = SecretReplicaSpec;
    type Outputs = SecretReplicaOutputs;

    const TRAITS: Traits = Traits {
        name: "secretsmanager_replica",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["secret", "key"],
        locked_by: Some("secret"),
        expected: Expected::seconds(15, 5, 5),
        permissions: Permissions {
            read: &["secretsmanager:DescribeSecret"],
            change: &[
                "secretsmanager:ReplicateSecretToRegions",
                "secretsmanager:RemoveRegionsFromReplication",
                "secretsmanager:CreateSecret",
                "secretsmanager:TagResource",
                "kms:GenerateDataKey",
                "kms:Decrypt",
            ],
        },
        retries: &[Retry::seconds("secretsmanager:ReplicateSecretToRegions", "ResourceNotFoundException", "", 60)],
    };

    const PARENT: Option<Parent> = Some(Parent::named("secret"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context
            .each(wanted, |wanted| async {
                let Some(secret) = wanted.spec.secret.get() else { return Ok(None) };
                let Some(copy) = copy(context, secret).await? else { return Ok(None) };
                let key = Ref::Known(copy.kms_key_id().unwrap_or_default().into());
                let spec = SecretReplicaSpec { secret: wanted.spec.secret.clone(), key };
                Ok(Some(Object { spec, outputs: outputs(context, secret), tags: Tags::new() }))
            })
            .await
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &SecretReplicaSpec,
        object: Option<Object<Self>>,
    ) -> Result<SecretReplicaOutputs> {
        let secret = spec.secret.known();
        let outputs = outputs(task, secret);
        if object.is_none() {
            replicate(task, spec, false).await?;
            task.identified(&outputs).await?;
        }
        if let Err(error) = in_sync(task, secret).await {
            let there = tags_there(task, &outputs.arn).await?;
            if !overwrites(&error, &there, task.suffix()) {
                return Err(error);
            }
            replicate(task, spec, true).await?;
            in_sync(task, secret).await?;
        }
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &SecretReplicaSpec, _: &SecretReplicaOutputs) -> Result<Deletion> {
        let secret = spec.secret.known();
        let home = task.clients_in(region_of(secret));
        let region = task.scope().as_str();
        let removed = task
            .call("secretsmanager:RemoveRegionsFromReplication", || {
                let request = home.secretsmanager().remove_regions_from_replication();
                request.secret_id(secret).remove_replica_regions(region).send()
            })
            .await;
        match removed {
            Err(error) if error.is_gone() => return Ok(Deletion::Gone),
            // AWS refuses to remove a region in which there is no copy.
            Err(error) if error.is(&["InvalidParameterException"]) && copy(task, secret).await?.is_none() => {
                return Ok(Deletion::Gone);
            }
            removed => drop(removed?),
        }
        task.wait("the copy of the secret to be gone", Patience::minutes(5), || async {
            Ok(match copy(task, secret).await? {
                None => Look::Ready(Deletion::Gone),
                Some(copy) => Look::Pending(status(&copy)),
            })
        })
        .await
    }
}

async fn replicate(task: &Task<'_>, spec: &SecretReplicaSpec, overwrite: bool) -> Result<()> {
    let secret = spec.secret.known();
    let home = task.clients_in(region_of(secret));
    let region = ReplicaRegionType::builder().region(task.scope().as_str()).kms_key_id(spec.key.known()).build();
    task.call("secretsmanager:ReplicateSecretToRegions", || {
        let request = home.secretsmanager().replicate_secret_to_regions().secret_id(secret);
        request.add_replica_regions(region.clone()).force_overwrite_replica_secret(overwrite).send()
    })
    .await?;
    Ok(())
}

async fn in_sync(task: &Task<'_>, secret: &SecretArn) -> Result<()> {
    task.wait("the copy of the secret to be in sync", Patience::seconds(300, 5), || async {
        let copy = copy(task, secret).await?;
        judge(copy.as_ref(), &format!("the secret {secret} could not be copied to {}", task.scope()))
    })
    .await
}

/// The request to copy succeeds whatever comes of it; the status tells (`sm.secret.replica-async`).
fn judge(copy: Option<&ReplicationStatusType>, failure: &str) -> Result<Look<()>> {
    let Some(copy) = copy else { return Ok(Look::Pending("not begun".to_owned())) };
    match copy.status() {
        Some(StatusType::InSync) => Ok(Look::Ready(())),
        Some(StatusType::Failed) => {
            let reason = copy.status_message().unwrap_or("AWS gives no reason");
            Err(Error::Failed(format!("{failure}: {reason}")))
        }
        _ => Ok(Look::Pending(status(copy))),
    }
}

/// Copying fails where the name is taken. A copy of ours that was set free has our tags and may be overwritten
/// (`sm.secret.promote`).
fn overwrites(error: &Error, there: &Tags, suffix: &str) -> bool {
    matches!(error, Error::Failed(_)) && there.get(tags::DEPLOYMENT).is_some_and(|owner| owner == suffix)
}

fn status(copy: &ReplicationStatusType) -> String {
    copy.status().map_or("unknown", StatusType::as_str).to_owned()
}

/// The tags of the secret of this name in the copy's region; none without one.
async fn tags_there(task: &Task<'_>, arn: &SecretArn) -> Result<Tags> {
    let clients = task.clients();
    let name = name_of(arn);
    let found = task
        .call("secretsmanager:DescribeSecret", || clients.secretsmanager().describe_secret().secret_id(name).send())
        .await;
    match found {
        Ok(secret) => Ok(from_sdk_tags!(secret.tags())),
        Err(error) if error.is_gone() => Ok(Tags::new()),
        Err(error) => Err(error),
    }
}

/// What the secret says about its copy in this scope.
async fn copy(context: &Context, secret: &SecretArn) -> Result<Option<ReplicationStatusType>> {
    let home = context.clients_in(region_of(secret));
    let answer = context
        .call("secretsmanager:DescribeSecret", || home.secretsmanager().describe_secret().secret_id(secret).send())
        .await;
    match answer {
        Ok(secret) => {
            let region = Some(context.scope().as_str());
            let mut copies = secret.replication_status.unwrap_or_default().into_iter();
            Ok(copies.find(|copy| copy.region() == region))
        }
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

fn outputs(context: &Context, secret: &SecretArn) -> SecretReplicaOutputs {
    let arn = secret.as_str().replacen(region_of(secret), context.scope().as_str(), 1);
    SecretReplicaOutputs { arn: arn.into() }
}

/// The region in a secret's ARN.
fn region_of(secret: &SecretArn) -> &str {
    secret.as_str().split(':').nth(3).unwrap_or_default()
}

/// The name in a secret's ARN, without the six characters that AWS appends.
fn name_of(secret: &SecretArn) -> &str {
    let last = secret.as_str().rsplit(':').next().unwrap_or_default();
    last.rsplit_once('-').map_or(last, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_and_name_are_read_from_the_arn() {
        let arn = SecretArn::from("arn:aws:secretsmanager:us-east-1:123456789012:secret:dr-aurora-dev-AbCdEf");
        assert_eq!(region_of(&arn), "us-east-1");
        assert_eq!(name_of(&arn), "dr-aurora-dev");
    }

    /// `sm.secret.replica-async`
    #[test]
    fn a_copy_is_there_when_its_status_says_so() {
        let copy = |status| ReplicationStatusType::builder().status(status).status_message("name taken").build();
        let judge = |copy: Option<ReplicationStatusType>| judge(copy.as_ref(), "not copied");
        for copy in [None, Some(copy(StatusType::InProgress))] {
            assert!(matches!(judge(copy), Ok(Look::Pending(_))));
        }
        assert!(matches!(judge(Some(copy(StatusType::InSync))), Ok(Look::Ready(()))));
        let failed = judge(Some(copy(StatusType::Failed))).unwrap_err();
        assert!(matches!(&failed, Error::Failed(told) if told == "not copied: name taken"), "{failed}");
    }

    /// `sm.secret.promote`
    #[test]
    fn only_a_copy_of_ours_that_was_set_free_is_overwritten() {
        let of = |suffix: &str| Tags::from([(tags::DEPLOYMENT.to_owned(), suffix.to_owned())]);
        let failed = Error::Failed("name taken".into());
        assert!(overwrites(&failed, &of("dev"), "dev"));
        assert!(!overwrites(&failed, &of("prod"), "dev") && !overwrites(&failed, &Tags::new(), "dev"));
        assert!(!overwrites(&Error::Interrupted, &of("dev"), "dev"));
    }
}
