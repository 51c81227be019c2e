use std::time::Duration;

use reqwest::multipart::Form;
use scryon_simulator::{ChatFault, Dialect, Fault, HostedOptions, ResetForm};
use serde_json::{Value, json};

use crate::support::*;

const PATH: &str = "/openai/v1/audio/transcriptions";
const ROUTE: &str = "openai.transcribe";
const AUDIO: &[u8] = b"a recording";

async fn verbose(running: &Running, more: &[(&str, &str)]) -> Value {
    let mut fields = vec![("model", "whisper-1"), ("response_format", "verbose_json")];
    fields.extend_from_slice(more);
    json(running.form(PATH, AUDIO, &fields).await).await
}

#[tokio::test]
async fn each_model_answers_in_its_formats() {
    let running = start().await;
    let table = [
        ("whisper-1", "json", "application/json"),
        ("whisper-1", "text", "text/plain; charset=utf-8"),
        ("whisper-1", "srt", "text/plain; charset=utf-8"),
        ("whisper-1", "vtt", "text/vtt; charset=utf-8"),
        ("whisper-1", "verbose_json", "application/json"),
        ("gpt-4o-transcribe", "json", "application/json"),
        ("gpt-4o-mini-transcribe", "text", "text/plain; charset=utf-8"),
        ("gpt-4o-transcribe-diarize", "diarized_json", "application/json"),
        ("gpt-transcribe", "json", "application/json"),
    ];
    for (model, format, kind) in table {
        let response = running.form(PATH, AUDIO, &[("model", model), ("response_format", format)]).await;
        assert_eq!(
            (response.status().as_u16(), header(&response, "content-type")),
            (200, Some(kind)),
            "{model} {format}"
        );
        assert!(response.text().await.unwrap().contains(&word(AUDIO)), "{model} {format}");
    }
    let usage = async |model| {
        let body = json(running.form(PATH, AUDIO, &[("model", model)]).await).await;
        (body["usage"]["type"].clone(), body["languages"].clone())
    };
    assert_eq!(usage("whisper-1").await, (json!("duration"), Value::Null));
    assert_eq!(usage("gpt-4o-transcribe").await, (json!("tokens"), Value::Null));
    assert_eq!(usage("gpt-transcribe").await, (json!("tokens"), json!([{"code": "en"}])));
    running.simulator.fail_next(ROUTE, 1, Fault::Chat(ChatFault::NoUsage));
    assert_eq!(usage("whisper-1").await.0, Value::Null);
}

#[tokio::test]
async fn granularities_decide_what_a_verbose_answer_holds() {
    let running = start().await;
    let (word, segment) = (("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment"));
    let table: [(&[(&str, &str)], bool, bool); 4] = [
        (&[], false, true),
        (&[word], true, false),
        (&[segment], false, true),
        (&[word, segment], true, true),
    ];
    for (fields, words, segments) in table {
        let answer = verbose(&running, fields).await;
        assert_eq!(
            (answer["words"].is_array(), answer["segments"].is_array()),
            (words, segments),
            "{fields:?}"
        );
        assert!(
            answer["segments"][0].get("words").is_none() && answer["segments"][0].get("speaker").is_none()
        );
    }
    let answer = verbose(&running, &[("language", "hi")]).await;
    assert_eq!((&answer["language"], &answer["task"]), (&json!("hindi"), &json!("transcribe")));
    assert_eq!(answer["usage"], json!({"type": "duration", "seconds": 8}));
}

#[tokio::test]
async fn speakers_are_letters_or_the_names_that_were_given() {
    let running = start_with(|o| o.speakers = 3).await;
    let fields = [
        ("model", "gpt-4o-transcribe-diarize"),
        ("response_format", "diarized_json"),
        ("known_speaker_names[]", "agent"),
        ("known_speaker_references[]", "data:audio/wav;base64,AA=="),
    ];
    let answer = json(running.form(PATH, AUDIO, &fields).await).await;
    let segments = answer["segments"].as_array().unwrap();
    let speakers: Vec<_> = segments.iter().map(|s| s["speaker"].as_str().unwrap()).collect();
    assert_eq!(speakers, ["agent", "B", "C", "agent"]);
    assert_eq!(
        (&segments[1]["id"], &segments[1]["type"]),
        (&json!("seg_002"), &json!("transcript.text.segment"))
    );
}

#[tokio::test]
async fn what_a_model_cannot_do_is_refused_and_not_bought() {
    let running = start_with(|o| o.segments = 20).await;
    let diarize = ("model", "gpt-4o-transcribe-diarize");
    let table: [(&[(&str, &str)], u16, &str); 11] = [
        (&[], 400, "model"),
        (&[("model", "whisper-9")], 404, "model"),
        (&[("model", "whisper-1"), ("response_format", "diarized_json")], 400, "response_format"),
        (&[("model", "gpt-4o-transcribe"), ("response_format", "verbose_json")], 400, "response_format"),
        (&[("model", "gpt-transcribe"), ("response_format", "srt")], 400, "response_format"),
        (&[("model", "whisper-1"), ("timestamp_granularities[]", "word")], 400, "timestamp_granularities"),
        (&[("model", "whisper-1"), ("include[]", "logprobs")], 400, "include"),
        (&[diarize], 400, "chunking_strategy"),
        (&[diarize, ("chunking_strategy", "auto"), ("prompt", "p")], 400, "prompt"),
        (&[diarize, ("chunking_strategy", "auto"), ("timestamp_granularities[]", "segment")], 400, "prompt"),
        (&[diarize, ("known_speaker_names[]", "agent")], 400, "known_speaker_names"),
    ];
    for (fields, status, param) in table {
        let (got, body) = told(running.form(PATH, AUDIO, fields).await).await;
        assert_eq!((got, body["error"]["param"].as_str()), (status, Some(param)), "{fields:?} {body}");
        assert_eq!(body["error"]["type"], "invalid_request_error");
    }
    let url = with_fields(Form::new(), &[("file", "https://example.org/a.wav"), ("model", "whisper-1")]);
    assert_eq!(told(running.post(PATH).bearer_auth("k").multipart(url).send().await.unwrap()).await.0, 400);
    assert_eq!(running.simulator.purchases(), []);
    let right = running.form(PATH, AUDIO, &[diarize, ("chunking_strategy", "auto")]).await;
    assert_eq!(right.status(), 200);
    let logprobs =
        running.form(PATH, AUDIO, &[("model", "gpt-4o-transcribe"), ("include[]", "logprobs")]).await;
    assert_eq!(json(logprobs).await["logprobs"][0]["token"], word(AUDIO));
}

#[tokio::test]
async fn a_recording_above_25_megabytes_is_refused_with_413_or_400() {
    static LONG: [u8; (25 << 20) + 1] = [0; (25 << 20) + 1];
    let running = start().await;
    let (status, body) = told(running.form(PATH, &LONG, &[("model", "whisper-1")]).await).await;
    assert_eq!((status, &body["error"]["type"]), (413, &json!("invalid_request_error")));
    assert_eq!(running.form(PATH, &LONG[1..], &[("model", "whisper-1")]).await.status(), 200);
    running
        .simulator
        .set_hosted(HostedOptions { openai_too_large_status: 400, ..running.simulator.hosted() });
    assert_eq!(running.form(PATH, &LONG, &[("model", "whisper-1")]).await.status(), 400);
    assert_eq!(running.count(ROUTE), 1);
}

#[tokio::test]
async fn the_compatible_servers_write_verbose_answers_in_their_own_way() {
    let running = start().await;
    let words = [("timestamp_granularities[]", "word")];
    let dialect =
        |d| running.simulator.set_hosted(HostedOptions { openai_dialect: d, ..running.simulator.hosted() });

    dialect(Dialect::Speaches);
    let answer = verbose(&running, &words).await;
    assert_eq!(
        (&answer["language"], answer.get("task"), &answer["usage"]),
        (&json!("en"), None, &Value::Null)
    );
    assert!(answer["words"].is_array() && answer["segments"].is_array());
    assert_eq!(verbose(&running, &[]).await["words"], Value::Null);

    dialect(Dialect::WhisperCpp);
    let answer = verbose(&running, &[]).await;
    assert_eq!((&answer["language"], &answer["detected_language"]), (&json!("english"), &json!("english")));
    assert_eq!(answer["language_probabilities"], json!({"en": 0.98}));
    let tokens = answer["segments"][0]["words"].as_array().unwrap();
    let joined: String = tokens.iter().map(|t| t["word"].as_str().unwrap()).collect();
    assert_eq!(joined, answer["segments"][0]["text"].as_str().unwrap());
    assert!(tokens.len() > 7 && tokens.iter().any(|t| !t["word"].as_str().unwrap().starts_with(' ')));
    assert!(tokens.iter().all(|t| t["probability"].is_f64() && t["t_dtw"] == -1));
    assert!(answer.get("usage").is_none() && answer.get("words").is_none());

    dialect(Dialect::Vllm);
    let answer = verbose(&running, &words).await;
    assert_eq!((&answer["duration"], &answer["words"]), (&json!("8.0"), &Value::Null));
    assert_eq!(answer["segments"][0]["no_speech_prob"], Value::Null);
    let short = json(running.form(PATH, AUDIO, &[("model", "m")]).await).await;
    assert_eq!(short["usage"], json!({"type": "duration", "seconds": 8}));

    dialect(Dialect::LocalAi);
    let answer = verbose(&running, &[("diarize", "true")]).await;
    assert_eq!(answer["segments"][1]["start"], json!(2_000_000_000_u64));
    assert_eq!((&answer["segments"][1]["speaker"], &answer["duration"]), (&json!("SPEAKER_01"), &json!(8.0)));
    assert!(verbose(&running, &[]).await["segments"][0].get("speaker").is_none());
    let default = json(running.form(PATH, AUDIO, &[("model", "m")]).await).await;
    assert!(default["segments"].is_array());

    dialect(Dialect::Ollama);
    let answer = verbose(&running, &words).await;
    assert!(answer["words"].is_array() && answer.get("usage").is_none());
}

#[tokio::test]
async fn the_compatible_servers_refuse_in_their_own_way() {
    let running = start().await;
    let ask = async |dialect, key: &'static str, fields: &[(&'static str, &'static str)]| {
        running.simulator.set_hosted(HostedOptions { openai_dialect: dialect, ..running.simulator.hosted() });
        let request = running.post(PATH).bearer_auth(key).multipart(form(AUDIO, fields));
        told(request.send().await.unwrap()).await
    };
    let model = [("model", "m")];
    let missing = [("model", "missing-model")];
    let format = [("model", "m"), ("response_format", "xml")];
    assert_eq!(ask(Dialect::Speaches, "bad", &model).await.0, 403);
    let (status, body) = ask(Dialect::Speaches, "k", &missing).await;
    assert!(status == 404 && body["detail"].is_string());
    let (status, body) = ask(Dialect::Speaches, "k", &format).await;
    assert!(status == 422 && body["detail"].is_array());
    assert_eq!(ask(Dialect::WhisperCpp, "bad", &missing).await.0, 200);
    let (status, body) = ask(Dialect::WhisperCpp, "k", &format).await;
    assert!(status == 400 && body["error"].is_string());
    assert_eq!(ask(Dialect::Ollama, "bad", &model).await.0, 200);
    assert_eq!(ask(Dialect::Ollama, "k", &missing).await.0, 404);
    assert_eq!(ask(Dialect::Vllm, "bad", &model).await.0, 401);
    let url = with_fields(Form::new(), &[("file", "https://example.org/a.wav"), ("model", "m")]);
    running.simulator.fail_next(ROUTE, 1, Fault::Dialect(Dialect::Vllm));
    assert_eq!(told(running.post(PATH).bearer_auth("k").multipart(url).send().await.unwrap()).await.0, 422);
    running.simulator.fail_next(ROUTE, 1, Fault::Dialect(Dialect::Speaches));
    assert_eq!(told(running.form(PATH, b"", &model).await).await.0, 415);
}

#[tokio::test]
async fn whisper_cpp_has_its_own_path_and_types() {
    let running = start_with(|o| o.openai_dialect = Dialect::WhisperCpp).await;
    assert_eq!(running.get("/openai/health").send().await.unwrap().status(), 200);
    for (format, kind) in [("text", "text/html"), ("srt", "application/x-subrip")] {
        let request =
            running.post("/openai/inference").multipart(form(AUDIO, &[("response_format", format)]));
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, Some(kind)));
    }
}

#[tokio::test]
async fn a_refusal_may_come_with_200_and_buys_nothing() {
    let running = start_with(|o| o.openai_dialect = Dialect::WhisperCpp).await;
    running.simulator.fail_next(ROUTE, 1, Fault::RefusedWithOk);
    let answer = json(running.form(PATH, AUDIO, &[]).await).await;
    assert!(answer["error"].is_string() && answer.get("text").is_none(), "{answer}");
    assert_eq!(running.count(ROUTE), 0);
    assert!(json(running.form(PATH, AUDIO, &[]).await).await["text"].is_string());
}

#[tokio::test]
async fn two_servers_tell_who_spoke_on_a_route_of_its_own() {
    let running = start_with(|o| o.openai_dialect = Dialect::Speaches).await;
    let answer = json(running.form("/openai/v1/audio/diarization", AUDIO, &[]).await).await;
    assert_eq!(answer["segments"][1], json!({"start": 2.0, "end": 3.9, "speaker": "SPEAKER_01"}));
    assert_eq!(running.count("openai.diarize"), 1);
    running.simulator.fail_next("openai.diarize", 1, Fault::Dialect(Dialect::OpenAi));
    assert_eq!(running.form("/openai/v1/audio/diarization", AUDIO, &[]).await.status(), 404);
}

#[tokio::test]
async fn limits_stand_in_headers_as_durations_or_as_minus_one() {
    let running = start().await;
    let ask = || running.form(PATH, AUDIO, &[("model", "whisper-1")]);
    let response = ask().await;
    assert_eq!(header(&response, "x-ratelimit-reset-requests"), Some("12ms"));
    assert_eq!(header(&response, "x-ratelimit-reset-tokens"), Some("6m0s"));
    assert!(header(&response, "x-request-id").unwrap().starts_with("req_"));
    running
        .simulator
        .set_hosted(HostedOptions { openai_reset: ResetForm::MinusOne, ..running.simulator.hosted() });
    running.simulator.fail_next(ROUTE, 1, Fault::Status(429, Some(7)));
    let response = ask().await;
    assert_eq!(header(&response, "x-ratelimit-reset-requests"), Some("-1"));
    assert_eq!(header(&response, "x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(header(&response, "retry-after"), Some("7"));
    running.simulator.fail_next(ROUTE, 1, Fault::CutInBody);
    running.simulator.fail_next(ROUTE, 1, Fault::SlowBody(Duration::from_millis(1)));
    for whole in [false, true] {
        let response = ask().await;
        assert_eq!(header(&response, "x-ratelimit-reset-requests"), Some("-1"));
        assert_eq!(header(&response, "content-type"), Some("application/json"));
        assert_eq!(response.text().await.is_ok(), whole);
    }
    running.simulator.fail_next(ROUTE, 1, Fault::Dialect(Dialect::Vllm));
    assert_eq!(header(&ask().await, "x-ratelimit-reset-requests"), None);
}
