//! Times of day and lengths of time. Morning or afternoon is never guessed.

use chrono::NaiveTime;

use super::numbers::number_at;
use super::{DurationMention, Taken, TimeMention};
use crate::lexicon::Flags;
use crate::text::Document;

/// Half of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    Morning,
    Afternoon,
}

/// Nobody books more than a day of a call.
const MAX_MINUTES: f64 = 1440.0;

pub(super) fn find(document: &Document<'_>, taken: &mut Taken) -> (Vec<TimeMention>, Vec<DurationMention>) {
    let (mut times, mut durations) = (Vec::new(), Vec::new());
    for unit in &document.units {
        let mut position = unit.span.start;
        while position < unit.span.end {
            if !taken.is_free(position) {
                position += 1;
            } else if let Some((minutes, end)) = duration_at(document, position, unit.span.end) {
                durations.push(DurationMention { span: position..end, minutes });
                position = end;
            } else if let Some((time, end)) = time_at(document, position, unit.span.end) {
                times.push(TimeMention { span: position..end, time });
                taken.take(position..end);
                position = end;
            } else {
                position += 1;
            }
        }
    }
    (times, durations)
}

fn time_at(document: &Document<'_>, position: usize, limit: usize) -> Option<(Option<NaiveTime>, usize)> {
    match document.word(position) {
        "noon" | "midday" => return Some((NaiveTime::from_hms_opt(12, 0, 0), position + 1)),
        "midnight" => return Some((NaiveTime::from_hms_opt(0, 0, 0), position + 1)),
        "half" | "quarter" => return fraction(document, position, limit),
        _ => {}
    }
    let word = document.word(position);
    if let Some((hour, minute, half)) = written(word) {
        let (half, end) = match half {
            Some(half) => (Some(half), position + 1),
            None => half_of_day(document, position + 1, limit),
        };
        return Some((clock(hour, minute, half), end));
    }
    let (hour, after) = small_number(document, position, limit)?;
    if !(1..=12).contains(&hour) {
        return None;
    }
    if document.word(after) == "o'clock" {
        let (half, end) = half_of_day(document, after + 1, limit);
        return Some((clock(hour, 0, half), end));
    }
    let (minute, after) = match small_number(document, after, limit) {
        Some((minute, end)) if (10..60).contains(&minute) => (minute, end),
        _ => (0, after),
    };
    let (half, end) = half_of_day(document, after, limit);
    if half.is_some() {
        return Some((clock(hour, minute, half), end));
    }
    // `at three` is a time, but nobody knows which.
    let is_time = document.word_before(position, 1) == "at" && !document.is_content(after);
    is_time.then_some((None, after))
}

/// `half past three`, `quarter to four p m`.
fn fraction(document: &Document<'_>, position: usize, limit: usize) -> Option<(Option<NaiveTime>, usize)> {
    let is_half = document.word(position) == "half";
    let is_past = match document.word(position + 1) {
        "past" => true,
        "to" if !is_half => false,
        _ => return None,
    };
    let (hour, after) = small_number(document, position + 2, limit)?;
    if !(1..=12).contains(&hour) {
        return None;
    }
    let (half, end) = half_of_day(document, after, limit);
    let time = match (is_past, is_half) {
        (true, true) => clock(hour, 30, half),
        (true, false) => clock(hour, 15, half),
        // A quarter to twelve in the afternoon is a quarter to noon; nobody says it, so it stays open.
        (false, _) if hour == 12 || hour == 1 => None,
        (false, _) => clock(hour - 1, 45, half),
    };
    Some((time, end))
}

/// `15:30`, `3:30pm`, `3pm`.
fn written(word: &str) -> Option<(u32, u32, Option<Clock>)> {
    let (text, half) = match (word.strip_suffix("am"), word.strip_suffix("pm")) {
        (Some(text), _) => (text, Some(Clock::Morning)),
        (_, Some(text)) => (text, Some(Clock::Afternoon)),
        _ => (word, None),
    };
    let number = |text: &str| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse::<u32>().ok() } else { None }
    };
    match text.split_once(':') {
        Some((hour, minute)) => {
            let (hour, minute) = (number(hour)?, number(minute)?);
            (hour < 24 && minute < 60).then_some((hour, minute, half))
        }
        None if half.is_some() => Some((number(text).filter(|hour| (1..=12).contains(hour))?, 0, half)),
        None => None,
    }
}

/// `pm`, `p m`, `in the afternoon`, and where it ends.
fn half_of_day(document: &Document<'_>, position: usize, limit: usize) -> (Option<Clock>, usize) {
    let found = match document.word(position) {
        "am" => Some((Clock::Morning, 1)),
        "pm" => Some((Clock::Afternoon, 1)),
        "a" if document.word(position + 1) == "m" => Some((Clock::Morning, 2)),
        "p" if document.word(position + 1) == "m" => Some((Clock::Afternoon, 2)),
        "in" if document.has_words(position, &["in", "the", "morning"]) => Some((Clock::Morning, 3)),
        "in" if document.has_words(position, &["in", "the", "afternoon"]) => Some((Clock::Afternoon, 3)),
        "in" if document.has_words(position, &["in", "the", "evening"]) => Some((Clock::Afternoon, 3)),
        _ => None,
    };
    match found.filter(|(_, words)| position + words <= limit) {
        Some((half, words)) => (Some(half), position + words),
        None => (None, position),
    }
}

fn clock(hour: u32, minute: u32, half: Option<Clock>) -> Option<NaiveTime> {
    let hour = match (half, hour) {
        (Some(Clock::Morning), 12) => 0,
        (Some(Clock::Morning), hour) => hour,
        (Some(Clock::Afternoon), 1..=11) => hour + 12,
        (Some(Clock::Afternoon), hour) => hour,
        // From one in the afternoon on, and at midnight, the hour says it itself.
        (None, 13..=23 | 0) => hour,
        (None, _) => return None,
    };
    NaiveTime::from_hms_opt(hour, minute, 0)
}

fn small_number(document: &Document<'_>, position: usize, limit: usize) -> Option<(u32, usize)> {
    let is_number = document.flags(position).intersects(Flags::NUMBER)
        || document.word(position).starts_with(|c: char| c.is_ascii_digit());
    if !is_number || position >= limit {
        return None;
    }
    let number = number_at(document, position, limit)?;
    let is_small =
        number.value.fract() == 0.0 && (0.0..60.0).contains(&number.value) && number.currency.is_none();
    // A whole number below sixty, as checked above.
    (is_small && !number.is_percent).then_some((number.value as u32, number.end))
}

/// `thirty minutes`, `half an hour`, `an hour and a half`, `two hours`.
fn duration_at(document: &Document<'_>, position: usize, limit: usize) -> Option<(u32, usize)> {
    if document.has_words(position, &["half", "an", "hour"]) {
        return Some((30, position + 3));
    }
    if document.has_words(position, &["an", "hour", "and", "a", "half"]) {
        return Some((90, position + 5));
    }
    if document.has_words(position, &["an", "hour"]) {
        return Some((60, position + 2));
    }
    let is_number = document.flags(position).intersects(Flags::NUMBER)
        || document.word(position).starts_with(|c: char| c.is_ascii_digit());
    if !is_number {
        return None;
    }
    let number = number_at(document, position, limit)?;
    let factor = match document.word(number.end) {
        "minute" | "minutes" | "min" | "mins" => 1.0,
        "hour" | "hours" => 60.0,
        _ => return None,
    };
    let minutes = number.value * factor;
    let is_length = minutes.fract() == 0.0 && (1.0..=MAX_MINUTES).contains(&minutes);
    // A whole number of at most a day, as checked above.
    is_length.then_some((minutes as u32, number.end + 1))
}
