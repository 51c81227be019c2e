//! Bad input gets a stable code (or success where it is one), never a 500, never half a call, never a file
//! left behind.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use scryon_testkit::{Client, Parts, TestApp, TestOptions, eventually, unique_wav};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn api() -> TestApp {
    TestApp::start_with(
        TestOptions::default()
            .parts(Parts::API)
            .set("MAX_FILE_SIZE", "1MB")
            .set("MAX_REQUEST_SIZE", "1100KB"),
    )
    .await
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

async fn nothing_is_left(app: &TestApp) {
    eventually("storage without leftovers", || async { files(app.storage.path()).is_empty().then_some(()) })
        .await;
    assert_eq!(app.database.number("select count(*) from call_records").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_form_has_its_own_code_and_leaves_nothing() {
    let app = api().await;
    let text = b"this is a letter, not a recording".repeat(40);
    let form = |part: Part| Form::new().part("file", part);
    let cases: Vec<(&str, Form, u16, &str)> = vec![
        ("an empty file", form(Part::bytes(Vec::new()).file_name("a.wav")), 400, "validation_failed"),
        (
            "text named .wav",
            form(Part::bytes(text.clone()).file_name("a.wav").mime_str("audio/wav").unwrap()),
            415,
            "unsupported_media_type",
        ),
        ("two bytes", form(Part::bytes(b"RI".to_vec())), 415, "unsupported_media_type"),
        ("no file part", Form::new().text("title", "x"), 400, "validation_failed"),
        ("an empty form", Form::new(), 400, "validation_failed"),
        (
            "two file parts",
            Client::form(unique_wav()).part("file", Part::bytes(unique_wav())),
            400,
            "validation_failed",
        ),
        (
            "metadata that is not JSON",
            Client::form(unique_wav()).text("metadata", "title=x"),
            400,
            "validation_failed",
        ),
        (
            "metadata of another shape",
            Client::form(unique_wav()).text("metadata", "[]"),
            400,
            "validation_failed",
        ),
        (
            "a direction that is none",
            Client::form(unique_wav()).text("metadata", r#"{"direction":"UP"}"#),
            400,
            "validation_failed",
        ),
        (
            "a title that is too long",
            Client::form(unique_wav()).text("title", "x".repeat(501)),
            400,
            "validation_failed",
        ),
        (
            "metadata that is too large",
            Client::form(unique_wav()).text("metadata", "x".repeat(70_000)),
            413,
            "payload_too_large",
        ),
        (
            "a file over the limit",
            form(Part::bytes([unique_wav(), vec![0; 1_100_000]].concat())),
            413,
            "payload_too_large",
        ),
    ];
    for (what, form, status, code) in cases {
        let answer = app.client.upload_form(form).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{what}: {}", answer.text);
        assert_eq!(answer.body["error"]["retryable"], false, "{what}");
    }
    nothing_is_left(&app).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_forms_are_refused() {
    let app = api().await;
    let post = |mime: &str, body: Vec<u8>| {
        app.client.request(Method::POST, "/api/calls/analyze").header("Content-Type", mime).body(body)
    };
    let cases = [
        ("application/json", b"{}".to_vec(), 415),
        ("audio/wav", unique_wav(), 415),
        ("multipart/form-data", b"no boundary".to_vec(), 400),
        ("multipart/form-data; boundary=x", b"--y\r\n\r\nwrong boundary\r\n--y--".to_vec(), 400),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\ncut".to_vec(),
            400,
        ),
        ("multipart/form-data; boundary=x", Vec::new(), 400),
    ];
    for (mime, body, status) in cases {
        let answer = app.client.send(post(mime, body.clone())).await;
        assert_eq!(answer.status, status, "{mime} {:?}: {}", String::from_utf8_lossy(&body), answer.text);
        assert_ne!(answer.code(), "none", "{}", answer.text);
    }
    nothing_is_left(&app).await;
    app.finish().await;
}

/// A raw upload whose body is sent as far as `share` of it.
async fn send_part_of(app: &TestApp, share: f64, key: &str) -> TcpStream {
    let address = app.client.base.strip_prefix("http://").unwrap();
    let audio = [unique_wav(), vec![7; 600_000]].concat();
    let body = [
        b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n".as_slice(),
        &audio,
        b"\r\n--x--\r\n",
    ]
    .concat();
    let head = format!(
        "POST /api/calls/analyze HTTP/1.1\r\nHost: {address}\r\nContent-Type: multipart/form-data; boundary=x\r\n\
         Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..(body.len() as f64 * share) as usize]).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

/// A client that vanishes leaves either no call or exactly one; and its key is free again at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_at_each_tenth_leaves_nothing() {
    let app = api().await;
    for tenth in 0..10 {
        let stream = send_part_of(&app, f64::from(tenth) / 10.0, &format!("vanish-{tenth}")).await;
        eventually("the upload to be seen", || async {
            (app.database.number("select count(*) from idempotency_keys where state = 'OPEN'").await == 1)
                .then_some(())
        })
        .await;
        // A reset rather than a farewell.
        stream.set_zero_linger().unwrap();
        drop(stream);
        eventually("the key to be freed", || async {
            (app.database.number("select count(*) from idempotency_keys").await == 0).then_some(())
        })
        .await;
    }
    nothing_is_left(&app).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_during_the_commit_leaves_one_call_or_none() {
    let app = api().await;
    for round in 0..20 {
        let stream = send_part_of(&app, 1.0, &format!("commit-{round}")).await;
        stream.set_zero_linger().unwrap();
        drop(stream);
    }
    // A request that the API has not looked at yet is in no row: it is settled when it stays settled.
    let in_a_row = std::cell::Cell::new(0);
    eventually(
        "every key to be done exactly when its call stands, and no object without its call",
        || async {
            let count = async |sql| app.database.number(sql).await;
            let open = count("select count(*) from idempotency_keys where state = 'OPEN'").await;
            let done = count("select count(*) from idempotency_keys where state = 'DONE'").await;
            let calls = count("select count(*) from call_records").await;
            // Two objects per call: the recording and the copy of its row.
            let objects = files(app.storage.path()).len() as i64;
            let settled = open == 0 && calls == done && objects == calls * 2;
            in_a_row.set(if settled { in_a_row.get() + 1 } else { 0 });
            (in_a_row.get() == 20).then_some(())
        },
    )
    .await;
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_loris_is_let_go() {
    let app = TestApp::start_with(
        TestOptions::default().parts(Parts::API).set("SCRYON_UPLOAD_MIN_BYTES_PER_SECOND", "1MB"),
    )
    .await;
    let mut stream = send_part_of(&app, 0.5, "loris").await;
    let drip = async {
        loop {
            // Where the connection is closed already, the answer that went before it is still to be read.
            let closed = stream.write_all(b"x").await.is_err();
            let mut answer = vec![0; 4096];
            if let Ok(read) = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut answer)).await
            {
                answer.truncate(read.unwrap_or(0));
                return answer;
            }
            assert!(!closed, "a connection that is closed is at its end");
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(25), drip).await.expect("the drip is ended");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("upload_too_slow"), "{answer}");
    nothing_is_left(&app).await;
    app.finish().await;
}

/// Recordings that only the workers can judge. With the tools of this machine; each ends, none is a 500.
#[tokio::test(flavor = "multi_thread")]
async fn odd_recordings_end_with_a_reason_or_well() {
    let app = TestApp::start_with(
        TestOptions::default()
            .set("SCRYON_AUDIO_PREPROCESSING_ENABLED", "true")
            .set("SCRYON_TRANSCRIPTION_ENGINES", "pocketsphinx")
            .set("SCRYON_DIARIZATION_ENGINES", "channels")
            .set("SCRYON_ANALYSIS_ENGINES", "extractive"),
    )
    .await;
    let fixture = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/support-call.ogg")).unwrap();
    let m4a_without_index =
        [b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0".as_slice(), &[0x5a; 5000]].concat();
    let mut ten_hours = scryon_testkit::quiet_wav(1);
    ten_hours[40..44].copy_from_slice(&(8_000u32 * 2 * 36_000).to_le_bytes());
    let one_sample = scryon_testkit::wav(1, 8_000, [1234].into_iter());
    let eight_channels = scryon_testkit::wav(8, 8_000, (0..64_000).map(|n| ((n * 31) % 4000) as i16));
    let cases = [
        ("a truncated m4a", m4a_without_index, "FAILED", Some("audio_unreadable")),
        (
            "a WAV without samples",
            scryon_testkit::wav(1, 8_000, std::iter::empty()),
            "FAILED",
            Some("audio_unreadable"),
        ),
        ("half of an ogg", fixture[..20_000].to_vec(), "COMPLETED", None),
        ("a header that claims ten hours", ten_hours, "COMPLETED", None),
        // Less than one sample at the rate of the speech models.
        ("one sample", one_sample, "FAILED", Some("audio_unreadable")),
        ("silence", scryon_testkit::quiet_wav(2), "COMPLETED", None),
        ("eight channels", eight_channels, "COMPLETED", None),
    ];
    let mut ids = Vec::new();
    for (what, audio, status, reason) in cases {
        ids.push((what, app.client.upload(audio).await, status, reason));
    }
    for (what, id, status, reason) in ids {
        let call = app.client.finished_within(Duration::from_secs(600), id).await;
        assert_eq!(call["status"], status, "{what}: {call}");
        assert_eq!(call["errorReason"].as_str(), reason, "{what}");
        if status == "COMPLETED" {
            let seconds = call["durationSeconds"].as_i64().unwrap();
            assert!(seconds < 60, "{what} is believed to last {seconds} s");
        }
        if what == "silence" {
            let transcript = app.client.get(&format!("/api/calls/{id}/transcript")).await.body;
            assert_eq!(transcript["segments"].as_array().unwrap().len(), 0);
            let warnings = transcript["pipeline"]["qualityWarnings"].to_string();
            assert!(warnings.contains("no_speech"), "{warnings}");
        }
    }
    let verdict = app.verdict_allowing(&["audio_unreadable"]).await;
    assert!(verdict.problems.is_empty(), "{:?}", verdict.problems);
    app.stop_and_clean().await;
}
