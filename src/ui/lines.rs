//! Progress for logs and CI: plain lines, one for each thing worth saying, and a sign of life while nothing ends.
//!
//! Invariants:
//! 1. While a run goes on, no [`HEARTBEAT`] passes without a line that says what is going on.
//! 2. No line is ever taken back: there are no control characters but line ends, and colour where it is wanted.

use std::time::Duration;

use tokio::time::Instant;

use super::page::{Page, count, span};
use super::progress::{Progress, did, doing};
use crate::engine::event::{Event, Outcome};
use crate::engine::shutdown::Reason;

/// The longest silence.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(10);

/// Operations that take longer than this are announced when they begin.
const SLOW: Duration = Duration::from_secs(20);

/// Turns events into lines.
#[derive(Debug)]
pub(super) struct Lines {
    page: Page,
    begin: Instant,
    last: Instant,
    progress: Progress,
}

impl Lines {
    pub(super) fn new(page: Page, now: Instant) -> Self {
        Self { page, begin: now, last: now, progress: Progress::default() }
    }

    /// The line that an event is worth.
    pub(super) fn on(&mut self, event: &Event, now: Instant) -> Option<String> {
        self.progress.on(event, now);
        let text = line(event, &self.progress, self.page)?;
        Some(format!("{}  {text}", self.clock(now)))
    }

    /// The sign of life, when it is due.
    pub(super) fn heartbeat(&mut self, now: Instant) -> Option<String> {
        if now - self.last < HEARTBEAT {
            return None;
        }
        self.last = now;
        let text = alive(&self.progress, now)?;
        Some(format!("{}  {text}", self.clock(now)))
    }

    /// The time since the beginning, as `3:07`.
    fn clock(&self, now: Instant) -> String {
        let seconds = (now - self.begin).as_secs();
        self.page.faint(&format!("{:>2}:{:02}", seconds / 60, seconds % 60))
    }
}

/// What an event says in one line; nothing for what is of no interest afterwards.
pub(super) fn line(event: &Event, progress: &Progress, page: Page) -> Option<String> {
    let counter = format!("[{}/{}]", progress.ended(), progress.total());
    let text = match event {
        Event::Observing { resources } => format!("looking at {} in AWS", count(*resources, "resource")),
        Event::Observed { objects, elapsed } => format!("found {} in {}", count(*objects, "object"), span(*elapsed)),
        Event::Settled { address, outcome } => format!("{address}: left in flight by an earlier run: {outcome}"),
        Event::Left { address, what } => format!("{address} stays: {what}"),
        Event::Begun { operations, expected } => {
            format!("{} to do, expected to take {}", count(*operations, "operation"), span(*expected))
        }
        Event::Started { address, action, expected, .. } if *expected >= SLOW => {
            format!("{} {address}, which usually takes {}", doing(*action), span(*expected))
        }
        Event::Started { .. } | Event::Waiting { .. } => return None,
        Event::Ended { address, action, outcome, elapsed } => match outcome {
            Outcome::Succeeded => {
                format!("{} {} {address} in {}", page.good(&counter), did(*action), span(*elapsed))
            }
            Outcome::Failed { error } => {
                let head = page.bad(&format!("{counter} failed to {action}"));
                format!("{head} {address} after {}: {error}", span(*elapsed))
            }
            Outcome::Deferred { until, reason } => {
                format!("{} {address}: not before {until:.0}: {reason}", page.warn(&format!("{counter} deferred")))
            }
            Outcome::Stopped => {
                format!("{} {} {address}: what was done is on record", page.warn(&counter), page.warn("stopped"))
            }
            // The report names what was skipped, once, under its root cause.
            Outcome::Skipped { .. } => return None,
        },
        Event::Stopping { reason, running } => stopping(*reason, *running, page),
    };
    Some(text)
}

fn stopping(reason: Reason, running: usize, page: Page) -> String {
    let why = match reason {
        Reason::Signal(_) => "interrupted",
        Reason::CredentialsGone => "the credentials are no longer valid",
        Reason::LeaseLost => "the lease on the state is lost",
        Reason::Fault => "drctl has a fault",
    };
    let grace = "nothing new starts; what is in flight gets 5 s to be recorded";
    page.warn(&format!("{why}: {} running; {grace}", count(running, "operation")))
}

fn alive(progress: &Progress, now: Instant) -> Option<String> {
    if let Some((since, resources)) = progress.looking {
        return Some(format!("still looking at {} in AWS, for {}", count(resources, "resource"), span(now - since)));
    }
    progress.begun?;
    let rest = match progress.remaining(now) {
        Some(remaining) => format!("about {} left", span(remaining)),
        None => "longer than expected".to_owned(),
    };
    let head = format!(
        "{} of {} done, {} running, {rest}",
        progress.done,
        count(progress.total(), "operation"),
        progress.running()
    );
    let Some((address, running)) = progress.longest_running().into_iter().next() else { return Some(head) };
    let doing = format!("{head}; longest: {} {address} for {}", doing(running.action), span(now - running.since));
    Some(match &running.waiting {
        Some((what, since)) => format!("{doing}, waiting {} for {what}", span(now - *since)),
        None => doing,
    })
}

#[cfg(test)]
#[path = "lines/tests.rs"]
mod tests;
