//! `cloudwatch_dashboard`: charts on one page.
//!
//! Facts: `cw.dashboard` (the body is replaced as a whole; a success may carry messages about a faulty one; names are unique in the
//! account, over all regions).
//! Replacement: `name`. Slow: nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Adoption, Context, Deletion, Expected, Kind, Object, Permissions, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, Tags};
use crate::outputs;

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
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["cloudwatch:GetDashboard"],
            change: &["cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards"],
        },
        retries: &[],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        context
            .each(wanted, |wanted| {
                let (clients, name) = (clients.clone(), wanted.spec.name.clone());
                async move {
                    let found = context
                        .call("cloudwatch:GetDashboard", || {
                            clients.cloudwatch().get_dashboard().dashboard_name(&name).send()
                        })
                        .await;
                    let body = match found {
                        Err(error) if is_gone(&error) => return Ok(None),
                        found => parse(found?.dashboard_body().unwrap_or_default()),
                    };
                    let outputs = DashboardOutputs { name: name.clone() };
                    Ok(Some(Object { spec: DashboardSpec { name, body }, outputs, tags: Tags::new() }))
                }
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &DashboardSpec, object: Option<Object<Self>>) -> Result<DashboardOutputs> {
        let outputs = DashboardOutputs { name: spec.name.clone() };
        if object.as_ref().is_some_and(|object| object.spec == *spec) {
            return Ok(outputs);
        }
        let clients = task.clients();
        let answer = task
            .call("cloudwatch:PutDashboard", || {
                let request = clients.cloudwatch().put_dashboard();
                request.dashboard_name(&spec.name).dashboard_body(spec.body.to_string()).send()
            })
            .await?;
        for message in answer.dashboard_validation_messages() {
            let (path, text) = (message.data_path().unwrap_or_default(), message.message().unwrap_or_default());
            tracing::warn!(dashboard = spec.name, path, text, "CloudWatch finds fault with a dashboard");
        }
        if object.is_none() {
            task.identified(&outputs).await?;
        }
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
