//! `kms_alias`: a name for a key in one region.
//!
//! Facts: `kms.alias.create`, `kms.alias.regional`, `kms.alias.update`, `kms.alias.delete` (it would outlive its key for the days of the
//! key's deletion, and there is no call to get one: the list is read), `kms.list` (pages of 100), `preflight.kms`
//! (an alias on any other key, one that waits for its deletion included, is a change of the plan).
//! Replacement: `name`. Slow: nothing.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::{Pages, Tags};
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
        adoption: Adoption::ByName,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(1, 1, 1),
        permissions: Permissions {
            read: &["kms:ListAliases"],
            change: &["kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias"],
        },
        retries: &[
            Retry::seconds("kms:CreateAlias", "NotFoundException", "", 600),
            Retry::seconds("kms:CreateAlias", "KMSInvalidStateException", "creating", 600),
            Retry::seconds("kms:UpdateAlias", "NotFoundException", "", 600),
            Retry::seconds("kms:UpdateAlias", "KMSInvalidStateException", "creating", 600),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let aliases = list(context).await?;
        let object = |wanted: &Wanted<Self>| {
            let (arn, key) = aliases.get(&wanted.spec.name)?;
            let spec = AliasSpec { name: wanted.spec.name.clone(), key: Ref::Known(target(arn, key)) };
            Some(Object { spec, outputs: AliasOutputs { arn: arn.as_str().into() }, tags: Tags::new() })
        };
        Ok(wanted.iter().map(object).collect())
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
                    // The name is this deployment's alone, so what has it is ours: left by a lost answer or an earlier key.
                    Err(error) if error.already_exists() => true,
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
