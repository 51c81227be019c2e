//! Hints that are lost, doubled, or never confirmed: rows decide.

use std::sync::Arc;
use std::time::Duration;

use scryon_domain::stage::{Lane, StageKind};
use scryon_testkit::{Fault, Gate, Parts, TestApp, TestOptions, eventually, eventually_within, unique_wav};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{all_completed, bought_once_each, upload_many};

#[tokio::test(flavor = "multi_thread")]
async fn with_every_hint_dropped_the_dispatcher_alone_finishes_all_calls() {
    let app = TestApp::start_with(TestOptions::default().drop_hints()).await;
    upload_many(&app, 100).await;
    all_completed(&app, 100).await;
    bought_once_each(&app, 100);
    app.finish().await;
}

/// A hundred calls, with hints that come twice.
async fn each_stage_is_done_once(options: TestOptions) {
    let app = TestApp::start_with(options).await;
    upload_many(&app, 100).await;
    all_completed(&app, 100).await;
    bought_once_each(&app, 100);
    let twice = "select count(*) from (select 1 from call_processing_events where status = 'COMPLETED'
                 group by call_id, stage having count(*) > 1) e";
    assert_eq!(app.database.number(twice).await, 0, "no stage is done twice");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_hint_delivered_twice_each_stage_is_done_once() {
    each_stage_is_done_once(TestOptions::default().double_hints()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_hint_delivered_twice_and_in_any_order_each_stage_is_done_once() {
    each_stage_is_done_once(TestOptions::default().shuffle_hints()).await;
}

/// A confirm that was heard is no promise: the broker may lose its messages afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn hints_that_were_confirmed_and_then_lost_are_made_again_from_rows() {
    let mut app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    upload_many(&app, 20).await;
    app.broker().await.purge_queues(&app.topology()).await;
    app.spawn_workers(app.context.announcer.clone(), app.context.stop.clone());
    app.spawn_sweeper();
    all_completed(&app, 20).await;
    bought_once_each(&app, 20);
    app.finish().await;
}

async fn stage_state(app: &TestApp, id: Uuid, stage: &str) -> Option<String> {
    let sql = "select state from call_stages where call_id = $1 and stage = $2";
    app.database.sql(sql, &[&id, &stage]).await.first().map(|r| r.get(0))
}

async fn ready(app: &TestApp, stage: StageKind) -> u32 {
    app.context.publisher.depth(stage, Lane::Live).await.unwrap()
}

/// Brings a call to the point where `last` is finished and what follows from it is announced, but neither
/// carried nor confirmed. Gives the token that stops those workers.
async fn stuck_before_the_confirm(
    app: &mut TestApp,
    held: &str,
    last: &str,
    other: &str,
) -> (Uuid, CancellationToken) {
    let gate = Gate::holding(app.context.announcer.clone());
    let stop = CancellationToken::new();
    app.spawn_workers(Arc::new(gate.clone()), stop.clone());
    app.simulator.fail_next(held, 1, Fault::Hold);
    let id = app.client.upload(unique_wav()).await;
    eventually("the other stage, and the held one", || async {
        let done = stage_state(app, id, other).await.as_deref() == Some("SUCCEEDED");
        (done && app.simulator.held() == 1).then_some(())
    })
    .await;
    gate.close();
    app.simulator.release();
    eventually("an announcement nobody confirms", || async {
        let done = stage_state(app, id, last).await.as_deref() == Some("SUCCEEDED");
        (done && gate.waiting() == 1).then_some(())
    })
    .await;
    (id, stop)
}

/// The ack follows the confirm: a worker that is stopped in between leaves its delivery, and whoever gets it
/// next makes the announcement good. No sweeper helps here.
async fn no_ack_before_the_confirm(held: &str, last: &str, other: &str, delivery: StageKind) {
    let options = TestOptions::default().parts(Parts::API).set("SCRYON_DRAIN_SECONDS", "3");
    let mut app = TestApp::start_with(options).await;
    let (id, stop) = stuck_before_the_confirm(&mut app, held, last, other).await;
    assert_eq!(ready(&app, delivery).await, 0, "the delivery is in the worker's hands");
    stop.cancel();
    eventually_within(Duration::from_secs(40), "the delivery to come back", || async {
        (ready(&app, delivery).await == 1).then_some(())
    })
    .await;
    app.spawn_workers(app.context.announcer.clone(), app.context.stop.clone());
    eventually_within(Duration::from_secs(40), "the call's end without a sweeper", || async {
        (app.client.call(id).await["status"] == "COMPLETED").then_some(())
    })
    .await;
    bought_once_each(&app, 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diarization_whose_announcement_is_not_confirmed_is_not_acknowledged() {
    no_ack_before_the_confirm("diarize", "diarization", "transcription", StageKind::Diarization).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assembly_whose_announcement_is_not_confirmed_is_not_acknowledged() {
    no_ack_before_the_confirm("transcribe", "assembly", "diarization", StageKind::Preprocessing).await;
}
