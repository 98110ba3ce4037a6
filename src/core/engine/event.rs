//! What a run tells whoever watches: the terminal, the log lines, the JSON stream.
//!
//! Events never hold secrets: they carry addresses, durations, texts of errors and nothing of specs or outputs.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use super::shutdown::Reason;
use crate::address::Address;

/// What is done to one resource in one operation; a replacement is a deletion and a creation.
pub use super::scheduler::Action;

/// Something that happened in a run.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run looks at what AWS has.
    Observing {
        /// How many resources it looks for.
        resources: usize,
    },
    /// The run has seen what AWS has.
    Observed {
        /// How many objects it found.
        objects: usize,
        /// How long it took.
        #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
        elapsed: Duration,
    },
    /// What an earlier run left in flight was settled.
    Settled {
        /// The resource.
        address: Address,
        /// What was found out, for people.
        outcome: String,
    },
    /// The operations begin.
    Begun {
        /// How many there are.
        operations: usize,
        /// How long they are expected to take.
        #[serde(rename = "expected_milliseconds", serialize_with = "milliseconds")]
        expected: Duration,
    },
    /// One operation begins.
    Started {
        /// The resource.
        address: Address,
        /// What is done.
        action: Action,
        /// How long it usually takes.
        #[serde(rename = "expected_milliseconds", serialize_with = "milliseconds")]
        expected: Duration,
        /// How long it and the longest chain of operations that waits for it usually take.
        #[serde(rename = "chain_milliseconds", serialize_with = "milliseconds")]
        chain: Duration,
    },
    /// A running operation waits for something.
    Waiting {
        /// The resource.
        address: Address,
        /// What it waits for.
        what: String,
    },
    /// A deletion left the object where it is, on purpose.
    Left {
        /// The resource.
        address: Address,
        /// What stays and why, and how a person removes it.
        what: String,
    },
    /// One operation has ended, or will not begin.
    Ended {
        /// The resource.
        address: Address,
        /// What was to be done.
        action: Action,
        /// How it ended.
        #[serde(flatten)]
        outcome: Outcome,
        /// How long it took.
        #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
        elapsed: Duration,
    },
    /// The run stops before its end.
    Stopping {
        /// Why.
        reason: Reason,
        /// How many operations are still running.
        running: usize,
    },
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is done and on record.
    Succeeded,
    /// It failed.
    Failed {
        /// Why, with AWS's own words.
        error: String,
    },
    /// AWS refuses it until a known time.
    Deferred {
        /// The earliest time.
        until: Timestamp,
        /// AWS's rule.
        reason: String,
    },
    /// It was cut short because the run stopped.
    Stopped,
    /// It did not begin, because of another operation that failed or was deferred.
    Skipped {
        /// The root cause.
        because: Address,
    },
}

/// Where events go. Cheap to clone; a listener that is gone is no fault.
#[derive(Clone, Debug)]
pub struct Events(Option<mpsc::UnboundedSender<Event>>);

impl Events {
    /// Events that somebody listens to.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(Some(sender)), receiver)
    }

    /// Events that nobody listens to.
    pub fn unheard() -> Self {
        Self(None)
    }

    /// Tells of an event.
    pub fn tell(&self, event: Event) {
        if let Some(sender) = &self.0 {
            // A closed receiver means that nobody watches any more; the run goes on.
            let _ = sender.send(event);
        }
    }
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
