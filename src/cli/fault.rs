//! A fault in drctl itself: something panicked. Nothing more starts, what is in flight is recorded, and drctl ends.
//!
//! A release build cannot unwind, because that would make the program much larger; a panic ends its process. What is here
//! is called before that, in the thread that panicked, and keeps it while the others record what AWS answers.
//!
//! Invariants:
//! 1. No changing request is sent after a fault.
//! 2. What AWS answers within the grace of an interrupt is recorded. To what it answers later the intents on record lead.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use crate::engine::shutdown::{Reason, Shutdown};
use crate::error::{Failure, Kind};
use crate::ui::Screen;

/// How long the others get: what calls in flight get after an interrupt, and a second for what runs once they are dropped.
const GRACE: Duration = Duration::from_secs(6);

/// Tells every panic from now on in drctl's words, and ends the process with [`Kind::Internal`].
#[expect(clippy::exit, reason = "a release build cannot unwind")]
pub(super) fn tell(screen: Screen) {
    panic::set_hook(Box::new(move |fault| {
        screen.failure(&failure(fault).hint("report it, with the command that led to it"));
        std::process::exit(Kind::Internal.exit_code().into());
    }));
}

/// Lets every panic from now on stop the run in good order, and end the process with [`Kind::Internal`].
#[expect(clippy::exit, reason = "the thread that panicked has nowhere to return to")]
pub(super) fn stop_in_good_order(shutdown: Shutdown, screen: Screen) {
    panic::set_hook(Box::new(move |fault| {
        screen.note("drctl has a fault and stops; what AWS answers within seconds is recorded");
        shutdown.give_up(Reason::Fault);
        hold_this_thread();
        let told = failure(fault).hint("what was done is recorded: run the same command again, and report the fault");
        screen.failure(&told);
        std::process::exit(Kind::Internal.exit_code().into());
    }));
}

/// What went wrong where, as a person can report it.
fn failure(fault: &PanicHookInfo<'_>) -> Failure {
    let failure = Failure::new(Kind::Internal, "internal error: drctl has a fault");
    let place = fault.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let failure = failure.because(fault.payload_as_str().unwrap_or("no message"));
    let failure = failure.because(format!("in {place} of drctl {version}"));
    // Only who sets RUST_BACKTRACE asks for it.
    let trace = Backtrace::capture();
    match trace.status() {
        BacktraceStatus::Captured => failure.because(trace),
        _ => failure,
    }
}

/// Keeps this thread from going on, and no task of its runtime from running elsewhere.
fn hold_this_thread() {
    let is_of_workers = Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    let hold = || thread::sleep(GRACE);
    if is_of_workers { block_in_place(hold) } else { hold() }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::process::Command;

    use super::*;
    use crate::ui::Settings;

    #[test]
    #[ignore = "run by `what_is_in_flight_is_recorded_after_a_fault`"]
    #[allow(clippy::print_stdout, reason = "the other process tells what it does")]
    fn a_process_with_a_fault() {
        let shutdown = Shutdown::default();
        stop_in_good_order(shutdown.clone(), Screen::new(Settings::default()));
        // One thread, which the fault holds.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            tokio::spawn(async move {
                shutdown.first().await;
                println!("\nrecorded after {:?}", shutdown.reason());
            });
            tokio::spawn(async { panic!("a fault") });
            pending::<()>().await;
        });
    }

    /// Invariant 2.
    #[test]
    fn what_is_in_flight_is_recorded_after_a_fault() {
        let (_, module) = module_path!().split_once("::").unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{module}::a_process_with_a_fault"), "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(said(&output.stdout).contains("\nrecorded after Some(Fault)\n"), "{output:?}");
        let told = "error: internal error: drctl has a fault\n  because: a fault\n  because: in src/cli/fault.rs:";
        assert!(said(&output.stderr).contains(told), "{output:?}");
        assert!(!said(&output.stderr).contains("panicked"), "{output:?}");
        assert_eq!(output.status.code(), Some(70));
    }

    #[test]
    #[ignore = "run by `a_fault_before_a_run_is_told_in_the_same_words`"]
    fn a_process_with_a_fault_before_a_run() {
        tell(Screen::new(Settings::default()));
        panic!("nothing was {}", "called");
    }

    #[test]
    fn a_fault_before_a_run_is_told_in_the_same_words() {
        let (_, module) = module_path!().split_once("::").unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{module}::a_process_with_a_fault_before_a_run"), "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let told =
            "error: internal error: drctl has a fault\n  because: nothing was called\n  because: in src/cli/fault.rs:";
        assert!(said.contains(told) && !said.contains("panicked"), "{said}");
        assert_eq!(output.status.code(), Some(70));
    }
}
