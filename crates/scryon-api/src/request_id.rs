//! The request's id: given by the client or made, on every log line and in every answer.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use scryon_domain::trace::TraceParent;
use std::time::Instant;
use tracing::{Instrument, info, info_span};
use uuid::Uuid;

use crate::App;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: RequestIds;
}

#[derive(Clone)]
struct RequestIds {
    request: String,
    trace: String,
}

/// The id of the request that is being handled.
pub(crate) fn current() -> String {
    CURRENT.try_with(|ids| ids.request.clone()).unwrap_or_default()
}

/// The `traceparent` that the request's call carries on.
pub(crate) fn traceparent() -> Option<String> {
    CURRENT.try_with(|ids| ids.trace.clone()).ok()
}

/// Around every request: ids, the access log, the metric, and the headers every answer has.
pub(crate) async fn around<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let started = Instant::now();
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let ids = RequestIds {
        request: header(HEADER.as_str())
            .filter(|id| is_usable(id))
            .unwrap_or_else(|| Uuid::new_v4().to_string()),
        trace: TraceParent::continue_or_start(header("traceparent").as_deref()).hop().to_string(),
    };
    let method = request.method().as_str().to_owned();
    let uri = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let is_public = uri.starts_with("/api/health") || uri.starts_with("/actuator");
    let app = request.app_data::<Data<App>>().cloned();
    let span = info_span!("request", reqId = %ids.request);
    let id = ids.request.clone();
    let result = CURRENT.scope(ids, next.call(request).instrument(span.clone())).await;
    let status = match &result {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let seconds = started.elapsed().as_secs_f64();
    if let Some(app) = app {
        app.metrics.requests.with_label_values(&[&method, &uri, status.as_str()]).observe(seconds);
    }
    if !is_public {
        span.in_scope(|| {
            info!(
                event = "HTTP_REQUEST_COMPLETED",
                method,
                uri,
                status = status.as_u16(),
                durationMs = (seconds * 1000.0) as u64,
                "request done"
            );
        });
    }
    let mut response = result?;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HEADER, id);
    }
    if !is_public && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    Ok(response)
}

/// An id of a client goes into our logs: short, printable, no blanks.
fn is_usable(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}
