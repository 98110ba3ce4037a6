//! `backup_vault`: where a region's recovery points lie.
//!
//! Facts: `bk.vault.create` (the key cannot change), `bk.delete.points`, `bk.delete.fake-success` (a point that only looks
//! deleted is `EXPIRED`), `bk.delete.vault-lag`, `bk.delete.lock`. Deleting a vault deletes all its recovery points first and
//! waits until they are gone (R5); backup jobs that would bring new ones are stopped, copies on their way are waited for.
//! Replacement: `name`, `key`. Slow: deletion, with recovery points in it.

use aws_sdk_backup::types::{BackupJobState, BackupVaultListMember, RecoveryPointByBackupVault, RecoveryPointStatus};
use serde::{Deserialize, Serialize};

use super::backup;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Task, Traits, Wanted, list};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::outputs;
use crate::reference::{BackupVaultArn, BackupVaultName, KeyArn, Ref};

/// The kind.
#[derive(Debug)]
pub struct Vault;

/// The desired properties of a vault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VaultSpec {
    /// The name.
    pub name: String,
    /// The key that encrypts its recovery points.
    pub key: Ref<KeyArn>,
}

outputs! {
    /// What is known of a vault once it exists.
    pub struct VaultOutputs of Vault {
        /// The name.
        name: BackupVaultName,
        /// The ARN.
        arn: BackupVaultArn,
    }
}

impl Kind for Vault {
    type Spec = VaultSpec;
    type Outputs = VaultOutputs;

    const TRAITS: Traits = Traits {
        name: "backup_vault",
        taggable: true,
        data_bearing: true,
        adoption: Adoption::ByTag,
        immutable: &["name", "key"],
        locked_by: None,
        expected: Expected::seconds(3, 2, 60),
        permissions: Permissions {
            read: &["backup:ListBackupVaults", "backup:ListTags", "tag:GetResources"],
            change: &[
                "backup:CreateBackupVault",
                "backup-storage:MountCapsule",
                "backup:TagResource",
                "backup:UntagResource",
                "backup:ListBackupJobs",
                "backup:StopBackupJob",
                "backup:ListRecoveryPointsByBackupVault",
                "backup:DeleteRecoveryPoint",
                "backup:DeleteBackupVault",
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:GenerateDataKey",
                "kms:RetireGrant",
                "iam:CreateServiceLinkedRole",
            ],
        },
        retries: &[],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let found = vaults(context).await?;
        context
            .each(wanted, |wanted| {
                let name = Some(wanted.spec.name.as_str());
                let vault = found.iter().find(|vault| vault.backup_vault_name() == name);
                async move {
                    match vault {
                        Some(vault) => object(context, vault).await.map(Some),
                        None => Ok(None),
                    }
                }
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &VaultSpec, object: Option<Object<Self>>) -> Result<VaultOutputs> {
        let object = match object {
            Some(object) => object,
            None => match create(task, spec).await {
                Err(error) if error.is(&["AlreadyExistsException"]) => reclaim(task, spec).await?,
                created => created?,
            },
        };
        backup::sync_tags(task, object.outputs.arn.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &VaultSpec, outputs: &VaultOutputs) -> Result<Deletion> {
        let name = outputs.name.as_str();
        stop_jobs(task, name).await?;
        let clients = task.clients();
        task.wait("the vault to be empty and gone", Patience::minutes(60), || async {
            let Some(points) = recovery_points(task, name).await? else { return Ok(Look::Ready(Deletion::Gone)) };
            if !points.is_empty() {
                delete_points(task, name, &points).await?;
                return Ok(Look::Pending(format!("{} recovery points in it", points.len())));
            }
            let deleted = task
                .call("backup:DeleteBackupVault", || {
                    clients.backup().delete_backup_vault().backup_vault_name(name).send()
                })
                .await;
            match deleted {
                Ok(_) => Ok(Look::Ready(Deletion::Gone)),
                Err(error) if error.is_gone() => Ok(Look::Ready(Deletion::Gone)),
                // AWS counts the last points for a while after they are gone, and copies may still arrive.
                Err(error) if error.says("InvalidRequestException", "recovery points") => {
                    Ok(Look::Pending("AWS still counts recovery points in it".to_owned()))
                }
                Err(error) => Err(error),
            }
        })
        .await
    }
}

async fn create(task: &Task<'_>, spec: &VaultSpec) -> Result<Object<Vault>> {
    let clients = task.clients();
    let created = task
        .call("backup:CreateBackupVault", || {
            let request = clients.backup().create_backup_vault().backup_vault_name(&spec.name);
            let request = request.encryption_key_arn(spec.key.known()).creator_request_id(task.token);
            request.set_backup_vault_tags(Some(task.tags.clone().into_iter().collect())).send()
        })
        .await?;
    let arn =
        created.backup_vault_arn().ok_or_else(|| Error::incomplete("backup:CreateBackupVault", "BackupVaultArn"))?;
    let outputs = VaultOutputs { name: spec.name.as_str().into(), arn: arn.into() };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

/// The name was there although nothing was observed.
async fn reclaim(task: &Task<'_>, spec: &VaultSpec) -> Result<Object<Vault>> {
    let found = vaults(task).await?;
    let name = Some(spec.name.as_str());
    if let Some(vault) = found.iter().find(|vault| vault.backup_vault_name() == name) {
        let object = object(task, vault).await?;
        if task.owns(&object.tags) {
            return Ok(object);
        }
    }
    Err(Error::Taken(format!(
        "a backup vault named {} exists in {} and does not belong to deployment {}; delete it, or choose another suffix",
        spec.name,
        task.scope(),
        task.suffix()
    )))
}

async fn vaults(context: &Context) -> Result<Vec<BackupVaultListMember>> {
    let clients = context.clients();
    list::all(
        context,
        "backup:ListBackupVaults",
        |token| clients.backup().list_backup_vaults().set_next_token(token).send(),
        |page| (page.backup_vault_list.unwrap_or_default(), page.next_token),
    )
    .await
}

async fn object(context: &Context, vault: &BackupVaultListMember) -> Result<Object<Vault>> {
    let told = |field: Option<&str>, name: &str| {
        field.map(str::to_owned).ok_or_else(|| Error::incomplete("backup:ListBackupVaults", name))
    };
    let name = told(vault.backup_vault_name(), "BackupVaultName")?;
    let arn = told(vault.backup_vault_arn(), "BackupVaultArn")?;
    let key = Ref::Known(told(vault.encryption_key_arn(), "EncryptionKeyArn")?.into());
    let tags = backup::list_tags(context, &arn).await?;
    let outputs = VaultOutputs { name: name.as_str().into(), arn: arn.into() };
    Ok(Object { spec: VaultSpec { name, key }, outputs, tags })
}

/// Stops the backups that would end in the vault.
async fn stop_jobs(task: &Task<'_>, vault: &str) -> Result<()> {
    let clients = task.clients();
    for state in [BackupJobState::Created, BackupJobState::Pending, BackupJobState::Running] {
        let jobs = list::all(
            task,
            "backup:ListBackupJobs",
            |token| {
                let request = clients.backup().list_backup_jobs().by_backup_vault_name(vault).by_state(state.clone());
                request.set_next_token(token).send()
            },
            |page| (page.backup_jobs.unwrap_or_default(), page.next_token),
        )
        .await?;
        for id in jobs.iter().filter_map(|job| job.backup_job_id()) {
            let stopped =
                task.call("backup:StopBackupJob", || clients.backup().stop_backup_job().backup_job_id(id).send()).await;
            match stopped {
                // It has ended in the meantime, or it is of a kind that cannot be stopped: its point is deleted when it is there.
                Err(error) if error.is_gone() || error.is(&["InvalidRequestException"]) => {}
                stopped => drop(stopped?),
            }
        }
    }
    Ok(())
}

/// The recovery points in a vault; `None` when there is no such vault. AWS says "denied" for a vault that never was (`bk.read`).
async fn recovery_points(task: &Task<'_>, vault: &str) -> Result<Option<Vec<RecoveryPointByBackupVault>>> {
    let clients = task.clients();
    let found = list::all(
        task,
        "backup:ListRecoveryPointsByBackupVault",
        |token| {
            let request = clients.backup().list_recovery_points_by_backup_vault().backup_vault_name(vault);
            request.set_next_token(token).send()
        },
        |page| (page.recovery_points.unwrap_or_default(), page.next_token),
    )
    .await;
    match found {
        Ok(points) => Ok(Some(points)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) if error.is(&["AccessDeniedException"]) => {
            let vaults = vaults(task).await?;
            let exists = vaults.iter().any(|known| known.backup_vault_name() == Some(vault));
            if exists { Err(error) } else { Ok(None) }
        }
        Err(error) => Err(error),
    }
}

/// The ARNs of the points that are to be deleted. One that is `EXPIRED` will not go: its deletion was accepted, and then AWS lacked
/// the rights for it (`bk.delete.fake-success`).
fn deletable(points: &[RecoveryPointByBackupVault]) -> Result<Vec<&str>> {
    if let Some(point) = points.iter().find(|point| point.status() == Some(&RecoveryPointStatus::Expired)) {
        return Err(Error::Blocked(format!(
            "AWS Backup cannot delete recovery point {}: {}; give the role that made it the permission to delete it, then run \
             `down` again",
            point.recovery_point_arn().unwrap_or_default(),
            point.status_message().unwrap_or("its role lost its permissions")
        )));
    }
    let waiting = points.iter().filter(|point| point.status() != Some(&RecoveryPointStatus::Deleting));
    Ok(waiting.filter_map(|point| point.recovery_point_arn()).collect())
}

/// Tells AWS to delete the points that it is not deleting already.
async fn delete_points(task: &Task<'_>, vault: &str, points: &[RecoveryPointByBackupVault]) -> Result<()> {
    let clients = &task.clients();
    let waiting = deletable(points)?;
    task.each(&waiting, |arn| async move {
        let deleted = task
            .call("backup:DeleteRecoveryPoint", || {
                clients.backup().delete_recovery_point().backup_vault_name(vault).recovery_point_arn(*arn).send()
            })
            .await;
        match deleted {
            // A point that is busy is told to go again at the next look.
            Err(error) if error.is_gone() || error.is(&["InvalidResourceStateException"]) => Ok(()),
            deleted => deleted.map(drop),
        }
    })
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `bk.delete.fake-success`
    #[test]
    fn a_point_that_only_looks_deleted_stops_the_deletion_and_is_named() {
        let point = |arn: &str, status| {
            let point = RecoveryPointByBackupVault::builder().recovery_point_arn(arn).status(status);
            point.status_message("the role is gone").build()
        };
        let fine = [point("one", RecoveryPointStatus::Completed), point("two", RecoveryPointStatus::Deleting)];
        assert_eq!(deletable(&fine).unwrap(), ["one"]);
        let error =
            deletable(&[fine.to_vec(), vec![point("three", RecoveryPointStatus::Expired)]].concat()).unwrap_err();
        assert!(matches!(error, Error::Blocked(_)), "{error}");
        assert!(error.to_string().contains("three: the role is gone"), "{error}");
    }

    /// `bk.vault.create`
    #[test]
    fn neither_name_nor_key_of_a_vault_can_change() {
        assert_eq!(Vault::TRAITS.immutable, ["name", "key"]);
    }
}
