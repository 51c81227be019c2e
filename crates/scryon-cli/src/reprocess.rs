//! `scryon reprocess` with a filter: a plan first, then new runs in batches, straight on the database.

use std::time::Duration;

use chrono::Utc;
use clap::Args;
use scryon_config::{Config, ProcessEnv};
use scryon_store::{CallFilter, Plan};
use serde_json::json;

use crate::api::Api;
use crate::controls::{Order, order};
use crate::costs::{age, dollars};
use crate::output::{Failure, Output};
use crate::own_store;

/// Calls of one statement.
const BATCH: i64 = 200;
const STATUSES: [&str; 3] = ["COMPLETED", "FAILED", "CANCELLED"];

#[derive(Args)]
pub(crate) struct ReprocessArguments {
    /// These calls, by the API. Without ids the options below choose, in the database (DATABASE_URL).
    ids: Vec<String>,
    /// Calls of this tenant.
    #[arg(long, conflicts_with = "ids")]
    tenant: Option<String>,
    /// Calls of this user, by id, external id or e-mail address.
    #[arg(long, conflicts_with = "ids")]
    user: Option<String>,
    /// Calls of the last hours (`36h`) or days (`7d`).
    #[arg(long, conflicts_with = "ids", value_parser = age)]
    since: Option<Duration>,
    /// Calls that are COMPLETED, FAILED or CANCELLED.
    #[arg(long, conflicts_with = "ids")]
    status: Option<String>,
    /// Calls whose transcript was made by an older NORMALIZATION_VERSION than this.
    #[arg(long, conflicts_with = "ids")]
    normalization_below: Option<i32>,
    /// Buy everything again instead of reusing what is paid for.
    #[arg(long)]
    force_paid: bool,
    /// Print what it would take, and change nothing.
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
    /// Most new runs begun in a second; workers take them behind live calls anyway.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
}

impl ReprocessArguments {
    fn filter(&self) -> Result<CallFilter, Failure> {
        let status = self.status.as_deref().map(str::to_ascii_uppercase);
        if status.as_deref().is_some_and(|s| !STATUSES.contains(&s)) {
            return Err(Failure::new(Failure::USAGE, format!("--status is one of {}", STATUSES.join(", "))));
        }
        let filter = CallFilter {
            tenant: self.tenant.clone(),
            user: self.user.clone(),
            since: self.since.map(|age| Utc::now() - age),
            status,
            normalization_below: self.normalization_below,
        };
        if filter.is_empty() {
            let words = "nothing is chosen: name calls, or use --tenant, --user, --since, --status or --normalization-below";
            return Err(Failure::new(Failure::USAGE, words));
        }
        Ok(filter)
    }
}

pub(crate) async fn reprocess(
    api: impl Fn() -> Result<Api, Failure>,
    output: &Output,
    arguments: ReprocessArguments,
) -> Result<u8, Failure> {
    if !arguments.ids.is_empty() {
        let wish = Order::Reprocess { force_paid: arguments.force_paid };
        return order(&api()?, output, wish, &arguments.ids).await;
    }
    let filter = arguments.filter()?;
    let config = Config::from_env(&ProcessEnv).map_err(|e| Failure::new(Failure::USAGE, e.to_string()))?;
    let store = own_store(&config, "scryon-reprocess", Duration::from_secs(120))?;
    let plan = store.reprocess_plan(&filter).await.map_err(Failure::from_store)?;
    show(output, &plan, arguments.force_paid)?;
    if arguments.dry_run || plan.calls == 0 {
        return Ok(0);
    }
    let (mut begun, mut last) = (0, None);
    loop {
        let calls = store.reprocess_next(&filter, last.as_ref(), BATCH).await.map_err(Failure::from_store)?;
        let Some(end) = calls.last() else { break };
        last = Some(end.clone());
        begun += store.reprocess_begin(&calls, arguments.force_paid).await.map_err(Failure::from_store)?;
        output.note(&format!("{begun} of {} begun", plan.calls));
        // A stop between two batches leaves whole runs only, and the same command goes on.
        tokio::time::sleep(Duration::from_secs_f64(calls.len() as f64 / f64::from(arguments.rate))).await;
    }
    if output.is_json() { output.line(&json!({ "begun": begun }).to_string()) } else { Ok(0) }
}

fn show(output: &Output, plan: &Plan, force: bool) -> Result<u8, Failure> {
    if output.is_json() {
        return output.line(&json!(plan).to_string());
    }
    let speech = if force { plan.speech_cost } else { 0.0 };
    let saved = if force { 0.0 } else { plan.speech_cost };
    for (label, value) in [
        ("calls", plan.calls.to_string()),
        ("  with audio", plan.with_audio.to_string()),
        ("  rebuilt from what was heard", plan.rebuilt.to_string()),
        ("  kept as they are", plan.kept.to_string()),
        ("  without anything: will fail", plan.lost.to_string()),
        ("minutes of audio", format!("{:.0}", plan.audio_minutes)),
        ("speech, bought again", dollars(speech)),
        ("speech, reused", dollars(saved)),
        ("analyses, as billed before", dollars(plan.analysis_cost)),
        ("to be spent, about", dollars(speech + plan.analysis_cost)),
    ] {
        output.line(&format!("{label:<32} {value:>12}"))?;
    }
    Ok(0)
}
