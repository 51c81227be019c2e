//! Figures that operators are promised, of a busy installation.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use scryon_testkit::{TestApp, TestOptions, Times, elapse, eventually, is_full, scryon_command, unique_wav};
use uuid::Uuid;

use crate::support::{WORKERS, all_completed_within, app_for_real_workers, scale, up};

const LATENCY: Duration = Duration::from_millis(150);
/// Between two live uploads.
const PACE: Duration = Duration::from_millis(200);
/// At full scale a live call may take this much longer beside others; a busy machine's few calls say less.
const HARM: f64 = 1.2;
const HARM_OF_FEW: f64 = 5.0;
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Uploads at a steady pace as long as `goes_on`.
async fn live_calls(app: &TestApp, mut goes_on: impl AsyncFnMut(usize) -> bool) -> Vec<Uuid> {
    let mut uploads = Vec::new();
    while goes_on(uploads.len()).await {
        let client = app.client.clone();
        uploads.push(tokio::spawn(async move { client.upload(unique_wav()).await }));
        elapse(PACE).await;
    }
    join_all(uploads).await.into_iter().map(|id| id.expect("an upload is accepted")).collect()
}

/// From their upload to COMPLETED, by the database's clock.
async fn times(app: &TestApp, ids: &[Uuid]) -> Times {
    let sql = "select extract(epoch from finished_at - created_at)::float8 from call_records
         where id = any($1) and status = 'COMPLETED' and run_no = 1";
    let rows = app.database.sql(sql, &[&ids]).await;
    assert_eq!(rows.len(), ids.len(), "live calls are COMPLETED");
    Times::of(rows.iter().map(|row| Duration::from_secs_f64(row.get(0))).collect())
}

/// The calls of days before, done.
async fn archive(app: &TestApp, count: usize) {
    let uploads = (0..count).map(|_| app.client.upload(unique_wav()));
    let _ids: Vec<Uuid> = futures_util::stream::iter(uploads).buffer_unordered(16).collect().await;
    all_completed_within(app, count, PATIENCE).await;
    app.database.sql("update call_records set created_at = now() - interval '3 days'", &[]).await;
}

/// A bulk order of the command line does not hold up who uploads meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn live_calls_are_as_quick_beside_a_bulk_reprocess() {
    let old = scale("calls that are reprocessed", 300, 10_000);
    let alone = scale("live calls before", 50, 1_000);
    let (app, stack) = app_for_real_workers(TestOptions::default().latency(LATENCY)).await;
    let workers = join_all(WORKERS.map(|w| up(&stack, w.name, &[]))).await;
    archive(&app, old).await;

    let before = live_calls(&app, async |sent| sent < alone).await;
    all_completed_within(&app, old + before.len(), PATIENCE).await;
    let quiet = times(&app, &before).await;

    let order = async {
        let mut command = scryon_command();
        command.envs(&app.settings).args(["reprocess", "--user", "local-dev", "--status", "COMPLETED"]);
        let output = command.output().await.expect("scryon runs");
        println!("{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success());
    };
    let under_way =
        "select count(*) from call_records where run_no < 2 and created_at < now() - interval '1 day'
         or run_no = 2 and completed_run = 1";
    let client = app.database.client().await;
    let begun =
        async || app.database.number("select count(*) from call_records where lane = 'backfill'").await;
    // The order is of COMPLETED calls, the newest first: live ones that came before it began would be among them.
    let load = async {
        eventually("the first runs", || async { (begun().await > 0).then_some(()) }).await;
        live_calls(&app, async |_| client.query_one(under_way, &[]).await.unwrap().get::<_, i64>(0) > 0).await
    };
    let (meanwhile, ()) = join(load, order).await;
    let calls = old + before.len() + meanwhile.len();
    all_completed_within(&app, calls, PATIENCE).await;

    let again = "select count(*) from call_records where completed_run = 2";
    let again = app.database.number(again).await as usize;
    assert_eq!(again, old + before.len(), "calls on their second run");
    let busy = times(&app, &meanwhile).await;
    println!("from upload to COMPLETED alone: {quiet}; beside the reprocess of {again}: {busy}");
    let harm = busy.percentile(99).as_secs_f64() / quiet.percentile(99).as_secs_f64();
    println!("p99 beside it is {harm:.2} of p99 alone");
    let bound = if is_full() { HARM } else { HARM_OF_FEW };
    let quick = !is_full() && busy.percentile(99) < Duration::from_secs(10);
    assert!(harm < bound || quick, "{harm:.2}; alone: {quiet}; beside the reprocess: {busy}");
    assert_eq!(app.database.number("select count(*) from call_records where status <> 'COMPLETED'").await, 0);
    speech_once_each(&app, calls);
    drop(workers);
    app.finish().await;
}

/// Second runs are analysed again, and nothing of speech is bought for them.
fn speech_once_each(app: &TestApp, calls: usize) {
    let purchases = app.simulator.purchases();
    for route in ["transcribe", "diarize"] {
        let bought: usize = purchases.iter().filter(|p| p.route == route).map(|p| p.count).sum();
        assert_eq!(bought, calls, "{route}");
    }
}
