//! Good uploads in all their forms.

use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use scryon_testkit::{Parts, TestApp, TestOptions, unique_wav};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn the_envelope_and_the_plain_parts_become_fields_of_the_call() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let metadata = json!({
        "title": "From the envelope", "contactName": "Ravi", "contactId": "contacts:42", "phoneNumber": "+91 98765 43210",
        "organization": "Acme", "direction": "INCOMING", "recordedAt": "2026-05-29T13:00:00Z", "durationSeconds": 240,
        "clientReference": "ref-1", "metadata": {"campaign": "spring"}, "somethingNew": true,
    });
    let form = Form::new()
        .text("title", "From the part")
        .text("fileName", "on-the-phone.m4a")
        .part("file", Part::bytes(unique_wav()).file_name("upload.wav"))
        // After the file: parts come in any order.
        .part("metadata", Part::text(metadata.to_string()).mime_str("application/json").unwrap());
    let answer = app.client.upload_form(form).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.body["status"], "QUEUED");
    assert_eq!(answer.body["id"], answer.body["callId"]);

    let id = answer.body["callId"].as_str().unwrap();
    let call = app.client.get(&format!("/api/calls/{id}")).await.body;
    let expected = json!({
        "title": "From the envelope", "contactName": "Ravi", "contactId": "contacts:42", "phoneNumber": "+91 98765 43210",
        "organization": "Acme", "direction": "INCOMING", "recordedAt": "2026-05-29T13:00:00Z", "durationSeconds": 240,
        "clientReference": "ref-1", "metadata": {"campaign": "spring"}, "originalFileName": "on-the-phone.m4a",
        "status": "QUEUED", "queuePosition": 1, "run": 0, "lane": "live",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&call[field], value, "{field}");
    }
    app.stop_and_clean().await;
}

/// What the recording is, is told by its bytes; the name and the type that the client sent are not believed.
#[tokio::test(flavor = "multi_thread")]
async fn the_type_is_told_by_the_content() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let part = Part::bytes(unique_wav()).file_name("notes.txt").mime_str("text/plain").unwrap();
    let answer = app.client.upload_form(Form::new().part("file", part)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let key: String = app.database.sql("select storage_key from call_artifacts", &[]).await[0].get(0);
    assert!(key.ends_with("/temp/audio.wav"), "{key}");
    assert!(!key.contains("notes"));
    app.stop_and_clean().await;
}

/// The answer is 202 also when the broker is away: the row is the promise.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_accepted_and_found_without_its_hint() {
    let app = TestApp::start_with(TestOptions::default().drop_hints()).await;
    let id = app.client.upload(unique_wav()).await;
    assert_eq!(app.client.finished(id).await["status"], "COMPLETED");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_and_a_trace_are_carried() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let sent = app.client.request(Method::GET, "/api/calls").header("X-Request-Id", "abc-123");
    let answer = app.client.send(sent).await;
    assert_eq!(answer.headers["x-request-id"], "abc-123");
    assert_eq!(answer.headers["cache-control"], "private, no-store");
    let hostile = app.client.request(Method::GET, "/api/nowhere").header("X-Request-Id", "a b\tc");
    let answer = app.client.send(hostile).await;
    assert_ne!(answer.body["error"]["requestId"], "a b\tc", "an id with blanks does not reach our logs");
    app.stop_and_clean().await;
}

/// Asks on a connection and reads the answer's head.
async fn asked_on(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /api/health HTTP/1.1\r\nHost: scryon\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// Balancers keep connections for up to a minute. One that the API ends first may be in use again at that moment,
/// and its request gets the balancer's 502.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_the_balancers_to_end() {
    let api = || TestOptions::default().parts(Parts::API);
    let patient = TestApp::start_with(api()).await;
    let hasty = TestApp::start_with(api().set("SCRYON_KEEP_ALIVE_SECONDS", "1")).await;
    let within = Duration::from_secs(8);
    for (app, ended) in [(&hasty, true), (&patient, false)] {
        let address = app.client.base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(asked_on(&mut stream).await.starts_with("HTTP/1.1 200 "));
        let idle = tokio::time::timeout(within, stream.read(&mut [0; 1])).await;
        assert_eq!(idle.is_ok(), ended, "{idle:?}");
        if !ended {
            assert!(asked_on(&mut stream).await.starts_with("HTTP/1.1 200 "));
        }
    }
    patient.finish().await;
    hasty.finish().await;
}
