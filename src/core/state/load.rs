//! Reads a deployment from its medium, or says what is wrong with it. Never writes.
//!
//! Invariants:
//! 1. Reading needs no lock: the copies are listed first, then the journal is read, then the state file, so a
//!    compaction in between makes lines superfluous but never makes them missing.
//! 2. A deployment of which any file is left is never taken for a new one.

use super::durable::{Medium, Names};
use super::error::{Damage, StateError};
use super::journal;
use super::version::{self, Decoded, Snapshot};

/// A deployment as its files say.
pub(super) struct Loaded {
    pub(super) snapshot: Snapshot,
    /// Whether a run should begin by writing the state file anew: the journal says anything beyond it, a torn line
    /// included, or the file is outdated.
    pub(super) must_fold: bool,
}

/// Reads a deployment without taking its lock and without writing anything, for commands that only look.
///
/// # Errors
/// When there is no such deployment or its files are damaged; see [`StateError`].
pub fn read(medium: &dyn Medium, suffix: &str) -> Result<Snapshot, StateError> {
    load(medium, suffix).map(|loaded| loaded.snapshot)
}

/// The suffixes of all deployments of which a file is left, in alphabetical order.
///
/// # Errors
/// When the medium cannot be listed.
pub fn deployments_in(medium: &dyn Medium) -> Result<Vec<String>, StateError> {
    let files = list(medium)?;
    let mut suffixes: Vec<_> = files.iter().filter_map(|name| Names::suffix_in(name)).map(str::to_owned).collect();
    suffixes.sort();
    suffixes.dedup();
    Ok(suffixes)
}

pub(super) fn load(medium: &dyn Medium, suffix: &str) -> Result<Loaded, StateError> {
    let names = Names::of(suffix);
    let newest_copy = copies(medium, &names)?.pop();
    let journal = medium.journal(&names.journal);
    let journal = journal.map_err(|error| StateError::read(medium.locate(&names.journal), error))?;
    let path = medium.locate(&names.snapshot);
    // Looking for a copy to recommend reads files, so it is done only when there is something to repair.
    let repairable = |error: StateError| error.with_copy(|| good_copy(medium, suffix, &names));

    let Some(text) = read_file(medium, &names.snapshot)? else {
        return Err(repairable(absent(medium, suffix, &path)?));
    };
    let Decoded { mut snapshot, is_outdated } = version::decode(&text, suffix, &path).map_err(repairable)?;
    let locate =
        |first: Option<u64>| medium.locate(&first.map_or_else(|| names.journal.clone(), |first| names.segment(first)));
    let says_more = journal::replay(&mut snapshot, &journal, locate).map_err(repairable)?;
    match newest_copy {
        Some(newest) if newest > snapshot.serial => {
            let copy = medium.locate(&names.copy(newest));
            Err(StateError::Stale { path, serial: snapshot.serial, copy, newest })
        }
        _ => Ok(Loaded { snapshot, must_fold: is_outdated || says_more }),
    }
}

/// Checks that any file of the deployment is there.
pub(super) fn exists(medium: &dyn Medium, suffix: &str) -> Result<(), StateError> {
    let known = deployments_in(medium)?;
    if known.iter().any(|other| other == suffix) {
        return Ok(());
    }
    Err(StateError::NotFound { suffix: suffix.to_owned(), place: medium.locate(""), known })
}

/// Why there is no state file: no such deployment, or a lost file.
fn absent(medium: &dyn Medium, suffix: &str, path: &str) -> Result<StateError, StateError> {
    // The listing is taken now, because a deployment may just have been removed by the run that holds its lock.
    exists(medium, suffix)?;
    let remains = list(medium)?.into_iter().find(|name| Names::suffix_in(name) == Some(suffix));
    let remains = medium.locate(&remains.unwrap_or_default());
    Ok(StateError::damaged(suffix, path, Damage::Missing { remains }))
}

/// The serials of the copies, the newest last.
pub(super) fn copies(medium: &dyn Medium, names: &Names) -> Result<Vec<u64>, StateError> {
    let mut serials: Vec<_> = list(medium)?.iter().filter_map(|name| names.copy_serial(name)).collect();
    serials.sort_unstable();
    Ok(serials)
}

fn good_copy(medium: &dyn Medium, suffix: &str, names: &Names) -> Option<String> {
    let copies = copies(medium, names).ok()?;
    copies.into_iter().rev().map(|serial| names.copy(serial)).find_map(|name| {
        let path = medium.locate(&name);
        let text = medium.read(&name).ok()??;
        version::decode(&text, suffix, &path).ok().map(|_| path)
    })
}

pub(super) fn list(medium: &dyn Medium) -> Result<Vec<String>, StateError> {
    medium.list().map_err(|error| StateError::read(medium.locate(""), error))
}

pub(super) fn read_file(medium: &dyn Medium, name: &str) -> Result<Option<Vec<u8>>, StateError> {
    medium.read(name).map_err(|error| StateError::read(medium.locate(name), error))
}
