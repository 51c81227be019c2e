use super::fixtures::{Contact, User, call, recorded};
use super::said;
use crate::{AnalysisContext, analyse};

fn people(text: &str) -> Vec<String> {
    said(text).people_mentioned.into_iter().map(|person| person.name).collect()
}

#[test]
fn people_are_found_by_name_and_by_introduction() {
    let cases: [(&str, &[&str]); 9] = [
        ("I'll ask Maria about it.", &["Maria"]),
        ("We met Maria Lopez and Thomas.", &["Maria Lopez", "Thomas"]),
        ("My name is Zorvath, good morning.", &["Zorvath"]),
        ("This is Zorvath from accounting.", &["Zorvath"]),
        ("Please talk to Mr. Krzywicki about it.", &["Krzywicki"]),
        ("Then Mark sent it.", &["Mark"]),
        ("Hi Grace, good to hear you.", &["Grace"]),
        ("my name is maria and i have a question about the router we bought from you", &["Maria"]),
        (
            "so i talked to priya and she said mister okafor would call me about the broken router",
            &["Priya", "Okafor"],
        ),
    ];
    for (statement, names) in cases {
        assert_eq!(people(statement), names, "{statement}");
    }
}

#[test]
fn words_are_not_people() {
    for statement in [
        "I'll call you.",
        "Will it work in May?",
        "We hope to mark it with grace.",
        "This is great from my side.",
        "Monday works.",
        "This is Excel.",
        "maria.lopez@example.com",
        "so will the bill come in may or in june i hope it is not a joy to read for anybody here",
        "this is it from me and i am happy with the router so far but the light is red all the time",
    ] {
        assert_eq!(people(statement), Vec::<String>::new(), "{statement}");
    }
}

#[test]
fn the_calls_own_names_are_known() {
    let mut transcript =
        call(&[(User, "zyx told me about the offer"), (Contact, "yes and quolm did as well")]);
    transcript.speakers[0].display_name = Some("Quolm Adeyemi".to_owned());
    let context = AnalysisContext { contact_name: Some("Zyx".to_owned()), ..recorded() };
    // Short of twelve words nothing says that this is a draft.
    transcript.pipeline.quality_warnings.push("draft_quality_engine".to_owned());
    let names: Vec<_> = analyse(&transcript, &context).people_mentioned.into_iter().map(|p| p.name).collect();
    assert_eq!(names, ["Zyx", "Quolm"]);
    assert!(analyse(&transcript, &recorded()).people_mentioned.iter().all(|person| person.name != "Zyx"));
}

#[test]
fn one_person_is_listed_once_under_the_fuller_name() {
    let lines = [(User, "I spoke to Maria."), (Contact, "Maria Lopez?"), (User, "Yes, Maria.")];
    let analysis = analyse(&call(&lines), &recorded());
    let [person] = analysis.people_mentioned.as_slice() else { panic!("{:?}", analysis.people_mentioned) };
    assert_eq!(person.name, "Maria Lopez");
    assert_eq!(person.source_segment_ids, ["seg_0001", "seg_0002", "seg_0003"]);
}
