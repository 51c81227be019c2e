//! `scryon provider`: which providers are asked, an operator's word about it, and whether they take our keys. Orders go
//! by the API with an admin's key, else straight to the database, so that they can be given while the API is down; keys
//! are looked at from here.

mod key;
mod line;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use scryon_config::{Config, ProcessEnv};
use scryon_operations::{Operation, ProviderWord};
use scryon_store::Circuit;
use serde_json::{Value, json};

use crate::costs::age;
use crate::desk::Desk;
use crate::output::{Failure, Output};
use crate::own_store;

#[derive(Subcommand)]
pub(crate) enum ProviderCommand {
    /// Show every provider that was looked at, ever failed or was switched, and whether it is asked.
    List,
    /// Look at a provider's key now, by a request that costs nothing. Exit code 0: it is taken; 65: it is refused, or no
    /// credit is left; 69: the provider did not answer.
    Test {
        /// The engine's name; `llm` is the language model of the analysis.
        engine: String,
    },
    /// Whether calls do without this provider where it asks for a pause, instead of waiting: `llm` leaves the analysis
    /// out until the word is taken back, `pyannote` leaves speakers to the transcription's labels.
    FailFast(FailFast),
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

#[derive(Args)]
pub(crate) struct FailFast {
    /// `llm` or `pyannote`.
    engine: String,
    #[arg(value_enum)]
    switch: Switch,
    /// For this long (`2h`, `1d`); without it until it is switched off.
    #[arg(long = "for", value_parser = age)]
    period: Option<Duration>,
    /// Why, for those who read it later.
    #[arg(long, required_if_eq("switch", "on"))]
    reason: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Engines that ask a provider; `llm` is the language model of the analysis.
const ENGINES: [&str; 7] = ["lemonfox", "openai", "deepgram", "assemblyai", "pyannote", "llm", "fake"];
/// Those that a call can do without.
const SPARED: [&str; 3] = ["llm", "pyannote", "fake"];

pub(crate) async fn provider(
    desk: impl FnOnce() -> Result<Desk, Failure>,
    output: &Output,
    command: ProviderCommand,
) -> Result<u8, Failure> {
    let operation = match command {
        ProviderCommand::List => Operation::Providers {},
        ProviderCommand::Test { engine } => return test(output, &engine).await,
        ProviderCommand::FailFast(word) => fail_fast(word)?,
        ProviderCommand::Disable(Word { engine, period, reason }) => {
            said(engine, ProviderWord::Disable, period, Some(reason))?
        }
        ProviderCommand::Enable { engine, always: true, period, reason } => {
            said(engine, ProviderWord::Always, period, reason)?
        }
        ProviderCommand::Enable { engine, .. } => said(engine, ProviderWord::Enable, None, None)?,
    };
    let put_back =
        matches!(&operation, Operation::FailFast { on: false, engine, .. } if engine != "pyannote");
    let answer = desk()?.order(operation).await?;
    if put_back {
        output.note("the sweeper puts analyses that were left out back to work, behind live calls");
    }
    list(output, &answer)
}

async fn test(output: &Output, engine: &str) -> Result<u8, Failure> {
    let config = Config::from_env(&ProcessEnv).map_err(|e| Failure::new(Failure::USAGE, e.to_string()))?;
    let store = own_store(&config, "scryon-provider", Duration::from_secs(10))?;
    key::test(output, &config, &store, engine).await
}

fn seconds(period: Option<Duration>) -> Option<u64> {
    period.map(|p| p.as_secs())
}

fn said(
    engine: String,
    word: ProviderWord,
    period: Option<Duration>,
    reason: Option<String>,
) -> Result<Operation, Failure> {
    known(&engine)?;
    Ok(Operation::Provider { engine, word, seconds: seconds(period), reason })
}

/// A slip of the pen is told before anybody is asked.
fn known(engine: &str) -> Result<(), Failure> {
    if ENGINES.contains(&engine) {
        return Ok(());
    }
    let known = ENGINES[..6].join(", ");
    Err(Failure::new(Failure::USAGE, format!("{engine} is no engine that asks a provider: {known}")))
}

fn fail_fast(word: FailFast) -> Result<Operation, Failure> {
    let FailFast { engine, switch, period, reason } = word;
    known(&engine)?;
    if !SPARED.contains(&engine.as_str()) {
        let what = format!(
            "no call can do without {engine}: list a second engine behind it, or wait; llm and pyannote can be spared"
        );
        return Err(Failure::new(Failure::USAGE, what));
    }
    let on = switch == Switch::On;
    Ok(Operation::FailFast { engine, on, seconds: seconds(period.filter(|_| on)), reason })
}

fn list(output: &Output, answer: &Value) -> Result<u8, Failure> {
    let circuits: Vec<Circuit> = serde_json::from_value(answer["circuits"].clone())
        .map_err(|e| Failure::new(Failure::UNAVAILABLE, format!("the answer cannot be read: {e}")))?;
    for circuit in &circuits {
        if output.is_json() {
            output.line(&json!(circuit).to_string())?;
        } else {
            output.line(&line::line(circuit))?;
        }
    }
    if circuits.is_empty() {
        output.note("no provider was looked at, has failed or was switched");
    }
    Ok(0)
}
