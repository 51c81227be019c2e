use super::align::{Aligned, Separation, align};
use super::testing::{raw, raw_word, text};
use super::units::collect;
use crate::raw::{
    Diarization, DiarizationMethod, RAW_SCHEMA_VERSION, RawSegment, RawTranscript, RawWord, Turn,
};
use crate::transcript::Confidence::{self, High, Low, Medium};

fn diarization(method: DiarizationMethod, turns: &[(&str, f64, f64)]) -> Diarization {
    Diarization {
        schema_version: RAW_SCHEMA_VERSION,
        engine: "engine".to_owned(),
        model: "model".to_owned(),
        method,
        channels: 2,
        turns: turns_of(turns),
        exclusive_turns: None,
        fallback_reason: None,
        warnings: Vec::new(),
        voice: None,
    }
}

fn turns_of(turns: &[(&str, f64, f64)]) -> Vec<Turn> {
    turns.iter().map(|&(speaker, start, end)| Turn { speaker: speaker.to_owned(), start, end }).collect()
}

fn on(mut word: RawWord, channel: u16) -> RawWord {
    word.channel = Some(channel);
    word
}

fn by(mut word: RawWord, speaker: &str) -> RawWord {
    word.speaker = Some(speaker.to_owned());
    word
}

fn run<'a>(raw: &'a RawTranscript, diarization: &Diarization) -> Aligned<'a> {
    align(collect(raw), raw, diarization)
}

/// Speaker, words and the confidence of each, per stream.
fn seen<'a>(aligned: &'a Aligned<'_>) -> Vec<(&'a str, String, Vec<Confidence>)> {
    aligned
        .streams
        .iter()
        .map(|stream| {
            let confidences = stream.words.iter().map(|word| word.alignment).collect();
            (stream.source.as_str(), text(&stream.words), confidences)
        })
        .collect()
}

#[test]
fn a_word_with_a_channel_belongs_to_it_whatever_the_turns_say() {
    let transcript = raw(vec![on(raw_word("one", 0.0, 0.5), 1), on(raw_word("two", 1.0, 1.5), 0)]);
    let turns = diarization(DiarizationMethod::Channels, &[("CHANNEL_0", 0.0, 9.0)]);
    let aligned = run(&transcript, &turns);
    assert_eq!(aligned.separation, Separation::Channels);
    assert_eq!(
        seen(&aligned),
        [("CHANNEL_1", "one".to_owned(), vec![High]), ("CHANNEL_0", "two".to_owned(), vec![High])]
    );
}

#[test]
fn words_of_a_mix_go_by_the_turns_of_the_channels() {
    let transcript = raw(vec![raw_word("one", 0.0, 0.5), raw_word("two", 1.0, 1.5)]);
    let turns = diarization(DiarizationMethod::Channels, &[("CHANNEL_1", 0.0, 0.6), ("CHANNEL_0", 0.9, 2.0)]);
    let aligned = run(&transcript, &turns);
    assert_eq!(aligned.separation, Separation::Channels);
    assert_eq!(
        seen(&aligned),
        [("CHANNEL_1", "one".to_owned(), vec![High]), ("CHANNEL_0", "two".to_owned(), vec![High])]
    );
}

#[test]
fn a_single_word_without_a_channel_is_placed_by_turns_or_neighbours() {
    let words =
        vec![on(raw_word("one", 0.0, 0.5), 0), raw_word("stray", 1.0, 1.5), on(raw_word("two", 4.0, 4.5), 1)];
    let turns = diarization(DiarizationMethod::Channels, &[("CHANNEL_1", 0.9, 1.6)]);
    let heard = raw(words.clone());
    let aligned = run(&heard, &turns);
    assert_eq!(
        seen(&aligned),
        [
            ("CHANNEL_0", "one".to_owned(), vec![High]),
            ("CHANNEL_1", "stray two".to_owned(), vec![High, High])
        ]
    );
    let heard = raw(words);
    let aligned = run(&heard, &diarization(DiarizationMethod::Channels, &[]));
    assert_eq!(
        seen(&aligned),
        [("CHANNEL_0", "one stray".to_owned(), vec![High, Low]), ("CHANNEL_1", "two".to_owned(), vec![High])]
    );
}

#[test]
fn exclusive_turns_are_preferred() {
    let transcript = raw(vec![raw_word("word", 1.0, 1.5)]);
    let mut turns = diarization(DiarizationMethod::Turns, &[("A", 0.0, 2.0), ("B", 0.9, 1.3)]);
    turns.exclusive_turns = Some(turns_of(&[("A", 0.0, 0.9), ("B", 0.9, 2.0)]));
    assert_eq!(seen(&run(&transcript, &turns)), [("B", "word".to_owned(), vec![High])]);

    turns.exclusive_turns = Some(Vec::new());
    assert_eq!(run(&transcript, &turns).streams[0].source, "A");
    turns.exclusive_turns = None;
    assert_eq!(run(&transcript, &turns).streams[0].source, "A");
}

#[test]
fn turns_that_say_nothing_are_ignored() {
    let transcript = raw(vec![raw_word("word", 1.0, 1.5)]);
    let useless = [
        ("", 0.0, 9.0),
        ("A", f64::NAN, 9.0),
        ("A", 0.0, f64::NAN),
        ("A", 5.0, 1.0),
        (" B ", 0.0, f64::INFINITY),
    ];
    let aligned = run(&transcript, &diarization(DiarizationMethod::Turns, &useless));
    assert_eq!(seen(&aligned), [("B", "word".to_owned(), vec![High])]);
}

#[test]
fn the_order_of_the_turns_does_not_matter() {
    let transcript = raw(vec![raw_word("word", 1.0, 1.5)]);
    let mut turns = vec![("B", 0.0, 2.0), ("A", 0.0, 2.0), ("C", 0.0, 2.0)];
    for _rotation in 0..3 {
        turns.rotate_left(1);
        let aligned = run(&transcript, &diarization(DiarizationMethod::Turns, &turns));
        assert_eq!(seen(&aligned), [("A", "word".to_owned(), vec![Medium])]);
    }
}

#[test]
fn without_turns_the_labels_of_the_transcription_step_in_then_one_speaker() {
    for method in [DiarizationMethod::Turns, DiarizationMethod::Channels, DiarizationMethod::TranscriptLabels]
    {
        let labelled = raw(vec![by(raw_word("one", 0.0, 0.5), "A"), by(raw_word("two", 1.0, 1.5), "B")]);
        let aligned = run(&labelled, &diarization(method, &[]));
        assert_eq!(aligned.separation, Separation::Labels);
        assert_eq!(
            seen(&aligned),
            [("A", "one".to_owned(), vec![High]), ("B", "two".to_owned(), vec![High])]
        );

        let bare = raw(vec![raw_word("one", 0.0, 0.5), raw_word("two", 1.0, 1.5)]);
        let aligned = run(&bare, &diarization(method, &[]));
        assert_eq!(aligned.separation, Separation::Nothing);
        assert_eq!(seen(&aligned), [("SPEAKER_00", "one two".to_owned(), vec![Low, Low])]);
    }
}

#[test]
fn one_speaker_means_one_whatever_the_labels_say() {
    let labelled = raw(vec![by(raw_word("one", 0.0, 0.5), "A"), by(raw_word("two", 1.0, 1.5), "B")]);
    let aligned = run(&labelled, &diarization(DiarizationMethod::SingleSpeaker, &[("A", 0.0, 9.0)]));
    assert_eq!(seen(&aligned), [("SPEAKER_00", "one two".to_owned(), vec![Low, Low])]);
}

#[test]
fn a_word_without_a_label_takes_that_of_its_segment_then_of_its_neighbour() {
    let mut transcript = raw(vec![
        by(raw_word("one", 0.0, 0.5), "A"),
        // Hardly in the segment, but in it.
        raw_word("edge", 0.6, 0.95),
        raw_word("inside", 1.0, 1.5),
        by(raw_word("two", 3.0, 3.5), "A"),
        raw_word("close", 3.6, 3.9),
        raw_word("between", 4.1, 4.3),
        by(raw_word("three", 5.0, 5.5), "B"),
        by(raw_word("four", 6.0, 6.5), " "),
    ]);
    transcript.segments = vec![RawSegment {
        text: "inside".to_owned(),
        start: 0.9,
        end: 1.6,
        speaker: Some("B".to_owned()),
        channel: None,
    }];
    let aligned = run(&transcript, &diarization(DiarizationMethod::TranscriptLabels, &[]));
    assert_eq!(
        seen(&aligned),
        [
            ("A", "one two close between".to_owned(), vec![High, High, Low, Low]),
            ("B", "edge inside three four".to_owned(), vec![Medium, Medium, High, Low]),
        ]
    );
}

#[test]
fn a_word_before_all_labels_follows_the_first_one_and_the_nearer_side_wins() {
    let transcript = raw(vec![
        raw_word("first", 0.0, 0.2),
        by(raw_word("a", 1.0, 1.2), "A"),
        raw_word("halfway", 1.5, 1.8),
        raw_word("nearer-b", 1.9, 2.0),
        by(raw_word("b", 2.1, 2.3), "B"),
    ]);
    let aligned = run(&transcript, &diarization(DiarizationMethod::TranscriptLabels, &[]));
    assert_eq!(
        seen(&aligned),
        [
            ("A", "first a halfway".to_owned(), vec![Low, High, Low]),
            ("B", "nearer-b b".to_owned(), vec![Low, High])
        ]
    );
}

#[test]
fn interpolated_words_are_never_aligned_with_certainty() {
    let mut transcript = raw(Vec::new());
    transcript.segments =
        vec![RawSegment { text: "two words".to_owned(), start: 0.0, end: 1.0, speaker: None, channel: None }];
    let aligned = run(&transcript, &diarization(DiarizationMethod::Turns, &[("A", 0.0, 2.0)]));
    assert_eq!(seen(&aligned), [("A", "two words".to_owned(), vec![Medium, Medium])]);
}
