//! The real programs end themselves at every named point of their work, as hard as a kill.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use scryon_testkit::{Client, Parts, Stack, TestApp, TestOptions, unique_wav};

use crate::support::{
    ANALYSIS, DIARIZATION, TRANSCRIPTION, WORKERS, WorkerProgram, all_completed, api_up,
    app_for_real_workers, bought_once_each, up,
};

/// Before its claim, before its work, before its Finish, with its purchase recorded and not sent, with its
/// Finish unheard, before the announcement, before the ack.
const POINTS: [&str; 7] = ["C6", "C7", "C8", "C9", "C16", "C14", "C15"];

async fn dies_and_is_replaced(victim: WorkerProgram, point: &'static str) {
    let (app, stack) = app_for_real_workers(TestOptions::default()).await;
    let others = WORKERS.iter().filter(|w| w.name != victim.name);
    let others = join_all(others.map(|w| up(&stack, w.name, &[]))).await;
    let mut first = up(&stack, victim.name, &[("SCRYON_CRASH_AT", point)]).await;
    app.client.upload(unique_wav()).await;

    let ended = tokio::time::timeout(Duration::from_secs(120), first.ended()).await;
    let ended = ended.unwrap_or_else(|_| panic!("{} never came to {point}:\n{}", victim.name, first.log()));
    assert_eq!(ended, None, "{} at {point} ends by a signal:\n{}", victim.name, first.log());
    assert!(first.log().contains(&format!("point={point} ")), "{}", first.log());

    let second = up(&stack, victim.name, &[]).await;
    all_completed(&app, 1).await;
    bought_once_each(&app, 1);
    drop((others, second));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcription_worker_may_die_at_any_point() {
    join_all(POINTS.map(|point| dies_and_is_replaced(TRANSCRIPTION, point))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diarization_worker_may_die_at_any_point() {
    join_all(POINTS.map(|point| dies_and_is_replaced(DIARIZATION, point))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_worker_may_die_at_any_point() {
    join_all(POINTS.map(|point| dies_and_is_replaced(ANALYSIS, point))).await;
}

/// With its object begun, with it complete, with the call committed, with its hint published.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_may_die_at_any_point_and_a_client_that_asks_again_gets_one_call() {
    join_all(["C1", "C2", "C3", "C4"].map(api_dies_and_is_asked_again)).await;
}

async fn api_dies_and_is_asked_again(point: &'static str) {
    let parts = Parts { api: false, workers: true, sweeper: true };
    let app = TestApp::start_with(TestOptions::default().parts(parts)).await;
    let stack = Stack::new(app.settings.clone(), app.storage.path().to_owned());
    let recording = unique_wav();
    let ask = async |address: &str| {
        let client = Client::new(format!("http://{address}"));
        let upload = client.request(Method::POST, "/api/calls/analyze").header("Idempotency-Key", point);
        upload.multipart(Client::form(recording.clone())).send().await.map(|answer| answer.status().as_u16())
    };
    let (mut first, address) = api_up(&stack, &[("SCRYON_CRASH_AT", point)]).await;
    // Published means committed, and the answer may have been quicker than the end.
    let heard = ask(&address).await;
    assert!(point == "C4" || heard.is_err(), "{point}: {heard:?}");
    assert_eq!(first.ended().await, None, "{point} ends by a signal:\n{}", first.log());
    let calls = "select count(*) from call_records";
    let committed: i64 = app.database.sql(calls, &[]).await[0].get(0);
    assert_eq!(committed, i64::from(!["C1", "C2"].contains(&point)), "{point}");

    // Nothing was promised before the commit: the key is free again half a minute later.
    app.database.sql("update idempotency_keys set held_until = now() where state = 'OPEN'", &[]).await;
    let (second, address) = api_up(&stack, &[]).await;
    assert_eq!(ask(&address).await.unwrap(), 202, "{point}:\n{}", second.log());
    all_completed(&app, 1).await;
    let committed: i64 = app.database.sql(calls, &[]).await[0].get(0);
    assert_eq!(committed, 1, "{point}");
    bought_once_each(&app, 1);
    drop(second);
    app.finish().await;
}

/// A crash loop is no reason to fail a call: the deaths leave no try, and the first worker that lives
/// finishes it.
#[tokio::test(flavor = "multi_thread")]
async fn three_deaths_in_a_row_cost_no_call_and_no_try() {
    let (app, stack) = app_for_real_workers(TestOptions::default()).await;
    let others = join_all([TRANSCRIPTION, DIARIZATION].map(|w| up(&stack, w.name, &[]))).await;
    app.client.upload(unique_wav()).await;
    for _ in 0..3 {
        let mut victim = up(&stack, ANALYSIS.name, &[("SCRYON_CRASH_AT", "C7")]).await;
        assert_eq!(victim.ended().await, None, "{}", victim.log());
    }
    let last = up(&stack, ANALYSIS.name, &[]).await;
    all_completed(&app, 1).await;
    bought_once_each(&app, 1);
    drop((others, last));
    app.finish().await;
}
