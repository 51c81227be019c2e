//! One call's journey through everything.

use scryon_testkit::{TestApp, unique_wav};
use serde_json::json;

/// A recording goes in; transcript, analysis and action items come out, and each engine is paid once.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_becomes_transcript_analysis_and_action_items() {
    let app = TestApp::start().await;
    let audio = unique_wav();
    let metadata =
        json!({"title": "Quarterly review", "direction": "OUTGOING", "recordedAt": "2026-11-20T10:00:00Z"});
    let id = app.client.upload_with(audio.clone(), &metadata).await;

    let call = app.client.finished(id).await;
    assert_eq!(call["status"], "COMPLETED", "{call}");
    assert_eq!(call["title"], "Quarterly review", "a title the client gave is kept");
    assert_eq!(call["shortSummary"], "Sixty numbered segments were read out.");
    let stages: Vec<_> = call["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["stage"].as_str().unwrap(), s["state"].as_str().unwrap()))
        .collect();
    assert_eq!(
        stages,
        [
            ("preprocessing", "SKIPPED"), // switched off in tests
            ("transcription", "SUCCEEDED"),
            ("diarization", "SUCCEEDED"),
            ("assembly", "SUCCEEDED"),
            ("analysis", "SUCCEEDED")
        ]
    );

    let transcript = app.client.get(&format!("/api/calls/{id}/transcript")).await.body;
    assert_eq!(transcript["schemaVersion"], 2);
    assert_eq!(transcript["speakers"].as_array().unwrap().len(), 2);
    assert_eq!(transcript["pipeline"]["transcriptionProvider"], "fake");
    let analysis = app.client.get(&format!("/api/calls/{id}/analysis")).await.body;
    assert_eq!(analysis["schemaVersion"], 3);
    assert_eq!(analysis["shortSummary"], analysis["oneLineSummary"], "legacy aliases are served");
    let actions = app.client.get("/api/actions").await.body;
    assert_eq!(actions.as_array().unwrap().len(), 3);

    assert_eq!(app.bought("transcribe", &audio), 1);
    assert_eq!(app.bought("diarize", &audio), 1);
    app.finish().await;
}
