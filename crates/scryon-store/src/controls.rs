//! What an owner does with one call: cancel it, begin a new run, analyse it again, read its log. And what an operator
//! looks for: calls that are stuck.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use scryon_domain::hint::Hint;
use scryon_domain::ids::CallId;
use scryon_domain::stage::StageKind;
use serde::Serialize;
use uuid::Uuid;

use crate::calls::Owner;
use crate::claim::{ANNOUNCE_AGAIN, next_hint};
use crate::db::{Statement, Store, StoreError};
#[cfg(doc)]
use crate::idempotency::ORDER_KEY_HELD;
use crate::idempotency::{OrderKey, order};
use crate::lease::word;

/// How an order to a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// The call's status after it.
    pub status: String,
    /// Whether the order did anything.
    pub done: bool,
}

/// How the wish for a new analysis ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reanalysis {
    /// A run has begun: this hint announces its analysis.
    Begun(Hint),
    /// There is no transcript, or a run is under way.
    NotReady { status: String },
}

/// A line of a call's processing log.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct EventRow {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    pub stage: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<BigInt>)]
    pub duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub error_code: Option<String>,
    #[serde(rename = "run", skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Integer>)]
    pub run_no: Option<i32>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

/// A call that nobody will go on with by itself.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct StuckCall {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub stage: Option<String>,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Timestamptz)]
    pub since: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub advice: String,
}

#[derive(diesel::QueryableByName)]
struct OrderedRow {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Bool)]
    done: bool,
}

#[derive(diesel::QueryableByName)]
struct ReanalysisRow {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Bool)]
    ready: bool,
    #[diesel(sql_type = Integer)]
    run_no: i32,
    #[diesel(sql_type = Text)]
    lane: String,
}

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = Integer)]
    n: i32,
}

const CANCEL: &str = "select status, done, case when done and $5 is not null
     then order_kept($2, $4, $5, $6, $7, $8) end as kept from call_cancel($1, $2, $3)";
const RESET: &str = "select status, true as done, case when $5 is not null
     then order_kept($2, $4, $5, $6, $7, $8) end as kept from call_reset($1, $2, $3, $9)";
const REANALYZE: &str = "select status, ready, run_no, lane, case when ready and $5 is not null
     then order_kept($2, $4, $5, $6, $7, $8) end as kept from call_reanalyze($1, $2, $3, $9)";

/// Orders to a call. Each completes its Idempotency-Key in the statement that acts: where its answer is lost, both
/// were done or neither. One whose key was taken over by another request acts no more and breaks [`ORDER_KEY_HELD`].
impl Store {
    /// Ends the work on the owner's call. `None`: no such call.
    pub async fn call_cancel(
        &self,
        owner: &Owner,
        id: CallId,
        key: Option<&OrderKey>,
    ) -> Result<Option<Ordered>, StoreError> {
        let row: Option<OrderedRow> = self.row(order(CANCEL, owner, id, key)).await?;
        Ok(row.map(|r| Ordered { status: r.status, done: r.done }))
    }

    /// Begins a new run of the owner's call in the backfill lane; `force`: everything is bought again. Gives the
    /// status. `None`: no such call.
    pub async fn call_reset(
        &self,
        owner: &Owner,
        id: CallId,
        force: bool,
        key: Option<&OrderKey>,
    ) -> Result<Option<String>, StoreError> {
        let row: Option<OrderedRow> = self.row(order(RESET, owner, id, key).bind(force)).await?;
        Ok(row.map(|r| r.status))
    }

    /// Analyses the owner's call again from its stored transcript. `None`: no such call.
    pub async fn call_reanalyze(
        &self,
        owner: &Owner,
        id: CallId,
        key: Option<&OrderKey>,
    ) -> Result<Option<Reanalysis>, StoreError> {
        let statement = order(REANALYZE, owner, id, key).bind(ANNOUNCE_AGAIN);
        let Some(row) = self.row::<ReanalysisRow>(statement).await? else { return Ok(None) };
        if !row.ready {
            return Ok(Some(Reanalysis::NotReady { status: row.status }));
        }
        let place = (StageKind::Analysis, word(&row.lane)?, owner.tenant_id.clone());
        Ok(Some(Reanalysis::Begun(next_hint(id, row.run_no, place))))
    }
}

impl Store {
    /// The log of the owner's call after line `after`, oldest first.
    pub async fn call_events(
        &self,
        owner: &Owner,
        id: CallId,
        after: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let sql = "select e.id, e.stage, e.status::text, e.provider, e.duration_ms, e.error_code, e.run_no, e.created_at
             from call_records c join call_processing_events e on e.call_id = c.id
             where c.tenant_id = $1 and c.user_id = $2 and c.id = $3 and e.id > $4 order by e.id limit 1000";
        let statement = Statement::new(sql).bind(&owner.tenant_id).bind(owner.user_id).bind(id).bind(after);
        self.rows(statement).await
    }

    /// Calls that are stuck, of all tenants, the longest first.
    pub async fn calls_stuck(&self, most: i64) -> Result<Vec<StuckCall>, StoreError> {
        let sql = "select id, status, stage, reason, since, advice from stuck_calls order by since limit $1";
        self.rows(Statement::new(sql).bind(most)).await
    }

    /// Fails calls that have been stuck for `age`; gives their number. One that has results keeps them.
    pub async fn calls_sweep_stale(&self, age: Duration, batch: i32) -> Result<usize, StoreError> {
        let sql = "select calls_sweep_stale($1, $2) as n";
        let row: Option<CountRow> = self.row(Statement::new(sql).bind(age).bind(batch)).await?;
        Ok(row.and_then(|r| usize::try_from(r.n).ok()).unwrap_or_default())
    }
}
