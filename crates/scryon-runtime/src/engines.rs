//! The rules of buying, written once for all engine stages: reuse what is there, adopt what is on its way,
//! settle what was perhaps sent, and only then send; on failure try the next engine.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use scryon_blobs::{BlobKey, DocumentName};
use scryon_domain::failure::FailureCode;
use scryon_domain::ids::JobId;
use scryon_domain::status::SkipReason;
use scryon_providers::{Answer, EngineInfo, ProviderError};
use scryon_store::{
    JobClaim, JobEnd, JobEndState, JobIntent, JobSettlement, OutputObject, RebuyCause, StageEvent,
    StageOutput,
};
use serde::Serialize;
use serde_json::Value;
use tracing::{info, warn};
use uuid::Uuid;

use crate::stage::{StageContext, StageDone, StageError, StageErrorKind, completed};

/// How long to wait before looking for an answer that somebody else is getting.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long to wait when no engine is available: the call is not failed for that.
const NO_ENGINE: Duration = Duration::from_secs(30);

/// What differs between the engine stages.
#[async_trait]
pub trait EngineStage: Send + Sync {
    /// The document an engine answers with.
    type Document: Serialize + Send + Sync;

    /// Engines in order of preference.
    fn engines(&self) -> Vec<&EngineInfo>;
    /// What the call itself adds to the parameters.
    fn params_extra(&self, call_id: scryon_domain::ids::CallId, run_no: i32) -> String;
    /// Whether an earlier result may serve a new run.
    fn reusable(&self) -> bool;
    /// Asks engine number `index`.
    async fn ask(
        &self,
        cx: &StageContext<'_>,
        index: usize,
        job: Option<JobId>,
    ) -> Result<Asked<Self::Document>, ProviderError>;
    /// What the row shows of the document; never text of the call.
    fn details(&self, document: &Self::Document) -> Value;
    /// The document's name in storage.
    fn document_name(&self) -> DocumentName;
    /// The name of the event.
    fn event(&self) -> &'static str;
    /// Measures one answer.
    fn observe(&self, cx: &StageContext<'_>, engine: &str, seconds: f64);
    /// The reason of a call whose input every engine refuses.
    fn rejected(&self) -> FailureCode;
    /// The reason of a call whose engines answered nonsense.
    fn malformed(&self) -> FailureCode;
    /// Most US dollars for buying again what was perhaps bought.
    fn rebuy_max(&self) -> f64;
}

/// What asking gave.
#[derive(Debug)]
pub enum Asked<T> {
    Answer(Answer<T>),
    /// A part is done and kept.
    ToBeContinued,
}

/// What an engine stage ended with, and the document where it is fresh.
#[derive(Debug)]
pub struct EngineDone<T> {
    pub output: StageOutput,
    /// Absent when an earlier result serves: it lies at `output.object`.
    pub document: Option<T>,
}

/// An early end of the stage that is no failure.
#[derive(Debug)]
pub enum EngineEnd<T> {
    Done(EngineDone<T>),
    Early(StageDone),
}

/// The purchase to record with a claim.
pub fn intent_of(info: &EngineInfo, extra: &str) -> Option<JobIntent> {
    info.paid.then(|| JobIntent {
        id: JobId(Uuid::now_v7()),
        engine: info.name.to_owned(),
        model: info.model.clone(),
        params_hash: info.params_hash(extra),
        // The length is not known before the audio was read; a call is taken for ten minutes.
        estimated_cost: info.price_per_minute.map(|p| p * 10.0),
    })
}

/// Gets the stage's document by the rules above.
pub async fn run_engines<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
) -> Result<EngineEnd<S::Document>, StageError> {
    let extra = stage.params_extra(cx.lease.call_id, cx.lease.run_no);
    let infos = stage.engines();
    if stage.reusable()
        && let Some(output) = reuse_prior(cx, &infos, &extra, stage.event()).await?
    {
        return Ok(EngineEnd::Done(EngineDone { output, document: None }));
    }
    let mut last: Option<StageError> = None;
    for (index, info) in infos.iter().enumerate() {
        let permission =
            if info.paid { permission(stage, cx, index, info, &extra).await? } else { Permission::Free };
        let job = match permission {
            Permission::Free => None,
            Permission::Send(job) => Some(job),
            Permission::Adopted(output) => {
                return Ok(EngineEnd::Done(EngineDone { output: *output, document: None }));
            }
            Permission::LookAgain => return Ok(EngineEnd::Early(StageDone::Wait(LOOK_AGAIN))),
        };
        cx.guard.set_job(job);
        let started = Instant::now();
        if job.is_some() {
            cx.deps.crash_point("C9");
        }
        let asked = stage.ask(cx, index, job).await;
        cx.guard.set_job(None);
        match asked {
            Ok(Asked::ToBeContinued) => return Ok(EngineEnd::Early(StageDone::ToBeContinued)),
            Ok(Asked::Answer(answer)) => {
                stage.observe(cx, info.name, started.elapsed().as_secs_f64());
                return answered(stage, cx, info, &extra, job, answer, started).await.map(EngineEnd::Done);
            }
            Err(error) => {
                let goes_on =
                    matches!(error, ProviderError::Unavailable { .. } | ProviderError::Rejected { .. });
                let error = stage_error(stage, info, job, &error);
                warn!(
                    provider = info.name,
                    errorCode = error.code,
                    "an engine gave no answer: {}",
                    error.what
                );
                if !goes_on {
                    return Err(error);
                }
                // The next engine's purchase is another row: this one's end is recorded before it.
                if let Some(job) = error.job {
                    cx.deps.store.job_end(job, error.code).await?;
                }
                last = Some(error);
            }
        }
    }
    Err(last.unwrap_or_else(|| {
        StageError::new(
            StageErrorKind::Pause(NO_ENGINE),
            "no_engine",
            "no engine is configured for this stage",
        )
    }))
}

/// An earlier run of this call had the same question for one of the engines, and its answer is still there.
async fn reuse_prior(
    cx: &StageContext<'_>,
    infos: &[&EngineInfo],
    extra: &str,
    event: &'static str,
) -> Result<Option<StageOutput>, StageError> {
    let Some(prior) = &cx.lease.prior else { return Ok(None) };
    let (Some(key), Some(params)) = (&prior.result_ref, &prior.params) else { return Ok(None) };
    let same = infos
        .iter()
        .find(|i| Some(i.name) == prior.engine.as_deref() && hex::encode(i.params_hash(extra)) == *params);
    let Some(info) = same else { return Ok(None) };
    let Some(size) = cx.deps.blobs.size(&BlobKey::stored(key)).await? else { return Ok(None) };
    if Some(size) != prior.bytes.and_then(|b| u64::try_from(b).ok()) {
        return Ok(None);
    }
    cx.deps.metrics.purchases_saved.with_label_values(&[cx.lease.stage.as_str()]).inc();
    Ok(Some(StageOutput {
        engine: Some(info.name.to_owned()),
        params_hash: Some(info.params_hash(extra)),
        object: Some(OutputObject {
            key: key.clone(),
            artifact_type: artifact_type(cx.lease.stage),
            bytes: prior.bytes.unwrap_or_default(),
            sha256: prior.sha256.as_deref().and_then(|h| hex::decode(h).ok()).unwrap_or_default(),
        }),
        details: prior.details.clone(),
        skipped: Some(SkipReason::Reused),
        events: vec![skipped(event, info.name)],
        ..StageOutput::default()
    }))
}

enum Permission {
    Free,
    /// Send the request under this ledger row.
    Send(JobId),
    /// The answer was there.
    Adopted(Box<StageOutput>),
    /// Somebody else is getting it.
    LookAgain,
}

/// Asks the ledger whether this worker may send a paid request.
async fn permission<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    index: usize,
    info: &EngineInfo,
    extra: &str,
) -> Result<Permission, StageError> {
    let begin = async || {
        let Some(intent) = intent_of(info, extra) else { return Err(StageError::superseded()) };
        let claim = cx.deps.store.job_begin(cx.lease, &cx.deps.owner, &intent).await?;
        claim.ok_or_else(StageError::superseded)
    };
    // The claim recorded the purchase for the first engine; others are recorded when their turn comes.
    let recorded = if index == 0 { cx.lease.job.clone() } else { None };
    let mut claim = match recorded {
        Some(claim) => claim,
        None => begin().await?,
    };
    if claim == JobClaim::Raced {
        claim = begin().await?;
    }
    match claim {
        JobClaim::Mine { id } => Ok(Permission::Send(id)),
        JobClaim::Answered { id, result_ref, bytes, sha256 } => {
            let object =
                OutputObject { key: result_ref, artifact_type: artifact_type(cx.lease.stage), bytes, sha256 };
            match adopt(cx, object).await? {
                Some(object) => {
                    Ok(Permission::Adopted(Box::new(adopted_output(stage, cx, info, extra, object))))
                }
                None => rebuy(cx, info, extra, id, RebuyCause::Repair).await,
            }
        }
        JobClaim::Unsettled { id, .. } | JobClaim::InFlight { id, owner_silent: true } if info.idempotent => {
            if cx.deps.store.job_take_over(id, &cx.deps.owner).await? {
                info!(provider = info.name, "sending again under the same key what was perhaps sent");
                Ok(Permission::Send(id))
            } else {
                Ok(Permission::LookAgain)
            }
        }
        JobClaim::Raced | JobClaim::InFlight { .. } => Ok(Permission::LookAgain),
        JobClaim::Unsettled { id, cause, estimated_cost } => {
            let affordable = estimated_cost.is_some_and(|cost| cost <= stage.rebuy_max());
            if cause == "ambiguous" || !affordable {
                return Err(StageError::new(
                    StageErrorKind::Fail(FailureCode::ProviderSubmitUnconfirmed),
                    "provider_submit_unconfirmed",
                    "a paid request was perhaps taken; it is not bought a second time",
                )
                .with_engine(info.name));
            }
            warn!(provider = info.name, "buying once more what was perhaps bought; the ledger says so");
            rebuy(cx, info, extra, id, RebuyCause::Ambiguous).await
        }
    }
}

async fn rebuy(
    cx: &StageContext<'_>,
    info: &EngineInfo,
    extra: &str,
    old: JobId,
    cause: RebuyCause,
) -> Result<Permission, StageError> {
    let Some(intent) = intent_of(info, extra) else { return Ok(Permission::LookAgain) };
    if cx.deps.store.job_buy_again(cx.lease, &cx.deps.owner, &intent, old, cause).await? {
        Ok(Permission::Send(intent.id))
    } else {
        Ok(Permission::LookAgain)
    }
}

/// Makes an answer's object ours: one of this call is used where it lies, one of another call of the same
/// tenant is copied, so that each call's deletion takes all of it and nothing else. `None`: it is gone.
async fn adopt(cx: &StageContext<'_>, object: OutputObject) -> Result<Option<OutputObject>, StageError> {
    let from = BlobKey::stored(&object.key);
    let size = cx.deps.blobs.size(&from).await?;
    if size != u64::try_from(object.bytes).ok() {
        return Ok(None);
    }
    if object.key.starts_with(cx.keys.prefix()) {
        return Ok(Some(object));
    }
    let name = match cx.lease.stage {
        scryon_domain::stage::StageKind::Transcription => DocumentName::Raw,
        scryon_domain::stage::StageKind::Diarization => DocumentName::Diarization,
        _ => return Ok(None),
    };
    let to = cx.keys.document(cx.lease.run_no, name, cx.lease.token);
    match cx.deps.blobs.copy(&from, &to).await {
        Ok(()) => Ok(Some(OutputObject { key: to.as_str().to_owned(), ..object })),
        Err(scryon_blobs::BlobError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn adopted_output<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    info: &EngineInfo,
    extra: &str,
    object: OutputObject,
) -> StageOutput {
    cx.deps.metrics.purchases_saved.with_label_values(&[cx.lease.stage.as_str()]).inc();
    StageOutput {
        engine: Some(info.name.to_owned()),
        params_hash: Some(info.params_hash(extra)),
        object: Some(object),
        skipped: Some(SkipReason::Reused),
        events: vec![skipped(stage.event(), info.name)],
        ..StageOutput::default()
    }
}

async fn answered<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    info: &EngineInfo,
    extra: &str,
    job: Option<JobId>,
    answer: Answer<S::Document>,
    started: Instant,
) -> Result<EngineDone<S::Document>, StageError> {
    let object = cx.write(stage.document_name(), &answer.content).await?;
    let job = job.map(|id| JobSettlement {
        id,
        units: answer.units,
        unit: answer.unit,
        billed_cost: answer.billed_cost,
    });
    Ok(EngineDone {
        output: StageOutput {
            engine: Some(info.name.to_owned()),
            params_hash: Some(info.params_hash(extra)),
            object: Some(object),
            details: Some(stage.details(&answer.content)),
            events: vec![completed(stage.event(), Some(info.name), started)],
            job,
            ..StageOutput::default()
        },
        document: Some(answer.content),
    })
}

/// What an engine's error means for the stage.
fn stage_error<S: EngineStage>(
    stage: &S,
    info: &EngineInfo,
    job: Option<JobId>,
    error: &ProviderError,
) -> StageError {
    let code = error.code();
    let (kind, state) = match error {
        ProviderError::Transient { .. } => (StageErrorKind::Retry, JobEndState::Failed),
        ProviderError::Throttled { pause, .. } => (StageErrorKind::Pause(*pause), JobEndState::Failed),
        ProviderError::Unavailable { .. } => (StageErrorKind::Pause(NO_ENGINE), JobEndState::Failed),
        ProviderError::Ambiguous { .. } => (StageErrorKind::Retry, JobEndState::Unknown),
        ProviderError::Rejected { .. } => (StageErrorKind::Fail(stage.rejected()), JobEndState::Failed),
        ProviderError::Malformed { .. } => (StageErrorKind::Suspect(stage.malformed()), JobEndState::Failed),
        ProviderError::Audio(e) if e.kind() == std::io::ErrorKind::NotFound => {
            (StageErrorKind::Fail(FailureCode::ArtifactMissing), JobEndState::Failed)
        }
        ProviderError::Audio(_) => (StageErrorKind::Retry, JobEndState::Failed),
    };
    StageError::new(kind, code, error.to_string())
        .with_engine(info.name)
        .with_job(job.map(|id| JobEnd { id, state }))
}

fn skipped(stage: &'static str, provider: &str) -> StageEvent {
    StageEvent {
        stage,
        status: "SKIPPED",
        provider: Some(provider.to_owned()),
        duration_ms: 0,
        error_code: None,
    }
}

const fn artifact_type(stage: scryon_domain::stage::StageKind) -> &'static str {
    match stage {
        scryon_domain::stage::StageKind::Diarization => DocumentName::Diarization.artifact_type(),
        scryon_domain::stage::StageKind::Analysis => DocumentName::Analysis.artifact_type(),
        _ => DocumentName::Raw.artifact_type(),
    }
}
