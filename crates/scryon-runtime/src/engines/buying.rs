//! What the ledger allows: reuse what an earlier run left, adopt what is on its way, settle what was perhaps
//! sent, and only then send.

use std::time::Duration;

use scryon_blobs::{BlobKey, DocumentName};
use scryon_domain::failure::FailureCode;
use scryon_domain::ids::JobId;
use scryon_domain::status::SkipReason;
use scryon_providers::EngineInfo;
use scryon_store::{
    JobClaim, JobEnd, JobEndState, OutputObject, RebuyCause, StageEvent, StageOutput, SubmittedJob,
};
use tracing::{info, warn};

use super::{EngineStage, intent_of, no_storage};
use crate::circuits::{Admission, circuit_of};
use crate::gate::{Asking, Permit, PutOff};
use crate::stage::{StageContext, StageError, StageErrorKind};

/// An earlier run of this call had the same question for one of the engines, and its answer is still there.
pub(super) async fn reuse_prior(
    cx: &StageContext<'_>,
    infos: &[&EngineInfo],
    extra: &str,
    event: &'static str,
) -> Result<Option<StageOutput>, StageError> {
    let Some(prior) = &cx.lease.prior else { return Ok(None) };
    let (Some(key), Some(params)) = (&prior.result_ref, &prior.params) else { return Ok(None) };
    let same = infos.iter().enumerate().find(|(_, i)| {
        Some(i.name) == prior.engine.as_deref() && hex::encode(i.params_hash(extra)) == *params
    });
    let Some((rank, info)) = same else { return Ok(None) };
    // What a lesser engine did for nothing, because a better one was away, is worth another attempt.
    if rank > 0 && !info.paid {
        return Ok(None);
    }
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

/// What an engine's turn begins with.
pub(super) enum Permission {
    Free,
    /// Send the request under this ledger row.
    Send(JobId),
    /// The answer was there.
    Adopted(Box<StageOutput>),
    /// The provider has it: look there.
    Collect(SubmittedJob),
    /// Somebody else is getting it.
    LookAgain,
    /// The provider is not asked before this has passed.
    KeepAway(Duration),
    /// The same to keep within its limits. The purchase was recorded and nothing was sent.
    PutOff {
        job: Option<JobId>,
        wait: Duration,
        throttled: bool,
    },
}

/// Asks the gate and the ledger whether this worker may send a paid request. The gate comes first: what is bought is
/// sent at once.
pub(super) async fn permission<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    index: usize,
    info: &EngineInfo,
    extra: &str,
    permit: &mut Option<Permit>,
) -> Result<Permission, StageError> {
    let mut finds_out = false;
    let permission = asked_of_all(stage, cx, index, info, extra, permit, &mut finds_out).await;
    // What the ledger answers, or somebody else is waiting for, says nothing of the provider.
    if finds_out && !matches!(permission, Ok(Permission::Send(_))) {
        cx.deps.circuits.not_asked(circuit_of(cx.lease.stage, info.name)).await;
    }
    permission
}

/// The same. `finds_out` is set where this is the one request that a circuit lets through.
async fn asked_of_all<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    index: usize,
    info: &EngineInfo,
    extra: &str,
    permit: &mut Option<Permit>,
    finds_out: &mut bool,
) -> Result<Permission, StageError> {
    // The claim recorded the purchase for the first engine; others are recorded when their turn comes.
    let recorded = if index == 0 { cx.lease.job.clone() } else { None };
    let mut claim = match recorded {
        Some(claim) => claim,
        None => match admitted(cx, info, permit).await {
            Ok(admission) => {
                *finds_out = admission == Admitted::ToFindOut;
                begin(cx, info, extra).await?
            }
            // What is paid for, or on its way, is taken also from a provider that is not asked.
            Err(refused) => match found(cx, info, extra).await? {
                Some(claim) if is_coming(&claim) => claim,
                claim => {
                    leave_unknown(cx, claim.as_ref(), info.idempotent).await?;
                    return Ok(refused);
                }
            },
        },
    };
    if let Some(put_off) = put_off(cx, info, &claim, permit).await {
        leave_unknown(cx, Some(&claim), info.idempotent).await?;
        return Ok(put_off);
    }
    if claim == JobClaim::Raced {
        claim = begin(cx, info, extra).await?;
    }
    match claim {
        JobClaim::Mine { id } => {
            if index > 0 {
                cx.deps.store.job_failover(id).await?;
            }
            Ok(Permission::Send(id))
        }
        JobClaim::Submitted(job) => Ok(Permission::Collect(job)),
        JobClaim::Answered { id, result_ref: key, bytes, sha256 } => {
            let object = OutputObject { key, artifact_type: artifact_type(cx.lease.stage), bytes, sha256 };
            match present(stage, cx, &object).await? {
                Some(object) => {
                    Ok(Permission::Adopted(Box::new(adopted_output(stage, cx, info, extra, object))))
                }
                None => repair(cx, info, extra, id, permit).await,
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
        JobClaim::Unsettled { awaited, .. } if info.settled_within.is_some_and(|within| awaited < within) => {
            Ok(Permission::LookAgain)
        }
        JobClaim::Unsettled { id, cause, estimated_cost, .. } => {
            let affordable = estimated_cost.is_some_and(|cost| cost <= stage.rebuy_max());
            buy_once_more(cx, info, extra, id, cause != "ambiguous" && affordable).await
        }
    }
}

/// Records a purchase, where no other serves.
async fn begin(cx: &StageContext<'_>, info: &EngineInfo, extra: &str) -> Result<JobClaim, StageError> {
    let Some(intent) = intent_of(info, extra) else { return Err(StageError::superseded()) };
    // Before it is recorded: an answer of the database that is lost leaves nothing open either.
    cx.guard.set_unsent(Some(intent.id));
    let claim = cx.deps.store.job_begin(cx.lease, &cx.deps.owner, &intent).await?;
    if !matches!(claim, Some(JobClaim::Mine { .. })) {
        cx.guard.set_unsent(None);
    }
    claim.ok_or_else(StageError::superseded)
}

/// Whether a request follows from this, as far as can be told.
const fn sends(claim: &JobClaim, idempotent: bool) -> bool {
    match claim {
        JobClaim::Mine { .. } | JobClaim::Unsettled { .. } => true,
        JobClaim::InFlight { owner_silent, .. } => *owner_silent && idempotent,
        _ => false,
    }
}

/// Asks the gate about a request that would follow from a purchase which is recorded already.
async fn put_off(
    cx: &StageContext<'_>,
    info: &EngineInfo,
    claim: &JobClaim,
    permit: &mut Option<Permit>,
) -> Option<Permission> {
    if permit.is_some() || !sends(claim, info.idempotent) {
        return None;
    }
    let PutOff { wait, throttled } = through_gate(cx, info, permit).await.err()?;
    let job = if let JobClaim::Mine { id } = claim { Some(*id) } else { None };
    Some(Permission::PutOff { job, wait, throttled })
}

fn unknown(id: JobId) -> JobEnd {
    JobEnd { id, state: JobEndState::Unknown }
}

/// What was perhaps sent is settled when the provider is asked again, which may be never: the stage may go on
/// without it. Until then the ledger says that nobody knows, not that somebody is sending it.
async fn leave_unknown(
    cx: &StageContext<'_>,
    claim: Option<&JobClaim>,
    idempotent: bool,
) -> Result<(), StageError> {
    let left = match claim {
        Some(JobClaim::Unsettled { id, .. }) => *id,
        // Silence for a moment is no proof that nobody is sending it: where that would be bought twice, its lease is
        // awaited.
        Some(JobClaim::InFlight { id, owner_silent: true }) if idempotent => *id,
        _ => return Ok(()),
    };
    Ok(cx.deps.store.job_end(unknown(left), "provider_submit_unconfirmed").await?)
}

/// Ends open purchases of a stage that does not ask, because an operator has said so meanwhile: one that came with the
/// claim was not sent; one that an earlier attempt had perhaps sent is nobody's to find out about any more.
pub async fn leave_unasked(
    cx: &StageContext<'_>,
    infos: &[&EngineInfo],
    extra: &str,
) -> Result<(), StageError> {
    // The worker loop closes what came with the claim.
    let own = if let Some(JobClaim::Mine { id }) = &cx.lease.job { Some(*id) } else { None };
    for info in infos {
        // Whoever sent it has lost the stage, silent or not yet. If its answer comes after all, the ledger takes it.
        if let Some(JobClaim::Unsettled { id, .. } | JobClaim::InFlight { id, .. }) =
            found(cx, info, extra).await?
            && Some(id) != own
        {
            cx.deps.store.job_end(unknown(id), "provider_submit_unconfirmed").await?;
        }
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Admitted {
    AsUsual,
    /// The one request of all programs that finds out whether the provider lives again.
    ToFindOut,
}

/// Asks the circuit and the gate.
async fn admitted(
    cx: &StageContext<'_>,
    info: &EngineInfo,
    permit: &mut Option<Permit>,
) -> Result<Admitted, Permission> {
    let circuit = circuit_of(cx.lease.stage, info.name);
    if cx.deps.circuits.is_open(circuit) {
        return match cx.deps.circuits.admit(circuit).await {
            Admission::Ask => {
                *permit = Some(cx.deps.gates.enter_anyway(circuit, cx.lease.lane));
                Ok(Admitted::ToFindOut)
            }
            Admission::Wait(wait) => Err(Permission::KeepAway(wait)),
        };
    }
    let put_off = |PutOff { wait, throttled }| Permission::PutOff { job: None, wait, throttled };
    through_gate(cx, info, permit).await.map(|()| Admitted::AsUsual).map_err(put_off)
}

async fn through_gate(
    cx: &StageContext<'_>,
    info: &EngineInfo,
    permit: &mut Option<Permit>,
) -> Result<(), PutOff> {
    let circuit = circuit_of(cx.lease.stage, info.name);
    let asking = Asking { lane: cx.lease.lane, retry: cx.lease.tries > 0 };
    *permit = Some(cx.deps.gates.enter(circuit, asking).await?);
    Ok(())
}

/// The live purchase, whatever its state.
async fn found(
    cx: &StageContext<'_>,
    info: &EngineInfo,
    extra: &str,
) -> Result<Option<JobClaim>, StageError> {
    let Some(intent) = intent_of(info, extra) else { return Ok(None) };
    Ok(cx.deps.store.job_found(cx.lease, &intent).await?)
}

/// Whether a purchase can serve without another request.
const fn is_coming(claim: &JobClaim) -> bool {
    matches!(claim, JobClaim::Answered { .. } | JobClaim::Submitted(_) | JobClaim::InFlight { .. })
}

impl Permission {
    /// The purchase of this turn.
    pub(super) fn job(&self) -> Option<JobId> {
        match self {
            Self::Send(job) => Some(*job),
            Self::Collect(job) => Some(job.id),
            Self::PutOff { job, .. } => *job,
            Self::Free | Self::Adopted(_) | Self::LookAgain | Self::KeepAway(_) => None,
        }
    }

    /// Whether the provider has the job.
    pub(super) const fn is_taken(&self) -> bool {
        matches!(self, Self::Collect(_))
    }
}

/// A request was perhaps taken, and nobody can tell. Buying again is a decision, made once at most.
async fn buy_once_more(
    cx: &StageContext<'_>,
    info: &EngineInfo,
    extra: &str,
    old: JobId,
    allowed: bool,
) -> Result<Permission, StageError> {
    if !allowed {
        return Err(StageError::new(
            StageErrorKind::Fail(FailureCode::ProviderSubmitUnconfirmed),
            "provider_submit_unconfirmed",
            "a paid request was perhaps taken; it is not bought a second time",
        )
        .with_engine(info.name)
        // A stage that does without it leaves nothing open behind.
        .with_job(Some(unknown(old))));
    }
    warn!(provider = info.name, "buying once more what was perhaps bought; the ledger says so");
    rebuy(cx, info, extra, old, RebuyCause::Ambiguous).await
}

/// A job was never called back for, and its provider keeps no results. It is bought once more where the price
/// allows it; the ledger says so. `None`: it is not, or somebody else does it.
pub(super) async fn not_called_back<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    info: &EngineInfo,
    extra: &str,
    old: JobId,
) -> Result<Option<JobId>, StageError> {
    let estimate = intent_of(info, extra).and_then(|intent| intent.estimated_cost);
    if estimate.is_none_or(|cost| cost > stage.rebuy_max()) {
        return Ok(None);
    }
    warn!(provider = info.name, "no callback came; asking once more and waiting for the answer");
    let end = unknown(old);
    cx.deps.store.job_end(end, "provider_overdue").await?;
    match rebuy(cx, info, extra, old, RebuyCause::Ambiguous).await? {
        Permission::Send(job) => Ok(Some(job)),
        _ => Ok(None),
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
    cx.guard.set_unsent(Some(intent.id));
    if cx.deps.store.job_buy_again(cx.lease, &cx.deps.owner, &intent, old, cause).await? {
        Ok(Permission::Send(intent.id))
    } else {
        cx.guard.set_unsent(None);
        Ok(Permission::LookAgain)
    }
}

/// An answer whose object is gone is bought again, within the provider's limits.
async fn repair(
    cx: &StageContext<'_>,
    info: &EngineInfo,
    extra: &str,
    old: JobId,
    permit: &mut Option<Permit>,
) -> Result<Permission, StageError> {
    if permit.is_none()
        && let Err(refused) = admitted(cx, info, permit).await
    {
        return Ok(refused);
    }
    rebuy(cx, info, extra, old, RebuyCause::Repair).await
}

/// An answer's object, made ours. It is only gone where storage takes as much again: one that is away, full or behind a
/// gateway that knows nobody says of every object that it is not there. What is written for that goes under this
/// attempt's own name, is longer than the answer, and is replaced by what comes.
async fn present<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    object: &OutputObject,
) -> Result<Option<OutputObject>, StageError> {
    if let Some(object) = adopt(cx, object.clone()).await? {
        return Ok(Some(object));
    }
    let key = cx.keys.document(cx.lease.run_no, stage.document_name(), cx.lease.token);
    let bytes = usize::try_from(object.bytes).unwrap_or_default() + 1;
    cx.deps.blobs.put(&key, vec![0; bytes]).await.map_err(|e| no_storage(e.into()))?;
    adopt(cx, object.clone()).await
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
