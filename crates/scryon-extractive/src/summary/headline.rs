//! Title, one line, a few sentences, outcome. Composed of counts and quotes: nothing in them is claimed that
//! was not counted or said.

use std::collections::BTreeSet;

use scryon_domain::analysis::CallType;

use super::{Material, enumeration};
use crate::quality;
use crate::text::{capitalised, capped, quoted};

pub(crate) const NO_SPEECH_SUMMARY: &str = "No speech was recognised in this recording.";

const MAX_TITLE_CHARS: usize = 80;
const MAX_NAME_CHARS: usize = 40;
const MAX_QUOTE_CHARS: usize = 220;
/// With so many strong statements the headline quotes two of them.
const STATEMENTS_FOR_TWO_QUOTES: usize = 20;

pub(super) fn one_line(material: &Material<'_, '_>) -> String {
    let topics = topics(material, 3);
    if topics.is_empty() {
        return match best_quote(material, &BTreeSet::new()) {
            Some((_, quote)) => format!("{} without a clear topic: {quote}", kind(material.call_type)),
            None => format!("{} without a clear topic.", kind(material.call_type)),
        };
    }
    let items = match material.counts.action_items {
        0 => String::new(),
        count => format!(", with {}", counted(count, "action item")),
    };
    format!("{} about {}{items}.", kind(material.call_type), enumeration(&topics))
}

/// What it was, what stood out, what it left.
pub(super) fn executive(material: &Material<'_, '_>, used: &mut BTreeSet<usize>) -> String {
    let mut sentences = vec![introduction(material)];
    let statements = material.ranking.best(0..material.document.units.len(), |_| true).len();
    let wanted = if statements >= STATEMENTS_FOR_TWO_QUOTES { 2 } else { 1 };
    let mut quotes = Vec::new();
    while quotes.len() < wanted
        && let Some((unit, quote)) = best_quote(material, used)
    {
        used.insert(unit);
        quotes.push((unit, quote));
    }
    quotes.sort_by_key(|(unit, _)| *unit);
    let quotes: Vec<String> = quotes.into_iter().map(|(_, quote)| quote).collect();
    if !quotes.is_empty() {
        let noun = if quotes.len() == 1 { "The statement" } else { "The statements" };
        let list = enumeration(&quotes);
        let is_closed = [".”", "!”", "?”", "…”"].iter().any(|end| list.ends_with(end));
        let stop = if is_closed { "" } else { "." };
        sentences.push(format!("{noun} closest to its topics: {list}{stop}"));
    }
    sentences.extend(left_behind(material));
    sentences.join(" ")
}

fn introduction(material: &Material<'_, '_>) -> String {
    let document = material.document;
    let length = match call_minutes(material) {
        Some(0) => " of less than a minute".to_owned(),
        Some(1) => " of about a minute".to_owned(),
        Some(minutes) => format!(" of about {minutes} minutes"),
        None => String::new(),
    };
    let topics = topics(material, 4);
    let about = if topics.is_empty() { String::new() } else { format!(" about {}", enumeration(&topics)) };
    let words = quality::spoken_words(document);
    format!("{}{length}{about}, {} long.", kind(material.call_type), counted(words, "word"))
}

fn call_minutes(material: &Material<'_, '_>) -> Option<u64> {
    let seconds = material.document.transcript.duration_seconds;
    // Saturates for absurd durations; the text is then absurd as well, but true to its input.
    (seconds.is_finite() && seconds > 0.0).then(|| (seconds / 60.0).round() as u64)
}

fn left_behind(material: &Material<'_, '_>) -> Option<String> {
    let counts = material.counts;
    let left: Vec<String> = [
        (counts.decisions, "decision"),
        (counts.action_items, "action item"),
        (counts.next_steps, "next step"),
        (counts.open_questions, "open question"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, noun)| counted(count, noun))
    .collect();
    (!left.is_empty()).then(|| format!("Found in it: {}.", enumeration(&left)))
}

/// The last thing that was decided or resolved.
pub(super) fn outcome(material: &Material<'_, '_>, used: &mut BTreeSet<usize>) -> Option<String> {
    let decided = material.evidence.decisions.units.keys().next_back().map(|unit| (*unit, "Decided"));
    let resolved = material.evidence.resolutions.units.keys().next_back().map(|unit| (*unit, "Resolved"));
    let (unit, verb) = decided.max(resolved)?;
    used.insert(unit);
    let span = material.document.units.get(unit)?.span.clone();
    Some(format!("{verb}: {}", quoted(material.document, span, MAX_QUOTE_CHARS)))
}

/// Topics and the contact's name; never a number or an address, whatever the contact is called.
pub(super) fn suggested_title(material: &Material<'_, '_>) -> Option<String> {
    let topics = topics(material, 2);
    let name = material.context.contact_name.as_deref().map(str::trim).filter(|name| is_plain_name(name));
    let with = name.map(|name| format!(" with {name}")).unwrap_or_default();
    let title = match (topics.is_empty(), material.call_type) {
        (false, CallType::Unknown | CallType::Other) => {
            format!("{}{with}", capitalised(&enumeration(&topics)))
        }
        (false, call_type) => format!("{}: {}{with}", kind(call_type), enumeration(&topics)),
        (true, CallType::Unknown | CallType::Other) => {
            let given =
                material.context.title.as_deref().map(str::trim).filter(|title| is_plain_title(title));
            match (given, name) {
                (Some(given), _) => given.to_owned(),
                (None, Some(_)) => format!("Call{with}"),
                (None, None) => return None,
            }
        }
        (true, call_type) => format!("{}{with}", kind(call_type)),
    };
    Some(capped(&title, MAX_TITLE_CHARS))
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= MAX_NAME_CHARS
        && name.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '’' | '.'))
}

/// A title somebody typed may hold anything; digits and addresses keep it out.
fn is_plain_title(title: &str) -> bool {
    !title.is_empty() && !title.contains('@') && !title.chars().any(|c| c.is_numeric() || c.is_control())
}

/// Tags without the word for the kind of call, which stands before them.
fn topics(material: &Material<'_, '_>, count: usize) -> Vec<String> {
    let kind = material.call_type.as_str();
    material.keywords.tags().into_iter().filter(|tag| tag != kind).take(count).collect()
}

fn best_quote(material: &Material<'_, '_>, used: &BTreeSet<usize>) -> Option<(usize, String)> {
    let units = material.ranking.best(0..material.document.units.len(), |unit| !used.contains(&unit));
    let unit = *units.first()?;
    let span = material.document.units.get(unit)?.span.clone();
    Some((unit, quoted(material.document, span, MAX_QUOTE_CHARS)))
}

fn kind(call_type: CallType) -> String {
    match call_type {
        CallType::Unknown | CallType::Other => "Call".to_owned(),
        CallType::Interview => "Interview".to_owned(),
        kind => format!("{} call", capitalised(kind.as_str())),
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
