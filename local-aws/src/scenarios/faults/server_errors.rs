//! AWS fails inside and says so with a 5xx, before the call took effect or after it did. The client cannot tell which.

use async_trait::async_trait;
use axum::http::StatusCode;

use super::super::{Given, Outcome, Scenario};
use super::{lot, may_strike, strikes};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::refusal::refusal;

/// The codes of services that do not call it `InternalFailure` or `ServiceUnavailable`.
const CODES: [(&str, &str, &str); 6] = [
    ("dynamodb", "InternalServerError", "ServiceUnavailable"),
    ("ec2", "InternalError", "Unavailable"),
    ("iam", "ServiceFailure", "ServiceUnavailable"),
    ("kms", "KMSInternalException", "ServiceUnavailable"),
    ("lambda", "ServiceException", "ServiceUnavailable"),
    ("s3", "InternalError", "ServiceUnavailable"),
];

/// See the module.
pub(in super::super) struct ServerErrors(pub(in super::super) Given);

impl ServerErrors {
    fn error(&self, call: &Call<'_>) -> Outcome {
        let own = CODES.iter().find(|(service, ..)| *service == call.operation.service);
        let (internal, unavailable) =
            own.map_or(("InternalFailure", "ServiceUnavailable"), |(_, internal, unavailable)| (internal, unavailable));
        Outcome::Answer(match self.0.dice.happens(&lot("server-errors are internal", call), 0.5) {
            true => {
                let message = "The request processing has failed because of an unknown error, exception or failure.";
                refusal(call, StatusCode::INTERNAL_SERVER_ERROR, internal, message)
            }
            false => {
                let message = "The request has failed due to a temporary failure of the server.";
                refusal(call, StatusCode::SERVICE_UNAVAILABLE, unavailable, message)
            }
        })
    }
}

#[async_trait]
impl Scenario for ServerErrors {
    fn name(&self) -> &'static str {
        "server-errors"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        may_strike(operation)
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        Ok(strikes(&self.0, "server-errors before", call).then(|| self.error(call)))
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        Ok(if strikes(&self.0, "server-errors after", call) { self.error(call) } else { Outcome::Answer(answer) })
    }
}
