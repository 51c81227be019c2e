//! Search over calls.

mod meaning;
mod words;

use scryon_testkit::{Answer, TestApp, TestOptions, eventually};
use serde_json::Value;
use uuid::Uuid;

async fn find(app: &TestApp, q: &str) -> Answer {
    let escaped: String = q.bytes().map(|byte| format!("%{byte:02X}")).collect();
    app.client.get(&format!("/api/calls/search?q={escaped}")).await
}

async fn ids(app: &TestApp, q: &str) -> Vec<Uuid> {
    let answer = find(app, q).await;
    assert_eq!(answer.status, 200, "{q}: {}", answer.text);
    let of = |item: &Value| item["id"].as_str().unwrap().parse().unwrap();
    answer.body.as_array().unwrap().iter().map(of).collect()
}

async fn status(app: &TestApp) -> Value {
    app.client.get("/api/calls/search/status").await.body
}

/// Waits until nothing is left to index.
async fn indexed(app: &TestApp, calls: i64) {
    eventually("the search index", || async {
        let status = status(app).await;
        (status["indexed"] == calls && status["pending"] == 0).then_some(())
    })
    .await;
}

fn usual() -> TestOptions {
    TestOptions::default()
}
