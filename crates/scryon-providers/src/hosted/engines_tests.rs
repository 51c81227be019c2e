//! Each engine against a server: what goes over the wire, and what becomes of the answers.

use std::collections::BTreeMap;
use std::time::Duration;

use scryon_config::EngineSettings;
use scryon_domain::ids::CallId;
use serde_json::{Value, json};

use super::testing::{NoPieces, Received, Recording, Server, model_document, transcript};
use super::*;
use crate::engine::{
    AnalysisEngine, AnalysisRequest, ProviderError, TranscriptionEngine, TranscriptionRequest,
};
use crate::http::HttpClient;

fn settings(pairs: &[(&str, &str)]) -> EngineSettings {
    let env: BTreeMap<String, String> =
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    EngineSettings::read(&env).unwrap()
}

fn http() -> HttpClient {
    HttpClient::new(None).unwrap()
}

async fn transcribe(
    engine: &dyn TranscriptionEngine,
    audio: &Recording,
) -> Result<Answer<RawTranscript>, ProviderError> {
    let request = TranscriptionRequest {
        audio,
        pieces: &NoPieces,
        direction: None,
        call: CallId::new(),
        run_no: 1,
        epoch: 0,
        job: None,
        answer_now: false,
        hold: Duration::from_secs(1),
    };
    match engine.transcribe(request).await? {
        TranscriptionAnswer::Done(answer) => Ok(*answer),
        TranscriptionAnswer::ToBeContinued | TranscriptionAnswer::Submitted(_) => {
            panic!("hosted engines answer at once")
        }
    }
}

const HEARD: &str = r#"{"duration":60,"text":"Hi","segments":[{"start":0,"end":1,"text":"Hi","speaker":"SPEAKER_00","words":[{"word":"Hi","start":0,"end":1}]}]}"#;

fn file_of(request: &Received) -> (String, Vec<u8>) {
    request.parts().into_iter().find(|(head, _)| head.contains("filename=")).unwrap()
}

#[tokio::test]
async fn lemonfox_gets_a_form_with_the_recording() {
    let server = Server::answering(vec![(200, HEARD.to_owned())]).await;
    let settings = settings(&[
        ("LEMONFOX_API_KEY", "k-1"),
        ("LEMONFOX_BASE_URL", &server.url),
        ("LEMONFOX_LANGUAGE", "hi"),
    ]);
    let engine = LemonfoxEngine::new(&settings, http()).unwrap();
    let answer = transcribe(&engine, &Recording::new("RIFF and what follows")).await.unwrap();
    assert_eq!(answer.content.words[0].text, "Hi");
    assert_eq!((answer.units, answer.unit), (Some(60.0), Some("audio_seconds")));
    assert!((answer.billed_cost.unwrap() - 0.5 / 180.0).abs() < 1e-9);

    let request = &server.received()[0];
    assert_eq!(request.line, "POST /v1/audio/transcriptions");
    assert_eq!(request.header("authorization"), Some("Bearer k-1"));
    assert_eq!(request.header("transfer-encoding"), None);
    assert_eq!(request.header("idempotency-key"), None);
    assert_eq!(
        request.fields(),
        [
            "model=whisper-1",
            "response_format=verbose_json",
            "speaker_labels=true",
            "timestamp_granularities[]=word",
            "language=hindi"
        ]
    );
    let (head, content) = file_of(request);
    assert!(head.contains("name=\"file\"") && head.contains("filename=\"audio.wav\""), "{head}");
    assert!(head.to_lowercase().contains("content-type: audio/wav"), "{head}");
    assert_eq!(content, b"RIFF and what follows");
}

#[tokio::test]
async fn openai_gets_a_form_and_a_server_without_word_times_is_remembered() {
    let refusal = r#"{"detail":"verbose_json is not supported"}"#;
    let text = r#"{"text":"Hi there"}"#;
    let answers = vec![(400, refusal.to_owned()), (200, text.to_owned()), (200, text.to_owned())];
    let server = Server::answering(answers).await;
    let settings = settings(&[
        ("SCRYON_OPENAI_API_KEY", "k-2"),
        ("SCRYON_OPENAI_BASE_URL", &server.url),
        ("SCRYON_OPENAI_MODEL", "own/large-v3"),
        ("SCRYON_OPENAI_LANGUAGE", "German"),
        ("SCRYON_PRICES", "openai/own/large-v3=0.12"),
    ]);
    let engine = OpenAiEngine::new(&settings, http()).unwrap();
    for _call in 0..2 {
        let answer = transcribe(&engine, &Recording::new("RIFF")).await.unwrap();
        assert_eq!(answer.content.segments[0].text, "Hi there");
        assert_eq!(answer.content.warnings, ["no_word_times"]);
        assert!((answer.billed_cost.unwrap() - 0.12).abs() < 1e-9);
    }
    let received = server.received();
    let formats: Vec<_> = received.iter().map(|request| request.fields()[1].clone()).collect();
    assert_eq!(formats, ["response_format=verbose_json", "response_format=json", "response_format=json"]);
    assert_eq!(received[0].line, "POST /v1/audio/transcriptions");
    assert_eq!(received[0].header("authorization"), Some("Bearer k-2"));
    assert!(received[0].fields().contains(&"language=de".to_owned()));
    assert!(received.iter().all(|request| file_of(request).1 == b"RIFF"));
}

#[tokio::test]
async fn a_recording_that_openai_does_not_take_is_not_sent() {
    let server = Server::answering(Vec::new()).await;
    let settings = settings(&[("SCRYON_OPENAI_API_KEY", "k"), ("SCRYON_OPENAI_BASE_URL", &server.url)]);
    let engine = OpenAiEngine::new(&settings, http()).unwrap();
    let large = Recording { content: vec![0; 25 << 20], ..Recording::new("") };
    let foreign = Recording { content_type: "audio/amr", ..Recording::new("#!AMR") };
    for audio in [large, foreign] {
        let error = transcribe(&engine, &audio).await.unwrap_err();
        assert!(matches!(error, ProviderError::Rejected { .. }), "{error}");
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn deepgram_gets_the_recording_itself() {
    let heard = r#"{"metadata":{"duration":60},"results":{"channels":[{"alternatives":[{"words":[{"word":"hi","start":0,"end":1}]}]},{"alternatives":[]}]}}"#;
    let server = Server::answering(vec![(200, heard.to_owned())]).await;
    let settings = settings(&[("SCRYON_DEEPGRAM_API_KEY", "k-3"), ("SCRYON_DEEPGRAM_BASE_URL", &server.url)]);
    let engine = DeepgramEngine::new(&settings, http()).unwrap();
    let audio = Recording { channels: Some(2), content_type: "audio/ogg", ..Recording::new("OggS and more") };
    let answer = transcribe(&engine, &audio).await.unwrap();
    assert_eq!((answer.content.channels, answer.content.words[0].channel), (2, Some(0)));
    assert!((answer.billed_cost.unwrap() - 2.0 * 0.0058).abs() < 1e-9);

    let request = &server.received()[0];
    assert_eq!(
        request.line,
        "POST /v1/listen?model=nova-3&detect_language=true&smart_format=true&utterances=true&multichannel=true"
    );
    assert_eq!(request.header("authorization"), Some("Token k-3"));
    assert_eq!(request.header("content-type"), Some("audio/ogg"));
    assert_eq!(request.header("content-length"), Some("13"));
    assert_eq!(request.body, b"OggS and more");
}

#[tokio::test]
async fn a_recording_that_breaks_off_is_no_purchase() {
    let server = Server::answering(Vec::new()).await;
    let settings = settings(&[
        ("LEMONFOX_API_KEY", "k"),
        ("LEMONFOX_BASE_URL", &server.url),
        ("SCRYON_DEEPGRAM_API_KEY", "k"),
        ("SCRYON_DEEPGRAM_BASE_URL", &server.url),
        ("SCRYON_OPENAI_API_KEY", "k"),
        ("SCRYON_OPENAI_BASE_URL", &server.url),
    ]);
    let engines: [Box<dyn TranscriptionEngine>; 3] = [
        Box::new(LemonfoxEngine::new(&settings, http()).unwrap()),
        Box::new(DeepgramEngine::new(&settings, http()).unwrap()),
        Box::new(OpenAiEngine::new(&settings, http()).unwrap()),
    ];
    for engine in engines {
        let audio = Recording { breaks: true, ..Recording::new("RIFF and what follows") };
        let error = transcribe(&*engine, &audio).await.unwrap_err();
        let missing = matches!(&error, ProviderError::Audio(e) if e.kind() == std::io::ErrorKind::NotFound);
        assert!(missing, "{}: {error}", engine.info().name);
    }
}

#[tokio::test]
async fn hosted_engines_cost_money_and_know_no_idempotency() {
    let settings = settings(&[
        ("LEMONFOX_API_KEY", "planted"),
        ("SCRYON_DEEPGRAM_API_KEY", "planted"),
        ("SCRYON_OPENAI_API_KEY", "planted"),
        ("LLM_API_KEY", "planted"),
    ]);
    let lemonfox = LemonfoxEngine::new(&settings, http()).unwrap();
    let deepgram = DeepgramEngine::new(&settings, http()).unwrap();
    let openai = OpenAiEngine::new(&settings, http()).unwrap();
    let llm = LlmEngine::new(&settings, http()).unwrap();
    let infos = [
        TranscriptionEngine::info(&lemonfox),
        TranscriptionEngine::info(&deepgram),
        TranscriptionEngine::info(&openai),
        AnalysisEngine::info(&llm),
    ];
    for info in infos {
        assert!(info.paid && !info.idempotent && !info.cpu_bound, "{}", info.name);
        assert!(info.price_per_minute.is_some_and(|price| price > 0.0), "{}", info.name);
    }
    assert!(!format!("{lemonfox:?} {deepgram:?} {openai:?} {llm:?}").contains("planted"));
}

fn completion(content: &str) -> (u16, String) {
    let body = json!({
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": content, "refusal": null}}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100}
    });
    (200, body.to_string())
}

fn ended(finish: &str, message: &Value) -> (u16, String) {
    (200, json!({"choices": [{"finish_reason": finish, "message": message}]}).to_string())
}

/// Analyses a call of two segments against these answers.
async fn analyse(answers: Vec<(u16, String)>) -> (Result<Answer<Value>, ProviderError>, Vec<Received>) {
    let server = Server::answering(answers).await;
    let settings = settings(&[("LLM_API_KEY", "k-4"), ("LLM_BASE_URL", &server.url)]);
    let engine = LlmEngine::new(&settings, http()).unwrap();
    let result = ask(&engine, &["please send the package", "I will send it on Friday"]).await;
    (result, server.received())
}

async fn ask(engine: &LlmEngine, texts: &[&str]) -> Result<Answer<Value>, ProviderError> {
    let transcript = transcript(texts);
    let request = AnalysisRequest {
        transcript: &transcript,
        recorded_at: None,
        title: Some("Planted title"),
        contact_name: Some("Planted name"),
        job: None,
    };
    engine.analyse(request).await
}

#[tokio::test]
async fn a_model_is_asked_under_a_strict_schema() {
    let (result, received) = analyse(vec![completion(&format!("```json\n{}\n```", model_document()))]).await;
    let answer = result.unwrap();
    assert_eq!(answer.content["actionItems"][0]["ownerSpeakerLabel"], "Label 2");
    assert_eq!((answer.units, answer.unit), (Some(1100.0), Some("tokens")));
    assert!((answer.billed_cost.unwrap() - (1000.0 * 0.10 + 100.0 * 0.50) / 1e6).abs() < 1e-12);

    assert_eq!(received.len(), 1);
    assert_eq!(received[0].line, "POST /v1/chat/completions");
    assert_eq!(received[0].header("authorization"), Some("Bearer k-4"));
    let body = received[0].json();
    assert_eq!((&body["model"], &body["temperature"]), (&json!("gpt-6-luna"), &json!(0.2)));
    assert_eq!(body["response_format"]["json_schema"]["strict"], true);
    assert_eq!(body["messages"].as_array().unwrap().len(), 2);
    assert!(body["messages"][1]["content"].as_str().unwrap().contains("seg_0001 00:00 spk_1 please send"));
    assert!(!body.to_string().contains("Planted"));
}

#[tokio::test]
async fn a_document_that_does_not_fit_is_corrected_once() {
    let mut wrong = model_document();
    wrong["actionItems"][0]["dueDate"] = json!("on Friday");
    let wrong = completion(&wrong.to_string());
    let (result, received) = analyse(vec![wrong.clone(), completion(&model_document().to_string())]).await;
    assert_eq!(result.unwrap().units, Some(2200.0));
    let messages = received[1].json()["messages"].clone();
    assert_eq!(messages[2]["role"], "assistant");
    assert!(messages[2]["content"].as_str().unwrap().contains("on Friday"));
    assert!(messages[3]["content"].as_str().unwrap().contains("/actionItems/0/dueDate"));

    // Wrong again: the task goes without its date.
    let (result, received) = analyse(vec![wrong.clone(), wrong]).await;
    let content = result.unwrap().content;
    assert_eq!(content["actionItems"][0]["dueDate"], json!(null));
    assert_eq!(content["qualityWarnings"], json!(["analysis_parts_dropped"]));
    assert_eq!(received.len(), 2);

    let mut broken = model_document();
    broken["executiveSummary"] = json!({"Friday": 5});
    let broken = completion(&broken.to_string());
    let (result, received) = analyse(vec![broken.clone(), broken]).await;
    let error = result.unwrap_err();
    assert!(
        matches!(error, ProviderError::Malformed { .. }) && !error.to_string().contains("Friday"),
        "{error}"
    );
    assert_eq!(received.len(), 2);
}

#[tokio::test]
async fn a_server_without_strict_schemas_is_remembered() {
    let good = completion(&model_document().to_string());
    let refusal = (400, r#"{"error":{"message":"unknown response_format","param":null}}"#.to_owned());
    let hot = (400, r#"{"error":{"code":"unsupported_value","param":"temperature"}}"#.to_owned());
    let server = Server::answering(vec![hot, refusal, good.clone(), good]).await;
    let settings = settings(&[("LLM_API_KEY", "k"), ("LLM_BASE_URL", &server.url)]);
    let engine = LlmEngine::new(&settings, http()).unwrap();
    for _call in 0..2 {
        ask(&engine, &["hello"]).await.unwrap();
    }
    let bodies: Vec<Value> = server.received().iter().map(Received::json).collect();
    let kinds: Vec<_> = bodies
        .iter()
        .map(|body| (body["response_format"]["type"].as_str().unwrap(), body.get("temperature").is_some()))
        .collect();
    assert_eq!(
        kinds,
        [("json_schema", true), ("json_schema", false), ("json_object", false), ("json_object", false)]
    );
    let system = |body: &Value| body["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(!system(&bodies[1]).contains("additionalProperties"));
    assert!(system(&bodies[2]).contains("additionalProperties"), "the schema is told in words");
}

#[tokio::test]
async fn a_request_that_is_refused_in_every_dialect_changes_nothing() {
    let refusal = (400, r#"{"error":"no"}"#.to_owned());
    let good = completion(&model_document().to_string());
    let server = Server::answering(vec![refusal.clone(), refusal, good]).await;
    let settings = settings(&[("LLM_API_KEY", "k"), ("LLM_BASE_URL", &server.url)]);
    let engine = LlmEngine::new(&settings, http()).unwrap();
    let error = ask(&engine, &["hello"]).await.unwrap_err();
    assert!(matches!(error, ProviderError::Rejected { .. }), "{error}");
    ask(&engine, &["hello"]).await.unwrap();
    assert_eq!(server.received()[2].json()["response_format"]["type"], "json_schema");
}

#[tokio::test]
async fn an_answer_that_was_cut_off_gets_more_room_once() {
    let cut = ended("length", &json!({"content": model_document().to_string()}));
    let (result, received) = analyse(vec![cut.clone(), completion(&model_document().to_string())]).await;
    result.unwrap();
    let room: Vec<_> =
        received.iter().map(|request| request.json()["max_completion_tokens"].as_u64().unwrap()).collect();
    assert_eq!(room[1], 2 * room[0]);
    // A correction needs as much of it as the answer did.
    let mut wrong = model_document();
    wrong["callType"] = json!("none");
    let good = completion(&model_document().to_string());
    let (result, received) = analyse(vec![cut.clone(), completion(&wrong.to_string()), good]).await;
    result.unwrap();
    assert_eq!(received[2].json()["max_completion_tokens"], room[1]);
    // More than the model has is not answered by less than was too little.
    let long = (400, r#"{"error":{"code":"context_length_exceeded"}}"#.to_owned());
    let (result, received) = analyse(vec![cut.clone(), long]).await;
    assert!(matches!(result.unwrap_err(), ProviderError::Rejected { .. }));
    assert_eq!(received.len(), 2);
    let (result, received) = analyse(vec![cut.clone(), cut]).await;
    assert!(matches!(result.unwrap_err(), ProviderError::Rejected { .. }));
    assert_eq!(received.len(), 2);
}

/// Analyses a call of so many segments by a server that refuses for length so often; the answer, and of each
/// request the segments that were shown and the room for the answer.
async fn refused_for_length(
    refusals: usize,
    segments: usize,
) -> (Result<Answer<Value>, ProviderError>, Vec<(usize, u64)>) {
    let long = (400, r#"{"error":{"code":"context_length_exceeded"}}"#.to_owned());
    let mut answers = vec![long; refusals];
    answers.push(completion(&model_document().to_string()));
    let server = Server::answering(answers).await;
    let settings = settings(&[("LLM_API_KEY", "k"), ("LLM_BASE_URL", &server.url)]);
    let engine = LlmEngine::new(&settings, http()).unwrap();
    let answer = ask(&engine, &vec!["one two three four five six seven eight nine ten"; segments]).await;
    let received = server.received();
    let asked = received.iter().map(Received::json).map(|body| {
        let shown = body["messages"][1]["content"].as_str().unwrap().matches("\nseg_").count();
        (shown, body["max_completion_tokens"].as_u64().unwrap())
    });
    (answer, asked.collect())
}

#[tokio::test]
async fn a_call_that_is_too_long_for_the_model_is_shortened() {
    let (answer, asked) = refused_for_length(3, 1_800).await;
    assert_eq!(answer.unwrap().content["qualityWarnings"], json!(["transcript_truncated"]));
    let (shown, room): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    assert_eq!(shown[0], 1_800);
    assert!((800..1_000).contains(&shown[1]) && (400..500).contains(&shown[2]), "{shown:?}");
    assert_eq!(room[..3], [room[0]; 3]);
    assert_eq!((room[3], shown[3]), (room[0] / 2, shown[2]), "then the answer gets less room");
}

#[tokio::test]
async fn a_short_call_keeps_its_words_where_the_model_has_little_room() {
    let (answer, asked) = refused_for_length(1, 2).await;
    assert_eq!(answer.unwrap().content["qualityWarnings"], json!([]));
    assert_eq!((asked[1].0, asked[1].1), (asked[0].0, asked[0].1 / 2));
    let (answer, asked) = refused_for_length(20, 2).await;
    assert!(matches!(answer.unwrap_err(), ProviderError::Rejected { .. }));
    assert!(asked.len() < 6, "{asked:?}");
}

#[tokio::test]
async fn without_a_correction_the_first_answer_serves_as_far_as_it_goes() {
    let mut wrong = model_document();
    wrong["actionItems"][0]["dueDate"] = json!("on Friday");
    let wrong = completion(&wrong.to_string());
    let no_corrections = [
        (429, String::new()),
        (400, r#"{"error":{"code":"context_length_exceeded"}}"#.to_owned()),
        (503, String::new()),
        completion("I cannot correct it."),
        ended("length", &json!({"content": "{"})),
        ended("stop", &json!({"content": null, "refusal": "no"})),
    ];
    for no_correction in no_corrections {
        let (result, received) = analyse(vec![wrong.clone(), no_correction.clone()]).await;
        let content = result.unwrap().content;
        assert_eq!(content["actionItems"][0]["title"], "Send the package", "{no_correction:?}");
        assert_eq!(content["actionItems"][0]["dueDate"], json!(null), "{no_correction:?}");
        assert_eq!(content["qualityWarnings"], json!(["analysis_parts_dropped"]), "{no_correction:?}");
        assert_eq!(received.len(), 2, "{no_correction:?}");
    }
    // Where nothing of the first serves either, it is the later trouble that decides.
    let (result, _) = analyse(vec![completion("Hello!"), (429, String::new())]).await;
    assert!(matches!(result.unwrap_err(), ProviderError::Throttled { .. }));
}

#[tokio::test]
async fn what_a_model_will_not_say_is_for_the_next_engine() {
    let cases = [
        ended("stop", &json!({"content": null, "refusal": "I can't"})),
        ended("content_filter", &json!({"content": "{}"})),
    ];
    for case in cases {
        let (result, received) = analyse(vec![case]).await;
        assert!(matches!(result.unwrap_err(), ProviderError::Rejected { .. }));
        assert_eq!(received.len(), 1);
    }
    let (result, _) = analyse(vec![(429, r#"{"error":{"code":"insufficient_quota"}}"#.to_owned())]).await;
    assert!(matches!(result.unwrap_err(), ProviderError::Unavailable { .. }));
}

#[tokio::test]
async fn silence_is_not_bought() {
    let server = Server::answering(Vec::new()).await;
    let settings = settings(&[("LLM_API_KEY", "k"), ("LLM_BASE_URL", &server.url)]);
    let answer = ask(&LlmEngine::new(&settings, http()).unwrap(), &[]).await.unwrap();
    assert_eq!(answer.content["qualityWarnings"], json!(["no_speech"]));
    assert_eq!(answer.billed_cost, Some(0.0));
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn an_engine_without_its_key_says_which_variable_is_missing() {
    let none = settings(&[]);
    let missing = [
        (LemonfoxEngine::new(&none, http()).err(), "LEMONFOX_API_KEY"),
        (OpenAiEngine::new(&none, http()).err(), "SCRYON_OPENAI_API_KEY"),
        (DeepgramEngine::new(&none, http()).err(), "SCRYON_DEEPGRAM_API_KEY"),
        (AssemblyAiEngine::new(&none, http()).err(), "SCRYON_ASSEMBLYAI_API_KEY"),
        (PyannoteEngine::new(&none, http()).err(), "PYANNOTE_API_KEY"),
        (LlmEngine::new(&none, http()).err(), "LLM_API_KEY"),
    ];
    for (error, variable) in missing {
        let error = error.unwrap();
        assert!(error.split(' ').any(|word| word == variable), "{error}");
    }
}
