//! What the engine knows of a kind of object: what it needs, what it may do, and its three verbs on plain JSON.
//!
//! The engine is the same for the kinds of AWS, which are typed and wrap their types (`resources` of drctl), and for those of the
//! simulation. It never knows what is behind them: a kind finds that in the [`Context`] it is given.

mod context;
mod observation;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use crate::address::Address;
use crate::aws::error::Result;
use crate::aws::{Error, Tags};

pub use context::{Assets, Context, Observer, Provider, Surroundings, Task, Token};
pub use observation::{Index, Observation};

/// A kind whose types are JSON.
pub trait AnyKind: Send + Sync {
    /// What the engine has to know.
    fn traits(&self) -> &'static Traits;

    /// Tells whether an update in place may change this output.
    fn changes_on_update(&self, output: &str) -> bool;

    /// Tells whether the object keeps what this field refers to from being deleted.
    fn holds(&self, field: &str) -> bool;

    /// Tells whether somebody may make the object again after its deletion without knowing better, so that `down` looks twice.
    fn returns(&self) -> bool {
        false
    }

    /// Tells whether the object may go whoever refers to it, so that its deletion waits for none of them.
    fn is_unheld(&self) -> bool {
        false
    }

    /// Tells whether the index of tags has objects of this kind.
    fn is_indexed(&self) -> bool {
        self.traits().taggable
    }

    /// The object that this one is a part of, for kinds without tags: a part is ours when its whole is.
    fn parent(&self) -> Option<Parent> {
        None
    }

    /// Tells whether what this field refers to only has to be made before the object is: later changes need not wait for each other.
    fn orders_creation(&self, field: &str) -> bool {
        let _ = field;
        false
    }

    /// The turn of an object whose update of this field puts it out of use for a while: objects of one kind are so updated one at a time,
    /// those with the lower turn first. `None` when the field needs no turns.
    fn turn(&self, field: &str, outputs: &Value) -> Option<u32> {
        let _ = (field, outputs);
        None
    }

    /// What a person should know of the object as it is now. Outputs that are none of this kind have no remark.
    fn remark(&self, outputs: &Value) -> Option<String> {
        let _ = outputs;
        None
    }

    /// The canonical form of a spec: defaults filled in, sets sorted, policies normalised. References may be unknown.
    ///
    /// # Errors
    /// When the JSON is not a spec of this kind.
    fn canonical(&self, spec: &Value) -> Result<Value>;

    /// Looks at many resources of one scope at once. The answer has one entry per wanted resource, in the same order: the object,
    /// or `None` when there is none.
    fn observe<'a>(
        &'a self,
        context: &'a Context,
        wanted: &'a [AnyWanted],
    ) -> BoxFuture<'a, Result<Vec<Option<AnyObject>>>>;

    /// Makes the object be as the spec says, starting from what was observed, and returns its outputs once it is usable.
    fn ensure<'a>(
        &'a self,
        task: &'a Task<'a>,
        spec: &'a Value,
        object: Option<AnyObject>,
    ) -> BoxFuture<'a, Result<Value>>;

    /// Deletes the object, and waits until it is gone.
    fn delete<'a>(&'a self, task: &'a Task<'a>, spec: &'a Value, outputs: &'a Value)
    -> BoxFuture<'a, Result<Deletion>>;
}

/// A resource to look for.
#[derive(Clone, Debug)]
pub struct AnyWanted {
    /// Its address.
    pub address: Address,
    /// The desired spec, or the recorded one.
    pub spec: Value,
    /// The recorded outputs.
    pub outputs: Option<Value>,
}

/// What AWS has.
#[derive(Clone, Debug, PartialEq)]
pub struct AnyObject {
    /// Its properties, without tags.
    pub spec: Value,
    /// Its outputs.
    pub outputs: Value,
    /// All its tags. A part that carries none itself has the deployment's tag of its whole, where it can be in any.
    pub tags: Tags,
}

/// The kinds of a run, by name: the real ones, or in-memory ones in the simulation.
#[derive(Clone)]
pub struct Kinds(BTreeMap<&'static str, &'static dyn AnyKind>);

impl Kinds {
    /// These kinds and no others.
    pub fn of(kinds: impl IntoIterator<Item = &'static dyn AnyKind>) -> Self {
        Self(kinds.into_iter().map(|kind| (kind.traits().name, kind)).collect())
    }

    /// The kind of this name.
    pub fn get(&self, name: &str) -> Option<&'static dyn AnyKind> {
        self.0.get(name).copied()
    }

    /// All kinds, by name.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn AnyKind> + '_ {
        self.0.values().copied()
    }
}

/// How a deletion ended, when it did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The object is gone.
    Gone,
    /// The object stays where it is on purpose, because others use it: what that is and how a person removes it.
    Left(String),
    /// AWS refuses until a known time; a later `down` finishes it.
    Deferred {
        /// The earliest time at which it can succeed.
        until: Timestamp,
        /// AWS's rule, for people.
        reason: String,
    },
}

/// What the engine has to know about a kind.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// The name in addresses: service and object, `ec2_subnet`.
    pub name: &'static str,
    /// Whether the object carries tags.
    pub taggable: bool,
    /// Whether replacing or deleting it loses data that cannot be made again.
    pub data_bearing: bool,
    /// How an object that is not in the state file is recognised as ours.
    pub adoption: Adoption,
    /// Top-level fields of the spec that AWS cannot change in place: a difference forces replacement.
    pub immutable: &'static [&'static str],
    /// The field of the spec whose resource AWS refuses to change from two sides at once: a lock group.
    pub locked_by: Option<&'static str>,
    /// How long the verbs usually take on AWS.
    pub expected: Expected,
    /// The IAM actions the verbs need.
    pub permissions: Permissions,
    /// The refusals that go away by themselves, and how long that may take. Nothing else is retried.
    pub retries: &'static [Retry],
}

/// How an object that is not in the state file is recognised as ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// By its tags, or by those of the object that it is a part of: one of the same name without them is somebody else's, and the run
    /// stops.
    ByTag,
    /// By its name or its parent: nobody else has a reason to make it.
    ByName,
}

/// The object that one without tags is a part of: a route is in a route table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The field of the spec that names it.
    pub field: &'static str,
    /// Whether each call about the part names it, so that what is on record alone says in which object the part is. Otherwise the part has an
    /// id of its own, and has to be looked at to know that.
    pub is_named: bool,
    /// Whether the object may be somebody else's: a zone that the user has. There a part is ours as long as it is what the record says.
    pub may_be_foreign: bool,
}

impl Parent {
    /// An object that each call about the part names.
    pub const fn named(field: &'static str) -> Self {
        Self { field, is_named: true, may_be_foreign: false }
    }

    /// An object that each call about the part names, and that may be somebody else's.
    pub const fn shared(field: &'static str) -> Self {
        Self { field, is_named: true, may_be_foreign: true }
    }

    /// An object whose part has an id of its own.
    pub const fn apart(field: &'static str) -> Self {
        Self { field, is_named: false, may_be_foreign: false }
    }
}

/// Expected durations in seconds, as seen on AWS; used to order work and for estimates, never as limits.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Of a creation, waiting included.
    pub create: u32,
    /// Of a change in place.
    pub update: u32,
    /// Of a deletion, waiting included.
    pub delete: u32,
}

impl Expected {
    /// Durations in seconds.
    pub const fn seconds(create: u32, update: u32, delete: u32) -> Self {
        Self { create, update, delete }
    }
}

/// IAM actions, as written in policies.
#[derive(Clone, Copy, Debug)]
pub struct Permissions {
    /// Needed to look: by `plan` and `status`.
    pub read: &'static [&'static str],
    /// Needed to change: by `up` and `down`.
    pub change: &'static [&'static str],
}

/// A refusal that goes away by itself.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The operation, as `service:Operation`.
    pub operation: &'static str,
    /// The wire code.
    pub code: &'static str,
    /// A part of the message; empty when the code alone decides.
    pub message: &'static str,
    /// How long it may take.
    pub deadline: Duration,
}

impl Retry {
    /// A refusal that goes away within so many seconds.
    pub const fn seconds(operation: &'static str, code: &'static str, message: &'static str, deadline: u64) -> Self {
        Self { operation, code, message, deadline: Duration::from_secs(deadline) }
    }

    /// Tells whether this is the refusal.
    pub fn matches(&self, operation: &str, error: &Error) -> bool {
        self.operation == operation && error.says(self.code, self.message)
    }
}
