//! Filters of network interfaces are passed over, so that whoever asks who is in a subnet is told of every interface there is.

use async_trait::async_trait;
use xmltree::{Element, XMLNode};

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Form, Response, XmlExt};

/// See the module.
pub(super) struct NetworkInterfaceFilters;

#[async_trait]
impl Correction for NetworkInterfaceFilters {
    fn id(&self) -> &'static str {
        "network-interface-filters"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["ec2:DescribeNetworkInterfaces"]
    }

    async fn response(&self, call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        let form = call.original.form();
        response.change_xml(|document| {
            let Some(interfaces) = document.get_mut_child("networkInterfaceSet") else { return };
            interfaces.children.retain(|node| node.as_element().is_some_and(|interface| admits(&form, interface)));
        });
        Ok(())
    }
}

/// Tells whether a request for interfaces asks for this one: by its ids, and by every filter.
pub(crate) fn admits(form: &Form, interface: &Element) -> bool {
    let ids = form.list("NetworkInterfaceId");
    let is_named = || interface.text_of("networkInterfaceId").is_some_and(|id| ids.contains(&id.as_str()));
    let admitted_by = |filter: usize, name: &str| {
        let values = form.list(&format!("Filter.{filter}.Value"));
        fields(interface, name).iter().any(|field| values.iter().any(|pattern| fits(pattern, field)))
    };
    let filters = (1..).map_while(|index| Some((index, form.get(&format!("Filter.{index}.Name"))?)));
    (ids.is_empty() || is_named()) && filters.into_iter().all(|(index, name)| admitted_by(index, name))
}

/// What a filter compares with: one text, or several for a list.
fn fields(interface: &Element, filter: &str) -> Vec<String> {
    let one = |name: &str| interface.text_of(name).into_iter().collect();
    match filter {
        "attachment.instance-owner-id" => {
            interface.get_child("attachment").and_then(|one| one.text_of("instanceOwnerId")).into_iter().collect()
        }
        "availability-zone" => one("availabilityZone"),
        "description" => one("description"),
        "group-id" => texts(interface, "groupSet", "groupId"),
        "interface-type" => one("interfaceType"),
        "network-interface-id" => one("networkInterfaceId"),
        "owner-id" => one("ownerId"),
        "requester-managed" => one("requesterManaged"),
        "status" => one("status"),
        "subnet-id" => one("subnetId"),
        "vpc-id" => one("vpcId"),
        _ => match filter.strip_prefix("tag:") {
            Some(key) => items(interface, "tagSet")
                .filter(|tag| tag.text_of("key").as_deref() == Some(key))
                .filter_map(|tag| tag.text_of("value"))
                .collect(),
            None => Vec::new(),
        },
    }
}

fn items<'a>(element: &'a Element, set: &str) -> impl Iterator<Item = &'a Element> + use<'a> {
    element.get_child(set).into_iter().flat_map(|set| &set.children).filter_map(XMLNode::as_element)
}

fn texts(element: &Element, set: &str, name: &str) -> Vec<String> {
    items(element, set).filter_map(|item| item.text_of(name)).collect()
}

/// Tells whether a value of a filter admits a text: `*` stands for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| &rest[at..]).chain([""]).any(|rest| fits(after, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(filters: &[(&str, &str)]) -> bool {
        let form = filters.iter().enumerate().flat_map(|(index, (name, value))| {
            let number = index + 1;
            [
                (format!("Filter.{number}.Name"), name.to_string()),
                (format!("Filter.{number}.Value.1"), value.to_string()),
            ]
        });
        let source = "<item><networkInterfaceId>eni-1</networkInterfaceId><subnetId>subnet-1</subnetId>\
                      <description>AWS Lambda VPC ENI-pay-1</description>\
                      <groupSet><item><groupId>sg-1</groupId></item><item><groupId>sg-2</groupId></item></groupSet></item>";
        admits(&Form(form.collect()), &Element::parse(source.as_bytes()).unwrap())
    }

    #[test]
    fn an_interface_is_told_only_to_those_who_ask_for_it() {
        assert!(asked(&[]));
        assert!(asked(&[("subnet-id", "subnet-1"), ("group-id", "sg-2")]));
        assert!(!asked(&[("subnet-id", "subnet-1"), ("group-id", "sg-3")]));
        assert!(!asked(&[("subnet-id", "subnet-2")]));
        assert!(!asked(&[("tag:Name", "x")]));
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(asked(&[("description", "AWS Lambda VPC ENI*")]));
        assert!(asked(&[("description", "*ENI-pay*1")]));
        assert!(!asked(&[("description", "ELB app/*")]));
    }
}
