//! Who is asking. Without an issuer of tokens everybody is the `local-dev` user of the default tenant; the
//! key list is a guard in front of that.

use std::future::{Ready, ready};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError};
use scryon_domain::ids::TenantId;
use scryon_store::{Owner, StoreError};
use sha2::{Digest, Sha256};

use crate::App;
use crate::error::ApiError;

const LOCAL_DEV: &str = "local-dev";

/// The tenant and user of a request; a handler that takes one is only reached with one.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Owner);

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(ApiError::internal))
    }
}

/// Lets a request through with its caller, or answers why not.
pub(crate) async fn guard<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if is_exempt(&request) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    match admit(&request).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(error) => {
            let response = error.error_response().map_into_right_body();
            Ok(request.into_response(response))
        }
    }
}

fn is_exempt(request: &ServiceRequest) -> bool {
    let path = request.path();
    request.method() == Method::OPTIONS
        || path == "/api/health"
        || path.starts_with("/api/health/")
        || path.starts_with("/actuator/health")
        || path.starts_with("/api/webhooks/")
        || path == "/api/docs"
}

async fn admit(request: &ServiceRequest) -> Result<Caller, ApiError> {
    let app = request.app_data::<Data<App>>().ok_or_else(ApiError::internal)?;
    check_key(request, &app.api_keys)?;
    let user = app.local_user().await?;
    if user.account_status != "ACTIVE" {
        return Err(ApiError::account(&user.account_status));
    }
    Ok(Caller(user.owner))
}

/// Compares hashes: equal lengths, and what the comparison leaks is nothing about a key.
fn check_key(request: &ServiceRequest, keys: &[String]) -> Result<(), ApiError> {
    if keys.is_empty() {
        return Ok(());
    }
    let headers = request.headers();
    let sent = headers
        .get("x-scryon-api-key")
        .or_else(|| headers.get("x-api-key"))
        .ok_or_else(ApiError::auth_missing)?;
    let sent = Sha256::digest(sent.as_bytes());
    let known = keys.iter().fold(false, |known, key| known | (Sha256::digest(key.as_bytes()) == sent));
    if known { Ok(()) } else { Err(ApiError::auth_invalid()) }
}

impl App {
    /// The local-dev user, looked up once.
    async fn local_user(&self) -> Result<scryon_store::User, StoreError> {
        let load = || self.store.user_ensure(&self.default_tenant, LOCAL_DEV);
        self.local_user.get_or_try_init(load).await.cloned()
    }

    pub(crate) fn default_tenant() -> TenantId {
        TenantId::default_tenant()
    }
}
