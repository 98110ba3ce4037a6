//! Backups of Aurora by AWS Backup: made in the primary region, copied to the secondary.
//!
//! The selection names the primary region's cluster: AWS Backup works within one region, and the copies are what the other
//! region has (`bk.aurora-global`). `down` removes the selection and the plan first, so that no backup begins any more; then
//! the vaults with everything in them; the role that AWS Backup deletes recovery points with goes last.

use crate::plan::Side;
use crate::reference::{Handle, KeyArn, Ref};
use crate::resources::backup_plan::{Copy, Plan, PlanSpec, Rule};
use crate::resources::backup_selection::{Selection, SelectionSpec};
use crate::resources::backup_vault::{Vault, VaultSpec};
use crate::resources::iam_role::Role;
use crate::resources::rds_cluster::Cluster;

use super::{Builder, Sides};

/// What backups need of other stacks.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    /// Each region's key, which encrypts its vault.
    pub(super) keys: Sides<Ref<KeyArn>>,
    /// The role that makes, copies and deletes backups.
    pub(super) role: Handle<Role>,
    /// The Aurora cluster of the primary region.
    pub(super) cluster: Handle<Cluster>,
}

/// Adds the vaults of both regions and what fills them.
pub(super) fn build(builder: &mut Builder<'_>, needs: &Needs) {
    let plan = &builder.plan().backup;
    let vaults = Sides::build(|side| {
        let name = builder.names().regional("backup", builder.region(side));
        let spec = VaultSpec { name, key: needs.keys.side(side).clone() };
        let vault = builder.add::<Vault>(builder.scope(side), "backup", spec);
        let reason = "AWS Backup deletes recovery points with this role, and without it only seems to";
        builder.delete_first(&vault, &needs.role, reason);
        vault
    });

    let primary = builder.scope(Side::Primary);
    let name = builder.names().regional("backup", builder.region(Side::Primary));
    let rule = Rule {
        name: "daily".to_owned(),
        vault: vaults.primary.name(),
        schedule: plan.schedule.to_string(),
        start_window_minutes: plan.start_window_minutes.into(),
        completion_window_minutes: plan.completion_window_minutes.into(),
        retention_days: plan.retention_days.into(),
        copies: vec![Copy { vault: vaults.secondary.arn(), retention_days: plan.copy_retention_days.into() }],
    };
    let backup_plan = builder.add::<Plan>(primary.clone(), "daily", PlanSpec { name: name.clone(), rules: vec![rule] });
    let spec = SelectionSpec {
        plan: backup_plan.id(),
        name,
        role: needs.role.arn(),
        clusters: [needs.cluster.arn()].into_iter().collect(),
    };
    builder.add::<Selection>(primary, "aurora", spec);
}
