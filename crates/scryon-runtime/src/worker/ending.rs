//! How an attempt ends: with a result, for another try, for good, or handed back.

use std::time::{Duration, Instant};

use scryon_domain::failure::FailureCode;
use scryon_domain::ids::{CallId, HintId, LeaseToken};
use scryon_domain::stage::{Lane, StageKind};
use scryon_store::{
    Advanced, Claimant, Continuation, JobEnd, JobEndState, Lease, Setback, StageEvent, StoreError, TokenState,
};
use tracing::{debug, info, warn};

use super::claiming::Claimed;
use super::{Ran, Shared, StageEntry, Step, event_of};
use crate::leases::LeaseGuard;
use crate::retry::{Patience, backoff_of_try};
use crate::slots::Slot;
use crate::stage::{StageContext, StageDone, StageError, StageErrorKind};

/// The code of work that was put off to keep within a provider's limits.
const PACED: &str = "provider_paced";
/// Tries of an answer of the wrong shape, or of a bug.
const SUSPECT_TRIES: i32 = 2;

/// The drain is over, and Postgres is still away.
struct GivenUp;

impl Shared {
    /// What follows from the end of the work; gives the word for it in the metrics.
    pub(super) async fn ended(
        &self,
        entry: &StageEntry,
        cx: &StageContext<'_>,
        ran: Ran,
        hint_id: HintId,
        started: Instant,
    ) -> (&'static str, Step) {
        self.settle(cx, &ran).await;
        match ran {
            Ran::Done(done) => self.conclude(entry, cx, done, hint_id, started).await,
            Ran::Failed(mut error) => {
                // A panic behind a request names no purchase.
                error.job = error.job.or(cx.guard.job().map(|id| JobEnd { id, state: JobEndState::Unknown }));
                self.set_back(entry, cx, error, hint_id, started).await
            }
            Ran::Superseded => ("superseded", self.superseded(cx.lease)),
            Ran::GivenUp => ("handed_back", self.hand_back(cx.lease, cx.guard).await),
        }
    }

    /// Says in the ledger what is known of a purchase whose work has ended, and nobody else will say. One is recorded
    /// with the claim: where the work ended before its request, it was not "perhaps sent". Left open it would hold up
    /// whoever comes next until its lease is over, and be bought as an uncertain one then. An answer that went to
    /// storage was bought, whether or not it lies there.
    async fn settle(&self, cx: &StageContext<'_>, ran: &Ran) {
        let store = &self.deps.store;
        let mut patience = Patience::new(&self.giving_up);
        let closed_by_setback =
            |job| matches!(ran, Ran::Failed(StageError { job: Some(end), .. }) if end.id == job);
        if let Some(job) = cx.guard.take_unsent().filter(|job| !closed_by_setback(*job)) {
            while let Err(error) = store.job_not_sent(job, &self.deps.owner).await {
                warn!(error = %error, "failed to close a purchase that was not sent");
                if !error.is_unavailable() || !patience.wait().await {
                    break;
                }
            }
        }
        // What is done says so itself.
        let unsaid = cx.guard.take_unstored().filter(|_| !matches!(ran, Ran::Done(_)));
        if let Some((settlement, object)) = unsaid {
            while let Err(error) = store.job_store_answer(&settlement, &object).await {
                warn!(error = %error, "failed to record an answer whose stage has ended");
                if !error.is_unavailable() || !patience.wait().await {
                    break;
                }
            }
        }
    }

    async fn conclude(
        &self,
        entry: &StageEntry,
        cx: &StageContext<'_>,
        done: StageDone,
        hint_id: HintId,
        started: Instant,
    ) -> (&'static str, Step) {
        let wait = match &done {
            StageDone::ToBeContinued => Some((Duration::ZERO, false, None)),
            StageDone::Wait { delay, event } => Some((*delay, true, event.clone())),
            _ => None,
        };
        if let Some((delay, waiting, event)) = wait {
            let setback = Setback { delay, counts: false, waiting, error_code: None, event, job: None };
            return ("waiting", self.apply_setback(cx.lease, &setback).await);
        }
        let skipped = matches!(&done, StageDone::Output(o) | StageDone::Analysis { output: o, .. } if o.skipped.is_some());
        let (lane, call) = (cx.lease.lane, (cx.lease.call_id, cx.lease.run_no));
        let next = self.continuation(entry, lane, (hint_id, LeaseToken::fresh()), call);
        let finished = self.finish(cx.lease, &done, next.as_ref().map(|(c, _)| c)).await;
        match finished {
            Ok(Some(Advanced { held, announce })) => {
                log_finished(cx.lease, started);
                let step = match (held, next) {
                    (Some(lease), Some((_, slot))) => Step::GoOn(lease, slot, announce),
                    _ => Step::Announce(announce, None),
                };
                (if skipped { "skipped" } else { "succeeded" }, step)
            }
            Ok(None) => ("superseded", self.superseded(cx.lease)),
            // Done, and not written down: the delivery comes back, and its next owner does it again.
            Err(GivenUp) => ("handed_back", Step::Leave),
        }
    }

    /// The next stage and a slot for it, where this worker can go on at once.
    pub(super) fn continuation(
        &self,
        entry: &StageEntry,
        lane: Lane,
        (hint_id, token): (HintId, LeaseToken),
        (call_id, run_no): (CallId, i32),
    ) -> Option<(Continuation, Slot)> {
        if self.stopping.is_cancelled() {
            return None;
        }
        let kind = entry.next?;
        // Paused by an operator: it stays in its queue, where it is seen.
        if self.deps.switches.now().is_paused(kind, lane) {
            return None;
        }
        let next = self.stages.get(&kind)?;
        let slot = next.slots.try_acquire(lane)?;
        let intent = self.intent(next, call_id, run_no, token);
        Some((Continuation { stage: kind, owner: self.deps.owner.to_string(), hint_id, token, intent }, slot))
    }

    /// Finishes, however long Postgres is away. An answer that was lost is looked up by the token.
    async fn finish(
        &self,
        lease: &Lease,
        done: &StageDone,
        next: Option<&Continuation>,
    ) -> Result<Option<Advanced>, GivenUp> {
        let store = &self.deps.store;
        let mut patience = Patience::new(&self.giving_up);
        let mut unanswered = false;
        loop {
            let result = match done {
                StageDone::Output(output) => store.stage_finish(lease, output, next).await,
                StageDone::Assembly { output, analysis_enabled } => {
                    store.assembly_finish(lease, output, *analysis_enabled).await
                }
                StageDone::Analysis { output, effects } => {
                    store.analysis_finish(lease, output, effects).await
                }
                StageDone::ToBeContinued | StageDone::Wait { .. } => return Ok(None),
            };
            let refused = match result {
                // What is refused after a try without an answer was perhaps done by that try.
                Ok(None) if unanswered => true,
                Ok(finished) => {
                    self.deps.crash_point("C16");
                    return Ok(finished);
                }
                Err(error) => {
                    warn!(error = %error, "failed to finish a stage; looking whether it took effect");
                    unanswered |= error.outcome_is_unknown();
                    false
                }
            };
            if !patience.wait().await {
                return Err(GivenUp);
            }
            match store.stage_token_state(lease).await {
                Ok(TokenState::Over(announce)) => {
                    if let Ok(held) = self.went_on(lease, next).await {
                        return Ok(Some(Advanced { held, announce }));
                    }
                }
                Ok(TokenState::Gone | TokenState::StillRunning) if refused => {
                    if let Some(next) = next {
                        self.close_unheld(next.token, None).await;
                    }
                    return Ok(None);
                }
                // Also where the stage was taken back meanwhile: Finish writes down what was paid for, whoever holds it.
                Ok(TokenState::Gone | TokenState::StillRunning) | Err(_) => {}
            }
        }
    }

    /// The stage that a Finish went on with whose answer was lost: claimed again under its token.
    async fn went_on(
        &self,
        lease: &Lease,
        next: Option<&Continuation>,
    ) -> Result<Option<Box<Lease>>, StoreError> {
        let Some(next) = next else { return Ok(None) };
        let claimant = Claimant {
            owner: next.owner.clone(),
            hint_id: next.hint_id,
            redelivered: false,
            lane: lease.lane,
            token: next.token,
        };
        let (call_id, run_no, intent) = (lease.call_id, lease.run_no, next.intent.as_ref());
        let held = self.deps.store.stage_claim(call_id, run_no, next.stage, &claimant, intent).await?;
        self.close_unheld(next.token, held.as_ref()).await;
        Ok(held.map(Box::new))
    }

    async fn set_back(
        &self,
        entry: &StageEntry,
        cx: &StageContext<'_>,
        error: StageError,
        hint_id: HintId,
        started: Instant,
    ) -> (&'static str, Step) {
        let tries = cx.lease.tries + 1;
        let code = match error.kind {
            StageErrorKind::Superseded => return ("superseded", self.superseded(cx.lease)),
            StageErrorKind::Fail(code) => Some(code),
            StageErrorKind::Suspect(code) => (tries >= SUSPECT_TRIES).then_some(code),
            StageErrorKind::Retry => (tries >= self.max_tries).then_some(exhausted(cx.lease.stage)),
            StageErrorKind::Pause(_) => None,
        };
        let event = failed_event(cx.lease.stage, &error, started);
        // A pause may be for ever, as far as this call is concerned: a stage that can do without says so.
        if (code.is_some() || matches!(error.kind, StageErrorKind::Pause(_)))
            && let Some(done) = entry.stage.last_resort(cx, &error).await
        {
            if let Some(job) = error.job {
                self.purchase_ended(job, error.code).await;
            }
            return self.conclude(entry, cx, done, hint_id, started).await;
        }
        if let Some(code) = code {
            warn!(errorCode = %code, provider = error.engine, attempts = tries, "a stage failed for good: {}", error.what);
            return ("failed", self.fail(cx.lease, code, &event, &error).await);
        }
        let delay = match error.kind {
            StageErrorKind::Pause(pause) => pause,
            _ => backoff_of_try(tries),
        };
        let delay_ms = delay.as_millis() as u64;
        if error.code == PACED {
            // One line for each call of thousands that wait says nothing; a metric counts them.
            debug!(provider = error.engine, delayMs = delay_ms, "a stage is put off: {}", error.what);
        } else {
            info!(
                errorCode = error.code,
                provider = error.engine,
                delayMs = delay_ms,
                "a stage is tried again: {}",
                error.what
            );
        }
        let setback = Setback {
            delay,
            counts: !matches!(error.kind, StageErrorKind::Pause(_)),
            waiting: false,
            error_code: Some(error.code.to_owned()),
            // A request that was never made is no line in the call's log.
            event: Some(event).filter(|_| error.code != PACED),
            job: error.job,
        };
        ("retry", self.apply_setback(cx.lease, &setback).await)
    }

    /// Records the end of a purchase that the stage goes on without, however long Postgres is away: nobody comes back to
    /// it, and the ledger would say for ever that it is being sent.
    async fn purchase_ended(&self, job: JobEnd, code: &'static str) {
        let mut patience = Patience::new(&self.giving_up);
        while let Err(error) = self.deps.store.job_end(job, code).await {
            warn!(error = %error, "failed to record the end of a purchase");
            if !patience.wait().await {
                return;
            }
        }
    }

    async fn apply_setback(&self, lease: &Lease, setback: &Setback) -> Step {
        let store = &self.deps.store;
        let mut patience = Patience::new(&self.giving_up);
        let mut unanswered = false;
        loop {
            match store.stage_set_back(lease, setback).await {
                Ok(Some(hint)) => {
                    let delay = (!setback.delay.is_zero()).then_some(setback.delay);
                    return Step::Announce(vec![hint], delay);
                }
                // Done by the try before, perhaps: what is due is announced, whoever put it back.
                Ok(None) if unanswered => {
                    let due = store.stages_pending(lease.call_id).await.unwrap_or_default();
                    return Step::Announce(due, None);
                }
                Ok(None) => return self.superseded(lease),
                Err(error) => {
                    warn!(error = %error, "failed to put a stage back; trying again");
                    unanswered |= error.outcome_is_unknown();
                    if !patience.wait().await {
                        return Step::Leave;
                    }
                }
            }
        }
    }

    async fn fail(&self, lease: &Lease, code: FailureCode, event: &StageEvent, error: &StageError) -> Step {
        let mut patience = Patience::new(&self.giving_up);
        loop {
            match self.deps.store.stage_fail(lease, code.as_str(), Some(event), error.job).await {
                Ok(true) => return Step::Announce(Vec::new(), None),
                Ok(false) => return self.superseded(lease),
                Err(error) => {
                    warn!(error = %error, "failed to record a failure; trying again");
                    if !patience.wait().await {
                        return Step::Leave;
                    }
                }
            }
        }
    }

    fn superseded(&self, lease: &Lease) -> Step {
        self.deps.metrics.superseded.with_label_values(&[lease.stage.as_str()]).inc();
        info!(
            run = lease.run_no,
            "a result was dropped: the call was reset, cancelled, deleted or taken over"
        );
        Step::Announce(Vec::new(), None)
    }

    /// A lease that nobody began to work under, because this program stops.
    pub(super) async fn hand_back_unbegun(&self, lease: &Lease, guard: &LeaseGuard) -> Claimed {
        if let Some(job) = guard.take_unsent()
            && let Err(error) = self.deps.store.job_not_sent(job, &self.deps.owner).await
        {
            warn!(error = %error, "failed to close a purchase that was not sent");
        }
        match self.hand_back(lease, guard).await {
            Step::Announce(hints, _) => Claimed::Announce(hints),
            Step::GoOn(..) | Step::Leave => Claimed::GivenUp,
        }
    }

    /// The end of the drain: the stage is free for others at once, at no try. A paid request that is cut
    /// here stays in the ledger as perhaps sent, and the next worker settles it.
    async fn hand_back(&self, lease: &Lease, guard: &LeaseGuard) -> Step {
        if let Some(job) = guard.job()
            && let Err(error) = self.deps.store.job_release(job, &self.deps.owner).await
        {
            debug!(error = %error, "a purchase was not handed back; its lease ends by itself");
        }
        let setback = Setback {
            delay: Duration::ZERO,
            counts: false,
            waiting: false,
            error_code: None,
            event: None,
            job: None,
        };
        match self.deps.store.stage_set_back(lease, &setback).await {
            Ok(Some(hint)) => Step::Announce(vec![hint], None),
            Ok(None) => Step::Announce(Vec::new(), None),
            Err(error) => {
                debug!(error = %error, "a stage was not handed back; its lease ends by itself");
                Step::Leave
            }
        }
    }
}

/// The reason of a call whose stage was tried often enough.
const fn exhausted(stage: StageKind) -> FailureCode {
    match stage {
        StageKind::Preprocessing => FailureCode::InternalError,
        StageKind::Transcription | StageKind::Diarization => FailureCode::TranscriptionFailed,
        StageKind::Assembly => FailureCode::AssemblyFailed,
        StageKind::Analysis => FailureCode::AnalysisFailed,
    }
}

fn failed_event(stage: StageKind, error: &StageError, started: Instant) -> StageEvent {
    let event = StageEvent {
        status: "FAILED",
        error_code: Some(error.code.to_owned()),
        ..crate::stage::completed(event_of(stage), error.engine, started)
    };
    if error.job.is_some_and(|j| j.state == JobEndState::Unknown) {
        debug!("a paid request ended without an answer; the ledger keeps it as perhaps sent");
    }
    event
}

fn log_finished(lease: &Lease, started: Instant) {
    info!(
        event = "PIPELINE",
        stage = event_of(lease.stage),
        status = "COMPLETED",
        run = lease.run_no,
        durationMs = started.elapsed().as_millis() as u64,
        "stage done"
    );
}

pub(super) fn log_skipped(stage: StageKind, run: i32) {
    info!(
        event = "PIPELINE",
        stage = event_of(stage),
        status = "SKIPPED",
        run,
        durationMs = 0u64,
        "stage skipped"
    );
}
