//! What can go wrong between drctl and AWS, in the terms that decide what happens next.
//!
//! Errors are matched by their wire code, never by the Rust type of the SDK: EC2 models no errors at all, other services leave some
//! out (`x.error-code-unmodelled`), and their wire codes differ from their shapes (`x.codes.wire-form`, `x.error-code-wire`,
//! `x.error-code-sns-cw`, `x.error-code-sqs`). A clock that is off by minutes is refused in words of its own, or in those of
//! credentials that are gone or wrong (`x.clock`).

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;
use serde::{Deserialize, Serialize};

use super::unreadable::Unreadable;

/// The text by which a request that was kept from leaving is recognised after it passed the SDK.
pub const STOPPED: &str = "the run is stopping";

/// How the connection's errors say that there was none: no address, nobody listens, no time left, no trust.
const UNCONNECTED: &str = "client error (Connect)";

/// EC2's code for a request that was signed at another time than AWS's.
const REQUEST_OUT_OF_TIME: &str = "InvalidSecurity.RequestHasExpired";

/// S3's code for the same.
const TIME_TOO_SKEWED: &str = "RequestTimeTooSkewed";

/// The codes of credentials that no call would be accepted with, in the words of all services (`x.codes.credentials`).
const USELESS_CREDENTIALS: [&str; 18] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "MissingSecurityHeader",
    REQUEST_OUT_OF_TIME,
    "RequestExpired",
    TIME_TOO_SKEWED,
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClient",
    "UnrecognizedClientException",
];

/// EC2 answers `AuthFailure` to the release of an address that is no longer ours (`eip.delete.twice`), which says nothing about the
/// credentials.
const RELEASE: &str = "ec2:ReleaseAddress";

/// How the other services say the same, under a code that may have other causes.
const OUT_OF_TIME: [&str; 2] = ["Signature expired", "Signature not yet current"];

/// The outcome of anything that talks to AWS.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of an operation on AWS.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// AWS answered, and said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No answer arrived; what became of the request is unknown.
    #[error("{operation} got no answer: {cause}")]
    NoAnswer {
        /// The operation, as `service:Operation`.
        operation: String,
        /// What the connection reported.
        cause: String,
    },
    /// Something answered, but nothing can be read from it; what became of the request is unknown.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The request never left this machine, so nothing came of it.
    #[error("{operation} could not be sent: {cause}")]
    Unsent {
        /// The operation, as `service:Operation`.
        operation: String,
        /// What was in the way.
        cause: String,
    },
    /// A list has no end.
    #[error("the pages of {operation} have no end: its answers lead back to a page that was read already")]
    Endless {
        /// The operation, as `service:Operation`.
        operation: String,
    },
    /// There are no usable credentials.
    #[error("{operation} could not be signed: {cause}")]
    Credentials {
        /// The operation, as `service:Operation`.
        operation: String,
        /// What the provider chain reported.
        cause: String,
    },
    /// A wait reached its deadline.
    #[error("waited {} s for {awaited}; it is still {last}", waited.as_secs())]
    Deadline {
        /// What was waited for.
        awaited: String,
        /// For how long.
        waited: Duration,
        /// The last state seen.
        last: String,
    },
    /// The object came to a state from which it does not become usable.
    #[error("{0}")]
    Failed(String),
    /// Something with this name exists and is not ours.
    #[error("{0}")]
    Taken(String),
    /// An object cannot be deleted because of things that are not ours.
    #[error("{0}")]
    Blocked(String),
    /// The answer lacks what the API promises.
    #[error("the answer of {operation} has no {field}")]
    Incomplete {
        /// The operation, as `service:Operation`.
        operation: String,
        /// The missing field.
        field: String,
    },
    /// The result could not be made durable.
    #[error("the state could not be written: {0}")]
    Unrecorded(String),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

/// AWS's own words about why it refused an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{operation} was refused: {code}: {message}{}", self.request())]
pub struct Refusal {
    /// The operation, as `service:Operation`.
    pub operation: String,
    /// The wire code, for example `InvalidVpcID.NotFound`.
    pub code: String,
    /// The message AWS sent.
    pub message: String,
    /// The id AWS support asks for.
    pub request_id: Option<String>,
    /// The HTTP status.
    pub status: u16,
}

impl Refusal {
    fn request(&self) -> String {
        self.request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default()
    }
}

impl Error {
    /// Turns what the SDK reports into what decides the next step.
    pub fn from_sdk<E>(operation: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        match &error {
            SdkError::ServiceError(service) => {
                let code = match service.err().code() {
                    Some(code) => code.to_owned(),
                    // A HEAD is answered without a body, so its status is all there is.
                    None if operation.contains(":Head") => service.raw().status().to_string(),
                    None => return Unreadable::of(operation, service.raw()).into(),
                };
                Self::Refused(Refusal {
                    operation: operation.to_owned(),
                    code,
                    message: service.err().message().unwrap_or("no message").to_owned(),
                    request_id: error.request_id().map(str::to_owned),
                    status: service.raw().status().as_u16(),
                })
            }
            SdkError::ResponseError(answer) => Unreadable::of(operation, answer.raw()).into(),
            _ => Self::without_answer(operation, &error),
        }
    }

    /// Why there is no answer.
    fn without_answer<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let context = DisplayErrorContext(error).to_string();
        let outer = without_request(context.split(" (").next().unwrap_or(&context));
        let inner = without_request(&innermost(error));
        let cause = if outer.contains(&inner) { outer } else { format!("{outer}: {inner}") };
        let operation = operation.to_owned();
        if cause.contains(STOPPED) {
            return Self::Interrupted;
        }
        // Only what the SDK says of its own can be about credentials: the network's words may contain anything.
        let is_of_the_network = matches!(error, SdkError::TimeoutError(_))
            || matches!(error, SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout());
        let words = context.to_lowercase();
        let is_of_the_endpoint = cause.contains(NO_ENDPOINT);
        if !is_of_the_network
            && !is_of_the_endpoint
            && ["credential", "identity"].iter().any(|word| words.contains(word))
        {
            return Self::Credentials { operation, cause };
        }
        let never_left = match error {
            _ if is_of_the_endpoint => true,
            SdkError::ConstructionFailure(_) => true,
            SdkError::DispatchFailure(failure) => failure.is_user() || never_connected(error),
            _ => false,
        };
        if never_left { Self::Unsent { operation, cause } } else { Self::NoAnswer { operation, cause } }
    }

    /// An answer without a field that the API always sends.
    pub fn incomplete(operation: &str, field: &str) -> Self {
        Self::Incomplete { operation: operation.to_owned(), field: field.to_owned() }
    }

    /// The same refusal, after it was met again and again for so long.
    pub fn after(mut self, tried: Duration) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.message += &format!(" (tried again for {} s)", tried.as_secs());
        }
        self
    }

    /// The wire code, when AWS refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// AWS's message, when AWS refused.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.message),
            _ => None,
        }
    }

    /// The wire code in lower case, without the suffix that some services write and others leave out (`x.error-code-wire`).
    fn bare_code(&self) -> Option<String> {
        let code = self.code()?.to_lowercase();
        Some(code.trim_end_matches("exception").trim_end_matches("fault").to_owned())
    }

    /// Tells whether AWS refused with one of these wire codes. EC2 writes the same one in upper and lower case,
    /// `InvalidVpcID.NotFound` and `InvalidVpcId.NotFound` (`x.codes.ec2-aliases`), so the case does not count.
    pub fn is(&self, codes: &[&str]) -> bool {
        self.code().is_some_and(|code| codes.iter().any(|one| one.eq_ignore_ascii_case(code)))
    }

    /// Tells whether AWS refused with this wire code and a message that contains `text`.
    pub fn says(&self, code: &str, text: &str) -> bool {
        self.is(&[code]) && self.message().is_some_and(|message| message.contains(text))
    }

    /// Tells whether the object is gone: already deleted, or never there.
    ///
    /// The services spell it in many ways (`x.codes.ec2-aliases`); a malformed id is not "gone" (`x.codes.malformed`).
    pub fn is_gone(&self) -> bool {
        self.bare_code().is_some_and(|code| {
            code.ends_with("notfound")
                || code.starts_with("nosuch")
                || code.ends_with("doesnotexist")
                || code.ends_with("nonexistentqueue")
                || code == "404"
        })
    }

    /// Tells whether a create call was refused because the object, or another one in its place, is there: an earlier call whose
    /// answer was lost may have made it, or somebody else (`x.idem.by-name`).
    pub fn already_exists(&self) -> bool {
        self.says("ResourceConflictException", "already exist")
            || self.bare_code().is_some_and(|code| {
                code.ends_with("alreadyexists") || code.contains("duplicate") || code == "invalidsubnet.conflict"
            })
    }

    /// Tells whether AWS refused because of too many calls, in the words of any service (`x.throttle.codes`).
    fn is_throttled(&self) -> bool {
        self.is(&["RequestLimitExceeded", "TooManyRequestsException", "SlowDown"])
            || self.code().is_some_and(|code| code.contains("Throttl"))
    }

    /// Tells whether the credentials are of no use: expired, revoked, wrong, not to be had any more, or signing at a time that AWS does
    /// not accept. Every other call would be refused as well, so nothing more is begun.
    pub fn is_without_credentials(&self) -> bool {
        let is_released = matches!(self, Self::Refused(refusal) if refusal.operation == RELEASE);
        matches!(self, Self::Credentials { .. })
            || self.is(&USELESS_CREDENTIALS)
            || (self.is(&["AuthFailure"]) && !is_released)
    }

    /// Tells whether AWS refused because of the time at which the request was signed: this machine's clock is off (`x.clock`).
    /// `RequestExpired` is not among it, for credentials that have ended are refused by the same code.
    pub fn blames_the_clock(&self) -> bool {
        self.is(&[REQUEST_OUT_OF_TIME, TIME_TOO_SKEWED])
            || self.message().is_some_and(|message| OUT_OF_TIME.iter().any(|text| message.contains(text)))
    }

    /// Tells whether it is about who we are or what we may do: exit code 3.
    pub fn is_denied(&self) -> bool {
        self.is_without_credentials()
            || self.is(&[
                "403",
                "AccessDenied",
                "AccessDeniedException",
                "AuthFailure",
                "AuthorizationError",
                "AuthorizationErrorException",
                "UnauthorizedOperation",
            ])
    }

    /// Tells whether a result is unknown because the answer was lost: the object has to be observed before anything is sent again.
    /// A throttled request did nothing, though EC2 says so with the status of a server's error.
    pub fn is_uncertain(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Unreadable(answer) => !answer.is_held_back(),
            Self::Refused(refusal) => refusal.status >= 500 && !self.is_throttled(),
            _ => false,
        }
    }

    /// Tells whether nothing came from AWS itself, whatever became of the request: another region, or the same later, may answer.
    pub fn is_unanswered(&self) -> bool {
        self.is_uncertain() || matches!(self, Self::Unsent { .. } | Self::Unreadable(_))
    }
}

/// Tells whether there was no connection, so that nothing was sent.
pub fn never_connected(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| cause.to_string().starts_with(UNCONNECTED))
}

/// How the SDK begins to say that an endpoint is no URL.
const NO_ENDPOINT: &str = "failed to apply endpoint";

/// The text without the request that the SDK writes into it whole, body included, where an endpoint is no URL.
fn without_request(text: &str) -> String {
    match (text.split_once(" to request `Request {"), text.rsplit_once("}`")) {
        (Some((before, _)), Some((_, after))) if text.contains(NO_ENDPOINT) => format!("{before}{after}"),
        _ => text.to_owned(),
    }
}

/// The last cause of a chain, which names the actual fault of the connection.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// A field that AWS always sends.
///
/// # Errors
/// [`Error::Incomplete`] when the answer lacks it all the same.
pub fn told<T>(value: Option<T>, operation: &str, field: &str) -> Result<T> {
    value.ok_or_else(|| Error::incomplete(operation, field))
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    fn refused(code: &str, status: u16) -> Error {
        Refusal { operation: "ec2:DescribeVpcs".into(), code: code.into(), status, ..Refusal::default() }.into()
    }

    #[test]
    fn gone_is_recognised_in_every_spelling() {
        for code in [
            "InvalidVpcID.NotFound",
            "InvalidSubnetID.NotFound",
            "InvalidSubnetId.NotFound",
            "InvalidGroup.NotFound",
            "NoSuchEntity",
            "NoSuchBucket",
            "ResourceNotFoundException",
            "TableNotFoundException",
            "DBClusterNotFoundFault",
            "GlobalClusterNotFoundFault",
            "AWS.SimpleQueueService.NonExistentQueue",
            "QueueDoesNotExist",
            "NotFound",
            "NotFoundException",
            "NatGatewayNotFound",
            "InvalidAllocationID.NotFound",
            "InvalidAddress.NotFound",
            "InvalidRoute.NotFound",
            "InvalidRouteTableID.NotFound",
            "InvalidPermission.NotFound",
            "InvalidSecurityGroupRuleId.NotFound",
            "InvalidVpcEndpointId.NotFound",
            "InvalidVpcEndpoint.NotFound",
            "InvalidFlowLogId.NotFound",
            "ListenerNotFound",
            "RuleNotFound",
            "LoadBalancerNotFound",
            "TargetGroupNotFound",
        ] {
            assert!(refused(code, 400).is_gone(), "{code}");
        }
        assert!(!refused("InvalidVpcID.Malformed", 400).is_gone());
        assert!(!refused("AccessDenied", 403).is_gone());
    }

    /// What the SDK reports, as this module tells it.
    fn told(error: SdkError<ErrorMetadata, HttpResponse>) -> Error {
        Error::from_sdk("ec2:CreateVpc", error)
    }

    fn answer(status: u16, body: &'static str) -> HttpResponse {
        HttpResponse::new(StatusCode::try_from(status).expect("a status"), SdkBody::from(body))
    }

    /// A failure without a code is no refusal: AWS always gives one, unless it was asked by HEAD.
    #[test]
    fn an_answer_that_cannot_be_read_is_told_as_it_came() {
        let unreadable =
            |status, body| told(SdkError::service_error(ErrorMetadata::builder().build(), answer(status, body)));
        let error = unreadable(503, "<html><body>Service Unavailable</body></html>");
        assert!(
            error.to_string().contains("status 503") && error.to_string().contains("Service Unavailable"),
            "{error}"
        );
        assert!(error.is_uncertain(), "it may have come after the change");
        assert!(!unreadable(407, "").is_uncertain(), "a proxy held the request back");
        let cut = told(SdkError::response_error("the document ends", answer(200, "<CreateVpcResponse><vpc>")));
        assert!(matches!(cut, Error::Unreadable(_)) && cut.is_unanswered(), "{cut}");
        let metadata = ErrorMetadata::builder().build();
        let head = Error::from_sdk("s3:HeadBucket", SdkError::service_error(metadata, answer(403, "")));
        assert!(head.is_denied() && head.code() == Some("403"), "{head}");
    }

    #[test]
    fn what_never_left_this_machine_is_no_lost_answer() {
        let unconnected = || ConnectorError::io(Chain("client error (Connect)", Some("connection refused")).into());
        let error = told(SdkError::dispatch_failure(unconnected()));
        assert!(matches!(error, Error::Unsent { .. }) && error.to_string().contains("connection refused"), "{error}");
        assert!(!error.is_uncertain() && error.is_unanswered());
        let invalid = told(SdkError::construction_failure("the address has no scheme"));
        assert!(matches!(&invalid, Error::Unsent { cause, .. } if cause.contains("no scheme")), "{invalid}");
        let request =
            "failed to apply endpoint `localhost:1` to request `Request { body: \"Password=hunter2\" }`: no scheme";
        let endpoint = told(SdkError::dispatch_failure(ConnectorError::other(request.into(), None)));
        assert!(matches!(endpoint, Error::Unsent { .. }), "{endpoint}");
        let told_shortly = "failed to apply endpoint `localhost:1`: no scheme";
        assert!(
            endpoint.to_string().ends_with(told_shortly) && !format!("{endpoint:?}").contains("hunter2"),
            "{endpoint}"
        );
        let lost = told(SdkError::dispatch_failure(ConnectorError::io("connection reset by peer".into())));
        assert!(matches!(lost, Error::NoAnswer { .. }) && lost.is_uncertain(), "{lost}");
        let host = Chain("client error (Connect)", Some("no address for cognito-identity.example"));
        let host = told(SdkError::dispatch_failure(ConnectorError::io(host.into())));
        assert!(matches!(host, Error::Unsent { .. }), "the words of the network are not about credentials: {host}");
        let signed = told(SdkError::construction_failure("no providers in chain provided credentials"));
        assert!(signed.is_without_credentials(), "{signed}");
    }

    /// An error with a cause.
    #[derive(Debug)]
    struct Chain(&'static str, Option<&'static str>);

    impl std::fmt::Display for Chain {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Chain {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            // Leaked, because a test's causes live as long as the test.
            self.1.map(|text| &*Box::leak(Box::new(Self(text, None))) as _)
        }
    }

    #[test]
    fn a_code_is_recognised_in_upper_and_lower_case() {
        assert!(refused("INVALIDSUBNETID.NOTFOUND", 400).is_gone() && refused("nosuchbucket", 404).is_gone());
        assert!(refused("invalidgroup.duplicate", 400).already_exists());
        assert!(refused("accessdenied", 403).is_denied());
        assert!(refused("InvalidSubnetId.NotFound", 400).is(&["InvalidSubnetID.NotFound"]));
        assert!(refused("InvalidSubnetID.NotFound", 400).says("InvalidSubnetId.NotFound", ""));
        assert!(!refused("InvalidSubnetID.Malformed", 400).is(&["InvalidSubnetID.NotFound"]));
    }

    /// The codes by which a repeated create call is told from a mistake, over all services.
    #[test]
    fn that_an_object_is_there_already_is_recognised_in_every_spelling() {
        for code in [
            "EntityAlreadyExists",
            "ResourceAlreadyExistsException",
            "AlreadyExistsException",
            "DuplicateLoadBalancerName",
            "DuplicateTargetGroupName",
            "InvalidGroup.Duplicate",
            "InvalidPermission.Duplicate",
            "InvalidSubnet.Conflict",
            "RouteAlreadyExists",
            "FlowLogAlreadyExists",
        ] {
            assert!(refused(code, 400).already_exists(), "{code}");
        }
        for code in ["RouteLimitExceeded", "InvalidVpcID.NotFound", "InvalidParameterValue"] {
            assert!(!refused(code, 400).already_exists(), "{code}");
        }
        let conflict = |message: &str| {
            let code = "ResourceConflictException".to_owned();
            Error::from(Refusal { code, message: message.to_owned(), status: 409, ..Refusal::default() })
        };
        assert!(conflict("Function already exist: dr-payment").already_exists());
        assert!(!conflict("An update is in progress for resource: dr-payment").already_exists());
    }

    /// Each service has its own word for it; a missing right is another matter, because other calls may have theirs.
    #[test]
    fn credentials_that_are_gone_are_told_from_rights_that_are_missing() {
        for code in [
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidClientTokenId",
            "RequestExpired",
            "InvalidSecurity.RequestHasExpired",
            "RequestTimeTooSkewed",
            "InvalidToken",
            "TokenRefreshRequired",
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "AuthFailure",
        ] {
            assert!(refused(code, 403).is_without_credentials() && refused(code, 403).is_denied(), "{code}");
        }
        let release =
            Refusal { operation: "ec2:ReleaseAddress".into(), code: "AuthFailure".into(), ..Refusal::default() };
        let release = Error::from(release);
        assert!(!release.is_without_credentials(), "the address is somebody else's by now");
        for code in ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"] {
            assert!(!refused(code, 403).is_without_credentials() && refused(code, 403).is_denied(), "{code}");
        }
        let unsigned = Error::Credentials { operation: "ec2:CreateVpc".into(), cause: "the session has ended".into() };
        assert!(unsigned.is_without_credentials());
    }

    #[test]
    fn a_clock_that_is_off_is_told_from_credentials_that_are_wrong() {
        let signature = |message: &str| {
            let code = "SignatureDoesNotMatch".to_owned();
            Error::from(Refusal { code, message: message.to_owned(), status: 403, ..Refusal::default() })
        };
        for message in [
            "Signature expired: 20260921T140000Z is now earlier than 20260921T141313Z",
            "Signature not yet current: 20260921T143000Z is still later than 20260921T142313Z",
        ] {
            assert!(signature(message).blames_the_clock() && signature(message).is_denied(), "{message}");
        }
        assert!(refused("InvalidSecurity.RequestHasExpired", 400).blames_the_clock());
        assert!(refused("RequestTimeTooSkewed", 403).blames_the_clock());
        assert!(!signature("The request signature we calculated does not match.").blames_the_clock());
        assert!(!refused("RequestExpired", 400).blames_the_clock(), "it may be the credentials as well");
    }

    #[test]
    fn a_server_error_leaves_the_result_unknown_and_throttling_does_not() {
        assert!(refused("InternalFailure", 500).is_uncertain());
        for code in
            ["RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"]
        {
            assert!(!refused(code, 503).is_uncertain(), "{code}");
        }
        assert!(!refused("InvalidParameterValue", 400).is_uncertain());
    }
}
