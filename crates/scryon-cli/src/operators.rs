//! Hands on the wheel: pauses, throttles, flags, keys, sweeps, dead letters, and what was changed by whom.

use std::time::Duration;

use chrono::Utc;
use clap::{Args, Subcommand};
use scryon_operations::{Operation, ProviderWord};
use serde_json::Value;
use uuid::Uuid;

use crate::costs::{age, dollars};
use crate::desk::Desk;
use crate::output::{Failure, Output, text};

/// How long a sweep that was asked for is waited for.
const SWEEP_PATIENCE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(500);

#[derive(Subcommand)]
pub(crate) enum OperatorCommand {
    /// Keep work back: its messages and rows wait where they are, and nothing counts as stuck.
    Pause {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        word: Word,
    },
    /// Let paused work go on.
    Resume {
        #[command(flatten)]
        what: What,
    },
    /// Take fewer uploads: those above the limit get 429 with Retry-After, and nothing of them is kept.
    Throttle {
        /// Uploads a minute that each API process takes; 0 takes none.
        #[arg(long, required_unless_present = "off")]
        per_minute: Option<u32>,
        /// Only of this tenant; without it of all together.
        #[arg(long, default_value = "*")]
        tenant: String,
        /// Take the limit back.
        #[arg(long, conflicts_with = "per_minute")]
        off: bool,
        /// For this long (`15m`, `2h`, `1d`); without it until it is taken back.
        #[arg(long = "for", value_parser = age)]
        period: Option<Duration>,
        /// Why, for those who read it later.
        #[arg(long, required_unless_present = "off")]
        reason: Option<String>,
    },
    /// Show what is paused, limited, flagged and logged more of now.
    Switches,
    /// See and set feature flags: `analysis`, `voice_embedding`.
    #[command(subcommand)]
    Flags(FlagCommand),
    /// Log more of some parts for a while, in every program.
    LogLevel {
        /// For example `provider=debug` or `scryon_store=trace`.
        #[arg(required_unless_present = "reset")]
        directive: Option<String>,
        /// For this long.
        #[arg(long = "for", value_parser = age, default_value = "15m")]
        period: Duration,
        /// Why, for those who read it later.
        #[arg(long, default_value = "looking for a cause")]
        reason: String,
        /// Log as the programs were started.
        #[arg(long, conflicts_with = "directive")]
        reset: bool,
    },
    /// See who uses which key; make and end keys of tenants.
    #[command(subcommand)]
    Keys(KeyCommand),
    /// Run the slow sweeps now (expired audio, objects of deleted calls, stale calls) and print what they did.
    Sweep,
    /// List calls that nobody will go on with by themselves, and what to do.
    Stuck,
    /// See messages that nobody could use, and announce anew what they were about.
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Show what changed: starts with their settings, migrations, switches, flags, keys, providers.
    Changes {
        /// Of the last minutes (`90m`), hours (`2h`) or days (`7d`).
        #[arg(long, value_parser = age, default_value = "2h")]
        since: Duration,
    },
    /// Show whom an incident touched: calls by tenant and status, minutes, money.
    Impact {
        /// It began this long ago.
        #[arg(long, value_parser = age)]
        since: Duration,
        /// It ended this long ago; without it, it has not.
        #[arg(long, value_parser = age)]
        until: Option<Duration>,
    },
    /// Show which operator did what, and why.
    Audit {
        /// Most lines.
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
}

/// What is kept back; one of them.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct What {
    /// A stage: preprocessing, transcription, diarization, assembly, analysis.
    #[arg(long)]
    stage: Option<String>,
    /// A lane: live, backfill.
    #[arg(long)]
    lane: Option<String>,
    /// New runs of a tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Requests to an engine's provider; `llm` is the language model.
    #[arg(long)]
    engine: Option<String>,
}

impl What {
    /// `Err`: an engine.
    fn target(self) -> Result<String, String> {
        match (self.stage, self.lane, self.tenant, self.engine) {
            (Some(stage), ..) => Ok(format!("stage:{stage}")),
            (_, Some(lane), ..) => Ok(format!("lane:{lane}")),
            (_, _, Some(tenant), _) => Ok(format!("tenant:{tenant}")),
            (.., engine) => Err(engine.unwrap_or_default()),
        }
    }
}

#[derive(Args)]
pub(crate) struct Word {
    /// For this long (`15m`, `2h`, `1d`); without it until it is taken back.
    #[arg(long = "for", value_parser = age)]
    period: Option<Duration>,
    /// Why, for those who read it later.
    #[arg(long)]
    reason: String,
}

#[derive(Subcommand)]
pub(crate) enum FlagCommand {
    List,
    /// Say yes or no, without a restart. What is off by configuration stays off.
    Set {
        name: String,
        #[arg(value_parser = ["on", "off"])]
        value: String,
        #[command(flatten)]
        word: Word,
    },
    /// Leave it to the configuration again.
    Clear {
        name: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Keys of tenants, and uses of all keys, those of SCRYON_API_KEY among them.
    List,
    /// Make a key; it is printed once and kept nowhere.
    Create {
        #[arg(long, default_value = "default")]
        tenant: String,
        /// What it is for.
        #[arg(long)]
        label: String,
        /// What it may do besides acting for itself: `admin`.
        #[arg(long = "scope")]
        scopes: Vec<String>,
    },
    /// End a key.
    Revoke {
        id: Uuid,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum DeadCommand {
    List,
    /// Announce anew what these letters were about.
    Redrive {
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// All that were not redriven yet and whose call is under way.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

fn seconds(period: Option<Duration>) -> Option<u64> {
    period.map(|p| p.as_secs())
}

pub(crate) async fn operate(desk: &Desk, output: &Output, command: OperatorCommand) -> Result<u8, Failure> {
    match command {
        OperatorCommand::Pause { what, word } => {
            let Word { period, reason } = word;
            let order = match what.target() {
                Ok(target) => Operation::Pause { target, seconds: seconds(period), reason },
                Err(engine) => Operation::Provider {
                    engine,
                    word: ProviderWord::Disable,
                    seconds: seconds(period),
                    reason: Some(reason),
                },
            };
            switched(output, &desk.order(order).await?)
        }
        OperatorCommand::Resume { what } => {
            let order = match what.target() {
                Ok(target) => Operation::Resume { target },
                Err(engine) => {
                    Operation::Provider { engine, word: ProviderWord::Enable, seconds: None, reason: None }
                }
            };
            switched(output, &desk.order(order).await?)
        }
        OperatorCommand::Throttle { per_minute, tenant, period, reason, .. } => {
            let order = match per_minute {
                Some(per_minute) => Operation::Throttle {
                    tenant,
                    per_minute,
                    seconds: seconds(period),
                    reason: reason.unwrap_or_default(),
                },
                None => Operation::Unthrottle { tenant },
            };
            switched(output, &desk.order(order).await?)
        }
        OperatorCommand::Switches => switched(output, &desk.order(Operation::Switches {}).await?),
        OperatorCommand::Flags(command) => flags(desk, output, command).await,
        OperatorCommand::LogLevel { directive, period, reason, .. } => {
            let order = match directive {
                Some(directive) => Operation::LogLevel {
                    directive: spelled_out(&directive),
                    seconds: period.as_secs(),
                    reason,
                },
                None => Operation::ResetLogLevel {},
            };
            switched(output, &desk.order(order).await?)
        }
        OperatorCommand::Keys(command) => keys(desk, output, command).await,
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

/// Each element of a list as a line.
fn lines(
    output: &Output,
    list: &Value,
    nothing: &str,
    line: impl Fn(&Value) -> String,
) -> Result<u8, Failure> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    for element in list {
        output.line(&if output.is_json() { element.to_string() } else { line(element) })?;
    }
    if list.is_empty() {
        output.note(nothing);
    }
    Ok(0)
}

fn switched(output: &Output, answer: &Value) -> Result<u8, Failure> {
    if answer["circuits"].is_array() {
        return lines(output, &answer["circuits"], "no provider has failed or was switched", |circuit| {
            let forced = circuit["forced"].as_str();
            let word = match forced {
                Some("open") => "paused",
                Some(_) => "asked whatever it answers",
                None => "asked by what it answers",
            };
            format!("engine     {:<28} {word}{}", text(&circuit["engine"]), tail(circuit, "forcedReason"))
        });
    }
    lines(output, &answer["switches"], "nothing is switched", |switch| {
        let value = switch["value"].as_str().map(|v| format!(" {v}")).unwrap_or_default();
        let left = switch["secondsLeft"].as_f64();
        let left = left.map_or(" until it is taken back".to_owned(), |s| format!(" for {s:.0} s"));
        format!(
            "{:<10} {:<28}{value}{left} by {}{}",
            text(&switch["kind"]),
            text(&switch["target"]),
            text(&switch["actor"]),
            tail(switch, "reason")
        )
    })
}

fn tail(value: &Value, field: &str) -> String {
    value[field].as_str().map(|reason| format!(": {reason}")).unwrap_or_default()
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
    ] {
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

fn stuck_line(call: &Value) -> String {
    format!(
        "{}  {:<12} {:<14} {:<22} since {}  {}",
        text(&call["id"]),
        text(&call["status"]),
        call["stage"].as_str().unwrap_or("-"),
        text(&call["reason"]),
        text(&call["since"]),
        text(&call["advice"])
    )
}

fn change_line(change: &Value) -> String {
    let details = &change["details"];
    let words = match change["kind"].as_str() {
        Some("start") => {
            let changed: Vec<String> = details["changed"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, c)| format!("{name}: {} -> {}", text(&c["before"]), text(&c["after"])))
                .collect();
            format!("version {}  {}", text(&details["version"]), changed.join("  "))
        }
        Some("switch" | "flag") => {
            let row = if details["after"].is_null() { &details["before"] } else { &details["after"] };
            let word = if details["after"].is_null() { "taken back" } else { "set" };
            let name = row["target"].as_str().or(row["name"].as_str()).unwrap_or("-");
            let value = row.get("value").or(row.get("enabled")).filter(|v| !v.is_null()).map(text);
            let value = value.map(|v| format!(" {v}")).unwrap_or_default();
            format!("{name}{value} {word} by {}{}", text(&row["actor"]), tail(row, "reason"))
        }
        _ => details.to_string(),
    };
    format!(
        "{}  {:<10} {:<28} {words}",
        text(&change["at"]),
        text(&change["kind"]),
        change["program"].as_str().unwrap_or("-")
    )
    .trim_end()
    .to_owned()
}

fn impact_line(impact: &Value) -> String {
    format!(
        "{:<20} {:<12} {:<24} {:>8} calls {:>9.1} minutes {:>12}",
        text(&impact["tenantId"]),
        text(&impact["status"]),
        impact["errorReason"].as_str().unwrap_or("-"),
        text(&impact["calls"]),
        impact["audioMinutes"].as_f64().unwrap_or_default(),
        dollars(impact["billed"].as_f64().unwrap_or_default())
    )
}

fn audit_line(line: &Value) -> String {
    format!(
        "{}  {:<24} {:<16} {}{}",
        text(&line["at"]),
        text(&line["actor"]),
        text(&line["action"]),
        line["target"].as_str().unwrap_or("-"),
        tail(line, "reason")
    )
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
