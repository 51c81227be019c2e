//! Liveness and readiness.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use crate::App;

/// The process answers.
pub(crate) async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// The process can do its work: Postgres, RabbitMQ and storage answer.
pub(crate) async fn ready(app: Data<App>) -> HttpResponse {
    let (postgres, storage) = tokio::join!(app.store.ping(), app.blobs.ping());
    let word = |ok: bool| if ok { "ok" } else { "unavailable" };
    let (postgres, rabbitmq, storage) = (postgres.is_ok(), app.announcer.is_connected(), storage.is_ok());
    let stopping = app.stop.is_cancelled();
    let ready = postgres && rabbitmq && storage && !stopping;
    let body = json!({
        "status": if ready { "ok" } else if stopping { "stopping" } else { "unavailable" },
        "checks": {"postgres": word(postgres), "rabbitmq": word(rabbitmq), "storage": word(storage)},
    });
    if ready { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}

/// The names that older set-ups probe.
pub(crate) async fn actuator() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "UP"}))
}
