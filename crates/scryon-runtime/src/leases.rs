//! The leases this process holds. One statement renews them all; whoever lost his is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scryon_domain::ids::{CallId, JobId, LeaseToken};
use scryon_domain::stage::StageKind;
use scryon_store::{BEAT_PATIENCE, HeldLease, JobClaim, JobSettlement, Lease, OutputObject, Store};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How often leases are renewed; a third of their life.
const RENEW: Duration = Duration::from_secs(15);
/// How often this process says that it lives.
const BEAT: Duration = Duration::from_secs(1);

struct Entry {
    held: HeldLease,
    /// A paid request that is in flight under this lease; renewed with it.
    job: Option<JobId>,
    /// A purchase that was recorded and of which nothing was sent; renewed too.
    unsent: Option<JobId>,
    /// An answer that is being stored, or that is stored and not in its stage's row yet.
    unstored: Option<Unstored>,
    lost: CancellationToken,
}

/// What was paid for an answer, and the object that it was to become.
pub type Unstored = (JobSettlement, OutputObject);

/// Registry of held leases and held deliveries.
#[derive(Clone, Default)]
pub struct Leases {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<LeaseToken, Entry>,
    /// Deliveries received and not yet claimed, by `stage.lane`.
    unclaimed: HashMap<String, i64>,
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leases").field("held", &self.lock().entries.len()).finish()
    }
}

/// What a process says of itself with each beat.
#[derive(Debug, Clone)]
pub struct Process {
    pub owner: String,
    pub program: &'static str,
    /// What it works on; providers' limits are shared by those who work on the same.
    pub stages: Vec<StageKind>,
}

/// One held lease; it leaves the registry when this is dropped.
#[derive(Debug)]
pub struct LeaseGuard {
    leases: Leases,
    token: LeaseToken,
    lost: CancellationToken,
}

impl Leases {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a lease that was just claimed.
    pub fn hold(&self, lease: &Lease) -> LeaseGuard {
        let held = HeldLease {
            call_id: lease.call_id,
            run_no: lease.run_no,
            stage: lease.stage,
            token: lease.token,
        };
        let lost = CancellationToken::new();
        let unsent = if let Some(JobClaim::Mine { id }) = &lease.job { Some(*id) } else { None };
        self.lock()
            .entries
            .insert(lease.token, Entry { held, job: None, unsent, unstored: None, lost: lost.clone() });
        LeaseGuard { leases: self.clone(), token: lease.token, lost }
    }

    /// Leases held now.
    pub fn count(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether this process works on a stage of a run, as far as it knows.
    pub fn works_on(&self, call_id: CallId, (run_no, stage): (i32, StageKind)) -> bool {
        let same = |held: HeldLease| (held.call_id, held.run_no, held.stage) == (call_id, run_no, stage);
        self.lock().entries.values().any(|entry| same(entry.held) && !entry.lost.is_cancelled())
    }

    /// Counts a delivery that waits for its claim.
    pub fn unclaimed(&self, queue: &str, change: i64) {
        *self.lock().unclaimed.entry(queue.to_owned()).or_default() += change;
    }

    fn unclaimed_json(&self) -> Value {
        let counts =
            self.lock().unclaimed.iter().map(|(k, n)| (k.clone(), Value::from(*n))).collect::<Map<_, _>>();
        Value::Object(counts)
    }

    /// Renews all leases once.
    pub async fn renew(&self, store: &Store, owner: &str) {
        let (held, jobs): (Vec<HeldLease>, Vec<JobId>) = {
            let inner = self.lock();
            (
                inner.entries.values().map(|e| e.held).collect(),
                inner.entries.values().filter_map(|e| e.job.or(e.unsent)).collect(),
            )
        };
        if held.is_empty() {
            return;
        }
        match store.leases_renew(owner, &held, &jobs).await {
            Ok(standing) => {
                let inner = self.lock();
                for lease in held.iter().filter(|l| !standing.contains(&l.token)) {
                    if let Some(entry) = inner.entries.get(&lease.token) {
                        debug!(callId = %lease.call_id, stage = %lease.stage, "a lease is lost; its work is dropped");
                        entry.lost.cancel();
                    }
                }
            }
            // Work goes on: its Finish is fenced whatever happens to the lease meanwhile.
            Err(error) => warn!(error = %error, leases = held.len(), "failed to renew leases; trying again"),
        }
    }

    /// Beats and renews until `stop`; then takes this process off the list. Neither waits for the other: while renewals
    /// stand in line for rows that somebody else holds, this process is not taken for dead.
    pub async fn keep(&self, store: Store, process: Process, stop: CancellationToken) {
        let beating = async {
            let (mut timer, mut patience) = (timer(BEAT), BEAT_PATIENCE);
            while stop.run_until_cancelled(timer.tick()).await.is_some() {
                // Where it is Postgres that is slow, not the connection, more patience is what arrives.
                let told = self.beat(&store, &process, patience).await;
                let next = if told { patience / 2 } else { patience * 2 };
                patience = next.clamp(BEAT_PATIENCE, BEAT_PATIENCE * 8);
            }
        };
        let renewing = async {
            let mut timer = timer(RENEW);
            while stop.run_until_cancelled(timer.tick()).await.is_some() {
                self.renew(&store, &process.owner).await;
            }
        };
        tokio::join!(beating, renewing);
        if let Err(error) = store.beat_stop(&process.owner).await {
            debug!(error = %error, "failed to sign off; redelivered work waits for the silence of this process");
        }
    }

    /// Gives whether it arrived.
    async fn beat(&self, store: &Store, process: &Process, patience: Duration) -> bool {
        let Process { owner, program, stages } = process;
        let program = (*program, env!("CARGO_PKG_VERSION"));
        let told = store.beat(owner, program, stages, self.unclaimed_json(), patience).await;
        if let Err(error) = &told {
            debug!(error = %error, "failed to send a heartbeat");
        }
        told.is_ok()
    }
}

fn timer(pause: Duration) -> tokio::time::Interval {
    let mut timer = tokio::time::interval(pause);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    timer
}

impl LeaseGuard {
    /// Resolves when the lease is no longer ours.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether the lease is known to be lost.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    fn with_entry<T: Default>(&self, change: impl FnOnce(&mut Entry) -> T) -> T {
        self.leases.lock().entries.get_mut(&self.token).map(change).unwrap_or_default()
    }

    /// Tells the registry which purchase is in flight under this lease.
    pub fn set_job(&self, job: Option<JobId>) {
        self.with_entry(|entry| (entry.job, entry.unsent) = (job, None));
    }

    /// Tells the registry that a purchase is being recorded under this lease. Nothing is sent yet.
    pub fn set_unsent(&self, job: Option<JobId>) {
        self.with_entry(|entry| entry.unsent = job);
    }

    /// The purchase that was recorded and of which nothing was sent, told once.
    pub fn take_unsent(&self) -> Option<JobId> {
        self.with_entry(|entry| entry.unsent.take())
    }

    /// Tells the registry of an answer that goes to storage.
    pub fn set_unstored(&self, answer: Option<Unstored>) {
        self.with_entry(|entry| entry.unstored = answer);
    }

    /// The answer that went to storage, told once.
    pub fn take_unstored(&self) -> Option<Unstored> {
        self.with_entry(|entry| entry.unstored.take())
    }

    /// The purchase in flight.
    pub fn job(&self) -> Option<JobId> {
        self.with_entry(|entry| entry.job)
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.leases.lock().entries.remove(&self.token);
    }
}
