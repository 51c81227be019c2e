//! `scryon` at a terminal and in a script: data on standard output only, exit codes as documented.

use std::path::Path;
use std::process::Output;

use scryon_testkit::{Parts, TestApp, TestOptions, scryon_command, unique_wav};
use serde_json::Value;

async fn run(app: &TestApp, arguments: &[&str]) -> Output {
    let mut command = scryon_command();
    command.args(arguments).env("API_URL", &app.client.base);
    command.output().await.expect("scryon runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn recording(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, unique_wav()).unwrap();
    path.to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_wait_and_read() {
    let app = TestApp::start().await;
    let folder = app.storage.path().to_owned();
    let (one, two) = (recording(&folder, "one.wav"), recording(&folder, "two.wav"));
    let output = run(&app, &["upload", &one, &two, "--wait", "--title", "From a script"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert_eq!(shown.matches("COMPLETED").count(), 2, "{shown}");
    assert!(shown.contains("transcription      SUCCEEDED   fake"), "{shown}");
    assert!(!text(&output.stderr).contains('\u{1b}'), "nothing is animated where nobody watches");

    let output = run(&app, &["calls", "--json"]).await;
    let calls: Vec<Value> = text(&output.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0]["title"], "From a script");
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let id = calls[0]["id"].as_str().unwrap();

    let show: Value = serde_json::from_slice(&run(&app, &["show", id, "--json"]).await.stdout).unwrap();
    assert_eq!(show["stages"].as_array().unwrap().len(), 5);
    assert!(text(&run(&app, &["transcript", id]).await.stdout).starts_with("[00:00 - "));
    assert!(text(&run(&app, &["transcript", id, "--format", "vtt"]).await.stdout).starts_with("WEBVTT"));
    let analysis = text(&run(&app, &["analysis", id]).await.stdout);
    assert!(analysis.contains("3 action items") && analysis.contains("said in seg_0001"), "{analysis}");
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_exit_codes() {
    let app = TestApp::start().await;
    let letter = app.storage.path().join("letter.wav");
    std::fs::write(&letter, "this is a letter").unwrap();
    let letter = letter.to_string_lossy().into_owned();
    let stranger = uuid::Uuid::new_v4().to_string();
    for (arguments, code, words) in [
        (vec!["upload"], 64, "required"),
        (vec!["frobnicate"], 64, "unrecognized"),
        (vec!["upload", "/no/such/file.wav"], 64, "No such file"),
        (vec!["upload", letter.as_str()], 65, "unsupported_media_type"),
        (vec!["show", stranger.as_str()], 65, "call_not_found"),
        (vec!["show", "x"], 65, "validation_failed"),
        (vec!["--api-url", "http://127.0.0.1:1", "calls"], 69, "did not answer"),
        (vec!["check", "--database", "postgres://nobody:wrong@127.0.0.1:1/x"], 69, "scryon: "),
    ] {
        let output = run(&app, &arguments).await;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    }
    // A call that fails is exit code 1.
    app.simulator.fail_next("transcribe", 1, scryon_testkit::Fault::Status(400, None));
    let file = recording(app.storage.path(), "fails.wav");
    let output = run(&app, &["upload", &file, "--wait", "--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let call: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(call["errorReason"], "transcription_rejected");
    app.stop_and_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_and_check_say_what_they_did() {
    let app = TestApp::start_with(TestOptions::default().parts(Parts::API)).await;
    let migrate = async |arguments: &[&str]| {
        let mut command = scryon_command();
        command.arg("migrate").args(arguments).env("DATABASE_URL", &app.database.url);
        command.output().await.unwrap()
    };
    let output = migrate(&[]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("up to date") && output.stdout.is_empty());
    let output = migrate(&["--down", "--json"]).await;
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = scryon_tests::migrations();
    assert_eq!(done["reverted"].as_array().unwrap().len(), all, "{}", text(&output.stderr));
    assert_eq!(text(&migrate(&[]).await.stdout).lines().count(), all);
    let output =
        run(&app, &["check", "--database", &app.servers.database_url, "--amqp", &app.servers.amqp_url]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    app.stop_and_clean().await;
}
