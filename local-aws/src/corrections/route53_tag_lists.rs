//! There is no `ListTagsForResources` of Route 53. AWS lists the tags of up to ten zones or health checks in one call.
//!
//! The proxy asks for the tags of each and puts the answers together.

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use xmltree::{Element, XMLNode};

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Request, Response};

/// See the module.
pub(super) struct Route53TagLists;

#[async_trait]
impl Correction for Route53TagLists {
    fn id(&self) -> &'static str {
        "route53-tag-lists"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["route53:ListTagsForResources"]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let path = request.uri.path().trim_end_matches('/').to_owned();
        let mut sets = Element::new("ResourceTagSets");
        for id in ids(&request.body) {
            let one = call.rest(Method::GET, &format!("{path}/{id}"), None).await?;
            if !one.status.is_success() {
                return Ok(Some(one));
            }
            let set = one.xml().and_then(|mut answer| answer.take_child("ResourceTagSet"));
            sets.children.extend(set.map(XMLNode::Element));
        }
        Ok(Some(answer(sets)))
    }
}

/// The ids that the call names.
fn ids(body: &Bytes) -> Vec<String> {
    let Ok(document) = Element::parse(body.as_ref()) else { return Vec::new() };
    let list = document.get_child("ResourceIds").map(|list| list.children.as_slice()).unwrap_or_default();
    list.iter().filter_map(XMLNode::as_element).filter_map(|id| Some(id.get_text()?.trim().to_owned())).collect()
}

fn answer(sets: Element) -> Response {
    let mut document = Element::new("ListTagsForResourcesResponse");
    document.attributes.insert("xmlns".into(), "https://route53.amazonaws.com/doc/2013-04-01/".into());
    document.children.push(XMLNode::Element(sets));
    let mut body = Vec::new();
    document.write(&mut body).expect("a document can be written to memory");
    Response { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_are_read_and_the_sets_are_answered() {
        let body = Bytes::from_static(
            b"<ListTagsForResourcesRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
              <ResourceIds><ResourceId>a</ResourceId><ResourceId>b</ResourceId></ResourceIds></ListTagsForResourcesRequest>",
        );
        assert_eq!(ids(&body), ["a", "b"]);
        let mut sets = Element::new("ResourceTagSets");
        sets.children.push(XMLNode::Element(Element::new("ResourceTagSet")));
        let text = String::from_utf8(answer(sets).body.to_vec()).unwrap();
        assert!(text.contains("<ResourceTagSets><ResourceTagSet"), "{text}");
    }
}
