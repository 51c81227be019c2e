//! What holds for every input.

use std::collections::BTreeSet;

use proptest::prelude::*;
use scryon_domain::assembly::{AssemblyInput, Direction, VoiceMatch};
use scryon_domain::raw::{DiarizationMethod, RawSegment, RawWord, Turn};
use scryon_domain::transcript::{LabelSource, SpeakerRole, Transcript};

use super::{assemble, between_praveen_and_ravi, silence, turn, word};

/// A word nobody repeats and no rule knows: `wa`, `wb`, … `wba`, …
fn unique(mut index: usize) -> String {
    let mut letters = String::new();
    loop {
        letters.insert(0, char::from(b'a' + (index % 26) as u8));
        index /= 26;
        if index == 0 {
            return format!("w{letters}x");
        }
    }
}

fn method() -> impl Strategy<Value = DiarizationMethod> {
    prop_oneof![
        Just(DiarizationMethod::Channels),
        Just(DiarizationMethod::Turns),
        Just(DiarizationMethod::TranscriptLabels),
        Just(DiarizationMethod::SingleSpeaker),
    ]
}

/// Whole tenths of a second, so that words often touch, meet and coincide.
fn time() -> impl Strategy<Value = f64> {
    (0u32..1200).prop_map(|tenths| f64::from(tenths) / 10.0)
}

fn speaker() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["A", "B", "C", "CHANNEL_0", "CHANNEL_1"]).prop_map(str::to_owned)
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    prop::collection::vec((speaker(), time(), 0.0f64..20.0), 0..12).prop_map(|turns| {
        turns.into_iter().map(|(speaker, start, length)| turn(&speaker, start, start + length)).collect()
    })
}

/// Words that trigger no cleaning, in calls of every kind.
fn plausible() -> impl Strategy<Value = AssemblyInput> {
    let words = prop::collection::vec(
        (time(), 0.0f64..3.0, prop::option::of(speaker()), prop::option::of(0u16..3)),
        0..80,
    );
    (words, turns(), prop::option::of(turns()), method(), any::<bool>()).prop_map(
        |(words, turns, exclusive, method, by_segments)| {
            let mut input = between_praveen_and_ravi(silence(method));
            for (index, (start, length, speaker, channel)) in words.into_iter().enumerate() {
                let (text, end) = (unique(index), start + length);
                if by_segments {
                    input.raw.segments.push(RawSegment { text, start, end, speaker, channel });
                } else {
                    input.raw.words.push(RawWord { speaker, channel, ..word(&text, start, end) });
                }
            }
            input.diarization.turns = turns;
            input.diarization.exclusive_turns = exclusive;
            input
        },
    )
}

fn garbage_time() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => time(),
        1 => any::<f64>(),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => -5.0f64..0.0,
    ]
}

fn garbage_text() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        " ",
        "I",
        "I",
        "that",
        "[NOISE]",
        "[",
        "]",
        "(music",
        "<sil>",
        "++",
        "*",
        ".",
        "?",
        "hi",
        "Ravi",
        "Praveen",
        "this is",
        "speaking",
        "thank you",
        "thanks for watching",
        "subtitles by",
        "how can I help",
        "mr",
        "ji",
        "-",
        "’",
        "\u{0000}",
        "نعم",
        "ठीक",
        "好",
        "e\u{0301}",
        "5",
        "no",
    ]);
    prop_oneof![3 => known.prop_map(str::to_owned), 1 => characters()]
}

fn characters() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..10).prop_map(String::from_iter)
}

fn garbage() -> impl Strategy<Value = AssemblyInput> {
    let label = || prop::option::of(prop_oneof![speaker(), garbage_text()]);
    let words = prop::collection::vec(
        (
            garbage_text(),
            garbage_time(),
            garbage_time(),
            label(),
            prop::option::of(any::<u16>()),
            any::<f32>(),
        ),
        0..60,
    );
    let segments = prop::collection::vec((garbage_text(), garbage_time(), garbage_time(), label()), 0..10);
    let turns = prop::collection::vec((garbage_text(), garbage_time(), garbage_time()), 0..10);
    let voices = prop::option::of((
        prop::collection::vec((speaker(), prop_oneof![0.0f64..1.0, any::<f64>()]), 0..4),
        prop_oneof![0.0f64..1.0, any::<f64>()],
        prop_oneof![0.0f64..1.0, any::<f64>()],
    ));
    let names =
        (prop::option::of(garbage_text()), prop::option::of(garbage_text()), prop::option::of(characters()));
    (words, segments, turns, method(), garbage_time(), voices, names).prop_map(
        |(words, segments, turns, method, duration, voices, (user, contact, phone))| {
            let mut input = silence(method);
            input.raw.duration_seconds = duration;
            for (text, start, end, speaker, channel, confidence) in words {
                let confidence = Some(confidence);
                input.raw.words.push(RawWord { speaker, channel, confidence, ..word(&text, start, end) });
            }
            for (text, start, end, speaker) in segments {
                input.raw.segments.push(RawSegment { text, start, end, speaker, channel: None });
            }
            input.diarization.turns =
                turns.iter().map(|(speaker, start, end)| turn(speaker, *start, *end)).collect();
            input.diarization.exclusive_turns =
                turns.len().is_multiple_of(2).then(|| input.diarization.turns.clone());
            input.channel_roles = vec![SpeakerRole::User, SpeakerRole::Unknown, SpeakerRole::User];
            if let Some((scores, high, medium)) = voices {
                input.voice_match = VoiceMatch::Scores { scores, high, medium };
            }
            input.facts.user_display_name = user;
            input.facts.contact_name = contact;
            input.facts.phone_number = phone;
            input.facts.direction = Some(Direction::Outgoing);
            input
        },
    )
}

fn json(transcript: &Transcript) -> String {
    serde_json::to_string(transcript).expect("a transcript is a document")
}

/// What readers of any document rely on.
fn assert_well_formed(transcript: &Transcript) {
    let speakers = &transcript.speakers;
    for (index, speaker) in speakers.iter().enumerate() {
        assert_eq!(speaker.speaker_id, format!("spk_{}", index + 1));
        assert!(!speaker.label.trim().is_empty());
        if speaker.role == SpeakerRole::Unknown {
            assert_eq!(speaker.label, format!("Speaker {}", index + 1));
            assert_eq!(speaker.display_name, None);
        }
    }
    let mut appeared: Vec<&str> = Vec::new();
    for (index, segment) in transcript.segments.iter().enumerate() {
        assert_eq!(segment.id, format!("seg_{:04}", index + 1));
        assert!(segment.start_seconds >= 0.0 && segment.end_seconds >= segment.start_seconds, "{segment:?}");
        assert!(segment.end_seconds <= transcript.duration_seconds, "{segment:?}");
        for time in [segment.start_seconds, segment.end_seconds] {
            assert_eq!(time, (time * 1000.0).round() / 1000.0, "more than milliseconds");
        }
        assert!(!segment.text.trim().is_empty() && !segment.text.contains(char::is_control));
        let speaker = speakers.iter().find(|one| one.speaker_id == segment.speaker_id).expect("a speaker");
        assert_eq!(speaker.source_speaker_id, segment.source_speaker_id);
        assert_eq!((&speaker.label, speaker.role), (&segment.speaker_label, segment.role));
        if !appeared.contains(&segment.speaker_id.as_str()) {
            appeared.push(&segment.speaker_id);
        }
    }
    let ids: Vec<&str> = speakers.iter().map(|speaker| speaker.speaker_id.as_str()).collect();
    assert_eq!(appeared, ids, "speakers are numbered by first appearance");
    let order = |a: &scryon_domain::transcript::Segment| {
        (a.start_seconds, a.end_seconds, a.source_speaker_id.clone())
    };
    assert!(transcript.segments.is_sorted_by(|a, b| order(a) <= order(b)));
    for speaker in &ids {
        let own: Vec<_> =
            transcript.segments.iter().filter(|segment| segment.speaker_id == *speaker).collect();
        for pair in own.windows(2) {
            assert!(pair[0].end_seconds <= pair[1].start_seconds, "{pair:?}");
        }
    }
    for role in [SpeakerRole::User, SpeakerRole::Contact] {
        let names: Vec<&str> = speakers
            .iter()
            .filter(|speaker| speaker.role == role)
            .filter_map(|speaker| speaker.display_name.as_deref())
            .collect();
        assert!(names.len() <= 1, "one name for two people: {names:?}");
    }
    assert_eq!(transcript.clean_text.lines().count(), transcript.segments.len());
}

proptest! {
    #[test]
    fn no_word_is_lost_or_doubled(input in plausible()) {
        let transcript = assemble(&input);
        let heard: BTreeSet<String> = input
            .raw
            .words
            .iter()
            .map(|word| word.text.clone())
            .chain(input.raw.segments.iter().map(|segment| segment.text.clone()))
            .collect();
        let mut written: Vec<String> =
            transcript.segments.iter().flat_map(|segment| segment.text.split(' ').map(str::to_owned)).collect();
        written.sort();
        prop_assert_eq!(written, heard.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn documents_are_well_formed(input in plausible()) {
        assert_well_formed(&assemble(&input));
    }

    #[test]
    fn the_words_of_a_segment_are_in_order_of_time(input in plausible()) {
        let start = |text: &str| {
            let words = input.raw.words.iter().map(|word| (&word.text, word.start));
            let segments = input.raw.segments.iter().map(|segment| (&segment.text, segment.start));
            words.chain(segments).find(|(known, _)| *known == text).map(|(_, start)| start).expect("a word that was said")
        };
        for segment in assemble(&input).segments {
            let starts: Vec<f64> = segment.text.split(' ').map(start).collect();
            prop_assert!(starts.is_sorted(), "{:?}", segment);
            prop_assert_eq!(starts[0], segment.start_seconds);
        }
    }

    #[test]
    fn the_order_in_which_an_engine_lists_things_does_not_matter(input in plausible(), rotation in 0usize..80) {
        // Words that start together have no order but the engine's.
        let mut input = input;
        let mut seen = BTreeSet::new();
        input.raw.words.retain(|word| seen.insert(word.start.to_bits()));
        input.raw.segments.retain(|segment| seen.insert(segment.start.to_bits()));
        let mut shuffled = input.clone();
        let words = shuffled.raw.words.len();
        shuffled.raw.words.rotate_left(rotation % words.max(1));
        shuffled.diarization.turns.reverse();
        if let Some(exclusive) = &mut shuffled.diarization.exclusive_turns {
            exclusive.reverse();
        }
        prop_assert_eq!(json(&assemble(&input)), json(&assemble(&shuffled)));
    }

    #[test]
    fn garbage_gives_a_document_and_always_the_same_bytes(input in garbage()) {
        let transcript = assemble(&input);
        assert_well_formed(&transcript);
        let text = json(&transcript);
        prop_assert_eq!(&json(&assemble(&input.clone())), &text);
        let read: Transcript = serde_json::from_str(&text).expect("what was written can be read");
        prop_assert_eq!(&json(&read), &text);
    }

    #[test]
    fn ambiguity_names_nobody(input in garbage()) {
        let transcript = assemble(&input);
        let ambiguous = transcript.speakers.iter().any(|speaker| speaker.label_source == LabelSource::Ambiguous);
        let warned = transcript.speaker_resolution.warnings.iter().any(|code| code == "speaker_identity_ambiguous");
        prop_assert_eq!(ambiguous, warned);
        if ambiguous && transcript.speakers.len() <= 2 {
            prop_assert!(transcript.speakers.iter().all(|speaker| speaker.display_name.is_none()));
        }
    }

    #[test]
    fn without_a_name_or_voice_nobody_becomes_the_user(input in plausible()) {
        // The generated words hold no names and no phrases.
        let transcript = assemble(&input);
        prop_assert_eq!(transcript.speaker_resolution.resolved_speaker_count, 0);
        prop_assert!(!json(&transcript).contains("Praveen") && !json(&transcript).contains("Ravi"));
    }
}

/// Mixes of pointers to one side and to the other: whoever is named, the names never stand on the wrong side, and
/// where the pointers cross nobody is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pointer {
    GreetsRavi,
    GreetsPraveen,
    IsRavi,
    IsPraveen,
    Nothing,
}

impl Pointer {
    fn text(self) -> &'static str {
        match self {
            Self::GreetsRavi => "hello Ravi",
            Self::GreetsPraveen => "hello Praveen",
            Self::IsRavi => "this is Ravi",
            Self::IsPraveen => "this is Praveen",
            Self::Nothing => "the invoice is ready",
        }
    }

    fn role(self) -> Option<SpeakerRole> {
        match self {
            Self::GreetsRavi | Self::IsPraveen => Some(SpeakerRole::User),
            Self::GreetsPraveen | Self::IsRavi => Some(SpeakerRole::Contact),
            Self::Nothing => None,
        }
    }
}

fn pointer() -> impl Strategy<Value = Pointer> {
    prop::sample::select(vec![
        Pointer::GreetsRavi,
        Pointer::GreetsPraveen,
        Pointer::IsRavi,
        Pointer::IsPraveen,
        Pointer::Nothing,
        Pointer::Nothing,
    ])
}

proptest! {
    #[test]
    fn a_name_never_stands_against_the_evidence(lines in prop::collection::vec((any::<bool>(), pointer()), 1..6)) {
        let spoken: Vec<(&str, f64, &str)> = [("A", 0.0, "well"), ("B", 5.0, "yes")]
            .into_iter()
            .chain(lines.iter().enumerate().map(|(index, (first, pointer))| {
                (if *first { "A" } else { "B" }, 10.0 + 5.0 * index as f64, pointer.text())
            }))
            .collect();
        let transcript = assemble(&between_praveen_and_ravi(super::mono(&spoken)));
        let claims: Vec<SpeakerRole> = lines
            .iter()
            .filter_map(|(first, pointer)| match (first, pointer.role()?) {
                (true, role) => Some(role),
                (false, SpeakerRole::User) => Some(SpeakerRole::Contact),
                (false, _) => Some(SpeakerRole::User),
            })
            .collect();
        let (a, b) = (transcript.speakers[0].role, transcript.speakers[1].role);
        match claims.as_slice() {
            [] => prop_assert_eq!((a, b), (SpeakerRole::Unknown, SpeakerRole::Unknown)),
            [first, rest @ ..] if rest.iter().all(|claim| claim == first) => {
                prop_assert_eq!(a, *first);
                prop_assert!(b != a && b != SpeakerRole::Unknown);
            }
            _ => {
                prop_assert_eq!((a, b), (SpeakerRole::Unknown, SpeakerRole::Unknown));
                prop_assert!(transcript.speakers.iter().all(|speaker| speaker.label_source == LabelSource::Ambiguous));
            }
        }
    }
}
