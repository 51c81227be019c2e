//! The rules of buying, written once for all engine stages: reuse what is there, adopt what is on its way,
//! settle what was perhaps sent, and only then send; on failure try the next engine.

mod buying;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use scryon_blobs::DocumentName;
use scryon_domain::failure::FailureCode;
use scryon_domain::ids::JobId;
use scryon_providers::{Answer, EngineInfo, ProviderError, Submitted};
use scryon_store::{
    JobEnd, JobEndState, JobIntent, JobSettlement, OutputObject, StageEvent, StageOutput, SubmittedJob,
};
use serde::Serialize;
use serde_json::Value;
use tracing::{info, warn};
use uuid::Uuid;

pub use self::buying::leave_unasked;
use self::buying::{Permission, not_called_back, permission, reuse_prior};
use crate::circuits::circuit_of;
use crate::gate::Permit;
use crate::serve::fills_cores;
use crate::stage::{StageContext, StageDone, StageError, StageErrorKind, completed};

/// How long to wait before looking for an answer that somebody else is getting.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long until a submitted job is looked at again whose provider could not be asked.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How long a worker waits between attempts to write down under which name a provider took a job.
const WRITE_AGAIN: Duration = Duration::from_millis(500);
/// How long to wait when no engine is available: the call is not failed for that.
const NO_ENGINE: Duration = Duration::from_secs(30);
/// How long a call keeps its lease while it waits for a core, and then comes again.
const CORE_PATIENCE: Duration = Duration::from_secs(10);
const NO_CORE: Duration = Duration::from_secs(5);
/// How long an answer is kept for a storage that does not take it.
const KEEP_ANSWER: Duration = Duration::from_secs(600);
/// Longest time of a request and of keeping its answer. The broker takes a delivery back after 30 minutes.
const HELD: Duration = Duration::from_secs(26 * 60);
/// Wait for storage that does not give a recording, or does not take an answer.
const NO_STORAGE: Duration = Duration::from_secs(5);

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
        ticket: Option<Ticket>,
    ) -> Result<Asked<Self::Document>, ProviderError>;
    /// Looks at a job that engine number `index` has taken.
    async fn collect(
        &self,
        _cx: &StageContext<'_>,
        index: usize,
        _job: &SubmittedJob,
    ) -> Result<Asked<Self::Document>, ProviderError> {
        Err(ProviderError::never_submits(self.engines()[index].name))
    }
    /// Whether the results of engine number `index` come by callback alone.
    fn answers_by_callback(&self, _index: usize) -> bool {
        false
    }
    /// Whether the next engine is tried after this error.
    fn gives_way(&self, _cx: &StageContext<'_>, error: &ProviderError) -> bool {
        is_over(error)
    }
    /// The line in the call's log when engine number `index` took a job.
    fn submitted_event(&self, _index: usize) -> Option<&'static str> {
        None
    }
    /// The line in the call's log when engine number `index` was passed over.
    fn passed_event(&self, _index: usize) -> Option<&'static str> {
        None
    }
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

/// The right to send one paid request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The ledger's row.
    pub job: JobId,
    /// A callback did not come: the answer is waited for.
    pub answer_now: bool,
}

/// What asking gave.
#[derive(Debug)]
pub enum Asked<T> {
    Answer(Answer<T>),
    /// A part is done and kept.
    ToBeContinued,
    /// The provider has taken the job.
    Submitted(Submitted),
    /// The provider is not done: look again after this.
    Pending(Duration),
}

/// An error after which this engine has nothing more to give, and another may.
pub const fn is_over(error: &ProviderError) -> bool {
    matches!(
        error,
        ProviderError::Unavailable { .. }
            | ProviderError::Rejected { .. }
            | ProviderError::Declined { .. }
            | ProviderError::CircuitOpen { .. }
            | ProviderError::Overdue { .. }
            | ProviderError::JobFailed { .. }
    )
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
    let mut passed = Vec::new();
    for (index, info) in infos.iter().enumerate() {
        let mut permit = None;
        let permission = if info.paid {
            permission(stage, cx, index, info, &extra, &mut permit).await?
        } else {
            Permission::Free
        };
        let mut turn = Turn {
            index,
            info,
            job: permission.job(),
            taken: permission.is_taken(),
            started: Instant::now(),
        };
        let mut asked = match permission {
            Permission::Adopted(output) => {
                return Ok(EngineEnd::Done(EngineDone { output: *output, document: None }));
            }
            Permission::LookAgain => return Ok(EngineEnd::Early(StageDone::wait(LOOK_AGAIN))),
            Permission::Free => ask_here(stage, cx, index).await,
            Permission::Send(job) => {
                send(stage, cx, index, Ticket { job, answer_now: false }, permit.take()).await
            }
            Permission::KeepAway(wait) => Err(ProviderError::CircuitOpen { engine: info.name, wait }),
            Permission::PutOff { wait, throttled, .. } => {
                Err(ProviderError::Paced { engine: info.name, wait, throttled })
            }
            Permission::Collect(job) => collect(stage, cx, index, &job).await,
        };
        if let (Some(job), Err(ProviderError::Overdue { .. })) = (turn.job, &asked)
            && stage.answers_by_callback(index)
            && let Some(job) = not_called_back(stage, cx, info, &extra, job).await?
        {
            turn = Turn { job: Some(job), taken: false, ..turn };
            asked = send(stage, cx, index, Ticket { job, answer_now: true }, None).await;
        }
        match asked {
            Ok(Asked::ToBeContinued) => return Ok(EngineEnd::Early(StageDone::ToBeContinued)),
            Ok(Asked::Pending(look_in)) => return Ok(EngineEnd::Early(StageDone::wait(look_in))),
            Ok(Asked::Submitted(submitted)) => {
                info!(provider = info.name, "a provider has taken a job; no worker waits for it");
                let event = stage.submitted_event(index).map(|e| turn.event(e));
                return Ok(EngineEnd::Early(StageDone::Wait { delay: submitted.look_in, event }));
            }
            Ok(Asked::Answer(answer)) => {
                let mut done = answered(stage, cx, &turn, &extra, answer).await?;
                done.output.events.splice(0..0, passed);
                return Ok(EngineEnd::Done(done));
            }
            Err(error) => last = Some(pass_over(stage, cx, &turn, &error, &mut passed).await?),
        }
    }
    Err(last.map(StageError::without_job).unwrap_or_else(no_engine))
}

fn no_engine() -> StageError {
    let what = "no engine is configured for this stage";
    StageError::new(StageErrorKind::Pause(NO_ENGINE), "no_engine", what)
}

/// One engine's turn at a stage.
struct Turn<'a> {
    index: usize,
    info: &'a EngineInfo,
    job: Option<JobId>,
    /// The provider has the job.
    taken: bool,
    started: Instant,
}

impl Turn<'_> {
    fn event(&self, stage: &'static str) -> StageEvent {
        completed(stage, Some(self.info.name), self.started)
    }
}

/// Goes on to the next engine, or gives the error back where the stage does not.
async fn pass_over<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    turn: &Turn<'_>,
    error: &ProviderError,
    passed: &mut Vec<StageEvent>,
) -> Result<StageError, StageError> {
    let circuit = circuit_of(cx.lease.stage, turn.info.name);
    let hurried = is_throttling(error) && cx.deps.circuits.fails_fast(circuit);
    let asked = !matches!(error, ProviderError::Paced { .. });
    let failed = matches!(error, ProviderError::Transient { .. } | ProviderError::Ambiguous { .. });
    let kept_away = if failed { cx.deps.circuits.kept_away(circuit) } else { None };
    // Who found a provider dead goes on as those do who come after: else it would be the one that asks at each half
    // opening, while all others have the next engine. What was perhaps bought is settled here first.
    let found_dead = kept_away.is_some() && matches!(error, ProviderError::Transient { .. });
    let goes_on = hurried || found_dead || stage.gives_way(cx, error);
    let mut error = StageError { hurried, ..stage_error(stage, turn, error) };
    // A provider that is taken for dead is not this call's doing: also who finds out waits at no cost.
    if let Some(wait) = kept_away {
        error.kind = StageErrorKind::Pause(wait);
    }
    let provider = turn.info.name;
    if asked {
        warn!(provider, errorCode = error.code, "an engine gave no answer: {}", error.what);
    }
    if !goes_on {
        return Err(error);
    }
    // The next engine's purchase is another row: this one's end is recorded before it.
    if let Some(job) = error.job {
        let ended = cx.deps.store.job_end(job, error.code).await;
        ended.map_err(|e| StageError::from(e).with_job(Some(job)))?;
    }
    if let Some(event) = stage.passed_event(turn.index) {
        let error_code = Some(error.code.to_owned());
        passed.push(StageEvent { status: "FAILED", error_code, ..turn.event(event) });
    }
    Ok(error)
}

/// Whether the provider has asked for a pause: by this answer, or by one before it.
const fn is_throttling(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Throttled { .. } | ProviderError::Paced { throttled: true, .. })
}

/// Asks an engine that costs nothing. Where it fills a core, and others of its stage wait for a provider, more calls may
/// come to it at once than there are cores.
async fn ask_here<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    index: usize,
) -> Result<Asked<S::Document>, ProviderError> {
    let infos = stage.engines();
    if !infos[index].cpu_bound || fills_cores(infos.iter().copied()) {
        return stage.ask(cx, index, None).await;
    }
    let turn = tokio::time::timeout(CORE_PATIENCE, cx.deps.cores.acquire()).await;
    // Its row waits better than its lease, and another worker may have a core.
    let Ok(Ok(_turn)) = turn else {
        return Err(ProviderError::Paced { engine: infos[index].name, wait: NO_CORE, throttled: false });
    };
    stage.ask(cx, index, None).await
}

/// Sends a paid request. A job that the provider takes is written down before anything else happens.
async fn send<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    index: usize,
    ticket: Ticket,
    permit: Option<Permit>,
) -> Result<Asked<S::Document>, ProviderError> {
    let job = ticket.job;
    let circuit = circuit_of(cx.lease.stage, stage.engines()[index].name);
    let mut permit = permit.unwrap_or_else(|| cx.deps.gates.enter_anyway(circuit, cx.lease.lane));
    permit.turn().await;
    cx.guard.set_job(Some(job));
    cx.deps.crash_point("C9");
    let mut asked = stage.ask(cx, index, Some(ticket)).await;
    let come_back = permit.end(asked.as_ref().err());
    if let (Err(ProviderError::Throttled { pause, .. }), Some(wait)) = (&mut asked, come_back) {
        *pause = wait;
    }
    if let Ok(Asked::Submitted(submitted)) = &asked {
        cx.deps.crash_point("C10");
        // However long Postgres is away: a name that is lost here may be a second purchase later.
        while let Err(error) =
            cx.deps.store.job_submitted(job, &submitted.external_id, submitted.deadline).await
        {
            warn!(error = %error, "failed to write down a submitted job; trying again");
            tokio::time::sleep(WRITE_AGAIN).await;
        }
        cx.deps.crash_point("C11");
    }
    // An answer stays a purchase in flight until the stage has ended: a lease that is lost while its document is being
    // written must not drop it.
    if !matches!(asked, Ok(Asked::Answer(_))) {
        cx.guard.set_job(None);
    }
    cx.deps.circuits.report(circuit, asked.as_ref().err()).await;
    asked
}

/// Looks at a job that runs at the provider. Looking is free, so trouble with it only means to look again.
async fn collect<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    index: usize,
    job: &SubmittedJob,
) -> Result<Asked<S::Document>, ProviderError> {
    let engine = stage.engines()[index].name;
    let pending = match stage.collect(cx, index, job).await {
        Ok(Asked::Pending(look_in)) => look_in,
        Err(ProviderError::Throttled { pause, .. }) => pause,
        Err(ProviderError::Transient { .. } | ProviderError::Ambiguous { .. } | ProviderError::Audio(_)) => {
            ASK_AGAIN
        }
        other => return other,
    };
    if job.overdue { Err(ProviderError::Overdue { engine }) } else { Ok(Asked::Pending(pending)) }
}

async fn answered<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    turn: &Turn<'_>,
    extra: &str,
    answer: Answer<S::Document>,
) -> Result<EngineDone<S::Document>, StageError> {
    stage.observe(cx, turn.info.name, turn.started.elapsed().as_secs_f64());
    let job = turn.job.map(|id| JobSettlement {
        id,
        units: answer.units,
        unit: answer.unit,
        billed_cost: answer.billed_cost,
    });
    // A job that was collected can be collected again.
    let bought = job.as_ref().filter(|_| !turn.taken);
    let object = stored(stage, cx, turn, &answer.content, bought).await?;
    Ok(EngineDone {
        output: StageOutput {
            engine: Some(turn.info.name.to_owned()),
            params_hash: Some(turn.info.params_hash(extra)),
            object: Some(object),
            details: Some(stage.details(&answer.content)),
            events: vec![turn.event(stage.event())],
            job,
            ..StageOutput::default()
        },
        document: Some(answer.content),
    })
}

/// Stores an answer. It was paid for, or took minutes of a core: where storage does not take it, it is kept and tried
/// again. Where that ends without success, the ledger says that it was bought and where it was to lie, so that it is
/// bought again as one whose object is gone, never as an uncertain one.
async fn stored<S: EngineStage>(
    stage: &S,
    cx: &StageContext<'_>,
    turn: &Turn<'_>,
    document: &S::Document,
    bought: Option<&JobSettlement>,
) -> Result<OutputObject, StageError> {
    let (object, body) = cx.encoded(stage.document_name(), document)?;
    if let Some(job) = bought {
        cx.guard.set_unstored(Some((job.clone(), object.clone())));
    }
    let since = Instant::now();
    let patience = KEEP_ANSWER.min(HELD.saturating_sub(turn.started.elapsed()));
    loop {
        let error = match cx.put(&object, body.clone()).await {
            Ok(()) => return Ok(object),
            Err(error) => no_storage(error),
        };
        if since.elapsed() >= patience {
            // What follows is another purchase: it counts.
            let kind = if bought.is_some() { StageErrorKind::Retry } else { error.kind };
            return Err(StageError { kind, ..error });
        }
        warn!(
            provider = turn.info.name,
            errorCode = error.code,
            "an answer is kept until it can be stored: {}",
            error.what
        );
        tokio::time::sleep(NO_STORAGE).await;
    }
}

/// Storage that does not take something, whatever it says: a bucket that is away says that the object is not there.
fn no_storage(error: StageError) -> StageError {
    StageError { kind: StageErrorKind::Pause(NO_STORAGE), code: "storage_unavailable", ..error }
}

/// What an engine's error means for the stage.
fn stage_error<S: EngineStage>(stage: &S, turn: &Turn<'_>, error: &ProviderError) -> StageError {
    let code = error.code();
    let (kind, state) = match error {
        ProviderError::Transient { .. } => (StageErrorKind::Retry, JobEndState::Failed),
        ProviderError::Throttled { pause, .. } => (StageErrorKind::Pause(*pause), JobEndState::Failed),
        ProviderError::CircuitOpen { wait, .. } | ProviderError::Paced { wait, .. } => {
            (StageErrorKind::Pause(*wait), JobEndState::Failed)
        }
        // A job that cannot be looked at for now runs on.
        ProviderError::Unavailable { .. } if turn.taken => {
            (StageErrorKind::Pause(NO_ENGINE), JobEndState::Unknown)
        }
        ProviderError::Unavailable { .. } => (StageErrorKind::Pause(NO_ENGINE), JobEndState::Failed),
        ProviderError::Ambiguous { .. } => (StageErrorKind::Retry, JobEndState::Unknown),
        ProviderError::Rejected { .. } | ProviderError::Declined { .. } | ProviderError::JobFailed { .. } => {
            (StageErrorKind::Fail(stage.rejected()), JobEndState::Failed)
        }
        // Its answer may still come, and is found under the job's name.
        ProviderError::Overdue { .. } => (StageErrorKind::Pause(NO_ENGINE), JobEndState::Unknown),
        ProviderError::Malformed { .. } => (StageErrorKind::Suspect(stage.malformed()), JobEndState::Failed),
        ProviderError::Audio(e) if e.kind() == std::io::ErrorKind::NotFound => {
            (StageErrorKind::Fail(FailureCode::ArtifactMissing), JobEndState::Failed)
        }
        // Storage is away: like every outage it costs no try.
        ProviderError::Audio(_) => (StageErrorKind::Pause(NO_STORAGE), JobEndState::Failed),
    };
    StageError::new(kind, code, error.to_string())
        .with_engine(turn.info.name)
        .with_job(turn.job.map(|id| JobEnd { id, state }))
}
