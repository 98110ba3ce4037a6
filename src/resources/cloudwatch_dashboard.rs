//! `cloudwatch_dashboard`: charts on one page.
//!
//! Facts: `cw.dashboard` (the body is replaced as a whole; a success may carry messages about a faulty one; names are unique in the
//! account, over all regions; tags count at creation only).
//! Replacement: `name`. Slow: nothing.

use aws_sdk_cloudwatch::types::Tag;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cloudwatch;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::{outputs, sdk_tags};

/// The kind.
#[derive(Debug)]
pub struct Dashboard;

/// The desired properties of a dashboard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DashboardSpec {
    /// The name, unique in the account.
    pub name: String,
    /// The body, as CloudWatch defines it; may hold references.
    pub body: Value,
}

outputs! {
    /// What is known of a dashboard once it exists.
    pub struct DashboardOutputs of Dashboard {
        /// The name.
        name: String,
    }
}

impl Kind for Dashboard {
    type Spec = DashboardSpec;
    type Outputs = DashboardOutputs;

    const TRAITS: Traits = Traits {
        name: "cloudwatch_dashboard",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["cloudwatch:GetDashboard", "cloudwatch:ListTagsForResource"],
            change: &[
                "cloudwatch:PutDashboard",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
                "cloudwatch:DeleteDashboards",
            ],
        },
        retries: &[
            Retry::seconds("cloudwatch:TagResource", "ConcurrentModificationException", "", 60),
            Retry::seconds("cloudwatch:UntagResource", "ConcurrentModificationException", "", 60),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context
            .each(wanted, |wanted| async move {
                match read(context, &wanted.spec.name).await {
                    Err(error) if is_gone(&error) => Ok(None),
                    object => object.map(Some),
                }
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &DashboardSpec, object: Option<Object<Self>>) -> Result<DashboardOutputs> {
        let outputs = DashboardOutputs { name: spec.name.clone() };
        let Some(object) = object else {
            put(task, spec, Some(sdk_tags!(task.tags, Tag))).await?;
            task.identified(&outputs).await?;
            return Ok(outputs);
        };
        if object.spec != *spec {
            put(task, spec, None).await?;
        }
        cloudwatch::sync_tags(task, &arn(task, &spec.name), &object.tags).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, _: &DashboardSpec, outputs: &DashboardOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let name = outputs.name.as_str();
        let deleted = task
            .call("cloudwatch:DeleteDashboards", || {
                clients.cloudwatch().delete_dashboards().dashboard_names(name).send()
            })
            .await;
        match deleted {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn read(context: &Context, name: &str) -> Result<Object<Dashboard>> {
    let clients = context.clients();
    let found = context
        .call("cloudwatch:GetDashboard", || clients.cloudwatch().get_dashboard().dashboard_name(name).send())
        .await?;
    let body = found.dashboard_body().ok_or_else(|| Error::incomplete("cloudwatch:GetDashboard", "DashboardBody"))?;
    let spec = DashboardSpec { name: name.to_owned(), body: parse(body) };
    let tags = cloudwatch::tags(context, &arn(context, name)).await?;
    Ok(Object { spec, outputs: DashboardOutputs { name: name.to_owned() }, tags })
}

/// Creates the dashboard, or replaces its body. CloudWatch takes tags at the creation alone.
async fn put(task: &Task<'_>, spec: &DashboardSpec, tags: Option<Vec<Tag>>) -> Result<()> {
    let clients = task.clients();
    let answer = task
        .call("cloudwatch:PutDashboard", || {
            let request = clients.cloudwatch().put_dashboard().dashboard_name(&spec.name);
            request.dashboard_body(spec.body.to_string()).set_tags(tags.clone()).send()
        })
        .await?;
    for message in answer.dashboard_validation_messages() {
        let (path, text) = (message.data_path().unwrap_or_default(), message.message().unwrap_or_default());
        tracing::warn!(dashboard = spec.name, path, text, "CloudWatch finds fault with a dashboard");
    }
    Ok(())
}

/// The ARN, in which no region stands.
fn arn(context: &Context, name: &str) -> String {
    format!("arn:aws:cloudwatch::{}:dashboard/{name}", context.account())
}

/// CloudWatch's protocols spell it in two ways, one of which ends in a word of its own.
fn is_gone(error: &Error) -> bool {
    error.is_gone() || error.is(&["DashboardNotFoundError"])
}

/// A body as its meaning; a text that is no JSON stays a text, so that it differs from every body.
fn parse(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| Value::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bodies_are_compared_by_meaning() {
        let ours = json!({ "widgets": [{ "type": "metric", "x": 0 }], "periodOverride": "inherit" });
        assert_eq!(parse(r#"{ "periodOverride":"inherit", "widgets":[ {"x":0, "type":"metric"} ] }"#), ours);
        assert_ne!(parse("{ broken"), ours);
    }
}
