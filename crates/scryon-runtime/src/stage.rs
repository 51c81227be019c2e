//! What a stage is to the worker loop: one function from a lease to an output, and an error whose class
//! decides what happens next.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use scryon_blobs::{BlobError, BlobKey, Blobs, CallKeys, DocumentName};
use scryon_domain::epoch::Epoch;
use scryon_domain::failure::FailureCode;
use scryon_domain::ids::CallId;
use scryon_domain::stage::StageKind;
use scryon_metrics::WorkerMetrics;
use scryon_providers::media::Encoder;
use scryon_store::{
    AnalysisEffects, JobEnd, JobIntent, Lease, OutputObject, StageEvent, StageOutput, Store, StoreError,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::circuits::Circuits;
use crate::gate::Gates;
use crate::leases::LeaseGuard;
use crate::switches::Switches;

/// Most bytes of a stored document.
const DOCUMENT_LIMIT: u64 = 64 << 20;

/// A stage: one file of domain code. The loop around it (claim, lease, retry, finish) is written once.
#[async_trait]
pub trait Stage: Send + Sync + 'static {
    fn kind(&self) -> StageKind;

    /// Calls worked on at once.
    fn slots(&self) -> usize;

    /// Whether the work is short or waits for others, so that a delivery may be carried through it.
    fn is_light(&self) -> bool;

    /// Whether the work is switched off: a run may begin behind it.
    fn is_off(&self) -> bool {
        false
    }

    /// The purchase to record together with the claim, where the first engine is paid.
    fn intent(&self, call_id: CallId, run_no: i32) -> Option<JobIntent>;

    /// Does the work.
    async fn run(&self, cx: &StageContext<'_>) -> Result<StageDone, StageError>;

    /// The output to go on with when the work has failed for good. `None` fails the call.
    async fn last_resort(&self, _cx: &StageContext<'_>, _error: &StageError) -> Option<StageDone> {
        None
    }
}

/// How work on a stage ended well.
#[derive(Debug)]
pub enum StageDone {
    /// Preprocessing, transcription, diarization.
    Output(StageOutput),
    /// Assembly; whether an analysis follows.
    Assembly {
        output: StageOutput,
        analysis_enabled: bool,
    },
    Analysis {
        output: StageOutput,
        effects: Box<AnalysisEffects>,
    },
    /// A part is done and kept; the rest is for another delivery.
    ToBeContinued,
    /// Somebody else is getting the answer: look again after this long.
    Wait {
        delay: Duration,
        event: Option<StageEvent>,
    },
}

impl StageDone {
    /// Waits without a word.
    pub const fn wait(delay: Duration) -> Self {
        Self::Wait { delay, event: None }
    }
}

/// Why work on a stage gave no output.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StageError {
    pub kind: StageErrorKind,
    /// For people. No words of the call.
    pub what: String,
    /// The word in events.
    pub code: &'static str,
    pub engine: Option<&'static str>,
    /// How the purchase of this attempt ended.
    pub job: Option<JobEnd>,
    /// An operator said not to wait for this provider where it asks for a pause.
    pub hurried: bool,
}

/// The closed set the loop branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageErrorKind {
    /// Try again later; counts.
    Retry,
    /// Try again after this long; costs no try.
    Pause(Duration),
    /// Never: the call fails with this.
    Fail(FailureCode),
    /// An answer of the wrong shape, or a bug: two tries, then the call fails with this.
    Suspect(FailureCode),
    /// The call went on without us.
    Superseded,
}

impl StageError {
    /// An error without a purchase.
    pub fn new(kind: StageErrorKind, code: &'static str, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), code, engine: None, job: None, hurried: false }
    }

    /// With the purchase that ended.
    pub fn with_job(mut self, job: Option<JobEnd>) -> Self {
        self.job = job;
        self
    }

    /// With the purchase's end already recorded.
    pub fn without_job(mut self) -> Self {
        self.job = None;
        self
    }

    /// With the engine that failed.
    pub fn with_engine(mut self, engine: &'static str) -> Self {
        self.engine = Some(engine);
        self
    }

    /// The lease did not stand.
    pub fn superseded() -> Self {
        Self::new(StageErrorKind::Superseded, "superseded", "the call went on without this worker")
    }
}

impl From<BlobError> for StageError {
    fn from(error: BlobError) -> Self {
        match &error {
            BlobError::Missing { .. } => Self::new(
                StageErrorKind::Fail(FailureCode::ArtifactMissing),
                "artifact_missing",
                error.to_string(),
            ),
            BlobError::TooLarge { .. } => Self::new(
                StageErrorKind::Fail(FailureCode::InternalError),
                "document_too_large",
                error.to_string(),
            ),
            // Storage is away: like every outage it costs no try.
            BlobError::Unavailable(_) => Self::new(
                StageErrorKind::Pause(Duration::from_secs(5)),
                "storage_unavailable",
                error.to_string(),
            ),
        }
    }
}

impl From<StoreError> for StageError {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Unavailable { .. } => StageErrorKind::Pause(Duration::from_secs(2)),
            _ => StageErrorKind::Suspect(FailureCode::InternalError),
        };
        Self::new(kind, "store_failed", error.to_string())
    }
}

/// What a stage works with. It holds no connection and no lock.
pub struct StageContext<'a> {
    pub lease: &'a Lease,
    pub guard: &'a LeaseGuard,
    pub deps: &'a StageDeps,
    pub keys: CallKeys,
}

/// What all stages of a worker share.
#[derive(Clone)]
pub struct StageDeps {
    pub store: Store,
    pub blobs: Blobs,
    pub metrics: WorkerMetrics,
    pub owner: Arc<str>,
    /// Which life of the installation this is.
    pub epoch: Epoch,
    /// Which providers are asked.
    pub circuits: Circuits,
    /// What operators have switched.
    pub switches: Switches,
    /// How many requests they get.
    pub gates: Gates,
    /// For recordings that are larger than a provider takes.
    pub encoder: Encoder,
    /// Turns of engines that fill a core, behind others that wait for a provider.
    pub cores: Arc<Semaphore>,
    /// Named point at which a test build ends itself.
    pub crash_at: Option<Arc<str>>,
}

impl std::fmt::Debug for StageDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StageDeps").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl StageDeps {
    /// See [`crate::crash::crash_point`].
    pub fn crash_point(&self, name: &str) {
        crate::crash::crash_point(self.crash_at.as_deref(), name);
    }

    /// See [`crate::crash::crash_over`].
    pub(crate) fn crash_over(&self, lease: &Lease) {
        crate::crash::crash_over(self.crash_at.as_deref(), lease.stage, lease.call_id);
    }
}

impl<'a> StageContext<'a> {
    /// The context of a lease.
    pub fn new(lease: &'a Lease, guard: &'a LeaseGuard, deps: &'a StageDeps) -> Self {
        let keys = CallKeys::new(&lease.call.tenant_id, lease.call.user_id, lease.call_id);
        Self { lease, guard, deps, keys }
    }

    /// Reads a stored document.
    pub async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<T, StageError> {
        let body = self.deps.blobs.get(&BlobKey::stored(key), DOCUMENT_LIMIT).await?;
        serde_json::from_slice(&body).map_err(|e| {
            StageError::new(
                StageErrorKind::Suspect(FailureCode::InternalError),
                "document_malformed",
                format!("a stored document has an unknown shape: {e}"),
            )
        })
    }

    /// Writes a document of this run, under a name nobody else writes.
    pub async fn write<T: Serialize>(
        &self,
        name: DocumentName,
        document: &T,
    ) -> Result<OutputObject, StageError> {
        let (object, body) = self.encoded(name, document)?;
        self.put(&object, body).await?;
        Ok(object)
    }

    /// The bytes of a document, and the object that they become.
    pub(crate) fn encoded<T: Serialize>(
        &self,
        name: DocumentName,
        document: &T,
    ) -> Result<(OutputObject, Bytes), StageError> {
        let body = serde_json::to_vec(document).map_err(|e| {
            StageError::new(
                StageErrorKind::Suspect(FailureCode::InternalError),
                "document_unwritable",
                e.to_string(),
            )
        })?;
        let object = OutputObject {
            key: self.keys.document(self.lease.run_no, name, self.lease.token).as_str().to_owned(),
            artifact_type: name.artifact_type(),
            bytes: i64::try_from(body.len()).unwrap_or(i64::MAX),
            sha256: Sha256::digest(&body).to_vec(),
        };
        Ok((object, body.into()))
    }

    /// Writes an encoded document.
    pub(crate) async fn put(&self, object: &OutputObject, body: Bytes) -> Result<(), StageError> {
        self.deps.blobs.place(&BlobKey::stored(&object.key), body).await?;
        self.deps.crash_point("C8");
        Ok(())
    }

    /// The output of an earlier stage of this run.
    pub fn input(&self, stage: StageKind) -> Result<&scryon_store::StageOutputRow, StageError> {
        self.lease.inputs.get(stage).ok_or_else(|| {
            StageError::new(
                StageErrorKind::Suspect(FailureCode::InternalError),
                "input_missing",
                format!("the output of {stage} is not recorded"),
            )
        })
    }
}

/// An event of a stage that ended well.
pub fn completed(stage: &'static str, provider: Option<&str>, since: std::time::Instant) -> StageEvent {
    StageEvent {
        stage,
        status: "COMPLETED",
        provider: provider.map(str::to_owned),
        duration_ms: i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX),
        error_code: None,
    }
}
