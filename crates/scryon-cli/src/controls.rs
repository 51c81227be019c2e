//! Orders to calls, and their logs.

use std::time::Duration;

use clap::{Args, Subcommand};
use scryon_domain::ids::CallId;
use scryon_operations::Operation;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::Api;
use crate::desk::Desk;
use crate::output::{Failure, Output, text};

const LOOK: Duration = Duration::from_secs(1);

/// Which calls are listed.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct CallsArguments {
    #[command(subcommand)]
    command: Option<CallsCommand>,
    /// Only calls with this status.
    #[arg(long)]
    status: Option<String>,
    /// Most calls to list.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

#[derive(Subcommand)]
enum CallsCommand {
    /// Delete calls of whatever tenant and all that belongs to them. There is no way back; it is audited.
    Delete {
        #[arg(required = true)]
        ids: Vec<Uuid>,
        /// Why, for those who read it later.
        #[arg(long)]
        reason: String,
        /// It is meant.
        #[arg(long, required = true)]
        yes: bool,
    },
}

/// `scryon calls`.
pub(crate) async fn calls(
    api: impl FnOnce() -> Result<Api, Failure>,
    desk: impl FnOnce() -> Result<Desk, Failure>,
    output: &Output,
    arguments: CallsArguments,
) -> Result<u8, Failure> {
    match arguments.command {
        None => output.calls(&api()?.calls(arguments.status.as_deref(), arguments.limit).await?),
        Some(CallsCommand::Delete { ids, reason, yes: _ }) => {
            let desk = desk()?;
            let delete = async |id: &str| {
                let id = CallId(Uuid::try_parse(id).unwrap_or_default());
                desk.order(Operation::DeleteCall { id, reason: reason.clone() }).await?;
                Ok(json!({"id": id, "status": "DELETED"}))
            };
            let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
            each(output, &ids, delete).await
        }
    }
}

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
    let give = async |id: &str| match order {
        Order::Cancel => api.order(id, "cancel", None).await,
        Order::Reprocess { force_paid } => {
            api.order(id, "reprocess", Some(json!({ "forcePaid": force_paid }))).await
        }
        Order::Reanalyze => api.order(id, "reanalyze", None).await,
        Order::Delete => api.delete(id).await.map(|()| json!({"id": id, "status": "DELETED"})),
    };
    each(output, ids, give).await
}

async fn each(
    output: &Output,
    ids: &[String],
    order: impl AsyncFn(&str) -> Result<Value, Failure>,
) -> Result<u8, Failure> {
    let mut refused = None;
    for id in ids {
        match order(id).await {
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
