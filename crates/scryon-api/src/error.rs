//! One error envelope for everything that goes wrong, also before a handler is reached. Codes are stable
//! and clients branch on them; messages are for people and hold no personal data; a 5xx never shows its cause.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use scryon_blobs::BlobError;
use scryon_store::{ORDER_KEY_HELD, StoreError};
use serde_json::{Map, Value, json};
use tracing::{error, warn};

use crate::request_id;

/// An error as clients see it.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Map<String, Value>,
    retry_after: Option<Duration>,
    /// The rest of the request's body is not read: the connection cannot be used again.
    close: bool,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Map::new(), retry_after: None, close: false }
    }

    /// 400 with the field that is wrong and how.
    pub(crate) fn validation(field: &str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self::new(StatusCode::BAD_REQUEST, "validation_failed", format!("{field}: {problem}"))
            .with("field", field)
    }

    /// 401: no key where one is needed.
    pub(crate) fn auth_missing() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "auth_missing", "Send a valid key in X-Scryon-Api-Key.")
    }

    /// 401: a key that is none of ours.
    pub(crate) fn auth_invalid() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "auth_invalid", "The key in X-Scryon-Api-Key is not valid.")
    }

    /// 401: a callback that its provider did not sign, or signed too long ago.
    pub(crate) fn bad_signature() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "signature_invalid",
            "The signature of this callback does not hold.",
        )
    }

    /// 403: the account may not act.
    pub(crate) fn account(status: &str) -> Self {
        let code = if status == "SUSPENDED" { "ACCOUNT_SUSPENDED" } else { "ACCOUNT_DISABLED" };
        Self::new(StatusCode::FORBIDDEN, code, "This account cannot be used. Contact your administrator.")
    }

    /// 404, also for somebody else's call.
    pub(crate) fn call_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "call_not_found", "There is no such call.")
    }

    /// 404, also for somebody else's item.
    pub(crate) fn action_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "action_not_found", "There is no such action item.")
    }

    /// 404 on a finished call.
    pub(crate) fn analysis_not_available(reason: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "analysis_not_available", "This call has no analysis.")
            .with("reason", reason)
    }

    /// 422 while a document does not exist yet.
    pub(crate) fn call_not_completed(status: &str, error_reason: Option<&str>) -> Self {
        let mut error =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "call_not_completed", "This is not ready yet.")
                .with("status", status);
        if let Some(reason) = error_reason {
            error.message = scryon_domain::failure::reader_message(reason).to_owned();
            error = error.with("errorReason", reason);
        } else {
            error.retry_after = Some(Duration::from_secs(2));
        }
        error
    }

    /// 409: a call that is over cannot be cancelled.
    pub(crate) fn not_cancellable(status: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "call_not_cancellable", "This call is over already.")
            .with("status", status)
    }

    /// 404: what an operator's order is about.
    pub(crate) fn target_not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "target_not_found", format!("Nothing was changed: {what}."))
    }

    /// 429: an operator limits what is taken in.
    pub(crate) fn throttled(wait: Duration) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "ingest_throttled",
            "Fewer calls than usual are taken now; nothing was kept. Try again later.",
        );
        error.retry_after = Some(wait);
        error.closing()
    }

    /// 422: the request is understood, and what it asks for cannot be done with what came with it.
    pub(crate) fn unprocessable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 404: this installation does not have it switched on.
    pub(crate) fn feature_not_available() -> Self {
        Self::new(StatusCode::NOT_FOUND, "feature_not_available", "This feature is not switched on here.")
    }

    /// 403: consent to terms that are not the present ones.
    pub(crate) fn voice_consent_outdated(required: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "voice_consent_outdated",
            "The consent is to another version of the terms than the present one; ask its owner again. Nothing was kept.",
        )
        .with("requiredConsentVersion", required)
    }

    /// 503: whoever makes voice profiles is away.
    pub(crate) fn voice_provider_unavailable() -> Self {
        let mut error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "voice_provider_unavailable",
            "Voice profiles cannot be made now; a profile that is in use stays. Try again later.",
        );
        error.retry_after = Some(Duration::from_secs(30));
        error
    }

    /// 404: no such route.
    pub(crate) fn route_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "route_not_found", "There is no such route.")
    }

    /// 405.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This route does not take that method.",
        )
    }

    /// 413.
    pub(crate) fn too_large(limit: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            format!("More than {limit} bytes are not accepted."),
        )
        .with("limitBytes", limit)
        .closing()
    }

    /// 415.
    pub(crate) fn unsupported_media(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message).closing()
    }

    /// 408: the body came too slowly.
    pub(crate) fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "upload_too_slow",
            "The upload was too slow and was given up; nothing was kept.",
        )
        .closing()
    }

    /// 409: the same request is being carried out.
    pub(crate) fn in_flight() -> Self {
        let mut error = Self::new(
            StatusCode::CONFLICT,
            "idempotency_in_flight",
            "A request with this Idempotency-Key is being carried out.",
        );
        error.retry_after = Some(Duration::from_secs(2));
        error
    }

    /// 422: the same key with another payload.
    pub(crate) fn idempotency_mismatch() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_mismatch",
            "This Idempotency-Key was used with another recording or body; what was done then stands.",
        )
    }

    /// 503: something we need is away.
    pub(crate) fn unavailable() -> Self {
        let mut error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            "The service cannot answer now; nothing was changed. Try again.",
        );
        error.retry_after = Some(Duration::from_secs(2));
        error
    }

    /// 503: what was asked for was perhaps done; its answer was lost.
    pub(crate) fn in_doubt() -> Self {
        let message = "An answer was lost inside the service: what was asked for was perhaps done. Look first, or repeat it \
             under the same Idempotency-Key, which does nothing twice.";
        Self { message: message.into(), ..Self::unavailable() }
    }

    /// 500.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on our side.")
    }

    /// Adds a detail.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The rest of the body is not read.
    pub(crate) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// Whether the same request may succeed later.
    fn is_retryable(&self) -> bool {
        self.retry_after.is_some() || matches!(self.status, StatusCode::REQUEST_TIMEOUT)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(wait) = self.retry_after {
            response.insert_header((RETRY_AFTER, wait.as_secs_f64().ceil().max(1.0).to_string()));
        }
        if self.close {
            response.insert_header((CONNECTION, HeaderValue::from_static("close")));
            response.force_close();
        }
        response.json(json!({"error": {
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "retryable": self.is_retryable(),
            "requestId": request_id::current(),
        }}))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable { .. } => {
                warn!(error = %error, "Postgres did not answer a request");
                if error.outcome_is_unknown() { Self::in_doubt() } else { Self::unavailable() }
            }
            StoreError::Constraint { constraint } if constraint == ORDER_KEY_HELD => Self::in_flight(),
            StoreError::Constraint { .. } | StoreError::Row { .. } | StoreError::Schema { .. } => {
                error!(error = %error, "a statement and its rows did not fit");
                Self::internal()
            }
        }
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        match &error {
            BlobError::Unavailable(_) => {
                warn!(error = %error, "storage did not answer a request");
                Self::unavailable()
            }
            BlobError::Missing { .. } | BlobError::TooLarge { .. } => {
                error!(error = %error, "a row and its object do not fit");
                Self::internal()
            }
        }
    }
}

/// Errors of extractors, in the envelope.
pub(crate) fn from_extractor(field: &'static str) -> impl Fn(&dyn fmt::Display) -> ApiError {
    move |error| ApiError::validation(field, error.to_string())
}
