//! The admin port of every program: health, readiness, metrics. Not for the public.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use prometheus::Registry;
use scryon_metrics::render;
use scryon_store::Store;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::announce::Announce;

/// What readiness looks at.
#[derive(Clone)]
pub struct AdminState {
    pub registry: Registry,
    pub store: Store,
    pub announcer: Arc<dyn Announce>,
    pub stop: CancellationToken,
}

impl std::fmt::Debug for AdminState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminState").finish_non_exhaustive()
    }
}

/// Serves on an open listener until the process stops.
pub fn serve(listener: TcpListener, state: AdminState) -> std::io::Result<()> {
    let stop = state.stop.clone();
    let state = web::Data::new(state);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .route("/health", web::get().to(health))
            .route("/ready", web::get().to(ready))
            .route("/metrics", web::get().to(metrics))
            .route("/actuator/health", web::get().to(actuator_health))
            .route("/actuator/prometheus", web::get().to(metrics))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?
    .run();
    let handle = server.handle();
    tokio::spawn(server);
    tokio::spawn(async move {
        stop.cancelled().await;
        // Metrics of the drain stay readable until the end.
        tokio::time::sleep(Duration::from_secs(60)).await;
        handle.stop(false).await;
    });
    Ok(())
}

async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

async fn actuator_health() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "UP"}))
}

/// Ready means: can do work now. A stopping program is alive and not ready.
async fn ready(state: web::Data<AdminState>) -> HttpResponse {
    let postgres = state.store.ping().await.is_ok();
    let rabbitmq = state.announcer.is_connected();
    let stopping = state.stop.is_cancelled();
    let body = json!({"postgres": postgres, "rabbitmq": rabbitmq, "stopping": stopping});
    if postgres && rabbitmq && !stopping {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

async fn metrics(state: web::Data<AdminState>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(render(&state.registry))
}
