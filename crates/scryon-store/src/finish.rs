//! Finish: a stage's output becomes part of its call. One transaction in one round trip, fenced by run,
//! token and status. It locks the call row first: that serialises parallel stages on their join, and is
//! the order (call, then stage) in which everybody locks.

use scryon_domain::analysis::{ActionItemDraft, Priority, SentimentSummary};
use scryon_domain::hint::Hint;
use scryon_domain::ids::{HintId, JobId, LeaseToken};
use scryon_domain::stage::StageKind;
use scryon_domain::status::SkipReason;
use serde::Serialize;
use serde_json::{Value, json};

use crate::batch::Step;
use crate::claim::{ANNOUNCE_AGAIN, LEASE};
use crate::db::{Store, StoreError};
use crate::lease::{Fence, JobIntent, Lease, LeaseRow, bytea};

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
    /// Of the stage that is gone on with.
    pub token: LeaseToken,
    /// The purchase of a paid stage.
    pub intent: Option<JobIntent>,
}

/// Where a Start or a Finish took a call.
#[derive(Debug, Default)]
pub struct Advanced {
    /// The stage this worker holds now, where it asked for one that became ready.
    pub held: Option<Box<Lease>>,
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

const FINISH: Step = "stages_finish";

/// The composite type `finish_step`. What a stage does not have is left out, which means null.
#[derive(Serialize)]
struct FinishStep<'a> {
    #[serde(flatten)]
    fence: Fence,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    skip: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<String>,
    #[serde(flatten)]
    object: Option<ObjectStep<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
    bit: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    events: &'a [StageEvent],
    #[serde(flatten)]
    job: Option<SettlementStep>,
    again: f64,
    #[serde(flatten)]
    go_on: Option<GoOnStep<'a>>,
    to_analyse: bool,
    #[serde(flatten)]
    effects: Option<EffectsStep<'a>>,
}

#[derive(Serialize)]
struct ObjectStep<'a> {
    #[serde(rename = "ref")]
    key: &'a str,
    artifact_type: &'static str,
    bytes: i64,
    sha256: String,
}

#[derive(Serialize)]
struct SettlementStep {
    j_id: JobId,
    j_units: Option<f64>,
    j_unit: Option<&'static str>,
    j_billed: Option<f64>,
}

#[derive(Serialize)]
pub(crate) struct GoOnStep<'a> {
    k_stage: &'static str,
    k_token: LeaseToken,
    k_owner: &'a str,
    k_lease: f64,
    k_hint: HintId,
    #[serde(flatten)]
    intent: Option<NextIntentStep<'a>>,
}

#[derive(Serialize)]
struct NextIntentStep<'a> {
    n_id: JobId,
    n_engine: &'a str,
    n_model: &'a str,
    n_params: String,
    n_cost: Option<f64>,
}

#[derive(Serialize)]
struct EffectsStep<'a> {
    title: Option<&'a str>,
    summary: Option<&'a str>,
    tags: &'a [String],
    items: Vec<Value>,
    mood: Option<Value>,
}

impl Store {
    /// Finishes preprocessing, transcription or diarization. `None` means the fence held: the call was
    /// reset, cancelled, deleted or taken over, and nothing of this run was written.
    pub async fn stage_finish(
        &self,
        lease: &Lease,
        output: &StageOutput,
        go_on: Option<&Continuation>,
    ) -> Result<Option<Advanced>, StoreError> {
        self.finish(lease, FinishStep { go_on: go_on.map(Continuation::step), ..step(lease, output) }).await
    }

    /// Finishes assembly: the transcript exists from here on, whatever happens to the analysis.
    pub async fn assembly_finish(
        &self,
        lease: &Lease,
        output: &StageOutput,
        analysis_enabled: bool,
    ) -> Result<Option<Advanced>, StoreError> {
        self.finish(lease, FinishStep { to_analyse: analysis_enabled, ..step(lease, output) }).await
    }

    /// Finishes analysis and with it the run: all artifacts of the run become current together.
    pub async fn analysis_finish(
        &self,
        lease: &Lease,
        output: &StageOutput,
        effects: &AnalysisEffects,
    ) -> Result<Option<Advanced>, StoreError> {
        let effects = EffectsStep {
            title: effects.suggested_title.as_deref(),
            summary: effects.short_summary.as_deref(),
            tags: &effects.tags,
            items: effects.actions.iter().map(action_json).collect(),
            mood: effects.sentiment.as_ref().map(sentiment_json),
        };
        self.finish(lease, FinishStep { effects: Some(effects), ..step(lease, output) }).await
    }

    async fn finish(&self, lease: &Lease, step: FinishStep<'_>) -> Result<Option<Advanced>, StoreError> {
        let rows = self.steps.rows(FINISH, lease.step_of(), &step).await?;
        advanced(rows)
    }
}

fn step<'a>(lease: &Lease, output: &'a StageOutput) -> FinishStep<'a> {
    FinishStep {
        fence: lease.fence(),
        state: if output.skipped.is_some() { "SKIPPED" } else { "SUCCEEDED" },
        skip: output.skipped.map(SkipReason::as_str),
        engine: output.engine.as_deref(),
        params: output.params_hash.as_deref().map(bytea),
        object: output.object.as_ref().map(|o| ObjectStep {
            key: &o.key,
            artifact_type: o.artifact_type,
            bytes: o.bytes,
            sha256: bytea(&o.sha256),
        }),
        details: output.details.as_ref(),
        bit: lease.stage.bit(),
        duration: output.duration_seconds,
        events: &output.events,
        job: output.job.as_ref().map(|j| SettlementStep {
            j_id: j.id,
            j_units: j.units,
            j_unit: j.unit,
            j_billed: j.billed_cost,
        }),
        again: ANNOUNCE_AGAIN.as_secs_f64(),
        go_on: None,
        // Only an assembly can be the last stage before an analysis that is switched off.
        to_analyse: true,
        effects: None,
    }
}

impl Continuation {
    pub(crate) fn step(&self) -> GoOnStep<'_> {
        GoOnStep {
            k_stage: self.stage.as_str(),
            k_token: self.token,
            k_owner: &self.owner,
            k_lease: LEASE.as_secs_f64(),
            k_hint: self.hint_id,
            intent: self.intent.as_ref().map(|i| NextIntentStep {
                n_id: i.id,
                n_engine: &i.engine,
                n_model: &i.model,
                n_params: bytea(&i.params_hash),
                n_cost: i.estimated_cost,
            }),
        }
    }
}

/// One element of `items`: keys are the columns of `action_items`.
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

/// Rows of a Start or a Finish: none when the fence held, else one per stage that became ready (or one blank).
pub(crate) fn advanced(rows: Vec<LeaseRow>) -> Result<Option<Advanced>, StoreError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let mut done = Advanced::default();
    for row in rows {
        if row.is_held() {
            done.held = Some(Box::new(row.into_lease()?));
        } else if let Some(hint) = row.hint() {
            done.announce.push(hint?);
        }
    }
    Ok(Some(done))
}
