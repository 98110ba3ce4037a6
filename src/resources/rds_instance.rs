//! `rds_instance`: one instance of an Aurora cluster.
//!
//! Facts: `rds.instance.create` (the cluster owns storage, version, key and backups), `rds.instance.class`,
//! `rds.instance.wait` (the first instance of a cluster alone, so that the writer is known), `rds.instance.delete`,
//! `rds.instance.delete-last` (the last one goes only after its cluster has left the global cluster),
//! `rds.global.auto-minor` (no effect on members, so it is off and not compared), `rds.cluster.replace` (windows read back in
//! lower case), `rds.instance.restart` (a new class restarts the instance, the writer after it has handed over). Which instance writes is
//! runtime truth and not compared; it decides in which order instances restart.
//! Replacement: `name`, `cluster`. Slow: everything (4 to 15 minutes).

use aws_sdk_rds::operation::create_db_instance::builders::CreateDbInstanceInputBuilder;
use aws_sdk_rds::operation::delete_db_instance::builders::DeleteDbInstanceInputBuilder;
use aws_sdk_rds::types::{DbCluster, DbClusterMember, DbInstance, GlobalCluster, Tag};
use serde::{Deserialize, Serialize};

use super::rds;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{ClusterId, InstanceId, Ref};

/// How long an instance may take, from the wait table of the facts.
const PATIENCE: Patience = Patience::minutes(90);

/// The kind.
#[derive(Debug)]
pub struct Instance;

/// The desired properties of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// The name, in lower case.
    pub name: String,
    /// The cluster it is part of.
    pub cluster: Ref<ClusterId>,
    /// The first instance of the cluster, which becomes its writer, when this is another one.
    pub after: Option<Ref<InstanceId>>,
    /// The class, `db.r6g.large`.
    pub class: String,
    /// Who becomes the writer when it fails: lower numbers first, 0 to 15.
    pub promotion_tier: i32,
    /// When AWS may maintain it, in UTC: `sun:09:30-sun:10:30`.
    pub maintenance_window: String,
    /// Whether it has an address on the internet.
    pub public: bool,
}

outputs! {
    /// What is known of an instance once it exists.
    pub struct InstanceOutputs of Instance {
        /// The name.
        id: InstanceId,
        /// What it does now, when its cluster tells.
        role: Option<Role>,
    }
}

/// What an instance does for its global database, in the order in which restarts hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It follows in a region that stands by.
    Standby,
    /// It reads in the region that writes.
    Reader,
    /// It writes.
    Writer,
}

impl Kind for Instance {
    type Spec = InstanceSpec;
    type Outputs = InstanceOutputs;

    const ORDERING_CREATION: &'static [&'static str] = &["after"];

    const IN_TURNS: &'static [&'static str] = &["class"];

    const TRAITS: Traits = Traits {
        name: "rds_instance",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name", "cluster"],
        locked_by: None,
        expected: Expected::seconds(420, 420, 300),
        permissions: Permissions {
            read: &["rds:DescribeDBInstances", "rds:DescribeDBClusters", "rds:DescribeGlobalClusters"],
            change: &[
                "rds:CreateDBInstance",
                "rds:ModifyDBInstance",
                "rds:DeleteDBInstance",
                "rds:FailoverDBCluster",
                "rds:RemoveFromGlobalCluster",
                "rds:AddTagsToResource",
                "rds:RemoveTagsFromResource",
                "iam:CreateServiceLinkedRole",
            ],
        },
        retries: &[
            rds::LEAVE_BUSY[0],
            rds::LEAVE_BUSY[1],
            Retry::seconds("rds:CreateDBInstance", "InvalidDBClusterStateFault", "", 30 * 60),
            Retry::seconds("rds:ModifyDBInstance", "InvalidDBInstanceState", "", 300),
            Retry::seconds("rds:FailoverDBCluster", "InvalidDBClusterStateFault", "", 300),
            Retry::seconds("rds:FailoverDBCluster", "InvalidDBInstanceState", "", 300),
        ],
    };

    fn turn(outputs: &InstanceOutputs) -> u32 {
        outputs.role.map_or(0, |role| role as u32)
    }

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let found = list::all(
            context,
            "rds:DescribeDBInstances",
            |token| clients.rds().describe_db_instances().set_marker(token).send(),
            |page| (page.db_instances.unwrap_or_default(), page.marker),
        )
        .await?;
        let object = |wanted: &Wanted<Self>| {
            let name = Some(wanted.spec.name.as_str());
            let instance = found.iter().find(|instance| instance.db_instance_identifier() == name);
            let instance = instance.filter(|instance| instance.db_instance_status() != Some("deleting"));
            instance.map(|instance| object(instance, &wanted.spec)).transpose()
        };
        let mut objects: Vec<Option<Object<Self>>> = wanted.iter().map(object).collect::<Result<_>>()?;
        if objects.iter().any(Option::is_some) {
            let (clusters, globals) = tokio::try_join!(rds::clusters(context), rds::global_clusters(context))?;
            for object in objects.iter_mut().flatten() {
                object.outputs.role = role(object.outputs.id.as_str(), &clusters, &globals);
            }
        }
        Ok(objects)
    }

    async fn ensure(task: &Task<'_>, spec: &InstanceSpec, object: Option<Object<Self>>) -> Result<InstanceOutputs> {
        let object = match object {
            Some(object) => object,
            None => match create(task, spec).await {
                Err(error) if error.is(&["DBInstanceAlreadyExists"]) => reclaim(task, spec).await?,
                created => created?,
            },
        };
        available(task, &spec.name).await?;
        if object.spec.class != spec.class {
            hand_over(task, spec).await?;
        }
        if object.spec != *spec {
            modify(task, &object.spec, spec).await?;
            available(task, &spec.name).await?;
        }
        rds::sync_tags(task, &rds::arn(task, "db", &spec.name), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &InstanceSpec, outputs: &InstanceOutputs) -> Result<Deletion> {
        let name = outputs.id.as_str();
        let status = task
            .wait("the instance to finish what it does", PATIENCE, || async {
                let Some(instance) = describe(task, name).await? else { return Ok(Look::Ready(None)) };
                let status = instance.db_instance_status.unwrap_or_default();
                Ok(if rds::is_settled(&status) { Look::Ready(Some(status)) } else { Look::Pending(status) })
            })
            .await?;
        let Some(status) = status else { return Ok(Deletion::Gone) };
        if status != "deleting" {
            let cluster = spec.cluster.known().as_str();
            let found = rds::cluster(task, &task.clients(), cluster).await?;
            if let Some(found) = found.filter(|found| found.db_cluster_members().len() <= 1) {
                rds::check_unprotected(&found)?;
            }
            match send_delete(task, name).await {
                Err(error) if is_last_of_a_member(&error) => {
                    rds::leave_global_cluster(task, &rds::arn(task, "cluster", cluster)).await?;
                    send_delete(task, name).await?;
                }
                deleted => deleted?,
            }
        }
        task.wait("the instance to be gone", PATIENCE, || async {
            Ok(match describe(task, name).await? {
                None => Look::Ready(Deletion::Gone),
                Some(instance) => Look::Pending(instance.db_instance_status.unwrap_or_default()),
            })
        })
        .await
    }
}

async fn create(task: &Task<'_>, spec: &InstanceSpec) -> Result<Object<Instance>> {
    let clients = task.clients();
    let tags = rds::sdk_tags(&task.tags);
    task.call("rds:CreateDBInstance", || creation(spec, &tags).send_with(clients.rds())).await?;
    let outputs = InstanceOutputs { id: spec.name.as_str().into(), role: None };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

/// What belongs to the instance; the rest belongs to its cluster and must not be sent (`rds.instance.create`).
fn creation(spec: &InstanceSpec, tags: &[Tag]) -> CreateDbInstanceInputBuilder {
    CreateDbInstanceInputBuilder::default()
        .db_instance_identifier(&spec.name)
        .engine(rds::ENGINE)
        .db_cluster_identifier(spec.cluster.known())
        .db_instance_class(&spec.class)
        .promotion_tier(spec.promotion_tier)
        .publicly_accessible(spec.public)
        .preferred_maintenance_window(&spec.maintenance_window)
        .auto_minor_version_upgrade(false)
        .set_tags(Some(tags.to_vec()))
}

/// Without a final snapshot, which only clusters have (`rds.instance.delete`).
fn deletion(name: &str) -> DeleteDbInstanceInputBuilder {
    DeleteDbInstanceInputBuilder::default().db_instance_identifier(name)
}

/// The name was there although nothing was observed: an instance on its way out, one of an earlier try, or somebody else's.
async fn reclaim(task: &Task<'_>, spec: &InstanceSpec) -> Result<Object<Instance>> {
    let found = task
        .wait("the former instance to be gone", PATIENCE, || async {
            Ok(match describe(task, &spec.name).await? {
                Some(instance) if instance.db_instance_status() == Some("deleting") => {
                    Look::Pending("deleting".to_owned())
                }
                found => Look::Ready(found),
            })
        })
        .await?;
    match found.map(|instance| object(&instance, spec)).transpose()? {
        None => create(task, spec).await,
        Some(object) if task.owns(&object.tags) => Ok(object),
        Some(_) => Err(rds::taken("a database instance named", &spec.name, task)),
    }
}

async fn modify(task: &Task<'_>, actual: &InstanceSpec, spec: &InstanceSpec) -> Result<()> {
    let clients = task.clients();
    let class = (actual.class != spec.class).then(|| spec.class.clone());
    let tier = (actual.promotion_tier != spec.promotion_tier).then_some(spec.promotion_tier);
    let public = (actual.public != spec.public).then_some(spec.public);
    let window = (actual.maintenance_window != spec.maintenance_window).then(|| spec.maintenance_window.clone());
    task.call("rds:ModifyDBInstance", || {
        let request = clients.rds().modify_db_instance().db_instance_identifier(&spec.name).apply_immediately(true);
        let request = request.set_db_instance_class(class.clone()).set_promotion_tier(tier);
        request.set_publicly_accessible(public).set_preferred_maintenance_window(window.clone()).send()
    })
    .await?;
    Ok(())
}

/// What an instance does, as the members of its cluster and of the global cluster tell now.
fn role(name: &str, clusters: &[DbCluster], globals: &[GlobalCluster]) -> Option<Role> {
    let is_member = |member: &&DbClusterMember| member.db_instance_identifier() == Some(name);
    let (cluster, member) =
        clusters.iter().find_map(|cluster| Some((cluster, cluster.db_cluster_members().iter().find(is_member)?)))?;
    let arn = cluster.db_cluster_arn()?;
    Some(match rds::membership(globals, arn).and_then(rds::writer) {
        Some(writer) if writer != arn => Role::Standby,
        _ if member.is_cluster_writer() == Some(true) => Role::Writer,
        _ => Role::Reader,
    })
}

/// Lets another instance of the cluster write before this one restarts, when it is the one that writes and is not alone. AWS takes the
/// instance with the lowest promotion tier; those that were changed before it are ready for it (`rds.instance.restart`).
async fn hand_over(task: &Task<'_>, spec: &InstanceSpec) -> Result<()> {
    let cluster = spec.cluster.known().as_str();
    let (clients, globals) = (task.clients(), rds::global_clusters(task).await?);
    let Some(found) = rds::cluster(task, &clients, cluster).await? else { return Ok(()) };
    let is_alone = found.db_cluster_members().len() <= 1;
    if is_alone || role(&spec.name, &[found], &globals) != Some(Role::Writer) {
        return Ok(());
    }
    task.call("rds:FailoverDBCluster", || clients.rds().failover_db_cluster().db_cluster_identifier(cluster).send())
        .await?;
    task.wait("another instance to write", Patience::minutes(15), || async {
        let found = rds::cluster(task, &clients, cluster).await?;
        let is_settled = found.as_ref().and_then(|found| found.status()).is_some_and(rds::is_settled);
        let writes = found.is_none_or(|found| role(&spec.name, &[found], &globals) == Some(Role::Writer));
        Ok(if is_settled && !writes { Look::Ready(()) } else { Look::Pending("failing over".to_owned()) })
    })
    .await?;
    available(task, &spec.name).await
}

async fn send_delete(task: &Task<'_>, name: &str) -> Result<()> {
    let clients = task.clients();
    let deleted = task.call("rds:DeleteDBInstance", || deletion(name).send_with(clients.rds())).await;
    deleted.map(drop).or_else(already_deleted)
}

/// An instance that is gone or on its way out needs no more (`rds.instance.delete`).
fn already_deleted(error: Error) -> Result<()> {
    let is_on_its_way = error.says("InvalidDBInstanceState", "already being deleted");
    if error.is_gone() || is_on_its_way { Ok(()) } else { Err(error) }
}

/// Tells whether AWS keeps the instance because its cluster still replicates, in either role.
fn is_last_of_a_member(error: &Error) -> bool {
    let code = "InvalidDBClusterStateFault";
    error.says(code, "before deleting the last") || error.says(code, "Cannot delete the last instance")
}

async fn available(task: &Task<'_>, name: &str) -> Result<()> {
    task.wait("the instance to be available", PATIENCE, || async {
        let instance = describe(task, name).await?;
        let status = instance.as_ref().and_then(|instance| instance.db_instance_status());
        Ok(match rds::usable("the instance", status)? {
            Look::Ready(()) if instance.as_ref().is_some_and(is_changing) => Look::Pending("changing".to_owned()),
            look => look,
        })
    })
    .await
}

/// A change that was accepted and not begun: the status is still `available`.
fn is_changing(instance: &DbInstance) -> bool {
    instance.pending_modified_values().is_some_and(|pending| pending.db_instance_class().is_some())
}

fn object(instance: &DbInstance, wanted: &InstanceSpec) -> Result<Object<Instance>> {
    fn told<T>(field: Option<T>, name: &str) -> Result<T> {
        rds::told(field, "rds:DescribeDBInstances", name)
    }
    let name = told(instance.db_instance_identifier(), "DBInstanceIdentifier")?;
    let spec = InstanceSpec {
        name: name.to_owned(),
        // An instance that is somebody else's may have no cluster.
        cluster: Ref::Known(instance.db_cluster_identifier().unwrap_or_default().into()),
        after: wanted.after.clone(),
        class: told(instance.db_instance_class(), "DBInstanceClass")?.to_owned(),
        promotion_tier: instance.promotion_tier().unwrap_or(1),
        maintenance_window: told(instance.preferred_maintenance_window(), "PreferredMaintenanceWindow")?.to_lowercase(),
        public: told(instance.publicly_accessible(), "PubliclyAccessible")?,
    };
    let tags: Tags = rds::tags(instance.tag_list());
    Ok(Object { spec, outputs: InstanceOutputs { id: name.into(), role: None }, tags })
}

async fn describe(context: &Context, name: &str) -> Result<Option<DbInstance>> {
    let clients = context.clients();
    rds::confirmed(|| async {
        let answer = context
            .call("rds:DescribeDBInstances", || {
                clients.rds().describe_db_instances().db_instance_identifier(name).send()
            })
            .await?;
        let mut instances = answer.db_instances.unwrap_or_default().into_iter();
        Ok(instances.find(|instance| instance.db_instance_identifier() == Some(name)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;
    use aws_sdk_rds::types::GlobalClusterMember;

    fn refused(message: &str) -> Error {
        let code = "InvalidDBClusterStateFault".to_owned();
        Refusal { code, message: message.to_owned(), status: 400, ..Refusal::default() }.into()
    }

    #[test]
    fn the_last_instance_is_recognised_in_both_roles() {
        for message in [
            "Delete the replica cluster before deleting the last master cluster instance",
            "Cannot delete the last instance of the read replica DB cluster",
        ] {
            assert!(is_last_of_a_member(&refused(message)), "{message}");
        }
        assert!(!is_last_of_a_member(&refused("DB cluster is not in available state")));
    }

    fn spec() -> InstanceSpec {
        InstanceSpec {
            name: "a".into(),
            cluster: Ref::Known("c".into()),
            after: Some(Ref::Known("first".into())),
            class: "db.r6g.large".into(),
            promotion_tier: 0,
            maintenance_window: "sun:09:30-sun:10:30".into(),
            public: false,
        }
    }

    /// `rds.instance.create`.
    #[test]
    fn what_belongs_to_the_cluster_is_not_sent_with_an_instance() {
        let tag = Tag::builder().key("drctl:deployment").value("dev").build();
        let sent = creation(&spec(), std::slice::from_ref(&tag));
        assert_eq!(sent.get_db_instance_class().as_deref(), Some("db.r6g.large"));
        assert_eq!((sent.get_promotion_tier(), sent.get_tags()), (&Some(0), &Some(vec![tag])));
        assert_eq!((sent.get_storage_encrypted(), sent.get_kms_key_id()), (&None, &None));
        assert_eq!((sent.get_master_username(), sent.get_master_user_password()), (&None, &None));
        assert_eq!((sent.get_engine_version(), sent.get_backup_retention_period()), (&None, &None));
    }

    /// `rds.instance.restart`: what stands by restarts first, then what reads, and last what writes, wherever that is after a failover.
    #[test]
    fn live_roles_decide_when_an_instance_restarts() {
        let cluster = |arn: &str, members: &[(&str, bool)]| {
            let member = |(name, writes): &(&str, bool)| {
                DbClusterMember::builder().db_instance_identifier(*name).is_cluster_writer(*writes).build()
            };
            let members = members.iter().map(member).collect();
            DbCluster::builder().db_cluster_arn(arn).set_db_cluster_members(Some(members)).build()
        };
        let global = |members: [(&str, bool); 2]| {
            let member = |(arn, writes): (&str, bool)| {
                GlobalClusterMember::builder().db_cluster_arn(arn).is_writer(writes).build()
            };
            GlobalCluster::builder().set_global_cluster_members(Some(members.map(member).to_vec())).build()
        };
        let east = cluster("east", &[("e1", false), ("e2", true)]);
        let west = cluster("west", &[("w1", true), ("w2", false)]);
        let turns = |globals: &[GlobalCluster]| {
            [("e1", &east), ("e2", &east), ("w1", &west), ("w2", &west)].map(|(name, cluster)| {
                let role = role(name, std::slice::from_ref(cluster), globals);
                Instance::turn(&InstanceOutputs { id: name.into(), role })
            })
        };
        assert_eq!(turns(&[global([("east", true), ("west", false)])]), [1, 2, 0, 0]);
        assert_eq!(turns(&[global([("east", false), ("west", true)])]), [0, 0, 2, 1]);
        assert_eq!(turns(&[]), [1, 2, 2, 1], "a cluster of its own has a writer of its own");
        assert_eq!(role("unknown", &[east], &[]), None);
    }

    /// `rds.instance.delete`.
    #[test]
    fn an_instance_goes_without_a_snapshot_and_one_that_goes_already_is_no_fault() {
        let sent = deletion("a");
        assert_eq!((sent.get_skip_final_snapshot(), sent.get_final_db_snapshot_identifier()), (&None, &None));
        let refused = |code: &str, message: &str| {
            let (code, message) = (code.to_owned(), message.to_owned());
            already_deleted(Refusal { code, message, status: 400, ..Refusal::default() }.into())
        };
        assert!(refused("InvalidDBInstanceState", "Instance a is already being deleted.").is_ok());
        assert!(refused("DBInstanceNotFound", "DBInstance a not found.").is_ok());
        assert!(refused("InvalidDBInstanceState", "Database instance a is not in available state.").is_err());
    }

    /// What AWS writes differently is no difference.
    #[test]
    fn an_instance_as_desired_is_equal_to_its_spec() {
        let spec = spec();
        let whole = DbInstance::builder()
            .db_instance_identifier("a")
            .db_cluster_identifier("c")
            .db_instance_class("db.r6g.large")
            .promotion_tier(0)
            .preferred_maintenance_window("Sun:09:30-Sun:10:30")
            .publicly_accessible(false)
            .auto_minor_version_upgrade(true);
        assert_eq!(object(&whole.clone().build(), &spec).unwrap().spec, spec);
        let lacking = whole.set_db_instance_class(None).build();
        let told = object(&lacking, &spec).unwrap_err().to_string();
        assert!(told.contains("rds:DescribeDBInstances") && told.contains("DBInstanceClass"), "{told}");
    }
}
