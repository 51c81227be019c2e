//! `scryon-transcription-worker`: what makes a transcript.

use std::process::ExitCode;

fn main() -> ExitCode {
    scryon_runtime::shell::main(scryon_transcription_worker::PROGRAM, scryon_transcription_worker::run)
}
