//! A refusal in the words of AWS, written as the protocol of the call that is refused writes it.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use ciborium::Value as Cbor;
use xmltree::{Element, EmitterConfig, XMLNode};

use crate::corrections::Call;
use crate::message::{Response, branch, leaf};

/// The refusal of `call` with this status, code and message.
pub(crate) fn refusal(call: &Call<'_>, status: StatusCode, code: &str, message: &str) -> Response {
    let request = call.original;
    let is_form = request.header("content-type").is_some_and(|kind| kind.contains("x-www-form-urlencoded"));
    if request.header("smithy-protocol").is_some_and(|protocol| protocol.contains("cbor")) {
        return cbor(status, code, message);
    }
    if request.header("x-amz-target").is_some() {
        let document = serde_json::json!({ "__type": code, "message": message });
        let mut response = Response::json_document(status, &document);
        if call.operation.service == "sqs" {
            set(&mut response, "x-amzn-query-error", &format!("{code};Sender"));
        }
        return response;
    }
    let error = || [element("Code", code), element("Message", message)];
    let id = uuid::Uuid::new_v4().to_string();
    match call.operation.service.as_str() {
        "s3" => xml(status, branch("Error", error().into_iter().chain([element("RequestId", &id)]))),
        "ec2" => {
            let errors = branch("Errors", [XMLNode::Element(branch("Error", error()))]);
            xml(status, branch("Response", [XMLNode::Element(errors), element("RequestID", &id)]))
        }
        service if is_form || service == "route53" => {
            let error = branch("Error", [element("Type", "Sender")].into_iter().chain(error()));
            xml(status, branch("ErrorResponse", [XMLNode::Element(error), element("RequestId", &id)]))
        }
        _ => Response::rest_refusal(status, code, message),
    }
}

fn element(name: &str, text: &str) -> XMLNode {
    XMLNode::Element(leaf(name, text))
}

fn xml(status: StatusCode, document: Element) -> Response {
    let mut body = Vec::new();
    let config = EmitterConfig::new().perform_indent(false);
    document.write_with_config(&mut body, config).expect("writing to memory cannot fail");
    let mut response = Response { status, headers: Default::default(), body: body.into() };
    set(&mut response, "content-type", "text/xml");
    response
}

fn cbor(status: StatusCode, code: &str, message: &str) -> Response {
    let text = |text: &str| Cbor::Text(text.to_owned());
    let document = Cbor::Map(vec![(text("__type"), text(code)), (text("message"), text(message))]);
    let mut body = Vec::new();
    ciborium::into_writer(&document, &mut body).expect("writing to memory cannot fail");
    let mut response = Response { status, headers: Default::default(), body: body.into() };
    set(&mut response, header::CONTENT_TYPE.as_str(), "application/cbor");
    set(&mut response, "smithy-protocol", "rpc-v2-cbor");
    response
}

fn set(response: &mut Response, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("codes are ASCII");
    response.headers.insert(HeaderName::from_static(name), value);
}
