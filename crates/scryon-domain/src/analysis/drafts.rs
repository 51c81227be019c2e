//! From the items of a document to rows of the table `action_items`.

use std::collections::HashSet;

use chrono::NaiveDate;
use serde_json::Value;

use super::action_item::ActionItem;
use super::document::Analysis;
use super::owner::{Owner, resolve_owner};
use super::vocabulary::{ActionIntent, Priority};
use crate::transcript::{SpeakerRole, Transcript};

/// Longest title of a row; a title is a headline.
pub const MAX_TITLE_CHARS: usize = 200;
/// Longest description of a row.
pub const MAX_DESCRIPTION_CHARS: usize = 2_000;
const MAX_EXCERPT_CHARS: usize = 240;
const MAX_IDENTITY_TITLE_CHARS: usize = 120;

/// A row to insert or to match with one that people may have edited since.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionItemDraft {
    pub title: String,
    pub description: Option<String>,
    pub due_date: Option<NaiveDate>,
    pub priority: Option<Priority>,
    pub owner_speaker_id: Option<String>,
    pub owner_speaker_label: Option<String>,
    pub owner_display_name: Option<String>,
    pub owner_role: Option<SpeakerRole>,
    /// Only ids the transcript holds.
    pub source_segment_ids: Vec<String>,
    /// What the item was made from, for whoever has to explain it later.
    pub source_text: String,
    pub intent: Option<ActionIntent>,
    pub intent_metadata: Option<Value>,
    /// The same task found again by a later analysis has the same identity: its words without case and
    /// punctuation, where it was said, and who owns it. Plain text, so that an operator can read it.
    pub identity: String,
}

/// The rows of a document. Items without a title are no tasks, and a second item with the identity of an
/// earlier one is the same task.
pub fn action_items(analysis: &Analysis, transcript: &Transcript) -> Vec<ActionItemDraft> {
    let known: HashSet<&str> = transcript.segments.iter().map(|segment| segment.id.as_str()).collect();
    let mut identities = HashSet::new();
    analysis
        .action_items
        .iter()
        .filter_map(|item| draft(item, transcript, &known))
        .filter(|draft| identities.insert(draft.identity.clone()))
        .collect()
}

fn draft(item: &ActionItem, transcript: &Transcript, known: &HashSet<&str>) -> Option<ActionItemDraft> {
    let title = capped(&single_spaced(&item.title), MAX_TITLE_CHARS);
    if title.is_empty() {
        return None;
    }
    let owner = resolve_owner(item, transcript);
    let segments = known_once(&item.source_segment_ids, known);
    let description = item.description.as_deref().map(str::trim).filter(|text| !text.is_empty());
    Some(ActionItemDraft {
        description: description.map(|text| capped(text, MAX_DESCRIPTION_CHARS)),
        due_date: item.due_date,
        priority: item.priority,
        source_text: source_text(item, &segments, transcript),
        intent: item.intent,
        intent_metadata: item.intent_metadata.as_ref().and_then(|data| serde_json::to_value(data).ok()),
        identity: identity(&title, &segments, owner.as_ref()),
        source_segment_ids: segments,
        owner_speaker_id: owner.as_ref().map(|owner| owner.speaker_id.clone()),
        owner_speaker_label: owner.as_ref().map(|owner| owner.label.clone()),
        owner_display_name: owner.as_ref().and_then(|owner| owner.display_name.clone()),
        owner_role: owner.map(|owner| owner.role),
        title,
    })
}

fn known_once(ids: &[String], known: &HashSet<&str>) -> Vec<String> {
    let mut seen = HashSet::new();
    let existing = ids.iter().filter(|id| known.contains(id.as_str()));
    existing.filter(|id| seen.insert(id.as_str())).cloned().collect()
}

/// `priority=high; segments=seg_0002; owner="Ravi"; text="…"`, leaving out what is not there. The owner is
/// what the analysis wrote, which matters most where it could not be matched.
fn source_text(item: &ActionItem, segments: &[String], transcript: &Transcript) -> String {
    let mut parts = Vec::new();
    if let Some(priority) = item.priority {
        parts.push(format!("priority={priority}"));
    }
    if !segments.is_empty() {
        parts.push(format!("segments={}", segments.join(",")));
    }
    if let Some(owner) = item.owner_speaker.as_deref().or(item.owner_speaker_label.as_deref()) {
        parts.push(format!("owner=\"{}\"", quotable(owner)));
    }
    let first = segments.first().and_then(|id| transcript.segments.iter().find(|segment| segment.id == *id));
    if let Some(segment) = first {
        parts.push(format!("text=\"{}\"", quotable(&segment.text)));
    }
    parts.join("; ")
}

fn quotable(text: &str) -> String {
    capped(&single_spaced(text), MAX_EXCERPT_CHARS).replace('"', "'")
}

fn identity(title: &str, segments: &[String], owner: Option<&Owner>) -> String {
    let words: String = title.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let words: String = single_spaced(&words.to_lowercase()).chars().take(MAX_IDENTITY_TITLE_CHARS).collect();
    let segment = segments.first().map_or("-", String::as_str);
    let owner = owner.map_or("-", |owner| owner.speaker_id.as_str());
    format!("{}|{segment}|{owner}", words.trim_end())
}

/// At most `limit` characters; what was cut shows as an ellipsis.
fn capped(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Words with one space between them. Control characters separate words too, so that none reaches a row.
fn single_spaced(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}
