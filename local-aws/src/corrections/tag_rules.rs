//! The emulator takes any number of tags. Route 53 keeps ten of a zone or health check.
//!
//! The proxy refuses more. The words are not verified; the API's reference names the code alone.

use std::collections::BTreeSet;

use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use xmltree::{Element, XMLNode};

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Request, Response, XmlExt};
use crate::refusal::refusal;

/// See the module.
pub(super) struct TagRules;

/// How many tags Route 53 keeps of one zone or health check.
const MOST: usize = 10;

#[async_trait]
impl Correction for TagRules {
    fn id(&self) -> &'static str {
        "tag-rules"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["route53:ChangeTagsForResource"]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let there = call.rest(Method::GET, request.uri.path(), None).await?;
        let Some(change) = Element::parse(request.body.as_ref()).ok() else { return Ok(None) };
        let mut keys = there.xml().map(|answer| texts(&answer, &["ResourceTagSet", "Tags"])).unwrap_or_default();
        for gone in texts(&change, &["RemoveTagKeys"]) {
            keys.remove(&gone);
        }
        keys.extend(texts(&change, &["AddTags"]));
        let message = format!("{} tags are too many: the limit is {MOST}.", keys.len());
        Ok((keys.len() > MOST).then(|| refusal(call, StatusCode::BAD_REQUEST, "InvalidInput", &message)))
    }
}

/// The keys in the list at this path, whose items are tags or keys.
fn texts(document: &Element, path: &[&str]) -> BTreeSet<String> {
    let list = path.iter().try_fold(document, |element, name| element.get_child(*name));
    let items = list.map(|list| list.children.as_slice()).unwrap_or_default();
    let items = items.iter().filter_map(XMLNode::as_element);
    items.filter_map(|item| item.text_of("Key").or_else(|| Some(item.get_text()?.trim().to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_answers_and_requests() {
        let keys = |document: &str, path: &[&str]| {
            let found = texts(&Element::parse(document.as_bytes()).unwrap(), path);
            found.into_iter().collect::<Vec<_>>()
        };
        let answer = "<A><ResourceTagSet><Tags><Tag><Key>a</Key><Value>1</Value></Tag></Tags></ResourceTagSet></A>";
        assert_eq!(keys(answer, &["ResourceTagSet", "Tags"]), ["a"]);
        let change = "<C><AddTags><Tag><Key>b</Key></Tag></AddTags><RemoveTagKeys><Key>a</Key></RemoveTagKeys></C>";
        assert_eq!(keys(change, &["AddTags"]), ["b"]);
        assert_eq!(keys(change, &["RemoveTagKeys"]), ["a"]);
        assert_eq!(keys(change, &["Other"]), [""; 0]);
    }
}
