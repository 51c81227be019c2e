//! The whole job without any provider key, on the project's own recording.

use std::time::Duration;

use scryon_testkit::{TestApp, TestOptions};
use serde_json::{Value, json};

fn script() -> Value {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/support-call.script.json"))
            .unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Lower-case words without punctuation; contractions are written out, as a speaker of either form means the same.
fn words(text: &str) -> Vec<String> {
    let text = text
        .to_lowercase()
        .replace('’', "'")
        .replace("i'll", "i will")
        .replace("it's", "it is")
        .replace("i'm", "i am");
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|w| !w.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Levenshtein distance over words, as a share of the reference.
fn word_error_rate(reference: &[String], heard: &[String]) -> f64 {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, wanted) in reference.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, word) in heard.iter().enumerate() {
            let substituted = diagonal + usize::from(word != wanted);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[heard.len()] as f64 / reference.len() as f64
}

/// It takes half a minute where it has a core for itself.
const ON_A_CORE_OF_MANY: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn the_support_call_is_understood_without_a_key() {
    let app = TestApp::start_with(
        TestOptions::default()
            .set("SCRYON_AUDIO_PREPROCESSING_ENABLED", "true")
            .set("SCRYON_TRANSCRIPTION_ENGINES", "pocketsphinx")
            .set("SCRYON_DIARIZATION_ENGINES", "auto")
            .set("SCRYON_ANALYSIS_ENGINES", "auto")
            .set("SCRYON_CHANNEL_ROLES", "USER,CONTACT"),
    )
    .await;
    let audio = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/support-call.ogg")).unwrap();
    let id = app.client.upload_with(audio, &json!({"recordedAt": "2026-11-20T10:00:00Z"})).await;
    let call = app.client.finished_within(ON_A_CORE_OF_MANY, id).await;
    assert_eq!(call["status"], "COMPLETED", "{call}");
    let transcript = app.client.get(&format!("/api/calls/{id}/transcript")).await.body;
    let segments = transcript["segments"].as_array().unwrap();
    let script = script();
    let lines = script["lines"].as_array().unwrap();

    let reference: Vec<String> = lines.iter().flat_map(|l| words(l["text"].as_str().unwrap())).collect();
    let heard: Vec<String> = segments.iter().flat_map(|s| words(s["text"].as_str().unwrap())).collect();
    let rate = word_error_rate(&reference, &heard);
    println!("word error rate: {:.1} % of {} words (pocketsphinx)", rate * 100.0, reference.len());
    assert!(rate <= 0.25, "{rate}");

    // Every segment lies inside lines of its own channel's party, and nowhere in the other's.
    for segment in segments {
        let (start, end) =
            (segment["startSeconds"].as_f64().unwrap(), segment["endSeconds"].as_f64().unwrap());
        let overlap = |channel: i64| -> f64 {
            let own = lines.iter().filter(|l| l["channel"] == channel);
            own.map(|l| {
                (l["end"].as_f64().unwrap().min(end) - l["start"].as_f64().unwrap().max(start)).max(0.0)
            })
            .sum()
        };
        let channel =
            segment["sourceSpeakerId"].as_str().unwrap().strip_prefix("CHANNEL_").unwrap().parse().unwrap();
        assert!(overlap(channel) > overlap(1 - channel), "{segment} is on the wrong party");
        assert_eq!(segment["role"], script["channels"][channel as usize]);
        assert_eq!(segment["alignmentConfidence"], "HIGH");
    }
    let pipeline = &transcript["pipeline"];
    assert_eq!(pipeline["transcriptionProvider"], "pocketsphinx");
    assert_eq!(pipeline["diarizationProvider"], "channels");
    assert!(
        pipeline["qualityWarnings"].to_string().contains("draft_quality_engine"),
        "it is honest about itself"
    );

    let analysis = app.client.get(&format!("/api/calls/{id}/analysis")).await.body;
    let items = analysis["actionItems"].as_array().unwrap();
    let owned = items
        .iter()
        .find(|i| i["ownerSpeakerId"].is_string() && !i["sourceSegmentIds"].as_array().unwrap().is_empty());
    let owned = owned.unwrap_or_else(|| panic!("no action item has an owner and a source: {analysis}"));
    assert_eq!(owned["ownerRole"], "USER", "the agent promised to send it");
    assert!(analysis["qualityWarnings"].to_string().contains("extractive_engine"));
    app.finish().await;
}
