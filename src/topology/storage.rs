//! The buckets that receipts are written to, one in each region, and the copying between them.
//!
//! Both buckets are the same but for their region, so that after a failover nothing is missing: lifecycle rules are not replicated
//! (`s3.repl.delete-markers`), and what is written in the secondary region is copied back by a replication of its own, which has to be
//! there before the failover (`dr.s3.failback`).

use serde_json::json;

use crate::aws::Policy;
use crate::plan::Side;
use crate::reference::{Handle, KeyArn, Ref, RoleArn};
use crate::resources::s3_bucket::{Bucket, BucketSpec, LifecycleRule};
use crate::resources::s3_bucket_replication::{BucketReplication, BucketReplicationSpec, ReplicationRule};

use super::names::REPLICATION_RULE;
use super::{Builder, Sides};

/// The name of everything that a region has one of.
const NAME: &str = "payment-data";

/// What the storage of a region needs of other stacks.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    /// The region's key, which encrypts the objects.
    pub(super) key: Ref<KeyArn>,
    /// The role that copies objects to the other region; none when nothing is copied.
    pub(super) replication_role: Option<Ref<RoleArn>>,
}

/// Adds the buckets of both regions and the replication between them.
pub(super) fn build(builder: &mut Builder<'_>, needs: &Sides<Needs>) -> Sides<Handle<Bucket>> {
    let buckets = Sides::build(|side| bucket(builder, side, needs.side(side)));
    for side in Side::BOTH {
        if let Some(role) = needs.side(side).replication_role.clone() {
            let spec = replication(builder, side, role, &needs.side(side.other()).key, &buckets);
            builder.add::<BucketReplication>(builder.scope(side), NAME, spec);
        }
    }
    buckets
}

fn bucket(builder: &mut Builder<'_>, side: Side, needs: &Needs) -> Handle<Bucket> {
    let plan = &builder.plan().storage;
    let (names, region) = (builder.names(), builder.region(side));
    let cleanup = LifecycleRule {
        enabled: true,
        prefix: String::new(),
        noncurrent_days: Some(signed(plan.lifecycle.noncurrent_days)),
        abort_uploads_days: Some(signed(plan.lifecycle.abort_uploads_days)),
        expire_delete_markers: true,
    };
    let spec = BucketSpec {
        name: names.bucket(region),
        versioning: plan.versioning,
        kms_key: Some(needs.key.clone()),
        bucket_key: true,
        public_access_block: true,
        object_ownership: "BucketOwnerEnforced".to_owned(),
        policy: Some(tls_only(&names.bucket_arn(region))),
        lifecycle: [("cleanup".to_owned(), cleanup)].into(),
        force_destroy: plan.force_destroy,
    };
    builder.add::<Bucket>(builder.scope(side), NAME, spec)
}

/// Refuses whoever does not come by TLS, whatever else allows it.
fn tls_only(bucket: &str) -> Policy {
    Policy::new(vec![json!({
        "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": [bucket, format!("{bucket}/*")],
        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    })])
}

fn replication(
    builder: &Builder<'_>,
    side: Side,
    role: Ref<RoleArn>,
    key: &Ref<KeyArn>,
    buckets: &Sides<Handle<Bucket>>,
) -> BucketReplicationSpec {
    let plan = &builder.plan().storage.replication;
    let rule = ReplicationRule {
        enabled: true,
        priority: 1,
        destination: buckets.side(side.other()).arn(),
        kms_key: Some(key.clone()),
        time_control: plan.time_control,
        metrics: true,
        delete_markers: true,
        replica_modifications: plan.replicate_back,
    };
    BucketReplicationSpec {
        bucket: buckets.side(side).name(),
        role,
        rules: [(REPLICATION_RULE.to_owned(), rule)].into(),
    }
}

/// A number of the plan that its rules keep small.
fn signed(number: u32) -> i32 {
    i32::try_from(number).expect("the plan's rules keep numbers of days small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::topology::{Inputs, Topology};
    use std::collections::BTreeMap;

    fn topology(roles: Sides<bool>) -> Topology {
        let (plan, suffix, code) = (Plan::default(), "dev".parse().unwrap(), BTreeMap::new());
        let inputs = Inputs::plain(&plan, &suffix, &code);
        let mut builder = Builder::new(inputs);
        let needs = Sides::build(|side| Needs {
            key: Ref::Known(format!("arn:key:{}", side.as_str()).as_str().into()),
            replication_role: roles.side(side).then(|| Ref::Known("arn:role".into())),
        });
        build(&mut builder, &needs);
        builder.topology
    }

    /// Deletion is the reverse of creation: both directions stop before either bucket is emptied (`s3.delete.order`).
    #[test]
    fn each_replication_refers_to_both_buckets_and_takes_the_others_key() {
        let topology = topology(Sides { primary: true, secondary: true });
        for (region, other) in [("us-east-1", "secondary"), ("us-east-2", "primary")] {
            let address = format!("{region}/s3_bucket_replication/payment-data").parse().unwrap();
            let replication = &topology.resources[&address];
            assert_eq!(replication.references.len(), 2);
            let rules = replication.spec["rules"].as_object().unwrap();
            assert_eq!(rules.keys().collect::<Vec<_>>(), [REPLICATION_RULE], "alarms name the rule");
            assert_eq!(rules[REPLICATION_RULE]["kms_key"], format!("arn:key:{other}"));
        }
    }

    /// `s3.encryption`: AWS does not check the key, and a key of another region refuses every object.
    #[test]
    fn each_bucket_takes_the_key_of_its_own_region() {
        let topology = topology(Sides { primary: true, secondary: true });
        for (region, side) in [("us-east-1", "primary"), ("us-east-2", "secondary")] {
            let bucket = &topology.resources[&format!("{region}/s3_bucket/payment-data").parse().unwrap()];
            assert_eq!(bucket.spec["kms_key"], format!("arn:key:{side}"));
        }
    }

    /// A versioned bucket grows for ever without rules for what is no longer current.
    #[test]
    fn what_is_no_longer_current_is_cleaned_up_in_both_regions() {
        let topology = topology(Sides { primary: true, secondary: true });
        for region in ["us-east-1", "us-east-2"] {
            let bucket = &topology.resources[&format!("{region}/s3_bucket/payment-data").parse().unwrap()];
            let rule = &bucket.spec["lifecycle"]["cleanup"];
            assert_eq!((&rule["enabled"], &rule["expire_delete_markers"]), (&json!(true), &json!(true)));
            assert!(rule["noncurrent_days"].is_u64() && rule["abort_uploads_days"].is_u64(), "{rule}");
        }
    }

    #[test]
    fn a_bucket_without_a_role_is_not_copied() {
        let topology = topology(Sides { primary: true, secondary: false });
        assert_eq!(topology.resources.len(), 3);
    }
}
