//! What a client can launch for a task, with data that were said and no others.

use scryon_domain::analysis::{ActionIntent, Attendee, Channel, IntentMetadata, ProviderHint};

use super::Timing;
use super::triggers::Task;
use super::wording::Wording;
use crate::lexicon::List;
use crate::mentions::Mentions;
use crate::text::{Document, Span, capitalised};

const MAX_ATTENDEES: usize = 10;

/// The verb's own intent, unless the words around it are plainer: an invitation is a meeting, whatever sends
/// it, and a message on WhatsApp is no mail.
pub(super) fn classify(
    document: &Document<'_>,
    mentions: &Mentions,
    task: &Task,
    unit: &Span,
) -> ActionIntent {
    let span = task.span.clone();
    let has = |words: &[&str]| span.clone().any(|position| words.contains(&document.word(position)));
    let channel = document.hits_in(List::Provider, unit.clone()).iter().any(|hit| is_channel(hit.label));
    match task.intent {
        ActionIntent::Email if channel => ActionIntent::Message,
        ActionIntent::Email if has(&["invite", "invitation"]) => ActionIntent::Meeting,
        ActionIntent::Email if has(&["text", "sms"]) => ActionIntent::Message,
        // Goods are sent by post, not by mail.
        ActionIntent::Email if has(PARCELS) && mentions.emails_in(span.clone()).is_empty() => {
            ActionIntent::Task
        }
        ActionIntent::Meeting if !has(MEETINGS) && is_general(task) && !is_with_somebody(document, task) => {
            ActionIntent::Task
        }
        intent => intent,
    }
}

const PARCELS: &[&str] = &[
    "technician",
    "replacement",
    "package",
    "parcel",
    "box",
    "unit",
    "device",
    "router",
    "part",
    "parts",
    "courier",
    "somebody",
    "someone",
    "engineer",
    "cheque",
    "check",
    "card",
    "money",
    "payment",
    "team",
];
const MEETINGS: &[&str] = &[
    "meeting",
    "call",
    "demo",
    "appointment",
    "session",
    "zoom",
    "teams",
    "meet",
    "interview",
    "chat",
    "catch",
    "visit",
    "slot",
    "time",
    "lunch",
    "coffee",
    "review",
    "consultation",
    "follow",
];

/// Verbs that arrange other things as well: `book a flight`, `set up the server`.
fn is_general(task: &Task) -> bool {
    matches!(task.verb.words, "book" | "set up" | "arrange" | "schedule")
}

fn is_with_somebody(document: &Document<'_>, task: &Task) -> bool {
    task.span.clone().any(|position| document.word(position) == "with")
}

fn is_channel(label: &str) -> bool {
    matches!(label, "whatsapp" | "sms" | "telegram")
}

/// Nothing where nothing was said.
pub(super) fn metadata(
    document: &Document<'_>,
    mentions: &Mentions,
    task: &Task,
    intent: ActionIntent,
    wording: &Wording,
    timing: Timing<'_>,
) -> Option<IntentMetadata> {
    let span = task.span.clone();
    let person = |after: &[&str]| {
        let people = mentions.people_in(span.clone()).iter();
        people
            .filter(|person| after.contains(&document.word_before(person.span.start, 1)))
            .map(|person| person.name.clone())
            .next()
    };
    let email = || mentions.emails_in(span.clone()).first().map(|contact| contact.text.clone());
    let phone = || mentions.phones_in(span.clone()).first().map(|contact| contact.text.clone());
    let labels = || document.hits_in(List::Provider, span.clone()).iter().map(|hit| hit.label);
    let metadata = match intent {
        ActionIntent::Meeting => IntentMetadata {
            provider_hint: labels().find(|label| !is_channel(label)).and_then(ProviderHint::parse),
            attendees: attendees(document, mentions, &span),
            proposed_at: moment(timing),
            duration_minutes: mentions.durations_in(span.clone()).first().map(|mention| mention.minutes),
            title: wording.object.clone(),
            location: place(document, &span),
            ..IntentMetadata::default()
        },
        ActionIntent::Email => IntentMetadata {
            to_email: email(),
            to_name: person(&["to", "email", "mail", "send", "for"]),
            subject: wording.object.clone(),
            ..IntentMetadata::default()
        },
        ActionIntent::Call => IntentMetadata {
            phone_number: phone(),
            contact_name: person(&["call", "phone", "to", "with", "dial"]),
            ..IntentMetadata::default()
        },
        ActionIntent::Message => IntentMetadata {
            channel: labels().find_map(Channel::parse),
            phone_number: phone(),
            contact_name: person(&["text", "message", "ping", "to", "whatsapp"]),
            ..IntentMetadata::default()
        },
        ActionIntent::Reminder => IntentMetadata {
            remind_at: moment(timing),
            title: wording.object.clone(),
            ..IntentMetadata::default()
        },
        ActionIntent::Task | ActionIntent::None => IntentMetadata::default(),
    };
    (metadata != IntentMetadata::default()).then_some(metadata)
}

/// A date and a time that are both certain.
fn moment(timing: Timing<'_>) -> Option<String> {
    let date = timing.date?.due?;
    let time = timing.time?.time?;
    Some(date.and_time(time).format("%Y-%m-%dT%H:%M:%S").to_string())
}

/// People the meeting is with, and addresses that were said with it. An address is not guessed to be the
/// address of a name.
fn attendees(document: &Document<'_>, mentions: &Mentions, span: &Span) -> Vec<Attendee> {
    let people = mentions.people_in(span.clone()).iter().filter(|person| {
        matches!(document.word_before(person.span.start, 1), "with" | "and" | "invite" | "including" | "meet")
    });
    let named = people.map(|person| Attendee { name: Some(person.name.clone()), email: None });
    let written = mentions.emails_in(span.clone()).iter();
    let addressed = written.map(|contact| Attendee { name: None, email: Some(contact.text.clone()) });
    named.chain(addressed).take(MAX_ATTENDEES).collect()
}

/// `The office` from `at the office`; `In person` stays as it is.
fn place(document: &Document<'_>, span: &Span) -> Option<String> {
    let hit = document.hits_in(List::Place, span.clone()).first()?;
    let start = if document.word(hit.start) == "at" { hit.start + 1 } else { hit.start };
    let words: Vec<&str> = (start..hit.end).map(|position| document.word(position)).collect();
    Some(capitalised(&words.join(" ")))
}
