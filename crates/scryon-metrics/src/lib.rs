//! The typed metric catalogue: names, labels, help and buckets in one place, from which docs/metrics.md is
//! written. Label sets are closed and every series starts at 0, because an alert needs its series before
//! the first failure.

mod manual;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use scryon_domain::failure::FailureCode;
use scryon_domain::stage::{Lane, StageKind};

pub use manual::manual;

/// Seconds: from a fast statement to a recording of hours on a slow engine.
const JOB_BUCKETS: &[f64] = &[
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0,
];
/// Seconds: HTTP requests, from a status poll to a large upload.
const HTTP_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// A metric as the manual lists it.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    pub name: &'static str,
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
    pub group: &'static str,
}

macro_rules! catalogue {
    (
        $(#[doc = $group_doc:literal])*
        $struct:ident in $group:literal {
            $( $(#[doc = $doc:literal])+ $field:ident: $kind:ident = $name:literal $labels:tt $(buckets $buckets:ident)? ; )+
        }
    ) => {
        $(#[doc = $group_doc])*
        #[derive(Debug, Clone)]
        pub struct $struct { $( $(#[doc = $doc])+ pub $field: $kind, )+ }

        impl $struct {
            /// What this group holds, for the manual.
            pub const DESCRIBED: &'static [Described] = &[ $( Described {
                name: $name,
                kind: stringify!($kind),
                labels: &$labels,
                help: concat!($($doc),+),
                group: $group,
            }, )+ ];

            /// Creates the group's metrics and puts them into `registry`.
            pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
                let metrics = Self { $(
                    $field: <$kind as Metric>::make($name, concat!($($doc),+), &$labels, catalogue!(@buckets $($buckets)?))?,
                )+ };
                $( registry.register(Box::new(metrics.$field.clone()))?; )+
                metrics.start_at_zero();
                Ok(metrics)
            }
        }
    };
    (@buckets) => { JOB_BUCKETS };
    (@buckets $buckets:ident) => { $buckets };
}

/// How each kind is made.
trait Metric: Collector + Clone + Sized {
    fn make(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<Self, prometheus::Error>;
}

macro_rules! plain_metric {
    ($($kind:ident),+) => { $( impl Metric for $kind {
        fn make(name: &str, help: &str, _labels: &[&str], _buckets: &[f64]) -> Result<Self, prometheus::Error> {
            $kind::new(name, help.trim())
        }
    } )+ };
}
macro_rules! vec_metric {
    ($($kind:ident),+) => { $( impl Metric for $kind {
        fn make(name: &str, help: &str, labels: &[&str], _buckets: &[f64]) -> Result<Self, prometheus::Error> {
            $kind::new(Opts::new(name, help.trim()), labels)
        }
    } )+ };
}
plain_metric!(IntCounter, IntGauge, Gauge);
vec_metric!(IntCounterVec, IntGaugeVec, GaugeVec);

impl Metric for Histogram {
    fn make(name: &str, help: &str, _labels: &[&str], buckets: &[f64]) -> Result<Self, prometheus::Error> {
        Self::with_opts(HistogramOpts::new(name, help.trim()).buckets(buckets.to_vec()))
    }
}
impl Metric for HistogramVec {
    fn make(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<Self, prometheus::Error> {
        Self::new(HistogramOpts::new(name, help.trim()).buckets(buckets.to_vec()), labels)
    }
}

catalogue! {
    /// Every program.
    ProgramMetrics in "Every program" {
        /// 1, with the program and its version as labels.
        build_info: IntGaugeVec = "scryon_build_info" ["program", "version"];
        /// Hints given to the broker, by outcome: confirmed, or unknown (nacked, returned, timed out) and left to the dispatcher.
        publish: IntCounterVec = "scryon_publish_total" ["outcome"];
        /// Whether a broker connection stands, by its use.
        broker_connected: IntGaugeVec = "scryon_broker_connected" ["connection"];
        /// What operators have switched and what holds now, by kind: pause, throttle, log_level, flag.
        switches: IntGaugeVec = "scryon_operator_switches" ["kind"];
        /// Statements that Postgres did not answer.
        store_unavailable: IntCounter = "scryon_store_unavailable_total" [];
    }
}

catalogue! {
    /// The API.
    ApiMetrics in "API" {
        /// HTTP requests by method, route and status; seconds until the answer was written.
        requests: HistogramVec = "http_server_requests_seconds" ["method", "uri", "status"] buckets HTTP_BUCKETS;
        /// Bytes of recordings received.
        upload_bytes: IntCounter = "scryon_upload_bytes_total" [];
        /// Uploads that were refused because an operator limits what is taken in.
        uploads_throttled: IntCounter = "scryon_uploads_throttled_total" [];
        /// Uploads that are being received.
        uploads_in_progress: IntGauge = "scryon_uploads_in_progress" [];
        /// Callbacks of providers, by what became of them.
        callbacks: IntCounterVec = "scryon_callbacks_total" ["provider", "outcome"];
        /// Voice profiles made; 0 while voice embedding is off.
        voice_profile_created: IntCounter = "scryon_voice_profile_created_total" [];
        /// Voice profiles deleted; 0 while voice embedding is off.
        voice_profile_deleted: IntCounter = "scryon_voice_profile_deleted_total" [];
    }
}

catalogue! {
    /// The workers.
    WorkerMetrics in "Workers" {
        /// Work on one stage, from claim to the end of its Finish, by stage and outcome.
        stage_duration: HistogramVec = "scryon_stage_duration_seconds" ["stage", "outcome"];
        /// Calls in a stage now.
        stage_in_flight: IntGaugeVec = "scryon_stage_in_flight" ["stage", "lane"];
        /// Results that were dropped because their call was reset, cancelled, deleted or taken over.
        superseded: IntCounterVec = "scryon_stage_superseded_total" ["stage"];
        /// Panics caught in a stage; the worker and its other calls go on.
        panics: IntCounterVec = "scryon_stage_panics_total" ["stage"];
        /// Hints that found nothing to claim: duplicates and late ones.
        hints_unclaimed: IntCounterVec = "scryon_hints_unclaimed_total" ["stage"];
        /// Hints of another life of this installation, dropped: it was restored from a backup.
        hints_other_epoch: IntCounter = "scryon_hints_other_epoch_total" [];
        /// Preparation of audio.
        preprocessing_duration: Histogram = "scryon_audio_preprocessing_duration_seconds" [];
        /// Calls that went on with their original audio, by reason.
        preprocessing_fallback: IntCounterVec = "scryon_audio_preprocessing_fallback_total" ["reason"];
        /// Transcription, by engine.
        transcription_duration: HistogramVec = "scryon_transcription_duration_seconds" ["provider"];
        /// Diarization, by engine.
        diarization_duration: HistogramVec = "scryon_diarization_duration_seconds" ["provider"];
        /// Calls whose speakers were told apart by a lesser method than the preferred one, by reason.
        diarization_fallback: IntCounterVec = "scryon_diarization_fallback_total" ["reason"];
        /// Alignment of words with turns.
        alignment_duration: Histogram = "scryon_transcript_alignment_duration_seconds" [];
        /// Normalisation of the aligned transcript.
        normalization_duration: Histogram = "scryon_transcript_normalization_duration_seconds" [];
        /// Analysis, by engine.
        analysis_duration: HistogramVec = "scryon_analysis_duration_seconds" ["provider"];
        /// Tokens of language models, by type.
        analysis_tokens: IntCounterVec = "scryon_analysis_cost_tokens_total" ["type"];
        /// Action items extracted.
        action_items: IntCounter = "scryon_action_items_extracted_total" [];
        /// Requests to providers, by host and status; `error` means no answer.
        client_requests: HistogramVec = "http_client_requests_seconds" ["host", "status"];
        /// 1 while a provider is not asked: it failed too often, or an operator said so.
        provider_circuit_open: IntGaugeVec = "scryon_provider_circuit_open" ["engine"];
        /// 1 while an operator says not to wait for a provider that asks for a pause.
        provider_fail_fast: IntGaugeVec = "scryon_provider_fail_fast" ["engine"];
        /// 1 while a provider takes our key, 0 while it refuses the key or the account has no credit; looked at every five minutes. Absent: nobody has looked.
        provider_credential_ok: IntGaugeVec = "scryon_provider_credential_ok" ["engine"];
        /// US dollars left at a provider that says so.
        provider_quota_left: GaugeVec = "scryon_provider_quota_left" ["engine"];
        /// Requests to a provider that may be in flight at once from this process; 0 while nothing limits them.
        provider_limit: IntGaugeVec = "scryon_provider_limit" ["engine"];
        /// Requests to a provider in flight from this process.
        provider_in_flight: IntGaugeVec = "scryon_provider_in_flight" ["engine"];
        /// Requests that a provider refused for being too many.
        provider_throttled: IntCounterVec = "scryon_provider_throttled_total" ["engine"];
        /// Requests that were put off before they were made, to keep within a provider's limits.
        provider_put_off: IntCounterVec = "scryon_provider_put_off_total" ["engine"];
        /// Purchases that were not made because an answer was there or on its way.
        purchases_saved: IntCounterVec = "scryon_purchases_saved_total" ["stage"];
        /// Voice matches tried; 0 while voice embedding is off.
        voice_match_attempted: IntCounter = "scryon_voice_match_attempted_total" [];
        /// Voice matches by outcome; 0 while voice embedding is off.
        voice_match_outcome: IntCounterVec = "scryon_voice_match_outcome_total" ["outcome"];
        /// Voice matches that failed, by cause; 0 while voice embedding is off.
        voice_match_failed: IntCounterVec = "scryon_voice_match_failed_total" ["cause"];
        /// Requests to the voice embedding provider that compare a call with a profile; none while voice embedding is off.
        voice_embedding_duration: Histogram = "scryon_voice_embedding_provider_duration_seconds" [];
    }
}

catalogue! {
    /// The sweeper. Its call counters are kept in Postgres: a status typed by hand and a worker that was
    /// scaled down are counted like any other. Every sweeper exports the same totals; take their maximum.
    SweeperMetrics in "Sweeper" {
        /// Calls accepted, by direction.
        calls_uploaded: IntGaugeVec = "scryon_calls_uploaded_total" ["direction"];
        /// Calls that reached COMPLETED.
        calls_completed: IntGauge = "scryon_calls_completed_total" [];
        /// Calls that reached FAILED, by reason.
        calls_failed: IntGaugeVec = "scryon_calls_failed_total" ["reason"];
        /// Calls that were failed for making no progress.
        calls_swept: IntGauge = "scryon_calls_swept_total" [];
        /// From acceptance to COMPLETED, of calls in the live lane.
        pipeline_duration: Histogram = "scryon_pipeline_total_duration_seconds" [];
        /// Whether this sweeper leads.
        leader: IntGauge = "scryon_sweeper_leader" [];
        /// One tick of the dispatcher.
        tick_duration: Histogram = "scryon_dispatcher_tick_duration_seconds" [] buckets HTTP_BUCKETS;
        /// Hints announced by the dispatcher, by cause.
        dispatched: IntCounterVec = "scryon_dispatcher_hints_total" ["cause"];
        /// Stage rows superseded.
        rows_superseded: IntCounter = "scryon_dispatcher_superseded_total" [];
        /// Live calls that had no live stage and were rebuilt. Should stay 0.
        calls_rebuilt: IntCounter = "scryon_calls_rebuilt_total" [];
        /// Work announced and not claimed, by stage and lane.
        announced: IntGaugeVec = "scryon_announced" ["stage", "lane"];
        /// Audio objects that retention let go.
        audio_expired: IntCounter = "scryon_audio_expired_total" [];
        /// Objects deleted from storage.
        objects_deleted: IntCounter = "scryon_storage_objects_deleted_total" [];
        /// Calls that have objects in storage and no row, as the last look found them.
        orphans: IntGauge = "scryon_storage_orphans" [];
        /// Whether a hold is on, by its kind: legal (an operator's word) or restore. While one is, nothing is deleted.
        hold: IntGaugeVec = "scryon_hold" ["kind"];
        /// Rows that left by their age, by what they are.
        rows_expired: IntCounterVec = "scryon_rows_expired_total" ["kind"];
        /// Erasures that storage does not know of yet. Should be 0 within seconds: a restore would bring those calls back.
        erasures_unrecorded: IntGauge = "scryon_erasures_unrecorded" [];
        /// Seconds since the newest backup was begun; -1 where there is none.
        backup_age: Gauge = "scryon_backup_age_seconds" [];
        /// How often this installation came back from a backup.
        restore_epoch: IntGauge = "scryon_restore_epoch" [];
        /// Of the last restore: seconds from the backup to the last sign of life before the loss.
        restore_rpo: Gauge = "scryon_restore_rpo_seconds" [];
        /// Of the last restore: seconds that it took.
        restore_rto: Gauge = "scryon_restore_rto_seconds" [];
        /// Unix seconds of the last probe that passed (`scryon probe`); 0 while there is none.
        probe_passed: Gauge = "scryon_probe_last_success_timestamp_seconds" [];
        /// Seconds from upload to analysis of that probe.
        probe_seconds: Gauge = "scryon_probe_duration_seconds" [];
        /// Calls that came into the search index, or came into it again.
        search_indexed: IntCounter = "scryon_search_calls_indexed_total" [];
        /// Calls that got embeddings; 0 while they are off.
        search_embedded: IntCounter = "scryon_search_calls_embedded_total" [];
        /// Tokens of calls' embeddings; 0 while they are off.
        embedding_tokens: IntCounter = "scryon_embedding_tokens_total" [];
        /// Messages nobody could use, copied into `dead_letters`.
        dead_letters: IntCounter = "scryon_dead_letters_total" [];
    }
}

/// Engines that ask a provider; `llm` is the language model of the analysis.
pub const HOSTED_ENGINES: [&str; 7] =
    ["lemonfox", "openai", "deepgram", "assemblyai", "pyannote", "llm", "fake"];
/// Reasons for which a call goes on without prepared audio.
pub const PREPROCESSING_FALLBACK_REASONS: [&str; 3] = ["ffmpeg_missing", "ffmpeg_failed", "ffmpeg_timeout"];
/// Reasons for which speakers are told apart by a lesser method.
pub const DIARIZATION_FALLBACK_REASONS: [&str; 7] = [
    "single_channel",
    "engine_failed",
    "engine_unavailable",
    "engine_throttled",
    "engine_overdue",
    "audio_too_long",
    "no_engine",
];
/// What a comparison with a voice profile finds.
pub const VOICE_MATCH_OUTCOMES: [&str; 3] = ["matched", "no_match", "ambiguous"];
/// Why a call was not compared with its owner's voice profile.
pub const VOICE_MATCH_FAILURES: [&str; 5] = [
    "provider_unavailable",
    "provider_overdue",
    "provider_rejected",
    "provider_failed",
    "profile_unreadable",
];
/// What becomes of a callback.
pub const CALLBACK_OUTCOMES: [&str; 6] =
    ["woken", "kept", "unknown_job", "other_epoch", "bad_signature", "expired"];
/// Outcomes of work on a stage.
pub const STAGE_OUTCOMES: [&str; 8] =
    ["succeeded", "skipped", "retry", "waiting", "failed", "superseded", "handed_back", "panicked"];
/// Kinds of holds.
pub const HOLD_KINDS: [&str; 2] = ["legal", "restore"];
/// Rows that leave by their age.
pub const EXPIRING_ROWS: [&str; 5] =
    ["events", "idempotency_keys", "dead_letters", "callbacks", "raw_answers"];
const DISPATCH_CAUSES: [&str; 5] = ["admitted", "start_overdue", "stage_due", "lease_expired", "rebuilt"];

impl ProgramMetrics {
    fn start_at_zero(&self) {
        for outcome in ["confirmed", "unknown"] {
            self.publish.with_label_values(&[outcome]);
        }
        for connection in ["consume", "publish"] {
            self.broker_connected.with_label_values(&[connection]);
        }
    }
}

impl ApiMetrics {
    fn start_at_zero(&self) {
        for provider in ["assemblyai", "deepgram", "lemonfox", "pyannote"] {
            for outcome in CALLBACK_OUTCOMES {
                self.callbacks.with_label_values(&[provider, outcome]);
            }
        }
    }
}

impl WorkerMetrics {
    fn start_at_zero(&self) {
        for stage in StageKind::ALL {
            for lane in Lane::ALL {
                self.stage_in_flight.with_label_values(&[stage.as_str(), lane.as_str()]);
            }
            for outcome in STAGE_OUTCOMES {
                self.stage_duration.with_label_values(&[stage.as_str(), outcome]);
            }
            for vec in [&self.superseded, &self.panics, &self.hints_unclaimed, &self.purchases_saved] {
                vec.with_label_values(&[stage.as_str()]);
            }
        }
        for engine in HOSTED_ENGINES {
            self.provider_circuit_open.with_label_values(&[engine]);
            self.provider_fail_fast.with_label_values(&[engine]);
            self.provider_limit.with_label_values(&[engine]);
            self.provider_in_flight.with_label_values(&[engine]);
            self.provider_throttled.with_label_values(&[engine]);
            self.provider_put_off.with_label_values(&[engine]);
        }
        for reason in PREPROCESSING_FALLBACK_REASONS {
            self.preprocessing_fallback.with_label_values(&[reason]);
        }
        for reason in DIARIZATION_FALLBACK_REASONS {
            self.diarization_fallback.with_label_values(&[reason]);
        }
        for kind in ["prompt", "completion"] {
            self.analysis_tokens.with_label_values(&[kind]);
        }
        for outcome in VOICE_MATCH_OUTCOMES {
            self.voice_match_outcome.with_label_values(&[outcome]);
        }
        for cause in VOICE_MATCH_FAILURES {
            self.voice_match_failed.with_label_values(&[cause]);
        }
    }
}

impl SweeperMetrics {
    fn start_at_zero(&self) {
        for direction in ["INCOMING", "OUTGOING", "UNKNOWN"] {
            self.calls_uploaded.with_label_values(&[direction]);
        }
        for reason in FailureCode::ALL {
            self.calls_failed.with_label_values(&[reason.as_str()]);
        }
        for kind in HOLD_KINDS {
            self.hold.with_label_values(&[kind]);
        }
        for kind in EXPIRING_ROWS {
            self.rows_expired.with_label_values(&[kind]);
        }
        for cause in DISPATCH_CAUSES {
            self.dispatched.with_label_values(&[cause]);
        }
        for stage in StageKind::ALL {
            for lane in Lane::ALL {
                self.announced.with_label_values(&[stage.as_str(), lane.as_str()]);
            }
        }
    }
}

/// A registry with the process collector (CPU, memory, descriptors) and what every program has.
pub fn program_registry(
    program: &str,
    version: &str,
) -> Result<(Registry, ProgramMetrics), prometheus::Error> {
    let registry = Registry::new();
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    let metrics = ProgramMetrics::register(&registry)?;
    metrics.build_info.with_label_values(&[program, version]).set(1);
    Ok((registry, metrics))
}

/// The text exposition format.
pub fn render(registry: &Registry) -> String {
    let mut out = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut out) {
        Ok(()) => counters_kept_in_postgres(String::from_utf8_lossy(&out).into_owned()),
        Err(error) => format!("# failed to encode metrics: {error}\n"),
    }
}

/// Totals that come from Postgres are set, not added to, so the client library knows them as gauges; to
/// Prometheus they are counters.
fn counters_kept_in_postgres(text: String) -> String {
    let mut text = text;
    for described in SweeperMetrics::DESCRIBED.iter().filter(|d| d.name.ends_with("_total")) {
        text = text.replace(
            &format!("# TYPE {} gauge", described.name),
            &format!("# TYPE {} counter", described.name),
        );
    }
    text
}

/// Every metric of the catalogue.
pub fn described() -> impl Iterator<Item = &'static Described> {
    [ProgramMetrics::DESCRIBED, ApiMetrics::DESCRIBED, WorkerMetrics::DESCRIBED, SweeperMetrics::DESCRIBED]
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Registry {
        let (registry, _program) = program_registry("test", "0").unwrap();
        ApiMetrics::register(&registry).unwrap();
        WorkerMetrics::register(&registry).unwrap();
        SweeperMetrics::register(&registry).unwrap();
        registry
    }

    #[test]
    fn the_names_that_dashboards_use_are_there_from_the_start() {
        let text = render(&all());
        for series in [
            "scryon_calls_uploaded_total{direction=\"INCOMING\"} 0",
            "scryon_calls_completed_total 0",
            "scryon_calls_failed_total{reason=\"audio_unreadable\"} 0",
            "scryon_calls_swept_total 0",
            "scryon_pipeline_total_duration_seconds_count 0",
            "scryon_audio_preprocessing_duration_seconds_count 0",
            "scryon_transcript_alignment_duration_seconds_count 0",
            "scryon_transcript_normalization_duration_seconds_count 0",
            "scryon_audio_preprocessing_fallback_total{reason=\"ffmpeg_failed\"} 0",
            "scryon_diarization_fallback_total{reason=\"single_channel\"} 0",
            "scryon_analysis_cost_tokens_total{type=\"prompt\"} 0",
            "scryon_action_items_extracted_total 0",
            "scryon_voice_profile_created_total 0",
            "scryon_voice_match_outcome_total{outcome=\"matched\"} 0",
        ] {
            assert!(text.contains(series), "{series} is missing");
        }
    }

    #[test]
    fn totals_from_postgres_are_counters_to_prometheus() {
        let text = render(&all());
        assert!(text.contains("# TYPE scryon_calls_completed_total counter"));
        assert!(text.contains("# TYPE scryon_sweeper_leader gauge"));
    }

    #[test]
    fn names_carry_their_unit() {
        for d in described() {
            let counter = d.kind.starts_with("IntCounter");
            assert!(!counter || d.name.ends_with("_total"), "{}", d.name);
            let histogram = d.kind.starts_with("Histogram");
            assert!(!histogram || d.name.ends_with("_seconds"), "{}", d.name);
        }
    }

    #[test]
    fn the_manual_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == manual(), "docs/metrics.md is stale: run `make docs`");
    }
}
