//! The document itself and the parts of its summary.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::action_item::{ActionItem, NextStep};
use super::findings::{Amount, Finding, FollowUp, ImportantDate, PersonMention};
use super::lenient;
use super::mood::{Sentiment, Tone};
use super::vocabulary::{CallType, Importance, Phase};
use crate::transcript::SpeakerRole;

/// What a call means. Lists are always written, even empty; single values only where there is one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// 3 for new documents; 0 stands for the legacy shape, which carried no version.
    #[serde(default, deserialize_with = "lenient::version")]
    pub schema_version: u32,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub call_type: Option<CallType>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub suggested_title: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub one_line_summary: Option<String>,
    /// A headline of 2 to 4 sentences.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub executive_summary: Option<String>,
    /// The detailed summary: 3 to 6 sections that cover the whole call.
    #[serde(default, deserialize_with = "lenient::list")]
    pub executive_summary_bullets: Vec<SummaryBullet>,
    /// What was decided or resolved.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub conversation_outcome: Option<String>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub sections: Vec<Section>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub key_discussion_points: Vec<DiscussionPoint>,
    /// A snapshot; the editable state lives in the table `action_items`.
    #[serde(default, deserialize_with = "lenient::list")]
    pub action_items: Vec<ActionItem>,
    /// Older than `next_steps` and kept for readers that know it.
    #[serde(default, deserialize_with = "lenient::list")]
    pub follow_ups: Vec<FollowUp>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub next_steps: Vec<NextStep>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub important_dates: Vec<ImportantDate>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub decisions: Vec<Finding>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub commitments: Vec<Finding>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub open_questions: Vec<Finding>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub risks: Vec<Finding>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub opportunities: Vec<Finding>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub people_mentioned: Vec<PersonMention>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub numbers_and_amounts: Vec<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentiment: Option<Sentiment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tone: Option<Tone>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub tags: Vec<String>,
    /// Codes or short sentences about audio and transcript.
    #[serde(default, deserialize_with = "lenient::texts")]
    pub quality_warnings: Vec<String>,
    /// Everything else the document came with; it passes through unchanged.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One section of the detailed summary.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SummaryBullet {
    #[serde(default, deserialize_with = "lenient::plain")]
    pub header: String,
    /// Where the section begins, `MM:SS` or `HH:MM:SS`: this is how a bullet cites the call.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub paragraphs: Vec<String>,
}

/// A thematic grouping. Themes are the author's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, deserialize_with = "lenient::plain")]
    pub title: String,
    #[serde(rename = "type", default, deserialize_with = "lenient::text")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub items: Vec<SectionItem>,
}

/// One statement of a section. Those of high importance are the key points older clients show.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SectionItem {
    #[serde(default, deserialize_with = "lenient::plain")]
    pub text: String,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub importance: Option<Importance>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub source_segment_ids: Vec<String>,
}

/// One point of the chronological view.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiscussionPoint {
    #[serde(default, deserialize_with = "lenient::plain")]
    pub text: String,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Left out of new documents, whose narrative names no speaker; older ones carry it.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub speaker_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub speaker_label: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub speaker_display_name: Option<String>,
    #[serde(default, deserialize_with = "lenient::role", skip_serializing_if = "Option::is_none")]
    pub speaker_role: Option<SpeakerRole>,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub importance: Option<Importance>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub source_segment_ids: Vec<String>,
}
