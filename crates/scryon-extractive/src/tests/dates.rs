use chrono::{NaiveDate, Weekday};

use super::fixtures::{Contact, User, call, recorded};
use super::said;
use crate::mentions::{Tense, WeekdayChoice, When, resolve};
use crate::{AnalysisContext, analyse};

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

/// Text and day of every date in a statement; the call was on Wednesday, 20 May 2026.
fn dates(statement: &str) -> Vec<(String, Option<String>)> {
    let dates = said(statement).important_dates.into_iter();
    dates.map(|date| (date.text, date.date.map(|day| day.to_string()))).collect()
}

#[test]
fn days_are_found_and_resolved_from_the_day_of_the_call() {
    let cases = [
        ("I need it today.", "today", "2026-05-20"),
        ("I need it tonight", "tonight", "2026-05-20"),
        ("we can do it tomorrow morning", "tomorrow morning", "2026-05-21"),
        ("maybe the day after tomorrow", "the day after tomorrow", "2026-05-22"),
        ("it is due by friday", "friday", "2026-05-22"),
        ("We'll meet on Wednesday.", "Wednesday", "2026-05-27"),
        ("We'll meet this Wednesday.", "this Wednesday", "2026-05-20"),
        ("next monday is fine", "next monday", "2026-05-25"),
        ("next friday is fine", "next friday", "2026-05-29"),
        ("friday next week is fine", "friday next week", "2026-05-29"),
        ("some time this week", "this week", "2026-05-22"),
        ("some time next week", "next week", "2026-05-29"),
        ("by the end of the week", "end of the week", "2026-05-22"),
        ("by the end of next week", "end of next week", "2026-05-29"),
        ("by the end of the month", "end of the month", "2026-05-31"),
        ("by end of day", "end of day", "2026-05-20"),
        ("by the end of the quarter", "end of the quarter", "2026-06-30"),
        ("by the end of the year", "end of the year", "2026-12-31"),
        ("this weekend", "this weekend", "2026-05-23"),
        ("next month", "next month", "2026-06-30"),
        ("in three days", "in three days", "2026-05-23"),
        ("in 3 weeks", "in 3 weeks", "2026-06-10"),
        ("in a week", "in a week", "2026-05-27"),
        ("in a couple of days", "in a couple of days", "2026-05-22"),
        ("within two business days", "within two business days", "2026-05-22"),
        ("in three working days", "in three working days", "2026-05-25"),
        ("two weeks from now", "two weeks from now", "2026-06-03"),
        ("in two months", "in two months", "2026-07-20"),
        ("on march fifteenth", "march fifteenth", "2027-03-15"),
        ("on the fifteenth of march", "the fifteenth of march", "2027-03-15"),
        ("on June 3rd", "June 3rd", "2026-06-03"),
        ("on 3 June", "3 June", "2026-06-03"),
        (
            "on march the fifteenth twenty twenty eight",
            "march the fifteenth twenty twenty eight",
            "2028-03-15",
        ),
        ("on March 15, 2026", "March 15, 2026", "2026-03-15"),
        ("on the twenty first of june", "the twenty first of june", "2026-06-21"),
        ("on the twenty first", "the twenty first", "2026-05-21"),
        ("by the 5th.", "the 5th", "2026-06-05"),
        ("on friday the twenty second", "friday the twenty second", "2026-05-22"),
        ("on Friday, June 5", "Friday, June 5", "2026-06-05"),
        ("on may fifth", "may fifth", "2027-05-05"),
        ("on february twenty ninth", "february twenty ninth", "2028-02-29"),
        ("on 2026-07-01", "2026-07-01", "2026-07-01"),
        ("on 01.07.2026", "01.07.2026", "2026-07-01"),
        ("on 7/25/2026", "7/25/2026", "2026-07-25"),
        ("on 25/7/2026", "25/7/2026", "2026-07-25"),
        ("it broke yesterday", "yesterday", "2026-05-19"),
        ("it broke last friday", "last friday", "2026-05-15"),
        ("it broke three days ago", "three days ago", "2026-05-17"),
        ("you charged me on march third", "march third", "2026-03-03"),
        ("you charged me on the third", "the third", "2026-05-03"),
        ("it happened on friday", "friday", "2026-05-15"),
        ("I paid it once, and I will pay again on Friday.", "Friday", "2026-05-22"),
    ];
    for (statement, text, date) in cases {
        assert_eq!(dates(statement), [(text.to_owned(), Some(date.to_owned()))], "{statement}");
    }
}

#[test]
fn dates_nobody_can_pin_down_are_listed_without_a_day() {
    for (statement, text) in [
        ("in a few days", "in a few days"),
        ("We talked last week.", "last week"),
        ("maybe next year", "next year"),
        ("the launch is in april", "april"),
        ("on 3/4/2026", "3/4/2026"),
    ] {
        assert_eq!(dates(statement), [(text.to_owned(), None)], "{statement}");
    }
}

#[test]
fn words_that_only_look_like_dates_are_none() {
    for statement in [
        "We may need more time.",
        "They march through the park.",
        "on the second floor",
        "by the first week",
        "He was the third one.",
        "on Fridays",
        "the end of the line",
        "in three hours",
        "This is the day.",
        "on 2026-13-45",
        "version 1.2.3",
        "How can I help you today?",
    ] {
        assert_eq!(dates(statement), [], "{statement}");
    }
}

#[test]
fn without_a_recording_time_only_complete_dates_are_certain() {
    let transcript = call(&[(Contact, "Tomorrow or on March 15, 2028 or in three days."), (User, "Right.")]);
    let analysis = analyse(&transcript, &AnalysisContext::default());
    let found: Vec<_> = analysis.important_dates.iter().map(|date| (date.text.as_str(), date.date)).collect();
    assert_eq!(
        found,
        [("Tomorrow", None), ("March 15, 2028", Some(day("2028-03-15"))), ("in three days", None)]
    );
    assert!(analysis.quality_warnings.contains(&"relative_dates_unresolved".to_owned()));
    let known = analyse(&transcript, &recorded());
    assert!(!known.quality_warnings.contains(&"relative_dates_unresolved".to_owned()));
}

#[test]
fn weekdays_depend_on_the_day_of_the_call() {
    let weekday = |base: &str, choice| {
        resolve(When::Weekday(Weekday::Fri, choice), Some(day(base)), Tense::Future)
            .map(|day| day.to_string())
    };
    // Thursday, Friday, Saturday and Sunday of one week, then Monday.
    let cases = [
        ("2026-05-21", "2026-05-22", "2026-05-22", "2026-05-29"),
        ("2026-05-22", "2026-05-29", "2026-05-22", "2026-05-29"),
        ("2026-05-23", "2026-05-29", "2026-05-29", "2026-05-29"),
        ("2026-05-24", "2026-05-29", "2026-05-29", "2026-05-29"),
        ("2026-05-25", "2026-05-29", "2026-05-29", "2026-06-05"),
    ];
    for (base, bare, this, next) in cases {
        assert_eq!(weekday(base, WeekdayChoice::Bare).as_deref(), Some(bare), "{base} bare");
        assert_eq!(weekday(base, WeekdayChoice::This).as_deref(), Some(this), "{base} this");
        assert_eq!(weekday(base, WeekdayChoice::Next).as_deref(), Some(next), "{base} next");
    }
}

#[test]
fn a_week_that_is_over_ends_today() {
    let end = |base: &str| resolve(When::Week(0), Some(day(base)), Tense::Future);
    assert_eq!(end("2026-05-20"), Some(day("2026-05-22")));
    assert_eq!(end("2026-05-24"), Some(day("2026-05-24")), "on Sunday Friday is past");
}

#[test]
fn days_beyond_the_calendar_are_none_and_no_panic() {
    let last = NaiveDate::MAX;
    let first = NaiveDate::MIN;
    let forms = [
        When::Days(i64::MAX),
        When::Days(i64::MIN + 1),
        When::BusinessDays(u32::MAX),
        When::Months(u32::MAX),
        When::Week(i64::MAX),
        When::Weekend(1),
        When::MonthEnd(12),
        When::QuarterEnd,
        When::YearEnd,
        When::Weekday(Weekday::Mon, WeekdayChoice::Next),
        When::Calendar { year: None, month: 2, day: 30 },
        When::Calendar { year: Some(i32::MAX), month: 1, day: 1 },
        When::DayOfMonth(31),
        When::DayOfMonth(99),
    ];
    for form in forms {
        for base in [first, last] {
            for tense in [Tense::Future, Tense::Past] {
                assert_eq!(resolve(form, Some(base), tense), None, "{form:?} from {base}");
            }
        }
    }
    assert_eq!(resolve(When::Days(0), Some(day("9999-12-31")), Tense::Future), Some(day("9999-12-31")));
    assert_eq!(resolve(When::Days(1), Some(day("9999-12-31")), Tense::Future), None, "five digits of year");
}
