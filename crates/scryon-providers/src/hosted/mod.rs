//! Hosted engines: they cost money, need a key, and cannot be asked twice under one key. Each is a file that
//! builds requests and reads answers with pure functions; what they share is here.

mod assemblyai;
mod callbacks;
mod deepgram;
mod embeddings;
mod languages;
mod lemonfox;
mod llm;
mod openai;
mod pyannote;
mod reading;
mod upload;
mod whisper;

#[cfg(test)]
mod by_address_tests;
#[cfg(test)]
mod engines_tests;
#[cfg(test)]
mod testing;

use std::fmt;
use std::time::Duration;

use scryon_config::value::Secret;
use scryon_domain::raw::RawTranscript;

use crate::engine::{Answer, Audio, EngineInfo, TranscriptionAnswer};

pub use assemblyai::AssemblyAiEngine;
pub use deepgram::DeepgramEngine;
pub use embeddings::Embedder;
pub use lemonfox::LemonfoxEngine;
pub use llm::LlmEngine;
pub use openai::OpenAiEngine;
pub use pyannote::{PyannoteEngine, VoiceprintState};

/// Bytes of an answer: hours of words with times.
const ANSWER_LIMIT: usize = 64 << 20;
/// Wait for an answer of an engine that has no setting for it.
const USUAL_WAIT: Duration = Duration::from_secs(300);
/// A delivery ends after half an hour; no length of a recording makes a request outlast it.
const LONGEST_WAIT: Duration = Duration::from_secs(1500);

/// How long an answer is waited for: what was set, and for long recordings a minute and half their length,
/// which leaves room for the upload.
fn deadline(set: Duration, audio_seconds: Option<f64>) -> Duration {
    let seconds = audio_seconds.filter(|s| s.is_finite() && *s > 0.0).unwrap_or_default();
    let floor = Duration::from_secs_f64((60.0 + seconds / 2.0).min(LONGEST_WAIT.as_secs_f64()));
    set.max(floor)
}

/// What a hosted engine is.
fn hosted(name: &'static str, model: String, variant: String, price_per_minute: Option<f64>) -> EngineInfo {
    EngineInfo {
        name,
        model,
        paid: true,
        idempotent: false,
        cpu_bound: false,
        variant,
        price_per_minute,
        settled_within: None,
    }
}

/// A key of a provider; it does not show.
struct Key(String);

impl Key {
    /// The key that was set, or which variable is missing.
    fn new(engine: &str, variable: &str, key: &Secret) -> Result<Self, String> {
        if key.0.is_empty() {
            return Err(format!("the engine {engine} needs {variable}"));
        }
        Ok(Self(key.0.clone()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// An answer with its length and its price. What is bought is the recording's length.
fn priced(
    transcript: RawTranscript,
    audio: &dyn Audio,
    price_per_minute: Option<f64>,
) -> Answer<RawTranscript> {
    let seconds = audio.duration_seconds().filter(|s| *s > 0.0).unwrap_or(transcript.duration_seconds);
    Answer {
        content: transcript,
        units: Some(seconds),
        unit: Some("audio_seconds"),
        billed_cost: price_per_minute.map(|price| price * seconds / 60.0),
    }
}

/// The same of an engine that answers at once.
fn answered(
    transcript: RawTranscript,
    audio: &dyn Audio,
    price_per_minute: Option<f64>,
) -> TranscriptionAnswer {
    TranscriptionAnswer::Done(Box::new(priced(transcript, audio, price_per_minute)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_recordings_are_waited_for_longer() {
        let cases = [
            (180, None, 180),
            (180, Some(60.0), 180),
            (180, Some(1_800.0), 960),
            (180, Some(36_000.0), 1_500),
            (1_800, Some(36_000.0), 1_800),
            (180, Some(f64::NAN), 180),
            (0, None, 60),
        ];
        for (set, seconds, expected) in cases {
            assert_eq!(deadline(Duration::from_secs(set), seconds).as_secs(), expected, "{set} {seconds:?}");
        }
    }
}
