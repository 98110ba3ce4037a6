//! A refusal in the protocol of the call that came in.
//!
//! The services encode refusals differently, and SDKs read only their own service's form; a wrong one would be taken for an
//! unknown failure.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::corrections::Call;
use crate::message::Response;

/// Refuses a call as its service would.
pub(crate) fn refusal(call: &Call<'_>, status: StatusCode, code: &str, message: &str) -> Response {
    let id = uuid::Uuid::new_v4().to_string();
    let (safe_code, text) = (escaped(code), escaped(message));
    let error = format!("<Error><Code>{safe_code}</Code><Message>{text}</Message></Error>");
    match call.operation.service.as_str() {
        "ec2" => xml(status, &format!("<Response><Errors>{error}</Errors><RequestID>{id}</RequestID></Response>")),
        "s3" => xml(
            status,
            &format!("<Error><Code>{safe_code}</Code><Message>{text}</Message><RequestId>{id}</RequestId></Error>"),
        ),
        "elasticloadbalancing" | "iam" | "rds" | "route53" | "sns" | "sts" => {
            let kind = if status.is_server_error() { "Receiver" } else { "Sender" };
            let error = error.replacen("<Error>", &format!("<Error><Type>{kind}</Type>"), 1);
            xml(status, &format!("<ErrorResponse>{error}<RequestId>{id}</RequestId></ErrorResponse>"))
        }
        _ if call.original.header("smithy-protocol") == Some("rpc-v2-cbor") => cbor(status, code, message),
        "sqs" => {
            let mut response = json_document(status, code, message);
            // The shape is named in the body, the code that older clients know in this header.
            let known = format!("AWS.SimpleQueueService.{code};Sender");
            insert(&mut response.headers, "x-amzn-query-error", &known);
            response
        }
        _ if call.original.header("x-amz-target").is_some() => json_document(status, code, message),
        _ => Response::rest_refusal(status, code, message),
    }
}

fn json_document(status: StatusCode, code: &str, message: &str) -> Response {
    Response::json_document(status, &json!({ "__type": code, "message": message }))
}

fn xml(status: StatusCode, body: &str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    Response { status, headers, body: format!(r#"<?xml version="1.0" encoding="UTF-8"?>{body}"#).into() }
}

fn cbor(status: StatusCode, code: &str, message: &str) -> Response {
    let document = ciborium::Value::Map(vec![("__type".into(), code.into()), ("message".into(), message.into())]);
    let mut body = Vec::new();
    ciborium::into_writer(&document, &mut body).expect("texts can be written to memory");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/cbor"));
    insert(&mut headers, "smithy-protocol", "rpc-v2-cbor");
    Response { status, headers, body: body.into() }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("codes are ASCII");
    headers.insert(HeaderName::from_static(name), value);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::{Method, Uri};

    use super::*;
    use crate::accelerator::Accelerators;
    use crate::emulator::Emulator;
    use crate::message::Request;
    use crate::operation::{Kind, Operation};

    fn refused(service: &str, headers: &[(&'static str, &'static str)]) -> Response {
        let operation = Operation {
            kind: Kind::Api,
            service: service.to_owned(),
            region: "us-east-1".to_owned(),
            name: "Delete".to_owned(),
        };
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let request = Request::new(Method::POST, Uri::from_static("/"), headers, axum::body::Bytes::new());
        let (emulator, accelerators) = (Emulator::new(1), Accelerators::new(Duration::ZERO));
        let call = Call { operation: &operation, original: &request, emulator: &emulator, accelerators: &accelerators };
        refusal(&call, StatusCode::CONFLICT, "InUse", "a <b> & c")
    }

    #[test]
    fn every_protocol_has_its_own_form() {
        let text = |response: Response| String::from_utf8(response.body.to_vec()).unwrap();
        let told = "<Code>InUse</Code><Message>a &lt;b&gt; &amp; c</Message>";
        assert!(
            text(refused("ec2", &[])).contains(&format!("<Response><Errors><Error>{told}</Error></Errors><RequestID>"))
        );
        assert!(
            text(refused("rds", &[])).contains(&format!("<ErrorResponse><Error><Type>Sender</Type>{told}</Error>"))
        );
        assert!(text(refused("s3", &[])).contains(&format!("?><Error>{told}<RequestId>")));
        let target = [("x-amz-target", "DynamoDB_20120810.DeleteTable")];
        assert_eq!(text(refused("dynamodb", &target)), r#"{"__type":"InUse","message":"a <b> & c"}"#);
        let queue = refused("sqs", &target);
        assert_eq!(queue.headers["x-amzn-query-error"], "AWS.SimpleQueueService.InUse;Sender");
        let rest = refused("lambda", &[]);
        assert_eq!(rest.headers["x-amzn-errortype"], "InUse");
        let cbor: ciborium::Value =
            ciborium::from_reader(refused("monitoring", &[("smithy-protocol", "rpc-v2-cbor")]).body.as_ref()).unwrap();
        assert_eq!(cbor.as_map().unwrap()[0].1.as_text(), Some("InUse"));
    }
}
