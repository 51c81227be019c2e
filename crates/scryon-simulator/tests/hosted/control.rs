use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn faults_and_options_are_ordered_over_http() {
    let running = start().await;
    let order = async |path: &str, body: Value| running.post(path).json(&body).send().await.unwrap().status();
    let fault = json!({"route": "lemonfox.transcribe", "count": 2, "fault": "status", "status": 503, "retryAfter": 3});
    assert_eq!(order("/control/faults", fault.clone()).await, StatusCode::NO_CONTENT);
    let path = "/lemonfox/v1/audio/transcriptions";
    let refused = running.form(path, b"a", &[]).await;
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (503, Some("3")));
    let cleared = running.http.delete(format!("{}/control/faults", running.base)).send().await.unwrap();
    assert_eq!(cleared.status(), StatusCode::NO_CONTENT);
    assert_eq!(running.form(path, b"a", &[]).await.status(), 200, "the second order is forgotten");

    assert_eq!(
        order("/control/faults", json!({"route": "lemonfox.sing", "fault": "hold"})).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(order("/control/options", json!({"speakerz": 3})).await, StatusCode::BAD_REQUEST);
    assert_eq!(order("/control/options", json!({"speakers": 1})).await, StatusCode::NO_CONTENT);
    let options = json(running.get("/control/options").send().await.unwrap()).await;
    assert_eq!((&options["speakers"], &options["segments"]), (&json!(1), &json!(4)));

    let ledger = json(running.get("/ledger").send().await.unwrap()).await;
    assert_eq!((&ledger[0]["route"], &ledger[0]["count"]), (&json!("lemonfox.transcribe"), &json!(1)));
    assert!(!ledger.to_string().contains("\"k\""), "a key is hashed");
}

#[tokio::test]
async fn the_three_routes_of_the_fake_provider_are_as_before() {
    let running = start().await;
    for (route, field) in [("transcribe", "segments"), ("diarize", "segments"), ("analyze", "analysis")] {
        let answer = json(running.post(&format!("/{route}")).body("bytes").send().await.unwrap()).await;
        assert!(!answer[field].is_null(), "{route}: {answer}");
        assert_eq!(running.count(route), 1);
    }
}
