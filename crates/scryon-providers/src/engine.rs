//! The three traits, what goes in and what comes out. Capabilities are data, not code branches.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use scryon_domain::assembly::Direction;
use scryon_domain::ids::{CallId, JobId};
use scryon_domain::raw::{Diarization, RawTranscript};
use scryon_domain::transcript::Transcript;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What an engine is and can.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineInfo {
    /// Name in configuration, rows, metrics and `pipeline`.
    pub name: &'static str,
    pub model: String,
    /// Every request is preceded by a row in the ledger.
    pub paid: bool,
    /// A request repeated with the same idempotency key is not bought twice.
    pub idempotent: bool,
    /// Works on this machine's cores: as many at once as there are cores.
    pub cpu_bound: bool,
    /// Parts of the parameters beside name and model that decide the answer.
    pub variant: String,
    /// US dollars per minute of audio, where known.
    pub price_per_minute: Option<f64>,
    /// How long a callback may take to settle a submit whose answer was lost; absent where none comes.
    pub settled_within: Option<Duration>,
}

/// A job that a provider has taken and works on while nobody waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// The provider's name for it. Engines without one give the job's own.
    pub external_id: String,
    /// When to look at it, unless a callback comes before.
    pub look_in: Duration,
    /// It is late after this.
    pub deadline: Duration,
}

/// A look at a submitted job.
pub struct CollectRequest<'a> {
    pub external_id: &'a str,
    /// What a callback brought, for engines whose results cannot be fetched.
    pub callback: Option<Vec<u8>>,
    pub audio: &'a dyn Audio,
}

/// What a look found.
#[derive(Debug)]
pub enum Collected<T> {
    Done(Box<Answer<T>>),
    /// Not yet: look again after this.
    Pending(Duration),
}

impl EngineInfo {
    /// SHA-256 over everything besides the audio that decides the answer. `extra` is what the call itself
    /// contributes (a hint, a run).
    pub fn params_hash(&self, extra: &str) -> Vec<u8> {
        let mut hash = Sha256::new();
        for part in [self.name, &self.model, &self.variant, extra] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().to_vec()
    }
}

/// A recording as engines receive it. Implemented over object storage by whoever runs the stage.
#[async_trait]
pub trait Audio: Send + Sync {
    /// Size in bytes.
    fn bytes(&self) -> u64;
    /// MIME type.
    fn content_type(&self) -> &str;
    /// Length in seconds, where it is known.
    fn duration_seconds(&self) -> Option<f64>;
    /// Channels, where they are known.
    fn channels(&self) -> Option<u16>;
    /// The content as a stream.
    async fn stream(&self) -> std::io::Result<BoxStream<'static, std::io::Result<Bytes>>>;
    /// The content as a file of this machine.
    async fn file(&self) -> std::io::Result<Box<dyn AudioFile>>;
    /// Where the provider may fetch it by itself; none where it is sent. The address is a secret.
    async fn address(&self) -> std::io::Result<Option<String>> {
        Ok(None)
    }
    /// The same recording in fewer bytes and a container that every engine takes; none where it cannot be made.
    async fn smaller(&self) -> std::io::Result<Option<Box<dyn Audio>>> {
        Ok(None)
    }
}

/// A file that lives as long as this value.
pub trait AudioFile: Send + Sync {
    /// Where it is.
    fn path(&self) -> &Path;
}

/// Pieces of a long piece of local work, kept so that a later delivery goes on where this one stopped.
#[async_trait]
pub trait Pieces: Send + Sync {
    /// A piece that was finished before.
    async fn load(&self, channel: u16, index: u32) -> std::io::Result<Option<Vec<u8>>>;
    /// Keeps a finished piece.
    async fn store(&self, channel: u16, index: u32, content: Vec<u8>) -> std::io::Result<()>;
}

/// One transcription.
pub struct TranscriptionRequest<'a> {
    pub audio: &'a dyn Audio,
    pub pieces: &'a dyn Pieces,
    pub direction: Option<Direction>,
    /// The call, its run and the life of the installation, for the address of a callback.
    pub call: CallId,
    pub run_no: i32,
    pub epoch: i32,
    /// The ledger's row; the idempotency key of a paid request.
    pub job: Option<JobId>,
    /// A callback for this recording did not come: the answer is waited for.
    pub answer_now: bool,
    /// After this long a local engine hands back what it has done so far.
    pub hold: Duration,
}

/// What a transcription gave.
#[derive(Debug)]
pub enum TranscriptionAnswer {
    Done(Box<Answer<RawTranscript>>),
    Submitted(Submitted),
    /// Some pieces are done and kept; the rest is for another delivery.
    ToBeContinued,
}

/// What a diarization gave.
#[derive(Debug)]
pub enum DiarizationAnswer {
    Done(Box<Answer<Diarization>>),
    Submitted(Submitted),
}

/// One diarization.
pub struct DiarizationRequest<'a> {
    pub audio: &'a dyn Audio,
    pub direction: Option<Direction>,
    pub job: Option<JobId>,
    /// The speakers are compared with this voice as well.
    pub voice: Option<&'a Voiceprint>,
}

/// A user's voice as a provider gave it. Opaque, and biometric: it does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Voiceprint {
    /// Which one it is, so that purchases with different ones differ. Says nothing of the voice.
    pub identity: String,
    /// The model it was made with; others do not understand it.
    pub model: String,
    pub print: String,
}

impl std::fmt::Debug for Voiceprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voiceprint").field("model", &self.model).finish_non_exhaustive()
    }
}

/// One analysis.
pub struct AnalysisRequest<'a> {
    pub transcript: &'a Transcript,
    pub recorded_at: Option<DateTime<Utc>>,
    pub title: Option<&'a str>,
    pub contact_name: Option<&'a str>,
    pub job: Option<JobId>,
}

/// An answer and what it cost.
#[derive(Debug)]
pub struct Answer<T> {
    pub content: T,
    /// Seconds of audio, or tokens.
    pub units: Option<f64>,
    pub unit: Option<&'static str>,
    /// US dollars.
    pub billed_cost: Option<f64>,
}

impl<T> Answer<T> {
    /// An answer that cost nothing.
    pub fn free(content: T) -> Self {
        Self { content, units: None, unit: None, billed_cost: None }
    }
}

/// Turns speech into words.
#[async_trait]
pub trait TranscriptionEngine: Send + Sync {
    fn info(&self) -> &EngineInfo;
    async fn transcribe(
        &self,
        request: TranscriptionRequest<'_>,
    ) -> Result<TranscriptionAnswer, ProviderError>;

    /// Whether a job's result comes by callback alone.
    fn answers_by_callback(&self) -> bool {
        false
    }

    /// Looks at a job that was submitted before.
    async fn collect(&self, _request: CollectRequest<'_>) -> Result<Collected<RawTranscript>, ProviderError> {
        Err(ProviderError::never_submits(self.info().name))
    }
}

/// Tells who spoke when.
#[async_trait]
pub trait DiarizationEngine: Send + Sync {
    fn info(&self) -> &EngineInfo;
    async fn diarize(&self, request: DiarizationRequest<'_>) -> Result<DiarizationAnswer, ProviderError>;

    /// What a diarization is that also compares the speakers with a voice; absent where the engine cannot.
    fn with_voice(&self, _voice: &Voiceprint) -> Option<EngineInfo> {
        None
    }

    /// Looks at a job that was submitted before.
    async fn collect(&self, _request: CollectRequest<'_>) -> Result<Collected<Diarization>, ProviderError> {
        Err(ProviderError::never_submits(self.info().name))
    }
}

/// Reads a transcript and says what it means: a document of schemaVersion 3.
#[async_trait]
pub trait AnalysisEngine: Send + Sync {
    fn info(&self) -> &EngineInfo;
    async fn analyse(&self, request: AnalysisRequest<'_>) -> Result<Answer<Value>, ProviderError>;
}

/// Why an engine gave no answer. The variant decides what happens next; the text is for people.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Nothing was bought: refused connection, 5xx before the work. Try again.
    #[error("{engine} failed for now: {message}")]
    Transient { engine: &'static str, message: String },
    /// It refused one request too many. Costs no try. `asked`: the pause is its own word, and holds for all.
    #[error("{engine} asked for a pause of {pause:?}")]
    Throttled { engine: &'static str, pause: Duration, asked: bool },
    /// It was not asked: our own limits, or a pause that it asked for, keep this request back. Costs no try.
    /// `throttled`: the pause.
    #[error("{engine} is not asked for {wait:?}, to keep within its limits")]
    Paced { engine: &'static str, wait: Duration, throttled: bool },
    /// The engine cannot work on this machine or with this account (no binary, no key, no credit): the next
    /// engine may.
    #[error("{engine} is not available: {message}")]
    Unavailable { engine: &'static str, message: String },
    /// The request was sent and no answer came: perhaps bought.
    #[error("{engine} took the request and gave no answer: {message}")]
    Ambiguous { engine: &'static str, message: String },
    /// It will not take this input, now or later.
    #[error("{engine} refused the input: {message}")]
    Rejected { engine: &'static str, message: String },
    /// Our own rules keep this recording from the engine.
    #[error("{engine} is not asked: {reason}")]
    Declined { engine: &'static str, reason: &'static str },
    /// It failed too often to be asked for now, or an operator keeps requests away.
    #[error("{engine} is not asked for {wait:?}")]
    CircuitOpen { engine: &'static str, wait: Duration },
    /// It took the job and said nothing for too long. Its answer may still come.
    #[error("{engine} took the job and is late")]
    Overdue { engine: &'static str },
    /// It took the job and could not do it.
    #[error("{engine} took the job and failed: {message}")]
    JobFailed { engine: &'static str, message: String },
    /// It answered with something that is no answer.
    #[error("{engine} gave an answer of another shape: {message}")]
    Malformed { engine: &'static str, message: String },
    /// The recording could not be read from storage.
    #[error("the recording could not be read: {0}")]
    Audio(#[from] std::io::Error),
}

impl ProviderError {
    /// A row speaks of a submitted job of an engine that has none.
    pub fn never_submits(engine: &'static str) -> Self {
        Self::Malformed { engine, message: "it has no jobs to look at".to_owned() }
    }

    /// The word in events and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Transient { .. } => "provider_failed",
            Self::Throttled { .. } => "provider_throttled",
            Self::Paced { .. } => "provider_paced",
            Self::Unavailable { .. } => "provider_unavailable",
            Self::Ambiguous { .. } => "provider_unconfirmed",
            Self::Rejected { .. } => "provider_rejected",
            Self::Declined { reason, .. } => reason,
            Self::CircuitOpen { .. } => "circuit_open",
            Self::Overdue { .. } => "provider_overdue",
            Self::JobFailed { .. } => "provider_job_failed",
            Self::Malformed { .. } => "provider_malformed",
            Self::Audio(_) => "audio_unavailable",
        }
    }
}
