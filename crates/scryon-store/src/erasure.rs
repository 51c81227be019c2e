//! Erasure of a user or a tenant, and the receipt of it.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::db::{Bind, Statement, Store, StoreError};

/// Who is erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// By id, by the identity provider's id or by e-mail address.
    User(String),
    Tenant(String),
}

/// What an erasure took.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub subject: String,
    #[diesel(sql_type = Text)]
    pub tenant_id: String,
    #[diesel(sql_type = Text)]
    pub subject_id: String,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Text)]
    pub requested_by: String,
    #[diesel(sql_type = Timestamptz)]
    pub requested_at: DateTime<Utc>,
    #[diesel(sql_type = Jsonb)]
    pub rows_deleted: Value,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub rows_deleted_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    pub objects_deleted: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub completed_at: Option<DateTime<Utc>>,
    /// Engines that were sent recordings or transcripts.
    #[diesel(sql_type = Jsonb)]
    pub providers: Value,
    /// Copies at providers that can delete them: all, and those that are still there.
    #[diesel(sql_type = BigInt)]
    pub provider_copies: i64,
    #[diesel(sql_type = BigInt)]
    pub provider_copies_left: i64,
}

/// A copy at a provider that is to be deleted there.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct ProviderCopy {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    pub engine: String,
    #[diesel(sql_type = Text)]
    pub external_id: String,
}

const RECEIPT: &str = "select id, subject, tenant_id, subject_id, reason, requested_by, requested_at, rows_deleted, rows_deleted_at,
         objects_deleted, completed_at, providers,
         (select count(*) from provider_erasures p where p.receipt_id = e.id) as provider_copies,
         (select count(*) from provider_erasures p where p.receipt_id = e.id and p.done_at is null) as provider_copies_left
     from erasure_receipts e where id = $1";

const BEGIN_USER: &str = "with found as (select u.id, u.tenant_id from users u where u.id::text = $1 or u.external_user_id = $1 or u.email = $1),
     stopped as (update users set account_status = 'DISABLED', updated_at = now() where id in (select id from found)
                 and (select count(*) from found) = 1),
     noted as (insert into erasure_receipts (subject, tenant_id, subject_id, reason, requested_by)
         select 'user', tenant_id, id::text, $2, $3 from found where (select count(*) from found) = 1 returning id)
     select (select count(*) from found) as found, (select id from noted) as id";

const BEGIN_TENANT: &str = "with found as (select t.id from tenants t where t.id = $1),
     stopped as (update users set account_status = 'DISABLED', updated_at = now() where tenant_id in (select id from found)),
     noted as (insert into erasure_receipts (subject, tenant_id, subject_id, reason, requested_by)
         select 'tenant', id, id, $2, $3 from found returning id)
     select (select count(*) from found) as found, (select id from noted) as id";

#[derive(diesel::QueryableByName)]
struct BegunRow {
    #[diesel(sql_type = BigInt)]
    found: i64,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    id: Option<Uuid>,
}

#[derive(diesel::QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// How the begin of an erasure ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureBegin {
    Begun(Uuid),
    /// Nobody, or more than one, has that name.
    Found(i64),
}

impl Store {
    /// Opens a receipt and disables the account, so that nothing is added while it is emptied.
    pub async fn erasure_begin(
        &self,
        subject: &Subject,
        reason: &str,
        by: &str,
    ) -> Result<ErasureBegin, StoreError> {
        let (sql, name) = match subject {
            Subject::User(name) => (BEGIN_USER, name),
            Subject::Tenant(name) => (BEGIN_TENANT, name),
        };
        let statement = Statement::new(sql).bind(name.as_str()).bind(reason).bind(by);
        let row: Option<BegunRow> = self.row(statement).await?;
        Ok(row.map_or(ErasureBegin::Found(0), |r| {
            r.id.map_or(ErasureBegin::Found(r.found), ErasureBegin::Begun)
        }))
    }

    /// Deletes a batch of the subject's calls; gives how many.
    pub async fn erasure_calls(&self, receipt: Uuid, batch: i32) -> Result<usize, StoreError> {
        let sql = "select erase_calls($1, $2)::bigint as n";
        let row: Option<NumberRow> =
            self.row(Statement::new(sql).bind(Bind::Uuid(Some(receipt))).bind(batch)).await?;
        Ok(row.and_then(|r| usize::try_from(r.n).ok()).unwrap_or_default())
    }

    /// Deletes the user, or the tenant and its users; their objects get tombstones that count for the receipt.
    pub async fn erasure_subject(&self, receipt: Uuid) -> Result<(), StoreError> {
        let sql = "select erase_subject($1)";
        self.execute(Statement::new(sql).bind(Bind::Uuid(Some(receipt)))).await.map(|_| ())
    }

    /// Copies at providers that are to be deleted there.
    pub async fn provider_copies_due(&self, batch: i32) -> Result<Vec<ProviderCopy>, StoreError> {
        let sql = "select id, engine, external_id from provider_erasures
             where done_at is null and not exists (select 1 from holds) order by id limit $1";
        self.rows(Statement::new(sql).bind(batch)).await
    }

    /// The provider has deleted it.
    pub async fn provider_copy_gone(&self, copy: &ProviderCopy) -> Result<(), StoreError> {
        let sql = "update provider_erasures set done_at = now() where id = $1";
        self.execute(Statement::new(sql).bind(copy.id)).await.map(|_| ())
    }

    /// The receipt of an erasure.
    pub async fn receipt(&self, id: Uuid) -> Result<Option<Receipt>, StoreError> {
        self.row(Statement::new(RECEIPT).bind(Bind::Uuid(Some(id)))).await
    }

    /// A receipt that a restored database does not know. One that is there stays as it is. What is left in storage of
    /// whom it is about leaves under it.
    pub async fn receipt_restore(&self, receipt: Value) -> Result<(), StoreError> {
        self.execute(Statement::new("select receipt_restore($1)").bind(receipt)).await.map(|_| ())
    }
}
