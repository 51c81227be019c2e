//! By meaning.

use reqwest::Method;
use scryon_testkit::{Fault, HostedOptions, TestApp, TestOptions, eventually, unique_wav};
use serde_json::json;
use uuid::Uuid;

use super::{find, ids, indexed, status};

const QUESTION: &str = "who wants to leave us";

fn embedded() -> TestOptions {
    TestOptions::hosted().set("PYANNOTE_ENABLED", "false").set("SCRYON_EMBEDDING_ENABLED", "true")
}

fn bought(app: &TestApp) -> usize {
    app.simulator.purchases().iter().filter(|p| p.route == "openai.embeddings").map(|p| p.count).sum()
}

async fn embedded_calls(app: &TestApp, calls: i64) {
    eventually("embeddings", || async {
        let status = status(app).await;
        (status["embedded"] == calls && status["embeddingPending"] == 0).then_some(())
    })
    .await;
}

/// Lets the simulator understand a question as the head of a call.
async fn let_mean(app: &TestApp, id: Uuid) {
    let call = app.client.call(id).await;
    let tags: Vec<&str> = call["tags"].as_array().unwrap().iter().filter_map(|tag| tag.as_str()).collect();
    let tags = tags.join(", ");
    let parts =
        [call["title"].as_str(), call["contactName"].as_str(), Some(&tags), call["shortSummary"].as_str()];
    let head =
        parts.into_iter().flatten().filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join("\n");
    let openai_meanings = vec![(QUESTION.to_owned(), head)];
    app.simulator.set_hosted(HostedOptions { openai_meanings, ..app.simulator.hosted() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_found_by_what_it_means_and_bought_for_that_once() {
    let app = TestApp::start_with(embedded()).await;
    let one = app.client.upload_with(unique_wav(), &json!({"title": "Resignation"})).await;
    let other = app.client.upload_with(unique_wav(), &json!({"title": "Budget"})).await;
    for id in [one, other] {
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    }
    indexed(&app, 2).await;
    embedded_calls(&app, 2).await;
    assert_eq!(bought(&app), 2);
    let sql = "select state, cause, billed_cost > 0, units > 0 from provider_jobs where stage = 'embedding' and call_id = $1";
    let row = app.database.sql(sql, &[&one]).await.remove(0);
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("succeeded", "first"));
    assert_eq!((row.get::<_, Option<bool>>(2), row.get::<_, Option<bool>>(3)), (Some(true), Some(true)));
    let costs = app.client.get(&format!("/api/calls/{one}/costs")).await.body;
    assert!(costs["items"].as_array().unwrap().iter().any(|item| item["stage"] == "embedding"), "{costs}");
    let_mean(&app, one).await;
    assert_eq!(ids(&app, QUESTION).await, [one]);
    // A question that was asked before is not bought again.
    assert_eq!(ids(&app, QUESTION).await, [one]);
    assert_eq!(bought(&app), 3);
    let asked = "select state, call_id is null and not live, billed_cost is not null, units > 0 from provider_jobs where stage = 'question'";
    let asked = app.database.sql(asked, &[]).await;
    assert_eq!(asked.len(), 1, "the ledger has it, too, once");
    assert_eq!(asked[0].get::<_, &str>(0), "succeeded");
    assert!((1..4).all(|n| asked[0].get::<_, Option<bool>>(n) == Some(true)));
    // Neither is a call that has not changed.
    let backfill = app.client.send(app.client.request(Method::POST, "/api/calls/search/backfill")).await;
    assert_eq!(backfill.body, json!({"queued": 2, "embeddingEnabled": true}));
    indexed(&app, 2).await;
    embedded_calls(&app, 2).await;
    assert_eq!(bought(&app), 3);
    // One that has is, once.
    app.database.sql("update call_records set title = 'Notice' where id = $1", &[&one]).await;
    eventually("the new title's embeddings", || async { (bought(&app) == 4).then_some(()) }).await;
    embedded_calls(&app, 2).await;
    assert_eq!(ids(&app, QUESTION).await, [] as [Uuid; 0], "what it meant before is forgotten");
    let deleted = app.client.send(app.client.request(Method::DELETE, &format!("/api/calls/{one}"))).await;
    assert_eq!(deleted.status, 204);
    let left = "select count(*) from call_embeddings e where not exists (select 1 from call_records c where c.id = e.call_id)";
    assert_eq!(app.database.number(left).await, 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_embeddings_cannot_be_had_words_find_and_calls_wait_for_theirs() {
    let app = TestApp::start_with(embedded()).await;
    app.simulator.fail_next("openai.embeddings", 1000, Fault::Status(503, None));
    let id = app.client.upload_with(unique_wav(), &json!({"title": "Resignation"})).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    indexed(&app, 1).await;
    let answer = find(&app, "resignation").await;
    assert_eq!((answer.status, &answer.body[0]["id"]), (200, &json!(id)), "{}", answer.text);
    let failed =
        "select count(*) from provider_jobs where stage = 'embedding' and state = 'failed' and not live";
    eventually("an attempt", || async { (app.database.number(failed).await > 0).then_some(()) }).await;
    assert_eq!(status(&app).await["embeddingPending"], 1);
    assert_eq!(bought(&app), 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_refused_is_not_sent_again() {
    let app = TestApp::start_with(embedded()).await;
    app.simulator.fail_next("openai.embeddings", 1, Fault::Status(400, None));
    let id = app.client.upload_with(unique_wav(), &json!({"title": "Resignation"})).await;
    app.client.finished(id).await;
    indexed(&app, 1).await;
    eventually("the refusal", || async {
        let status = status(&app).await;
        (status["embeddingPending"] == 0 && status["embedded"] == 0).then_some(())
    })
    .await;
    assert_eq!(ids(&app, "resignation").await, [id]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_embeddings_are_off_none_are_bought() {
    let app = TestApp::start_with(embedded().set("SCRYON_EMBEDDING_ENABLED", "false")).await;
    let id = app.client.upload_with(unique_wav(), &json!({"title": "Resignation"})).await;
    app.client.finished(id).await;
    indexed(&app, 1).await;
    assert_eq!(ids(&app, "resignation").await, [id]);
    let status = status(&app).await;
    assert_eq!((&status["embeddingEnabled"], status.get("embedded")), (&json!(false), None));
    assert_eq!(bought(&app), 0);
    app.finish().await;
}
