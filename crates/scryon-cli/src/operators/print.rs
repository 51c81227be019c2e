//! What operators read: one line per thing, or one JSON document per line.

use serde_json::Value;

use crate::costs::dollars;
use crate::output::{Failure, Output, text};

/// Each element of a list as a line.
pub(super) fn lines(
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

pub(super) fn switched(output: &Output, answer: &Value) -> Result<u8, Failure> {
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

pub(super) fn tail(value: &Value, field: &str) -> String {
    value[field].as_str().map(|reason| format!(": {reason}")).unwrap_or_default()
}

pub(super) fn stuck_line(call: &Value) -> String {
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

pub(super) fn change_line(change: &Value) -> String {
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

pub(super) fn impact_line(impact: &Value) -> String {
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

pub(super) fn audit_line(line: &Value) -> String {
    format!(
        "{}  {:<24} {:<16} {}{}",
        text(&line["at"]),
        text(&line["actor"]),
        text(&line["action"]),
        line["target"].as_str().unwrap_or("-"),
        tail(line, "reason")
    )
}
