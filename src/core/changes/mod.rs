//! What has to change: desired spec + record + object -> change, with the fields that cause it.
//!
//! Pure: it never awaits. [`build`](build::build) makes the change set that `plan` shows and `up` carries out; the operations
//! that carry it out are made from the set itself, so nothing can be done that was not shown.
//!
//! Invariants:
//! 1. Only fields drctl sets are compared; what AWS fills in is not a difference.
//! 2. A change names every field that causes it, and which of them force replacement.
//! 3. A resource whose desired spec equals the observed object has no change, unless an earlier run left it in flight.
//! 4. An object that is not on record is adopted only when it says it is ours, and one on record is changed only while it says so; else the
//!    run stops before it changes anything.
//! 5. What is on record and was not seen is *missing*: its making loses data where its object has any.

mod build;
mod condition;
mod diff;
mod referents;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::address::Address;
use crate::kind::AnyObject;
use crate::state::Record;
use crate::topology::Resource;

pub use build::{Taken, build, foreign_owner, identity, name_of, seen, strangers, teardown, to_be_proved};
pub use condition::{Condition, conditions};
pub use diff::{Difference, differences};

/// What is done to one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing: it is as it should be.
    None,
    /// It does not exist and is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is deleted and made again.
    Replace,
    /// It is no longer wanted.
    Delete,
    /// It exists, says it is ours, and is not on record: it is taken over, and brought in line.
    Adopt,
}

impl Action {
    /// All actions that change something, in the order people read them.
    pub const CHANGING: [Self; 5] = [Self::Create, Self::Adopt, Self::Update, Self::Replace, Self::Delete];

    /// The action's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Create => "create",
            Self::Update => "update",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Adopt => "adopt",
        }
    }

    /// The sign that stands before the resource in a plan.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::None => " ",
            Self::Create => "+",
            Self::Update => "~",
            Self::Replace => "±",
            Self::Delete => "-",
            Self::Adopt => ">",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What happens to one resource, and why.
#[derive(Clone, Debug)]
pub struct Change {
    /// The resource.
    pub address: Address,
    /// The stack it belongs to, by name.
    pub stack: String,
    /// What is done.
    pub action: Action,
    /// Why: the fields in which the object differs from what is desired. Empty for creations and deletions.
    pub differences: Vec<Difference>,
    /// What somebody else changed: where the object differs from what drctl recorded.
    pub drift: Drift,
    /// What is desired; `None` when the plan no longer has the resource.
    pub desired: Option<Resource>,
    /// What AWS has.
    pub object: Option<AnyObject>,
    /// What is on record.
    pub record: Option<Arc<Record>>,
    /// What an object without a record refers to; of one that has a record, that says it.
    pub seen_references: BTreeSet<Address>,
    /// How long it will take, as far as known.
    pub expected: std::time::Duration,
    /// Whether its deletion waits for none of the resources that refer to it.
    pub is_unheld: bool,
    /// What only had to be made before it: an update does not wait for theirs.
    pub made_after: BTreeSet<Address>,
    /// When its update has its turn among those of its kind, which are made one at a time; `None` when it needs none.
    pub turn: Option<u32>,
}

impl Change {
    /// Tells whether the object was finished once, is on record with its id, and AWS does not show it. It may exist all the same, so it is
    /// never deleted by that id; and what data it held is given up by making it anew.
    pub fn is_missing(&self) -> bool {
        self.object.is_none() && self.record.as_ref().is_some_and(|record| record.was_finished())
    }
}

/// An object that carries the address of a resource whose object is another one: it is paid for, and nobody uses it.
#[derive(Clone, Debug, PartialEq)]
pub struct Twin {
    /// The address of the resource.
    pub address: Address,
    /// The twin's ARN.
    pub arn: String,
    /// The twin.
    pub object: AnyObject,
}

impl Twin {
    /// The address under which the twin is on record while it is deleted: `us-east-1/ec2_nat_gateway/public-a+nat-2`.
    pub fn own_address(&self) -> Option<Address> {
        format!("{}+{}", self.address, last_part(&self.arn)).parse().ok()
    }

    /// The id by which people know the twin.
    pub fn id(&self) -> String {
        identity(&self.object.outputs).unwrap_or_else(|| self.arn.clone())
    }
}

/// The part of an ARN that tells an object from others of its type in its place.
pub(crate) fn last_part(arn: &str) -> &str {
    arn.rsplit([':', '/']).next().unwrap_or(arn)
}

/// What somebody else did to an object since drctl recorded it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "drift", rename_all = "snake_case")]
pub enum Drift {
    /// Nothing.
    #[default]
    None,
    /// AWS does not show it, however often it is asked.
    Missing,
    /// Fields of it are not as recorded: from what was recorded to what is there.
    Changed {
        /// The fields.
        fields: Vec<Difference>,
    },
}

impl Drift {
    /// Tells whether nothing happened.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Everything that a run is going to do, resources without a change included.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {
    /// The changes by address.
    pub changes: BTreeMap<Address, Change>,
    /// The deployment's outputs as far as they are known now.
    pub outputs: Vec<(String, Value)>,
    /// Further objects that say they are those of resources on record.
    pub twins: Vec<Twin>,
}

impl ChangeSet {
    /// The changes that do something.
    pub fn changing(&self) -> impl Iterator<Item = &Change> {
        self.changes.values().filter(|change| change.action != Action::None)
    }

    /// Tells whether nothing has to be done.
    pub fn is_empty(&self) -> bool {
        self.changing().next().is_none()
    }

    /// Tells whether a twin is among what is deleted.
    pub fn removes(&self, twin: &Twin) -> bool {
        twin.own_address().is_some_and(|address| self.changes.contains_key(&address))
    }

    /// How many resources there are by action.
    pub fn count(&self, action: Action) -> usize {
        self.changes.values().filter(|change| change.action == action).count()
    }

    /// The changes that lose data that cannot be made again.
    pub fn losing_data(&self) -> impl Iterator<Item = &Change> {
        self.changing().filter(|change| {
            let bearing = change.record.as_ref().is_some_and(|record| record.data_bearing)
                || change.desired.as_ref().is_some_and(|resource| resource.data_bearing);
            bearing
                && match change.action {
                    Action::Replace => change.object.is_some(),
                    Action::Delete => change.record.as_ref().is_some_and(|record| record.is_identified()),
                    Action::Create => change.is_missing(),
                    Action::None | Action::Update | Action::Adopt => false,
                }
        })
    }

    /// The changes that would remove a protected object. Protection ends when the plan that lifts it was made so, or lifts it now.
    pub fn breaking_protection(&self) -> impl Iterator<Item = &Change> {
        self.changing().filter(|change| {
            let protected = match (&change.record, &change.desired) {
                (Some(record), Some(resource)) => record.is_protected() && resource.protected,
                (Some(record), None) => record.is_protected(),
                (None, resource) => resource.as_ref().is_some_and(|resource| resource.protected),
            };
            protected && change.object.is_some() && matches!(change.action, Action::Replace | Action::Delete)
        })
    }

    /// The resources that somebody else changed.
    pub fn drifted(&self) -> impl Iterator<Item = &Change> {
        self.changes.values().filter(|change| !change.drift.is_none())
    }
}
