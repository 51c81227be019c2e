//! The ways an attempt ends without a result: try again, wait, give back, fail. All fenced like Finish.

use std::time::Duration;

use diesel::sql_types::{Text, Timestamptz};
use scryon_domain::hint::{Hint, HintReason};
use scryon_domain::ids::JobId;
use scryon_domain::stage::StageKind;
use serde_json::Value;

use crate::claim::{ANNOUNCE_AGAIN, next_hint};
use crate::db::{Statement, Store, StoreError};
use crate::finish::StageEvent;
use crate::lease::{Lease, word};

/// What an attempt that gave no result leaves behind.
#[derive(Debug, Clone)]
pub struct Setback {
    /// Nobody claims the stage before this has passed.
    pub delay: Duration,
    /// Whether it counts against the attempts. Waiting for a provider or an outage is free.
    pub counts: bool,
    /// Stored as WAITING: the stage awaits something outside and is polled, not retried.
    pub waiting: bool,
    pub error_code: Option<String>,
    pub event: Option<StageEvent>,
    pub job: Option<JobEnd>,
}

/// How a purchase ended that gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobEnd {
    pub id: JobId,
    pub state: JobEndState,
}

/// The two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEndState {
    /// The provider said no, or never saw it: nothing was bought.
    Failed,
    /// Bytes were sent and no answer came: perhaps bought.
    Unknown,
}

impl JobEndState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

const SET_BACK: &str = "select * from stage_set_back($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// A run that fails leaves an earlier result in place: the call returns to COMPLETED with it.
const FAIL: &str = "select * from stage_fail($1, $2, $3, $4, $5, $6, $7, $8, $9)";

#[derive(diesel::QueryableByName)]
struct LaneRow {
    #[diesel(sql_type = Text)]
    lane: String,
    #[diesel(sql_type = Text)]
    tenant_id: String,
}

/// Whether a lease still stands, and what became of its stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenState {
    /// The statement did not take effect: repeat it.
    StillRunning,
    /// It did: the stage is over. Stages it made ready are returned to be announced.
    Over(Vec<Hint>),
    /// The token is no longer on any row.
    Gone,
}

#[derive(diesel::QueryableByName)]
struct TokenRow {
    #[diesel(sql_type = Text)]
    stage: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Text)]
    lane: String,
    #[diesel(sql_type = Text)]
    tenant_id: String,
    #[diesel(sql_type = diesel::sql_types::Bool)]
    own: bool,
}

const TOKEN_STATE: &str = "select n.stage, n.state, c.lane, c.tenant_id, n.stage = $3 as own
     from call_stages s join call_records c on c.id = s.call_id
     join call_stages n on n.call_id = s.call_id and n.run_no = s.run_no and (n.stage = s.stage or n.state = 'PENDING')
     where s.call_id = $1 and s.run_no = $2 and s.stage = $3 and s.lease_token = $4";

#[derive(diesel::QueryableByName)]
struct NowRow {
    #[diesel(sql_type = Timestamptz)]
    now: chrono::DateTime<chrono::Utc>,
}

impl Store {
    /// Puts the stage back to PENDING or WAITING. `None`: the fence held. With no delay the hint to
    /// announce is returned; else the dispatcher announces when the delay has passed.
    pub async fn stage_set_back(&self, lease: &Lease, setback: &Setback) -> Result<Option<Hint>, StoreError> {
        let statement =
            base(SET_BACK, lease, setback.event.as_ref(), setback.error_code.as_deref(), setback.job)
                .bind(if setback.waiting { "WAITING" } else { "PENDING" })
                .bind(i32::from(setback.counts))
                .bind(setback.delay)
                .bind(ANNOUNCE_AGAIN);
        let row: Option<LaneRow> = self.row(statement).await?;
        row.map(|row| {
            let tenant = scryon_domain::ids::TenantId(row.tenant_id);
            let mut hint = next_hint(lease.call_id, lease.run_no, (lease.stage, word(&row.lane)?, tenant));
            hint.reason = HintReason::Retry;
            Ok(hint)
        })
        .transpose()
    }

    /// Ends the run with `error_code`; true when this worker still had the right to say so.
    pub async fn stage_fail(
        &self,
        lease: &Lease,
        error_code: &str,
        event: Option<&StageEvent>,
        job: Option<JobEnd>,
    ) -> Result<bool, StoreError> {
        let row: Option<LaneRow> = self.row(base(FAIL, lease, event, Some(error_code), job)).await?;
        Ok(row.is_some())
    }

    /// After a statement whose answer was lost: did it take effect?
    pub async fn stage_token_state(&self, lease: &Lease) -> Result<TokenState, StoreError> {
        let rows: Vec<TokenRow> = self
            .rows(
                Statement::new(TOKEN_STATE)
                    .bind(lease.call_id)
                    .bind(lease.run_no)
                    .bind(lease.stage.as_str())
                    .bind(lease.token),
            )
            .await?;
        let Some(own) = rows.iter().find(|r| r.own) else { return Ok(TokenState::Gone) };
        if own.state == "RUNNING" {
            return Ok(TokenState::StillRunning);
        }
        let hints = rows
            .iter()
            .filter(|r| r.state == "PENDING")
            .map(|r| {
                let stage: StageKind = word(&r.stage)?;
                let tenant = scryon_domain::ids::TenantId(r.tenant_id.clone());
                Ok(next_hint(lease.call_id, lease.run_no, (stage, word(&r.lane)?, tenant)))
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(TokenState::Over(hints))
    }

    /// The database's clock, the only one leases are judged by.
    pub async fn now(&self) -> Result<chrono::DateTime<chrono::Utc>, StoreError> {
        let row: Option<NowRow> = self.row(Statement::new("select now() as now")).await?;
        row.map(|r| r.now).ok_or_else(|| StoreError::row("no clock"))
    }
}

/// Placeholders 1-9 of both statements.
fn base(
    sql: &'static str,
    lease: &Lease,
    event: Option<&StageEvent>,
    error_code: Option<&str>,
    job: Option<JobEnd>,
) -> Statement {
    let events: Vec<&StageEvent> = event.into_iter().collect();
    Statement::new(sql)
        .bind(lease.call_id)
        .bind(lease.run_no)
        .bind(lease.stage.call_status().as_str())
        .bind(lease.stage.as_str())
        .bind(lease.token)
        .bind(serde_json::to_value(events).unwrap_or(Value::Null))
        .bind(error_code)
        .bind(job.map(|j| j.id))
        .bind(job.map(|j| j.state.as_str()))
}
