//! How long things take on AWS, in seconds of AWS's time: the one table that the slow scenarios draw from.

use std::time::Duration;

use super::Given;

/// A step that takes AWS some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    name: &'static str,
    shortest: f64,
    longest: f64,
}

impl Step {
    const fn new(name: &'static str, shortest: f64, longest: f64) -> Self {
        Self { name, shortest, longest }
    }

    /// How long it takes this time in this region.
    pub(super) fn draw(&self, given: &Given, region: &str) -> Duration {
        let [shortest, longest] = [self.shortest, self.longest].map(Duration::from_secs_f64);
        given.dice.span(&format!("{region}/{}", self.name), shortest, longest)
    }
}

pub(super) const KEY_USABLE: Step = Step::new("key usable", 2.0, 20.0);
pub(super) const ROLE_USABLE: Step = Step::new("role usable", 5.0, 20.0);

pub(super) const VISIBLE: Step = Step::new("visible", 0.5, 5.0);
pub(super) const LOST_AGAIN: Step = Step::new("lost again", 0.2, 2.0);
pub(super) const VISIBLE_AGAIN: Step = Step::new("visible again", 0.5, 3.0);
pub(super) const TAGS_INDEXED: Step = Step::new("tags indexed", 30.0, 180.0);

pub(super) const ACCELERATOR_DEPLOYED: Step = Step::new("accelerator deployed", 60.0, 300.0);
pub(super) const ARCHIVE_ENABLED: Step = Step::new("archive enabled", 2.0, 20.0);
pub(super) const ASSOCIATION: Step = Step::new("association", 1.0, 3.0);
pub(super) const ATTACHMENT: Step = Step::new("attachment", 1.0, 3.0);
pub(super) const BACKUPS_SET: Step = Step::new("backups set", 5.0, 60.0);
pub(super) const CERTIFICATE_ISSUED: Step = Step::new("certificate issued", 60.0, 600.0);
pub(super) const CERTIFICATE_RECORD: Step = Step::new("certificate record", 2.0, 10.0);
pub(super) const CHANGE_IN_SYNC: Step = Step::new("change in sync", 20.0, 60.0);
pub(super) const CLUSTER_CREATED: Step = Step::new("cluster created", 60.0, 300.0);
pub(super) const CLUSTER_DELETED: Step = Step::new("cluster deleted", 120.0, 600.0);
pub(super) const CLUSTER_MODIFIED: Step = Step::new("cluster modified", 20.0, 60.0);
pub(super) const CLUSTER_PROMOTED: Step = Step::new("cluster promoted", 120.0, 600.0);
pub(super) const DOMAIN_AVAILABLE: Step = Step::new("domain available", 20.0, 60.0);
pub(super) const DOMAIN_UPDATED: Step = Step::new("domain updated", 60.0, 180.0);
pub(super) const ENDPOINT_DELETED: Step = Step::new("endpoint deleted", 10.0, 60.0);
pub(super) const FUNCTION_ACTIVE: Step = Step::new("function active", 1.0, 5.0);
pub(super) const FUNCTION_UPDATED: Step = Step::new("function updated", 2.0, 20.0);
pub(super) const GATEWAY_ENDPOINT: Step = Step::new("gateway endpoint", 2.0, 10.0);
pub(super) const GLOBAL_CLUSTER_CREATED: Step = Step::new("global cluster created", 30.0, 120.0);
pub(super) const GLOBAL_CLUSTER_DELETED: Step = Step::new("global cluster deleted", 30.0, 120.0);
pub(super) const INSTANCE_CREATED: Step = Step::new("instance created", 240.0, 900.0);
pub(super) const INSTANCE_DELETED: Step = Step::new("instance deleted", 120.0, 480.0);
pub(super) const INSTANCE_MODIFIED: Step = Step::new("instance modified", 60.0, 300.0);
pub(super) const INTERFACE_ENDPOINT: Step = Step::new("interface endpoint", 60.0, 240.0);
pub(super) const LOAD_BALANCER_ACTIVE: Step = Step::new("load balancer active", 120.0, 240.0);
pub(super) const NAT_GATEWAY_CREATED: Step = Step::new("NAT gateway created", 90.0, 180.0);
pub(super) const NAT_GATEWAY_DELETED: Step = Step::new("NAT gateway deleted", 60.0, 180.0);
pub(super) const NETWORK: Step = Step::new("network", 1.0, 5.0);
pub(super) const NETWORK_FUNCTION_ACTIVE: Step = Step::new("function in a network active", 30.0, 120.0);
pub(super) const REPLICA_CREATED: Step = Step::new("table replica created", 60.0, 600.0);
pub(super) const REPLICA_DELETED: Step = Step::new("table replica deleted", 60.0, 600.0);
pub(super) const REPLICA_KEY_ENABLED: Step = Step::new("replica key enabled", 2.0, 15.0);
pub(super) const SECONDARY_CLUSTER_CREATED: Step = Step::new("secondary cluster created", 300.0, 1200.0);
pub(super) const SECRET_REPLICATED: Step = Step::new("secret replicated", 5.0, 60.0);
pub(super) const TABLE_CREATED: Step = Step::new("table created", 10.0, 60.0);
pub(super) const TABLE_DELETED: Step = Step::new("table deleted", 10.0, 60.0);
pub(super) const TABLE_UPDATED: Step = Step::new("table updated", 10.0, 60.0);
