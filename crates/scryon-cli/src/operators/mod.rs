//! Hands on the wheel: pauses, throttles, flags, keys, sweeps, dead letters, and what was changed by whom.

mod arguments;
mod print;
mod secrets;

use std::time::Duration;

use chrono::Utc;
use scryon_operations::{Operation, ProviderWord};
use serde_json::Value;

pub(crate) use crate::operators::arguments::OperatorCommand;

use crate::desk::Desk;
use crate::operators::arguments::{DeadCommand, FlagCommand, KeyCommand, Word};
use crate::operators::print::{audit_line, change_line, impact_line, lines, stuck_line, switched};
use crate::output::{Failure, Output, text};

/// How long a sweep that was asked for is waited for.
const SWEEP_PATIENCE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(500);

fn seconds(period: Option<Duration>) -> Option<u64> {
    period.map(|p| p.as_secs())
}

pub(crate) async fn operate(desk: &Desk, output: &Output, command: OperatorCommand) -> Result<u8, Failure> {
    match command {
        OperatorCommand::Pause { .. }
        | OperatorCommand::Resume { .. }
        | OperatorCommand::Throttle { .. }
        | OperatorCommand::LogLevel { .. } => switched(output, &desk.order(switch(command)).await?),
        OperatorCommand::Switches => switched(output, &desk.order(Operation::Switches {}).await?),
        OperatorCommand::Flags(command) => flags(desk, output, command).await,
        OperatorCommand::Keys(command) => keys(desk, output, command).await,
        OperatorCommand::Secrets(command) => secrets::secrets(desk, output, command).await,
        OperatorCommand::Sweep => sweep(desk, output).await,
        OperatorCommand::Stuck => {
            let answer = desk.order(Operation::Stuck {}).await?;
            lines(output, &answer["calls"], "no call is stuck", stuck_line)
        }
        OperatorCommand::Dead(command) => dead(desk, output, command).await,
        OperatorCommand::Changes { since } => {
            let answer = desk.order(Operation::Changes { since: Utc::now() - since }).await?;
            lines(output, &answer["changes"], "nothing changed", change_line)
        }
        OperatorCommand::Impact { since, until } => {
            let now = Utc::now();
            let order = Operation::Impact { since: now - since, until: until.map(|age| now - age) };
            let answer = desk.order(order).await?;
            lines(output, &answer["impact"], "no call was touched", impact_line)
        }
        OperatorCommand::Audit { limit } => {
            let answer = desk.order(Operation::AuditLog { page: 0, size: limit }).await?;
            lines(output, &answer["content"], "no operator did anything", audit_line)
        }
    }
}

/// The order behind a switch.
fn switch(command: OperatorCommand) -> Operation {
    match command {
        OperatorCommand::Pause { what, word: Word { period, reason } } => match what.target() {
            Ok(target) => Operation::Pause { target, seconds: seconds(period), reason },
            Err(engine) => {
                let (word, reason) = (ProviderWord::Disable, Some(reason));
                Operation::Provider { engine, word, seconds: seconds(period), reason }
            }
        },
        OperatorCommand::Resume { what } => match what.target() {
            Ok(target) => Operation::Resume { target },
            Err(engine) => {
                Operation::Provider { engine, word: ProviderWord::Enable, seconds: None, reason: None }
            }
        },
        OperatorCommand::Throttle { per_minute: Some(per_minute), tenant, period, reason, .. } => {
            let reason = reason.unwrap_or_default();
            Operation::Throttle { tenant, per_minute, seconds: seconds(period), reason }
        }
        OperatorCommand::Throttle { tenant, .. } => Operation::Unthrottle { tenant },
        OperatorCommand::LogLevel { directive: Some(directive), period, reason, .. } => {
            Operation::LogLevel { directive: spelled_out(&directive), seconds: period.as_secs(), reason }
        }
        OperatorCommand::LogLevel { .. } => Operation::ResetLogLevel {},
        _ => Operation::Switches {},
    }
}

/// Names of crates begin alike; operators need not type that.
fn spelled_out(directive: &str) -> String {
    match directive.split_once('=') {
        Some((name, level)) if !name.starts_with("scryon_") => {
            let name = name.strip_suffix('s').unwrap_or(name);
            let name = if name == "provider" { "providers" } else { name };
            format!("scryon_{name}={level}")
        }
        _ => directive.to_owned(),
    }
}

async fn flags(desk: &Desk, output: &Output, command: FlagCommand) -> Result<u8, Failure> {
    let mut answer = match command {
        FlagCommand::List => desk.order(Operation::Switches {}).await?,
        FlagCommand::Set { name, value, word } => {
            let (enabled, seconds) = (value == "on", seconds(word.period));
            desk.order(Operation::Flag { name, enabled, seconds, reason: word.reason }).await?
        }
        FlagCommand::Clear { name } => desk.order(Operation::ClearFlag { name }).await?,
    };
    if let Some(switches) = answer["switches"].as_array_mut() {
        switches.retain(|switch| switch["kind"] == "flag");
    }
    switched(output, &answer)
}

async fn keys(desk: &Desk, output: &Output, command: KeyCommand) -> Result<u8, Failure> {
    match command {
        KeyCommand::List => {
            let answer = desk.order(Operation::Keys {}).await?;
            if output.is_json() {
                return output.line(&answer.to_string());
            }
            lines(output, &answer["keys"], "no tenant has a key", |key| {
                let state = if key["revokedAt"].is_null() { "holds" } else { "ended" };
                let scopes: Vec<&str> =
                    key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                format!(
                    "{}  {}  {state}  tenant {}  {}  {}",
                    text(&key["id"]),
                    text(&key["key"]),
                    text(&key["tenantId"]),
                    text(&key["label"]),
                    scopes.join(",")
                )
            })?;
            lines(output, &answer["uses"], "no key was used", |used| {
                format!(
                    "{}  {:>8} uses by {:<20} last {}",
                    text(&used["key"]),
                    text(&used["uses"]),
                    text(&used["client"]),
                    text(&used["lastSeen"])
                )
            })
        }
        KeyCommand::Create { tenant, label, scopes } => {
            let key = desk.order(Operation::CreateKey { tenant, label, scopes }).await?;
            output.note("This is the only time that the key is shown.");
            output.line(&if output.is_json() { key.to_string() } else { text(&key["secret"]) })
        }
        KeyCommand::Revoke { id, reason } => {
            let answer = desk.order(Operation::RevokeKey { id, reason }).await?;
            output.line(&if output.is_json() { answer.to_string() } else { format!("{id}  ended") })
        }
    }
}

async fn sweep(desk: &Desk, output: &Output) -> Result<u8, Failure> {
    let mut state = desk.order(Operation::Sweep {}).await?;
    let asked = std::time::Instant::now();
    while state["done"] != true {
        if asked.elapsed() > SWEEP_PATIENCE || (state["led"] != true && asked.elapsed() > LOOK * 24) {
            let words = if state["led"] == true {
                "the sweep is not over yet; it goes on by itself"
            } else {
                "no sweeper runs: the sweep is noted and begins when scryon-sweeper is started"
            };
            return Err(Failure::new(Failure::UNAVAILABLE, words));
        }
        tokio::time::sleep(LOOK).await;
        state = desk.order(Operation::SweepState {}).await?;
    }
    let result = &state["result"];
    if output.is_json() {
        return output.line(&result.to_string());
    }
    for (field, label) in [
        ("audioExpired", "recordings past their time"),
        ("objectsDeleted", "objects deleted"),
        ("staleCalls", "stale calls failed"),
        ("hold", "nothing was deleted: hold of"),
    ] {
        if result[field].is_null() {
            continue;
        }
        output.line(&format!("{label:<28} {:>8}", text(&result[field])))?;
    }
    Ok(0)
}

async fn dead(desk: &Desk, output: &Output, command: DeadCommand) -> Result<u8, Failure> {
    let letters = desk.order(Operation::DeadLetters {}).await?;
    let ids = match command {
        DeadCommand::List => {
            return lines(output, &letters["letters"], "no message is dead", |letter| {
                let redriven = if letter["redrivenAt"].is_null() { "" } else { "  redriven" };
                format!(
                    "{:>6}  {}  {:<36} {:<14} call {} {}{redriven}",
                    text(&letter["id"]),
                    text(&letter["diedAt"]),
                    letter["queue"].as_str().unwrap_or("-"),
                    letter["reason"].as_str().unwrap_or("-"),
                    letter["callId"].as_str().unwrap_or("-"),
                    letter["callStatus"].as_str().unwrap_or("")
                )
                .trim_end()
                .to_owned()
            });
        }
        DeadCommand::Redrive { all: true, .. } => letters["letters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|l| l["redrivenAt"].is_null() && !l["callStatus"].is_null())
            .filter_map(|l| l["id"].as_i64())
            .collect(),
        DeadCommand::Redrive { ids, .. } => ids,
    };
    let answer = desk.order(Operation::Redrive { ids }).await?;
    if output.is_json() {
        return output.line(&answer.to_string());
    }
    output.line(&format!(
        "{} letters: {} rows are announced within a second",
        text(&answer["letters"]),
        text(&answer["announced"])
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn short_names_of_parts_are_spelled_out() {
        for (typed, expected) in [
            ("provider=debug", "scryon_providers=debug"),
            ("providers=debug", "scryon_providers=debug"),
            ("store=trace", "scryon_store=trace"),
            ("scryon_queue=debug", "scryon_queue=debug"),
            ("debug", "debug"),
        ] {
            assert_eq!(spelled_out(typed), expected);
        }
    }

    #[test]
    fn a_change_says_who_and_why() {
        let change = json!({"at": "t", "kind": "switch", "program": "scryon", "details": {"before": null,
            "after": {"kind": "throttle", "target": "acme", "value": "5", "actor": "direct:ops", "reason": "flood"}}});
        assert!(
            change_line(&change).ends_with("acme 5 set by direct:ops: flood"),
            "{}",
            change_line(&change)
        );
    }
}
