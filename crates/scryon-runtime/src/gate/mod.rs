//! The gate in front of each hosted engine: who may ask it now, who waits a moment in hand, who is put off in its row.

mod limiter;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{IntCounter, IntGauge};
use scryon_config::RequestRates;
use scryon_domain::stage::{Lane, StageKind};
use scryon_metrics::WorkerMetrics;
use scryon_providers::ProviderError;
use scryon_store::Store;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use limiter::{Asking, Entry, Flight, Limiter, Outcome, PATIENCE};

/// How often the processes that share a rate are counted.
const COUNT: Duration = Duration::from_secs(2);

/// Why a request is not made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOff {
    pub wait: Duration,
    /// The provider has asked for it; else it is a limit of ours.
    pub throttled: bool,
}

/// The gates of this process; cheap to clone.
#[derive(Clone)]
pub struct Gates {
    metrics: WorkerMetrics,
    rates: Arc<RequestRates>,
    doors: Arc<Mutex<HashMap<String, Arc<Door>>>>,
}

#[derive(Debug)]
struct Door {
    state: Mutex<State>,
    left: Notify,
    turn: tokio::sync::Mutex<()>,
    in_flight: IntGauge,
    limit: IntGauge,
    throttled: IntCounter,
    put_off: IntCounter,
}

#[derive(Debug)]
struct State {
    limiter: Limiter,
    /// By lane.
    waiting: [u32; 2],
}

const fn index(lane: Lane) -> usize {
    match lane {
        Lane::Live => 0,
        Lane::Backfill => 1,
    }
}

impl std::fmt::Debug for Gates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gates").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Door {
    fn look(self: &Arc<Self>, asking: Asking, place: &mut Option<Place>, patient_until: Instant) -> Look {
        let now = Instant::now();
        let lane = index(asking.lane);
        let mut state = lock(&self.state);
        let wait = match state.limiter.enter(asking, now) {
            Entry::Through => {
                self.show(&state.limiter);
                let flight = Flight { since: now, asking };
                return Look::Through(Permit { door: self.clone(), flight, stage: Held::Due });
            }
            Entry::Crowded if now < patient_until && place.is_some() => return Look::Again,
            Entry::Crowded
                if now < patient_until && state.waiting[lane] < state.limiter.may_wait(asking.lane) =>
            {
                state.waiting[lane] += 1;
                *place = Some(Place(self.clone(), lane));
                return Look::Again;
            }
            Entry::Crowded => state.limiter.come_back(asking.lane, now),
            Entry::Later(wait) => wait,
        };
        Look::Off(PutOff { wait, throttled: state.limiter.is_throttled(now) })
    }

    fn show(&self, limiter: &Limiter) {
        self.in_flight.set(i64::from(limiter.in_flight()));
        self.limit.set(limiter.limit().map_or(0, i64::from));
    }
}

/// What came of looking at a gate.
enum Look {
    Through(Permit),
    /// When somebody has left.
    Again,
    Off(PutOff),
}

/// The right to make one request.
#[derive(Debug)]
pub struct Permit {
    door: Arc<Door>,
    flight: Flight,
    stage: Held,
}

#[derive(Debug, PartialEq, Eq)]
enum Held {
    Due,
    Sent,
    Ended,
}

impl Gates {
    /// Open gates.
    pub fn new(rates: RequestRates, metrics: WorkerMetrics) -> Self {
        Self { metrics, rates: Arc::new(rates), doors: Arc::default() }
    }

    fn door(&self, engine: &str) -> Arc<Door> {
        let mut doors = lock(&self.doors);
        if let Some(door) = doors.get(engine) {
            return door.clone();
        }
        let mut limiter = Limiter::new(Instant::now());
        limiter.set_rate(self.rates.per_second(engine));
        let state = Mutex::new(State { limiter, waiting: [0; 2] });
        let labels = &[engine];
        let door = Arc::new(Door {
            state,
            left: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            in_flight: self.metrics.provider_in_flight.with_label_values(labels),
            limit: self.metrics.provider_limit.with_label_values(labels),
            throttled: self.metrics.provider_throttled.with_label_values(labels),
            put_off: self.metrics.provider_put_off.with_label_values(labels),
        });
        doors.insert(engine.to_owned(), door.clone());
        door
    }

    /// Whether nothing limits requests now: then the purchase is recorded with the claim.
    pub fn is_free(&self, engine: &str) -> bool {
        lock(&self.door(engine).state).limiter.is_free(Instant::now())
    }

    /// Asks to make a request, and waits a moment where others are about to end.
    pub async fn enter(&self, engine: &str, asking: Asking) -> Result<Permit, PutOff> {
        let door = self.door(engine);
        let patient_until = Instant::now() + PATIENCE;
        let mut place = None;
        loop {
            // Before the look, so that whoever leaves after it is noticed.
            let left = door.left.notified();
            match door.look(asking, &mut place, patient_until) {
                Look::Through(permit) => return Ok(permit),
                Look::Off(put_off) => {
                    door.put_off.inc();
                    return Err(put_off);
                }
                Look::Again => {
                    let _left_or_late = tokio::time::timeout_at(patient_until.into(), left).await;
                }
            }
        }
    }

    /// For a request that must not wait.
    pub fn enter_anyway(&self, engine: &str, lane: Lane) -> Permit {
        let door = self.door(engine);
        {
            let mut state = lock(&door.state);
            state.limiter.enter_anyway(lane);
            door.show(&state.limiter);
        }
        let asking = Asking { lane, retry: false };
        Permit { door, flight: Flight { since: Instant::now(), asking }, stage: Held::Due }
    }

    /// Keeps this process's part of each rate up to date, until told to stop.
    pub async fn keep(self, store: Store, stop: CancellationToken) {
        if self.rates.is_empty() {
            return;
        }
        loop {
            // While Postgres is away the last count holds.
            if let Ok(processes) = store.stages_of_processes().await {
                for (engine, per_second) in self.rates.all() {
                    let share = per_second / sharers(engine, &processes) as f64;
                    lock(&self.door(engine).state).limiter.set_rate(Some(share));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(COUNT) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Processes among which an engine's rate is divided: those that work on a stage of it, this one at least.
fn sharers(engine: &str, processes: &[Vec<String>]) -> usize {
    let stages: &[StageKind] = match engine {
        "llm" => &[StageKind::Analysis],
        "pyannote" => &[StageKind::Diarization],
        "fake" => &[StageKind::Transcription, StageKind::Diarization, StageKind::Analysis],
        _ => &[StageKind::Transcription],
    };
    let works = |of: &&Vec<String>| of.iter().any(|s| stages.iter().any(|kind| kind.as_str() == s));
    processes.iter().filter(works).count().max(1)
}

impl Permit {
    /// Waits for the turn of this request, which is to be sent then.
    pub async fn turn(&mut self) {
        // One after the other, so that a late one makes those behind it later.
        let _turn = self.door.turn.lock().await;
        let at = lock(&self.door.state).limiter.turn(Instant::now());
        tokio::time::sleep_until(at.into()).await;
        let now = Instant::now();
        lock(&self.door.state).limiter.sent(now);
        self.flight.since = now;
        self.stage = Held::Sent;
    }

    /// Takes in how the request ended. Gives how long its call waits, where the provider asked for a pause.
    pub fn end(mut self, error: Option<&ProviderError>) -> Option<Duration> {
        self.stage = Held::Ended;
        let outcome = match error {
            None => Outcome::Success,
            Some(ProviderError::Throttled { pause, asked, .. }) => {
                self.door.throttled.inc();
                Outcome::Throttled { asked: asked.then_some(*pause) }
            }
            Some(_) => Outcome::Other,
        };
        let wait = {
            let mut state = lock(&self.door.state);
            let wait = state.limiter.leave(self.flight, outcome, Instant::now());
            self.door.show(&state.limiter);
            wait
        };
        self.door.left.notify_waiters();
        wait
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        {
            let mut state = lock(&self.door.state);
            match self.stage {
                Held::Ended => return,
                Held::Due => state.limiter.leave_unused(self.flight.asking),
                // The work was cut short: how it would have ended is not known.
                Held::Sent => drop(state.limiter.leave(self.flight, Outcome::Other, Instant::now())),
            }
            self.door.show(&state.limiter);
        }
        self.door.left.notify_waiters();
    }
}

/// A place among those who wait in hand.
struct Place(Arc<Door>, usize);

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.waiting[self.1] = state.waiting[self.1].saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shared_by_those_who_work_on_the_engines_stage() {
        let process = |stages: &[&str]| stages.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let alive = [
            process(&["preprocessing", "transcription", "assembly"]),
            process(&["transcription"]),
            process(&["analysis"]),
            process(&[]),
        ];
        let cases = [("lemonfox", 2), ("llm", 1), ("pyannote", 1), ("fake", 3)];
        for (engine, expected) in cases {
            assert_eq!(sharers(engine, &alive), expected, "{engine}");
        }
        assert_eq!(sharers("lemonfox", &[]), 1, "this process is there before its first beat");
    }

    const LIVE: Asking = Asking { lane: Lane::Live, retry: false };

    fn refused(asked: bool) -> ProviderError {
        ProviderError::Throttled { engine: "lemonfox", pause: Duration::from_secs(60), asked }
    }

    #[tokio::test]
    async fn who_finds_a_gate_crowded_waits_in_hand_for_the_next_to_leave() {
        let metrics = WorkerMetrics::register(&prometheus::Registry::new()).unwrap();
        let gates = Gates::new(RequestRates::default(), metrics.clone());
        let first = gates.enter("lemonfox", LIVE).await.unwrap();
        let mut second = gates.enter("lemonfox", LIVE).await.unwrap();
        second.turn().await;
        assert!(gates.is_free("lemonfox"));
        assert_eq!(second.end(Some(&refused(false))), None, "it asked for no pause");
        assert!(!gates.is_free("lemonfox"));
        let waiting = tokio::spawn({
            let gates = gates.clone();
            async move { gates.enter("lemonfox", LIVE).await.is_ok() }
        });
        while lock(&gates.door("lemonfox").state).waiting[0] == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.unwrap());
        let figure = |vec: &prometheus::IntGaugeVec| vec.with_label_values(&["lemonfox"]).get();
        assert_eq!((figure(&metrics.provider_limit), figure(&metrics.provider_in_flight)), (1, 0));
        assert_eq!(lock(&gates.door("lemonfox").state).waiting, [0, 0]);
    }

    #[tokio::test]
    async fn a_pause_puts_everybody_off_and_says_whose_it_is() {
        let metrics = WorkerMetrics::register(&prometheus::Registry::new()).unwrap();
        let gates = Gates::new(RequestRates::default(), metrics.clone());
        let mut permit = gates.enter("lemonfox", LIVE).await.unwrap();
        permit.turn().await;
        let own = permit.end(Some(&refused(true))).unwrap();
        let other = gates.enter("lemonfox", LIVE).await.unwrap_err();
        assert!(own >= Duration::from_secs(59) && other.wait > own && other.throttled, "{own:?} {other:?}");
        assert!(gates.enter("llm", LIVE).await.is_ok(), "another engine has a gate of its own");
        assert_eq!(metrics.provider_throttled.with_label_values(&["lemonfox"]).get(), 1);
        assert_eq!(metrics.provider_put_off.with_label_values(&["lemonfox"]).get(), 1);
        // The one request that finds out whether a provider lives goes all the same.
        drop(gates.enter_anyway("lemonfox", Lane::Live));
        assert_eq!(metrics.provider_in_flight.with_label_values(&["lemonfox"]).get(), 0);
    }
}
