//! What is deleted keeps its name for a while, or keeps hold of what it used: a queue for a minute (`sqs.recreate-60s`), a secret that was
//! deleted for good (`sm.secret.name-reuse`), a bucket (`s3.bucket.operation-aborted`), and a domain name of an API the
//! certificate it had (`acm.delete`). The emulator forgets at once.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;

use super::{Given, Outcome, Scenario};
use crate::corrections::{Call, Memory};
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::refusal::refusal;

/// One such rule of AWS's.
struct Window {
    /// The deletion that begins it.
    opened_by: &'static str,
    /// What is refused while it lasts.
    refused: &'static str,
    /// How long it lasts, at least and at most.
    seconds: [u64; 2],
    status: StatusCode,
    code: &'static str,
    message: &'static str,
}

const WINDOWS: [Window; 4] = [
    Window {
        opened_by: "apigateway:DeleteDomainName",
        refused: "acm:DeleteCertificate",
        seconds: [15 * 60, 20 * 60],
        status: StatusCode::BAD_REQUEST,
        code: "ResourceInUseException",
        message: "Certificate is in use.",
    },
    Window {
        opened_by: "s3:DeleteBucket",
        refused: "s3:CreateBucket",
        seconds: [30, 5 * 60],
        status: StatusCode::CONFLICT,
        code: "OperationAborted",
        message: "A conflicting conditional operation is currently in progress against this resource. Please try again.",
    },
    Window {
        opened_by: "secretsmanager:DeleteSecret",
        refused: "secretsmanager:CreateSecret",
        seconds: [10, 90],
        status: StatusCode::BAD_REQUEST,
        code: "InvalidRequestException",
        message: "You can't create this secret because a secret with this name is already scheduled for deletion.",
    },
    Window {
        opened_by: "sqs:DeleteQueue",
        refused: "sqs:CreateQueue",
        seconds: [60, 60],
        status: StatusCode::BAD_REQUEST,
        code: "QueueDeletedRecently",
        message: "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
    },
];

/// See the module.
pub(super) struct DeletionWindows {
    given: Given,
    /// The end of each window, by what is refused and of whom.
    ends: Memory<Duration>,
    /// The certificate of each domain name that is about to be deleted, by region and name.
    certificates: Memory<String>,
}

impl DeletionWindows {
    pub(super) fn new(given: &Given) -> Self {
        Self { given: given.clone(), ends: Memory::default(), certificates: Memory::default() }
    }

    fn open(&self, window: &Window, subject: &str) {
        let [shortest, longest] = window.seconds.map(Duration::from_secs);
        let span = self.given.dice.span(&format!("deletion-windows/{subject}"), shortest, longest);
        self.ends.set(format!("{} {subject}", window.refused), self.given.clock.now() + span);
    }

    fn is_open(&self, window: &Window, subject: &str) -> bool {
        let end = self.ends.get(&format!("{} {subject}", window.refused));
        end.is_some_and(|end| end > self.given.clock.now())
    }
}

#[async_trait]
impl Scenario for DeletionWindows {
    fn name(&self) -> &'static str {
        "deletion-windows"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        let name = format!("{}:{}", operation.service, operation.name);
        WINDOWS.iter().any(|window| window.opened_by == name || window.refused == name)
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        let name = format!("{}:{}", call.operation.service, call.name());
        if name == "apigateway:DeleteDomainName" {
            let domain = call.emulator.get("apigateway", call.region(), call.original.uri.path()).await?;
            if let Some(arn) = domain.and_then(|domain| Some(domain["regionalCertificateArn"].as_str()?.to_owned())) {
                self.certificates.set(format!("{}{}", call.region(), call.original.uri.path()), arn);
            }
        }
        let window = WINDOWS.iter().find(|window| window.refused == name && self.is_open(window, &subject(call)));
        Ok(window.map(|window| Outcome::Answer(refusal(call, window.status, window.code, window.message))))
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        let name = format!("{}:{}", call.operation.service, call.name());
        let window = WINDOWS.iter().find(|window| window.opened_by == name).filter(|_| answer.status.is_success());
        if let Some(window) = window {
            let of = subject(call);
            // A domain name closes the window on its certificate, the others on their own names.
            let of = if call.name() == "DeleteDomainName" { self.certificates.get(&of) } else { Some(of) };
            of.inspect(|of| self.open(window, of));
        }
        Ok(Outcome::Answer(answer))
    }
}

/// What a call is about, in the same words for its creation and its deletion.
fn subject(call: &Call<'_>) -> String {
    let input = call.original.json();
    let text = |field: &str| input[field].as_str().unwrap_or_default().to_owned();
    let name = match call.name() {
        "CreateQueue" => text("QueueName"),
        "DeleteQueue" => text("QueueUrl").rsplit('/').next().unwrap_or_default().to_owned(),
        "CreateSecret" => text("Name"),
        "DeleteSecret" => secret_name(&text("SecretId")).to_owned(),
        // Names of buckets are the same in all regions.
        "CreateBucket" | "DeleteBucket" => return call.original.uri.path().trim_matches('/').to_owned(),
        "DeleteCertificate" => return text("CertificateArn"),
        _ => return format!("{}{}", call.region(), call.original.uri.path()),
    };
    format!("{}/{name}", call.region())
}

/// The name of a secret that is given by name or by ARN, which ends in six characters of AWS's.
fn secret_name(id: &str) -> &str {
    match id.strip_prefix("arn:").and_then(|arn| arn.rsplit(':').next()) {
        Some(name) => name.rsplit_once('-').map_or(name, |(name, _)| name),
        None => id,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::scenarios::tests::given;

    #[tokio::test(start_paused = true)]
    async fn a_name_is_free_when_its_window_has_passed_and_others_always_are() {
        for window in &WINDOWS {
            let given = given(7);
            let windows = DeletionWindows::new(&given);
            assert!(!windows.is_open(window, "a"));
            windows.open(window, "a");
            advance(Duration::from_secs(window.seconds[0] - 1)).await;
            assert!(windows.is_open(window, "a"), "{}", window.refused);
            assert!(!windows.is_open(window, "b"));
            advance(Duration::from_secs(window.seconds[1] - window.seconds[0] + 1)).await;
            assert!(!windows.is_open(window, "a"), "{}", window.refused);
        }
    }

    #[test]
    fn a_secret_has_the_same_name_by_its_arn() {
        assert_eq!(secret_name("arn:aws:secretsmanager:us-east-1:1:secret:dr-aurora-dev-AbCdEf"), "dr-aurora-dev");
        assert_eq!(secret_name("dr-aurora-dev"), "dr-aurora-dev");
    }
}
