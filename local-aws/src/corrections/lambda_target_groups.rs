//! Target groups of functions carry a port, a protocol and a network, and check health by default. On AWS they have none
//! of these, and their health checks are off unless asked for.

use async_trait::async_trait;
use xmltree::Element;

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Form, Request, Response, XmlExt};

/// What AWS takes for a target group of functions when the call does not say.
const DEFAULTS: [(&str, &str); 3] =
    [("HealthCheckEnabled", "false"), ("HealthCheckIntervalSeconds", "35"), ("HealthCheckTimeoutSeconds", "30")];

/// See the module.
pub(super) struct LambdaTargetGroups;

#[async_trait]
impl Correction for LambdaTargetGroups {
    fn id(&self) -> &'static str {
        "lambda-target-groups"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "elasticloadbalancing:CreateTargetGroup",
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:ModifyTargetGroup",
        ]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let mut form = request.form();
        if call.name() == "CreateTargetGroup" && form.get("TargetType") == Some("lambda") {
            add_defaults(&mut form);
            request.set_form(&form);
        }
        Ok(None)
    }

    async fn response(&self, _call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        response.change_xml(correct);
        Ok(())
    }
}

fn add_defaults(form: &mut Form) {
    for (name, value) in DEFAULTS {
        if form.get(name).is_none() {
            form.0.push((name.to_owned(), value.to_owned()));
        }
    }
}

fn correct(document: &mut Element) {
    document.each("member", &mut |group| {
        if group.text_of("TargetType").as_deref() == Some("lambda") {
            for name in ["Port", "Protocol", "VpcId", "HealthCheckPort", "HealthCheckProtocol"] {
                group.remove(name);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_functions_lose_port_and_protocol() {
        let group = |kind: &str| format!("<member><Port>80</Port><TargetType>{kind}</TargetType></member>");
        let source = format!("<R><TargetGroups>{}{}</TargetGroups></R>", group("lambda"), group("ip"));
        let mut document = Element::parse(source.as_bytes()).unwrap();
        correct(&mut document);
        let mut ports = Vec::new();
        document.each("member", &mut |member| ports.push(member.text_of("Port")));
        assert_eq!(ports, [None, Some("80".to_owned())]);
    }

    #[test]
    fn what_the_call_says_is_kept() {
        let mut form = Form(vec![("HealthCheckEnabled".to_owned(), "true".to_owned())]);
        add_defaults(&mut form);
        assert_eq!(form.get("HealthCheckEnabled"), Some("true"));
        assert_eq!(form.get("HealthCheckIntervalSeconds"), Some("35"));
    }
}
