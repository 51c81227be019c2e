//! E-mail addresses and telephone numbers, written or spoken.

use super::Taken;
use super::numbers::unit;
use crate::lexicon::{Flags, TOP_LEVEL_DOMAINS};
use crate::text::{Document, Span};

/// An address or a number in its written form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) span: Span,
    pub(crate) text: String,
}

/// Content words after which a spoken address begins.
const LEADS_TO_EMAIL: &[&str] = &["email", "mail", "send", "address", "contact", "copy", "write", "reach"];
const MAX_EMAIL_CHARS: usize = 120;
const MIN_PHONE_DIGITS: usize = 7;
const MAX_PHONE_DIGITS: usize = 15;
/// How far before a number its meaning is looked for.
const CUE_WORDS: usize = 6;
const PHONE_CUES: &[&str] = &[
    "number",
    "phone",
    "call",
    "reach",
    "mobile",
    "cell",
    "text",
    "whatsapp",
    "dial",
    "ring",
    "telephone",
    "fax",
];
const OTHER_CUES: &[&str] = &[
    "order",
    "ticket",
    "case",
    "account",
    "reference",
    "invoice",
    "serial",
    "tracking",
    "confirmation",
    "policy",
    "booking",
    "model",
    "version",
    "zip",
    "code",
    "pin",
    "card",
    "iban",
    "license",
    "id",
];

pub(super) fn emails(document: &Document<'_>, taken: &mut Taken) -> Vec<Contact> {
    let mut found: Vec<Contact> = Vec::new();
    for unit in &document.units {
        for position in unit.span.clone() {
            let contact = match document.word(position) {
                "at" => spoken(document, position, &unit.span),
                word if word.contains('@') => {
                    written(word).map(|text| Contact { span: position..position + 1, text })
                }
                _ => None,
            };
            let is_new =
                |contact: &Contact| found.last().is_none_or(|last| last.span.end <= contact.span.start);
            if let Some(contact) = contact.filter(is_new) {
                taken.take(contact.span.clone());
                found.push(contact);
            }
        }
    }
    found
}

fn written(word: &str) -> Option<String> {
    let (local, domain) = word.split_once('@')?;
    let is_local = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    let is_domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    let (host, tld) = domain.rsplit_once('.')?;
    let is_email = !local.is_empty()
        && local.chars().all(is_local)
        && !host.is_empty()
        && domain.chars().all(is_domain)
        && tld.len() >= 2
        && tld.bytes().all(|byte| byte.is_ascii_lowercase())
        // The tokeniser cuts overlong words, and half an address is none.
        && word.len() < 48;
    is_email.then(|| word.to_owned())
}

/// `maria dot lopez at example dot com`, seen from its `at`.
fn spoken(document: &Document<'_>, at: usize, unit: &Span) -> Option<Contact> {
    let (domain, end) = spoken_domain(document, at + 1, unit.end)?;
    let start = local_start(document, at, unit.start)?;
    let local: String = (start..at).map(|position| spoken_part(document.word(position))).collect();
    let text = format!("{local}@{domain}");
    let is_usable = text.len() <= MAX_EMAIL_CHARS && local.chars().all(|c| c.is_ascii_graphic());
    is_usable.then_some(Contact { span: start..end, text })
}

fn spoken_part(word: &str) -> &str {
    match word {
        "dot" => ".",
        "underscore" => "_",
        "dash" | "hyphen" | "minus" => "-",
        word => word,
    }
}

/// One word before the `at`, and more where `dot`, `dash` or `underscore` join them.
fn local_start(document: &Document<'_>, at: usize, limit: usize) -> Option<usize> {
    let is_part = |position: usize| {
        document.word(position).chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_')
    };
    let is_joint = |position: usize| {
        matches!(document.word(position), "dot" | "underscore" | "dash" | "hyphen" | "minus")
    };
    let mut start = at.checked_sub(1).filter(|start| *start >= limit && is_part(*start))?;
    while start >= limit + 2 && is_joint(start - 1) && is_part(start - 2) {
        start -= 2;
    }
    // In `tom baker at` nobody knows whether `tom` belongs to it, and half an address is somebody else's.
    let before = start.checked_sub(1).filter(|before| *before >= limit);
    let is_whole = before.is_none_or(|before| {
        !(document.is_content(before) || document.flags(before).intersects(Flags::NUMBER) || is_joint(before))
            || LEADS_TO_EMAIL.contains(&document.word(before))
    });
    is_whole.then_some(start)
}

/// `example dot com`, `mail dot example dot co dot uk`.
fn spoken_domain(document: &Document<'_>, position: usize, limit: usize) -> Option<(String, usize)> {
    let is_part = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mut end = position;
    let mut domain = String::new();
    while end < limit && is_part(document.word(end)) {
        domain.push_str(document.word(end));
        end += 1;
        if document.word(end) != "dot" || end + 1 >= limit {
            break;
        }
        domain.push('.');
        end += 1;
    }
    let tld = domain.rsplit_once('.').map(|(_, tld)| tld)?;
    TOP_LEVEL_DOMAINS.contains(&tld).then_some((domain, end))
}

pub(super) fn phones(document: &Document<'_>, taken: &mut Taken) -> Vec<Contact> {
    let mut found = Vec::new();
    for unit in &document.units {
        let mut position = unit.span.start;
        while position < unit.span.end {
            let (digits, end) = digit_run(document, position, unit.span.end, taken);
            if end == position {
                position += 1;
                continue;
            }
            let count = digits.bytes().filter(u8::is_ascii_digit).count();
            if (MIN_PHONE_DIGITS..=MAX_PHONE_DIGITS).contains(&count)
                && is_phone(document, position, unit.span.start, &digits)
            {
                taken.take(position..end);
                found.push(Contact { span: position..end, text: digits });
            }
            position = end;
        }
    }
    found
}

/// Digits said or written one after the other.
fn digit_run(document: &Document<'_>, start: usize, limit: usize, taken: &Taken) -> (String, usize) {
    let mut digits = String::new();
    let mut position = start;
    while position < limit && taken.is_free(position) && digits.len() <= MAX_PHONE_DIGITS + 1 {
        let word = document.word(position);
        let repeat = match word {
            "double" => 2,
            "triple" => 3,
            _ => 1,
        };
        let said = if repeat > 1 { position + 1 } else { position };
        if let Some(digit) = spoken_digit(document.word(said)).filter(|_| said < limit) {
            (0..repeat).for_each(|_| digits.push_str(&digit.to_string()));
            position = said + 1;
        } else if is_written_part(word) {
            if word.starts_with('+') && digits.is_empty() {
                digits.push('+');
            }
            digits.extend(word.chars().filter(char::is_ascii_digit));
            position += 1;
        } else {
            break;
        }
    }
    (digits, position)
}

fn spoken_digit(word: &str) -> Option<u32> {
    if word == "oh" { Some(0) } else { unit(word) }
}

fn is_written_part(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'(' | b')' | b'.'))
}

/// A run of digits is a telephone number only if something says so, and nothing says otherwise.
fn is_phone(document: &Document<'_>, start: usize, unit_start: usize, digits: &str) -> bool {
    let before = start.saturating_sub(CUE_WORDS).max(unit_start)..start;
    let has = |cues: &[&str]| before.clone().any(|position| cues.contains(&document.word(position)));
    (digits.starts_with('+') || has(PHONE_CUES)) && !has(OTHER_CUES)
}
