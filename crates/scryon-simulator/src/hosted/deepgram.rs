//! `POST /deepgram/v1/listen`: Deepgram's pre-recorded speech-to-text.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Data, Payload, Query, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use chrono::{SecondsFormat, Utc};
use futures_util::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::audio::{self, Audio};
use super::callback::{self, Outgoing};
use super::provider::{Problem, Provider};
use super::script::{Line, Script, Word, seconds};
use super::visit::Visit;
use crate::faults::CallbackFault;
use crate::reply::Reply;
use crate::{Shared, lock};

const MAX_BYTES: u64 = 2 << 30;
/// Most bytes of a body that only names an address.
const MAX_JSON: usize = 64 << 10;
/// Tries of a callback after the first.
const RETRIES: usize = 10;
const NO_PARAMETERS: &[&str] = &["callback", "callback_method", "tag", "extra"];

/// Requests that are being worked on, by key.
#[derive(Debug, Default)]
pub(crate) struct Running(HashMap<String, usize>);

type Options = Query<Vec<(String, String)>>;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/v1/listen", web::post().to(listen))
        .route("/v1/projects", web::get().to(projects))
        .route("/v1/projects/{id}/balances", web::get().to(balances));
}

async fn projects(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::Deepgram, "deepgram.projects")?;
    visit.answer(Reply::json(&json!({"projects": [{"project_id": "p-1", "name": "calls"}]}))).await
}

async fn balances(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::Deepgram, "deepgram.balances")?;
    let amount = visit.options.deepgram_balance;
    let balance = json!({"balance_id": "b-1", "amount": amount, "units": "usd", "purchase_order_id": "o-1"});
    visit.answer(Reply::json(&json!({"balances": [balance]}))).await
}

async fn listen(
    request: HttpRequest,
    shared: Data<Shared>,
    options: Options,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::Deepgram, "deepgram.listen");
    // The place is taken before the body is read, as long as that may take.
    let place = visit.as_ref().ok().map(Place::take).transpose();
    let audio = recording(&request, payload).await;
    let visit = visit?;
    let _place = place.map_err(|problem| visit.refuse(&problem))?;
    let audio = audio.map_err(|problem| visit.refuse(&problem))?;
    let params = options.iter().filter(|(name, _)| !NO_PARAMETERS.contains(&name.as_str()));
    visit.buy(&audio.hash, &audio::params(params.map(|(n, v)| (n.as_str(), v.as_str()))));
    let request_id = Uuid::new_v4().to_string();
    let body = transcript(&visit, &options, &audio, &request_id);
    let Some(url) = get(&options, "callback") else { return visit.answer(Reply::json(&body)).await };
    let mut outgoing = Outgoing::new("deepgram", url, body.to_string());
    outgoing.put = get(&options, "callback_method").is_some_and(|method| method.eq_ignore_ascii_case("put"));
    outgoing.retries = vec![Duration::from_millis(visit.options.deepgram_retry_ms); RETRIES];
    if visit.options.deepgram_token && visit.callback_fault() != Some(CallbackFault::WrongSecret) {
        outgoing.headers.push(("dg-token".to_owned(), visit.key.clone()));
    }
    let due = tokio::time::sleep(Duration::from_millis(visit.options.callback_delay_ms));
    callback::start(&visit, outgoing, due, |_, _| {}).await;
    visit.answer(Reply::json(&json!({"request_id": request_id}))).await
}

/// A place among the requests that are worked on at once; free again when it is dropped.
struct Place {
    shared: Arc<Shared>,
    key: String,
}

impl Place {
    fn take(visit: &Visit) -> Result<Self, Problem> {
        let mut running = lock(&visit.shared.hosted.deepgram);
        let count = running.0.entry(visit.key.clone()).or_default();
        if *count >= visit.options.deepgram_concurrent {
            return Err(Problem::new(429, "Too many concurrent requests."));
        }
        *count += 1;
        Ok(Self { shared: visit.shared.clone(), key: visit.key.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(count) = lock(&self.shared.hosted.deepgram).0.get_mut(&self.key) {
            *count -= 1;
        }
    }
}

/// Raw bytes, or JSON that names an address.
async fn recording(request: &HttpRequest, mut payload: Payload) -> Result<Audio, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        let audio = audio::raw(payload, MAX_BYTES)
            .await
            .map_err(|_problem| Problem::new(413, "The recording is too large or was cut."))?;
        return if audio.bytes == 0 { Err(unreadable("The body is empty.")) } else { Ok(audio) };
    }
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        body.extend_from_slice(&chunk.map_err(|_e| unreadable("The body was cut."))?);
        if body.len() > MAX_JSON {
            return Err(Problem::new(413, "The body is too large."));
        }
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let url = body["url"].as_str().filter(|url| url.starts_with("http"));
    url.map(Audio::at).ok_or_else(|| unreadable("The body names no address."))
}

fn unreadable(message: &str) -> Problem {
    Problem::new(400, message)
}

fn get<'a>(options: &'a Options, name: &str) -> Option<&'a str> {
    options.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

fn is_true(options: &Options, name: &str) -> bool {
    get(options, name) == Some("true")
}

fn transcript(visit: &Visit, options: &Options, audio: &Audio, request_id: &str) -> Value {
    let script = Script::new(&audio.hash, &visit.options, visit.speakers());
    let model = get(options, "model").unwrap_or("base");
    let count = if is_true(options, "multichannel") { 2 } else { 1 };
    let channels: Vec<_> = (0..count).map(|n| channel(options, &script, n, count)).collect();
    let mut results = json!({"channels": channels});
    if is_true(options, "utterances") {
        results["utterances"] = script.lines.iter().map(|line| utterance(options, line, count)).collect();
    }
    json!({
        "metadata": {"request_id": request_id, "sha256": hex::encode(&audio.hash),
            "created": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            "duration": seconds(script.duration_ms), "channels": count, "models": [model], "model_info": {}},
        "results": results,
    })
}

/// On two channels the speakers alternate between them.
fn channel(options: &Options, script: &Script, channel: usize, count: usize) -> Value {
    let lines = script.lines.iter().filter(|line| line.speaker % count == channel);
    let text: Vec<_> = lines.clone().map(|line| line.text.as_str()).collect();
    let words: Vec<_> = lines.flat_map(|line| line.words.iter().map(|w| word(options, line, w))).collect();
    let mut channel =
        json!({"alternatives": [{"transcript": text.join(" "), "confidence": 0.98, "words": words}]});
    if is_true(options, "detect_language") {
        channel["detected_language"] = json!("en");
        channel["language_confidence"] = json!(0.97);
    }
    channel
}

fn diarized(options: &Options) -> bool {
    is_true(options, "diarize") || get(options, "diarize_model").is_some()
}

fn word(options: &Options, line: &Line, said: &Word) -> Value {
    let mut word = json!({"word": said.text, "start": seconds(said.start_ms), "end": seconds(said.end_ms),
        "confidence": 0.99});
    if is_true(options, "punctuate") || is_true(options, "smart_format") {
        word["punctuated_word"] = json!(said.text);
    }
    if diarized(options) {
        word["speaker"] = json!(line.speaker);
        word["speaker_confidence"] = json!(0.81);
    }
    word
}

fn utterance(options: &Options, line: &Line, channels: usize) -> Value {
    let mut utterance = json!({"id": Uuid::new_v4(), "start": seconds(line.start_ms),
        "end": seconds(line.end_ms), "confidence": 0.98, "channel": line.speaker % channels,
        "transcript": line.text});
    if diarized(options) {
        utterance["speaker"] = json!(line.speaker);
    }
    utterance
}
