//! `/openai`: the API of OpenAI, and of the servers that are compatible with it.

mod chat;
mod dialects;
mod embeddings;
mod sample;
mod strict;
mod transcription;

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use serde_json::json;
use uuid::Uuid;

use super::provider::Provider;
use super::visit::Visit;
use crate::Shared;
use crate::options::{Dialect, ResetForm};
use crate::reply::Reply;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/v1/audio/transcriptions", web::post().to(transcription::transcribe))
        .route("/inference", web::post().to(transcription::transcribe))
        .route("/v1/audio/diarization", web::post().to(transcription::diarize))
        .route("/v1/chat/completions", web::post().to(chat::complete))
        .route("/v1/embeddings", web::post().to(embeddings::embed))
        .route("/v1/models", web::get().to(models))
        .route("/health", web::get().to(health));
}

/// Models that are listed; a chat accepts any other name as well.
const MODELS: &[&str] = &[
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
    "gpt-transcribe",
    "gpt-6-luna",
    "gpt-6-sol",
    "text-embedding-3-small",
    "text-embedding-3-large",
];

async fn models(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::OpenAi, "openai.models")?;
    let model =
        |id: &&str| json!({"id": id, "object": "model", "created": 1_789_000_000, "owned_by": "openai"});
    let data: Vec<_> = MODELS.iter().map(model).collect();
    let reply = Reply::json(&json!({"object": "list", "data": data}));
    visit.answer(with_headers(reply, &visit)).await
}

async fn health() -> HttpResponse {
    Reply::json(&json!({"status": "ok"})).plain()
}

/// What OpenAI itself says in headers; the compatible servers say nothing there.
pub(super) fn with_headers(reply: Reply, visit: &Visit) -> Reply {
    if visit.dialect() != Dialect::OpenAi {
        return reply;
    }
    let (limited, form) = (reply.status.as_u16() == 429, visit.options.openai_reset);
    reply
        .header("x-request-id", format!("req_{}", Uuid::new_v4().simple()))
        .header("openai-processing-ms", "12")
        .header("x-ratelimit-limit-requests", "5000")
        .header("x-ratelimit-limit-tokens", "2000000")
        .header("x-ratelimit-remaining-requests", if limited { "0" } else { "4999" })
        .header("x-ratelimit-remaining-tokens", "1999000")
        .header("x-ratelimit-reset-requests", reset(form, 12))
        .header("x-ratelimit-reset-tokens", reset(form, 360_000))
}

fn reset(form: ResetForm, ms: u64) -> String {
    let seconds = ms.div_ceil(1_000);
    match form {
        ResetForm::Seconds => seconds.to_string(),
        ResetForm::Epoch => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            (now + seconds).to_string()
        }
        ResetForm::Duration if ms < 1_000 => format!("{ms}ms"),
        ResetForm::Duration if seconds < 60 => format!("{seconds}s"),
        ResetForm::Duration => format!("{}m{}s", seconds / 60, seconds % 60),
        ResetForm::MinusOne => "-1".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_written_as_a_duration_or_not_told() {
        let table = [
            (ResetForm::Duration, 12, "12ms"),
            (ResetForm::Duration, 1_000, "1s"),
            (ResetForm::Duration, 360_000, "6m0s"),
            (ResetForm::Seconds, 1_500, "2"),
            (ResetForm::MinusOne, 12, "-1"),
        ];
        for (form, ms, text) in table {
            assert_eq!(reset(form, ms), text);
        }
    }
}
