//! Flow logs forget role, aggregation interval, log group name, format and tags. AWS answers with all of them.
//!
//! The tags are lost because the emulator calls the type `flow-log` where AWS calls it `vpc-flow-log`.

use async_trait::async_trait;
use xmltree::Element;

use super::{Call, Correction, Memory};
use crate::error::Error;
use crate::message::{Form, Request, Response, XmlExt};

/// The fields that AWS writes when no format is asked for.
const DEFAULT_FORMAT: &str = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} \
    ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}";

/// See the module. What the create call said is remembered by the flow log's id.
#[derive(Default)]
pub(super) struct FlowLogs {
    created: Memory<Form>,
}

#[async_trait]
impl Correction for FlowLogs {
    fn id(&self) -> &'static str {
        "flow-logs"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["ec2:CreateFlowLogs", "ec2:DescribeFlowLogs", "ec2:DescribeTags"]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        if call.name() != "DescribeFlowLogs" {
            let mut form = request.form();
            for (_, value) in form.0.iter_mut().filter(|(_, value)| value == "vpc-flow-log") {
                *value = "flow-log".to_owned();
            }
            request.set_form(&form);
        }
        Ok(None)
    }

    async fn response(&self, call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        match call.name() {
            "CreateFlowLogs" => {
                let ids = response.xml().and_then(|document| document.get_child("flowLogIdSet").cloned());
                let form = call.original.form();
                for item in ids.unwrap_or_else(|| Element::new("flowLogIdSet")).elements() {
                    let id = item.get_text().unwrap_or_default().into_owned();
                    self.created.set(id, form.clone());
                }
            }
            "DescribeFlowLogs" => response.change_xml(|document| {
                for item in document.get_mut_child("flowLogSet").into_iter().flat_map(XmlExt::elements) {
                    let created = item.text_of("flowLogId").and_then(|id| self.created.get(&id));
                    created.into_iter().for_each(|form| correct(&form, item));
                }
            }),
            _ => response.change_xml(|document| {
                for item in document.get_mut_child("tagSet").into_iter().flat_map(XmlExt::elements) {
                    if item.text_of("resourceType").as_deref() == Some("flow-log") {
                        item.set_text("resourceType", "vpc-flow-log");
                    }
                }
            }),
        }
        Ok(())
    }
}

fn correct(created: &Form, item: &mut Element) {
    if let Some(role) = created.get("DeliverLogsPermissionArn") {
        item.set_text("deliverLogsPermissionArn", role);
    }
    item.set_text("deliverLogsStatus", "SUCCESS");
    item.set_text("maxAggregationInterval", created.get("MaxAggregationInterval").unwrap_or("600"));
    item.set_text("logFormat", created.get("LogFormat").unwrap_or(DEFAULT_FORMAT));
    // A log group that was given by name is answered by name, and one given by ARN by both.
    match (created.get("LogGroupName"), created.get("LogDestination")) {
        (Some(name), _) => {
            item.set_text("logGroupName", name);
            item.remove("logDestination");
        }
        (None, Some(arn)) => {
            if let Some((_, name)) = arn.split_once(":log-group:") {
                item.set_text("logGroupName", name.trim_end_matches(":*"));
            }
        }
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_create_call_said_is_read_back() {
        let created =
            [("DeliverLogsPermissionArn", "arn:role"), ("MaxAggregationInterval", "60"), ("LogGroupName", "/vpc/flow")];
        let created = Form(created.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        let mut item = Element::parse("<item><logDestination>/vpc/flow</logDestination></item>".as_bytes()).unwrap();
        correct(&created, &mut item);
        assert_eq!(item.text_of("deliverLogsPermissionArn").as_deref(), Some("arn:role"));
        assert_eq!(item.text_of("maxAggregationInterval").as_deref(), Some("60"));
        assert_eq!(item.text_of("logGroupName").as_deref(), Some("/vpc/flow"));
        assert_eq!(item.text_of("logDestination"), None);
    }

    #[test]
    fn a_destination_names_its_log_group() {
        let arn = "arn:aws:logs:eu-west-1:000000000000:log-group:/vpc/flow:*";
        let created = Form(vec![("LogDestination".to_owned(), arn.to_owned())]);
        let mut item = Element::new("item");
        correct(&created, &mut item);
        assert_eq!(item.text_of("logGroupName").as_deref(), Some("/vpc/flow"));
        assert_eq!(item.text_of("maxAggregationInterval").as_deref(), Some("600"));
    }
}
