//! Who is asking. A tenant's key (`Authorization: Bearer sk_…`) stands for its service account; one with the scope
//! `admin` opens the admin surface. Without an issuer of tokens everybody else is the `local-dev` user of the default
//! tenant; the key list of SCRYON_API_KEY is a guard in front of that.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, USER_AGENT};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError};
use scryon_domain::ids::TenantId;
use scryon_operations::{ADMIN, Actor, is_key, key_hash};
use scryon_store::{KeyHolder, Owner, StoreError};
use sha2::{Digest, Sha256};

use crate::App;
use crate::error::ApiError;
use crate::request_id;

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

/// Somebody who operates the installation. A handler that takes one does not exist for others.
#[derive(Debug, Clone)]
pub(crate) struct Admin(Arc<str>);

impl Admin {
    /// Who it is, in the audit log.
    pub(crate) fn actor(&self) -> Actor {
        Actor { name: format!("key:{}", self.0), request_id: Some(request_id::current()) }
    }
}

impl FromRequest for Admin {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(ApiError::route_not_found))
    }
}

async fn admit(request: &ServiceRequest) -> Result<Caller, ApiError> {
    let app = request.app_data::<Data<App>>().ok_or_else(ApiError::internal)?;
    let user = match bearer(request) {
        Some(token) if is_key(token) => {
            let holder = app.holder(token).await?.ok_or_else(ApiError::auth_invalid)?;
            app.key_uses.count(&key_hash(token), client_of(request));
            if holder.scopes.iter().any(|s| s == ADMIN) {
                request.extensions_mut().insert(Admin(holder.label.as_str().into()));
            } else {
                check_key(request, app)?;
            }
            holder.user
        }
        _ => {
            check_key(request, app)?;
            app.local_user().await?
        }
    };
    if user.account_status != "ACTIVE" {
        return Err(ApiError::account(&user.account_status));
    }
    Ok(Caller(user.owner))
}

fn bearer(request: &ServiceRequest) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The family of the client: the first product of its User-Agent.
fn client_of(request: &ServiceRequest) -> &str {
    request.headers().get(USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// Compares hashes: equal lengths, and what the comparison leaks is nothing about a key.
fn check_key(request: &ServiceRequest, app: &App) -> Result<(), ApiError> {
    if app.api_keys.is_empty() {
        return Ok(());
    }
    let headers = request.headers();
    let sent = headers
        .get("x-scryon-api-key")
        .or_else(|| headers.get("x-api-key"))
        .ok_or_else(ApiError::auth_missing)?;
    let sent = Sha256::digest(sent.as_bytes());
    let known =
        app.api_keys.iter().fold(false, |known, key| known | (Sha256::digest(key.as_bytes()) == sent));
    if !known {
        return Err(ApiError::auth_invalid());
    }
    app.key_uses.count(&sent, client_of(request));
    Ok(())
}

impl App {
    /// Whom a key stands for. A key that was ended works for a second longer at most.
    async fn holder(&self, token: &str) -> Result<Option<KeyHolder>, StoreError> {
        let hash = key_hash(token);
        if let Some(holder) = self.holders.get(&hash) {
            return Ok(Some(holder));
        }
        let holder = self.store.key_holder(&hash).await?;
        if let Some(holder) = &holder {
            self.holders.put(hash, holder.clone());
        }
        Ok(holder)
    }

    /// The local-dev user, looked up once.
    async fn local_user(&self) -> Result<scryon_store::User, StoreError> {
        let load = || self.store.user_ensure(&self.default_tenant, LOCAL_DEV);
        self.local_user.get_or_try_init(load).await.cloned()
    }

    pub(crate) fn default_tenant() -> TenantId {
        TenantId::default_tenant()
    }
}
