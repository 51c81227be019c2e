use scryon_domain::analysis::{Analysis, Phase, Polarity};

use super::fixtures::{Contact, User, Who, call, recorded};
use crate::analyse;

const FLAT: &str =
    "The router stands on the second shelf of the office and has four cables on its back side.";

fn overall(lines: &[(Who, &str)]) -> (Option<Polarity>, Option<f64>) {
    let sentiment = analyse(&call(lines), &recorded()).sentiment.expect("a sentiment");
    (sentiment.overall, sentiment.score)
}

#[test]
fn polarity_follows_the_words() {
    let warm = "This is wonderful, I love the new design and your team is amazing. We are very happy.";
    let cold = "This is terrible, I hate the new design and your team is awful. We are very angry.";
    let (polarity, score) = overall(&[(User, FLAT), (Contact, warm)]);
    assert_eq!(polarity, Some(Polarity::Positive));
    assert!(score.is_some_and(|score| score > 0.3), "{score:?}");
    let (polarity, score) = overall(&[(User, FLAT), (Contact, cold)]);
    assert_eq!(polarity, Some(Polarity::Negative));
    assert!(score.is_some_and(|score| score < -0.3), "{score:?}");
    let (polarity, _) = overall(&[(User, warm), (Contact, cold)]);
    assert_eq!(polarity, Some(Polarity::Mixed));
    assert_eq!(overall(&[(User, FLAT), (Contact, FLAT)]), (Some(Polarity::Neutral), Some(0.0)));
}

#[test]
fn too_little_text_is_unclear() {
    assert_eq!(overall(&[(User, "This is wonderful, I love it.")]), (Some(Polarity::Unclear), None));
    assert_eq!(overall(&[]), (Some(Polarity::Unclear), None));
}

#[test]
fn manners_are_no_feeling() {
    let manners =
        "Good morning, yes please, no problem, okay, sure, thanks for calling, have a nice day, no worries.";
    assert_eq!(overall(&[(User, FLAT), (Contact, manners)]), (Some(Polarity::Neutral), Some(0.0)));
    let denied = "We are not happy with the router and it does not feel good at all to us here.";
    let (polarity, _) = overall(&[(User, FLAT), (Contact, denied)]);
    assert_eq!(polarity, Some(Polarity::Negative), "a negated word counts against");
}

#[test]
fn another_language_is_unclear_instead_of_wrong() {
    let mut transcript =
        call(&[(User, FLAT), (Contact, "This is wonderful, I love it, we are very happy with it all.")]);
    transcript.language = Some("de".to_owned());
    let analysis = analyse(&transcript, &recorded());
    let sentiment = analysis.sentiment.expect("a sentiment");
    assert_eq!((sentiment.overall, sentiment.score), (Some(Polarity::Unclear), None));
    assert!(analysis.quality_warnings.contains(&"language_not_supported".to_owned()));
    for language in ["en", "en-US", "EN_gb", "auto"] {
        transcript.language = Some(language.to_owned());
        let analysis = analyse(&transcript, &recorded());
        assert!(!analysis.quality_warnings.contains(&"language_not_supported".to_owned()), "{language}");
    }
}

fn moody_call() -> Analysis {
    let mut lines =
        vec![(Contact, "This is terrible, I am really angry and frustrated about the awful service.")];
    lines.extend([(User, FLAT), (Contact, FLAT), (User, FLAT), (Contact, FLAT)]);
    lines.push((
        Contact,
        "Great, thank you so much, I am very happy and grateful for the excellent solution.",
    ));
    analyse(&call(&lines), &recorded())
}

#[test]
fn parties_are_read_apart() {
    let sentiment = moody_call().sentiment.expect("a sentiment");
    let user = sentiment.user_sentiment.expect("a user");
    let contact = sentiment.contact_sentiment.expect("a contact");
    assert_eq!((user.overall, user.score), (Some(Polarity::Neutral), Some(0.0)));
    assert_eq!(contact.overall, Some(Polarity::Mixed));
}

#[test]
fn unknown_roles_have_no_party() {
    let analysis = analyse(&call(&[(super::fixtures::Third, FLAT), (Contact, FLAT)]), &recorded());
    let sentiment = analysis.sentiment.expect("a sentiment");
    assert_eq!(sentiment.user_sentiment, None);
    assert!(sentiment.contact_sentiment.is_some());
}

#[test]
fn the_progression_shows_the_turn_and_cites_it() {
    let sentiment = moody_call().sentiment.expect("a sentiment");
    let moments: Vec<_> =
        sentiment.progression.iter().map(|m| (m.phase, m.overall, m.source_segment_ids.join(" "))).collect();
    assert_eq!(
        moments,
        [
            (Some(Phase::Opening), Some(Polarity::Negative), "seg_0001".to_owned()),
            (Some(Phase::Middle), Some(Polarity::Neutral), "seg_0003".to_owned()),
            (Some(Phase::Closing), Some(Polarity::Positive), "seg_0006".to_owned()),
        ]
    );
}

#[test]
fn signals_are_feelings_put_into_words() {
    let sentiment = moody_call().sentiment.expect("a sentiment");
    let mut signals = sentiment.emotional_signals;
    signals.sort();
    assert_eq!(signals, ["angry", "appreciative", "frustrated", "pleased"]);
    let denied = analyse(&call(&[(User, "I am not worried and not frustrated.")]), &recorded());
    assert_eq!(denied.sentiment.expect("a sentiment").emotional_signals, Vec::<String>::new());
}
