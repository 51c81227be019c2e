use super::*;

fn read(body: &str) -> RawTranscript {
    transcript(&hosted(NAME, "nova-3".to_owned(), String::new(), None), body.as_bytes(), Some(12.5)).unwrap()
}

#[test]
fn speakers_are_whole_numbers_and_words_are_punctuated() {
    let raw = read(
        r#"{"metadata":{"request_id":"0d2f","sha256":"9b1c","duration":12.5,"channels":1,"models":["m1"],"model_info":{}},
        "results":{"channels":[{"detected_language":"en","alternatives":[{"transcript":"good morning","confidence":0.98,"words":[
          {"word":"good","punctuated_word":"Good","start":0.1,"end":0.3,"confidence":0.99,"speaker":0,"speaker_confidence":0.81},
          {"word":"morning","start":0.4,"end":0.9,"confidence":2,"speaker":"1"},
          {"word":"hello","start":1,"end":null,"speaker":null},
          {"word":" ","start":1}]}]}],
        "utterances":[{"id":"u1","start":0.1,"end":0.9,"confidence":0.98,"channel":0,"speaker":0,"transcript":"Good morning."}]}}"#,
    );
    let words: Vec<_> = raw
        .words
        .iter()
        .map(|w| (w.text.as_str(), w.start, w.end, w.confidence, w.speaker.as_deref()))
        .collect();
    assert_eq!(
        words,
        [
            ("Good", 0.1, 0.3, Some(0.99), Some("SPEAKER_00")),
            ("morning", 0.4, 0.9, None, Some("SPEAKER_01")),
            ("hello", 1.0, 1.0, None, None)
        ]
    );
    assert_eq!((raw.channels, raw.duration_seconds, raw.language.as_deref()), (1, 12.5, Some("en")));
    assert_eq!(raw.segments[0].text, "Good morning.");
    assert_eq!((raw.segments[0].speaker.as_deref(), raw.segments[0].channel), (Some("SPEAKER_00"), None));
    assert!(raw.warnings.is_empty());
}

#[test]
fn channels_are_told_apart_and_their_words_are_in_order() {
    let raw = read(
        r#"{"metadata":{"duration":4},"results":{"channels":[
        {"alternatives":[{"words":[{"word":"hello","start":0.5,"end":0.9,"speaker":0},{"word":"bye","start":3,"end":3.4}]}]},
        {"alternatives":[{"languages":["de"],"words":[{"word":"hi","start":1.5,"end":1.9,"speaker":0}]}]}],
        "utterances":[{"start":1.5,"end":1.9,"channel":1,"speaker":0,"transcript":"hi"}]}}"#,
    );
    let words: Vec<_> =
        raw.words.iter().map(|w| (w.text.as_str(), w.channel, w.speaker.as_deref())).collect();
    assert_eq!(words, [("hello", Some(0), None), ("hi", Some(1), None), ("bye", Some(0), None)]);
    assert_eq!((raw.segments[0].channel, raw.segments[0].speaker.as_deref()), (Some(1), None));
    assert_eq!((raw.channels, raw.language.as_deref()), (2, Some("de")));
}

#[test]
fn almost_everything_may_be_missing() {
    let text = read(r#"{"results":{"channels":[{"alternatives":[{"transcript":"only text"}]}]}}"#);
    assert_eq!((text.segments[0].text.as_str(), text.segments[0].end), ("only text", 12.5));
    assert_eq!(text.warnings, ["no_word_times"]);
    for silence in [
        r#"{"results":{"channels":[{"alternatives":[{"transcript":"","words":[]}]}],"utterances":null}}"#,
        r#"{"metadata":null,"results":{"channels":[{}]}}"#,
    ] {
        let raw = read(silence);
        assert!(raw.words.is_empty() && raw.segments.is_empty());
        assert_eq!(raw.warnings, ["no_speech"]);
    }
}

#[test]
fn what_is_no_transcript_is_malformed() {
    let info = hosted(NAME, String::new(), String::new(), None);
    for body in [r#"{"request_id":"r"}"#, r#"{"err_code":"planted","err_msg":"planted"}"#, "planted", "{}"] {
        let error = transcript(&info, body.as_bytes(), None).unwrap_err();
        assert!(matches!(error, ProviderError::Malformed { .. }), "{body}");
        assert!(!error.to_string().contains("planted"));
    }
}

#[test]
fn two_channels_are_heard_one_by_one() {
    let asked = |channels| {
        let pairs = options("nova-3", channels);
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    };
    assert_eq!(
        asked(Some(2)),
        "model=nova-3&detect_language=true&smart_format=true&utterances=true&multichannel=true"
    );
    for channels in [None, Some(1), Some(6)] {
        let asked = asked(channels);
        assert!(asked.ends_with("&diarize_model=latest") && !asked.contains("multichannel"), "{asked}");
        assert!(!asked.contains("diarize="), "{asked}");
    }
}

#[test]
fn only_addresses_that_it_calls_are_given_to_it() {
    for (base, called) in [
        ("https://calls.example.org", true),
        ("https://calls.example.org:8443/x", true),
        ("http://calls.example.org:8080", true),
        ("https://calls.example.org:9443", false),
        ("http://127.0.0.1:45123", true),
        ("nowhere", false),
    ] {
        assert_eq!(is_called(base), called, "{base}");
    }
}
