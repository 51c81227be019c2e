//! A fake provider: three routes that answer like an engine, a ledger of what was bought, and faults.
//!
//! `POST /transcribe` and `/diarize` take audio, `POST /analyze` takes a transcript. An `Idempotency-Key`
//! that was served before gets the same answer and buys nothing. `GET /ledger` lists purchases by (route,
//! audio, parameters).

mod answers;
mod faults;
mod ledger;

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web::{self, Data, Payload};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

pub use faults::Fault;
pub use ledger::Purchase;

use crate::faults::Faults;
use crate::ledger::Ledger;

/// How the provider behaves.
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

struct Shared {
    options: Options,
    ledger: Mutex<Ledger>,
    faults: Mutex<Faults>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Simulator {
    /// Everything that was bought, in order of the first purchase.
    pub fn purchases(&self) -> Vec<Purchase> {
        lock(&self.shared.ledger).purchases()
    }

    /// The next `count` requests to a route (`transcribe`, `diarize`, `analyze`) meet this fault.
    pub fn fail_next(&self, route: &str, count: usize, fault: Fault) {
        lock(&self.shared.faults).add(route, count, fault);
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

/// Serves on an open listener.
pub fn serve(listener: TcpListener, options: Options) -> std::io::Result<(Simulator, Server)> {
    let shared = Arc::new(Shared { options, ledger: Mutex::default(), faults: Mutex::default() });
    let simulator = Simulator { shared: shared.clone() };
    let data = Data::from(shared);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .route("/transcribe", web::post().to(transcribe))
            .route("/diarize", web::post().to(diarize))
            .route("/analyze", web::post().to(analyze))
            .route("/ledger", web::get().to(show_ledger))
    })
    .workers(1)
    .backlog(4096)
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
    let fault = lock(&shared.faults).take(route);
    if let Some(Fault::Status(status, retry_after)) = fault {
        return Ok(faults::refusal(status, retry_after));
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
    tokio::time::sleep(shared.options.latency).await;
    match fault {
        Some(Fault::CutAfterPurchase) => return Err(faults::cut()),
        Some(Fault::Hold) => faults::hold(&shared.faults).await,
        Some(Fault::Garbage) => return Ok(HttpResponse::Ok().body("this is no answer")),
        Some(Fault::Status(..)) | None => {}
    }
    Ok(HttpResponse::Ok().content_type("application/json").body(answer(&input)))
}

async fn show_ledger(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(lock(&shared.ledger).purchases())
}
