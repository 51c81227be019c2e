//! Callbacks of providers: kept before they are answered, and a wake-up for the stage that waits.

use diesel::sql_types::{Binary, Bool, Integer, Nullable, Text};
use scryon_domain::hint::{Hint, HintReason};
use scryon_domain::ids::{CallId, JobId, TenantId};
use uuid::Uuid;

use crate::claim::next_hint;
use crate::db::{Statement, Store, StoreError};
use crate::lease::word;

/// A message of a provider whose signature was verified.
#[derive(Debug, Clone)]
pub struct Callback {
    /// The engine's name.
    pub engine: &'static str,
    /// Our name for the job, as the callback's address carried it.
    pub job: JobId,
    /// The provider's name for it, where it has one.
    pub external_id: Option<String>,
    /// SHA-256 of the body, by which a repetition is known.
    pub body_sha256: Vec<u8>,
    /// The body, where the result cannot be fetched later. Holds personal data.
    pub body: Option<Vec<u8>>,
}

/// What a callback met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallbackEffect {
    /// A stage waits for it: this hint wakes it.
    Woken(Hint),
    /// Nobody waits (a repetition, an old run, a call that is over); it is kept.
    Kept,
    /// No such job.
    Unknown,
    /// Its address is of a life before a restore: kept, and nobody is woken.
    OtherEpoch,
}

#[derive(diesel::QueryableByName)]
struct TakenRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    call_id: Uuid,
    #[diesel(sql_type = Integer)]
    run_no: i32,
    #[diesel(sql_type = Text)]
    stage: String,
    #[diesel(sql_type = Text)]
    lane: String,
    #[diesel(sql_type = Text)]
    tenant_id: String,
    #[diesel(sql_type = Bool)]
    waiting: bool,
}

#[derive(diesel::QueryableByName)]
struct BodyRow {
    #[diesel(sql_type = Nullable<Binary>)]
    body: Option<Vec<u8>>,
}

impl Store {
    /// Keeps a callback; after this it may be answered.
    pub async fn callback_take(&self, callback: Callback) -> Result<CallbackEffect, StoreError> {
        let sql =
            "select call_id, run_no, stage, lane, tenant_id, waiting from callback_take($1, $2, $3, $4, $5)";
        let row: Option<TakenRow> = self
            .row(
                Statement::new(sql)
                    .bind(callback.engine)
                    .bind(callback.job)
                    .bind(callback.external_id)
                    .bind(callback.body)
                    .bind(callback.body_sha256),
            )
            .await?;
        let Some(row) = row else { return Ok(CallbackEffect::Unknown) };
        if !row.waiting {
            return Ok(CallbackEffect::Kept);
        }
        let place = (word(&row.stage)?, word(&row.lane)?, TenantId(row.tenant_id));
        let mut hint = next_hint(CallId(row.call_id), row.run_no, place);
        hint.reason = HintReason::Poll;
        Ok(CallbackEffect::Woken(hint))
    }

    /// Keeps a callback of a former life without any effect. Whoever looks for the result of its job finds it.
    pub async fn callback_keep(&self, callback: Callback) -> Result<(), StoreError> {
        let statement = Statement::new("select callback_keep($1, $2, $3, $4, $5)")
            .bind(callback.engine)
            .bind(callback.job)
            .bind(callback.external_id)
            .bind(callback.body)
            .bind(callback.body_sha256);
        self.execute(statement).await.map(|_| ())
    }

    /// The newest result that a callback brought for a job.
    pub async fn callback_body(&self, job: JobId) -> Result<Option<Vec<u8>>, StoreError> {
        let sql =
            "select body from callback_inbox where job_id = $1 and body is not null order by id desc limit 1";
        let row: Option<BodyRow> = self.row(Statement::new(sql).bind(job)).await?;
        Ok(row.and_then(|r| r.body))
    }
}
