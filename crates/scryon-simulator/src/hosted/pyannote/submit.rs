//! `POST /v1/diarize`, `/v1/identify` and `/v1/voiceprint`: checks, then a job and its webhook.

use std::time::{Duration, Instant};

use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpRequest, HttpResponse, rt};
use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::audio::json_params;
use super::super::callback::{self, Outgoing, Signing};
use super::super::provider::{Problem, Provider};
use super::super::script::Script;
use super::super::visit::Visit;
use super::jobs::{self, Job};
use super::output::{self, Kind};
use super::{limits, media};
use crate::faults::{CallbackFault, JobFault};
use crate::reply::Reply;
use crate::{Shared, lock};

const NO_PARAMETERS: &[&str] = &["url", "webhook", "webhookStatusOnly"];
const FLAGS: &[&str] =
    &["turnLevelConfidence", "exclusive", "confidence", "transcription", "webhookStatusOnly"];
const VOICEPRINTS: usize = 50;

pub(super) async fn diarize(r: HttpRequest, s: Data<Shared>, b: Bytes) -> Result<HttpResponse, Error> {
    submit(&r, &s, &b, "pyannote.diarize", Kind::Diarize).await
}

pub(super) async fn identify(r: HttpRequest, s: Data<Shared>, b: Bytes) -> Result<HttpResponse, Error> {
    submit(&r, &s, &b, "pyannote.identify", Kind::Identify).await
}

pub(super) async fn voiceprint(r: HttpRequest, s: Data<Shared>, b: Bytes) -> Result<HttpResponse, Error> {
    submit(&r, &s, &b, "pyannote.voiceprint", Kind::Voiceprint).await
}

async fn submit(
    request: &HttpRequest,
    shared: &Data<Shared>,
    body: &[u8],
    route: &'static str,
    kind: Kind,
) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(shared, request, Provider::Pyannote, route)?;
    let limit = limits::count(&visit, route, visit.options.pyannote_submits_per_minute)?;
    let body = visit.object(body)?;
    check(kind, &body, visit.options.plain_http_webhooks).map_err(|problem| visit.refuse(&problem))?;
    let url = body["url"].as_str().unwrap_or_default();
    let hash = media::find(&visit, url);
    let (end, output) = end(&visit, kind, &body, hash.as_deref());
    // Only jobs that succeed are billed.
    if end == "succeeded" {
        visit.buy(&hash.unwrap_or_default(), &json_params(&body, NO_PARAMETERS));
    }
    let early = visit.callback_fault() == Some(CallbackFault::BeforeAnswer);
    let step = if early { 0 } else { visit.options.pyannote_step_ms };
    let job = Job {
        id: Uuid::new_v4().to_string(),
        key: visit.key.clone(),
        created: Instant::now(),
        created_at: Utc::now(),
        step: Duration::from_millis(step),
        kept: Duration::from_millis(visit.options.pyannote_output_ms),
        end,
        output,
    };
    let job = if visit.job_fault() == Some(JobFault::Held) { job.held() } else { job };
    lock(&shared.hosted.pyannote).jobs.push(job.clone());
    announce(&visit, &body, &job).await;
    let mut answer = json!({"jobId": job.id, "status": "created"});
    if let Some(warning) = output::warning(&visit, &body) {
        answer["warning"] = json!(warning);
    }
    visit.answer(limit.on(Reply::json(&answer))).await
}

/// How the job ends, and with which output.
fn end(visit: &Visit, kind: Kind, body: &Value, hash: Option<&[u8]>) -> (&'static str, Option<Value>) {
    match (visit.job_fault(), hash) {
        (Some(JobFault::FailedSilently), _) => ("failed", None),
        (Some(JobFault::Canceled), _) => ("canceled", None),
        (Some(JobFault::Failed), _) | (_, None) => ("failed", Some(json!({"error": "Could not load audio"}))),
        (_, Some(hash)) => {
            let script = Script::new(hash, &visit.options, output::speakers(visit, body));
            ("succeeded", Some(output::output(visit, kind, body, &script, hash)))
        }
    }
}

async fn announce(visit: &Visit, body: &Value, job: &Job) {
    let over = jobs::over(&visit.shared, job);
    let Some(url) = body["webhook"].as_str() else {
        drop(rt::spawn(over));
        return;
    };
    let message = |id: &str| {
        let mut message = json!({"jobId": id, "status": job.end});
        if body["webhookStatusOnly"] != true && job.end == "succeeded" {
            message["output"] = job.output.clone().unwrap_or_default();
        }
        message.to_string()
    };
    let mut outgoing = Outgoing::new("pyannote", url, message(&job.id));
    outgoing.stranger = Some(message(&Uuid::new_v4().to_string()));
    outgoing.signing = Some(Signing {
        secret: visit.options.pyannote_secret.clone(),
        form: visit.options.pyannote_signature,
    });
    outgoing.retries =
        visit.options.pyannote_retries_ms.iter().map(|ms| Duration::from_millis(*ms)).collect();
    callback::start(visit, outgoing, over, |_, _| {}).await;
}

fn check(kind: Kind, body: &Value, plain_http: bool) -> Result<(), Problem> {
    if !body["url"].as_str().is_some_and(media::is_address) {
        return Err(Problem::field("url", "Invalid URL"));
    }
    let webhook = match &body["webhook"] {
        Value::Null => true,
        url => url
            .as_str()
            .is_some_and(|url| url.starts_with("https://") || (plain_http && url.starts_with("http://"))),
    };
    if !webhook {
        return Err(Problem::field("webhook", "A webhook is an https URL"));
    }
    if FLAGS.iter().any(|flag| !matches!(body[*flag], Value::Null | Value::Bool(_))) {
        return Err(Problem::field("body", "A flag is true or false"));
    }
    let model = body["model"].as_str().unwrap_or("precision-2");
    let known = model == "precision-2" || (model == "community-1" && kind == Kind::Diarize);
    if !known {
        return Err(Problem::field("model", "This endpoint has no such model"));
    }
    if body["transcription"] == true && (kind != Kind::Diarize || model != "precision-2") {
        return Err(Problem::field("transcription", "Only diarize with precision-2 transcribes"));
    }
    check_speakers(body)?;
    if kind == Kind::Identify { check_voiceprints(body) } else { Ok(()) }
}

fn check_speakers(body: &Value) -> Result<(), Problem> {
    for name in ["numSpeakers", "minSpeakers", "maxSpeakers"] {
        if !body[name].is_null() && body[name].as_u64().is_none_or(|n| n < 1) {
            return Err(Problem::field("numSpeakers", "Numbers of speakers are 1 or more"));
        }
    }
    match (body["minSpeakers"].as_u64(), body["maxSpeakers"].as_u64()) {
        (Some(min), Some(max)) if min > max => {
            Err(Problem::field("minSpeakers", "minSpeakers is more than maxSpeakers"))
        }
        _ => Ok(()),
    }
}

fn check_voiceprints(body: &Value) -> Result<(), Problem> {
    let voiceprints = body["voiceprints"].as_array().map(Vec::as_slice).unwrap_or_default();
    let right = |v: &Value| {
        let label = v["label"].as_str().unwrap_or_default();
        let print = v["voiceprint"].as_str().unwrap_or_default();
        (1..=100).contains(&label.chars().count())
            && !label.to_ascii_lowercase().starts_with("speaker_")
            && (1..=20_000).contains(&print.len())
    };
    if !(1..=VOICEPRINTS).contains(&voiceprints.len()) || !voiceprints.iter().all(right) {
        return Err(Problem::field("voiceprints", "1 to 50 voiceprints with a label each"));
    }
    match &body["matching"]["threshold"] {
        Value::Null => Ok(()),
        n if n.as_f64().is_some_and(|n| (0.0..=100.0).contains(&n)) => Ok(()),
        _ => Err(Problem::field("matching", "The threshold is between 0 and 100")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submit_is_refused_by_field() {
        let with = |more: Value| {
            let mut body = json!({"url": "media://a"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let prints = |label: &str| json!({"voiceprints": [{"label": label, "voiceprint": "AA=="}]});
        let (d, i, v) = (Kind::Diarize, Kind::Identify, Kind::Voiceprint);
        let table = [
            (d, json!({}), Some("url")),
            (d, json!({"url": "ftp://a"}), Some("url")),
            (d, with(json!({})), None),
            (d, with(json!({"webhook": "https://a/hook"})), None),
            (d, with(json!({"webhook": "http://a/hook"})), Some("webhook")),
            (d, with(json!({"model": "precision-1"})), Some("model")),
            (d, with(json!({"model": "community-1"})), None),
            (d, with(json!({"model": "community-1", "transcription": true})), Some("transcription")),
            (d, with(json!({"exclusive": "yes"})), Some("body")),
            (d, with(json!({"numSpeakers": 0})), Some("numSpeakers")),
            (d, with(json!({"minSpeakers": 3, "maxSpeakers": 2})), Some("minSpeakers")),
            (i, with(json!({})), Some("voiceprints")),
            (i, with(prints("Nia")), None),
            (i, with(prints("speaker_1")), Some("voiceprints")),
            (v, with(json!({"model": "community-1"})), Some("model")),
        ];
        for (kind, body, field) in table {
            assert_eq!(check(kind, &body, false).err().and_then(|p| p.field), field, "{kind:?} {body}");
        }
        assert!(check(d, &with(json!({"webhook": "http://a/hook"})), true).is_ok());
    }
}
