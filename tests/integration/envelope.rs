//! One error envelope for everything.

use reqwest::Method;
use scryon_testkit::{Parts, TestApp, TestOptions};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_request_gets_the_envelope() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let nobody = Uuid::new_v4();
    let request = |method: Method, path: &str| app.client.request(method, path);
    let json = |path: &str, body: &'static str| {
        app.client.request(Method::PATCH, path).header("Content-Type", "application/json").body(body)
    };
    let action = format!("/api/actions/{nobody}");
    let cases = vec![
        (request(Method::GET, "/"), 404, "route_not_found"),
        (request(Method::GET, "/api/nowhere"), 404, "route_not_found"),
        (request(Method::POST, "/api/calls"), 405, "method_not_allowed"),
        (request(Method::PUT, "/api/health"), 405, "method_not_allowed"),
        (request(Method::GET, "/api/calls/analyze/more"), 404, "route_not_found"),
        (request(Method::GET, "/api/calls/not-a-uuid"), 400, "validation_failed"),
        (request(Method::DELETE, "/api/calls/not-a-uuid"), 400, "validation_failed"),
        (request(Method::GET, &format!("/api/calls/{nobody}")), 404, "call_not_found"),
        (request(Method::GET, &format!("/api/calls/{nobody}/transcript")), 404, "call_not_found"),
        (request(Method::GET, &format!("/api/calls/{nobody}/analysis")), 404, "call_not_found"),
        (request(Method::DELETE, &format!("/api/calls/{nobody}")), 404, "call_not_found"),
        (request(Method::GET, "/api/calls?limit=many"), 400, "validation_failed"),
        (request(Method::GET, "/api/calls?limit=0"), 400, "validation_failed"),
        (request(Method::GET, "/api/calls?cursor=made-up"), 400, "validation_failed"),
        (request(Method::GET, "/api/calls?status=DONE"), 400, "validation_failed"),
        (request(Method::GET, "/api/calls/status?ids=1,2"), 400, "validation_failed"),
        (json(&action, "{"), 400, "validation_failed"),
        (json(&action, "{}"), 400, "validation_failed"),
        (json(&action, r#"{"status":"PENDING"}"#), 400, "validation_failed"),
        (json(&action, r#"{"status":"DONE"}"#), 404, "action_not_found"),
        (json("/api/actions/7", r#"{"status":"DONE"}"#), 400, "validation_failed"),
        (request(Method::PATCH, &action), 400, "validation_failed"),
    ];
    for (sent, status, code) in cases {
        let shown = format!("{sent:?}");
        let answer = app.client.send(sent).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{shown}: {}", answer.text);
        let error = answer.body["error"].as_object().unwrap();
        let mut fields: Vec<&str> = error.keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["code", "details", "message", "requestId", "retryable"], "{shown}");
        assert_eq!(error["requestId"], answer.headers["x-request-id"].to_str().unwrap(), "{shown}");
    }
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_guards_everything_but_health() {
    let app = TestApp::start_with(
        TestOptions::default().parts(Parts::API).set("SCRYON_API_KEY", " new-key , old-key "),
    )
    .await;
    let get = |path: &str, key: Option<(&'static str, &'static str)>| {
        let request = app.client.request(Method::GET, path);
        match key {
            Some((header, key)) => request.header(header, key),
            None => request,
        }
    };
    for (path, key, status, code) in [
        ("/api/calls", None, 401, "auth_missing"),
        ("/api/nowhere", None, 401, "auth_missing"),
        ("/api/calls", Some(("X-Scryon-Api-Key", "wrong")), 401, "auth_invalid"),
        ("/api/calls", Some(("X-Scryon-Api-Key", "")), 401, "auth_invalid"),
        ("/api/calls", Some(("X-Scryon-Api-Key", "new-key")), 200, "none"),
        ("/api/calls", Some(("X-API-Key", "old-key")), 200, "none"),
        ("/api/health", None, 200, "none"),
        ("/api/health/ready", None, 200, "none"),
        ("/actuator/health", None, 200, "none"),
        ("/actuator/health/readiness", None, 200, "none"),
    ] {
        let answer = app.client.send(get(path, key)).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path} {key:?}: {}", answer.text);
    }
    app.stop_and_clean().await;
}
