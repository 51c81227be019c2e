//! The answers of Whisper and its relatives (`json`, `verbose_json`, `diarized_json`) in every dialect that
//! servers speak: words at the top or inside segments, texts in quotes, times as texts or in other units.

use scryon_domain::raw::{RAW_SCHEMA_VERSION, RawSegment, RawTranscript, RawWord};
use serde_json::{Value, json};

use super::languages::code_of;
use super::reading;
use crate::engine::{EngineInfo, ProviderError};

/// Words without times of their own: assembly spreads them over their segment.
const NO_WORD_TIMES: &str = "no_word_times";
const NO_SPEECH: &str = "no_speech";
/// Whisper hears in windows of this many seconds and may end a segment with its window.
const WINDOW: f64 = 30.0;

/// Reads an answer. `audio_seconds` is the length of the recording where it is known; times are measured
/// against it.
pub(super) fn transcript(
    info: &EngineInfo,
    body: &[u8],
    audio_seconds: Option<f64>,
) -> Result<RawTranscript, ProviderError> {
    let malformed =
        |message: &str| ProviderError::Malformed { engine: info.name, message: message.to_owned() };
    let mut answer = reading::json(info.name, body)?;
    if answer.is_string() {
        answer = json!({"text": answer});
    }
    let has = |name: &str| answer.get(name).is_some_and(|value| !value.is_null());
    if !(has("text") || has("segments") || has("words")) {
        let message = if has("error") { "an error under a status of success" } else { "no text in it" };
        return Err(malformed(message));
    }
    let audio_seconds = audio_seconds.filter(|s| s.is_finite() && *s > 0.0);
    let (mut words, mut segments) = heard(&answer);
    let ends = words.iter().map(|w| w.end).chain(segments.iter().map(|s| s.end));
    let unit =
        unit(ends.fold(0.0, f64::max), audio_seconds).ok_or_else(|| malformed("times in no known unit"))?;
    for (start, end) in words
        .iter_mut()
        .map(|w| (&mut w.start, &mut w.end))
        .chain(segments.iter_mut().map(|s| (&mut s.start, &mut s.end)))
    {
        *start *= unit;
        *end *= unit;
    }
    let last = words.iter().map(|w| w.end).chain(segments.iter().map(|s| s.end)).fold(0.0, f64::max);
    let duration_seconds = duration(&answer, audio_seconds).unwrap_or(last);
    let text = reading::text(&answer["text"]).map(unquoted).unwrap_or_default();
    if words.is_empty() && segments.is_empty() && !text.trim().is_empty() {
        segments.push(RawSegment { text, start: 0.0, end: duration_seconds, speaker: None, channel: None });
    }
    let warning = match (words.is_empty(), segments.is_empty()) {
        (false, _) => None,
        (true, false) => Some(NO_WORD_TIMES),
        (true, true) => Some(NO_SPEECH),
    };
    Ok(RawTranscript {
        schema_version: RAW_SCHEMA_VERSION,
        engine: info.name.to_owned(),
        model: info.model.clone(),
        language: language(&answer),
        duration_seconds,
        channels: 1,
        words,
        segments,
        warnings: warning.into_iter().map(str::to_owned).collect(),
    })
}

/// Words from wherever they are, and the segments that hold text.
fn heard(answer: &Value) -> (Vec<RawWord>, Vec<RawSegment>) {
    let mut clock = 0.0;
    let mut segments = Vec::new();
    let mut inside: Vec<Vec<RawWord>> = Vec::new();
    for item in reading::list(&answer["segments"]) {
        let segment = segment(item, clock);
        clock = segment.end;
        let words = if segment.text.is_empty() {
            words(&item["words"], &segment)
        } else {
            whole(words(&item["words"], &segment), &segment.text)
        };
        if !segment.text.is_empty() || !words.is_empty() {
            segments.push(segment);
            inside.push(words);
        }
    }
    let nowhere = RawSegment { text: String::new(), start: 0.0, end: 0.0, speaker: None, channel: None };
    let mut found = words(&answer["words"], &nowhere);
    if found.is_empty() && inside.iter().any(|words| !words.is_empty()) {
        for (segment, words) in segments.iter().zip(inside) {
            if words.is_empty() {
                // Where some segments have words, one without would lose its text: it goes as one long word.
                found.push(RawWord {
                    text: segment.text.clone(),
                    start: segment.start,
                    end: segment.end,
                    confidence: None,
                    speaker: segment.speaker.clone(),
                    channel: None,
                });
            }
            found.extend(words);
        }
    }
    segments.retain(|segment| !segment.text.is_empty());
    (found, segments)
}

/// A segment; a missing start is where the last one ended.
fn segment(item: &Value, clock: f64) -> RawSegment {
    let start = reading::number(&item["start"]).unwrap_or(clock).max(0.0);
    RawSegment {
        text: reading::text(&item["text"]).map(unquoted).unwrap_or_default(),
        start,
        end: reading::number(&item["end"]).unwrap_or(start).max(start),
        speaker: reading::text(&item["speaker"]).map(str::to_owned),
        channel: None,
    }
}

/// Words of a list, with their blanks: they tell words from parts of words.
fn words(items: &Value, segment: &RawSegment) -> Vec<RawWord> {
    let mut clock = segment.start;
    let mut words = Vec::new();
    for item in reading::list(items) {
        let Some(text) = item["word"].as_str().or_else(|| item["text"].as_str()) else { continue };
        // Tokens such as [_BEG_] are about the decoding.
        if text.trim().is_empty() || text.trim().starts_with("[_") {
            continue;
        }
        let start = reading::number(&item["start"]).unwrap_or(clock).max(0.0);
        let end = reading::number(&item["end"]).unwrap_or(start).max(start);
        clock = end;
        words.push(RawWord {
            text: text.to_owned(),
            start,
            end,
            confidence: reading::share(&item["probability"]).or_else(|| reading::share(&item["confidence"])),
            speaker: reading::text(&item["speaker"]).map(str::to_owned).or_else(|| segment.speaker.clone()),
            channel: None,
        });
    }
    if items.is_array() && segment.text.is_empty() {
        trim(&mut words);
    }
    words
}

/// whisper.cpp gives tokens, which are parts of words: put together without blanks they are the segment's
/// text. A token that begins with a blank begins a word.
fn whole(mut words: Vec<RawWord>, text: &str) -> Vec<RawWord> {
    let joined: String = words.iter().map(|word| word.text.as_str()).collect();
    let has_blanks = words.iter().skip(1).any(|word| word.text.starts_with(char::is_whitespace));
    // Languages written without blanks would become one word.
    if joined.trim() == text.trim() && (has_blanks || text.is_ascii()) {
        let mut merged: Vec<RawWord> = Vec::with_capacity(words.len());
        for word in words {
            match merged.last_mut() {
                Some(last) if !word.text.starts_with(char::is_whitespace) => {
                    last.text.push_str(&word.text);
                    last.end = last.end.max(word.end);
                    last.confidence = match (last.confidence, word.confidence) {
                        (Some(a), Some(b)) => Some(a.min(b)),
                        (a, b) => a.or(b),
                    };
                }
                _ => merged.push(word),
            }
        }
        words = merged;
    }
    trim(&mut words);
    words
}

fn trim(words: &mut [RawWord]) {
    for word in words {
        word.text = word.text.trim().to_owned();
    }
}

/// What one unit of time is in seconds, by the ratio of the last end and the length of the recording.
fn unit(last: f64, audio_seconds: Option<f64>) -> Option<f64> {
    let Some(length) = audio_seconds else { return Some(1.0) };
    let ratio = last / length;
    if ratio <= 2.0 || last <= length + WINDOW {
        Some(1.0)
    } else if ratio <= 2_000.0 {
        Some(1e-3)
    } else if ratio > 1e6 {
        Some(1e-9)
    } else {
        None
    }
}

/// The length the engine measured, unless it cannot be the one of this recording.
fn duration(answer: &Value, audio_seconds: Option<f64>) -> Option<f64> {
    let measured = reading::number(&answer["duration"])
        .or_else(|| reading::number(&answer["usage"]["seconds"]))
        .filter(|s| *s > 0.0);
    match (measured, audio_seconds) {
        (Some(measured), Some(known)) if !(0.5..=2.0).contains(&(measured / known)) => Some(known),
        (Some(measured), _) => Some(measured),
        (None, known) => known,
    }
}

fn language(answer: &Value) -> Option<String> {
    [&answer["language"], &answer["languages"][0]["code"], &answer["detected_language"]]
        .into_iter()
        .filter_map(reading::text)
        .find_map(code_of)
}

/// Some servers send the text as a JSON text inside the JSON text.
fn unquoted(text: &str) -> String {
    let quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
    let inner = if quoted { serde_json::from_str::<String>(text).ok() } else { None };
    inner.map_or_else(|| text.to_owned(), |inner| inner.trim().to_owned())
}

#[cfg(test)]
mod tests;
