//! Liveness and readiness.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use crate::App;

/// The process answers.
pub(crate) async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

struct Readiness {
    postgres: bool,
    rabbitmq: bool,
    storage: bool,
    stopping: bool,
}

impl Readiness {
    async fn of(app: &App) -> Self {
        let (postgres, storage) = tokio::join!(app.store.ping(), app.blobs.ping());
        Self {
            postgres: postgres.is_ok(),
            rabbitmq: app.announcer.is_connected(),
            storage: storage.is_ok(),
            stopping: app.stop.is_cancelled(),
        }
    }

    fn answer(&self, up: impl Fn(bool) -> serde_json::Value) -> HttpResponse {
        let ready = self.postgres && self.rabbitmq && self.storage && !self.stopping;
        let body = up(ready);
        if ready { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
    }
}

/// The process can do its work: Postgres, RabbitMQ and storage answer.
pub(crate) async fn ready(app: Data<App>) -> HttpResponse {
    let found = Readiness::of(&app).await;
    let word = |ok: bool| if ok { "ok" } else { "unavailable" };
    found.answer(|ready| {
        json!({
            "status": if ready { "ok" } else if found.stopping { "stopping" } else { "unavailable" },
            "checks": {
                "postgres": word(found.postgres),
                "rabbitmq": word(found.rabbitmq),
                "storage": word(found.storage),
            },
        })
    })
}

/// The names that older set-ups probe.
pub(crate) async fn actuator() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "UP"}))
}

/// The same for readiness.
pub(crate) async fn actuator_ready(app: Data<App>) -> HttpResponse {
    Readiness::of(&app).await.answer(|ready| json!({"status": if ready { "UP" } else { "DOWN" }}))
}
