//! `scryon-simulator`: the fake provider as a program.

use std::process::ExitCode;

use scryon_simulator::{Options, serve};

/// `scryon-simulator [ADDRESS] [--latency-ms N] [--no-ledger]`
#[actix_web::main]
#[allow(clippy::print_stdout, clippy::print_stderr)] // a tool for a terminal
async fn main() -> ExitCode {
    let mut options = Options::default();
    let mut address = "127.0.0.1:8099".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--latency-ms" => match arguments.next().and_then(|n| n.parse().ok()) {
                Some(n) => options.latency = std::time::Duration::from_millis(n),
                None => return usage(),
            },
            "--no-ledger" => options.ledger = false,
            other if !other.starts_with('-') => address = other.to_owned(),
            _ => return usage(),
        }
    }
    let listener = match std::net::TcpListener::bind(&address) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("{address} cannot be opened: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("fake provider at http://{address}");
    match serve(listener, options) {
        Ok((_simulator, server)) => match server.await {
            Ok(()) => ExitCode::SUCCESS,
            Err(_error) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("the fake provider cannot be served: {error}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr)]
fn usage() -> ExitCode {
    eprintln!("usage: scryon-simulator [ADDRESS] [--latency-ms N] [--no-ledger]");
    ExitCode::from(64)
}
