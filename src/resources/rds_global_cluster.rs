//! `rds_global_cluster`: the bond between the Aurora clusters of both regions.
//!
//! Facts: `rds.global.create`, `rds.global.encrypted-first`, `rds.global.version-pin`, `rds.global.wait`, `rds.global.list`,
//! `rds.global.read`, `rds.global.update`, `rds.global.minor-upgrade`, `rds.global.major-resets-pg`, `rds.global.delete-retry`,
//! `rds.global.replace`, `rds.global.extended-support` (AWS's default stands: a stack that is to be made again in a disaster must not be
//! refused for its age), `rds.failover`, `rds.failover.after`. Which member writes is no property of it: a failover moves that (R21).
//!
//! The version is pinned in full. A minor version newer than the pinned one is no difference: somebody at AWS or on call made
//! the upgrade, and nothing leads back. A pinned version newer than the running one is an upgrade, which this kind makes for
//! all members, readers first, because AWS takes it in that order only; a member that is made anew gets the version of the others. A new
//! major version is refused with an explanation, before anything is done ([`version_to_keep`]): AWS resets parameter groups on the way, so
//! a person has to lead it.
//! Replacement: `name`, `engine`, `encrypted`. Slow: an upgrade (tens of minutes); creation takes up to five minutes.

use std::cmp::Ordering;

use aws_sdk_rds::operation::create_global_cluster::builders::CreateGlobalClusterInputBuilder;
use aws_sdk_rds::operation::modify_global_cluster::builders::ModifyGlobalClusterInputBuilder;
use aws_sdk_rds::types::{GlobalCluster as Found, Tag};
use serde::{Deserialize, Serialize};

use super::rds;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Aws, Error, Pages};
use crate::outputs;
use crate::reference::{ClusterArn, GlobalClusterId};

/// The kind.
#[derive(Debug)]
pub struct GlobalCluster;

/// The desired properties of a global cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalClusterSpec {
    /// The name, in lower case; unique in the account.
    pub name: String,
    /// The exact version of Aurora PostgreSQL, `14.15`.
    pub engine_version: String,
    /// Whether the storage of all members is encrypted.
    pub encrypted: bool,
    /// Whether AWS refuses to delete it.
    pub deletion_protection: bool,
    /// Whether it is enrolled in Extended Support, which is decided when it is made.
    #[serde(default = "rds::enrolled_by_default")]
    pub extended_support: bool,
}

outputs! {
    /// What is known of a global cluster once it exists.
    pub struct GlobalClusterOutputs of GlobalCluster {
        /// The name.
        id: GlobalClusterId,
        /// The member that writes; none before there are members.
        writer: Option<ClusterArn>,
    }
}

impl Kind for GlobalCluster {
    type Spec = GlobalClusterSpec;
    type Outputs = GlobalClusterOutputs;

    const TRAITS: Traits = Traits {
        name: "rds_global_cluster",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name", "encrypted"],
        locked_by: None,
        expected: Expected::seconds(60, 60, 60),
        permissions: Permissions {
            read: &["rds:DescribeGlobalClusters"],
            change: &[
                "rds:CreateGlobalCluster",
                "rds:ModifyGlobalCluster",
                "rds:DeleteGlobalCluster",
                "rds:DescribeDBClusters",
                "rds:ModifyDBCluster",
                "rds:AddTagsToResource",
                "rds:RemoveTagsFromResource",
            ],
        },
        retries: &[
            Retry::seconds("rds:ModifyGlobalCluster", "InvalidGlobalClusterStateFault", "", 30 * 60),
            Retry::seconds("rds:ModifyDBCluster", "InvalidParameterValue", "upgrade global replicas first", 30 * 60),
            Retry::seconds("rds:ModifyDBCluster", "InvalidGlobalClusterStateFault", "is upgrading", 30 * 60),
            Retry::seconds("rds:ModifyDBCluster", "InvalidDBClusterStateFault", "", 300),
            Retry::seconds("rds:DeleteGlobalCluster", "InvalidGlobalClusterStateFault", "", 10 * 60),
        ],
    };

    const INDEXED: bool = false;

    fn remark(outputs: &GlobalClusterOutputs) -> Option<String> {
        let writer = outputs.writer.as_ref()?;
        Some(format!("the writer is in {}", rds::region_of(writer.as_str())))
    }

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let found = rds::global_clusters(context).await?;
        let object = |wanted: &Wanted<Self>| {
            let name = Some(wanted.spec.name.as_str());
            let global = found.iter().find(|global| global.global_cluster_identifier() == name);
            let global = global.filter(|global| global.status() != Some("deleting"));
            global.map(|global| object(global, &wanted.spec)).transpose()
        };
        wanted.iter().map(object).collect()
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &GlobalClusterSpec,
        object: Option<Object<Self>>,
    ) -> Result<GlobalClusterOutputs> {
        let object = match object {
            Some(object) => object,
            None => match create(task, spec).await {
                Err(error) if error.is(&["GlobalClusterAlreadyExistsFault"]) => reclaim(task, spec).await?,
                created => created?,
            },
        };
        available(task, &spec.name).await?;
        if object.spec.engine_version != spec.engine_version {
            upgrade(task, &object.spec.engine_version, spec).await?;
        }
        if let Some(modification) = modification(&object.spec, spec) {
            let clients = task.clients();
            task.call("rds:ModifyGlobalCluster", || modification.clone().send_with(clients.rds())).await?;
            available(task, &spec.name).await?;
        }
        rds::sync_tags(task, &arn(task, &spec.name), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &GlobalClusterSpec, outputs: &GlobalClusterOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let name = outputs.id.as_str();
        let deleted = task
            .call("rds:DeleteGlobalCluster", || {
                clients.rds().delete_global_cluster().global_cluster_identifier(name).send()
            })
            .await;
        match deleted {
            Err(error) if error.is_gone() => return Ok(Deletion::Gone),
            deleted => drop(deleted?),
        }
        task.wait("the global cluster to be gone", Patience::minutes(30), || async {
            Ok(match describe(task, name).await? {
                None => Look::Ready(Deletion::Gone),
                Some(global) => Look::Pending(global.status.unwrap_or_default()),
            })
        })
        .await
    }
}

async fn create(task: &Task<'_>, spec: &GlobalClusterSpec) -> Result<Object<GlobalCluster>> {
    let clients = task.clients();
    let tags = rds::sdk_tags(&task.tags);
    let created = task.call("rds:CreateGlobalCluster", || creation(spec, &tags).send_with(clients.rds())).await?;
    let global =
        created.global_cluster().ok_or_else(|| Error::incomplete("rds:CreateGlobalCluster", "GlobalCluster"))?;
    let outputs =
        GlobalClusterOutputs { id: spec.name.as_str().into(), writer: rds::writer(global).map(ClusterArn::from) };
    let object = Object { spec: spec.clone(), outputs, tags: task.tags.clone() };
    task.identified(&object.outputs).await?;
    Ok(object)
}

/// An empty global cluster: a name for the database would be refused here, and a source would bring all of this with it
/// (`rds.global.create`).
fn creation(spec: &GlobalClusterSpec, tags: &[Tag]) -> CreateGlobalClusterInputBuilder {
    CreateGlobalClusterInputBuilder::default()
        .global_cluster_identifier(&spec.name)
        .engine(rds::ENGINE)
        .engine_version(&spec.engine_version)
        .storage_encrypted(spec.encrypted)
        .deletion_protection(spec.deletion_protection)
        .set_engine_lifecycle_support(rds::new_life_cycle(spec.extended_support))
        .set_tags(Some(tags.to_vec()))
}

/// What AWS changes on the global cluster itself; a minor version is refused there (`rds.global.update`).
fn modification(actual: &GlobalClusterSpec, spec: &GlobalClusterSpec) -> Option<ModifyGlobalClusterInputBuilder> {
    (actual.deletion_protection != spec.deletion_protection).then(|| {
        ModifyGlobalClusterInputBuilder::default()
            .global_cluster_identifier(&spec.name)
            .deletion_protection(spec.deletion_protection)
    })
}

/// The name was there although nothing was observed: an object on its way out, one of an earlier try, or somebody else's.
async fn reclaim(task: &Task<'_>, spec: &GlobalClusterSpec) -> Result<Object<GlobalCluster>> {
    let found = task
        .wait("the former global cluster to be gone", Patience::minutes(30), || async {
            Ok(match describe(task, &spec.name).await? {
                Some(global) if global.status() == Some("deleting") => Look::Pending("deleting".to_owned()),
                found => Look::Ready(found),
            })
        })
        .await?;
    match found.map(|global| object(&global, spec)).transpose()? {
        None => create(task, spec).await,
        Some(object) if task.owns(&object.tags) => Ok(object),
        Some(_) => Err(rds::taken("a global cluster named", &spec.name, task)),
    }
}

async fn available(task: &Task<'_>, name: &str) -> Result<()> {
    task.wait("the global cluster to be available", Patience::minutes(30), || async {
        let status = describe(task, name).await?.and_then(|global| global.status);
        rds::usable("the global cluster", status.as_deref())
    })
    .await
}

/// Upgrades every member to a minor version, the writer last.
async fn upgrade(task: &Task<'_>, from: &str, spec: &GlobalClusterSpec) -> Result<()> {
    let to = spec.engine_version.as_str();
    check_is_minor(&spec.name, from, to)?;
    let global = describe(task, &spec.name).await?.ok_or_else(|| Error::Failed(format!("{} is gone", spec.name)))?;
    for arn in writer_last(&global) {
        let home = task.clients_in(rds::region_of(arn));
        let name = arn.rsplit(':').next().unwrap_or(arn);
        task.call("rds:ModifyDBCluster", || {
            let request = home.rds().modify_db_cluster().db_cluster_identifier(name);
            request.engine_version(to).apply_immediately(true).send()
        })
        .await?;
        task.wait(&format!("{name} to run {to}"), rds::PATIENCE, || async {
            let Some(cluster) = rds::cluster(task, &home, name).await? else {
                return Ok(Look::Pending("not visible".to_owned()));
            };
            let running = cluster.engine_version().unwrap_or_default();
            Ok(match rds::usable(name, cluster.status())? {
                Look::Ready(()) if order(running, to).is_lt() => Look::Pending(format!("running {running}")),
                look => look,
            })
        })
        .await?;
    }
    available(task, &spec.name).await
}

fn check_is_minor(name: &str, from: &str, to: &str) -> Result<()> {
    if major(from) == major(to) {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "the global cluster {name} runs {from}, and drctl does not lead it to another major version ({to}): AWS puts default \
         parameter groups on every member on the way; make the upgrade with ModifyGlobalCluster, then run `up` again"
    )))
}

/// The members in the one order in which AWS upgrades them (`rds.global.minor-upgrade`).
fn writer_last(global: &Found) -> Vec<&str> {
    let mut members: Vec<_> = global.global_cluster_members().iter().collect();
    members.sort_by_key(|member| member.is_writer());
    members.into_iter().filter_map(|member| member.db_cluster_arn()).collect()
}

fn object(global: &Found, wanted: &GlobalClusterSpec) -> Result<Object<GlobalCluster>> {
    fn told<T>(field: Option<T>, name: &str) -> Result<T> {
        rds::told(field, "rds:DescribeGlobalClusters", name)
    }
    let name = told(global.global_cluster_identifier(), "GlobalClusterIdentifier")?;
    let spec = GlobalClusterSpec {
        name: name.to_owned(),
        engine_version: told_version(told(global.engine_version(), "EngineVersion")?, &wanted.engine_version),
        encrypted: told(global.storage_encrypted(), "StorageEncrypted")?,
        deletion_protection: told(global.deletion_protection(), "DeletionProtection")?,
        // Nothing changes it on a global cluster that is there; its members say whether they are enrolled.
        extended_support: wanted.extended_support,
    };
    let outputs = GlobalClusterOutputs { id: name.into(), writer: rds::writer(global).map(ClusterArn::from) };
    Ok(Object { spec, outputs, tags: rds::tags(global.tag_list()) })
}

/// The version to compare with the pinned one: the pinned one itself when the running one is the same or a newer minor version.
fn told_version(running: &str, pinned: &str) -> String {
    let satisfied = major(running) == major(pinned) && order(running, pinned).is_ge();
    if satisfied { pinned } else { running }.to_owned()
}

/// What a cluster that is to become a member has to follow.
#[derive(Debug, PartialEq)]
pub(super) struct Others {
    /// The version of the members, which somebody may have upgraded beyond the pinned one. AWS takes no other, and no failover between
    /// unequal ones (`rds.failover`).
    pub(super) version: String,
    /// The region of the member that writes; none for the founder.
    pub(super) writer_region: Option<String>,
}

/// The members that are there before a further one is made.
pub(super) async fn others(context: &Context, name: &str, pinned: &str) -> Result<Others> {
    let global = describe(context, name).await?;
    let writer = global.as_ref().and_then(rds::writer);
    Ok(Others {
        version: version_of_members(global.as_ref().and_then(Found::engine_version), pinned).to_owned(),
        writer_region: writer.map(|arn| rds::region_of(arn).to_owned()),
    })
}

fn version_of_members<'v>(running: Option<&'v str>, pinned: &'v str) -> &'v str {
    running.filter(|running| told_version(running, pinned) == pinned).unwrap_or(pinned)
}

/// The major version, which names the family of parameter groups `aurora-postgresql{major}`.
pub fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

/// Compares versions by their numbers; components that only one of them has do not count, since AWS tells patch levels
/// that nobody can ask for.
fn order(one: &str, other: &str) -> Ordering {
    let numbers = |version: &str| version.split('.').map(|part| part.parse::<u32>().unwrap_or(0)).collect::<Vec<_>>();
    let (one, other) = (numbers(one), numbers(other));
    let shared = one.len().min(other.len());
    one[..shared].cmp(&other[..shared])
}

/// Global clusters have no region in their ARN.
fn arn(context: &Context, name: &str) -> String {
    format!("arn:aws:rds::{}:global-cluster:{name}", context.account())
}

async fn describe(context: &Context, name: &str) -> Result<Option<Found>> {
    let all = rds::global_clusters(context).await?;
    Ok(all.iter().find(|global| global.global_cluster_identifier() == Some(name)).cloned())
}

/// The version that runs under this name, if it is there.
///
/// # Errors
/// AWS's refusal, or a lost answer.
pub async fn running_version(aws: &Aws, region: &str, name: &str) -> Result<Option<String>> {
    let operation = "rds:DescribeGlobalClusters";
    let clients = aws.region(region);
    let found = clients.rds().describe_global_clusters().global_cluster_identifier(name).send().await;
    match found.map_err(|error| Error::from_sdk(operation, error)) {
        Err(error) if error.is_gone() => Ok(None),
        found => Ok(found?.global_clusters.unwrap_or_default().pop().and_then(|global| global.engine_version)),
    }
}

/// The running version, when the plan allows it: what exists is not upgraded because its state was lost. Nothing, when another minor version
/// has to be found.
///
/// # Errors
/// [`Error::Failed`] with what a person has to do, when the plan wants another major version than the running one.
pub fn version_to_keep(name: &str, running: Option<String>, wanted: &str) -> Result<Option<String>> {
    let Some(running) = running else { return Ok(None) };
    check_is_minor(name, &running, wanted)?;
    Ok(Some(running).filter(|running| is_wanted(running, wanted)))
}

/// The newest version of Aurora PostgreSQL that both regions offer for global databases, among those the plan allows: one
/// major version (`14`) or an exact one (`14.15`). Resolved once per deployment (`rds.global.version-pin`).
///
/// # Errors
/// [`Error::Failed`] when there is none, naming what each region offers; AWS's refusal.
pub async fn newest_version(aws: &Aws, regions: [&str; 2], wanted: &str) -> Result<String> {
    let [primary, secondary] = regions;
    let (here, there) = tokio::try_join!(offered(aws, primary), offered(aws, secondary))?;
    newest_of_both(&here, &there, wanted).ok_or_else(|| {
        Error::Failed(format!(
            "no version {wanted} of Aurora PostgreSQL is offered for global databases in both regions; {primary} offers {}, \
             {secondary} offers {}; choose another engine_version",
            choices(&here, wanted),
            choices(&there, wanted)
        ))
    })
}

fn newest_of_both(here: &[String], there: &[String], wanted: &str) -> Option<String> {
    let common = here.iter().filter(|version| there.contains(version) && is_wanted(version, wanted));
    common.max_by(|one, other| order(one, other)).cloned()
}

/// What a person may choose from: the versions of the wanted major version, or the major versions where there are none
/// of it.
fn choices(offered: &[String], wanted: &str) -> String {
    let mut versions: Vec<&str> = offered.iter().map(String::as_str).collect();
    if versions.iter().any(|version| major(version) == major(wanted)) {
        versions.retain(|version| major(version) == major(wanted));
    } else {
        versions.iter_mut().for_each(|version| *version = major(version));
    }
    versions.sort_by(|one, other| order(one, other));
    versions.dedup();
    if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
}

/// The versions that a region offers for global databases, without special builds (`16.4-limitless`).
async fn offered(aws: &Aws, region: &str) -> Result<Vec<String>> {
    let clients = aws.region(region);
    let operation = "rds:DescribeDBEngineVersions";
    let (mut offered, mut pages) = (Vec::new(), Pages::of(operation));
    loop {
        let request = clients.rds().describe_db_engine_versions().engine(rds::ENGINE).set_marker(pages.token());
        let page = request.send().await.map_err(|error| Error::from_sdk(operation, error))?;
        let versions = page.db_engine_versions.unwrap_or_default().into_iter();
        let global = versions.filter(|version| version.supports_global_databases() == Some(true));
        offered.extend(global.filter_map(|version| version.engine_version).filter(|version| is_plain(version)));
        if !pages.turn(page.marker)? {
            return Ok(offered);
        }
    }
}

/// Tells whether a version is the wanted one or one of the wanted major version. Special builds (`16.4-limitless`) are not.
pub fn is_wanted(version: &str, wanted: &str) -> bool {
    is_plain(version) && (version == wanted || version.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.')))
}

fn is_plain(version: &str) -> bool {
    version.split('.').all(|part| part.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_rds::types::GlobalClusterMember;

    fn spec(engine_version: &str, deletion_protection: bool) -> GlobalClusterSpec {
        let (name, engine_version) = ("dr-payments-dev".to_owned(), engine_version.to_owned());
        GlobalClusterSpec { name, engine_version, encrypted: true, deletion_protection, extended_support: true }
    }

    /// `rds.global.create`, `rds.global.extended-support`.
    #[test]
    fn a_global_cluster_begins_with_an_engine_and_without_a_source() {
        let creation = creation(&spec("14.15", false), &[]);
        assert_eq!(creation.get_engine().as_deref(), Some("aurora-postgresql"));
        assert_eq!(creation.get_engine_version().as_deref(), Some("14.15"));
        assert_eq!(creation.get_storage_encrypted(), &Some(true));
        assert_eq!((creation.get_source_db_cluster_identifier(), creation.get_database_name()), (&None, &None));
        assert_eq!(creation.get_engine_lifecycle_support(), &None, "AWS's default is meant");
        let without = GlobalClusterSpec { extended_support: false, ..spec("14.15", false) };
        let sent = super::creation(&without, &[]).get_engine_lifecycle_support().clone();
        assert_eq!(sent.as_deref(), Some("open-source-rds-extended-support-disabled"));
    }

    /// A field that AWS always sends and that is not there says nothing of the global cluster.
    #[test]
    fn an_answer_that_lacks_a_field_is_no_difference_but_an_error() {
        let whole = Found::builder()
            .global_cluster_identifier("dr-payments-dev")
            .engine_version("14.15")
            .storage_encrypted(true)
            .deletion_protection(false);
        let read = |found: Found| object(&found, &spec("14.15", false));
        assert_eq!(read(whole.clone().build()).unwrap().spec, spec("14.15", false));
        for (lacking, field) in [
            (whole.clone().set_global_cluster_identifier(None), "GlobalClusterIdentifier"),
            (whole.clone().set_engine_version(None), "EngineVersion"),
            (whole.clone().set_storage_encrypted(None), "StorageEncrypted"),
            (whole.clone().set_deletion_protection(None), "DeletionProtection"),
        ] {
            let told = read(lacking.build()).unwrap_err().to_string();
            assert!(told.contains("rds:DescribeGlobalClusters") && told.contains(field), "{told}");
        }
    }

    /// `rds.global.update`, `rds.global.minor-upgrade`: a minor version goes to the members, readers first, whoever writes now.
    #[test]
    fn a_minor_version_goes_to_the_members_and_protection_to_the_global_cluster() {
        let pinned = spec("14.15", false);
        assert!(modification(&pinned, &spec("14.17", false)).is_none());
        let modification = modification(&pinned, &spec("14.17", true)).expect("the protection differs");
        assert_eq!(modification.get_deletion_protection(), &Some(true));
        assert_eq!((modification.get_engine_version(), modification.get_allow_major_version_upgrade()), (&None, &None));

        let global = |members: [(&str, bool); 2]| {
            let member = |(arn, writes): (&str, bool)| {
                GlobalClusterMember::builder().db_cluster_arn(arn).is_writer(writes).build()
            };
            Found::builder().set_global_cluster_members(Some(members.map(member).to_vec())).build()
        };
        assert_eq!(writer_last(&global([("east", true), ("west", false)])), ["west", "east"]);
        assert_eq!(writer_last(&global([("east", false), ("west", true)])), ["east", "west"]);
    }

    /// `rds.global.major-resets-pg`.
    #[test]
    fn a_major_version_is_left_to_a_person_who_is_told_how() {
        assert!(check_is_minor("g", "14.15", "14.17").is_ok());
        let told = check_is_minor("g", "14.15", "16.4").unwrap_err().to_string();
        assert!(told.contains("ModifyGlobalCluster") && told.contains("parameter groups"), "{told}");
    }

    #[test]
    fn a_newer_minor_version_is_no_difference_and_an_older_one_is() {
        assert_eq!(told_version("14.15", "14.15"), "14.15");
        assert_eq!(told_version("14.15.1", "14.15"), "14.15");
        assert_eq!(told_version("14.17", "14.15"), "14.15");
        assert_eq!(told_version("14.9", "14.15"), "14.9");
        assert_eq!(told_version("15.10", "14.15"), "15.10");
        assert_eq!(told_version("13.20", "14.15"), "13.20");
    }

    /// `rds.global.version-pin`, `rds.global.major-resets-pg`.
    #[test]
    fn what_runs_is_kept_while_the_plan_allows_it() {
        let keep = |running: &str, wanted: &str| version_to_keep("g", Some(running.to_owned()), wanted);
        assert_eq!(keep("14.15", "14").unwrap().as_deref(), Some("14.15"), "a newer one is nothing to go to");
        assert_eq!(keep("14.15", "14.15").unwrap().as_deref(), Some("14.15"));
        assert_eq!(keep("14.15", "14.17").unwrap(), None, "an upgrade");
        assert!(keep("14.15", "16").is_err());
        assert_eq!(version_to_keep("g", None, "16").unwrap(), None);
    }

    /// `rds.failover`: a member that is made anew joins those that somebody has upgraded since.
    #[test]
    fn a_new_member_is_made_with_the_version_of_the_others() {
        assert_eq!(version_of_members(Some("14.17"), "14.15"), "14.17");
        assert_eq!(version_of_members(Some("14.15"), "14.15"), "14.15");
        assert_eq!(version_of_members(Some("14.9"), "14.15"), "14.15");
        assert_eq!(version_of_members(None, "14.15"), "14.15");
    }

    #[test]
    fn the_newest_common_version_is_chosen_by_number() {
        let list = |versions: &[&str]| versions.iter().map(|version| (*version).to_owned()).collect::<Vec<_>>();
        let here = list(&["14.9", "14.15", "14.17"]);
        assert_eq!(newest_of_both(&here, &list(&["14.15", "14.9"]), "14").as_deref(), Some("14.15"));
        assert_eq!(newest_of_both(&here, &list(&["14.8"]), "14"), None);
        assert!(is_wanted("14.15", "14") && is_wanted("14.15", "14.15") && is_wanted("14.15.1", "14.15"));
        assert!(!is_wanted("14.15", "14.1") && !is_wanted("16.4-limitless", "16") && !is_wanted("15.2", "14"));
    }

    /// Whoever asks for a version that is not offered learns which are.
    #[test]
    fn a_version_that_is_not_offered_lists_those_that_are() {
        let offered = ["16.1", "14.9", "14.15", "16.4"].map(str::to_owned);
        assert_eq!(choices(&offered, "14.99"), "14.9, 14.15");
        assert_eq!(choices(&offered, "99"), "14, 16");
        assert_eq!(choices(&[], "14"), "none");
    }
}
