//! Builders shared by the unit tests of assembly.

use super::align::{Stream, Word};
use super::floor::Floor;
use super::repeats::Context;
use super::time::Millis;
use crate::raw::{RAW_SCHEMA_VERSION, RawTranscript, RawWord};
use crate::transcript::Confidence;

/// A measured word, aligned clearly.
pub(super) fn word(text: &str, start: Millis, end: Millis) -> Word<'static> {
    Word {
        text: text.to_owned().into(),
        start,
        end,
        reach: end.min(start + 1000),
        alignment: Confidence::High,
        confidence: None,
        origin: None,
        looped: false,
    }
}

/// The words of a text, 300 ms each with 100 ms between them, from `start` on.
pub(super) fn words(text: &str, start: Millis) -> Vec<Word<'static>> {
    text.split_whitespace()
        .enumerate()
        .map(|(index, text)| {
            let from = start + 400 * index as Millis;
            word(text, from, from + 300)
        })
        .collect()
}

pub(super) fn text(words: &[Word<'_>]) -> String {
    words.iter().map(|word| &*word.text).collect::<Vec<_>>().join(" ")
}

/// A floor on which these words of other people were spoken; the speaker asked about is number 0.
pub(super) fn floor_with(others: Vec<Word<'_>>) -> Floor {
    Floor::new(&[
        Stream { source: "SPEAKER_00".to_owned(), words: Vec::new() },
        Stream { source: "SPEAKER_01".to_owned(), words: others },
    ])
}

pub(super) fn context(floor: &Floor) -> Context<'_> {
    Context { speaker: 0, floor, doubles_are_stutters: true }
}

/// A raw transcript of 100 s.
pub(super) fn raw(words: Vec<RawWord>) -> RawTranscript {
    RawTranscript {
        schema_version: RAW_SCHEMA_VERSION,
        engine: "engine".to_owned(),
        model: "model".to_owned(),
        language: None,
        duration_seconds: 100.0,
        channels: 1,
        words,
        segments: Vec::new(),
        warnings: Vec::new(),
    }
}

pub(super) fn raw_word(text: &str, start: f64, end: f64) -> RawWord {
    RawWord { text: text.to_owned(), start, end, confidence: None, speaker: None, channel: None }
}
