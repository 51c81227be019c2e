//! Diarization: who spoke when. It never fails a call: without an engine's answer the speaker labels of
//! the transcription are used, and where there are none the call has one speaker.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use scryon_blobs::DocumentName;
use scryon_config::Config;
use scryon_domain::failure::FailureCode;
use scryon_domain::ids::CallId;
use scryon_domain::raw::{Diarization, DiarizationMethod, RAW_SCHEMA_VERSION};
use scryon_domain::stage::StageKind;
use scryon_providers::{
    CollectRequest, Collected, DiarizationAnswer, DiarizationEngine, DiarizationRequest, EngineInfo,
    HttpClient, ProviderError, diarization_engines,
};
use scryon_runtime::audio::StoredAudio;
use scryon_runtime::engines::{Asked, EngineEnd, EngineStage, Ticket, intent_of, is_over, run_engines};
use scryon_runtime::serve::slots;
use scryon_runtime::{ProgramError, Stage, StageContext, StageDone, StageError, StageErrorKind, completed};
use scryon_store::{JobIntent, StageEvent, StageOutput, SubmittedJob};
use serde_json::{Value, json};

pub(crate) struct DiarizationStage {
    engines: Vec<Arc<dyn DiarizationEngine>>,
    slots: usize,
    rebuy_max: f64,
    max_retries: i32,
}

/// Starts of a stage whose engine asks for one pause after the other.
const PATIENT_STARTS: i32 = 10;
const PYANNOTE: &str = "pyannote";
const PASSED: &str = "PYANNOTE_FAILED_FALLBACK";

/// A recording that is not there is no reason to believe that the engine cannot be asked.
fn recording(cx: &StageContext<'_>) -> std::io::Result<StoredAudio> {
    StoredAudio::of(cx).map_err(|e| std::io::Error::new(std::io::ErrorKind::NotFound, e.what))
}

impl DiarizationStage {
    pub(crate) fn new(config: &Config, http: &HttpClient) -> Result<Self, ProgramError> {
        let engines = diarization_engines(&config.engines, http).map_err(ProgramError::Setup)?;
        let fills_cores = engines.iter().any(|e| e.info().cpu_bound);
        Ok(Self {
            engines,
            slots: slots(config.workers.diarization_slots.0, fills_cores, 600),
            rebuy_max: config.engines.ambiguous_rebuy_max.0,
            max_retries: i32::try_from(config.engines.diarization_max_retries.0).unwrap_or(i32::MAX),
        })
    }
}

#[async_trait]
impl EngineStage for DiarizationStage {
    type Document = Diarization;

    fn engines(&self) -> Vec<&EngineInfo> {
        self.engines.iter().map(|e| e.info()).collect()
    }

    fn params_extra(&self, _call_id: CallId, _run_no: i32) -> String {
        String::new()
    }

    fn reusable(&self) -> bool {
        true
    }

    async fn ask(
        &self,
        cx: &StageContext<'_>,
        index: usize,
        ticket: Option<Ticket>,
    ) -> Result<Asked<Diarization>, ProviderError> {
        let audio = recording(cx)?;
        let direction = cx.lease.call.parties.direction;
        let request = DiarizationRequest { audio: &audio, direction, job: ticket.map(|t| t.job) };
        Ok(match self.engines[index].diarize(request).await? {
            DiarizationAnswer::Done(answer) => Asked::Answer(*answer),
            DiarizationAnswer::Submitted(submitted) => Asked::Submitted(submitted),
        })
    }

    async fn collect(
        &self,
        cx: &StageContext<'_>,
        index: usize,
        job: &SubmittedJob,
    ) -> Result<Asked<Diarization>, ProviderError> {
        let audio = recording(cx)?;
        let request = CollectRequest { external_id: &job.external_id, callback: None, audio: &audio };
        Ok(match self.engines[index].collect(request).await? {
            Collected::Done(answer) => Asked::Answer(*answer),
            Collected::Pending(look_in) => Asked::Pending(look_in),
        })
    }

    /// A transcript with fewer names for its speakers is better than none: no engine is waited for long.
    fn gives_way(&self, cx: &StageContext<'_>, error: &ProviderError) -> bool {
        let tired = cx.lease.tries >= self.max_retries;
        match error {
            ProviderError::Transient { .. } | ProviderError::Malformed { .. } => tired,
            ProviderError::Throttled { .. } => cx.lease.starts >= PATIENT_STARTS,
            other => is_over(other),
        }
    }

    fn submitted_event(&self, engine: &str) -> Option<&'static str> {
        (engine == PYANNOTE).then_some("PYANNOTE_STARTED")
    }

    fn passed_event(&self, engine: &str) -> Option<&'static str> {
        (engine == PYANNOTE).then_some(PASSED)
    }

    fn details(&self, diarization: &Diarization) -> Value {
        json!({
            "model": diarization.model,
            "method": diarization.method,
            "channels": diarization.channels,
            "turns": diarization.turns.len(),
            "fallbackReason": diarization.fallback_reason,
        })
    }

    fn document_name(&self) -> DocumentName {
        DocumentName::Diarization
    }

    fn event(&self) -> &'static str {
        "DIARIZED"
    }

    fn observe(&self, cx: &StageContext<'_>, engine: &str, seconds: f64) {
        cx.deps.metrics.diarization_duration.with_label_values(&[engine]).observe(seconds);
    }

    fn rejected(&self) -> FailureCode {
        FailureCode::InternalError
    }

    fn malformed(&self) -> FailureCode {
        FailureCode::InternalError
    }

    fn rebuy_max(&self) -> f64 {
        self.rebuy_max
    }
}

#[async_trait]
impl Stage for DiarizationStage {
    fn kind(&self) -> StageKind {
        StageKind::Diarization
    }

    fn slots(&self) -> usize {
        self.slots
    }

    fn is_light(&self) -> bool {
        false
    }

    fn intent(&self, call_id: CallId, run_no: i32) -> Option<JobIntent> {
        intent_of(self.engines.first()?.info(), &self.params_extra(call_id, run_no))
    }

    async fn run(&self, cx: &StageContext<'_>) -> Result<StageDone, StageError> {
        Ok(match run_engines(self, cx).await? {
            EngineEnd::Early(early) => early,
            EngineEnd::Done(done) => {
                for event in done.output.events.iter().filter(|e| e.stage == PASSED) {
                    let reason = reason_of(event.error_code.as_deref().unwrap_or_default());
                    cx.deps.metrics.diarization_fallback.with_label_values(&[reason]).inc();
                }
                if let Some(reason) = done.document.and_then(|d| d.fallback_reason) {
                    cx.deps.metrics.diarization_fallback.with_label_values(&[reason.as_str()]).inc();
                }
                StageDone::Output(done.output)
            }
        })
    }

    async fn last_resort(&self, cx: &StageContext<'_>, error: &StageError) -> Option<StageDone> {
        let started = Instant::now();
        // Storage and Postgres come back, and throttling ends; the engine's answer is worth the wait.
        if matches!(error.code, "storage_unavailable" | "audio_unavailable" | "store_failed")
            || (error.code == "provider_throttled" && matches!(error.kind, StageErrorKind::Pause(_)))
        {
            return None;
        }
        let reason = reason_of(error.code);
        let fallback = Diarization {
            schema_version: RAW_SCHEMA_VERSION,
            engine: "transcript-labels".to_owned(),
            model: "none".to_owned(),
            method: DiarizationMethod::TranscriptLabels,
            channels: 1,
            turns: Vec::new(),
            exclusive_turns: None,
            fallback_reason: Some(reason.to_owned()),
            warnings: Vec::new(),
        };
        let object = cx.write(DocumentName::Diarization, &fallback).await.ok()?;
        cx.deps.metrics.diarization_fallback.with_label_values(&[reason]).inc();
        let mut event = completed("DIARIZED", Some("transcript-labels"), started);
        event.error_code = Some(error.code.to_owned());
        let passed = error.engine.filter(|engine| *engine == PYANNOTE).map(|engine| StageEvent {
            status: "FAILED",
            error_code: Some(error.code.to_owned()),
            ..completed(PASSED, Some(engine), started)
        });
        Some(StageDone::Output(StageOutput {
            engine: Some(fallback.engine.clone()),
            object: Some(object),
            details: Some(self.details(&fallback)),
            events: passed.into_iter().chain([event]).collect(),
            ..StageOutput::default()
        }))
    }
}

/// Why an engine was passed over, in the closed set of the metric's label.
fn reason_of(code: &str) -> &'static str {
    match code {
        "no_engine" => "no_engine",
        "provider_unavailable" | "circuit_open" => "engine_unavailable",
        "provider_throttled" => "engine_throttled",
        "provider_overdue" => "engine_overdue",
        "audio_too_long" | "audio_too_large" => "audio_too_long",
        _ => "engine_failed",
    }
}
