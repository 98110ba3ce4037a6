//! The journal: one JSON line per entry, appended and never changed.
//!
//! A line ends with a short checksum of itself, and its serial follows that of the line before, so damage, a missing
//! line and a line written twice are all noticed.
//! This module is pure: text in, lines out, and back.
//!
//! Invariants:
//! 1. Only a last line without a line feed may be incomplete: it was torn by a crash and nobody was told that it is
//!    durable. Any other line that is not as it was written is an error with its number.
//! 2. Replaying the lines over the snapshot they follow gives what the writer had in memory; lines that the snapshot
//!    contains already change nothing.
//! 3. A segment is taken in as a whole or not at all. One that begins with an entry that the snapshot contains already
//!    changes nothing: it was folded, or it is a write of a run that had lost its lease and came too late.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::durable::{Journal, Segment};
use super::error::{Damage, StateError};
use super::lock::Holder;
use super::status::{self, Entry, IllegalTransition, Record};
use super::version::{Snapshot, hex};
use crate::address::Address;

/// One line of the journal.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) serial: u64,
    pub(super) time: Timestamp,
    #[serde(flatten)]
    pub(super) item: Item,
}

/// What a line is about.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Item {
    /// A resource.
    Entry { address: Address, entry: Entry },
    /// A fact of the deployment.
    Fact { fact: String, value: Value },
    /// The plan that the run makes so.
    Plan { plan_digest: String, regions: Vec<String> },
    /// A run goes on whose predecessor did not give its lock back. Nothing of that one can come after this line.
    Takeover { taken_over_by: Box<Holder> },
}

/// What a line does to the deployment.
pub(super) enum Effect {
    Record(Address, Option<Arc<Record>>),
    Fact(String, Value),
    Plan(String, Vec<String>),
    Nothing,
}

impl Snapshot {
    /// Takes in the effect of the entry with the given serial.
    pub(super) fn apply(&mut self, serial: u64, effect: Effect) {
        match effect {
            Effect::Record(address, Some(record)) => {
                self.records.insert(address, record);
            }
            Effect::Record(address, None) => {
                self.records.remove(&address);
            }
            Effect::Fact(name, value) => {
                self.deployment.facts.insert(name, value);
            }
            Effect::Plan(digest, regions) => {
                self.deployment.plan_digest = Some(digest);
                self.deployment.regions = regions;
            }
            Effect::Nothing => {}
        }
        self.serial = serial;
    }
}

/// The length of `,"check":"0123456789abcdef"}`, which ends every line.
const CHECK_LENGTH: usize = 28;

impl Line {
    /// The line as it is appended, with its line feed.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(self).expect("a line has string keys and no foreign types");
        let check = check(&text);
        text.pop();
        text.extend_from_slice(check.as_bytes());
        text.push(b'\n');
        text
    }

    /// The resource the line is about, if it is about one.
    pub(super) fn address(&self) -> Option<&Address> {
        match &self.item {
            Item::Entry { address, .. } => Some(address),
            Item::Fact { .. } | Item::Plan { .. } | Item::Takeover { .. } => None,
        }
    }

    /// What the line does to the deployment, given the record of its address.
    pub(super) fn effect(&self, record: Option<&Record>) -> Result<Effect, IllegalTransition> {
        Ok(match self.item.clone() {
            Item::Entry { address, entry } => {
                Effect::Record(address, status::next(record, &entry, self.time)?.map(Arc::new))
            }
            Item::Fact { fact, value } => Effect::Fact(fact, value),
            Item::Plan { plan_digest, regions } => Effect::Plan(plan_digest, regions),
            Item::Takeover { .. } => Effect::Nothing,
        })
    }

    fn decode(text: &[u8]) -> Result<Self, String> {
        let content = text.len().checked_sub(CHECK_LENGTH).ok_or("it is too short")?;
        let (content, found) = text.split_at(content);
        let content = [content, b"}"].concat();
        if found != check(&content).as_bytes() {
            return Err("it does not match its checksum".to_owned());
        }
        serde_json::from_slice(&content).map_err(|error| error.to_string())
    }
}

fn check(content: &[u8]) -> String {
    let digest = hex(&Sha256::digest(content)[..8]);
    format!(",\"check\":\"{digest}\"}}")
}

/// Brings a snapshot up to date with the journal beside it, whose parts are where `locate` says. Tells whether the journal
/// says anything beyond the snapshot, a torn line included.
///
/// # Errors
/// [`Damage::Line`] for the first line that cannot be what was written.
pub(super) fn replay(
    snapshot: &mut Snapshot,
    journal: &Journal,
    locate: impl Fn(Option<u64>) -> String,
) -> Result<bool, StateError> {
    match journal {
        Journal::File(text) => {
            let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
            let before = snapshot.serial;
            replay_lines(snapshot, &text[..whole], &locate(None), None)?;
            // A torn line is the beginning of one; a whole line that ends in something else was not torn but changed.
            if let [line @ .., _] = &text[whole..]
                && Line::decode(line).is_ok()
            {
                let line = 1 + text[..whole].iter().filter(|&&byte| byte == b'\n').count();
                let damage = Damage::Line { line, why: "it does not end as it was written".to_owned() };
                return Err(StateError::damaged(&snapshot.deployment.suffix, &locate(None), damage));
            }
            Ok(snapshot.serial > before || whole < text.len())
        }
        Journal::Segments(segments) => {
            let folded = snapshot.serial;
            for Segment { first, text } in segments.iter().filter(|segment| segment.first > folded) {
                replay_lines(snapshot, text, &locate(Some(*first)), Some(*first))?;
            }
            Ok(snapshot.serial > folded)
        }
    }
}

/// Takes in lines of which the first is the given entry, or else one that the snapshot contains or the next one.
fn replay_lines(snapshot: &mut Snapshot, text: &[u8], path: &str, first: Option<u64>) -> Result<(), StateError> {
    let suffix = snapshot.deployment.suffix.clone();
    let damaged = |line, why| StateError::damaged(&suffix, path, Damage::Line { line, why });
    let mut before = first.map(|_| snapshot.serial);
    if first.is_some() && !text.ends_with(b"\n") {
        let lines = text.split(|&byte| byte == b'\n').count();
        return Err(damaged(lines, "it has no end, though a segment is written as a whole".to_owned()));
    }
    for (line, number) in text.split_inclusive(|&byte| byte == b'\n').zip(1..) {
        let line = Line::decode(line.strip_suffix(b"\n").unwrap_or(line)).map_err(|why| damaged(number, why))?;
        let expected = before.map_or_else(|| line.serial.min(snapshot.serial + 1), |serial| serial + 1);
        if line.serial != expected {
            let why = format!("it is entry {}, but entry {expected} must stand here", line.serial);
            return Err(damaged(number, why));
        }
        before = Some(line.serial);
        if line.serial > snapshot.serial {
            let record = line.address().and_then(|address| snapshot.records.get(address)).map(AsRef::as_ref);
            let effect = line.effect(record).map_err(|error| damaged(number, error.to_string()))?;
            snapshot.apply(line.serial, effect);
        }
    }
    Ok(())
}

/// The line that an append begins with.
pub(super) fn first_line(text: &[u8]) -> Option<Line> {
    let line = text.split(|&byte| byte == b'\n').next()?;
    Line::decode(line).ok()
}

/// The highest serial of all lines that are whole, however damaged the others are.
pub(super) fn last_serial(text: &[u8]) -> u64 {
    let lines = text.split(|&byte| byte == b'\n').filter_map(|line| Line::decode(line).ok());
    lines.map(|line| line.serial).max().unwrap_or(0)
}
