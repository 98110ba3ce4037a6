//! `s3_bucket_replication`: the replication configuration of a bucket.
//!
//! A kind of its own and not a field of the bucket, because two buckets can replicate to each other, which as fields would be a circle.
//!
//! Facts: `s3.repl.preconditions` (versioning of both buckets, visible to S3 with a delay), `s3.repl.rule-shape`, `s3.repl.rtc` (15 minutes is the
//! only value, and needs metrics), `s3.repl.delete-markers`, `s3.repl.kms` (two settings, or encrypted objects are silently left out), `s3.repl.scope`,
//! `s3.repl.silent-failure` (a wrong role is not refused), `s3.repl.delete`, `s3.delete.order` (it stops before any bucket is emptied: it refers to both).
//! Replacement: `bucket`. Slow: nothing.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{
    DeleteMarkerReplication, DeleteMarkerReplicationStatus, Destination, EncryptionConfiguration, Metrics,
    MetricsStatus, ReplicaModifications, ReplicaModificationsStatus, ReplicationConfiguration,
    ReplicationRule as SdkRule, ReplicationRuleFilter, ReplicationRuleStatus, ReplicationTime, ReplicationTimeStatus,
    ReplicationTimeValue, SourceSelectionCriteria, SseKmsEncryptedObjects, SseKmsEncryptedObjectsStatus,
};
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted,
};
use crate::aws::Tags;
use crate::aws::error::Result;
use crate::outputs;
use crate::reference::{BucketArn, BucketName, KeyArn, Ref, RoleArn};

/// The kind.
#[derive(Debug)]
pub struct BucketReplication;

/// The desired properties of a replication configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BucketReplicationSpec {
    /// The bucket whose objects are copied.
    pub bucket: Ref<BucketName>,
    /// The role that copies.
    pub role: Ref<RoleArn>,
    /// What is copied where, by the rule's id.
    pub rules: BTreeMap<String, ReplicationRule>,
}

/// Copying of every object to one other bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicationRule {
    /// Whether it is applied.
    pub enabled: bool,
    /// Which rule wins where several have the same destination; the higher one.
    pub priority: i32,
    /// The bucket that gets the copies.
    pub destination: Ref<BucketArn>,
    /// The key that encrypts the copies; none: objects encrypted with KMS are not copied.
    pub kms_key: Option<Ref<KeyArn>>,
    /// Whether 15 minutes are promised and measured.
    pub time_control: bool,
    /// Whether latency and backlog are published as metrics; needed by `time_control`.
    pub metrics: bool,
    /// Whether deletions are copied as delete markers.
    pub delete_markers: bool,
    /// Whether changes made to copies, such as tags, are copied back.
    pub replica_modifications: bool,
}

outputs! {
    /// What is known of a replication configuration once it exists.
    pub struct BucketReplicationOutputs of BucketReplication {
        /// The name of the bucket it is part of.
        bucket: BucketName,
    }
}

/// The only threshold S3 has, in minutes.
const THRESHOLD: i32 = 15;

impl Kind for BucketReplication {
    type Spec = BucketReplicationSpec;
    type Outputs = BucketReplicationOutputs;

    const TRAITS: Traits = Traits {
        name: "s3_bucket_replication",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["bucket"],
        locked_by: Some("bucket"),
        expected: Expected::seconds(2, 2, 1),
        permissions: Permissions {
            read: &["s3:GetReplicationConfiguration"],
            change: &["s3:PutReplicationConfiguration", "iam:PassRole"],
        },
        retries: &[
            Retry::seconds("s3:PutBucketReplication", "InvalidRequest", "Versioning must be 'Enabled'", 120),
            Retry::seconds(
                "s3:PutBucketReplication",
                "InvalidRequest",
                "Destination bucket must have versioning enabled",
                120,
            ),
            Retry::seconds("s3:PutBucketReplication", "NoSuchBucket", "", 120),
            Retry::seconds("s3:PutBucketReplication", "OperationAborted", "", 300),
            Retry::seconds("s3:DeleteBucketReplication", "OperationAborted", "", 300),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::named("bucket"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| observe(context, wanted)).await
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &BucketReplicationSpec,
        object: Option<Object<Self>>,
    ) -> Result<BucketReplicationOutputs> {
        let outputs = BucketReplicationOutputs { bucket: spec.bucket.known().clone() };
        if object.is_some_and(|object| object.spec == *spec) {
            return Ok(outputs);
        }
        let clients = task.clients();
        let rules = spec.rules.iter().map(|(id, rule)| sdk_rule(id, rule)).collect();
        let configuration = ReplicationConfiguration::builder().role(spec.role.known()).set_rules(Some(rules));
        let configuration = configuration.build().expect("role and rules are set");
        task.call("s3:PutBucketReplication", || {
            let request = clients.s3().put_bucket_replication().bucket(spec.bucket.known());
            request.replication_configuration(configuration.clone()).send()
        })
        .await?;
        task.identified(&outputs).await?;
        Ok(outputs)
    }

    async fn delete(
        task: &Task<'_>,
        _: &BucketReplicationSpec,
        outputs: &BucketReplicationOutputs,
    ) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("s3:DeleteBucketReplication", || {
                clients.s3().delete_bucket_replication().bucket(&outputs.bucket).send()
            })
            .await;
        match deleted {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn observe(context: &Context, wanted: &Wanted<BucketReplication>) -> Result<Option<Object<BucketReplication>>> {
    let recorded = wanted.outputs.as_ref().map(|outputs| &outputs.bucket);
    let Some(bucket) = recorded.or_else(|| wanted.spec.bucket.get()) else { return Ok(None) };
    let clients = context.clients();
    let answer =
        context.call("s3:GetBucketReplication", || clients.s3().get_bucket_replication().bucket(bucket).send()).await;
    let configuration = match answer {
        Ok(answer) => answer.replication_configuration,
        Err(error) if is_absent(&error) => None,
        Err(error) => return Err(error),
    };
    Ok(configuration.map(|configuration| Object {
        spec: BucketReplicationSpec {
            bucket: Ref::Known(bucket.clone()),
            role: Ref::Known(configuration.role().into()),
            rules: configuration
                .rules()
                .iter()
                .map(|rule| (rule.id().unwrap_or_default().to_owned(), from_sdk_rule(rule)))
                .collect(),
        },
        outputs: BucketReplicationOutputs { bucket: bucket.clone() },
        tags: Tags::new(),
    }))
}

fn is_absent(error: &crate::aws::Error) -> bool {
    error.is(&["ReplicationConfigurationNotFoundError", "NoSuchBucket"])
}

fn sdk_rule(id: &str, rule: &ReplicationRule) -> SdkRule {
    let threshold = ReplicationTimeValue::builder().minutes(THRESHOLD).build();
    let time = ReplicationTime::builder().status(ReplicationTimeStatus::Enabled).time(threshold.clone());
    // The threshold belongs to time control; metrics alone have none.
    let metrics = Metrics::builder()
        .status(MetricsStatus::Enabled)
        .set_event_threshold(rule.time_control.then_some(threshold))
        .build()
        .expect("the status is set");
    let key =
        rule.kms_key.as_ref().map(|key| EncryptionConfiguration::builder().replica_kms_key_id(key.known()).build());
    let destination = Destination::builder()
        .bucket(rule.destination.known())
        .set_encryption_configuration(key.clone())
        .set_replication_time(rule.time_control.then(|| time.build().expect("status and time are set")))
        .set_metrics((rule.metrics || rule.time_control).then_some(metrics))
        .build()
        .expect("the bucket is set");
    let markers = match rule.delete_markers {
        true => DeleteMarkerReplicationStatus::Enabled,
        false => DeleteMarkerReplicationStatus::Disabled,
    };
    SdkRule::builder()
        .id(id)
        .priority(rule.priority)
        .status(if rule.enabled { ReplicationRuleStatus::Enabled } else { ReplicationRuleStatus::Disabled })
        .filter(ReplicationRuleFilter::builder().prefix("").build())
        .set_source_selection_criteria(criteria(key.is_some(), rule.replica_modifications))
        .delete_marker_replication(DeleteMarkerReplication::builder().status(markers).build())
        .destination(destination)
        .build()
        .expect("status and destination are set")
}

fn criteria(encrypted: bool, modifications: bool) -> Option<SourceSelectionCriteria> {
    let encrypted = encrypted.then(|| {
        let status = SseKmsEncryptedObjectsStatus::Enabled;
        SseKmsEncryptedObjects::builder().status(status).build().expect("the status is set")
    });
    let modifications = modifications.then(|| {
        let status = ReplicaModificationsStatus::Enabled;
        ReplicaModifications::builder().status(status).build().expect("the status is set")
    });
    if encrypted.is_none() && modifications.is_none() {
        return None;
    }
    let criteria = SourceSelectionCriteria::builder().set_sse_kms_encrypted_objects(encrypted);
    Some(criteria.set_replica_modifications(modifications).build())
}

fn from_sdk_rule(rule: &SdkRule) -> ReplicationRule {
    let destination = rule.destination();
    let criteria = rule.source_selection_criteria();
    let encrypted = criteria
        .and_then(|criteria| criteria.sse_kms_encrypted_objects())
        .is_some_and(|encrypted| encrypted.status() == &SseKmsEncryptedObjectsStatus::Enabled);
    let key = destination
        .and_then(|destination| destination.encryption_configuration())
        .and_then(|configuration| configuration.replica_kms_key_id())
        .filter(|_| encrypted);
    ReplicationRule {
        enabled: rule.status() == &ReplicationRuleStatus::Enabled,
        priority: rule.priority().unwrap_or_default(),
        destination: Ref::Known(destination.map(|destination| destination.bucket()).unwrap_or_default().into()),
        kms_key: key.map(|key| Ref::Known(key.into())),
        time_control: destination
            .and_then(|destination| destination.replication_time())
            .is_some_and(|time| time.status() == &ReplicationTimeStatus::Enabled),
        metrics: destination
            .and_then(|destination| destination.metrics())
            .is_some_and(|metrics| metrics.status() == &MetricsStatus::Enabled),
        delete_markers: rule
            .delete_marker_replication()
            .is_some_and(|markers| markers.status() == Some(&DeleteMarkerReplicationStatus::Enabled)),
        replica_modifications: criteria
            .and_then(|criteria| criteria.replica_modifications())
            .is_some_and(|modifications| modifications.status() == &ReplicaModificationsStatus::Enabled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> ReplicationRule {
        ReplicationRule {
            enabled: true,
            priority: 1,
            destination: Ref::Known("arn:aws:s3:::there".into()),
            kms_key: Some(Ref::Known("arn:aws:kms:us-east-2:1:key/k".into())),
            time_control: true,
            metrics: true,
            delete_markers: true,
            replica_modifications: true,
        }
    }

    /// Invariant 6 of kinds.
    #[test]
    fn a_rule_reads_back_as_it_was_written() {
        let plain = ReplicationRule {
            kms_key: None,
            time_control: false,
            metrics: false,
            delete_markers: false,
            replica_modifications: false,
            ..rule()
        };
        for rule in [rule(), plain] {
            assert_eq!(from_sdk_rule(&sdk_rule("all", &rule)), rule);
        }
    }

    /// `s3.repl.rule-shape`, `s3.repl.rtc`, `s3.repl.kms`: the parts without which S3 refuses, or silently copies nothing.
    #[test]
    fn a_rule_has_every_part_s3_demands() {
        let rule = sdk_rule("all", &rule());
        assert!(rule.filter().is_some() && rule.priority().is_some() && rule.delete_marker_replication().is_some());
        let destination = rule.destination().unwrap();
        assert!(destination.replication_time().is_some() && destination.metrics().unwrap().event_threshold().is_some());
        assert!(rule.source_selection_criteria().unwrap().sse_kms_encrypted_objects().is_some());
        assert!(destination.encryption_configuration().is_some());
    }
}
