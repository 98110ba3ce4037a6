//! `kms_alias`: a name for a key in one region.
//!
//! Facts: `kms.alias.create`, `kms.alias.regional`, `kms.alias.update`, `kms.alias.delete` (it would outlive its key for the days of the
//! key's deletion, and there is no call to get one: the list is read), `kms.list` (pages of 100), `preflight.kms`
//! (an alias on another key of the deployment, one that waits for its deletion included, is a change of the plan; one on a key without the
//! deployment's tags is somebody else's, and is neither led back nor deleted).
//! Replacement: `name`. Slow: nothing.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted, kms,
};
use crate::aws::error::Result;
use crate::aws::{Error, Pages, Tags, tags};
use crate::outputs;
use crate::reference::{AliasArn, KeyArn, Ref};

/// The kind.
#[derive(Debug)]
pub struct Alias;

/// The desired properties of an alias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AliasSpec {
    /// The name, `alias/...`.
    pub name: String,
    /// The key it stands for.
    pub key: Ref<KeyArn>,
}

outputs! {
    /// What is known of an alias once it exists.
    pub struct AliasOutputs of Alias {
        /// The ARN.
        arn: AliasArn,
    }
}

impl Kind for Alias {
    type Spec = AliasSpec;
    type Outputs = AliasOutputs;

    const TRAITS: Traits = Traits {
        name: "kms_alias",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(1, 1, 1),
        permissions: Permissions {
            read: &["kms:ListAliases", "kms:ListResourceTags"],
            change: &["kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias"],
        },
        retries: &[
            Retry::seconds("kms:CreateAlias", "NotFoundException", "", 600),
            Retry::seconds("kms:CreateAlias", "KMSInvalidStateException", "creating", 600),
            Retry::seconds("kms:UpdateAlias", "NotFoundException", "", 600),
            Retry::seconds("kms:UpdateAlias", "KMSInvalidStateException", "creating", 600),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::apart("key"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let aliases = &list(context).await?;
        context
            .each(wanted, |wanted| async move {
                let Some((arn, key)) = aliases.get(&wanted.spec.name) else { return Ok(None) };
                let spec = AliasSpec { name: wanted.spec.name.clone(), key: Ref::Known(target(arn, key)) };
                let outputs = AliasOutputs { arn: arn.as_str().into() };
                Ok(Some(Object { spec, outputs, tags: owner(context, key).await? }))
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &AliasSpec, object: Option<Object<Self>>) -> Result<AliasOutputs> {
        let clients = task.clients();
        let (name, key) = (&spec.name, spec.key.known());
        let outputs = AliasOutputs { arn: arn(key, name) };
        let stale = match object {
            Some(object) => object.spec.key != spec.key,
            None => {
                let created = task
                    .call("kms:CreateAlias", || clients.kms().create_alias().alias_name(name).target_key_id(key).send())
                    .await;
                match created {
                    // An earlier try made it whose answer was lost, it is left of an earlier key, or somebody else has the name.
                    Err(error) if error.already_exists() => existing(task, spec, error).await?.spec.key != spec.key,
                    created => created.map(|_| false)?,
                }
            }
        };
        task.identified(&outputs).await?;
        if stale {
            task.call("kms:UpdateAlias", || clients.kms().update_alias().alias_name(name).target_key_id(key).send())
                .await?;
        }
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &AliasSpec, _: &AliasOutputs) -> Result<Deletion> {
        let clients = task.clients();
        match task.call("kms:DeleteAlias", || clients.kms().delete_alias().alias_name(&spec.name).send()).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

/// Whose the key is that an alias stands for, as its tags tell. A key that keeps its tags to itself is not ours.
async fn owner(context: &Context, key: &str) -> Result<Tags> {
    let mut tags = match kms::tags(context, key).await {
        Err(error) if error.is_gone() || error.is(&["AccessDeniedException"]) => Tags::new(),
        tags => tags?,
    };
    tags.retain(|name, _| name == tags::DEPLOYMENT);
    Ok(tags)
}

/// The alias that is in the way, when it stands for a key of this deployment.
async fn existing(task: &Task<'_>, spec: &AliasSpec, refusal: Error) -> Result<Object<Alias>> {
    let wanted = Wanted { address: task.address.clone(), spec: spec.clone(), outputs: None };
    let found = Alias::observe(&task.context, &[wanted]).await?.pop().flatten().ok_or(refusal)?;
    if task.owns(&found.tags) {
        return Ok(found);
    }
    let (name, key) = (&spec.name, found.spec.key.known());
    Err(Error::Taken(format!("the {name} exists and stands for {key}, a key without this deployment's tags")))
}

/// ARN and key id of every alias, by name.
async fn list(context: &Context) -> Result<HashMap<String, (String, String)>> {
    let clients = context.clients();
    let (mut found, mut pages) = (HashMap::new(), Pages::of("kms:ListAliases"));
    loop {
        let page = context
            .call("kms:ListAliases", || clients.kms().list_aliases().limit(100).set_marker(pages.token()).send())
            .await?;
        found.extend(page.aliases().iter().filter_map(|alias| {
            // Aliases of AWS's own keys that were never used have no target.
            let target = alias.target_key_id()?;
            Some((alias.alias_name()?.to_owned(), (alias.alias_arn()?.to_owned(), target.to_owned())))
        }));
        if !pages.turn(page.next_marker)? {
            return Ok(found);
        }
    }
}

/// The ARN of the key an alias stands for: in the same region and account as the alias.
fn target(alias_arn: &str, key: &str) -> KeyArn {
    let place = alias_arn.split_once("alias/").map_or(alias_arn, |(place, _)| place);
    format!("{place}key/{key}").into()
}

/// The ARN of the alias of a key.
fn arn(key: &KeyArn, name: &str) -> AliasArn {
    let place = key.as_str().split_once("key/").map_or(key.as_str(), |(place, _)| place);
    format!("{place}{name}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alias_and_key_name_each_other_by_arn() {
        let key = KeyArn::from("arn:aws:kms:us-east-1:123456789012:key/mrk-1");
        let alias = arn(&key, "alias/dr-dev");
        assert_eq!(alias.as_str(), "arn:aws:kms:us-east-1:123456789012:alias/dr-dev");
        assert_eq!(target(alias.as_str(), "mrk-1"), key);
    }
}
