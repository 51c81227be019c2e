//! Idempotency keys: the same request, sent again, gets the same answer and costs nothing.

use std::time::Duration;

use diesel::sql_types::{Binary, Bool, Jsonb, Nullable, Text};
use scryon_domain::ids::CallId;
use serde_json::Value;
use uuid::Uuid;

use crate::calls::{CompletedKey, Owner};
use crate::db::{Bind, Statement, Store, StoreError};

/// A holder that stopped extending its hold for this long counts as dead; its key is taken over.
pub const KEY_HOLD: Duration = Duration::from_secs(30);
/// How long an answer is kept.
pub const KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The constraint that an order breaks whose key was taken over meanwhile: nothing was done.
pub const ORDER_KEY_HELD: &str = "order_key_held";

/// What a key says at the start of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyState {
    /// The request is ours to carry out, under this call id.
    Ours,
    /// Another request with this key is being carried out.
    InFlight,
    /// It was carried out: the stored answer, if the payload is the same.
    Done { call_id: CallId, fingerprint: Vec<u8>, response: Value },
}

/// The idempotency row that an order to a call completes in the statement that carries it out.
#[derive(Debug, Clone)]
pub struct OrderKey {
    /// The hold under which the key was begun.
    pub held: CallId,
    /// What a repetition has to be equal in.
    pub fingerprint: Vec<u8>,
    pub completed: CompletedKey,
}

/// An order's statement with `$1` tenant, `$2` user, `$3` call and, for `order_kept`, `$4` to `$8`: what is the
/// order's own is bound from `$9` on.
pub(crate) fn order(sql: &'static str, owner: &Owner, id: CallId, key: Option<&OrderKey>) -> Statement {
    Statement::new(sql)
        .bind(&owner.tenant_id)
        .bind(owner.user_id)
        .bind(id)
        .bind(key.map(|k| k.completed.route))
        .bind(key.map(|k| k.completed.key.as_str()))
        .bind(Bind::Uuid(key.map(|k| k.held.0)))
        .bind(Bind::Bytes(key.map(|k| k.fingerprint.clone())))
        .bind(Bind::Json(key.map(|k| k.completed.response.clone())))
}

#[derive(diesel::QueryableByName)]
struct KeyRow {
    #[diesel(sql_type = Bool)]
    ours: bool,
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    call_id: Uuid,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Binary>)]
    fingerprint: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    response: Option<Value>,
}

/// Insert, or take over from a dead holder or an expired answer, or look.
const BEGIN: &str = "with mine as (
         insert into idempotency_keys as k (tenant_id, user_id, route, key, call_id, state, held_until)
         values ($1, $2, $3, $4, $5, 'OPEN', now() + $6 * interval '1 second')
         on conflict (user_id, route, key) do update set call_id = excluded.call_id, state = 'OPEN', held_until = excluded.held_until,
             fingerprint = null, response = null, created_at = now()
         where (k.state = 'OPEN' and k.held_until < now()) or k.created_at < now() - $7 * interval '1 second'
         returning call_id, state, fingerprint, response)
     select true as ours, call_id, state, fingerprint, response from mine
     union all
     select false, call_id, state, fingerprint, response from idempotency_keys
     where user_id = $2 and route = $3 and key = $4 and not exists (select 1 from mine)
     limit 1";

impl Store {
    /// Asks for the right to carry out the request with this key.
    pub async fn key_begin(
        &self,
        owner: &Owner,
        route: &str,
        key: &str,
        call_id: CallId,
    ) -> Result<KeyState, StoreError> {
        let row: Option<KeyRow> = self
            .row(
                Statement::new(BEGIN)
                    .bind(&owner.tenant_id)
                    .bind(owner.user_id)
                    .bind(route)
                    .bind(key)
                    .bind(call_id)
                    .bind(KEY_HOLD)
                    .bind(KEY_LIFETIME),
            )
            .await?;
        Ok(match row {
            Some(row) if row.ours => KeyState::Ours,
            Some(KeyRow {
                state, call_id, fingerprint: Some(fingerprint), response: Some(response), ..
            }) if state == "DONE" => KeyState::Done { call_id: CallId(call_id), fingerprint, response },
            // Held by a twin, or inserted by one after this statement's snapshot.
            _ => KeyState::InFlight,
        })
    }

    /// Keeps a key from being taken over while a slow upload goes on.
    pub async fn key_extend(
        &self,
        owner: &Owner,
        route: &str,
        key: &str,
        call_id: CallId,
    ) -> Result<(), StoreError> {
        let sql = "update idempotency_keys set held_until = now() + $5 * interval '1 second'
                   where user_id = $1 and route = $2 and key = $3 and call_id = $4 and state = 'OPEN'";
        let statement =
            Statement::new(sql).bind(owner.user_id).bind(route).bind(key).bind(call_id).bind(KEY_HOLD);
        self.execute(statement).await.map(|_| ())
    }

    /// Keeps the answer of a request that was carried out by other statements than this. (Uploads and orders to a
    /// call keep theirs in the statement that acts.)
    pub async fn key_complete(
        &self,
        owner: &Owner,
        route: &str,
        key: &str,
        call_id: CallId,
        fingerprint: &[u8],
        response: &Value,
    ) -> Result<(), StoreError> {
        let sql = "update idempotency_keys set state = 'DONE', fingerprint = $5, response = $6
                   where user_id = $1 and route = $2 and key = $3 and call_id = $4 and state = 'OPEN'";
        let statement = Statement::new(sql).bind(owner.user_id).bind(route).bind(key).bind(call_id);
        self.execute(statement.bind(fingerprint.to_vec()).bind(response.clone())).await.map(|_| ())
    }

    /// Frees the key of a request that failed: the client may use it again at once.
    pub async fn key_release(
        &self,
        owner: &Owner,
        route: &str,
        key: &str,
        call_id: CallId,
    ) -> Result<(), StoreError> {
        let sql = "delete from idempotency_keys where user_id = $1 and route = $2 and key = $3 and call_id = $4 and state = 'OPEN'";
        self.execute(Statement::new(sql).bind(owner.user_id).bind(route).bind(key).bind(call_id))
            .await
            .map(|_| ())
    }
}
