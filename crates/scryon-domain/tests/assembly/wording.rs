//! What is said, in which segments, in which order.

use scryon_domain::raw::DiarizationMethod;
use scryon_domain::transcript::Confidence;

use super::{assemble, labelled, mono, quality, said, segmented, silence, stereo, turn, word};

#[test]
fn a_conversation_reads_in_the_order_it_was_spoken() {
    let lines = [("A", 0.0, "are you coming today"), ("B", 1.8, "yes"), ("A", 2.4, "great see you")];
    let expected = [("A", "are you coming today"), ("B", "yes"), ("A", "great see you")];
    assert_eq!(said(&assemble(&mono(&lines))), expected);
    assert_eq!(said(&assemble(&labelled(&lines))), expected);

    let lines = lines.map(|(speaker, start, text)| (if speaker == "A" { "0" } else { "1" }, start, text));
    let on_channels =
        expected.map(|(speaker, text)| (if speaker == "A" { "CHANNEL_0" } else { "CHANNEL_1" }, text));
    assert_eq!(said(&assemble(&stereo(&lines))), on_channels);
}

#[test]
fn a_word_spoken_over_the_other_party_does_not_break_his_sentence() {
    let lines = [("0", 0.0, "we will send the invoice next week then"), ("1", 1.0, "mm-hm")];
    let transcript = assemble(&stereo(&lines));
    assert_eq!(
        said(&transcript),
        [("CHANNEL_0", "we will send the invoice next week then"), ("CHANNEL_1", "mm-hm")]
    );
}

#[test]
fn segments_without_word_times_keep_their_bounds_and_text() {
    let input = segmented(&[
        ("A", 0.0, 4.1, " Hi, is the invoice ready?"),
        ("B", 4.6, 9.8, " Yes, I sent it."),
        ("", 9.8, 10.0, "  "),
        ("B", 15.0, 18.0, "Anything else?"),
    ]);
    let transcript = assemble(&input);
    let seen: Vec<(f64, f64, &str)> = transcript
        .segments
        .iter()
        .map(|segment| (segment.start_seconds, segment.end_seconds, segment.text.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (0.0, 4.1, "Hi, is the invoice ready?"),
            (4.6, 9.8, "Yes, I sent it."),
            (15.0, 18.0, "Anything else?")
        ]
    );
}

#[test]
fn adjacent_engine_segments_of_one_speaker_merge() {
    let input =
        segmented(&[("A", 0.0, 2.0, "We will"), ("A", 3.0, 4.0, "send it."), ("A", 6.0, 7.0, "Bye.")]);
    assert_eq!(said(&assemble(&input)), [("A", "We will send it."), ("A", "Bye.")]);
}

#[test]
fn cleaning_happens_per_speaker_and_before_merging() {
    let lines = [
        ("A", 0.0, "[NOISE] I I I think so <sil>"),
        ("B", 4.0, "we could meet we could meet then"),
        ("A", 11.0, "[NOISE]"),
    ];
    assert_eq!(said(&assemble(&mono(&lines))), [("A", "I think so"), ("B", "we could meet then")]);
}

#[test]
fn a_loop_on_one_channel_is_found_while_the_other_one_speaks() {
    let lines = [
        ("0", 0.0, "so I went there and then we found that it was all closed for good"),
        ("1", 0.2, "see you there see you there see you there see you there"),
    ];
    let transcript = assemble(&stereo(&lines));
    assert_eq!(transcript.segments[1].text, "see you there");
    assert_eq!(transcript.segments[0].text, lines[0].2);
}

#[test]
fn removed_hallucinations_are_admitted() {
    let transcript = assemble(&mono(&[("A", 0.0, "bye then"), ("B", 60.0, "Thanks for watching!")]));
    assert_eq!(said(&transcript), [("A", "bye then")]);
    assert_eq!(quality(&transcript), ["silence_hallucination_removed"]);
    assert_eq!(transcript.speakers.len(), 1);
}

#[test]
fn a_hallucination_between_two_halves_does_not_keep_them_apart() {
    let mut input = mono(&[("A", 0.0, "please hold on"), ("A", 2.4, "done")]);
    input.raw.words.push(word("Subtitles by nobody", 1.6, 2.0));
    input.diarization.turns.push(turn("B", 1.5, 2.1));
    input.raw.words.push(word("Subtitles by nobody", 50.0, 50.4));
    input.diarization.turns.push(turn("B", 49.0, 51.0));
    assert_eq!(said(&assemble(&input)), [("A", "please hold on done")]);
}

#[test]
fn oversized_segments_are_split() {
    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let text: String = days
        .iter()
        .map(|day| format!("on {day} we talked about everything that was still open after {day} noon. "))
        .collect();
    let transcript = assemble(&mono(&[("A", 0.0, &text)]));
    assert!(transcript.segments.len() > 1);
    for segment in &transcript.segments {
        assert!(segment.end_seconds - segment.start_seconds <= 30.0, "{segment:?}");
        assert!(segment.text.ends_with('.'), "{segment:?}");
    }
}

#[test]
fn one_speakers_segments_never_overlap() {
    // The engine lets "hold" run on far into the next words.
    let mut input = mono(&[("A", 0.0, "please hold"), ("A", 5.0, "the line")]);
    input.raw.words[1].end = 5.7;
    let transcript = assemble(&input);
    assert_eq!(said(&transcript), [("A", "please hold"), ("A", "the line")]);
    assert_eq!((transcript.segments[0].end_seconds, transcript.segments[1].start_seconds), (5.0, 5.0));
}

#[test]
fn alignment_confidence_sums_up_the_words() {
    let confidence = |outside: usize, inside: usize| {
        let mut input = silence(DiarizationMethod::Turns);
        let names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
        for (index, name) in names.iter().take(outside + inside).enumerate() {
            let at = 0.4 * index as f64;
            input.raw.words.push(word(name, at, at + 0.3));
        }
        input.diarization.turns.push(turn("A", 0.4 * outside as f64 - 0.05, 60.0));
        let transcript = assemble(&input);
        assert_eq!(transcript.segments.len(), 1);
        transcript.segments[0].alignment_confidence
    };
    assert_eq!(confidence(0, 10), Confidence::High);
    assert_eq!(confidence(2, 8), Confidence::High);
    assert_eq!(confidence(3, 7), Confidence::Medium);
    assert_eq!(confidence(4, 6), Confidence::Medium);
    assert_eq!(confidence(5, 5), Confidence::Low);
}

#[test]
fn ids_follow_start_end_and_speaker() {
    let mut input = silence(DiarizationMethod::TranscriptLabels);
    for (label, text, start, end) in [
        ("C", "late", 9.0, 9.5),
        ("B", "long", 1.0, 1.9),
        ("B2", "short", 1.0, 1.2),
        ("A", "long too", 1.0, 1.9),
    ] {
        let mut raw = word(text, start, end);
        raw.speaker = Some(label.to_owned());
        input.raw.words.push(raw);
    }
    let transcript = assemble(&input);
    let seen: Vec<(&str, &str, &str)> = transcript
        .segments
        .iter()
        .map(|segment| (segment.id.as_str(), segment.speaker_id.as_str(), segment.text.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("seg_0001", "spk_1", "short"),
            ("seg_0002", "spk_2", "long too"),
            ("seg_0003", "spk_3", "long"),
            ("seg_0004", "spk_4", "late"),
        ]
    );
}

#[test]
fn clean_text_shows_minutes_that_run_on() {
    let mut input = mono(&[("A", 59.7, "one"), ("B", 3661.0, "two")]);
    input.raw.duration_seconds = 4000.0;
    let transcript = assemble(&input);
    assert_eq!(transcript.clean_text, "[00:59 - 01:00] Speaker 1: one\n[61:01 - 61:01] Speaker 2: two");
}
