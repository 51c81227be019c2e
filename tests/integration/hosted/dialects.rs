//! Answers in every manner that providers and compatible servers have, each through a whole pipeline.

use scryon_testkit::{
    ChatFault, Dialect, Fault, HostedOptions, TestApp, TestOptions, WordPlace, unique_wav_of,
};
use serde_json::Value;
use uuid::Uuid;

use super::{purchases, transcript};

/// The simulator's twelve segments, in order, inside the recording, with the words that were said.
async fn heard(app: &TestApp, id: Uuid, what: &str) -> Value {
    let transcript = transcript(app, id).await;
    let text = transcript["cleanText"].as_str().unwrap();
    assert!(text.contains("is the word of this call"), "{what}: {transcript}");
    assert!(text.contains("segment number 11 of the call"), "{what}: {transcript}");
    let segments = transcript["segments"].as_array().unwrap();
    let times: Vec<(f64, f64)> = segments
        .iter()
        .map(|s| (s["startSeconds"].as_f64().unwrap(), s["endSeconds"].as_f64().unwrap()))
        .collect();
    assert!(times.iter().all(|(start, end)| start <= end), "{what}: {times:?}");
    assert!(times.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{what}: {times:?}");
    // Whatever the unit was that they came in.
    let end = times.last().unwrap().1;
    assert!((22.0..=24.1).contains(&end), "{what}: {times:?}");
    transcript
}

/// One purchase for each stage of the call.
async fn bought_once(app: &TestApp, id: Uuid, engine: &str, what: &str) {
    let mut bought: Vec<String> = purchases(app, id).await.into_iter().map(|(line, _)| line).collect();
    bought.sort();
    let speech = format!("transcription {engine} first succeeded");
    assert_eq!(bought, ["analysis openai first succeeded".to_owned(), speech], "{what}");
}

fn with(engine: &str) -> TestOptions {
    TestOptions::hosted().set("PYANNOTE_ENABLED", "false").set("SCRYON_TRANSCRIPTION_ENGINES", engine)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_that_speaks_openais_api_is_understood() {
    let app = TestApp::start_with(with("openai")).await;
    for dialect in [
        Dialect::OpenAi,
        Dialect::Speaches,
        Dialect::WhisperCpp,
        Dialect::Vllm,
        Dialect::Ollama,
        Dialect::LocalAi,
    ] {
        let what = format!("{dialect:?}");
        // Its audio and its chat.
        app.simulator.set_hosted(HostedOptions { openai_dialect: dialect, ..app.simulator.hosted() });
        let audio = unique_wav_of(24);
        let id = app.client.upload(audio.clone()).await;
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED", "{what}");
        let transcript = heard(&app, id, &what).await;
        assert_eq!(transcript["pipeline"]["transcriptionProvider"], "openai", "{what}");
        assert_eq!(app.client.get(&format!("/api/calls/{id}/analysis")).await.status, 200, "{what}");
        bought_once(&app, id, "openai", &what).await;
        assert_eq!(app.bought("openai.transcribe", &audio), 1, "{what}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lemonfoxs_words_and_speakers_are_found_wherever_they_are() {
    let app = TestApp::start_with(with("lemonfox")).await;
    let faults = [
        Fault::Words(WordPlace::Segments),
        Fault::Words(WordPlace::TopLevel),
        Fault::Words(WordPlace::Missing),
        Fault::QuotedText,
        Fault::Speakers(1),
        Fault::Speakers(4),
    ];
    for fault in faults {
        let what = format!("{fault:?}");
        app.simulator.fail_next("lemonfox.transcribe", 1, fault);
        let audio = unique_wav_of(24);
        let id = app.client.upload(audio.clone()).await;
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED", "{what}");
        let transcript = heard(&app, id, &what).await;
        let speakers = match fault {
            Fault::Speakers(count) => count,
            _ => 2,
        };
        assert_eq!(transcript["speakers"].as_array().unwrap().len(), speakers, "{what}");
        bought_once(&app, id, "lemonfox", &what).await;
        assert_eq!(app.bought("lemonfox.transcribe", &audio), 1, "{what}");
    }
    app.finish().await;
}

/// What is around the document does not matter, what is cut off or of another shape is asked for again: each answer is
/// paid for under one purchase of the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_comes_out_of_every_kind_of_answer() {
    let app = TestApp::start_with(with("lemonfox")).await;
    let faults = [
        (Fault::Chat(ChatFault::Fenced), 1),
        (Fault::Chat(ChatFault::NoUsage), 1),
        (Fault::Chat(ChatFault::Length), 2),
        (Fault::WrongSchema, 2),
        (Fault::Prose, 2),
    ];
    for (fault, answers) in faults {
        let before = app.simulator.chats().len();
        app.simulator.fail_next("openai.chat", 1, fault);
        let id = app.client.upload(unique_wav_of(24)).await;
        assert_eq!(app.client.finished(id).await["status"], "COMPLETED", "{fault:?}");
        assert_eq!(app.client.get(&format!("/api/calls/{id}/analysis")).await.status, 200, "{fault:?}");
        assert_eq!(app.simulator.chats().len() - before, answers, "{fault:?}");
        bought_once(&app, id, "lemonfox", &format!("{fault:?}")).await;
    }
    app.finish().await;
}
