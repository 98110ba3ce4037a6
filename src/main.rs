//! The binary: hands everything to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    drctl::cli::run()
}
