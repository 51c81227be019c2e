//! Finish: a stage's output becomes part of its call. One transaction in one round trip, fenced by run,
//! token and status. It locks the call row first: that serialises parallel stages on their join, and is
//! the order (call, then stage) in which everybody locks.

use std::sync::LazyLock;

use scryon_domain::analysis::{ActionItemDraft, Priority, SentimentSummary};
use scryon_domain::hint::Hint;
use scryon_domain::ids::{CallId, HintId, JobId, LeaseToken};
use scryon_domain::stage::StageKind;
use scryon_domain::status::SkipReason;
use serde::Serialize;
use serde_json::{Value, json};

use crate::claim::{ANNOUNCE_AGAIN, LEASE, next_hint};
use crate::db::{Bind, Statement, Store, StoreError};
use crate::lease::{
    JOB_COLUMN, JobIntent, LEASE_JOINS, Lease, LeaseRow, OUTPUT_JSON, job_ctes, lease_columns,
};

/// The output of a stage, as its row keeps it.
#[derive(Debug, Clone, Default)]
pub struct StageOutput {
    pub engine: Option<String>,
    pub params_hash: Option<Vec<u8>>,
    /// The object that was written, with its artifact type, size and hash.
    pub object: Option<OutputObject>,
    /// What later stages and the API show: never text of the call.
    pub details: Option<Value>,
    pub skipped: Option<SkipReason>,
    /// Length of the recording in seconds, once a stage knows it.
    pub duration_seconds: Option<f64>,
    pub events: Vec<StageEvent>,
    /// The purchase this output answers.
    pub job: Option<JobSettlement>,
}

/// A stored output.
#[derive(Debug, Clone)]
pub struct OutputObject {
    pub key: String,
    pub artifact_type: &'static str,
    pub bytes: i64,
    pub sha256: Vec<u8>,
}

/// A line of the call's processing log.
#[derive(Debug, Clone, Serialize)]
pub struct StageEvent {
    pub stage: &'static str,
    pub status: &'static str,
    pub provider: Option<String>,
    pub duration_ms: i64,
    pub error_code: Option<String>,
}

/// What a provider charged for an answer.
#[derive(Debug, Clone)]
pub struct JobSettlement {
    pub id: JobId,
    /// For example seconds of audio, or tokens.
    pub units: Option<f64>,
    pub unit: Option<&'static str>,
    pub billed_cost: Option<f64>,
}

/// The wish to go on with the next stage in this worker, without a message and a claim in between.
#[derive(Debug, Clone)]
pub struct Continuation {
    pub stage: StageKind,
    pub owner: String,
    pub hint_id: HintId,
    /// The purchase of a paid stage.
    pub intent: Option<JobIntent>,
}

/// What a Finish did.
#[derive(Debug, Default)]
pub struct Finished {
    /// The stage this worker goes on with, where it asked for one that became ready.
    pub continued: Option<Box<Lease>>,
    /// Stages that wait for a worker: to be announced, then the delivery is acknowledged.
    pub announce: Vec<Hint>,
}

/// What readers of a completed analysis get besides the document.
#[derive(Debug, Clone, Default)]
pub struct AnalysisEffects {
    pub suggested_title: Option<String>,
    pub short_summary: Option<String>,
    pub tags: Vec<String>,
    pub actions: Vec<ActionItemDraft>,
    pub sentiment: Option<SentimentSummary>,
}

/// Placeholders: 1 call, 2 run, 3 expected status, 4 stage, 5 token, 6 state, 7 skip reason, 8 engine,
/// 9 params hash, 10 result key, 11 artifact type, 12 bytes, 13 sha256, 14 details, 15 bit, 16 duration,
/// 17 events, 18 job, 19 units, 20 unit, 21 billed cost, 22 announce again after (s).
fn head(call_update: &str) -> String {
    format!(
        "with l as materialized (
             select id, run_no from call_records where id = $1 and run_no = $2 and status = $3 for no key update
         ), s as (
             update call_stages i set state = $6, skip_reason = $7, outcomes = i.outcomes + 1, finished_at = now(),
                 lease_until = null, engine = $8, params_hash = $9, result_ref = $10, artifact_type = $11, bytes = $12,
                 sha256 = $13, details = $14, error_code = null, error_message = null
             from l where i.call_id = $1 and i.run_no = $2 and i.stage = $4 and i.lease_token = $5 and i.state = 'RUNNING'
             returning i.*
         ), settled as (
             -- Not fenced: an answer that was paid for is kept even when the run that asked for it is over.
             update provider_jobs set state = 'succeeded', result_ref = $10, result_bytes = $12, result_sha256 = $13,
                 units = $19, unit = $20, billed_cost = $21::float8::numeric, lease_until = null, finished_at = now()
             where id = $18 and state <> 'succeeded'
         ), c as (
             update call_records r set stages_done = r.stages_done | $15, updated_at = now(),
                 duration_seconds = coalesce($16, r.duration_seconds){call_update}
             from s where r.id = $1
             returning r.*
         ), noted as (
             insert into call_processing_events (call_id, tenant_id, user_id, run_no, stage, status, provider, duration_ms, error_code)
             select c.id, c.tenant_id, c.user_id, c.run_no, e.stage, e.status, e.provider, e.duration_ms, e.error_code
             from c cross join jsonb_to_recordset($17) as e(stage text, status text, provider text, duration_ms bigint, error_code text)
         )"
    )
}

/// The stages and their needs as SQL values, from the one place that defines them.
fn graph() -> String {
    StageKind::ALL.map(|s| format!("('{s}', {}, {})", s.bit(), s.needs())).join(", ")
}

/// Inserts the stages that became ready, idempotently. With `take`, the stage named by placeholder
/// `first` is held by this worker at once: token, owner, lease seconds and hint id follow it.
fn next_stages(take: Option<usize>) -> String {
    let taken = |value: &str| match take {
        Some(first) => format!("case when g.stage = ${first} then {value} end"),
        None => "null".to_owned(),
    };
    let slot = |n: usize| format!("${}", take.unwrap_or(0) + n);
    let is_taken =
        take.map_or_else(|| "false".to_owned(), |first| format!("coalesce(g.stage = ${first}, false)"));
    format!(
        ", t as (
             insert into call_stages (call_id, run_no, stage, tenant_id, state, starts, publish_due, publish_n, lease_token,
                 lease_owner, lease_until, hint_id, started_at)
             select c.id, c.run_no, g.stage, c.tenant_id, case when {is_taken} then 'RUNNING' else 'PENDING' end,
                 case when {is_taken} then 1 else 0 end,
                 case when {is_taken} then null else now() + $22 * interval '1 second' end,
                 case when {is_taken} then 0 else 1 end,
                 {token}, {owner}, {until}, {hint}, {started}
             from c join (values {graph}) g (stage, bit, needs) on c.stages_done & g.needs = g.needs and c.stages_done & g.bit = 0
             on conflict do nothing
             returning *
         )",
        token = taken(&format!("{}::uuid", slot(1))),
        owner = taken(&slot(2)),
        until = taken(&format!("now() + {} * interval '1 second'", slot(3))),
        hint = taken(&format!("{}::uuid", slot(4))),
        started = taken("now()"),
        graph = graph(),
    )
}

/// Makes the outputs of this run the artifacts that readers see, where `condition` holds, and lets the
/// objects they replace go an hour later, when no reader can be in the middle of one any more.
fn publish_artifacts(condition: &str) -> String {
    format!(
        ", outputs as materialized (
             select s.artifact_type, s.result_ref, s.bytes from s where s.result_ref is not null
             union all
             select o.artifact_type, o.result_ref, o.bytes from call_stages o cross join s
             where o.call_id = $1 and o.run_no = $2 and o.stage <> s.stage and o.result_ref is not null and o.state in ('SUCCEEDED', 'SKIPPED')
         ), replaced as (
             insert into storage_tombstones (target, due_at)
             select a.storage_key, now() + interval '1 hour' from c join call_artifacts a on a.call_id = $1
             join outputs o on o.artifact_type = a.artifact_type and o.result_ref <> a.storage_key where {condition}
         ), published as (
             insert into call_artifacts (call_id, artifact_type, storage_key, content_type, byte_size, run_no)
             select c.id, o.artifact_type, o.result_ref,
                 case o.artifact_type when 'PREPARED_AUDIO' then 'audio/wav' else 'application/json' end, o.bytes, c.run_no
             from c cross join outputs o
             where {condition}
             on conflict (call_id, artifact_type) do update set storage_key = excluded.storage_key,
                 content_type = excluded.content_type, byte_size = excluded.byte_size, run_no = excluded.run_no, created_at = now()
         )"
    )
}

const COUNT_COMPLETED: &str = ", counted as (
     insert into call_count_deltas (kind, seconds)
     select 'completed', extract(epoch from now() - c.created_at) from c where c.status = 'COMPLETED' and c.lane = 'live'
     union all select 'completed', null from c where c.status = 'COMPLETED' and c.lane <> 'live')";

/// Preprocessing, transcription, diarization; announces what comes next.
static FINISH: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}{} select {} from c left join t on true {LEASE_JOINS}",
        head(""),
        next_stages(None),
        lease_columns("", "null::jsonb")
    )
});

fn own_output() -> String {
    format!("|| (select jsonb_build_object(i.stage, {OUTPUT_JSON}) from s i)")
}

/// The same, going on with a stage of this worker (23 stage, 24 token, 25 owner, 26 lease, 27 hint).
static FINISH_AND_GO_ON: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}{} select {} from c left join t on true {LEASE_JOINS}",
        head(""),
        next_stages(Some(23)),
        lease_columns(&own_output(), "null::jsonb")
    )
});

/// The same, where the next stage is paid (purchase from placeholder 28).
static FINISH_AND_BUY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}{}{} select {} from c left join t on true {LEASE_JOINS}",
        head(""),
        next_stages(Some(23)),
        job_ctes(28, 23),
        lease_columns(&own_output(), JOB_COLUMN)
    )
});

/// Assembly (23: whether analysis is enabled). The transcript becomes readable here when none was.
static FINISH_ASSEMBLY: LazyLock<String> = LazyLock::new(|| {
    let update = ", status = case when $23 then 'ANALYZING' else 'COMPLETED' end,
        finished_at = case when $23 then null else now() end,
        completed_run = case when $23 then r.completed_run else r.run_no end";
    let bits =
        head(update).replace("r.stages_done | $15", "r.stages_done | $15 | case when $23 then 0 else 16 end");
    let visible =
        "(c.status = 'COMPLETED' or not exists (select 1 from call_artifacts v where v.call_id = $1
        and v.artifact_type = 'NORMALIZED_TRANSCRIPT_JSON'))";
    format!(
        "{bits}{next}, disabled as (
             insert into call_stages (call_id, run_no, stage, tenant_id, state, skip_reason, finished_at)
             select c.id, c.run_no, 'analysis', c.tenant_id, 'SKIPPED', 'disabled', now() from c where c.status = 'COMPLETED'
             on conflict do nothing
         ){artifacts}{COUNT_COMPLETED}
         select {columns} from c left join t on true {LEASE_JOINS}",
        next = next_stages(None),
        artifacts = publish_artifacts(visible),
        columns = lease_columns("", "null::jsonb"),
    )
});

/// Analysis: completes the run (23 title, 24 summary, 25 tags, 26 action items, 27 sentiment).
static FINISH_ANALYSIS: LazyLock<String> = LazyLock::new(|| {
    let update = ", status = 'COMPLETED', finished_at = now(), completed_run = r.run_no,
        title = case when r.title is null or r.title_source = 'ANALYSIS' then coalesce($23, r.title) else r.title end,
        title_source = case when r.title is null or r.title_source = 'ANALYSIS' then
            case when coalesce($23, r.title) is not null then 'ANALYSIS' end else r.title_source end,
        short_summary = case when r.summary_source = 'USER' then r.short_summary else coalesce($24, r.short_summary) end,
        summary_source = case when r.summary_source = 'USER' then 'USER' when coalesce($24, r.short_summary) is not null then 'ANALYSIS' end,
        tags = case when $6 = 'SUCCEEDED' then $25 else r.tags end";
    format!(
        "{head}{artifacts}, gone as (
             delete from action_items a using c where a.call_record_id = $1 and a.source = 'AI' and a.touched_at is null
               and $6 = 'SUCCEEDED' and not a.identity in (select d->>'identity' from jsonb_array_elements($26) d)
         ), items as (
             insert into action_items (call_record_id, tenant_id, user_id, title, description, due_date, priority, source,
                 owner_speaker_id, owner_speaker_label, owner_display_name, owner_role, source_segment_ids_json, source_text,
                 intent, intent_metadata_json, identity)
             select c.id, c.tenant_id, c.user_id, d.title, d.description, d.due_date, d.priority, 'AI', d.owner_speaker_id,
                 d.owner_speaker_label, d.owner_display_name, d.owner_role, d.source_segment_ids, d.source_text, d.intent,
                 d.intent_metadata, d.identity
             from c cross join jsonb_to_recordset($26) as d(title text, description text, due_date date, priority text,
                 owner_speaker_id text, owner_speaker_label text, owner_display_name text, owner_role text,
                 source_segment_ids jsonb, source_text text, intent text, intent_metadata jsonb, identity text)
             on conflict (call_record_id, identity) do update set title = excluded.title, description = excluded.description,
                 due_date = excluded.due_date, priority = excluded.priority, owner_speaker_id = excluded.owner_speaker_id,
                 owner_speaker_label = excluded.owner_speaker_label, owner_display_name = excluded.owner_display_name,
                 owner_role = excluded.owner_role, source_segment_ids_json = excluded.source_segment_ids_json,
                 source_text = excluded.source_text, intent = excluded.intent,
                 intent_metadata_json = excluded.intent_metadata_json, updated_at = now()
             where action_items.touched_at is null
         ), mood as (
             insert into call_sentiment_summary (call_record_id, tenant_id, user_id, recorded_at, sentiment_overall, user_sentiment,
                 contact_sentiment, tone_overall, tone_formality, tone_energy, tone_pace)
             select c.id, c.tenant_id, c.user_id, coalesce(c.recorded_at, c.created_at), $27->>'sentimentOverall',
                 $27->>'userSentiment', $27->>'contactSentiment', $27->>'toneOverall', $27->>'toneFormality',
                 $27->>'toneEnergy', $27->>'tonePace'
             from c where $27 is not null
             on conflict (call_record_id) do update set recorded_at = excluded.recorded_at,
                 sentiment_overall = excluded.sentiment_overall, user_sentiment = excluded.user_sentiment,
                 contact_sentiment = excluded.contact_sentiment, tone_overall = excluded.tone_overall,
                 tone_formality = excluded.tone_formality, tone_energy = excluded.tone_energy, tone_pace = excluded.tone_pace
         ){COUNT_COMPLETED}
         select {columns} from c left join call_stages t on false {LEASE_JOINS}",
        head = head(update),
        artifacts = publish_artifacts("true"),
        columns = lease_columns("", "null::jsonb"),
    )
});

impl Store {
    /// Finishes preprocessing, transcription or diarization. `None` means the fence held: the call was
    /// reset, cancelled, deleted or taken over, and nothing of this run was written.
    pub async fn stage_finish(
        &self,
        lease: &Lease,
        output: &StageOutput,
        go_on: Option<&Continuation>,
    ) -> Result<Option<Finished>, StoreError> {
        let sql: &'static str = match go_on {
            None => &FINISH,
            Some(Continuation { intent: None, .. }) => &FINISH_AND_GO_ON,
            Some(Continuation { intent: Some(_), .. }) => &FINISH_AND_BUY,
        };
        let mut statement = finish_binds(sql, lease, output);
        if let Some(go_on) = go_on {
            statement = statement
                .bind(go_on.stage.as_str())
                .bind(LeaseToken::fresh())
                .bind(go_on.owner.as_str())
                .bind(LEASE)
                .bind(go_on.hint_id);
            if let Some(intent) = &go_on.intent {
                statement = intent.bind_to(statement, &go_on.owner);
            }
        }
        finished(lease.call_id, lease.run_no, self.rows::<LeaseRow>(statement).await?)
    }

    /// Finishes assembly: the transcript exists from here on, whatever happens to the analysis.
    pub async fn assembly_finish(
        &self,
        lease: &Lease,
        output: &StageOutput,
        analysis_enabled: bool,
    ) -> Result<Option<Finished>, StoreError> {
        let statement = finish_binds(&FINISH_ASSEMBLY, lease, output).bind(analysis_enabled);
        finished(lease.call_id, lease.run_no, self.rows::<LeaseRow>(statement).await?)
    }

    /// Finishes analysis and with it the run: all artifacts of the run become current together.
    pub async fn analysis_finish(
        &self,
        lease: &Lease,
        output: &StageOutput,
        effects: &AnalysisEffects,
    ) -> Result<Option<Finished>, StoreError> {
        let statement = finish_binds(&FINISH_ANALYSIS, lease, output)
            .bind(effects.suggested_title.as_deref())
            .bind(effects.short_summary.as_deref())
            .bind(Bind::Texts(effects.tags.clone()))
            .bind(Value::Array(effects.actions.iter().map(action_json).collect()))
            .bind(Bind::Json(effects.sentiment.as_ref().map(sentiment_json)));
        finished(lease.call_id, lease.run_no, self.rows::<LeaseRow>(statement).await?)
    }
}

fn finish_binds(sql: &'static str, lease: &Lease, output: &StageOutput) -> Statement {
    let object = output.object.as_ref();
    let job = output.job.as_ref();
    Statement::new(sql)
        .bind(lease.call_id)
        .bind(lease.run_no)
        .bind(lease.stage.call_status().as_str())
        .bind(lease.stage.as_str())
        .bind(lease.token)
        .bind(if output.skipped.is_some() { "SKIPPED" } else { "SUCCEEDED" })
        .bind(output.skipped.map(SkipReason::as_str))
        .bind(output.engine.as_deref())
        .bind(output.params_hash.clone())
        .bind(object.map(|o| o.key.as_str()))
        .bind(object.map(|o| o.artifact_type))
        .bind(object.map(|o| o.bytes))
        .bind(object.map(|o| o.sha256.clone()))
        .bind(output.details.clone())
        .bind(lease.stage.bit())
        .bind(output.duration_seconds)
        .bind(to_json(&output.events))
        .bind(job.map(|j| j.id))
        .bind(job.and_then(|j| j.units))
        .bind(job.and_then(|j| j.unit))
        .bind(job.and_then(|j| j.billed_cost))
        .bind(ANNOUNCE_AGAIN)
}

fn to_json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// One element of the action items parameter: keys are the columns of `action_items`.
fn action_json(item: &ActionItemDraft) -> Value {
    json!({
        "title": item.title,
        "description": item.description,
        "due_date": item.due_date,
        "priority": item.priority.map(Priority::as_upper),
        "owner_speaker_id": item.owner_speaker_id,
        "owner_speaker_label": item.owner_speaker_label,
        "owner_display_name": item.owner_display_name,
        "owner_role": item.owner_role,
        "source_segment_ids": item.source_segment_ids,
        "source_text": item.source_text,
        "intent": item.intent,
        "intent_metadata": item.intent_metadata,
        "identity": item.identity,
    })
}

fn sentiment_json(mood: &SentimentSummary) -> Value {
    json!({
        "sentimentOverall": mood.sentiment_overall,
        "userSentiment": mood.user_sentiment,
        "contactSentiment": mood.contact_sentiment,
        "toneOverall": mood.tone_overall,
        "toneFormality": mood.tone_formality,
        "toneEnergy": mood.tone_energy,
        "tonePace": mood.tone_pace,
    })
}

/// Rows of a Finish: none when the fence held, else one per stage that became ready (or one blank).
fn finished(call_id: CallId, run_no: i32, rows: Vec<LeaseRow>) -> Result<Option<Finished>, StoreError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let mut done = Finished::default();
    for row in rows {
        if row.is_held() {
            done.continued = Some(Box::new(row.into_lease()?));
        } else if let Some(next) = row.pending_stage() {
            done.announce.push(next_hint(call_id, run_no, next?));
        }
    }
    Ok(Some(done))
}
