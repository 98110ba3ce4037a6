//! `ec2_flow_log`: records of a VPC's traffic, written to CloudWatch Logs.
//!
//! Facts: `flowlog.create.call` (idempotency token), `flowlog.create.role-lag`, `flowlog.create.duplicate`, `flowlog.read`,
//! `flowlog.update` (only tags in place), `flowlog.delete`, `x.partial-200`. Replacement: everything. Slow: nothing.

use aws_sdk_ec2::operation::create_flow_logs::CreateFlowLogsInput;
use aws_sdk_ec2::operation::create_flow_logs::builders::CreateFlowLogsInputBuilder;
use aws_sdk_ec2::types::{
    FlowLog as Log, FlowLogsResourceType, LogDestinationType, ResourceType, TagSpecification, TrafficType,
};
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted, list,
};
use super::{ec2, existing};
use crate::aws::error::Result;
use crate::aws::{Error, Tags};
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
            |filter, token| clients.ec2().describe_flow_logs().filter(filter).set_next_token(token).send(),
            |page| (page.flow_logs, page.next_token),
        )
        .await?;
        list::each_tells(&found, |one| one.flow_log_id(), "ec2:DescribeFlowLogs", "flowLogId")?;
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
            .call_checked(
                "ec2:DeleteFlowLogs",
                || clients.ec2().delete_flow_logs().flow_log_ids(&outputs.id).send(),
                |answer| ec2::accepted("ec2:DeleteFlowLogs", answer.unsuccessful()),
            )
            .await;
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
    let created = task
        .call_checked(
            "ec2:CreateFlowLogs",
            || request(spec, task.token, tags.clone()).send_with(clients.ec2()),
            |answer| ec2::accepted("ec2:CreateFlowLogs", answer.unsuccessful()),
        )
        .await;
    let object = match created {
        Err(error) if error.already_exists() => ours(task, spec, error).await?,
        created => {
            let created = created?;
            let id = created.flow_log_ids().first();
            let id = id.ok_or_else(|| Error::incomplete("ec2:CreateFlowLogs", "flowLogId"))?;
            let outputs = FlowLogOutputs { id: id.as_str().into() };
            Object { spec: spec.clone(), outputs, tags: task.tags.clone() }
        }
    };
    task.identified(&object.outputs).await?;
    Ok(object)
}

fn request(spec: &FlowLogSpec, token: &str, tags: TagSpecification) -> CreateFlowLogsInputBuilder {
    let seconds = i32::try_from(spec.aggregation_seconds).expect("an interval is 60 or 600 seconds");
    CreateFlowLogsInput::builder()
        .resource_type(FlowLogsResourceType::Vpc)
        .resource_ids(spec.vpc.known())
        .traffic_type(TrafficType::All)
        .log_destination_type(LogDestinationType::CloudWatchLogs)
        .log_destination(spec.log_group.known())
        .deliver_logs_permission_arn(spec.role.known())
        .max_aggregation_interval(seconds)
        .client_token(token)
        .tag_specifications(tags)
}

/// The flow log that does the same already, if an earlier attempt made it.
async fn ours(task: &Task<'_>, spec: &FlowLogSpec, error: Error) -> Result<Object<FlowLog>> {
    let clients = task.clients();
    let filter = ec2::filter("resource-id", spec.vpc.known().as_str());
    let found =
        task.call("ec2:DescribeFlowLogs", || clients.ec2().describe_flow_logs().filter(filter.clone()).send()).await?;
    claimed(found.flow_logs(), spec, &task.tags, error)
}

/// The flow log among those of the VPC that writes to the same log group.
fn claimed(found: &[Log], spec: &FlowLogSpec, desired: &Tags, refusal: Error) -> Result<Object<FlowLog>> {
    let same = found.iter().map(object).find(|object| object.spec.log_group == spec.log_group);
    existing::claim(same, desired, refusal, |object| {
        format!(
            "{} already writes the traffic of the VPC to the same log group, and it is not of this deployment",
            object.outputs.id
        )
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::Tag;

    use super::existing::tests::{refused, tags_of};
    use super::*;
    use crate::sdk_tags;

    fn spec() -> FlowLogSpec {
        FlowLogSpec {
            vpc: Ref::Known("vpc-1".into()),
            log_group: Ref::Known("arn:aws:logs:us-east-1:1:log-group:flow".into()),
            role: Ref::Known("arn:aws:iam::1:role/flow".into()),
            aggregation_seconds: 600,
        }
    }

    /// `flowlog.create.call`: a repeat makes no second one, and AWS refuses an ARN that ends in `:*`.
    #[test]
    fn a_flow_log_is_asked_for_with_its_token_and_the_bare_arn_of_its_group() {
        let request = request(&spec(), "token", TagSpecification::builder().build());
        assert_eq!(request.get_client_token().as_deref(), Some("token"));
        assert_eq!(request.get_log_destination().as_deref(), Some("arn:aws:logs:us-east-1:1:log-group:flow"));
    }

    /// `flowlog.create.duplicate`
    #[test]
    fn a_flow_log_that_an_earlier_try_made_is_taken_back_and_no_other() {
        let desired = tags_of("us-east-1/ec2_flow_log/vpc");
        let claimed = |group: &str, tags: &Tags| {
            let log = Log::builder().flow_log_id("fl-1").resource_id("vpc-1").log_destination(group);
            let log = log.set_tags(Some(sdk_tags!(tags, Tag))).build();
            claimed(&[log], &spec(), &desired, refused("FlowLogAlreadyExists"))
        };
        let group = "arn:aws:logs:us-east-1:1:log-group:flow";
        assert_eq!(claimed(group, &desired).expect("it is ours").outputs.id.as_str(), "fl-1");
        assert!(matches!(claimed(group, &Tags::new()), Err(Error::Taken(told)) if told.contains("fl-1")));
        let elsewhere = claimed("arn:aws:logs:us-east-1:1:log-group:other", &desired);
        assert!(elsewhere.is_err_and(|error| error.is(&["FlowLogAlreadyExists"])));
    }

    /// AWS may append `:*` to the ARN of a log group; that is no difference.
    #[test]
    fn a_flow_log_is_read_back_as_it_was_written() {
        let log = Log::builder()
            .resource_id("vpc-1")
            .log_destination("arn:aws:logs:us-east-1:1:log-group:flow:*")
            .deliver_logs_permission_arn("arn:aws:iam::1:role/flow")
            .max_aggregation_interval(600)
            .build();
        assert_eq!(object(&log).spec, spec());
    }
}
