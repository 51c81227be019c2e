//! Assembly from the outside: whole inputs in, whole documents out.

mod documents;
mod properties;
mod speakers;
mod speed;
mod wording;

use chrono::{DateTime, Utc};
use scryon_domain::assembly::{AssemblyInput, PartyFacts, VoiceMatch, assemble};
use scryon_domain::ids::CallId;
use scryon_domain::raw::{
    Diarization, DiarizationMethod, RAW_SCHEMA_VERSION, RawSegment, RawTranscript, RawWord, Turn,
};
use scryon_domain::transcript::{Confidence, LabelSource, SpeakerRole, Transcript};

/// One line of a conversation: speaker, start in seconds, text.
type Line<'a> = (&'a str, f64, &'a str);

const WORD: f64 = 0.3;
const STEP: f64 = 0.4;

fn word(text: &str, start: f64, end: f64) -> RawWord {
    RawWord { text: text.to_owned(), start, end, confidence: None, speaker: None, channel: None }
}

fn turn(speaker: &str, start: f64, end: f64) -> Turn {
    Turn { speaker: speaker.to_owned(), start, end }
}

/// An input without words.
fn silence(method: DiarizationMethod) -> AssemblyInput {
    let created_at: DateTime<Utc> = "2026-11-20T08:00:00Z".parse().expect("a fixed date");
    AssemblyInput {
        call_id: "00000000-0000-7000-8000-000000000001".parse::<CallId>().expect("a fixed id"),
        created_at,
        raw: RawTranscript {
            schema_version: RAW_SCHEMA_VERSION,
            engine: "pocketsphinx".to_owned(),
            model: "en-us".to_owned(),
            language: Some("en".to_owned()),
            duration_seconds: 120.0,
            channels: 1,
            words: Vec::new(),
            segments: Vec::new(),
            warnings: Vec::new(),
        },
        diarization: Diarization {
            schema_version: RAW_SCHEMA_VERSION,
            engine: "pyannote".to_owned(),
            model: "precision-2".to_owned(),
            method,
            channels: 1,
            turns: Vec::new(),
            exclusive_turns: None,
            fallback_reason: None,
            warnings: Vec::new(),
            voice: None,
        },
        facts: PartyFacts::default(),
        channel_roles: Vec::new(),
        voice_match: VoiceMatch::Disabled,
    }
}

/// A mono recording with a turn per line; a word takes 0.3 s, the next one follows after 0.1 s.
fn mono(lines: &[Line<'_>]) -> AssemblyInput {
    let mut input = silence(DiarizationMethod::Turns);
    for &(speaker, start, text) in lines {
        let mut at = start;
        for text in text.split_whitespace() {
            input.raw.words.push(word(text, at, at + WORD));
            at += STEP;
        }
        input.diarization.turns.push(turn(speaker, start, at));
    }
    input
}

/// The same on two channels, transcribed one by one; speakers are `0` and `1`.
fn stereo(lines: &[Line<'_>]) -> AssemblyInput {
    let mut input = mono(lines);
    input.diarization.method = DiarizationMethod::Channels;
    input.diarization.engine = "channels".to_owned();
    input.diarization.model = "stereo".to_owned();
    (input.raw.channels, input.diarization.channels) = (2, 2);
    input.diarization.turns.clear();
    let mut words = input.raw.words.iter_mut();
    for (channel, _, text) in lines {
        for _ in text.split_whitespace() {
            words.next().expect("a word per text").channel = channel.parse().ok();
        }
    }
    input.raw.words.sort_by_key(|word| word.channel);
    input
}

/// The same with the speaker labels of the transcription on the words.
fn labelled(lines: &[Line<'_>]) -> AssemblyInput {
    let mut input = mono(lines);
    input.diarization.method = DiarizationMethod::TranscriptLabels;
    input.diarization.turns.clear();
    let mut words = input.raw.words.iter_mut();
    for (speaker, _, text) in lines {
        for _ in text.split_whitespace() {
            words.next().expect("a word per text").speaker = Some((*speaker).to_owned());
        }
    }
    input
}

/// The same without word times: engine segments of these lengths in seconds.
fn segmented(lines: &[(&str, f64, f64, &str)]) -> AssemblyInput {
    let mut input = silence(DiarizationMethod::TranscriptLabels);
    for &(speaker, start, end, text) in lines {
        input.raw.segments.push(RawSegment {
            text: text.to_owned(),
            start,
            end,
            speaker: (!speaker.is_empty()).then(|| speaker.to_owned()),
            channel: None,
        });
    }
    input
}

/// A call between the user Praveen Rao and the contact Ravi Kumar.
fn between_praveen_and_ravi(mut input: AssemblyInput) -> AssemblyInput {
    input.facts.user_display_name = Some("Praveen Rao".to_owned());
    input.facts.contact_name = Some("Ravi Kumar".to_owned());
    input
}

/// Source speaker and text of each segment.
fn said(transcript: &Transcript) -> Vec<(&str, &str)> {
    let segments = transcript.segments.iter();
    segments.map(|segment| (segment.source_speaker_id.as_str(), segment.text.as_str())).collect()
}

/// Label, role, confidence and source of each speaker.
fn named(transcript: &Transcript) -> Vec<(&str, SpeakerRole, Confidence, LabelSource)> {
    let speakers = transcript.speakers.iter();
    speakers
        .map(|speaker| (speaker.label.as_str(), speaker.role, speaker.confidence, speaker.label_source))
        .collect()
}

fn warnings(transcript: &Transcript) -> &[String] {
    &transcript.speaker_resolution.warnings
}

fn quality(transcript: &Transcript) -> &[String] {
    &transcript.pipeline.quality_warnings
}
