//! `rds_cluster`: one region's Aurora PostgreSQL cluster, a member of a global cluster.
//!
//! The member made first founds the database: it gets the master user and the database's name. A later one takes both from
//! it and must send neither (`rds.secondary.must-not-send`); it must not be asked for before the founder's first instance is
//! up (`rds.secondary.order`, `rds.secondary.too-early-is-primary`), which its field `after` sees to.
//!
//! Who writes is runtime truth, which a failover moves, and never a difference (R21, `rds.failover.after`): nothing here is
//! compared that depends on it, nor what AWS fills in for a reader (`rds.secondary.read`). The version is the global cluster's
//! business, which upgrades all members in AWS's order; a member that is made anew gets that of the others.
//!
//! The master password lies in Secrets Manager only (`rds.primary.no-managed-password`). It is read when the cluster is made
//! and goes straight into the request, whose debug form hides it. AWS does not tell which secret a password came from; the
//! tag `drctl:master-secret` does, so that a secret made anew is a difference that sets the password.
//!
//! Facts: `rds.primary.create`, `rds.secondary.must-send`, `rds.secondary.presigned-url`, `rds.secondary.source-state`,
//! `rds.secondary.wait`, `rds.cluster.wait-create`, `rds.cluster.wait-update`, `rds.cluster.modify-conflict`, `rds.cluster.replace`,
//! `rds.cluster.read-quirks`, `rds.cluster.list`, `rds.cluster.delete`, `rds.cluster.delete-errors`, `rds.cluster.delete-wait`,
//! `rds.global.detach`, `rds.primary.join-only-at-create`, `x.kms-propagation` (the creation is tried again while the key is not
//! known everywhere), `rds.limits` (a full quota is final).
//! Replacement: `name`, `global_cluster`, `database`, `master_username`, `subnet_group`, `key`. Slow: everything.

use std::collections::BTreeSet;

use aws_sdk_rds::operation::create_db_cluster::builders::CreateDbClusterInputBuilder;
use aws_sdk_rds::types::{CloudwatchLogsExportConfiguration, DbCluster, Tag};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::rds;
use super::rds_global_cluster::others;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Token, Traits, Wanted,
};
use crate::aws::error::Result;
use crate::aws::wait::Look;
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{
    ClusterArn, ClusterId, ClusterParameterGroupName, DnsName, GlobalClusterId, InstanceId, KeyArn, Ref, RefSet,
    SecretArn, SecurityGroupId, SubnetGroupName,
};

/// The tag that says which secret the master password came from.
const MASTER_SECRET: &str = "drctl:master-secret";

/// The kind.
#[derive(Debug)]
pub struct Cluster;

/// The desired properties of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// The name, in lower case; different in each region.
    pub name: String,
    /// The global cluster it is a member of; none when somebody took it out.
    pub global_cluster: Option<Ref<GlobalClusterId>>,
    /// The founder's first instance, when this is a later member.
    pub after: Option<Ref<InstanceId>>,
    /// The exact version at creation, equal to the global cluster's.
    pub engine_version: String,
    /// The database the founder begins with.
    pub database: Option<String>,
    /// The name of the founder's master user.
    pub master_username: Option<String>,
    /// The secret that holds the founder's master password, as JSON with the field `password`.
    pub master_secret: Option<Ref<SecretArn>>,
    /// Where its instances may stand.
    pub subnet_group: Ref<SubnetGroupName>,
    /// Who may reach it.
    pub security_groups: RefSet<SecurityGroupId>,
    /// Its settings.
    pub parameter_group: Ref<ClusterParameterGroupName>,
    /// The key of its own region that encrypts its storage.
    pub key: Ref<KeyArn>,
    /// The TCP port.
    pub port: i32,
    /// Days of automatic backups, 1 to 35.
    pub backup_retention_days: i32,
    /// When the daily backup is made, in UTC: `07:00-09:00`.
    pub backup_window: String,
    /// When AWS may maintain it, in UTC: `sun:09:30-sun:10:30`.
    pub maintenance_window: String,
    /// The logs that go to CloudWatch Logs.
    pub log_exports: BTreeSet<String>,
    /// Whether AWS refuses to delete it.
    pub deletion_protection: bool,
    /// Whether it is deleted without a last snapshot.
    pub skip_final_snapshot: bool,
    /// Whether it is enrolled in Extended Support.
    #[serde(default = "rds::enrolled_by_default")]
    pub extended_support: bool,
}

outputs! {
    /// What is known of a cluster once it exists.
    pub struct ClusterOutputs of Cluster {
        /// The name.
        id: ClusterId,
        /// The ARN.
        arn: ClusterArn,
        /// Where writers connect, while this member is the one that writes.
        endpoint: DnsName,
        /// Where readers connect.
        reader_endpoint: DnsName,
    }
}

impl Kind for Cluster {
    type Spec = ClusterSpec;
    type Outputs = ClusterOutputs;

    const HOLDS: &'static [&'static str] = &["security_groups"];

    const ORDERING_CREATION: &'static [&'static str] = &["after"];

    const TRAITS: Traits = Traits {
        name: "rds_cluster",
        taggable: true,
        data_bearing: true,
        adoption: Adoption::ByTag,
        immutable: &["name", "global_cluster", "database", "master_username", "subnet_group", "key"],
        locked_by: Some("global_cluster"),
        expected: Expected::seconds(240, 120, 420),
        permissions: Permissions {
            read: &["rds:DescribeDBClusters", "rds:DescribeGlobalClusters"],
            change: &[
                "rds:CreateDBCluster",
                "rds:ModifyDBCluster",
                "rds:DeleteDBCluster",
                "rds:RemoveFromGlobalCluster",
                "rds:CreateDBClusterSnapshot",
                "rds:AddTagsToResource",
                "rds:RemoveTagsFromResource",
                "secretsmanager:GetSecretValue",
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:DescribeKey",
                "iam:CreateServiceLinkedRole",
            ],
        },
        retries: &[
            rds::LEAVE_BUSY[0],
            rds::LEAVE_BUSY[1],
            Retry::seconds("rds:CreateDBCluster", "InvalidDBClusterStateFault", "physical replication", 30 * 60),
            Retry::seconds("rds:CreateDBCluster", "InvalidGlobalClusterStateFault", "", 30 * 60),
            Retry::seconds("rds:CreateDBCluster", "KMSKeyNotAccessibleFault", "", 120),
            Retry::seconds("rds:ModifyDBCluster", "InvalidDBClusterStateFault", "", 300),
            Retry::seconds("rds:DeleteDBCluster", "InvalidDBClusterStateFault", "available state", 15 * 60),
            Retry::seconds("rds:DeleteDBCluster", "InvalidDBClusterStateFault", "part of a global cluster", 15 * 60),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let found = rds::clusters(context).await?;
        context
            .each(wanted, |wanted| {
                let name = Some(wanted.spec.name.as_str());
                let cluster = found.iter().find(|cluster| cluster.db_cluster_identifier() == name);
                let cluster = cluster.filter(|cluster| cluster.status() != Some("deleting"));
                async move {
                    let Some(cluster) = cluster else { return Ok(None) };
                    let mut object = object(cluster, &wanted.spec)?;
                    object.spec.global_cluster = membership(context, cluster, &wanted.spec).await?;
                    Ok(Some(object))
                }
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &ClusterSpec, object: Option<Object<Self>>) -> Result<ClusterOutputs> {
        let object = match object {
            Some(object) => object,
            None => match create(task, spec).await {
                Err(error) if error.is(&["DBClusterAlreadyExistsFault"]) => reclaim(task, spec).await?,
                created => created?,
            },
        };
        let mut outputs = available(task, &spec.name).await?;
        if Changes::between(&object.spec, spec) != Changes::default() {
            modify(task, &object.spec, spec).await?;
            outputs = available(task, &spec.name).await?;
        }
        sync_tags(task, spec, &object.tags).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &ClusterSpec, outputs: &ClusterOutputs) -> Result<Deletion> {
        let name = outputs.id.as_str();
        let clients = task.clients();
        let cluster = task
            .wait("the cluster to finish what it does", rds::PATIENCE, || async {
                let Some(cluster) = rds::cluster(task, &clients, name).await? else { return Ok(Look::Ready(None)) };
                let status = cluster.status().unwrap_or_default();
                let is_settled = rds::is_settled(status);
                Ok(if is_settled { Look::Ready(Some(cluster)) } else { Look::Pending(status.to_owned()) })
            })
            .await?;
        let Some(cluster) = cluster else { return Ok(Deletion::Gone) };
        if cluster.status() != Some("deleting") {
            rds::check_unprotected(&cluster)?;
            rds::leave_global_cluster(task, outputs.arn.as_str()).await?;
            send_delete(task, spec, name).await?;
        }
        task.wait("the cluster to be gone", rds::PATIENCE, || async {
            Ok(match rds::cluster(task, &clients, name).await? {
                None => Look::Ready(Deletion::Gone),
                Some(cluster) => Look::Pending(cluster.status.unwrap_or_default()),
            })
        })
        .await
    }
}

async fn create(task: &Task<'_>, spec: &ClusterSpec) -> Result<Object<Cluster>> {
    let clients = task.clients();
    let password = match &spec.master_secret {
        Some(secret) => Some(master_password(task, secret.known()).await?),
        None => None,
    };
    let others = others(task, global_cluster(spec).as_str(), &spec.engine_version).await?;
    let tags = rds::sdk_tags(&all_tags(task, spec));
    let operation = "rds:CreateDBCluster";
    // A copy of the writer's encrypted storage is asked for in the writer's region too (`rds.secondary.presigned-url`).
    let client = match others.writer_region.filter(|region| region != task.region()) {
        Some(source) => task.rds_reaching_into(&source, operation).await?,
        None => clients.rds().clone(),
    };
    let created = task
        .call(operation, || creation(spec, password.as_ref(), &tags).engine_version(&others.version).send_with(&client))
        .await?;
    let cluster = rds::told(created.db_cluster(), operation, "DBCluster")?;
    let outputs = outputs(cluster, operation)?;
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: all_tags(task, spec) })
}

fn creation(spec: &ClusterSpec, password: Option<&SecretString>, tags: &[Tag]) -> CreateDbClusterInputBuilder {
    CreateDbClusterInputBuilder::default()
        .db_cluster_identifier(&spec.name)
        .global_cluster_identifier(global_cluster(spec))
        .engine(rds::ENGINE)
        .engine_version(&spec.engine_version)
        .set_database_name(spec.database.clone())
        .set_master_username(spec.master_username.clone())
        .set_master_user_password(password.map(|text| text.expose_secret().to_owned()))
        .db_subnet_group_name(spec.subnet_group.known())
        .set_vpc_security_group_ids(Some(security_groups(spec)))
        .db_cluster_parameter_group_name(spec.parameter_group.known())
        .storage_encrypted(true)
        .kms_key_id(spec.key.known())
        .port(spec.port)
        .backup_retention_period(spec.backup_retention_days)
        .preferred_backup_window(&spec.backup_window)
        .preferred_maintenance_window(&spec.maintenance_window)
        .set_enable_cloudwatch_logs_exports(rds::some(spec.log_exports.iter().cloned().collect()))
        .deletion_protection(spec.deletion_protection)
        .copy_tags_to_snapshot(true)
        .set_engine_lifecycle_support(rds::new_life_cycle(spec.extended_support))
        .set_tags(Some(tags.to_vec()))
}

/// The global cluster that the plan wants it to be a member of.
fn global_cluster(spec: &ClusterSpec) -> &GlobalClusterId {
    spec.global_cluster.as_ref().expect("every cluster of a plan is a member of the global cluster").known()
}

/// The global cluster that a cluster is a member of, which somebody may have ended in a disaster (`rds.failover.detach-style`). While it is
/// being made, the members do not name it yet.
async fn membership(
    context: &Context,
    cluster: &DbCluster,
    wanted: &ClusterSpec,
) -> Result<Option<Ref<GlobalClusterId>>> {
    if !cluster.status().is_some_and(rds::is_settled) {
        return Ok(wanted.global_cluster.clone());
    }
    let arn = rds::told(cluster.db_cluster_arn(), "rds:DescribeDBClusters", "DBClusterArn")?;
    let name = rds::global_cluster_name(context, arn).await?;
    Ok(name.map(|name| Ref::Known(name.into())))
}

/// The name was there although nothing was observed: a cluster on its way out, one of an earlier try, or somebody else's.
async fn reclaim(task: &Task<'_>, spec: &ClusterSpec) -> Result<Object<Cluster>> {
    let clients = task.clients();
    let found = task
        .wait("the former cluster to be gone", rds::PATIENCE, || async {
            Ok(match rds::cluster(task, &clients, &spec.name).await? {
                Some(cluster) if cluster.status() == Some("deleting") => Look::Pending("deleting".to_owned()),
                found => Look::Ready(found),
            })
        })
        .await?;
    match found.map(|cluster| object(&cluster, spec)).transpose()? {
        None => create(task, spec).await,
        Some(object) if task.owns(&object.tags) => Ok(object),
        Some(_) => Err(rds::taken("a database cluster named", &spec.name, task)),
    }
}

/// Reads the master password out of its secret. It lives as long as the request that takes it.
async fn master_password(task: &Task<'_>, secret: &SecretArn) -> Result<SecretString> {
    let home = task.clients_in(rds::region_of(secret.as_str()));
    let answer = task
        .call("secretsmanager:GetSecretValue", || home.secretsmanager().get_secret_value().secret_id(secret).send())
        .await?;
    let text = rds::told(answer.secret_string, "secretsmanager:GetSecretValue", "SecretString")?;
    let text = SecretString::from(text);
    // The cause is left out: a parser's message may quote what it read.
    password_in(&text).ok_or_else(|| Error::Failed(format!("the secret {secret} is no JSON object with a password")))
}

fn password_in(text: &SecretString) -> Option<SecretString> {
    #[derive(Deserialize)]
    struct Login {
        password: String,
    }
    serde_json::from_str::<Login>(text.expose_secret()).ok().map(|login| SecretString::from(login.password))
}

/// What one `ModifyDBCluster` has to set.
#[derive(Debug, Default, PartialEq)]
struct Changes {
    security_groups: Option<Vec<String>>,
    parameter_group: Option<String>,
    port: Option<i32>,
    backup_retention_days: Option<i32>,
    backup_window: Option<String>,
    maintenance_window: Option<String>,
    logs_on: Vec<String>,
    logs_off: Vec<String>,
    deletion_protection: Option<bool>,
    extended_support: Option<bool>,
    password_from: Option<SecretArn>,
}

impl Changes {
    fn between(actual: &ClusterSpec, spec: &ClusterSpec) -> Self {
        fn new<T: PartialEq + Clone>(actual: &T, desired: &T) -> Option<T> {
            (actual != desired).then(|| desired.clone())
        }
        let known = |secret: &Option<Ref<SecretArn>>| secret.as_ref().map(|secret| secret.known().clone());
        Self {
            security_groups: (actual.security_groups != spec.security_groups).then(|| security_groups(spec)),
            parameter_group: new(&actual.parameter_group, &spec.parameter_group).map(|group| group.known().into()),
            port: new(&actual.port, &spec.port),
            backup_retention_days: new(&actual.backup_retention_days, &spec.backup_retention_days),
            backup_window: new(&actual.backup_window, &spec.backup_window),
            maintenance_window: new(&actual.maintenance_window, &spec.maintenance_window),
            logs_on: spec.log_exports.difference(&actual.log_exports).cloned().collect(),
            logs_off: actual.log_exports.difference(&spec.log_exports).cloned().collect(),
            deletion_protection: new(&actual.deletion_protection, &spec.deletion_protection),
            extended_support: new(&actual.extended_support, &spec.extended_support),
            password_from: new(&actual.master_secret, &spec.master_secret).and_then(|secret| known(&secret)),
        }
    }
}

async fn modify(task: &Task<'_>, actual: &ClusterSpec, spec: &ClusterSpec) -> Result<()> {
    let clients = task.clients();
    let changes = Changes::between(actual, spec);
    let password = match &changes.password_from {
        Some(secret) => Some(master_password(task, secret).await?),
        None => None,
    };
    let logs = (!changes.logs_on.is_empty() || !changes.logs_off.is_empty()).then(|| {
        CloudwatchLogsExportConfiguration::builder()
            .set_enable_log_types(rds::some(changes.logs_on.clone()))
            .set_disable_log_types(rds::some(changes.logs_off.clone()))
            .build()
    });
    task.call("rds:ModifyDBCluster", || {
        let request = clients.rds().modify_db_cluster().db_cluster_identifier(&spec.name).apply_immediately(true);
        let request = request.set_vpc_security_group_ids(changes.security_groups.clone());
        let request = request.set_db_cluster_parameter_group_name(changes.parameter_group.clone());
        let request = request.set_port(changes.port).set_backup_retention_period(changes.backup_retention_days);
        let request = request.set_preferred_backup_window(changes.backup_window.clone());
        let request = request.set_preferred_maintenance_window(changes.maintenance_window.clone());
        let request = request.set_cloudwatch_logs_export_configuration(logs.clone());
        let request = request.set_deletion_protection(changes.deletion_protection);
        let request = request.set_engine_lifecycle_support(changes.extended_support.map(rds::life_cycle));
        request.set_master_user_password(password.as_ref().map(|text| text.expose_secret().to_owned())).send()
    })
    .await?;
    Ok(())
}

async fn send_delete(task: &Task<'_>, spec: &ClusterSpec, name: &str) -> Result<()> {
    let clients = task.clients();
    let snapshot = last_snapshot(spec, name, task.token);
    let deleted = task
        .call("rds:DeleteDBCluster", || {
            let request = clients.rds().delete_db_cluster().db_cluster_identifier(name);
            request
                .skip_final_snapshot(spec.skip_final_snapshot)
                .set_final_db_snapshot_identifier(snapshot.clone())
                .send()
        })
        .await;
    match deleted {
        Err(error) if error.is_gone() => Ok(()),
        deleted => deleted.map(drop),
    }
}

/// A name of its own for every deletion: snapshots stay, and a second one of the same name is refused (`rds.cluster.delete`). RDS also
/// refuses a name that ends with a hyphen; a token is never empty.
fn last_snapshot(spec: &ClusterSpec, name: &str, token: &Token) -> Option<String> {
    (!spec.skip_final_snapshot).then(|| format!("{name}-final-{}", &token[..8.min(token.len())]))
}

async fn available(task: &Task<'_>, name: &str) -> Result<ClusterOutputs> {
    let clients = task.clients();
    task.wait("the cluster to be available", rds::PATIENCE, || async {
        look(rds::cluster(task, &clients, name).await?.as_ref())
    })
    .await
}

/// A change that was accepted and not begun leaves the status as it is (`rds.cluster.wait-update`).
fn look(cluster: Option<&DbCluster>) -> Result<Look<ClusterOutputs>> {
    Ok(match rds::usable("the cluster", cluster.and_then(|cluster| cluster.status()))? {
        Look::Pending(status) => Look::Pending(status),
        Look::Ready(()) => match cluster {
            Some(cluster) if cluster.pending_modified_values().is_none_or(is_nothing) => {
                Look::Ready(outputs(cluster, "rds:DescribeDBClusters")?)
            }
            _ => Look::Pending("changing".to_owned()),
        },
    })
}

fn is_nothing(pending: &aws_sdk_rds::types::ClusterPendingModifiedValues) -> bool {
    *pending == aws_sdk_rds::types::ClusterPendingModifiedValues::builder().build()
}

fn security_groups(spec: &ClusterSpec) -> Vec<String> {
    spec.security_groups.known().map(String::from).collect()
}

/// The tags of a cluster in full: those of every resource, and where the password came from.
fn all_tags(task: &Task<'_>, spec: &ClusterSpec) -> Tags {
    let secret = spec.master_secret.iter().map(|secret| (MASTER_SECRET.to_owned(), secret.known().into()));
    task.tags.clone().into_iter().chain(secret).collect()
}

async fn sync_tags(task: &Task<'_>, spec: &ClusterSpec, actual: &Tags) -> Result<()> {
    let arn = rds::arn(task, "cluster", &spec.name);
    rds::sync_tags(task, &arn, actual).await?;
    let desired = all_tags(task, spec).remove(MASTER_SECRET);
    if let Some(secret) = desired.filter(|secret| actual.get(MASTER_SECRET) != Some(secret)) {
        let clients = task.clients();
        let tag = rds::sdk_tags(&Tags::from([(MASTER_SECRET.to_owned(), secret)]));
        task.call("rds:AddTagsToResource", || {
            clients.rds().add_tags_to_resource().resource_name(&arn).set_tags(Some(tag.clone())).send()
        })
        .await?;
    }
    Ok(())
}

/// What is known of a cluster. It may have no endpoints before it is available.
fn outputs(cluster: &DbCluster, operation: &str) -> Result<ClusterOutputs> {
    let is_available = cluster.status() == Some("available");
    let endpoint = |endpoint: Option<&str>, name: &str| match endpoint {
        None if is_available => Err(Error::incomplete(operation, name)),
        endpoint => Ok(endpoint.unwrap_or_default().into()),
    };
    Ok(ClusterOutputs {
        id: rds::told(cluster.db_cluster_identifier(), operation, "DBClusterIdentifier")?.into(),
        arn: rds::told(cluster.db_cluster_arn(), operation, "DBClusterArn")?.into(),
        endpoint: endpoint(cluster.endpoint(), "Endpoint")?,
        reader_endpoint: endpoint(cluster.reader_endpoint(), "ReaderEndpoint")?,
    })
}

/// The cluster as it is described. Of which global cluster it is a member is told elsewhere ([`membership`]).
fn object(cluster: &DbCluster, wanted: &ClusterSpec) -> Result<Object<Cluster>> {
    const OPERATION: &str = "rds:DescribeDBClusters";
    fn told<T>(field: Option<T>, name: &str) -> Result<T> {
        rds::told(field, OPERATION, name)
    }
    let tags = rds::tags(cluster.tag_list());
    let groups = cluster.vpc_security_groups().iter().filter_map(|group| group.vpc_security_group_id());
    let spec = ClusterSpec {
        name: told(cluster.db_cluster_identifier(), "DBClusterIdentifier")?.to_owned(),
        global_cluster: wanted.global_cluster.clone(),
        after: wanted.after.clone(),
        engine_version: wanted.engine_version.clone(),
        // AWS gives later members the founder's user and, mostly, no database name.
        database: wanted.database.as_ref().map(|name| cluster.database_name().unwrap_or(name).to_owned()),
        master_username: wanted
            .master_username
            .as_ref()
            .map(|name| cluster.master_username().unwrap_or(name).to_owned()),
        master_secret: wanted.master_secret.as_ref().map(|secret| match tags.get(MASTER_SECRET) {
            Some(arn) => Ref::Known(arn.as_str().into()),
            None => secret.clone(),
        }),
        subnet_group: Ref::Known(told(cluster.db_subnet_group(), "DBSubnetGroup")?.into()),
        security_groups: groups.map(SecurityGroupId::from).collect(),
        parameter_group: Ref::Known(told(cluster.db_cluster_parameter_group(), "DBClusterParameterGroup")?.into()),
        key: Ref::Known(told(cluster.kms_key_id(), "KmsKeyId")?.into()),
        port: told(cluster.port(), "Port")?,
        backup_retention_days: told(cluster.backup_retention_period(), "BackupRetentionPeriod")?,
        backup_window: told(cluster.preferred_backup_window(), "PreferredBackupWindow")?.to_lowercase(),
        maintenance_window: told(cluster.preferred_maintenance_window(), "PreferredMaintenanceWindow")?.to_lowercase(),
        log_exports: cluster.enabled_cloudwatch_logs_exports().iter().cloned().collect(),
        deletion_protection: told(cluster.deletion_protection(), "DeletionProtection")?,
        skip_final_snapshot: wanted.skip_final_snapshot,
        extended_support: rds::is_enrolled(cluster.engine_lifecycle_support(), wanted.extended_support),
    };
    Ok(Object { spec, outputs: outputs(cluster, OPERATION)?, tags })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_rds::types::{ClusterPendingModifiedValues, VpcSecurityGroupMembership};

    fn founder() -> ClusterSpec {
        ClusterSpec {
            name: "dr-aurora-us-east-1-dev".into(),
            global_cluster: Some(Ref::Known("dr-aurora-dev".into())),
            after: None,
            engine_version: "14.15".into(),
            database: Some("payments".into()),
            master_username: Some("payments_admin".into()),
            master_secret: Some(Ref::Known("arn:aws:secretsmanager:us-east-1:1:secret:a-AbCdEf".into())),
            subnet_group: Ref::Known("subnets".into()),
            security_groups: ["sg-2", "sg-1"].map(SecurityGroupId::from).into_iter().collect(),
            parameter_group: Ref::Known("parameters".into()),
            key: Ref::Known("arn:aws:kms:us-east-1:1:key/k".into()),
            port: 5432,
            backup_retention_days: 7,
            backup_window: "07:00-09:00".into(),
            maintenance_window: "sun:09:30-sun:10:30".into(),
            log_exports: BTreeSet::from(["postgresql".to_owned()]),
            deletion_protection: false,
            skip_final_snapshot: true,
            extended_support: true,
        }
    }

    fn described(spec: &ClusterSpec) -> aws_sdk_rds::types::builders::DbClusterBuilder {
        let group = |id: &str| VpcSecurityGroupMembership::builder().vpc_security_group_id(id).build();
        DbCluster::builder()
            .db_cluster_identifier(&spec.name)
            .db_cluster_arn(format!("arn:aws:rds:us-east-1:1:cluster:{}", spec.name))
            .endpoint("c.cluster-1.example")
            .reader_endpoint("c.cluster-ro-1.example")
            .deletion_protection(false)
            .engine_version("14.17")
            .master_username("payments_admin")
            .db_subnet_group("subnets")
            .vpc_security_groups(group("sg-1"))
            .vpc_security_groups(group("sg-2"))
            .db_cluster_parameter_group("parameters")
            .kms_key_id("arn:aws:kms:us-east-1:1:key/k")
            .port(5432)
            .backup_retention_period(7)
            .preferred_backup_window("07:00-09:00")
            .preferred_maintenance_window("Sun:09:30-Sun:10:30")
            .enabled_cloudwatch_logs_exports("postgresql")
    }

    /// R21: neither role, nor what AWS fills in for a role, is a difference.
    #[test]
    fn the_role_is_no_difference() {
        let writer = founder();
        let tag = Tag::builder().key(MASTER_SECRET).value("arn:aws:secretsmanager:us-east-1:1:secret:a-AbCdEf").build();
        let as_writer = described(&writer).database_name("payments").tag_list(tag.clone()).build();
        let as_reader = described(&writer).replication_source_identifier("arn:other").tag_list(tag).build();
        assert_eq!(read(&as_writer, &writer), writer);
        assert_eq!(read(&as_reader, &writer), writer);

        let later = ClusterSpec { database: None, master_username: None, master_secret: None, ..founder() };
        assert_eq!(read(&described(&later).database_name("payments").build(), &later), later);
    }

    fn read(cluster: &DbCluster, wanted: &ClusterSpec) -> ClusterSpec {
        object(cluster, wanted).expect("the answer is complete").spec
    }

    /// A field that AWS always sends and that is not there says nothing of the cluster.
    #[test]
    fn an_answer_that_lacks_a_field_is_no_difference_but_an_error() {
        let whole = || described(&founder()).status("available");
        for (lacking, field) in [
            (whole().set_db_cluster_arn(None), "DBClusterArn"),
            (whole().set_endpoint(None), "Endpoint"),
            (whole().set_db_subnet_group(None), "DBSubnetGroup"),
            (whole().set_kms_key_id(None), "KmsKeyId"),
            (whole().set_port(None), "Port"),
            (whole().set_preferred_backup_window(None), "PreferredBackupWindow"),
            (whole().set_deletion_protection(None), "DeletionProtection"),
        ] {
            let told = object(&lacking.build(), &founder()).unwrap_err().to_string();
            assert!(told.contains("rds:DescribeDBClusters") && told.contains(field), "{told}");
        }
        let new = described(&founder()).status("creating").set_endpoint(None).build();
        assert!(object(&new, &founder()).is_ok(), "a cluster that is being made may have no endpoint yet");
    }

    /// `rds.global.extended-support`: AWS's default is not sent, and what a running cluster differs in is.
    #[test]
    fn extended_support_is_declined_when_a_cluster_is_made_and_changed_in_place_later() {
        let without = ClusterSpec { extended_support: false, ..founder() };
        assert_eq!(creation(&founder(), None, &[]).get_engine_lifecycle_support(), &None);
        let sent = creation(&without, None, &[]).get_engine_lifecycle_support().clone();
        assert_eq!(sent.as_deref(), Some("open-source-rds-extended-support-disabled"));
        let enrolled = described(&founder()).engine_lifecycle_support("open-source-rds-extended-support").build();
        let changes = Changes::between(&read(&enrolled, &without), &without);
        assert_eq!(changes.extended_support, Some(false));
        assert_eq!(Changes::between(&read(&enrolled, &founder()), &founder()).extended_support, None);
    }

    #[test]
    fn a_secret_made_anew_is_a_difference() {
        let spec = founder();
        let tag = Tag::builder().key(MASTER_SECRET).value("arn:aws:secretsmanager:us-east-1:1:secret:a-000000").build();
        let actual = read(&described(&spec).tag_list(tag).build(), &spec);
        let secret = spec.master_secret.as_ref().map(|secret| secret.known().clone());
        assert_eq!(Changes::between(&actual, &spec), Changes { password_from: secret, ..Changes::default() });
    }

    /// `rds.global.encrypted-first`: neither member could join an encrypted global cluster otherwise.
    #[test]
    fn the_storage_of_every_member_is_encrypted_with_the_key_of_its_region() {
        let later = ClusterSpec { database: None, master_username: None, master_secret: None, ..founder() };
        for spec in [founder(), later] {
            let creation = creation(&spec, None, &[]);
            assert_eq!(creation.get_storage_encrypted(), &Some(true));
            assert_eq!(creation.get_kms_key_id().as_deref(), Some("arn:aws:kms:us-east-1:1:key/k"));
        }
    }

    /// An empty list is sent as an empty text, which is no log.
    #[test]
    fn no_logs_are_nothing_to_send() {
        assert_eq!(
            creation(&founder(), None, &[]).get_enable_cloudwatch_logs_exports().as_deref(),
            Some(&["postgresql".to_owned()][..])
        );
        let silent = ClusterSpec { log_exports: BTreeSet::new(), ..founder() };
        assert_eq!(creation(&silent, None, &[]).get_enable_cloudwatch_logs_exports(), &None);
    }

    /// `rds.cluster.wait-update`.
    #[test]
    fn a_cluster_is_available_only_when_no_change_is_pending() {
        let cluster = |status: &str, pending: Option<ClusterPendingModifiedValues>| {
            let cluster = described(&founder()).status(status).set_pending_modified_values(pending).build();
            look(Some(&cluster))
        };
        let nothing = ClusterPendingModifiedValues::builder();
        let upgrade = nothing.clone().engine_version("14.17").build();
        assert!(matches!(cluster("available", Some(upgrade)), Ok(Look::Pending(state)) if state == "changing"));
        for pending in [None, Some(nothing.build())] {
            assert!(matches!(cluster("available", pending), Ok(Look::Ready(_))));
        }
        for status in ["upgrading", "renaming"] {
            assert!(matches!(cluster(status, None), Ok(Look::Pending(state)) if state == status));
        }
    }

    /// `rds.global.major-resets-pg`: an upgrade that somebody made left AWS's own parameter group behind.
    #[test]
    fn a_parameter_group_that_aws_put_there_is_changed_back() {
        let spec = founder();
        let secret =
            Tag::builder().key(MASTER_SECRET).value("arn:aws:secretsmanager:us-east-1:1:secret:a-AbCdEf").build();
        let reset = described(&spec).tag_list(secret).db_cluster_parameter_group("default.aurora-postgresql16").build();
        let changes = Changes::between(&read(&reset, &spec), &spec);
        assert_eq!(changes, Changes { parameter_group: Some("parameters".into()), ..Changes::default() });
    }

    /// `rds.cluster.delete`.
    #[test]
    fn the_last_snapshot_has_a_name_of_its_own_for_every_deletion() {
        assert_eq!(last_snapshot(&founder(), "c", &Token::random()), None);
        let kept = ClusterSpec { skip_final_snapshot: false, ..founder() };
        let name = |token: &str| last_snapshot(&kept, "c", &Token::recorded(Some(token))).expect("it is made");
        assert!(name("aaaaaaaa0000").starts_with("c-final-"));
        assert_ne!(name("aaaaaaaa0000"), name("bbbbbbbb0000"));
        assert_eq!(name("aaaaaaaa0000"), name("aaaaaaaa0000"), "another try of one deletion is the same deletion");
        // RDS: letters, digits and hyphens, no hyphen at the end (`state rebuild` and adoptions leave no token on record).
        assert!(name("").strip_prefix("c-final-").is_some_and(|end| end.len() == 8));
        assert_ne!(name(""), name(""));
    }

    #[test]
    fn only_what_differs_is_changed() {
        let spec = founder();
        assert_eq!(Changes::between(&spec, &spec), Changes::default());
        let actual = ClusterSpec {
            backup_retention_days: 1,
            log_exports: BTreeSet::from(["upgrade".to_owned()]),
            ..spec.clone()
        };
        assert_eq!(
            Changes::between(&actual, &spec),
            Changes {
                backup_retention_days: Some(7),
                logs_on: vec!["postgresql".into()],
                logs_off: vec!["upgrade".into()],
                ..Changes::default()
            }
        );
    }

    /// R24: neither the debug form of a request nor a parse failure shows the password.
    #[test]
    fn the_password_shows_nowhere() {
        let canary = "s3cret-canary";
        let password =
            password_in(&SecretString::from(format!(r#"{{"username":"a","password":"{canary}"}}"#))).unwrap();
        assert_eq!(password.expose_secret(), canary);
        let input = aws_sdk_rds::operation::create_db_cluster::CreateDbClusterInput::builder()
            .master_user_password(password.expose_secret());
        assert!(!format!("{password:?} {input:?} {:?}", input.clone().build()).contains(canary));
        assert!(password_in(&SecretString::from(canary)).is_none());
    }
}
