//! The last instance of a cluster stays while the global database needs it (`rds.instance.delete-last`), a cluster while it is a member or has
//! instances (`rds.cluster.delete-errors`), its groups while it is there (`rds.subnetgroup.delete`, `rds.pg.delete`).

use axum::http::StatusCode;
use xmltree::Element;

use super::super::ask::{children, members, rds, text};
use super::Refused;
use crate::corrections::Call;
use crate::error::Error;

pub(super) async fn in_the_way(call: &Call<'_>) -> Result<Option<Refused>, Error> {
    let form = call.original.form();
    let subject = |parameter: &str| form.get(parameter).unwrap_or_default();
    let clusters = members(&rds(call, call.region(), "DescribeDBClusters").await?, "DBClusters");
    let global = members(&rds(call, call.region(), "DescribeGlobalClusters").await?, "GlobalClusters");
    Ok(match call.name() {
        "DeleteDBCluster" => cluster(&clusters, &global, subject("DBClusterIdentifier")),
        "DeleteDBClusterParameterGroup" => {
            let name = subject("DBClusterParameterGroupName");
            user(&clusters, "DBClusterParameterGroup", name).map(|user| {
                let message = format!(
                    "One or more database clusters are still members of this parameter group {name}: {user}, so the group \
                     cannot be deleted"
                );
                Refused::new("InvalidDBParameterGroupState", message)
            })
        }
        "DeleteDBInstance" => instance(&clusters, &global, subject("DBInstanceIdentifier")),
        "DeleteDBSubnetGroup" => {
            let name = subject("DBSubnetGroupName");
            user(&clusters, "DBSubnetGroup", name).map(|user| {
                let message = format!(
                    "Cannot delete the subnet group '{name}' because at least one database cluster: {user} is still using it."
                );
                Refused::new("InvalidDBSubnetGroupStateFault", message)
            })
        }
        _ => None,
    })
}

/// The cluster that has this value in a field.
fn user(clusters: &[Element], field: &str, name: &str) -> Option<String> {
    let cluster = clusters.iter().find(|cluster| text(cluster, field) == name)?;
    Some(text(cluster, "DBClusterIdentifier"))
}

fn fault(message: impl Into<String>) -> Refused {
    Refused { status: StatusCode::BAD_REQUEST, code: "InvalidDBClusterStateFault", message: message.into() }
}

fn cluster(clusters: &[Element], global: &[Element], name: &str) -> Option<Refused> {
    let cluster = clusters.iter().find(|cluster| text(cluster, "DBClusterIdentifier") == name)?;
    if membership(global, &text(cluster, "DBClusterArn")).is_some() {
        return Some(fault("This cluster is a part of a global cluster, please remove it from globalcluster first"));
    }
    children(cluster, "DBClusterMembers").next()?;
    Some(fault("Cluster cannot be deleted, it still contains DB instances in non-deleting state."))
}

/// Refuses the last instance of a writer that has readers elsewhere, and of a reader.
fn instance(clusters: &[Element], global: &[Element], name: &str) -> Option<Refused> {
    let of = |cluster: &Element| -> Vec<String> {
        children(cluster, "DBClusterMembers").map(|member| text(member, "DBInstanceIdentifier")).collect()
    };
    let cluster = clusters.iter().find(|cluster| of(cluster) == [name])?;
    match membership(global, &text(cluster, "DBClusterArn"))? {
        Membership::Alone => None,
        Membership::Writer => Some(fault(
            "Cannot delete the last instance of the master cluster. Delete the replica cluster before deleting the last \
             master cluster instance.",
        )),
        Membership::Reader => Some(fault("Cannot delete the last instance of the read replica DB cluster.")),
    }
}

/// What a cluster is in its global cluster.
enum Membership {
    Alone,
    Writer,
    Reader,
}

fn membership(global: &[Element], arn: &str) -> Option<Membership> {
    let of = |global: &Element| -> Vec<(String, String)> {
        let members = children(global, "GlobalClusterMembers");
        members.map(|member| (text(member, "DBClusterArn"), text(member, "IsWriter"))).collect()
    };
    let all = global.iter().map(of).find(|members| members.iter().any(|(member, _)| member == arn))?;
    let writes = all.iter().any(|(member, writes)| member == arn && writes == "true");
    Some(match (all.len(), writes) {
        (1, _) => Membership::Alone,
        (_, true) => Membership::Writer,
        (_, false) => Membership::Reader,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_cluster(region: &str, instances: &[&str]) -> Element {
        let members: String = instances
            .iter()
            .map(|name| {
                format!("<DBClusterMember><DBInstanceIdentifier>{name}</DBInstanceIdentifier></DBClusterMember>")
            })
            .collect();
        let source = format!(
            "<DBCluster><DBClusterIdentifier>{region}</DBClusterIdentifier><DBClusterArn>arn:{region}</DBClusterArn>\
             <DBSubnetGroup>private</DBSubnetGroup><DBClusterMembers>{members}</DBClusterMembers></DBCluster>"
        );
        Element::parse(source.as_bytes()).unwrap()
    }

    fn a_global(members: &[(&str, bool)]) -> Element {
        let members: String = members
            .iter()
            .map(|(region, writes)| {
                format!(
                    "<GlobalClusterMember><DBClusterArn>arn:{region}</DBClusterArn><IsWriter>{writes}</IsWriter>\
                     </GlobalClusterMember>"
                )
            })
            .collect();
        let source = format!(
            "<GlobalClusterMember><GlobalClusterMembers>{members}</GlobalClusterMembers></GlobalClusterMember>"
        );
        Element::parse(source.as_bytes()).unwrap()
    }

    #[test]
    fn the_last_instance_stays_while_the_global_database_needs_it() {
        let (one, two) = ([a_cluster("east", &["a"])], [a_cluster("east", &["a", "b"])]);
        let told = |clusters: &[Element], members: &[(&str, bool)]| {
            instance(clusters, &[a_global(members)], "a").map(|refused| refused.message)
        };
        let pair = [("east", true), ("west", false)];
        assert!(told(&one, &pair).is_some_and(|message| message.contains("last master cluster instance")));
        assert!(told(&one, &[("east", false), ("west", true)]).is_some_and(|message| message.contains("read replica")));
        assert_eq!(told(&two, &pair), None, "another instance is left");
        assert_eq!(told(&one, &[("east", true)]), None, "nobody else needs it");
        assert_eq!(told(&one, &[("west", true)]), None, "it is no member");
    }

    #[test]
    fn a_cluster_goes_after_its_membership_and_its_instances() {
        let global = [a_global(&[("east", true)])];
        let told = |clusters: &[Element], global: &[Element]| cluster(clusters, global, "east").map(|one| one.message);
        let full = [a_cluster("east", &["a"])];
        assert!(told(&full, &global).is_some_and(|message| message.contains("part of a global cluster")));
        assert!(told(&full, &[]).is_some_and(|message| message.contains("still contains DB instances")));
        assert_eq!(told(&[a_cluster("east", &[])], &[]), None);
        assert_eq!(user(&full, "DBSubnetGroup", "private").as_deref(), Some("east"));
        assert_eq!(user(&full, "DBSubnetGroup", "other"), None);
    }
}
