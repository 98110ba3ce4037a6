//! What scenarios ask the emulator about what there is, and how they read the answers. Not logged.

use serde_json::Value;
use xmltree::{Element, XMLNode};

use crate::corrections::Call;
use crate::error::Error;
use crate::message::XmlExt;

/// The answer of a call of EC2 for everything in a region.
pub(super) async fn ec2(call: &Call<'_>, region: &str, operation: &str) -> Result<Element, Error> {
    query(call, region, ("ec2", "2016-11-15"), &[("Action", operation)]).await
}

/// The answer of a call of RDS for everything in a region.
pub(super) async fn rds(call: &Call<'_>, region: &str, operation: &str) -> Result<Element, Error> {
    query(call, region, ("rds", "2014-10-31"), &[("Action", operation)]).await
}

/// The answer of a call of the load balancers; the first parameter is the operation.
pub(super) async fn elb(call: &Call<'_>, region: &str, parameters: &[(&str, &str)]) -> Result<Element, Error> {
    query(call, region, ("elasticloadbalancing", "2015-12-01"), parameters).await
}

/// All load balancers of a region.
pub(super) async fn balancers(call: &Call<'_>, region: &str) -> Result<Vec<Element>, Error> {
    Ok(members(&elb(call, region, &[("Action", "DescribeLoadBalancers")]).await?, "LoadBalancers"))
}

/// The objects of a list that a REST service answers in the caller's region.
pub(super) async fn list(call: &Call<'_>, service: &str, path: &str, name: &str) -> Result<Vec<Value>, Error> {
    let answer = call.emulator.get(service, call.region(), path).await?.unwrap_or_default();
    Ok(answer[name].as_array().cloned().unwrap_or_default())
}

/// An answer of the query protocol; empty when the emulator refuses.
async fn query(
    call: &Call<'_>,
    region: &str,
    (service, version): (&str, &str),
    parameters: &[(&str, &str)],
) -> Result<Element, Error> {
    let parameters: Vec<(&str, &str)> = parameters.iter().copied().chain([("Version", version)]).collect();
    let answer = call.emulator.query(service, region, &parameters).await?;
    let document = answer.and_then(|body| Element::parse(body.as_ref()).ok());
    Ok(document.unwrap_or_else(|| Element::new("none")))
}

/// The entries of a list that is a child of the element.
pub(super) fn children<'a>(element: &'a Element, list: &str) -> impl Iterator<Item = &'a Element> + use<'a> {
    element.get_child(list).into_iter().flat_map(|list| &list.children).filter_map(XMLNode::as_element)
}

/// The entries of a list in the answer of another service than EC2, where it stands inside of a result.
pub(super) fn members(document: &Element, list: &str) -> Vec<Element> {
    let results = document.children.iter().filter_map(XMLNode::as_element);
    results.flat_map(|result| children(result, list)).cloned().collect()
}

/// The text of a child; empty when there is none.
pub(super) fn text(element: &Element, name: &str) -> String {
    element.text_of(name).unwrap_or_default()
}

/// Tells whether a text stands anywhere in an element under this name.
pub(super) fn holds(element: &Element, name: &str, value: &str) -> bool {
    element.children.iter().filter_map(XMLNode::as_element).any(|child| {
        (child.name == name && child.get_text().is_some_and(|text| text.trim() == value)) || holds(child, name, value)
    })
}
