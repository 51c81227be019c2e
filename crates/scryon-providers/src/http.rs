//! The HTTP client of hosted engines: one pool, deadlines, errors by class, every request measured.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use scryon_metrics::WorkerMetrics;
use serde_json::Value;

use crate::engine::ProviderError;

const CONNECT: Duration = Duration::from_secs(3);
/// Longest pause a provider may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);
/// Shortest pause: a gateway that says 0 or -1 knows nothing better, and a pause costs no try.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// Pause where a provider asked for one without a length.
const USUAL_PAUSE: Duration = Duration::from_secs(5);
/// Bytes of a refusal that are looked at.
const REFUSAL_LIMIT: usize = 64 << 10;

/// Words by which providers say that the account may not spend more: no pause helps.
const OUT_OF_CREDIT: &[&str] = &[
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "ASR_PAYMENT_REQUIRED",
];
/// Words for an input that is longer than the model reads; the last one is llama.cpp's.
const TOO_LONG: &[&str] =
    &["context_length_exceeded", "string_above_max_length", "exceed_context_size_error"];
/// The same said by the name of what is refused: vLLM has no word for it, and counts the room for the answer in.
const TOO_LONG_PARTS: &[&str] = &["input_tokens", "max_tokens", "max_completion_tokens"];
/// Other words that help whoever reads the log. A word that is in no list is not repeated: a body may quote
/// the call.
const KNOWN: &[&str] = &[
    "invalid_request_error",
    "invalid_api_key",
    "model_not_found",
    "unsupported_value",
    "unsupported_parameter",
    "rate_limit_exceeded",
    "slow_down",
    "server_is_overloaded",
    "INVALID_AUTH",
    "INSUFFICIENT_PERMISSIONS",
    "TOO_MANY_REQUESTS",
];

/// Wait for a deletion at a provider.
const FORGET: Duration = Duration::from_secs(20);

/// A client with connection reuse; cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client,
    metrics: Option<WorkerMetrics>,
}

impl HttpClient {
    /// Makes the client. Redirects are not followed: a body that was streamed cannot be sent again.
    pub fn new(metrics: Option<WorkerMetrics>) -> Result<Self, String> {
        // Another part of the process may have installed it already.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("scryon/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self { client, metrics })
    }

    /// A POST request to fill.
    pub fn post(&self, url: String) -> RequestBuilder {
        self.client.post(url)
    }

    /// A GET request to fill.
    pub fn get(&self, url: String) -> RequestBuilder {
        self.client.get(url)
    }

    /// A PUT request to fill.
    pub fn put(&self, url: String) -> RequestBuilder {
        self.client.put(url)
    }

    /// Has a provider delete something; what it does not know any more is deleted.
    pub(crate) async fn forget(
        &self,
        engine: &'static str,
        url: String,
        key: reqwest::header::HeaderValue,
    ) -> Result<(), ProviderError> {
        let request = self.client.delete(url).timeout(FORGET).header(reqwest::header::AUTHORIZATION, key);
        let gone = |status: StatusCode| {
            status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
        };
        match request.send().await {
            Ok(response) if gone(response.status()) => Ok(()),
            Ok(response) => {
                let (status, headers) = (response.status(), response.headers().clone());
                let body = beginning(response).await;
                Err(refused(engine, status, &headers, &body, Utc::now()).error)
            }
            Err(error) => Err(ProviderError::Transient { engine, message: plain(&error) }),
        }
    }

    /// Counts tokens of a language model, as the provider counted them.
    pub fn count_tokens(&self, prompt: u64, completion: u64) {
        if let Some(metrics) = &self.metrics {
            metrics.analysis_tokens.with_label_values(&["prompt"]).inc_by(prompt);
            metrics.analysis_tokens.with_label_values(&["completion"]).inc_by(completion);
        }
    }

    /// Sends a paid request and reads its answer. What fails before the connection stood was not bought;
    /// what fails after it perhaps was.
    pub async fn send(
        &self,
        engine: &'static str,
        request: RequestBuilder,
        limit: usize,
    ) -> Result<Vec<u8>, ProviderError> {
        self.ask(engine, request, limit).await.map_err(|failure| failure.error)
    }

    /// As [`HttpClient::send`], for engines that can ask in another way when a part of the request is refused.
    pub(crate) async fn ask(
        &self,
        engine: &'static str,
        request: RequestBuilder,
        limit: usize,
    ) -> Result<Vec<u8>, Failure> {
        let sent = self.sent(request).await;
        match sent {
            Ok(response) if response.status().is_success() => Ok(read(engine, response, limit).await?),
            Ok(response) => {
                let (status, headers) = (response.status(), response.headers().clone());
                let body = beginning(response).await;
                Err(refused(engine, status, &headers, &body, Utc::now()))
            }
            Err(error) if error.is_connect() || error.is_builder() => {
                Err(ProviderError::Transient { engine, message: plain(&error) }.into())
            }
            Err(error) => Err(ProviderError::Ambiguous { engine, message: plain(&error) }.into()),
        }
    }

    /// Sends a request that buys nothing; gives its status and the beginning of its body, or what kept it.
    pub(crate) async fn look(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), String> {
        match self.sent(request).await {
            Ok(response) => Ok((response.status(), beginning(response).await)),
            Err(error) => Err(plain(&error)),
        }
    }

    async fn sent(&self, request: RequestBuilder) -> Result<Response, reqwest::Error> {
        let started = Instant::now();
        let sent = request.send().await;
        let (host, status) = match &sent {
            Ok(response) => (host(response.url()), response.status().as_str().to_owned()),
            Err(error) => (error.url().map(host).unwrap_or_default(), "error".to_owned()),
        };
        if let Some(metrics) = &self.metrics {
            let seconds = started.elapsed().as_secs_f64();
            metrics.client_requests.with_label_values(&[host.as_str(), &status]).observe(seconds);
        }
        sent
    }
}

fn host(url: &reqwest::Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// The kind of failure, without the address: it may carry a key.
fn plain(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else if error.is_body() {
        "the body could not be sent"
    } else {
        "the connection broke"
    };
    kind.to_owned()
}

async fn read(engine: &'static str, mut response: Response, limit: usize) -> Result<Vec<u8>, ProviderError> {
    let mut body = Vec::with_capacity(response.content_length().unwrap_or(0).min(limit as u64) as usize);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= limit => body.extend_from_slice(&chunk),
            Ok(Some(_)) => {
                return Err(ProviderError::Malformed { engine, message: format!("more than {limit} bytes") });
            }
            Ok(None) => return Ok(body),
            Err(error) => return Err(ProviderError::Ambiguous { engine, message: plain(&error) }),
        }
    }
}

/// What can be read of a refusal; one that breaks off still has its status.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < REFUSAL_LIMIT {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        body.extend_from_slice(&chunk);
    }
    body.truncate(REFUSAL_LIMIT);
    body
}

/// Why a request has no answer, and what another request could do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ProviderError,
    pub(crate) fault: Fault,
}

/// The part of a request that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The temperature.
    Temperature,
    /// The input, or the room that is asked for the answer, is more than the model has.
    TooLong,
    /// Some other part (400, 422).
    Request,
    /// Nothing that another request could mend.
    Other,
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self { error, fault: Fault::Other }
    }
}

/// The class of an answer that is no success. Bodies of providers may quote the call: of their words only
/// those are kept that are known here.
fn refused(
    engine: &'static str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Failure {
    let refusal = Refusal::read(body);
    let pause = pause(headers, now);
    let message = match refusal.words.first() {
        Some(word) => format!("status {}, {word}", status.as_u16()),
        None => format!("status {}", status.as_u16()),
    };
    let unavailable = |message| ProviderError::Unavailable { engine, message };
    let should_retry = headers.get("x-should-retry").map(reqwest::header::HeaderValue::as_bytes);
    let error = match status {
        _ if refusal.says(OUT_OF_CREDIT) => unavailable(message),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PAYMENT_REQUIRED => {
            unavailable(message)
        }
        // The address or the model is not there: no recording is to blame.
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => unavailable(message),
        s if s.is_redirection() => unavailable(message),
        s if should_retry == Some(b"false") && may_pass(s) => unavailable(message),
        StatusCode::TOO_MANY_REQUESTS => {
            ProviderError::Throttled { engine, pause: pause.unwrap_or(USUAL_PAUSE), asked: pause.is_some() }
        }
        StatusCode::SERVICE_UNAVAILABLE if pause.is_some() => {
            ProviderError::Throttled { engine, pause: pause.unwrap_or_default(), asked: true }
        }
        s if should_retry == Some(b"true") || may_pass(s) => ProviderError::Transient { engine, message },
        _ => ProviderError::Rejected { engine, message },
    };
    let mendable = matches!(error, ProviderError::Rejected { .. });
    let fault = match status {
        _ if mendable && refusal.says_too_long() => Fault::TooLong,
        _ if mendable && refusal.part.as_deref() == Some("temperature") => Fault::Temperature,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if mendable => Fault::Request,
        _ => Fault::Other,
    };
    Failure { error, fault }
}

/// Statuses that say nothing about the request itself.
fn may_pass(status: StatusCode) -> bool {
    !status.is_client_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS
        )
}

/// Whether a refusal says that the account may not spend more.
pub(crate) fn is_out_of_credit(body: &[u8]) -> bool {
    Refusal::read(body).says(OUT_OF_CREDIT)
}

/// What a body says about a refusal, in any of the shapes that providers use: an object under `error`, a text
/// there, or fields of their own.
#[derive(Debug, Default)]
struct Refusal {
    words: Vec<&'static str>,
    /// The parameter that is to blame; never shown, as it may be any text.
    part: Option<String>,
}

impl Refusal {
    fn read(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let places = [
            &body["error"]["code"],
            &body["error"]["type"],
            &body["error"],
            &body["err_code"],
            &body["category"],
            &body["code"],
            &body["type"],
        ];
        let known = |word: &str| {
            [OUT_OF_CREDIT, TOO_LONG, KNOWN].into_iter().flatten().copied().find(|known| *known == word)
        };
        let words = places.into_iter().filter_map(Value::as_str).filter_map(known).collect();
        let part = [&body["error"]["param"], &body["param"]].into_iter().find_map(Value::as_str);
        Self { words, part: part.map(str::to_owned) }
    }

    fn says(&self, list: &[&str]) -> bool {
        self.words.iter().any(|word| list.contains(word))
    }

    fn says_too_long(&self) -> bool {
        self.says(TOO_LONG) || self.part.as_deref().is_some_and(|part| TOO_LONG_PARTS.contains(&part))
    }
}

/// The pause a provider asks for: `retry-after-ms` is the finer one, `Retry-After` has seconds or a date.
fn pause(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(|t| t.trim().to_owned());
    let number = |text: &str| text.parse().ok().filter(|n: &f64| n.is_finite()).map(|n| n.max(0.0));
    let millis = headers.get("retry-after-ms").and_then(text).and_then(|t| number(&t)).map(|ms| ms / 1000.0);
    let seconds = millis.or_else(|| {
        let text = headers.get(RETRY_AFTER).and_then(text)?;
        number(&text).or_else(|| {
            let date = DateTime::parse_from_rfc2822(&text).ok()?;
            Some((date.to_utc() - now).num_milliseconds().max(0) as f64 / 1000.0)
        })
    })?;
    Some(Duration::from_secs_f64(seconds.min(LONGEST_PAUSE.as_secs_f64())).max(SHORTEST_PAUSE))
}

#[cfg(test)]
mod tests;
