//! What the SDK must not send again, although its own rules would.
//!
//! The SDK repeats what failed in passing: throttling, server errors, lost answers. This classifier runs last, knows which
//! operation was answered, and only ever says no.
//!
//! Invariants:
//! 1. A changing request that may have taken effect is not sent again from here: only its kind knows how to find out what
//!    happened (`x.idem.token-absent`). A throttled one took none, and is repeated.
//! 2. A full quota is no throttling, whatever its HTTP status: no wait of ours makes room (`x.throttle.false-429`). What is left of a quota
//!    is not counted beforehand: the first refusal names it, and the next run goes on (`preflight.quotas`).

use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority, RetryReason,
};
use aws_smithy_types::retry::ErrorKind;

use super::transport::Operation;

/// The code of a full quota, which the SDK counts among throttling.
const FULL: &str = "LimitExceededException";

/// Forbids what the module says.
#[derive(Debug)]
pub(super) struct Forbid;

impl ClassifyRetry for Forbid {
    fn classify_retry(&self, _: &InterceptorContext) -> RetryAction {
        RetryAction::NoActionIndicated
    }

    fn classify_retry_v2(&self, context: &InterceptorContext, previous: &RetryAction) -> RetryAction {
        let RetryAction::RetryIndicated(RetryReason::RetryableError { kind, .. }) = previous else {
            return RetryAction::NoActionIndicated;
        };
        // Without an answer the transport has already decided.
        let Some(answer) = context.response() else { return RetryAction::NoActionIndicated };
        let changes = answer.extension::<Operation>().is_some_and(|operation| !operation.reads());
        let forbidden = match kind {
            ErrorKind::ThrottlingError => says(answer, FULL),
            _ => changes,
        };
        if forbidden { RetryAction::RetryForbidden } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "drctl"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

/// Tells whether an answer carries a code: in the header of REST services, else spelt out in the body of every protocol.
fn says(answer: &HttpResponse, code: &str) -> bool {
    let in_header = || answer.headers().get("x-amzn-errortype").is_some_and(|kind| kind.contains(code));
    let in_body = || {
        let body = answer.body().bytes().unwrap_or_default();
        body.windows(code.len()).any(|part| part == code.as_bytes())
    };
    in_header() || in_body()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_runtime_api::client::interceptors::context::Input;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    /// What becomes of the SDK's verdict on an answer to this operation.
    fn verdict(operation: &str, status: u16, code: &str, sdk: RetryAction) -> RetryAction {
        let status = StatusCode::try_from(status).expect("a status");
        let mut answer = HttpResponse::new(status, SdkBody::from(format!(r#"{{"__type":"{code}"}}"#)));
        let (service, region) = ("EC2".to_owned(), "us-east-1".to_owned());
        answer.add_extension(Operation { service, name: operation.to_owned(), region });
        let mut context = InterceptorContext::new(Input::doesnt_matter());
        context.set_response(answer);
        Forbid.classify_retry_v2(&context, &sdk)
    }

    /// Invariant 1: it may have made something that a second one would make again.
    #[test]
    fn a_changing_request_is_not_repeated_after_a_server_error() {
        let server_error = RetryAction::transient_error;
        assert_eq!(verdict("CreateVpc", 500, "InternalError", server_error()), RetryAction::RetryForbidden);
        assert_eq!(verdict("DescribeVpcs", 500, "InternalError", server_error()), RetryAction::NoActionIndicated);
    }

    /// Invariant 1: EC2 throttles with HTTP 503.
    #[test]
    fn a_throttled_request_is_repeated_although_it_changes_something() {
        let throttled = RetryAction::throttling_error();
        assert_eq!(verdict("CreateVpc", 503, "RequestLimitExceeded", throttled), RetryAction::NoActionIndicated);
    }

    /// Invariant 2.
    #[test]
    fn a_full_quota_is_final_although_its_status_is_that_of_throttling() {
        let full = RetryAction::throttling_error();
        assert_eq!(verdict("CreateRestApi", 429, FULL, full), RetryAction::RetryForbidden);
        let throttled = RetryAction::throttling_error();
        assert_eq!(
            verdict("CreateRestApi", 429, "TooManyRequestsException", throttled),
            RetryAction::NoActionIndicated
        );
    }

    /// It never makes a request be repeated that the SDK would not repeat.
    #[test]
    fn what_the_sdk_does_not_repeat_stays_so() {
        let none = RetryAction::NoActionIndicated;
        assert_eq!(verdict("DescribeVpcs", 400, "InvalidParameterValue", none.clone()), none);
    }
}
