//! Messages: garbage is parked where people see it, and the consumer lives on.

use scryon_domain::hint::{Hint, HintReason};
use scryon_domain::ids::{CallId, TenantId};
use scryon_domain::stage::{Lane, StageKind};
use scryon_testkit::{Parts, TestApp, TestOptions, eventually, unique_wav};

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_kept_in_dead_letters_and_the_consumer_lives() {
    let app = TestApp::start().await;
    let connection = app.broker().await;
    let good = Hint::start(CallId::new(), TenantId::default_tenant(), Lane::Live, HintReason::Upload);
    let of_the_future = String::from_utf8(good.to_body()).unwrap().replace("\"v\":1", "\"v\":99");
    let unknown_stage = String::from_utf8(good.to_body()).unwrap().replace("preprocessing", "cooking");
    let garbage: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0xff, 0xfe, 0x00],
        vec![b'x'; 1 << 20],
        b"{}".to_vec(),
        of_the_future.into_bytes(),
        unknown_stage.into_bytes(),
    ];
    for body in &garbage {
        connection.publish(&app.topology(), StageKind::Preprocessing, Lane::Live, body).await;
    }
    eventually("every letter in the table", || async {
        let kept = app.database.number("select count(*) from dead_letters").await;
        (kept == garbage.len() as i64).then_some(())
    })
    .await;
    let rows =
        app.database.sql("select body, queue, reason from dead_letters order by length(body)", &[]).await;
    assert_eq!(rows[0].get::<_, Vec<u8>>(0), Vec::<u8>::new());
    assert!(rows[0].get::<_, String>(1).ends_with(".preprocessing.live.v1"));
    assert_eq!(rows[0].get::<_, String>(2), "rejected");
    let id = app.client.upload(unique_wav()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    app.finish().await;
}

/// A hint for nothing (a deleted call, an old run) is dropped without a trace.
#[tokio::test(flavor = "multi_thread")]
async fn hints_for_nothing_are_harmless() {
    let app = TestApp::start().await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    let connection = app.broker().await;
    for (call_id, run_no, stage) in [
        (CallId::new(), None, StageKind::Preprocessing),
        (CallId(id), None, StageKind::Preprocessing),
        (CallId(id), Some(1), StageKind::Transcription),
        (CallId(id), Some(7), StageKind::Assembly),
    ] {
        let start = Hint::start(call_id, TenantId::default_tenant(), Lane::Live, HintReason::Next);
        let hint = Hint { run_no, stage, ..start };
        connection.publish(&app.topology(), stage, Lane::Live, &hint.to_body()).await;
    }
    let after = app.client.upload(unique_wav()).await;
    assert_eq!(app.client.finished(after).await["status"], "COMPLETED");
    assert_eq!(app.client.call(id).await["run"], 1);
    assert_eq!(app.database.number("select count(*) from dead_letters").await, 0);
    app.finish().await;
}

/// Backfill is worked on beside live calls, and resets go there.
#[tokio::test(flavor = "multi_thread")]
async fn resets_run_in_the_backfill_lane() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::ALL)).await;
    let id = app.client.upload(unique_wav()).await;
    app.client.finished(id).await;
    app.database.sql("update call_records set status = 'QUEUED' where id = $1", &[&id]).await;
    eventually("the second run", || async {
        let call = app.client.call(id).await;
        (call["run"] == 2 && call["status"] == "COMPLETED" && call["lane"] == "backfill").then_some(())
    })
    .await;
    app.finish().await;
}
