//! A fake provider: three routes that answer like an engine, APIs of hosted providers, a ledger of what was
//! bought, and faults.
//!
//! `POST /transcribe` and `/diarize` take audio, `POST /analyze` takes a transcript. An `Idempotency-Key`
//! that was served before gets the same answer and buys nothing.
//!
//! `/lemonfox`, `/openai`, `/pyannote`, `/deepgram` and `/assemblyai` speak the APIs of these providers: a
//! client needs only another base address. [`HostedOptions`] is how they behave, [`Fault`] what goes wrong next.
//!
//! | route | what |
//! |---|---|
//! | `GET /ledger` | purchases by (route, recording, engine parameters) |
//! | `POST /control/faults` | `{"route","count","fault",…}`: the next `count` requests of a route meet a fault |
//! | `DELETE /control/faults` | forgets what was ordered |
//! | `GET`, `POST /control/options` | [`HostedOptions`], by field |
//! | `POST /control/release` | lets held requests go on |
//! | `GET /control/deliveries` | tries to deliver callbacks |

mod answers;
mod control;
mod faults;
mod hosted;
mod ledger;
mod options;
mod quota;
mod reply;
mod sandbox;

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::Server;
use actix_web::web::{self, Data, Payload};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

pub use faults::{CallbackFault, ChatFault, Fault, JobFault};
pub use hosted::callback::Delivery;
pub use ledger::Purchase;
pub use options::{DeepgramErrors, Dialect, HostedOptions, ResetForm, SignatureForm, WordPlace};
pub use quota::{Quota, Traffic};
pub use sandbox::{PROVIDERS, SANDBOX_SECRET, sandbox_settings};

use crate::faults::Faults;
use crate::hosted::Hosted;
use crate::ledger::Ledger;
use crate::quota::Quotas;
use crate::reply::Reply;

/// How the provider behaves. `latency` is that of the three routes, and where the hosted providers' begins.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Before every answer.
    pub latency: Duration,
    /// Whether purchases are kept; hashing each recording costs, which a benchmark of others' work need not pay.
    pub ledger: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { latency: Duration::ZERO, ledger: true }
    }
}

/// A running fake provider, seen from the test that runs it.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    ledger: Mutex<Ledger>,
    faults: Mutex<Faults>,
    quotas: Mutex<Quotas>,
    hosted: Hosted,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Simulator {
    /// Everything that was bought, in order of the first purchase.
    pub fn purchases(&self) -> Vec<Purchase> {
        lock(&self.shared.ledger).purchases()
    }

    /// The next `count` requests to a route meet this fault. Routes are `transcribe`, `diarize`, `analyze` and
    /// those of the hosted providers, such as `lemonfox.transcribe`, `openai.chat` and `pyannote.diarize`.
    pub fn fail_next(&self, route: &str, count: usize, fault: Fault) {
        lock(&self.shared.faults).add(route, count, fault);
    }

    /// Takes only so many requests of a route in a second, from now on, and counts anew. `None`: any number.
    pub fn set_quota(&self, route: &str, quota: Option<Quota>) {
        lock(&self.shared.quotas).set(route, quota);
    }

    /// What was seen of a route since its quota was set; absent where it has none.
    pub fn traffic(&self, route: &str) -> Option<Traffic> {
        lock(&self.shared.quotas).traffic(route)
    }

    /// Forgets the faults that no request has met.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// How the hosted providers behave now.
    pub fn hosted(&self) -> HostedOptions {
        (*self.shared.hosted.options()).clone()
    }

    /// How the hosted providers behave from the next request on.
    pub fn set_hosted(&self, options: HostedOptions) {
        self.shared.hosted.set_options(options);
    }

    /// Every try to deliver a callback, in order.
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.shared.hosted.deliveries).clone()
    }

    /// The messages of every chat, in order, as they were sent.
    pub fn chats(&self) -> Vec<serde_json::Value> {
        lock(&self.shared.hosted.chats).clone()
    }

    /// Requests that are being held by [`Fault::Hold`].
    pub fn held(&self) -> usize {
        lock(&self.shared.faults).held()
    }

    /// Lets held requests go on to their answer.
    pub fn release(&self) {
        lock(&self.shared.faults).release();
    }
}

/// How long a connection may be without a request.
const IDLE: Duration = Duration::from_secs(75);

/// Serves on an open listener.
pub fn serve(listener: TcpListener, options: Options) -> std::io::Result<(Simulator, Server)> {
    let latency_ms = u64::try_from(options.latency.as_millis()).unwrap_or(u64::MAX);
    let hosted = Hosted::new(HostedOptions { latency_ms, ..HostedOptions::default() });
    let (ledger, faults, quotas) = (Mutex::default(), Mutex::default(), Mutex::default());
    let shared = Arc::new(Shared { options, ledger, faults, quotas, hosted });
    let simulator = Simulator { shared: shared.clone() };
    let data = Data::from(shared);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .route("/transcribe", web::post().to(transcribe))
            .route("/diarize", web::post().to(diarize))
            .route("/analyze", web::post().to(analyze))
            .configure(control::routes)
            .configure(hosted::routes)
    })
    .workers(1)
    .backlog(4096)
    // Longer than clients keep a connection, as the balancers in front of providers do: ended first here, a request
    // that is just being sent is lost. A connection that a client opened to spare gets no 408 either.
    .keep_alive(IDLE)
    .client_request_timeout(IDLE)
    .disable_signals()
    .shutdown_timeout(0)
    .listen(listener)?
    .run();
    Ok((simulator, server))
}

async fn transcribe(
    request: HttpRequest,
    shared: Data<Shared>,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    engine("transcribe", &request, &shared, payload, answers::segments).await
}

async fn diarize(
    request: HttpRequest,
    shared: Data<Shared>,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    engine("diarize", &request, &shared, payload, answers::segments).await
}

async fn analyze(
    request: HttpRequest,
    shared: Data<Shared>,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    engine("analyze", &request, &shared, payload, answers::analysis).await
}

async fn engine(
    route: &'static str,
    request: &HttpRequest,
    shared: &Shared,
    mut payload: Payload,
    answer: fn(&[u8]) -> String,
) -> Result<HttpResponse, Error> {
    if let Err(retry_after) = lock(&shared.quotas).take(route, Instant::now()) {
        return Ok(refusal(429, retry_after));
    }
    let fault = lock(&shared.faults).take(route);
    if let Some(Fault::Status(status, retry_after)) = fault {
        return Ok(refusal(status, retry_after));
    }
    let mut hash = shared.options.ledger.then(Sha256::new);
    while let Some(chunk) = payload.next().await {
        if let Some(hash) = &mut hash {
            hash.update(&chunk?);
        } else {
            chunk?;
        }
    }
    let input = hash.map(|h| h.finalize().to_vec()).unwrap_or_default();
    let key = request.headers().get("idempotency-key").and_then(|v| v.to_str().ok()).map(str::to_owned);
    if shared.options.ledger {
        lock(&shared.ledger).buy(route, &hex::encode(&input), key);
    }
    Reply::text(reply::JSON, answer(&input)).send(shared, shared.options.latency, fault).await
}

fn refusal(status: u16, retry_after: Option<u64>) -> HttpResponse {
    let mut reply = Reply::json(&serde_json::json!({"error": "as ordered"})).status(status);
    if let Some(seconds) = retry_after {
        reply = reply.header("Retry-After", seconds.to_string());
    }
    reply.plain()
}
