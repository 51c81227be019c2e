//! Recordings that providers fetch by themselves: no byte of them is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use scryon_config::EngineSettings;
use scryon_domain::ids::CallId;
use serde_json::json;

use super::testing::{NoPieces, Received, Recording, Server};
use super::*;
use crate::engine::{DiarizationEngine, DiarizationRequest, TranscriptionEngine, TranscriptionRequest};
use crate::http::HttpClient;

const ADDRESS: &str = "https://s3.example.org/calls/a.wav?X-Amz-Signature=0";

fn settings(server: &Server) -> EngineSettings {
    let env: BTreeMap<String, String> = [
        ("LEMONFOX_API_KEY", "k"),
        ("LEMONFOX_BASE_URL", &server.url),
        ("SCRYON_DEEPGRAM_API_KEY", "k"),
        ("SCRYON_DEEPGRAM_BASE_URL", &server.url),
        ("SCRYON_ASSEMBLYAI_API_KEY", "k"),
        ("SCRYON_ASSEMBLYAI_BASE_URL", &server.url),
        ("PYANNOTE_API_KEY", "k"),
        ("PYANNOTE_BASE_URL", &server.url),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .collect();
    EngineSettings::read(&env).unwrap()
}

/// The only request that a recording of this address leads to.
async fn asked(
    answer: &str,
    make: impl FnOnce(&EngineSettings, HttpClient) -> Box<dyn TranscriptionEngine>,
) -> Received {
    let server = Server::answering(vec![(200, answer.to_owned())]).await;
    let engine = make(&settings(&server), HttpClient::new(None).unwrap());
    let audio = Recording { address: Some(ADDRESS), ..Recording::new("what must not be sent") };
    let request = TranscriptionRequest {
        audio: &audio,
        pieces: &NoPieces,
        direction: None,
        call: CallId::new(),
        run_no: 1,
        job: None,
        answer_now: false,
        hold: Duration::from_secs(1),
        epoch: 0,
    };
    engine.transcribe(request).await.unwrap();
    only(&server)
}

fn only(server: &Server) -> Received {
    let mut received = server.received();
    assert_eq!(received.len(), 1);
    let request = received.remove(0);
    assert!(!String::from_utf8_lossy(&request.body).contains("must not be sent"));
    request
}

#[tokio::test]
async fn transcription_engines_get_the_address() {
    let heard = r#"{"duration":60,"text":"Hi","segments":[]}"#;
    let lemonfox = asked(heard, |s, http| Box::new(LemonfoxEngine::new(s, http).unwrap())).await;
    assert!(lemonfox.fields().contains(&format!("file={ADDRESS}")), "{:?}", lemonfox.fields());
    assert!(lemonfox.fields().contains(&"response_format=verbose_json".to_owned()));

    let heard = r#"{"results":{"channels":[{"alternatives":[{"transcript":"hi","words":[]}]}]}}"#;
    let deepgram = asked(heard, |s, http| Box::new(DeepgramEngine::new(s, http).unwrap())).await;
    assert_eq!(deepgram.json(), json!({ "url": ADDRESS }));
    assert_eq!(deepgram.header("content-type"), Some("application/json"));

    let taken = r#"{"id":"t1","status":"queued"}"#;
    let assemblyai = asked(taken, |s, http| Box::new(AssemblyAiEngine::new(s, http).unwrap())).await;
    assert_eq!(assemblyai.json()["audio_url"], ADDRESS);
}

#[tokio::test]
async fn pyannote_gets_the_address() {
    let server = Server::answering(vec![(200, r#"{"jobId":"j1","status":"created"}"#.to_owned())]).await;
    let engine = PyannoteEngine::new(&settings(&server), HttpClient::new(None).unwrap()).unwrap();
    let audio = Recording { address: Some(ADDRESS), ..Recording::new("what must not be sent") };
    engine
        .diarize(DiarizationRequest { audio: &audio, direction: None, job: None, voice: None })
        .await
        .unwrap();
    assert_eq!(only(&server).json()["url"], ADDRESS);
}
