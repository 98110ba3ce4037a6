//! `ec2_flow_log`: records of a VPC's traffic, written to CloudWatch Logs.
//!
//! Facts: `flowlog.create.call` (idempotency token), `flowlog.create.role-lag`, `flowlog.create.duplicate`, `flowlog.read`,
//! `flowlog.update` (only tags in place), `flowlog.delete`, `x.partial-200`. Replacement: everything. Slow: nothing.

use aws_sdk_ec2::types::{
    FlowLog as Log, FlowLogsResourceType, LogDestinationType, ResourceType, TrafficType, UnsuccessfulItem,
};
use serde::{Deserialize, Serialize};

use super::ec2;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, tags};
use crate::outputs;
use crate::reference::{FlowLogId, LogGroupArn, Ref, RoleArn, VpcId};

/// The kind.
#[derive(Debug)]
pub struct FlowLog;

/// The desired properties of a flow log; it records all traffic, accepted and rejected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowLogSpec {
    /// The VPC whose traffic it records.
    pub vpc: Ref<VpcId>,
    /// The log group it writes to.
    pub log_group: Ref<LogGroupArn>,
    /// The role it writes with, which trusts `vpc-flow-logs.amazonaws.com`.
    pub role: Ref<RoleArn>,
    /// How many seconds one record sums up: 60 or 600.
    pub aggregation_seconds: u32,
}

outputs! {
    /// What is known of a flow log once it exists.
    pub struct FlowLogOutputs of FlowLog {
        /// The id, `fl-...`.
        id: FlowLogId,
    }
}

impl Kind for FlowLog {
    type Spec = FlowLogSpec;
    type Outputs = FlowLogOutputs;

    const TRAITS: Traits = Traits {
        name: "ec2_flow_log",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["vpc", "log_group", "role", "aggregation_seconds"],
        locked_by: None,
        expected: Expected::seconds(10, 2, 3),
        permissions: Permissions {
            read: &["ec2:DescribeFlowLogs"],
            change: &[
                "ec2:CreateFlowLogs",
                "ec2:DeleteFlowLogs",
                "ec2:CreateTags",
                "ec2:DeleteTags",
                "iam:PassRole",
                "logs:CreateLogDelivery",
                "logs:DeleteLogDelivery",
            ],
        },
        retries: &[
            Retry::seconds("ec2:CreateFlowLogs", "InvalidParameter", "Unable to assume given IAM role", 120),
            Retry::seconds("ec2:CreateFlowLogs", "InvalidVpcId.NotFound", "", 120),
            Retry::seconds("ec2:CreateFlowLogs", "InvalidVpcID.NotFound", "", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let found = ec2::describe(
            context,
            "ec2:DescribeFlowLogs",
            "flow-log-id",
            wanted,
            |outputs: &FlowLogOutputs| outputs.id.as_str(),
            |filter| clients.ec2().describe_flow_logs().filter(filter).into_paginator().items().send().collect(),
        )
        .await?;
        let found = |wanted| {
            let log = found.iter().find(|log| {
                let id = log.flow_log_id();
                ec2::is(context, wanted, |outputs: &FlowLogOutputs| id == Some(outputs.id.as_str()), log.tags())
            })?;
            Some(object(log))
        };
        Ok(wanted.iter().map(found).collect())
    }

    async fn ensure(task: &Task<'_>, spec: &FlowLogSpec, object: Option<Object<Self>>) -> Result<FlowLogOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        ec2::sync_tags(task, object.outputs.id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &FlowLogSpec, outputs: &FlowLogOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("ec2:DeleteFlowLogs", || clients.ec2().delete_flow_logs().flow_log_ids(&outputs.id).send())
            .await
            .and_then(|answer| ec2::accepted("ec2:DeleteFlowLogs", answer.unsuccessful()));
        match deleted {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

fn object(log: &Log) -> Object<FlowLog> {
    let group = log.log_destination().unwrap_or_default();
    let spec = FlowLogSpec {
        vpc: Ref::Known(log.resource_id().unwrap_or_default().into()),
        log_group: Ref::Known(group.strip_suffix(":*").unwrap_or(group).into()),
        role: Ref::Known(log.deliver_logs_permission_arn().unwrap_or_default().into()),
        aggregation_seconds: log
            .max_aggregation_interval()
            .and_then(|seconds| seconds.try_into().ok())
            .unwrap_or_default(),
    };
    let outputs = FlowLogOutputs { id: log.flow_log_id().unwrap_or_default().into() };
    Object { spec, outputs, tags: ec2::tags(log.tags()) }
}

async fn create(task: &Task<'_>, spec: &FlowLogSpec) -> Result<Object<FlowLog>> {
    let clients = task.clients();
    let tags = ec2::tag_specification(task, ResourceType::VpcFlowLog);
    let seconds = i32::try_from(spec.aggregation_seconds).expect("an interval is 60 or 600 seconds");
    let created = task
        .call("ec2:CreateFlowLogs", || {
            clients
                .ec2()
                .create_flow_logs()
                .resource_type(FlowLogsResourceType::Vpc)
                .resource_ids(spec.vpc.known())
                .traffic_type(TrafficType::All)
                .log_destination_type(LogDestinationType::CloudWatchLogs)
                .log_destination(spec.log_group.known())
                .deliver_logs_permission_arn(spec.role.known())
                .max_aggregation_interval(seconds)
                .client_token(task.token)
                .tag_specifications(tags.clone())
                .send()
        })
        .await
        .and_then(|answer| {
            let failed: &[UnsuccessfulItem] = answer.unsuccessful();
            ec2::accepted("ec2:CreateFlowLogs", failed)?;
            let id = answer.flow_log_ids().first().map(|id| FlowLogId::from(id.as_str()));
            id.ok_or_else(|| Error::incomplete("ec2:CreateFlowLogs", "flowLogId"))
        });
    let object = match created {
        Err(error) if error.is(&["FlowLogAlreadyExists"]) => ours(task, spec, error).await?,
        created => Object { spec: spec.clone(), outputs: FlowLogOutputs { id: created? }, tags: task.tags.clone() },
    };
    task.identified(&object.outputs).await?;
    Ok(object)
}

/// The flow log that does the same already, if an earlier attempt made it.
async fn ours(task: &Task<'_>, spec: &FlowLogSpec, error: Error) -> Result<Object<FlowLog>> {
    let clients = task.clients();
    let filter = ec2::filter("resource-id", spec.vpc.known().as_str());
    let found =
        task.call("ec2:DescribeFlowLogs", || clients.ec2().describe_flow_logs().filter(filter.clone()).send()).await?;
    let Some(object) = found.flow_logs().iter().map(object).find(|object| object.spec.log_group == spec.log_group)
    else {
        return Err(error);
    };
    match object.tags.get(tags::ADDRESS) == task.tags.get(tags::ADDRESS) && task.owns(&object.tags) {
        true => Ok(object),
        false => Err(Error::Taken(format!(
            "{} already writes the traffic of the VPC to the same log group, and it is not of this deployment",
            object.outputs.id
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS may append `:*` to the ARN of a log group; that is no difference.
    #[test]
    fn a_flow_log_is_read_back_as_it_was_written() {
        let log = Log::builder()
            .resource_id("vpc-1")
            .log_destination("arn:aws:logs:us-east-1:1:log-group:flow:*")
            .deliver_logs_permission_arn("arn:aws:iam::1:role/flow")
            .max_aggregation_interval(600)
            .build();
        let spec = FlowLogSpec {
            vpc: Ref::Known("vpc-1".into()),
            log_group: Ref::Known("arn:aws:logs:us-east-1:1:log-group:flow".into()),
            role: Ref::Known("arn:aws:iam::1:role/flow".into()),
            aggregation_seconds: 600,
        };
        assert_eq!(object(&log).spec, spec);
    }
}
