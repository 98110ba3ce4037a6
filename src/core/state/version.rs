//! The state file: how a deployment is written as JSON, and how it is read back with suspicion.
//!
//! The file is pretty-printed for people. Its checksum covers every byte outside white space except the checksum
//! itself, so a file may be laid out anew, but not changed, without notice.
//! This module is pure: text in, deployment out, and back.
//!
//! Invariants:
//! 1. A text that is empty, truncated, damaged, edited, of a newer format or of another deployment is an error of its
//!    own, never an empty deployment (invariant 6 of the run).
//! 2. What is read is what was written, to the last digit of a number.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::error::Category;
use sha2::{Digest, Sha256};

use super::error::{Damage, StateError};
use super::status::Record;
use crate::address::Address;

/// The format of the state file this drctl writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// What a person writes in place of the checksum to accept an edit.
const ACCEPTED: &str = "edited";

/// The records of a deployment by address, in the order of the state file.
pub type Records = BTreeMap<Address, Arc<Record>>;

/// What is true of a deployment as a whole.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Deployment {
    /// The name that makes the deployment unique.
    pub suffix: String,
    /// What tells it from another deployment of the same name; set by the store when it is made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lineage: String,
    /// The number of the AWS account it lives in.
    pub account: String,
    /// The AWS partition of that account, for example `aws`.
    pub partition: String,
    /// The regions of its plan, the primary first.
    pub regions: Vec<String>,
    /// The digest of the plan that was last made so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<String>,
    /// What was resolved once for the whole deployment, for example the exact engine version.
    #[serde(default)]
    pub facts: BTreeMap<String, Value>,
}

impl Deployment {
    /// Checks that the credentials in use are for the account of this deployment.
    ///
    /// # Errors
    /// [`StateError::WrongAccount`] if they are not.
    pub fn check_account(&self, account: &str, partition: &str) -> Result<(), StateError> {
        if self.account == account && self.partition == partition {
            return Ok(());
        }
        Err(StateError::WrongAccount {
            suffix: self.suffix.clone(),
            inside: format!("{} ({})", self.account, self.partition),
            actual: format!("{account} ({partition})"),
        })
    }

    /// Checks that a plan says the regions that this deployment is in. One that swaps them says others.
    ///
    /// # Errors
    /// [`StateError::OtherRegions`] if it does not.
    pub fn check_regions(&self, primary: &str, secondary: &str) -> Result<(), StateError> {
        match self.regions.as_slice() {
            [first, second] if (first.as_str(), second.as_str()) != (primary, secondary) => {
                Err(StateError::OtherRegions {
                    suffix: self.suffix.clone(),
                    recorded: [first.clone(), second.clone()],
                    planned: [primary.to_owned(), secondary.to_owned()],
                })
            }
            _ => Ok(()),
        }
    }
}

/// A deployment at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Snapshot {
    /// The deployment as a whole.
    pub deployment: Deployment,
    /// The number of the last entry this snapshot contains.
    pub serial: u64,
    /// Everything on record.
    pub records: Records,
}

#[derive(Serialize, Deserialize)]
struct StateFile<'a> {
    format: u32,
    drctl: Cow<'a, str>,
    deployment: Cow<'a, Deployment>,
    serial: u64,
    #[serde(serialize_with = "write_records", deserialize_with = "read_records")]
    records: Cow<'a, Records>,
}

/// The part of the file that every format has.
#[derive(Deserialize)]
struct Head {
    format: u32,
    #[serde(default)]
    drctl: Option<String>,
    #[serde(default)]
    checksum: Option<String>,
}

/// Writes a snapshot as the text of a state file.
pub(super) fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let file = StateFile {
        format: FORMAT,
        drctl: env!("CARGO_PKG_VERSION").into(),
        deployment: Cow::Borrowed(&snapshot.deployment),
        serial: snapshot.serial,
        records: Cow::Borrowed(&snapshot.records),
    };
    let mut text = serde_json::to_vec_pretty(&file).expect("a snapshot has string keys and no foreign types");
    let checksum = checksum(&text);
    text.truncate(text.len() - "\n}".len());
    text.extend_from_slice(format!(",\n  \"checksum\": \"{checksum}\"\n}}\n").as_bytes());
    text
}

/// What the text of a state file says.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) snapshot: Snapshot,
    /// Whether the text should be written anew: it is of an older format, or an edit that a person accepted.
    pub(super) is_outdated: bool,
}

/// Reads the text of the state file of a deployment, which is at the given path.
///
/// # Errors
/// One variant of [`StateError`] or [`Damage`] for each way in which the text can be wrong.
pub(super) fn decode(text: &[u8], suffix: &str, path: &str) -> Result<Decoded, StateError> {
    let damaged = |damage| StateError::damaged(suffix, path, damage);
    let refused = |error| damaged(diagnose(&error));
    if text.trim_ascii().is_empty() {
        return Err(damaged(Damage::Empty));
    }
    let head: Head = serde_json::from_slice(text).map_err(refused)?;
    if head.format > FORMAT {
        let drctl = head.drctl.unwrap_or_else(|| "of a later version".to_owned());
        return Err(StateError::Newer { path: path.to_owned(), found: head.format, known: FORMAT, drctl });
    }
    let is_accepted = head.checksum.as_deref() == Some(ACCEPTED);
    if !is_accepted && !is_whole(text) {
        return Err(damaged(Damage::Edited));
    }
    let file: StateFile<'_> = if head.format == FORMAT {
        serde_json::from_slice(text).map_err(refused)?
    } else {
        let old = serde_json::from_slice(text).map_err(refused)?;
        let new = upgrade(old, head.format).map_err(|why| damaged(Damage::Malformed { why }))?;
        serde_json::from_value(new).map_err(refused)?
    };
    let deployment = file.deployment.into_owned();
    if deployment.suffix != suffix {
        let (path, expected) = (path.to_owned(), suffix.to_owned());
        return Err(StateError::WrongDeployment { path, inside: deployment.suffix, expected });
    }
    let snapshot = Snapshot { deployment, serial: file.serial, records: file.records.into_owned() };
    Ok(Decoded { snapshot, is_outdated: is_accepted || head.format < FORMAT })
}

/// Leads a state file of an older format to [`FORMAT`], one format at a time. Format 1 is the first there is.
fn upgrade(_old: Value, from: u32) -> Result<Value, String> {
    Err(format!("no drctl ever wrote format {from}"))
}

fn diagnose(error: &serde_json::Error) -> Damage {
    match error.classify() {
        Category::Eof => Damage::Truncated { line: error.line() },
        Category::Data => Damage::Malformed { why: error.to_string() },
        Category::Syntax | Category::Io => Damage::NotJson { why: error.to_string() },
    }
}

/// The checksum of a JSON text without its white space. Works on the text, not on parsed values, so that no rounding
/// of numbers and no order of keys can make an untouched file look edited.
fn checksum(text: &[u8]) -> String {
    digest(&without_space(text))
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(content)))
}

/// Tells whether the text ends with the right checksum of what stands before it.
fn is_whole(text: &[u8]) -> bool {
    let mut content = without_space(text);
    let Some(start) = content.windows(MEMBER.len()).rposition(|window| window == MEMBER) else { return false };
    let member = content.split_off(start);
    content.push(b'}');
    member == format!(",\"checksum\":\"{}\"}}", digest(&content)).into_bytes()
}

const MEMBER: &[u8] = b",\"checksum\":";

fn without_space(text: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for &byte in text {
        if in_string {
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        kept.push(byte);
    }
    kept
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

fn write_records<S: Serializer>(records: &Records, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(records.iter().map(|(address, record)| (address, record.as_ref())))
}

fn read_records<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'static, Records>, D::Error> {
    let records = BTreeMap::<Address, Record>::deserialize(deserializer)?;
    let records = records.into_iter().map(|(address, record)| (address, Arc::new(record))).collect();
    Ok(Cow::Owned(records))
}
