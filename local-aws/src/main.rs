//! The local AWS that demonstrations and tests of drctl run against; never shipped.
//!
//! It starts a pinned emulator from a virtual environment it makes itself, and puts a proxy before it that adds Global
//! Accelerator, corrects what the emulator gets wrong, adds the real AWS's delays and refusals on demand, and keeps a log of
//! every call. See `README.md`.
//!
//! Invariants:
//! 1. Every listener is bound to 127.0.0.1.
//! 2. No process outlives the proxy: the emulator ends when the pipe to its standard input is closed.
//! 3. Only who has the instance's access key is let in, and no web page is; see [`access`].
//! 4. A process is stopped only after it answered that it is the one recorded.

mod accelerator;
mod access;
mod admin;
mod calls;
mod cli;
mod corrections;
mod dns;
mod emulator;
mod environment;
mod error;
mod freeze;
mod instance;
mod message;
mod operation;
mod proxy;
mod refusal;
mod scenarios;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
