//! Where a run stands, as far as its events tell: what the live view and the log lines are both made from. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::address::Address;
use crate::engine::event::{Action, Event, Outcome};

/// Where a run stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Since when AWS is being looked at.
    pub(super) looking: Option<(Instant, usize)>,
    /// How many operations there are, when they began, and how long they should take.
    pub(super) begun: Option<(Instant, usize, Duration)>,
    /// How many operations succeeded.
    pub(super) done: usize,
    /// How many failed.
    pub(super) failed: usize,
    /// How many will not happen in this run for another reason.
    pub(super) left: usize,
    /// Whether a signal asked to stop.
    pub(super) is_interrupted: bool,
    running: BTreeMap<Address, Running>,
    /// The longest chain of operations among those that began first.
    longest: Duration,
    /// Whether those that began first have all been told of.
    has_moved: bool,
}

/// One running operation.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) action: Action,
    pub(super) since: Instant,
    pub(super) expected: Duration,
    pub(super) chain: Duration,
    /// What it waits for, and since when.
    pub(super) waiting: Option<(String, Instant)>,
}

impl Progress {
    /// Takes an event into account.
    pub(super) fn on(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Observing { resources } => self.looking = Some((now, *resources)),
            Event::Observed { .. } => self.looking = None,
            Event::Settled { .. } | Event::Left { .. } => {}
            // What `down` finds at its second look is added to what it has done.
            Event::Begun { operations, expected } => {
                self.begun = Some((now, self.total() + operations, *expected));
                (self.longest, self.has_moved) = (Duration::ZERO, false);
            }
            Event::Started { address, action, expected, chain } => {
                if !self.has_moved {
                    self.longest = self.longest.max(*chain);
                }
                let (expected, chain) = (*expected, *chain);
                let running = Running { action: *action, since: now, expected, chain, waiting: None };
                self.running.insert(address.clone(), running);
            }
            Event::Waiting { address, what } => {
                if let Some(running) = self.running.get_mut(address) {
                    running.waiting = Some((what.clone(), now));
                }
            }
            Event::Ended { address, outcome, .. } => {
                self.has_moved = true;
                match outcome {
                    Outcome::Succeeded => self.done += 1,
                    Outcome::Failed { .. } => self.failed += 1,
                    Outcome::Deferred { .. } | Outcome::Stopped | Outcome::Skipped { .. } => self.left += 1,
                }
                if !matches!(outcome, Outcome::Skipped { .. }) {
                    self.running.remove(address);
                }
            }
            Event::Stopping { .. } => self.is_interrupted = true,
        }
    }

    /// How many operations are running.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// The running operations, the one that runs longest first.
    pub(super) fn longest_running(&self) -> Vec<(&Address, &Running)> {
        let mut running: Vec<_> = self.running.iter().collect();
        running.sort_by_key(|(_, running)| running.since);
        running
    }

    /// How many operations there are.
    pub(super) fn total(&self) -> usize {
        self.begun.map_or(0, |(_, total, _)| total)
    }

    /// How many operations have ended, well or not.
    pub(super) fn ended(&self) -> usize {
        self.done + self.failed + self.left
    }

    /// How long it will still take, by the chains that wait for what runs now; nothing when it takes longer than expected already.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        let (begin, _, expected) = self.begun?;
        let chains = self.running.values().map(|running| {
            let spent = (now - running.since).min(running.expected);
            running.chain.saturating_sub(spent)
        });
        let mut remaining = chains.max().unwrap_or_default();
        // More than the longest chain means that not everything that may run runs at once: then the chains tell too little.
        if expected > self.longest {
            remaining = remaining.max(expected.saturating_sub(now - begin));
        }
        (!remaining.is_zero()).then_some(remaining)
    }
}

/// An action while it goes on.
pub(super) fn doing(action: Action) -> &'static str {
    match action {
        Action::Create => "creating",
        Action::Update => "updating",
        Action::Adopt => "adopting",
        Action::Delete => "deleting",
    }
}

/// An action when it is over.
pub(super) fn did(action: Action) -> &'static str {
    match action {
        Action::Create => "created",
        Action::Update => "updated",
        Action::Adopt => "adopted",
        Action::Delete => "deleted",
    }
}
