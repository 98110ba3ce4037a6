//! `elb_target_group`: what a load balancer's rule sends requests to; here always one Lambda function.
//!
//! Facts: `tg.create` (no port, protocol or VPC; health checks must be asked for and each invokes the function),
//! `alb.create.idempotent` (success does not prove that it is new), `tg.create.visibility`, `tg.update` (health check settings
//! in place), `tg.delete` (in use by a rule: retried; deleting what is missing succeeds), `elb.tags`.
//! Replacement: `name`. Slow: nothing.

use aws_sdk_elasticloadbalancingv2::types::{Matcher, TargetGroup as Described, TargetTypeEnum};
use serde::{Deserialize, Serialize};

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use super::{elb, existing};
use crate::aws::error::Result;
use crate::aws::{Error, Pages};
use crate::outputs;
use crate::reference::TargetGroupArn;

/// The kind.
#[derive(Debug)]
pub struct TargetGroup;

/// The desired properties of a target group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetGroupSpec {
    /// The name, unique in the region; at most 32 characters.
    pub name: String,
    /// How the function is found to be healthy.
    pub health_check: TargetHealthCheck,
}

/// How a function is found to be healthy; each check is a `GET` that invokes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetHealthCheck {
    /// The path of the request.
    pub path: String,
    /// The status codes of a healthy function, `200` or `200-499`.
    pub codes: String,
    /// Seconds between two checks, at least 35 for a function.
    pub interval_seconds: u32,
    /// Seconds a check may take; less than the interval.
    pub timeout_seconds: u32,
    /// Successes in a row that make the function healthy.
    pub healthy_threshold: u32,
    /// Failures in a row that make it unhealthy.
    pub unhealthy_threshold: u32,
}

outputs! {
    /// What is known of a target group once it exists.
    pub struct TargetGroupOutputs of TargetGroup {
        /// The ARN.
        arn: TargetGroupArn,
        /// The end of the ARN, `targetgroup/name/id`: the dimension of its metrics.
        full_name: String,
    }
}

impl Kind for TargetGroup {
    type Spec = TargetGroupSpec;
    type Outputs = TargetGroupOutputs;

    const TRAITS: Traits = Traits {
        name: "elb_target_group",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["name"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &[
                "elasticloadbalancing:DescribeTargetGroups",
                "elasticloadbalancing:DescribeTags",
                "tag:GetResources",
            ],
            change: &[
                "elasticloadbalancing:CreateTargetGroup",
                "elasticloadbalancing:ModifyTargetGroup",
                "elasticloadbalancing:AddTags",
                "elasticloadbalancing:RemoveTags",
                "elasticloadbalancing:DeleteTargetGroup",
            ],
        },
        retries: &[
            Retry::seconds("elasticloadbalancing:ModifyTargetGroup", "TargetGroupNotFound", "", 120),
            Retry::seconds("elasticloadbalancing:DeleteTargetGroup", "ResourceInUse", "", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        // Asking for names or ARNs fails the whole call for one that is gone; the list never does.
        let mut all = Vec::new();
        let mut pages = Pages::of("elasticloadbalancing:DescribeTargetGroups");
        loop {
            let page = context
                .call("elasticloadbalancing:DescribeTargetGroups", || {
                    clients.elb().describe_target_groups().set_marker(pages.token()).send()
                })
                .await?;
            all.extend_from_slice(page.target_groups());
            if !pages.turn(page.next_marker)? {
                break;
            }
        }
        let find = |wanted: &Wanted<Self>| match &wanted.outputs {
            Some(outputs) => all.iter().find(|one| one.target_group_arn() == Some(outputs.arn.as_str())),
            None => all.iter().find(|one| one.target_group_name() == Some(&wanted.spec.name)),
        };
        let arns: Vec<String> =
            wanted.iter().filter_map(find).filter_map(|one| one.target_group_arn().map(str::to_owned)).collect();
        let tags = elb::tags(context, &arns).await?;
        let object = |wanted| {
            find(wanted)
                .map(|described| {
                    let outputs = outputs(described)?;
                    let tags = tags.get(outputs.arn.as_str()).cloned().unwrap_or_default();
                    Ok(Object { spec: spec(described)?, outputs, tags })
                })
                .transpose()
        };
        wanted.iter().map(object).collect()
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &TargetGroupSpec,
        object: Option<Object<Self>>,
    ) -> Result<TargetGroupOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let arn = &object.outputs.arn;
        if object.spec.health_check != spec.health_check {
            let clients = task.clients();
            let check = &spec.health_check;
            task.call("elasticloadbalancing:ModifyTargetGroup", || {
                clients
                    .elb()
                    .modify_target_group()
                    .target_group_arn(arn)
                    .health_check_enabled(true)
                    .health_check_path(&check.path)
                    .health_check_interval_seconds(seconds(check.interval_seconds))
                    .health_check_timeout_seconds(seconds(check.timeout_seconds))
                    .healthy_threshold_count(seconds(check.healthy_threshold))
                    .unhealthy_threshold_count(seconds(check.unhealthy_threshold))
                    .matcher(matcher(check))
                    .send()
            })
            .await?;
        }
        elb::sync_tags(task, arn.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &TargetGroupSpec, outputs: &TargetGroupOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("elasticloadbalancing:DeleteTargetGroup", || {
                clients.elb().delete_target_group().target_group_arn(&outputs.arn).send()
            })
            .await;
        match deleted {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn create(task: &Task<'_>, spec: &TargetGroupSpec) -> Result<Object<TargetGroup>> {
    let clients = task.clients();
    let check = &spec.health_check;
    let created = task
        .call("elasticloadbalancing:CreateTargetGroup", || {
            clients
                .elb()
                .create_target_group()
                .name(&spec.name)
                .target_type(TargetTypeEnum::Lambda)
                .health_check_enabled(true)
                .health_check_path(&check.path)
                .health_check_interval_seconds(seconds(check.interval_seconds))
                .health_check_timeout_seconds(seconds(check.timeout_seconds))
                .healthy_threshold_count(seconds(check.healthy_threshold))
                .unhealthy_threshold_count(seconds(check.unhealthy_threshold))
                .matcher(matcher(check))
                .set_tags(elb::create_tags(task))
                .send()
        })
        .await;
    let object = match created {
        Ok(created) => {
            let described = created.target_groups().first();
            let described =
                described.ok_or_else(|| Error::incomplete("elasticloadbalancing:CreateTargetGroup", "target group"))?;
            Object { spec: spec.clone(), outputs: outputs(described)?, tags: task.tags.clone() }
        }
        Err(error) if error.already_exists() => {
            existing::own(task, spec, &format!("the target group {}", spec.name), error).await?
        }
        Err(error) => return Err(error),
    };
    task.identified(&object.outputs).await?;
    Ok(object)
}

fn missing(field: &str) -> Error {
    Error::incomplete("elasticloadbalancing:DescribeTargetGroups", field)
}

fn outputs(described: &Described) -> Result<TargetGroupOutputs> {
    let arn = described.target_group_arn().ok_or_else(|| missing("ARN"))?;
    let full_name = arn.rsplit_once(':').ok_or_else(|| missing("name in the ARN"))?.1;
    Ok(TargetGroupOutputs { arn: arn.into(), full_name: full_name.to_owned() })
}

fn spec(described: &Described) -> Result<TargetGroupSpec> {
    let number =
        |value: Option<i32>, field| value.and_then(|value| u32::try_from(value).ok()).ok_or_else(|| missing(field));
    // A group whose checks are off keeps the numbers; the empty path is what shows it.
    let enabled = described.health_check_enabled().ok_or_else(|| missing("HealthCheckEnabled"))?;
    Ok(TargetGroupSpec {
        name: described.target_group_name().ok_or_else(|| missing("TargetGroupName"))?.to_owned(),
        health_check: TargetHealthCheck {
            path: described.health_check_path().filter(|_| enabled).unwrap_or_default().to_owned(),
            codes: described.matcher().and_then(|matcher| matcher.http_code()).unwrap_or_default().to_owned(),
            interval_seconds: number(described.health_check_interval_seconds(), "HealthCheckIntervalSeconds")?,
            timeout_seconds: number(described.health_check_timeout_seconds(), "HealthCheckTimeoutSeconds")?,
            healthy_threshold: number(described.healthy_threshold_count(), "HealthyThresholdCount")?,
            unhealthy_threshold: number(described.unhealthy_threshold_count(), "UnhealthyThresholdCount")?,
        },
    })
}

fn matcher(check: &TargetHealthCheck) -> Matcher {
    Matcher::builder().http_code(&check.codes).build()
}

fn seconds(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_whose_checks_were_switched_off_differs_from_its_spec() {
        let described = |enabled| {
            Described::builder()
                .target_group_name("dr-tg")
                .health_check_enabled(enabled)
                .health_check_path("/health")
                .health_check_interval_seconds(35)
                .health_check_timeout_seconds(10)
                .healthy_threshold_count(2)
                .unhealthy_threshold_count(2)
                .matcher(Matcher::builder().http_code("200").build())
                .build()
        };
        let wanted = TargetGroupSpec {
            name: "dr-tg".into(),
            health_check: TargetHealthCheck {
                path: "/health".into(),
                codes: "200".into(),
                interval_seconds: 35,
                timeout_seconds: 10,
                healthy_threshold: 2,
                unhealthy_threshold: 2,
            },
        };
        assert_eq!(spec(&described(true)).unwrap(), wanted);
        assert_ne!(spec(&described(false)).unwrap(), wanted);
    }
}
