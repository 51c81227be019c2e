//! `scryon-diarization-worker`: who spoke when.

use std::process::ExitCode;

use scryon_runtime::WorkerAllocator;

#[global_allocator]
static ALLOCATOR: WorkerAllocator = WorkerAllocator;

fn main() -> ExitCode {
    scryon_runtime::shell::main(scryon_diarization_worker::PROGRAM, scryon_diarization_worker::run)
}
