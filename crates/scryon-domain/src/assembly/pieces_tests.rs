use super::pieces::{Piece, SEGMENT_CHARS, SEGMENT_MILLIS, cut, merge, split};
use super::testing::{floor_with, text, word, words};

fn texts(pieces: &[Piece<'_>]) -> Vec<String> {
    pieces.iter().map(|piece| text(&piece.words)).collect()
}

#[test]
fn a_pause_cuts_and_a_short_one_merges_again() {
    let table = [
        // pause in ms, pieces after the cut, segments after the merge
        (700, 1, 1),
        (701, 2, 1),
        (1500, 2, 1),
        (1501, 2, 2),
    ];
    for (pause, pieces, segments) in table {
        let floor = floor_with(Vec::new());
        let stream = vec![word("before", 0, 500), word("after", 500 + pause, 1000 + pause)];
        let found = cut(0, stream, &floor);
        assert_eq!(found.len(), pieces, "{pause} ms");
        assert_eq!(merge(found, &floor).len(), segments, "{pause} ms");
    }
}

#[test]
fn somebody_else_in_the_pause_cuts_whatever_its_length() {
    let stream = || vec![word("coming?", 0, 500), word("great", 900, 1200)];
    let floor = floor_with(vec![word("yes", 600, 800)]);
    let found = cut(0, stream(), &floor);
    assert_eq!(texts(&found), ["coming?", "great"]);
    assert_eq!(texts(&merge(found, &floor)), ["coming?", "great"]);

    // Half of a word in the pause is enough, less is not.
    assert_eq!(cut(0, stream(), &floor_with(vec![word("yes", 400, 600)])).len(), 2);
    assert_eq!(cut(0, stream(), &floor_with(vec![word("yes", 398, 600)])).len(), 1);
    assert_eq!(cut(0, stream(), &floor_with(vec![word("yes", 800, 1000)])).len(), 2);
    assert_eq!(cut(0, stream(), &floor_with(vec![word("yes", 800, 1002)])).len(), 1);

    // Where there is no pause nobody can have taken the floor.
    let floor = floor_with(vec![word("yes", 500, 500)]);
    assert_eq!(cut(0, vec![word("without", 0, 500), word("pause", 500, 900)], &floor).len(), 1);

    // Spoken over somebody, it takes the floor from nobody.
    let floor = floor_with(vec![word("mm-hm", 200, 400)]);
    assert_eq!(texts(&cut(0, stream(), &floor)), ["coming? great"]);
}

#[test]
fn a_word_that_drags_on_ends_after_a_second() {
    let floor = floor_with(vec![word("yes", 4000, 4300)]);
    let stream = vec![word("coming", 0, 6000), word("great", 6000, 6300)];
    let found = cut(0, stream, &floor);
    assert_eq!(texts(&found), ["coming", "great"]);
    assert_eq!((found[0].reach(), found[0].end()), (1000, 6000));
}

#[test]
fn a_new_engine_segment_cuts() {
    let floor = floor_with(Vec::new());
    let mut stream = words("one two", 0);
    stream[0].origin = Some(0);
    stream[1].origin = Some(1);
    assert_eq!(cut(0, stream, &floor).len(), 2);
}

#[test]
fn a_piece_within_the_limits_stays_whole() {
    let piece =
        Piece { speaker: 3, words: vec![word("a", 0, 300), word("b", SEGMENT_MILLIS - 300, SEGMENT_MILLIS)] };
    assert_eq!(split(piece.clone()), [piece]);
}

#[test]
fn a_long_piece_is_split_at_the_last_sentence_that_fits() {
    // 100 words of 400 ms: 40 s.
    let mut long = words(&"word ".repeat(100), 0);
    for index in [10, 50, 60, 90] {
        long[index].text.to_mut().push('.');
    }
    let parts = split(Piece { speaker: 0, words: long });
    // 75 words fit into 30 s, the last sentence among them ends with word 60.
    assert_eq!(parts.iter().map(|part| part.words.len()).collect::<Vec<_>>(), [61, 39]);
}

#[test]
fn a_title_is_no_end_of_a_sentence() {
    let mut long = words(&"word ".repeat(100), 0);
    long[45].text = "done.".into();
    long[60].text = "Mr.".into();
    assert_eq!(split(Piece { speaker: 0, words: long })[0].words.len(), 46);
}

#[test]
fn without_sentences_the_longest_pause_splits() {
    let mut long = words(&"word ".repeat(50), 0);
    let shift = |words: &mut [super::align::Word<'_>], by| {
        for word in words {
            (word.start, word.end, word.reach) = (word.start + by, word.end + by, word.reach + by);
        }
    };
    // Pauses before words 10, 45 and 60; the first one is longest but too early.
    long.extend(words(&"word ".repeat(50), 50 * 400));
    shift(&mut long[10..], 1200);
    shift(&mut long[45..], 900);
    shift(&mut long[60..], 500);
    assert_eq!(split(Piece { speaker: 0, words: long })[0].words.len(), 45);
}

#[test]
fn characters_count_too_and_no_word_is_ever_cut() {
    let huge = "x".repeat(2 * SEGMENT_CHARS);
    let piece = Piece { speaker: 0, words: vec![word("a", 0, 10), word(&huge, 20, 30), word("b", 40, 50)] };
    assert_eq!(split(piece).iter().map(|part| part.words.len()).collect::<Vec<_>>(), [1, 1, 1]);

    // 99 words of four letters, one of five or six, and 99 blanks.
    for (last, parts) in [("fives", 1), ("sixsix", 2)] {
        let mut exactly: Vec<_> = (0..99).map(|at| word("four", at, at + 1)).collect();
        exactly.push(word(last, 99, 100));
        assert_eq!(split(Piece { speaker: 0, words: exactly }).len(), parts);
    }

    let many = Piece { speaker: 0, words: (0..400).map(|at| word("abcd", at, at + 1)).collect() };
    let parts = split(many);
    assert_eq!(parts.len(), 4);
    for part in &parts {
        assert!(text(&part.words).chars().count() <= SEGMENT_CHARS);
    }
}
