//! Headlines of tasks, made of the words that were said: nothing is added but the name of the party that
//! `me` or `you` stands for.

use scryon_domain::analysis::ActionIntent;
use scryon_domain::transcript::Speaker;

use super::Timing;
use super::triggers::Task;
use crate::lexicon::Flags;
use crate::mentions::Mentions;
use crate::text::{Document, Span, capitalised, capped};

const MAX_TITLE_CHARS: usize = 90;

/// A task in words.
#[derive(Debug)]
pub(super) struct Wording {
    pub(super) title: String,
    /// What the task is about, without its verb; for a mail's subject.
    pub(super) object: Option<String>,
}

/// Words a headline does not end with.
const TRAILING: &[&str] = &[
    "and", "or", "to", "the", "a", "an", "with", "for", "of", "at", "by", "on", "in", "that", "just", "so",
    "is", "as", "then", "too", "also", "from", "please", "when", "before", "until", "about", "right", "well",
    "me", "you", "us", "next", "this",
];

pub(super) fn of(
    document: &Document<'_>,
    mentions: &Mentions,
    task: &Task,
    timing: Timing<'_>,
    other: Option<&Speaker>,
) -> Wording {
    let object = object_text(document, &object_words(document, mentions, task, timing));
    let verb = match task.verb.words.split_once(' ') {
        Some(("give", _)) => "call",
        _ => task.verb.words,
    };
    let needs_object = matches!(
        task.intent,
        ActionIntent::Call | ActionIntent::Email | ActionIntent::Message | ActionIntent::Meeting
    ) || task.verb.words == "get back"
        || task.verb.words == "follow up";
    let title = match (task.intent, object.as_str()) {
        (ActionIntent::Reminder, "") => "Reminder".to_owned(),
        (ActionIntent::Reminder, object) => object.to_owned(),
        (_, "") if needs_object => addressed(verb, other),
        (_, "back") => format!("{} back", addressed(verb, other)),
        (_, "") => verb.to_owned(),
        (_, object) => format!("{verb} {object}"),
    };
    let is_topic = !object.is_empty() && object != "back" && object.split(' ').any(|word| word.len() > 3);
    Wording {
        title: capitalised(&capped(&title, MAX_TITLE_CHARS)),
        object: is_topic.then(|| capitalised(&capped(&object, MAX_TITLE_CHARS))),
    }
}

/// `Call Priya`, or `Call the other party` where there is no name: `Call me` would be wrong for its reader.
fn addressed(verb: &str, other: Option<&Speaker>) -> String {
    let name = other.and_then(|speaker| speaker.display_name.as_deref()).unwrap_or("the other party");
    match verb {
        "get back" => format!("get back to {name}"),
        "follow up" | "meet" | "schedule" | "book" | "set up" | "arrange" => format!("{verb} with {name}"),
        "send" | "resend" | "forward" | "share" | "reply to" | "write to" => format!("{verb} to {name}"),
        _ => format!("{verb} {name}"),
    }
}

/// Positions of the words after the verb, without recipient pronouns, and without the times and addresses
/// that have fields of their own. A day that was not understood must stay readable.
fn object_words(document: &Document<'_>, mentions: &Mentions, task: &Task, timing: Timing<'_>) -> Vec<usize> {
    let mut start = task.verb_end;
    while start < task.span.end && matches!(document.word(start), "me" | "you" | "us") {
        start += 1;
    }
    if task.intent == ActionIntent::Reminder && matches!(document.word(start), "to" | "about") {
        start += 1;
    }
    let mut told_elsewhere: Vec<Span> = Vec::new();
    if let Some(date) = timing.date.filter(|mention| mention.due.is_some()) {
        told_elsewhere.push(date.phrase.clone());
        told_elsewhere
            .extend(timing.time.filter(|mention| mention.time.is_some()).map(|mention| mention.span.clone()));
    }
    let contacts = [mentions.emails_in(task.span.clone()), mentions.phones_in(task.span.clone())];
    told_elsewhere.extend(contacts.into_iter().flatten().map(|contact| contact.span.clone()));
    let mut words: Vec<usize> = Vec::new();
    for position in start..task.span.end {
        if told_elsewhere.iter().any(|span| span.contains(&position)) {
            trim(document, &mut words);
        } else {
            words.push(position);
        }
    }
    trim(document, &mut words);
    words
}

/// Takes off what a headline does not end with.
fn trim(document: &Document<'_>, words: &mut Vec<usize>) {
    while words.last().is_some_and(|last| TRAILING.contains(&document.word(*last))) {
        words.pop();
    }
}

/// The words as written, without fillers, with `the` for `my` and `your`: a headline has no first person.
fn object_text(document: &Document<'_>, positions: &[usize]) -> String {
    let mut words: Vec<String> = Vec::new();
    for position in positions {
        let Some(token) = document.tokens.get(*position) else { continue };
        if token.marks.is_continuation || document.flags(*position).intersects(Flags::FILLER) {
            continue;
        }
        match document.word(*position) {
            "my" | "your" | "our" => words.push("the".to_owned()),
            "please" => {}
            _ => {
                let text = document
                    .segment(*position)
                    .and_then(|segment| segment.text.get(token.core.0 as usize..token.core.1 as usize));
                words.extend(text.map(str::to_owned));
            }
        }
    }
    words.join(" ")
}

/// Without punctuation around it.
pub(super) fn bare(text: &str) -> String {
    text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
}
