//! Connections that break when the provider has the whole request.

use scryon_testkit::{Fault, TestApp, TestOptions, unique_wav};
use uuid::Uuid;

use super::purchases;

const ENGINES: [(&str, &str); 3] =
    [("lemonfox", "lemonfox.transcribe"), ("openai", "openai.transcribe"), ("deepgram", "deepgram.listen")];

fn with(engine: &str) -> TestOptions {
    TestOptions::hosted().set("PYANNOTE_ENABLED", "false").set("SCRYON_TRANSCRIPTION_ENGINES", engine)
}

async fn bought_for(app: &TestApp, id: Uuid, stage: &str) -> Vec<String> {
    let all = purchases(app, id).await.into_iter();
    all.map(|(line, _)| line)
        .filter_map(|line| line.strip_prefix(stage).map(|l| l.trim().to_owned()))
        .collect()
}

/// None of them knows keys of idempotency: what was perhaps bought is bought once more, and the ledger counts it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_was_cut_is_bought_once_more_and_counted() {
    for (engine, route) in ENGINES {
        let app = TestApp::start_with(with(engine)).await;
        for fault in [Fault::CutAfterPurchase, Fault::CutInBody] {
            app.simulator.fail_next(route, 1, fault);
            let audio = unique_wav();
            let id = app.client.upload(audio.clone()).await;
            assert_eq!(app.client.finished(id).await["status"], "COMPLETED", "{engine} {fault:?}");
            assert_eq!(app.bought(route, &audio), 2, "{engine} {fault:?}");
            let ledger = [format!("{engine} first unknown"), format!("{engine} ambiguous succeeded")];
            assert_eq!(bought_for(&app, id, "transcription").await, ledger, "{engine} {fault:?}");
        }
        app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_limit_of_the_price_it_is_bought_once_and_the_call_says_so() {
    for (engine, route) in ENGINES {
        let app = TestApp::start_with(with(engine).set("SCRYON_AMBIGUOUS_REBUY_MAX_USD", "0.001")).await;
        app.simulator.fail_next(route, 1, Fault::CutAfterPurchase);
        let audio = unique_wav();
        let id = app.client.upload(audio.clone()).await;
        let call = app.client.finished(id).await;
        assert_eq!(call["errorReason"], "provider_submit_unconfirmed", "{engine}");
        assert_eq!(app.bought(route, &audio), 1, "{engine}");
        assert_eq!(
            bought_for(&app, id, "transcription").await,
            [format!("{engine} first unknown")],
            "{engine}"
        );
        let verdict = app.verdict_allowing(&["provider_submit_unconfirmed"]).await;
        assert!(verdict.problems.is_empty(), "{engine}: {:?}", verdict.problems);
        app.stop_and_clean().await;
    }
}

/// A job's callback tells its name: nothing is bought again.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_submit_of_a_job_that_is_called_back_for_is_bought_once() {
    let app = TestApp::start_with(with("assemblyai")).await;
    app.simulator.fail_next("assemblyai.submit", 1, Fault::CutAfterPurchase);
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    assert_eq!(app.bought("assemblyai.submit", &audio), 1);
    assert_eq!(bought_for(&app, id, "transcription").await, ["assemblyai first succeeded"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_whose_answer_was_cut_is_bought_once_more_and_counted() {
    let app = TestApp::start_with(with("lemonfox")).await;
    app.simulator.fail_next("openai.chat", 1, Fault::CutAfterPurchase);
    let audio = unique_wav();
    let id = app.client.upload(audio.clone()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    assert_eq!(app.simulator.chats().len(), 2);
    assert_eq!(
        bought_for(&app, id, "analysis").await,
        ["openai first unknown", "openai ambiguous succeeded"]
    );
    assert_eq!(app.bought("lemonfox.transcribe", &audio), 1);
    app.finish().await;
}
