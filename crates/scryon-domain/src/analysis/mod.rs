//! ANALYSIS_JSON, schemaVersion 3: what a call means and what to do next.
//!
//! The document is open-ended for readers and strict for writers: an answer is first validated against
//! [`ANALYSIS_SCHEMA`], then read leniently into [`Analysis`], and whatever it cites that the transcript
//! does not hold is dropped before anything is stored.

mod action_item;
mod aliases;
mod document;
mod drafts;
mod findings;
mod grounding;
mod lenient;
mod mood;
mod owner;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use action_item::{ActionItem, Attendee, IntentMetadata, NextStep};
pub use aliases::with_legacy_aliases;
pub use document::{Analysis, DiscussionPoint, Section, SectionItem, SummaryBullet};
pub use drafts::{ActionItemDraft, MAX_DESCRIPTION_CHARS, MAX_TITLE_CHARS, action_items};
pub use findings::{Amount, Finding, FollowUp, ImportantDate, PersonMention};
pub use grounding::{Dropped, GroundingProblem, check_grounding, drop_ungrounded};
pub use mood::{PartyTone, PartyTones, Sentiment, SentimentMoment, SentimentSummary, SpeakerSentiment, Tone};
pub use owner::{Owner, resolve_owner};
pub use vocabulary::{
    ActionIntent, AmountKind, CallType, Channel, Energy, Formality, Importance, Pace, Phase, Polarity,
    Priority, ProviderHint,
};

/// Version of the document's shape. Documents of versions 1 and 2 are served as they were stored.
pub const ANALYSIS_SCHEMA_VERSION: u32 = 3;

/// JSON Schema (draft 2020-12) that every new document must satisfy. Unknown keys are welcome; known ones
/// must have the documented type, spelling and pattern.
pub const ANALYSIS_SCHEMA: &str = include_str!("../../schemas/analysis-v3.schema.json");
