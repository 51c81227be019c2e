//! Whether a provider is asked. Failures in a row, or half of many, open its circuit for all programs; one request
//! finds out whether it lives again. An operator's word wins.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use scryon_domain::stage::StageKind;
use scryon_metrics::WorkerMetrics;
use scryon_providers::ProviderError;
use scryon_store::{Circuit, Store};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Failures in a row that open a circuit, however far apart.
const IN_A_ROW: u32 = 5;
/// Requests that are looked at together, and for how long back.
const WINDOW: (usize, Duration) = (10, Duration::from_secs(10));
/// How often the shared circuits are read.
const REFRESH: Duration = Duration::from_secs(1);
/// Wait where an operator's word keeps requests away: it may be taken back at any time.
const FORCED: Duration = Duration::from_secs(15);
/// Wait while another request finds out whether the provider lives again.
const PROBED: Duration = Duration::from_secs(10);

/// The name of an engine's circuit. The engine `openai` is two servers: one transcribes, the other is a language model,
/// and one being dead says nothing about the other.
pub fn circuit_of(stage: StageKind, engine: &str) -> &str {
    match (stage, engine) {
        (StageKind::Analysis, "openai") => "llm",
        (_, engine) => engine,
    }
}

/// Whether to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Ask,
    /// Not before this has passed.
    Wait(Duration),
}

/// The circuits as this process knows them; cheap to clone.
#[derive(Clone)]
pub struct Circuits {
    store: Store,
    metrics: WorkerMetrics,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

impl std::fmt::Debug for Circuits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Circuits").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Known {
    /// Outcomes of this process.
    row: u32,
    recent: VecDeque<(Instant, bool)>,
    /// What the shared row said.
    open_until: Option<Instant>,
    forced: Option<bool>,
    fail_fast: bool,
}

impl Known {
    fn learn(&mut self, circuit: &Circuit, now: Instant) {
        self.open_until = circuit.open_seconds.map(|s| now + positive(s));
        self.forced = circuit.forced.as_deref().map(|word| word == "open");
        self.fail_fast = circuit.fail_fast;
    }

    /// Notes an outcome; true where it opens the circuit.
    fn note(&mut self, failed: bool, now: Instant) -> bool {
        self.row = if failed { self.row + 1 } else { 0 };
        self.recent.push_back((now, failed));
        while self.recent.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW.1) {
            self.recent.pop_front();
        }
        let failures = self.recent.iter().filter(|(_, failed)| *failed).count();
        let many = self.recent.len() >= WINDOW.0 && failures * 2 >= self.recent.len();
        failed && (self.row >= IN_A_ROW || many)
    }

    fn state(&self, now: Instant) -> State {
        match (self.forced, self.open_until) {
            (Some(true), _) => State::KeptAway,
            (Some(false), _) | (None, None) => State::Closed,
            (None, Some(until)) if until > now => State::Open(until - now),
            (None, Some(_)) => State::MayProbe,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open(Duration),
    MayProbe,
    KeptAway,
}

fn positive(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}

/// What a request's end says about the life of its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Well,
    Failed,
    /// It answers, if not with what was wanted: a closed circuit does not count it, an open one is closed by it.
    Alive,
    /// The provider was not heard.
    None,
}

fn sign_of(error: Option<&ProviderError>) -> Sign {
    match error {
        None | Some(ProviderError::Rejected { .. }) => Sign::Well,
        Some(
            ProviderError::Transient { .. }
            | ProviderError::Ambiguous { .. }
            | ProviderError::Unavailable { .. },
        ) => Sign::Failed,
        Some(
            ProviderError::Throttled { .. }
            | ProviderError::Malformed { .. }
            | ProviderError::JobFailed { .. },
        ) => Sign::Alive,
        Some(_) => Sign::None,
    }
}

impl Circuits {
    /// Closed circuits, until they are read.
    pub fn new(store: Store, metrics: WorkerMetrics) -> Self {
        Self { store, metrics, known: Arc::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, engine: &str) -> State {
        self.known().get(engine).map_or(State::Closed, |known| known.state(Instant::now()))
    }

    /// Whether requests are kept away now: then no purchase is recorded with a claim.
    pub fn is_open(&self, engine: &str) -> bool {
        self.state(engine) != State::Closed
    }

    /// Whether an operator said not to wait where this provider asks for a pause.
    pub fn fails_fast(&self, engine: &str) -> bool {
        self.known().get(engine).is_some_and(|known| known.fail_fast)
    }

    /// How long requests are kept away for now, at least. `None`: they are not.
    pub fn kept_away(&self, engine: &str) -> Option<Duration> {
        match self.state(engine) {
            State::Closed => None,
            State::Open(left) => Some(left),
            State::MayProbe => Some(PROBED),
            State::KeptAway => Some(FORCED),
        }
    }

    /// Whether this request may be made. Where the circuit's time is over, one request of all programs may.
    pub async fn admit(&self, engine: &str) -> Admission {
        match self.state(engine) {
            State::Closed => Admission::Ask,
            State::KeptAway => Admission::Wait(FORCED),
            State::Open(left) => Admission::Wait(left),
            State::MayProbe => match self.store.circuit_probe(engine).await {
                Ok(true) => {
                    info!(provider = engine, "one request finds out whether the provider lives again");
                    Admission::Ask
                }
                Ok(false) => Admission::Wait(PROBED),
                // Without Postgres nothing is bought anyway.
                Err(_) => Admission::Wait(PROBED),
            },
        }
    }

    /// The request that was let through to find out is not made: another may.
    pub async fn not_asked(&self, engine: &str) {
        if let Err(error) = self.store.circuit_probe_undone(engine).await {
            debug!(error = %error, "a circuit was not written; it lets another request through in a minute");
        }
    }

    /// Takes in how a request ended.
    pub async fn report(&self, engine: &str, error: Option<&ProviderError>) {
        let sign = sign_of(error);
        let now = Instant::now();
        let (state, opens) = {
            let mut all = self.known();
            let known = all.entry(engine.to_owned()).or_default();
            let counts = matches!(sign, Sign::Well | Sign::Failed);
            (known.state(now), counts && known.note(sign == Sign::Failed, now))
        };
        let failed = sign == Sign::Failed;
        // Without credit or a right key every request fails: one is enough.
        let certain = matches!(error, Some(ProviderError::Unavailable { .. }));
        let result = match state {
            // Nobody has found out: the next request may.
            State::MayProbe if sign == Sign::None => self.store.circuit_probe_undone(engine).await,
            State::Open(_) | State::MayProbe if matches!(sign, Sign::Well | Sign::Alive) => {
                self.store.circuit_close(engine).await.map(|_| ())
            }
            _ if failed && (opens || certain || state == State::MayProbe) => {
                let reason = error.map_or("", ProviderError::code);
                let opened = self.store.circuit_open(engine, reason).await;
                if matches!(opened, Ok(true)) {
                    warn!(provider = engine, errorCode = reason, "the provider is not asked for a while");
                }
                opened.map(|_| ())
            }
            _ => return,
        };
        match result {
            Ok(()) => self.read().await,
            Err(error) => debug!(error = %error, "a circuit was not written; the next outcome does it"),
        }
    }

    async fn read(&self) {
        let Ok(circuits) = self.store.circuits().await else { return };
        let now = Instant::now();
        let mut all = self.known();
        for circuit in &circuits {
            let known = all.entry(circuit.engine.clone()).or_default();
            let before = known.state(now);
            known.learn(circuit, now);
            if before != State::Closed && known.state(now) == State::Closed {
                known.row = 0;
                known.recent.clear();
            }
            let open = i64::from(known.state(now) != State::Closed);
            let engine = &[circuit.engine.as_str()];
            self.metrics.provider_circuit_open.with_label_values(engine).set(open);
            self.metrics.provider_fail_fast.with_label_values(engine).set(i64::from(circuit.fail_fast));
            if let Some(ok) = circuit.credential_ok {
                self.metrics.provider_credential_ok.with_label_values(engine).set(i64::from(ok));
            }
            if let Some(left) = circuit.quota_left {
                self.metrics.provider_quota_left.with_label_values(engine).set(left);
            }
        }
    }

    /// Reads the shared circuits until told to stop.
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

    fn circuit(open_seconds: Option<f64>, forced: Option<&str>) -> Circuit {
        Circuit {
            engine: "e".to_owned(),
            open_seconds,
            reason: None,
            forced: forced.map(str::to_owned),
            forced_seconds: None,
            forced_reason: None,
            fail_fast: false,
            fail_fast_seconds: None,
            fail_fast_reason: None,
            checked_seconds: None,
            check_result: None,
            credential_ok: None,
            quota_left: None,
        }
    }

    #[test]
    fn failures_in_a_row_or_half_of_many_open_a_circuit() {
        let now = Instant::now();
        let mut known = Known::default();
        assert!((0..4).all(|_| !known.note(true, now)));
        assert!(!known.note(false, now), "a success between them starts the row anew");
        assert!((0..4).all(|_| !known.note(true, now)) && known.note(true, now));
        let mut known = Known::default();
        let opened: Vec<bool> = (0..12).map(|n| known.note(n % 2 == 1, now)).collect();
        assert_eq!(opened.iter().position(|o| *o), Some(9), "half of ten");
        let mut known = Known::default();
        for n in 0..20u64 {
            // One failure in three: a provider that limps is asked.
            assert!(!known.note(n % 3 == 0, now + Duration::from_millis(n)));
        }
        let mut known = Known::default();
        for n in 0..12u64 {
            let at = now + Duration::from_secs(20 * n);
            assert!(!known.note(n % 2 == 1, at), "what is long ago does not count");
        }
    }

    #[test]
    fn an_operators_word_wins_and_an_opening_ends_with_a_probe() {
        let now = Instant::now();
        let mut known = Known::default();
        let cases = [
            (circuit(None, None), State::Closed),
            (circuit(Some(5.0), None), State::Open(Duration::from_secs(5))),
            (circuit(Some(-1.0), None), State::MayProbe),
            (circuit(None, Some("open")), State::KeptAway),
            (circuit(Some(5.0), Some("closed")), State::Closed),
        ];
        for (circuit, expected) in cases {
            known.learn(&circuit, now);
            assert_eq!(known.state(now), expected, "{circuit:?}");
        }
    }

    #[test]
    fn a_language_model_and_a_transcriber_of_one_dialect_are_two_circuits() {
        assert_eq!(circuit_of(StageKind::Analysis, "openai"), "llm");
        assert_eq!(circuit_of(StageKind::Transcription, "openai"), "openai");
        assert_eq!(circuit_of(StageKind::Analysis, "fake"), "fake");
    }

    #[test]
    fn only_a_providers_life_counts() {
        let engine = "e";
        let message = String::new;
        let cases = [
            (None, Sign::Well),
            (Some(ProviderError::Transient { engine, message: message() }), Sign::Failed),
            (Some(ProviderError::Ambiguous { engine, message: message() }), Sign::Failed),
            (Some(ProviderError::Unavailable { engine, message: message() }), Sign::Failed),
            (Some(ProviderError::Rejected { engine, message: message() }), Sign::Well),
            (Some(ProviderError::Throttled { engine, pause: Duration::ZERO, asked: true }), Sign::Alive),
            (Some(ProviderError::Malformed { engine, message: message() }), Sign::Alive),
            (Some(ProviderError::Paced { engine, wait: Duration::ZERO, throttled: false }), Sign::None),
        ];
        for (error, expected) in cases {
            assert_eq!(sign_of(error.as_ref()), expected, "{error:?}");
        }
    }
}
