use super::hallucinations::drop_hallucinations;
use super::markers::drop_markers;
use super::pieces::Piece;
use super::repeats::{Context, collapse};
use super::testing::{context, floor_with, text, word, words};
use super::time::Millis;

fn unmarked(input: &str) -> String {
    let mut words = words(input, 0);
    drop_markers(&mut words);
    text(&words)
}

fn collapsed(input: &str) -> String {
    let mut words = words(input, 0);
    let floor = floor_with(Vec::new());
    collapse(&mut words, context(&floor));
    text(&words)
}

#[test]
fn noise_markers_go() {
    for marker in [
        "[NOISE]",
        "[noise].",
        "<sil>",
        "</s>",
        "<|endoftext|>",
        "++BREATH++",
        "(music)",
        "[BLANK_AUDIO]",
        "♪",
        "♪♪",
        "[ Silence ]",
        "(upbeat music)",
        "*coughs*",
        "* laughs *",
        "[MUSIC PLAYING]",
        "(laughter)",
        "(phone ringing)",
        "[soft music continues playing]",
    ] {
        assert_eq!(unmarked(&format!("well {marker} yes")), "well yes", "{marker}");
        assert_eq!(unmarked(marker), "", "{marker}");
    }
}

#[test]
fn what_was_said_stays() {
    for said in [
        "[PERSON_NAME]",
        "[inaudible]",
        "(555) 123",
        "[phone]",
        "(the music was loud)",
        "music",
        "50 %",
        "R & D",
        "€ 5",
        "C++",
        "<3",
        "(music was",
        "*",
        "3 * 4",
    ] {
        let expected = if said == "*" { "so yes" } else { &*format!("so {said} yes") };
        let expected = expected.replace("3 * 4", "3 4");
        assert_eq!(unmarked(&format!("so {said} yes")), expected);
    }
}

#[test]
fn loose_punctuation_joins_the_word_before() {
    assert_eq!(unmarked("well , I know . - yes ?"), "well, I know. yes?");
    assert_eq!(unmarked(". , ok. ."), "ok.");
}

#[test]
fn stutters_collapse() {
    for (input, expected) in [
        ("I I I think", "I think"),
        ("I I think", "I think"),
        ("I, I, I think", "I think"),
        ("The the invoice", "The invoice"),
        ("we we need to to go", "we need to go"),
        ("I- I- I know", "I know"),
        ("send the invoice invoice today", "send the invoice today"),
        ("a a a plan", "a plan"),
        ("Monday. Monday. Monday.", "Monday."),
        ("that that that is", "that that is"),
        ("no no no no no no", "no no no no"),
        ("okay okay okay okay okay okay okay okay", "okay okay okay okay"),
    ] {
        assert_eq!(collapsed(input), expected);
    }
}

#[test]
fn doubles_that_mean_something_stay() {
    for input in [
        "I know that that works",
        "he had had enough",
        "very very good",
        "no no",
        "no no no",
        "bye bye",
        "Bye. Bye.",
        "nine nine one one zero",
        "zero zero zero zero zero",
        "5 5 5",
        "A A R",
        "p a a r i i t",
        "room B B 2",
        "seat a a 12",
        "take B2 B2",
        "is it Monday? Monday.",
        "haan haan theek theek",
        "% %",
    ] {
        assert_eq!(collapsed(input), input);
    }
}

#[test]
fn a_repetition_after_a_pause_or_an_answer_is_no_stutter() {
    let collapse_pair = |pause: Millis, others| {
        let mut words = vec![word("Tuesday", 0, 400), word("Tuesday", 400 + pause, 800 + pause)];
        let floor = floor_with(others);
        collapse(&mut words, context(&floor));
        words.len()
    };
    assert_eq!(collapse_pair(1000, Vec::new()), 1);
    assert_eq!(collapse_pair(1001, Vec::new()), 2);
    assert_eq!(collapse_pair(900, vec![word("what", 600, 900)]), 2);
    assert_eq!(collapse_pair(900, vec![word("what", 1500, 1900)]), 1);
}

#[test]
fn doubles_stay_in_languages_where_they_are_grammar() {
    let floor = floor_with(Vec::new());
    let elsewhere = Context { speaker: 0, floor: &floor, doubles_are_stutters: false };
    let mut french = words("nous nous voyons", 0);
    collapse(&mut french, elsewhere);
    assert_eq!(text(&french), "nous nous voyons");
    let mut loop_ = words("nous nous nous voyons", 0);
    collapse(&mut loop_, elsewhere);
    assert_eq!(text(&loop_), "nous voyons");
}

#[test]
fn the_time_of_a_stutter_is_kept() {
    let mut stutter = words("I I I think", 1000);
    let floor = floor_with(Vec::new());
    collapse(&mut stutter, context(&floor));
    assert_eq!((stutter[0].start, stutter[0].end), (1000, 2100));
    assert!(stutter[0].looped && !stutter[1].looped);

    let mut emphatic = words("no no no no no no", 1000);
    collapse(&mut emphatic, context(&floor));
    assert_eq!(emphatic.iter().map(|word| word.looped).collect::<Vec<_>>(), [false, false, false, true]);

    let mut phrase = words("so we go home we go home then", 1000);
    collapse(&mut phrase, context(&floor));
    assert_eq!(phrase.iter().map(|word| word.looped).collect::<Vec<_>>(), [false, true, true, true, false]);

    // Twice is a stumble, not a loop.
    let mut double = words("I I think", 1000);
    collapse(&mut double, context(&floor));
    assert!(!double[0].looped);
}

#[test]
fn repeated_phrases_collapse() {
    let sentence = "we will send it tomorrow";
    for (input, expected) in [
        ("I want to I want to go".to_owned(), "I want to go"),
        (format!("{sentence} {sentence}"), sentence),
        (format!("so {sentence} {sentence} {sentence} okay"), "so we will send it tomorrow okay"),
        ("I don't know. I don't know. I don't know.".to_owned(), "I don't know."),
        ("a plan for us a plan for us a plan".to_owned(), "a plan for us a plan"),
        ("thank you ".repeat(5), "thank you"),
        (format!("{}we can", "we can do ".repeat(4)), "we can do we can"),
    ] {
        assert_eq!(collapsed(&input), expected);
    }
}

#[test]
fn phrases_repeated_on_purpose_stay() {
    for input in [
        "no problem no problem",
        "thank you thank you thank you",
        "nine eight seven nine eight seven",
        "call 555 now call 555 now",
        "send it send it",
        "we go home you go home",
        "one by one by one by one by one",
    ] {
        assert_eq!(collapsed(input), input);
    }
}

#[test]
fn a_phrase_said_again_later_or_after_an_answer_stays() {
    let again = |start: Millis, others| {
        let mut both = words("please send the report", 0);
        both.extend(words("please send the report", start));
        let floor = floor_with(others);
        collapse(&mut both, context(&floor));
        both.len()
    };
    // The first one ends at 1500.
    assert_eq!(again(3500, Vec::new()), 4);
    assert_eq!(again(3501, Vec::new()), 8);
    assert_eq!(again(2500, vec![word("what", 1900, 2100)]), 8);
}

#[test]
fn a_long_loop_leaves_one_copy_whatever_its_period() {
    for period in [3, 7, 20, 40] {
        let phrase: Vec<String> = (0..period).map(|index| format!("w{}x", letters(index))).collect();
        let input = vec![phrase.join(" "); 6].join(" ");
        assert_eq!(collapsed(&input), phrase.join(" "), "period {period}");
    }
}

fn letters(index: usize) -> String {
    ["a", "b", "c", "d", "e", "f", "g"][index % 7].repeat(1 + index / 7)
}

fn piece(speaker: usize, text: &str, start: Millis) -> Piece<'static> {
    Piece { speaker, words: words(text, start) }
}

/// The same words, stretched over `length`.
fn stretched(text: &str, start: Millis, length: Millis) -> Piece<'static> {
    let mut piece = piece(0, text, start);
    let each = length / piece.words.len() as Millis;
    for (index, word) in piece.words.iter_mut().enumerate() {
        word.start = start + each * index as Millis;
        word.end = word.start + each;
        word.reach = word.end;
    }
    piece
}

fn left(mut pieces: Vec<Piece<'_>>) -> Vec<String> {
    let before = pieces.len();
    let dropped = drop_hallucinations(&mut pieces);
    assert_eq!(dropped, pieces.len() < before);
    pieces.iter().map(|piece| text(&piece.words)).collect()
}

#[test]
fn a_stock_phrase_in_silence_goes() {
    for phrase in [
        "Thanks for watching!",
        "Thank you for watching.",
        "Please subscribe",
        "Subtitles by the Amara.org community",
        "Untertitel der Amara.org-Community",
        "Sous-titres réalisés par qui que ce soit",
    ] {
        assert!(left(vec![piece(0, phrase, 0)]).is_empty(), "{phrase}");
        let call = vec![piece(0, "hello", 0), piece(1, phrase, 20_000), piece(1, "hello", 60_000)];
        assert_eq!(left(call), ["hello", "hello"], "{phrase}");
    }
}

#[test]
fn a_stock_phrase_within_a_conversation_stays() {
    let near = vec![piece(0, "we saw the match", 0), piece(1, "thanks for watching", 3000)];
    assert_eq!(left(near.clone()).len(), 2);
    let before = vec![piece(0, "thanks for watching", 0), piece(1, "you're welcome", 3000)];
    assert_eq!(left(before).len(), 2);

    // Silence begins where the voice stops.
    let almost = vec![piece(0, "thanks for watching", 0), piece(1, "you're welcome", 6099)];
    assert_eq!(left(almost).len(), 2);
    let enough = vec![piece(0, "thanks for watching", 0), piece(1, "you're welcome", 6100)];
    assert_eq!(left(enough).len(), 1);

    for (start, count) in [(5299, 2), (5300, 1)] {
        let after = vec![piece(0, "hello", 0), piece(1, "thanks for watching", start)];
        assert_eq!(left(after).len(), count, "{start}");
    }

    // Each further sign of low evidence is enough.
    let mut twice = near.clone();
    twice.push(piece(0, "Thanks for watching.", 6000));
    assert_eq!(left(twice), ["we saw the match"]);

    let mut looped = near.clone();
    looped[1].words[0].looped = true;
    assert_eq!(left(looped), ["we saw the match"]);

    let drawn_out = vec![near[0].clone(), stretched("thanks for watching", 3000, 9000)];
    assert_eq!(left(drawn_out), ["we saw the match"]);

    let mut unsure = near.clone();
    unsure[1].words.iter_mut().for_each(|word| word.confidence = Some(0.2));
    assert_eq!(left(unsure), ["we saw the match"]);

    let mut sure = near;
    sure[1].words.iter_mut().for_each(|word| word.confidence = Some(0.9));
    assert_eq!(left(sure).len(), 2);
}

#[test]
fn a_stock_phrase_within_a_sentence_stays() {
    for said in
        ["thanks for watching the kids", "I said thanks for watching", "subtitlesby", "the subtitles by Anna"]
    {
        assert_eq!(left(vec![piece(0, said, 0)]), [said]);
    }
}

#[test]
fn a_real_thank_you_is_never_taken_for_a_hallucination() {
    for call in [
        vec![piece(0, "thank you", 0)],
        vec![piece(0, "it is done", 0), piece(1, "Thank you.", 1500)],
        vec![piece(0, "it is done", 0), piece(1, "Thank you.", 60_000), piece(0, "bye", 120_000)],
        vec![piece(0, "Thank you.", 0), piece(1, "Thank you.", 1000), piece(0, "Thank you.", 2000)],
        vec![piece(0, "it is done", 0), stretched("thank you", 1500, 8000)],
        vec![piece(0, "it is done", 0), stretched("thank you", 60_000, 4000)],
    ] {
        let count = call.len();
        assert_eq!(left(call).len(), count);
    }
}

#[test]
fn a_courtesy_stretched_over_silence_goes() {
    let call =
        vec![piece(0, "please hold", 0), stretched("Thank you.", 10_000, 20_000), piece(0, "so", 40_000)];
    assert_eq!(left(call), ["please hold", "so"]);
}
