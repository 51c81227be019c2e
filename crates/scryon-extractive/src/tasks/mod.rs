//! From what people promise, ask and plan to action items and next steps.

mod intent;
mod merge;
mod triggers;
mod wording;

use scryon_domain::analysis::{ActionIntent, ActionItem, Finding, NextStep, Priority};
use scryon_domain::transcript::Speaker;

use crate::lexicon::List;
use crate::mentions::{DateMention, Mentions, TimeMention};
use crate::quality;
use crate::text::{Document, Span, quoted};
use triggers::{Kind, Task};

/// More tasks than these nobody promises in a call; the rest of a hostile text is not even looked at.
const MAX_ITEMS: usize = 40;
const MAX_QUOTE_CHARS: usize = 280;
/// A day further behind a task is the day of something else.
const MAX_DAY_DISTANCE: usize = 8;

/// What a call leaves to do.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    pub(crate) action_items: Vec<ActionItem>,
    pub(crate) next_steps: Vec<NextStep>,
    pub(crate) commitments: Vec<Finding>,
    /// Units that became a task; a request is not an open question as well.
    pub(crate) units: Vec<usize>,
}

/// When a task is to be done, as far as it was said.
#[derive(Debug, Clone, Copy, Default)]
struct Timing<'m> {
    date: Option<&'m DateMention>,
    time: Option<&'m TimeMention>,
}

pub(crate) fn find(document: &Document<'_>, mentions: &Mentions) -> Tasks {
    let parties = Parties::of(document);
    let mut tasks = Tasks::default();
    let mut merger = merge::Merger::default();
    let found = triggers::find(document, mentions);
    for (index, task) in found.iter().enumerate() {
        if tasks.action_items.len() >= MAX_ITEMS || tasks.next_steps.len() >= MAX_ITEMS {
            break;
        }
        let Some(unit) = document.units.get(task.unit) else { continue };
        // Words behind the next task of the unit belong to that one.
        let next = found.get(index + 1).filter(|next| next.unit == task.unit);
        let end = next.map_or(unit.span.end, |next| next.trigger.max(task.span.end));
        let timing = timing_of(document, task, &(unit.span.start..end), mentions);
        tasks.units.push(task.unit);
        if task.kind == Kind::Promise && tasks.commitments.len() < MAX_ITEMS {
            tasks.commitments.push(commitment(document, task, timing));
        }
        if is_action(task) {
            let item = action_item(document, mentions, &parties, task, timing);
            merger.add(document, task, item, &mut tasks.action_items);
        } else {
            tasks.next_steps.push(next_step(document, mentions, &parties, task, timing));
        }
    }
    merge::unique_steps(&mut tasks.next_steps);
    tasks
}

/// Who speaks in the call, as far as owners may be named.
#[derive(Debug)]
struct Parties<'a> {
    /// Exactly two parties speak, so that `you` means the other one.
    two: Option<(&'a Speaker, &'a Speaker)>,
    /// Speakers are told apart at all. Where everything was put under one label, nobody can be an owner.
    are_known: bool,
}

impl<'a> Parties<'a> {
    fn of(document: &Document<'a>) -> Self {
        let mut indices: Vec<usize> = Vec::new();
        let mut has_strangers = false;
        for unit in &document.units {
            match unit.speaker {
                // Looking at the first three is enough to know that there are more than two.
                Some(index) if indices.len() < 3 && !indices.contains(&index) => indices.push(index),
                Some(_) => {}
                None => has_strangers = true,
            }
        }
        let speakers = &document.transcript.speakers;
        let two = match indices.as_slice() {
            [first, second] if !has_strangers => speakers.get(*first).zip(speakers.get(*second)),
            _ => None,
        };
        let warnings = &document.transcript.pipeline.quality_warnings;
        Self { two, are_known: !warnings.iter().any(|code| code == quality::SINGLE_SPEAKER) }
    }

    fn other(&self, speaker: Option<&Speaker>) -> Option<&'a Speaker> {
        let (first, second) = self.two?;
        let id = &speaker?.speaker_id;
        if *id == first.speaker_id { Some(second) } else { Some(first) }
    }

    fn owner(&self, document: &Document<'a>, task: &Task) -> Option<&'a Speaker> {
        let speaker = document.units.get(task.unit).and_then(|unit| document.speaker(unit));
        if !self.are_known {
            return None;
        }
        match task.kind {
            Kind::Promise => speaker,
            Kind::Request => self.other(speaker),
            Kind::Plan => speaker.filter(|_| task.is_own),
            Kind::Proposal => None,
        }
    }
}

/// Plans, and promises of things no application can launch, are next steps.
fn is_action(task: &Task) -> bool {
    let is_launchable = task.intent != ActionIntent::None;
    match task.kind {
        Kind::Promise | Kind::Request => is_launchable,
        Kind::Proposal => matches!(task.intent, ActionIntent::Meeting | ActionIntent::Call),
        Kind::Plan => false,
    }
}

fn action_item(
    document: &Document<'_>,
    mentions: &Mentions,
    parties: &Parties<'_>,
    task: &Task,
    timing: Timing<'_>,
) -> ActionItem {
    let unit = document.units.get(task.unit);
    let span = unit.map_or(task.span.clone(), |unit| unit.span.clone());
    let speaker = unit.and_then(|unit| document.speaker(unit));
    let owner = parties.owner(document, task);
    let counterpart = match task.kind {
        Kind::Request => speaker,
        _ => parties.other(speaker),
    };
    let wording = wording::of(document, mentions, task, timing, counterpart);
    let intent = intent::classify(document, mentions, task, &span);
    let label = owner.map(|speaker| speaker.label.clone());
    ActionItem {
        intent: Some(intent),
        intent_metadata: intent::metadata(document, mentions, task, intent, &wording, timing),
        title: wording.title,
        description: Some(quoted(document, span.clone(), MAX_QUOTE_CHARS)),
        owner_speaker: label.clone(),
        owner_speaker_id: owner.map(|speaker| speaker.speaker_id.clone()),
        owner_speaker_label: label,
        owner_display_name: owner.and_then(|speaker| speaker.display_name.clone()),
        owner_role: owner.map(|speaker| speaker.role),
        due_date: timing.date.and_then(|mention| mention.due),
        priority: priority(document, task.unit, timing),
        source_segment_ids: document.cite(cited(task, &span, timing)),
    }
}

fn next_step(
    document: &Document<'_>,
    mentions: &Mentions,
    parties: &Parties<'_>,
    task: &Task,
    timing: Timing<'_>,
) -> NextStep {
    let unit = document.units.get(task.unit);
    let speaker = unit.and_then(|unit| document.speaker(unit));
    let span = unit.map_or(task.span.clone(), |unit| unit.span.clone());
    NextStep {
        text: wording::of(document, mentions, task, timing, parties.other(speaker)).title,
        owner_speaker: parties.owner(document, task).map(|speaker| speaker.label.clone()),
        when: timing.date.map(|mention| document.raw(mention.span.clone())).map(|when| wording::bare(&when)),
        source_segment_ids: document.cite(cited(task, &span, timing)),
    }
}

fn commitment(document: &Document<'_>, task: &Task, timing: Timing<'_>) -> Finding {
    let unit = document.units.get(task.unit);
    let span = unit.map_or(task.span.clone(), |unit| unit.span.clone());
    Finding {
        text: quoted(document, span.clone(), MAX_QUOTE_CHARS),
        speaker_id: unit.and_then(|unit| document.speaker(unit)).map(|speaker| speaker.speaker_id.clone()),
        source_segment_ids: document.cite(cited(task, &span, timing)),
        ..Finding::default()
    }
}

/// From the words that made it a task to its end, with the day it is due: a long unit may touch segments
/// that say nothing about it.
fn cited(task: &Task, unit: &Span, timing: Timing<'_>) -> Span {
    let date = timing.date.map_or(task.span.clone(), |mention| mention.phrase.clone());
    let (start, end) = (task.trigger.min(date.start), task.span.end.max(date.end));
    start.max(unit.start)..end.min(unit.end)
}

/// The day and time of a task: within it, else right behind it, else right before it.
fn timing_of<'m>(document: &Document<'_>, task: &Task, unit: &Span, mentions: &'m Mentions) -> Timing<'m> {
    let behind = task.span.end..reach(document, task.span.end, unit.end);
    let within = mentions.dates_in(task.span.clone()).first();
    let date = within.or_else(|| mentions.dates_in(behind.clone()).first()).or_else(|| {
        // Before the trigger only a day that leads into it counts: `by Friday I will send it`.
        let before = mentions.dates_in(unit.start..task.trigger).last();
        before.filter(|mention| mention.span.end == task.trigger)
    });
    let time = [task.span.clone(), behind].into_iter().find_map(|span| mentions.times_in(span).first());
    Timing { date, time }
}

/// How far behind a task its day may be: not beyond a reason or a condition, which have days of their own.
fn reach(document: &Document<'_>, from: usize, limit: usize) -> usize {
    let limit = limit.min(from + MAX_DAY_DISTANCE);
    let is_other = |position: &usize| {
        matches!(
            document.word(*position),
            "because" | "since" | "if" | "but" | "when" | "unless" | "after" | "as"
        )
    };
    (from..limit).find(is_other).unwrap_or(limit)
}

/// By the words of the task's own unit, or of a remark about it: `It's urgent.`
fn priority(document: &Document<'_>, index: usize, timing: Timing<'_>) -> Option<Priority> {
    let unit = document.units.get(index);
    let remark = document.units.get(index + 1).filter(|remark| {
        let says_of_it = matches!(document.word(remark.span.start), "it" | "this" | "that" | "no" | "there");
        says_of_it && unit.is_some_and(|unit| unit.speaker == remark.speaker)
    });
    for span in [unit, remark].into_iter().flatten().map(|unit| unit.span.clone()) {
        if document.has_hit(List::Relaxed, span.clone()) {
            return Some(Priority::Low);
        }
        if document.hits_in(List::Urgent, span).iter().any(|hit| !document.is_negated(hit.start)) {
            return Some(Priority::High);
        }
    }
    // A day somebody named matters to somebody; without one nothing was said about urgency.
    timing.date.map(|_| Priority::Medium)
}
