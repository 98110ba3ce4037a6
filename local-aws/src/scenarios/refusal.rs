//! A refusal in the protocol of the call that it answers: AWS's services write the same three things, status, code and message, in
//! seven ways, and clients read only the one they expect.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::corrections::Call;
use crate::message::{Request, Response};

/// A refusal of `call`.
pub(crate) fn refusal(call: &Call<'_>, status: StatusCode, code: &str, message: &str) -> Response {
    of(call.original, &call.operation.service, status, code, message)
}

/// A refusal of a request to a service.
pub(crate) fn of(request: &Request, service: &str, status: StatusCode, code: &str, message: &str) -> Response {
    let path = request.uri.path();
    if path.starts_with("/service/") && path.contains("/operation/") {
        return cbor(status, code, message);
    }
    if request.header("x-amz-target").is_some() {
        return json_target(request, service, status, code, message);
    }
    let (code_text, message_text) = (escape(code), escape(message));
    match service {
        // An answer to HEAD has no body; clients tell what is meant by the status.
        "s3" if request.method == Method::HEAD => document(status, "application/xml", String::new()),
        "s3" => {
            let body = format!("<Error><Code>{code_text}</Code><Message>{message_text}</Message></Error>");
            document(status, "application/xml", body)
        }
        "ec2" => {
            let error = format!("<Error><Code>{code_text}</Code><Message>{message_text}</Message></Error>");
            document(status, "text/xml", format!("<Response><Errors>{error}</Errors></Response>"))
        }
        "route53" => document(status, "text/xml", error_response(status, &code_text, &message_text)),
        _ if is_form(request) => document(status, "text/xml", error_response(status, &code_text, &message_text)),
        _ => Response::rest_refusal(status, code, message),
    }
}

fn is_form(request: &Request) -> bool {
    request.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

fn error_response(status: StatusCode, code: &str, message: &str) -> String {
    let side = if status.is_server_error() { "Receiver" } else { "Sender" };
    format!(
        "<ErrorResponse><Error><Type>{side}</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )
}

fn json_target(request: &Request, service: &str, status: StatusCode, code: &str, message: &str) -> Response {
    let mut response =
        Response::json_document(status, &json!({ "__type": code, "message": message, "Message": message }));
    if let Some(kind) = request.headers.get(header::CONTENT_TYPE) {
        response.headers.insert(header::CONTENT_TYPE, kind.clone());
    }
    if service == "sqs"
        && let Ok(value) = HeaderValue::from_str(&format!("{code};Sender"))
    {
        response.headers.insert(HeaderName::from_static("x-amzn-query-error"), value);
    }
    response
}

fn cbor(status: StatusCode, code: &str, message: &str) -> Response {
    let value = |text: &str| ciborium::Value::Text(text.to_owned());
    let entries = vec![(value("__type"), value(code)), (value("message"), value(message))];
    let mut body = Vec::new();
    ciborium::into_writer(&ciborium::Value::Map(entries), &mut body).expect("a vector takes every byte");
    let mut response = document(status, "application/cbor", body);
    response.headers.insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
    response
}

fn document(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let id = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).expect("an identifier is ASCII");
    headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
    Response { status, headers, body: body.into() }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(service: &str, method: Method, path: &str, headers: &[(&'static str, &'static str)]) -> Response {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let request = Request::new(method, path.parse().unwrap(), headers, Bytes::new());
        of(&request, service, StatusCode::BAD_REQUEST, "Not&Yet", "a < b")
    }

    #[test]
    fn every_protocol_has_its_own_words() {
        let text = |response: Response| String::from_utf8(response.body.to_vec()).unwrap();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let ec2 = text(refused("ec2", Method::POST, "/", &form));
        assert_eq!(
            ec2,
            "<Response><Errors><Error><Code>Not&amp;Yet</Code><Message>a &lt; b</Message></Error></Errors></Response>"
        );
        assert!(
            text(refused("rds", Method::POST, "/", &form)).starts_with("<ErrorResponse><Error><Type>Sender</Type>")
        );
        assert!(text(refused("s3", Method::PUT, "/b", &[])).starts_with("<Error><Code>"));
        assert!(text(refused("s3", Method::HEAD, "/b", &[])).is_empty());
        let sqs = refused("sqs", Method::POST, "/", &[("x-amz-target", "AmazonSQS.CreateQueue")]);
        assert_eq!(sqs.headers["x-amzn-query-error"], "Not&Yet;Sender");
        assert_eq!(sqs.json_body()["__type"], "Not&Yet");
        let rest = refused("lambda", Method::GET, "/2015-03-31/functions/f", &[]);
        assert_eq!(rest.headers["x-amzn-errortype"], "Not&Yet");
        let metrics = refused("monitoring", Method::POST, "/service/X/operation/PutMetricAlarm", &[]);
        assert_eq!(metrics.headers["content-type"], "application/cbor");
    }
}
