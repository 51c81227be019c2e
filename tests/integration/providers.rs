//! The rules of buying, seen by the provider's own ledger.

use std::time::Duration;

use scryon_testkit::{Fault, StorageFault, TestApp, TestOptions, eventually, unique_wav};
use uuid::Uuid;

async fn events(app: &TestApp, id: Uuid, stage: &str, status: &str) -> i64 {
    let sql = "select count(*) from call_processing_events where call_id = $1 and stage = $2 and status = $3";
    app.database.sql(sql, &[&id, &stage, &status]).await[0].get(0)
}

async fn causes(app: &TestApp, id: Uuid, stage: &str) -> Vec<String> {
    let sql = "select cause || ' ' || state from provider_jobs where call_id = $1 and stage = $2 order by purchase_no";
    app.database.sql(sql, &[&id, &stage]).await.iter().map(|r| r.get(0)).collect()
}

/// Puts a call back as an operator does.
async fn reset(app: &TestApp, id: Uuid) {
    app.database
        .sql("update call_records set status = 'QUEUED', error_reason = null where id = $1", &[&id])
        .await;
}

async fn finished_run(app: &TestApp, id: Uuid, run: i64) -> serde_json::Value {
    eventually("the new run's end", || async {
        let call = app.client.call(id).await;
        (call["run"] == run && matches!(call["status"].as_str(), Some("COMPLETED" | "FAILED")))
            .then_some(call)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_for_now_is_asked_again() {
    let app = TestApp::start().await;
    app.simulator.fail_next("transcribe", 2, Fault::Status(500, None));
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    assert_eq!(app.bought("transcribe", &audio), 1);
    assert_eq!(events(&app, id, "TRANSCRIBED", "FAILED").await, 2);
    assert_eq!(causes(&app, id, "transcription").await, ["first failed", "retry failed", "retry succeeded"]);
    app.finish().await;
}

/// A pause that the provider asks for costs no try, and is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_provider_delays_a_call_and_costs_no_try() {
    let app = TestApp::start().await;
    app.simulator.fail_next("analyze", 3, Fault::Status(429, Some(1)));
    let id = app.client.upload(unique_wav()).await;
    let call = app.client.finished(id).await;
    assert_eq!(call["status"], "COMPLETED");
    let sql = "select tries from call_stages where call_id = $1 and stage = 'analysis'";
    let tries: i32 = app.database.sql(sql, &[&id]).await[0].get(0);
    assert_eq!(tries, 0);
    app.finish().await;
}

/// Retries have a budget: those beyond it are put off, at no try, and a provider that fails is not asked twice as often.
#[tokio::test(flavor = "multi_thread")]
async fn retries_beyond_the_budget_are_put_off_and_cost_no_try() {
    let app = TestApp::start_with(TestOptions::default().set("SCRYON_STAGE_MAX_TRIES", "30")).await;
    // Whatever it answers: else its circuit would spare it the retries.
    app.database
        .sql(
            "insert into provider_circuits (engine, forced, forced_reason) values ('fake', 'closed', 'test')",
            &[],
        )
        .await;
    let (calls, failures) = (24, 40);
    app.simulator.fail_next("transcribe", failures, Fault::Status(500, None));
    let ids = futures_util::future::join_all((0..calls).map(|_| app.client.upload(unique_wav()))).await;
    for id in ids {
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    }
    let tries = "select sum(tries)::bigint from call_stages where stage = 'transcription'";
    assert_eq!(
        app.database.number(tries).await,
        failures as i64,
        "a try for each failure and for nothing else"
    );
    let put_off = "scryon_provider_put_off_total{engine=\"fake\"} ";
    let metrics = app.metrics();
    let count = metrics.lines().find_map(|l| l.strip_prefix(put_off)).unwrap().parse::<u32>().unwrap();
    assert!(count > 0, "24 calls failed at once, and ten may be tried again at once");
    app.finish().await;
}

/// The request was taken, its answer was lost: sent again under the same key, it is bought once.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_after_the_purchase_buys_once_where_keys_are_honoured() {
    let app = TestApp::start().await;
    app.simulator.fail_next("transcribe", 2, Fault::CutAfterPurchase);
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    assert_eq!(app.bought("transcribe", &audio), 1);
    assert_eq!(causes(&app, id, "transcription").await, ["first succeeded"]);
    app.finish().await;
}

/// Where the provider knows no keys, one second purchase is a decision that the ledger names; a third is
/// not made.
#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_purchase_is_made_again_once_and_counted() {
    let app =
        TestApp::start_with(TestOptions::default().set("SCRYON_FAKE_PROVIDER_IDEMPOTENT", "false")).await;
    app.simulator.fail_next("transcribe", 1, Fault::CutAfterPurchase);
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    assert_eq!(app.bought("transcribe", &audio), 2);
    assert_eq!(causes(&app, id, "transcription").await, ["first unknown", "ambiguous succeeded"]);

    app.simulator.fail_next("transcribe", 2, Fault::CutAfterPurchase);
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    let call = app.client.finished(id).await;
    assert_eq!(
        (call["status"].as_str(), call["errorReason"].as_str()),
        (Some("FAILED"), Some("provider_submit_unconfirmed"))
    );
    assert_eq!(app.bought("transcribe", &audio), 2);
    let verdict = app.verdict_allowing(&["provider_submit_unconfirmed"]).await;
    assert!(verdict.problems.is_empty(), "{:?}", verdict.problems);
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_price_limit_nothing_is_bought_a_second_time() {
    let app = TestApp::start_with(
        TestOptions::default()
            .set("SCRYON_FAKE_PROVIDER_IDEMPOTENT", "false")
            .set("SCRYON_AMBIGUOUS_REBUY_MAX_USD", "0.05"),
    )
    .await;
    app.simulator.fail_next("transcribe", 1, Fault::CutAfterPurchase);
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    let call = app.client.finished(id).await;
    assert_eq!(call["errorReason"], "provider_submit_unconfirmed");
    assert_eq!(app.bought("transcribe", &audio), 1);
    app.stop_and_clean().await;
}

/// Diarization never fails a call.
#[tokio::test(flavor = "multi_thread")]
async fn without_diarization_the_labels_of_the_transcription_serve() {
    let app = TestApp::start_with(TestOptions::default().set("SCRYON_STAGE_MAX_TRIES", "2")).await;
    app.simulator.fail_next("diarize", 2, Fault::Status(500, None));
    let id = app.client.upload(unique_wav()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    let transcript = app.client.get(&format!("/api/calls/{id}/transcript")).await.body;
    assert_eq!(transcript["pipeline"]["diarizationProvider"], "transcript-labels");
    assert_eq!(
        transcript["speakers"].as_array().unwrap().len(),
        2,
        "the transcription's labels tell two speakers apart"
    );
    app.finish().await;
}

/// An analysis that is none fails the call's analysis only: the transcript stays readable.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_for_an_analysis_leaves_the_transcript_readable() {
    let app = TestApp::start().await;
    app.simulator.fail_next("analyze", 2, Fault::Garbage);
    let id = app.client.upload(unique_wav()).await;
    let call = app.client.finished(id).await;
    assert_eq!(
        (call["status"].as_str(), call["errorReason"].as_str()),
        (Some("FAILED"), Some("analysis_invalid"))
    );
    assert_eq!(app.client.get(&format!("/api/calls/{id}/transcript")).await.status, 200);
    let analysis = app.client.get(&format!("/api/calls/{id}/analysis")).await;
    assert_eq!(
        (analysis.status, analysis.body["error"]["details"]["reason"].as_str()),
        (404, Some("analysis_invalid"))
    );
    // An operator's reset goes on from there and buys no speech again.
    reset(&app, id).await;
    assert_eq!(finished_run(&app, id, 2).await["status"], "COMPLETED");
    app.finish().await;
}

/// A reset reuses what was paid for; `force_paid` buys everything again.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_reuses_purchases_unless_it_is_told_not_to() {
    let app = TestApp::start().await;
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    app.client.finished(id).await;
    reset(&app, id).await;
    let call = finished_run(&app, id, 2).await;
    assert_eq!((app.bought("transcribe", &audio), app.bought("diarize", &audio)), (1, 1));
    let skipped: Vec<&str> = call["stages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| s["skipReason"] == "reused")
        .map(|s| s["stage"].as_str().unwrap())
        .collect();
    assert_eq!(skipped, ["transcription", "diarization"]);
    assert_eq!(call["lane"], "backfill");

    app.database
        .sql("update call_records set status = 'QUEUED', force_paid = true where id = $1", &[&id])
        .await;
    finished_run(&app, id, 3).await;
    assert_eq!((app.bought("transcribe", &audio), app.bought("diarize", &audio)), (2, 2));
    assert_eq!(causes(&app, id, "transcription").await, ["first succeeded", "reset succeeded"]);
    reset(&app, id).await;
    finished_run(&app, id, 4).await;
    assert_eq!(app.bought("transcribe", &audio), 2, "force_paid holds for one run");
    app.finish().await;
}

/// A call is reset while its paid request is on its way: the request is not cut, its answer is kept, and the
/// new run adopts it.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_a_superseded_request_is_adopted() {
    let app = TestApp::start().await;
    app.simulator.fail_next("transcribe", 1, Fault::Hold);
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    eventually("the request to be held", || async { (app.simulator.held() == 1).then_some(()) }).await;
    reset(&app, id).await;
    eventually("the new run", || async { (app.client.call(id).await["run"] == 2).then_some(()) }).await;
    eventually("the new run to wait for the old answer", || async {
        let sql = "select count(*) from call_stages where run_no = 2 and stage = 'transcription' and state = 'WAITING'";
        (app.database.number(sql).await == 1).then_some(())
    })
    .await;
    app.simulator.release();
    let call = finished_run(&app, id, 2).await;
    assert_eq!(call["status"], "COMPLETED");
    assert_eq!(app.bought("transcribe", &audio), 1);
    let transcription = &call["stages"][1];
    assert_eq!(
        (transcription["state"].as_str(), transcription["skipReason"].as_str()),
        (Some("SKIPPED"), Some("reused"))
    );
    app.finish().await;
}

/// The same recording uploaded twice by one tenant is bought once, and each call keeps what it needs of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_recording_of_a_tenant_is_bought_once() {
    let app = TestApp::start_with(TestOptions::default().latency(Duration::from_millis(300))).await;
    let audio = unique_wav();
    let (first, second) = tokio::join!(app.client.upload(audio.clone()), app.client.upload(audio.clone()));
    app.client.finished(first).await;
    app.client.finished(second).await;
    assert_eq!((app.bought("transcribe", &audio), app.bought("diarize", &audio)), (1, 1));
    let foreign = "select count(*) from call_artifacts where storage_key not like '%' || call_id || '%'";
    assert_eq!(app.database.number(foreign).await, 0, "no call leans on another's objects");
    app.finish().await;
}

/// The call is taken from its worker while the document of a paid answer is being written.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_whose_call_fails_while_it_is_written_down() {
    let app = TestApp::start_with(TestOptions::default().remote_storage()).await;
    app.simulator.fail_next("transcribe", 1, Fault::Hold);
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    eventually("the provider to work", || async { (app.simulator.held() == 1).then_some(()) }).await;
    // From here on the answer's document is the next that is written.
    let diarized = "select count(*) from call_stages where stage = 'diarization' and state = 'SUCCEEDED'";
    eventually("the other stage's end", || async {
        (app.database.number(diarized).await == 1).then_some(())
    })
    .await;
    // Leases are renewed every 15 s: the worker learns in that time that its own is gone.
    app.object_store().fail_next("PUT", 1, StorageFault::Slow(Duration::from_secs(16)));
    app.simulator.release();
    let writing = || async { (app.object_store().faults_left() == 0).then_some(()) };
    eventually("the document to be on its way", writing).await;
    let fail = "update call_records set status = 'FAILED', error_reason = 'manual_sweep' where id = $1";
    app.database.sql(fail, &[&id]).await;
    eventually("the answer to be kept", || async {
        (causes(&app, id, "transcription").await == ["first succeeded"]).then_some(())
    })
    .await;
    reset(&app, id).await;
    assert_eq!(finished_run(&app, id, 2).await["status"], "COMPLETED");
    assert_eq!(app.bought("transcribe", &audio), 1);
    app.finish().await;
}
