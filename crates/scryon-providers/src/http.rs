//! The HTTP client of hosted engines: one pool, deadlines, errors by class, every request measured.

use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use scryon_metrics::WorkerMetrics;

use crate::engine::ProviderError;

const CONNECT: Duration = Duration::from_secs(3);
/// Longest pause a provider may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

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

    /// Sends a paid request and reads its answer. What fails before the connection stood was not bought;
    /// what fails after it perhaps was.
    pub async fn send(
        &self,
        engine: &'static str,
        request: RequestBuilder,
        limit: usize,
    ) -> Result<Vec<u8>, ProviderError> {
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
        match sent {
            Ok(response) if response.status().is_success() => read(engine, response, limit).await,
            Ok(response) => Err(refused(engine, response).await),
            Err(error) if error.is_connect() || error.is_builder() => {
                Err(ProviderError::Transient { engine, message: plain(&error) })
            }
            Err(error) => Err(ProviderError::Ambiguous { engine, message: plain(&error) }),
        }
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

/// The class of an answer that is no success. Bodies of providers may quote the call: only codes are kept.
async fn refused(engine: &'static str, response: Response) -> ProviderError {
    let status = response.status();
    let pause = retry_after(response.headers());
    let message = format!("status {}", status.as_u16());
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            ProviderError::Throttled { engine, pause: pause.unwrap_or(Duration::from_secs(5)) }
        }
        StatusCode::SERVICE_UNAVAILABLE if pause.is_some() => {
            ProviderError::Throttled { engine, pause: pause.unwrap_or_default() }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PAYMENT_REQUIRED => {
            ProviderError::Unavailable { engine, message }
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => ProviderError::Transient { engine, message },
        s if s.is_client_error() => ProviderError::Rejected { engine, message },
        _ => ProviderError::Transient { engine, message },
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}
