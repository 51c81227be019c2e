//! Step 1: every word gets a speaker, by the best means the two inputs allow:
//! channels → turns of the diarization → speaker labels of the transcription → one speaker.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::time;
use super::time::Millis;
use super::turns::{Span, Timeline, WORD_CAP};
use super::units::{Unit, usable_label};
use crate::raw::{Diarization, DiarizationMethod, RawSegment, RawTranscript, Turn, channel_speaker};
use crate::transcript::Confidence;

/// Source speaker id when nothing tells speakers apart.
const ONLY_SPEAKER: &str = "SPEAKER_00";

/// A word with its speaker.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word<'a> {
    /// The engine's own where nothing had to be changed.
    pub(super) text: Cow<'a, str>,
    pub(super) start: Millis,
    pub(super) end: Millis,
    /// Where the voice is taken to stop when pauses are judged: `end`, but at most [`WORD_CAP`] after the start
    /// of a measured word.
    pub(super) reach: Millis,
    pub(super) alignment: Confidence,
    pub(super) confidence: Option<f32>,
    /// Number of the engine segment, for words without times of their own.
    pub(super) origin: Option<usize>,
    /// Immediate repetitions of this word were removed.
    pub(super) looped: bool,
}

/// By what means the speakers were told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separation {
    Channels,
    Turns,
    Labels,
    /// Not at all: everything is one speaker's, whoever spoke.
    Nothing,
}

/// All words of one speaker, in order of start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stream<'a> {
    /// The engine's label, for example `SPEAKER_00` or `CHANNEL_1`.
    pub(super) source: String,
    pub(super) words: Vec<Word<'a>>,
}

/// The outcome of step 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Aligned<'a> {
    /// One per speaker who said something, in order of their first word.
    pub(super) streams: Vec<Stream<'a>>,
    pub(super) separation: Separation,
}

/// A decision per word: which speaker, how sure.
type Decision = Option<(usize, Confidence)>;

/// Source speaker ids as small numbers.
#[derive(Debug, Default)]
struct Speakers {
    ids: Vec<String>,
    index: BTreeMap<String, usize>,
}

impl Speakers {
    fn number(&mut self, source: &str) -> usize {
        if let Some(&known) = self.index.get(source) {
            return known;
        }
        self.ids.push(source.to_owned());
        self.index.insert(source.to_owned(), self.ids.len() - 1);
        self.ids.len() - 1
    }
}

/// Gives every unit to a speaker. `units` are in order of start.
pub(super) fn align<'a>(units: Vec<Unit<'a>>, raw: &RawTranscript, diarization: &Diarization) -> Aligned<'a> {
    let mut speakers = Speakers::default();
    let attempt = match diarization.method {
        DiarizationMethod::Channels => by_channel(&units, diarization, &mut speakers),
        DiarizationMethod::Turns => by_turns(&units, diarization, &mut speakers),
        DiarizationMethod::TranscriptLabels | DiarizationMethod::SingleSpeaker => None,
    };
    let wants_labels = diarization.method != DiarizationMethod::SingleSpeaker;
    let (decisions, separation) = attempt
        .or_else(|| if wants_labels { by_label(&units, &raw.segments, &mut speakers) } else { None })
        .unwrap_or_else(|| {
            let only = speakers.number(ONLY_SPEAKER);
            (vec![(only, Confidence::Low); units.len()], Separation::Nothing)
        });
    Aligned { streams: into_streams(units, &decisions, &speakers.ids), separation }
}

type Outcome = Option<(Vec<(usize, Confidence)>, Separation)>;

/// A word with a channel belongs to it, whatever the times say. Words without one (an engine that was handed a
/// mix) go by the turns, which carry the channels' names here.
fn by_channel(units: &[Unit<'_>], diarization: &Diarization, speakers: &mut Speakers) -> Outcome {
    if units.iter().all(|unit| unit.channel.is_none()) {
        let (decisions, _) = by_turns(units, diarization, speakers)?;
        return Some((decisions, Separation::Channels));
    }
    let mut decisions: Vec<Decision> = units
        .iter()
        .map(|unit| unit.channel.map(|n| (speakers.number(&channel_speaker(n)), Confidence::High)))
        .collect();
    if decisions.iter().any(Option::is_none)
        && let Some((by_time, _)) = by_turns(units, diarization, speakers)
    {
        fill(&mut decisions, by_time.into_iter().map(Some));
    }
    Some((inherit(units, &decisions)?, Separation::Channels))
}

fn by_turns(units: &[Unit<'_>], diarization: &Diarization, speakers: &mut Speakers) -> Outcome {
    let exclusive = diarization.exclusive_turns.as_deref().map(|turns| timeline(turns, speakers));
    let timeline = match exclusive {
        Some(timeline) if !timeline.is_empty() => timeline,
        _ => timeline(&diarization.turns, speakers),
    };
    let matches = timeline.assign(&times(units));
    let decisions = matches.into_iter().zip(units).map(|(found, unit)| {
        // Interpolated times are a guess inside the segment, so an overlap with them cannot be a clear one.
        let most = if unit.measured { Confidence::High } else { Confidence::Medium };
        found.map(|found| (found.speaker, found.confidence.min(most)))
    });
    Some((decisions.collect::<Option<Vec<_>>>()?, Separation::Turns))
}

/// The transcription's own labels; a word without one takes that of the engine segment it lies in, else that of
/// the nearest labelled word.
fn by_label(units: &[Unit<'_>], segments: &[RawSegment], speakers: &mut Speakers) -> Outcome {
    let mut decisions: Vec<Decision> =
        units.iter().map(|unit| unit.label.map(|label| (speakers.number(label), Confidence::High))).collect();
    if decisions.iter().any(Option::is_none) {
        let labelled: Vec<Turn> = segments
            .iter()
            .filter_map(|segment| {
                let speaker = usable_label(segment.speaker.as_deref())?.to_owned();
                Some(Turn { speaker, start: segment.start, end: segment.end })
            })
            .collect();
        let by_segment = timeline(&labelled, speakers).assign(&times(units));
        // Outside all labelled segments a neighbouring word is the better guess than a distant segment.
        let inside = by_segment.into_iter().map(|found| {
            found
                .filter(|found| found.confidence > Confidence::Low)
                .map(|found| (found.speaker, Confidence::Medium))
        });
        fill(&mut decisions, inside);
    }
    Some((inherit(units, &decisions)?, Separation::Labels))
}

fn times(units: &[Unit<'_>]) -> Vec<(Millis, Millis)> {
    units.iter().map(|unit| (unit.start, unit.end)).collect()
}

fn timeline(turns: &[Turn], speakers: &mut Speakers) -> Timeline {
    let mut usable: Vec<(Millis, Millis, &str)> = turns
        .iter()
        .filter_map(|turn| {
            let label = usable_label(Some(&turn.speaker))?;
            Some((time::millis(turn.start)?, time::millis(turn.end)?, label))
        })
        .collect();
    // Numbered in order of time, not of the list: ties between speakers must not depend on the list's order.
    usable.sort_unstable();
    let spans = usable
        .into_iter()
        .map(|(start, end, label)| Span { start, end, speaker: speakers.number(label) })
        .collect();
    Timeline::new(spans)
}

fn fill(decisions: &mut [Decision], better: impl Iterator<Item = Decision>) {
    for (decision, better) in decisions.iter_mut().zip(better) {
        *decision = decision.or(better);
    }
}

/// Undecided words follow their nearest decided neighbour in time, the one before when both are equally near.
/// `None` when no word at all is decided.
fn inherit(units: &[Unit<'_>], decisions: &[Decision]) -> Option<Vec<(usize, Confidence)>> {
    let mut following: Vec<Option<usize>> = vec![None; units.len()];
    let mut next = None;
    for index in (0..units.len()).rev() {
        if decisions[index].is_some() {
            next = Some(index);
        }
        following[index] = next;
    }
    let mut before: Option<usize> = None;
    let mut complete = Vec::with_capacity(units.len());
    for (index, decision) in decisions.iter().enumerate() {
        if let Some(decided) = decision {
            before = Some(index);
            complete.push(*decided);
            continue;
        }
        let behind = before.map(|at| (units[index].start - units[at].end, at));
        let ahead = following[index].map(|at| (units[at].start - units[index].end, at));
        let (_, chosen) = match (behind, ahead) {
            (Some(behind), Some(ahead)) if ahead.0.max(0) < behind.0.max(0) => ahead,
            (Some(behind), _) => behind,
            (None, ahead) => ahead?,
        };
        let (speaker, _) = decisions[chosen]?;
        complete.push((speaker, Confidence::Low));
    }
    Some(complete)
}

fn into_streams<'a>(
    units: Vec<Unit<'a>>,
    decisions: &[(usize, Confidence)],
    ids: &[String],
) -> Vec<Stream<'a>> {
    let mut place: Vec<Option<usize>> = vec![None; ids.len()];
    let mut streams: Vec<Stream<'a>> = Vec::new();
    for (unit, &(speaker, alignment)) in units.into_iter().zip(decisions) {
        let at = *place[speaker].get_or_insert_with(|| {
            streams.push(Stream { source: ids[speaker].clone(), words: Vec::new() });
            streams.len() - 1
        });
        let reach = if unit.measured { unit.end.min(unit.start + WORD_CAP) } else { unit.end };
        streams[at].words.push(Word {
            text: unit.text,
            start: unit.start,
            end: unit.end,
            reach,
            alignment,
            confidence: unit.confidence,
            origin: unit.origin,
            looped: false,
        });
    }
    streams
}
