//! Keys of tenants (`sk_…`), and which key is used by whom, so that an old one is seen to fall silent.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz};
use scryon_domain::ids::{TenantId, UserId};
use serde::Serialize;
use uuid::Uuid;

use crate::calls::Owner;
use crate::db::{Bind, Statement, Store, StoreError};
use crate::users::User;

/// A key as it may be shown. The key itself is nowhere.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub tenant_id: String,
    #[diesel(sql_type = Text)]
    pub label: String,
    #[diesel(sql_type = Array<Text>)]
    pub scopes: Vec<String>,
    /// The beginning of the key's SHA-256, as in the uses.
    #[diesel(sql_type = Text)]
    pub key: String,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_used_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What uses of a webhook secret have before the provider's name in place of a client.
pub const CALLBACK: &str = "callback:";

/// How often a key was used by one kind of client, or a webhook secret by callbacks of one provider.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct KeyUse {
    /// The beginning of the key's SHA-256.
    #[diesel(sql_type = Text)]
    pub key: String,
    #[diesel(sql_type = Text)]
    pub client: String,
    #[diesel(sql_type = BigInt)]
    pub uses: i64,
    #[diesel(sql_type = Timestamptz)]
    pub first_seen: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub last_seen: DateTime<Utc>,
}

/// Who a key stands for.
#[derive(Debug, Clone)]
pub struct KeyHolder {
    pub user: User,
    pub label: String,
    pub scopes: Vec<String>,
}

#[derive(diesel::QueryableByName)]
struct HolderRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    user_id: Uuid,
    #[diesel(sql_type = Text)]
    tenant_id: String,
    #[diesel(sql_type = Text)]
    account_status: String,
    #[diesel(sql_type = Text)]
    label: String,
    #[diesel(sql_type = Array<Text>)]
    scopes: Vec<String>,
}

#[derive(diesel::QueryableByName)]
struct FoundRow {
    #[diesel(sql_type = Bool)]
    #[allow(dead_code)] // its presence is the answer
    found: bool,
}

const HOLDER: &str = "select k.user_id, k.tenant_id, u.account_status::text, k.label, k.scopes
     from api_keys k join users u on u.id = k.user_id where k.key_sha256 = $1 and k.revoked_at is null";

const COLUMNS: &str = "id, tenant_id, label, scopes, left(encode(key_sha256, 'hex'), 12) as key, created_at, last_used_at, revoked_at";

/// The account a key stands for is made with it where it is not there yet.
const CREATE: &str = "with tenant as (
         insert into tenants (id) values ($1) on conflict (id) do nothing),
     made as (
         insert into users (tenant_id, external_user_id, display_name) values ($1, $2, $3)
         on conflict (tenant_id, external_user_id) do update set updated_at = now() returning id)
     insert into api_keys (tenant_id, user_id, key_sha256, label, scopes) select $1, made.id, $4, $3, $5 from made
     returning id, tenant_id, label, scopes, left(encode(key_sha256, 'hex'), 12) as key, created_at, last_used_at, revoked_at";

/// Keys of tenants know when they were used; those of SCRYON_API_KEY are known by their uses only.
const USED: &str = "with used as (
         select * from unnest($1::text[], $2::text[], $3::int[]) as u (key, client, uses)),
     touched as (
         update api_keys k set last_used_at = now() from (select distinct key from used) u
         where left(encode(k.key_sha256, 'hex'), 12) = u.key)
     insert into key_uses as k (key, client, uses) select key, client, uses from used order by key, client
     on conflict (key, client) do update set uses = k.uses + excluded.uses, last_seen = now()";

impl Store {
    /// Whom a key stands for, by its SHA-256. `None`: it is none of ours, or revoked.
    pub async fn key_holder(&self, sha256: &[u8]) -> Result<Option<KeyHolder>, StoreError> {
        let row: Option<HolderRow> = self.row(Statement::new(HOLDER).bind(sha256.to_vec())).await?;
        let Some(row) = row else { return Ok(None) };
        let owner = Owner { tenant_id: TenantId(row.tenant_id), user_id: UserId(row.user_id) };
        let user = User { owner, account_status: row.account_status };
        Ok(Some(KeyHolder { user, label: row.label, scopes: row.scopes }))
    }

    /// Keeps a new key of a tenant's service account, which is named after its label.
    pub async fn key_create(
        &self,
        tenant: &TenantId,
        label: &str,
        scopes: &[String],
        sha256: &[u8],
    ) -> Result<ApiKey, StoreError> {
        let statement = Statement::new(CREATE)
            .bind(tenant)
            .bind(format!("service:{label}").as_str())
            .bind(label)
            .bind(sha256.to_vec())
            .bind(Bind::Texts(scopes.to_vec()));
        let key: Option<ApiKey> = self.row(statement).await?;
        key.ok_or_else(|| StoreError::row("the key was not kept"))
    }

    /// Ends a key. False: there is none with this id that is not ended.
    pub async fn key_revoke(&self, id: Uuid) -> Result<bool, StoreError> {
        let sql = "update api_keys set revoked_at = now() where id = $1 and revoked_at is null returning true as found";
        Ok(self.row::<FoundRow>(Statement::new(sql).bind(id)).await?.is_some())
    }

    /// All keys of tenants, the newest first.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let sql = format!("select {COLUMNS} from api_keys order by created_at desc limit 1000");
        self.rows(Statement::of_text(sql.into())).await
    }

    /// Adds uses of keys: key, client, how often.
    pub async fn keys_used(&self, uses: &[(String, String, i32)]) -> Result<(), StoreError> {
        let statement = Statement::new(USED)
            .bind(Bind::Texts(uses.iter().map(|u| u.0.clone()).collect()))
            .bind(Bind::Texts(uses.iter().map(|u| u.1.clone()).collect()))
            .bind(Bind::Ints(uses.iter().map(|u| u.2).collect()));
        self.execute(statement).await.map(|_| ())
    }

    /// Every key that was ever used, the latest first.
    pub async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError> {
        let sql = "select key, client, uses, first_seen, last_seen from key_uses order by last_seen desc limit 1000";
        self.rows(Statement::new(sql)).await
    }
}
