//! `scryon-diarization-worker`: who spoke when.

use std::process::ExitCode;

fn main() -> ExitCode {
    scryon_runtime::shell::main(scryon_diarization_worker::PROGRAM, scryon_diarization_worker::run)
}
