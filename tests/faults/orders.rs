//! Orders to a call whose answer is lost behind the commit: sent again under their Idempotency-Key, they are not
//! carried out again.

use futures_util::future::join;
use reqwest::Method;
use scryon_testkit::{Answer, Fault, TestApp, TestOptions, Way, eventually, unique_wav};
use serde_json::{Value, json};
use uuid::Uuid;

async fn ask(app: &TestApp, id: Uuid, order: &str, body: &Value) -> Answer {
    let request = app.client.request(Method::POST, &format!("/api/calls/{id}/{order}"));
    app.client.send(request.header("Idempotency-Key", order).json(body)).await
}

/// An order that waits for the row of its call, which an operator holds, while this happens.
async fn meanwhile(
    app: &TestApp,
    (id, order, body): (Uuid, &str, &Value),
    happens: impl AsyncFnOnce(tokio_postgres::Client),
) -> Answer {
    let operator = app.database.client().await;
    let lock = format!("begin; select from call_records where id = '{id}' for update");
    operator.batch_execute(&lock).await.unwrap();
    let waits =
        "select count(*) from pg_stat_activity a where wait_event_type = 'Lock' and query like '%order_kept%'
         and exists (select from pg_locks l where l.pid = a.pid and l.relation = 'call_records'::regclass)";
    let happening = async {
        eventually("the order waits for the operator", || async {
            (app.database.number(waits).await == 1).then_some(())
        })
        .await;
        happens(operator).await;
    };
    join(ask(app, id, order, body), happening).await.0
}

/// An order, twice under one key; the connection to Postgres breaks under the first, which is committed behind it.
async fn ordered_into_a_break(app: &TestApp, id: Uuid, order: &str, body: &Value) -> [Answer; 2] {
    let lost = meanwhile(app, (id, order, body), async |operator| {
        let postgres = &app.wires().postgres;
        postgres.silence(&[Way::ToClient]);
        operator.batch_execute("commit").await.unwrap();
        let kept = "select count(*) from idempotency_keys where state = 'DONE' and key = $1";
        eventually("the order is committed", || async {
            let row = app.database.sql(kept, &[&order]).await;
            (row[0].get::<_, i64>(0) == 1).then_some(())
        })
        .await;
        postgres.reset();
        postgres.heal();
    })
    .await;
    // Other connections broke, too, and the API perhaps does not know it of all of them.
    let again = eventually("an answer", || async {
        let answer = ask(app, id, order, body).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    [lost, again]
}

async fn completed(app: &TestApp, id: Uuid, run: i64) {
    eventually("the run to end", || async {
        let call = app.client.call(id).await;
        (call["run"] == run && call["status"] == "COMPLETED").then_some(())
    })
    .await;
}

/// Nothing is bought for an order's repetition, though everything is ordered to be bought again.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_is_lost_is_carried_out_once() {
    let app = TestApp::start_with(TestOptions::default().wired()).await;
    let id = app.client.upload(unique_wav()).await;
    completed(&app, id, 1).await;
    for (order, body, status, run) in
        [("reprocess", json!({"forcePaid": true}), "QUEUED", 2), ("reanalyze", json!({}), "ANALYZING", 3)]
    {
        let [lost, again] = ordered_into_a_break(&app, id, order, &body).await;
        assert_eq!((lost.status, again.status), (503, 202), "{order}: {} {}", lost.text, again.text);
        assert_eq!(again.body["status"], status, "{order}");
        completed(&app, id, run).await;
    }
    let purchases = app.simulator.purchases();
    let bought = ["transcribe", "diarize", "analyze"]
        .map(|route| purchases.iter().filter(|p| p.route == route).map(|p| p.count).sum::<usize>());
    assert_eq!(bought, [2, 2, 3], "by the upload, by force, and an analysis");

    app.simulator.fail_next("transcribe", 1, Fault::Hold);
    let id = app.client.upload(unique_wav()).await;
    eventually("the request to be held", || async { (app.simulator.held() == 1).then_some(()) }).await;
    let [lost, again] = ordered_into_a_break(&app, id, "cancel", &json!({})).await;
    assert_eq!((lost.status, again.status), (503, 200), "{} {}", lost.text, again.text);
    assert_eq!(again.body["status"], "CANCELLED");
    app.simulator.release();
    app.finish().await;
}

/// Where the key was freed or taken over before the order could act, it does not: somebody else was promised to.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_key_is_gone_does_nothing() {
    let app = TestApp::start().await;
    let id = app.client.upload(unique_wav()).await;
    completed(&app, id, 1).await;
    let order = (id, "reprocess", &json!({}));
    let late = meanwhile(&app, order, async |operator| {
        app.database.sql("delete from idempotency_keys where key = 'reprocess'", &[]).await;
        operator.batch_execute("commit").await.unwrap();
    })
    .await;
    assert_eq!((late.status, late.code()), (409, "idempotency_in_flight"));
    assert_eq!(app.client.call(id).await["run"], 1, "nothing was begun");
    assert_eq!(ask(&app, id, "reprocess", &json!({})).await.status, 202);
    completed(&app, id, 2).await;
    app.finish().await;
}
