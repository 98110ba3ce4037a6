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
    claim(found, &task.tags, refusal, |_| format!("{what} exists and does not carry this deployment's tags"))
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
    let agrees = |key: &str| object.tags.get(key).is_some_and(|value| desired.get(key) == Some(value));
    if agrees(tags::DEPLOYMENT) && agrees(tags::ADDRESS) { Ok(object) } else { Err(Error::Taken(taken(&object))) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::aws::Refusal;

    /// The tags of a resource of the deployment `dev`.
    pub(crate) fn tags_of(address: &str) -> Tags {
        [(tags::DEPLOYMENT, "dev"), (tags::ADDRESS, address)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    /// A refusal by its code alone.
    pub(crate) fn refused(code: &str) -> Error {
        Refusal { code: code.to_owned(), status: 400, ..Refusal::default() }.into()
    }
}
