//! Who may call: whoever has the access key that this instance made at its start, and no web page.
//!
//! Any page that a browser on this machine shows can send requests to loopback, and any other user of the machine as well. Behind this
//! door functions run as the user who started it, so the door is not open.
//!
//! Invariants:
//! 1. A request that a browser sends for a page is refused, whatever it asks for: it names its origin, or says that it is no address
//!    that a person typed, or names a host that is none of ours, as after DNS rebinding.
//! 2. Only calls of deployed REST APIs need no key, as on AWS.
//! 3. Whoever has a key that AWS would have issued to the holder of another good key is let in as well.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use uuid::Uuid;

use crate::message::{Request, Response, XmlExt};
use crate::operation::{Operation, parameter};
use crate::refusal::refusal_of;

/// The header that carries the key to the proxy's own addresses.
pub(crate) const KEY_HEADER: HeaderName = HeaderName::from_static("x-local-aws-key");

/// Where the emulator serves deployed REST APIs.
const API_PATH: &str = "/_aws/execute-api/";

/// Operations that hand out keys.
const ISSUING: [&str; 6] = [
    "AssumeRole",
    "AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity",
    "CreateAccessKey",
    "GetFederationToken",
    "GetSessionToken",
];

/// The keys that are good, and the addresses that are ours.
pub(crate) struct Access {
    port: u16,
    /// The access key that `start` prints.
    key: String,
    /// The session token that functions have, because the emulator gives them its account's number as their key.
    token: String,
    issued: Mutex<HashSet<String>>,
}

impl Access {
    /// Access by this key to what listens on `port`.
    pub(crate) fn new(port: u16, key: &str, token: &str) -> Self {
        Self { port, key: key.to_owned(), token: token.to_owned(), issued: Mutex::default() }
    }

    /// A new access key, in the form of AWS's.
    pub(crate) fn random_key() -> String {
        format!("AKIA{}", &random()[..16])
    }

    /// Why a request may not come from whoever sent it, if it may not (invariant 1).
    pub(crate) fn objection(&self, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        if headers.contains_key(ORIGIN) {
            return Some("a web page sent this: it names its origin");
        }
        if text("sec-fetch-site").is_some_and(|site| site != "none") {
            return Some("a web page sent this: Sec-Fetch-Site is not `none`");
        }
        let hosts: Vec<&str> = headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or("?")).collect();
        let is_ours = match hosts.as_slice() {
            [host] => self.is_ours(host),
            _ => false,
        };
        let is_absolute_to_others = uri.authority().is_some_and(|authority| !self.is_ours(authority.as_str()));
        (!is_ours || is_absolute_to_others).then_some("the host that is asked for is not served here")
    }

    /// Names that lead to loopback whatever a name server says, and those of AWS, which no page can be served from.
    fn is_ours(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().ok()),
            None => (host, Some(80)),
        };
        let name = name.to_ascii_lowercase();
        let is_local = name == "127.0.0.1" || name == "localhost" || name.ends_with(".localhost");
        (is_local && port == Some(self.port)) || name.ends_with(".amazonaws.com")
    }

    /// Tells whether an address of the proxy itself, or of the emulator itself, is asked by whoever has the key.
    pub(crate) fn has_key(&self, headers: &HeaderMap) -> bool {
        headers.get(KEY_HEADER).is_some_and(|key| key.as_bytes() == self.key.as_bytes())
    }

    /// The refusal of a call whose key is none of ours, in the words of its service.
    pub(crate) fn refusal(&self, operation: &Operation, request: &Request) -> Option<Response> {
        if is_of_an_api(request) || self.is_good(request) {
            return None;
        }
        let message =
            "The access key is not that of this local AWS: use the environment that `local-aws start` prints.";
        let is_json = request.header("x-amz-target").is_some();
        let (status, code) = match operation.service.as_str() {
            "ec2" => (StatusCode::UNAUTHORIZED, "AuthFailure"),
            "s3" => (StatusCode::FORBIDDEN, "InvalidAccessKeyId"),
            "apigateway" | "backup" | "lambda" => (StatusCode::FORBIDDEN, "UnrecognizedClientException"),
            _ if is_json => (StatusCode::BAD_REQUEST, "UnrecognizedClientException"),
            _ => (StatusCode::FORBIDDEN, "InvalidClientTokenId"),
        };
        Some(refusal_of(operation, request, status, code, message))
    }

    fn is_good(&self, request: &Request) -> bool {
        if request.header("x-amz-security-token") == Some(&self.token) || self.has_key(&request.headers) {
            return true;
        }
        access_key(request).is_some_and(|key| key == self.key || self.issued().contains(&key))
    }

    /// Learns the keys that a successful answer hands out (invariant 3).
    pub(crate) fn learn(&self, operation: &Operation, answer: &Response) {
        if !ISSUING.contains(&operation.name.as_str()) || !answer.status.is_success() {
            return;
        }
        if let Some(mut document) = answer.xml() {
            document.each("AccessKeyId", &mut |id| {
                self.issued().extend(id.get_text().map(|id| id.trim().to_owned()));
            });
        }
    }

    fn issued(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that nobody guesses, in capital letters and digits.
pub(crate) fn random() -> String {
    Uuid::new_v4().simple().to_string().to_uppercase()
}

/// The access key of a request, in its signature or in a presigned address.
pub(crate) fn access_key(request: &Request) -> Option<String> {
    let signed = request.header("authorization").and_then(|value| value.split("Credential=").nth(1));
    let scope = signed.map(str::to_owned).or_else(|| parameter(request, "X-Amz-Credential"))?;
    scope.split('/').next().map(str::to_owned)
}

/// Tells whether a request calls a deployed REST API (invariant 2). It has to be as strict as the emulator: what that does not take for
/// such a call, it answers as one of AWS.
fn is_of_an_api(request: &Request) -> bool {
    let is_id = |id: &str| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric());
    let by_path = || {
        let (id, _) = request.uri.path().strip_prefix(API_PATH)?.split_once('/')?;
        Some(is_id(id))
    };
    let by_host = || {
        let (id, rest) = request.header("host")?.split_once('.')?;
        let name = rest.split(':').next()?;
        Some(id.len() == 8 && id.chars().all(|c| "0123456789abcdef".contains(c)) && name == "execute-api.localhost")
    };
    let names_a_service = request.header("x-amz-target").is_some() || request.header("smithy-protocol").is_some();
    !names_a_service && (by_path() == Some(true) || by_host() == Some(true))
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::http::{HeaderValue, Method};

    use super::*;

    fn access() -> Access {
        Access::new(4000, "AKIAGOOD", "token")
    }

    fn request(path: &str, headers: &[(&'static str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value)));
        let headers = headers.map(|(name, value)| (name, value.expect("text"))).collect();
        Request::new(Method::POST, path.parse().expect("a path"), headers, Bytes::new())
    }

    fn is_refused(headers: &[(&'static str, &str)]) -> bool {
        let request = request("/", headers);
        access().objection(&request.uri, &request.headers).is_some()
    }

    /// Invariant 1.
    #[test]
    fn what_a_page_sends_is_refused() {
        const HERE: (&str, &str) = ("host", "127.0.0.1:4000");
        assert!(!is_refused(&[HERE]) && !is_refused(&[HERE, ("sec-fetch-site", "none")]));
        for origin in ["https://evil.example", "http://127.0.0.1:4000", "null", ""] {
            assert!(is_refused(&[HERE, ("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "same-origin", ""] {
            assert!(is_refused(&[HERE, ("sec-fetch-site", site)]), "{site}");
        }
    }

    /// Invariant 1: after DNS rebinding a page is of the same origin, and only its host gives it away.
    #[test]
    fn other_hosts_than_ours_are_refused() {
        for host in [
            "127.0.0.1:4000",
            "localhost:4000",
            "LOCALHOST:4000",
            "0a1b2c3d.execute-api.localhost:4000",
            "bucket.localhost:4000",
            "abc.execute-api.us-east-1.amazonaws.com",
            "bucket.s3.us-east-1.amazonaws.com",
        ] {
            assert!(!is_refused(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example:4000",
            "abc.execute-api.evil.example:4000",
            "127.0.0.1",
            "127.0.0.1:4001",
            "127.0.0.1.evil.example:4000",
            "evil-localhost:4000",
            "amazonaws.com.evil.example",
            "evilamazonaws.com",
            "0.0.0.0:4000",
            "",
        ] {
            assert!(is_refused(&[("host", host)]), "{host}");
        }
        assert!(is_refused(&[]), "no host at all");
        assert!(is_refused(&[("host", "127.0.0.1:4000"), ("host", "evil.example")]), "two hosts");
        let absolute = request("http://evil.example/", &[("host", "127.0.0.1:4000")]);
        assert!(access().objection(&absolute.uri, &absolute.headers).is_some());
    }

    fn is_let_in(access: &Access, path: &str, headers: &[(&'static str, &str)]) -> bool {
        let request = request(path, headers);
        access.refusal(&Operation::of(&request), &request).is_none()
    }

    fn signed(key: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0"
        )
    }

    #[test]
    fn only_the_key_of_this_instance_opens() {
        let access = access();
        assert!(is_let_in(&access, "/2015-03-31/functions", &[("authorization", &signed("AKIAGOOD"))]));
        assert!(is_let_in(&access, "/b/k?X-Amz-Credential=AKIAGOOD%2F20260101%2Fus-east-1%2Fs3%2Faws4_request", &[]));
        for key in ["test", "000000000000", "AKIAGOO", "AKIAGOODX", ""] {
            assert!(!is_let_in(&access, "/2015-03-31/functions", &[("authorization", &signed(key))]), "{key}");
        }
        assert!(!is_let_in(&access, "/2015-03-31/functions", &[]));
        assert!(!is_let_in(&access, "/_ministack/reset", &[]));
        let function = [("authorization", &*signed("000000000000")), ("x-amz-security-token", "token")];
        assert!(is_let_in(&access, "/", &function), "a function has its token");
    }

    /// Invariant 3.
    #[test]
    fn keys_that_were_handed_out_open_as_well() {
        let access = access();
        let call = request("/", &[("authorization", &signed("AKIAGOOD"))]);
        let operation = Operation { name: "CreateAccessKey".to_owned(), ..Operation::of(&call) };
        let body = "<R><AccessKey><AccessKeyId>AKIANEW</AccessKeyId></AccessKey></R>";
        let answer = Response { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into() };
        assert!(!is_let_in(&access, "/", &[("authorization", &signed("AKIANEW"))]));
        access.learn(&operation, &answer);
        assert!(is_let_in(&access, "/", &[("authorization", &signed("AKIANEW"))]));
    }

    /// Invariant 2: whatever the emulator would take for a call of AWS needs a key.
    #[test]
    fn deployed_apis_need_no_key_and_nothing_else_passes_for_one() {
        let access = access();
        assert!(is_let_in(&access, "/_aws/execute-api/0a1b2c3d/prod/payment", &[]));
        assert!(is_let_in(&access, "/prod/health", &[("host", "0a1b2c3d.execute-api.localhost:4000")]));
        for path in
            ["/_aws/execute-api//prod", "/_aws/execute-api/%2Fa/b", "/_aws/execute-api/a", "/_aws/execute-api/..%2f/b"]
        {
            assert!(!is_let_in(&access, path, &[]), "{path}");
        }
        let host = ("host", "functions.execute-api.localhost:4000");
        assert!(!is_let_in(&access, "/2015-03-31/functions", &[host]));
        let target = ("x-amz-target", "DynamoDB_20120810.DeleteTable");
        assert!(!is_let_in(&access, "/_aws/execute-api/0a1b2c3d/prod/", &[target]));
        let as_api = signed("evil").replace("/lambda/", "/execute-api/");
        assert!(!is_let_in(&access, "/2015-03-31/functions", &[("authorization", &as_api)]));
    }
}
