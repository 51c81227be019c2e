//! The worker loop, written once for all stages: delivery → claim → work → finish → announce → ack.
//!
//! The delivery is kept until what follows from it is in Postgres and announced, so that a death anywhere
//! brings it back; the lease keeps everybody else out meanwhile.

mod claiming;
mod ending;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use scryon_domain::failure::FailureCode;
use scryon_domain::hint::{Hint, HintError};
use scryon_domain::stage::{Lane, StageKind};
use scryon_domain::trace::TraceParent;
use scryon_queue::{Consumers, Delivery, Observer, QueueSettings, Subscription, Topology};
use scryon_store::Lease;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use self::claiming::Claimed;
use crate::announce::Announce;
use crate::epoch;
use crate::leases::Leases;
use crate::slots::{Slot, Slots};
use crate::stage::{Stage, StageContext, StageDeps, StageDone, StageError, StageErrorKind};

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

    /// Works on the claimed stage and on those it is carried into, then acknowledges.
    async fn work_through(&self, delivery: Delivery, lease: Lease, slot: Slot, trace: &str) {
        let (mut lease, mut slot) = (lease, slot);
        loop {
            let step = self.work_once(&lease, delivery.hint_id).await;
            drop(slot);
            match step {
                Step::GoOn(next, next_slot, announce) => {
                    // It is renewed, and known to be ours, while a slow broker is waited for.
                    let _held = self.leases.hold(&next);
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
