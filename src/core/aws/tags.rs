//! Tags: how an object says whose it is.
//!
//! Every object that can carry tags has `drctl:deployment` and `drctl:address` from its create call on, so that a lost state
//! file can be rebuilt. Tags that drctl did not set are neither compared nor removed.

use std::collections::BTreeMap;

/// Tag keys and values, sorted.
pub type Tags = BTreeMap<String, String>;

/// The tag that holds the suffix of the deployment an object belongs to.
pub const DEPLOYMENT: &str = "drctl:deployment";
/// The tag that holds the address of the resource an object is.
pub const ADDRESS: &str = "drctl:address";

/// What has to be done to an object's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagChanges {
    /// Tags to set, because they are missing or differ.
    pub set: Tags,
    /// Keys to remove, because drctl set them earlier and the plan no longer has them.
    pub remove: Vec<String>,
}

impl TagChanges {
    /// Compares what an object has with what it should have.
    ///
    /// `ours` are the keys drctl set earlier; keys outside of it that are not desired are somebody else's and stay.
    pub fn between(actual: &Tags, desired: &Tags, ours: impl IntoIterator<Item = String>) -> Self {
        Self {
            set: desired.iter().filter(|(key, value)| actual.get(*key) != Some(value)).map(own).collect(),
            remove: ours.into_iter().filter(|key| !desired.contains_key(key) && actual.contains_key(key)).collect(),
        }
    }

    /// Tells whether nothing has to be done.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

fn own((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn foreign_tags_stay_and_our_old_ones_go() {
        let actual = tags(&[("team", "old"), ("cost", "1"), ("aws:x", "y"), ("theirs", "z")]);
        let desired = tags(&[("team", "new")]);
        let changes = TagChanges::between(&actual, &desired, ["team".to_owned(), "cost".to_owned(), "gone".to_owned()]);
        assert_eq!(changes, TagChanges { set: desired, remove: vec!["cost".to_owned()] });
    }
}
