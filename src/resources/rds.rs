//! What all kinds of RDS share: tags, the meaning of a status, and how a cluster leaves its global cluster.
//!
//! Facts: `rds.global.detach`, `rds.global.detach-primary-early`, `rds.global.delete-order` (readers first, then the writer),
//! `rds.global.list` (found by member, on our side), `rds.global.read` (who writes is told by the members), `rds.failover.after`
//! (either member may be the writer), `rds.cluster.wait-create`, `rds.cluster.wait-update`, `rds.secondary.wait`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_rds::types::{DbCluster, GlobalCluster, Tag};
use tokio::time::sleep;

use super::{Context, OnAws, Retry, Task, list};
use crate::aws::error::Result;
pub(super) use crate::aws::error::told;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Clients, Error, Tags};
use crate::{from_sdk_tags, sdk_tags};

/// The engine of every cluster drctl makes.
pub(super) const ENGINE: &str = "aurora-postgresql";

/// How long clusters and instances may take, from the wait table of the facts.
pub(super) const PATIENCE: Patience = Patience::minutes(120);

/// After how long a look that found nothing is repeated.
const MOMENT: Duration = Duration::from_secs(2);

/// Leaving a global cluster is refused while another operation runs on it or on the member.
pub(super) const LEAVE_BUSY: [Retry; 2] = [
    Retry::seconds("rds:RemoveFromGlobalCluster", "InvalidDBClusterStateFault", "", 30 * 60),
    Retry::seconds("rds:RemoveFromGlobalCluster", "InvalidGlobalClusterStateFault", "", 30 * 60),
];

/// The ARN of an object of the context's region, which the calls for tags want.
pub(super) fn arn(context: &Context, object: &str, name: &str) -> String {
    format!("arn:aws:rds:{}:{}:{object}:{name}", context.scope(), context.account())
}

/// An object's tags, where the describe call tells them.
pub(super) fn tags(actual: &[Tag]) -> Tags {
    from_sdk_tags!(actual)
}

/// An object's tags, where the describe call does not tell them.
pub(super) async fn list_tags(context: &Context, arn: &str) -> Result<Tags> {
    if let Some(tags) = context.confirmed_tags(arn).await? {
        return Ok(tags);
    }
    let clients = context.clients();
    let answer = context
        .call("rds:ListTagsForResource", || clients.rds().list_tags_for_resource().resource_name(arn).send())
        .await?;
    Ok(tags(answer.tag_list()))
}

/// Tags as RDS takes them.
pub(super) fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    sdk_tags!(tags, Tag)
}

/// Brings an object's tags up to date.
pub(super) async fn sync_tags(task: &Task<'_>, arn: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = sdk_tags(&changes.set);
        task.call("rds:AddTagsToResource", || {
            clients.rds().add_tags_to_resource().resource_name(arn).set_tags(Some(set.clone())).send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        task.call("rds:RemoveTagsFromResource", || {
            let request = clients.rds().remove_tags_from_resource().resource_name(arn);
            request.set_tag_keys(Some(changes.remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}

/// Somebody else's object has the name.
pub(super) fn taken(what: &str, name: &str, context: &Context) -> Error {
    Error::Taken(format!(
        "{what} {name} exists in {} and does not belong to deployment {}; delete or rename it, or choose another suffix",
        context.scope(),
        context.suffix()
    ))
}

/// Tells whether a cluster or instance in this status stays as it is unless somebody repairs it.
fn is_broken(status: &str) -> bool {
    ["failed", "insufficient-capacity", "restore-error", "stopped", "storage-full"].contains(&status)
        || ["incompatible-", "inaccessible-"].iter().any(|prefix| status.starts_with(prefix))
}

/// What the status of a cluster or instance says to one who waits for it to be usable.
pub(super) fn usable(what: &str, status: Option<&str>) -> Result<Look<()>> {
    match status {
        Some("available" | "storage-optimization") => Ok(Look::Ready(())),
        Some(status) if is_broken(status) || status == "deleting" => Err(Error::Failed(format!(
            "{what} is {status} and does not become available by itself; see its events in the RDS console, then run this again"
        ))),
        status => Ok(Look::Pending(status.unwrap_or("not visible yet").to_owned())),
    }
}

/// Tells whether a cluster or instance in this status can be told to go: AWS refuses it while another operation runs.
pub(super) fn is_settled(status: &str) -> bool {
    matches!(status, "available" | "storage-optimization" | "deleting") || is_broken(status)
}

/// One cluster by name or ARN; `None` when there is none.
pub(super) async fn cluster(context: &Context, clients: &Clients, name: &str) -> Result<Option<DbCluster>> {
    confirmed(|| async {
        let answer = context
            .call("rds:DescribeDBClusters", || clients.rds().describe_db_clusters().db_cluster_identifier(name).send())
            .await?;
        Ok(named(answer.db_clusters.unwrap_or_default(), name))
    })
    .await
}

/// The cluster asked for: AWS may answer with another one.
fn named(clusters: Vec<DbCluster>, name: &str) -> Option<DbCluster> {
    let is_named =
        |cluster: &DbCluster| [cluster.db_cluster_identifier(), cluster.db_cluster_arn()].contains(&Some(name));
    clusters.into_iter().find(is_named)
}

/// Looks for one object by its identifier. When there is none AWS refuses; an answer with nothing or with another object may be wrong
/// for a moment, so it is believed only when a second look says the same (`x.read-identity-check`).
pub(super) async fn confirmed<T, Fut>(look: impl Fn() -> Fut) -> Result<Option<T>>
where
    Fut: Future<Output = Result<Option<T>>>,
{
    let mut found = look().await;
    if matches!(found, Ok(None)) {
        sleep(MOMENT).await;
        found = look().await;
    }
    match found {
        Err(error) if error.is_gone() => Ok(None),
        found => found,
    }
}

/// Refuses to take a protected cluster apart. AWS protects the cluster alone: it would let its last instance and its membership
/// go before it refuses the cluster's own deletion.
pub(super) fn check_unprotected(cluster: &DbCluster) -> Result<()> {
    match cluster.deletion_protection() {
        Some(true) => Err(Error::Blocked(format!(
            "the cluster {} is protected against deletion; set deletion_protection = false under [database.aurora], run `up`, \
             then delete it",
            cluster.db_cluster_identifier().unwrap_or_default()
        ))),
        _ => Ok(()),
    }
}

/// Takes a cluster out of its global cluster, whichever role it plays now.
///
/// AWS lets a writer go only after all readers, and either member may be the writer, since a failover moves that role. So the
/// live roles decide: a reader leaves alone, a writer after the others.
pub(super) async fn leave_global_cluster(task: &Task<'_>, cluster_arn: &str) -> Result<()> {
    let Some(global) = global_cluster_of(task, cluster_arn).await? else { return Ok(()) };
    let id = told(global.global_cluster_identifier(), "rds:DescribeGlobalClusters", "GlobalClusterIdentifier")?;
    for member in leaving(&global, cluster_arn) {
        leave(task, id, &member).await?;
    }
    Ok(())
}

/// The ARN of the member that writes.
pub(super) fn writer(global: &GlobalCluster) -> Option<&str> {
    global.global_cluster_members().iter().find(|member| member.is_writer() == Some(true))?.db_cluster_arn()
}

/// Who has to leave so that `cluster_arn` can, in order.
fn leaving(global: &GlobalCluster, cluster_arn: &str) -> Vec<String> {
    let mut order = Vec::new();
    if writer(global) == Some(cluster_arn) {
        let members = global.global_cluster_members().iter().filter_map(|member| member.db_cluster_arn());
        order.extend(members.filter(|arn| *arn != cluster_arn).map(str::to_owned));
    }
    order.push(cluster_arn.to_owned());
    order
}

/// The global cluster that names a cluster among its members.
pub(super) fn membership<'g>(all: &'g [GlobalCluster], cluster_arn: &str) -> Option<&'g GlobalCluster> {
    let is_member = |global: &&GlobalCluster| {
        global.global_cluster_members().iter().any(|member| member.db_cluster_arn() == Some(cluster_arn))
    };
    all.iter().find(is_member)
}

/// The name of the global cluster that a cluster is a member of, as AWS tells it now; `None` when it is a cluster of its own, which
/// is believed when AWS says it twice.
pub(super) async fn global_cluster_name(context: &Context, cluster_arn: &str) -> Result<Option<String>> {
    let all = global_clusters(context).await?;
    if let Some(global) = membership(&all, cluster_arn) {
        let name = global.global_cluster_identifier().map(str::to_owned);
        return told(name, "rds:DescribeGlobalClusters", "GlobalClusterIdentifier").map(Some);
    }
    sleep(MOMENT).await;
    let again = read_global_clusters(context).await?;
    Ok(membership(&again, cluster_arn).and_then(|global| global.global_cluster_identifier.clone()))
}

async fn global_cluster_of(context: &Context, cluster_arn: &str) -> Result<Option<GlobalCluster>> {
    Ok(membership(&global_clusters(context).await?, cluster_arn).cloned())
}

/// All global clusters of the account that the region sees. One observation reads them once.
pub(super) async fn global_clusters(context: &Context) -> Result<Arc<Vec<GlobalCluster>>> {
    context.shared("rds:DescribeGlobalClusters", || read_global_clusters(context)).await
}

async fn read_global_clusters(context: &Context) -> Result<Vec<GlobalCluster>> {
    let clients = context.clients();
    list::all(
        context,
        "rds:DescribeGlobalClusters",
        |token| clients.rds().describe_global_clusters().set_marker(token).send(),
        |page| (page.global_clusters.unwrap_or_default(), page.marker),
    )
    .await
}

/// All clusters of the region. One observation reads them once.
pub(super) async fn clusters(context: &Context) -> Result<Arc<Vec<DbCluster>>> {
    let clients = context.clients();
    let operation = "rds:DescribeDBClusters";
    let read = || {
        list::all(
            context,
            operation,
            |token| clients.rds().describe_db_clusters().set_marker(token).send(),
            |page| (page.db_clusters.unwrap_or_default(), page.marker),
        )
    };
    context.shared(operation, read).await
}

/// A list to send; nothing when it is empty, which the query protocol would send as one empty text.
pub(super) fn some(list: Vec<String>) -> Option<Vec<String>> {
    (!list.is_empty()).then_some(list)
}

/// What the API calls enrolment in Extended Support, and its opposite (`rds.global.extended-support`).
const ENROLLED: &str = "open-source-rds-extended-support";
const NOT_ENROLLED: &str = "open-source-rds-extended-support-disabled";

/// The life cycle to ask for when something is made; nothing where AWS's default is meant.
pub(super) fn new_life_cycle(extended_support: bool) -> Option<String> {
    (!extended_support).then(|| NOT_ENROLLED.to_owned())
}

/// The life cycle as it is set on what is there.
pub(super) fn life_cycle(extended_support: bool) -> String {
    if extended_support { ENROLLED } else { NOT_ENROLLED }.to_owned()
}

/// Tells whether AWS says that a cluster is enrolled in Extended Support; `wanted` where it says nothing of it.
pub(super) fn is_enrolled(life_cycle: Option<&str>, wanted: bool) -> bool {
    life_cycle.map_or(wanted, |life_cycle| life_cycle != NOT_ENROLLED)
}

/// What a spec that was recorded before there was such a field stands for: AWS's default.
pub(super) fn enrolled_by_default() -> bool {
    true
}

async fn leave(task: &Task<'_>, global: &str, member: &str) -> Result<()> {
    let clients = task.clients();
    let left = task
        .call("rds:RemoveFromGlobalCluster", || {
            let request = clients.rds().remove_from_global_cluster();
            request.global_cluster_identifier(global).db_cluster_identifier(member).send()
        })
        .await;
    match left {
        Err(error) if error.is_gone() || error.says("InvalidParameterValue", "not found in global cluster") => {}
        left => drop(left?),
    }
    // A reader that leaves is promoted on its way; AWS refuses to delete it until that is over.
    let home = task.clients_in(region_of(member));
    let name = member.rsplit(':').next().unwrap_or(member);
    task.wait("the cluster to leave its global cluster", Patience::minutes(40), || async {
        if global_cluster_of(task, member).await?.is_some() {
            return Ok(Look::Pending("still a member".to_owned()));
        }
        let status = cluster(task, &home, name).await?.and_then(|cluster| cluster.status);
        Ok(match status {
            Some(status) if !is_settled(&status) => Look::Pending(status),
            _ => Look::Ready(()),
        })
    })
    .await
}

/// The region in an ARN.
pub(super) fn region_of(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use aws_sdk_rds::types::GlobalClusterMember;

    use super::*;
    use crate::resources::existing::tests::refused;

    fn global(members: &[(&str, bool)]) -> GlobalCluster {
        let member = |(arn, writes): &(&str, bool)| {
            GlobalClusterMember::builder().db_cluster_arn(*arn).is_writer(*writes).build()
        };
        GlobalCluster::builder().set_global_cluster_members(Some(members.iter().map(member).collect())).build()
    }

    /// `x.read-identity-check`
    #[test]
    fn another_cluster_is_not_taken_for_the_one_asked_for() {
        let arn = |name: &str| format!("arn:aws:rds:us-east-1:1:cluster:{name}");
        let cluster = |name: &str| DbCluster::builder().db_cluster_identifier(name).db_cluster_arn(arn(name)).build();
        assert_eq!(named(Vec::new(), "a"), None);
        assert_eq!(named(vec![cluster("b")], "a"), None);
        assert_eq!(named(vec![cluster("b"), cluster("a")], "a"), Some(cluster("a")));
        assert_eq!(named(vec![cluster("a")], &arn("a")), Some(cluster("a")));
    }

    /// `x.read-identity-check`: a cluster or instance that is still there would keep its subnets and groups.
    #[tokio::test(start_paused = true)]
    async fn an_answer_without_the_object_is_believed_when_it_comes_twice() {
        async fn seen(looks: Vec<Result<Option<&str>>>) -> Result<Option<&str>> {
            let looks = Mutex::new(looks.into_iter());
            confirmed(|| async { looks.lock().expect("one look at a time").next().expect("no further look") }).await
        }
        let gone = || Err(refused("DBInstanceNotFound"));
        assert_eq!(seen(vec![Ok(None), Ok(Some("deleting"))]).await.unwrap(), Some("deleting"));
        assert_eq!(seen(vec![Ok(None), Ok(None)]).await.unwrap(), None);
        assert_eq!(seen(vec![Ok(None), gone()]).await.unwrap(), None);
        assert_eq!(seen(vec![gone()]).await.unwrap(), None, "what AWS says outright needs no second look");
        assert!(seen(vec![Err(refused("AccessDenied"))]).await.is_err());
    }

    /// `rds.failover.detach-style`: what was wanted tells nothing of a cluster that somebody took out.
    #[test]
    fn membership_is_what_the_members_say() {
        let all = [global(&[("other", true)]), global(&[("east", true), ("west", false)])];
        assert_eq!(membership(&all, "west"), Some(&all[1]));
        assert_eq!(membership(&all, "detached"), None);
        assert_eq!(membership(&[], "west"), None);
    }

    #[test]
    fn a_reader_leaves_alone_and_a_writer_last() {
        let healthy = global(&[("east", true), ("west", false)]);
        assert_eq!(leaving(&healthy, "west"), ["west"]);
        assert_eq!(leaving(&healthy, "east"), ["west", "east"]);
        let failed_over = global(&[("east", false), ("west", true)]);
        assert_eq!(leaving(&failed_over, "east"), ["east"]);
        assert_eq!(leaving(&failed_over, "west"), ["east", "west"]);
    }

    #[test]
    fn a_protected_cluster_is_not_taken_apart() {
        let cluster =
            |protected| DbCluster::builder().db_cluster_identifier("c").deletion_protection(protected).build();
        assert!(
            check_unprotected(&cluster(true)).is_err_and(|error| error.to_string().contains("deletion_protection"))
        );
        assert!(check_unprotected(&cluster(false)).is_ok());
    }

    #[test]
    fn a_broken_database_ends_the_wait_and_an_unknown_status_does_not() {
        assert!(matches!(usable("x", Some("available")), Ok(Look::Ready(()))));
        assert!(matches!(usable("x", Some("promoting")), Ok(Look::Pending(_))));
        assert!(matches!(usable("x", Some("some-new-status")), Ok(Look::Pending(_))));
        assert!(matches!(usable("x", None), Ok(Look::Pending(_))));
        for status in ["failed", "incompatible-network", "inaccessible-encryption-credentials-recoverable"] {
            assert!(usable("the cluster", Some(status)).is_err_and(|error| error.to_string().contains(status)));
            assert!(is_settled(status));
        }
        assert!(!is_settled("promoting"));
    }
}
