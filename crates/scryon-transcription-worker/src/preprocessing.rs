//! Preprocessing: what the recording is, and its preparation for the engines. A failure of the tools is no
//! failure of the call: it goes on with the original.

use std::time::Instant;

use async_trait::async_trait;
use scryon_blobs::{BlobKey, LocalCopy};
use scryon_config::Config;
use scryon_domain::failure::FailureCode;
use scryon_domain::ids::CallId;
use scryon_domain::stage::StageKind;
use scryon_domain::status::SkipReason;
use scryon_providers::EngineInfo;
use scryon_providers::media::{AudioFacts, PrepareError, Prepared, Preparer, wav_facts};
use scryon_runtime::audio::{AudioDetails, expired};
use scryon_runtime::serve::slots;
use scryon_runtime::{Stage, StageContext, StageDone, StageError, StageErrorKind, completed};
use scryon_store::{AudioObject, JobIntent, OutputObject, StageOutput};
use tracing::warn;

const EVENT: &str = "AUDIO_PREPROCESSED";
/// Where a WAV's header ends at the latest.
const HEADER: u64 = 64 << 10;

pub(crate) struct Preprocessing {
    enabled: bool,
    preparer: Preparer,
    info: EngineInfo,
    slots: usize,
}

impl Preprocessing {
    pub(crate) fn new(config: &Config) -> Self {
        let preparer = Preparer::new(&config.audio);
        Self {
            enabled: config.audio.enabled,
            info: EngineInfo {
                name: "ffmpeg",
                model: "prepare-1".to_owned(),
                paid: false,
                idempotent: true,
                cpu_bound: true,
                variant: preparer.variant(),
                price_per_minute: None,
                settled_within: None,
            },
            preparer,
            slots: slots(config.workers.preprocessing_slots.0, config.audio.enabled, 1000),
        }
    }

    /// What the header says, without decoding.
    async fn look(
        &self,
        cx: &StageContext<'_>,
        audio: &AudioObject,
    ) -> Result<Option<AudioFacts>, StageError> {
        let key = BlobKey::stored(&audio.key);
        let head = cx.deps.blobs.head(&key, HEADER).await.map_err(gone)?;
        if let Some(facts) = wav_facts(&head, u64::try_from(audio.bytes).unwrap_or_default()) {
            return Ok(Some(facts));
        }
        let copy = cx.deps.blobs.local_copy(&key).await.map_err(gone)?;
        // Without ffprobe the length stays unknown; the engines find out.
        Ok(self.preparer.probe(copy.path()).await.ok().flatten())
    }

    /// The prepared recording of an earlier run, if it still lies there and was made the same way.
    async fn prepared_before(&self, cx: &StageContext<'_>) -> Result<Option<StageOutput>, StageError> {
        let Some(prior) = &cx.lease.prior else { return Ok(None) };
        let params = self.info.params_hash("");
        let (Some(key), Some(bytes)) = (&prior.result_ref, prior.bytes) else { return Ok(None) };
        let same = prior.params.as_deref() == Some(&hex::encode(&params));
        if !same || cx.deps.blobs.size(&BlobKey::stored(key)).await? != u64::try_from(bytes).ok() {
            return Ok(None);
        }
        Ok(Some(StageOutput {
            object: Some(prepared_object(key.clone(), bytes, Vec::new())),
            details: prior.details.clone(),
            skipped: Some(SkipReason::Reused),
            ..self.output(params)
        }))
    }

    async fn keep(
        &self,
        cx: &StageContext<'_>,
        prepared: Prepared,
        started: Instant,
    ) -> Result<StageOutput, StageError> {
        let written = cx.deps.blobs.put_file(&cx.keys.prepared(), prepared.file.path()).await?;
        let details = AudioDetails {
            duration_seconds: Some(prepared.duration_seconds),
            channels: Some(prepared.channels),
            codec: Some(prepared.original.codec),
            sample_rate: Some(prepared.original.sample_rate),
            prepared: true,
            fallback_reason: None,
        };
        Ok(StageOutput {
            object: Some(prepared_object(written.key, written.bytes, written.sha256)),
            duration_seconds: Some(prepared.duration_seconds),
            details: serde_json::to_value(details).ok(),
            events: vec![completed(EVENT, Some("ffmpeg"), started)],
            ..self.output(self.info.params_hash(""))
        })
    }

    /// Goes on with the original.
    async fn original(
        &self,
        cx: &StageContext<'_>,
        audio: &AudioObject,
        fallback_reason: Option<&'static str>,
        started: Instant,
    ) -> Result<StageOutput, StageError> {
        let facts = self.look(cx, audio).await?;
        let mut details = facts.map(AudioDetails::from).unwrap_or_default();
        details.fallback_reason = fallback_reason.map(str::to_owned);
        let mut event = completed(EVENT, None, started);
        event.error_code = fallback_reason.map(str::to_owned);
        Ok(StageOutput {
            duration_seconds: details.duration_seconds,
            details: serde_json::to_value(details).ok(),
            events: vec![event],
            ..StageOutput::default()
        })
    }

    fn output(&self, params_hash: Vec<u8>) -> StageOutput {
        StageOutput {
            engine: Some(self.info.name.to_owned()),
            params_hash: Some(params_hash),
            ..StageOutput::default()
        }
    }
}

#[async_trait]
impl Stage for Preprocessing {
    fn kind(&self) -> StageKind {
        StageKind::Preprocessing
    }

    fn slots(&self) -> usize {
        self.slots
    }

    fn is_light(&self) -> bool {
        !self.enabled
    }

    fn is_off(&self) -> bool {
        !self.enabled
    }

    fn intent(&self, _call_id: CallId, _run_no: i32) -> Option<JobIntent> {
        None
    }

    async fn run(&self, cx: &StageContext<'_>) -> Result<StageDone, StageError> {
        let started = Instant::now();
        let audio = cx.lease.call.audio.as_ref().ok_or_else(expired)?;
        if !self.enabled {
            return Ok(StageDone::Output(self.original(cx, audio, None, started).await?));
        }
        if let Some(output) = self.prepared_before(cx).await? {
            return Ok(StageDone::Output(output));
        }
        let copy: LocalCopy = cx.deps.blobs.local_copy(&BlobKey::stored(&audio.key)).await.map_err(gone)?;
        let output = match self.preparer.prepare(copy.path()).await {
            Ok(prepared) => self.keep(cx, prepared, started).await?,
            Err(PrepareError::Unreadable(what)) => {
                return Err(StageError::new(
                    StageErrorKind::Fail(FailureCode::AudioUnreadable),
                    "audio_unreadable",
                    what,
                ));
            }
            Err(error @ PrepareError::Poison(_)) => {
                let kind = StageErrorKind::Fail(FailureCode::Poison);
                return Err(StageError::new(kind, "poison", error.to_string()));
            }
            Err(PrepareError::Tool { reason, source }) => {
                warn!(
                    errorCode = reason,
                    "a recording was not prepared, going on with the original: {source}"
                );
                cx.deps.metrics.preprocessing_fallback.with_label_values(&[reason]).inc();
                self.original(cx, audio, Some(reason), started).await?
            }
            Err(PrepareError::Io(error)) => {
                return Err(StageError::new(
                    StageErrorKind::Retry,
                    "temporary_file_failed",
                    error.to_string(),
                ));
            }
        };
        cx.deps.metrics.preprocessing_duration.observe(started.elapsed().as_secs_f64());
        Ok(StageDone::Output(output))
    }
}

fn prepared_object(key: String, bytes: i64, sha256: Vec<u8>) -> OutputObject {
    OutputObject { key, artifact_type: "PREPARED_AUDIO", bytes, sha256 }
}

/// A recording that is not where its row says cannot be processed, now or later.
fn gone(error: scryon_blobs::BlobError) -> StageError {
    match error {
        scryon_blobs::BlobError::Missing { .. } => expired(),
        other => other.into(),
    }
}
