use super::testing::{raw, raw_word};
use super::time::{LONGEST, Millis, millis, seconds};
use super::units::{collect, printable};
use crate::raw::{RawSegment, RawWord};

fn collected(words: Vec<RawWord>) -> Vec<(String, Millis, Millis)> {
    collect(&raw(words)).into_iter().map(|unit| (unit.text.into_owned(), unit.start, unit.end)).collect()
}

fn expect(words: Vec<RawWord>, expected: &[(&str, Millis, Millis)]) {
    let expected: Vec<_> =
        expected.iter().map(|(text, start, end)| ((*text).to_owned(), *start, *end)).collect();
    assert_eq!(collected(words), expected);
}

#[test]
fn times_become_milliseconds() {
    let table = [
        (0.0, Some(0)),
        (1.2344, Some(1234)),
        (1.2346, Some(1235)),
        (-0.5, Some(0)),
        (f64::NEG_INFINITY, Some(0)),
        (f64::INFINITY, Some(LONGEST)),
        (1e300, Some(LONGEST)),
        (f64::NAN, None),
    ];
    for (input, expected) in table {
        assert_eq!(millis(input), expected, "{input}");
    }
    assert_eq!(seconds(4_200), 4.2);
}

#[test]
fn words_come_in_order_of_start_and_ties_keep_the_engines_order() {
    expect(
        vec![raw_word("late", 5.0, 5.5), raw_word("b", 1.0, 1.2), raw_word("a", 1.0, 1.1)],
        &[("b", 1000, 1200), ("a", 1000, 1100), ("late", 5000, 5500)],
    );
}

#[test]
fn broken_times_are_repaired() {
    expect(
        vec![
            raw_word("fine", 1.0, 1.5),
            raw_word("startless", f64::NAN, 2.0),
            raw_word("endless", 3.0, f64::NAN),
            raw_word("backwards", 5.0, 4.0),
            raw_word("negative", -3.0, -2.0),
            raw_word("beyond", 1e12, 2e12),
        ],
        &[
            ("negative", 0, 0),
            ("fine", 1000, 1500),
            ("startless", 1500, 2000),
            ("endless", 3000, 3000),
            ("backwards", 5000, 5000),
            ("beyond", 100_000, 100_000),
        ],
    );
}

#[test]
fn a_recording_of_unknown_length_does_not_bound_its_words() {
    let mut transcript = raw(vec![raw_word("late", 500.0, 501.0)]);
    transcript.duration_seconds = f64::NAN;
    assert_eq!(collect(&transcript)[0].start, 500_000);
    transcript.duration_seconds = 0.0;
    assert_eq!(collect(&transcript)[0].start, 500_000);
    transcript.duration_seconds = 400.0;
    assert_eq!(collect(&transcript)[0].start, 400_000);
}

#[test]
fn empty_words_vanish_and_blanks_are_trimmed() {
    expect(
        vec![
            raw_word("", 0.0, 1.0),
            raw_word("  ", 1.0, 2.0),
            raw_word(" hi ", 2.0, 3.0),
            raw_word("\u{200B}", 3.0, 4.0),
        ],
        &[("hi", 2000, 3000)],
    );
}

#[test]
fn invisible_characters_go_and_joiners_stay() {
    assert_eq!(printable("a\u{0000}b\u{FEFF}c\u{202E}d"), "abcd");
    assert_eq!(printable("क्\u{200D}ष"), "क्\u{200D}ष");
}

#[test]
fn several_words_in_one_share_its_time_by_letters() {
    let transcript = raw(vec![raw_word("we agree", 1.0, 1.7)]);
    let units = collect(&transcript);
    assert_eq!((&*units[0].text, units[0].start, units[0].end), ("we", 1000, 1200));
    assert_eq!((&*units[1].text, units[1].start, units[1].end), ("agree", 1200, 1700));
    assert!(units.iter().all(|unit| !unit.measured));
}

#[test]
fn segments_stand_in_only_when_no_word_has_text() {
    let segment = RawSegment {
        text: " Good day ".to_owned(),
        start: 2.0,
        end: 4.1,
        speaker: Some(" A ".to_owned()),
        channel: Some(1),
    };
    let mut transcript = raw(vec![raw_word(" ", 0.0, 1.0)]);
    transcript.segments = vec![segment];
    let units = collect(&transcript);
    assert_eq!(units.len(), 2);
    assert_eq!((units[0].start, units[0].end, units[1].end), (2000, 3200, 4100));
    assert_eq!((units[0].label, units[0].channel, units[0].origin), (Some("A"), Some(1), Some(0)));

    transcript.words.push(raw_word("word", 9.0, 9.5));
    let units = collect(&transcript);
    assert_eq!(units.len(), 1);
    assert_eq!((&*units[0].text, units[0].origin, units[0].measured), ("word", None, true));
}
