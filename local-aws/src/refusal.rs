//! A refusal as AWS words it, in the protocol of the call that is refused.
//!
//! It says what it is told to say; which code a service has for what, every scenario knows itself.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;
use uuid::Uuid;
use xmltree::{Element, XMLNode};

use crate::corrections::Call;
use crate::message::{Request, Response, branch, leaf};
use crate::operation::Operation;

/// The refusal of `call` with the code that AWS has for it on the wire.
pub(crate) fn refusal(call: &Call<'_>, status: StatusCode, code: &str, message: &str) -> Response {
    refusal_of(call.operation, call.original, status, code, message)
}

/// The same for a request that is not let in.
pub(crate) fn refusal_of(
    operation: &Operation,
    request: &Request,
    status: StatusCode,
    code: &str,
    message: &str,
) -> Response {
    match Protocol::of(operation, request) {
        Protocol::Cbor => cbor(status, code, message),
        Protocol::Json => {
            let document = json!({ "__type": code, "message": message });
            let mut response = Response::json_document(status, &document);
            query_code(&mut response.headers, status, code);
            response
        }
        Protocol::RestJson => Response::rest_refusal(status, code, message),
        Protocol::S3 if request.method == Method::HEAD => {
            Response { status, headers: HeaderMap::new(), body: Bytes::new() }
        }
        Protocol::S3 => {
            let request = [leaf("RequestId", &id()), leaf("HostId", &id())];
            xml(status, branch("Error", nodes(said(code, message).into_iter().chain(request))))
        }
        Protocol::Ec2 => {
            let errors = branch("Errors", nodes([branch("Error", nodes(said(code, message)))]));
            xml(status, branch("Response", nodes([errors, leaf("RequestID", &id())])))
        }
        Protocol::Query => {
            let fault = leaf("Type", if status.is_server_error() { "Receiver" } else { "Sender" });
            let error = branch("Error", nodes([fault].into_iter().chain(said(code, message))));
            xml(status, branch("ErrorResponse", nodes([error, leaf("RequestId", &id())])))
        }
    }
}

/// How a refusal is written.
#[derive(Debug, PartialEq)]
enum Protocol {
    /// RPC v2, which CloudWatch speaks.
    Cbor,
    /// Both JSON protocols; SQS among them.
    Json,
    /// REST with JSON: Lambda, API Gateway, Backup.
    RestJson,
    /// S3's own XML.
    S3,
    /// EC2's form of the query protocol.
    Ec2,
    /// The query protocol of the others, and the XML of Route 53.
    Query,
}

impl Protocol {
    fn of(operation: &Operation, request: &Request) -> Self {
        if request.header("smithy-protocol").is_some() {
            return Self::Cbor;
        }
        if request.header("x-amz-target").is_some() {
            return Self::Json;
        }
        match operation.service.as_str() {
            "s3" => Self::S3,
            "ec2" => Self::Ec2,
            "apigateway" | "backup" | "lambda" => Self::RestJson,
            _ => Self::Query,
        }
    }
}

fn cbor(status: StatusCode, code: &str, message: &str) -> Response {
    let document = ciborium::Value::Map(vec![("__type".into(), code.into()), ("message".into(), message.into())]);
    let mut response = Response::cbor_document(status, &document);
    query_code(&mut response.headers, status, code);
    response
}

/// Services that once spoke the query protocol name the old code and whose fault it was in a header; others ignore it.
fn query_code(headers: &mut HeaderMap, status: StatusCode, code: &str) {
    let fault = if status.is_server_error() { "Receiver" } else { "Sender" };
    let value = HeaderValue::from_str(&format!("{code};{fault}")).expect("an error code is ASCII");
    headers.insert(HeaderName::from_static("x-amzn-query-error"), value);
}

/// An answer in XML.
pub(crate) fn xml(status: StatusCode, document: Element) -> Response {
    let mut body = Vec::new();
    document.write(&mut body).expect("memory takes what is written");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    Response { status, headers, body: body.into() }
}

fn said(code: &str, message: &str) -> [Element; 2] {
    [leaf("Code", code), leaf("Message", message)]
}

fn nodes(elements: impl IntoIterator<Item = Element>) -> Vec<XMLNode> {
    elements.into_iter().map(XMLNode::Element).collect()
}

fn id() -> String {
    Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::tests::Caller;

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    fn refused(service: &str, method: &str, path: &str, headers: &[(&'static str, &str)], body: &str) -> Response {
        let caller = Caller::new(service, method, path, headers, body);
        refusal(&caller.call(), StatusCode::SERVICE_UNAVAILABLE, "Busy", "Later & not now.")
    }

    fn text(response: &Response) -> String {
        String::from_utf8(response.body.to_vec()).expect("text")
    }

    fn header<'a>(response: &'a Response, name: &str) -> &'a str {
        response.headers[name].to_str().expect("a header is text")
    }

    #[test]
    fn ec2_wraps_its_errors_in_a_list() {
        let body = text(&refused("ec2", "POST", "/", &[FORM], "Action=CreateVpc"));
        let expected = "<Response><Errors><Error><Code>Busy</Code><Message>Later &amp; not now.</Message></Error></Errors><RequestID>";
        assert!(body.contains(expected), "{body}");
    }

    #[test]
    fn the_query_services_and_route_53_say_whose_fault_it_was() {
        let expected = "<ErrorResponse><Error><Type>Receiver</Type><Code>Busy</Code><Message>Later &amp; not now.</Message></Error>";
        for (service, method, path) in [
            ("rds", "POST", "/"),
            ("iam", "POST", "/"),
            ("sns", "POST", "/"),
            ("elasticloadbalancing", "POST", "/"),
            ("sts", "POST", "/"),
            ("route53", "GET", "/2013-04-01/hostedzone/Z"),
        ] {
            let body = text(&refused(service, method, path, &[FORM], "Action=GetX"));
            assert!(body.contains(expected), "{service}: {body}");
        }
    }

    #[test]
    fn s3_names_the_error_at_the_top_and_says_nothing_to_a_head() {
        let body = text(&refused("s3", "PUT", "/bucket", &[], ""));
        assert!(body.contains("<Error><Code>Busy</Code><Message>Later &amp; not now.</Message><RequestId>"), "{body}");
        assert!(refused("s3", "HEAD", "/bucket", &[], "").body.is_empty());
    }

    #[test]
    fn the_json_protocols_name_the_type_in_the_body() {
        for (service, target) in [
            ("dynamodb", "DynamoDB_20120810.CreateTable"),
            ("logs", "Logs_20140328.CreateLogGroup"),
            ("sqs", "AmazonSQS.CreateQueue"),
        ] {
            let response = refused(service, "POST", "/", &[("x-amz-target", target)], "{}");
            assert_eq!(response.json_body(), json!({ "__type": "Busy", "message": "Later & not now." }), "{service}");
            assert_eq!(header(&response, "x-amzn-query-error"), "Busy;Receiver");
        }
    }

    #[test]
    fn the_rest_services_name_the_type_in_a_header() {
        for (service, path) in
            [("lambda", "/2015-03-31/functions"), ("apigateway", "/restapis"), ("backup", "/backup-vaults/v")]
        {
            let response = refused(service, "POST", path, &[], "{}");
            assert_eq!(header(&response, "x-amzn-errortype"), "Busy", "{service}");
            assert_eq!(response.json_body(), json!({ "message": "Later & not now." }));
        }
    }

    #[test]
    fn cloudwatch_answers_in_cbor() {
        let path = "/service/GraniteServiceVersion20100801/operation/PutMetricAlarm";
        let response = refused("monitoring", "POST", path, &[("smithy-protocol", "rpc-v2-cbor")], "");
        let document: ciborium::Value = ciborium::from_reader(response.body.as_ref()).expect("CBOR");
        let said =
            ciborium::Value::Map(vec![("__type".into(), "Busy".into()), ("message".into(), "Later & not now.".into())]);
        assert_eq!(document, said);
        assert_eq!(header(&response, "smithy-protocol"), "rpc-v2-cbor");
        assert_eq!(header(&response, "x-amzn-query-error"), "Busy;Receiver");
    }
}
