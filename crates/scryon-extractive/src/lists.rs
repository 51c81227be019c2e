//! The evidence lists that only repeat what was named: dates, amounts, people.

use scryon_domain::analysis::{Amount, ImportantDate, PersonMention};

use crate::lexicon::List;
use crate::mentions::Mentions;
use crate::text::{Document, Span, quoted};

const MAX_DATES: usize = 20;
const MAX_AMOUNTS: usize = 30;
const MAX_PEOPLE: usize = 30;
const MAX_SOURCES: usize = 5;
const MAX_CONTEXT_CHARS: usize = 160;

pub(crate) fn important_dates(document: &Document<'_>, mentions: &Mentions) -> Vec<ImportantDate> {
    let mut dates: Vec<ImportantDate> = Vec::new();
    for mention in &mentions.dates {
        // `How can I help you today?` names no date.
        let is_courtesy = document
            .unit_at(mention.span.start)
            .is_some_and(|unit| document.has_hit(List::Courtesy, unit.span.clone()));
        if is_courtesy {
            continue;
        }
        let text = bare(&document.raw(mention.span.clone()));
        let sources = document.cite(mention.span.clone());
        let is_twin =
            |date: &ImportantDate| date.text.eq_ignore_ascii_case(&text) && date.date == mention.date;
        match dates.iter().position(is_twin) {
            Some(index) => add_sources(&mut dates[index].source_segment_ids, sources),
            None if dates.len() < MAX_DATES => dates.push(ImportantDate {
                text,
                date: mention.date,
                context: context(document, &mention.span),
                source_segment_ids: sources,
                ..ImportantDate::default()
            }),
            None => {}
        }
    }
    dates
}

pub(crate) fn amounts(document: &Document<'_>, mentions: &Mentions) -> Vec<Amount> {
    let mut amounts: Vec<Amount> = Vec::new();
    for mention in &mentions.amounts {
        let text = bare_amount(&document.raw(mention.span.clone()));
        let sources = document.cite(mention.span.clone());
        let is_twin = |amount: &Amount| {
            amount.kind == Some(mention.kind)
                && amount.value == Some(mention.value)
                && amount.unit == mention.unit
        };
        match amounts.iter().position(is_twin) {
            Some(index) => add_sources(&mut amounts[index].source_segment_ids, sources),
            None if amounts.len() < MAX_AMOUNTS => amounts.push(Amount {
                text,
                kind: Some(mention.kind),
                value: Some(mention.value),
                unit: mention.unit.clone(),
                context: context(document, &mention.span),
                source_segment_ids: sources,
                ..Amount::default()
            }),
            None => {}
        }
    }
    amounts
}

/// Each person once. A given name alone is the person with that given name and a surname, if there is one.
pub(crate) fn people(document: &Document<'_>, mentions: &Mentions) -> Vec<PersonMention> {
    let mut people: Vec<PersonMention> = Vec::new();
    for mention in &mentions.people {
        let sources = document.cite(mention.span.clone());
        let is_same = |name: &str| {
            let (longer, shorter) = if name.len() >= mention.name.len() {
                (name, mention.name.as_str())
            } else {
                (mention.name.as_str(), name)
            };
            longer == shorter || longer.strip_prefix(shorter).is_some_and(|rest| rest.starts_with(' '))
        };
        match people.iter().position(|person| is_same(&person.name)) {
            Some(index) => {
                let person = &mut people[index];
                if mention.name.len() > person.name.len() {
                    person.name.clone_from(&mention.name);
                }
                add_sources(&mut person.source_segment_ids, sources);
            }
            None if people.len() < MAX_PEOPLE => people.push(PersonMention {
                name: mention.name.clone(),
                context: context(document, &mention.span),
                source_segment_ids: sources,
                ..PersonMention::default()
            }),
            None => {}
        }
    }
    people
}

fn context(document: &Document<'_>, span: &Span) -> Option<String> {
    let unit = document.unit_at(span.start)?;
    Some(quoted(document, unit.span.clone(), MAX_CONTEXT_CHARS))
}

fn add_sources(ids: &mut Vec<String>, more: Vec<String>) {
    for id in more {
        if ids.len() < MAX_SOURCES && !ids.contains(&id) {
            ids.push(id);
        }
    }
}

fn bare(text: &str) -> String {
    text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
}

/// Signs of currency and percent belong to an amount.
fn bare_amount(text: &str) -> String {
    let keeps = |c: char| c.is_alphanumeric() || matches!(c, '$' | '€' | '£' | '₹' | '¥' | '%');
    text.trim_matches(|c: char| !keeps(c)).to_owned()
}
