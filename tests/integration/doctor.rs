//! Rows and objects that differ are found, repaired where that is possible, and named where it is not.

use std::time::{Duration, SystemTime};

use scryon_blobs::BlobKey;
use scryon_testkit::{Client, TestApp, eventually, unique_wav};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::holds::scryon;

async fn key_of(app: &TestApp, id: Uuid, kind: &str) -> BlobKey {
    let sql = "select storage_key from call_artifacts where call_id = $1 and artifact_type::text = $2";
    let rows = app.database.sql(sql, &[&id, &kind]).await;
    BlobKey::stored(rows[0].get(0))
}

/// Everything of a call was written two hours ago: it is not an upload on its way.
fn age(app: &TestApp, id: Uuid) {
    let old = SystemTime::now() - Duration::from_secs(7200);
    let mut folders = vec![app.storage.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            if path.to_string_lossy().contains(&id.to_string()) {
                std::fs::File::open(&path).unwrap().set_modified(old).unwrap();
            }
        }
    }
}

/// Takes a call's rows as a restored database lacks them: without a word to storage.
async fn lose_rows(app: &TestApp, id: Uuid) {
    let client = app.database.client().await;
    client
        .batch_execute(&format!(
            "set session_replication_role = replica;
             delete from call_records where id = '{id}'; delete from call_artifacts where call_id = '{id}';
             delete from call_stages where call_id = '{id}'; delete from call_processing_events where call_id = '{id}';
             delete from call_sentiment_summary where call_record_id = '{id}'; delete from action_items where call_record_id = '{id}';
             delete from idempotency_keys where call_id = '{id}'"
        ))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_found_repaired_or_named() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let id = app.client.upload(unique_wav()).await;
        app.client.finished(id).await;
        ids.push(id);
    }
    let (code, clean) = scryon(&app, &["doctor"]).await;
    assert_eq!(
        (code, clean["left"].as_i64(), clean["artifacts"].as_i64()),
        (0, Some(0), Some(20)),
        "{clean}"
    );

    // One analysis is gone and its recording is there; one transcript is cut; one call lost everything but its rows.
    app.context.blobs.delete(&key_of(&app, ids[0], "ANALYSIS_JSON").await).await.unwrap();
    app.context
        .blobs
        .put(&key_of(&app, ids[1], "NORMALIZED_TRANSCRIPT_JSON").await, b"{".to_vec())
        .await
        .unwrap();
    let prefix = key_of(&app, ids[2], "TEMP_AUDIO").await.as_str().replace("temp/audio.wav", "");
    app.context.blobs.delete_prefix(&prefix).await.unwrap();
    lose_rows(&app, ids[3]).await;
    let (code, young) = scryon(&app, &["doctor"]).await;
    assert_eq!(
        (code, young["withoutRow"].as_i64()),
        (1, Some(0)),
        "what was written just now may be on its way in: {young}"
    );
    age(&app, ids[3]);
    let (code, found) = scryon(&app, &["doctor"]).await;
    assert_eq!(
        (code, found["missing"].as_i64(), found["otherSize"].as_i64()),
        (1, Some(6), Some(1)),
        "{found}"
    );
    assert_eq!((found["withoutRow"].as_i64(), found["rowsRemoved"].as_i64()), (Some(1), Some(0)), "{found}");
    assert_eq!(
        app.database.number("select count(*) from call_records").await,
        3,
        "without --reconcile it only looks"
    );

    let (code, repaired) = scryon(&app, &["doctor", "--reconcile"]).await;
    assert_eq!(
        (code, repaired["reset"].as_i64(), repaired["rebuilt"].as_i64()),
        (1, Some(2), Some(1)),
        "{repaired}"
    );
    assert_eq!(repaired["left"], 1, "a call that lost everything is named: {repaired}");
    for id in [ids[0], ids[1], ids[3]] {
        eventually("the new run", || async {
            let call = app.client.call(id).await;
            (call["status"] == "COMPLETED").then_some(())
        })
        .await;
        assert_eq!(app.client.get(&format!("/api/calls/{id}/analysis")).await.status, 200);
        assert_eq!(app.client.get(&format!("/api/calls/{id}/transcript")).await.status, 200);
    }
    let (code, after) = scryon(&app, &["doctor"]).await;
    assert_eq!((code, after["left"].as_i64()), (0, Some(0)), "{after}");
    app.stop_and_clean().await;
}

/// While a hold is on the objects of an erased call stay, and look like those of a call that lost its row.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_call_is_not_taken_for_a_lost_one() {
    let app = TestApp::start().await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    scryon(&app, &["hold", "on", "--reason", "case 5"]).await;
    app.database.sql("delete from call_records", &[]).await;
    age(&app, id);
    // Its note has been forgotten: only the tombstone tells.
    let noted = || async { app.context.blobs.erasures_since("2000-01-01".parse().unwrap()).await.unwrap() };
    eventually("the note", || async { (!noted().await.is_empty()).then_some(()) }).await;
    app.context.blobs.erasures_forget("2999-01-01".parse().unwrap()).await.unwrap();
    assert!(noted().await.is_empty());
    let (code, looked) = scryon(&app, &["doctor", "--reconcile"]).await;
    assert_eq!(
        (code, looked["left"].as_i64(), looked["rebuilt"].as_i64()),
        (0, Some(0), Some(0)),
        "{looked}"
    );
    assert_eq!(app.database.number("select count(*) from call_records").await, 0);
    assert!(app.context.blobs.list("tenants").await.unwrap().iter().any(|k| k.contains(&id.to_string())));
    app.stop_and_clean().await;
}

/// The database came back by means of its host: `--adopt` does all the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_its_host_restored_is_adopted() {
    let mut app = TestApp::start().await;
    let first = app.client.upload(unique_wav()).await;
    app.client.finished(first).await;
    let audio = unique_wav();
    let form = Client::form(audio.clone()).text("metadata", json!({"title": "Kept"}).to_string());
    let send = |app: &TestApp, form| {
        let request = app.client.request(reqwest::Method::POST, "/api/calls/analyze");
        request.header("Idempotency-Key", "a-key-of-the-client").multipart(form)
    };
    let accepted = app.client.send(send(&app, form)).await;
    let second: Uuid = accepted.body["callId"].as_str().unwrap().parse().unwrap();
    app.client.finished(second).await;
    eventually("storage to know the users", || async {
        (app.database.number("select count(*) from users where stored_at is null").await == 0).then_some(())
    })
    .await;
    app.stop_programs().await;
    // The snapshot had the first call only.
    lose_rows(&app, second).await;
    let (code, adopted) = scryon(&app, &["restore", "--adopt"]).await;
    assert_eq!(
        (code, adopted["epoch"].as_i64(), adopted["counts"]["rebuilt"].as_i64()),
        (0, Some(1), Some(1)),
        "{adopted}"
    );
    let database =
        scryon_testkit::Database { url: app.database.url.clone(), schema: app.database.schema.clone() };
    app.start_again(database, scryon_testkit::Parts::ALL).await;
    let call: Value = app.client.finished(second).await;
    assert_eq!((call["status"].as_str(), call["title"].as_str()), (Some("COMPLETED"), Some("Kept")));
    let again = app.client.send(send(&app, Client::form(audio))).await;
    assert_eq!(again.body, accepted.body, "a client that repeats its request gets the same call");
    let (code, restored) = scryon(&app, &["restore", "--adopt"]).await;
    assert_eq!((code, restored["epoch"].as_i64()), (0, Some(2)), "every life has a number of its own");
    app.stop_and_clean().await;
}

/// The description beside the recording holds what the row needs, and leaves with the recording.
#[tokio::test(flavor = "multi_thread")]
async fn the_description_beside_the_recording_is_whole_and_leaves_with_it() {
    let app = TestApp::start_with(
        scryon_testkit::TestOptions::default()
            .set("OBJECT_STORAGE_TEMP_AUDIO_TTL_HOURS", "1")
            .set("SCRYON_SWEEP_INITIAL_DELAY_MS", "50")
            .set("SCRYON_SWEEP_INTERVAL_MS", "50"),
    )
    .await;
    let audio = unique_wav();
    let id = app.client.upload_with(audio.clone(), &json!({"title": "T", "phoneNumber": "+15550100"})).await;
    app.client.finished(id).await;
    let sound = key_of(&app, id, "TEMP_AUDIO").await;
    let key = BlobKey::stored(&sound.as_str().replace("audio.wav", "call.json"));
    let body = app.context.blobs.get(&key, 65536).await.unwrap();
    let described: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(described["byteSize"].as_u64(), Some(audio.len() as u64));
    assert_eq!(described["audioKey"].as_str(), Some(sound.as_str()));
    let hash: String =
        app.database.sql("select encode(audio_sha256, 'hex') from call_records", &[]).await[0].get(0);
    assert_eq!(described["sha256"].as_str(), Some(hash.as_str()));
    assert_eq!(
        (described["callId"].as_str(), described["lane"].as_str()),
        (Some(id.to_string().as_str()), Some("live"))
    );
    assert_eq!(
        (described["title"].as_str(), described["phoneNumber"].as_str()),
        (Some("T"), Some("+15550100"))
    );
    app.database.sql("update call_records set finished_at = now() - interval '2 hours'", &[]).await;
    eventually("it to leave with the recording", || async {
        let there = app.context.blobs.size(&key).await.unwrap().is_some()
            || app.context.blobs.size(&sound).await.unwrap().is_some();
        (!there).then_some(())
    })
    .await;
    app.stop_and_clean().await;
}
