//! Groups cannot be asked for by the groups that their rules name: such filters are passed over.

use async_trait::async_trait;
use xmltree::{Element, XMLNode};

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Form, Response, XmlExt};

/// See the module.
pub(super) struct SecurityGroupFilters;

/// The filters, and the rules that they are about.
const FILTERS: [(&str, &str); 2] =
    [("ip-permission.group-id", "ipPermissions"), ("egress.ip-permission.group-id", "ipPermissionsEgress")];

#[async_trait]
impl Correction for SecurityGroupFilters {
    fn id(&self) -> &'static str {
        "security-group-filters"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["ec2:DescribeSecurityGroups"]
    }

    async fn response(&self, call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        let form = call.original.form();
        if filters(&form).next().is_some() {
            response.change_xml(|document| {
                let Some(groups) = document.get_mut_child("securityGroupInfo") else { return };
                groups.children.retain(|node| node.as_element().is_some_and(|group| admits(&form, group)));
            });
        }
        Ok(())
    }
}

/// The filters of a request that the emulator passes over: the rules that they are about, and the wanted groups.
fn filters(form: &Form) -> impl Iterator<Item = (&'static str, Vec<&str>)> {
    let names = (1..).map_while(|index| Some((index, form.get(&format!("Filter.{index}.Name"))?)));
    names.filter_map(|(index, name)| {
        let (_, rules) = FILTERS.into_iter().find(|(filter, _)| *filter == name)?;
        Some((rules, form.list(&format!("Filter.{index}.Value"))))
    })
}

fn admits(form: &Form, group: &Element) -> bool {
    filters(form).all(|(rules, wanted)| {
        children(group, rules)
            .flat_map(|rule| children(rule, "groups"))
            .filter_map(|named| named.text_of("groupId"))
            .any(|id| wanted.contains(&id.as_str()))
    })
}

fn children<'a>(element: &'a Element, list: &str) -> impl Iterator<Item = &'a Element> + use<'a> {
    element.get_child(list).into_iter().flat_map(|list| &list.children).filter_map(XMLNode::as_element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_the_groups_that_its_rules_name() {
        let source = "<item><groupId>sg-1</groupId><ipPermissions><item><groups><item><groupId>sg-2</groupId></item></groups>\
                      </item></ipPermissions><ipPermissionsEgress/></item>";
        let group = Element::parse(source.as_bytes()).unwrap();
        let asked = |name: &str, value: &str| {
            let form = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
            admits(&Form(form.map(|(name, value)| (name.to_owned(), value.to_owned())).into()), &group)
        };
        assert!(asked("ip-permission.group-id", "sg-2"));
        assert!(!asked("ip-permission.group-id", "sg-1"));
        assert!(!asked("egress.ip-permission.group-id", "sg-2"));
        assert!(asked("vpc-id", "vpc-1"), "the emulator has seen to the others");
    }
}
