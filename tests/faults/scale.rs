//! A table of a million calls: what operators and the sweeper ask stays quick.

use std::time::{Duration, Instant};

use scryon_testkit::{Database, Parts, TestApp, TestOptions, eventually_within, promised, unique_wav};

use crate::support::{all_completed, bought_once_each, figure};

const ROWS: i64 = 1_000_000;
const TICK: Duration = Duration::from_millis(50);
/// No look at every row fits in it either.
const TICK_WHEN_BUSY: Duration = Duration::from_secs(1);

/// As the operators' manual has it.
const STUCK: &str = "SELECT id, status, updated_at FROM call_records
    WHERE status IN ('QUEUED','TRANSCRIBING','ANALYZING') AND updated_at < now() - interval '15 minutes'";

async fn seed(database: &Database) {
    let client = database.client().await;
    let seed = format!(
        "insert into users (tenant_id, external_user_id)
             select 'default', 'many-' || n from generate_series(1, 100) n;
         insert into call_records (id, tenant_id, user_id, status, created_at, updated_at, finished_at, run_no, completed_run, stages_done)
             select gen_random_uuid(), 'default', u.ids[1 + n % 100], 'COMPLETED', t.at, t.at, t.at, 1, 1, 31
             from (select array_agg(id) as ids from users where external_user_id like 'many-%') u,
                  generate_series(1, {ROWS}) n, lateral (select now() - n * interval '20 seconds' as at) t;
         analyze call_records;"
    );
    client.batch_execute(&seed).await.unwrap();
}

async fn plan(database: &Database, sql: &str) -> String {
    let rows = database.sql(&format!("explain {sql}"), &[]).await;
    rows.iter().map(|r| r.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

/// The median of five, as one slow disk write is not the statement's fault.
async fn median<F, R>(mut ask: F) -> Duration
where
    F: FnMut() -> R,
    R: Future<Output = ()>,
{
    let mut took = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        ask().await;
        took.push(started.elapsed());
    }
    took.sort();
    took[2]
}

#[tokio::test(flavor = "multi_thread")]
async fn among_a_million_calls_the_stuck_ones_are_found_by_an_index_and_a_tick_takes_under_50_ms() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::WITHOUT_SWEEPER)).await;
    let started = Instant::now();
    seed(&app.database).await;
    println!("{ROWS} calls seeded in {:?}", started.elapsed());
    let found = plan(&app.database, STUCK).await;
    assert!(!found.contains("Seq Scan") && found.contains("Index"), "{found}");
    // The stages of calls that are under way are few; calls are not read through.
    let found = plan(&app.database, "select * from stuck_calls").await;
    assert!(!found.contains("Seq Scan on call_records"), "{found}");

    let store = app.database.store();
    store.starts_admit(500, 2_000, &scryon_store::Paused::default()).await.unwrap(); // connected, and its statements prepared
    for (name, took) in [
        ("queues_created", median(async || drop(store.queues_created().await.unwrap())).await),
        ("leases_expire", median(async || drop(store.leases_expire(500).await.unwrap())).await),
        ("starts_overdue", median(async || drop(store.starts_overdue(500, &[]).await.unwrap())).await),
        (
            "starts_admit",
            median(async || {
                drop(store.starts_admit(500, 2_000, &scryon_store::Paused::default()).await.unwrap());
            })
            .await,
        ),
        ("stages_due", median(async || drop(store.stages_due(500, &[]).await.unwrap())).await),
        ("stages_supersede", median(async || drop(store.stages_supersede(500).await.unwrap())).await),
        ("calls_stuck", median(async || drop(store.calls_stuck(100).await.unwrap())).await),
        ("announced", median(async || drop(store.announced().await.unwrap())).await),
    ] {
        println!("{name}: {took:?}");
        assert!(took < promised(TICK, TICK_WHEN_BUSY), "{name} took {took:?}");
    }
    app_ticks_quickly(app).await;
}

/// The sweeper's own figures: ticks, and how many of them took at most 50 ms.
async fn app_ticks_quickly(mut app: TestApp) {
    app.spawn_sweeper();
    eventually_within(Duration::from_secs(180), "ten ticks", || async {
        (figure(&app, "scryon_dispatcher_tick_duration_seconds_count") >= 10.0).then_some(())
    })
    .await;
    let ticks = figure(&app, "scryon_dispatcher_tick_duration_seconds_count");
    let sum = figure(&app, "scryon_dispatcher_tick_duration_seconds_sum");
    println!("{ticks} ticks, {:.1} ms on average", 1000.0 * sum / ticks);
    assert!(sum / ticks < promised(TICK, TICK_WHEN_BUSY).as_secs_f64(), "{} s", sum / ticks);

    app.client.upload(unique_wav()).await;
    all_completed(&app, ROWS as usize + 1).await;
    bought_once_each(&app, 1);
    app.stop_and_clean().await;
}
