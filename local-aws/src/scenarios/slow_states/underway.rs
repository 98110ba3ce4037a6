//! What is under way, with which objects and until when.

use std::time::Duration;

use super::table::{Object, Start};
use crate::cli::say;
use crate::corrections::Memory;
use crate::scenarios::Given;
use crate::scenarios::tree::{Tree, bare};

/// See the module. An object has one thing under way at a time, the last one begun.
pub(super) struct Underway {
    given: Given,
    all: Memory<Doing>,
}

#[derive(Clone)]
struct Doing {
    key: String,
    id: String,
    field: &'static str,
    state: &'static str,
    finally: Option<&'static str>,
    /// From when on the last state shows.
    last: Duration,
    until: Duration,
    /// The description of what the emulator no longer has.
    ghost: Option<Tree>,
}

impl Underway {
    pub(super) fn new(given: &Given) -> Self {
        Self { given: given.clone(), all: Memory::default() }
    }

    /// AWS's time.
    pub(super) fn now(&self) -> Duration {
        self.given.clock.now()
    }

    /// Notes that something was begun.
    pub(super) fn begin(&self, object: &Object, region: &str, id: &str, start: &Start, ghost: Option<Tree>) {
        let span = start.takes.draw(&self.given, region);
        let (key, now) = (key(object, region, id), self.now());
        say(&format!("{key} is {} for {:.1} s, from {:.1} s on", start.state, span.as_secs_f64(), now.as_secs_f64()));
        let ghost = ghost.map(|mut ghost| {
            ghost.set(start.field, start.state);
            ghost
        });
        let doing = Doing {
            key: key.clone(),
            id: bare(id).to_owned(),
            field: start.field,
            state: start.state,
            finally: start.finally,
            last: now + span.mul_f64(0.9),
            until: now + span,
            ghost,
        };
        self.all.set(key, doing);
    }

    /// Notes that what is under way with an object takes at least until then.
    pub(super) fn prolong(&self, object: &Object, region: &str, id: &str, until: Duration) {
        if let Some(doing) = self.doing(object, region, id) {
            self.all.set(doing.key.clone(), Doing { until: doing.until.max(until), ..doing });
        }
    }

    /// Until when something is under way with an object, if it still is.
    pub(super) fn until(&self, object: &Object, region: &str, id: &str) -> Option<Duration> {
        self.doing(object, region, id).map(|doing| doing.until)
    }

    /// The state that an object is in because of what is under way.
    pub(super) fn state(&self, object: &Object, region: &str, id: &str) -> Option<&'static str> {
        self.shown(object, region, id).map(|(_, state)| state)
    }

    /// The same, with the field that shows it.
    pub(super) fn shown(&self, object: &Object, region: &str, id: &str) -> Option<(&'static str, &'static str)> {
        let doing = self.doing(object, region, id)?;
        let state = doing.finally.filter(|_| doing.last <= self.now()).unwrap_or(doing.state);
        Some((doing.field, state))
    }

    /// What is still shown although the emulator no longer has it; with an id only that object.
    pub(super) fn ghosts(&self, object: &Object, region: &str, id: Option<&str>) -> Vec<Tree> {
        let now = self.now();
        let of_kind = key(object, region, "");
        let mut ghosts: Vec<Doing> = self.all.values();
        ghosts.retain(|doing| {
            doing.until > now && doing.key.starts_with(&of_kind) && id.is_none_or(|id| bare(id) == doing.id)
        });
        ghosts.sort_by(|one, two| one.key.cmp(&two.key));
        ghosts.into_iter().filter_map(|doing| doing.ghost).collect()
    }

    fn doing(&self, object: &Object, region: &str, id: &str) -> Option<Doing> {
        self.all.get(&key(object, region, id)).filter(|doing| self.now() < doing.until)
    }
}

fn key(object: &Object, region: &str, id: &str) -> String {
    let region = if object.global { "global" } else { region };
    format!("{region}/{}/{}", object.name, bare(id))
}
