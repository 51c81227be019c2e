//! The public REST API: it commits a call, announces it, and serves what became of it.

mod actions;
mod admin;
mod admission;
mod call_json;
mod calls;
mod connections;
mod controls;
mod documents;
mod error;
mod farewell;
mod health;
mod idempotency;
mod identity;
mod keys;
mod metadata;
mod request_id;
mod search;
mod throttle;
mod upload;
mod voice;
mod webhooks;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_cors::Cors;
use actix_multipart::MultipartConfig;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, JsonConfig, PathConfig, QueryConfig};
use actix_web::{App as ActixApp, HttpResponse};
use scryon_blobs::Blobs;
use scryon_domain::epoch::Epoch;
use scryon_domain::ids::TenantId;
use scryon_metrics::ApiMetrics;
use scryon_runtime::crash::crash_point;
use scryon_runtime::{Announce, Context, Program, ProgramError, StoreLimits, Switches};
use scryon_store::{Store, User};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::admission::Admission;
use crate::error::{ApiError, from_extractor};
use crate::keys::{Holders, KeyUses};
use crate::throttle::Throttle;
use crate::webhooks::WebhookSecrets;

/// The program.
pub const PROGRAM: Program = Program {
    name: "scryon-api",
    about: "takes recordings in and serves transcripts, analyses and action items",
    admin_port: 9101,
    limits: StoreLimits::API,
};

/// What handlers share.
pub(crate) struct App {
    store: Store,
    blobs: Blobs,
    announcer: Arc<dyn Announce>,
    metrics: ApiMetrics,
    stop: CancellationToken,
    api_keys: Vec<String>,
    holders: Holders,
    key_uses: KeyUses,
    switches: Switches,
    throttle: Throttle,
    default_tenant: TenantId,
    local_user: OnceCell<User>,
    webhook_secrets: WebhookSecrets,
    admission: Admission,
    epoch: Epoch,
    /// Absent while voice profiles are off.
    voice: Option<voice::Voice>,
    /// Absent while embeddings are off.
    meaning: Option<search::Meaning>,
    limits: Limits,
    /// A point at which a test build ends itself.
    crash_at: Option<String>,
}

impl App {
    fn crash_point(&self, name: &str) {
        crash_point(self.crash_at.as_deref(), name);
    }
}

/// Limits of an upload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) file: u64,
    pub(crate) request: u64,
    /// Bytes per second.
    pub(crate) min_rate: u64,
    pub(crate) total: Duration,
    /// How long audio is kept after its call's end.
    pub(crate) audio_ttl: Duration,
}

/// Serves until told to stop.
pub async fn run(ctx: Context) -> Result<(), ProgramError> {
    let api = &ctx.config.api;
    let address = (api.server_host.as_str(), api.server_port);
    let listener = TcpListener::bind(address).map_err(|source| ProgramError::Io {
        what: format!("{}:{} cannot be opened (SERVER_HOST, SERVER_PORT)", address.0, address.1),
        source,
    })?;
    serve(ctx, listener).await
}

/// Serves on an open listener until told to stop.
pub async fn serve(ctx: Context, listener: TcpListener) -> Result<(), ProgramError> {
    refuse_open_door(&ctx, &listener)?;
    let app = Data::new(app(&ctx)?);
    let counted = app.clone();
    let origins = ctx.config.api.cors_allowed_origins.0.clone();
    let io = |source| ProgramError::Io { what: "the public port cannot be served".to_owned(), source };
    if let Ok(address) = listener.local_addr() {
        info!(address = %address, "API open at http://{address}");
    }
    let manners = connections::Manners {
        keep_alive: ctx.config.api.keep_alive.0,
        shutdown_timeout: farewell::patience(&ctx),
    };
    let server = connections::serve(listener, &manners, move || {
        ActixApp::new()
            .wrap(from_fn(identity::guard))
            .wrap(cors(&origins))
            .wrap(from_fn(farewell::around))
            .wrap(from_fn(request_id::around))
            .app_data(app.clone())
            .configure(routes)
    })
    .map_err(io)?;
    tokio::spawn(farewell::stop(ctx.clone(), server.handle()));
    let counting = tokio::spawn(keys::keep(counted.clone()));
    let served = server.await.map_err(io);
    counting.abort();
    // The last counts; Postgres may be away, and they are only counts.
    let _counted = tokio::time::timeout(Duration::from_secs(2), keys::write(&counted)).await;
    served
}

fn app(ctx: &Context) -> Result<App, ProgramError> {
    let config = &ctx.config;
    Ok(App {
        store: ctx.store.clone(),
        blobs: ctx.blobs.clone(),
        announcer: ctx.announcer.clone(),
        metrics: ApiMetrics::register(&ctx.registry)?,
        stop: ctx.stop.clone(),
        api_keys: config.api.api_keys.0.clone(),
        holders: Holders::default(),
        key_uses: KeyUses::default(),
        switches: ctx.switches.clone(),
        throttle: Throttle::default(),
        default_tenant: App::default_tenant(),
        local_user: OnceCell::new(),
        webhook_secrets: WebhookSecrets {
            ours: config.engines.webhook_secrets.0.clone(),
            pyannote: config.engines.pyannote_webhook_secrets.0.clone(),
        },
        epoch: ctx.queue.epoch.clone(),
        admission: Admission::new(config.sweeper.tenant_max_in_flight.0),
        voice: voice::Voice::new(config).map_err(ProgramError::Setup)?,
        meaning: search::Meaning::new(config).map_err(ProgramError::Setup)?,
        limits: Limits {
            file: config.api.max_file_size.0,
            request: config.api.max_request_size.0,
            min_rate: config.api.upload_min_rate.0,
            total: config.api.upload_timeout.0,
            audio_ttl: config.storage.temp_audio_ttl.0,
        },
        crash_at: config.telemetry.crash_at.clone(),
    })
}

/// Nobody serves strangers by accident, and nobody believes tokens are checked when they are not.
fn refuse_open_door(ctx: &Context, listener: &TcpListener) -> Result<(), ProgramError> {
    let api = &ctx.config.api;
    if let Some(name) =
        ctx.config.reserved.iter().find(|n| n.starts_with("FIREBASE_") || n.starts_with("SCRYON_AUTH_"))
    {
        return Err(ProgramError::Setup(format!(
            "{name} is set, but this version cannot verify tokens and would take everybody for one user. Unset it, or run a version that can."
        )));
    }
    let loopback = listener.local_addr().is_ok_and(|a| a.ip().is_loopback());
    if !loopback && api.api_keys.0.is_empty() && !api.allow_unauthenticated {
        return Err(ProgramError::Setup(format!(
            "SERVER_HOST={} is not a loopback address and no key is set: everybody who reaches it would be the local-dev user. Set SCRYON_API_KEY, or SCRYON_ALLOW_UNAUTHENTICATED=true if that is meant.",
            api.server_host
        )));
    }
    Ok(())
}

fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default().allow_any_method().allow_any_header().max_age(600);
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}

fn routes(config: &mut web::ServiceConfig) {
    let (query, path, body) = (from_extractor("query"), from_extractor("path"), from_extractor("body"));
    config
        .app_data(QueryConfig::default().error_handler(move |e, _| query(&e).into()))
        .app_data(PathConfig::default().error_handler(move |e, _| path(&e).into()))
        .app_data(JsonConfig::default().limit(1 << 20).error_handler(move |e, _| body(&e).into()))
        .app_data(MultipartConfig::default().buffer_limit(upload::PIECE))
        .service(resource("/api/health").route(web::get().to(health::health)))
        .service(resource("/api/health/ready").route(web::get().to(health::ready)))
        .service(resource("/actuator/health").route(web::get().to(health::actuator)))
        .service(resource("/actuator/health/readiness").route(web::get().to(health::actuator_ready)))
        .service(resource("/api/calls/analyze").route(web::post().to(upload::analyze)))
        .service(resource("/api/calls/status").route(web::get().to(calls::status)))
        .service(resource("/api/calls/search").route(web::get().to(search::search)))
        .service(resource("/api/calls/search/backfill").route(web::post().to(search::backfill)))
        .service(resource("/api/calls/search/status").route(web::get().to(search::status)))
        .service(resource("/api/calls").route(web::get().to(calls::list)))
        .service(
            resource("/api/calls/{id}")
                .route(web::get().to(calls::detail))
                .route(web::delete().to(calls::delete)),
        )
        .service(resource("/api/calls/{id}/transcript").route(web::get().to(documents::transcript)))
        .service(resource("/api/calls/{id}/cancel").route(web::post().to(controls::cancel)))
        .service(resource("/api/calls/{id}/reprocess").route(web::post().to(controls::reprocess)))
        .service(resource("/api/calls/{id}/reanalyze").route(web::post().to(controls::reanalyze)))
        .service(resource("/api/calls/{id}/events").route(web::get().to(controls::events)))
        .service(resource("/api/debug/calls/{id}/events").route(web::get().to(controls::events)))
        .service(resource("/api/calls/{id}/costs").route(web::get().to(calls::costs)))
        .service(resource("/api/calls/{id}/analysis").route(web::get().to(documents::analysis)))
        .service(callbacks("/api/webhooks/pyannote/{job}").route(web::post().to(webhooks::pyannote)))
        .service(callbacks("/api/webhooks/assemblyai/{call}").route(web::post().to(webhooks::assemblyai)))
        .service(callbacks("/api/webhooks/lemonfox/{call}").route(web::post().to(webhooks::lemonfox)))
        .service(resource("/api/admin/operations/{name}").route(web::post().to(admin::operate)))
        .service(resource("/api/admin/audit-log").route(web::get().to(admin::audit_log)))
        .service(
            resource("/api/users/me/voice-profile")
                .route(web::post().to(voice::create))
                .route(web::delete().to(voice::delete)),
        )
        .service(resource("/api/users/me/voice-profile/status").route(web::get().to(voice::status)))
        .service(callbacks("/api/webhooks/deepgram/{call}").route(web::post().to(webhooks::deepgram)))
        .service(resource("/api/actions").route(web::get().to(actions::list)))
        .service(resource("/api/actions/{id}").route(web::patch().to(actions::set_status)))
        .default_service(web::to(|| async { Err::<HttpResponse, _>(ApiError::route_not_found()) }));
}

/// A resource that takes a callback's raw bytes.
fn callbacks(path: &str) -> actix_web::Resource {
    resource(path).app_data(web::PayloadConfig::new(webhooks::LIMIT))
}

/// A resource whose other methods answer in the envelope too.
fn resource(path: &str) -> actix_web::Resource {
    web::resource(path)
        .default_service(web::to(|| async { Err::<HttpResponse, _>(ApiError::method_not_allowed()) }))
}
