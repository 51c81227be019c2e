//! What operators have switched, as this process knows it: read once a second, so that a word at night reaches every
//! program without a restart. While Postgres is away the last word holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scryon_domain::stage::{Lane, StageKind};
use scryon_metrics::ProgramMetrics;
use scryon_store::{Paused, Store, Switch};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the switches are read.
const REFRESH: Duration = Duration::from_secs(1);
/// Calls are analysed.
pub const FLAG_ANALYSIS: &str = "analysis";
/// Speakers are recognised by their voices.
pub const FLAG_VOICE: &str = "voice_embedding";
/// Flags that programs ask for; each says no only: what is off by configuration stays off.
pub const FLAGS: [&str; 2] = [FLAG_ANALYSIS, FLAG_VOICE];

/// What holds now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switched {
    pub paused: Paused,
    /// Uploads per minute, by tenant or `*`.
    throttles: BTreeMap<String, u32>,
    flags: BTreeMap<String, bool>,
    log_level: Option<String>,
}

impl Switched {
    fn of(switches: &[Switch]) -> Self {
        let mut all = Self::default();
        for switch in switches {
            let value = switch.value.as_deref().unwrap_or_default();
            match (switch.kind.as_str(), switch.target.split_once(':')) {
                ("pause", Some(("stage", name))) => all.paused.stages.push(name.to_owned()),
                ("pause", Some(("lane", name))) => all.paused.lanes.push(name.to_owned()),
                ("pause", Some(("tenant", name))) => all.paused.tenants.push(name.to_owned()),
                ("throttle", _) => {
                    all.throttles.extend(value.parse().map(|n| (switch.target.clone(), n)));
                }
                ("flag", _) => {
                    all.flags.insert(switch.target.clone(), value == "true");
                }
                ("log_level", _) => all.log_level = Some(value.to_owned()),
                _ => {}
            }
        }
        all
    }

    /// Whether a stage is kept back in a lane.
    pub fn is_paused(&self, stage: StageKind, lane: Lane) -> bool {
        self.paused.stages.iter().any(|s| s == stage.as_str())
            || self.paused.lanes.iter().any(|l| l == lane.as_str())
    }

    /// Whether new runs of a tenant are kept back.
    pub fn holds_starts(&self, tenant: &str, lane: Lane) -> bool {
        self.is_paused(StageKind::Preprocessing, lane) || self.paused.tenants.iter().any(|t| t == tenant)
    }

    /// Whether an operator has switched this off.
    pub fn is_off(&self, flag: &str) -> bool {
        self.flags.get(flag) == Some(&false)
    }

    /// Uploads of a tenant that are taken in a minute: its own limit and everybody's, where there are such.
    pub fn throttles(&self, tenant: &str) -> impl Iterator<Item = (String, u32)> + '_ {
        ["*".to_owned(), tenant.to_owned()]
            .into_iter()
            .filter_map(|target| self.throttles.get(&target).map(|n| (target, *n)))
    }
}

/// One per queue somebody consumes here: whether it is kept back.
type Queues = HashMap<(StageKind, Lane), watch::Sender<bool>>;

/// The switches; cheap to clone.
#[derive(Clone)]
pub struct Switches {
    store: Store,
    metrics: ProgramMetrics,
    known: Arc<Mutex<Arc<Switched>>>,
    queues: Arc<Mutex<Queues>>,
}

impl std::fmt::Debug for Switches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switches").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Switches {
    /// Nothing switched, until they are read.
    pub fn new(store: Store, metrics: ProgramMetrics) -> Self {
        Self { store, metrics, known: Arc::default(), queues: Arc::default() }
    }

    /// What holds now.
    pub fn now(&self) -> Arc<Switched> {
        lock(&self.known).clone()
    }

    /// Whether a queue is kept back, now and later.
    pub fn paused(&self, stage: StageKind, lane: Lane) -> watch::Receiver<bool> {
        let paused = self.now().is_paused(stage, lane);
        lock(&self.queues).entry((stage, lane)).or_insert_with(|| watch::channel(paused).0).subscribe()
    }

    /// Reads them. A store that is away changes nothing.
    pub async fn read(&self) {
        let Ok(switches) = self.store.switches().await else { return };
        let now = Arc::new(Switched::of(&switches));
        let before = std::mem::replace(&mut *lock(&self.known), now.clone());
        if before == now {
            return;
        }
        info!(paused = ?now.paused, throttled = now.throttles.len(), flags = ?now.flags, "an operator has switched something");
        for ((stage, lane), queue) in &*lock(&self.queues) {
            queue.send_if_modified(|paused| {
                std::mem::replace(paused, now.is_paused(*stage, *lane)) != now.is_paused(*stage, *lane)
            });
        }
        self.metrics.switches.reset();
        for switch in &switches {
            self.metrics.switches.with_label_values(&[switch.kind.as_str()]).inc();
        }
        if before.log_level != now.log_level
            && let Err(error) = scryon_config::telemetry::set_level(now.log_level.as_deref())
        {
            warn!(error, "the log level that an operator wants is none");
        }
    }

    /// Reads them until told to stop.
    pub async fn keep(self, stop: CancellationToken) {
        loop {
            self.read().await;
            tokio::select! {
                () = tokio::time::sleep(REFRESH) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(kind: &str, target: &str, value: Option<&str>) -> Switch {
        Switch {
            kind: kind.to_owned(),
            target: target.to_owned(),
            value: value.map(str::to_owned),
            seconds_left: None,
            reason: None,
            actor: "test".to_owned(),
        }
    }

    #[test]
    fn rows_become_what_programs_ask_for() {
        let all = Switched::of(&[
            switch("pause", "stage:analysis", None),
            switch("pause", "lane:backfill", None),
            switch("pause", "tenant:acme", None),
            switch("throttle", "*", Some("60")),
            switch("throttle", "acme", Some("5")),
            switch("throttle", "bad", Some("many")),
            switch("flag", FLAG_ANALYSIS, Some("false")),
            switch("flag", FLAG_VOICE, Some("true")),
        ]);
        assert!(all.is_paused(StageKind::Analysis, Lane::Live));
        assert!(!all.is_paused(StageKind::Assembly, Lane::Live));
        assert!(all.is_paused(StageKind::Assembly, Lane::Backfill));
        assert!(all.holds_starts("acme", Lane::Live) && !all.holds_starts("other", Lane::Live));
        assert!(all.holds_starts("other", Lane::Backfill));
        assert!(all.is_off(FLAG_ANALYSIS) && !all.is_off(FLAG_VOICE) && !all.is_off("unknown"));
        let of = |tenant| all.throttles(tenant).collect::<Vec<_>>();
        assert_eq!(of("acme"), [("*".to_owned(), 60), ("acme".to_owned(), 5)]);
        assert_eq!(of("bad"), [("*".to_owned(), 60)]);
    }
}
