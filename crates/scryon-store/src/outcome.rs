//! The ways an attempt ends without a result: try again, wait, give back, fail. All fenced like Finish.

use std::time::Duration;

use diesel::sql_types::{Text, Timestamptz};
use scryon_domain::hint::{Hint, HintReason};
use scryon_domain::ids::JobId;
use scryon_domain::stage::StageKind;
use serde::Serialize;

use crate::batch::Step;
use crate::claim::{ANNOUNCE_AGAIN, next_hint};
use crate::db::{Statement, Store, StoreError};
use crate::finish::StageEvent;
use crate::lease::{Fence, Lease, word};

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

const SET_BACK: Step = "stages_set_back";

/// A run that fails leaves an earlier result in place: the call returns to COMPLETED with it.
const FAIL: Step = "stages_fail";

/// The composite type `set_back_step`.
#[derive(Serialize)]
struct SetBackStep<'a> {
    #[serde(flatten)]
    fence: Fence,
    events: Vec<&'a StageEvent>,
    code: Option<&'a str>,
    j_id: Option<JobId>,
    j_state: Option<&'static str>,
    state: &'static str,
    counts: i32,
    delay: f64,
    again: f64,
}

/// Whether a lease still stands, and what became of its stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenState {
    /// The statement did not take effect: repeat it.
    StillRunning,
    /// It did: the stage is over. Stages it made ready are returned to be announced.
    Over(Vec<Hint>),
    /// The stage was taken back, by the sweeper or by another worker, or its run is over.
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
        let step = SetBackStep {
            state: if setback.waiting { "WAITING" } else { "PENDING" },
            counts: i32::from(setback.counts),
            delay: setback.delay.as_secs_f64(),
            ..set_back(lease, setback.event.as_ref(), setback.error_code.as_deref(), setback.job)
        };
        let rows = self.steps.rows(SET_BACK, lease.step_of(), &step).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let mut hint = row.place()?;
        hint.reason = HintReason::Retry;
        Ok(Some(hint))
    }

    /// Ends the run with `error_code`; true when this worker still had the right to say so.
    pub async fn stage_fail(
        &self,
        lease: &Lease,
        error_code: &str,
        event: Option<&StageEvent>,
        job: Option<JobEnd>,
    ) -> Result<bool, StoreError> {
        let step = set_back(lease, event, Some(error_code), job);
        Ok(!self.steps.rows(FAIL, lease.step_of(), &step).await?.is_empty())
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
        match own.state.as_str() {
            "RUNNING" => return Ok(TokenState::StillRunning),
            "SUCCEEDED" | "SKIPPED" => {}
            _ => return Ok(TokenState::Gone),
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

fn set_back<'a>(
    lease: &Lease,
    event: Option<&'a StageEvent>,
    code: Option<&'a str>,
    job: Option<JobEnd>,
) -> SetBackStep<'a> {
    SetBackStep {
        fence: lease.fence(),
        events: event.into_iter().collect(),
        code,
        j_id: job.map(|j| j.id),
        j_state: job.map(|j| j.state.as_str()),
        state: "FAILED",
        counts: 1,
        delay: 0.0,
        again: ANNOUNCE_AGAIN.as_secs_f64(),
    }
}
