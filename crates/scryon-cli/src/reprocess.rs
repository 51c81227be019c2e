//! `scryon reprocess` with a filter: a plan first, then new runs in batches.

use std::time::{Duration, Instant};

use chrono::Utc;
use clap::Args;
use scryon_domain::transcript::NORMALIZATION_VERSION;
use scryon_operations::{After, Operation};
use scryon_store::CallFilter;
use serde_json::{Value, json};

use crate::api::Api;
use crate::controls::{Order, order};
use crate::costs::{age, dollars};
use crate::desk::Desk;
use crate::output::{Failure, Output, text};
use crate::pace::Pace;

/// Most calls of one statement, and the seconds that it is for: many at once would be a wave in everybody's way.
const BATCH: f64 = 200.0;
const BATCH_SECONDS: f64 = 0.2;
/// Between two looks at how workers follow.
const LOOK_SECONDS: f64 = 1.0;
/// Calls between two lines of progress.
const TOLD: u64 = 100;
const STATUSES: [&str; 3] = ["COMPLETED", "FAILED", "CANCELLED"];

#[derive(Args)]
pub(crate) struct ReprocessArguments {
    /// These calls, by the API. Without ids the options below choose.
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
    /// Calls whose transcript was made by an older NORMALIZATION_VERSION than this: a number, or `assembly-` and it.
    #[arg(long, conflicts_with = "ids", value_parser = normalization_version)]
    normalization_below: Option<i32>,
    /// Buy everything again instead of reusing what is paid for.
    #[arg(long)]
    force_paid: bool,
    /// Begin at this stage: `analysis` leaves the transcripts as they are.
    #[arg(long, conflicts_with_all = ["ids", "force_paid"], value_parser = ["analysis"])]
    stages: Option<String>,
    /// Print what it would take, and change nothing.
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
    /// Most new runs begun in a second; fewer where workers do not follow.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Begin as many as `--rate` says, whether workers follow or not.
    #[arg(long, conflicts_with = "ids")]
    eager: bool,
}

/// Runs below a version that nobody makes yet would be runs for nothing, again and again.
fn normalization_version(text: &str) -> Result<i32, String> {
    let number = text.strip_prefix("assembly-").unwrap_or(text);
    let version: u32 = number.parse().map_err(|_e| "a number, such as 2 or assembly-2".to_owned())?;
    if version > NORMALIZATION_VERSION {
        return Err(format!("this release makes version {NORMALIZATION_VERSION}"));
    }
    i32::try_from(version).map_err(|e| e.to_string())
}

impl ReprocessArguments {
    const fn analysis_only(&self) -> bool {
        self.stages.is_some()
    }

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
    desk: impl Fn() -> Result<Desk, Failure>,
    output: &Output,
    arguments: ReprocessArguments,
) -> Result<u8, Failure> {
    if !arguments.ids.is_empty() {
        let wish = Order::Reprocess { force_paid: arguments.force_paid };
        return order(&api()?, output, wish, &arguments.ids).await;
    }
    let filter = arguments.filter()?;
    let desk = desk()?;
    let plan = desk.order(Operation::ReprocessPlan { filter: filter.clone() }).await?;
    show(output, &plan, &arguments)?;
    let calls = plan["calls"].as_u64().unwrap_or_default();
    if arguments.dry_run || calls == 0 {
        return Ok(0);
    }
    let begun = begin(&desk, output, &arguments, &filter, calls).await?;
    if output.is_json() { output.line(&json!({ "begun": begun }).to_string()) } else { Ok(0) }
}

/// Begins the runs, a few at a time; gives how many. A stop between two batches leaves whole runs only, and the same
/// command goes on.
async fn begin(
    desk: &Desk,
    output: &Output,
    arguments: &ReprocessArguments,
    filter: &CallFilter,
    calls: u64,
) -> Result<u64, Failure> {
    let mut pace = Pace::up_to(f64::from(arguments.rate));
    let started = Instant::now();
    let (mut begun, mut after, mut due, mut looked, mut told) = (0, None, 0.0, 0.0, 0);
    loop {
        let now = started.elapsed().as_secs_f64();
        if !arguments.eager && now - looked >= LOOK_SECONDS {
            looked = now;
            let backfill = desk.order(Operation::Backfill {}).await?;
            let seen = serde_json::from_value(backfill)
                .map_err(|e| Failure::new(Failure::UNAVAILABLE, e.to_string()))?;
            pace.see(now, seen);
        }
        let rate = if arguments.eager { f64::from(arguments.rate) } else { pace.rate() };
        let batch = (rate * BATCH_SECONDS).clamp(1.0, BATCH).floor();
        let order = Operation::Reprocess {
            filter: filter.clone(),
            after,
            limit: batch as i64,
            force_paid: arguments.force_paid,
            analysis_only: arguments.analysis_only(),
        };
        let answer = desk.order(order).await?;
        let Ok(next) = serde_json::from_value::<After>(answer["next"].clone()) else { break };
        after = Some(next);
        let some = answer["begun"].as_u64().unwrap_or_default();
        begun += some;
        if begun - told >= TOLD || begun >= calls {
            told = begun;
            output.note(&format!("{begun} of {calls} begun, {rate:.0} a second"));
        }
        let now = started.elapsed().as_secs_f64();
        due = f64::max(due, now) + some as f64 / rate;
        tokio::time::sleep(Duration::from_secs_f64(due - now)).await;
    }
    Ok(begun)
}

fn show(output: &Output, plan: &Value, arguments: &ReprocessArguments) -> Result<u8, Failure> {
    if output.is_json() {
        return output.line(&plan.to_string());
    }
    let money = |field: &str| plan[field].as_f64().unwrap_or_default();
    let (bought, reused) = match arguments.force_paid {
        true => (money("speechCost"), 0.0),
        false => (0.0, money("speechCost")),
    };
    let minutes = plan["audioMinutes"].as_f64().unwrap_or_default();
    let calls = plan["calls"].as_f64().unwrap_or_default();
    let mut lines = vec![("calls", text(&plan["calls"]))];
    if !arguments.analysis_only() {
        lines.extend([
            ("  with audio", text(&plan["withAudio"])),
            ("  rebuilt from what was heard", text(&plan["rebuilt"])),
            ("  kept as they are", text(&plan["kept"])),
            ("  without anything: will fail", text(&plan["lost"])),
            ("speech, bought again", dollars(bought)),
            ("speech, reused", dollars(reused)),
        ]);
    }
    lines.extend([
        ("minutes of audio", format!("{minutes:.0}")),
        ("analyses, as billed before", dollars(money("analysisCost"))),
        ("to be spent, about", dollars(bought + money("analysisCost"))),
        ("to be begun within, at best", format!("{:.0} s", (calls / f64::from(arguments.rate)).ceil())),
    ]);
    for (label, value) in lines {
        output.line(&format!("{label:<32} {value:>12}"))?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_and_no_later_than_the_release() {
        assert_eq!(normalization_version("1"), Ok(1));
        assert_eq!(normalization_version("assembly-1"), Ok(1));
        let beyond = (NORMALIZATION_VERSION + 1).to_string();
        assert!(normalization_version(&beyond).unwrap_err().contains("this release"));
        for wrong in ["", "-1", "assembly-", "v1"] {
            assert!(normalization_version(wrong).is_err(), "{wrong}");
        }
    }
}
