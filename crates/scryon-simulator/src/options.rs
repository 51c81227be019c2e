//! How the hosted providers' APIs behave until a test says otherwise.

use serde::{Deserialize, Serialize};

/// Where the words of a `verbose_json` transcript are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WordPlace {
    /// Inside each segment, as Lemonfox sends them.
    Segments,
    /// Beside the segments, as OpenAI sends them.
    TopLevel,
    /// Nowhere, though they were asked for.
    Missing,
}

/// Whose manner of speaking the OpenAI API has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI itself.
    OpenAi,
    /// Speaches, once called faster-whisper-server.
    Speaches,
    /// The server of whisper.cpp.
    WhisperCpp,
    /// vLLM.
    Vllm,
    /// Ollama.
    Ollama,
    /// LocalAI, whose times are nanoseconds.
    LocalAi,
}

/// How a webhook's signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureForm {
    /// Lower-case hexadecimal digits.
    Hex,
    /// Base64 with padding.
    Base64,
}

/// How a limit tells when it is free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetForm {
    /// Seconds from now.
    Seconds,
    /// Seconds since 1970.
    Epoch,
    /// A duration with its unit, such as `6m0s`.
    Duration,
    /// `-1`, as some gateways send.
    MinusOne,
}

/// The shape of Deepgram's errors; both are documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeepgramErrors {
    /// `{"err_code","err_msg","request_id"}`.
    Code,
    /// `{"category","message","details","request_id"}`.
    Category,
}

/// Behaviour of the hosted providers' APIs. `POST /control/options` takes any of these fields by its
/// camelCase name. Times are milliseconds; the defaults are what the providers document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostedOptions {
    /// Before every answer.
    pub latency_ms: u64,
    /// Voices in a recording, 1 to 4 where the provider has such a limit.
    pub speakers: usize,
    /// Segments of a transcript.
    pub segments: usize,
    /// What is said in the first segments, one text each; the others say their number.
    pub said: Vec<String>,
    /// Length of each segment.
    pub segment_ms: u64,
    /// Places of words in Lemonfox's `verbose_json`.
    pub lemonfox_words: WordPlace,
    /// Whether Lemonfox wraps `text` in double quotes.
    pub lemonfox_quoted_text: bool,
    /// Most bytes of an upload to Lemonfox.
    pub lemonfox_max_bytes: u64,
    /// Between a submit with a callback and its callback (Lemonfox, Deepgram).
    pub callback_delay_ms: u64,
    /// How long a receiver of a callback may take.
    pub callback_timeout_ms: u64,
    /// Whether plain http is accepted where a provider wants https for its webhooks.
    pub plain_http_webhooks: bool,
    /// Whose manner the OpenAI API has.
    pub openai_dialect: Dialect,
    /// Most bytes of a recording sent to the OpenAI API.
    pub openai_max_bytes: u64,
    /// Status above [`Self::openai_max_bytes`]: 413, or 400 as some servers have it.
    pub openai_too_large_status: u16,
    /// Form of `x-ratelimit-reset-*`.
    pub openai_reset: ResetForm,
    /// Texts that mean what other texts say: each pair's first has the embedding of its second.
    pub openai_meanings: Vec<(String, String)>,
    /// How long a pyannote job stays in each of `created`, `pending` and `running`.
    pub pyannote_step_ms: u64,
    /// How long the output of a pyannote job is kept after its end.
    pub pyannote_output_ms: u64,
    /// How long a pyannote upload may begin after its address was given.
    pub pyannote_upload_ms: u64,
    /// How long an uploaded recording is kept at pyannote.
    pub pyannote_media_ms: u64,
    /// What pyannote signs its webhooks with.
    pub pyannote_secret: String,
    /// How the signature is written.
    pub pyannote_signature: SignatureForm,
    /// Pauses before the retries of a pyannote webhook.
    pub pyannote_retries_ms: Vec<u64>,
    /// How much each speaker, in order, sounds like the first voiceprint, 0 to 100. Empty: the first speaker is
    /// its owner.
    pub pyannote_scores: Vec<f64>,
    /// Submits, and uploads, of a key in a minute.
    pub pyannote_submits_per_minute: usize,
    /// Job reads of a key in a minute.
    pub pyannote_reads_per_minute: usize,
    /// Form of `X-RateLimit-Reset`.
    pub pyannote_reset: ResetForm,
    /// Requests that Deepgram works on at once for a key.
    pub deepgram_concurrent: usize,
    /// US dollars that Deepgram says are left.
    pub deepgram_balance: f64,
    /// Shape of Deepgram's errors.
    pub deepgram_errors: DeepgramErrors,
    /// Whether Deepgram's callbacks carry `dg-token`.
    pub deepgram_token: bool,
    /// Between the tries of a Deepgram callback, which are at most eleven.
    pub deepgram_retry_ms: u64,
    /// How long an AssemblyAI transcript is queued, and how long it is processed.
    pub assemblyai_step_ms: u64,
    /// Transcripts that AssemblyAI works on at once; the rest is queued.
    pub assemblyai_parallel: usize,
    /// Between the tries of an AssemblyAI webhook, which are at most ten.
    pub assemblyai_retry_ms: u64,
}

const DAY_MS: u64 = 24 * 3_600_000;

impl Default for HostedOptions {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            speakers: 2,
            segments: 12,
            said: Vec::new(),
            segment_ms: 2_000,
            lemonfox_words: WordPlace::Segments,
            lemonfox_quoted_text: false,
            lemonfox_max_bytes: 100_000_000,
            callback_delay_ms: 100,
            callback_timeout_ms: 10_000,
            plain_http_webhooks: false,
            openai_dialect: Dialect::OpenAi,
            openai_max_bytes: 25 << 20,
            openai_too_large_status: 413,
            openai_reset: ResetForm::Duration,
            openai_meanings: Vec::new(),
            pyannote_step_ms: 100,
            pyannote_output_ms: DAY_MS,
            pyannote_upload_ms: 3_600_000,
            pyannote_media_ms: DAY_MS,
            pyannote_secret: "pya-demo-secret".to_owned(),
            pyannote_signature: SignatureForm::Hex,
            pyannote_retries_ms: vec![0, 60_000, 300_000],
            pyannote_scores: Vec::new(),
            pyannote_submits_per_minute: 100,
            pyannote_reads_per_minute: 300,
            pyannote_reset: ResetForm::Seconds,
            deepgram_concurrent: 100,
            deepgram_balance: 200.0,
            deepgram_errors: DeepgramErrors::Code,
            deepgram_token: true,
            deepgram_retry_ms: 30_000,
            assemblyai_step_ms: 100,
            assemblyai_parallel: 200,
            assemblyai_retry_ms: 10_000,
        }
    }
}
