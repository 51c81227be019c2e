//! Tasks worth launching, and plans that are not.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::lenient;
use super::vocabulary::{ActionIntent, Channel, Priority, ProviderHint};
use crate::transcript::SpeakerRole;

/// A discrete task. Owner, due date and priority are written as null where nobody said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionItem {
    #[serde(default, deserialize_with = "lenient::plain")]
    pub title: String,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Older name of `owner_speaker_label`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub owner_speaker: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub owner_speaker_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub owner_speaker_label: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub owner_display_name: Option<String>,
    #[serde(default, deserialize_with = "lenient::role")]
    pub owner_role: Option<SpeakerRole>,
    #[serde(default, deserialize_with = "lenient::day")]
    pub due_date: Option<NaiveDate>,
    #[serde(default, deserialize_with = "lenient::word")]
    pub priority: Option<Priority>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub source_segment_ids: Vec<String>,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub intent: Option<ActionIntent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_metadata: Option<IntentMetadata>,
}

/// What a client needs to launch the right application. Nothing here is ever made up: an address, a number
/// or a time is present only if it was said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntentMetadata {
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub provider_hint: Option<ProviderHint>,
    #[serde(default, deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub attendees: Vec<Attendee>,
    /// Local date and time, for example `2026-05-23T11:00:00`.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub proposed_at: Option<String>,
    #[serde(default, deserialize_with = "lenient::whole", skip_serializing_if = "Option::is_none")]
    pub duration_minutes: Option<u32>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub to_email: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub to_name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub body_preview: Option<String>,
    /// Only a number other than the one of this call.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub contact_name: Option<String>,
    #[serde(default, deserialize_with = "lenient::word", skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// Local date and time of a reminder.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub remind_at: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// Somebody invited to a meeting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attendee {
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Something a speaker plans to do that no application can launch. Not stored as a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextStep {
    #[serde(default, deserialize_with = "lenient::plain")]
    pub text: String,
    /// Label of the speaker, or null.
    #[serde(default, deserialize_with = "lenient::text")]
    pub owner_speaker: Option<String>,
    /// Time as it was said, for example `next week`, or null.
    #[serde(default, deserialize_with = "lenient::text")]
    pub when: Option<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    pub source_segment_ids: Vec<String>,
}
