//! The long tail of evidence lists. Their shapes are not fixed from outside beyond text and citation, so
//! each keeps the keys it does not know.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lenient;
use super::vocabulary::{AmountKind, Importance};

/// A decision, commitment, open question, risk or opportunity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    #[serde(default, deserialize_with = "lenient::plain")]
    pub text: String,
    /// Who said it, where one speaker did.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub speaker_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub importance: Option<Importance>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub source_segment_ids: Vec<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The predecessor of a next step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FollowUp {
    #[serde(default, deserialize_with = "lenient::plain")]
    pub text: String,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub owner_speaker: Option<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub source_segment_ids: Vec<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A day that was named.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportantDate {
    /// The words as said, for example `next Friday`.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub text: String,
    /// The day they mean, where that is certain.
    #[serde(default, deserialize_with = "lenient::day", skip_serializing_if = "Option::is_none")]
    pub date: Option<NaiveDate>,
    /// The statement around it.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub source_segment_ids: Vec<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A person who was named.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersonMention {
    #[serde(default, deserialize_with = "lenient::plain")]
    pub name: String,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub source_segment_ids: Vec<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A number that was named.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amount {
    /// The words as said, for example `ninety nine dollars`.
    #[serde(default, deserialize_with = "lenient::plain")]
    pub text: String,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub kind: Option<AmountKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// ISO code of a currency, `%`, or the thing counted.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub source_segment_ids: Vec<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
