//! The invariants of the scheduler, on small runs by hand and on random ones in every order of events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::graph::test_graphs::{address, dependencies};

fn operation(id: usize, seconds: u64, after: &[usize]) -> Operation {
    Operation {
        address: address(&format!("{id}")),
        action: Action::Create,
        expected: Duration::from_secs(seconds),
        lock_group: None,
        class: None,
        after: after.iter().map(|&id| OperationId(id)).collect(),
    }
}

/// One operation per row: expected seconds, and the operations it waits for.
fn operations(rows: &[(u64, &[usize])]) -> Vec<Operation> {
    rows.iter().enumerate().map(|(id, &(seconds, after))| operation(id, seconds, after)).collect()
}

fn unlimited(rows: &[(u64, &[usize])]) -> Scheduler {
    Scheduler::new(operations(rows), &Limits::default()).unwrap()
}

fn at_a_time(count: usize) -> Limits {
    Limits { parallelism: NonZeroUsize::new(count), ..Limits::default() }
}

fn ids<const N: usize>(ids: [usize; N]) -> Vec<OperationId> {
    ids.map(OperationId).to_vec()
}

fn skipped<const N: usize>(pairs: [(usize, usize); N]) -> Vec<Skipped> {
    pairs
        .map(|(operation, because)| Skipped { operation: OperationId(operation), because: OperationId(because) })
        .into()
}

use Event::{Deferred, Failed, Interrupt, Stopped, Succeeded};

/// Invariant 1.
#[test]
fn a_diamond_starts_from_one_end_to_the_other() {
    let mut scheduler = unlimited(&[(1, &[]), (1, &[0]), (2, &[0]), (1, &[1, 2])]);
    assert_eq!(scheduler.start(), ids([0]));
    assert_eq!(scheduler.start(), ids([]), "what was started is not started again");
    assert_eq!(scheduler.on(Succeeded(OperationId(0))), ids([2, 1]), "the slower one is more urgent");
    assert_eq!(scheduler.on(Succeeded(OperationId(2))), ids([]));
    assert!(!scheduler.is_finished());
    assert_eq!(scheduler.on(Succeeded(OperationId(1))), ids([3]));
    assert_eq!(scheduler.on(Succeeded(OperationId(3))), ids([]));
    assert!(scheduler.is_finished());
    assert!(scheduler.report().is_success());
}

#[test]
fn nothing_to_do_is_finished_at_once() {
    let mut scheduler = unlimited(&[]);
    assert!(scheduler.is_finished() && scheduler.start().is_empty() && scheduler.report().is_success());
    assert_eq!(scheduler.estimate(|_| Duration::ZERO), Duration::ZERO);
}

#[test]
fn operations_that_cannot_be_scheduled_are_named() {
    let error = |mut operations: Vec<Operation>| {
        operations[0].action = Action::Delete;
        Scheduler::new(operations, &Limits::default()).unwrap_err().to_string()
    };
    assert_eq!(
        error(operations(&[(1, &[2]), (1, &[0]), (1, &[1])])),
        "operations wait for each other in a cycle: \
         delete global/thing/0 -> create global/thing/2 -> create global/thing/1 -> delete global/thing/0"
    );
    assert_eq!(
        error(operations(&[(1, &[1])])),
        "`delete global/thing/0` waits for operation number 1, but there are only 1"
    );
}

/// Invariant 2: 1 is short, but the long 3 comes after it.
#[test]
fn the_longest_remaining_path_goes_first() {
    let rows: [(u64, &[usize]); 5] = [(5, &[]), (1, &[]), (5, &[]), (9, &[1]), (7, &[])];
    let mut scheduler = Scheduler::new(operations(&rows), &at_a_time(1)).unwrap();
    let mut order = scheduler.start();
    while let Some(&id) = order.last().filter(|_| !scheduler.is_finished()) {
        order.extend(scheduler.on(Succeeded(id)));
    }
    assert_eq!(order, ids([1, 3, 4, 0, 2]), "and ties go in the order of the list");
}

/// Invariant 4.
#[test]
fn a_failure_stops_only_what_waits_for_it() {
    let mut scheduler = unlimited(&[(1, &[]), (1, &[]), (1, &[0]), (1, &[2, 1]), (1, &[1]), (1, &[4])]);
    assert_eq!(scheduler.start(), ids([0, 1]));
    assert_eq!(scheduler.on(Failed(OperationId(0))), ids([]));
    assert_eq!(scheduler.on(Succeeded(OperationId(1))), ids([4]));
    assert_eq!(scheduler.on(Succeeded(OperationId(4))), ids([5]));
    assert_eq!(scheduler.on(Succeeded(OperationId(5))), ids([]));
    assert!(scheduler.is_finished());
    let expected =
        Report { succeeded: ids([1, 4, 5]), failed: ids([0]), skipped: skipped([(2, 0), (3, 0)]), ..Report::default() };
    assert_eq!(scheduler.report(), expected);
    assert!(!scheduler.report().is_success());
}

/// Invariant 4: the report names one cause, the first; all can be asked for.
#[test]
fn what_has_two_root_causes_is_skipped_once() {
    let mut scheduler = unlimited(&[(1, &[]), (1, &[]), (1, &[0, 1]), (1, &[2])]);
    scheduler.start();
    scheduler.on(Failed(OperationId(1)));
    scheduler.on(Failed(OperationId(0)));
    let report = scheduler.report();
    assert_eq!(report.failed, ids([0, 1]));
    assert_eq!(report.skipped, skipped([(2, 1), (3, 1)]));
    assert_eq!(scheduler.causes(OperationId(3)), ids([0, 1]));
    assert_eq!(scheduler.causes(OperationId(0)), ids([]));
}

/// A deferral is no failure, but one that also waits for a failure is not just late.
#[test]
fn a_deferral_skips_without_a_failure() {
    let mut scheduler = unlimited(&[(1, &[]), (1, &[]), (1, &[0]), (1, &[2, 1])]);
    scheduler.start();
    scheduler.on(Deferred(OperationId(0)));
    let report = scheduler.report();
    assert_eq!((report.deferred, report.skipped), (ids([0]), skipped([])));
    assert_eq!(report.skipped_as_deferred, skipped([(2, 0), (3, 0)]));
    scheduler.on(Failed(OperationId(1)));
    let report = scheduler.report();
    assert_eq!(report.skipped, skipped([(3, 1)]));
    assert_eq!(report.skipped_as_deferred, skipped([(2, 0)]));
    assert_eq!(scheduler.causes(OperationId(3)), ids([0, 1]));
    assert!(scheduler.is_finished());
}

/// Invariant 5.
#[test]
fn after_an_interrupt_nothing_starts() {
    let mut scheduler = unlimited(&[(1, &[]), (1, &[]), (1, &[0]), (1, &[1]), (1, &[])]);
    scheduler.start();
    assert_eq!(scheduler.on(Interrupt), ids([]));
    assert_eq!(scheduler.on(Succeeded(OperationId(0))), ids([]));
    assert_eq!(scheduler.on(Stopped(OperationId(1))), ids([]));
    assert!(!scheduler.is_finished(), "one still runs");
    assert_eq!(scheduler.on(Interrupt), ids([]), "a second interrupt changes nothing here");
    assert_eq!(scheduler.on(Failed(OperationId(4))), ids([]));
    assert!(scheduler.is_finished());
    let expected = Report {
        succeeded: ids([0]),
        failed: ids([4]),
        stopped: ids([1]),
        not_started: ids([2, 3]),
        ..Report::default()
    };
    assert_eq!(scheduler.report(), expected);
}

#[test]
fn an_interrupt_before_the_start_finishes_at_once() {
    let mut scheduler = unlimited(&[(1, &[])]);
    scheduler.on(Interrupt);
    assert!(scheduler.is_finished() && scheduler.start().is_empty());
    assert_eq!(scheduler.report().not_started, ids([0]));
}

/// Invariant 3: what a busy lock group holds back takes no place from others, and when it is free, the most urgent of
/// its operations is next, even if others of it have waited for longer.
#[test]
fn a_busy_lock_group_holds_back_only_itself() {
    let rows: [(u64, &[usize]); 6] = [(9, &[]), (8, &[]), (7, &[]), (3, &[]), (1, &[]), (30, &[3])];
    let mut operations = operations(&rows);
    for id in [0, 1, 2, 5] {
        operations[id].lock_group = Some("rest-api".to_owned());
    }
    let mut scheduler = Scheduler::new(operations, &at_a_time(2)).unwrap();
    assert_eq!(scheduler.start(), ids([3, 0]));
    assert_eq!(scheduler.on(Succeeded(OperationId(3))), ids([4]), "1, 2 and 5 wait, 4 does not");
    assert_eq!(scheduler.on(Succeeded(OperationId(0))), ids([5]), "5 came last and is the most urgent");
    assert_eq!(scheduler.on(Succeeded(OperationId(4))), ids([]));
    assert_eq!(scheduler.on(Failed(OperationId(5))), ids([1]), "a failure frees the group as well");
    assert_eq!(scheduler.on(Deferred(OperationId(1))), ids([2]));
}

/// Invariant 3: an operation that has its lock group, but no room in its class, keeps the group from nobody.
#[test]
fn a_full_class_holds_back_only_itself() {
    let mut operations = operations(&[(9, &[]), (8, &[]), (7, &[]), (6, &[]), (5, &[])]);
    for id in [0, 1, 2] {
        operations[id].class = Some("function in a VPC");
    }
    for id in [2, 3] {
        operations[id].lock_group = Some("function".to_owned());
    }
    let limits = Limits { classes: BTreeMap::from([("function in a VPC", NonZeroUsize::MIN)]), ..Limits::default() };
    let mut scheduler = Scheduler::new(operations, &limits).unwrap();
    assert_eq!(scheduler.start(), ids([0, 3, 4]), "3 does not wait for the more urgent 2");
    assert_eq!(scheduler.on(Succeeded(OperationId(0))), ids([1]));
    assert_eq!(scheduler.on(Succeeded(OperationId(1))), ids([]), "there is room for 2, but 3 has the lock group");
    assert_eq!(scheduler.on(Succeeded(OperationId(3))), ids([2]));
}

#[test]
#[should_panic(expected = "`create global/thing/1` ended without running")]
fn an_operation_that_does_not_run_cannot_end() {
    unlimited(&[(1, &[]), (1, &[0])]).on(Succeeded(OperationId(1)));
}

#[test]
fn a_simulation_tells_what_holds_the_run_up() {
    let mut operations = operations(&[(10, &[]), (20, &[0]), (4, &[]), (5, &[2])]);
    let limits = Limits::default();
    let result = simulate(operations.clone(), &limits).unwrap();
    assert_eq!((result.makespan.as_secs(), result.bottleneck), (30, ids([0, 1])));

    for id in [0, 2, 3] {
        operations[id].lock_group = Some("zone".to_owned());
    }
    operations[3].expected = Duration::from_secs(25);
    let result = simulate(operations, &limits).unwrap();
    assert_eq!((result.critical_length.as_secs(), result.critical_path), (30, ids([0, 1])));
    assert_eq!((result.makespan.as_secs(), result.bottleneck), (39, ids([0, 2, 3])));
}

#[test]
fn the_estimate_shrinks_while_operations_run() {
    let mut scheduler = unlimited(&[(10, &[]), (20, &[0]), (5, &[])]);
    let after = |seconds| move |_| Duration::from_secs(seconds);
    assert_eq!(scheduler.estimate(after(0)).as_secs(), 30);
    scheduler.start();
    assert_eq!(scheduler.estimate(after(4)).as_secs(), 26);
    assert_eq!(scheduler.estimate(after(15)).as_secs(), 20, "one that takes too long is about to end");
    scheduler.on(Succeeded(OperationId(0)));
    assert_eq!(scheduler.estimate(after(0)).as_secs(), 20);
    scheduler.on(Failed(OperationId(1)));
    assert_eq!(scheduler.estimate(after(1)).as_secs(), 4);
}

/// Operations on a random graph with random durations, lock groups and classes.
fn random_operations() -> impl Strategy<Value = Vec<Operation>> {
    let details = (0..20u64, prop::option::of(0..4), prop::option::of(prop::sample::select(vec!["x", "y", "z"])));
    dependencies(30).prop_flat_map(move |dependencies| {
        prop::collection::vec(details.clone(), dependencies.len()).prop_map(move |details| {
            let rows = dependencies.iter().zip(details).enumerate();
            rows.map(|(id, (after, (seconds, lock_group, class)))| Operation {
                lock_group: lock_group.map(|group: i32| group.to_string()),
                class,
                ..operation(id, seconds, after)
            })
            .collect()
        })
    })
}

/// Overall and for two of the three classes.
fn random_limits() -> impl Strategy<Value = Limits> {
    (0..6usize, 1..4usize, 1..4usize).prop_map(|(parallelism, x, y)| Limits {
        parallelism: NonZeroUsize::new(parallelism),
        classes: [("x", x), ("y", y)].map(|(class, limit)| (class, NonZeroUsize::new(limit).unwrap())).into(),
    })
}

/// Plays a run against a plain model of the rules: ends a random running operation in a random way until all is over.
struct Run {
    operations: Vec<Operation>,
    limits: Limits,
    scheduler: Scheduler,
    status: Vec<Status>,
    interrupted: bool,
}

impl Run {
    fn new(operations: Vec<Operation>, limits: Limits) -> Self {
        let scheduler = Scheduler::new(operations.clone(), &limits).unwrap();
        let status = vec![Status::Waiting; operations.len()];
        let mut run = Self { operations, limits, scheduler, status, interrupted: false };
        let started = run.scheduler.start();
        run.check_started(started);
        run
    }

    fn on(&mut self, event: Event) {
        match event {
            Succeeded(id) => self.status[id.0] = Status::Succeeded,
            Failed(id) => self.status[id.0] = Status::Failed,
            Deferred(id) => self.status[id.0] = Status::Deferred,
            Stopped(id) => self.status[id.0] = Status::Stopped,
            Interrupt => self.interrupted = true,
        }
        let started = self.scheduler.on(event);
        self.check_started(started);
    }

    fn running(&self) -> Vec<OperationId> {
        self.ids().filter(|id| self.status[id.0] == Status::Running).collect()
    }

    fn ids(&self) -> impl Iterator<Item = OperationId> + use<> {
        (0..self.operations.len()).map(OperationId)
    }

    /// Tells whether the rules let an operation start now.
    fn may_start(&self, id: OperationId) -> bool {
        let operation = &self.operations[id.0];
        let running = self.running();
        let of_class = running.iter().filter(|other| self.operations[other.0].class == operation.class).count();
        let of_group = |other: &OperationId| self.operations[other.0].lock_group == operation.lock_group;
        !self.interrupted
            && self.status[id.0] == Status::Waiting
            && operation.after.iter().all(|other| self.status[other.0] == Status::Succeeded)
            && self.limits.parallelism.is_none_or(|limit| running.len() < limit.get())
            && operation
                .class
                .and_then(|class| self.limits.classes.get(class))
                .is_none_or(|limit| of_class < limit.get())
            && (operation.lock_group.is_none() || !running.iter().any(of_group))
    }

    /// What started is what the rules let start, in their order, and all of it: nothing is held back for no reason.
    fn check_started(&mut self, started: Vec<OperationId>) {
        for id in started {
            assert!(self.may_start(id), "{id:?} started against the rules");
            let rank = |id: OperationId| (std::cmp::Reverse(self.scheduler.work.longest.remaining(id.node())), id);
            let first = self.ids().filter(|&other| self.may_start(other)).min_by_key(|&other| rank(other));
            assert_eq!(first, Some(id), "the most urgent starts first");
            self.status[id.0] = Status::Running;
        }
        assert_eq!(self.ids().find(|&id| self.may_start(id)), None, "nothing is held back");
        assert_eq!(self.scheduler.is_finished(), self.running().is_empty());
    }
}

proptest! {
    /// Invariants 1, 2, 3, and that everything ends: whatever the order in which operations end, all of them run.
    #[test]
    fn without_failures_everything_runs(
        operations in random_operations(),
        limits in random_limits(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 30),
    ) {
        let mut run = Run::new(operations, limits);
        for pick in picks {
            let running = run.running();
            if !running.is_empty() {
                run.on(Succeeded(running[pick.index(running.len())]));
            }
        }
        prop_assert!(run.scheduler.is_finished());
        prop_assert!(run.scheduler.report().is_success());
    }

    /// Invariants 4, 5 and 6, with operations that fail, are deferred, and an interrupt in some runs.
    #[test]
    fn every_operation_ends_in_one_way_for_a_reason(
        operations in random_operations(),
        limits in random_limits(),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0..10), 30),
        interrupt_at in 0..60usize,
    ) {
        let mut run = Run::new(operations, limits);
        for (at, (pick, end)) in picks.into_iter().enumerate() {
            if at == interrupt_at {
                run.on(Interrupt);
            }
            let running = run.running();
            if !running.is_empty() {
                let id = running[pick.index(running.len())];
                run.on(match end {
                    0 => Failed(id),
                    1 => Deferred(id),
                    2 if run.interrupted => Stopped(id),
                    _ => Succeeded(id),
                });
            }
        }
        prop_assert!(run.scheduler.is_finished());

        let report = run.scheduler.report();
        let skips = report.skipped.iter().chain(&report.skipped_as_deferred).map(|skipped| skipped.operation);
        let ended = [&report.succeeded, &report.failed, &report.deferred, &report.stopped, &report.not_started];
        let mut all: Vec<_> = ended.into_iter().flatten().copied().chain(skips).collect();
        all.sort_unstable();
        prop_assert_eq!(all, run.ids().collect::<Vec<_>>(), "each operation is in exactly one list");

        // The root causes of each operation, from what it waits for on.
        let mut causes: Vec<BTreeSet<OperationId>> = vec![BTreeSet::new(); run.operations.len()];
        let order = order::sort(&run.scheduler.work.graph).unwrap();
        for id in order.into_iter().map(OperationId::from) {
            for before in run.operations[id.0].after.clone() {
                let inherited = match run.status[before.0] {
                    Status::Failed | Status::Deferred => BTreeSet::from([before]),
                    _ => causes[before.0].clone(),
                };
                causes[id.0].extend(inherited);
            }
        }
        for id in run.ids() {
            let causes = &causes[id.0];
            prop_assert_eq!(&run.scheduler.causes(id), &causes.iter().copied().collect::<Vec<_>>());
            match run.scheduler.status(id) {
                Status::Skipped { because } => {
                    prop_assert!(causes.contains(&because));
                    let failed = |id: &OperationId| run.status[id.0] == Status::Failed;
                    prop_assert_eq!(failed(&because), causes.iter().any(failed), "a failure goes before a deferral");
                }
                status => {
                    prop_assert!(causes.is_empty(), "what waits for a failure is skipped");
                    prop_assert_eq!(status, run.status[id.0]);
                    prop_assert!(status != Status::Waiting || run.interrupted);
                }
            }
        }
    }

    /// Without limits and lock groups a run takes exactly as long as the critical path.
    #[test]
    fn unlimited_runs_take_the_critical_path(mut operations in random_operations()) {
        for operation in &mut operations {
            operation.lock_group = None;
        }
        let result = simulate(operations.clone(), &Limits::default()).unwrap();
        prop_assert_eq!(result.makespan, result.critical_length);
        let sum: Duration = result.critical_path.iter().map(|id| operations[id.0].expected).sum();
        prop_assert_eq!(sum, result.critical_length);
        for pair in result.critical_path.windows(2) {
            prop_assert!(operations[pair[1].0].after.contains(&pair[0]));
        }
    }

    /// With them it takes no less, no more than one after the other, and exactly as long as what held it up.
    #[test]
    fn limited_runs_take_what_holds_them_up(operations in random_operations(), limits in random_limits()) {
        let result = simulate(operations.clone(), &limits).unwrap();
        prop_assert!(result.makespan >= result.critical_length);
        prop_assert!(result.makespan <= operations.iter().map(|operation| operation.expected).sum::<Duration>());
        prop_assert_eq!(result.bottleneck.iter().map(|id| operations[id.0].expected).sum::<Duration>(), result.makespan);
    }
}
