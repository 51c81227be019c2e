//! `scryon provider`: which providers are asked, and an operator's word about it. Straight on the database, so that
//! it works while the API is down.

use std::time::Duration;

use clap::{Args, Subcommand};
use scryon_config::{Config, ProcessEnv};
use scryon_store::{Circuit, Store};
use serde_json::json;

use crate::costs::age;
use crate::output::{Failure, Output};
use crate::own_store;

#[derive(Subcommand)]
pub(crate) enum ProviderCommand {
    /// Show every provider that ever failed or was switched, and whether it is asked.
    List,
    /// Ask this provider no more: the next engine serves, or calls wait. Running programs know within a second.
    Disable(Word),
    /// Ask it again: by what it answers or, with --always, whatever it answers.
    Enable {
        /// The engine's name, for example lemonfox.
        engine: String,
        /// Ask it also while it fails.
        #[arg(long, requires = "reason")]
        always: bool,
        /// With --always: for this long; after that its answers decide again.
        #[arg(long = "for", value_parser = age)]
        period: Option<Duration>,
        /// With --always: why, for those who read it later.
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct Word {
    /// The engine's name, for example lemonfox.
    engine: String,
    /// For this long (`2h`, `1d`); without it until it is enabled.
    #[arg(long = "for", value_parser = age)]
    period: Option<Duration>,
    /// Why, for those who read it later.
    #[arg(long)]
    reason: String,
}

/// Engines that ask a provider; `llm` is the language model of the analysis.
const ENGINES: [&str; 7] = ["lemonfox", "openai", "deepgram", "assemblyai", "pyannote", "llm", "fake"];

pub(crate) async fn provider(output: &Output, command: ProviderCommand) -> Result<u8, Failure> {
    let config = Config::from_env(&ProcessEnv).map_err(|e| Failure::new(Failure::USAGE, e.to_string()))?;
    let store = own_store(&config, "scryon-provider", Duration::from_secs(10))?;
    let (engine, forced, period, reason) = match command {
        ProviderCommand::List => return list(output, &store).await,
        ProviderCommand::Disable(word) => (word.engine, Some("open"), word.period, Some(word.reason)),
        ProviderCommand::Enable { engine, always: true, period, reason } => {
            (engine, Some("closed"), period, reason)
        }
        ProviderCommand::Enable { engine, .. } => (engine, None, None, None),
    };
    if !ENGINES.contains(&engine.as_str()) {
        let known = ENGINES[..6].join(", ");
        return Err(Failure::new(
            Failure::USAGE,
            format!("{engine} is no engine that asks a provider: {known}"),
        ));
    }
    store.circuit_force(&engine, forced, period, reason.as_deref()).await.map_err(Failure::from_store)?;
    if forced.is_none() {
        store.circuit_close(&engine).await.map_err(Failure::from_store)?;
    }
    list(output, &store).await
}

async fn list(output: &Output, store: &Store) -> Result<u8, Failure> {
    let circuits = store.circuits().await.map_err(Failure::from_store)?;
    for circuit in &circuits {
        if output.is_json() {
            output.line(&json!(circuit).to_string())?;
        } else {
            output.line(&line(circuit))?;
        }
    }
    if circuits.is_empty() {
        output.note("no provider has failed or was switched");
    }
    Ok(0)
}

fn line(circuit: &Circuit) -> String {
    let seconds = |seconds: f64| format!("{:.0} s", seconds.max(0.0));
    let state = match (circuit.forced.as_deref(), circuit.open_seconds) {
        (Some("open"), _) => "disabled".to_owned(),
        (Some(_), _) => "asked whatever it answers".to_owned(),
        (None, Some(left)) if left > 0.0 => format!("not asked for {}", seconds(left)),
        (None, Some(_)) => "not asked until one request has succeeded".to_owned(),
        (None, None) => "asked".to_owned(),
    };
    let until = match (circuit.forced.is_some(), circuit.forced_seconds) {
        (true, Some(left)) => format!(" for {}", seconds(left)),
        (true, None) => " until it is enabled".to_owned(),
        _ => String::new(),
    };
    let reason = circuit.forced_reason.as_deref().or(circuit.reason.as_deref());
    let reason = reason.map(|r| format!(": {r}")).unwrap_or_default();
    format!("{:<12} {state}{until}{reason}", circuit.engine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_whether_and_why() {
        let circuit = |open, forced: Option<(&str, Option<f64>)>| Circuit {
            engine: "lemonfox".to_owned(),
            open_seconds: open,
            reason: Some("provider_failed".to_owned()),
            forced: forced.map(|f| f.0.to_owned()),
            forced_seconds: forced.and_then(|f| f.1),
            forced_reason: forced.map(|_| "their status page".to_owned()),
        };
        let cases = [
            (circuit(None, None), "lemonfox     asked: provider_failed"),
            (circuit(Some(7.4), None), "lemonfox     not asked for 7 s: provider_failed"),
            (
                circuit(Some(-1.0), None),
                "lemonfox     not asked until one request has succeeded: provider_failed",
            ),
            (circuit(None, Some(("open", Some(60.0)))), "lemonfox     disabled for 60 s: their status page"),
            (
                circuit(None, Some(("open", None))),
                "lemonfox     disabled until it is enabled: their status page",
            ),
            (
                circuit(Some(9.0), Some(("closed", None))),
                "lemonfox     asked whatever it answers until it is enabled: their status page",
            ),
        ];
        for (circuit, expected) in cases {
            assert_eq!(line(&circuit), expected);
        }
    }
}
