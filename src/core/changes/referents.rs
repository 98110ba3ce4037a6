//! What the objects refer to that have no record: those of a lost state, which the plan may have left behind.
//!
//! Where an object is as the plan wants it, it refers to what the plan says. Where it is not, its values tell: one that is an output of
//! another object is a reference to that one. The plan's reference would be a guess there, and a wrong one asks for deletions in an order
//! that AWS refuses for good.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::address::Address;
use crate::reference::references;

/// Whose output a value is. What is an output of several objects tells nothing.
pub(super) struct Owners<'a>(BTreeMap<&'a str, Option<&'a Address>>);

impl<'a> FromIterator<(&'a Address, &'a Value)> for Owners<'a> {
    /// From the outputs of all objects.
    fn from_iter<I: IntoIterator<Item = (&'a Address, &'a Value)>>(objects: I) -> Self {
        let mut owners = BTreeMap::new();
        for (address, outputs) in objects {
            for output in outputs.as_object().into_iter().flat_map(|outputs| outputs.values()).filter_map(Value::as_str)
            {
                let owner = owners.entry(output).or_insert(Some(address));
                if *owner != Some(address) {
                    *owner = None;
                }
            }
        }
        Self(owners)
    }
}

impl Owners<'_> {
    /// The addresses that the object of `address` refers to. `planned` is its spec with references, `desired` the same with those resolved
    /// that are known, and `seen` the object's.
    pub(super) fn referents(
        &self,
        address: &Address,
        planned: &Value,
        desired: &Value,
        seen: &Value,
    ) -> BTreeSet<Address> {
        let mut found = BTreeSet::new();
        self.collect(planned, desired, seen, &mut found);
        found.remove(address);
        found
    }

    fn collect(&self, planned: &Value, desired: &Value, seen: &Value, found: &mut BTreeSet<Address>) {
        match seen {
            _ if seen == desired => found.extend(references(planned)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.collect(&planned[name], &desired[name], field, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(&Value::Null, &Value::Null, item, found)),
            Value::String(text) => found.extend(self.0.get(text.as_str()).copied().flatten().cloned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::graph::test_graphs::address;

    /// A group that was in another VPC, and names one of two bridges: where the plan is right it is believed, elsewhere the values are.
    #[test]
    fn an_object_refers_to_what_its_values_are_outputs_of() {
        let (group, old, new, twin) = (address("group"), address("old"), address("new"), address("twin"));
        let (of_old, of_new) = (json!({ "id": "vpc-1", "region": "here" }), json!({ "id": "vpc-2", "region": "here" }));
        let of_group = json!({ "id": "sg-1" });
        let owners = Owners::from_iter([(&old, &of_old), (&new, &of_new), (&group, &of_group)]);
        let refer = |to: &Address| json!({ "$ref": format!("{to}#id") });
        let planned = json!({
            "vpc": refer(&new), "policy": { "$join": ["for ", refer(&twin)] }, "nested": { "peers": [refer(&new)] }, "place": "there",
        });
        let desired =
            json!({ "vpc": "vpc-2", "policy": "for twin", "nested": { "peers": ["vpc-2"] }, "place": "there" });
        assert_eq!(owners.referents(&group, &planned, &desired, &desired), BTreeSet::from([new.clone(), twin.clone()]));
        let seen = json!({ "vpc": "vpc-1", "policy": "for twin", "nested": { "peers": ["sg-1"] }, "place": "here" });
        assert_eq!(owners.referents(&group, &planned, &desired, &seen), BTreeSet::from([old, twin]));
    }
}
