//! Transcription: speech becomes words with times.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use scryon_blobs::DocumentName;
use scryon_config::Config;
use scryon_domain::failure::FailureCode;
use scryon_domain::ids::CallId;
use scryon_domain::raw::RawTranscript;
use scryon_domain::stage::StageKind;
use scryon_providers::{
    CollectRequest, Collected, EngineInfo, HttpClient, ProviderError, TranscriptionAnswer,
    TranscriptionEngine, TranscriptionRequest, transcription_engines,
};
use scryon_runtime::audio::{StoredAudio, StoredPieces};
use scryon_runtime::engines::{Asked, EngineEnd, EngineStage, Ticket, intent_of, run_engines};
use scryon_runtime::serve::{fills_cores, slots};
use scryon_runtime::{ProgramError, Stage, StageContext, StageDone, StageError};
use scryon_store::{JobIntent, SubmittedJob};
use serde_json::{Value, json};

/// A delivery is never held over ten minutes: after this long a local engine hands back what it has.
const HOLD: Duration = Duration::from_secs(240);

pub(crate) struct Transcription {
    engines: Vec<Arc<dyn TranscriptionEngine>>,
    slots: usize,
    rebuy_max: f64,
}

impl Transcription {
    pub(crate) fn new(config: &Config, http: &HttpClient) -> Result<Self, ProgramError> {
        let engines = transcription_engines(&config.engines, http).map_err(ProgramError::Setup)?;
        let fills_cores = fills_cores(engines.iter().map(|e| e.info()));
        Ok(Self {
            engines,
            slots: slots(config.workers.transcription_slots.0, fills_cores, 600),
            rebuy_max: config.engines.ambiguous_rebuy_max.0,
        })
    }
}

fn recording(cx: &StageContext<'_>) -> std::io::Result<StoredAudio> {
    StoredAudio::of(cx).map_err(|e| std::io::Error::new(std::io::ErrorKind::NotFound, e.what))
}

#[async_trait]
impl EngineStage for Transcription {
    type Document = RawTranscript;

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
    ) -> Result<Asked<RawTranscript>, ProviderError> {
        let audio = recording(cx)?;
        let request = TranscriptionRequest {
            audio: &audio,
            pieces: &StoredPieces::of(cx),
            direction: cx.lease.call.parties.direction,
            call: cx.lease.call_id,
            run_no: cx.lease.run_no,
            epoch: cx.deps.epoch.get(),
            job: ticket.map(|t| t.job),
            answer_now: ticket.is_some_and(|t| t.answer_now),
            hold: HOLD,
        };
        Ok(match self.engines[index].transcribe(request).await? {
            TranscriptionAnswer::Done(answer) => Asked::Answer(*answer),
            TranscriptionAnswer::ToBeContinued => Asked::ToBeContinued,
            TranscriptionAnswer::Submitted(submitted) => Asked::Submitted(submitted),
        })
    }

    async fn collect(
        &self,
        cx: &StageContext<'_>,
        index: usize,
        job: &SubmittedJob,
    ) -> Result<Asked<RawTranscript>, ProviderError> {
        let audio = recording(cx)?;
        let engine = &self.engines[index];
        let callback = if engine.answers_by_callback() {
            cx.deps.store.callback_body(job.id).await.map_err(std::io::Error::other)?
        } else {
            None
        };
        let request = CollectRequest { external_id: &job.external_id, callback, audio: &audio };
        Ok(match engine.collect(request).await? {
            Collected::Done(answer) => Asked::Answer(*answer),
            Collected::Pending(look_in) => Asked::Pending(look_in),
        })
    }

    fn answers_by_callback(&self, index: usize) -> bool {
        self.engines[index].answers_by_callback()
    }

    fn submitted_event(&self, index: usize) -> Option<&'static str> {
        match self.engines[index].info().name {
            "lemonfox" => Some("LEMONFOX_SUBMITTED"),
            "deepgram" => Some("DEEPGRAM_SUBMITTED"),
            _ => None,
        }
    }

    fn details(&self, raw: &RawTranscript) -> Value {
        json!({
            "model": raw.model,
            "language": raw.language,
            "durationSeconds": raw.duration_seconds,
            "channels": raw.channels,
            "words": raw.words.len(),
            "segments": raw.segments.len(),
            "warnings": raw.warnings,
        })
    }

    fn document_name(&self) -> DocumentName {
        DocumentName::Raw
    }

    fn event(&self) -> &'static str {
        "TRANSCRIBED"
    }

    fn observe(&self, cx: &StageContext<'_>, engine: &str, seconds: f64) {
        cx.deps.metrics.transcription_duration.with_label_values(&[engine]).observe(seconds);
    }

    fn rejected(&self) -> FailureCode {
        FailureCode::TranscriptionRejected
    }

    fn malformed(&self) -> FailureCode {
        FailureCode::TranscriptionFailed
    }

    fn rebuy_max(&self) -> f64 {
        self.rebuy_max
    }
}

#[async_trait]
impl Stage for Transcription {
    fn kind(&self) -> StageKind {
        StageKind::Transcription
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
                let mut output = done.output;
                // What the engine measured wins over what a header claimed.
                output.duration_seconds = done.document.map(|raw| raw.duration_seconds).filter(|s| *s > 0.0);
                StageDone::Output(output)
            }
        })
    }
}
