use reqwest::{RequestBuilder, Response};
use scryon_simulator::{CallbackFault, Fault, JobFault};
use serde_json::{Value, json};

use crate::support::*;

const AUDIO: &[u8] = b"a recording";

fn keyed(request: RequestBuilder) -> RequestBuilder {
    request.header("authorization", "k")
}

async fn sent(request: RequestBuilder) -> Response {
    keyed(request).send().await.unwrap()
}

async fn submit(running: &Running, more: &Value) -> Value {
    let upload = json(sent(running.post("/assemblyai/v2/upload").body(AUDIO)).await).await;
    let mut body = json!({"audio_url": upload["upload_url"], "speaker_labels": true});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json(sent(running.post("/assemblyai/v2/transcript").json(&body)).await).await
}

fn place(id: &Value) -> String {
    format!("/assemblyai/v2/transcript/{}", id.as_str().unwrap())
}

async fn ended(running: &Running, id: &Value) -> Value {
    eventually("the transcript's end", || async {
        let shown = json(sent(running.get(&place(id))).await).await;
        ["completed", "error"].contains(&shown["status"].as_str().unwrap()).then_some(shown)
    })
    .await
}

#[tokio::test]
async fn an_upload_is_transcribed_with_letters_and_milliseconds() {
    let running = start_with(|o| o.assemblyai_step_ms = 20).await;
    let submitted = submit(&running, &json!({})).await;
    assert_eq!((submitted["status"].as_str(), &submitted["text"]), (Some("queued"), &Value::Null));
    let done = ended(&running, &submitted["id"]).await;
    let first = &done["utterances"][0];
    assert_eq!((first["speaker"].as_str(), &first["start"]), (Some("A"), &json!(0)));
    assert_eq!(done["utterances"][1]["speaker"], "B");
    assert_eq!(done["utterances"][1]["start"], 2_000, "whole milliseconds");
    assert_eq!(done["audio_duration"], 8, "seconds");
    assert!(done["text"].as_str().unwrap().starts_with(&word(AUDIO)));
    let purchases = running.simulator.purchases();
    assert_eq!((purchases.len(), purchases[0].input.clone()), (1, sha256(AUDIO)));
}

#[tokio::test]
async fn what_fails_says_so_with_200_and_is_free() {
    let running = start().await;
    running.simulator.fail_next("assemblyai.submit", 1, Fault::Job(JobFault::Failed));
    let submitted = submit(&running, &json!({})).await;
    let shown = ended(&running, &submitted["id"]).await;
    assert_eq!((shown["status"].as_str(), shown["error"].is_string()), (Some("error"), true));
    assert_eq!(running.count("assemblyai.submit"), 0);
    let (status, body) = told(sent(running.post("/assemblyai/v2/transcript").json(&json!({}))).await).await;
    assert_eq!((status, body["error"].is_string()), (400, true));
    for (header, status) in [("bad-key", 401), ("Bearer k", 401)] {
        let request = running.post("/assemblyai/v2/transcript").header("authorization", header);
        let answer = request.json(&json!({"audio_url": "https://a.example"})).send().await.unwrap();
        assert_eq!(answer.status(), status, "{header}");
    }
}

#[tokio::test]
async fn the_rest_waits_in_line() {
    let running = start_with(|o| (o.assemblyai_step_ms, o.assemblyai_parallel) = (60_000, 1)).await;
    let first = submit(&running, &json!({})).await;
    let second = submit(&running, &json!({})).await;
    for id in [&first["id"], &second["id"]] {
        assert_eq!(json(sent(running.get(&place(id))).await).await["status"], "queued");
    }
}

#[tokio::test]
async fn a_webhook_is_thin_carries_its_header_and_stops_at_a_4xx() {
    let mut receiver = Receiver::answering(&[503, 200, 404]).await;
    let running = start_with(|o| o.assemblyai_retry_ms = 5).await;
    let hook = json!({"webhook_url": format!("{}/w", receiver.base), "webhook_auth_header_name": "X-Hook",
        "webhook_auth_header_value": "s3cret"});
    let submitted = submit(&running, &hook).await;
    for _ in 0..2 {
        let received = receiver.next().await;
        assert_eq!(received.json(), json!({"transcript_id": submitted["id"], "status": "completed"}));
        assert_eq!(received.header("x-hook"), Some("s3cret"));
    }
    // What the receiver said is known when there are no more tries.
    let said = async |submitted: &Value| {
        eventually("what the receiver said to be known", || async {
            let shown = json(sent(running.get(&place(&submitted["id"]))).await).await;
            assert_eq!(shown["webhook_auth"], true);
            shown["webhook_status_code"].as_u64()
        })
        .await
    };
    assert_eq!(said(&submitted).await, 200);
    // 404 ends it for good, though the receiver would take the next try.
    let second = submit(&running, &hook).await;
    assert_eq!(receiver.next().await.json()["transcript_id"], second["id"]);
    assert_eq!(said(&second).await, 404);
    running.simulator.fail_next("assemblyai.submit", 1, Fault::Callback(CallbackFault::WrongSecret));
    let third = submit(&running, &hook).await;
    let received = receiver.next().await;
    assert_eq!(received.json()["transcript_id"], third["id"]);
    assert_ne!(received.header("x-hook"), Some("s3cret"));
}

#[tokio::test]
async fn a_deleted_transcript_is_gone_and_nobody_elses_can_be() {
    let running = start().await;
    let submitted = submit(&running, &json!({})).await;
    let path = place(&submitted["id"]);
    let foreign = running.http.delete(format!("{}{path}", running.base)).header("authorization", "k2");
    assert_eq!(foreign.send().await.unwrap().status(), 404);
    let own = running.http.delete(format!("{}{path}", running.base));
    assert_eq!(sent(own).await.status(), 200);
    assert_eq!(sent(running.get(&path)).await.status(), 404);
}
