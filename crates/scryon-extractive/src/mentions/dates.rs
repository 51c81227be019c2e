//! How days are named in speech.

use chrono::{NaiveDate, Weekday};

use super::calendar::{Tense, WeekdayChoice, When, resolve};
use super::numbers::{day_at, number_at, year_at};
use super::{DateMention, Taken};
use crate::lexicon::{Flags, MONTHS, WEEKDAYS};
use crate::text::{Document, Span};

/// Words that belong to a date as its preposition.
const PREPOSITIONS: &[&str] = &["by", "before", "until", "till", "on", "due", "for", "from"];
/// Months that are other words as well; alone they are no date.
const AMBIGUOUS_MONTHS: &[&str] = &["march", "may"];

pub(super) fn find(document: &Document<'_>, base: Option<NaiveDate>, taken: &mut Taken) -> Vec<DateMention> {
    let mut mentions = Vec::new();
    for unit in &document.units {
        let tense = tense(document, &unit.span);
        let mut position = unit.span.start;
        while position < unit.span.end {
            let found = if taken.is_free(position) && may_begin(document, position) {
                date_at(document, position, unit.span.end)
            } else {
                None
            };
            let Some((when, end)) = found else {
                position += 1;
                continue;
            };
            let prefixed =
                position > unit.span.start && PREPOSITIONS.contains(&document.word_before(position, 1));
            let start = if prefixed { position - 1 } else { position };
            let date = resolve(when, base, tense);
            let due = resolve(when, base, Tense::Future).filter(|due| base.is_none_or(|base| *due >= base));
            mentions.push(DateMention { span: position..end, phrase: start..end, when, date, due });
            taken.take(position..end);
            position = end;
        }
    }
    mentions
}

/// Past where something in the unit is past and nothing is yet to come.
fn tense(document: &Document<'_>, unit: &Span) -> Tense {
    let has = |flag: Flags| unit.clone().any(|position| document.flags(position).intersects(flag));
    if has(Flags::PAST) && !has(Flags::FUTURE) { Tense::Past } else { Tense::Future }
}

fn may_begin(document: &Document<'_>, position: usize) -> bool {
    document.flags(position).intersects(Flags::DATE | Flags::NUMBER)
        || document.word(position).starts_with(|c: char| c.is_ascii_digit())
}

/// What is said here about a day, and where it ends.
fn date_at(document: &Document<'_>, position: usize, limit: usize) -> Option<(When, usize)> {
    let word = document.word(position);
    let found = match word {
        "today" | "tonight" | "eod" => Some((When::Days(0), position + 1)),
        "tomorrow" => Some((When::Days(1), position + 1)),
        "yesterday" => Some((When::Days(-1), position + 1)),
        "eow" => Some((When::Week(0), position + 1)),
        "eom" => Some((When::MonthEnd(0), position + 1)),
        "day" if document.has_words(position, &["day", "after", "tomorrow"]) => {
            Some((When::Days(2), position + 3))
        }
        "end" => period_end(document, position),
        "this" | "next" | "last" => chosen(document, position, word),
        "in" | "within" => distance(document, position + 1, limit),
        "the" => the_ordinal(document, position, limit),
        _ => None,
    };
    let found = found
        .or_else(|| weekday(word).map(|day| named_weekday(document, day, position, limit)))
        .or_else(|| month_first(document, position, limit))
        .or_else(|| day_first(document, position, limit))
        .or_else(|| counted(document, position, limit))
        .or_else(|| written(word).map(|when| (when, position + 1)));
    let (when, end) = found?;
    let end = match document.word(end) {
        "morning" | "afternoon" | "evening" | "night" => end + 1,
        _ => end,
    };
    (end <= limit).then_some((when, end))
}

fn weekday(word: &str) -> Option<Weekday> {
    WEEKDAYS.iter().find(|(text, _)| *text == word).map(|(_, day)| *day)
}

fn month(word: &str) -> Option<u32> {
    MONTHS.iter().find(|(text, _)| *text == word).map(|(_, month)| *month)
}

/// `Friday`, `Friday next week`, `Friday the 15th`, `Friday, May 15`. The number is surer than the weekday.
fn named_weekday(document: &Document<'_>, day: Weekday, position: usize, limit: usize) -> (When, usize) {
    let after = position + 1;
    let numbered = month_first(document, after, limit)
        .or_else(|| day_first(document, after, limit))
        .or_else(|| the_ordinal(document, after, limit));
    if let Some(found) = numbered.filter(|(when, _)| *when != When::Vague) {
        return found;
    }
    if document.has_words(position + 1, &["next", "week"]) {
        (When::Weekday(day, WeekdayChoice::Next), position + 3)
    } else {
        (When::Weekday(day, WeekdayChoice::Bare), position + 1)
    }
}

/// `this Friday`, `next week`, `last month`.
fn chosen(document: &Document<'_>, position: usize, which: &str) -> Option<(When, usize)> {
    let next = document.word(position + 1);
    if let Some(day) = weekday(next) {
        let choice = match which {
            "this" => WeekdayChoice::This,
            "next" => WeekdayChoice::Next,
            _ => WeekdayChoice::Last,
        };
        return Some((When::Weekday(day, choice), position + 2));
    }
    let when = match (which, next) {
        ("this", "morning" | "afternoon" | "evening") => When::Days(0),
        ("this", "week") => When::Week(0),
        ("next", "week") => When::Week(1),
        ("this", "weekend") => When::Weekend(0),
        ("next", "weekend") => When::Weekend(1),
        ("this", "month") => When::MonthEnd(0),
        ("next", "month") => When::MonthEnd(1),
        ("this", "quarter") => When::QuarterEnd,
        ("this", "year") => When::YearEnd,
        ("last", "night") => When::Days(-1),
        ("next", "year" | "quarter") | ("last", "week" | "month" | "year" | "quarter" | "weekend") => {
            When::Vague
        }
        _ => return None,
    };
    Some((when, position + 2))
}

/// `end of the week`, `end of next month`, `end of day`.
fn period_end(document: &Document<'_>, position: usize) -> Option<(When, usize)> {
    if document.word(position + 1) != "of" {
        return None;
    }
    let (next, at) = match document.word(position + 2) {
        "the" | "this" => (false, position + 3),
        "next" => (true, position + 3),
        _ => (false, position + 2),
    };
    let when = match (document.word(at), next) {
        ("day" | "today" | "business", false) => When::Days(0),
        ("tomorrow", false) => When::Days(1),
        ("week", false) => When::Week(0),
        ("week", true) => When::Week(1),
        ("month", false) => When::MonthEnd(0),
        ("month", true) => When::MonthEnd(1),
        ("quarter", false) => When::QuarterEnd,
        ("year", false) => When::YearEnd,
        _ => return None,
    };
    Some((when, at + 1))
}

/// `three days`, `a week`, `a couple of months`, `five business days`; `a few days` is no certain day.
fn distance(document: &Document<'_>, position: usize, limit: usize) -> Option<(When, usize)> {
    let (count, at) = match document.word(position) {
        "a" | "an" if document.has_words(position + 1, &["couple", "of"]) => (Some(2), position + 3),
        "a" | "an" if document.word(position + 1) == "few" => (None, position + 2),
        "a" | "an" if number_at(document, position, limit).is_none() => (Some(1), position + 1),
        "the" if document.has_words(position + 1, &["next", "few"]) => (None, position + 3),
        _ => {
            let number = number_at(document, position, limit)?;
            let is_count = number.value.fract() == 0.0 && (0.0..=1000.0).contains(&number.value);
            // A whole number of at most a thousand, as checked above.
            (is_count.then_some(number.value as u32), number.end)
        }
    };
    let when = match (document.word(at), count) {
        ("business" | "working", Some(count)) if is_days(document.word(at + 1)) => {
            return Some((When::BusinessDays(count), at + 2));
        }
        ("day" | "days", Some(count)) => When::Days(i64::from(count)),
        ("week" | "weeks", Some(count)) => When::Days(i64::from(count) * 7),
        ("month" | "months", Some(count)) => When::Months(count),
        ("hour" | "hours" | "minute" | "minutes" | "year" | "years", _) => return None,
        ("day" | "days" | "week" | "weeks" | "month" | "months", None) => When::Vague,
        _ => return None,
    };
    Some((when, at + 1))
}

fn is_days(word: &str) -> bool {
    word == "day" || word == "days"
}

/// `two weeks from now`, `three days ago`.
fn counted(document: &Document<'_>, position: usize, limit: usize) -> Option<(When, usize)> {
    let (when, end) = distance(document, position, limit)?;
    if document.has_words(end, &["from", "now"]) || document.has_words(end, &["from", "today"]) {
        return Some((when, end + 2));
    }
    match (document.word(end), when) {
        ("ago", When::Days(days)) => Some((When::Days(-days), end + 1)),
        ("ago", _) => Some((When::Vague, end + 1)),
        _ => None,
    }
}

/// `March 15`, `March the fifteenth 2026`, and a month alone where it cannot be another word.
fn month_first(document: &Document<'_>, position: usize, limit: usize) -> Option<(When, usize)> {
    let name = document.word(position);
    let month = month(name)?;
    let after = if document.word(position + 1) == "the" { position + 2 } else { position + 1 };
    if let Some((day, end, is_ordinal)) = day_at(document, after, limit)
        && (is_ordinal || !AMBIGUOUS_MONTHS.contains(&name) || document.word_before(position, 1) != "i")
    {
        return Some(with_year(document, month, day, end, limit));
    }
    let is_alone = !AMBIGUOUS_MONTHS.contains(&name)
        || matches!(
            document.word_before(position, 1),
            "in" | "of" | "until" | "since" | "late" | "early" | "mid"
        );
    is_alone.then_some((When::Vague, position + 1))
}

/// `15 March`, `15th of March`, `fifteenth of march 2026`.
fn day_first(document: &Document<'_>, position: usize, limit: usize) -> Option<(When, usize)> {
    let (day, end, is_ordinal) = day_at(document, position, limit)?;
    let has_of = document.word(end) == "of";
    let at = if has_of { end + 1 } else { end };
    let name = document.word(at);
    let month = month(name)?;
    // `one of may` and `two may` are words; `2 May` and `second of may` are days.
    let is_written = document.word(position).starts_with(|c: char| c.is_ascii_digit());
    if !is_ordinal && !is_written && (has_of || AMBIGUOUS_MONTHS.contains(&name)) {
        return None;
    }
    Some(with_year(document, month, day, at + 1, limit))
}

fn with_year(document: &Document<'_>, month: u32, day: u32, end: usize, limit: usize) -> (When, usize) {
    match year_at(document, end, limit) {
        Some((year, end)) => (When::Calendar { year: Some(year), month, day }, end),
        None => (When::Calendar { year: None, month, day }, end),
    }
}

/// `the fifteenth of March`; `on the fifteenth` only where nothing follows that it could count.
fn the_ordinal(document: &Document<'_>, position: usize, limit: usize) -> Option<(When, usize)> {
    if document.has_words(position, &["the", "day", "after", "tomorrow"]) {
        return Some((When::Days(2), position + 4));
    }
    let (day, end, is_ordinal) = day_at(document, position + 1, limit)?;
    if !is_ordinal {
        return None;
    }
    if let Some(found) = day_first(document, position + 1, limit) {
        return Some(found);
    }
    let before = document.word_before(position, 1);
    let is_placed = matches!(before, "on" | "by" | "until" | "before" | "from") || weekday(before).is_some();
    let counts_something = end < limit && (document.is_content(end) || COUNTED.contains(&document.word(end)));
    (is_placed && !counts_something).then_some((When::DayOfMonth(day), end))
}

/// Function words that an ordinal may count.
const COUNTED: &[&str] =
    &["one", "thing", "time", "call", "half", "week", "day", "month", "part", "line", "of", "or"];

/// `2026-03-15`, `15.03.2026`, and `3/15/2026` where only one reading is a date.
fn written(word: &str) -> Option<When> {
    let separator = word.chars().find(|c| matches!(c, '-' | '.' | '/'))?;
    let parts: Vec<u32> = word
        .split(separator)
        .map(|part| if part.len() <= 4 { part.parse().ok() } else { None })
        .collect::<Option<_>>()?;
    let [first, second, third] = parts.as_slice() else { return None };
    let (first, second, third) = (*first, *second, *third);
    let calendar = |year: u32, month: u32, day: u32| {
        // Four digits at most, see above.
        let year = year as i32;
        NaiveDate::from_ymd_opt(year, month, day)
            .filter(|_| (1900..=2199).contains(&year))
            .map(|_| When::Calendar { year: Some(year), month, day })
    };
    match separator {
        '-' => calendar(first, second, third),
        '.' => calendar(third, second, first),
        _ => match (calendar(third, first, second), calendar(third, second, first)) {
            (Some(american), None) => Some(american),
            (None, Some(european)) => Some(european),
            (Some(american), Some(european)) if american == european => Some(american),
            (Some(_), Some(_)) => Some(When::Vague),
            (None, None) => None,
        },
    }
}
