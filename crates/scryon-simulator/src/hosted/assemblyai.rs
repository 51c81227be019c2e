//! `/assemblyai/v2/upload` and `/assemblyai/v2/transcript`: AssemblyAI.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix_web::web::{self, Bytes, Data, Path, Payload, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::audio::{self, Audio, json_params};
use super::callback::{self, Outgoing};
use super::provider::{Problem, Provider};
use super::script::{Line, Script, Word};
use super::visit::Visit;
use crate::faults::{CallbackFault, JobFault};
use crate::reply::Reply;
use crate::{Shared, lock};

/// 2.2 GB.
const MAX_BYTES: u64 = 2_200_000_000;
/// Tries of a webhook after the first.
const RETRIES: usize = 9;
const NO_PARAMETERS: &[&str] =
    &["audio_url", "webhook_url", "webhook_auth_header_name", "webhook_auth_header_value"];

/// Uploads by their address, transcripts by their id.
#[derive(Debug, Default)]
pub(crate) struct State {
    uploads: HashMap<String, Vec<u8>>,
    transcripts: HashMap<String, Transcript>,
}

#[derive(Debug)]
struct Transcript {
    key: String,
    asked: Value,
    script: Script,
    /// Queued until then.
    begins: Instant,
    ends: Instant,
    error: Option<&'static str>,
    webhook_status: Option<u16>,
}

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/v2/upload", web::post().to(upload))
        .route("/v2/transcript", web::post().to(submit))
        .route("/v2/transcript", web::get().to(list))
        .route("/v2/transcript/{id}", web::get().to(read))
        .route("/v2/transcript/{id}", web::delete().to(delete));
}

async fn upload(request: HttpRequest, shared: Data<Shared>, payload: Payload) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::AssemblyAi, "assemblyai.upload");
    let audio = audio::raw(payload, MAX_BYTES).await;
    let visit = visit?;
    let audio = audio.map_err(|problem| visit.refuse_form(problem, MAX_BYTES))?;
    if audio.bytes == 0 {
        return Err(visit.refuse(&Problem::new(422, "Upload failed, the body is empty")));
    }
    let url = format!("{}{}", uploads(&request), Uuid::new_v4());
    lock(&shared.hosted.assemblyai).uploads.insert(url.clone(), audio.hash);
    visit.answer(Reply::json(&json!({"upload_url": url}))).await
}

/// Nobody reads the list itself: it shows that the key is taken.
async fn list(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::AssemblyAi, "assemblyai.list")?;
    let page =
        json!({"limit": 1, "result_count": 0, "current_url": null, "prev_url": null, "next_url": null});
    visit.answer(Reply::json(&json!({"page_details": page, "transcripts": []}))).await
}

/// Where uploads have their addresses.
fn uploads(request: &HttpRequest) -> String {
    let connection = request.connection_info();
    format!("{}://{}/assemblyai/upload/", connection.scheme(), connection.host())
}

async fn submit(request: HttpRequest, shared: Data<Shared>, body: Bytes) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::AssemblyAi, "assemblyai.submit")?;
    let asked = visit.object(&body)?;
    let Some(url) = asked["audio_url"].as_str().filter(|url| url.starts_with("http")) else {
        return Err(visit.refuse(&Problem::new(400, "audio_url should be a valid URL")));
    };
    // An address of this server was uploaded to, or is wrong; any other stands for itself.
    let hash = match lock(&shared.hosted.assemblyai).uploads.get(url) {
        Some(hash) => Some(hash.clone()),
        None if url.starts_with(&uploads(&request)) => None,
        None => Some(Audio::at(url).hash),
    };
    let error = match visit.job_fault() {
        Some(JobFault::Failed | JobFault::FailedSilently | JobFault::Canceled) => {
            Some("Transcoding failed. File does not appear to contain audio.")
        }
        _ if hash.is_none() => Some("Download error, unable to download the file."),
        _ => None,
    };
    let hash = hash.unwrap_or_default();
    // What fails is free.
    if error.is_none() {
        visit.buy(&hash, &json_params(&asked, NO_PARAMETERS));
    }
    let id = Uuid::new_v4().to_string();
    let (begins, ends) = times(&visit);
    let script = script(&visit, &asked, &hash);
    let transcript =
        Transcript { key: visit.key.clone(), asked, script, begins, ends, error, webhook_status: None };
    let shown = transcript.show(&id, Instant::now());
    let webhook = transcript.webhook(&visit, &id);
    lock(&shared.hosted.assemblyai).transcripts.insert(id.clone(), transcript);
    if let Some(webhook) = webhook {
        callback::start(&visit, webhook, tokio::time::sleep_until(ends.into()), move |shared, status| {
            if let Some(transcript) = lock(&shared.hosted.assemblyai).transcripts.get_mut(&id) {
                transcript.webhook_status = status;
            }
        })
        .await;
    }
    visit.answer(Reply::json(&shown)).await
}

/// When the work begins and ends: behind those that were there before, where all places are taken.
fn times(visit: &Visit) -> (Instant, Instant) {
    let now = Instant::now();
    if visit.callback_fault() == Some(CallbackFault::BeforeAnswer) {
        return (now, now);
    }
    let step = Duration::from_millis(visit.options.assemblyai_step_ms);
    let state = lock(&visit.shared.hosted.assemblyai);
    let own = state.transcripts.values().filter(|t| t.key == visit.key && t.ends > now);
    let mut ends: Vec<_> = own.map(|t| t.ends).collect();
    ends.sort_unstable();
    let ahead = ends.len().checked_sub(visit.options.assemblyai_parallel.max(1)).map(|at| ends[at]);
    let begins = (now + step).max(ahead.unwrap_or(now));
    (begins, begins + step)
}

fn script(visit: &Visit, asked: &Value, hash: &[u8]) -> Script {
    let options = &asked["speaker_options"];
    let expected = asked["speakers_expected"].as_u64().or(options["max_speakers_expected"].as_u64());
    let speakers = match visit.job_fault() {
        Some(JobFault::MoreSpeakers) => expected.map_or(visit.speakers(), |n| n as usize) + 1,
        _ => visit.speakers().min(expected.map_or(usize::MAX, |n| n as usize)),
    };
    let script = Script::new(hash, &visit.options, speakers);
    match visit.job_fault() {
        Some(JobFault::Empty) => Script { lines: Vec::new(), ..script },
        _ => script,
    }
}

async fn read(request: HttpRequest, shared: Data<Shared>, id: Path<String>) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::AssemblyAi, "assemblyai.read")?;
    let shown = {
        let state = lock(&shared.hosted.assemblyai);
        let transcript = state.transcripts.get(id.as_str()).filter(|t| t.key == visit.key);
        transcript.map(|t| t.show(&id, Instant::now()))
    };
    match shown {
        Some(shown) => visit.answer(Reply::json(&shown)).await,
        None => Err(visit.refuse(&unknown())),
    }
}

async fn delete(request: HttpRequest, shared: Data<Shared>, id: Path<String>) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::AssemblyAi, "assemblyai.delete")?;
    let removed = {
        let transcripts = &mut lock(&shared.hosted.assemblyai).transcripts;
        let own = transcripts.get(id.as_str()).is_some_and(|t| t.key == visit.key);
        if own { transcripts.remove(id.as_str()) } else { None }
    };
    match removed {
        Some(_) => {
            let body = json!({"id": *id, "status": "completed", "text": "Deleted by user.", "words": null});
            visit.answer(Reply::json(&body)).await
        }
        None => Err(visit.refuse(&unknown())),
    }
}

fn unknown() -> Problem {
    Problem::new(404, "Transcript not found")
}

impl Transcript {
    /// The status that the work ends with.
    fn end(&self) -> &'static str {
        if self.error.is_some() { "error" } else { "completed" }
    }

    fn show(&self, id: &str, now: Instant) -> Value {
        let status = match now {
            now if now < self.begins => "queued",
            now if now < self.ends => "processing",
            _ => self.end(),
        };
        let mut shown = json!({"id": id, "status": status, "audio_url": self.asked["audio_url"],
            "text": null, "words": null, "utterances": null, "audio_duration": null, "confidence": null,
            "webhook_url": self.asked["webhook_url"], "webhook_status_code": self.webhook_status,
            "webhook_auth": !self.asked["webhook_auth_header_name"].is_null()});
        if let Some(shown) = shown.as_object_mut() {
            match status {
                "completed" => shown.extend(self.result()),
                "error" => drop(shown.insert("error".to_owned(), json!(self.error))),
                _ => {}
            }
        }
        shown
    }

    fn result(&self) -> Map<String, Value> {
        let labels = self.asked["speaker_labels"] == true;
        let channels = self.asked["multichannel"] == true;
        let tell = |value: &mut Value, line: &Line| {
            if channels {
                value["channel"] = json!((line.speaker + 1).to_string());
            }
            let letter = || char::from(b'A' + (line.speaker % 26) as u8).to_string();
            value["speaker"] = if labels || channels { json!(letter()) } else { Value::Null };
        };
        let word = |line: &Line, word: &Word| {
            let mut value =
                json!({"text": word.text, "start": word.start_ms, "end": word.end_ms, "confidence": 0.97});
            tell(&mut value, line);
            value
        };
        let utterance = |line: &Line| {
            let words: Vec<_> = line.words.iter().map(|w| word(line, w)).collect();
            let mut value = json!({"text": line.text, "start": line.start_ms, "end": line.end_ms,
                "confidence": 0.97, "words": words});
            tell(&mut value, line);
            value
        };
        let words: Vec<_> = self.script.words().map(|(line, w)| word(line, w)).collect();
        let mut result = Map::new();
        result.insert("text".to_owned(), json!(self.script.text()));
        result.insert("words".to_owned(), json!(words));
        result.insert("audio_duration".to_owned(), json!(self.script.duration_ms / 1_000));
        result.insert("confidence".to_owned(), json!(0.95));
        result.insert(
            "language_code".to_owned(),
            self.asked.get("language_code").cloned().unwrap_or(json!("en")),
        );
        if labels || channels {
            let utterances: Vec<_> = self.script.lines.iter().map(utterance).collect();
            result.insert("utterances".to_owned(), json!(utterances));
        }
        result
    }

    /// The thin webhook: which transcript, and how it ended.
    fn webhook(&self, visit: &Visit, id: &str) -> Option<Outgoing> {
        let url = self.asked["webhook_url"].as_str()?;
        let message = |id: &str| json!({"transcript_id": id, "status": self.end()}).to_string();
        let mut outgoing = Outgoing::new("assemblyai", url, message(id));
        outgoing.stranger = Some(message(&Uuid::new_v4().to_string()));
        outgoing.retries = vec![Duration::from_millis(visit.options.assemblyai_retry_ms); RETRIES];
        outgoing.stops_at_4xx = true;
        let header = |name: &str| self.asked[name].as_str().map(str::to_owned);
        if let (Some(name), Some(mut value)) =
            (header("webhook_auth_header_name"), header("webhook_auth_header_value"))
        {
            if visit.callback_fault() == Some(CallbackFault::WrongSecret) {
                value.push_str("-of-somebody-else");
            }
            outgoing.headers.push((name, value));
        }
        Some(outgoing)
    }
}
