//! `POST /openai/v1/audio/transcriptions`, and whisper.cpp's `/inference`.

use actix_web::web::{Data, Payload};
use actix_web::{Error, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::super::audio::{Audio, Form};
use super::super::provider::{Problem, Provider};
use super::super::script::{Line, Script, seconds};
use super::super::visit::Visit;
use super::{dialects, with_headers};
use crate::Shared;
use crate::faults::{ChatFault, Fault};
use crate::options::Dialect;
use crate::reply::Reply;

/// Above this length a diarizing model wants to be told how to cut the recording.
const UNCUT_MS: u64 = 30_000;
const KNOWN_SPEAKERS: usize = 4;
const EVERY_FORMAT: &[&str] = &["json", "text", "srt", "vtt", "verbose_json"];
const DIARIZE: &str = "gpt-4o-transcribe-diarize";

/// Formats that a model of OpenAI's has. None where there is no such model.
fn formats(model: &str) -> Option<&'static [&'static str]> {
    match model {
        "whisper-1" => Some(EVERY_FORMAT),
        "gpt-4o-transcribe" | "gpt-4o-mini-transcribe" => Some(&["json", "text"]),
        DIARIZE => Some(&["json", "text", "diarized_json"]),
        "gpt-transcribe" => Some(&["json"]),
        _ => None,
    }
}

pub(super) async fn transcribe(
    request: HttpRequest,
    shared: Data<Shared>,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    let (visit, form) = read(&request, &shared, payload, "openai.transcribe").await?;
    let refuse = |problem: Problem| visit.refuse(&problem);
    let dialect = visit.dialect();
    let audio = recording(dialect, &form).map_err(refuse)?;
    let script = Script::new(&audio.hash, &visit.options, visit.speakers());
    match dialect {
        Dialect::OpenAi => check(&form, &script).map_err(refuse)?,
        _ => check_compatible(dialect, &form).map_err(refuse)?,
    }
    visit.buy(&audio.hash, &form.params(&["known_speaker_references[]"]));
    visit.answer(with_headers(transcript(&visit, &form, &script), &visit)).await
}

/// Speaches and LocalAI: who spoke when, without text.
pub(super) async fn diarize(
    request: HttpRequest,
    shared: Data<Shared>,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    let (visit, form) = read(&request, &shared, payload, "openai.diarize").await?;
    if !matches!(visit.dialect(), Dialect::Speaches | Dialect::LocalAi) {
        return Err(visit.refuse(&Problem::new(404, "Not Found")));
    }
    let audio = recording(visit.dialect(), &form).map_err(|problem| visit.refuse(&problem))?;
    visit.buy(&audio.hash, &form.params(&[]));
    let script = Script::new(&audio.hash, &visit.options, visit.speakers());
    let segment = |line: &Line| {
        json!({"start": seconds(line.start_ms), "end": seconds(line.end_ms),
            "speaker": format!("SPEAKER_{:02}", line.speaker)})
    };
    let segments: Vec<_> = script.lines.iter().map(segment).collect();
    let body = json!({"duration": seconds(script.duration_ms), "segments": segments});
    visit.answer(Reply::json(&body)).await
}

async fn read(
    request: &HttpRequest,
    shared: &Data<Shared>,
    payload: Payload,
    route: &'static str,
) -> Result<(Visit, Form), Error> {
    let visit = Visit::begin(shared, request, Provider::OpenAi, route);
    let limit = shared.hosted.options().openai_max_bytes;
    let form = Form::read(request, payload, limit).await;
    let visit = visit?;
    let form = form.map_err(|problem| visit.refuse_form(problem, limit))?;
    Ok((visit, form))
}

fn recording(dialect: Dialect, form: &Form) -> Result<&Audio, Problem> {
    let fastapi = matches!(dialect, Dialect::Speaches | Dialect::Vllm);
    let wrong = |message: &str| Problem {
        status: if fastapi { 422 } else { 400 },
        ..Problem::field("file", message)
    };
    match &form.audio {
        None => Err(wrong("file is required")),
        Some(audio) if audio.by_url => Err(wrong("file is no uploaded file")),
        Some(audio) if audio.bytes == 0 && dialect == Dialect::Speaches => {
            Err(Problem::new(415, "Failed to decode audio."))
        }
        Some(audio) if audio.bytes == 0 => {
            Err(Problem::field("file", "The audio file could not be decoded."))
        }
        Some(audio) => Ok(audio),
    }
}

/// What OpenAI refuses.
fn check(form: &Form, script: &Script) -> Result<(), Problem> {
    let model = form.get("model").ok_or_else(|| Problem::field("model", "model is required"))?;
    let Some(formats) = formats(model) else {
        let problem = Problem::field("model", "The model does not exist.").code("model_not_found");
        return Err(Problem { status: 404, ..problem });
    };
    let format = form.get("response_format").unwrap_or("json");
    if !formats.contains(&format) {
        return Err(Problem::field("response_format", "This model has no such response_format.")
            .code("unsupported_value"));
    }
    let granularities = form.all("timestamp_granularities[]");
    if granularities.iter().any(|g| g == "word") && format != "verbose_json" {
        return Err(Problem::field("timestamp_granularities", "Words need verbose_json."));
    }
    let names = form.all("known_speaker_names[]").len();
    if names > KNOWN_SPEAKERS || names != form.all("known_speaker_references[]").len() {
        return Err(Problem::field("known_speaker_names", "Up to four names with a reference each."));
    }
    let logprobs = !form.all("include[]").is_empty();
    if logprobs && (format != "json" || !matches!(model, "gpt-4o-transcribe" | "gpt-4o-mini-transcribe")) {
        return Err(Problem::field("include", "This model has no logprobs."));
    }
    if model == DIARIZE {
        if form.get("prompt").is_some() || !granularities.is_empty() {
            return Err(Problem::field("prompt", "This model takes neither prompt nor granularities."));
        }
        if script.duration_ms > UNCUT_MS && form.get("chunking_strategy").is_none() {
            return Err(Problem::field("chunking_strategy", "Required above 30 seconds."));
        }
    }
    Ok(())
}

/// What the compatible servers refuse: little.
fn check_compatible(dialect: Dialect, form: &Form) -> Result<(), Problem> {
    let knows_models = matches!(dialect, Dialect::Speaches | Dialect::Ollama | Dialect::Vllm);
    if knows_models && form.get("model").is_none_or(|model| model.starts_with("missing")) {
        return Err(Problem { status: 404, ..Problem::field("model", "The model is not installed.") });
    }
    let format = form.get("response_format").unwrap_or("json");
    if EVERY_FORMAT.contains(&format) {
        return Ok(());
    }
    let status = if dialect == Dialect::Speaches { 422 } else { 400 };
    Err(Problem { status, ..Problem::field("response_format", "response_format is unknown") })
}

fn transcript(visit: &Visit, form: &Form, script: &Script) -> Reply {
    let dialect = visit.dialect();
    // LocalAI's own documents do not agree on its default; a client has to say what it wants.
    let default = if dialect == Dialect::LocalAi { "verbose_json" } else { "json" };
    let mut body = match form.get("response_format").unwrap_or(default) {
        "text" => {
            let kind = if dialect == Dialect::WhisperCpp { "text/html" } else { "text/plain; charset=utf-8" };
            return Reply::text(kind, script.text() + "\n");
        }
        "srt" => {
            let kind = if dialect == Dialect::WhisperCpp {
                "application/x-subrip"
            } else {
                "text/plain; charset=utf-8"
            };
            return Reply::text(kind, script.srt());
        }
        "vtt" => return Reply::text("text/vtt; charset=utf-8", script.vtt()),
        "verbose_json" => dialects::verbose(dialect, form, script),
        "diarized_json" => diarized(form, script),
        _ => short(dialect, form, script),
    };
    if visit.fault == Some(Fault::Chat(ChatFault::NoUsage))
        && let Some(body) = body.as_object_mut()
    {
        body.remove("usage");
    }
    Reply::json(&body)
}

fn short(dialect: Dialect, form: &Form, script: &Script) -> Value {
    let mut body = json!({"text": script.text()});
    match dialect {
        Dialect::OpenAi if form.get("model") == Some("whisper-1") => {
            body["usage"] = dialects::duration_usage(script);
        }
        Dialect::OpenAi => body["usage"] = token_usage(script),
        Dialect::Vllm => body["usage"] = dialects::duration_usage(script),
        Dialect::Speaches => body["usage"] = Value::Null,
        Dialect::WhisperCpp | Dialect::Ollama | Dialect::LocalAi => {}
    }
    if dialect == Dialect::OpenAi && form.get("model") == Some("gpt-transcribe") {
        body["languages"] = json!([{"code": "en"}]);
    }
    if !form.all("include[]").is_empty() {
        let token = |text: &str| json!({"token": text, "logprob": -0.1, "bytes": text.as_bytes()});
        body["logprobs"] = script.words().map(|(_, word)| token(&word.text)).collect();
    }
    body
}

/// Speakers are letters, or the names that were given.
fn diarized(form: &Form, script: &Script) -> Value {
    let names = form.all("known_speaker_names[]");
    let speaker = |n: usize| {
        let letter = || char::from(b'A' + (n % 26) as u8).to_string();
        names.get(n).cloned().unwrap_or_else(letter)
    };
    let segment = |(n, line): (usize, &Line)| {
        json!({"type": "transcript.text.segment", "id": format!("seg_{:03}", n + 1),
            "start": seconds(line.start_ms), "end": seconds(line.end_ms),
            "text": line.text, "speaker": speaker(line.speaker)})
    };
    let segments: Vec<_> = script.lines.iter().enumerate().map(segment).collect();
    json!({"task": "transcribe", "duration": seconds(script.duration_ms), "text": script.text(),
        "segments": segments, "usage": token_usage(script)})
}

fn token_usage(script: &Script) -> Value {
    let (input, output) = (script.duration_ms / 100, script.words().count());
    json!({"type": "tokens", "input_tokens": input, "output_tokens": output,
        "input_token_details": {"audio_tokens": input, "text_tokens": 0}, "total_tokens": input + output as u64})
}
