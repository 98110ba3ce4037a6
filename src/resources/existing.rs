//! What to do when a create call answers "already exists" although nothing was observed.
//!
//! The answer of an earlier try may have been lost, or a list lagged behind (`x.consistency.unfiltered-list`). One more look
//! decides: the object is this resource's own by its tags, or the name is taken.

use super::{Kind, Object, Task, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, tags};

/// The object that is in the way, when its tags say that it is this resource.
///
/// # Errors
/// [`Error::Taken`] with `what` (for example `the role dr-x`) when it is somebody else's; `refusal` when it still cannot be seen.
pub(super) async fn own<K: Kind>(task: &Task<'_>, spec: &K::Spec, what: &str, refusal: Error) -> Result<Object<K>> {
    let wanted = Wanted { address: task.address.clone(), spec: spec.clone(), outputs: None };
    match K::observe(&task.context, &[wanted]).await?.pop().flatten() {
        Some(object) => {
            let ours = task.owns(&object.tags) && object.tags.get(tags::ADDRESS) == Some(&task.address.to_string());
            if ours {
                Ok(object)
            } else {
                Err(Error::Taken(format!("{what} exists and does not carry this deployment's tags")))
            }
        }
        None => Err(refusal),
    }
}
