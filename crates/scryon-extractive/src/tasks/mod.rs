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
    for task in triggers::find(document, mentions) {
        if tasks.action_items.len() >= MAX_ITEMS || tasks.next_steps.len() >= MAX_ITEMS {
            break;
        }
        let Some(unit) = document.units.get(task.unit) else { continue };
        let timing = timing_of(&task, &unit.span, mentions);
        tasks.units.push(task.unit);
        if task.kind == Kind::Promise {
            tasks.commitments.push(commitment(document, &task));
        }
        if is_action(&task) {
            let item = action_item(document, mentions, &parties, &task, timing);
            merger.add(document, &task, item, &mut tasks.action_items);
        } else {
            tasks.next_steps.push(next_step(document, &parties, &task, timing));
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
    let wording = wording::of(document, task, timing, counterpart);
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
        due_date: timing.date.and_then(|mention| mention.date),
        priority: priority(document, span.clone(), timing),
        source_segment_ids: document.cite(cited(task, &span)),
    }
}

fn next_step(document: &Document<'_>, parties: &Parties<'_>, task: &Task, timing: Timing<'_>) -> NextStep {
    let unit = document.units.get(task.unit);
    let speaker = unit.and_then(|unit| document.speaker(unit));
    let span = unit.map_or(task.span.clone(), |unit| unit.span.clone());
    NextStep {
        text: wording::of(document, task, timing, parties.other(speaker)).title,
        owner_speaker: parties.owner(document, task).map(|speaker| speaker.label.clone()),
        when: timing.date.map(|mention| document.raw(mention.span.clone())).map(|when| wording::bare(&when)),
        source_segment_ids: document.cite(cited(task, &span)),
    }
}

fn commitment(document: &Document<'_>, task: &Task) -> Finding {
    let unit = document.units.get(task.unit);
    let span = unit.map_or(task.span.clone(), |unit| unit.span.clone());
    Finding {
        text: quoted(document, span.clone(), MAX_QUOTE_CHARS),
        speaker_id: unit.and_then(|unit| document.speaker(unit)).map(|speaker| speaker.speaker_id.clone()),
        source_segment_ids: document.cite(cited(task, &span)),
        ..Finding::default()
    }
}

/// From the words that made it a task to its end; a long unit may touch segments that say nothing about it.
fn cited(task: &Task, unit: &Span) -> Span {
    task.trigger.max(unit.start)..task.span.end.min(unit.end)
}

/// The day and time of a task: within it, else right behind it, else right before it.
fn timing_of<'m>(task: &Task, unit: &Span, mentions: &'m Mentions) -> Timing<'m> {
    let around = [task.span.clone(), task.span.end..unit.end, unit.start..task.trigger];
    let date = around.iter().enumerate().find_map(|(place, span)| {
        mentions.dates_in(span.clone()).iter().find(|mention| {
            // Before the trigger only a day that leads into it counts: `by Friday I will send it`.
            place < 2 || mention.span.end == task.trigger
        })
    });
    let time = around.iter().take(2).find_map(|span| mentions.times_in(span.clone()).first());
    Timing { date, time }
}

fn priority(document: &Document<'_>, unit: Span, timing: Timing<'_>) -> Option<Priority> {
    if document.hits_in(List::Relaxed, unit.clone()).next().is_some() {
        return Some(Priority::Low);
    }
    if document.hits_in(List::Urgent, unit).any(|hit| !document.is_negated(hit.start)) {
        return Some(Priority::High);
    }
    // A day somebody named matters to somebody; without one nothing was said about urgency.
    timing.date.map(|_| Priority::Medium)
}
