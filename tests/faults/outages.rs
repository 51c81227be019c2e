//! A provider that is dead for longer than anybody keeps awake. Its hours are made by ageing rows.

use std::time::Duration;

use scryon_testkit::{Fault, TestApp, TestOptions, elapse, eventually, eventually_within};

use crate::support::{all_completed_within, scale, upload_many};

/// Everything that has happened, longer ago; what is to come is still to come, as programs that run would have it.
/// Calls first: that is the order of locks.
const OLDER: &str = "do $$
    declare t text; changes text;
    begin
        foreach t in array array['call_records', 'call_stages', 'call_artifacts', 'provider_jobs', 'idempotency_keys',
                                 'call_processing_events'] loop
            select string_agg(format('%1$I = %1$I - interval ''MINUTES minutes''', column_name), ', ') into changes
            from information_schema.columns
            where table_schema = current_schema() and table_name = t and data_type = 'timestamp with time zone'
              and column_name not in ('not_before', 'publish_due', 'lease_until');
            execute format('update %I set %s', t, changes);
        end loop;
    end $$";

async fn age(app: &TestApp, minutes: usize) {
    let client = app.database.client().await;
    let older = OLDER.replace("MINUTES", &minutes.to_string());
    // Among programs at work an operator's statement may be the one that is refused.
    eventually("rows to be older", || async { client.batch_execute(&older).await.ok() }).await;
}

async fn openings(app: &TestApp) -> i64 {
    app.database
        .number("select coalesce(max(openings), 0)::bigint from provider_circuits where engine = 'fake'")
        .await
}

/// The one request is due that finds out whether the provider lives.
async fn next_look(app: &TestApp) {
    app.database.sql("update provider_circuits set open_until = now(), probe_until = null where open_until is not null", &[]).await;
    let waits = "update call_stages set not_before = now(), publish_due = now() where state in ('PENDING', 'WAITING')";
    app.database.sql(waits, &[]).await;
    // Workers read circuits once a second.
    elapse(Duration::from_millis(1_100)).await;
    app.database.sql(waits, &[]).await;
    elapse(Duration::from_millis(400)).await;
}

async fn none_ended(app: &TestApp, look: usize) {
    let ended =
        "select status || ' ' || coalesce(error_reason, '') from call_records where finished_at is not null";
    let ended: Vec<String> = app.database.sql(ended, &[]).await.iter().map(|r| r.get(0)).collect();
    assert!(ended.is_empty(), "ended after {look} looks: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_outlive_a_provider_that_is_dead_for_thirty_hours() {
    let calls = scale("waiting calls", 2, 1_000);
    // In truth there is one every five minutes, by whichever call comes first.
    let looks = scale("looks at the dead provider", 12, 360);
    let often = TestOptions::default()
        .set("SCRYON_SWEEP_INITIAL_DELAY_MS", "100")
        .set("SCRYON_SWEEP_INTERVAL_MS", "300");
    let app = TestApp::start_with(often).await;
    for route in ["transcribe", "diarize", "analyze"] {
        app.simulator.fail_next(route, 1_000_000, Fault::Status(500, None));
    }
    upload_many(&app, calls).await;
    eventually("the provider to be taken for dead", || async {
        let waits = "update call_stages set not_before = now(), publish_due = now() where state = 'PENDING'";
        app.database.sql(waits, &[]).await;
        (openings(&app).await > 0).then_some(())
    })
    .await;
    for look in 0..looks {
        let before = openings(&app).await;
        age(&app, 30 * 60 / looks).await;
        eventually_within(Duration::from_secs(60), "a look at the provider", || async {
            next_look(&app).await;
            none_ended(&app, look).await;
            (openings(&app).await > before).then_some(())
        })
        .await;
    }
    let kept = "select count(*) from call_artifacts where artifact_type = 'TEMP_AUDIO'";
    assert_eq!(app.database.number(kept).await, calls as i64, "audio is kept while its call waits");
    let oldest = "select extract(epoch from now() - min(created_at))::bigint from call_records";
    assert!(app.database.number(oldest).await >= 30 * 3600);

    app.simulator.clear_faults();
    eventually_within(Duration::from_secs(60), "the provider to be found alive", || async {
        next_look(&app).await;
        let closed = "select count(*) from provider_circuits where open_until is not null";
        (app.database.number(closed).await == 0).then_some(())
    })
    .await;
    let waits = "update call_stages set not_before = now(), publish_due = now() where state in ('PENDING', 'WAITING')";
    app.database.sql(waits, &[]).await;
    all_completed_within(&app, calls, Duration::from_secs(120 + calls as u64)).await;
    for purchase in app.simulator.purchases() {
        assert_eq!(purchase.count, 1, "{purchase:?}");
    }
    app.finish().await;
}
