//! Sentiment is polarity, tone is register; they are read and counted apart.

use serde::{Deserialize, Serialize};

use super::document::Analysis;
use super::lenient;
use super::vocabulary::{Energy, Formality, Pace, Phase, Polarity};

/// Polarity and how it moved through the call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sentiment {
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub overall: Option<Polarity>,
    /// Within [-1, 1], or null where it is unclear.
    #[serde(default, deserialize_with = "lenient::score")]
    pub score: Option<f64>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The owner of the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_sentiment: Option<SpeakerSentiment>,
    /// The other party, who may well feel differently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_sentiment: Option<SpeakerSentiment>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub progression: Vec<SentimentMoment>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub emotional_signals: Vec<String>,
}

/// The polarity of one party.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpeakerSentiment {
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub overall: Option<Polarity>,
    /// Within [-1, 1], or null where it is unclear.
    #[serde(default, deserialize_with = "lenient::score")]
    pub score: Option<f64>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// The polarity of one stretch of the call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SentimentMoment {
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub overall: Option<Polarity>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub source_segment_ids: Vec<String>,
}

/// How things were said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tone {
    /// A headline word such as `professional` or `tense`; the list is open.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub overall: Option<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub descriptors: Vec<String>,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub formality: Option<Formality>,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_party: Option<PartyTones>,
}

/// The tones of both parties.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartyTones {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_tone: Option<PartyTone>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_tone: Option<PartyTone>,
}

/// The tone of one party.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartyTone {
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub overall: Option<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub descriptors: Vec<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// One row of `call_sentiment_summary`: what trend queries count without opening a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentimentSummary {
    pub sentiment_overall: Option<Polarity>,
    pub user_sentiment: Option<Polarity>,
    pub contact_sentiment: Option<Polarity>,
    pub tone_overall: Option<String>,
    pub tone_formality: Option<Formality>,
    pub tone_energy: Option<Energy>,
    pub tone_pace: Option<Pace>,
}

impl SentimentSummary {
    /// The row of a document. What the document does not say stays null and is left out of its trend.
    pub fn of(analysis: &Analysis) -> Self {
        let sentiment = analysis.sentiment.as_ref();
        let tone = analysis.tone.as_ref();
        let party = |party: Option<&SpeakerSentiment>| party.and_then(|party| party.overall);
        Self {
            sentiment_overall: sentiment.and_then(|sentiment| sentiment.overall),
            user_sentiment: party(sentiment.and_then(|sentiment| sentiment.user_sentiment.as_ref())),
            contact_sentiment: party(sentiment.and_then(|sentiment| sentiment.contact_sentiment.as_ref())),
            tone_overall: tone.and_then(|tone| tone.overall.clone()),
            tone_formality: tone.and_then(|tone| tone.formality),
            tone_energy: tone.and_then(|tone| tone.energy),
            tone_pace: tone.and_then(|tone| tone.pace),
        }
    }
}
