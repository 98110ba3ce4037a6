//! Answers and requests as trees, so that a scenario can say in one line of a table where an id or a state stands, whether the
//! service speaks JSON or XML.
//!
//! A path is a list of names with `/` between them; lists are gone through by themselves. In XML it starts below the root.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;
use xmltree::{Element, XMLNode};

use crate::message::{Request, Response, XmlExt, branch};
use crate::operation::Operation;

/// A part of an answer.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// Of a JSON protocol.
    Json(Value),
    /// Of an XML protocol.
    Xml(Element),
}

impl Tree {
    /// The whole of an answer, if it is a document.
    pub(super) fn of(answer: &Response) -> Option<Self> {
        match serde_json::from_slice(&answer.body) {
            Ok(document) => Some(Self::Json(document)),
            Err(_) => answer.xml().map(Self::Xml),
        }
    }

    /// The first text at a path.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        match self.part(path)? {
            Self::Json(Value::String(text)) => Some(text),
            Self::Json(_) => None,
            Self::Xml(element) => Some(element.get_text().unwrap_or_default().trim().to_owned()),
        }
    }

    /// The first part at a path.
    pub(super) fn part(&self, path: &str) -> Option<Self> {
        let mut found = None;
        self.clone().each(path, &mut |part| {
            found.get_or_insert_with(|| part.clone());
        });
        found
    }

    /// Visits every part at a path.
    pub(super) fn each(&mut self, path: &str, visit: &mut dyn FnMut(&mut Self)) {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        match self {
            Self::Json(value) => each_json(value, &names, visit),
            Self::Xml(element) => each_xml(element, &names, visit),
        }
    }

    /// Writes a text at a path, everywhere the path leads; its last name may be new.
    pub(super) fn set(&mut self, path: &str, text: &str) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.each(parent, &mut |part| match part {
            Self::Json(value) if value.is_object() => value[name] = text.into(),
            Self::Json(_) => {}
            Self::Xml(element) => element.set_text(name, text),
        });
    }

    /// Keeps of a list only the parts that are wanted; the path names the parts.
    pub(super) fn retain(&mut self, path: &str, keep: &dyn Fn(&Self) -> bool) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.each(parent, &mut |part| match part {
            Self::Json(value) => {
                if let Some(list) = value.get_mut(name).and_then(Value::as_array_mut) {
                    list.retain(|item| keep(&Self::Json(item.clone())));
                }
            }
            Self::Xml(element) => element.children.retain(|node| match node.as_element() {
                Some(child) if child.named(name) => keep(&Self::Xml(child.clone())),
                _ => true,
            }),
        });
    }

    /// Adds a part to a list, or puts it where there is one; the path names the parts.
    pub(super) fn add(&mut self, path: &str, part: &Self) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.each(parent, &mut |place| match (place, part) {
            (Self::Json(value), Self::Json(part)) => match value.get_mut(name).and_then(Value::as_array_mut) {
                Some(list) => list.push(part.clone()),
                None => value[name] = part.clone(),
            },
            (Self::Xml(element), Self::Xml(part)) => {
                element.children.push(XMLNode::Element(Element { name: name.to_owned(), ..part.clone() }));
            }
            _ => {}
        });
    }

    /// A successful answer to an operation that holds this part alone, at a path.
    pub(super) fn answer(&self, operation: &str, path: &str) -> Response {
        let names = path.rsplit('/').filter(|name| !name.is_empty());
        let (kind, body) = match self {
            Self::Json(part) => {
                let document = names.fold(part.clone(), |inner, name| serde_json::json!({ name: inner }));
                ("application/x-amz-json-1.0", Bytes::from(document.to_string()))
            }
            Self::Xml(part) => {
                let mut names = names;
                let name = names.next().unwrap_or(&part.name);
                let part = Element { name: name.to_owned(), ..part.clone() };
                let inner = names.fold(part, |inner, name| branch(name, [XMLNode::Element(inner)]));
                let root = branch(&format!("{operation}Response"), [XMLNode::Element(inner)]);
                let mut body = Vec::new();
                root.write(&mut body).expect("a vector takes every byte");
                ("text/xml", body.into())
            }
        };
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        Response { status: StatusCode::OK, headers, body }
    }

    /// Replaces the body of an answer by this tree.
    pub(super) fn write(self, answer: &mut Response) {
        match self {
            Self::Json(document) => answer.change_json(|body| *body = document),
            Self::Xml(document) => answer.change_xml(|body| *body = document),
        }
    }
}

fn each_json(value: &mut Value, names: &[&str], visit: &mut dyn FnMut(&mut Tree)) {
    if let Value::Array(items) = value {
        return items.iter_mut().for_each(|item| each_json(item, names, visit));
    }
    match names.split_first() {
        Some((name, rest)) => value.get_mut(*name).into_iter().for_each(|child| each_json(child, rest, visit)),
        None => {
            let mut part = Tree::Json(value.take());
            visit(&mut part);
            if let Tree::Json(changed) = part {
                *value = changed;
            }
        }
    }
}

fn each_xml(element: &mut Element, names: &[&str], visit: &mut dyn FnMut(&mut Tree)) {
    match names.split_first() {
        Some((name, rest)) => {
            let children = element.elements().filter(|child| child.named(name));
            children.for_each(|child| each_xml(child, rest, visit));
        }
        None => {
            let mut part = Tree::Xml(std::mem::replace(element, Element::new("taken")));
            visit(&mut part);
            if let Tree::Xml(changed) = part {
                *element = changed;
            }
        }
    }
}

/// A parameter of a request: of the query protocol, or the text at a path of a JSON document.
pub(super) fn parameter(request: &Request, name: &str) -> Option<String> {
    match serde_json::from_slice(&request.body) {
        Ok(document) => Tree::Json(document).text(name),
        Err(_) => request.form().get(name).map(str::to_owned),
    }
}

/// A part of the path of a request, counted from 0.
pub(super) fn segment(request: &Request, index: usize) -> Option<String> {
    let raw = request.uri.path().trim_start_matches('/').split('/').nth(index)?;
    form_urlencoded::parse(raw.as_bytes()).next().map(|(name, _)| name.into_owned())
}

/// Where an id stands.
pub(super) enum At {
    /// In the answer, or in the part of it that is looked at.
    Answer(&'static str),
    /// In a parameter of the request.
    Request(&'static str),
    /// In the path of the request.
    Segment(usize),
}

impl At {
    /// The bare id, if it is there.
    pub(super) fn find(&self, request: &Request, answer: Option<&Tree>) -> Option<String> {
        let found = match self {
            Self::Answer(path) => answer?.text(path),
            Self::Request(name) => parameter(request, name),
            Self::Segment(index) => segment(request, *index),
        };
        found.map(|id| bare(&id).to_owned()).filter(|id| !id.is_empty())
    }
}

/// Tells whether a call is of the operation `service:Operation`.
pub(super) fn is(name: &str, operation: &Operation) -> bool {
    name.split_once(':') == Some((operation.service.as_str(), operation.name.as_str()))
}

/// The part of an ARN or address that its service's other calls know the object by; any other id as it is.
pub(super) fn bare(id: &str) -> &str {
    let is_long = ["arn:", "http", "/"].iter().any(|start| id.starts_with(start));
    if is_long { id.rsplit([':', '/']).next().unwrap_or(id) } else { id }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn xml(text: &str) -> Tree {
        Tree::Xml(Element::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_path_leads_through_the_lists_of_either_protocol() {
        for mut tree in [
            Tree::Json(json!({ "set": [{ "id": "a", "state": "x" }, { "id": "b" }] })),
            xml("<R><set><id>a</id><state>x</state></set><set><id>b</id></set></R>"),
        ] {
            assert_eq!(tree.text("set/id").as_deref(), Some("a"));
            let mut ids = Vec::new();
            tree.each("set", &mut |part| {
                part.set("state", "pending");
                ids.extend(part.text("id"));
            });
            assert_eq!(ids, ["a", "b"]);
            tree.retain("set", &|part| part.text("id").as_deref() == Some("b"));
            assert_eq!(
                (tree.text("set/id").as_deref(), tree.text("set/state").as_deref()),
                (Some("b"), Some("pending"))
            );
            let mut part = None;
            tree.each("set", &mut |found| part = Some(found.clone()));
            tree.add("set", &part.unwrap());
            let mut count = 0;
            tree.each("set", &mut |_| count += 1);
            assert_eq!(count, 2);
        }
    }

    #[test]
    fn a_part_makes_an_answer_of_its_own() {
        let answer = xml("<GlobalCluster><Id>g</Id></GlobalCluster>").answer("DescribeX", "XResult/Xs/X");
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(body.ends_with("<DescribeXResponse><XResult><Xs><X><Id>g</Id></X></Xs></XResult></DescribeXResponse>"));
        let answer = Tree::Json(json!({ "n": "t" })).answer("DescribeTable", "Table");
        assert_eq!(answer.json_body(), json!({ "Table": { "n": "t" } }));
    }

    #[test]
    fn long_names_of_objects_are_cut_to_what_other_calls_use() {
        assert_eq!(bare("arn:aws:rds:us-east-1:0:cluster:c"), "c");
        assert_eq!(bare("arn:aws:kms:us-east-1:0:key/mrk-1"), "mrk-1");
        assert_eq!(bare("/change/C1"), "C1");
        assert_eq!(bare("vpc-1"), "vpc-1");
    }
}
