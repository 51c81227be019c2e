//! Outputs of jobs: turns that overlap, turns that do not, words, and who was recognised.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::script::{Line, Script, seconds};
use super::super::visit::Visit;
use crate::faults::JobFault;

/// How long a turn goes on while the next speaker has begun.
const OVERLAP_MS: u64 = 300;
/// Length of a point of a curve.
const RESOLUTION_MS: u64 = 20;
/// Confidences, 0 to 100, of the right voiceprint and of the others.
const MATCH: (f64, f64) = (88.0, 21.0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Diarize,
    Identify,
    Voiceprint,
}

/// Voices that are found: those of the recording, within the hints, or one more where that was ordered.
pub(super) fn speakers(visit: &Visit, body: &Value) -> usize {
    let most = ["numSpeakers", "maxSpeakers"].iter().find_map(|name| body[name].as_u64());
    if visit.job_fault() == Some(JobFault::MoreSpeakers) {
        return most.map_or(visit.speakers(), |most| most as usize) + 1;
    }
    visit.speakers().min(most.map_or(usize::MAX, |n| n as usize))
}

/// A hint that cannot be met is no error.
pub(super) fn warning(visit: &Visit, body: &Value) -> Option<&'static str> {
    let least = ["numSpeakers", "minSpeakers"].iter().find_map(|name| body[name].as_u64())?;
    (least as usize > speakers(visit, body)).then_some("Fewer speakers than asked for were found.")
}

pub(super) fn output(visit: &Visit, kind: Kind, body: &Value, script: &Script, hash: &[u8]) -> Value {
    if kind == Kind::Voiceprint {
        return json!({"voiceprint": BASE64.encode(Sha256::digest(hash))});
    }
    let empty = Script { lines: Vec::new(), duration_ms: script.duration_ms };
    let script = if visit.job_fault() == Some(JobFault::Empty) { &empty } else { script };
    let mut output = json!({"diarization": overlapping(script, body["turnLevelConfidence"] == true)});
    if body["exclusive"] == true {
        output["exclusiveDiarization"] = script.lines.iter().map(|line| turn(line, line.end_ms)).collect();
    }
    if body["confidence"] == true {
        let points = script.duration_ms / RESOLUTION_MS;
        let score: Vec<_> = (0..points).map(|n| 95 - n % 20).collect();
        output["confidence"] = json!({"score": score, "resolution": seconds(RESOLUTION_MS)});
    }
    if body["transcription"] == true {
        let word = |(line, word): (&Line, &super::super::script::Word)| {
            json!({"start": seconds(word.start_ms), "end": seconds(word.end_ms), "text": word.text,
                "speaker": label(line)})
        };
        output["wordLevelTranscription"] = script.words().map(word).collect();
        let said = |line: &Line| {
            let mut turn = turn(line, line.end_ms);
            turn["text"] = json!(line.text);
            turn
        };
        output["turnLevelTranscription"] = script.lines.iter().map(said).collect();
    }
    if kind == Kind::Identify {
        identified(&mut output, body, script, &visit.options.pyannote_scores);
    }
    if let Some(warning) = warning(visit, body) {
        output["warning"] = json!(warning);
    }
    output
}

fn label(line: &Line) -> String {
    format!("SPEAKER_{:02}", line.speaker)
}

fn turn(line: &Line, end_ms: u64) -> Value {
    json!({"speaker": label(line), "start": seconds(line.start_ms), "end": seconds(end_ms)})
}

fn overlapping(script: &Script, confidence: bool) -> Value {
    let count = count(script);
    let turn = |(n, line): (usize, &Line)| {
        let next = script.lines.get(n + 1).filter(|next| next.speaker != line.speaker);
        let end_ms = next.map_or(line.end_ms, |next| (next.start_ms + OVERLAP_MS).min(next.end_ms));
        let mut turn = turn(line, end_ms);
        if confidence {
            let others = 8 / (count.max(2) as u64 - 1);
            let score = |speaker: usize| {
                let score = if speaker == line.speaker { 92 } else { others };
                (format!("SPEAKER_{speaker:02}"), json!(score))
            };
            turn["confidence"] = Value::Object((0..count).map(score).collect());
        }
        turn
    };
    script.lines.iter().enumerate().map(turn).collect()
}

fn count(script: &Script) -> usize {
    script.lines.iter().map(|line| line.speaker + 1).max().unwrap_or(0)
}

/// The first voiceprint is the first speaker's, and so on. With threshold 0 everybody is matched to somebody,
/// but an exclusive match gives each voiceprint away once.
fn identified(output: &mut Value, body: &Value, script: &Script, ordered: &[f64]) {
    let voiceprints = body["voiceprints"].as_array().map(Vec::as_slice).unwrap_or_default();
    let labels: Vec<_> = voiceprints.iter().filter_map(|v| v["label"].as_str()).collect();
    let threshold = body["matching"]["threshold"].as_f64().unwrap_or(0.0);
    let exclusive = body["matching"]["exclusive"] != false;
    let usual = |n: usize, speaker: usize| if n == speaker { MATCH.0 } else { MATCH.1 };
    let score_of = |n: usize, speaker: usize| match ordered.get(speaker) {
        Some(score) if n == 0 => *score,
        _ => usual(n, speaker),
    };
    let matched = |speaker: usize| {
        let own = labels.get(speaker).filter(|_| score_of(speaker, speaker) >= threshold);
        let any = labels.first().filter(|_| !exclusive && score_of(0, speaker) >= threshold);
        own.or(any).copied()
    };
    let identification = |line: &Line| {
        let mut turn = turn(line, line.end_ms);
        turn["diarizationSpeaker"] = json!(label(line));
        turn["match"] = json!(matched(line.speaker));
        if let Some(name) = matched(line.speaker) {
            turn["speaker"] = json!(name);
        }
        turn
    };
    output["identification"] = script.lines.iter().map(identification).collect();
    let scores = |speaker: usize| {
        let score = |(n, label): (usize, &&str)| ((*label).to_owned(), json!(score_of(n, speaker)));
        let confidence = Value::Object(labels.iter().enumerate().map(score).collect());
        json!({"speaker": format!("SPEAKER_{speaker:02}"), "match": matched(speaker), "confidence": confidence})
    };
    output["voiceprints"] = (0..count(script)).map(scores).collect();
}
