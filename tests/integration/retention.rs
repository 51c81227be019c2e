//! Audio leaves after its time, and what can be done without it.

use scryon_blobs::BlobKey;
use scryon_testkit::{Parts, TestApp, TestOptions, eventually, unique_wav};
use uuid::Uuid;

async fn without_audio() -> TestApp {
    TestApp::start_with(
        TestOptions::default()
            .set("OBJECT_STORAGE_TEMP_AUDIO_TTL_HOURS", "0")
            .set("SCRYON_SWEEP_INITIAL_DELAY_MS", "100")
            .set("SCRYON_SWEEP_INTERVAL_MS", "100"),
    )
    .await
}

async fn audio_is_gone(app: &TestApp, id: Uuid) {
    eventually("the audio to leave", || async {
        let keys = app.context.blobs.list("tenants").await.unwrap();
        let temp = keys.iter().any(|k| k.contains(&format!("{id}/temp/")));
        let rows = app
            .database
            .number("select count(*) from call_artifacts where artifact_type = 'TEMP_AUDIO'")
            .await;
        (!temp && rows == 0).then_some(())
    })
    .await;
}

async fn reset_and_wait(app: &TestApp, id: Uuid, run: i64) -> serde_json::Value {
    app.database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id]).await;
    eventually("the reset to be answered", || async {
        let call = app.client.call(id).await;
        (call["run"] == run && matches!(call["status"].as_str(), Some("COMPLETED" | "FAILED")))
            .then_some(call)
    })
    .await
}

/// The transcript is rebuilt from the raw answers: no audio, no purchase.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_audio_is_rebuilt_from_its_raw_answers() {
    let app = without_audio().await;
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    app.client.finished(id).await;
    audio_is_gone(&app, id).await;
    let call = reset_and_wait(&app, id, 2).await;
    assert_eq!(call["status"], "COMPLETED");
    let states: Vec<_> =
        call["stages"].as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["SKIPPED", "SKIPPED", "SKIPPED", "SUCCEEDED", "SUCCEEDED"]);
    assert_eq!((app.bought("transcribe", &audio), app.bought("diarize", &audio)), (1, 1));
    assert_eq!(app.client.get(&format!("/api/calls/{id}/transcript")).await.status, 200);
    app.finish().await;
}

/// An input is gone, results are there: the call returns to COMPLETED with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_rebuilt_keeps_its_results() {
    let app = without_audio().await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    audio_is_gone(&app, id).await;
    app.database.sql("delete from call_artifacts where artifact_type = 'RAW_TRANSCRIPT_JSON'", &[]).await;
    let call = reset_and_wait(&app, id, 2).await;
    assert_eq!(call["status"], "COMPLETED");
    assert_eq!(app.client.get(&format!("/api/calls/{id}/transcript")).await.status, 200);
    assert_eq!(app.client.get(&format!("/api/calls/{id}/analysis")).await.status, 200);
    let skipped = "select count(*) from call_processing_events where stage = 'REPROCESS_SKIPPED'";
    assert_eq!(app.database.number(skipped).await, 1);
    app.stop_and_clean().await;
}

/// Only a call that never had a result fails for want of audio.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_had_a_result_fails_for_want_of_audio() {
    let app = TestApp::start().await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    app.database.sql("delete from call_artifacts", &[]).await;
    app.database.sql("update call_records set completed_run = 0", &[]).await;
    let call = reset_and_wait(&app, id, 2).await;
    assert_eq!(
        (call["status"].as_str(), call["errorReason"].as_str()),
        (Some("FAILED"), Some("temp_audio_expired"))
    );
    app.stop_and_clean().await;
}

/// A new run that fails leaves the old result in place.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_new_run_leaves_the_old_result() {
    let app = TestApp::start().await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    let before = app.client.get(&format!("/api/calls/{id}/analysis")).await.body;
    app.simulator.fail_next("analyze", 2, scryon_testkit::Fault::Garbage);
    let call = reset_and_wait(&app, id, 2).await;
    assert_eq!(call["status"], "COMPLETED");
    assert_eq!(app.client.get(&format!("/api/calls/{id}/analysis")).await.body, before);
    let failed = "select count(*) from call_processing_events where stage = 'REPROCESS_FAILED' and error_code = 'analysis_invalid'";
    assert_eq!(app.database.number(failed).await, 1);
    app.stop_and_clean().await;
}

async fn looking_for_orphans(parts: Parts) -> TestApp {
    TestApp::start_with(
        TestOptions::default()
            .parts(parts)
            .set("SCRYON_SWEEP_INITIAL_DELAY_MS", "100")
            .set("SCRYON_SWEEP_INTERVAL_MS", "100")
            .set("SCRYON_ORPHAN_SWEEP_INTERVAL_MS", "100")
            .set("SCRYON_ORPHAN_MIN_AGE_HOURS", "1"),
    )
    .await
}

/// An object that was put two hours ago. Younger ones may belong to an upload that is on its way.
async fn put_old(app: &TestApp, key: &BlobKey, body: Vec<u8>) {
    app.context.blobs.put(key, body).await.unwrap();
    let put = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    let file = app.storage.path().join(key.as_str());
    // The file, and the two folders of a call.
    for path in file.ancestors().take(3) {
        std::fs::File::open(path).unwrap().set_modified(put).unwrap();
    }
}

async fn put_orphan(app: &TestApp) -> BlobKey {
    let prefix = format!("tenants/default/users/{}/calls/{}/", Uuid::now_v7(), Uuid::now_v7());
    let key = BlobKey::stored(&format!("{prefix}temp/audio.wav"));
    put_old(app, &key, unique_wav()).await;
    key
}

/// What an upload leaves whose API died before the commit.
#[tokio::test(flavor = "multi_thread")]
async fn objects_that_no_call_explains_leave_after_two_looks() {
    let app = looking_for_orphans(Parts::ALL).await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    let orphan = put_orphan(&app).await;
    let other = BlobKey::stored("tenants/default/notes.txt");
    put_old(&app, &other, b"not of a call".to_vec()).await;
    eventually("the orphan to leave", || async {
        app.context.blobs.size(&orphan).await.unwrap().is_none().then_some(())
    })
    .await;
    assert!(app.context.blobs.size(&other).await.unwrap().is_some(), "a key of another form is not ours");
    let kept = app.context.blobs.list("tenants").await.unwrap();
    assert!(kept.iter().any(|key| key.contains(&format!("{id}/temp/audio"))), "{kept:?}");
    assert_eq!(app.client.get(&format!("/api/calls/{id}/transcript")).await.status, 200);
    app.stop_and_clean().await;
}

/// A database restored from yesterday does not know today's calls: nothing may be deleted then.
#[tokio::test(flavor = "multi_thread")]
async fn many_unexplained_objects_are_a_sign_and_stay() {
    let mut app = looking_for_orphans(Parts { sweeper: false, ..Parts::ALL }).await;
    let mut orphans = Vec::new();
    for _ in 0..21 {
        orphans.push(put_orphan(&app).await);
    }
    // Fewer at its first look would be no sign.
    app.spawn_sweeper();
    eventually("a third look at all of them", || async {
        let looked = "select count(*) from storage_orphans where looks > 2";
        (app.database.number(looked).await == 21).then_some(())
    })
    .await;
    for orphan in &orphans {
        assert!(app.context.blobs.size(orphan).await.unwrap().is_some());
    }
    app.stop_and_clean().await;
}
