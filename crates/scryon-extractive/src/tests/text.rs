use super::fixtures::{Contact, User, call, segment, speaker, transcript};
use crate::lexicon::List;
use crate::text::{Document, capitalised, capped};

fn words(text: &str) -> String {
    let transcript = call(&[(User, text)]);
    let document = Document::read(&transcript);
    (0..document.tokens.len()).map(|position| document.word(position)).collect::<Vec<_>>().join(" ")
}

#[test]
fn punctuated_and_draft_text_become_the_same_words() {
    let cases = [
        ("I'll send it.", "i will send it"),
        ("I’ll send it!", "i will send it"),
        ("\"Can't we?\"", "can not we"),
        ("Don't, won't, isn't", "do not will not is not"),
        ("Let's go; it's Maria's.", "let us go it is maria"),
        ("gonna wanna", "going to want to"),
        ("follow-up", "follow up"),
        ("e-mail at 3 p.m.", "email at 3 pm"),
        ("$99/seat, 10%", "$99/seat 10%"),
        ("OK — fine", "okay fine"),
        ("James' car", "james car"),
        ("well ill see", "well ill see"),
        ("2026-03-15", "2026-03-15"),
        ("a\u{a0}b\tc\nd", "a b c d"),
        ("...!?", ""),
        ("'", ""),
        ("你好。再见", "你好 再见"),
    ];
    for (text, expected) in cases {
        assert_eq!(words(text), expected, "{text}");
    }
}

/// The text of each unit.
fn units(lines: &[(super::fixtures::Who, &str)]) -> Vec<String> {
    let transcript = call(lines);
    let document = Document::read(&transcript);
    document.units.iter().map(|unit| document.raw(unit.span.clone())).collect()
}

#[test]
fn punctuated_text_is_split_at_sentences() {
    let text = "Dr. Lopez paid $1,200.50 at 3 p.m. on Monday... maybe. Really? Yes! Version 2.5 works.";
    assert_eq!(
        units(&[(User, text)]),
        ["Dr. Lopez paid $1,200.50 at 3 p.m. on Monday... maybe.", "Really?", "Yes!", "Version 2.5 works."]
    );
}

#[test]
fn draft_text_is_split_where_speech_begins_anew() {
    let text = "hello this is maria from support how can i help you with the router today";
    assert_eq!(
        units(&[(User, text)]),
        ["hello this is maria from support", "how can i help you with the router today"]
    );
    // The same words after `what` or `if` go on.
    let text = "tell me exactly what i will get for it because nobody in the shop told me";
    assert_eq!(units(&[(User, text)]), [text]);
}

#[test]
fn a_sentence_may_run_on_into_the_next_segment_of_its_speaker_but_not_of_another() {
    let (user, contact) = (speaker(1, User), speaker(2, Contact));
    let texts = [
        (&user, "I will send you the", (0.0, 1.0)),
        (&user, "contract tomorrow. Right", (1.2, 3.0)),
        (&contact, "now it is late.", (3.1, 4.0)),
        (&user, "And after a pause", (5.0, 6.0)),
        (&user, "nothing.", (9.0, 10.0)),
    ];
    let segments =
        texts.iter().enumerate().map(|(index, (who, text, at))| segment(index, who, text, *at)).collect();
    let transcript = transcript(vec![user.clone(), contact.clone()], segments);
    let document = Document::read(&transcript);
    let units: Vec<_> = document.units.iter().map(|unit| document.raw(unit.span.clone())).collect();
    assert_eq!(
        units,
        [
            "I will send you the contract tomorrow.",
            "Right",
            "now it is late.",
            "And after a pause",
            "nothing."
        ]
    );
    let cited: Vec<_> =
        document.units.iter().map(|unit| document.cite(unit.span.clone()).join(" ")).collect();
    assert_eq!(cited, ["seg_0001 seg_0002", "seg_0002", "seg_0003", "seg_0004", "seg_0005"]);
}

#[test]
fn no_phrase_reaches_over_a_sentence_or_a_speaker() {
    let split = crate::analyse(
        &call(&[(User, "Can"), (Contact, "you send the contract")]),
        &super::fixtures::recorded(),
    );
    assert_eq!(split.action_items, []);
    let transcript = call(&[(User, "and that is what we"), (Contact, "agreed about the colour of it")]);
    assert!(Document::read(&transcript).hits(List::Decision).is_empty());
    let ended = crate::analyse(
        &call(&[(User, "That you can. You send the contract.")]),
        &super::fixtures::recorded(),
    );
    assert_eq!(ended.action_items, []);
}

#[test]
fn endless_speech_is_cut() {
    let text = "word ".repeat(500);
    let lengths: Vec<_> = units(&[(User, &text)]).iter().map(|unit| unit.split(' ').count()).collect();
    assert_eq!(lengths.iter().sum::<usize>(), 500);
    assert!(lengths.iter().all(|length| *length <= 40), "{lengths:?}");
}

#[test]
fn drafts_are_recognised_by_their_writing_or_by_their_engine() {
    let is_draft = |text: &str| Document::read(&call(&[(User, text)])).is_draft;
    assert!(is_draft("so i went to the shop and they told me that it is closed on sundays"));
    assert!(!is_draft("So I went to the shop. They told me that it is closed on Sundays."));
    assert!(!is_draft("hello there"), "too short to judge");
    let mut short = call(&[(User, "hello there")]);
    short.pipeline.quality_warnings.push("draft_quality_engine".to_owned());
    assert!(Document::read(&short).is_draft);
}

#[test]
fn quotes_are_cut_between_words() {
    assert_eq!(capped("one two three", 13), "one two three");
    assert_eq!(capped("one two three", 12), "one two…");
    assert_eq!(capped("one, two three", 10), "one, two…");
    assert_eq!(capped("ääääääääää", 5), "ääää…");
    assert_eq!(capped("", 0), "");
    assert_eq!(capitalised("ölwechsel"), "Ölwechsel");
    assert_eq!(capitalised(""), "");
}
