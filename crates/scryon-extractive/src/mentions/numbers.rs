//! Numbers in digits and in words. Speech recognition writes either.

use crate::lexicon::{CURRENCIES, Flags, NUMBER_WORDS, ORDINAL_WORDS, SCALE_WORDS};
use crate::text::Document;

/// Larger numbers are noise, and every integer below it is exact in a double.
const MAX_VALUE: f64 = 9_007_199_254_740_992.0;

/// A number at some position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number {
    pub(crate) value: f64,
    /// Position after its last word.
    pub(crate) end: usize,
    pub(crate) is_digits: bool,
    pub(crate) is_ordinal: bool,
    pub(crate) is_percent: bool,
    /// ISO code of a sign before or after the digits.
    pub(crate) currency: Option<&'static str>,
}

/// The longest number that begins here and ends before `limit`.
pub(crate) fn number_at(document: &Document<'_>, position: usize, limit: usize) -> Option<Number> {
    if !document.flags(position).intersects(Flags::NUMERIC) {
        return None;
    }
    let number = match digits(document.word(position)) {
        Some(number) => Number { end: position + 1, ..number },
        None => spelled(document, position, limit)?,
    };
    let number = scaled(document, number, limit);
    (number.value <= MAX_VALUE && number.end <= limit).then_some(number)
}

/// A day of the month here: `15`, `15th`, `fifteenth`, `twenty first`.
pub(super) fn day_at(document: &Document<'_>, position: usize, limit: usize) -> Option<(u32, usize, bool)> {
    let number = match digits(document.word(position)) {
        Some(number) => Number { end: position + 1, ..number },
        None => ordinal(document, position).or_else(|| spelled(document, position, limit))?,
    };
    let is_day = number.value.fract() == 0.0
        && (1.0..=31.0).contains(&number.value)
        && number.currency.is_none()
        && !number.is_percent
        && number.end <= limit;
    // A whole number between 1 and 31, as checked above.
    is_day.then_some((number.value as u32, number.end, number.is_ordinal))
}

/// A year here: `2026`, `twenty twenty six`, `two thousand twenty six`.
pub(super) fn year_at(document: &Document<'_>, position: usize, limit: usize) -> Option<(i32, usize)> {
    if position >= limit {
        return None;
    }
    let word = document.word(position);
    if word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return word
            .parse()
            .ok()
            .filter(|year| (1900..=2199).contains(year))
            .map(|year| (year, position + 1));
    }
    let (century, after) = under_hundred(document, position)?;
    if (19..=21).contains(&century)
        && let Some((rest, end)) =
            under_hundred(document, after).filter(|(rest, end)| *rest >= 10 && *end <= limit)
    {
        return Some(((century * 100 + rest) as i32, end));
    }
    let number = spelled(document, position, limit)?;
    let is_year =
        number.value.fract() == 0.0 && (1900.0..=2199.0).contains(&number.value) && number.end <= limit;
    is_year.then_some((number.value as i32, number.end))
}

/// `$1,200.50`, `20k`, `10%`, `15th`, `$99/seat`.
fn digits(word: &str) -> Option<Number> {
    if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let mut number =
        Number { value: 0.0, end: 0, is_digits: true, is_ordinal: false, is_percent: false, currency: None };
    let mut text = word.split_once('/').map_or(word, |(head, _rate)| head);
    for (sign, code) in CURRENCIES.iter().filter(|(sign, _)| !sign.is_ascii() || *sign == "$") {
        if let Some(rest) = text.strip_prefix(sign).or_else(|| text.strip_suffix(sign)) {
            number.currency = Some(code);
            text = rest;
        }
    }
    if let Some(rest) = text.strip_suffix('%') {
        number.is_percent = true;
        text = rest;
    }
    let mut factor = 1.0;
    for (suffix, scale) in [("k", 1e3), ("m", 1e6), ("bn", 1e9)] {
        if let Some(rest) = text.strip_suffix(suffix) {
            factor = scale;
            text = rest;
        }
    }
    for suffix in ["st", "nd", "rd", "th"] {
        if let Some(rest) = text.strip_suffix(suffix) {
            number.is_ordinal = true;
            text = rest;
        }
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b',' || byte == b'.') {
        return None;
    }
    number.value = text.replace(',', "").parse::<f64>().ok()? * factor;
    Some(number)
}

/// `5 thousand`, `2.5 million`, and the tail of `three point five`.
fn scaled(document: &Document<'_>, mut number: Number, limit: usize) -> Number {
    if number.is_digits
        && number.end < limit
        && let Some(scale) = scale(document.word(number.end))
    {
        number.value *= scale;
        number.end += 1;
    }
    number
}

fn spelled(document: &Document<'_>, position: usize, limit: usize) -> Option<Number> {
    let is_a = document.word(position) == "a" && scale(document.word(position + 1)).is_some();
    if !is_a && !document.flags(position).intersects(Flags::NUMBER) {
        return None;
    }
    let mut total = 0.0;
    let mut ceiling = f64::INFINITY;
    let mut end = position;
    while let Some((group, after)) = under_thousand(document, end, limit) {
        let scale = scale(document.word(after)).filter(|scale| *scale > 100.0 && after < limit);
        match scale {
            // `six million` after `five thousand` is another number.
            Some(scale) if scale >= ceiling => break,
            Some(scale) => {
                total += group * scale;
                ceiling = scale;
                end = after + 1;
            }
            None => {
                total += group;
                end = after;
                break;
            }
        }
        if document.word(end) == "and" && under_hundred(document, end + 1).is_some() {
            end += 1;
        }
    }
    if end == position {
        return None;
    }
    let (value, end) = with_decimals(document, total, end, limit);
    Some(Number { value, end, is_digits: false, is_ordinal: false, is_percent: false, currency: None })
}

/// `three point five` and `three point one four`.
fn with_decimals(document: &Document<'_>, whole: f64, end: usize, limit: usize) -> (f64, usize) {
    if document.word(end) != "point" {
        return (whole, end);
    }
    let mut value = whole;
    let mut place = 0.1;
    let mut position = end + 1;
    while let Some(digit) = unit(document.word(position)).filter(|_| position < limit && place > 1e-6) {
        value += f64::from(digit) * place;
        place /= 10.0;
        position += 1;
    }
    if position == end + 1 { (whole, end) } else { ((value * 1e6).round() / 1e6, position) }
}

/// `three hundred and twenty`, `a hundred`, `twelve`.
fn under_thousand(document: &Document<'_>, position: usize, limit: usize) -> Option<(f64, usize)> {
    if position >= limit {
        return None;
    }
    let (head, after) = match under_hundred(document, position) {
        Some((head, after)) => (f64::from(head), after),
        None if document.word(position) == "a" && scale(document.word(position + 1)).is_some() => {
            (1.0, position + 1)
        }
        None => return None,
    };
    if document.word(after) != "hundred" || after >= limit {
        return Some((head, after));
    }
    let mut end = after + 1;
    let mut value = head * 100.0;
    let tail = if document.word(end) == "and" { end + 1 } else { end };
    if let Some((rest, after)) = under_hundred(document, tail).filter(|_| tail < limit) {
        value += f64::from(rest);
        end = after;
    }
    Some((value, end))
}

fn under_hundred(document: &Document<'_>, position: usize) -> Option<(u32, usize)> {
    let value = cardinal(document.word(position))?;
    if value >= 20
        && let Some(unit) = unit(document.word(position + 1)).filter(|unit| *unit > 0)
    {
        return Some((value + unit, position + 2));
    }
    Some((value, position + 1))
}

fn ordinal(document: &Document<'_>, position: usize) -> Option<Number> {
    let lookup = |word: &str| ORDINAL_WORDS.iter().find(|(text, _)| *text == word).map(|(_, value)| *value);
    let (value, end) = match lookup(document.word(position)) {
        Some(value) => (value, position + 1),
        None => {
            let tens = cardinal(document.word(position)).filter(|value| *value >= 20)?;
            let unit = lookup(document.word(position + 1)).filter(|value| *value < 10)?;
            (tens + unit, position + 2)
        }
    };
    let value = f64::from(value);
    Some(Number { value, end, is_digits: false, is_ordinal: true, is_percent: false, currency: None })
}

fn cardinal(word: &str) -> Option<u32> {
    NUMBER_WORDS.iter().find(|(text, _)| *text == word).map(|(_, value)| *value)
}

/// A single digit as a word.
pub(super) fn unit(word: &str) -> Option<u32> {
    cardinal(word).filter(|value| *value < 10)
}

fn scale(word: &str) -> Option<f64> {
    SCALE_WORDS.iter().find(|(text, _)| *text == word).map(|(_, scale)| *scale)
}
