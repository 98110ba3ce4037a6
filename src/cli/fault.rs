//! A fault in drctl itself: something panicked. Nothing more starts, what is in flight is recorded, and drctl ends.
//!
//! A release build cannot unwind, because that would make the program much larger; a panic ends its process. What is here
//! is called before that, in the thread that panicked, and keeps it while the others record what AWS answers.
//!
//! Invariants:
//! 1. No changing request is sent after a fault.
//! 2. What AWS answers within the grace of an interrupt is recorded. To what it answers later the intents on record lead.

use std::panic;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use crate::engine::shutdown::{Reason, Shutdown};
use crate::error::{Failure, Kind};
use crate::ui::Screen;

/// How long the others get: what calls in flight get after an interrupt, and a second for what runs once they are dropped.
const GRACE: Duration = Duration::from_secs(6);

/// Lets every panic from now on stop the run in good order, and end the process with [`Kind::Internal`].
#[expect(clippy::exit, reason = "the thread that panicked has nowhere to return to")]
pub(super) fn stop_in_good_order(shutdown: Shutdown, screen: Screen) {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |fault| {
        tell(fault);
        shutdown.give_up(Reason::Fault);
        hold_this_thread();
        let failure = Failure::new(Kind::Internal, "internal error: drctl has a fault, which is told above");
        screen.failure(&failure.hint("what was done is recorded; run the same command again, and report the fault"));
        std::process::exit(Kind::Internal.exit_code().into());
    }));
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
        assert!(said(&output.stderr).contains("a fault\n"), "{output:?}");
        assert!(said(&output.stderr).contains("error: internal error: drctl has a fault"), "{output:?}");
        assert_eq!(output.status.code(), Some(70));
    }
}
