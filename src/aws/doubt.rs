//! Answers that say success and are none, which the SDK believes.
//!
//! The SDK reads nothing as a document without fields, an error in a successful answer as well, XML that was cut short as if it were
//! whole, and does not look at all at the answers of operations that return nothing. What a proxy sends in AWS's place would then be "there is none", or a deletion that was made (`x.answer.foreign`).
//!
//! Invariant: an answer is only ever refused, never changed; what it was is told by [`crate::aws::error::Error::from_sdk`].

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;

use super::transport::Operation;

/// Errors are short: a longer JSON document is not looked into.
const LONGEST_ERROR: usize = 4096;

/// The fields of errors in JSON, of AWS and of others.
const OF_ERRORS: [&str; 9] = ["__type", "code", "Code", "error", "Error", "errors", "message", "Message", "status"];

/// Refuses answers that cannot be AWS's.
#[derive(Debug)]
pub(super) struct Doubt;

#[dyn_dispatch_hint]
impl Intercept for Doubt {
    fn name(&self) -> &'static str {
        "Doubt"
    }

    // The body is read only after the hooks before this one.
    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match is_credible(context.response()) {
            true => Ok(()),
            false => Err("the answer says success and is none".into()),
        }
    }
}

fn is_credible(answer: &HttpResponse) -> bool {
    // The content of an object that is read piece by piece is not there yet, and may be anything.
    let Some(body) = answer.body().bytes() else { return true };
    if !answer.status().is_success() {
        return true;
    }
    let answers_with_more = answer.extension::<Operation>().is_some_and(Operation::returns_something);
    let is_page = answer.headers().get("content-type").is_some_and(|kind| kind.starts_with("text/html"));
    match body.trim_ascii_start().first() {
        None => !answers_with_more,
        Some(b'<') => !is_page && !is_bad_xml(body),
        Some(b'{') => body.len() > LONGEST_ERROR || !is_error_in_json(body),
        Some(_) => !is_page && !is_error_in_cbor(body),
    }
}

fn is_error_in_json(body: &[u8]) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return false };
    fields.contains_key("__type")
        || (!fields.is_empty() && fields.keys().all(|name| OF_ERRORS.contains(&name.as_str())))
}

/// The name of the field is a text of six bytes.
fn is_error_in_cbor(body: &[u8]) -> bool {
    body.len() <= LONGEST_ERROR && body.windows(7).take(200).any(|part| part == b"\x66__type")
}

/// Tells whether a document of XML is an error, a page, or cut short.
fn is_bad_xml(body: &[u8]) -> bool {
    let beginning = String::from_utf8_lossy(&body[..body.len().min(500)]);
    let root = beginning.split('<').skip(1).find(|tag| !tag.starts_with(['?', '!'])).unwrap_or_default();
    let name = root.split(|c: char| c.is_whitespace() || c == '>' || c == '/').next().unwrap_or_default();
    match name {
        "Error" | "ErrorResponse" => true,
        "Response" if beginning.contains("<Errors>") => true,
        name if name.eq_ignore_ascii_case("html") => true,
        name => {
            let is_alone = root.trim_end().ends_with("/>");
            !is_alone && !body.trim_ascii_end().ends_with(format!("</{name}>").as_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn credible(operation: &str, kind: &'static str, status: u16, body: &'static str) -> bool {
        let mut answer = HttpResponse::new(StatusCode::try_from(status).expect("a status"), SdkBody::from(body));
        answer.headers_mut().insert("content-type", kind);
        let (service, region) = ("x".to_owned(), "us-east-1".to_owned());
        answer.add_extension(Operation { service, name: operation.to_owned(), region });
        is_credible(&answer)
    }

    #[test]
    fn success_that_is_none_is_not_believed() {
        for (operation, kind, body) in [
            ("DescribeTable", "application/x-amz-json-1.0", ""),
            ("DescribeTable", "application/x-amz-json-1.0", " \n"),
            ("DescribeTable", "application/x-amz-json-1.0", r#"{"__type":"ResourceNotFoundException"}"#),
            ("GetRestApis", "application/json", r#"{"message":"Forbidden"}"#),
            ("DeleteVpc", "text/html", "<h1>Sign in</h1>"),
            ("DeleteVpc", "text/xml", "<!DOCTYPE html>\n<html lang=en><body>Sign in"),
            ("DeleteVpc", "text/xml", "<?xml version=\"1.0\"?>\n<Response><Errors><Error/></Errors></Response>"),
            ("DeleteDBCluster", "text/xml", "<ErrorResponse xmlns=\"urn:x\"><Error/></ErrorResponse>"),
            ("DescribeVpcs", "text/xml", "<?xml version=\"1.0\"?>\n<DescribeVpcsResponse><vpcSet><item>"),
            ("ListObjectVersions", "application/xml", "<Error><Code>SlowDown</Code></Error>"),
        ] {
            assert!(!credible(operation, kind, 200, body), "{operation}: {body}");
        }
    }

    #[test]
    fn what_aws_answers_is_believed() {
        for (operation, kind, status, body) in [
            ("TagResource", "application/x-amz-json-1.1", 200, ""),
            ("HeadBucket", "application/xml", 200, ""),
            ("ListKeys", "application/x-amz-json-1.1", 200, "{}"),
            ("GetBucketPolicy", "application/json", 200, r#"{"Version":"2012-10-17","Statement":[]}"#),
            (
                "DescribeVpcs",
                "text/xml",
                200,
                "<?xml version=\"1.0\"?><DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>",
            ),
            ("GetBucketVersioning", "application/xml", 200, "<VersioningConfiguration xmlns=\"urn:s3\"/>\n"),
            ("DescribeTable", "application/x-amz-json-1.0", 400, r#"{"__type":"ResourceNotFoundException"}"#),
        ] {
            assert!(credible(operation, kind, status, body), "{operation}: {body}");
        }
    }
}
