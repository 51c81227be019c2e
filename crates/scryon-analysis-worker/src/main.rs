//! `scryon-analysis-worker`: what a call means.

use std::process::ExitCode;

use scryon_runtime::WorkerAllocator;

#[global_allocator]
static ALLOCATOR: WorkerAllocator = WorkerAllocator;

fn main() -> ExitCode {
    scryon_runtime::shell::main(scryon_analysis_worker::PROGRAM, scryon_analysis_worker::run)
}
