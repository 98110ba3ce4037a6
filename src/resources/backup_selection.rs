//! `backup_selection`: which clusters a backup plan backs up, and the role that does it.
//!
//! Facts: `bk.selection.create` (a new role is refused for up to two minutes), `bk.optin` (the account has to be
//! opted in to Aurora, which the preflight checks), `bk.aurora-global`, `bk.read`, `bk.delete.order` (before its plan; an absent one is
//! refused as invalid). Carries no tags: it is found by its id, else by its name within its plan.
//! Replacement: everything. Slow: nothing.

use aws_sdk_backup::types::BackupSelection as Found;
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::error::Result;
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{BackupPlanId, BackupSelectionId, ClusterArn, Ref, RefSet, RoleArn};

/// The kind.
#[derive(Debug)]
pub struct Selection;

/// The desired properties of a selection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectionSpec {
    /// The plan it is part of.
    pub plan: Ref<BackupPlanId>,
    /// The name.
    pub name: String,
    /// The role that makes the backups.
    pub role: Ref<RoleArn>,
    /// The Aurora clusters that are backed up.
    pub clusters: RefSet<ClusterArn>,
}

outputs! {
    /// What is known of a selection once it exists.
    pub struct SelectionOutputs of Selection {
        /// The id.
        id: BackupSelectionId,
    }
}

impl Kind for Selection {
    type Spec = SelectionSpec;
    type Outputs = SelectionOutputs;

    const TRAITS: Traits = Traits {
        name: "backup_selection",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["plan", "name", "role", "clusters"],
        locked_by: Some("plan"),
        expected: Expected::seconds(10, 2, 2),
        permissions: Permissions {
            read: &["backup:GetBackupSelection", "backup:ListBackupSelections"],
            change: &[
                "backup:CreateBackupSelection",
                "backup:DeleteBackupSelection",
                "iam:PassRole",
                "iam:CreateServiceLinkedRole",
            ],
        },
        retries: &[
            Retry::seconds("backup:CreateBackupSelection", "InvalidParameterValueException", "cannot be assumed", 120),
            Retry::seconds(
                "backup:CreateBackupSelection",
                "InvalidParameterValueException",
                "not authorized to call",
                120,
            ),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::named("plan"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context
            .each(wanted, |wanted| async {
                let Some(plan) = wanted.spec.plan.get() else { return Ok(None) };
                let id = match &wanted.outputs {
                    Some(outputs) => Some(outputs.id.clone()),
                    None => find_by_name(context, plan, &wanted.spec.name).await?,
                };
                match id {
                    Some(id) => find(context, plan, id, &wanted.spec).await,
                    None => Ok(None),
                }
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &SelectionSpec, object: Option<Object<Self>>) -> Result<SelectionOutputs> {
        if let Some(object) = object {
            return Ok(object.outputs);
        }
        let clients = task.clients();
        let selection = Found::builder()
            .selection_name(&spec.name)
            .iam_role_arn(spec.role.known())
            .set_resources(Some(spec.clusters.known().map(String::from).collect()))
            .build()
            .map_err(|error| Error::Failed(error.to_string()))?;
        let created = task
            .call("backup:CreateBackupSelection", || {
                let request = clients.backup().create_backup_selection().backup_plan_id(spec.plan.known());
                request.backup_selection(selection.clone()).creator_request_id(task.token).send()
            })
            .await;
        let id = match created {
            Ok(created) => created.selection_id.map(BackupSelectionId::from),
            // One of an earlier try: the plan it is in is ours.
            Err(error) if error.is(&["AlreadyExistsException"]) => {
                find_by_name(task, spec.plan.known(), &spec.name).await?
            }
            Err(error) => return Err(error),
        };
        let id = id.ok_or_else(|| Error::incomplete("backup:CreateBackupSelection", "SelectionId"))?;
        let outputs = SelectionOutputs { id };
        task.identified(&outputs).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &SelectionSpec, outputs: &SelectionOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("backup:DeleteBackupSelection", || {
                let request = clients.backup().delete_backup_selection();
                request.backup_plan_id(spec.plan.known()).selection_id(&outputs.id).send()
            })
            .await;
        match deleted {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

/// A selection that is not there, or whose plan is not there.
fn is_absent(error: &Error) -> bool {
    error.is_gone() || error.is(&["InvalidParameterValueException"])
}

async fn find_by_name(context: &Context, plan: &BackupPlanId, name: &str) -> Result<Option<BackupSelectionId>> {
    let clients = context.clients();
    let found = list::all(
        context,
        "backup:ListBackupSelections",
        |token| clients.backup().list_backup_selections().backup_plan_id(plan).set_next_token(token).send(),
        |page| (page.backup_selections_list.unwrap_or_default(), page.next_token),
    )
    .await;
    match found {
        Ok(found) => {
            let selection = found.into_iter().find(|selection| selection.selection_name() == Some(name));
            Ok(selection.and_then(|selection| selection.selection_id).map(BackupSelectionId::from))
        }
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn find(
    context: &Context,
    plan: &BackupPlanId,
    id: BackupSelectionId,
    wanted: &SelectionSpec,
) -> Result<Option<Object<Selection>>> {
    let clients = context.clients();
    let answer = context
        .call("backup:GetBackupSelection", || {
            clients.backup().get_backup_selection().backup_plan_id(plan).selection_id(&id).send()
        })
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = answer.backup_selection().ok_or_else(|| Error::incomplete("backup:GetBackupSelection", "selection"))?;
    let spec = SelectionSpec {
        plan: wanted.plan.clone(),
        name: found.selection_name().to_owned(),
        role: Ref::Known(found.iam_role_arn().into()),
        clusters: found.resources().iter().cloned().map(ClusterArn::from).collect(),
    };
    Ok(Some(Object { spec, outputs: SelectionOutputs { id }, tags: Tags::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    /// `bk.read`
    #[test]
    fn a_selection_that_is_not_there_is_refused_as_invalid() {
        let absent = |code: &str| is_absent(&Refusal { code: code.into(), ..Refusal::default() }.into());
        assert!(absent("InvalidParameterValueException") && absent("ResourceNotFoundException"));
        assert!(!absent("AccessDeniedException"));
    }
}
