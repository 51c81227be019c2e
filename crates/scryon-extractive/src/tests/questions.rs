use super::fixtures::{Contact, User, Who, call, recorded};
use crate::analyse;

fn open(lines: &[(Who, &str)]) -> Vec<String> {
    analyse(&call(lines), &recorded()).open_questions.into_iter().map(|finding| finding.text).collect()
}

#[test]
fn a_question_without_an_answer_stays_open() {
    let question = "Which version of the firmware is it?";
    let quoted = format!("“{question}”");
    let cases: [(&[(Who, &str)], bool); 7] = [
        (&[(User, question), (Contact, "It is the third one.")], false),
        (&[(User, question), (Contact, "I don't know, to be honest.")], true),
        (&[(User, question), (Contact, "Good question.")], true),
        (&[(User, question), (Contact, "Why do you ask?"), (User, "Because it matters to us.")], true),
        (&[(User, question), (Contact, "Why do you ask?"), (Contact, "It is the third one.")], false),
        (&[(Contact, "Hello."), (User, question)], true),
        (&[(User, question), (User, "I mean the firmware of the router.")], false),
    ];
    for (lines, is_open) in cases {
        let mut found = open(lines);
        found.retain(|text| *text == quoted);
        assert_eq!(!found.is_empty(), is_open, "{lines:?}");
    }
}

#[test]
fn drafts_ask_by_form() {
    let lead = (User, "so we talked about the router and about the firmware for quite a while");
    let lines = [lead, (User, "so which one is the right firmware for it"), (Contact, "i do not know")];
    assert_eq!(open(&lines), ["“so which one is the right firmware for it”"]);
    let told = [lead, (User, "the router is the right one for it"), (Contact, "i do not know")];
    assert_eq!(open(&told), Vec::<String>::new());
    // Punctuated text would have a question mark.
    let punctuated = [(User, "Which one is right for the router we shall see."), (Contact, "I don't know.")];
    assert_eq!(open(&punctuated), Vec::<String>::new());
}

#[test]
fn courtesy_and_requests_are_no_open_questions() {
    for statement in [
        "How are you today, Maria?",
        "Can you hear me now?",
        "Really?",
        "Can you send me the contract tomorrow?",
        "Is that okay with the router?",
    ] {
        assert_eq!(
            open(&[(Contact, "Hello there."), (User, statement)]),
            Vec::<String>::new(),
            "{statement}"
        );
    }
}

#[test]
fn matters_left_open_in_so_many_words_are_open() {
    let lines = [(User, "We still need to decide on the colour."), (Contact, "Yes, indeed.")];
    assert_eq!(open(&lines), ["“We still need to decide on the colour.”"]);
    let analysis = analyse(&call(&lines), &recorded());
    assert_eq!(analysis.open_questions[0].source_segment_ids, ["seg_0001"]);
    assert_eq!(analysis.open_questions[0].speaker_id.as_deref(), Some("spk_1"));
}
