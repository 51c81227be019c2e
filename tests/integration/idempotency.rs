//! The same request sent again gets the same answer and makes no second call.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use scryon_testkit::{Answer, Client, Parts, TestApp, TestOptions, promised, unique_wav};

async fn upload(app: &TestApp, audio: &[u8], key: &str) -> Answer {
    let request = app
        .client
        .request(Method::POST, "/api/calls/analyze")
        .header("Idempotency-Key", key)
        .multipart(Client::form(audio.to_vec()));
    app.client.send(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_parallel_uploads_with_one_key_make_one_call() {
    let app = TestApp::start().await;
    let audio = unique_wav();
    let answers = join_all((0..50).map(|_| upload(&app, &audio, "one-key"))).await;
    let ids: std::collections::BTreeSet<_> =
        answers.iter().filter(|a| a.status == 202).map(|a| a.body["callId"].to_string()).collect();
    assert_eq!(ids.len(), 1, "one call");
    for answer in &answers {
        assert!(answer.status == 202 || answer.status == 409, "{}: {}", answer.status, answer.text);
        if answer.status == 409 {
            assert!(answer.headers.contains_key("retry-after"));
        }
    }
    assert_eq!(app.database.number("select count(*) from call_records").await, 1);
    let id = ids.into_iter().next().unwrap().trim_matches('"').parse().unwrap();
    app.client.finished(id).await;
    assert_eq!(app.bought("transcribe", &audio), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_answers_the_same_and_refuses_other_bytes() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let audio = unique_wav();
    let first = upload(&app, &audio, "key-1").await;
    let again = upload(&app, &audio, "key-1").await;
    let quoted = upload(&app, &audio, "\"key-1\"").await;
    assert_eq!(first.status, 202);
    assert_eq!((again.status, &again.body), (202, &first.body));
    assert_eq!((quoted.status, &quoted.body), (202, &first.body), "quoted and bare are equal");
    let other = upload(&app, &unique_wav(), "key-1").await;
    assert_eq!((other.status, other.code()), (422, "idempotency_mismatch"));
    assert_eq!(app.database.number("select count(*) from call_records").await, 1);
    assert_ne!(upload(&app, &audio, "key-2").await.body["callId"], first.body["callId"]);
    app.stop_and_clean().await;
}

/// A request that was refused frees its key: the corrected one may use it at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_frees_its_key_within_a_second() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    assert_eq!(upload(&app, b"not a recording at all", "key").await.status, 415);
    let asked = Instant::now();
    let corrected = upload(&app, &unique_wav(), "key").await;
    assert_eq!(corrected.status, 202, "{}", corrected.text);
    // A hold that nobody gives back ends after 30 s.
    let limit = promised(Duration::from_secs(1), Duration::from_secs(20));
    assert!(asked.elapsed() < limit, "{:?}", asked.elapsed());
    app.stop_and_clean().await;
}

/// The process that held the key died: after its hold another may take it.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_dead_holder_is_taken_over() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    upload(&app, &unique_wav(), "warm-up").await; // makes the user
    let client = app.database.client().await;
    client
        .execute(
            "insert into idempotency_keys (tenant_id, user_id, route, key, call_id, state, held_until)
             select tenant_id, id, 'POST /api/calls/analyze', 'dead', gen_random_uuid(), 'OPEN', now() - interval '1 second' from users",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(upload(&app, &unique_wav(), "dead").await.status, 202);
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_keys_are_refused() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    for key in ["\"\"", &"x".repeat(256)] {
        let answer = upload(&app, &unique_wav(), key).await;
        assert_eq!((answer.status, answer.code()), (400, "validation_failed"), "{key}");
    }
    app.stop_and_clean().await;
}
