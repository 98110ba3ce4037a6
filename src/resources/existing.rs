//! What to do when a create call answers "already exists" although nothing was observed.
//!
//! The answer of an earlier try may have been lost, or a list lagged behind (`x.consistency.unfiltered-list`). One more look
//! decides: the object is this resource's own by its tags, or the name is taken.

use super::{Kind, Object, Task, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, Tags, tags};

/// The object that is in the way, when its tags say that it is this resource.
///
/// # Errors
/// [`Error::Taken`] with `what` (for example `the role dr-x`) when it is somebody else's; `refusal` when it still cannot be seen.
pub(super) async fn own<K: Kind>(task: &Task<'_>, spec: &K::Spec, what: &str, refusal: Error) -> Result<Object<K>> {
    let wanted = Wanted { address: task.address.clone(), spec: spec.clone(), outputs: None };
    let found = K::observe(&task.context, &[wanted]).await?.pop().flatten();
    claim(found, &task.tags, refusal, |_| taken(what))
}

/// What was found in the way, when its tags say that it is the resource that shall have the tags `desired`.
///
/// # Errors
/// [`Error::Taken`] in the words of `taken` when it is somebody else's; `refusal` when nothing was found.
pub(super) fn claim<K: Kind>(
    found: Option<Object<K>>,
    desired: &Tags,
    refusal: Error,
    taken: impl FnOnce(&Object<K>) -> String,
) -> Result<Object<K>> {
    let object = found.ok_or(refusal)?;
    if is_own(&object.tags, desired) { Ok(object) } else { Err(Error::Taken(taken(&object))) }
}

/// Tells whether an object's tags say that it is the resource that shall have the tags `desired`.
pub(super) fn is_own(tags: &Tags, desired: &Tags) -> bool {
    let agrees = |key: &str| tags.get(key).is_some_and(|value| desired.get(key) == Some(value));
    agrees(tags::DEPLOYMENT) && agrees(tags::ADDRESS)
}

/// The words for `what` when it is something of this account that is not this resource.
pub(super) fn taken(what: &str) -> String {
    format!("{what} exists and does not carry this deployment's tags")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::aws::Refusal;

    /// The tags of a resource of the deployment `dev`.
    pub(crate) fn tags_of(address: &str) -> Tags {
        pairs(&[(tags::DEPLOYMENT, "dev"), (tags::ADDRESS, address)])
    }

    /// A refusal by its code alone.
    pub(crate) fn refused(code: &str) -> Error {
        Refusal { code: code.to_owned(), status: 400, ..Refusal::default() }.into()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// `iam.role.create`, `s3.bucket.exists`: what is in the way is ours by both tags and by nothing less.
    #[test]
    fn what_is_in_the_way_is_taken_over_by_its_tags_alone() {
        let main = "global/iam_role/main";
        let mut ours = tags_of(main);
        ours.insert("team".to_owned(), "x".to_owned());
        assert!(is_own(&ours, &tags_of(main)));
        for theirs in [
            pairs(&[]),
            pairs(&[(tags::DEPLOYMENT, "dev")]),
            tags_of("global/iam_role/other"),
            pairs(&[(tags::DEPLOYMENT, "qa"), (tags::ADDRESS, main)]),
        ] {
            assert!(!is_own(&theirs, &tags_of(main)), "{theirs:?}");
        }
    }
}
