//! Callbacks of providers. The raw bytes are verified, the message is kept, and only then it is answered: with
//! 2xx also for a job nobody knows or waits for, because a 4xx ends delivery at some providers for good.

use std::collections::HashMap;

use actix_web::error::PayloadError;
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Utc;
use scryon_domain::callback::{Refused, address_of, verify_pyannote};
use scryon_domain::ids::JobId;
use scryon_store::{Callback, CallbackEffect};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::{info, warn};
use uuid::Uuid;

use crate::App;
use crate::error::ApiError;

/// Bytes of the largest callback: hours of words with times.
pub(crate) const LIMIT: usize = 8 << 20;

/// Secrets that callbacks are verified with; the first of a list is the newest.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebhookSecrets {
    /// Of addresses that we signed.
    pub(crate) ours: Vec<String>,
    pub(crate) pyannote: Vec<String>,
}

/// What is read of a status message.
#[derive(Deserialize)]
struct Status {
    #[serde(rename = "jobId")]
    job_id: Option<String>,
}

/// POST /api/webhooks/pyannote/{job}: a job ended; its result is fetched from the provider.
pub(crate) async fn pyannote(
    app: Data<App>,
    request: HttpRequest,
    path: Path<String>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let body = whole(body)?;
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (timestamp, signature) = (header("x-request-timestamp"), header("x-signature"));
    let verified =
        verify_pyannote(&app.webhook_secrets.pyannote, timestamp, signature, &body, Utc::now().timestamp());
    app.verified("pyannote", &app.webhook_secrets.pyannote, verified)?;
    let Ok(job) = Uuid::try_parse(&path) else { return Ok(kept()) };
    let external_id = serde_json::from_slice::<Status>(&body).ok().and_then(|status| status.job_id);
    // It carries no result, it only makes us look: one of a former life does no harm.
    app.take("pyannote", Job { id: JobId(job), of_the_past: false }, external_id, &body, false).await
}

/// POST /api/webhooks/lemonfox/{call}?run=&job=&exp=&sig=: the transcript itself.
pub(crate) async fn lemonfox(
    app: Data<App>,
    path: Path<String>,
    query: Query<Parts>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let body = whole(body)?;
    let job = app.signed("lemonfox", &path, &query)?;
    app.take("lemonfox", job, None, &body, true).await
}

/// POST /api/webhooks/deepgram/{call}?run=&job=&exp=&sig=: the transcript itself.
pub(crate) async fn deepgram(
    app: Data<App>,
    path: Path<String>,
    query: Query<Parts>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let body = whole(body)?;
    let job = app.signed("deepgram", &path, &query)?;
    app.take("deepgram", job, None, &body, true).await
}

/// POST /api/webhooks/assemblyai/{call}?run=&job=&exp=&sig=: a transcript ended; it is fetched from the provider.
pub(crate) async fn assemblyai(
    app: Data<App>,
    path: Path<String>,
    query: Query<Parts>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let body = whole(body)?;
    let job = app.signed("assemblyai", &path, &query)?;
    let status: Value = serde_json::from_slice(&body).unwrap_or_default();
    let external_id = status["transcript_id"].as_str().map(str::to_owned);
    app.take("assemblyai", job, external_id, &body, false).await
}

/// The job that a callback is about.
struct Job {
    id: JobId,
    /// Its address was signed before the installation was restored from a backup.
    of_the_past: bool,
}

/// The query of a signed address.
type Parts = HashMap<String, String>;

/// The raw body, or why there is none.
fn whole(body: Result<Bytes, actix_web::Error>) -> Result<Bytes, ApiError> {
    body.map_err(|error| match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => ApiError::too_large(LIMIT as u64),
        _ => ApiError::validation("body", "could not be read"),
    })
}

fn kept() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

impl App {
    /// Counts which secret verified it: an old one is dropped when it is not used any more.
    fn verified(
        &self,
        provider: &'static str,
        secrets: &[String],
        verified: Result<usize, Refused>,
    ) -> Result<(), ApiError> {
        let outcome = match verified {
            Ok(place) => {
                let secret = secrets.get(place).map(String::as_str).unwrap_or_default();
                self.key_uses.count_callback(secret, provider);
                return Ok(());
            }
            Err(Refused::Signature) => "bad_signature",
            Err(Refused::Expired) => "expired",
        };
        self.metrics.callbacks.with_label_values(&[provider, outcome]).inc();
        warn!(provider, errorCode = outcome, "refused a callback");
        Err(ApiError::bad_signature())
    }

    /// The job of an address that we signed.
    fn signed(&self, engine: &'static str, call: &str, query: &Parts) -> Result<Job, ApiError> {
        let part = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let address = address_of(call, part("run"), part("job"), part("exp"), part("ep"));
        let now = Utc::now().timestamp();
        let verified = address.as_ref().map_or(Err(Refused::Signature), |address| {
            address.verify(engine, &self.webhook_secrets.ours, part("sig"), now)
        });
        self.verified(engine, &self.webhook_secrets.ours, verified)?;
        let address = address.ok_or_else(ApiError::bad_signature)?;
        Ok(Job { id: address.job, of_the_past: address.epoch < self.epoch.get() })
    }

    async fn take(
        &self,
        engine: &'static str,
        job: Job,
        external_id: Option<String>,
        body: &Bytes,
        with_body: bool,
    ) -> Result<HttpResponse, ApiError> {
        let callback = Callback {
            engine,
            job: job.id,
            external_id,
            body_sha256: Sha256::digest(body).to_vec(),
            body: with_body.then(|| body.to_vec()),
        };
        let effect = if job.of_the_past {
            self.store.callback_keep(callback).await?;
            CallbackEffect::OtherEpoch
        } else {
            self.store.callback_take(callback).await?
        };
        self.crash_point("C12");
        let outcome = match &effect {
            CallbackEffect::Woken(_) => "woken",
            CallbackEffect::Kept => "kept",
            CallbackEffect::Unknown => "unknown_job",
            CallbackEffect::OtherEpoch => "other_epoch",
        };
        self.metrics.callbacks.with_label_values(&[engine, outcome]).inc();
        info!(provider = engine, outcome, "took a callback");
        if let CallbackEffect::Woken(hint) = effect {
            // The provider is not kept waiting: the row is due, and found without this hint too.
            let announcer = self.announcer.clone();
            self.crash_point("C13");
            tokio::spawn(async move {
                announcer.announce(&[hint], None).await;
            });
        }
        Ok(kept())
    }
}
