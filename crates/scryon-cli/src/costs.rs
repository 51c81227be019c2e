//! `scryon costs`: which engine did what for a call and what it cost, or what tenants bought.

use std::time::Duration;

use clap::Args;
use scryon_config::{Config, ProcessEnv};
use serde_json::Value;

use crate::api::Api;
use crate::output::{Failure, Output, text};
use crate::own_store;

#[derive(Args)]
pub(crate) struct CostsArguments {
    /// The call. Without one, totals by tenant and engine are read from the database (DATABASE_URL).
    id: Option<String>,
    /// Totals of the last hours (`36h`) or days (`7d`).
    #[arg(long, default_value = "30d", value_parser = age)]
    since: Duration,
    /// Totals of this tenant alone.
    #[arg(long)]
    tenant: Option<String>,
}

/// Hours (`36h`) or days (`7d`).
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3_600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => (text, 3_600),
    };
    let number = number.parse::<u32>().map(|n| Duration::from_secs(u64::from(n) * unit));
    number.map_err(|_e| "is no number of minutes (15m), hours (36h) or days (7d)".to_owned())
}

pub(crate) async fn costs(
    api: impl Fn() -> Result<Api, Failure>,
    output: &Output,
    arguments: CostsArguments,
) -> Result<u8, Failure> {
    match &arguments.id {
        Some(id) => {
            let api = api()?;
            of_call(output, &api.costs(id).await?, &api.call(id).await?)
        }
        None => of_tenants(output, &arguments).await,
    }
}

/// A line for each stage, and below it the requests that were paid for it.
fn of_call(output: &Output, costs: &Value, call: &Value) -> Result<u8, Failure> {
    if output.is_json() {
        return output.line(&costs.to_string());
    }
    let items = costs["items"].as_array().cloned().unwrap_or_default();
    for stage in call["stages"].as_array().into_iter().flatten() {
        let engine = stage["engine"].as_str().or(stage["skipReason"].as_str()).unwrap_or("-");
        let bought: Vec<&Value> = items.iter().filter(|item| item["stage"] == stage["stage"]).collect();
        let price = match (bought.is_empty(), stage["skipReason"].as_str()) {
            (_, Some("reused")) => "reused: paid for before",
            (true, _) => "free",
            (false, _) => "",
        };
        output.line(format!("{:<14} {engine:<20} {price}", text(&stage["stage"])).trim_end())?;
        for item in bought {
            let units = item["units"].as_f64().map(|n| {
                let unit = item["unit"].as_str().unwrap_or_default().replace('_', " ");
                format!("{n:.0} {unit}")
            });
            let cost = item["billedCost"].as_f64().map_or("-".to_owned(), dollars);
            let model = item["model"].as_str().unwrap_or("-");
            output.line(&format!(
                "  {:<12} {:<20} {:<10} {:<10} {:>20} {cost:>12}",
                text(&item["engine"]),
                model,
                text(&item["cause"]),
                text(&item["state"]),
                units.unwrap_or_default(),
            ))?;
        }
    }
    output.line(&format!("total {}", dollars(costs["billed"].as_f64().unwrap_or_default())))
}

/// Calls cost fractions of a cent.
pub(crate) fn dollars(amount: f64) -> String {
    format!("${amount:.6}")
}

async fn of_tenants(output: &Output, arguments: &CostsArguments) -> Result<u8, Failure> {
    let config = Config::from_env(&ProcessEnv).map_err(|e| Failure::new(Failure::USAGE, e.to_string()))?;
    let store = own_store(&config, "scryon-costs", Duration::from_secs(60))?;
    let rows = store
        .tenant_costs(arguments.since, arguments.tenant.as_deref())
        .await
        .map_err(Failure::from_store)?;
    if rows.is_empty() {
        output.note("nothing was bought");
    }
    let mut total = 0.0;
    for row in &rows {
        if output.is_json() {
            let line =
                serde_json::to_string(row).map_err(|e| Failure::new(Failure::STOPPED, e.to_string()))?;
            output.line(&line)?;
            continue;
        }
        total += row.billed_cost;
        output.line(&format!(
            "{:<12} {:<14} {:<12} {:<20} {:>8} bought {:>5} again {:>5} unsettled {:>14}",
            row.tenant,
            row.stage,
            row.engine,
            row.model.as_deref().unwrap_or("-"),
            row.purchases,
            row.bought_again,
            row.unsettled,
            dollars(row.billed_cost)
        ))?;
    }
    if output.is_json() || rows.is_empty() {
        Ok(0)
    } else {
        output.line(&format!("total {}", dollars(total)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_hours_or_days() {
        assert_eq!(age("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(age("36h"), Ok(Duration::from_secs(129_600)));
        assert_eq!(age("2"), Ok(Duration::from_secs(7_200)));
        for wrong in ["", "d", "-1d", "a week", "1.5h"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
