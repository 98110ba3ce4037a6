//! Copies the state of a deployment from one medium to another, both locked: `state push` and `state pull`.
//!
//! Invariants:
//! 1. What would be lost is never overwritten unasked: a state with more entries, another one with as many, or that of
//!    another deployment of the same name.
//! 2. What is overwritten by force is kept as `*.damaged`, and the new state is later than every part of it that is left.
//! 3. The source stays as it is, except that its journal is folded.

use std::sync::Arc;
use std::time::Duration;

use super::durable::{Medium, Names};
use super::error::{Obstacle, StateError};
use super::load;
use super::lock::Holder;
use super::store::{self, Store};
use super::version::Snapshot;

/// What is copied, and how.
pub struct Transfer<'a> {
    /// Where the state is.
    pub from: Arc<dyn Medium>,
    /// Where it shall be.
    pub to: Arc<dyn Medium>,
    /// Which deployment.
    pub suffix: &'a str,
    /// Who asks for it.
    pub holder: &'a Holder,
    /// How long to wait for either lock.
    pub wait: Duration,
    /// Whether to overwrite what would be lost.
    pub by_force: bool,
}

/// Which of the two states an error is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The one that is copied.
    From,
    /// The one that it is copied over.
    To,
}

/// Copies a deployment. Returns what was copied, or nothing if both were the same already.
///
/// # Errors
/// [`StateError::InTheWay`] when something would be lost; else whatever keeps either state from being read or written.
pub async fn transfer(transfer: Transfer<'_>) -> Result<Option<Snapshot>, (End, StateError)> {
    let (at_source, at_target) = (|error| (End::From, error), |error| (End::To, error));
    let Transfer { from, to, suffix, holder, wait, by_force } = transfer;
    let source = Store::open(from, suffix, holder, wait).await.map_err(at_source)?;
    let mut snapshot = source.snapshot();
    let hold = store::take_lock(to.as_ref(), suffix, holder, wait).await.map_err(at_target)?;
    let path = to.locate(&Names::of(suffix).snapshot);
    let (why, theirs) = match load::load(to.as_ref(), suffix) {
        Err(StateError::NotFound { .. }) => (None, None),
        Ok(there) if there.snapshot == snapshot => {
            source.close().await.map_err(at_source)?;
            return Ok(None);
        }
        Ok(there) => (obstacle(&snapshot, &there.snapshot), Some(there.snapshot.serial)),
        Err(_) if by_force => (Some(Obstacle::Foreign), None),
        Err(error) => return Err(at_target(error)),
    };
    match (why, theirs) {
        (Some(_), _) if by_force => {
            let serial = store::outdate(to.as_ref(), suffix, hold.as_ref(), holder).map_err(at_target)?;
            snapshot.serial = serial.max(snapshot.serial);
        }
        (Some(why), _) => return Err(at_target(StateError::InTheWay { path, why })),
        // What was compared is overwritten only if it is still so.
        (None, Some(theirs))
            if hold.is_takeover() && !store::seal(to.as_ref(), suffix, theirs + 1, holder).map_err(at_target)? =>
        {
            let why = Obstacle::Newer { ours: snapshot.serial, theirs: theirs + 1 };
            return Err(at_target(StateError::InTheWay { path, why }));
        }
        (None, _) => drop(load::read_file(to.as_ref(), &Names::of(suffix).snapshot).map_err(at_target)?),
    }
    Store::place(to, snapshot.clone(), hold).map_err(at_target)?.close().await.map_err(at_target)?;
    source.close().await.map_err(at_source)?;
    Ok(Some(snapshot))
}

/// What would be lost if the one state were put in place of the other.
fn obstacle(ours: &Snapshot, theirs: &Snapshot) -> Option<Obstacle> {
    let (a, b) = (&ours.deployment, &theirs.deployment);
    // States of an older drctl have no lineage.
    let are_kin = a.lineage == b.lineage || a.lineage.is_empty() || b.lineage.is_empty();
    if !are_kin || (&a.account, &a.partition) != (&b.account, &b.partition) {
        return Some(Obstacle::Foreign);
    }
    match theirs.serial.cmp(&ours.serial) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(Obstacle::Differs { serial: ours.serial }),
        std::cmp::Ordering::Greater => Some(Obstacle::Newer { ours: ours.serial, theirs: theirs.serial }),
    }
}
