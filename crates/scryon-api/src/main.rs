//! `scryon-api`: the public REST API.

use std::process::ExitCode;

fn main() -> ExitCode {
    scryon_runtime::shell::main(scryon_api::PROGRAM, scryon_api::run)
}
