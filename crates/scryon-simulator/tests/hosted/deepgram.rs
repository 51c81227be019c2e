use reqwest::{RequestBuilder, Response};
use scryon_simulator::{CallbackFault, DeepgramErrors, Fault, HostedOptions};
use serde_json::{Value, json};

use crate::support::*;

const ROUTE: &str = "deepgram.listen";
const AUDIO: &[u8] = b"a recording";

fn ask(running: &Running, options: &str) -> RequestBuilder {
    running
        .post(&format!("/deepgram/v1/listen?{options}"))
        .header("Authorization", "Token k")
        .header("Content-Type", "audio/wav")
        .body(AUDIO)
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

#[tokio::test]
async fn one_channel_has_integer_speakers_where_they_are_asked_for() {
    let running = start().await;
    let answer = json(
        sent(ask(&running, "model=nova-3&diarize_model=latest&utterances=true&smart_format=true")).await,
    )
    .await;
    assert_eq!(answer["results"]["channels"].as_array().unwrap().len(), 1);
    let first = &answer["results"]["channels"][0]["alternatives"][0]["words"][0];
    assert_eq!((first["word"].as_str(), &first["speaker"]), (Some(word(AUDIO).as_str()), &json!(0)));
    assert!(first["punctuated_word"].is_string());
    assert_eq!(answer["results"]["utterances"][1]["speaker"], 1);
    assert_eq!(
        (&answer["metadata"]["sha256"], &answer["metadata"]["models"]),
        (&json!(sha256(AUDIO)), &json!(["nova-3"]))
    );
    let plain = json(sent(ask(&running, "")).await).await;
    assert_eq!(plain["metadata"]["models"], json!(["base"]), "the oldest model, unless one is named");
    assert!(plain["results"]["channels"][0]["alternatives"][0]["words"][0].get("speaker").is_none());
    assert!(plain["results"].get("utterances").is_none());
    assert_eq!(running.simulator.purchases().len(), 2, "other options are another purchase");
}

#[tokio::test]
async fn channels_are_heard_one_by_one() {
    let running = start().await;
    let answer = json(
        sent(ask(&running, "model=nova-3&multichannel=true&utterances=true&detect_language=true")).await,
    )
    .await;
    let channels = answer["results"]["channels"].as_array().unwrap();
    assert_eq!((channels.len(), &answer["metadata"]["channels"]), (2, &json!(2)));
    assert!(channels.iter().all(|c| c["detected_language"] == "en"));
    let heard: Vec<_> =
        answer["results"]["utterances"].as_array().unwrap().iter().map(|u| u["channel"].clone()).collect();
    assert_eq!(heard, [0, 1, 0, 1]);
}

#[tokio::test]
async fn an_address_stands_for_its_recording() {
    let running = start().await;
    let url = "https://storage.example.org/a.wav";
    let request = running.post("/deepgram/v1/listen?model=nova-3").header("Authorization", "Token k");
    let answer = json(sent(request.json(&json!({"url": url}))).await).await;
    assert_eq!(answer["metadata"]["sha256"], sha256(url.as_bytes()));
}

#[tokio::test]
async fn refusals_have_two_shapes_and_buy_nothing() {
    let running = start().await;
    let refuse = async |key: &str| {
        let request = running
            .post("/deepgram/v1/listen")
            .header("Authorization", key)
            .header("Content-Type", "audio/wav");
        told(sent(request.body(AUDIO)).await).await
    };
    let (status, body) = refuse("Token bad-key").await;
    assert_eq!((status, body["err_code"].is_string(), body["err_msg"].is_string()), (401, true, true));
    assert_eq!(refuse("Bearer k").await.0, 401, "the header says Token");
    running.simulator.set_hosted(HostedOptions {
        deepgram_errors: DeepgramErrors::Category,
        ..running.simulator.hosted()
    });
    let (status, body) = refuse("Token unpaid-key").await;
    assert_eq!((status, body["category"].is_string(), body["message"].is_string()), (402, true, true));
    assert_eq!(running.count(ROUTE), 0);
}

#[tokio::test]
async fn requests_at_once_are_limited_by_key() {
    let running = start_with(|o| o.deepgram_concurrent = 1).await;
    running.simulator.fail_next(ROUTE, 1, Fault::Hold);
    let first = tokio::spawn(sent(ask(&running, "model=nova-3")));
    eventually("the first to be held", || async { (running.simulator.held() == 1).then_some(()) }).await;
    assert_eq!(sent(ask(&running, "model=nova-3")).await.status(), 429);
    let other = running.post("/deepgram/v1/listen").header("Authorization", "Token k2").body(AUDIO);
    assert_eq!(sent(other).await.status(), 200);
    running.simulator.release();
    assert_eq!(first.await.unwrap().status(), 200);
    assert_eq!(sent(ask(&running, "model=nova-3")).await.status(), 200, "the place is free again");
}

#[tokio::test]
async fn a_callback_brings_the_same_body_and_is_repeated() {
    let mut receiver = Receiver::answering(&[500]).await;
    let running = start_with(|o| o.deepgram_retry_ms = 5).await;
    let options = format!("model=nova-3&callback={}/c", receiver.base);
    let answer = json(sent(ask(&running, &options)).await).await;
    assert_eq!(answer.as_object().unwrap().len(), 1);
    for _ in 0..2 {
        let received = receiver.next().await;
        assert_eq!(
            (received.method.as_str(), received.header("dg-token")),
            ("POST", Some(&sha256(b"k")[..16]))
        );
        let body: Value = received.json();
        assert_eq!(body["metadata"]["request_id"], answer["request_id"]);
        assert_eq!(body["results"]["channels"][0]["alternatives"][0]["words"][0]["word"], word(AUDIO));
    }
    running.simulator.set_hosted(HostedOptions { deepgram_token: false, ..running.simulator.hosted() });
    sent(ask(&running, &format!("{options}&callback_method=PUT"))).await;
    let received = receiver.next().await;
    assert_eq!((received.method.as_str(), received.header("dg-token")), ("PUT", None));
    running.simulator.fail_next(ROUTE, 1, Fault::Callback(CallbackFault::Garbage));
    sent(ask(&running, &options)).await;
    assert!(serde_json::from_str::<Value>(&receiver.next().await.body).is_err());
}
