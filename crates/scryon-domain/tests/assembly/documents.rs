//! Whole documents as readers get them.

use scryon_domain::assembly::Direction;
use scryon_domain::raw::RawWord;
use scryon_domain::transcript::SpeakerRole;

use super::{assemble, between_praveen_and_ravi, mono, stereo, turn, word};

#[test]
fn a_two_party_call_on_two_channels() {
    let mut input = between_praveen_and_ravi(stereo(&[
        ("1", 0.35, "Hello?"),
        ("0", 1.2, "Hi Ravi, the the invoice is ready."),
        ("1", 2.0, "mm-hm"),
        ("1", 4.5, "[NOISE] Thank you."),
    ]));
    input.raw.warnings = vec!["draft_quality_engine".to_owned()];
    input.facts.direction = Some(Direction::Outgoing);
    input.channel_roles = vec![SpeakerRole::User];
    insta::assert_json_snapshot!(assemble(&input), @"");
}

#[test]
fn a_mono_call_with_turns() {
    let mut input = between_praveen_and_ravi(mono(&[
        ("SPEAKER_01", 0.0, "Acme support, how can I help?"),
        ("SPEAKER_00", 3.0, "Good morning. It is about my order."),
        ("SPEAKER_01", 40.0, "Sure. Which one?"),
    ]));
    input.facts.contact_name = None;
    input.facts.phone_number = Some("+1 555 010 4477".to_owned());
    // Crosstalk, a word that drags on into silence, and one outside all turns.
    input.diarization.turns.push(turn("SPEAKER_00", 1.1, 1.5));
    input.raw.words.push(RawWord { confidence: Some(0.5), ..word("The blue one.", 42.0, 47.5) });
    input.diarization.turns.push(turn("SPEAKER_00", 41.8, 47.5));
    input.raw.words.push(word("Thanks!", 60.0, 60.4));
    insta::assert_json_snapshot!(assemble(&input), @"");
}
