//! A request and its answer as they pass the proxy, with their bodies as the corrections see them: form, JSON, XML, CBOR.
//!
//! Invariants:
//! 1. A body that is not read as a document, or that no correction changes, passes byte for byte.
//! 2. When a body is replaced, every header that vouches for the old one goes with it.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::Value;
use xmltree::{Element, EmitterConfig, XMLNode};

/// A request, with its whole body.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The HTTP method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) uri: Uri,
    /// The headers as the client sent them.
    pub(crate) headers: HeaderMap,
    /// The body as the client sent it.
    pub(crate) body: Bytes,
}

impl Request {
    /// A request of these parts.
    pub(crate) fn new(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Self {
        Self { method, uri, headers, body }
    }

    /// A header's value, if it is there and text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether a function that the emulator runs sent it: its SDK says so, as on AWS.
    pub(crate) fn is_of_a_function(&self) -> bool {
        self.header("user-agent").is_some_and(|agent| agent.contains("exec-env/AWS_Lambda_"))
    }

    /// The parameters of the query protocol.
    pub(crate) fn form(&self) -> Form {
        Form(form_urlencoded::parse(&self.body).into_owned().collect())
    }

    /// Replaces the parameters of the query protocol.
    pub(crate) fn set_form(&mut self, form: &Form) {
        self.body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.0).finish().into();
        forget_body_headers(&mut self.headers);
    }

    /// The JSON document in the body; null when there is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Replaces the body with a JSON document.
    pub(crate) fn set_json(&mut self, document: &Value) {
        self.body = document.to_string().into();
        forget_body_headers(&mut self.headers);
    }
}

/// Parameters of the query protocol, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Form(pub(crate) Vec<(String, String)>);

impl Form {
    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The values of a list parameter `name.1`, `name.2` (EC2), or with any infix: pass `Names.member` for that form.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|index| self.get(&format!("{name}.{index}"))).collect()
    }

    /// Removes every parameter that `drop` wants gone; whether there was any.
    pub(crate) fn remove(&mut self, drop: impl Fn(&str, &str) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|(name, value)| !drop(name, value));
        self.0.len() < before
    }
}

/// An answer, with its whole body.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

impl Response {
    /// An answer of the JSON protocols.
    pub(crate) fn json_document(status: StatusCode, document: &Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        let id = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).expect("an identifier is ASCII");
        headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
        Self { status, headers, body: document.to_string().into() }
    }

    /// An answer of RPC v2 with CBOR.
    pub(crate) fn cbor_document(status: StatusCode, document: &impl serde::Serialize) -> Self {
        let mut body = Vec::new();
        ciborium::into_writer(document, &mut body).expect("memory takes what is written");
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/cbor"));
        headers.insert(HeaderName::from_static("smithy-protocol"), HeaderValue::from_static("rpc-v2-cbor"));
        Self { status, headers, body: body.into() }
    }

    /// A refusal in the JSON protocols, under the code AWS gives it.
    pub(crate) fn json_refusal(code: &str, message: &str) -> Self {
        Self::json_document(StatusCode::BAD_REQUEST, &serde_json::json!({ "__type": code, "Message": message }))
    }

    /// A refusal of the REST services that speak JSON, under the code AWS gives it.
    pub(crate) fn rest_refusal(status: StatusCode, code: &str, message: &str) -> Self {
        let mut response = Self::json_document(status, &serde_json::json!({ "message": message }));
        let code = HeaderValue::from_str(code).expect("an error code is ASCII");
        response.headers.insert(HeaderName::from_static("x-amzn-errortype"), code);
        response
    }

    /// The JSON document in the body; null when there is none.
    pub(crate) fn json_body(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Changes the JSON document in the body. A body that is none stays as it is.
    pub(crate) fn change_json(&mut self, change: impl FnOnce(&mut Value)) {
        let Ok(mut document) = serde_json::from_slice(&self.body) else { return };
        change(&mut document);
        self.set_body(document.to_string());
    }

    /// The XML document in the body, if it is one.
    pub(crate) fn xml(&self) -> Option<Element> {
        Element::parse(self.body.as_ref()).ok()
    }

    /// Changes the XML document in the body. A body that is none stays as it is.
    pub(crate) fn change_xml(&mut self, change: impl FnOnce(&mut Element)) {
        let Some(mut document) = self.xml() else { return };
        change(&mut document);
        let mut body = Vec::new();
        let config = EmitterConfig::new().perform_indent(false);
        if document.write_with_config(&mut body, config).is_ok() {
            self.set_body(body);
        }
    }

    /// Changes the CBOR document in the body. A body that is none stays as it is.
    pub(crate) fn change_cbor(&mut self, change: impl FnOnce(&mut ciborium::Value)) {
        let Ok(mut document) = ciborium::from_reader(self.body.as_ref()) else { return };
        change(&mut document);
        let mut body = Vec::new();
        if ciborium::into_writer(&document, &mut body).is_ok() {
            self.set_body(body);
        }
    }

    /// The same answer with another body.
    pub(crate) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.set_body(body);
        self
    }

    fn set_body(&mut self, body: impl Into<Bytes>) {
        self.body = body.into();
        forget_body_headers(&mut self.headers);
    }
}

fn forget_body_headers(headers: &mut HeaderMap) {
    for name in ["content-length", "content-md5", "x-amz-crc32", "x-amz-content-sha256", "etag"] {
        headers.remove(name);
    }
}

/// What corrections need of an XML element, by local name.
pub(crate) trait XmlExt {
    /// Whether the element has this local name.
    fn named(&self, name: &str) -> bool;
    /// The text of a child.
    fn text_of(&self, name: &str) -> Option<String>;
    /// Sets the text of a child, adding the child where there is none.
    fn set_text(&mut self, name: &str, text: &str);
    /// Removes every child of this name.
    fn remove(&mut self, name: &str);
    /// Replaces every child of this name, or adds the new one at the end.
    fn put(&mut self, child: Element);
    /// Visits every element at any depth with this local name.
    fn each(&mut self, name: &str, visit: &mut dyn FnMut(&mut Element));
    /// The elements that are children.
    fn elements(&mut self) -> Box<dyn Iterator<Item = &mut Element> + '_>;
}

impl XmlExt for Element {
    fn named(&self, name: &str) -> bool {
        self.name == name
    }

    fn text_of(&self, name: &str) -> Option<String> {
        let child = self.get_child(name)?;
        Some(child.get_text().map(|text| text.trim().to_owned()).unwrap_or_default())
    }

    fn set_text(&mut self, name: &str, text: &str) {
        match self.get_mut_child(name) {
            Some(child) => child.children = vec![XMLNode::Text(text.to_owned())],
            None => self.children.push(XMLNode::Element(leaf(name, text))),
        }
    }

    fn remove(&mut self, name: &str) {
        self.children.retain(|node| node.as_element().is_none_or(|child| !child.named(name)));
    }

    fn put(&mut self, child: Element) {
        self.remove(&child.name);
        self.children.push(XMLNode::Element(child));
    }

    fn each(&mut self, name: &str, visit: &mut dyn FnMut(&mut Element)) {
        for child in self.children.iter_mut().filter_map(XMLNode::as_mut_element) {
            if child.named(name) {
                visit(child);
            }
            child.each(name, visit);
        }
    }

    fn elements(&mut self) -> Box<dyn Iterator<Item = &mut Element> + '_> {
        Box::new(self.children.iter_mut().filter_map(XMLNode::as_mut_element))
    }
}

/// An element that holds only text.
pub(crate) fn leaf(name: &str, text: &str) -> Element {
    branch(name, [XMLNode::Text(text.to_owned())])
}

/// An element that holds these nodes.
pub(crate) fn branch(name: &str, children: impl IntoIterator<Item = XMLNode>) -> Element {
    let mut element = Element::new(name);
    element.children.extend(children);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-crc32", HeaderValue::from_static("1"));
        Response { status: StatusCode::OK, headers, body: body.to_owned().into() }
    }

    /// Invariant 1.
    #[test]
    fn a_body_that_is_no_document_stays_as_it_is() {
        let mut response = answer("not a document");
        response.change_json(|document| *document = Value::Null);
        response.change_xml(|document| document.children.clear());
        assert_eq!(response.body, "not a document");
        assert!(response.headers.contains_key("x-amz-crc32"));
    }

    /// Invariant 2: SDKs for DynamoDB refuse an answer whose checksum is another body's.
    #[test]
    fn a_changed_body_loses_its_checksum() {
        let mut response = answer("{}");
        response.change_json(|document| document["a"] = 1.into());
        assert_eq!(response.body, r#"{"a":1}"#);
        assert!(!response.headers.contains_key("x-amz-crc32"));
    }

    #[test]
    fn a_rewritten_document_keeps_its_namespace_and_texts() {
        let source = r#"<R xmlns="urn:x"><a>1 &amp; 2</a><b/></R>"#;
        let mut response = answer(source);
        response.change_xml(|document| document.set_text("b", "<"));
        let text = String::from_utf8(response.body.to_vec()).unwrap();
        assert!(text.ends_with(r#"<R xmlns="urn:x"><a>1 &amp; 2</a><b>&lt;</b></R>"#), "{text}");
    }
}
