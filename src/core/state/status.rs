//! What an entry says, what a record says, and the one function that leads from the first to the second.
//!
//! An [`Entry`] is what was written about one address; a [`Record`] is what all entries so far imply. [`next`] is
//! used when an entry is written and again when the journal is replayed, so the two can never disagree.
//! This module is pure: it reads no clock and no disk. Values must be free of secrets: a spec or an output names a
//! secret by its ARN, never by its content.
//!
//! Invariants:
//! 1. `next` is the only way a record changes.
//! 2. An output leaves the state only when a later result replaces it, or with `Deleted` or `Forgotten`; above all, a
//!    create that found its id cannot be started over as if it had not.
//! 3. While an object may be in either of two shapes (an update in flight), the record keeps both, and the references
//!    of both, so that a crash in mid-update is diffed properly and deletes keep their order.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::Address;

/// Where a resource stands.
///
/// `Creating`, `Adopting`, `Updating` and `Deleting` are in flight: a mutating call may or may not have been made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A create was intended; the object may exist, and if `outputs` has its id, it does.
    Creating,
    /// An existing object is being taken over.
    Adopting,
    /// The object exists and is usable, as the spec says.
    Ready,
    /// The object is being changed from the spec to the pending one.
    Updating,
    /// A delete was intended; the object may be gone.
    Deleting,
    /// AWS accepts the delete only later; nothing is in flight until then.
    Deferred {
        /// The earliest time at which the delete can succeed.
        until: Timestamp,
        /// Why AWS refuses until then.
        reason: String,
    },
}

impl Status {
    /// Tells whether a call may be under way or lost, so that the record must be settled by `observe` first.
    pub fn is_in_flight(&self) -> bool {
        match self {
            Self::Creating | Self::Adopting | Self::Updating | Self::Deleting => true,
            Self::Ready | Self::Deferred { .. } => false,
        }
    }

    /// The status as one word, as the state file writes it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Adopting => "adopting",
            Self::Ready => "ready",
            Self::Updating => "updating",
            Self::Deleting => "deleting",
            Self::Deferred { .. } => "deferred",
        }
    }
}

/// What a resource shall be, and how it is tied to others.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Desired {
    /// The stack the resource belongs to, by name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stack: String,
    /// The resolved spec as canonical JSON.
    pub spec: Value,
    /// The resources whose outputs the spec uses: created before this one, deleted after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Address>,
    /// The resources that must be gone before this one may be deleted, beyond those that refer to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delete_after: Vec<Address>,
    /// Calls within one lock group are never made side by side, because AWS refuses that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_group: Option<String>,
    /// Whether deleting the object loses data.
    #[serde(default, skip_serializing_if = "is_false")]
    pub data_bearing: bool,
    /// Whether `down` keeps the object.
    #[serde(default, skip_serializing_if = "is_false")]
    pub protected: bool,
}

impl Desired {
    /// What a record says its object shall be.
    pub fn of(record: &Record) -> Self {
        Self {
            stack: record.stack.clone(),
            spec: record.spec.clone(),
            references: record.references.clone(),
            delete_after: record.delete_after.clone(),
            lock_group: record.lock_group.clone(),
            data_bearing: record.data_bearing,
            protected: record.protected,
        }
    }
}

/// The durable note, written before a mutating call, of what is about to be done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// An object is about to be created.
    Create {
        /// The idempotency token of the create call. A retry keeps it, so that AWS answers with the first object; a
        /// new object needs one that was never used before, because AWS remembers the tokens of deleted objects.
        token: String,
        /// What the object shall be.
        desired: Desired,
    },
    /// An object that exists already is about to be taken over.
    Adopt {
        /// What the object shall be.
        desired: Desired,
    },
    /// The object is about to be changed in place.
    Update {
        /// What the object shall be.
        desired: Desired,
    },
    /// The object is about to be deleted; the record knows all that this needs.
    Delete,
}

/// What was written about one address.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A mutating call is about to be made.
    Intended(Intent),
    /// The call answered with ids; written at once, before any wait or read. Added to the outputs known so far.
    Identified {
        /// The outputs known by now, the id above all.
        outputs: Value,
    },
    /// The object is as intended and usable.
    Done {
        /// All outputs; they replace those known before.
        outputs: Value,
        /// How long it took from the intent, in milliseconds.
        milliseconds: u64,
    },
    /// The attempt failed; what AWS has is unknown, so the record stays in flight.
    Failed {
        /// The error as it was shown.
        error: String,
    },
    /// AWS accepts the delete only later.
    Deferred {
        /// The earliest time at which the delete can succeed.
        until: Timestamp,
        /// Why AWS refuses until then.
        reason: String,
    },
    /// The object is gone: deleted by this run, or observed to be absent.
    Deleted,
    /// The object is no longer drctl's business (`drctl state forget`); it may still exist.
    Forgotten,
    /// The object is not protected any more (`drctl state unprotect`); nothing else changes.
    Unprotected,
    /// The object was seen to exist and be usable; the record settles without a call (recovery, rebuild).
    Observed {
        /// All outputs; they replace those known before.
        outputs: Value,
        /// What the object was seen to be. Without it the record keeps its spec; an address without a record needs it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        desired: Option<Desired>,
    },
}

impl Entry {
    /// The entry as one word (two for intents), for errors and logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Intended(Intent::Create { .. }) => "intended create",
            Self::Intended(Intent::Adopt { .. }) => "intended adopt",
            Self::Intended(Intent::Update { .. }) => "intended update",
            Self::Intended(Intent::Delete) => "intended delete",
            Self::Identified { .. } => "identified",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Deferred { .. } => "deferred",
            Self::Deleted => "deleted",
            Self::Forgotten => "forgotten",
            Self::Unprotected => "unprotected",
            Self::Observed { .. } => "observed",
        }
    }

    /// The outputs this entry brings. When it cannot be written, these are what must not be lost.
    pub fn outputs(&self) -> Option<&Value> {
        match self {
            Self::Identified { outputs } | Self::Done { outputs, .. } | Self::Observed { outputs, .. } => Some(outputs),
            _ => None,
        }
    }
}

/// What the state file says about a resource.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Where the resource stands.
    pub status: Status,
    /// See [`Desired::stack`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stack: String,
    /// The spec the object has or was made with, or, while it is being created or adopted, shall have.
    pub spec: Value,
    /// While updating, and when the plan changed before a creation was finished: what the object shall become. The fields beside it
    /// still say what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Box<Desired>>,
    /// The outputs known so far, an object; empty until the create call has answered.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub outputs: Value,
    /// See [`Desired::references`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Address>,
    /// See [`Desired::delete_after`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delete_after: Vec<Address>,
    /// See [`Desired::lock_group`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_group: Option<String>,
    /// See [`Desired::data_bearing`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub data_bearing: bool,
    /// See [`Desired::protected`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub protected: bool,
    /// The idempotency token of the create call; absent when drctl did not create the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Counts the tokens used under this record, from 1: a retry with the same token is the same generation.
    pub generation: u32,
    /// When the record came into being.
    pub created_at: Timestamp,
    /// When the last entry was written.
    pub updated_at: Timestamp,
    /// How long the create took from its intent, in milliseconds; the estimate of later plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// The error of the last failed attempt; cleared when the record settles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Record {
    /// Every address the object may refer to, in either shape while a change is in flight.
    pub fn all_references(&self) -> impl Iterator<Item = &Address> {
        self.references.iter().chain(self.pending.iter().flat_map(|pending| &pending.references))
    }

    /// Every address that must be gone before the object may be deleted, in either shape while a change is in flight.
    pub fn all_delete_after(&self) -> impl Iterator<Item = &Address> {
        self.delete_after.iter().chain(self.pending.iter().flat_map(|pending| &pending.delete_after))
    }

    /// The keys of every tag that drctl may have set, in either shape while a change is in flight.
    pub fn all_tags(&self) -> impl Iterator<Item = &String> {
        let specs = [Some(&self.spec), self.pending.as_ref().map(|pending| &pending.spec)];
        let tags = specs.into_iter().flatten().filter_map(|spec| spec.get("tags")?.as_object());
        tags.flat_map(|tags| tags.keys())
    }

    /// Tells whether `down` keeps the object, in either shape while a change is in flight.
    pub fn is_protected(&self) -> bool {
        self.protected || self.pending.as_ref().is_some_and(|pending| pending.protected)
    }

    /// Tells whether an id or any other output is known, which means that the object exists or existed.
    pub fn is_identified(&self) -> bool {
        match &self.outputs {
            Value::Null => false,
            Value::Object(fields) => !fields.is_empty(),
            _ => true,
        }
    }

    /// Tells whether the object was usable once, and nobody has begun to delete it since.
    pub fn was_finished(&self) -> bool {
        self.is_identified() && matches!(self.status, Status::Ready | Status::Updating | Status::Adopting)
    }

    fn new(status: Status, token: Option<String>, desired: &Desired, at: Timestamp) -> Self {
        let mut record = Self {
            status,
            stack: String::new(),
            spec: Value::Null,
            pending: None,
            outputs: Value::Null,
            references: Vec::new(),
            delete_after: Vec::new(),
            lock_group: None,
            data_bearing: false,
            protected: false,
            token,
            generation: 1,
            created_at: at,
            updated_at: at,
            milliseconds: None,
            last_error: None,
        };
        record.take(desired.clone());
        record
    }

    fn take(&mut self, desired: Desired) {
        let Desired { stack, spec, references, delete_after, lock_group, data_bearing, protected } = desired;
        self.stack = stack;
        self.spec = spec;
        self.references = references;
        self.delete_after = delete_after;
        self.lock_group = lock_group;
        self.data_bearing = data_bearing;
        self.protected = protected;
    }

    /// Another shape is wanted before the object was finished; some of the former may have reached it.
    fn reconsider(&mut self, desired: Desired) {
        self.drop_pending();
        match self.spec == desired.spec {
            true => self.take(desired),
            false => self.pending = Some(Box::new(desired)),
        }
    }

    /// Gives up the pending shape but not its edges and tags, because part of the update may have reached the object.
    fn drop_pending(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        if let (Some(Value::Object(tags)), Some(Value::Object(more))) =
            (self.spec.get_mut("tags"), pending.spec.get("tags"))
        {
            for (key, value) in more {
                tags.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        unite(&mut self.references, pending.references);
        unite(&mut self.delete_after, pending.delete_after);
        self.data_bearing |= pending.data_bearing;
        self.protected |= pending.protected;
    }

    fn settle(&mut self, outputs: &Value) {
        self.status = Status::Ready;
        self.outputs = outputs.clone();
        self.last_error = None;
    }

    /// Adds outputs to those known, so that a second answer never hides the id of the first.
    fn identify(&mut self, outputs: &Value) {
        match (&mut self.outputs, outputs) {
            (Value::Object(known), Value::Object(new)) => {
                known.extend(new.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            (known, new) => *known = new.clone(),
        }
    }
}

/// An entry that cannot follow what is on record: a mistake in drctl, never in the plan or in AWS.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{entry}` cannot follow `{status}`: {why}")]
pub struct IllegalTransition {
    /// The status on record, or `absent`.
    pub status: &'static str,
    /// The entry that was refused.
    pub entry: &'static str,
    /// The rule it breaks.
    pub why: &'static str,
}

/// Leads from the record of an address and an entry about it, written at the given time, to the next record, or to none.
///
/// # Errors
/// When the entry is impossible after what is on record.
pub fn next(record: Option<&Record>, entry: &Entry, at: Timestamp) -> Result<Option<Record>, IllegalTransition> {
    let refuse = |why| {
        let status = record.map_or("absent", |record| record.status.word());
        Err(IllegalTransition { status, entry: entry.word(), why })
    };
    let Some(current) = record else {
        return match entry {
            Entry::Intended(Intent::Create { token, desired }) => {
                Ok(Some(Record::new(Status::Creating, Some(token.clone()), desired, at)))
            }
            Entry::Intended(Intent::Adopt { desired }) => Ok(Some(Record::new(Status::Adopting, None, desired, at))),
            Entry::Observed { outputs, desired: Some(desired) } => {
                let mut record = Record::new(Status::Ready, None, desired, at);
                record.settle(outputs);
                Ok(Some(record))
            }
            Entry::Observed { desired: None, .. } => refuse("an address without a record needs the spec that was seen"),
            _ => refuse("the address has no record"),
        };
    };

    let mut record = current.clone();
    record.updated_at = at;
    match (&current.status, entry) {
        (_, Entry::Deleted | Entry::Forgotten) => return Ok(None),

        (_, Entry::Unprotected) => {
            record.protected = false;
            record.pending.iter_mut().for_each(|pending| pending.protected = false);
        }

        (_, Entry::Observed { outputs, desired }) => {
            record.drop_pending();
            if let Some(desired) = desired {
                record.take(desired.clone());
            }
            record.settle(outputs);
        }

        (Status::Creating, Entry::Intended(Intent::Create { token, desired })) => {
            if current.token.as_ref() != Some(token) {
                if current.is_identified() {
                    return refuse("the object of the first token has an id; it must be deleted before a new create");
                }
                record.token = Some(token.clone());
                record.generation += 1;
                record.take(desired.clone());
            } else {
                record.reconsider(desired.clone());
            }
        }
        (Status::Adopting, Entry::Intended(Intent::Adopt { desired })) => record.reconsider(desired.clone()),
        (_, Entry::Intended(Intent::Create { .. } | Intent::Adopt { .. })) => {
            return refuse("an object is on record; its end must be recorded first");
        }

        // A deletion that was not finished is taken back by an update.
        (
            Status::Ready | Status::Updating | Status::Deleting | Status::Deferred { .. },
            Entry::Intended(Intent::Update { desired }),
        ) => {
            record.drop_pending();
            record.pending = Some(Box::new(desired.clone()));
            record.status = Status::Updating;
        }
        (_, Entry::Intended(Intent::Update { .. })) => {
            return refuse("an object that is being created or taken over cannot be updated");
        }

        (_, Entry::Intended(Intent::Delete)) => {
            record.drop_pending();
            record.status = Status::Deleting;
        }

        (Status::Creating | Status::Adopting | Status::Updating, Entry::Identified { outputs }) => {
            record.identify(outputs);
        }
        (Status::Creating | Status::Adopting | Status::Updating, Entry::Done { outputs, milliseconds }) => {
            if let Some(desired) = record.pending.take() {
                record.take(*desired);
            }
            record.settle(outputs);
            if current.status == Status::Creating {
                record.milliseconds = Some(*milliseconds);
            }
        }
        (_, Entry::Identified { .. } | Entry::Done { .. }) => {
            return refuse("no create, adoption or update was intended");
        }

        (status, Entry::Failed { error }) if status.is_in_flight() => record.last_error = Some(error.clone()),
        (_, Entry::Failed { .. }) => return refuse("nothing was intended"),

        (Status::Deleting, Entry::Deferred { until, reason }) => {
            record.status = Status::Deferred { until: *until, reason: reason.clone() };
            record.last_error = None;
        }
        (_, Entry::Deferred { .. }) => return refuse("no delete was intended"),
    }
    Ok(Some(record))
}

fn unite(known: &mut Vec<Address>, more: Vec<Address>) {
    for address in more {
        if !known.contains(&address) {
            known.push(address);
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}
