//! Deaths around a retry and inside the sweeper.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use scryon_blobs::BlobKey;
use scryon_domain::stage::{Lane, StageKind};
use scryon_testkit::{Fault, Parts, Stack, StackProgram, TestApp, TestOptions, eventually, unique_wav};
use uuid::Uuid;

use crate::support::{
    WORKERS, WorkerProgram, all_completed, app_for_real_workers, bought_once_each, up, upload_many,
};

const SWEEPER: &str = "scryon-sweeper";
const WITHOUT_SWEEPER: Parts = Parts { api: true, workers: true, sweeper: false };

fn stack_of(app: &TestApp) -> Stack {
    Stack::new(app.settings.clone(), app.storage.path().to_owned())
}

/// Waits for the death that was ordered.
async fn dead_at(point: &str, program: &mut StackProgram) {
    let ended = tokio::time::timeout(Duration::from_secs(120), program.ended()).await;
    let ended =
        ended.unwrap_or_else(|_| panic!("{} never came to {point}:\n{}", program.name, program.log()));
    assert_eq!(ended, None, "{} at {point} ends by a signal:\n{}", program.name, program.log());
    assert!(program.log().contains(&format!("point={point} ")), "{}", program.log());
}

async fn retry_dies(victim: WorkerProgram) {
    let (app, stack) = app_for_real_workers(TestOptions::default()).await;
    let others = WORKERS.iter().filter(|w| w.name != victim.name);
    let others = join_all(others.map(|w| up(&stack, w.name, &[]))).await;
    let mut first = up(&stack, victim.name, &[("SCRYON_CRASH_AT", "C17")]).await;
    app.simulator.fail_next(victim.route, 1, Fault::Status(500, None));
    app.client.upload(unique_wav()).await;
    dead_at("C17", &mut first).await;
    let second = up(&stack, victim.name, &[]).await;
    all_completed(&app, 1).await;
    bought_once_each(&app, 1);
    let tries = app.database.sql("select tries from call_stages where stage = $1", &[&victim.stage]).await;
    assert_eq!(tries[0].get::<_, i32>(0), 1, "the failure counts, the death does not: {}", second.log());
    drop((others, second));
    app.finish().await;
}

/// C17: the row says when the next try is, and its message was never sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_with_a_retry_unannounced_loses_no_try_and_no_call() {
    join_all(WORKERS.map(retry_dies)).await;
}

/// C18: the letter is in the table, and its message comes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_that_dies_over_a_dead_letter_keeps_it_once() {
    let app = TestApp::start_with(TestOptions::default().parts(WITHOUT_SWEEPER)).await;
    let stack = stack_of(&app);
    let mut first = up(&stack, SWEEPER, &[("SCRYON_CRASH_AT", "C18")]).await;
    let connection = app.broker().await;
    connection.publish(&app.topology(), StageKind::Preprocessing, Lane::Live, b"no hint").await;
    dead_at("C18", &mut first).await;
    assert_eq!(app.database.number("select count(*) from dead_letters").await, 1);
    let second = up(&stack, SWEEPER, &[]).await;
    eventually("the letter to be taken again", || async {
        second.log().contains("a message nobody could use was kept").then_some(())
    })
    .await;
    assert_eq!(app.database.number("select count(*) from dead_letters").await, 1, "kept once");
    assert!(connection.take(&app.topology().dead_queue()).await.is_none(), "and taken out of its queue");
    drop(second);
    app.finish().await;
}

/// C19: rows say they were announced, and nobody announced them.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_that_dies_in_the_middle_of_a_batch_loses_no_call() {
    let app = TestApp::start_with(TestOptions::default().parts(WITHOUT_SWEEPER).drop_hints()).await;
    let stack = stack_of(&app);
    upload_many(&app, 20).await;
    for _ in 0..2 {
        let mut first = up(&stack, SWEEPER, &[("SCRYON_CRASH_AT", "C19")]).await;
        dead_at("C19", &mut first).await;
    }
    let last = up(&stack, SWEEPER, &[]).await;
    all_completed(&app, 20).await;
    bought_once_each(&app, 20);
    drop(last);
    app.finish().await;
}

/// An object that was put two hours ago, of a call that has no row.
async fn old_orphan(app: &TestApp) -> (Uuid, BlobKey) {
    let id = Uuid::now_v7();
    let user: Uuid = app.database.sql("select id from users", &[]).await[0].get(0);
    let key = BlobKey::stored(&format!("tenants/default/users/{user}/calls/{id}/temp/audio.wav"));
    app.context.blobs.put(&key, unique_wav()).await.unwrap();
    let put = SystemTime::now() - Duration::from_secs(7200);
    let file = app.storage.path().join(key.as_str());
    // The file, and the two folders of a call.
    for path in file.ancestors().take(3) {
        std::fs::File::open(path).unwrap().set_modified(put).unwrap();
    }
    (id, key)
}

/// What an operator does who finds that rows are missing.
async fn restore(app: &TestApp, id: Uuid, key: &BlobKey) {
    let row = "insert into call_records (id, tenant_id, user_id, status, finished_at)
         select $1, u.tenant_id, u.id, 'CANCELLED', now() from users u";
    app.database.sql(row, &[&id]).await;
    let size = app.context.blobs.size(key).await.unwrap().unwrap() as i64;
    let artifact =
        "insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, run_no)
         values ($1, 'TEMP_AUDIO', $2, 'audio/wav', $3::bigint, 0)";
    app.database.sql(artifact, &[&id, &key.as_str(), &size]).await;
}

/// C20: what was listed and has a row by now stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_that_dies_between_listing_and_deleting_asks_the_rows_again() {
    let app = TestApp::start_with(TestOptions::default().parts(WITHOUT_SWEEPER)).await;
    let stack = stack_of(&app);
    let often = [
        ("SCRYON_SWEEP_INITIAL_DELAY_MS", "100"),
        ("SCRYON_SWEEP_INTERVAL_MS", "100"),
        ("SCRYON_ORPHAN_SWEEP_INTERVAL_MS", "100"),
        ("SCRYON_ORPHAN_MIN_AGE_HOURS", "1"),
    ];
    let call = app.client.upload(unique_wav()).await;
    app.client.finished(call).await;
    let (kept, kept_key) = old_orphan(&app).await;
    let (_, lost_key) = old_orphan(&app).await;
    // Two looks, and a death before what they allow.
    for _ in 0..2 {
        let crash = [often.as_slice(), &[("SCRYON_CRASH_AT", "C20")]].concat();
        let mut sweeper = up(&stack, SWEEPER, &crash).await;
        dead_at("C20", &mut sweeper).await;
    }
    assert_eq!(app.database.number("select count(*) from storage_orphans where looks > 1").await, 2);
    restore(&app, kept, &kept_key).await;
    let last = up(&stack, SWEEPER, &often).await;
    eventually("the other orphan to leave", || async {
        app.context.blobs.size(&lost_key).await.unwrap().is_none().then_some(())
    })
    .await;
    assert!(app.context.blobs.size(&kept_key).await.unwrap().is_some(), "a call's recording was deleted");
    drop(last);
    app.finish().await;
}

/// The same within one pass: the row comes back after the look and before the burial.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_comes_back_between_look_and_burial_saves_its_objects() {
    let app = TestApp::start_with(TestOptions::default().parts(WITHOUT_SWEEPER)).await;
    let stack = stack_of(&app);
    let call = app.client.upload(unique_wav()).await;
    let sweeper = up(&stack, SWEEPER, &[]).await;
    app.client.finished(call).await;
    let (kept, key) = old_orphan(&app).await;
    let prefix = key.as_str().strip_suffix("temp/audio.wav").unwrap().to_owned();
    for pass in [1, 2] {
        assert_eq!(app.context.store.orphans_note(&[(kept, prefix.clone())], pass).await.unwrap(), 1);
    }
    restore(&app, kept, &key).await;
    assert_eq!(app.context.store.orphans_bury(2).await.unwrap(), 0, "a call with a row was buried");
    drop(sweeper);
    app.finish().await;
}
