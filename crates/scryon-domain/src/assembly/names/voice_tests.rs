use super::super::VoiceMatch;
use super::Party;
use super::voice::{Voice, judge};
use crate::transcript::Confidence::{High, Medium};

fn judged(scores: &[(&str, f64)]) -> Voice {
    let parties = [Party { source: "A", channel: None }, Party { source: "B", channel: None }];
    let scores = scores.iter().map(|&(source, score)| (source.to_owned(), score)).collect();
    judge(&VoiceMatch::Scores { scores, high: 0.85, medium: 0.75 }, &parties)
}

#[test]
fn the_feature_may_be_off_without_a_profile_or_without_a_provider() {
    assert_eq!(judge(&VoiceMatch::Disabled, &[]).status(), "DISABLED");
    assert_eq!(judge(&VoiceMatch::NoProfile, &[]).status(), "NO_PROFILE");
    assert_eq!(judge(&VoiceMatch::Unavailable, &[]).status(), "UNAVAILABLE");
}

#[test]
fn thresholds() {
    let matched = |score, confidence| Voice::Matched { speaker: 1, score, confidence };
    for (score, expected) in [
        (0.99, matched(0.99, High)),
        (0.85, matched(0.85, High)),
        (0.849, matched(0.849, Medium)),
        (0.75, matched(0.75, Medium)),
        (0.749, Voice::NoMatch),
        (f64::NAN, Voice::NoMatch),
        (f64::INFINITY, Voice::NoMatch),
        (1.001, Voice::NoMatch),
        (1.0, matched(1.0, High)),
    ] {
        assert_eq!(judged(&[("A", 0.1), ("B", score)]), expected, "{score}");
    }
    assert_eq!(judged(&[]), Voice::NoMatch);
}

#[test]
fn two_voices_above_the_threshold_are_ambiguous() {
    let both = Voice::Ambiguous { speakers: vec![0, 1] };
    for (a, b, expected) in [
        (0.90, 0.90, both.clone()),
        (0.81, 0.90, both.clone()),
        // However far apart they are, and though only one of them is high.
        (0.99, 0.75, both),
        // Below the threshold nobody competes.
        (0.80, 0.749, Voice::Matched { speaker: 0, score: 0.80, confidence: Medium }),
        (0.99, 0.749, Voice::Matched { speaker: 0, score: 0.99, confidence: High }),
    ] {
        assert_eq!(judged(&[("A", a), ("B", b)]), expected, "{a} {b}");
    }
}

#[test]
fn a_voice_without_words_still_competes() {
    assert_eq!(judged(&[("C", 0.95), ("A", 0.74)]), Voice::NoMatch);
    assert_eq!(judged(&[("C", 0.90), ("A", 0.76)]), Voice::Ambiguous { speakers: vec![0] });
    assert_eq!(judged(&[("C", 0.90), ("A", 0.88)]).status(), "AMBIGUOUS");
}

#[test]
fn the_best_of_several_scores_of_one_speaker_counts() {
    let expected = Voice::Matched { speaker: 0, score: 0.9, confidence: High };
    assert_eq!(judged(&[("A", 0.8), (" A ", 0.9), ("A", 0.76)]), expected);
}
