//! `verbose_json` as each server writes it.

use serde_json::{Value, json};

use super::super::audio::Form;
use super::super::script::{Line, Script, Word, seconds};
use crate::options::Dialect;

/// Codes and names of languages that a test may ask for.
const LANGUAGES: &[(&str, &str)] =
    &[("en", "english"), ("de", "german"), ("hi", "hindi"), ("fr", "french"), ("es", "spanish")];

pub(super) fn duration_usage(script: &Script) -> Value {
    json!({"type": "duration", "seconds": script.duration_ms.div_ceil(1_000)})
}

pub(super) fn verbose(dialect: Dialect, form: &Form, script: &Script) -> Value {
    let granularities = form.all("timestamp_granularities[]");
    let words = granularities.iter().any(|g| g == "word");
    let (code, name) = language(form.get("language").unwrap_or("en"));
    let duration = seconds(script.duration_ms);
    let mut body = json!({"text": script.text(), "language": code, "duration": duration});
    let segments = |segment: fn(usize, &Line) -> Value| -> Value {
        script.lines.iter().enumerate().map(|(n, line)| segment(n, line)).collect()
    };
    match dialect {
        Dialect::OpenAi | Dialect::Ollama => {
            body["task"] = json!("transcribe");
            body["language"] = json!(name);
            if words {
                body["words"] = script.words().map(|(_, w)| word(w)).collect();
            }
            if !words || granularities.iter().any(|g| g == "segment") {
                body["segments"] = segments(segment);
            }
            if dialect == Dialect::OpenAi {
                body["usage"] = duration_usage(script);
            }
        }
        Dialect::Speaches => {
            body["words"] = if words { script.words().map(|(_, w)| word(w)).collect() } else { Value::Null };
            body["segments"] = segments(segment);
            body["usage"] = Value::Null;
        }
        Dialect::WhisperCpp => {
            body["task"] = json!("transcribe");
            body["language"] = json!(name);
            body["detected_language"] = json!(name);
            body["language_probabilities"] = json!({code: 0.98});
            body["segments"] = segments(segment_with_tokens);
        }
        Dialect::Vllm => {
            body["duration"] = json!(format!("{duration:?}"));
            body["words"] = Value::Null;
            body["segments"] = segments(segment_without_silence);
        }
        Dialect::LocalAi => {
            let segment = if form.is_true("diarize") { segment_of_somebody } else { segment_in_nanoseconds };
            body["segments"] = segments(segment);
        }
    }
    body
}

/// Code and name of a language that came as either.
fn language(asked: &str) -> (&str, &str) {
    let known = LANGUAGES.iter().find(|(code, name)| asked == *code || asked == *name);
    known.copied().unwrap_or((asked, asked))
}

fn word(word: &Word) -> Value {
    json!({"word": word.text, "start": seconds(word.start_ms), "end": seconds(word.end_ms)})
}

fn segment(id: usize, line: &Line) -> Value {
    json!({"id": id, "seek": 0, "start": seconds(line.start_ms), "end": seconds(line.end_ms),
        "text": format!(" {}", line.text), "tokens": [50_364, 2_555], "temperature": 0.0, "avg_logprob": -0.21,
        "compression_ratio": 1.1, "no_speech_prob": 0.01})
}

fn segment_without_silence(id: usize, line: &Line) -> Value {
    let mut segment = segment(id, line);
    segment["no_speech_prob"] = Value::Null;
    segment
}

/// Tokens are parts of words; only the first of a word begins with a blank.
fn segment_with_tokens(id: usize, line: &Line) -> Value {
    let token = |text: String, start: u64, end: u64| json!({"word": text, "start": seconds(start), "end": seconds(end), "t_dtw": -1, "probability": 0.97});
    let tokens = |word: &Word| {
        let cut = word.text.char_indices().nth(4).map_or(word.text.len(), |(at, _)| at);
        let (head, tail) = word.text.split_at(cut);
        let middle = if tail.is_empty() { word.end_ms } else { (word.start_ms + word.end_ms) / 2 };
        let mut tokens = vec![token(format!(" {head}"), word.start_ms, middle)];
        if !tail.is_empty() {
            tokens.push(token(tail.to_owned(), middle, word.end_ms));
        }
        tokens
    };
    let mut segment = segment(id, line);
    segment["words"] = line.words.iter().flat_map(tokens).collect();
    segment
}

fn segment_in_nanoseconds(id: usize, line: &Line) -> Value {
    json!({"id": id, "start": line.start_ms * 1_000_000, "end": line.end_ms * 1_000_000,
        "text": line.text, "tokens": [50_364, 2_555]})
}

fn segment_of_somebody(id: usize, line: &Line) -> Value {
    let mut segment = segment_in_nanoseconds(id, line);
    segment["speaker"] = json!(format!("SPEAKER_{:02}", line.speaker));
    segment
}
