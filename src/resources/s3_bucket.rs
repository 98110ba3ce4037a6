//! `s3_bucket`: a bucket with its versioning, encryption, access block, ownership, policy and lifecycle.
//!
//! The settings are sub-resources that AWS reads and writes one by one and that exist only with their bucket, so they are fields, each
//! synced by itself. Replication is a kind of its own, because two buckets can replicate to each other.
//!
//! Facts: `s3.bucket.create` (no location for us-east-1), `s3.bucket.exists` (a success in us-east-1 does not prove that the bucket is
//! new: its tags are read back), `s3.bucket.operation-aborted` (one setting at a time; a name can be blocked for an hour after its deletion),
//! `s3.bucket.consistency`, `s3.bucket.subresource-codes`, `s3.bucket.tags`, `s3.versioning` (can only be suspended), `s3.encryption`,
//! `s3.pab-then-policy`, `s3.policy`, `s3.lifecycle`, `s3.bucket.defaults` (set all the same, and no ACL is sent), `s3.delete.loop`
//! (emptied again and again until it goes) and the other `s3.delete.*`.
//! Replacement: `name`. Slow: deletion of a bucket with many objects.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus,
    CreateBucketConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule as SdkRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging, VersioningConfiguration,
};
use serde::{Deserialize, Serialize};

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use super::{existing, s3};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Policy, TagChanges, Tags};
use crate::outputs;
use crate::reference::{BucketArn, BucketName, KeyArn, Ref};

/// The kind.
#[derive(Debug)]
pub struct Bucket;

/// The desired properties of a bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BucketSpec {
    /// The name, unique among all accounts.
    pub name: String,
    /// Whether old versions of objects are kept.
    pub versioning: bool,
    /// The key that encrypts new objects; none: S3's own.
    pub kms_key: Option<Ref<KeyArn>>,
    /// Whether objects share data keys, which saves requests to KMS.
    pub bucket_key: bool,
    /// Whether all public access is blocked.
    pub public_access_block: bool,
    /// Who owns objects: `BucketOwnerEnforced` switches ACLs off.
    pub object_ownership: String,
    /// Who may do what beyond their own policies.
    pub policy: Option<Policy>,
    /// What is cleaned up by itself, by the rule's id.
    pub lifecycle: BTreeMap<String, LifecycleRule>,
    /// Whether a deletion empties the bucket first. AWS knows nothing of it.
    pub force_destroy: bool,
}

/// A rule that cleans up; what is left out is kept for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LifecycleRule {
    /// Whether it is applied.
    pub enabled: bool,
    /// The beginning of the keys it is about.
    pub prefix: String,
    /// Days after which a version that was replaced or deleted is removed.
    pub noncurrent_days: Option<i32>,
    /// Days after which an upload in parts that was never completed is removed.
    pub abort_uploads_days: Option<i32>,
    /// Whether delete markers go when nothing is left below them.
    pub expire_delete_markers: bool,
}

outputs! {
    /// What is known of a bucket once it exists.
    pub struct BucketOutputs of Bucket {
        /// The name.
        name: BucketName,
        /// The ARN.
        arn: BucketArn,
    }
}

const NO_BUCKET: &str = "NoSuchBucket";
const ABORTED: &str = "OperationAborted";
/// Passes of emptying that found nothing, after which a bucket that still calls itself not empty is given up.
const VAIN_PASSES: u32 = 12;

impl Kind for Bucket {
    type Spec = BucketSpec;
    type Outputs = BucketOutputs;

    const TRAITS: Traits = Traits {
        name: "s3_bucket",
        taggable: true,
        data_bearing: true,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(8, 3, 30),
        permissions: Permissions {
            read: &[
                "s3:GetBucketTagging",
                "s3:GetBucketVersioning",
                "s3:GetEncryptionConfiguration",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketOwnershipControls",
                "s3:GetBucketPolicy",
                "s3:GetLifecycleConfiguration",
            ],
            change: &[
                "s3:CreateBucket",
                "s3:TagResource",
                "s3:PutBucketTagging",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketOwnershipControls",
                "s3:PutBucketPolicy",
                "s3:DeleteBucketPolicy",
                "s3:PutLifecycleConfiguration",
                "s3:ListBucket",
                "s3:ListBucketVersions",
                "s3:ListBucketMultipartUploads",
                "s3:AbortMultipartUpload",
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:DeleteBucket",
            ],
        },
        retries: &[
            Retry::seconds("s3:CreateBucket", ABORTED, "", 3600),
            Retry::seconds("s3:PutBucketTagging", NO_BUCKET, "", 120),
            Retry::seconds("s3:PutBucketTagging", ABORTED, "", 300),
            Retry::seconds("s3:PutPublicAccessBlock", NO_BUCKET, "", 120),
            Retry::seconds("s3:PutPublicAccessBlock", ABORTED, "", 300),
            Retry::seconds("s3:PutBucketOwnershipControls", NO_BUCKET, "", 120),
            Retry::seconds("s3:PutBucketOwnershipControls", ABORTED, "", 300),
            Retry::seconds("s3:PutBucketVersioning", NO_BUCKET, "", 120),
            Retry::seconds("s3:PutBucketVersioning", ABORTED, "", 300),
            // A replication that was deleted a moment ago.
            Retry::seconds("s3:PutBucketVersioning", "InvalidBucketState", "replication configuration is present", 300),
            Retry::seconds("s3:PutBucketEncryption", NO_BUCKET, "", 120),
            Retry::seconds("s3:PutBucketEncryption", ABORTED, "", 300),
            Retry::seconds("s3:PutBucketPolicy", NO_BUCKET, "", 120),
            Retry::seconds("s3:PutBucketPolicy", ABORTED, "", 300),
            Retry::seconds("s3:PutBucketPolicy", "MalformedPolicy", "Invalid principal", 120),
            Retry::seconds("s3:DeleteBucketPolicy", ABORTED, "", 300),
            Retry::seconds("s3:PutBucketLifecycleConfiguration", NO_BUCKET, "", 120),
            Retry::seconds("s3:PutBucketLifecycleConfiguration", ABORTED, "", 300),
            Retry::seconds("s3:DeleteBucketLifecycle", ABORTED, "", 300),
            Retry::seconds("s3:DeleteBucket", ABORTED, "", 300),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| observe(context, wanted)).await
    }

    async fn ensure(task: &Task<'_>, spec: &BucketSpec, object: Option<Object<Self>>) -> Result<BucketOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        for setting in changed(&object.spec, spec) {
            match setting {
                Setting::AccessBlock => put_access_block(task, spec).await?,
                Setting::Ownership => put_ownership(task, spec).await?,
                Setting::Versioning => put_versioning(task, spec).await?,
                Setting::Encryption => put_encryption(task, spec).await?,
                Setting::Policy => put_policy(task, spec).await?,
                Setting::Lifecycle => put_lifecycle(task, spec).await?,
            }
        }
        sync_tags(task, &spec.name, &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &BucketSpec, _: &BucketOutputs) -> Result<Deletion> {
        let vain = AtomicU32::new(0);
        // Emptying millions of objects takes hours, and what still replicates into the bucket fills it again.
        task.wait("the bucket to be empty", Patience::seconds(24 * 3600, 10), || remove(task, spec, &vain)).await?;
        task.wait("the bucket to be gone", Patience::seconds(120, 5), || gone(task, &spec.name)).await?;
        Ok(Deletion::Gone)
    }
}

/// A part of a bucket that has a call of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    AccessBlock,
    Ownership,
    Versioning,
    Encryption,
    Policy,
    Lifecycle,
}

/// The settings to make, one after the other: S3 refuses them side by side, and takes a policy only under the access block it is
/// to stand under (`s3.pab-then-policy`).
fn changed(actual: &BucketSpec, wanted: &BucketSpec) -> Vec<Setting> {
    let encryption = |spec: &BucketSpec| (spec.kms_key.clone(), spec.bucket_key);
    let settings = [
        (Setting::AccessBlock, actual.public_access_block != wanted.public_access_block),
        (Setting::Ownership, actual.object_ownership != wanted.object_ownership),
        (Setting::Versioning, actual.versioning != wanted.versioning),
        (Setting::Encryption, encryption(actual) != encryption(wanted)),
        (Setting::Policy, actual.policy != wanted.policy),
        (Setting::Lifecycle, actual.lifecycle != wanted.lifecycle),
    ];
    settings.into_iter().filter(|&(_, differs)| differs).map(|(setting, _)| setting).collect()
}

async fn observe(context: &Context, wanted: &Wanted<Bucket>) -> Result<Option<Object<Bucket>>> {
    let Some(tags) = tags(context, &wanted.spec.name).await? else { return Ok(None) };
    object(settings(context, &wanted.spec).await, tags)
}

/// A bucket as it was read. Each call knows of a creation or a deletion at a time of its own (`s3.bucket.consistency`), so a bucket
/// that only some of them know is not there.
fn object(settings: Result<BucketSpec>, tags: Tags) -> Result<Option<Object<Bucket>>> {
    let settings = or_absent(settings, NO_BUCKET)?;
    Ok(settings.map(|spec| Object { outputs: outputs(&spec.name), spec, tags }))
}

async fn settings(context: &Context, wanted: &BucketSpec) -> Result<BucketSpec> {
    let name = wanted.name.as_str();
    let (versioning, (kms_key, bucket_key), public_access_block, object_ownership, policy, lifecycle) = tokio::try_join!(
        versioning(context, name),
        encryption(context, name),
        access_block(context, name),
        ownership(context, name),
        policy(context, name),
        lifecycle(context, name),
    )?;
    Ok(BucketSpec {
        name: name.to_owned(),
        versioning,
        kms_key,
        bucket_key,
        public_access_block,
        object_ownership,
        policy,
        lifecycle,
        force_destroy: wanted.force_destroy,
    })
}

fn outputs(name: &str) -> BucketOutputs {
    BucketOutputs { name: name.into(), arn: format!("arn:aws:s3:::{name}").into() }
}

async fn create(task: &Task<'_>, spec: &BucketSpec) -> Result<Object<Bucket>> {
    let clients = task.clients();
    let name = &spec.name;
    let region = task.scope().as_str();
    let location = (region != "us-east-1").then(|| BucketLocationConstraint::from(region));
    let configuration = CreateBucketConfiguration::builder()
        .set_location_constraint(location)
        .set_tags(Some(sdk_tags(&task.tags)))
        .build();
    let created = task
        .call("s3:CreateBucket", || {
            clients
                .s3()
                .create_bucket()
                .bucket(name)
                .create_bucket_configuration(configuration.clone())
                .object_ownership(ObjectOwnership::from(spec.object_ownership.as_str()))
                .send()
        })
        .await;
    match created {
        Err(error) if is_in_account(&error) => {
            return existing::own(task, spec, &format!("the bucket {name}"), error).await;
        }
        Err(error) => return Err(refused(error, name)),
        Ok(_) => {}
    }
    let tags = task
        .wait("the bucket to be visible", Patience::seconds(120, 2), || async {
            Ok(tags(task, name).await?.map_or_else(|| Look::Pending("not visible yet".to_owned()), Look::Ready))
        })
        .await?;
    // In us-east-1 the call succeeds for a bucket that the account has already, and leaves its tags as they are.
    if !existing::is_own(&tags, &task.tags) {
        return Err(Error::Taken(existing::taken(&format!("the bucket {name}"))));
    }
    let outputs = outputs(name);
    task.identified(&outputs).await?;
    let spec = BucketSpec {
        versioning: false,
        kms_key: None,
        bucket_key: false,
        // AWS blocks public access to new buckets by itself nowadays; that is too important to rely on.
        public_access_block: false,
        policy: None,
        lifecycle: BTreeMap::new(),
        ..spec.clone()
    };
    Ok(Object { spec, outputs, tags })
}

/// The name is in use in this account: a second look tells by whom.
fn is_in_account(error: &Error) -> bool {
    error.is(&["BucketAlreadyOwnedByYou"])
}

/// Why there is no bucket: bucket names are shared by all accounts.
fn refused(error: Error, name: &str) -> Error {
    match error.is(&["BucketAlreadyExists"]) {
        true => Error::Taken(format!("the bucket name {name} is taken by another account; choose another suffix")),
        false => error,
    }
}

async fn remove(task: &Task<'_>, spec: &BucketSpec, vain: &AtomicU32) -> Result<Look<()>> {
    let clients = task.clients();
    let name = &spec.name;
    match task.call("s3:DeleteBucket", || clients.s3().delete_bucket().bucket(name).send()).await {
        Ok(_) => Ok(Look::Ready(())),
        Err(error) if error.is_gone() => Ok(Look::Ready(())),
        Err(error) if !error.is(&["BucketNotEmpty"]) => Err(error),
        Err(_) if !spec.force_destroy => Err(Error::Blocked(format!(
            "the bucket {name} is not empty and is not to be emptied; empty it, or set storage.force_destroy = true in the plan and run `up` first"
        ))),
        Err(error) => match s3::empty(task, name).await? {
            0 if vain.fetch_add(1, Ordering::Relaxed) >= VAIN_PASSES => Err(error),
            0 => Ok(Look::Pending("nothing to delete found".to_owned())),
            _ => Ok(Look::Pending("emptied".to_owned())),
        },
    }
}

async fn gone(task: &Task<'_>, name: &str) -> Result<Look<()>> {
    let clients = task.clients();
    match task.call("s3:HeadBucket", || clients.s3().head_bucket().bucket(name).send()).await {
        Ok(_) => Ok(Look::Pending("still visible".to_owned())),
        // The answer has no body, and so no code: nothing but "not found" is expected of a bucket that was just deleted.
        Err(Error::Refused(_)) => Ok(Look::Ready(())),
        Err(error) => Err(error),
    }
}

/// The tags of a bucket; `None` when there is no bucket.
async fn tags(context: &Context, name: &str) -> Result<Option<Tags>> {
    let clients = context.clients();
    let answer = context
        .call("s3:GetBucketTagging", || {
            clients.s3().get_bucket_tagging().bucket(name).expected_bucket_owner(context.account()).send()
        })
        .await;
    match answer {
        Ok(answer) => {
            Ok(Some(answer.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()))
        }
        Err(error) if error.is(&[NO_BUCKET]) => Ok(None),
        Err(error) if error.is(&["NoSuchTagSet", "NoSuchTagSetError"]) => Ok(Some(Tags::new())),
        Err(error) if error.is(&["PermanentRedirect", "AuthorizationHeaderMalformed"]) => {
            Err(Error::Taken(format!("a bucket named {name} exists in another region; choose another suffix")))
        }
        Err(error) if error.is(&["AccessDenied"]) => Err(Error::Taken(format!(
            "the bucket name {name} is taken by another account, or s3:GetBucketTagging is not allowed: {error}"
        ))),
        Err(error) => Err(error),
    }
}

async fn sync_tags(task: &Task<'_>, name: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    if changes.is_empty() {
        return Ok(());
    }
    let all = sdk_tags(&merged(actual, changes));
    let all = Tagging::builder().set_tag_set(Some(all)).build().expect("the tags are set");
    let clients = task.clients();
    task.call("s3:PutBucketTagging", || clients.s3().put_bucket_tagging().bucket(name).tagging(all.clone()).send())
        .await?;
    Ok(())
}

/// All tags that a bucket shall have: the call replaces them all, so those of others are sent along (`s3.bucket.tags`).
fn merged(actual: &Tags, changes: TagChanges) -> Tags {
    let mut all = actual.clone();
    all.retain(|key, _| !changes.remove.contains(key));
    all.extend(changes.set);
    all
}

async fn versioning(context: &Context, name: &str) -> Result<bool> {
    let clients = context.clients();
    let answer =
        context.call("s3:GetBucketVersioning", || clients.s3().get_bucket_versioning().bucket(name).send()).await?;
    Ok(answer.status() == Some(&BucketVersioningStatus::Enabled))
}

async fn put_versioning(task: &Task<'_>, spec: &BucketSpec) -> Result<()> {
    let clients = task.clients();
    let status = if spec.versioning { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
    let configuration = VersioningConfiguration::builder().status(status).build();
    task.call("s3:PutBucketVersioning", || {
        clients.s3().put_bucket_versioning().bucket(&spec.name).versioning_configuration(configuration.clone()).send()
    })
    .await?;
    Ok(())
}

async fn encryption(context: &Context, name: &str) -> Result<(Option<Ref<KeyArn>>, bool)> {
    let clients = context.clients();
    let answer = context.call("s3:GetBucketEncryption", || clients.s3().get_bucket_encryption().bucket(name).send());
    let answer = or_absent(answer.await, "ServerSideEncryptionConfigurationNotFoundError")?;
    let configuration = answer.and_then(|answer| answer.server_side_encryption_configuration);
    let Some(rule) = configuration.and_then(|configuration| configuration.rules.into_iter().next()) else {
        return Ok((None, false));
    };
    let default = rule.apply_server_side_encryption_by_default();
    let key = default.filter(|default| default.sse_algorithm() == &ServerSideEncryption::AwsKms);
    let key = key.map(|default| Ref::Known(KeyArn::from(default.kms_master_key_id().unwrap_or_default())));
    Ok((key, rule.bucket_key_enabled().unwrap_or_default()))
}

async fn put_encryption(task: &Task<'_>, spec: &BucketSpec) -> Result<()> {
    let clients = task.clients();
    let key = spec.kms_key.as_ref().map(|key| String::from(key.known()));
    let algorithm = if key.is_some() { ServerSideEncryption::AwsKms } else { ServerSideEncryption::Aes256 };
    let default = ServerSideEncryptionByDefault::builder().sse_algorithm(algorithm).set_kms_master_key_id(key);
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default.build().expect("the algorithm is set"))
        .bucket_key_enabled(spec.bucket_key)
        .build();
    let configuration = ServerSideEncryptionConfiguration::builder().rules(rule).build().expect("a rule is set");
    task.call("s3:PutBucketEncryption", || {
        let request = clients.s3().put_bucket_encryption().bucket(&spec.name);
        request.server_side_encryption_configuration(configuration.clone()).send()
    })
    .await?;
    Ok(())
}

async fn access_block(context: &Context, name: &str) -> Result<bool> {
    let clients = context.clients();
    let answer = context.call("s3:GetPublicAccessBlock", || clients.s3().get_public_access_block().bucket(name).send());
    let answer = or_absent(answer.await, "NoSuchPublicAccessBlockConfiguration")?;
    let block = answer.and_then(|answer| answer.public_access_block_configuration);
    Ok(block.is_some_and(|block| {
        [
            block.block_public_acls(),
            block.ignore_public_acls(),
            block.block_public_policy(),
            block.restrict_public_buckets(),
        ]
        .iter()
        .all(|on| on.unwrap_or_default())
    }))
}

async fn put_access_block(task: &Task<'_>, spec: &BucketSpec) -> Result<()> {
    let clients = task.clients();
    let on = spec.public_access_block;
    let configuration = PublicAccessBlockConfiguration::builder()
        .block_public_acls(on)
        .ignore_public_acls(on)
        .block_public_policy(on)
        .restrict_public_buckets(on)
        .build();
    task.call("s3:PutPublicAccessBlock", || {
        let request = clients.s3().put_public_access_block().bucket(&spec.name);
        request.public_access_block_configuration(configuration.clone()).send()
    })
    .await?;
    Ok(())
}

async fn ownership(context: &Context, name: &str) -> Result<String> {
    let clients = context.clients();
    let answer = context
        .call("s3:GetBucketOwnershipControls", || clients.s3().get_bucket_ownership_controls().bucket(name).send());
    let answer = or_absent(answer.await, "OwnershipControlsNotFoundError")?;
    let rule =
        answer.and_then(|answer| answer.ownership_controls).and_then(|controls| controls.rules.into_iter().next());
    // Buckets from before this setting work like this.
    Ok(rule.map_or(ObjectOwnership::ObjectWriter, |rule| rule.object_ownership).as_str().to_owned())
}

async fn put_ownership(task: &Task<'_>, spec: &BucketSpec) -> Result<()> {
    let clients = task.clients();
    let ownership = ObjectOwnership::from(spec.object_ownership.as_str());
    let rule = OwnershipControlsRule::builder().object_ownership(ownership).build().expect("the ownership is set");
    let controls = OwnershipControls::builder().rules(rule).build().expect("a rule is set");
    task.call("s3:PutBucketOwnershipControls", || {
        let request = clients.s3().put_bucket_ownership_controls().bucket(&spec.name);
        request.ownership_controls(controls.clone()).send()
    })
    .await?;
    Ok(())
}

async fn policy(context: &Context, name: &str) -> Result<Option<Policy>> {
    let clients = context.clients();
    let answer = context.call("s3:GetBucketPolicy", || clients.s3().get_bucket_policy().bucket(name).send());
    let answer = or_absent(answer.await, "NoSuchBucketPolicy")?;
    answer.and_then(|answer| answer.policy).map(|text| Policy::read("s3:GetBucketPolicy", &text)).transpose()
}

async fn put_policy(task: &Task<'_>, spec: &BucketSpec) -> Result<()> {
    let clients = task.clients();
    let (s3, name) = (clients.s3(), &spec.name);
    match &spec.policy {
        Some(policy) => {
            let text = policy.text();
            task.call("s3:PutBucketPolicy", || s3.put_bucket_policy().bucket(name).policy(&text).send()).await?;
        }
        None => {
            task.call("s3:DeleteBucketPolicy", || s3.delete_bucket_policy().bucket(name).send()).await?;
        }
    }
    Ok(())
}

async fn lifecycle(context: &Context, name: &str) -> Result<BTreeMap<String, LifecycleRule>> {
    let clients = context.clients();
    let answer = context.call("s3:GetBucketLifecycleConfiguration", || {
        clients.s3().get_bucket_lifecycle_configuration().bucket(name).send()
    });
    let answer = or_absent(answer.await, "NoSuchLifecycleConfiguration")?;
    let rules = answer.iter().flat_map(|answer| answer.rules());
    Ok(rules.map(|rule| (rule.id().unwrap_or_default().to_owned(), from_sdk_rule(rule))).collect())
}

async fn put_lifecycle(task: &Task<'_>, spec: &BucketSpec) -> Result<()> {
    let clients = task.clients();
    let (s3, name) = (clients.s3(), &spec.name);
    if spec.lifecycle.is_empty() {
        task.call("s3:DeleteBucketLifecycle", || s3.delete_bucket_lifecycle().bucket(name).send()).await?;
        return Ok(());
    }
    let rules = spec.lifecycle.iter().map(|(id, rule)| sdk_rule(id, rule)).collect();
    let configuration = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().expect("rules are set");
    task.call("s3:PutBucketLifecycleConfiguration", || {
        let request = s3.put_bucket_lifecycle_configuration().bucket(name);
        request.lifecycle_configuration(configuration.clone()).send()
    })
    .await?;
    Ok(())
}

fn sdk_rule(id: &str, rule: &LifecycleRule) -> SdkRule {
    let status = if rule.enabled { ExpirationStatus::Enabled } else { ExpirationStatus::Disabled };
    let noncurrent =
        rule.noncurrent_days.map(|days| NoncurrentVersionExpiration::builder().noncurrent_days(days).build());
    let abort = rule
        .abort_uploads_days
        .map(|days| AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build());
    let expiration =
        rule.expire_delete_markers.then(|| LifecycleExpiration::builder().expired_object_delete_marker(true).build());
    SdkRule::builder()
        .id(id)
        .status(status)
        .filter(LifecycleRuleFilter::builder().prefix(&rule.prefix).build())
        .set_noncurrent_version_expiration(noncurrent)
        .set_abort_incomplete_multipart_upload(abort)
        .set_expiration(expiration)
        .build()
        .expect("the status is set")
}

fn from_sdk_rule(rule: &SdkRule) -> LifecycleRule {
    LifecycleRule {
        enabled: rule.status() == &ExpirationStatus::Enabled,
        prefix: rule.filter().and_then(|filter| filter.prefix()).unwrap_or_default().to_owned(),
        noncurrent_days: rule.noncurrent_version_expiration().and_then(|expiration| expiration.noncurrent_days()),
        abort_uploads_days: rule.abort_incomplete_multipart_upload().and_then(|abort| abort.days_after_initiation()),
        expire_delete_markers: rule
            .expiration()
            .and_then(|expiration| expiration.expired_object_delete_marker())
            .unwrap_or_default(),
    }
}

/// An answer, or `None` when the refusal says that the setting was never made.
fn or_absent<T>(answer: Result<T>, code: &str) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is(&[code]) => Ok(None),
        Err(error) => Err(error),
    }
}

fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build().expect("key and value are set");
    tags.iter().map(tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;
    use serde_json::json;

    /// Invariant 6 of kinds.
    #[test]
    fn a_lifecycle_rule_reads_back_as_it_was_written() {
        let full = rule();
        let bare = LifecycleRule {
            noncurrent_days: None,
            abort_uploads_days: None,
            expire_delete_markers: false,
            ..full.clone()
        };
        for rule in [full, bare] {
            let sent = sdk_rule("cleanup", &rule);
            assert!(sent.filter().is_some(), "S3 takes no rule without a filter (`s3.lifecycle`)");
            assert_eq!(from_sdk_rule(&sent), rule);
        }
    }

    fn refusal(code: &str) -> Error {
        Refusal { code: code.to_owned(), ..Refusal::default() }.into()
    }

    fn spec() -> BucketSpec {
        BucketSpec {
            name: "dr-payment-data-us-east-1-dev".to_owned(),
            versioning: true,
            kms_key: Some(Ref::Known("arn:aws:kms:us-east-1:1:key/k".into())),
            bucket_key: true,
            public_access_block: true,
            object_ownership: "BucketOwnerEnforced".to_owned(),
            policy: Some(Policy::new(vec![json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:*" })])),
            lifecycle: [("cleanup".to_owned(), rule())].into(),
            force_destroy: false,
        }
    }

    fn rule() -> LifecycleRule {
        LifecycleRule {
            enabled: true,
            prefix: String::new(),
            noncurrent_days: Some(90),
            abort_uploads_days: Some(7),
            expire_delete_markers: true,
        }
    }

    /// `s3.bucket.exists`: whose bucket it is, by the code of the refusal.
    #[test]
    fn a_bucket_is_in_this_account_or_taken_by_the_code_of_the_refusal() {
        let taken = |error: &Error| matches!(error, Error::Taken(_));
        assert!(taken(&super::refused(refusal("BucketAlreadyExists"), "b")));
        assert!(!taken(&super::refused(refusal("AccessDenied"), "b")));
        assert!(is_in_account(&refusal("BucketAlreadyOwnedByYou")) && !is_in_account(&refusal("BucketAlreadyExists")));
    }

    /// `s3.bucket.consistency`
    #[test]
    fn a_bucket_that_only_some_calls_know_is_not_there() {
        assert!(object(Err(refusal("NoSuchBucket")), Tags::new()).unwrap().is_none());
        assert!(object(Err(refusal("AccessDenied")), Tags::new()).is_err());
        assert_eq!(object(Ok(spec()), Tags::new()).unwrap().unwrap().spec, spec());
    }

    /// `s3.bucket.tags`
    #[test]
    fn tags_of_others_survive_a_change_of_ours() {
        let tags = |pairs: &[(&str, &str)]| -> Tags {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let actual = tags(&[("theirs", "1"), ("ours", "old"), ("gone", "x")]);
        let changes = TagChanges { set: tags(&[("ours", "new")]), remove: vec!["gone".to_owned()] };
        assert_eq!(merged(&actual, changes), tags(&[("theirs", "1"), ("ours", "new")]));
    }

    /// `s3.pab-then-policy`
    #[test]
    fn public_access_is_blocked_before_a_policy_is_set() {
        let new = BucketSpec {
            versioning: false,
            kms_key: None,
            bucket_key: false,
            public_access_block: false,
            object_ownership: "ObjectWriter".to_owned(),
            policy: None,
            lifecycle: BTreeMap::new(),
            ..spec()
        };
        let all = [
            Setting::AccessBlock,
            Setting::Ownership,
            Setting::Versioning,
            Setting::Encryption,
            Setting::Policy,
            Setting::Lifecycle,
        ];
        assert_eq!(changed(&new, &spec()), all);
        assert_eq!(changed(&spec(), &spec()), []);
    }
}
