//! New runs for many calls: what it would take, and doing it in batches.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Double, Timestamptz};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::db::{Bind, Statement, Store, StoreError};

/// Which calls. Every part that is set narrows the choice; calls under way are never among them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CallFilter {
    pub tenant: Option<String>,
    /// A user's id, external id or e-mail address.
    pub user: Option<String>,
    /// Created at or after this.
    pub since: Option<DateTime<Utc>>,
    /// COMPLETED, FAILED or CANCELLED.
    pub status: Option<String>,
    /// Whose transcript was made by an older NORMALIZATION_VERSION than this.
    pub normalization_below: Option<i32>,
}

impl CallFilter {
    /// Whether it chooses every call there is.
    pub const fn is_empty(&self) -> bool {
        self.tenant.is_none()
            && self.user.is_none()
            && self.since.is_none()
            && self.status.is_none()
            && self.normalization_below.is_none()
    }
}

/// What new runs would take. Costs are US dollars, as the calls were billed the last time.
#[derive(Debug, Clone, PartialEq, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    #[diesel(sql_type = BigInt)]
    pub calls: i64,
    /// Whose recording is there.
    #[diesel(sql_type = BigInt)]
    pub with_audio: i64,
    /// Without a recording; the transcript is made again from what was heard.
    #[diesel(sql_type = BigInt)]
    pub rebuilt: i64,
    /// Without a recording and without what was heard: they keep what they have.
    #[diesel(sql_type = BigInt)]
    pub kept: i64,
    /// Without anything: they fail with `temp_audio_expired`.
    #[diesel(sql_type = BigInt)]
    pub lost: i64,
    #[diesel(sql_type = Double)]
    pub audio_minutes: f64,
    /// Transcription and diarization; spent again only where everything is bought anew.
    #[diesel(sql_type = Double)]
    pub speech_cost: f64,
    /// Analysis, which always runs again.
    #[diesel(sql_type = Double)]
    pub analysis_cost: f64,
}

/// How workers follow in the backfill lane.
#[derive(Debug, Clone, PartialEq, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct Backfill {
    /// Calls whose run was begun and has not ended.
    #[diesel(sql_type = BigInt)]
    pub under_way: i64,
    /// Median seconds of the runs that were completed in the last three seconds, from their first stage's row to the
    /// end; `None` where none was.
    #[diesel(sql_type = diesel::sql_types::Nullable<Double>)]
    pub took: Option<f64>,
    /// So many runs were that.
    #[diesel(sql_type = BigInt)]
    pub ended: i64,
    /// Seconds between the quarter of them that was quickest and the one that was slowest.
    #[diesel(sql_type = diesel::sql_types::Nullable<Double>)]
    pub spread: Option<f64>,
}

/// A call of a list, and where the next one begins.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct ChosenCall {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

const CHOSEN: &str = "c.status in ('COMPLETED', 'FAILED', 'CANCELLED') and ($1::text is null or c.tenant_id = $1)
     and ($2::text is null or c.user_id in (select u.id from users u where u.id::text = $2 or u.external_user_id = $2 or u.email = $2))
     and ($3::timestamptz is null or c.created_at >= $3) and ($4::text is null or c.status = $4)
     and ($5::int is null or exists (select 1 from call_stages s where s.call_id = c.id and s.run_no = c.completed_run
         and s.stage = 'assembly' and s.engine like 'assembly-%' and substr(s.engine, 10)::int < $5))";

static PLAN: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!(
        "with chosen as (select c.id, c.completed_run, c.duration_seconds from call_records c where {CHOSEN}),
         told as (
             select c.*, exists (select 1 from call_artifacts a where a.call_id = c.id and a.artifact_type = 'TEMP_AUDIO') as audio,
                 (select count(*) from call_artifacts a where a.call_id = c.id
                    and a.artifact_type in ('RAW_TRANSCRIPT_JSON', 'DIARIZATION_JSON')) = 2 as heard
             from chosen c),
         paid as (
             select j.stage = 'analysis' as analysis, coalesce(sum(j.billed_cost), 0)::float8 / greatest(count(distinct j.run_no), 1) as cost
             from chosen c join provider_jobs j on j.call_id = c.id and j.state = 'succeeded' group by c.id, j.stage = 'analysis')
         select count(*) as calls, count(*) filter (where audio) as with_audio,
             count(*) filter (where not audio and heard) as rebuilt,
             count(*) filter (where not audio and not heard and completed_run > 0) as kept,
             count(*) filter (where not audio and not heard and completed_run = 0) as lost,
             coalesce(sum(duration_seconds), 0)::float8 / 60 as audio_minutes,
             coalesce((select sum(cost) from paid where not analysis), 0)::float8 as speech_cost,
             coalesce((select sum(cost) from paid where analysis), 0)::float8 as analysis_cost
         from told"
    )
});

static NEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!(
        "select c.id, c.created_at from call_records c where {CHOSEN}
           and ($6::timestamptz is null or (c.created_at, c.id) < ($6, $7))
         order by c.created_at desc, c.id desc limit $8"
    )
});

const BACKFILL: &str = "with ended as (
         select extract(epoch from c.finished_at - s.begun)::float8 as took
         from call_records c, lateral (select min(created_at) as begun from call_stages where call_id = c.id and run_no = c.run_no) s
         where c.finished_at > now() - interval '3 seconds' and c.lane = 'backfill' and c.status = 'COMPLETED'
     ), quarters as (
         select count(*) as n, percentile_cont(array[0.25, 0.5, 0.75]) within group (order by took) as q from ended)
     select (select count(*) from call_records where lane = 'backfill' and status in ('QUEUED', 'TRANSCRIBING', 'ANALYZING')) as under_way,
         q[2] as took, n as ended, q[3] - q[1] as spread
     from quarters";

/// Each is a reset as an operator types it. A call that was reset or went on meanwhile is left alone.
const RESET: &str = "with chosen as (
         select id from call_records where id = any($1) and status in ('COMPLETED', 'FAILED', 'CANCELLED')
         order by id for no key update skip locked)
     update call_records r set status = 'QUEUED', force_paid = $2 from chosen where r.id = chosen.id
     returning r.id, r.created_at";

/// Analysis alone, from the stored transcript, as its owner orders it.
const REANALYZE: &str = "with chosen as (
         select id, tenant_id, user_id, created_at from call_records where id = any($1) and status in ('COMPLETED', 'FAILED')
         order by id for no key update skip locked)
     select chosen.id, chosen.created_at from chosen, lateral call_reanalyze(tenant_id, user_id, id, 0) r where r.ready";

impl Store {
    /// Analyses the chosen calls again, in the backfill lane; gives how many. The dispatcher announces them.
    pub async fn reanalyze_begin(&self, calls: &[ChosenCall]) -> Result<usize, StoreError> {
        let ids = Bind::Uuids(calls.iter().map(|c| c.id).collect());
        let begun: Vec<ChosenCall> = self.rows(Statement::new(REANALYZE).bind(ids)).await?;
        Ok(begun.len())
    }

    /// What new runs of the chosen calls would take.
    pub async fn reprocess_plan(&self, filter: &CallFilter) -> Result<Plan, StoreError> {
        let plan: Option<Plan> = self.row(chosen(&PLAN, filter)).await?;
        plan.ok_or_else(|| StoreError::row("no plan"))
    }

    /// How workers follow in the backfill lane.
    pub async fn backfill(&self) -> Result<Backfill, StoreError> {
        let seen: Option<Backfill> = self.row(Statement::new(BACKFILL)).await?;
        seen.ok_or_else(|| StoreError::row("no count"))
    }

    /// The chosen calls after `last`, newest first, so that what people look at comes first.
    pub async fn reprocess_next(
        &self,
        filter: &CallFilter,
        last: Option<&ChosenCall>,
        batch: i64,
    ) -> Result<Vec<ChosenCall>, StoreError> {
        let statement = chosen(&NEXT, filter)
            .bind(Bind::Time(last.map(|l| l.created_at)))
            .bind(Bind::Uuid(last.map(|l| l.id)))
            .bind(batch);
        self.rows(statement).await
    }

    /// Begins new runs in the backfill lane; gives how many.
    pub async fn reprocess_begin(&self, calls: &[ChosenCall], force: bool) -> Result<usize, StoreError> {
        let ids = Bind::Uuids(calls.iter().map(|c| c.id).collect());
        let begun: Vec<ChosenCall> = self.rows(Statement::new(RESET).bind(ids).bind(force)).await?;
        Ok(begun.len())
    }
}

fn chosen(sql: &str, filter: &CallFilter) -> Statement {
    Statement::of_text(sql.into())
        .bind(filter.tenant.as_deref())
        .bind(filter.user.as_deref())
        .bind(Bind::Time(filter.since))
        .bind(filter.status.as_deref())
        .bind(Bind::Int(filter.normalization_below))
}
