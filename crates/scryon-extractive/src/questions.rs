//! Questions, and those that stayed without an answer.

use std::collections::BTreeSet;

use scryon_domain::analysis::Finding;

use crate::lexicon::{Flags, List};
use crate::text::{Document, Unit, quoted};

const MAX_QUESTIONS: usize = 20;
const MAX_QUOTE_CHARS: usize = 280;
/// `Really?` and `The what?` are reactions.
const MIN_QUESTION_WORDS: usize = 3;
/// How far an answer may be from its question.
const ANSWER_UNITS: usize = 3;
/// Words of connectives and fillers a question may begin with.
const MAX_LEAD_WORDS: usize = 4;

/// True for a unit that asks, by its mark or by its form.
pub(crate) fn is_asked(document: &Document<'_>, unit: &Unit) -> bool {
    if unit.asks {
        return true;
    }
    // Punctuated text would have had a question mark.
    if !document.is_draft {
        return false;
    }
    let mut start = unit.span.start;
    let lead_end = unit.span.end.min(start + MAX_LEAD_WORDS);
    while start < lead_end && document.flags(start).intersects(Flags::CONNECTIVE | Flags::FILLER) {
        start += 1;
    }
    document.has_hit(List::QuestionOpening, start..start + 1)
}

/// Questions that want to know something: not courtesy, not a request that became a task.
pub(crate) fn real_questions(document: &Document<'_>, task_units: &[usize]) -> Vec<usize> {
    let tasks: BTreeSet<usize> = task_units.iter().copied().collect();
    let units = document.units.iter().enumerate();
    units
        .filter(|(index, unit)| {
            !tasks.contains(index)
                && unit.span.len() >= MIN_QUESTION_WORDS
                && document.content_words(unit.span.clone()) > 0
                && is_asked(document, unit)
                && !document.has_hit(List::Courtesy, unit.span.clone())
        })
        .map(|(index, _)| index)
        .collect()
}

/// Questions nobody answered, and matters the parties left open in so many words.
pub(crate) fn open_questions(document: &Document<'_>, questions: &[usize]) -> Vec<Finding> {
    let speaker = document.units.first().and_then(|unit| unit.speaker);
    let is_monologue = document.units.iter().all(|unit| unit.speaker == speaker);
    let unanswered = questions.iter().copied().filter(|index| !is_answered(document, *index, is_monologue));
    let mut open: BTreeSet<usize> = unanswered.collect();
    open.extend(document.hits(List::OpenMatter).iter().filter_map(|hit| document.unit_index_at(hit.start)));
    let units = open.into_iter().filter_map(|index| document.units.get(index));
    units
        .take(MAX_QUESTIONS)
        .map(|unit| Finding {
            text: quoted(document, unit.span.clone(), MAX_QUOTE_CHARS),
            speaker_id: document.speaker(unit).map(|speaker| speaker.speaker_id.clone()),
            source_segment_ids: document.cite(unit.span.clone()),
            ..Finding::default()
        })
        .collect()
}

/// Answered if somebody else says something soon that is neither a question nor `I don't know`. Where all
/// speech has one speaker, anything that follows may be the answer.
fn is_answered(document: &Document<'_>, index: usize, is_monologue: bool) -> bool {
    let Some(question) = document.units.get(index) else { return true };
    let replies = document.units.iter().skip(index + 1).take(ANSWER_UNITS);
    for reply in replies.filter(|reply| is_monologue || reply.speaker != question.speaker) {
        if document.has_hit(List::NoAnswer, reply.span.clone()) {
            return false;
        }
        if !is_asked(document, reply) {
            return true;
        }
    }
    false
}
