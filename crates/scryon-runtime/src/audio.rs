//! A stored recording as engines see it, and what preprocessing recorded about it.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use scryon_blobs::{BlobError, BlobKey, Blobs, CallKeys, LocalCopy};
use scryon_domain::failure::FailureCode;
use scryon_domain::stage::StageKind;
use scryon_providers::media::{AudioFacts, Encoder};
use scryon_providers::{Audio, AudioFile, Pieces};
use serde::{Deserialize, Serialize};

use crate::stage::{StageContext, StageError, StageErrorKind};

/// `details` of the preprocessing row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AudioDetails {
    /// Seconds; absent where nothing could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Whether the engines hear a prepared recording or the original.
    pub prepared: bool,
    /// Why not, where that was not the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_reason: Option<String>,
}

impl From<AudioFacts> for AudioDetails {
    fn from(facts: AudioFacts) -> Self {
        Self {
            duration_seconds: facts.duration_seconds,
            channels: Some(facts.channels),
            codec: Some(facts.codec),
            sample_rate: Some(facts.sample_rate),
            prepared: false,
            fallback_reason: None,
        }
    }
}

/// How long a provider may take to fetch a recording: a job may stand in line there for hours.
const ADDRESS_HOLDS: Duration = Duration::from_secs(12 * 3600);

/// The recording of a call, prepared where it was prepared.
pub struct StoredAudio {
    blobs: Blobs,
    key: BlobKey,
    content_type: String,
    bytes: u64,
    details: AudioDetails,
    encoder: Encoder,
}

impl StoredAudio {
    /// The recording that the engines of this run hear.
    pub fn of(cx: &StageContext<'_>) -> Result<Self, StageError> {
        let row = cx.input(StageKind::Preprocessing)?;
        let details: AudioDetails =
            row.details.clone().map(serde_json::from_value).transpose().ok().flatten().unwrap_or_default();
        let (key, content_type, bytes) = match (&row.result_ref, &cx.lease.call.audio) {
            (Some(key), _) => (key.clone(), "audio/wav".to_owned(), row.bytes.unwrap_or_default()),
            (None, Some(audio)) => (audio.key.clone(), audio.content_type.clone(), audio.bytes),
            (None, None) => return Err(expired()),
        };
        let bytes = u64::try_from(bytes).unwrap_or_default();
        let (blobs, encoder) = (cx.deps.blobs.clone(), cx.deps.encoder.clone());
        Ok(Self { blobs, key: BlobKey::stored(&key), content_type, bytes, details, encoder })
    }
}

/// The recording was let go before it was processed.
pub fn expired() -> StageError {
    StageError::new(
        StageErrorKind::Fail(FailureCode::TempAudioExpired),
        "temp_audio_expired",
        "the recording is not in storage any more",
    )
}

struct CopyOnDisk(LocalCopy);

impl AudioFile for CopyOnDisk {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

#[async_trait]
impl Audio for StoredAudio {
    fn bytes(&self) -> u64 {
        self.bytes
    }
    fn content_type(&self) -> &str {
        &self.content_type
    }
    fn duration_seconds(&self) -> Option<f64> {
        self.details.duration_seconds
    }
    fn channels(&self) -> Option<u16> {
        self.details.channels
    }
    async fn stream(&self) -> std::io::Result<BoxStream<'static, std::io::Result<Bytes>>> {
        Ok(self.blobs.reader(&self.key).await.map_err(io_error)?.into_stream())
    }
    async fn file(&self) -> std::io::Result<Box<dyn AudioFile>> {
        Ok(Box::new(CopyOnDisk(self.blobs.local_copy(&self.key).await.map_err(io_error)?)))
    }
    async fn address(&self) -> std::io::Result<Option<String>> {
        self.blobs.signed_url(&self.key, ADDRESS_HOLDS).await.map_err(io_error)
    }
    async fn smaller(&self) -> std::io::Result<Option<Box<dyn Audio>>> {
        self.encoder.smaller(self).await
    }
}

/// Pieces of a local transcription, kept beside the other documents of the run.
pub struct StoredPieces {
    blobs: Blobs,
    keys: CallKeys,
    run_no: i32,
}

impl StoredPieces {
    /// Pieces of this run.
    pub fn of(cx: &StageContext<'_>) -> Self {
        Self { blobs: cx.deps.blobs.clone(), keys: cx.keys.clone(), run_no: cx.lease.run_no }
    }
}

#[async_trait]
impl Pieces for StoredPieces {
    async fn load(&self, channel: u16, index: u32) -> std::io::Result<Option<Vec<u8>>> {
        match self.blobs.get(&self.keys.piece(self.run_no, channel, index), 4 << 20).await {
            Ok(body) => Ok(Some(body.to_vec())),
            Err(BlobError::Missing { .. }) => Ok(None),
            Err(error) => Err(io_error(error)),
        }
    }
    async fn store(&self, channel: u16, index: u32, content: Vec<u8>) -> std::io::Result<()> {
        let key = self.keys.piece(self.run_no, channel, index);
        self.blobs.put(&key, content).await.map(|_| ()).map_err(io_error)
    }
}

fn io_error(error: BlobError) -> std::io::Error {
    match error {
        BlobError::Missing { .. } => std::io::Error::new(std::io::ErrorKind::NotFound, error.to_string()),
        other => std::io::Error::other(other.to_string()),
    }
}
