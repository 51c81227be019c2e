//! Finish: a stage's output becomes part of its call. One transaction in one round trip, fenced by run,
//! token and status. It locks the call row first: that serialises parallel stages on their join, and is
//! the order (call, then stage) in which everybody locks.

use scryon_domain::analysis::{ActionItemDraft, Priority, SentimentSummary};
use scryon_domain::hint::Hint;
use scryon_domain::ids::{CallId, HintId, JobId, LeaseToken};
use scryon_domain::stage::StageKind;
use scryon_domain::status::SkipReason;
use serde::Serialize;
use serde_json::{Value, json};

use crate::batch::Step;
use crate::claim::{ANNOUNCE_AGAIN, LEASE, next_hint};
use crate::db::{Bind, Statement, Store, StoreError};
use crate::lease::{JobIntent, Lease, LeaseRow};

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

/// Preprocessing, transcription, diarization. Placeholders: 1 call, 2 run, 3 expected status, 4 stage, 5 token,
/// 6 state, 7 skip reason, 8 engine, 9 params hash, 10 result key, 11 artifact type, 12 bytes, 13 sha256,
/// 14 details, 15 bit, 16 duration, 17 events, 18 job, 19 units, 20 unit, 21 billed cost, 22 announce again
/// after (s).
const FINISH: Step = Step { name: "stage_finish", arguments: 22 };

/// The same, going on with a stage of this worker (23 stage, 24 token, 25 owner, 26 lease, 27 hint).
const FINISH_AND_GO_ON: Step = Step { name: "stage_finish", arguments: 27 };

/// The same, where the next stage is paid (purchase from placeholder 28).
const FINISH_AND_BUY: Step = Step { name: "stage_finish", arguments: 34 };

/// Assembly (23: whether analysis is enabled). The transcript becomes readable here when none was.
const FINISH_ASSEMBLY: Step = Step { name: "assembly_finish", arguments: 23 };

/// Analysis: completes the run (23 title, 24 summary, 25 tags, 26 action items, 27 sentiment).
const FINISH_ANALYSIS: Step = Step { name: "analysis_finish", arguments: 27 };

impl Store {
    /// Finishes preprocessing, transcription or diarization. `None` means the fence held: the call was
    /// reset, cancelled, deleted or taken over, and nothing of this run was written.
    pub async fn stage_finish(
        &self,
        lease: &Lease,
        output: &StageOutput,
        go_on: Option<&Continuation>,
    ) -> Result<Option<Finished>, StoreError> {
        let step = match go_on {
            None => FINISH,
            Some(Continuation { intent: None, .. }) => FINISH_AND_GO_ON,
            Some(Continuation { intent: Some(_), .. }) => FINISH_AND_BUY,
        };
        let mut statement = finish_binds(lease, output);
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
        self.finish(step, lease, statement).await
    }

    /// Finishes assembly: the transcript exists from here on, whatever happens to the analysis.
    pub async fn assembly_finish(
        &self,
        lease: &Lease,
        output: &StageOutput,
        analysis_enabled: bool,
    ) -> Result<Option<Finished>, StoreError> {
        let statement = finish_binds(lease, output).bind(analysis_enabled);
        self.finish(FINISH_ASSEMBLY, lease, statement).await
    }

    /// Finishes analysis and with it the run: all artifacts of the run become current together.
    pub async fn analysis_finish(
        &self,
        lease: &Lease,
        output: &StageOutput,
        effects: &AnalysisEffects,
    ) -> Result<Option<Finished>, StoreError> {
        let statement = finish_binds(lease, output)
            .bind(effects.suggested_title.as_deref())
            .bind(effects.short_summary.as_deref())
            .bind(Bind::Texts(effects.tags.clone()))
            .bind(Value::Array(effects.actions.iter().map(action_json).collect()))
            .bind(Bind::Json(effects.sentiment.as_ref().map(sentiment_json)));
        self.finish(FINISH_ANALYSIS, lease, statement).await
    }

    async fn finish(
        &self,
        step: Step,
        lease: &Lease,
        statement: Statement,
    ) -> Result<Option<Finished>, StoreError> {
        let rows = self.steps.rows(step, lease.call_id.0, statement).await?;
        finished(lease.call_id, lease.run_no, rows)
    }
}

fn finish_binds(lease: &Lease, output: &StageOutput) -> Statement {
    let object = output.object.as_ref();
    let job = output.job.as_ref();
    Statement::values()
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
