//! What the clusters of a global cluster owe to each other while something is under way with one of them.
//!
//! A second cluster is refused until the first and its instance are ready; one that leaves is promoted, and stays a member until
//! that is over; groups are in use for as long as a cluster that goes is not gone.

use axum::http::StatusCode;
use xmltree::{Element, XMLNode};

use super::Refused;
use super::table::{CLUSTER, GLOBAL_CLUSTER, INSTANCE, Object, Start};
use super::underway::Underway;
use crate::corrections::Memory;
use crate::message::{Request, Response, branch, leaf};
use crate::operation::Operation;
use crate::scenarios::durations;
use crate::scenarios::tree::{At, Tree, bare, is, parameter};

/// See the module.
#[derive(Default)]
pub(super) struct Databases {
    /// The cluster that was made first in each global cluster: its region and name.
    writers: Memory<(String, String)>,
    /// The instances of each cluster, by region and cluster.
    instances: Memory<Vec<String>>,
    /// The ARN of the cluster that is leaving each global cluster.
    leaving: Memory<String>,
}

/// The way of a cluster out of its global cluster; the state is the cluster's own.
const PROMOTION: Start = Start {
    operation: "rds:RemoveFromGlobalCluster",
    when: |_| true,
    id: At::Request("DbClusterIdentifier"),
    region: None,
    field: "Status",
    state: "promoting",
    finally: None,
    takes: durations::CLUSTER_PROMOTED,
    ghost: None,
};

pub(super) fn concerns(operation: &Operation) -> bool {
    const ALSO: [&str; 3] =
        ["rds:RemoveFromGlobalCluster", "rds:DeleteDBSubnetGroup", "rds:DeleteDBClusterParameterGroup"];
    ALSO.iter().any(|name| is(name, operation))
}

impl Databases {
    pub(super) fn learn(&self, underway: &Underway, operation: &Operation, request: &Request, answer: &Tree) {
        let text = |name: &str| parameter(request, name).unwrap_or_default();
        let region = operation.region.as_str();
        if is("rds:CreateDBCluster", operation) {
            if !text("MasterUsername").is_empty() {
                self.writers.set(text("GlobalClusterIdentifier"), (region.to_owned(), text("DBClusterIdentifier")));
            }
        } else if is("rds:CreateDBInstance", operation) {
            let key = format!("{region}/{}", text("DBClusterIdentifier"));
            let mut instances = self.instances.get(&key).unwrap_or_default();
            instances.push(text("DBInstanceIdentifier"));
            self.instances.set(key, instances);
        } else if is("rds:RemoveFromGlobalCluster", operation) {
            // The writer leaves last, and has no need of a promotion.
            const REST: &str = "RemoveFromGlobalClusterResult/GlobalCluster/GlobalClusterMembers/GlobalClusterMember";
            if answer.part(REST).is_none() {
                return;
            }
            let member = text("DbClusterIdentifier");
            let home = member.split(':').nth(3).unwrap_or(region);
            underway.begin(&CLUSTER, home, &member, &PROMOTION, None);
            self.leaving.set(text("GlobalClusterIdentifier"), member.clone());
        }
    }

    pub(super) fn objection(&self, underway: &Underway, operation: &Operation, request: &Request) -> Option<Refused> {
        let text = |name: &str| parameter(request, name).unwrap_or_default();
        let refused = |code, message| Some((StatusCode::BAD_REQUEST, code, message));
        if is("rds:CreateDBCluster", operation) && text("MasterUsername").is_empty() {
            let (region, writer) = self.writers.get(&text("GlobalClusterIdentifier"))?;
            let instances = self.instances.get(&format!("{region}/{writer}")).unwrap_or_default();
            let busy = underway.until(&CLUSTER, &region, &writer).is_some()
                || instances.iter().any(|instance| underway.state(&INSTANCE, &region, instance) == Some("creating"));
            let message = format!("Source cluster {writer} is in a state which is not valid for physical replication.");
            return if busy { refused("InvalidDBClusterStateFault", message) } else { None };
        }
        if is("rds:DeleteGlobalCluster", operation) {
            let global = text("GlobalClusterIdentifier");
            self.member(underway, &global)?;
            return refused("InvalidGlobalClusterStateFault", format!("Global Cluster {global} is not empty."));
        }
        let uses = |object: &Object, path: &str, name: &str| {
            let ghosts = underway.ghosts(object, &operation.region, None);
            ghosts.iter().any(|ghost| ghost.text(path).as_deref() == Some(name))
        };
        if is("rds:DeleteDBSubnetGroup", operation) {
            let name = text("DBSubnetGroupName");
            let is_used =
                uses(&CLUSTER, "DBSubnetGroup", &name) || uses(&INSTANCE, "DBSubnetGroup/DBSubnetGroupName", &name);
            let message = format!("Cannot delete the subnet group '{name}' because a database uses it.");
            return if is_used { refused("InvalidDBSubnetGroupStateFault", message) } else { None };
        }
        if is("rds:DeleteDBClusterParameterGroup", operation) {
            let name = text("DBClusterParameterGroupName");
            let message = format!("One or more database clusters are still members of this parameter group {name}.");
            let is_used = uses(&CLUSTER, "DBClusterParameterGroup", &name);
            return if is_used { refused("InvalidDBParameterGroupState", message) } else { None };
        }
        None
    }

    /// Shows who is still a member of a global cluster.
    pub(super) fn show(&self, underway: &Underway, operation: &Operation, mut answer: Response) -> Response {
        if !is("rds:DescribeGlobalClusters", operation) || !answer.status.is_success() {
            return answer;
        }
        let Some(mut tree) = Tree::of(&answer) else { return answer };
        let mut changed = false;
        let [list] = GLOBAL_CLUSTER.views.iter().filter(|view| view.asked.is_some()).collect::<Vec<_>>()[..] else {
            return answer;
        };
        tree.each(list.path, &mut |global| {
            let id = global.text("GlobalClusterIdentifier").unwrap_or_default();
            let Some(member) = self.member(underway, &id) else { return };
            let fields = [leaf("DBClusterArn", &member), leaf("IsWriter", "false")].map(XMLNode::Element);
            let part: Element = branch("GlobalClusterMember", fields);
            global.add("GlobalClusterMembers/GlobalClusterMember", &Tree::Xml(part));
            changed = true;
        });
        if changed {
            tree.write(&mut answer);
        }
        answer
    }

    /// The member that is on its way out of a global cluster.
    fn member(&self, underway: &Underway, global: &str) -> Option<String> {
        let member = self.leaving.get(global)?;
        let home = member.split(':').nth(3).unwrap_or_default();
        let is_leaving = underway.state(&CLUSTER, home, bare(&member)) == Some("promoting");
        is_leaving.then_some(member)
    }
}
