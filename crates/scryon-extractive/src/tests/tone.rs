use scryon_domain::analysis::{Energy, Formality, Pace, Tone};

use super::fixtures::{Contact, User, Who, call, recorded, segment, speaker, transcript};
use crate::analyse;

const FLAT: &str = "The router stands on the second shelf of the office and has four cables on its back side, two of them blue.";

fn tone(lines: &[(Who, &str)]) -> Tone {
    analyse(&call(lines), &recorded()).tone.expect("a tone")
}

#[test]
fn formality_follows_the_manners() {
    let formal = "Good morning, sir. May I kindly inform you regarding the contract? It would be a pleasure to assist with it today.";
    let informal = "Hey dude, yeah, that stuff is kinda cool, no worries guys, we can totally do that thing some other day.";
    assert_eq!(tone(&[(User, formal)]).formality, Some(Formality::Formal));
    assert_eq!(tone(&[(User, informal)]).formality, Some(Formality::Informal));
    assert_eq!(tone(&[(User, FLAT)]).formality, Some(Formality::SemiFormal));
}

#[test]
fn energy_follows_emphasis() {
    let lively = "Wow, this is absolutely amazing, I really love it so much, it is totally fantastic, we are extremely happy here.";
    assert_eq!(tone(&[(User, lively)]).energy, Some(Energy::High));
    assert_eq!(tone(&[(User, FLAT)]).energy, Some(Energy::Low));
}

/// The flat statement twice, in so many seconds.
fn paced(seconds: f64) -> Option<Pace> {
    let user = speaker(1, User);
    let segments = vec![segment(0, &user, &format!("{FLAT} {FLAT}"), (0.0, seconds))];
    analyse(&transcript(vec![user], segments), &recorded()).tone.expect("a tone").pace
}

#[test]
fn pace_is_words_per_minute_of_speech() {
    // 42 words.
    assert_eq!(paced(42.0 * 60.0 / 90.0), Some(Pace::Slow));
    assert_eq!(paced(42.0 * 60.0 / 150.0), Some(Pace::Normal));
    assert_eq!(paced(42.0 * 60.0 / 200.0), Some(Pace::Fast));
    for unknowable in [0.0, 3.0, -5.0, f64::NAN, f64::INFINITY] {
        assert_eq!(paced(unknowable), None, "{unknowable}");
    }
}

#[test]
fn the_headline_names_the_most_pronounced_register() {
    let angry = "This is ridiculous and unacceptable, I am furious and fed up with your terrible service, it is a joke and the worst.";
    let caring = "I understand, I am sorry to hear about the router, do not worry, we will sort it and take care of everything for you today.";
    assert_eq!(tone(&[(User, angry)]).overall.as_deref(), Some("escalated"));
    assert_eq!(tone(&[(User, caring)]).overall.as_deref(), Some("supportive"));
    assert_eq!(tone(&[(User, FLAT)]).overall.as_deref(), Some("conversational"));
}

#[test]
fn parties_have_tones_of_their_own() {
    let lines = [
        (User, FLAT),
        (
            Contact,
            "This is ridiculous and unacceptable, I am furious and fed up with your terrible service, it is a joke and the worst.",
        ),
    ];
    let by_party = tone(&lines).by_party.expect("parties");
    assert_eq!(by_party.user_tone.and_then(|tone| tone.overall).as_deref(), Some("conversational"));
    assert_eq!(by_party.contact_tone.and_then(|tone| tone.overall).as_deref(), Some("escalated"));
    let mostly = tone(&[(User, FLAT), (Contact, "Yes.")]).by_party.expect("parties");
    assert_eq!(mostly.contact_tone, None, "one word is no sample");
}

#[test]
fn descriptors_are_one_to_four() {
    for text in [
        FLAT,
        "Please hurry, it is urgent, as soon as possible, immediately, right away, this is an emergency and it is critical, wow, amazing!",
    ] {
        let descriptors = tone(&[(User, text), (User, FLAT)]).descriptors;
        assert!((1..=4).contains(&descriptors.len()), "{descriptors:?}");
    }
}

#[test]
fn a_few_words_have_no_tone() {
    assert_eq!(analyse(&call(&[(User, "Hello there.")]), &recorded()).tone, None);
}
