//! A role that was made or given a policy a moment ago is not known everywhere: reading it succeeds, and whoever is told to use it
//! refuses for some seconds, in the words that the service has for a role that is wrong for good.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use serde_json::Value;

use super::tree::{is, parameter};
use super::{Given, Outcome, Scenario, durations};
use crate::corrections::{Call, Memory};
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::refusal::refusal;

/// See the module. Roles are remembered by name.
pub(super) struct UnreadyRoles {
    given: Given,
    known: Memory<Duration>,
    permitted: Memory<Duration>,
}

/// A call that uses the role it names.
struct Use {
    operation: &'static str,
    code: &'static str,
    /// The words about a role that the service does not know yet.
    unknown: &'static str,
    /// The words about a role whose policies the service does not know yet, where it looks at them at once.
    powerless: Option<&'static str>,
}

const USES: [Use; 15] = [
    function("lambda:CreateFunction"),
    function("lambda:UpdateFunctionConfiguration"),
    key("kms:CreateKey"),
    key("kms:ReplicateKey"),
    key("kms:PutKeyPolicy"),
    Use {
        operation: "ec2:CreateFlowLogs",
        code: "InvalidParameter",
        unknown: "Unable to assume given IAM role",
        powerless: None,
    },
    Use {
        operation: "apigateway:UpdateAccount",
        code: "BadRequestException",
        unknown: "The role ARN does not have required permissions configured. Please grant trust permission for API Gateway and add \
                  the required role policy.",
        powerless: Some(
            "API Gateway could not successfully write to CloudWatch Logs using the ARN specified. Please check your configurations.",
        ),
    },
    Use {
        operation: "backup:CreateBackupSelection",
        code: "InvalidParameterValueException",
        unknown: "IAM Role cannot be assumed by AWS Backup",
        powerless: Some("The role is not authorized to call tag:GetResources"),
    },
    Use {
        operation: "events:PutTargets",
        code: "ValidationException",
        unknown: "Provided role cannot be assumed by principal 'events.amazonaws.com'.",
        powerless: None,
    },
    Use {
        operation: "s3:PutBucketPolicy",
        code: "MalformedPolicy",
        unknown: "Invalid principal in policy",
        powerless: None,
    },
    trust("iam:CreateRole"),
    trust("iam:UpdateAssumeRolePolicy"),
    Use {
        operation: "sns:SetTopicAttributes",
        code: "InvalidParameter",
        unknown: "Invalid parameter: Policy Error: PrincipalNotFound",
        powerless: None,
    },
    Use {
        operation: "sns:CreateTopic",
        code: "InvalidParameter",
        unknown: "Invalid parameter: Policy Error: PrincipalNotFound",
        powerless: None,
    },
    Use {
        operation: "secretsmanager:PutResourcePolicy",
        code: "MalformedPolicyDocumentException",
        unknown: "This resource policy contains an unsupported principal.",
        powerless: None,
    },
];

const fn function(operation: &'static str) -> Use {
    Use {
        operation,
        code: "InvalidParameterValueException",
        unknown: "The role defined for the function cannot be assumed by Lambda.",
        powerless: Some("The provided execution role does not have permissions to call CreateNetworkInterface on EC2"),
    }
}

const fn key(operation: &'static str) -> Use {
    Use {
        operation,
        code: "MalformedPolicyDocumentException",
        unknown: "Policy contains a statement with one or more invalid principals.",
        powerless: None,
    }
}

const fn trust(operation: &'static str) -> Use {
    Use { operation, code: "MalformedPolicyDocument", unknown: "Invalid principal in policy", powerless: None }
}

impl UnreadyRoles {
    pub(super) fn new(given: &Given) -> Self {
        Self { given: given.clone(), known: Memory::default(), permitted: Memory::default() }
    }

    /// What the service says to this use of a role, if it is not ready.
    fn objection(&self, operation: &Operation, request: &Request) -> Option<(&'static str, &'static str)> {
        let usage = USES.iter().find(|usage| is(usage.operation, operation))?;
        let roles = roles_in(request);
        let now = self.given.clock.now();
        let lags =
            |memory: &Memory<Duration>| roles.iter().any(|role| memory.get(role).is_some_and(|ready| now < ready));
        if lags(&self.known) {
            return Some((usage.code, usage.unknown));
        }
        usage.powerless.filter(|_| lags(&self.permitted)).map(|words| (usage.code, words))
    }

    /// Takes note of a change of a role that took effect.
    fn learn(&self, operation: &Operation, request: &Request) {
        let Some(role) = parameter(request, "RoleName") else { return };
        let memory = match operation.name.as_str() {
            "CreateRole" | "UpdateAssumeRolePolicy" => &self.known,
            _ => &self.permitted,
        };
        let lag = durations::ROLE_USABLE.draw(&self.given, "global");
        memory.set(role, self.given.clock.now() + lag);
    }
}

#[async_trait]
impl Scenario for UnreadyRoles {
    fn name(&self) -> &'static str {
        "unready-roles"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        USES.iter().any(|usage| is(usage.operation, operation))
            || (operation.service == "iam" && operation.name == "PutRolePolicy")
    }

    async fn before(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Outcome>, Error> {
        let objection = self.objection(call.operation, request);
        Ok(objection.map(|(code, words)| Outcome::Answer(refusal(call, StatusCode::BAD_REQUEST, code, words))))
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        if answer.status.is_success() && call.operation.service == "iam" {
            self.learn(call.operation, call.original);
        }
        Ok(Outcome::Answer(answer))
    }
}

/// The names of the roles that a request names by ARN, in whichever parameter, policies included.
fn roles_in(request: &Request) -> Vec<String> {
    let text = match serde_json::from_slice::<Value>(&request.body) {
        Ok(document) => document.to_string(),
        Err(_) => {
            let form = request.form();
            let values: Vec<String> = form.0.into_iter().flat_map(|(name, value)| [name, value]).collect();
            values.join("\n")
        }
    };
    let names = text.split(":role/").skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+=,.@_-/".contains(c))).unwrap_or(rest.len());
        rest[..end].rsplit('/').next().unwrap_or_default().to_owned()
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};
    use serde_json::json;

    use super::*;
    use crate::scenarios::tests::{given, operation};

    fn request(body: &str) -> Request {
        Request::new(Method::POST, "/".parse().unwrap(), HeaderMap::new(), body.to_owned().into())
    }

    fn scenario() -> UnreadyRoles {
        UnreadyRoles::new(&given(1))
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_role_is_refused_by_all_who_shall_use_it_and_usable_within_twenty_seconds() {
        let roles = scenario();
        roles.learn(&operation("iam:CreateRole"), &request("Action=CreateRole&RoleName=r"));
        let function = request(&json!({ "Role": "arn:aws:iam::0:role/r" }).to_string());
        let policy = json!({ "Principal": { "AWS": ["arn:aws:iam::0:role/x", "arn:aws:iam::0:role/r"] } }).to_string();
        let key = request(&json!({ "Policy": policy }).to_string());
        let log = request("Action=CreateFlowLogs&DeliverLogsPermissionArn=arn%3Aaws%3Aiam%3A%3A0%3Arole%2Fr");
        let says = |name: &str, request: &Request| roles.objection(&operation(name), request).map(|(_, words)| words);
        assert!(says("lambda:CreateFunction", &function).unwrap().contains("cannot be assumed by Lambda"));
        assert!(says("kms:CreateKey", &key).unwrap().contains("invalid principals"));
        assert!(says("ec2:CreateFlowLogs", &log).unwrap().contains("Unable to assume given IAM role"));
        let other = request(&json!({ "Role": "arn:aws:iam::0:role/r2" }).to_string());
        assert_eq!(says("lambda:CreateFunction", &other), None);
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(says("lambda:CreateFunction", &function), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_without_its_new_policy_is_refused_only_by_those_who_look() {
        let roles = scenario();
        roles.learn(&operation("iam:PutRolePolicy"), &request("Action=PutRolePolicy&RoleName=r"));
        let function = request(&json!({ "Role": "arn:aws:iam::0:role/path/r" }).to_string());
        let words = roles.objection(&operation("lambda:CreateFunction"), &function).unwrap().1;
        assert!(words.contains("does not have permissions"), "{words}");
        assert_eq!(roles.objection(&operation("events:PutTargets"), &function), None);
    }
}
