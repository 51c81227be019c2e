//! One tenant's mountain of old calls, and another tenant's call of now.

use std::time::Duration;

use scryon_testkit::{TestApp, TestOptions, elapse, eventually, promised, unique_wav};
use uuid::Uuid;

use crate::support::scale;

const LIVE_CALLS: usize = 20;
const START: Duration = Duration::from_secs(3);
const START_WHEN_BUSY: Duration = Duration::from_secs(20);

/// Calls of a tenant of its own that wait to be done again. They share one recording.
async fn backlog(app: &TestApp, calls: usize) {
    let user = "with t as (insert into tenants (id) values ('mountain') returning id)
         insert into users (tenant_id, external_user_id) select id, 'archive' from t returning id";
    let user: Uuid = app.database.sql(user, &[]).await[0].get(0);
    let audio = unique_wav();
    let key = format!("tenants/mountain/users/{user}/calls/{}/temp/audio.wav", Uuid::now_v7());
    app.context.blobs.put(&scryon_blobs::BlobKey::stored(&key), audio.clone()).await.unwrap();
    let client = app.database.client().await;
    let seed = format!(
        "with c as (
             insert into call_records (id, tenant_id, user_id, status, lane, audio_sha256)
             select gen_random_uuid(), 'mountain', '{user}', 'QUEUED', 'backfill', sha256(n::text::bytea)
             from generate_series(1, {calls}) n returning id)
         insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, run_no)
         select id, 'TEMP_AUDIO', '{key}', 'audio/wav', {}, 0 from c;
         analyze call_records;",
        audio.len()
    );
    client.batch_execute(&seed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_call_starts_at_once_beside_another_tenants_backlog() {
    let calls = scale("calls of another tenant", 20_000, 900_000);
    let app = TestApp::start_with(TestOptions::default().latency(Duration::from_millis(100))).await;
    backlog(&app, calls).await;
    let done = "select count(*) from call_records where tenant_id = 'mountain' and status = 'COMPLETED'";
    eventually("the backlog to be under way", || async {
        (app.database.number(done).await > 20).then_some(())
    })
    .await;
    let before = app.database.number(done).await;
    let mut ids = Vec::new();
    for _ in 0..LIVE_CALLS {
        ids.push(app.client.upload(unique_wav()).await);
        elapse(Duration::from_millis(250)).await;
    }
    for id in &ids {
        assert_eq!(app.client.finished(*id).await["status"], "COMPLETED");
    }
    let meanwhile = app.database.number(done).await - before;
    let slowest = "select max(extract(epoch from s.at - c.created_at))::float8
         from call_records c, lateral (select min(started_at) as at from call_stages s where s.call_id = c.id) s
         where c.id = any($1)";
    let slowest: f64 = app.database.sql(slowest, &[&ids]).await[0].get(0);
    let waiting = "select count(*) from call_records where tenant_id = 'mountain' and status = 'QUEUED'";
    let waiting = app.database.number(waiting).await;
    println!(
        "the slowest of {LIVE_CALLS} live calls began after {slowest:.2} s; {meanwhile} of the backlog were completed meanwhile, {waiting} wait"
    );
    assert!(
        slowest < promised(START, START_WHEN_BUSY).as_secs_f64(),
        "a live call began after {slowest:.2} s"
    );
    assert!(meanwhile > 0, "the backlog goes on");
    assert!(waiting > 0, "it was there all the time");
    app.stop_and_clean().await;
}
