//! Transcript assembly: raw words and turns in, the normalised transcript out. Pure and deterministic:
//! the same input gives the same bytes.
//!
//! In order, one file or folder each:
//!
//! | step | where |
//! |---|---|
//! | usable words in order of time | `units` |
//! | words to speakers | `align`, `turns` |
//! | noise markers, stutters and repeated phrases, hallucinations out | `markers`, `repeats`, `hallucinations` |
//! | merge and split | `pieces` |
//! | order and ids | `document` |
//! | voice match and names | `names` |
//! | the document | `document` |

mod align;
mod document;
mod floor;
mod hallucinations;
mod markers;
mod names;
mod pieces;
mod repeats;
mod time;
mod tokens;
mod turns;
mod units;

#[cfg(test)]
mod align_tests;
#[cfg(test)]
mod cleaning_tests;
#[cfg(test)]
mod pieces_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod turns_tests;
#[cfg(test)]
mod units_tests;

use chrono::{DateTime, Utc};

use self::align::{Aligned, Stream};
use self::document::{Draft, Notes};
use self::floor::Floor;
use self::pieces::Piece;
use crate::ids::CallId;
use crate::raw::{Diarization, RawTranscript};
use crate::transcript::{SpeakerRole, Transcript};

/// Which way the call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Direction {
    Incoming,
    Outgoing,
    Unknown,
}

/// What is known about the parties besides the audio.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartyFacts {
    pub user_display_name: Option<String>,
    pub contact_name: Option<String>,
    pub phone_number: Option<String>,
    pub direction: Option<Direction>,
}

/// The voice match of a speaker with the user's profile, where that feature ran.
#[derive(Debug, Clone, PartialEq)]
pub enum VoiceMatch {
    /// The feature is off.
    Disabled,
    /// It is on, but the user has no profile.
    NoProfile,
    /// The user has a profile, and nobody could compare it.
    Unavailable,
    /// Best score per source speaker, 0 to 1.
    Scores { scores: Vec<(String, f64)>, high: f64, medium: f64 },
}

impl VoiceMatch {
    /// What a diarization says of voices, with the thresholds of an installation where the feature is on.
    pub fn of(diarization: &Diarization, high: f64, medium: f64) -> Self {
        match &diarization.voice {
            None => Self::NoProfile,
            Some(evidence) if !evidence.compared => Self::Unavailable,
            Some(evidence) => Self::Scores {
                scores: evidence.scores.iter().map(|s| (s.speaker.clone(), s.score)).collect(),
                high,
                medium,
            },
        }
    }
}

/// Everything assembly reads.
#[derive(Debug, Clone, PartialEq)]
pub struct AssemblyInput {
    pub call_id: CallId,
    /// Written into the document as is: an input, so that equal inputs give equal bytes.
    pub created_at: DateTime<Utc>,
    pub raw: RawTranscript,
    pub diarization: Diarization,
    pub facts: PartyFacts,
    /// SCRYON_CHANNEL_ROLES: the role of each channel, by position; empty when not configured.
    pub channel_roles: Vec<SpeakerRole>,
    pub voice_match: VoiceMatch,
}

/// Builds the transcript. Total: broken times, missing labels and empty lists give a poorer document, never an
/// error, and no speech gives one without segments.
pub fn assemble(input: &AssemblyInput) -> Transcript {
    let units = units::collect(&input.raw);
    let Aligned { mut streams, separation } = align::align(units, &input.raw, &input.diarization);
    clean_words(&mut streams, input.raw.language.as_deref());
    let (pieces, hallucination_removed) = clean_pieces(&mut streams);
    let drafts = segment(&streams, pieces);
    document::write(input, drafts, Notes { separation, hallucination_removed })
}

/// Markers, stutters, repeated phrases.
fn clean_words(streams: &mut [Stream<'_>], language: Option<&str>) {
    for stream in &mut *streams {
        markers::drop_markers(&mut stream.words);
    }
    // Engines name languages by code or in English ("en", "en-IN", "english"); an unknown one is mostly English.
    let doubles_are_stutters =
        language.is_none_or(|code| code.trim().is_empty() || code.trim().to_lowercase().starts_with("en"));
    let floor = Floor::new(streams);
    for (speaker, stream) in streams.iter_mut().enumerate() {
        repeats::collapse(
            &mut stream.words,
            repeats::Context { speaker, floor: &floor, doubles_are_stutters },
        );
    }
}

/// Cuts the streams into pieces and drops those that nobody said; the streams are left empty.
fn clean_pieces<'a>(streams: &mut [Stream<'a>]) -> (Vec<Piece<'a>>, bool) {
    let floor = Floor::new(streams);
    let mut pieces: Vec<Piece<'a>> = streams
        .iter_mut()
        .enumerate()
        .flat_map(|(speaker, stream)| pieces::cut(speaker, std::mem::take(&mut stream.words), &floor))
        .collect();
    pieces.sort_by_key(|piece| (piece.start(), piece.speaker));
    let removed = hallucinations::drop_hallucinations(&mut pieces);
    (pieces, removed)
}

/// Merges and splits per speaker.
fn segment<'s>(streams: &'s [Stream<'_>], pieces: Vec<Piece<'_>>) -> Vec<Draft<'s>> {
    let floor =
        Floor::of_words(pieces.iter().flat_map(|piece| piece.words.iter().map(|word| (piece.speaker, word))));
    let mut by_speaker: Vec<Vec<Piece<'_>>> = vec![Vec::new(); streams.len()];
    for piece in pieces {
        by_speaker[piece.speaker].push(piece);
    }
    streams
        .iter()
        .zip(by_speaker)
        .flat_map(|(stream, pieces)| {
            let merged = pieces::merge(pieces, &floor);
            document::drafts(&stream.source, merged.into_iter().flat_map(pieces::split).collect())
        })
        .collect()
}
