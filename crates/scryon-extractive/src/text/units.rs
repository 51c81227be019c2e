//! Units of meaning: sentences where there is punctuation, else what lies between pauses, cut where
//! speech usually begins anew.

use scryon_domain::transcript::{Segment, Transcript};

use super::tokens::Token;
use super::{Document, Span};
use crate::lexicon::{Flags, List};

/// A pause of this many seconds between two segments of a speaker ends a thought.
const PAUSE_SECONDS: f64 = 0.7;
/// Unpunctuated speech is cut at the next connective from here on …
const LONG_UNIT_WORDS: usize = 24;
/// … and anywhere at this length, so that no rule ever reads further.
const MAX_UNIT_WORDS: usize = 40;
/// What begins anew needs something before it; else it is still the same thought.
const MIN_OPENING_WORDS: usize = 4;
/// Below this many words nothing can be said about punctuation.
const MIN_WORDS_TO_JUDGE: usize = 12;
/// Punctuated speech ends a sentence every 10 to 20 words.
const WORDS_PER_SENTENCE_END: usize = 40;

/// One sentence or thought of one speaker.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) span: Span,
    /// Index into the transcript's speakers.
    pub(crate) speaker: Option<usize>,
    /// Ends with a question mark.
    pub(crate) asks: bool,
}

/// True where the recogniser wrote words only.
pub(super) fn is_draft(transcript: &Transcript, tokens: &[Token]) -> bool {
    if transcript.pipeline.quality_warnings.iter().any(|code| code == crate::quality::DRAFT_ENGINE) {
        return true;
    }
    let ends = tokens.iter().filter(|token| token.marks.ends_sentence).count();
    let has_capitals = tokens.iter().any(|token| token.marks.is_capital);
    tokens.len() >= MIN_WORDS_TO_JUDGE && (!has_capitals || ends * WORDS_PER_SENTENCE_END < tokens.len())
}

pub(super) fn split(document: &Document<'_>) -> Vec<Unit> {
    let openers = if document.is_draft { opener_positions(document) } else { Vec::new() };
    let speakers = speaker_indices(document.transcript);
    let mut units = Vec::new();
    let mut start = 0;
    for position in 1..=document.tokens.len() {
        if position == document.tokens.len() || begins_unit(document, start, position, &openers) {
            let last = &document.tokens[position - 1];
            units.push(Unit {
                span: start..position,
                speaker: speakers.get(last.segment as usize).copied().flatten(),
                asks: last.marks.asks,
            });
            start = position;
        }
    }
    units
}

/// For each segment the index of its speaker.
fn speaker_indices(transcript: &Transcript) -> Vec<Option<usize>> {
    let ids: std::collections::HashMap<&str, usize> = transcript
        .speakers
        .iter()
        .enumerate()
        .rev()
        .map(|(index, s)| (s.speaker_id.as_str(), index))
        .collect();
    transcript.segments.iter().map(|segment| ids.get(segment.speaker_id.as_str()).copied()).collect()
}

/// Positions at which unpunctuated speech begins anew, with the connective before it.
fn opener_positions(document: &Document<'_>) -> Vec<bool> {
    let mut openers = vec![false; document.tokens.len()];
    for hit in document.hits(List::Opener) {
        let connected = matches!(document.word_before(hit.start, 1), "and" | "but" | "so" | "then");
        let position = if connected { hit.start - 1 } else { hit.start };
        // `what i will do` and `if you could` go on; nothing begins there.
        let continues = position
            .checked_sub(1)
            .is_some_and(|before| document.flags(before).intersects(Flags::SUBORDINATOR));
        if !continues {
            openers[position] = true;
        }
    }
    openers
}

fn begins_unit(document: &Document<'_>, start: usize, position: usize, openers: &[bool]) -> bool {
    let (last, next) = (&document.tokens[position - 1], &document.tokens[position]);
    if next.marks.is_continuation {
        return false;
    }
    if last.segment != next.segment && segments_part(document, last, next) {
        return true;
    }
    let words = position - start;
    last.marks.ends_sentence
        || words >= MAX_UNIT_WORDS
        || (words >= LONG_UNIT_WORDS && document.flags(position).intersects(Flags::CONNECTIVE))
        || (words >= MIN_OPENING_WORDS && openers.get(position).copied().unwrap_or_default())
}

/// A sentence may run on into the speaker's next segment, unless there is a pause or it was finished.
fn segments_part(document: &Document<'_>, last: &Token, next: &Token) -> bool {
    let segments = &document.transcript.segments;
    let segment = |token: &Token| -> Option<&Segment> { segments.get(token.segment as usize) };
    let (Some(before), Some(after)) = (segment(last), segment(next)) else { return true };
    let pause = after.start_seconds - before.end_seconds;
    // A time that is no number parts them.
    let is_pause = pause.is_nan() || pause >= PAUSE_SECONDS;
    before.speaker_id != after.speaker_id || last.marks.ends_sentence || is_pause
}
