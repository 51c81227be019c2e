//! Bodies as servers send them.

use super::*;
use crate::hosted::hosted;

fn info() -> EngineInfo {
    hosted("test", "m".to_owned(), String::new(), None)
}

fn read(body: &str, audio_seconds: Option<f64>) -> RawTranscript {
    transcript(&info(), body.as_bytes(), audio_seconds).unwrap()
}

/// `text start end speaker`, with `-` for no speaker.
fn words(raw: &RawTranscript) -> Vec<String> {
    let speaker = |w: &RawWord| w.speaker.clone().unwrap_or_else(|| "-".to_owned());
    raw.words.iter().map(|w| format!("{} {:.2} {:.2} {}", w.text, w.start, w.end, speaker(w))).collect()
}

fn segments(raw: &RawTranscript) -> Vec<String> {
    let speaker = |s: &RawSegment| s.speaker.clone().unwrap_or_else(|| "-".to_owned());
    raw.segments.iter().map(|s| format!("{} {:.2} {:.2} {}", s.text, s.start, s.end, speaker(s))).collect()
}

#[test]
fn words_inside_segments_with_speakers() {
    let raw = read(
        r#"{"task":"transcribe","language":"english","duration":9.84,"text":"Hi, is the invoice ready? Yes, I sent it.",
        "segments":[
        {"id":0,"start":0.0,"end":4.1,"text":" Hi, is","language":"en","speaker":"SPEAKER_00",
         "words":[{"word":"Hi,","start":0.0,"end":0.31,"speaker":"SPEAKER_00"},{"word":"is","start":0.42,"end":0.55}]},
        {"id":1,"start":4.6,"end":9.8,"text":" Yes, I sent it.","language":"en","speaker":"SPEAKER_01","words":[]}]}"#,
        Some(9.84),
    );
    assert_eq!(
        words(&raw),
        [
            "Hi, 0.00 0.31 SPEAKER_00",
            "is 0.42 0.55 SPEAKER_00",
            // The segment without words keeps its text.
            "Yes, I sent it. 4.60 9.80 SPEAKER_01"
        ]
    );
    assert_eq!(segments(&raw), ["Hi, is 0.00 4.10 SPEAKER_00", "Yes, I sent it. 4.60 9.80 SPEAKER_01"]);
    assert_eq!((raw.language.as_deref(), raw.duration_seconds), (Some("en"), 9.84));
    assert!(raw.warnings.is_empty());
}

#[test]
fn words_at_the_top() {
    let raw = read(
        r#"{"task":"transcribe","language":"en","duration":"3.2","text":"Please call.",
        "segments":[{"id":0,"seek":0,"start":0,"end":3.2,"text":" Please call.","tokens":[50364],"no_speech_prob":null,"words":null}],
        "words":[{"word":" Please","start":0,"end":"0.4"},{"text":"call.","start":0.5,"end":0.9,"probability":0.75}],
        "usage":null}"#,
        None,
    );
    assert_eq!(words(&raw), ["Please 0.00 0.40 -", "call. 0.50 0.90 -"]);
    assert_eq!(raw.words[1].confidence, Some(0.75));
    assert_eq!(raw.duration_seconds, 3.2);
}

#[test]
fn parts_of_words_become_words() {
    let raw = read(
        r#"{"language":"english","detected_language":"english","segments":[{"start":0.0,"end":2.0,"text":" Unbelievable, yes.",
        "words":[{"word":"[_BEG_]","start":0,"end":0},{"word":" Un","start":0.1,"end":0.3,"probability":0.9},
        {"word":"believable","start":0.3,"end":0.8,"probability":0.5},{"word":",","start":0.8,"end":0.85},
        {"word":" yes","start":1.0,"end":1.4},{"word":".","start":1.4,"end":1.5}]}]}"#,
        Some(2.0),
    );
    assert_eq!(words(&raw), ["Unbelievable, 0.10 0.85 -", "yes. 1.00 1.50 -"]);
    assert_eq!(raw.words[0].confidence, Some(0.5));
}

#[test]
fn whole_words_are_not_put_together() {
    let one_blank = r#"{"segments":[{"start":0,"end":1,"text":"Hi, is it","words":[
        {"word":" Hi,","start":0,"end":0.2},{"word":"is","start":0.3,"end":0.4},{"word":"it","start":0.5,"end":0.6}]}]}"#;
    assert_eq!(words(&read(one_blank, None)), ["Hi, 0.00 0.20 -", "is 0.30 0.40 -", "it 0.50 0.60 -"]);
    let without_blanks = r#"{"segments":[{"start":0,"end":1,"text":"你好","words":[
        {"word":"你","start":0,"end":0.2},{"word":"好","start":0.3,"end":0.4}]}]}"#;
    assert_eq!(words(&read(without_blanks, None)), ["你 0.00 0.20 -", "好 0.30 0.40 -"]);
}

#[test]
fn speakers_of_diarized_json() {
    let raw = read(
        r#"{"task":"transcribe","duration":12.4,"text":"Good morning. Morning, who is this?",
        "segments":[{"type":"transcript.text.segment","id":"seg_001","start":0.0,"end":2.1,"text":"Good morning.","speaker":"A"},
        {"type":"transcript.text.segment","id":"seg_002","start":2.4,"end":5.0,"text":"Morning, who is this?","speaker":"agent"}],
        "usage":{"type":"tokens","input_tokens":150,"output_tokens":31,"total_tokens":181}}"#,
        Some(12.4),
    );
    assert!(raw.words.is_empty());
    assert_eq!(segments(&raw), ["Good morning. 0.00 2.10 A", "Morning, who is this? 2.40 5.00 agent"]);
    assert_eq!(raw.warnings, ["no_word_times"]);
}

#[test]
fn a_text_alone_is_one_segment() {
    let cases = [
        (
            r#"{"text":"Hello there.","usage":{"type":"duration","seconds":4}}"#,
            None,
            "Hello there. 0.00 4.00 -",
        ),
        (r#"{"text":" Hello there. "}"#, Some(7.5), "Hello there. 0.00 7.50 -"),
        (r#"{"text":"\"Hello there.\"","segments":[]}"#, Some(7.5), "Hello there. 0.00 7.50 -"),
        (r#""Hello there.""#, Some(7.5), "Hello there. 0.00 7.50 -"),
        (r#"{"text":"Hi","segments":null,"words":null,"error":null}"#, Some(1.0), "Hi 0.00 1.00 -"),
    ];
    for (body, seconds, expected) in cases {
        let raw = read(body, seconds);
        assert_eq!(segments(&raw), [expected], "{body}");
        assert_eq!(raw.warnings, ["no_word_times"], "{body}");
    }
    // A sentence that begins and ends with a quotation is not one text in quotes.
    let speech = read(r#"{"text":"\"Yes\" and \"no\""}"#, Some(1.0));
    assert_eq!(segments(&speech), [r#""Yes" and "no" 0.00 1.00 -"#]);
}

#[test]
fn silence_is_a_success() {
    for body in [r#"{"text":""}"#, r#"{"text":" ","segments":[],"words":[],"duration":5}"#, r#""""#] {
        let raw = read(body, Some(5.0));
        assert!(raw.words.is_empty() && raw.segments.is_empty(), "{body}");
        assert_eq!(raw.warnings, ["no_speech"], "{body}");
    }
}

#[test]
fn times_come_in_other_units() {
    let body = |start: &str, end: &str| {
        format!(r#"{{"text":"Hi","duration":10,"segments":[{{"start":{start},"end":{end},"text":"Hi"}}]}}"#)
    };
    let cases = [
        ("1.5", "9.0", Some("Hi 1.50 9.00 -")),
        ("1500", "9000", Some("Hi 1.50 9.00 -")),
        ("1500000000", "9000000000", Some("Hi 1.50 9.00 -")),
        ("\"1.5\"", "\"9\"", Some("Hi 1.50 9.00 -")),
        // Whisper ends a segment with its window of 30 seconds.
        ("0", "30", Some("Hi 0.00 30.00 -")),
        ("1500000", "9000000", None),
    ];
    for (start, end, expected) in cases {
        let found = transcript(&info(), body(start, end).as_bytes(), Some(10.0));
        match expected {
            Some(expected) => assert_eq!(segments(&found.unwrap()), [expected], "{end}"),
            None => assert!(matches!(found, Err(ProviderError::Malformed { .. })), "{end}"),
        }
    }
    // Without a length to measure against, times are taken as they are.
    assert_eq!(segments(&read(&body("1500", "9000"), None)), ["Hi 1500.00 9000.00 -"]);
}

#[test]
fn a_length_that_cannot_be_is_not_believed() {
    let cases = [
        (r#"{"text":"a","duration":12000}"#, Some(12.0), 12.0),
        (r#"{"text":"a","duration":12.5}"#, Some(12.0), 12.5),
        (r#"{"text":"a","duration":0}"#, Some(12.0), 12.0),
        (r#"{"text":"a","duration":null}"#, None, 0.0),
        (r#"{"segments":[{"start":1,"end":4,"text":"a"}]}"#, None, 4.0),
    ];
    for (body, seconds, expected) in cases {
        assert_eq!(read(body, seconds).duration_seconds, expected, "{body}");
    }
}

#[test]
fn missing_times_follow_the_order() {
    let raw = read(
        r#"{"segments":[{"text":"one","end":2.0},{"text":"two","start":null},{"start":3,"end":1,"text":"three"},{"text":null,"start":5,"end":6}]}"#,
        Some(10.0),
    );
    assert_eq!(segments(&raw), ["one 0.00 2.00 -", "two 2.00 2.00 -", "three 3.00 3.00 -"]);
}

#[test]
fn languages_of_every_form() {
    let cases = [
        (r#"{"text":"a","language":"hindi"}"#, Some("hi")),
        (r#"{"text":"a","language":"en-IN"}"#, Some("en")),
        (r#"{"text":"a","languages":[{"code":"de"}]}"#, Some("de")),
        (r#"{"text":"a","language":"","detected_language":"french"}"#, Some("fr")),
        (r#"{"text":"a","language":null}"#, None),
    ];
    for (body, expected) in cases {
        assert_eq!(read(body, None).language.as_deref(), expected, "{body}");
    }
}

#[test]
fn what_is_no_transcript_is_malformed_and_not_repeated() {
    let bodies = [
        r#"{"error":{"message":"planted secret"}}"#,
        r#"{"error":"planted secret"}"#,
        r#"{"planted":1}"#,
        "[\"planted\"]",
        "planted secret",
        "{\"text\":\"planted",
        "",
    ];
    for body in bodies {
        let error = transcript(&info(), body.as_bytes(), None).unwrap_err();
        assert!(matches!(error, ProviderError::Malformed { .. }), "{body}");
        assert!(!error.to_string().contains("planted"), "{error}");
    }
}
