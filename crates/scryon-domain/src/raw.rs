//! What speech engines hand to assembly, in one shape whatever the provider's dialect was.
//! These are the artifacts RAW_TRANSCRIPT_JSON and DIARIZATION_JSON.

use serde::{Deserialize, Serialize};

/// Version of both documents below.
pub const RAW_SCHEMA_VERSION: u32 = 1;

/// The answer of a transcription engine. Times are seconds from the start of the recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawTranscript {
    pub schema_version: u32,
    /// Engine name as configured, for example `pocketsphinx`.
    pub engine: String,
    pub model: String,
    /// ISO-639-1 code where the engine knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Length of the decoded audio.
    pub duration_seconds: f64,
    /// Channels that were transcribed one by one; 1 means a mix, whose words carry no channel.
    pub channels: u16,
    /// Words with times. Empty when the engine has none; then `segments` carries the text.
    #[serde(default)]
    pub words: Vec<RawWord>,
    /// The engine's own segments: the text when `words` has none, and the speaker labels that words lack.
    #[serde(default)]
    pub segments: Vec<RawSegment>,
    /// Codes, never prose: for example `draft_quality_engine`, `no_speech`.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One word as heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawWord {
    pub text: String,
    pub start: f64,
    pub end: f64,
    /// 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// The engine's own speaker label, for example `SPEAKER_00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// Channel it was heard on, from 0, when channels were transcribed one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u16>,
}

/// A stretch of text without word times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawSegment {
    pub text: String,
    pub start: f64,
    pub end: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u16>,
}

/// How the recording was divided among speakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DiarizationMethod {
    /// One party per channel: exact.
    Channels,
    /// Turns of a diarization engine.
    Turns,
    /// The speaker labels of the transcription, which assembly finds on the words.
    TranscriptLabels,
    /// Nothing tells the speakers apart.
    SingleSpeaker,
}

/// The answer of a diarization engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diarization {
    pub schema_version: u32,
    pub engine: String,
    pub model: String,
    pub method: DiarizationMethod,
    /// Channels of the recording; at least 2 with [`DiarizationMethod::Channels`].
    pub channels: u16,
    /// Turns in order of start; different speakers may overlap. With `Channels` the speaker is `CHANNEL_n`.
    #[serde(default)]
    pub turns: Vec<Turn>,
    /// The same without overlap, where the engine gives it; preferred for words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive_turns: Option<Vec<Turn>>,
    /// Why a better method was not used: a code such as `pyannote_disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_reason: Option<String>,
    #[serde(default)]
    pub warnings: Vec<String>,
    /// How the speakers compare with the owner's voice profile; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<VoiceEvidence>,
}

/// What a comparison with a voice profile gave: scores of speakers, and nothing of the voice itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoiceEvidence {
    /// False: there is a profile, and it could not be compared.
    pub compared: bool,
    #[serde(default)]
    pub scores: Vec<VoiceScore>,
}

impl VoiceEvidence {
    /// There is a profile, and it could not be compared.
    pub const fn unavailable() -> Self {
        Self { compared: false, scores: Vec::new() }
    }
}

/// How much one speaker sounds like the profile's owner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoiceScore {
    pub speaker: String,
    /// 0 to 1.
    pub score: f64,
}

/// One stretch of one speaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    pub speaker: String,
    pub start: f64,
    pub end: f64,
}

/// The source speaker id of a channel.
pub fn channel_speaker(channel: u16) -> String {
    format!("CHANNEL_{channel}")
}
