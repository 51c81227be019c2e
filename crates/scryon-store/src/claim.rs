//! Start and claim: how a worker comes to hold a stage. One statement each, shared with others under load.

use std::time::Duration;

use diesel::sql_types::{Integer, Jsonb, Nullable, Text};
use scryon_domain::hint::{HINT_VERSION, Hint, HintReason};
use scryon_domain::ids::{CallId, HintId, LeaseToken, TenantId};
use scryon_domain::stage::{Lane, StageKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::batch::Step;
use crate::db::{Statement, Store, StoreError};
use crate::finish::{Advanced, Continuation, GoOnStep, advanced};
use crate::lease::{ClaimStep, Fence, JobIntent, Lease, LeaseRow, json_error, word};

/// How long a lease lives without a heartbeat.
pub const LEASE: Duration = Duration::from_secs(45);
/// A process whose last beat is older than this, and whose delivery came back, is dead.
pub const OWNER_SILENCE: Duration = Duration::from_secs(3);
/// How long an announcement is trusted before the dispatcher repeats it (doubling from here).
pub const ANNOUNCE_AGAIN: Duration = Duration::from_secs(5);

/// Who asks for a lease, and on which delivery.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Host, process id and boot uuid.
    pub owner: String,
    /// The delivery that woke this worker.
    pub hint_id: HintId,
    /// The broker delivered it before, or a claim for it had no answer: it may hold something.
    pub redelivered: bool,
    /// The queue it came by.
    pub lane: Lane,
    /// Of what is claimed. A claim that is repeated under it because its answer was lost gives what it took.
    pub token: LeaseToken,
}

/// How a worker wants to begin a run.
#[derive(Debug, Default)]
pub struct Beginning {
    /// It works on assembly, where the run begins when the recording is gone.
    pub assembles: bool,
    /// Preprocessing is switched off: where the recording is known well enough, the run begins behind it.
    pub unprepared: bool,
    /// The stage it would go on with there.
    pub go_on: Option<Continuation>,
}

/// Why a claim gave nothing, and what to do with the delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum Unclaimed {
    /// The call is gone, or its run is over or superseded: drop the hint.
    Superseded,
    /// Somebody else holds the stage, or it is not due: drop the hint, rows will announce it.
    NotDue,
    /// The stage is done. Stages after it that wait for a worker are returned to be announced again, which
    /// heals a crash between commit and publish.
    Done(Vec<Hint>),
}

const START: Step = "runs_start";
const CLAIM: Step = "stages_claim";

/// The composite type `start_step`.
#[derive(Serialize)]
struct StartStep<'a> {
    call_id: CallId,
    token: LeaseToken,
    owner: &'a str,
    lease: f64,
    hint: HintId,
    again: f64,
    assembles: bool,
    unprepared: bool,
    /// From here on as in a Finish of preprocessing.
    stage: &'static str,
    bit: i32,
    to_analyse: bool,
    #[serde(flatten)]
    go_on: Option<GoOnStep<'a>>,
}

/// A start hint came back, or a stage that was claimed in passing: find what this delivery holds. What took three
/// workers down is left to the sweeper, and what an operator has ended to nobody.
const STAGE_OF_HINT: &str = "select s.run_no, s.stage from call_records c join call_stages s on s.call_id = $1 and s.run_no = c.run_no
     where c.id = $1 and s.state = 'RUNNING' and s.hint_id = $2 and pause_after_deaths(s.starts - s.outcomes) is null
       and c.status = case s.stage when 'analysis' then 'ANALYZING' else 'TRANSCRIBING' end";

const WHY_NOT: &str = "select s.state,
         (select jsonb_agg(jsonb_build_object('stage', n.stage, 'lane', c.lane, 'tenant', c.tenant_id)) from call_stages n
          where n.call_id = $1 and n.run_no = $2 and n.state = 'PENDING'
            and (n.not_before is null or n.not_before <= now())) as pending
     from call_records c join call_stages s on s.call_id = $1 and s.run_no = $2 and s.stage = $3
     where c.id = $1 and c.run_no = $2 and c.status in ('TRANSCRIBING', 'ANALYZING')";

/// What waits for a worker in the current run.
const PENDING: &str = "select n.run_no, n.stage, c.lane, c.tenant_id from call_records c
     join call_stages n on n.call_id = $1 and n.run_no = c.run_no
     where c.id = $1 and n.state = 'PENDING' and (n.not_before is null or n.not_before <= now())";

#[derive(diesel::QueryableByName)]
struct PendingRow {
    #[diesel(sql_type = Integer)]
    run_no: i32,
    #[diesel(sql_type = Text)]
    stage: String,
    #[diesel(sql_type = Text)]
    lane: String,
    #[diesel(sql_type = Text)]
    tenant_id: String,
}

#[derive(diesel::QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = Integer)]
    run_no: i32,
    #[diesel(sql_type = Text)]
    stage: String,
}

#[derive(diesel::QueryableByName)]
struct WhyNotRow {
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pending: Option<Value>,
}

#[derive(Deserialize)]
struct PendingStage {
    stage: String,
    lane: String,
    tenant: String,
}

impl Store {
    /// Takes a call out of QUEUED: the only way out, a compare-and-set that raises `run_no`. With its audio
    /// gone, a call whose raw transcript and diarization are kept begins at assembly; one that has results
    /// returns to COMPLETED with them; any other fails with `temp_audio_expired`.
    /// `None`: the call is not QUEUED (or not there), which means a duplicate hint.
    pub async fn run_start(
        &self,
        call_id: CallId,
        claimant: &Claimant,
        beginning: &Beginning,
    ) -> Result<Option<Advanced>, StoreError> {
        let step = StartStep {
            call_id,
            token: claimant.token,
            owner: &claimant.owner,
            lease: LEASE.as_secs_f64(),
            hint: claimant.hint_id,
            again: ANNOUNCE_AGAIN.as_secs_f64(),
            assembles: beginning.assembles,
            unprepared: beginning.unprepared,
            stage: StageKind::Preprocessing.as_str(),
            bit: StageKind::Preprocessing.bit(),
            to_analyse: true,
            go_on: beginning.go_on.as_ref().map(Continuation::step),
        };
        advanced(self.steps.rows(START, (call_id.0, claimant.lane), &step).await?)
    }

    /// Claims one stage of one run. For a paid engine the purchase is recorded in the same statement.
    pub async fn stage_claim(
        &self,
        call_id: CallId,
        run_no: i32,
        stage: StageKind,
        claimant: &Claimant,
        intent: Option<&JobIntent>,
    ) -> Result<Option<Lease>, StoreError> {
        let step = ClaimStep {
            fence: Fence::new(call_id, run_no, stage, claimant.token),
            owner: &claimant.owner,
            lease: LEASE.as_secs_f64(),
            hint: Some(claimant.hint_id),
            redelivered: claimant.redelivered,
            silence: OWNER_SILENCE.as_secs_f64(),
            intent: intent.map(JobIntent::step),
        };
        let rows = self.steps.rows(CLAIM, (call_id.0, claimant.lane), &step).await?;
        rows.into_iter().next().map(LeaseRow::into_lease).transpose()
    }

    /// Stages of the current run that wait for a worker, to be announced again: what a start hint was carried
    /// into may have ended before its announcement did.
    pub async fn stages_pending(&self, call_id: CallId) -> Result<Vec<Hint>, StoreError> {
        let rows: Vec<PendingRow> = self.rows(Statement::new(PENDING).bind(call_id)).await?;
        rows.into_iter()
            .map(|r| {
                Ok(next_hint(call_id, r.run_no, (word(&r.stage)?, word(&r.lane)?, TenantId(r.tenant_id))))
            })
            .collect()
    }

    /// The stage that a redelivered message's first life had claimed, if it still holds one.
    pub async fn stage_of_hint(
        &self,
        call_id: CallId,
        hint_id: HintId,
    ) -> Result<Option<(i32, StageKind)>, StoreError> {
        let row: Option<HeldRow> =
            self.row(Statement::new(STAGE_OF_HINT).bind(call_id).bind(hint_id)).await?;
        row.map(|r| Ok((r.run_no, word(&r.stage)?))).transpose()
    }

    /// Why [`Store::stage_claim`] gave nothing.
    pub async fn stage_why_not(
        &self,
        call_id: CallId,
        run_no: i32,
        stage: StageKind,
    ) -> Result<Unclaimed, StoreError> {
        let row: Option<WhyNotRow> =
            self.row(Statement::new(WHY_NOT).bind(call_id).bind(run_no).bind(stage.as_str())).await?;
        let Some(row) = row else { return Ok(Unclaimed::Superseded) };
        Ok(match row.state.as_str() {
            "SUCCEEDED" | "SKIPPED" => {
                let pending: Vec<PendingStage> = row
                    .pending
                    .map(serde_json::from_value)
                    .transpose()
                    .map_err(json_error)?
                    .unwrap_or_default();
                Unclaimed::Done(
                    pending
                        .into_iter()
                        .map(|p| {
                            Ok(next_hint(
                                call_id,
                                run_no,
                                (word(&p.stage)?, word(&p.lane)?, TenantId(p.tenant)),
                            ))
                        })
                        .collect::<Result<_, StoreError>>()?,
                )
            }
            "SUPERSEDED" | "FAILED" => Unclaimed::Superseded,
            _ => Unclaimed::NotDue,
        })
    }
}

/// The hint for a stage that a statement left PENDING.
pub(crate) fn next_hint(
    call_id: CallId,
    run_no: i32,
    (stage, lane, tenant_id): (StageKind, Lane, TenantId),
) -> Hint {
    Hint {
        v: HINT_VERSION,
        call_id,
        tenant_id,
        run_no: Some(run_no),
        stage,
        lane,
        reason: HintReason::Next,
        epoch: 0,
    }
}
