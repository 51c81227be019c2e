//! Diarization: who spoke when. It never fails a call: without an engine's answer the speaker labels of
//! the transcription are used, and where there are none the call has one speaker.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use scryon_blobs::DocumentName;
use scryon_config::Config;
use scryon_domain::failure::FailureCode;
use scryon_domain::ids::CallId;
use scryon_domain::raw::{Diarization, DiarizationMethod, RAW_SCHEMA_VERSION, VoiceEvidence};
use scryon_domain::stage::StageKind;
use scryon_metrics::WorkerMetrics;
use scryon_providers::{
    Answer, CollectRequest, Collected, DiarizationAnswer, DiarizationEngine, DiarizationRequest, EngineInfo,
    HttpClient, ProviderError, diarization_engines,
};
use scryon_runtime::audio::StoredAudio;
use scryon_runtime::engines::{Asked, EngineEnd, EngineStage, Ticket, intent_of, is_over, run_engines};
use scryon_runtime::serve::{fills_cores, slots};
use scryon_runtime::switches::FLAG_VOICE;
use scryon_runtime::{ProgramError, Stage, StageContext, StageDone, StageError, StageErrorKind, completed};
use scryon_store::{JobIntent, StageEvent, StageOutput, SubmittedJob};
use serde_json::{Value, json};

use crate::voice::{CallVoice, Comparison, Voices, cause_of};

pub(crate) struct DiarizationStage {
    engines: Vec<Arc<dyn DiarizationEngine>>,
    /// Absent while voice profiles are off.
    voices: Option<Voices>,
    slots: usize,
    rebuy_max: f64,
    max_retries: i32,
}

/// Starts of a stage whose engine asks for one pause after the other.
const PATIENT_STARTS: i32 = 10;
const PYANNOTE: &str = "pyannote";
const PASSED: &str = "PYANNOTE_FAILED_FALLBACK";
const OVERDUE: &str = "provider_overdue";

/// A recording that is not there is no reason to believe that the engine cannot be asked.
fn recording(cx: &StageContext<'_>) -> std::io::Result<StoredAudio> {
    StoredAudio::of(cx).map_err(|e| std::io::Error::new(std::io::ErrorKind::NotFound, e.what))
}

impl DiarizationStage {
    pub(crate) fn new(config: &Config, http: &HttpClient) -> Result<Self, ProgramError> {
        let engines = diarization_engines(&config.engines, http).map_err(ProgramError::Setup)?;
        let fills_cores = fills_cores(engines.iter().map(|e| e.info()));
        Ok(Self {
            engines,
            voices: Voices::new(&config.voice),
            slots: slots(config.workers.diarization_slots.0, fills_cores, 600),
            rebuy_max: config.engines.ambiguous_rebuy_max.0,
            max_retries: i32::try_from(config.engines.diarization_max_retries.0).unwrap_or(i32::MAX),
        })
    }

    /// Unless an operator has switched voices off.
    fn voices_in_use(&self, cx: &StageContext<'_>) -> Option<&Voices> {
        self.voices.as_ref().filter(|_| !cx.deps.switches.now().is_off(FLAG_VOICE))
    }
}

/// The work on one call. Where its owner has a voice profile, the engine that compares with it comes before the
/// others, as an engine of its own: its purchases differ from plain ones, and what it cannot give they may.
struct Attempt<'a> {
    stage: &'a DiarizationStage,
    metrics: &'a WorkerMetrics,
    voice: CallVoice,
    /// Why the last engine was passed over.
    passed: Mutex<Option<&'static str>>,
}

impl Attempt<'_> {
    /// Engine number `index`, and the voice that it compares with.
    fn engine(&self, index: usize) -> (&dyn DiarizationEngine, Option<&Comparison>) {
        let engines = &self.stage.engines;
        match self.voice.comparison() {
            Some(comparison) if index == 0 => (engines[comparison.engine].as_ref(), Some(comparison)),
            Some(_) => (engines[index - 1].as_ref(), None),
            None => (engines[index].as_ref(), None),
        }
    }

    /// The plain job would be waited for as long again as the comparison was.
    fn is_late_twin(&self, index: usize) -> bool {
        let late = *self.passed.lock().unwrap_or_else(PoisonError::into_inner) == Some(OVERDUE);
        late && self.voice.comparison().is_some_and(|c| index == c.engine + 1)
    }

    /// An answer without a comparison says so where there is a voice.
    fn marked(&self, mut answer: Answer<Diarization>) -> Answer<Diarization> {
        if answer.content.voice.is_none() && self.voice.is_there() {
            answer.content.voice = Some(VoiceEvidence::unavailable());
        }
        answer
    }
}

#[async_trait]
impl EngineStage for Attempt<'_> {
    type Document = Diarization;

    fn engines(&self) -> Vec<&EngineInfo> {
        let plain = self.stage.engines.iter().map(|e| e.info());
        self.voice.comparison().map(|c| &c.info).into_iter().chain(plain).collect()
    }

    fn params_extra(&self, _call_id: CallId, _run_no: i32) -> String {
        String::new()
    }

    fn reusable(&self) -> bool {
        // A plain answer from before the profile is worth a comparison; the ledger still has it.
        !matches!(self.voice, CallVoice::Compare { prior_is_plain: true, .. })
    }

    async fn ask(
        &self,
        cx: &StageContext<'_>,
        index: usize,
        ticket: Option<Ticket>,
    ) -> Result<Asked<Diarization>, ProviderError> {
        let (engine, comparison) = self.engine(index);
        if self.is_late_twin(index) {
            return Err(ProviderError::Declined { engine: engine.info().name, reason: OVERDUE });
        }
        let audio = recording(cx)?;
        let request = DiarizationRequest {
            audio: &audio,
            direction: cx.lease.call.parties.direction,
            job: ticket.map(|t| t.job),
            voice: comparison.map(|c| &c.print),
        };
        let started = Instant::now();
        let answer = engine.diarize(request).await;
        if comparison.is_some() {
            self.metrics.voice_match_attempted.inc();
            self.metrics.voice_embedding_duration.observe(started.elapsed().as_secs_f64());
        }
        Ok(match answer? {
            DiarizationAnswer::Done(answer) => Asked::Answer(self.marked(*answer)),
            DiarizationAnswer::Submitted(submitted) => Asked::Submitted(submitted),
        })
    }

    async fn collect(
        &self,
        cx: &StageContext<'_>,
        index: usize,
        job: &SubmittedJob,
    ) -> Result<Asked<Diarization>, ProviderError> {
        let (engine, comparison) = self.engine(index);
        let audio = recording(cx)?;
        let request = CollectRequest { external_id: &job.external_id, callback: None, audio: &audio };
        let started = Instant::now();
        let found = engine.collect(request).await;
        if comparison.is_some() {
            self.metrics.voice_embedding_duration.observe(started.elapsed().as_secs_f64());
        }
        Ok(match found? {
            Collected::Done(answer) => Asked::Answer(self.marked(*answer)),
            Collected::Pending(look_in) => Asked::Pending(look_in),
        })
    }

    /// A transcript with fewer names for its speakers is better than none: no engine is waited for long.
    fn gives_way(&self, cx: &StageContext<'_>, error: &ProviderError) -> bool {
        let tired = cx.lease.tries >= self.stage.max_retries;
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.code());
        match error {
            ProviderError::Transient { .. } | ProviderError::Malformed { .. } => tired,
            ProviderError::Throttled { .. } | ProviderError::Paced { throttled: true, .. } => {
                cx.lease.starts >= PATIENT_STARTS
            }
            other => is_over(other),
        }
    }

    fn submitted_event(&self, index: usize) -> Option<&'static str> {
        match self.engine(index) {
            (_, Some(_)) => Some("VOICE_MATCH_STARTED"),
            (engine, None) => (engine.info().name == PYANNOTE).then_some("PYANNOTE_STARTED"),
        }
    }

    fn passed_event(&self, index: usize) -> Option<&'static str> {
        let (engine, comparison) = self.engine(index);
        if comparison.is_none() {
            return (engine.info().name == PYANNOTE).then_some(PASSED);
        }
        let code = *self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        self.metrics.voice_match_failed.with_label_values(&[cause_of(code.unwrap_or_default())]).inc();
        Some("VOICE_MATCH_FAILED")
    }

    fn details(&self, diarization: &Diarization) -> Value {
        details(diarization)
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
        self.stage.rebuy_max
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

    /// Which purchase is the first one is known with the claim, unless it depends on the voice of the owner.
    fn intent(&self, _call_id: CallId, _run_no: i32) -> Option<JobIntent> {
        if self.voices.is_some() { None } else { intent_of(self.engines.first()?.info(), "") }
    }

    async fn run(&self, cx: &StageContext<'_>) -> Result<StageDone, StageError> {
        let voice = match self.voices_in_use(cx) {
            Some(voices) => voices.of_call(cx, &self.engines).await?,
            None => CallVoice::None,
        };
        let metrics = &cx.deps.metrics;
        let attempt = Attempt { stage: self, metrics, voice, passed: Mutex::default() };
        Ok(match run_engines(&attempt, cx).await? {
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
        // Storage and Postgres come back, and throttling ends; the engine's answer is worth the wait, unless an
        // operator says that it is not.
        let throttled = matches!(error.code, "provider_throttled" | "provider_paced")
            && matches!(error.kind, StageErrorKind::Pause(_));
        if matches!(error.code, "storage_unavailable" | "audio_unavailable" | "store_failed")
            || (throttled && !error.hurried)
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
            voice: match self.voices_in_use(cx) {
                Some(voices) if voices.has_profile(cx).await => Some(VoiceEvidence::unavailable()),
                _ => None,
            },
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
            details: Some(details(&fallback)),
            events: passed.into_iter().chain([event]).collect(),
            ..StageOutput::default()
        }))
    }
}

fn details(diarization: &Diarization) -> Value {
    json!({
        "model": diarization.model,
        "method": diarization.method,
        "channels": diarization.channels,
        "turns": diarization.turns.len(),
        "voiceCompared": diarization.voice.as_ref().map(|v| v.compared),
        "fallbackReason": diarization.fallback_reason,
    })
}

/// Why an engine was passed over, in the closed set of the metric's label.
fn reason_of(code: &str) -> &'static str {
    match code {
        "no_engine" => "no_engine",
        "provider_unavailable" | "circuit_open" => "engine_unavailable",
        "provider_throttled" | "provider_paced" => "engine_throttled",
        "provider_overdue" => "engine_overdue",
        "audio_too_long" | "audio_too_large" => "audio_too_long",
        _ => "engine_failed",
    }
}
