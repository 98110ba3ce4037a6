//! Log groups come back: the last invocation of a function writes its log when the function is gone, and flow logs are delivered for some
//! minutes after their end. Whoever writes into a log group that is not there makes it, without tags or retention
//! (`logs.delete.resurrection`, `flowlog.delete`).
//!
//! On AWS that takes a role that may make log groups; the scenario does not ask what the role may, only whether it is still there.
//! A late log that is due arrives when somebody next asks about log groups or deletes a role.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::{Given, Outcome, Scenario};
use crate::corrections::{Call, Memory};
use crate::error::Error;
use crate::message::{Form, Request, Response};
use crate::operation::Operation;

/// How long after its function a log arrives, at least and at most.
const AFTER_FUNCTION: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// How long after its flow log one arrives.
const AFTER_FLOW_LOG: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(300)];

/// What asks about log groups, or changes them.
const LOOKING: [&str; 5] =
    ["CreateLogGroup", "DeleteLogGroup", "DescribeLogGroups", "ListLogGroups", "ListTagsForResource"];

/// See the module.
pub(super) struct ReturningLogGroups {
    given: Given,
    /// The writers that can be deleted any time, by region and id.
    writers: Memory<Writer>,
    late: Mutex<Late>,
}

/// Who writes into a log group.
#[derive(Clone, Debug, PartialEq)]
struct Writer {
    region: String,
    group: String,
    role: String,
}

/// The logs that are on their way.
#[derive(Debug, Default)]
struct Late(Vec<(Duration, Writer)>);

impl Late {
    /// Those that have arrived, which are on their way no longer.
    fn arrived(&mut self, now: Duration) -> Vec<Writer> {
        let is_due = |(due, _): &mut (Duration, Writer)| *due <= now;
        self.0.extract_if(.., is_due).map(|(_, writer)| writer).collect()
    }
}

impl ReturningLogGroups {
    pub(super) fn new(given: &Given) -> Self {
        Self { given: given.clone(), writers: Memory::default(), late: Mutex::default() }
    }

    fn late(&self) -> MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_late(&self, id: &str, [shortest, longest]: [Duration; 2]) {
        let Some(writer) = self.writers.get(id) else { return };
        self.writers.forget(id);
        let span = self.given.dice.span(&format!("returning-log-groups/{id}"), shortest, longest);
        self.late().0.push((self.given.clock.now() + span, writer));
    }

    /// Remembers where a function writes.
    async fn learn_function(&self, call: &Call<'_>) -> Result<(), Error> {
        let path = format!("/2015-03-31/functions/{}", function(call));
        let Some(answer) = call.emulator.get("lambda", call.region(), &path).await? else { return Ok(()) };
        let configuration = &answer["Configuration"];
        let role = configuration["Role"].as_str().and_then(|arn| arn.rsplit('/').next());
        if let (Some(group), Some(role)) = (configuration["LoggingConfig"]["LogGroup"].as_str(), role) {
            let (group, role) = (group.to_owned(), role.to_owned());
            self.writers.set(id(call, function(call)), Writer { region: call.region().to_owned(), group, role });
        }
        Ok(())
    }

    /// Remembers where new flow logs are written.
    fn learn_flow_logs(&self, call: &Call<'_>, answer: &Response) {
        let form = call.original.form();
        let role = form.get("DeliverLogsPermissionArn").and_then(|arn| arn.rsplit('/').next());
        let (Some(group), Some(role), Some(document)) = (destination(&form), role, answer.xml()) else { return };
        for item in document.get_child("flowLogIdSet").into_iter().flat_map(|set| &set.children) {
            let flow_log = item.as_element().and_then(|item| item.get_text());
            let writer = Writer { region: call.region().to_owned(), group: group.to_owned(), role: role.to_owned() };
            self.writers.set(id(call, flow_log.unwrap_or_default().trim()), writer);
        }
    }

    /// Lets the logs arrive that are due.
    async fn deliver(&self, call: &Call<'_>) -> Result<(), Error> {
        let arrived = self.late().arrived(self.given.clock.now());
        for writer in arrived {
            let role = [("Action", "GetRole"), ("Version", "2010-05-08"), ("RoleName", &writer.role)];
            if call.emulator.query("iam", "us-east-1", &role).await?.is_some() {
                let group = json!({ "logGroupName": writer.group });
                // Where the group still is, the log just goes into it.
                call.emulator.json("logs", &writer.region, "Logs_20140328.CreateLogGroup", &group).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Scenario for ReturningLogGroups {
    fn name(&self) -> &'static str {
        "returning-log-groups"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        match operation.service.as_str() {
            "ec2" => matches!(operation.name.as_str(), "CreateFlowLogs" | "DeleteFlowLogs"),
            "iam" => operation.name == "DeleteRole",
            "lambda" => operation.name == "DeleteFunction",
            "logs" => LOOKING.contains(&operation.name.as_str()),
            _ => false,
        }
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        match call.operation.service.as_str() {
            "lambda" => self.learn_function(call).await?,
            "iam" | "logs" => self.deliver(call).await?,
            _ => {}
        }
        Ok(None)
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        if answer.status.is_success() {
            match call.name() {
                "DeleteFunction" => self.write_late(&id(call, function(call)), AFTER_FUNCTION),
                "CreateFlowLogs" => self.learn_flow_logs(call, &answer),
                "DeleteFlowLogs" => {
                    for flow_log in call.original.form().list("FlowLogId") {
                        self.write_late(&id(call, flow_log), AFTER_FLOW_LOG);
                    }
                }
                _ => {}
            }
        }
        Ok(Outcome::Answer(answer))
    }
}

fn id(call: &Call<'_>, name: &str) -> String {
    format!("{}/{name}", call.region())
}

/// The log group that a new flow log writes to, which is given by its name or by its ARN.
fn destination(form: &Form) -> Option<&str> {
    form.get("LogGroupName").or_else(|| {
        let (_, name) = form.get("LogDestination")?.split_once(":log-group:")?;
        Some(name.trim_end_matches(":*"))
    })
}

/// The name of a function in the path of a call.
fn function<'a>(call: &Call<'a>) -> &'a str {
    call.original.uri.path().rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `flowlog.delete`
    #[test]
    fn a_flow_log_writes_to_a_group_by_name_or_by_arn() {
        for (parameter, value) in [
            ("LogGroupName", "/x"),
            ("LogDestination", "arn:aws:logs:us-east-1:0:log-group:/x"),
            ("LogDestination", "arn:aws:logs:us-east-1:0:log-group:/x:*"),
        ] {
            let form = Form(vec![(parameter.to_owned(), value.to_owned())]);
            assert_eq!(destination(&form), Some("/x"), "{parameter}={value}");
        }
        let bucket = Form(vec![("LogDestination".to_owned(), "arn:aws:s3:::logs".to_owned())]);
        assert_eq!(destination(&bucket), None);
    }

    #[test]
    fn a_late_log_arrives_once_when_it_is_due() {
        let writer =
            |group: &str| Writer { region: "us-east-1".to_owned(), group: group.to_owned(), role: "r".to_owned() };
        let seconds = Duration::from_secs;
        let mut late = Late(vec![(seconds(10), writer("a")), (seconds(20), writer("b"))]);
        assert_eq!(late.arrived(seconds(9)), []);
        assert_eq!(late.arrived(seconds(10)), [writer("a")]);
        assert_eq!(late.arrived(seconds(30)), [writer("b")]);
        assert_eq!(late.arrived(seconds(30)), []);
    }
}
