//! Headlines of tasks, made of the words that were said: nothing is added but the name of the party that
//! `me` or `you` stands for.

use scryon_domain::analysis::ActionIntent;
use scryon_domain::transcript::Speaker;

use super::Timing;
use super::triggers::Task;
use crate::lexicon::Flags;
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
    "and", "or", "to", "the", "a", "an", "with", "for", "of", "at", "by", "on", "in", "that", "just", "so", "is",
    "as", "then", "too", "also", "from", "please", "when", "before", "until", "about", "right", "well", "me", "you",
    "us", "next", "this",
];

pub(super) fn of(document: &Document<'_>, task: &Task, timing: Timing<'_>, other: Option<&Speaker>) -> Wording {
    let object = object_span(document, task, timing);
    let object = object_text(document, object);
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

/// The words after the verb, without recipient pronouns before them and time after them.
fn object_span(document: &Document<'_>, task: &Task, timing: Timing<'_>) -> Span {
    let mut span = task.verb_end..task.span.end;
    while span.start < span.end && matches!(document.word(span.start), "me" | "you" | "us") {
        span.start += 1;
    }
    if task.intent == ActionIntent::Reminder && matches!(document.word(span.start), "to" | "about") {
        span.start += 1;
    }
    loop {
        let before = span.end;
        // A day that was understood is in the due date; one that was not must stay readable.
        if let Some(mention) = timing.date.filter(|mention| mention.date.is_some())
            && mention.span.end >= span.end
            && mention.phrase.start < span.end
        {
            span.end = mention.phrase.start.max(span.start);
        }
        if let Some(mention) = timing.time.filter(|_| timing.date.is_some_and(|date| date.date.is_some()))
            && mention.span.end >= span.end
            && mention.span.start < span.end
            && mention.time.is_some()
        {
            span.end = mention.span.start.max(span.start);
        }
        while span.start < span.end && TRAILING.contains(&document.word(span.end - 1)) {
            span.end -= 1;
        }
        if span.end == before {
            return span;
        }
    }
}

/// The words as written, without fillers, with `the` for `my` and `your`: a headline has no first person.
fn object_text(document: &Document<'_>, span: Span) -> String {
    let mut words: Vec<String> = Vec::new();
    for position in span {
        let Some(token) = document.tokens.get(position) else { continue };
        if token.marks.is_continuation || document.flags(position).intersects(Flags::FILLER) {
            continue;
        }
        match document.word(position) {
            "my" | "your" | "our" => words.push("the".to_owned()),
            "please" => {}
            _ => {
                let text = document.segment(position).and_then(|segment| {
                    segment.text.get(token.core.0 as usize..token.core.1 as usize)
                });
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
