//! Money, percentages, and plain numbers that count something.

use scryon_domain::analysis::AmountKind;

use super::Taken;
use super::numbers::{Number, number_at};
use crate::lexicon::{COUNTED_THINGS, CURRENCIES};
use crate::text::{Document, Span};

/// A number that was named.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AmountMention {
    pub(crate) span: Span,
    pub(crate) kind: AmountKind,
    pub(crate) value: f64,
    pub(crate) unit: Option<String>,
}

pub(super) fn find(document: &Document<'_>, taken: &Taken) -> Vec<AmountMention> {
    let mut mentions = Vec::new();
    for unit in &document.units {
        let mut position = unit.span.start;
        while position < unit.span.end {
            let number =
                if taken.is_free(position) { number_at(document, position, unit.span.end) } else { None };
            let Some(number) = number else {
                position += 1;
                continue;
            };
            let mention = amount(document, position, &number, unit.span.end);
            position = mention.as_ref().map_or(number.end, |mention| mention.span.end);
            mentions.extend(mention);
        }
    }
    mentions
}

fn amount(document: &Document<'_>, start: usize, number: &Number, limit: usize) -> Option<AmountMention> {
    let next = document.word(number.end);
    if number.is_percent {
        return Some(mention(start..number.end, AmountKind::Percent, number.value, "%"));
    }
    if number.end < limit && (next == "percent" || next == "%") {
        return Some(mention(start..number.end + 1, AmountKind::Percent, number.value, "%"));
    }
    if document.has_words(number.end, &["per", "cent"]) && number.end + 2 <= limit {
        return Some(mention(start..number.end + 2, AmountKind::Percent, number.value, "%"));
    }
    if let Some(code) = number.currency {
        return Some(mention(start..number.end, AmountKind::Money, number.value, code));
    }
    if number.end < limit
        && let Some((_, code)) = CURRENCIES.iter().find(|(word, _)| *word == next)
    {
        let (value, end) = with_cents(document, number.value, number.end + 1, limit);
        return Some(mention(start..end, AmountKind::Money, value, code));
    }
    plain(document, start, number, limit)
}

fn mention(span: Span, kind: AmountKind, value: f64, unit: &str) -> AmountMention {
    AmountMention { span, kind, value, unit: Some(unit.to_owned()) }
}

/// `twelve dollars and fifty cents`.
fn with_cents(document: &Document<'_>, whole: f64, end: usize, limit: usize) -> (f64, usize) {
    let at = if document.word(end) == "and" { end + 1 } else { end };
    let cents = number_at(document, at, limit).filter(|cents| {
        (0.0..100.0).contains(&cents.value) && document.word(cents.end) == "cents" && cents.end < limit
    });
    cents.map_or((whole, end), |cents| {
        (((whole + cents.value / 100.0) * 100.0).round() / 100.0, cents.end + 1)
    })
}

/// Numbers without a sign need something they count, or enough digits to be worth a note.
fn plain(document: &Document<'_>, start: usize, number: &Number, limit: usize) -> Option<AmountMention> {
    let next = document.word(number.end);
    if number.end < limit && number.value > 1.0 && COUNTED_THINGS.contains(&next) {
        return Some(mention(start..number.end + 1, AmountKind::Number, number.value, next));
    }
    // Years and single digits say nothing by themselves.
    let is_year = number.is_digits && (1900.0..=2100.0).contains(&number.value);
    let is_telling = number.is_digits && number.value >= 10.0 || number.value >= 100.0;
    (is_telling && !is_year && !number.is_ordinal).then_some(AmountMention {
        span: start..number.end,
        kind: AmountKind::Number,
        value: number.value,
        unit: None,
    })
}
