//! Backups of Aurora by AWS Backup: made in the primary region, copied to the secondary.
//!
//! The selection names the primary region's cluster: AWS Backup works within one region, and the copies are what the other
//! region has (`bk.aurora-global`). A copy is encrypted anew, with the key of the vault it goes to (`bk.vault.kms`).
//!
//! `down` removes the selection and the plan first, so that no backup begins any more; then the vaults with everything in them; the
//! role that AWS Backup deletes recovery points with goes last.

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::topology::{Inputs, Resource, Topology, expand};

    fn topology() -> Topology {
        let (plan, suffix) = (crate::plan::Plan::default(), "dev".parse().unwrap());
        let code: BTreeMap<_, _> =
            plan.functions.iter().map(|function| (function.name.to_string(), "digest".to_owned())).collect();
        expand(Inputs { engine_version: Some("16.6"), ..Inputs::plain(&plan, &suffix, &code) })
    }

    fn resource<'a>(topology: &'a Topology, address: &str) -> &'a Resource {
        &topology.resources[&address.parse().unwrap()]
    }

    /// A plan backs up what is in its own region.
    #[test]
    fn the_cluster_of_the_primary_region_is_selected_by_its_arn() {
        let topology = topology();
        let selections: Vec<_> =
            topology.resources.values().filter(|resource| resource.address.kind() == "backup_selection").collect();
        assert_eq!(selections.len(), 1);
        let selection = resource(&topology, "us-east-1/backup_selection/aurora");
        let clusters = selection.references.iter().filter(|address| address.kind() == "rds_cluster");
        assert_eq!(clusters.map(|cluster| cluster.scope().as_str()).collect::<Vec<_>>(), ["us-east-1"]);
        let fields: Vec<_> = selection.spec.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["plan", "name", "role", "clusters"]);
        assert!(selection.spec["clusters"][0]["$ref"].as_str().unwrap().ends_with("#arn"));
    }

    /// `bk.vault.kms`: the copy of a snapshot is encrypted with the key of its vault, and its region has no other.
    #[test]
    fn each_vault_has_the_key_of_its_region() {
        let topology = topology();
        for (region, key) in [("us-east-1", "kms_key"), ("us-east-2", "kms_replica_key")] {
            let vault = resource(&topology, &format!("{region}/backup_vault/backup"));
            assert_eq!(vault.spec["key"]["$ref"], format!("{region}/{key}/main#arn"));
        }
    }

    #[test]
    fn both_vaults_are_made_before_the_plan_and_go_before_the_role() {
        let topology = topology();
        let (plan, role) = (
            resource(&topology, "us-east-1/backup_plan/daily"),
            resource(&topology, "global/iam_role/backup-us-east-1"),
        );
        for region in ["us-east-1", "us-east-2"] {
            let vault = format!("{region}/backup_vault/backup").parse().unwrap();
            assert!(plan.references.contains(&vault) && role.delete_after.contains_key(&vault), "{vault}");
        }
    }
}
