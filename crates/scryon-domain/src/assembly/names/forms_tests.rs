use super::super::PartyFacts;
use super::forms::{Named, Names, Stop, contact_name, phone_label, tokenize, user_name};

fn facts(user: &str, contact: &str) -> PartyFacts {
    let known = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    PartyFacts { user_display_name: known(user), contact_name: known(contact), ..PartyFacts::default() }
}

/// Whose names stand in the text, in order.
fn found(facts: &PartyFacts, text: &str) -> Vec<Named> {
    Names::new(facts).find(&tokenize(text)).into_iter().map(|hit| hit.named).collect()
}

#[test]
fn text_becomes_tokens() {
    let tokens = tokenize("Hello, Mr. Ravi-Kumar! “um” how’s Sharma ji?");
    let seen: Vec<(&str, Stop, bool)> =
        tokens.iter().map(|token| (token.word.as_str(), token.stop, token.honoured)).collect();
    assert_eq!(
        seen,
        [
            ("hello", Stop::Comma, false),
            ("ravi", Stop::None, true),
            ("kumar", Stop::Full, false),
            ("how's", Stop::None, false),
            ("sharma", Stop::Question, true),
        ]
    );
}

#[test]
fn names_match_whole_tokens_in_any_case() {
    let facts = facts("Praveen", "Ram");
    let table: [(&str, &[Named]); 9] = [
        ("hi Ram", &[Named::Contact]),
        ("HI RAM!", &[Named::Contact]),
        ("(ram)", &[Named::Contact]),
        ("ram, praveen", &[Named::Contact, Named::User]),
        ("the program is running", &[]),
        ("Ramesh", &[]),
        ("Ram's car", &[]),
        ("R am", &[]),
        ("", &[]),
    ];
    for (text, expected) in table {
        assert_eq!(found(&facts, text), expected, "{text}");
    }
}

#[test]
fn the_first_name_alone_suffices_the_family_name_needs_a_title() {
    let facts = facts("", "Dr. Ravi Kumar Sharma");
    for text in ["ravi", "Ravi Kumar Sharma", "Mr. Ravi", "Mr Sharma", "Sharma ji", "sharma sir", "Ravi ji"] {
        assert_eq!(found(&facts, text), [Named::Contact], "{text}");
    }
    for text in ["sharma", "kumar", "mr kumar", "Sharma. Ji", "doctor"] {
        assert!(found(&facts, text).is_empty(), "{text}");
    }
}

#[test]
fn what_both_names_share_proves_nothing() {
    let shared = facts("Ravi Sharma", "Ravi Kumar");
    assert!(found(&shared, "hi ravi").is_empty());
    assert_eq!(found(&shared, "hi ravi kumar"), [Named::Contact]);
    assert_eq!(found(&shared, "hi ravi sharma"), [Named::User]);

    let family = facts("Asha Sharma", "Ravi Sharma");
    assert!(found(&family, "mr sharma").is_empty());
    assert_eq!(found(&family, "asha and ravi"), [Named::User, Named::Contact]);

    let contained = facts("Ravi Kumar Singh", "Ravi Kumar");
    assert!(found(&contained, "ravi kumar").is_empty());
    assert_eq!(found(&contained, "ravi kumar singh"), [Named::User]);

    let crossed = facts("Kumar Raja", "Ravi Kumar");
    assert!(found(&crossed, "mr kumar").is_empty());
    assert!(found(&crossed, "kumar").is_empty());

    assert!(found(&facts("Ravi", "ravi"), "ravi").is_empty());
}

#[test]
fn initials_titles_and_function_words_name_nobody() {
    assert_eq!(found(&facts("", "K. Ravi"), "ravi"), [Named::Contact]);
    assert!(found(&facts("", "K. Ravi"), "k").is_empty());
    assert!(found(&facts("", "Sir"), "sir").is_empty());
    assert!(found(&facts("", "The Tailor"), "the").is_empty());
    assert_eq!(found(&facts("", "The Tailor"), "the tailor"), [Named::Contact]);
    assert!(found(&facts("", ""), "hi ravi").is_empty());
}

#[test]
fn everyday_words_are_marked() {
    let names = Names::new(&facts("", "Will Smith"));
    let everyday =
        |text: &str| names.find(&tokenize(text)).iter().map(|hit| hit.everyday).collect::<Vec<_>>();
    assert_eq!(everyday("will"), [true]);
    assert_eq!(everyday("will smith"), [false]);
}

#[test]
fn a_name_does_not_reach_over_the_end_of_a_sentence() {
    let facts = facts("Asha", "Ravi Kumar");
    assert_eq!(Names::new(&facts).find(&tokenize("Ravi. Kumar"))[0].length, 1);
    assert_eq!(Names::new(&facts).find(&tokenize("Ravi Kumar"))[0].length, 2);
}

#[test]
fn a_name_that_is_none_is_not_used() {
    for (name, expected) in [
        ("  Ravi \n Kumar ", Some("Ravi Kumar")),
        ("Dr. Rao", Some("Dr. Rao")),
        ("रवि", Some("रवि")),
        ("", None),
        (" ", None),
        ("+49 170 1234567", None),
        ("ravi@example.org", None),
    ] {
        let facts = PartyFacts {
            user_display_name: Some(name.to_owned()),
            contact_name: Some(name.to_owned()),
            ..PartyFacts::default()
        };
        assert_eq!(user_name(&facts).as_deref(), expected, "{name}");
        assert_eq!(contact_name(&facts).as_deref(), expected, "{name}");
    }
}

#[test]
fn only_the_last_four_digits_of_a_number_are_shown() {
    let label = |phone: Option<&str>, contact: Option<&str>| {
        phone_label(&PartyFacts {
            phone_number: phone.map(str::to_owned),
            contact_name: contact.map(str::to_owned),
            ..PartyFacts::default()
        })
    };
    let shown = Some("Contact ending 4567".to_owned());
    assert_eq!(label(Some("+49 (170) 123-4567"), None), shown);
    assert_eq!(label(None, Some("+49 170 1234567")), shown);
    assert_eq!(label(Some("unknown"), Some("+49 170 1234567")), shown);
    for short in ["", "unknown", "112", "4567"] {
        assert_eq!(label(Some(short), None), None, "{short}");
    }
    assert_eq!(label(None, None), None);
}
