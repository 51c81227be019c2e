//! The Idempotency-Key of a request: held while it is carried out, freed when it fails or its client is gone.

use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use scryon_domain::ids::CallId;
use scryon_store::{CompletedKey, KeyState, OrderKey, Owner, Store};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::error::ApiError;

/// How long a twin is waited for.
const TWIN: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(200);
const EXTEND: Duration = Duration::from_secs(10);

/// The key a client sent, without the quotes some clients put around it.
pub(crate) fn key_of(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let mut values = request.headers().get_all("idempotency-key");
    let Some(value) = values.next() else { return Ok(None) };
    let bad = |problem: &str| ApiError::validation("Idempotency-Key", problem).closing();
    if values.next().is_some() {
        return Err(bad("must be sent once"));
    }
    let text = value.to_str().map_err(|_e| bad("must be printable ASCII"))?.trim();
    let bare = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    if bare.is_empty() || bare.len() > 255 {
        return Err(bad("must have 1 to 255 characters"));
    }
    Ok(Some(bare.to_owned()))
}

/// What a key says.
pub(crate) enum Key {
    /// Carry the request out; the hold ends with [`Hold::keep`] or, on drop, frees the key.
    Ours(Box<Hold>),
    /// It was carried out; the answer serves if the payload is the same.
    Done { fingerprint: Vec<u8>, response: Value },
}

/// The right to carry out a request.
pub(crate) struct Hold {
    store: Store,
    owner: Owner,
    route: &'static str,
    key: String,
    call_id: CallId,
    ended: CancellationToken,
    kept: bool,
}

/// Asks for the key; waits for a living twin.
pub(crate) async fn begin(
    store: &Store,
    owner: &Owner,
    route: &'static str,
    key: String,
    call_id: CallId,
) -> Result<Key, ApiError> {
    let asked = Instant::now();
    // From here on: where the answer is lost, or the client goes while it is waited for, the key is perhaps ours.
    let hold = Hold::new(store, owner, route, key, call_id);
    loop {
        match store.key_begin(owner, route, &hold.key, call_id).await? {
            KeyState::Ours => {
                hold.extend();
                return Ok(Key::Ours(Box::new(hold)));
            }
            KeyState::Done { fingerprint, response, .. } => {
                hold.keep();
                return Ok(Key::Done { fingerprint, response });
            }
            KeyState::InFlight if asked.elapsed() < TWIN => tokio::time::sleep(LOOK).await,
            KeyState::InFlight => {
                hold.keep();
                return Err(ApiError::in_flight().closing());
            }
        }
    }
}

/// A small request with what its repetition gets.
pub(crate) struct Once<'a> {
    pub(crate) request: &'a HttpRequest,
    pub(crate) route: &'static str,
    /// What a repetition has to be equal in.
    pub(crate) payload: &'a [u8],
}

impl Once<'_> {
    /// Carries an order to a call out once for each key; `response` is what a success gives. `act` hands the key to
    /// the statement that acts, which completes it: where the statement's answer is lost, or this program dies behind
    /// it, a repetition gets the answer and orders nothing again.
    pub(crate) async fn ordered(
        self,
        store: &Store,
        owner: &Owner,
        response: Value,
        act: impl AsyncFnOnce(Option<&OrderKey>) -> Result<(), ApiError>,
    ) -> Result<Value, ApiError> {
        match self.asked(store, owner).await? {
            Asked::Without => act(None).await.map(|()| response),
            Asked::Done(response) => Ok(response),
            Asked::Ours(hold, fingerprint) => {
                let completed = hold.completed(response.clone());
                act(Some(&OrderKey { held: hold.call_id, fingerprint, completed })).await?;
                hold.keep();
                Ok(response)
            }
        }
    }

    /// Carries out what may be done twice where an answer is lost (another voice profile takes the place of the
    /// first): its answer is kept by a statement of its own.
    pub(crate) async fn carried_out(
        self,
        store: &Store,
        owner: &Owner,
        act: impl Future<Output = Result<Value, ApiError>>,
    ) -> Result<Value, ApiError> {
        match self.asked(store, owner).await? {
            Asked::Without => act.await,
            Asked::Done(response) => Ok(response),
            Asked::Ours(hold, fingerprint) => {
                let response = act.await?;
                hold.complete(&fingerprint, &response).await;
                Ok(response)
            }
        }
    }

    async fn asked(&self, store: &Store, owner: &Owner) -> Result<Asked, ApiError> {
        let Some(key) = key_of(self.request)? else { return Ok(Asked::Without) };
        let asked = Sha256::digest(self.payload).to_vec();
        // The id only tells this holder from others.
        match begin(store, owner, self.route, key, CallId::new()).await? {
            Key::Done { fingerprint, response } if fingerprint == asked => Ok(Asked::Done(response)),
            Key::Done { .. } => Err(ApiError::idempotency_mismatch()),
            Key::Ours(hold) => Ok(Asked::Ours(hold, asked)),
        }
    }
}

enum Asked {
    /// The client sent no key.
    Without,
    Done(Value),
    Ours(Box<Hold>, Vec<u8>),
}

impl Hold {
    fn new(store: &Store, owner: &Owner, route: &'static str, key: String, call_id: CallId) -> Self {
        let (store, owner, ended) = (store.clone(), owner.clone(), CancellationToken::new());
        Self { store, owner, route, key, call_id, ended, kept: false }
    }

    /// Keeps it from being taken over until it ends.
    fn extend(&self) {
        let (store, owner, route) = (self.store.clone(), self.owner.clone(), self.route);
        let (key, call_id, ended) = (self.key.clone(), self.call_id, self.ended.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = ended.cancelled() => return,
                    () = tokio::time::sleep(EXTEND) => {}
                }
                if let Err(error) = store.key_extend(&owner, route, &key, call_id).await {
                    warn!(error = %error, "failed to extend the hold on an idempotency key");
                }
            }
        });
    }

    /// The key itself.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The key as the statement that acts completes it.
    pub(crate) fn completed(&self, response: Value) -> CompletedKey {
        CompletedKey { route: self.route, key: self.key.clone(), response }
    }

    /// The request was carried out, and this is what it gets again.
    async fn complete(self, fingerprint: &[u8], response: &Value) {
        let done =
            self.store.key_complete(&self.owner, self.route, &self.key, self.call_id, fingerprint, response);
        if let Err(error) = done.await {
            warn!(error = %error, "failed to keep the answer of an idempotency key; it frees itself in 30 s");
        }
        self.keep();
    }

    /// The request was carried out, or perhaps was: the key is not freed.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.ended.cancel();
        if self.kept {
            return;
        }
        let (store, owner, route) = (self.store.clone(), self.owner.clone(), self.route);
        let (key, call_id) = (self.key.clone(), self.call_id);
        tokio::spawn(async move {
            if let Err(error) = store.key_release(&owner, route, &key, call_id).await {
                warn!(error = %error, "failed to free an idempotency key; it frees itself in 30 s");
            }
        });
    }
}
