//! `iam_role`: an IAM role with its trust policy and its inline policies.
//!
//! Inline policies live and die with their role and have no tags and no identity of their own, so they are a field: a map from name
//! to document, each synced by itself.
//!
//! Facts: `iam.role.create`, `iam.role.create.principal-lag`, `iam.role.arn-quirk`, `iam.policy.inline` (put overwrites),
//! `iam.read.encoding` (documents come URL-encoded), `iam.role.update`, `iam.role.delete` (everything attached goes first, also
//! what others attached), `iam.list` (two account-wide lists read all roles: one has policies and tags, the other has
//! description and session length), `iam.propagation`, `iam.propagation.consumers` and `x.iam-propagation` (consumers retry, each at
//! the words of its own service, not this kind), `x.global.iam-names`.
//! Replacement: `name`. Slow: nothing.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_iam::types::{EntityType, Role as SdkRole, RoleDetail, Tag};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::existing;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Pages, Policy, Tags};
use crate::outputs;
use crate::reference::{RoleArn, RoleName};

/// The kind.
#[derive(Debug)]
pub struct Role;

/// The desired properties of a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleSpec {
    /// The name, unique in the account; at most 64 characters.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who may assume it.
    pub trust: Policy,
    /// The inline policies by name; others on the role are removed.
    pub policies: BTreeMap<String, Policy>,
    /// The longest session in seconds, 3600 to 43200.
    pub max_session_seconds: i32,
}

outputs! {
    /// What is known of a role once it exists.
    pub struct RoleOutputs of Role {
        /// The name.
        name: RoleName,
        /// The ARN.
        arn: RoleArn,
    }
}

/// The list that has policies and tags of all roles.
const LIST: &str = "iam:GetAccountAuthorizationDetails";

/// A second writer to the same role, or an earlier write that is not visible everywhere yet.
const CONCURRENT: &str = "ConcurrentModification";

impl Kind for Role {
    type Spec = RoleSpec;
    type Outputs = RoleOutputs;

    const TRAITS: Traits = Traits {
        name: "iam_role",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 3),
        permissions: Permissions {
            read: &[
                "iam:GetAccountAuthorizationDetails",
                "iam:ListRoles",
                "iam:GetRole",
                "iam:ListRolePolicies",
                "iam:GetRolePolicy",
            ],
            change: &[
                "iam:CreateRole",
                "iam:UpdateRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:PutRolePolicy",
                "iam:DeleteRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:DetachRolePolicy",
                "iam:ListInstanceProfilesForRole",
                "iam:RemoveRoleFromInstanceProfile",
                "iam:TagRole",
                "iam:UntagRole",
                "iam:DeleteRole",
            ],
        },
        retries: &[
            Retry::seconds("iam:CreateRole", "MalformedPolicyDocument", "Invalid principal in policy", 120),
            Retry::seconds("iam:UpdateAssumeRolePolicy", "MalformedPolicyDocument", "Invalid principal in policy", 120),
            Retry::seconds("iam:CreateRole", CONCURRENT, "", 120),
            Retry::seconds("iam:UpdateRole", CONCURRENT, "", 120),
            Retry::seconds("iam:UpdateAssumeRolePolicy", CONCURRENT, "", 120),
            Retry::seconds("iam:PutRolePolicy", CONCURRENT, "", 120),
            // The role was created a moment ago; nothing else makes a role that is being configured unknown.
            Retry::seconds("iam:PutRolePolicy", "NoSuchEntity", "", 120),
            Retry::seconds("iam:TagRole", CONCURRENT, "", 120),
            Retry::seconds("iam:DeleteRole", CONCURRENT, "", 120),
            Retry::seconds("iam:DeleteRole", "DeleteConflict", "", 120),
        ],
    };

    const INDEXED: bool = false;

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let (details, roles) = match tokio::try_join!(details(context), roles(context)) {
            // Both lists are of the whole account, which not everybody may read.
            Err(error) if error.is(&["AccessDenied", "AccessDeniedException"]) => {
                return context.each(wanted, |wanted| by_name(context, &wanted.spec.name)).await;
            }
            lists => lists?,
        };
        let object = |wanted: &Wanted<Self>| {
            let detail = details.get(wanted.spec.name.as_str());
            detail.map(|detail| object(detail, roles.get(wanted.spec.name.as_str()))).transpose()
        };
        wanted.iter().map(object).collect()
    }

    async fn ensure(task: &Task<'_>, spec: &RoleSpec, object: Option<Object<Self>>) -> Result<RoleOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        sync(task, spec, &object.spec).await?;
        sync_tags(task, &spec.name, &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &RoleSpec, _: &RoleOutputs) -> Result<Deletion> {
        match delete_by_name(task, &spec.name).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn create(task: &Task<'_>, spec: &RoleSpec) -> Result<Object<Role>> {
    let clients = task.clients();
    let tags = sdk_tags(&task.tags);
    let created = task
        .call("iam:CreateRole", || {
            clients
                .iam()
                .create_role()
                .role_name(&spec.name)
                .description(&spec.description)
                .assume_role_policy_document(spec.trust.text())
                .max_session_duration(spec.max_session_seconds)
                .set_tags(Some(tags.clone()))
                .send()
        })
        .await;
    let created = match created {
        Err(error) if error.already_exists() => {
            return existing::own(task, spec, &format!("the role {}", spec.name), error).await;
        }
        created => created?,
    };
    let arn = created.role().map(|role| role.arn().to_owned()).unwrap_or_default();
    let arn = match settled(&arn) {
        Look::Ready(arn) => arn,
        Look::Pending(_) => settled_arn(task, &spec.name).await?,
    };
    let outputs = RoleOutputs { name: spec.name.as_str().into(), arn: arn.into() };
    task.identified(&outputs).await?;
    // A new role has no inline policies.
    let spec = RoleSpec { policies: BTreeMap::new(), ..spec.clone() };
    Ok(Object { spec, outputs, tags: task.tags.clone() })
}

/// What an ARN in an answer is worth: for a while after the creation an opaque id can stand in its place (`iam.role.arn-quirk`).
fn settled(arn: &str) -> Look<String> {
    if arn.starts_with("arn:") { Look::Ready(arn.to_owned()) } else { Look::Pending("unsettled".to_owned()) }
}

/// The ARN of a role that was created a moment ago.
async fn settled_arn(task: &Task<'_>, name: &str) -> Result<String> {
    let clients = task.clients();
    task.wait("the role's ARN to settle", Patience::seconds(120, 5), || async {
        match task.call("iam:GetRole", || clients.iam().get_role().role_name(name).send()).await {
            Ok(answer) => Ok(settled(answer.role().map(|role| role.arn()).unwrap_or_default())),
            Err(error) if error.is_gone() => Ok(Look::Pending("not visible yet".into())),
            Err(error) => Err(error),
        }
    })
    .await
}

async fn sync(task: &Task<'_>, spec: &RoleSpec, actual: &RoleSpec) -> Result<()> {
    let clients = task.clients();
    let (iam, name) = (clients.iam(), &spec.name);
    if actual.trust != spec.trust {
        let trust = spec.trust.text();
        task.call("iam:UpdateAssumeRolePolicy", || {
            iam.update_assume_role_policy().role_name(name).policy_document(&trust).send()
        })
        .await?;
    }
    if (&actual.description, actual.max_session_seconds) != (&spec.description, spec.max_session_seconds) {
        // AWS resets what is left out, so both go together.
        task.call("iam:UpdateRole", || {
            iam.update_role()
                .role_name(name)
                .description(&spec.description)
                .max_session_duration(spec.max_session_seconds)
                .send()
        })
        .await?;
    }
    for (policy, document) in &spec.policies {
        if actual.policies.get(policy) != Some(document) {
            let document = document.text();
            task.call("iam:PutRolePolicy", || {
                iam.put_role_policy().role_name(name).policy_name(policy).policy_document(&document).send()
            })
            .await?;
        }
    }
    for policy in actual.policies.keys().filter(|policy| !spec.policies.contains_key(*policy)) {
        remove_inline(task, name, policy).await?;
    }
    Ok(())
}

async fn sync_tags(task: &Task<'_>, name: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    // Two keys that differ in case alone are one key for IAM, so that a removal after the setting would take both.
    if !changes.remove.is_empty() {
        let keys = &changes.remove;
        task.call("iam:UntagRole", || {
            clients.iam().untag_role().role_name(name).set_tag_keys(Some(keys.clone())).send()
        })
        .await?;
    }
    if !changes.set.is_empty() {
        let set = sdk_tags(&changes.set);
        task.call("iam:TagRole", || clients.iam().tag_role().role_name(name).set_tags(Some(set.clone())).send())
            .await?;
    }
    Ok(())
}

async fn remove_inline(task: &Task<'_>, name: &str, policy: &str) -> Result<()> {
    let clients = task.clients();
    let removed = task
        .call("iam:DeleteRolePolicy", || clients.iam().delete_role_policy().role_name(name).policy_name(policy).send())
        .await;
    match removed {
        Err(error) if !error.is_gone() => Err(error),
        _ => Ok(()),
    }
}

/// Deletes a role with all that is attached to it.
pub(super) async fn delete_by_name(task: &Task<'_>, name: &str) -> Result<()> {
    let clients = task.clients();
    let iam = clients.iam();
    let inline = task.call("iam:ListRolePolicies", || iam.list_role_policies().role_name(name).send());
    let attached =
        task.call("iam:ListAttachedRolePolicies", || iam.list_attached_role_policies().role_name(name).send());
    let profiles =
        task.call("iam:ListInstanceProfilesForRole", || iam.list_instance_profiles_for_role().role_name(name).send());
    let (inline, attached, profiles) = tokio::try_join!(inline, attached, profiles)?;
    for profile in profiles.instance_profiles() {
        let profile = profile.instance_profile_name();
        task.call("iam:RemoveRoleFromInstanceProfile", || {
            iam.remove_role_from_instance_profile().instance_profile_name(profile).role_name(name).send()
        })
        .await?;
    }
    for policy in attached.attached_policies().iter().filter_map(|policy| policy.policy_arn()) {
        task.call("iam:DetachRolePolicy", || iam.detach_role_policy().role_name(name).policy_arn(policy).send())
            .await?;
    }
    for policy in inline.policy_names() {
        remove_inline(task, name, policy).await?;
    }
    task.call("iam:DeleteRole", || iam.delete_role().role_name(name).send()).await?;
    Ok(())
}

/// Policies and tags of all roles, by name.
async fn details(context: &Context) -> Result<HashMap<String, RoleDetail>> {
    let clients = context.clients();
    let (mut found, mut pages) = (HashMap::new(), Pages::of("iam:GetAccountAuthorizationDetails"));
    loop {
        let page = context
            .call(LIST, || {
                let request = clients.iam().get_account_authorization_details().filter(EntityType::Role);
                request.max_items(1000).set_marker(pages.token()).send()
            })
            .await?;
        for detail in page.role_detail_list.unwrap_or_default() {
            found.insert(detail.role_name().unwrap_or_default().to_owned(), detail);
        }
        if !pages.turn(page.marker)? {
            return Ok(found);
        }
    }
}

/// Descriptions and session lengths of all roles, by name.
async fn roles(context: &Context) -> Result<HashMap<String, SdkRole>> {
    let clients = context.clients();
    let (mut found, mut pages) = (HashMap::new(), Pages::of("iam:ListRoles"));
    loop {
        let page = context
            .call("iam:ListRoles", || clients.iam().list_roles().max_items(1000).set_marker(pages.token()).send())
            .await?;
        found.extend(page.roles.into_iter().map(|role| (role.role_name().to_owned(), role)));
        if !pages.turn(page.marker)? {
            return Ok(found);
        }
    }
}

/// One role, read by its name.
async fn by_name(context: &Context, name: &str) -> Result<Option<Object<Role>>> {
    let clients = context.clients();
    let iam = clients.iam();
    let role = match context.call("iam:GetRole", || iam.get_role().role_name(name).send()).await {
        Ok(answer) => answer.role.ok_or_else(|| Error::incomplete("iam:GetRole", "Role"))?,
        Err(error) if error.is_gone() => return Ok(None),
        Err(error) => return Err(error),
    };
    let listed = context.call("iam:ListRolePolicies", || iam.list_role_policies().role_name(name).send()).await?;
    let read = |policy: &String| {
        let policy = policy.clone();
        async move {
            let request = || iam.get_role_policy().role_name(name).policy_name(&policy).send();
            let answer = context.call("iam:GetRolePolicy", request).await?;
            Ok::<_, Error>((policy.clone(), document("iam:GetRolePolicy", Some(answer.policy_document()))?))
        }
    };
    let policies = context.each(listed.policy_names(), read).await?;
    let spec = RoleSpec {
        name: name.to_owned(),
        description: role.description().unwrap_or_default().to_owned(),
        trust: document("iam:GetRole", role.assume_role_policy_document())?,
        policies: policies.into_iter().collect(),
        max_session_seconds: role.max_session_duration().unwrap_or(3600),
    };
    let outputs = RoleOutputs { name: name.into(), arn: role.arn().into() };
    let tags = role.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
    Ok(Some(Object { spec, outputs, tags }))
}

fn object(detail: &RoleDetail, role: Option<&SdkRole>) -> Result<Object<Role>> {
    let lacks = |field: &str| Error::incomplete(LIST, field);
    let name = detail.role_name().ok_or_else(|| lacks("RoleName"))?;
    let policies = detail.role_policy_list().iter().map(|policy| {
        let name = policy.policy_name().ok_or_else(|| lacks("PolicyName"))?;
        Ok((name.to_owned(), document(LIST, policy.policy_document())?))
    });
    let spec = RoleSpec {
        name: name.to_owned(),
        description: role.and_then(|role| role.description()).unwrap_or_default().to_owned(),
        trust: document(LIST, detail.assume_role_policy_document())?,
        policies: policies.collect::<Result<_>>()?,
        max_session_seconds: role.and_then(|role| role.max_session_duration()).unwrap_or(3600),
    };
    let outputs = RoleOutputs { name: name.into(), arn: detail.arn().ok_or_else(|| lacks("Arn"))?.into() };
    let tags = detail.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
    Ok(Object { spec, outputs, tags })
}

/// A policy document as IAM answers it: JSON, URL-encoded.
fn document(operation: &str, encoded: Option<&str>) -> Result<Policy> {
    Policy::read(operation, &percent_decode_str(encoded.unwrap_or_default()).decode_utf8_lossy())
}

fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build().expect("key and value are set");
    tags.iter().map(tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iam::types::PolicyDetail;
    use serde_json::json;

    /// Invariant 6 of kinds: IAM encodes documents and returns lists of one as it got them.
    #[test]
    fn an_answer_becomes_the_spec_that_made_it() {
        let policy =
            Policy::new(vec![json!({ "Effect": "Allow", "Action": ["s3:PutObject"], "Resource": "arn:aws:s3:::b/*" })]);
        let trust = Policy::new(vec![
            json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "Service": "lambda.amazonaws.com" } }),
        ]);
        let encoded = |policy: &Policy| {
            percent_encoding::utf8_percent_encode(&policy.text(), percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let detail = RoleDetail::builder()
            .role_name("r")
            .arn("arn:aws:iam::1:role/r")
            .assume_role_policy_document(encoded(&trust))
            .role_policy_list(PolicyDetail::builder().policy_name("p").policy_document(encoded(&policy)).build())
            .build();
        let spec = RoleSpec {
            name: "r".into(),
            description: String::new(),
            trust,
            policies: [("p".to_owned(), policy)].into(),
            max_session_seconds: 3600,
        };
        assert_eq!(object(&detail, None).unwrap().spec, spec);
    }

    /// `iam.list`: each of the two lists is asked for what the other lacks.
    #[test]
    fn tags_come_from_one_list_and_description_and_session_from_the_other() {
        let tag = |value: &str| Tag::builder().key("drctl:deployment").value(value).build().unwrap();
        let detail = RoleDetail::builder().role_name("r").arn("arn:aws:iam::1:role/r").tags(tag("dev"));
        let detail = detail.assume_role_policy_document("{\"Statement\":[]}").build();
        let listed = SdkRole::builder()
            .role_name("r")
            .path("/")
            .role_id("AROAEXAMPLE")
            .arn("arn:aws:iam::1:role/r")
            .create_date(aws_sdk_iam::primitives::DateTime::from_secs(0))
            .description("what it is for")
            .max_session_duration(7200)
            .build()
            .unwrap();
        let object = object(&detail, Some(&listed)).unwrap();
        assert_eq!(object.tags, Tags::from([("drctl:deployment".to_owned(), "dev".to_owned())]));
        assert_eq!((object.spec.description.as_str(), object.spec.max_session_seconds), ("what it is for", 7200));
    }

    /// `iam.role.arn-quirk`.
    #[test]
    fn an_opaque_id_is_no_arn_yet() {
        for unsettled in ["AROAEXAMPLE", ""] {
            assert!(matches!(settled(unsettled), Look::Pending(_)), "{unsettled:?}");
        }
        assert!(matches!(settled("arn:aws:iam::1:role/r"), Look::Ready(arn) if arn == "arn:aws:iam::1:role/r"));
    }
}
