//! Orders to one call, and its log: cancel, a new run, a new analysis, what happened so far and what happens now.

use std::time::Duration;

use actix_web::http::header::ACCEPT;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use scryon_domain::ids::CallId;
use scryon_domain::status::CallStatus;
use scryon_store::{EventRow, OrderKey, Owner, Reanalysis};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::calls::call_id;
use crate::error::ApiError;
use crate::idempotency::Once;
use crate::identity::Caller;
use crate::throttle::Throttle;

/// Between two looks at a log that is followed.
const LOOK: Duration = Duration::from_secs(1);
/// Looks without a word after which one is said, so that nobody in between takes the stream for dead.
const QUIET_LOOKS: u32 = 15;

/// POST /api/calls/{id}/cancel
pub(crate) async fn cancel(
    app: Data<App>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = call_id(&path)?;
    let act = async |key: Option<&OrderKey>| {
        let ordered =
            app.store.call_cancel(&caller.0, id, key).await?.ok_or_else(ApiError::call_not_found)?;
        if ordered.done { Ok(()) } else { Err(ApiError::not_cancellable(&ordered.status)) }
    };
    let payload = id.to_string();
    let once = Once { request: &request, route: "POST /api/calls/{id}/cancel", payload: payload.as_bytes() };
    Ok(HttpResponse::Ok().json(once.ordered(&app.store, &caller.0, answer(id, "CANCELLED"), act).await?))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Reprocess {
    force_paid: bool,
}

/// POST /api/calls/{id}/reprocess, with `{"forcePaid": true}` to buy everything again.
pub(crate) async fn reprocess(
    app: Data<App>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
    body: Bytes,
) -> Result<HttpResponse, ApiError> {
    let id = call_id(&path)?;
    let wish: Reprocess = if body.iter().all(u8::is_ascii_whitespace) {
        Reprocess::default()
    } else {
        serde_json::from_slice(&body).map_err(|e| ApiError::validation("body", e.to_string()))?
    };
    let act = async |key: Option<&OrderKey>| {
        refuse_when_throttled(&app, &caller.0)?;
        let status = app.store.call_reset(&caller.0, id, wish.force_paid, key).await?;
        status.map(|_queued| ()).ok_or_else(ApiError::call_not_found)
    };
    let payload = format!("{id} {}", wish.force_paid);
    let once =
        Once { request: &request, route: "POST /api/calls/{id}/reprocess", payload: payload.as_bytes() };
    Ok(HttpResponse::Accepted().json(once.ordered(&app.store, &caller.0, answer(id, "QUEUED"), act).await?))
}

/// POST /api/calls/{id}/reanalyze
pub(crate) async fn reanalyze(
    app: Data<App>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = call_id(&path)?;
    let act = async |key: Option<&OrderKey>| {
        refuse_when_throttled(&app, &caller.0)?;
        match app.store.call_reanalyze(&caller.0, id, key).await?.ok_or_else(ApiError::call_not_found)? {
            Reanalysis::NotReady { status } => Err(ApiError::call_not_completed(&status, None)),
            Reanalysis::Begun(hint) => {
                let announcer = app.announcer.clone();
                // The row is the promise; the answer does not wait for the broker.
                tokio::spawn(async move {
                    announcer.announce(&[hint], None).await;
                });
                Ok(())
            }
        }
    };
    let payload = id.to_string();
    let once =
        Once { request: &request, route: "POST /api/calls/{id}/reanalyze", payload: payload.as_bytes() };
    Ok(HttpResponse::Accepted()
        .json(once.ordered(&app.store, &caller.0, answer(id, "ANALYZING"), act).await?))
}

/// Work that can wait is the first that is refused while an operator limits what is taken in.
fn refuse_when_throttled(app: &App, owner: &Owner) -> Result<(), ApiError> {
    match Throttle::refuses_backfill(&app.switches.now(), &owner.tenant_id.0) {
        Some(wait) => Err(ApiError::throttled(wait)),
        None => Ok(()),
    }
}

fn answer(id: CallId, status: &str) -> Value {
    json!({"callId": id, "id": id, "status": status})
}

/// GET /api/calls/{id}/events: the log so far or, as `text/event-stream`, also what follows until the call is over.
pub(crate) async fn events(
    app: Data<App>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = call_id(&path)?;
    if app.store.calls_status(&caller.0, &[id]).await?.is_empty() {
        return Err(ApiError::call_not_found());
    }
    let header = |name| {
        request.headers().get(name).and_then(|v: &actix_web::http::header::HeaderValue| v.to_str().ok())
    };
    if !header(ACCEPT).is_some_and(|accept| accept.contains("text/event-stream")) {
        return Ok(HttpResponse::Ok().json(app.store.call_events(&caller.0, id, 0).await?));
    }
    let after = request.headers().get("last-event-id").and_then(|v| v.to_str().ok()?.parse().ok());
    let follower = Follower { app, owner: caller.0, id, after: after.unwrap_or(0), quiet: 0, begun: false };
    let stream = stream::unfold(Some(follower), Follower::next);
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("Cache-Control", "private, no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(stream))
}

/// Somebody who follows a call's log.
struct Follower {
    app: Data<App>,
    owner: Owner,
    id: CallId,
    /// The last line that was sent.
    after: i64,
    quiet: u32,
    begun: bool,
}

impl Follower {
    async fn next(this: Option<Self>) -> Option<(Result<Bytes, std::io::Error>, Option<Self>)> {
        let mut this = this?;
        loop {
            if this.begun {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    // Whoever follows connects again, to another program or a newer one.
                    () = this.app.stop.cancelled() => return None,
                }
            }
            this.begun = true;
            // Final before the lines are read: what was written until then is among them.
            let Ok(statuses) = this.app.store.calls_status(&this.owner, &[this.id]).await else {
                return None;
            };
            // Deleted, or Postgres is away: the follower asks again and learns which.
            let status = statuses.into_iter().next()?.status;
            let Ok(lines) = this.app.store.call_events(&this.owner, this.id, this.after).await else {
                return None;
            };
            if let Some(last) = lines.last() {
                (this.after, this.quiet) = (last.id, 0);
                return Some((Ok(lines.iter().map(line).collect::<String>().into()), Some(this)));
            }
            if status.parse().is_ok_and(CallStatus::is_final) {
                let end = format!("event: end\ndata: {}\n\n", json!({"status": status}));
                return Some((Ok(end.into()), None));
            }
            this.quiet += 1;
            if this.quiet >= QUIET_LOOKS {
                this.quiet = 0;
                return Some((Ok(Bytes::from_static(b": still there\n\n")), Some(this)));
            }
        }
    }
}

fn line(event: &EventRow) -> String {
    format!("id: {}\ndata: {}\n\n", event.id, json!(event))
}
