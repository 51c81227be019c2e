//! Step 0: the engine's answer as a time-ordered list of words with usable times, whatever shape it came in.

use std::borrow::Cow;

use super::time::{LONGEST, Millis, millis};
use crate::raw::{RawSegment, RawTranscript, RawWord};

/// One word as heard, before anybody knows who said it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit<'a> {
    /// Without whitespace and control characters; never empty.
    pub(super) text: Cow<'a, str>,
    pub(super) start: Millis,
    /// Never before `start`.
    pub(super) end: Millis,
    /// False when the time was interpolated inside a longer stretch of text.
    pub(super) measured: bool,
    pub(super) confidence: Option<f32>,
    /// The engine's own speaker label.
    pub(super) label: Option<&'a str>,
    pub(super) channel: Option<u16>,
    /// Number of the engine segment the word was interpolated from.
    pub(super) origin: Option<usize>,
}

/// The words in order of start; words that start together keep the engine's order.
pub(super) fn collect(raw: &RawTranscript) -> Vec<Unit<'_>> {
    let limit = duration(raw).unwrap_or(LONGEST);
    let mut units = from_words(&raw.words, limit);
    if units.is_empty() {
        units = from_segments(&raw.segments, limit);
    }
    units.sort_by_key(|unit| unit.start);
    units
}

/// Length of the recording where the engine gave a usable one.
pub(super) fn duration(raw: &RawTranscript) -> Option<Millis> {
    millis(raw.duration_seconds).filter(|&ms| ms > 0)
}

/// A speaker label that says something.
pub(super) fn usable_label(label: Option<&str>) -> Option<&str> {
    label.map(str::trim).filter(|text| !text.is_empty())
}

fn from_words(words: &[RawWord], limit: Millis) -> Vec<Unit<'_>> {
    let mut units = Vec::with_capacity(words.len());
    let mut clock = 0;
    for word in words {
        let (start, end) = repair(word.start, word.end, clock, limit);
        clock = end;
        let before = units.len();
        spread(&word.text, start, end, |text, start, end| {
            units.push(Unit {
                text,
                start,
                end,
                measured: true,
                confidence: word.confidence.filter(|value| value.is_finite()),
                label: usable_label(word.speaker.as_deref()),
                channel: word.channel,
                origin: None,
            });
        });
        if units.len() > before + 1 {
            units[before..].iter_mut().for_each(|unit| unit.measured = false);
        }
    }
    units
}

fn from_segments(segments: &[RawSegment], limit: Millis) -> Vec<Unit<'_>> {
    let mut units = Vec::new();
    let mut clock = 0;
    for (number, segment) in segments.iter().enumerate() {
        let (start, end) = repair(segment.start, segment.end, clock, limit);
        clock = end;
        let label = usable_label(segment.speaker.as_deref());
        spread(&segment.text, start, end, |text, start, end| {
            units.push(Unit {
                text,
                start,
                end,
                measured: false,
                confidence: None,
                label,
                channel: segment.channel,
                origin: Some(number),
            });
        });
    }
    units
}

/// Makes times usable: a missing start is the end of the word before, a missing or early end is the start,
/// nothing lies before 0 or after the recording.
fn repair(start: f64, end: f64, clock: Millis, limit: Millis) -> (Millis, Millis) {
    let start = millis(start).unwrap_or(clock).min(limit);
    let end = millis(end).unwrap_or(start).min(limit);
    (start, end.max(start))
}

/// Gives out the words of a text with times in proportion to their letters.
fn spread<'a>(text: &'a str, start: Millis, end: Millis, mut word: impl FnMut(Cow<'a, str>, Millis, Millis)) {
    let words = || text.split_whitespace().map(visible).filter(|word| !word.is_empty());
    let count = |word: &str| word.chars().count() as Millis;
    let letters: Millis = words().map(|word| count(&word)).sum();
    let mut said = 0;
    for text in words() {
        let from = start + (end - start) * said / letters;
        said += count(&text);
        word(text, from, start + (end - start) * said / letters);
    }
}

/// Without control characters and invisible marks: they break line formats and cannot be stored everywhere.
/// The joiners U+200C and U+200D stay, Indic scripts are spelled with them.
pub(super) fn printable(text: &str) -> String {
    visible(text).into_owned()
}

fn visible(text: &str) -> Cow<'_, str> {
    // Nearly every word is that already.
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed(text);
    }
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200B}' | '\u{2060}' | '\u{FEFF}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    Cow::Owned(text.chars().filter(|&c| !invisible(c)).collect())
}
