//! `Can you send me the invoice?` and `Sure, I'll send the invoice` are one task.

use std::collections::BTreeSet;

use scryon_domain::analysis::{ActionItem, NextStep};

use super::triggers::{Kind, Task};
use crate::lexicon::Flags;
use crate::text::{Document, WordId};

/// Units between a request and the promise that answers it.
const NEAR_UNITS: usize = 12;
/// Units between a request and its acceptance where words may be misheard.
const ANSWER_UNITS: usize = 2;
/// A task repeated more often is not better proven.
const MAX_SOURCES: usize = 8;

/// What was merged so far, parallel to the list of items.
#[derive(Debug, Default)]
pub(super) struct Merger {
    seen: Vec<Seen>,
}

#[derive(Debug)]
struct Seen {
    unit: usize,
    kind: Kind,
    verb: &'static str,
    words: BTreeSet<WordId>,
}

impl Merger {
    /// Adds an item, or folds it into an earlier one that says the same.
    pub(super) fn add(
        &mut self,
        document: &Document<'_>,
        task: &Task,
        item: ActionItem,
        items: &mut Vec<ActionItem>,
    ) {
        let words: BTreeSet<WordId> = (task.verb_end..task.span.end)
            .filter(|position| {
                let is_time = document.flags(*position).intersects(Flags::GENERIC | Flags::DATE);
                document.is_content(*position) && !is_time
            })
            .filter_map(|position| document.stem(position))
            .collect();
        let seen = Seen { unit: task.unit, kind: task.kind, verb: task.verb.words, words };
        let mut pairs = items.iter().zip(&self.seen);
        let twin =
            pairs.position(|(earlier, before)| is_same(earlier, before, &item, &seen, document.is_draft));
        match twin.and_then(|index| items.get_mut(index).zip(self.seen.get_mut(index))) {
            Some((earlier, before)) => {
                fold(earlier, item, seen.words.len() > before.words.len());
                before.words.extend(seen.words);
                before.unit = seen.unit;
                // A request is answered once.
                before.kind = seen.kind;
            }
            None => {
                items.push(item);
                self.seen.push(seen);
            }
        }
    }
}

/// The same person doing the same thing: the same words, or the shorter form of them soon after.
fn is_same(earlier: &ActionItem, before: &Seen, item: &ActionItem, seen: &Seen, is_draft: bool) -> bool {
    let owners_agree = earlier.owner_speaker_id == item.owner_speaker_id
        || earlier.owner_speaker_id.is_none()
        || item.owner_speaker_id.is_none();
    let dates_agree =
        earlier.due_date == item.due_date || earlier.due_date.is_none() || item.due_date.is_none();
    if !owners_agree || !dates_agree || (before.verb != seen.verb && earlier.intent != item.intent) {
        return false;
    }
    let shared = before.words.intersection(&seen.words).count();
    let smaller = before.words.len().min(seen.words.len());
    let united = before.words.len() + seen.words.len() - shared;
    let is_near = seen.unit.saturating_sub(before.unit) <= NEAR_UNITS;
    // `of course i'll email you …` right after `could you email me …`: the answer, however it was heard.
    let is_answer =
        is_draft && before.kind == Kind::Request && seen.kind == Kind::Promise && before.verb == seen.verb;
    if is_answer && seen.unit.saturating_sub(before.unit) <= ANSWER_UNITS {
        return true;
    }
    if smaller == 0 {
        return is_near && before.verb == seen.verb;
    }
    shared * 2 >= united || (is_near && shared == smaller)
}

/// The earlier item stays what it was and learns what the later one knows. The richer wording wins.
fn fold(earlier: &mut ActionItem, later: ActionItem, later_says_more: bool) {
    if later_says_more {
        earlier.title = later.title;
        earlier.description = later.description;
    }
    if earlier.owner_speaker_id.is_none() {
        earlier.owner_speaker = later.owner_speaker;
        earlier.owner_speaker_id = later.owner_speaker_id;
        earlier.owner_speaker_label = later.owner_speaker_label;
        earlier.owner_display_name = later.owner_display_name;
        earlier.owner_role = later.owner_role;
    }
    earlier.due_date = earlier.due_date.or(later.due_date);
    earlier.priority = earlier.priority.max(later.priority);
    earlier.intent_metadata = earlier.intent_metadata.take().or(later.intent_metadata);
    for id in later.source_segment_ids {
        if earlier.source_segment_ids.len() < MAX_SOURCES && !earlier.source_segment_ids.contains(&id) {
            earlier.source_segment_ids.push(id);
        }
    }
}

/// Each plan once, however often it was repeated.
pub(super) fn unique_steps(steps: &mut Vec<NextStep>) {
    let mut seen = BTreeSet::new();
    steps.retain(|step| seen.insert((step.text.to_lowercase(), step.owner_speaker.clone())));
}
