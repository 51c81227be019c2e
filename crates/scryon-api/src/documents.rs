//! Transcript and analysis: served as they were stored.

use actix_web::http::header::ACCEPT;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use scryon_blobs::BlobKey;
use scryon_domain::analysis::with_legacy_aliases;
use scryon_domain::status::CallStatus;
use scryon_domain::transcript::Transcript;
use scryon_domain::transcript_text::{to_plain, to_srt, to_vtt};
use scryon_store::DocumentRow;
use serde_json::Value;

use crate::App;
use crate::calls::call_id;
use crate::error::ApiError;
use crate::identity::Caller;

/// Most bytes of a document.
const LIMIT: u64 = 64 << 20;

/// GET /api/calls/{id}/transcript
pub(crate) async fn transcript(
    app: Data<App>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let row = document(&app, &caller, &path, "NORMALIZED_TRANSCRIPT_JSON").await?;
    let Some(key) = &row.storage_key else {
        return Err(ApiError::call_not_completed(&row.status, row.error_reason.as_deref()));
    };
    let body = app.blobs.get(&BlobKey::stored(key), LIMIT).await?;
    let form = Form::wanted(&request);
    if form == Form::Json {
        return Ok(HttpResponse::Ok().content_type("application/json").body(body));
    }
    let transcript: Transcript = serde_json::from_slice(&body).map_err(|_e| ApiError::internal())?;
    let (mime, text) = match form {
        Form::Vtt => ("text/vtt; charset=utf-8", to_vtt(&transcript)),
        Form::Srt => ("application/x-subrip; charset=utf-8", to_srt(&transcript)),
        Form::Plain | Form::Json => ("text/plain; charset=utf-8", to_plain(&transcript)),
    };
    Ok(HttpResponse::Ok().content_type(mime).body(text))
}

/// GET /api/calls/{id}/analysis
pub(crate) async fn analysis(
    app: Data<App>,
    caller: Caller,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let row = document(&app, &caller, &path, "ANALYSIS_JSON").await?;
    let Some(key) = &row.storage_key else { return Err(no_analysis(&row)) };
    let body = app.blobs.get(&BlobKey::stored(key), LIMIT).await?;
    let stored: Value = serde_json::from_slice(&body).map_err(|_e| ApiError::internal())?;
    Ok(HttpResponse::Ok().json(with_legacy_aliases(stored)))
}

/// Not yet, or not at all and why.
fn no_analysis(row: &DocumentRow) -> ApiError {
    let is_final = row.status.parse().is_ok_and(CallStatus::is_final);
    if !is_final {
        return ApiError::call_not_completed(&row.status, None);
    }
    let reason = row.skip_reason.as_deref().or(row.error_reason.as_deref());
    ApiError::analysis_not_available(reason.unwrap_or("not_analyzed"))
}

async fn document(
    app: &App,
    caller: &Caller,
    id: &str,
    artifact_type: &str,
) -> Result<DocumentRow, ApiError> {
    let row = app.store.call_document(&caller.0, call_id(id)?, artifact_type).await?;
    row.ok_or_else(ApiError::call_not_found)
}

/// Forms of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Vtt,
    Srt,
    Plain,
}

impl Form {
    /// The first form that the client names; JSON where it names none.
    fn wanted(request: &HttpRequest) -> Self {
        let accept = request.headers().get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let names = accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
        let mut forms = names.filter_map(|name| match name {
            "application/json" => Some(Self::Json),
            "text/vtt" => Some(Self::Vtt),
            "application/x-subrip" => Some(Self::Srt),
            "text/plain" => Some(Self::Plain),
            _ => None,
        });
        forms.next().unwrap_or(Self::Json)
    }
}
