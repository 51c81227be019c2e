//! Orders to calls, and their logs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::Api;
use crate::output::{Failure, Output, text};

const LOOK: Duration = Duration::from_secs(1);

/// What is done with each call of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Cancel,
    Reprocess { force_paid: bool },
    Reanalyze,
    Delete,
}

/// Gives the order to each call. One that is refused does not keep it from the others; the last refusal decides
/// the exit code.
pub(crate) async fn order(api: &Api, output: &Output, order: Order, ids: &[String]) -> Result<u8, Failure> {
    let mut refused = None;
    for id in ids {
        let done = match order {
            Order::Cancel => api.order(id, "cancel", None).await,
            Order::Reprocess { force_paid } => {
                api.order(id, "reprocess", Some(json!({ "forcePaid": force_paid }))).await
            }
            Order::Reanalyze => api.order(id, "reanalyze", None).await,
            Order::Delete => api.delete(id).await.map(|()| json!({"id": id, "status": "DELETED"})),
        };
        match done {
            Ok(call) if output.is_json() => output.line(&call.to_string())?,
            Ok(call) => output.line(&format!("{id}  {}", text(&call["status"])))?,
            Err(failure) => {
                output.note(&format!("{id}: {}", failure.message));
                refused = Some(failure);
                0
            }
        };
    }
    refused.map_or(Ok(0), Err)
}

/// Prints a call's log; with `follow` until the call is over.
pub(crate) async fn events(api: &Api, output: &Output, id: &str, follow: bool) -> Result<u8, Failure> {
    let mut seen = 0;
    loop {
        // Final before the lines are read: what was written until then is among them.
        let status = text(&api.call(id).await?["status"]);
        let events = api.events(id).await?;
        for event in events.iter().filter(|event| event["id"].as_i64() > Some(seen)) {
            output.line(&if output.is_json() { event.to_string() } else { line(event) })?;
        }
        seen = events.iter().filter_map(|event| event["id"].as_i64()).max().unwrap_or(seen);
        if !follow || matches!(status.as_str(), "COMPLETED" | "FAILED" | "CANCELLED") {
            return Ok(0);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn line(event: &Value) -> String {
    let mut line = format!(
        "{}  {:<24} {:<10}",
        text(&event["createdAt"]),
        text(&event["stage"]),
        text(&event["status"])
    );
    for (field, unit) in [("provider", ""), ("durationMs", " ms"), ("errorCode", "")] {
        if !event[field].is_null() {
            line.push_str(&format!("  {}{unit}", text(&event[field])));
        }
    }
    line.trim_end().to_owned()
}
