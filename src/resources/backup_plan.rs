//! `backup_plan`: when backups are made, how long they are kept, and where they are copied to.
//!
//! Facts: `bk.plan.create`, `bk.plan.update` (all rules are replaced, a new version is made), `bk.copy`, `bk.read`,
//! `bk.delete.order` (selections first). A plan's name is not unique: it is found by its id, else by its name and its tags.
//! Replacement: nothing. Slow: nothing.

use aws_sdk_backup::operation::get_backup_plan::GetBackupPlanOutput;
use aws_sdk_backup::types::{BackupPlan as Found, BackupPlanInput, BackupRule, BackupRuleInput, CopyAction, Lifecycle};
use serde::{Deserialize, Serialize};

use super::backup;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::error::Result;
use crate::aws::{Error, tags};
use crate::outputs;
use crate::reference::{BackupPlanId, BackupVaultArn, BackupVaultName, Ref};

/// The kind.
#[derive(Debug)]
pub struct Plan;

/// The desired properties of a backup plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanSpec {
    /// The name.
    pub name: String,
    /// When and where backups are made.
    pub rules: Vec<Rule>,
}

/// One schedule of a backup plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The name.
    pub name: String,
    /// The vault the backups go to.
    pub vault: Ref<BackupVaultName>,
    /// When a backup begins, a cron expression in UTC.
    pub schedule: String,
    /// Minutes within which it must have begun, at least 60.
    pub start_window_minutes: i64,
    /// Minutes within which it must have ended.
    pub completion_window_minutes: i64,
    /// Days it is kept.
    pub retention_days: i64,
    /// Where it is copied to.
    pub copies: Vec<Copy>,
}

/// A copy that is made of every backup of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// The vault, in another region.
    pub vault: Ref<BackupVaultArn>,
    /// Days the copy is kept.
    pub retention_days: i64,
}

outputs! {
    /// What is known of a backup plan once it exists.
    pub struct PlanOutputs of Plan {
        /// The id.
        id: BackupPlanId,
    }
}

impl Kind for Plan {
    type Spec = PlanSpec;
    type Outputs = PlanOutputs;

    const TRAITS: Traits = Traits {
        name: "backup_plan",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &[],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["backup:GetBackupPlan", "backup:ListBackupPlans", "backup:ListTags", "tag:GetResources"],
            change: &[
                "backup:CreateBackupPlan",
                "backup:UpdateBackupPlan",
                "backup:DeleteBackupPlan",
                "backup:TagResource",
                "backup:UntagResource",
            ],
        },
        retries: &[Retry::seconds(
            "backup:DeleteBackupPlan",
            "InvalidRequestException",
            "selections must be deleted",
            120,
        )],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context
            .each(wanted, |wanted| async {
                match &wanted.outputs {
                    Some(outputs) => find(context, outputs.id.as_str()).await,
                    None => find_by_name(context, wanted).await,
                }
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &PlanSpec, object: Option<Object<Self>>) -> Result<PlanOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let id = object.outputs.id.as_str();
        if object.spec != *spec {
            let clients = task.clients();
            let plan = input(spec)?;
            task.call("backup:UpdateBackupPlan", || {
                clients.backup().update_backup_plan().backup_plan_id(id).backup_plan(plan.clone()).send()
            })
            .await?;
        }
        backup::sync_tags(task, &arn(task, id), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &PlanSpec, outputs: &PlanOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let id = outputs.id.as_str();
        let deleted = task
            .call("backup:DeleteBackupPlan", || clients.backup().delete_backup_plan().backup_plan_id(id).send())
            .await;
        match deleted {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn create(task: &Task<'_>, spec: &PlanSpec) -> Result<Object<Plan>> {
    let clients = task.clients();
    let plan = input(spec)?;
    let created = task
        .call("backup:CreateBackupPlan", || {
            let request = clients.backup().create_backup_plan().backup_plan(plan.clone());
            let request = request.creator_request_id(task.token);
            request.set_backup_plan_tags(Some(task.tags.clone().into_iter().collect())).send()
        })
        .await?;
    let id = created.backup_plan_id().ok_or_else(|| Error::incomplete("backup:CreateBackupPlan", "BackupPlanId"))?;
    let outputs = PlanOutputs { id: id.into() };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

async fn find(context: &Context, id: &str) -> Result<Option<Object<Plan>>> {
    let clients = context.clients();
    let answer =
        context.call("backup:GetBackupPlan", || clients.backup().get_backup_plan().backup_plan_id(id).send()).await;
    let Some(answer) = present(answer)? else { return Ok(None) };
    let plan = answer.backup_plan().ok_or_else(|| Error::incomplete("backup:GetBackupPlan", "BackupPlan"))?;
    let tags = backup::list_tags(context, &arn(context, id)).await?;
    Ok(Some(Object { spec: described(plan)?, outputs: PlanOutputs { id: id.into() }, tags }))
}

/// The plan, unless it is gone: AWS goes on telling of one that is deleted (`bk.read`).
fn present(answer: Result<GetBackupPlanOutput>) -> Result<Option<GetBackupPlanOutput>> {
    match answer {
        Ok(plan) => Ok(Some(plan).filter(|plan| plan.deletion_date().is_none())),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn find_by_name(context: &Context, wanted: &Wanted<Plan>) -> Result<Option<Object<Plan>>> {
    let clients = context.clients();
    let plans = list::all(
        context,
        "backup:ListBackupPlans",
        |token| clients.backup().list_backup_plans().set_next_token(token).send(),
        |page| (page.backup_plans_list.unwrap_or_default(), page.next_token),
    )
    .await?;
    let address = wanted.address.to_string();
    let named = plans.iter().filter(|plan| plan.backup_plan_name() == Some(wanted.spec.name.as_str()));
    for id in named.filter_map(|plan| plan.backup_plan_id()) {
        let object = find(context, id).await?;
        if object.as_ref().is_some_and(|object| object.tags.get(tags::ADDRESS) == Some(&address)) {
            return Ok(object);
        }
    }
    Ok(None)
}

fn arn(context: &Context, id: &str) -> String {
    format!("arn:aws:backup:{}:{}:backup-plan:{id}", context.scope(), context.account())
}

fn input(spec: &PlanSpec) -> Result<BackupPlanInput> {
    let invalid = |error: aws_smithy_types::error::operation::BuildError| Error::Failed(error.to_string());
    let rules = spec.rules.iter().map(rule_input).collect::<std::result::Result<_, _>>().map_err(invalid)?;
    BackupPlanInput::builder().backup_plan_name(&spec.name).set_rules(Some(rules)).build().map_err(invalid)
}

fn rule_input(rule: &Rule) -> std::result::Result<BackupRuleInput, aws_smithy_types::error::operation::BuildError> {
    let copy = |copy: &Copy| {
        let action = CopyAction::builder().destination_backup_vault_arn(copy.vault.known());
        action.lifecycle(lifecycle(copy.retention_days)).build()
    };
    BackupRuleInput::builder()
        .rule_name(&rule.name)
        .target_backup_vault_name(rule.vault.known())
        .schedule_expression(&rule.schedule)
        .start_window_minutes(rule.start_window_minutes)
        .completion_window_minutes(rule.completion_window_minutes)
        .lifecycle(lifecycle(rule.retention_days))
        .set_copy_actions(Some(rule.copies.iter().map(copy).collect::<std::result::Result<_, _>>()?))
        .build()
}

fn lifecycle(days: i64) -> Lifecycle {
    Lifecycle::builder().delete_after_days(days).build()
}

fn described(plan: &Found) -> Result<PlanSpec> {
    let rules = plan.rules().iter().map(described_rule).collect::<Result<_>>()?;
    Ok(PlanSpec { name: plan.backup_plan_name().to_owned(), rules })
}

fn described_rule(rule: &BackupRule) -> Result<Rule> {
    fn told<T>(field: Option<T>, name: &str) -> Result<T> {
        field.ok_or_else(|| Error::incomplete("backup:GetBackupPlan", name))
    }
    // A rule of somebody else's making may keep backups for ever.
    let days = |lifecycle: Option<&Lifecycle>| lifecycle.and_then(Lifecycle::delete_after_days).unwrap_or_default();
    let copy = |action: &CopyAction| Copy {
        vault: Ref::Known(action.destination_backup_vault_arn().into()),
        retention_days: days(action.lifecycle()),
    };
    Ok(Rule {
        name: rule.rule_name().to_owned(),
        vault: Ref::Known(rule.target_backup_vault_name().into()),
        schedule: told(rule.schedule_expression(), "ScheduleExpression")?.to_owned(),
        start_window_minutes: told(rule.start_window_minutes(), "StartWindowMinutes")?,
        completion_window_minutes: told(rule.completion_window_minutes(), "CompletionWindowMinutes")?,
        retention_days: days(rule.lifecycle()),
        copies: rule.copy_actions().iter().map(copy).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_backup::primitives::DateTime;

    /// `bk.read`
    #[test]
    fn a_plan_with_a_date_of_deletion_is_not_there() {
        let deleted = GetBackupPlanOutput::builder().deletion_date(DateTime::from_secs(1)).build();
        assert!(present(Ok(deleted)).unwrap().is_none());
        assert!(present(Ok(GetBackupPlanOutput::builder().build())).unwrap().is_some());
    }

    /// What is sent and what AWS tells of it are the same plan.
    #[test]
    fn a_plan_as_desired_is_equal_to_its_spec() {
        let copy = Copy { vault: Ref::Known("arn:aws:backup:us-east-2:1:backup-vault:v".into()), retention_days: 7 };
        let rule = Rule {
            name: "daily".into(),
            vault: Ref::Known("v".into()),
            schedule: "cron(0 5 * * ? *)".into(),
            start_window_minutes: 60,
            completion_window_minutes: 360,
            retention_days: 35,
            copies: vec![copy],
        };
        let spec = PlanSpec { name: "p".into(), rules: vec![rule] };
        let input = input(&spec).unwrap();
        let sent = &input.rules()[0];
        let told = BackupRule::builder()
            .rule_id("made up by AWS")
            .rule_name(sent.rule_name())
            .target_backup_vault_name(sent.target_backup_vault_name())
            .set_schedule_expression(sent.schedule_expression().map(str::to_owned))
            .schedule_expression_timezone("Etc/UTC")
            .set_start_window_minutes(sent.start_window_minutes())
            .set_completion_window_minutes(sent.completion_window_minutes())
            .set_lifecycle(sent.lifecycle().cloned())
            .set_copy_actions(Some(sent.copy_actions().to_vec()))
            .build()
            .unwrap();
        let lacking = BackupRule::builder().rule_name("daily").target_backup_vault_name("v").build().unwrap();
        let told = Found::builder().backup_plan_name(input.backup_plan_name()).rules(told).build().unwrap();
        assert_eq!(described(&told).unwrap(), spec);
        let error = described_rule(&lacking).unwrap_err().to_string();
        assert!(error.contains("backup:GetBackupPlan") && error.contains("ScheduleExpression"), "{error}");
    }
}
