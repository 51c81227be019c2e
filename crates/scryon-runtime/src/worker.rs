//! The worker loop, written once for all stages: delivery → claim → work → finish → announce → ack.
//!
//! The delivery is kept until what follows from it is in Postgres and announced, so that a death anywhere
//! brings it back; the lease keeps everybody else out meanwhile.

mod ending;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use scryon_domain::failure::FailureCode;
use scryon_domain::hint::{Hint, HintError};
use scryon_domain::ids::CallId;
use scryon_domain::stage::{Lane, StageKind};
use scryon_domain::trace::TraceParent;
use scryon_queue::{Consumers, Delivery, Observer, QueueSettings, Subscription, Topology};
use scryon_store::{Advanced, Beginning, Claimant, JobIntent, Lease, StoreError, Unclaimed};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::announce::Announce;
use crate::circuits::circuit_of;
use crate::epoch;
use crate::leases::Leases;
use crate::retry::Patience;
use crate::slots::{Slot, Slots};
use crate::stage::{Stage, StageContext, StageDeps, StageDone, StageError, StageErrorKind};

/// How often a delivery that came back looks whether its former owner is silent by now.
const OWNER_LOOK: Duration = Duration::from_millis(500);
/// Kept at the end of the drain for handing work back.
const HAND_BACK: Duration = Duration::from_secs(2);

/// Works on some stages of every call it can get.
pub struct Worker {
    shared: Arc<Shared>,
    consumers: Consumers,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

struct StageEntry {
    stage: Arc<dyn Stage>,
    slots: Slots,
    /// The stage this worker goes on with on the same delivery, where it works on it.
    next: Option<StageKind>,
}

struct Shared {
    stages: HashMap<StageKind, StageEntry>,
    deps: StageDeps,
    announcer: Arc<dyn Announce>,
    leases: Leases,
    max_tries: i32,
    /// No new claims.
    stopping: CancellationToken,
    /// Work in flight is handed back.
    giving_up: CancellationToken,
    tasks: AtomicUsize,
    idle: Notify,
}

/// What a worker needs besides its stages.
#[derive(Clone)]
pub struct WorkerParts {
    pub deps: StageDeps,
    pub announcer: Arc<dyn Announce>,
    pub leases: Leases,
    pub queue: QueueSettings,
    pub observer: Arc<dyn Observer>,
    /// Attempts of a stage.
    pub max_tries: u32,
}

impl std::fmt::Debug for WorkerParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerParts").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts consuming the queues of `stages`.
    pub fn start(stages: Vec<Arc<dyn Stage>>, parts: WorkerParts) -> Self {
        let topology = Topology::new(parts.queue.prefix.clone());
        let kinds: Vec<StageKind> = stages.iter().map(|s| s.kind()).collect();
        let entries: HashMap<StageKind, StageEntry> = stages
            .into_iter()
            .map(|stage| {
                let next = continuation_of(&*stage).filter(|next| kinds.contains(next));
                let slots = Slots::new(stage.slots());
                (stage.kind(), StageEntry { stage, slots, next })
            })
            .collect();
        let shared = Arc::new(Shared {
            stages: entries,
            deps: parts.deps,
            announcer: parts.announcer,
            leases: parts.leases,
            max_tries: i32::try_from(parts.max_tries).unwrap_or(i32::MAX),
            stopping: CancellationToken::new(),
            giving_up: CancellationToken::new(),
            tasks: AtomicUsize::new(0),
            idle: Notify::new(),
        });
        let subscriptions = shared.subscriptions(&topology);
        let consumers = Consumers::start(parts.queue, subscriptions, parts.observer);
        Self { shared, consumers }
    }

    /// Calls this worker has in its hands.
    pub fn in_flight(&self) -> usize {
        self.shared.tasks.load(Ordering::SeqCst)
    }

    /// Stops: no new work, waits for what is in flight, hands the rest back. Takes at most `drain`.
    pub async fn stop(self, drain: Duration) {
        let shared = &self.shared;
        self.consumers.stop_intake();
        shared.stopping.cancel();
        let patience = drain.saturating_sub(HAND_BACK);
        if tokio::time::timeout(patience, shared.until_idle()).await.is_err() {
            info!(inFlight = self.in_flight(), "handing back what is still in flight");
            shared.giving_up.cancel();
            // What cannot be handed back is found by its lease and its unacknowledged delivery.
            let _rest = tokio::time::timeout(HAND_BACK, shared.until_idle()).await;
        }
        self.consumers.close().await;
    }
}

/// Light work is carried through on the same delivery: one message and one claim fewer. Work that fills a
/// core is not, because the delivery would keep its queue's place from calls that others could start.
fn continuation_of(stage: &dyn Stage) -> Option<StageKind> {
    match stage.kind() {
        StageKind::Preprocessing if stage.is_light() => Some(StageKind::Transcription),
        StageKind::Transcription | StageKind::Diarization => Some(StageKind::Assembly),
        _ => None,
    }
}

impl Shared {
    fn subscriptions(self: &Arc<Self>, topology: &Topology) -> Vec<Subscription> {
        let mut subscriptions = Vec::new();
        for (kind, entry) in &self.stages {
            for lane in Lane::ALL {
                // A delivery that is carried into the next stage fills a place of this queue meanwhile.
                let carried =
                    entry.next.and_then(|n| self.stages.get(&n)).map_or(0, |n| n.slots.of_lane(lane));
                let prefetch = u16::try_from(entry.slots.of_lane(lane) + carried).unwrap_or(u16::MAX);
                let shared = self.clone();
                subscriptions.push(Subscription {
                    queue: topology.queue(*kind, lane),
                    prefetch,
                    handler: Arc::new(move |delivery| shared.clone().receive(delivery)),
                    paused: self.deps.switches.paused(*kind, lane),
                });
            }
        }
        subscriptions
    }

    fn receive(self: Arc<Self>, delivery: Delivery) {
        if self.stopping.is_cancelled() {
            return; // not acknowledged: it goes to somebody else
        }
        self.tasks.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            let handled = AssertUnwindSafe(self.handle(delivery)).catch_unwind().await;
            if handled.is_err() {
                error!("the worker loop itself panicked; the delivery comes back");
            }
            if self.tasks.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.idle.notify_waiters();
            }
        });
    }

    async fn until_idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.tasks.load(Ordering::SeqCst) == 0 {
                return;
            }
            // Between the check and the wait the last task may have ended: look again now and then.
            let _woken = tokio::time::timeout(Duration::from_millis(100), notified).await;
        }
    }

    async fn handle(&self, delivery: Delivery) {
        let hint = match Hint::parse(&delivery.body) {
            Ok(hint) => hint,
            Err(reason @ (HintError::Malformed | HintError::UnknownVersion { .. })) => {
                warn!(errorCode = "bad_hint", "parking a message: {reason}");
                delivery.park().await;
                return;
            }
        };
        if !epoch::is_of_this_life(&hint, &self.deps).await {
            self.deps.metrics.hints_other_epoch.inc();
            delivery.ack().await;
            return;
        }
        let trace = TraceParent::continue_or_start(delivery.traceparent.as_deref()).hop().to_string();
        let span =
            info_span!("stage", callId = %hint.call_id, tenantId = %hint.tenant_id, stage = %hint.stage);
        self.handle_hint(delivery, hint, &trace).instrument(span).await;
    }

    async fn handle_hint(&self, delivery: Delivery, hint: Hint, trace: &str) {
        let queue = format!("{}.{}", hint.stage, hint.lane);
        self.leases.unclaimed(&queue, 1);
        let claimed = self.claim(&delivery, &hint, trace).await;
        self.leases.unclaimed(&queue, -1);
        match claimed {
            Claimed::Held(lease, slot) => self.work_through(delivery, *lease, slot, trace).await,
            Claimed::Nothing => {
                self.deps.metrics.hints_unclaimed.with_label_values(&[hint.stage.as_str()]).inc();
                delivery.ack().await;
            }
            Claimed::Announce(hints) => {
                self.announcer.announce(&hints, Some(trace)).await;
                delivery.ack().await;
            }
            // Stopping: not acknowledged, so that somebody else gets it.
            Claimed::GivenUp => {}
        }
    }

    /// Gets a slot and a lease. Keeps trying while Postgres is away: the delivery waits in our hands, and
    /// the prefetch limit stops the queue.
    async fn claim(&self, delivery: &Delivery, hint: &Hint, trace: &str) -> Claimed {
        let Some(entry) = self.stages.get(&hint.stage) else { return Claimed::Nothing };
        let slot = tokio::select! {
            slot = entry.slots.acquire(hint.lane) => slot,
            () = self.stopping.cancelled() => None,
        };
        let Some(slot) = slot else { return Claimed::GivenUp };
        self.deps.crash_point("C6");
        let claimant = Claimant {
            owner: self.deps.owner.to_string(),
            hint_id: delivery.hint_id,
            redelivered: delivery.redelivered,
            lane: hint.lane,
        };
        let mut patience = Patience::new(&self.stopping);
        loop {
            match self.claim_once(hint, &claimant).await {
                Ok(ClaimOnce::Held { lease, announce, behind }) => {
                    self.deps.crash_point("C7");
                    if !announce.is_empty() {
                        self.announcer.announce(&announce, Some(trace)).await;
                    }
                    return self.with_slot_of(lease, hint, slot, behind).await;
                }
                Ok(ClaimOnce::Announce(hints)) if hints.is_empty() => return Claimed::Nothing,
                Ok(ClaimOnce::Announce(hints)) => return Claimed::Announce(hints),
                Ok(ClaimOnce::OwnerAlive) => {
                    if !patience.nap(OWNER_LOOK).await {
                        return Claimed::GivenUp;
                    }
                }
                Err(error) => {
                    warn!(error = %error, trace, "failed to claim; keeping the delivery and trying again");
                    if !patience.wait().await {
                        return Claimed::GivenUp;
                    }
                }
            }
        }
    }

    /// A run may begin at a later stage than the hint's, and a redelivered hint may have found one that it was
    /// carried into; work there needs its slot. `behind`: the one that was taken for that.
    async fn with_slot_of(
        &self,
        lease: Box<Lease>,
        hint: &Hint,
        slot: Slot,
        behind: Option<Slot>,
    ) -> Claimed {
        if lease.stage == hint.stage {
            return Claimed::Held(lease, slot);
        }
        drop(slot);
        if let Some(slot) = behind {
            return Claimed::Held(lease, slot);
        }
        let Some(entry) = self.stages.get(&lease.stage) else { return Claimed::Nothing };
        // It is renewed while it waits.
        let held = self.leases.hold(&lease);
        tokio::select! {
            Some(slot) = entry.slots.acquire(hint.lane) => Claimed::Held(lease, slot),
            () = self.stopping.cancelled() => self.hand_back_unbegun(&lease, &held).await,
        }
    }

    async fn claim_once(&self, hint: &Hint, claimant: &Claimant) -> Result<ClaimOnce, StoreError> {
        let store = &self.deps.store;
        let (mut run_no, mut stage) = (hint.run_no, hint.stage);
        if claimant.redelivered
            && let Some((run, held)) = store.stage_of_hint(hint.call_id, claimant.hint_id).await?
        {
            (run_no, stage) = (Some(run), held);
        }
        let Some(run_no) = run_no else { return self.start_once(hint, claimant).await };
        let Some(entry) = self.stages.get(&stage) else { return Ok(ClaimOnce::Announce(Vec::new())) };
        let intent = self.intent(entry, hint.call_id, run_no);
        if let Some(lease) = store.stage_claim(hint.call_id, run_no, stage, claimant, intent.as_ref()).await?
        {
            return Ok(ClaimOnce::Held { lease: Box::new(lease), announce: Vec::new(), behind: None });
        }
        Ok(match store.stage_why_not(hint.call_id, run_no, stage, claimant).await? {
            Unclaimed::OwnerAlive => ClaimOnce::OwnerAlive,
            Unclaimed::Done(pending) => ClaimOnce::Announce(pending),
            Unclaimed::Superseded | Unclaimed::NotDue => ClaimOnce::Announce(Vec::new()),
        })
    }

    /// The purchase to record with a claim: none where the provider is perhaps not asked for now.
    fn intent(&self, entry: &StageEntry, call_id: CallId, run_no: i32) -> Option<JobIntent> {
        let asked = |engine: &str| {
            let circuit = circuit_of(entry.stage.kind(), engine);
            !self.deps.circuits.is_open(circuit) && self.deps.gates.is_free(circuit)
        };
        entry.stage.intent(call_id, run_no).filter(|intent| asked(&intent.engine))
    }

    async fn start_once(&self, hint: &Hint, claimant: &Claimant) -> Result<ClaimOnce, StoreError> {
        let store = &self.deps.store;
        let off = self.stages.get(&hint.stage).filter(|e| e.stage.is_off());
        // The run has no number yet; the purchase of the stage behind preprocessing does not depend on it.
        let next = off.and_then(|e| self.continuation(e, hint.lane, claimant.hint_id, (hint.call_id, 0)));
        let (go_on, behind) = next.unzip();
        let beginning = Beginning {
            assembles: self.stages.contains_key(&StageKind::Assembly)
                && !self.deps.switches.now().is_paused(StageKind::Assembly, hint.lane),
            unprepared: off.is_some(),
            go_on,
        };
        Ok(match store.run_start(hint.call_id, claimant, &beginning).await? {
            Some(Advanced { held: Some(lease), announce }) => {
                if off.is_some() && lease.stage != hint.stage {
                    ending::log_skipped(hint.stage, lease.run_no);
                }
                let behind = behind.filter(|_| lease.stage != StageKind::Assembly);
                ClaimOnce::Held { lease, announce, behind }
            }
            Some(Advanced { held: None, announce }) => ClaimOnce::Announce(announce),
            // It was carried as far as it went; what follows was perhaps never announced.
            None if claimant.redelivered => ClaimOnce::Announce(store.stages_pending(hint.call_id).await?),
            None => ClaimOnce::Announce(Vec::new()),
        })
    }

    /// Works on the claimed stage and on those it is carried into, then acknowledges.
    async fn work_through(&self, delivery: Delivery, lease: Lease, slot: Slot, trace: &str) {
        let (mut lease, mut slot) = (lease, slot);
        loop {
            let step = self.work_once(&lease, delivery.hint_id).await;
            drop(slot);
            match step {
                Step::GoOn(next, next_slot, announce) => {
                    if !announce.is_empty() {
                        self.announcer.announce(&announce, Some(trace)).await;
                    }
                    (lease, slot) = (*next, next_slot);
                }
                Step::Announce(hints, delay) => {
                    self.deps.crash_point("C14");
                    match (delay, hints.first()) {
                        (Some(delay), Some(hint)) => {
                            self.deps.crash_point("C17");
                            self.announcer.announce_later(hint, delay, Some(trace)).await;
                        }
                        (None, Some(_)) => {
                            // Confirmed, or left to the dispatcher: only then the ack.
                            self.announcer.announce(&hints, Some(trace)).await;
                        }
                        (_, None) => {}
                    }
                    self.deps.crash_point("C15");
                    delivery.ack().await;
                    return;
                }
                Step::Leave => return,
            }
        }
    }

    async fn work_once(&self, lease: &Lease, hint_id: scryon_domain::ids::HintId) -> Step {
        let Some(entry) = self.stages.get(&lease.stage) else { return Step::Leave };
        let guard = self.leases.hold(lease);
        let in_flight =
            self.deps.metrics.stage_in_flight.with_label_values(&[lease.stage.as_str(), lease.lane.as_str()]);
        in_flight.inc();
        let started = Instant::now();
        self.deps.crash_over(lease);
        let cx = StageContext::new(lease, &guard, &self.deps);
        let ran = self.run(entry, &cx).await;
        let (outcome, step) = self.ended(entry, &cx, ran, hint_id, started).await;
        in_flight.dec();
        let seconds = started.elapsed().as_secs_f64();
        self.deps.metrics.stage_duration.with_label_values(&[lease.stage.as_str(), outcome]).observe(seconds);
        step
    }

    /// Runs the stage. A lost lease cuts local work short; a paid request runs on to keep its answer.
    async fn run(&self, entry: &StageEntry, cx: &StageContext<'_>) -> Ran {
        let mut work = std::pin::pin!(AssertUnwindSafe(entry.stage.run(cx)).catch_unwind());
        let mut lost = false;
        loop {
            let finished = tokio::select! {
                finished = &mut work => finished,
                () = cx.guard.lost(), if !lost => {
                    lost = true;
                    if cx.guard.job().is_none() {
                        return Ran::Superseded;
                    }
                    info!("the call went on without this worker; its paid request is awaited to keep the answer");
                    continue;
                }
                () = self.giving_up.cancelled() => return Ran::GivenUp,
            };
            return match finished {
                Ok(Ok(done)) => Ran::Done(done),
                Ok(Err(error)) if error.kind == StageErrorKind::Superseded => Ran::Superseded,
                Ok(Err(error)) => Ran::Failed(error),
                Err(_panic) => {
                    self.deps.metrics.panics.with_label_values(&[cx.lease.stage.as_str()]).inc();
                    error!(errorCode = "panic", "a stage panicked; other calls go on");
                    Ran::Failed(StageError::new(
                        StageErrorKind::Suspect(FailureCode::InternalError),
                        "panic",
                        "the stage panicked",
                    ))
                }
            };
        }
    }
}

enum Claimed {
    Held(Box<Lease>, Slot),
    Nothing,
    Announce(Vec<Hint>),
    GivenUp,
}

enum ClaimOnce {
    Held {
        lease: Box<Lease>,
        /// Stages that the same step left to others.
        announce: Vec<Hint>,
        /// A slot of a later stage than the hint's.
        behind: Option<Slot>,
    },
    OwnerAlive,
    Announce(Vec<Hint>),
}

enum Ran {
    Done(StageDone),
    Failed(StageError),
    Superseded,
    GivenUp,
}

/// What follows from one stage's end.
enum Step {
    /// Another stage on the same delivery.
    GoOn(Box<Lease>, Slot, Vec<Hint>),
    /// Announce (after a delay where there is one), then acknowledge.
    Announce(Vec<Hint>, Option<Duration>),
    /// Leave the delivery to come back.
    Leave,
}

/// The event under which a stage's result is known.
pub const fn event_of(stage: StageKind) -> &'static str {
    match stage {
        StageKind::Preprocessing => "AUDIO_PREPROCESSED",
        StageKind::Transcription => "TRANSCRIBED",
        StageKind::Diarization => "DIARIZED",
        StageKind::Assembly => "TRANSCRIPT_NORMALIZED",
        StageKind::Analysis => "ANALYZED",
    }
}
