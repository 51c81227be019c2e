//! `/pyannote`: pyannoteAI's diarization, voiceprints and identification.

mod jobs;
mod limits;
mod media;
mod output;
mod submit;

use std::collections::HashMap;

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use serde_json::json;

use super::provider::Provider;
use super::visit::Visit;
use crate::Shared;
use crate::reply::Reply;

/// Uploads, recordings and jobs.
#[derive(Debug, Default)]
pub(crate) struct State {
    uploads: HashMap<String, media::Upload>,
    media: HashMap<media::Place, media::Media>,
    /// Oldest first.
    jobs: Vec<jobs::Job>,
    windows: limits::Windows,
}

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/v1/test", web::get().to(test))
        .route("/v1/media/input", web::post().to(media::input))
        .route("/upload/{token}", web::put().to(media::upload))
        .route("/v1/diarize", web::post().to(submit::diarize))
        .route("/v1/identify", web::post().to(submit::identify))
        .route("/v1/voiceprint", web::post().to(submit::voiceprint))
        .route("/v1/jobs/{id}", web::get().to(jobs::read))
        .route("/v2/jobs", web::get().to(jobs::list));
}

async fn test(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::Pyannote, "pyannote.test")?;
    visit.answer(Reply::json(&json!({"status": "OK", "message": "The key is accepted."}))).await
}
