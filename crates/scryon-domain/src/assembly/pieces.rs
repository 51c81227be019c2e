//! Step 3: stretches of speech. Words of one speaker become pieces, pieces that belong together are merged, and
//! what is too long to read is split.

use super::align::Word;
use super::floor::Floor;
use super::time::Millis;
use super::tokens::ends_sentence;

/// A pause that ends a piece, the unit in which hallucinations are judged.
const PIECE_PAUSE: Millis = 700;
/// Longest pause inside a segment.
const MERGE_PAUSE: Millis = 1500;
/// Longest segment in time and in characters: about what fits a chat bubble, and a voice can be found again in.
pub(super) const SEGMENT_MILLIS: Millis = 30_000;
pub(super) const SEGMENT_CHARS: usize = 500;

/// Consecutive words of one speaker; never empty.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece<'a> {
    /// Index of the stream.
    pub(super) speaker: usize,
    pub(super) words: Vec<Word<'a>>,
}

impl Piece<'_> {
    pub(super) fn start(&self) -> Millis {
        self.words.first().map_or(0, |word| word.start)
    }

    /// Where the voice stops, long last words capped.
    pub(super) fn reach(&self) -> Millis {
        self.words.iter().map(|word| word.reach).max().unwrap_or(0)
    }

    /// Where the last word ends as the engine has it.
    pub(super) fn end(&self) -> Millis {
        self.words.iter().map(|word| word.end).max().unwrap_or(0)
    }
}

/// Cuts the words of one speaker where the speaker pauses, where somebody else speaks in between, and where the engine began a
/// new segment (only words without times of their own know that).
pub(super) fn cut<'a>(speaker: usize, words: Vec<Word<'a>>, floor: &Floor) -> Vec<Piece<'a>> {
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    let mut reach = 0;
    for word in words {
        let joins = pieces.last().and_then(|piece| piece.words.last()).is_some_and(|before| {
            before.origin == word.origin
                && word.start - reach <= PIECE_PAUSE
                && !floor.taken(speaker, reach, word.start)
        });
        reach = reach.max(word.reach);
        match pieces.last_mut() {
            Some(piece) if joins => piece.words.push(word),
            _ => pieces.push(Piece { speaker, words: vec![word] }),
        }
    }
    pieces
}

/// Merges neighbouring pieces of one speaker. `pieces` are one speaker's, in order of start; `floor` knows the
/// words that are left after cleaning.
pub(super) fn merge<'a>(pieces: Vec<Piece<'a>>, floor: &Floor) -> Vec<Piece<'a>> {
    let mut merged: Vec<Piece<'a>> = Vec::with_capacity(pieces.len());
    let mut reach = 0;
    for piece in pieces {
        let joins = !merged.is_empty()
            && piece.start() - reach <= MERGE_PAUSE
            && !floor.taken(piece.speaker, reach, piece.start());
        reach = reach.max(piece.reach());
        match merged.last_mut() {
            Some(last) if joins => last.words.extend(piece.words),
            _ => merged.push(piece),
        }
    }
    merged
}

/// Splits what is longer than a segment may be, at the last end of a sentence that fits, else at the longest
/// pause, but not so early that splinters remain.
pub(super) fn split(piece: Piece<'_>) -> Vec<Piece<'_>> {
    let speaker = piece.speaker;
    let mut lengths = Vec::new();
    let mut from = 0;
    while from < piece.words.len() {
        let rest = &piece.words[from..];
        let fits = fitting(rest);
        let length = if fits == rest.len() { fits } else { cut_point(rest, fits) };
        lengths.push(length);
        from += length;
    }
    let mut words = piece.words.into_iter();
    lengths
        .into_iter()
        .map(|length| Piece { speaker, words: words.by_ref().take(length).collect() })
        .collect()
}

/// How many words at the front fit into one segment; at least one.
fn fitting(words: &[Word<'_>]) -> usize {
    let Some(first) = words.first() else { return 0 };
    let mut chars = 0;
    for (index, word) in words.iter().enumerate() {
        chars += word.text.chars().count() + usize::from(index > 0);
        let fits = word.reach - first.start <= SEGMENT_MILLIS && chars <= SEGMENT_CHARS;
        if !fits && index > 0 {
            return index;
        }
    }
    words.len()
}

/// Where to cut when only `fits` words fit: somewhere in their second half.
fn cut_point(words: &[Word<'_>], fits: usize) -> usize {
    let earliest = (fits / 2).max(1);
    if let Some(sentence) = (earliest..=fits).rev().find(|&at| ends_sentence(&words[at - 1].text)) {
        return sentence;
    }
    let pause = |at: &usize| words[*at].start - words[*at - 1].reach;
    (earliest..=fits).max_by_key(pause).unwrap_or(fits)
}
