//! Step 0: the engine's answer as a time-ordered list of words with usable times, whatever shape it came in.

use super::time::{LONGEST, Millis, millis};
use crate::raw::{RawSegment, RawTranscript, RawWord};

/// One word as heard, before anybody knows who said it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit<'a> {
    /// Without whitespace and control characters; never empty.
    pub(super) text: String,
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
        let pieces = spread(&word.text, start, end);
        let measured = pieces.len() == 1;
        units.extend(pieces.into_iter().map(|(text, start, end)| Unit {
            text,
            start,
            end,
            measured,
            confidence: word.confidence.filter(|value| value.is_finite()),
            label: usable_label(word.speaker.as_deref()),
            channel: word.channel,
            origin: None,
        }));
    }
    units
}

fn from_segments(segments: &[RawSegment], limit: Millis) -> Vec<Unit<'_>> {
    let mut units = Vec::new();
    let mut clock = 0;
    for (number, segment) in segments.iter().enumerate() {
        let (start, end) = repair(segment.start, segment.end, clock, limit);
        clock = end;
        units.extend(spread(&segment.text, start, end).into_iter().map(|(text, start, end)| Unit {
            text,
            start,
            end,
            measured: false,
            confidence: None,
            label: usable_label(segment.speaker.as_deref()),
            channel: segment.channel,
            origin: Some(number),
        }));
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

/// The words of a text with times in proportion to their letters.
fn spread(text: &str, start: Millis, end: Millis) -> Vec<(String, Millis, Millis)> {
    let mut parts = text.split_whitespace();
    if let (Some(only), None) = (parts.next(), parts.next()) {
        let word = printable(only);
        return if word.is_empty() { Vec::new() } else { vec![(word, start, end)] };
    }
    let words: Vec<String> = text.split_whitespace().map(printable).filter(|word| !word.is_empty()).collect();
    let letters: Millis = words.iter().map(|word| word.chars().count() as Millis).sum();
    let mut said = 0;
    words
        .into_iter()
        .map(|word| {
            let from = start + (end - start) * said / letters;
            said += word.chars().count() as Millis;
            (word, from, start + (end - start) * said / letters)
        })
        .collect()
}

/// Without control characters and invisible marks: they break line formats and cannot be stored everywhere.
/// The joiners U+200C and U+200D stay, Indic scripts are spelled with them.
pub(super) fn printable(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return text.to_owned();
    }
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200B}' | '\u{2060}' | '\u{FEFF}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(|&c| !invisible(c)).collect()
}
