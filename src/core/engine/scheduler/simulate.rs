//! How long a run will take: the scheduler itself, run over the expected durations in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::{Event, Limits, Operation, OperationId, ScheduleError, Scheduler};

/// What a run would look like if every operation took as long as expected and succeeded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Simulation {
    /// From the first start to the last end, with lock groups and limits.
    pub makespan: Duration,
    /// Operations that ran back to back and together took the whole makespan: each started when the one before it
    /// ended, because it waited for it or for the room it took up.
    pub bottleneck: Vec<OperationId>,
    /// The longest path by what waits for what alone.
    pub critical_path: Vec<OperationId>,
    /// The length of that path; no run can be faster.
    pub critical_length: Duration,
}

/// Predicts a run.
///
/// # Errors
/// As [`Scheduler::new`].
pub fn simulate(operations: Vec<Operation>, limits: &Limits) -> Result<Simulation, ScheduleError> {
    Ok(Scheduler::new(operations, limits)?.simulation())
}

impl Scheduler {
    /// Predicts the run that is about to start.
    pub fn simulation(&self) -> Simulation {
        let (makespan, bottleneck) = self.play(|_| Duration::ZERO);
        let critical_length = self.work.longest.length();
        Simulation { makespan, bottleneck, critical_path: self.critical_path(), critical_length }
    }

    /// How long it takes from now until all is done, given how long each running operation has been running. One that
    /// takes longer than expected counts as about to end.
    pub fn estimate(&self, elapsed: impl Fn(OperationId) -> Duration) -> Duration {
        self.play(elapsed).0
    }

    /// Returns the makespan and the bottleneck.
    fn play(&self, elapsed: impl Fn(OperationId) -> Duration) -> (Duration, Vec<OperationId>) {
        let mut scheduler = self.clone();
        let mut started_by = vec![None; self.len()];
        let mut ends = BinaryHeap::new();
        for id in self.report().running {
            ends.push(Reverse((self.operation(id).expected.saturating_sub(elapsed(id)), id)));
        }
        for id in scheduler.start() {
            ends.push(Reverse((self.operation(id).expected, id)));
        }
        let mut last = None;
        while let Some(Reverse((now, ended))) = ends.pop() {
            last = Some((now, ended));
            for id in scheduler.on(Event::Succeeded(ended)) {
                started_by[id.index()] = Some(ended);
                ends.push(Reverse((now.saturating_add(self.operation(id).expected), id)));
            }
        }
        let Some((makespan, last)) = last else { return (Duration::ZERO, Vec::new()) };
        let mut bottleneck: Vec<_> = std::iter::successors(Some(last), |id| started_by[id.index()]).collect();
        bottleneck.reverse();
        (makespan, bottleneck)
    }
}
