//! Steps 4 and 7: order, ids and the finished document.

use std::fmt::Write;

use super::align::{Separation, Word};
use super::names::{self, Line, Party, Question};
use super::pieces::Piece;
use super::time::{Millis, seconds};
use super::{AssemblyInput, units};
use crate::raw::{DiarizationMethod, channel_speaker};
use crate::transcript::{
    ALIGNMENT_VERSION, Confidence, NORMALIZATION_VERSION, PipelineInfo, Segment, Speaker, SpeakerResolution,
    TRANSCRIPT_SCHEMA_VERSION, Transcript,
};

/// Nothing was said, or nothing that can be taken for speech.
const NO_SPEECH: &str = "no_speech";
/// Everything is one speaker's because nothing told the speakers apart.
const SINGLE_SPEAKER_FALLBACK: &str = "single_speaker_fallback";
/// The diarization named a method but gave nothing to go by; a weaker one was used.
const DIARIZATION_EMPTY: &str = "diarization_empty";
/// Text that an engine most likely made up over silence was removed.
const HALLUCINATION_REMOVED: &str = "silence_hallucination_removed";

/// A segment before the names are known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft<'a> {
    pub(super) source: &'a str,
    pub(super) start: Millis,
    /// Not before `start`, not after the next draft of the same speaker starts.
    pub(super) end: Millis,
    pub(super) text: String,
    pub(super) alignment: Confidence,
}

/// What assembly noticed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) separation: Separation,
    pub(super) hallucination_removed: bool,
}

/// The drafts of one speaker; `pieces` in order of start. Segments of one speaker never overlap: where an
/// engine's last word runs on into the next segment it is cut there.
pub(super) fn drafts<'s>(source: &'s str, pieces: Vec<Piece<'_>>) -> Vec<Draft<'s>> {
    let mut drafts: Vec<Draft<'s>> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let (start, end) = (piece.start(), piece.end());
        if let Some(before) = drafts.last_mut() {
            before.end = before.end.min(start);
        }
        let mut text = String::with_capacity(piece.words.iter().map(|word| word.text.len() + 1).sum());
        for word in &piece.words {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&word.text);
        }
        drafts.push(Draft { source, start, end, text, alignment: alignment(&piece.words) });
    }
    drafts
}

/// HIGH when nearly all words were clearly this speaker's, LOW when half of them were only near.
fn alignment(words: &[Word<'_>]) -> Confidence {
    let count = |level| words.iter().filter(|word| word.alignment == level).count();
    if count(Confidence::High) * 5 >= words.len() * 4 {
        Confidence::High
    } else if count(Confidence::Low) * 2 >= words.len() {
        Confidence::Low
    } else {
        Confidence::Medium
    }
}

/// Orders the drafts, names the speakers and writes the document.
pub(super) fn write(input: &AssemblyInput, mut drafts: Vec<Draft<'_>>, notes: Notes) -> Transcript {
    drafts.sort_by(|a, b| (a.start, a.end, a.source).cmp(&(b.start, b.end, b.source)));
    let (parties, places) = parties(&drafts, notes.separation);
    let lines: Vec<Line<'_>> = drafts
        .iter()
        .zip(&places)
        .map(|(draft, &speaker)| Line { speaker, start: draft.start, text: &draft.text })
        .collect();
    let (speakers, speaker_resolution) = names::resolve(&Question {
        parties: &parties,
        lines: &lines,
        facts: &input.facts,
        channel_roles: &input.channel_roles,
        voice_match: &input.voice_match,
        separated: separated(notes.separation, parties.len()),
    });
    let heard = drafts.iter().map(|draft| draft.end).max();
    let duration = units::duration(&input.raw).or(heard).unwrap_or(0);
    let segments: Vec<Segment> = drafts
        .into_iter()
        .zip(&places)
        .enumerate()
        .map(|(index, (draft, &place))| segment(index, draft, &speakers[place]))
        .collect();
    document(input, speakers, segments, speaker_resolution, duration, notes)
}

fn document(
    input: &AssemblyInput,
    speakers: Vec<Speaker>,
    segments: Vec<Segment>,
    speaker_resolution: SpeakerResolution,
    duration: Millis,
    notes: Notes,
) -> Transcript {
    let (raw, diarization) = (&input.raw, &input.diarization);
    Transcript {
        schema_version: TRANSCRIPT_SCHEMA_VERSION,
        call_id: input.call_id,
        language: raw.language.as_deref().map(str::trim).filter(|code| !code.is_empty()).map(str::to_owned),
        duration_seconds: seconds(duration),
        clean_text: clean_text(&segments),
        pipeline: PipelineInfo {
            transcription_provider: raw.engine.clone(),
            transcription_model: raw.model.clone(),
            diarization_provider: diarization.engine.clone(),
            diarization_model: diarization.model.clone(),
            alignment_version: ALIGNMENT_VERSION.to_owned(),
            normalization_version: NORMALIZATION_VERSION,
            status: "COMPLETED".to_owned(),
            quality_warnings: quality_warnings(input, notes, segments.is_empty()),
        },
        speakers,
        segments,
        speaker_resolution,
        created_at: input.created_at,
    }
}

/// The speakers in order of first appearance, and which of them each draft belongs to.
fn parties<'a>(drafts: &[Draft<'a>], separation: Separation) -> (Vec<Party<'a>>, Vec<usize>) {
    let mut parties: Vec<Party<'a>> = Vec::new();
    let mut known = std::collections::BTreeMap::new();
    let places = drafts
        .iter()
        .map(|draft| {
            *known.entry(draft.source).or_insert_with(|| {
                let channel =
                    if separation == Separation::Channels { channel_of(draft.source) } else { None };
                parties.push(Party { source: draft.source, channel });
                parties.len() - 1
            })
        })
        .collect();
    (parties, places)
}

fn channel_of(source: &str) -> Option<u16> {
    let (_, number) = source.rsplit_once('_')?;
    let channel = number.parse().ok()?;
    (channel_speaker(channel) == source).then_some(channel)
}

/// Whether each speaker is one person. A transcription that labels everything alike has most likely not told
/// two people apart at all.
fn separated(separation: Separation, speakers: usize) -> bool {
    match separation {
        Separation::Channels | Separation::Turns => true,
        Separation::Labels => speakers > 1,
        Separation::Nothing => false,
    }
}

fn segment(index: usize, draft: Draft<'_>, speaker: &Speaker) -> Segment {
    Segment {
        id: format!("seg_{:04}", index + 1),
        speaker_id: speaker.speaker_id.clone(),
        speaker: speaker.label.clone(),
        speaker_label: speaker.label.clone(),
        speaker_display_name: speaker.display_name.clone(),
        source_speaker_id: draft.source.to_owned(),
        role: speaker.role,
        start_seconds: seconds(draft.start),
        end_seconds: seconds(draft.end),
        text: draft.text,
        alignment_confidence: draft.alignment,
    }
}

fn clean_text(segments: &[Segment]) -> String {
    let mut text = String::new();
    for segment in segments {
        let (from, to) = (Clock(segment.start_seconds), Clock(segment.end_seconds));
        let line = if text.is_empty() { "" } else { "\n" };
        // Writing to a string does not fail.
        let _written = write!(text, "{line}[{from} - {to}] {}: {}", segment.speaker_label, segment.text);
    }
    text
}

/// Seconds as `MM:SS`; minutes run on past an hour.
struct Clock(f64);

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = self.0 as u64;
        write!(f, "{:02}:{:02}", whole / 60, whole % 60)
    }
}

/// The engines' codes and assembly's own, each once.
fn quality_warnings(input: &AssemblyInput, notes: Notes, silent: bool) -> Vec<String> {
    let engines = input.raw.warnings.iter().chain(&input.diarization.warnings);
    let mut codes: Vec<&str> =
        engines.chain(&input.diarization.fallback_reason).map(|code| code.trim()).collect();
    if silent {
        codes.push(NO_SPEECH);
    } else {
        let weaker = match input.diarization.method {
            DiarizationMethod::Channels => notes.separation != Separation::Channels,
            DiarizationMethod::Turns => notes.separation != Separation::Turns,
            DiarizationMethod::TranscriptLabels | DiarizationMethod::SingleSpeaker => false,
        };
        if weaker {
            codes.push(DIARIZATION_EMPTY);
        }
        if notes.separation == Separation::Nothing {
            codes.push(SINGLE_SPEAKER_FALLBACK);
        }
    }
    if notes.hallucination_removed {
        codes.push(HALLUCINATION_REMOVED);
    }
    let mut warnings: Vec<String> = Vec::with_capacity(codes.len());
    for code in codes {
        if !code.is_empty() && !warnings.iter().any(|known| known == code) {
            warnings.push(code.to_owned());
        }
    }
    warnings
}
