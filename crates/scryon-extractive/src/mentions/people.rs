//! People who are named. A name counts if the lexicon knows it, if it is introduced as one, or if the call's
//! own data carry it.

use std::collections::HashSet;

use super::Taken;
use crate::AnalysisContext;
use crate::lexicon::{Flags, List, NAMES_THAT_ARE_WORDS};
use crate::text::{Document, Span, capitalised};

/// One mention of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PersonFound {
    pub(crate) span: Span,
    pub(crate) name: String,
}

const HONORIFICS: &[&str] = &["mister", "mr", "mrs", "ms", "miss", "doctor", "dr", "professor", "prof"];
/// After `this is Maria` these show that it was an introduction.
const AFTER_OWN_NAME: &[&str] = &["from", "speaking", "calling"];
const MIN_NAME_CHARS: usize = 2;

pub(super) fn find(document: &Document<'_>, context: &AnalysisContext, taken: &Taken) -> Vec<PersonFound> {
    let known = known_names(document, context);
    let introduced: HashSet<usize> = document
        .hits(List::OwnNameFollows)
        .iter()
        .filter(|hit| is_introduction(document, hit.start, hit.end))
        .map(|hit| hit.end)
        .collect();
    let mut found: Vec<PersonFound> = Vec::new();
    for unit in &document.units {
        let mut position = unit.span.start;
        while position < unit.span.end {
            if taken.is_free(position) && is_name(document, position, &unit.span, &known, &introduced) {
                let end = surname_end(document, position, unit.span.end, &known);
                found.push(PersonFound { span: position..end, name: shown(document, position..end) });
                position = end;
            } else {
                position += 1;
            }
        }
    }
    found
}

/// Words of the names the call came with. `Speaker 1` and `Contact ending 4711` are no names.
fn known_names(document: &Document<'_>, context: &AnalysisContext) -> HashSet<String> {
    let speakers = document.transcript.speakers.iter().filter_map(|speaker| speaker.display_name.as_deref());
    let names = speakers.chain(context.contact_name.as_deref());
    names
        .filter(|name| !name.contains(|c: char| c.is_ascii_digit() || c == '@'))
        .flat_map(str::split_whitespace)
        .map(str::to_lowercase)
        .filter(|word| word.chars().count() > MIN_NAME_CHARS && word.chars().all(char::is_alphabetic))
        .filter(|word| !crate::lexicon::flags(word).intersects(Flags::STOP))
        .collect()
}

fn is_name(
    document: &Document<'_>,
    position: usize,
    unit: &Span,
    known: &HashSet<String>,
    introduced: &HashSet<usize>,
) -> bool {
    let flags = document.flags(position);
    let is_continuation = document.tokens.get(position).is_some_and(|token| token.marks.is_continuation);
    if !flags.intersects(Flags::WORD) || is_continuation {
        return false;
    }
    let word = document.word(position);
    let has_writing =
        document.is_draft || document.tokens.get(position).is_some_and(|token| token.marks.is_capital);
    if has_writing && (known.contains(word) || document.flags(position).intersects(Flags::NAME)) {
        return true;
    }
    let could_be_one = !flags.intersects(Flags::STOP | Flags::NUMBER | Flags::FILLER | Flags::GENERIC);
    let after_honorific = position > unit.start && HONORIFICS.contains(&document.word_before(position, 1));
    if has_writing && could_be_one && (introduced.contains(&position) || after_honorific) {
        return true;
    }
    let is_greeted = matches!(document.word_before(position, 1), "hi" | "hello" | "hey" | "thanks");
    NAMES_THAT_ARE_WORDS.contains(&word)
        && has_writing
        && (introduced.contains(&position) || is_greeted || (!document.is_draft && position > unit.start))
}

/// `my name is Ravi` always is one; `this is Ravi` and `I am Ravi` only before `from`, `speaking`, ….
fn is_introduction(document: &Document<'_>, start: usize, end: usize) -> bool {
    document.has_words(start, &["my", "name", "is"])
        || AFTER_OWN_NAME.contains(&document.word(end + 1)) && !document.flags(end).intersects(Flags::PRONOUN)
}

/// A capitalised word right after a name belongs to it; in drafts only one the call's own data know.
fn surname_end(document: &Document<'_>, position: usize, limit: usize, known: &HashSet<String>) -> usize {
    let next = position + 1;
    let Some(token) = document.tokens.get(next).filter(|_| next < limit) else { return next };
    let word = document.word(next);
    let belongs = if document.is_draft { known.contains(word) } else { token.marks.is_capital };
    let is_joined = !document.tokens.get(position).is_some_and(|token| token.marks.ends_clause);
    let is_word = document.flags(next).intersects(Flags::WORD)
        && !document.flags(next).intersects(Flags::STOP | Flags::DATE | Flags::PRONOUN);
    if belongs && is_joined && is_word { next + 1 } else { next }
}

fn shown(document: &Document<'_>, span: Span) -> String {
    span.map(|position| capitalised(document.word(position))).collect::<Vec<_>>().join(" ")
}
