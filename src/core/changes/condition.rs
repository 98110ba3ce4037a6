//! How each resource on record is doing: what `status` tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Drift;
use super::build::drift;
use crate::address::Address;
use crate::kind::{AnyObject, Kinds};
use crate::state::{Record, Records};

/// One resource on record, and what AWS has.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The resource.
    pub address: Address,
    /// What is on record.
    pub record: Arc<Record>,
    /// What somebody else changed.
    pub drift: Drift,
    /// Whether the object is there.
    pub exists: bool,
    /// What a person should know of the object besides.
    pub remark: Option<String>,
}

impl Condition {
    /// Tells whether the object is as recorded and nothing is in flight.
    pub fn is_healthy(&self) -> bool {
        self.exists && self.drift.is_none() && self.record.status == crate::state::Status::Ready
    }
}

/// Compares every record with what was observed.
pub fn conditions(records: &Records, objects: &BTreeMap<Address, AnyObject>, kinds: &Kinds) -> Vec<Condition> {
    let remark = |address: &Address, object: &AnyObject| kinds.get(address.kind())?.remark(&object.outputs);
    records
        .iter()
        .map(|(address, record)| {
            let object = objects.get(address);
            Condition {
                address: address.clone(),
                record: record.clone(),
                drift: drift(Some(record), object),
                exists: object.is_some(),
                remark: object.and_then(|object| remark(address, object)),
            }
        })
        .collect()
}
