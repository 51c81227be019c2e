//! `scryon hold`: an operator's word that nothing is deleted. Straight on the database, so that it works while the API
//! is down.

use std::time::Duration;

use clap::{Args, Subcommand};
use scryon_blobs::Blobs;
use scryon_config::{Config, ProcessEnv};
use scryon_store::{HoldKind, Store};
use serde_json::json;

use crate::backup::from_blobs;
use crate::output::{Failure, Output};
use crate::own_store;

#[derive(Subcommand)]
pub(crate) enum HoldCommand {
    /// Delete nothing from now on. Calls that are deleted disappear at once; their objects stay until the hold is off.
    On(Why),
    /// Lift the hold: what waited is deleted by the next sweeps.
    Off(Why),
    /// Show the holds that are on.
    Status,
}

#[derive(Args)]
pub(crate) struct Why {
    /// Why, for those who read it later. It is kept in the log of changes: no names of persons.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
}

pub(crate) async fn hold(output: &Output, command: HoldCommand) -> Result<u8, Failure> {
    let config = Config::from_env(&ProcessEnv).map_err(|e| Failure::new(Failure::USAGE, e.to_string()))?;
    let store = own_store(&config, "scryon-hold", Duration::from_secs(10))?;
    let blobs = || Blobs::open(&config.storage).map_err(from_blobs);
    match command {
        HoldCommand::On(why) => {
            // Storage first: a restored database hears of the hold there, and a hold too many does no harm.
            blobs()?.hold_note(Some(&why.reason)).await.map_err(from_blobs)?;
            store.hold_set(HoldKind::Legal, &why.reason).await.map_err(Failure::from_store)?;
        }
        HoldCommand::Off(why) => {
            if !store.hold_lift(HoldKind::Legal, &why.reason).await.map_err(Failure::from_store)? {
                output.note("it was not on");
            }
            blobs()?.hold_note(None).await.map_err(from_blobs)?;
        }
        HoldCommand::Status => {}
    }
    status(output, &store).await
}

async fn status(output: &Output, store: &Store) -> Result<u8, Failure> {
    let holds = store.holds().await.map_err(Failure::from_store)?;
    if output.is_json() {
        return output.line(&json!({"on": !holds.is_empty(), "holds": holds}).to_string());
    }
    for hold in &holds {
        let since = hold.since.format("%Y-%m-%dT%H:%M:%SZ");
        let lifted = if hold.kind == "restore" { "; `scryon restore --finish` lifts it" } else { "" };
        output.line(&format!("on   {:<8} since {since}: {}{lifted}", hold.kind, hold.reason))?;
    }
    if holds.is_empty() {
        output.line("off")?;
    }
    Ok(0)
}
