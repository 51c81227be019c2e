//! Hosted engines, as the simulator plays them: jobs that run while no worker waits, transcripts by callback, and
//! providers that are away.

mod callbacks;
mod cuts;
mod dialects;
mod hurry;
mod jobs;
mod keys;
mod orders;
mod outages;
mod transcripts;

use scryon_testkit::{TestApp, eventually, scryon_command};
use serde_json::Value;
use uuid::Uuid;

pub(crate) async fn events(
    app: &TestApp,
    id: Uuid,
    stage: &str,
) -> Vec<(String, Option<String>, Option<String>)> {
    let sql = "select status, provider, error_code from call_processing_events where call_id = $1 and stage = $2 order by id";
    app.database.sql(sql, &[&id, &stage]).await.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect()
}

/// `engine cause state`, and whether the price is known, of each purchase for a call.
async fn purchases(app: &TestApp, id: Uuid) -> Vec<(String, bool)> {
    let sql =
        "select stage || ' ' || engine || ' ' || cause || ' ' || state, billed_cost > 0 from provider_jobs
         where call_id = $1 order by created_at, stage, purchase_no";
    app.database
        .sql(sql, &[&id])
        .await
        .iter()
        .map(|r| (r.get(0), r.get::<_, Option<bool>>(1).unwrap_or_default()))
        .collect()
}
async fn transcript(app: &TestApp, id: Uuid) -> Value {
    app.client.get(&format!("/api/calls/{id}/transcript")).await.body
}

/// The command line with this installation's settings and some of its own; gives exit code, data and words.
async fn scryon(app: &TestApp, extra: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = scryon_command();
    command.args(arguments).envs(&app.settings).envs(extra.iter().copied());
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Waits until the workers export this.
async fn exported(app: &TestApp, line: &str) {
    eventually(line, || async { app.metrics().lines().any(|l| l == line).then_some(()) }).await;
}

/// Lets the time pass that calls wait.
async fn waits_pass(app: &TestApp) {
    app.database
        .sql(
            "update call_stages set not_before = now(), publish_due = now() where state in ('PENDING', 'WAITING')
                 and not_before > now()",
            &[],
        )
        .await;
}
