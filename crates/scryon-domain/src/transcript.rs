//! NORMALIZED_TRANSCRIPT_JSON, schemaVersion 2: what readers of a call see.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::CallId;

/// Version of the document's shape.
pub const TRANSCRIPT_SCHEMA_VERSION: u32 = 2;
/// Version of what assembly does with the same inputs. Raising it makes stored transcripts candidates for
/// a rebuild from RAW_TRANSCRIPT_JSON and DIARIZATION_JSON.
pub const NORMALIZATION_VERSION: u32 = 1;
/// Version of the word-to-turn alignment alone.
pub const ALIGNMENT_VERSION: &str = "1.0";
/// Version of the naming rules alone.
pub const RESOLUTION_STRATEGY_VERSION: u32 = 1;

/// A speaker-labelled transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transcript {
    pub schema_version: u32,
    pub call_id: CallId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    pub duration_seconds: f64,
    /// `[MM:SS - MM:SS] Label: text`, one line per segment.
    pub clean_text: String,
    pub speakers: Vec<Speaker>,
    pub segments: Vec<Segment>,
    pub speaker_resolution: SpeakerResolution,
    pub pipeline: PipelineInfo,
    pub created_at: DateTime<Utc>,
}

/// Whose side of the call a speaker is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SpeakerRole {
    /// The owner of the recording.
    User,
    /// The other party.
    Contact,
    Unknown,
}

/// How sure the label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Confidence {
    Low,
    Medium,
    High,
}

/// Which rule gave the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LabelSource {
    Diarization,
    Channel,
    UserProfile,
    ContactMetadata,
    GreetingMatch,
    NameMention,
    ByElimination,
    AnsweringPattern,
    PhoneFallback,
    VoiceEmbedding,
    Ambiguous,
    Manual,
}

/// One party of the call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Speaker {
    /// `spk_1`, `spk_2`, … by order of first appearance.
    pub speaker_id: String,
    /// The engine's label, for example `SPEAKER_00` or `CHANNEL_1`.
    pub source_speaker_id: String,
    /// What readers show: a name where evidence gave one, else `Speaker N`.
    pub label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    pub role: SpeakerRole,
    pub confidence: Confidence,
    pub label_source: LabelSource,
    /// 0 to 1, four decimals; only on the speaker the voice profile matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice_match_score: Option<f64>,
}

/// One stretch of speech of one speaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// `seg_0001`, … in order of (start, end, source speaker).
    pub id: String,
    pub speaker_id: String,
    /// Same as `speakerLabel`; older clients read this one.
    pub speaker: String,
    pub speaker_label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker_display_name: Option<String>,
    pub source_speaker_id: String,
    pub role: SpeakerRole,
    pub start_seconds: f64,
    pub end_seconds: f64,
    pub text: String,
    pub alignment_confidence: Confidence,
}

/// How names were found: counts and codes, never names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpeakerResolution {
    pub strategy_version: u32,
    pub used_user_display_name: bool,
    pub used_contact_name: bool,
    pub used_direction: bool,
    pub used_phone_fallback: bool,
    pub voice_embedding_enabled: bool,
    pub voice_profile_used: bool,
    /// DISABLED, NO_PROFILE, NO_MATCH, MATCHED or AMBIGUOUS.
    pub voice_match_status: String,
    pub total_speaker_count: usize,
    pub resolved_speaker_count: usize,
    /// `answering_pattern_used`, `multi_party_call_not_auto_resolved`, `speaker_identity_ambiguous`,
    /// `speaker_roles_unresolved`.
    pub warnings: Vec<String>,
}

/// Which engines and versions made the transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineInfo {
    pub transcription_provider: String,
    pub transcription_model: String,
    pub diarization_provider: String,
    pub diarization_model: String,
    pub alignment_version: String,
    pub normalization_version: u32,
    pub status: String,
    /// Codes a reader should know: those of the engines (`draft_quality_engine`, `pyannote_disabled`, …), then
    /// `no_speech`, `diarization_empty`, `single_speaker_fallback`, `silence_hallucination_removed`.
    #[serde(default)]
    pub quality_warnings: Vec<String>,
}
