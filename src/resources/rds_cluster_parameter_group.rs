//! `rds_cluster_parameter_group`: the engine settings of a region's cluster.
//!
//! Facts: `rds.pg.create` (20 parameters per call; static ones apply at a restart only), `rds.pg.read`, `rds.pg.delete` (in use
//! until the cluster is gone), `rds.secondary.pg-drift` (one per region, they do not follow a promotion). AWS advises five
//! minutes between making a group and the first cluster that uses it, for settings that shape the new database; the settings
//! here are read when clients connect, so nothing waits for that.
//! Replacement: `name`, `family`, `description`. Slow: nothing.

use std::collections::BTreeMap;

use aws_sdk_rds::types::{ApplyMethod, DbClusterParameterGroup, Parameter};
use serde::{Deserialize, Serialize};

use super::rds;
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::outputs;
use crate::reference::ClusterParameterGroupName;

/// How many parameters one call takes.
const PARAMETERS_AT_ONCE: usize = 20;

/// The kind.
#[derive(Debug)]
pub struct ParameterGroup;

/// The desired properties of a cluster parameter group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterGroupSpec {
    /// The name, in lower case.
    pub name: String,
    /// The engine and its major version, `aurora-postgresql14`.
    pub family: String,
    /// What it is for.
    pub description: String,
    /// The settings that differ from the family's defaults: `rds.force_ssl` = `1`.
    pub parameters: BTreeMap<String, String>,
}

outputs! {
    /// What is known of a cluster parameter group once it exists.
    pub struct ParameterGroupOutputs of ParameterGroup {
        /// The name.
        name: ClusterParameterGroupName,
    }
}

impl Kind for ParameterGroup {
    type Spec = ParameterGroupSpec;
    type Outputs = ParameterGroupOutputs;

    const TRAITS: Traits = Traits {
        name: "rds_cluster_parameter_group",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name", "family", "description"],
        locked_by: None,
        expected: Expected::seconds(3, 3, 2),
        permissions: Permissions {
            read: &[
                "rds:DescribeDBClusterParameterGroups",
                "rds:DescribeDBClusterParameters",
                "rds:ListTagsForResource",
                "tag:GetResources",
            ],
            change: &[
                "rds:CreateDBClusterParameterGroup",
                "rds:ModifyDBClusterParameterGroup",
                "rds:ResetDBClusterParameterGroup",
                "rds:DeleteDBClusterParameterGroup",
                "rds:AddTagsToResource",
                "rds:RemoveTagsFromResource",
            ],
        },
        retries: &[
            Retry::seconds("rds:ModifyDBClusterParameterGroup", "InvalidDBParameterGroupState", "pending changes", 180),
            Retry::seconds("rds:ResetDBClusterParameterGroup", "InvalidDBParameterGroupState", "pending changes", 180),
            Retry::seconds("rds:DeleteDBClusterParameterGroup", "InvalidDBParameterGroupState", "", 180),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context.each(wanted, |wanted| find(context, &wanted.spec.name)).await
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &ParameterGroupSpec,
        object: Option<Object<Self>>,
    ) -> Result<ParameterGroupOutputs> {
        let object = match object {
            Some(object) => object,
            None => match create(task, spec).await {
                Err(error) if error.is(&["DBParameterGroupAlreadyExists"]) => {
                    let found = find(task, &spec.name).await?.filter(|object| task.owns(&object.tags));
                    found.ok_or_else(|| rds::taken("a cluster parameter group named", &spec.name, task))?
                }
                created => created?,
            },
        };
        set(task, &spec.name, &missing(&object.spec.parameters, &spec.parameters)).await?;
        reset(task, &spec.name, &surplus(&object.spec.parameters, &spec.parameters)).await?;
        rds::sync_tags(task, &rds::arn(task, "cluster-pg", &spec.name), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &ParameterGroupSpec, outputs: &ParameterGroupOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("rds:DeleteDBClusterParameterGroup", || {
                let request = clients.rds().delete_db_cluster_parameter_group();
                request.db_cluster_parameter_group_name(&outputs.name).send()
            })
            .await;
        match deleted {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn create(task: &Task<'_>, spec: &ParameterGroupSpec) -> Result<Object<ParameterGroup>> {
    let clients = task.clients();
    let tags = rds::sdk_tags(&task.tags);
    task.call("rds:CreateDBClusterParameterGroup", || {
        let request = clients.rds().create_db_cluster_parameter_group();
        let request = request.db_cluster_parameter_group_name(&spec.name).db_parameter_group_family(&spec.family);
        request.description(&spec.description).set_tags(Some(tags.clone())).send()
    })
    .await?;
    let outputs = ParameterGroupOutputs { name: spec.name.as_str().into() };
    task.identified(&outputs).await?;
    // A new group has its family's defaults.
    let spec = ParameterGroupSpec { parameters: BTreeMap::new(), ..spec.clone() };
    Ok(Object { spec, outputs, tags: task.tags.clone() })
}

/// Sets parameters: at once where the engine can, at the next restart where it cannot.
async fn set(task: &Task<'_>, name: &str, parameters: &[(String, String)]) -> Result<()> {
    for chunk in batches(parameters) {
        match modify(task, name, chunk, &ApplyMethod::Immediate).await {
            Err(error) if needs_restart(&error) => {
                for parameter in chunk.chunks(1) {
                    match modify(task, name, parameter, &ApplyMethod::Immediate).await {
                        Err(error) if needs_restart(&error) => {
                            modify(task, name, parameter, &ApplyMethod::PendingReboot).await?;
                        }
                        set => set?,
                    }
                }
            }
            set => set?,
        }
    }
    Ok(())
}

async fn modify(task: &Task<'_>, name: &str, parameters: &[(String, String)], method: &ApplyMethod) -> Result<()> {
    let clients = task.clients();
    let parameters: Vec<Parameter> = parameters
        .iter()
        .map(|(name, value)| {
            Parameter::builder().parameter_name(name).parameter_value(value).apply_method(method.clone()).build()
        })
        .collect();
    task.call("rds:ModifyDBClusterParameterGroup", || {
        let request = clients.rds().modify_db_cluster_parameter_group().db_cluster_parameter_group_name(name);
        request.set_parameters(Some(parameters.clone())).send()
    })
    .await?;
    Ok(())
}

/// Gives parameters their family's defaults back, at the next restart: the one moment AWS takes for all of them.
async fn reset(task: &Task<'_>, name: &str, parameters: &[String]) -> Result<()> {
    let clients = task.clients();
    for chunk in batches(parameters) {
        let parameters: Vec<Parameter> = chunk
            .iter()
            .map(|name| Parameter::builder().parameter_name(name).apply_method(ApplyMethod::PendingReboot).build())
            .collect();
        task.call("rds:ResetDBClusterParameterGroup", || {
            let request = clients.rds().reset_db_cluster_parameter_group().db_cluster_parameter_group_name(name);
            request.set_parameters(Some(parameters.clone())).send()
        })
        .await?;
    }
    Ok(())
}

/// The parameters of each call.
fn batches<T>(parameters: &[T]) -> impl Iterator<Item = &[T]> {
    parameters.chunks(PARAMETERS_AT_ONCE)
}

/// Tells whether a parameter among those sent changes at a restart only.
fn needs_restart(error: &Error) -> bool {
    error.says("InvalidParameterCombination", "immediate")
}

/// The parameters to set.
fn missing(actual: &BTreeMap<String, String>, desired: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let differs = |(name, value): &(&String, &String)| actual.get(*name) != Some(*value);
    desired.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The parameters to give their defaults back.
fn surplus(actual: &BTreeMap<String, String>, desired: &BTreeMap<String, String>) -> Vec<String> {
    actual.keys().filter(|name| !desired.contains_key(*name)).cloned().collect()
}

async fn find(context: &Context, name: &str) -> Result<Option<Object<ParameterGroup>>> {
    let Some(group) = describe(context, name).await? else { return Ok(None) };
    let arn = rds::arn(context, "cluster-pg", name);
    let (parameters, tags) = tokio::try_join!(parameters(context, name), rds::list_tags(context, &arn))?;
    let spec = ParameterGroupSpec {
        name: name.to_owned(),
        family: rds::told(
            group.db_parameter_group_family(),
            "rds:DescribeDBClusterParameterGroups",
            "DBParameterGroupFamily",
        )?
        .to_owned(),
        description: group.description().unwrap_or_default().to_owned(),
        parameters,
    };
    Ok(Some(Object { spec, outputs: ParameterGroupOutputs { name: name.into() }, tags }))
}

async fn describe(context: &Context, name: &str) -> Result<Option<DbClusterParameterGroup>> {
    let clients = context.clients();
    rds::confirmed(|| async {
        let answer = context
            .call("rds:DescribeDBClusterParameterGroups", || {
                clients.rds().describe_db_cluster_parameter_groups().db_cluster_parameter_group_name(name).send()
            })
            .await?;
        let mut groups = answer.db_cluster_parameter_groups.unwrap_or_default().into_iter();
        Ok(groups.find(|group| group.db_cluster_parameter_group_name() == Some(name)))
    })
    .await
}

/// The parameters that somebody set; the family's defaults are hundreds more.
async fn parameters(context: &Context, name: &str) -> Result<BTreeMap<String, String>> {
    let clients = context.clients();
    let found = list::all(
        context,
        "rds:DescribeDBClusterParameters",
        |token| {
            let request = clients.rds().describe_db_cluster_parameters().db_cluster_parameter_group_name(name);
            request.source("user").set_marker(token).send()
        },
        |page| (page.parameters.unwrap_or_default(), page.marker),
    )
    .await?;
    let pair = |parameter: Parameter| Some((parameter.parameter_name?, parameter.parameter_value?));
    Ok(found.into_iter().filter_map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    /// `rds.pg.create`.
    #[test]
    fn twenty_parameters_go_at_a_time_and_static_ones_at_the_next_restart() {
        let parameters: Vec<u32> = (0..41).collect();
        assert_eq!(batches(&parameters).map(<[u32]>::len).collect::<Vec<_>>(), [20, 20, 1]);
        assert_eq!(batches(&parameters).flatten().copied().collect::<Vec<_>>(), parameters);
        let refused = |message: &str| {
            let (code, message) = ("InvalidParameterCombination".to_owned(), message.to_owned());
            needs_restart(&Refusal { code, message, ..Refusal::default() }.into())
        };
        assert!(refused("cannot use immediate apply method for static parameter"));
        assert!(!refused("the parameters contradict each other"));
    }

    #[test]
    fn only_what_differs_is_set_and_what_is_no_longer_wanted_is_reset() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let actual = map(&[("rds.force_ssl", "0"), ("log_statement", "ddl"), ("same", "1")]);
        let desired = map(&[("rds.force_ssl", "1"), ("same", "1")]);
        assert_eq!(missing(&actual, &desired), [("rds.force_ssl".to_owned(), "1".to_owned())]);
        assert_eq!(surplus(&actual, &desired), ["log_statement".to_owned()]);
    }
}
