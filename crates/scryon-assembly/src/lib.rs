//! Assembly: words and turns become a speaker-labelled transcript. The work itself is pure (scryon-domain).
//!
//! A crate of its own, because whichever worker makes the last of its inputs goes on with it at once.

use std::time::Instant;

use async_trait::async_trait;
use scryon_blobs::DocumentName;
use scryon_config::Config;
use scryon_domain::assembly::{AssemblyInput, VoiceMatch, assemble};
use scryon_domain::failure::FailureCode;
use scryon_domain::ids::CallId;
use scryon_domain::raw::{Diarization, RawTranscript};
use scryon_domain::stage::StageKind;
use scryon_domain::transcript::{NORMALIZATION_VERSION, SpeakerRole, Transcript};
use scryon_runtime::serve::slots;
use scryon_runtime::switches::{FLAG_ANALYSIS, FLAG_VOICE, Switches};
use scryon_runtime::{Stage, StageContext, StageDone, StageError, StageErrorKind, completed};
use scryon_store::{JobIntent, StageOutput};
use serde_json::json;
use tokio::sync::Semaphore;
use tracing::info;

/// Words and segments of a call that is assembled in about a millisecond.
const SHORT: usize = 500;

/// Calls whose documents are in memory at once. More than this may wait for a statement of theirs.
const IN_MEMORY: usize = 32;

/// The stage.
#[derive(Debug)]
pub struct Assembly {
    channel_roles: Vec<SpeakerRole>,
    analysis_enabled: bool,
    switches: Switches,
    /// Thresholds of a voice match, high and medium; absent while voice profiles are off.
    voice: Option<(f64, f64)>,
    slots: usize,
    in_memory: Semaphore,
}

impl Assembly {
    /// Reads what it needs to know.
    pub fn new(config: &Config, switches: Switches) -> Self {
        Self {
            channel_roles: config.engines.channel_roles.0.clone(),
            analysis_enabled: config.engines.analysis_enabled,
            switches,
            voice: config
                .voice
                .enabled
                .then_some((config.voice.high_threshold.0, config.voice.medium_threshold.0)),
            slots: slots(config.workers.assembly_slots.0, false, 1000),
            in_memory: Semaphore::new(IN_MEMORY),
        }
    }

    async fn document<T: serde::de::DeserializeOwned>(
        &self,
        cx: &StageContext<'_>,
        stage: StageKind,
    ) -> Result<T, StageError> {
        let key = cx.input(stage)?.result_ref.as_deref().ok_or_else(|| {
            StageError::new(
                StageErrorKind::Suspect(FailureCode::AssemblyFailed),
                "input_missing",
                format!("{stage} recorded no document"),
            )
        })?;
        cx.read(key).await
    }
}

/// A long call takes its time on a thread of its own; handing a short one over costs more than it takes.
async fn assembled(input: AssemblyInput) -> Result<Transcript, StageError> {
    if input.raw.words.len() + input.raw.segments.len() <= SHORT {
        return Ok(assemble(&input));
    }
    tokio::task::spawn_blocking(move || assemble(&input)).await.map_err(|e| {
        StageError::new(
            StageErrorKind::Suspect(FailureCode::AssemblyFailed),
            "assembly_panicked",
            e.to_string(),
        )
    })
}

/// Counts what a comparison with a voice profile has found, and says so in the log: the score and nothing else.
fn count_voice_match(cx: &StageContext<'_>, transcript: &Transcript) {
    let outcome = match transcript.speaker_resolution.voice_match_status.as_str() {
        "MATCHED" => "matched",
        "NO_MATCH" => "no_match",
        "AMBIGUOUS" => "ambiguous",
        _ => return,
    };
    cx.deps.metrics.voice_match_outcome.with_label_values(&[outcome]).inc();
    let score = transcript.speakers.iter().find_map(|speaker| speaker.voice_match_score);
    info!(event = "VOICE_MATCH_COMPLETED", outcome, score, "compared with the voice profile");
}

#[async_trait]
impl Stage for Assembly {
    fn kind(&self) -> StageKind {
        StageKind::Assembly
    }

    fn slots(&self) -> usize {
        self.slots
    }

    fn is_light(&self) -> bool {
        true
    }

    fn intent(&self, _call_id: CallId, _run_no: i32) -> Option<JobIntent> {
        None
    }

    async fn run(&self, cx: &StageContext<'_>) -> Result<StageDone, StageError> {
        let started = Instant::now();
        // Never closed. Without a permit there would be no bound, and no other harm.
        let in_memory = self.in_memory.acquire().await.ok();
        let (raw, diarization) = tokio::join!(
            self.document::<RawTranscript>(cx, StageKind::Transcription),
            self.document::<Diarization>(cx, StageKind::Diarization)
        );
        let diarization = diarization?;
        let input = AssemblyInput {
            call_id: cx.lease.call_id,
            // An input, so that the same call gives the same bytes in every run.
            created_at: cx.lease.call.created_at,
            raw: raw?,
            voice_match: match self.voice.filter(|_| !self.switches.now().is_off(FLAG_VOICE)) {
                Some((high, medium)) => VoiceMatch::of(&diarization, high, medium),
                None => VoiceMatch::Disabled,
            },
            diarization,
            facts: cx.lease.call.parties.clone(),
            channel_roles: self.channel_roles.clone(),
        };
        let assembling = Instant::now();
        let transcript = assembled(input).await?;
        count_voice_match(cx, &transcript);
        cx.deps.metrics.normalization_duration.observe(assembling.elapsed().as_secs_f64());
        let object = cx.write(DocumentName::Normalized, &transcript).await?;
        drop(in_memory);
        let output = StageOutput {
            engine: Some(format!("assembly-{NORMALIZATION_VERSION}")),
            object: Some(object),
            details: Some(json!({
                "normalizationVersion": NORMALIZATION_VERSION,
                "speakers": transcript.speakers.len(),
                "segments": transcript.segments.len(),
                "resolved": transcript.speaker_resolution.resolved_speaker_count,
                "warnings": transcript.speaker_resolution.warnings,
                "qualityWarnings": transcript.pipeline.quality_warnings,
            })),
            events: vec![
                completed("TRANSCRIPT_ALIGNED", None, started),
                completed("TRANSCRIPT_NORMALIZED", None, started),
                completed("SPEAKER_REFINED", None, started),
            ],
            ..StageOutput::default()
        };
        let analysis_enabled = self.analysis_enabled && !self.switches.now().is_off(FLAG_ANALYSIS);
        Ok(StageDone::Assembly { output, analysis_enabled })
    }
}
