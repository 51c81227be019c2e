//! `scryon-simulator`: the fake provider as a program.

use std::process::ExitCode;

use scryon_simulator::{HostedOptions, Options, PROVIDERS, sandbox_settings, serve};

const USAGE: &str = "\
usage: scryon-simulator [ADDRESS] [--latency-ms N] [--no-ledger] [--sandbox]

Serves a fake provider and the APIs of hosted providers at ADDRESS (127.0.0.1:8099).

  --latency-ms N  wait this long before every answer
  --no-ledger     keep no purchases
  --sandbox       send webhooks to plain http, too, and print the settings of an installation that
                  uses this in place of the providers, as lines NAME=value
  --help          print this text

Any API key is accepted but one that starts with `bad` (refused) or `unpaid` (credit used up).
Faults and options are set at /control/faults and /control/options; /ledger lists purchases.";

/// `scryon-simulator [ADDRESS] [--latency-ms N] [--no-ledger] [--sandbox]`
#[actix_web::main]
#[allow(clippy::print_stdout, clippy::print_stderr)] // a tool for a terminal
async fn main() -> ExitCode {
    let mut options = Options::default();
    let mut sandbox = false;
    let mut address = "127.0.0.1:8099".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--latency-ms" => match arguments.next().and_then(|n| n.parse().ok()) {
                Some(n) => options.latency = std::time::Duration::from_millis(n),
                None => return usage(),
            },
            "--no-ledger" => options.ledger = false,
            "--sandbox" => sandbox = true,
            "--help" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
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
    // Where the port was left to the system, the listener knows it.
    let address = listener.local_addr().map_or(address, |open| open.to_string());
    println!("fake provider at http://{address}");
    for (provider, path) in PROVIDERS {
        println!("{provider:<10} at http://{address}{path}");
    }
    match serve(listener, options) {
        Ok((simulator, server)) => {
            if sandbox {
                let latency_ms = simulator.hosted().latency_ms;
                simulator.set_hosted(HostedOptions { latency_ms, ..HostedOptions::sandbox() });
                for (name, value) in sandbox_settings(&format!("http://{address}")) {
                    println!("{name}={value}");
                }
            }
            match server.await {
                Ok(()) => ExitCode::SUCCESS,
                Err(_error) => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("the fake provider cannot be served: {error}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr)]
fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(64)
}
