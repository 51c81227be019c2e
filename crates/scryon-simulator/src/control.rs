//! `/control`: what a test in another process orders.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Json, ServiceConfig};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::faults::{CallbackFault, ChatFault, Fault, JobFault, ROUTES};
use crate::options::{Dialect, HostedOptions, WordPlace};
use crate::{Shared, lock};

/// The control routes and `GET /ledger`.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .route("/ledger", web::get().to(show_ledger))
        .route("/control/faults", web::post().to(add_fault))
        .route("/control/faults", web::delete().to(clear_faults))
        .route("/control/options", web::get().to(show_options))
        .route("/control/options", web::post().to(change_options))
        .route("/control/release", web::post().to(release))
        .route("/control/deliveries", web::get().to(show_deliveries));
}

/// `{"route":"lemonfox.transcribe","count":2,"fault":"status","status":429,"retryAfter":1}`
#[derive(Debug, Deserialize)]
struct Order {
    route: String,
    #[serde(default = "one")]
    count: usize,
    #[serde(flatten)]
    fault: Wanted,
}

fn one() -> usize {
    1
}

/// A [`Fault`] as it is written in an order.
#[derive(Debug, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", rename_all_fields = "camelCase")]
enum Wanted {
    Status { status: u16, retry_after: Option<u64> },
    CutAfterPurchase,
    Hold,
    Garbage,
    Latency { ms: u64 },
    CutInBody,
    SlowBody { ms: u64 },
    WrongSchema,
    Prose,
    Quota,
    RefusedWithOk,
    Refusal,
    Length,
    ContentFilter,
    Fenced,
    NoUsage,
    Obeys,
    Dialect { dialect: Dialect },
    Words { place: WordPlace },
    QuotedText,
    Speakers { speakers: usize },
    CallbackDelayed { ms: u64 },
    CallbackHeld,
    CallbackDoubled,
    CallbackNever,
    CallbackBeforeAnswer,
    CallbackGarbage,
    CallbackStranger,
    CallbackWrongSecret,
    JobFailed,
    JobFailedSilently,
    JobCanceled,
    JobHeld,
    JobEmpty,
    JobMoreSpeakers,
}

impl From<Wanted> for Fault {
    fn from(wanted: Wanted) -> Self {
        let time = Duration::from_millis;
        match wanted {
            Wanted::Status { status, retry_after } => Self::Status(status, retry_after),
            Wanted::CutAfterPurchase => Self::CutAfterPurchase,
            Wanted::Hold => Self::Hold,
            Wanted::Garbage => Self::Garbage,
            Wanted::Latency { ms } => Self::Latency(time(ms)),
            Wanted::CutInBody => Self::CutInBody,
            Wanted::SlowBody { ms } => Self::SlowBody(time(ms)),
            Wanted::WrongSchema => Self::WrongSchema,
            Wanted::Prose => Self::Prose,
            Wanted::Quota => Self::Quota,
            Wanted::RefusedWithOk => Self::RefusedWithOk,
            Wanted::Refusal => Self::Chat(ChatFault::Refusal),
            Wanted::Length => Self::Chat(ChatFault::Length),
            Wanted::ContentFilter => Self::Chat(ChatFault::ContentFilter),
            Wanted::Fenced => Self::Chat(ChatFault::Fenced),
            Wanted::NoUsage => Self::Chat(ChatFault::NoUsage),
            Wanted::Obeys => Self::Chat(ChatFault::Obeys),
            Wanted::Dialect { dialect } => Self::Dialect(dialect),
            Wanted::Words { place } => Self::Words(place),
            Wanted::QuotedText => Self::QuotedText,
            Wanted::Speakers { speakers } => Self::Speakers(speakers),
            Wanted::CallbackDelayed { ms } => Self::Callback(CallbackFault::Delayed(time(ms))),
            Wanted::CallbackHeld => Self::Callback(CallbackFault::Held),
            Wanted::CallbackDoubled => Self::Callback(CallbackFault::Doubled),
            Wanted::CallbackNever => Self::Callback(CallbackFault::Never),
            Wanted::CallbackBeforeAnswer => Self::Callback(CallbackFault::BeforeAnswer),
            Wanted::CallbackGarbage => Self::Callback(CallbackFault::Garbage),
            Wanted::CallbackStranger => Self::Callback(CallbackFault::Stranger),
            Wanted::CallbackWrongSecret => Self::Callback(CallbackFault::WrongSecret),
            Wanted::JobFailed => Self::Job(JobFault::Failed),
            Wanted::JobFailedSilently => Self::Job(JobFault::FailedSilently),
            Wanted::JobCanceled => Self::Job(JobFault::Canceled),
            Wanted::JobHeld => Self::Job(JobFault::Held),
            Wanted::JobEmpty => Self::Job(JobFault::Empty),
            Wanted::JobMoreSpeakers => Self::Job(JobFault::MoreSpeakers),
        }
    }
}

async fn show_ledger(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(lock(&shared.ledger).purchases())
}

async fn add_fault(shared: Data<Shared>, order: Json<Order>) -> HttpResponse {
    let Order { route, count, fault } = order.into_inner();
    // An order for a route that does not exist would make a test pass that tests nothing.
    if !ROUTES.contains(&route.as_str()) {
        return HttpResponse::BadRequest().json(json!({"error": "unknown route", "routes": ROUTES}));
    }
    lock(&shared.faults).add(&route, count, fault.into());
    HttpResponse::NoContent().finish()
}

async fn clear_faults(shared: Data<Shared>) -> HttpResponse {
    lock(&shared.faults).clear();
    HttpResponse::NoContent().finish()
}

async fn release(shared: Data<Shared>) -> HttpResponse {
    lock(&shared.faults).release();
    HttpResponse::NoContent().finish()
}

async fn show_options(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(&*shared.hosted.options())
}

/// Changes the options that are named and leaves the others.
async fn change_options(shared: Data<Shared>, changes: Json<Map<String, Value>>) -> HttpResponse {
    match merged(&shared.hosted.options(), changes.into_inner()) {
        Ok(options) => {
            shared.hosted.set_options(options);
            HttpResponse::NoContent().finish()
        }
        Err(error) => HttpResponse::BadRequest().json(json!({"error": error.to_string()})),
    }
}

fn merged(options: &HostedOptions, changes: Map<String, Value>) -> Result<HostedOptions, serde_json::Error> {
    let mut all = serde_json::to_value(options)?;
    if let Value::Object(all) = &mut all {
        all.extend(changes);
    }
    serde_json::from_value(all)
}

async fn show_deliveries(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(&*lock(&shared.hosted.deliveries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_changed_one_at_a_time_and_typos_refused() {
        let change = |changes: Value| {
            merged(&HostedOptions::default(), changes.as_object().cloned().unwrap_or_default())
        };
        let changed = change(json!({"openaiDialect": "local_ai"})).unwrap();
        assert_eq!(changed, HostedOptions { openai_dialect: Dialect::LocalAi, ..HostedOptions::default() });
        assert!(change(json!({"openAiDialect": "local_ai"})).is_err());
        assert!(change(json!({"openaiDialect": "klingon"})).is_err());
    }

    #[test]
    fn an_order_names_its_fault() {
        let order =
            |json: Value| serde_json::from_value::<Order>(json).map(|o| (o.count, Fault::from(o.fault)));
        let table = [
            (
                json!({"route": "r", "fault": "status", "status": 503, "retryAfter": 2}),
                Fault::Status(503, Some(2)),
            ),
            (json!({"route": "r", "fault": "slow_body", "ms": 5}), Fault::SlowBody(Duration::from_millis(5))),
            (json!({"route": "r", "fault": "refused_with_ok"}), Fault::RefusedWithOk),
            (json!({"route": "r", "fault": "fenced"}), Fault::Chat(ChatFault::Fenced)),
            (json!({"route": "r", "fault": "dialect", "dialect": "vllm"}), Fault::Dialect(Dialect::Vllm)),
            (json!({"route": "r", "fault": "callback_never"}), Fault::Callback(CallbackFault::Never)),
            (json!({"route": "r", "fault": "job_empty"}), Fault::Job(JobFault::Empty)),
        ];
        for (json, fault) in table {
            assert_eq!(order(json).unwrap(), (1, fault));
        }
        assert!(order(json!({"route": "r", "fault": "status"})).is_err());
        assert!(order(json!({"route": "r", "fault": "nonsense"})).is_err());
    }
}
