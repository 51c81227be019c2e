//! Analysis: a transcript becomes a document of schemaVersion 3, action items and a sentiment summary. What
//! an engine answers is validated against the schema, and what it cites that the transcript does not hold
//! is dropped, before anything is stored.

use std::sync::Arc;

use async_trait::async_trait;
use scryon_blobs::DocumentName;
use scryon_config::Config;
use scryon_domain::analysis::{Analysis, SentimentSummary, action_items, drop_ungrounded};
use scryon_domain::failure::FailureCode;
use scryon_domain::ids::CallId;
use scryon_domain::stage::StageKind;
use scryon_domain::status::SkipReason;
use scryon_domain::transcript::Transcript;
use scryon_providers::{
    AnalysisEngine, AnalysisRequest, Answer, EngineInfo, ProviderError, analysis_engines, analysis_problems,
};
use scryon_runtime::engines::{Asked, EngineEnd, EngineStage, Ticket, intent_of, leave_unasked, run_engines};
use scryon_runtime::serve::{WorkerKit, fills_cores, slots};
use scryon_runtime::switches::FLAG_ANALYSIS;
use scryon_runtime::{ProgramError, Stage, StageContext, StageDone, StageError, StageErrorKind, Switches};
use scryon_store::{AnalysisEffects, JobIntent, StageEvent, StageOutput};
use serde_json::{Value, json};
use tracing::debug;

pub(crate) struct AnalysisStage {
    engines: Vec<Arc<dyn AnalysisEngine>>,
    enabled: bool,
    switches: Switches,
    slots: usize,
    rebuy_max: f64,
}

impl AnalysisStage {
    pub(crate) fn new(config: &Config, kit: &WorkerKit) -> Result<Self, ProgramError> {
        let http = &kit.http;
        let engines = analysis_engines(&config.engines, http).map_err(ProgramError::Setup)?;
        let fills_cores = fills_cores(engines.iter().map(|e| e.info()));
        Ok(Self {
            engines,
            enabled: config.engines.analysis_enabled,
            switches: kit.deps.switches.clone(),
            slots: slots(config.workers.analysis_slots.0, fills_cores, 600),
            rebuy_max: config.engines.ambiguous_rebuy_max.0,
        })
    }

    /// By configuration, unless an operator has switched it off.
    fn is_enabled(&self) -> bool {
        self.enabled && !self.switches.now().is_off(FLAG_ANALYSIS)
    }

    async fn transcript(&self, cx: &StageContext<'_>) -> Result<Transcript, StageError> {
        let key = cx.input(StageKind::Assembly)?.result_ref.as_deref().ok_or_else(|| {
            StageError::new(
                StageErrorKind::Fail(FailureCode::ArtifactMissing),
                "input_missing",
                "there is no transcript",
            )
        })?;
        cx.read(key).await
    }
}

/// Validates, and drops what the transcript does not hold.
fn checked(
    engine: &'static str,
    document: Value,
    transcript: &Transcript,
) -> Result<Analysis, ProviderError> {
    let malformed = |message: String| ProviderError::Malformed { engine, message };
    let problems = analysis_problems(&document);
    if !problems.is_empty() {
        return Err(malformed(problems.join("; ")));
    }
    let mut analysis: Analysis = serde_json::from_value(document).map_err(|e| malformed(e.to_string()))?;
    let dropped = drop_ungrounded(&mut analysis, transcript);
    debug!(?dropped, "checked what the analysis cites");
    Ok(analysis)
}

/// What readers get besides the document.
fn effects(analysis: &Analysis, transcript: &Transcript) -> AnalysisEffects {
    AnalysisEffects {
        actions: action_items(analysis, transcript),
        sentiment: Some(SentimentSummary::of(analysis)),
        suggested_title: analysis.suggested_title.clone(),
        short_summary: analysis.one_line_summary.clone(),
        tags: analysis.tags.clone(),
    }
}

/// A transcript and the engine's question about it, which [`EngineStage::ask`] needs.
struct Asking<'a> {
    stage: &'a AnalysisStage,
    transcript: &'a Transcript,
}

#[async_trait]
impl EngineStage for Asking<'_> {
    type Document = Analysis;

    fn engines(&self) -> Vec<&EngineInfo> {
        self.stage.engines.iter().map(|e| e.info()).collect()
    }

    fn params_extra(&self, call_id: CallId, run_no: i32) -> String {
        run_params(call_id, run_no)
    }

    fn reusable(&self) -> bool {
        false
    }

    async fn ask(
        &self,
        cx: &StageContext<'_>,
        index: usize,
        ticket: Option<Ticket>,
    ) -> Result<Asked<Analysis>, ProviderError> {
        let engine = &self.stage.engines[index];
        let call = &cx.lease.call;
        let answer = engine
            .analyse(AnalysisRequest {
                transcript: self.transcript,
                recorded_at: call.recorded_at.or(Some(call.created_at)),
                title: call.title.as_deref(),
                contact_name: call.parties.contact_name.as_deref(),
                job: ticket.map(|t| t.job),
            })
            .await?;
        let Answer { content, units, unit, billed_cost } = answer;
        let content = checked(engine.info().name, content, self.transcript)?;
        Ok(Asked::Answer(Answer { content, units, unit, billed_cost }))
    }

    fn details(&self, analysis: &Analysis) -> Value {
        json!({
            "schemaVersion": analysis.schema_version,
            "callType": analysis.call_type,
            "actionItems": analysis.action_items.len(),
            "qualityWarnings": analysis.quality_warnings,
        })
    }

    fn document_name(&self) -> DocumentName {
        DocumentName::Analysis
    }

    fn event(&self) -> &'static str {
        "ANALYZED"
    }

    fn observe(&self, cx: &StageContext<'_>, engine: &str, seconds: f64) {
        cx.deps.metrics.analysis_duration.with_label_values(&[engine]).observe(seconds);
    }

    fn rejected(&self) -> FailureCode {
        FailureCode::AnalysisFailed
    }

    fn malformed(&self) -> FailureCode {
        FailureCode::AnalysisInvalid
    }

    fn rebuy_max(&self) -> f64 {
        self.stage.rebuy_max
    }
}

/// Analysis always reruns: its purchase is one per run, not one per recording.
fn run_params(call_id: CallId, run_no: i32) -> String {
    format!("{call_id} {run_no}")
}

#[async_trait]
impl Stage for AnalysisStage {
    fn kind(&self) -> StageKind {
        StageKind::Analysis
    }

    fn slots(&self) -> usize {
        self.slots
    }

    fn is_light(&self) -> bool {
        false
    }

    fn intent(&self, call_id: CallId, run_no: i32) -> Option<JobIntent> {
        if !self.is_enabled() {
            return None;
        }
        intent_of(self.engines.first()?.info(), &run_params(call_id, run_no))
    }

    async fn run(&self, cx: &StageContext<'_>) -> Result<StageDone, StageError> {
        if !self.is_enabled() {
            let infos: Vec<_> = self.engines.iter().map(|e| e.info()).collect();
            leave_unasked(cx, &infos, &run_params(cx.lease.call_id, cx.lease.run_no)).await?;
            let output = StageOutput { skipped: Some(SkipReason::Disabled), ..StageOutput::default() };
            return Ok(StageDone::Analysis { output, effects: Box::default() });
        }
        let transcript = self.transcript(cx).await?;
        let asking = Asking { stage: self, transcript: &transcript };
        let done = match run_engines(&asking, cx).await? {
            EngineEnd::Early(early) => return Ok(early),
            EngineEnd::Done(done) => done,
        };
        let mut output = done.output;
        let analysis = match (done.document, &output.object) {
            (Some(analysis), _) => analysis,
            (None, Some(object)) => cx.read(&object.key).await?,
            (None, None) => return Err(StageError::superseded()),
        };
        // An answer that was adopted is this run's own: it was bought for it.
        output.skipped = None;
        let effects = effects(&analysis, &transcript);
        output.events.push(StageEvent {
            stage: "ACTION_ITEMS_EXTRACTED",
            status: "COMPLETED",
            provider: output.engine.clone(),
            duration_ms: 0,
            error_code: None,
        });
        cx.deps.metrics.action_items.inc_by(effects.actions.len() as u64);
        Ok(StageDone::Analysis { output, effects: Box::new(effects) })
    }

    /// Where an operator says not to wait for a provider that asks for a pause, the call is done without its analysis.
    /// It is put back to work when the word is taken back.
    async fn last_resort(&self, _cx: &StageContext<'_>, error: &StageError) -> Option<StageDone> {
        error.hurried.then(|| {
            let left_out = StageEvent {
                stage: "ANALYZED",
                status: "SKIPPED",
                provider: error.engine.map(str::to_owned),
                duration_ms: 0,
                error_code: Some(SkipReason::ProviderThrottled.as_str().to_owned()),
            };
            let output = StageOutput {
                skipped: Some(SkipReason::ProviderThrottled),
                engine: error.engine.map(str::to_owned),
                events: vec![left_out],
                ..StageOutput::default()
            };
            StageDone::Analysis { output, effects: Box::default() }
        })
    }
}
