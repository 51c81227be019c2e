//! An orderly end. A balancer hears of it late, and a client that keeps a connection hears of it by its close:
//! while readiness says no already, requests are still let in, and their answers say that the connection ends.

use std::time::Duration;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::web::Data;
use scryon_runtime::Context;

use crate::App;

/// Tells clients to leave once this program is to stop.
pub(crate) async fn around<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let app = request.app_data::<Data<App>>().cloned();
    let mut response = next.call(request).await?;
    if app.is_some_and(|app| app.stop.is_cancelled()) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// Waits for the word to stop, says so for a while, then finishes what is in flight and closes.
pub(crate) async fn stop(ctx: Context, server: ServerHandle) {
    ctx.stop.cancelled().await;
    tokio::time::sleep(notice(&ctx)).await;
    server.stop(true).await;
}

/// What is left of the drain for requests in flight, in whole seconds.
pub(crate) fn patience(ctx: &Context) -> u64 {
    ctx.config.workers.drain.0.saturating_sub(notice(ctx)).as_secs()
}

/// Never more than half of the drain: requests in flight need the rest.
fn notice(ctx: &Context) -> Duration {
    ctx.config.api.stop_notice.0.min(ctx.config.workers.drain.0 / 2)
}
