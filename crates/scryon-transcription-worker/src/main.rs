//! `scryon-transcription-worker`: what makes a transcript.

use std::process::ExitCode;

use scryon_runtime::WorkerAllocator;

#[global_allocator]
static ALLOCATOR: WorkerAllocator = WorkerAllocator;

fn main() -> ExitCode {
    scryon_runtime::shell::main(scryon_transcription_worker::PROGRAM, scryon_transcription_worker::run)
}
