//! `scryon-sweeper`: dispatcher and sweeps.

use std::process::ExitCode;

fn main() -> ExitCode {
    scryon_runtime::shell::main(scryon_sweeper::PROGRAM, scryon_sweeper::run)
}
