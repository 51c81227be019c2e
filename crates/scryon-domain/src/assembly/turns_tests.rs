use proptest::prelude::*;

use super::time::Millis;
use super::turns::{Match, Span, Timeline, WORD_CAP};
use crate::transcript::Confidence::{High, Low, Medium};

fn span(start: Millis, end: Millis, speaker: usize) -> Span {
    Span { start, end, speaker }
}

/// What one word gets from these turns.
fn given(turns: &[Span], start: Millis, end: Millis) -> Option<Match> {
    Timeline::new(turns.to_vec()).assign(&[(start, end)])[0]
}

#[test]
fn a_word_goes_to_the_turn_it_overlaps_most() {
    let turns = [span(0, 1000, 0), span(1000, 2000, 1)];
    let table = [
        // inside
        (200, 500, 0, High),
        (1200, 1500, 1, High),
        // across the border: the larger part wins, and is clear from 60 % on
        (900, 1200, 1, High),
        (700, 1100, 0, High),
        (860, 1100, 0, Medium),
        // equal parts: whoever had the floor
        (900, 1100, 0, Medium),
        // runs out into silence
        (1850, 2100, 1, High),
        (1849, 2101, 1, Medium),
        // hardly inside at all
        (1900, 2800, 1, Medium),
    ];
    for (start, end, speaker, confidence) in table {
        assert_eq!(given(&turns, start, end), Some(Match { speaker, confidence }), "{start}-{end}");
    }
}

#[test]
fn only_the_first_second_of_a_word_counts() {
    let turns = [span(0, 1000, 0), span(1000, 9000, 1)];
    assert_eq!(given(&turns, 200, 8000), Some(Match { speaker: 0, confidence: High }));
    assert_eq!(given(&turns, 900, 8000), Some(Match { speaker: 1, confidence: High }));
}

#[test]
fn a_word_outside_all_turns_goes_to_the_nearest() {
    let turns = [span(1000, 2000, 0), span(4000, 5000, 1)];
    let table =
        [(0, 300, 0), (2100, 2300, 0), (3600, 3900, 1), (9000, 9300, 1), (2900, 3100, 0), (2901, 3101, 1)];
    for (start, end, speaker) in table {
        assert_eq!(given(&turns, start, end), Some(Match { speaker, confidence: Low }), "{start}-{end}");
    }
}

#[test]
fn the_nearest_turn_may_have_begun_long_before_others() {
    let turns = [span(0, 10_000, 0), span(1000, 2000, 1), span(3000, 4000, 1)];
    assert_eq!(given(&turns, 10_500, 10_800), Some(Match { speaker: 0, confidence: Low }));
    // Of two that end together the one who had the floor.
    let together = [span(0, 2000, 1), span(1000, 2000, 0)];
    assert_eq!(given(&together, 2500, 2800), Some(Match { speaker: 1, confidence: Low }));
}

#[test]
fn parts_in_several_turns_of_one_speaker_add_up() {
    let turns = [span(0, 400, 0), span(400, 700, 1), span(700, 1000, 0)];
    assert_eq!(given(&turns, 200, 1000), Some(Match { speaker: 0, confidence: Medium }));
    // The nearest rival decides whether it is clear, not the weakest.
    let three = [span(0, 600, 0), span(600, 950, 1), span(950, 1000, 2)];
    assert_eq!(given(&three, 0, 1000), Some(Match { speaker: 0, confidence: Medium }));
    let overlapping = [span(0, 600, 0), span(100, 600, 0), span(500, 1300, 1)];
    assert_eq!(given(&overlapping, 300, 1300), Some(Match { speaker: 1, confidence: High }));
}

#[test]
fn a_word_without_length_stands_at_its_place() {
    let turns = [span(0, 1000, 0), span(1000, 2000, 1)];
    assert_eq!(given(&turns, 500, 500), Some(Match { speaker: 0, confidence: High }));
    assert_eq!(given(&turns, 1000, 1000), Some(Match { speaker: 1, confidence: High }));
    assert_eq!(given(&turns, 2000, 2000), Some(Match { speaker: 1, confidence: Low }));
}

#[test]
fn turns_without_length_are_nobodys() {
    assert!(Timeline::new(vec![span(5, 5, 0), span(9, 3, 1)]).is_empty());
    assert_eq!(given(&[span(5, 5, 0)], 5, 6), None);
}

/// The definition, word by word against all turns: what the sweep has to equal.
fn by_definition(turns: &[Span], start: Millis, end: Millis) -> Option<(usize, bool)> {
    let end = end.clamp(start + 1, start + WORD_CAP);
    let speakers = turns.iter().map(|turn| turn.speaker).max()? + 1;
    let overlap = |speaker: usize| {
        (start..end)
            .filter(|ms| {
                turns.iter().any(|turn| turn.speaker == speaker && (turn.start..turn.end).contains(ms))
            })
            .count()
    };
    let overlaps: Vec<usize> = (0..speakers).map(overlap).collect();
    let best = *overlaps.iter().max()?;
    // Ties have a rule of their own, tested above.
    if overlaps.iter().filter(|&&one| one == best).count() == 1 {
        return Some((overlaps.iter().position(|&one| one == best)?, true));
    }
    (best == 0).then_some((0, false))
}

proptest! {
    #[test]
    fn the_sweep_equals_the_definition(
        turns in prop::collection::vec((0i64..400, 1i64..120, 0usize..4), 1..12),
        words in prop::collection::vec((0i64..500, 0i64..60), 1..40),
    ) {
        let turns: Vec<Span> = turns.into_iter().map(|(start, length, speaker)| span(start, start + length, speaker)).collect();
        let mut words: Vec<(Millis, Millis)> = words.into_iter().map(|(start, length)| (start, start + length)).collect();
        words.sort_unstable();
        let answers = Timeline::new(turns.clone()).assign(&words);
        prop_assert_eq!(answers.len(), words.len());
        for (&(start, end), answer) in words.iter().zip(answers) {
            let answer = answer.expect("there are turns");
            match by_definition(&turns, start, end) {
                Some((speaker, true)) => prop_assert_eq!(answer.speaker, speaker, "word {}-{}", start, end),
                Some((_, false)) => {
                    prop_assert_eq!(answer.confidence, Low);
                    let distance = |turn: &Span| (turn.start - end.max(start + 1)).max(start - turn.end);
                    let nearest = turns.iter().map(distance).min().expect("there are turns");
                    let chosen = turns.iter().filter(|turn| turn.speaker == answer.speaker).map(distance).min();
                    prop_assert_eq!(chosen, Some(nearest));
                }
                None => prop_assert!(answer.confidence > Low),
            }
        }
    }
}
