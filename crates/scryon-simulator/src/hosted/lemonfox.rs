//! `POST /lemonfox/v1/audio/transcriptions`: Lemonfox.ai speech-to-text.

use std::time::Duration;

use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::audio::{Audio, Form};
use super::callback::{self, Outgoing};
use super::provider::{Problem, Provider};
use super::script::{Line, Script, Word, seconds};
use super::visit::Visit;
use crate::Shared;
use crate::faults::Fault;
use crate::options::WordPlace;
use crate::reply::Reply;

/// Most speakers that are told apart.
const SPEAKERS: usize = 4;
const FORMATS: &[&str] = &["json", "text", "srt", "vtt", "verbose_json"];

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/v1/audio/transcriptions", web::post().to(transcribe))
        .route("/v1/models", web::get().to(models));
}

async fn models(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::Lemonfox, "lemonfox.models")?;
    let models = json!({"object": "list", "data": [{"id": "whisper-1", "object": "model"}]});
    visit.answer(Reply::json(&models)).await
}

async fn transcribe(
    request: HttpRequest,
    shared: Data<Shared>,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::Lemonfox, "lemonfox.transcribe");
    let limit = shared.hosted.options().lemonfox_max_bytes;
    let form = Form::read(&request, payload, limit).await;
    let visit = visit?;
    let form = form.map_err(|problem| visit.refuse_form(problem, limit))?;
    let audio = check(&form).map_err(|problem| visit.refuse(&problem))?;
    visit.buy(&audio.hash, &form.params(&["callback_url"]));
    let transcript = transcript(&visit, &form, audio);
    let Some(url) = form.get("callback_url") else { return visit.answer(transcript).await };
    let mut outgoing = Outgoing::new("lemonfox", url, transcript.body);
    outgoing.content_type = transcript.content_type;
    let due = tokio::time::sleep(Duration::from_millis(visit.options.callback_delay_ms));
    callback::start(&visit, outgoing, due, |_, _| {}).await;
    visit.answer(Reply::json(&json!({"status": "processing"}))).await
}

fn check(form: &Form) -> Result<&Audio, Problem> {
    let audio = form.audio.as_ref().ok_or_else(|| Problem::field("file", "file is required"))?;
    if audio.bytes == 0 && !audio.by_url {
        return Err(Problem::field("file", "file is empty"));
    }
    let format = form.get("response_format").unwrap_or("json");
    if !FORMATS.contains(&format) {
        return Err(Problem::field("response_format", "response_format is unknown"));
    }
    if form.get("callback_url").is_some_and(|url| !url.starts_with("http")) {
        return Err(Problem::field("callback_url", "callback_url is no address"));
    }
    Ok(audio)
}

fn transcript(visit: &Visit, form: &Form, audio: &Audio) -> Reply {
    let script = Script::new(&audio.hash, &visit.options, speakers(visit, form));
    let text = script.text();
    match form.get("response_format") {
        Some("text") => {
            let quoted = visit.options.lemonfox_quoted_text || visit.fault == Some(Fault::QuotedText);
            Reply::text("text/plain; charset=utf-8", if quoted { json!(text).to_string() } else { text })
        }
        Some("srt") => Reply::text("text/plain; charset=utf-8", script.srt()),
        Some("vtt") => Reply::text("text/vtt; charset=utf-8", script.vtt()),
        Some("verbose_json") => Reply::json(&verbose(visit, form, &script)),
        _ => Reply::json(&json!({"text": text})),
    }
}

/// Voices that are told apart: those of the recording, within the hints.
fn speakers(visit: &Visit, form: &Form) -> usize {
    let hint = |name| form.get(name).and_then(|n| n.parse::<usize>().ok());
    let speakers = visit.speakers().max(hint("min_speakers").unwrap_or(1));
    speakers.min(hint("max_speakers").unwrap_or(SPEAKERS)).clamp(1, SPEAKERS)
}

fn verbose(visit: &Visit, form: &Form, script: &Script) -> Value {
    let labels = form.is_true("speaker_labels");
    let wanted = form.all("timestamp_granularities[]").iter().any(|g| g == "word");
    let place = match visit.fault {
        _ if !wanted => WordPlace::Missing,
        Some(Fault::Words(place)) => place,
        _ => visit.options.lemonfox_words,
    };
    let word = |line: &Line, word: &Word| {
        let mut word =
            json!({"word": word.text, "start": seconds(word.start_ms), "end": seconds(word.end_ms)});
        if labels {
            word["speaker"] = json!(label(line));
        }
        word
    };
    let segment = |(n, line): (usize, &Line)| {
        let mut segment = json!({"id": n, "start": seconds(line.start_ms), "end": seconds(line.end_ms),
            "text": format!(" {}", line.text), "language": "en"});
        if labels {
            segment["speaker"] = json!(label(line));
        }
        if place == WordPlace::Segments {
            segment["words"] = line.words.iter().map(|w| word(line, w)).collect();
        }
        segment
    };
    let segments: Vec<_> = script.lines.iter().enumerate().map(segment).collect();
    let mut body = json!({"task": "transcribe", "language": form.get("language").unwrap_or("english"),
        "duration": seconds(script.duration_ms), "text": script.text(), "segments": segments});
    if place == WordPlace::TopLevel {
        body["words"] = script.words().map(|(line, w)| word(line, w)).collect();
    }
    body
}

fn label(line: &Line) -> String {
    format!("SPEAKER_{:02}", line.speaker)
}
