//! Who is who.

use scryon_domain::assembly::{AssemblyInput, Direction, VoiceMatch};
use scryon_domain::raw::DiarizationMethod;
use scryon_domain::transcript::Confidence::{High, Low, Medium};
use scryon_domain::transcript::LabelSource::{
    Ambiguous, AnsweringPattern, ByElimination, Channel, Diarization, GreetingMatch, NameMention,
    PhoneFallback, VoiceEmbedding,
};
use scryon_domain::transcript::SpeakerRole::{Contact, Unknown, User};

use super::{assemble, between_praveen_and_ravi, labelled, mono, named, quality, silence, stereo, warnings};

fn with_voices(mut input: AssemblyInput, scores: &[(&str, f64)]) -> AssemblyInput {
    let scores = scores.iter().map(|&(speaker, score)| (speaker.to_owned(), score)).collect();
    input.voice_match = VoiceMatch::Scores { scores, high: 0.85, medium: 0.75 };
    input
}

/// Two parties, no names said.
fn plain() -> AssemblyInput {
    between_praveen_and_ravi(mono(&[("A", 0.0, "the invoice is ready"), ("B", 2.0, "okay good")]))
}

#[test]
fn without_evidence_nobody_is_named() {
    let transcript = assemble(&plain());
    assert_eq!(
        named(&transcript),
        [("Speaker 1", Unknown, Low, Diarization), ("Speaker 2", Unknown, Low, Diarization)]
    );
    assert_eq!(warnings(&transcript), ["speaker_roles_unresolved"]);
    assert_eq!(transcript.speakers[0].display_name, None);
    let resolution = &transcript.speaker_resolution;
    assert_eq!((resolution.total_speaker_count, resolution.resolved_speaker_count), (2, 0));
    assert!(
        !resolution.used_user_display_name && !resolution.used_contact_name && !resolution.used_direction
    );
}

#[test]
fn channels_separate_speakers_and_name_nobody() {
    let input =
        between_praveen_and_ravi(stereo(&[("1", 0.0, "the invoice is ready"), ("0", 2.0, "okay good")]));
    let transcript = assemble(&input);
    assert_eq!(
        named(&transcript),
        [("Speaker 1", Unknown, Low, Channel), ("Speaker 2", Unknown, Low, Channel)]
    );
    assert_eq!(transcript.speakers[0].source_speaker_id, "CHANNEL_1");
    assert_eq!(warnings(&transcript), ["speaker_roles_unresolved"]);
}

#[test]
fn configured_channel_roles_name_both_sides() {
    let mut input =
        between_praveen_and_ravi(stereo(&[("1", 0.0, "the invoice is ready"), ("0", 2.0, "okay good")]));
    input.channel_roles = vec![User, Contact];
    let transcript = assemble(&input);
    assert_eq!(
        named(&transcript),
        [("Ravi Kumar", Contact, High, Channel), ("Praveen Rao", User, High, Channel)]
    );
    assert!(warnings(&transcript).is_empty());

    input.channel_roles = vec![User];
    let transcript = assemble(&input);
    assert_eq!(
        named(&transcript),
        [("Ravi Kumar", Contact, Medium, ByElimination), ("Praveen Rao", User, High, Channel)]
    );

    // Roles belong to channels: speakers found by turns have none, whatever they are called.
    input.diarization.method = DiarizationMethod::Turns;
    input.diarization.turns =
        mono(&[("CHANNEL_0", 0.0, "a b c d"), ("CHANNEL_1", 2.0, "a b")]).diarization.turns;
    assert_eq!(assemble(&input).speaker_resolution.resolved_speaker_count, 0);
}

#[test]
fn a_misconfigured_role_for_both_channels_names_nobody() {
    let mut input = between_praveen_and_ravi(stereo(&[("1", 0.0, "the invoice"), ("0", 2.0, "okay")]));
    input.channel_roles = vec![User, User];
    let transcript = assemble(&input);
    assert_eq!(
        named(&transcript),
        [("Speaker 1", Unknown, Low, Ambiguous), ("Speaker 2", Unknown, Low, Ambiguous)]
    );
    assert_eq!(warnings(&transcript), ["speaker_identity_ambiguous"]);
}

#[test]
fn a_greeting_names_both_sides() {
    let input =
        between_praveen_and_ravi(mono(&[("A", 0.0, "Hi Ravi, the invoice is ready."), ("B", 4.0, "Okay.")]));
    let transcript = assemble(&input);
    assert_eq!(
        named(&transcript),
        [("Praveen Rao", User, High, GreetingMatch), ("Ravi Kumar", Contact, Medium, ByElimination)]
    );
    assert!(warnings(&transcript).is_empty());
    let resolution = &transcript.speaker_resolution;
    assert!(resolution.used_user_display_name && resolution.used_contact_name);
    assert_eq!(resolution.resolved_speaker_count, 2);

    let input =
        between_praveen_and_ravi(mono(&[("A", 0.0, "Hello."), ("B", 1.0, "Hello, Praveen! How are you?")]));
    assert_eq!(
        named(&assemble(&input)),
        [("Praveen Rao", User, Medium, ByElimination), ("Ravi Kumar", Contact, High, GreetingMatch)]
    );
}

#[test]
fn names_reach_the_segments_and_the_clean_text() {
    let input = between_praveen_and_ravi(mono(&[("A", 0.0, "Hi Ravi."), ("B", 4.0, "Hello.")]));
    let transcript = assemble(&input);
    let first = &transcript.segments[0];
    assert_eq!((first.speaker.as_str(), first.speaker_label.as_str()), ("Praveen Rao", "Praveen Rao"));
    assert_eq!((first.speaker_display_name.as_deref(), first.role), (Some("Praveen Rao"), User));
    assert_eq!(
        transcript.clean_text,
        "[00:00 - 00:00] Praveen Rao: Hi Ravi.\n[00:04 - 00:04] Ravi Kumar: Hello."
    );
}

#[test]
fn an_introduction_names_the_speaker() {
    let input =
        between_praveen_and_ravi(stereo(&[("0", 0.0, "hello"), ("1", 1.0, "this is ravi from accounts")]));
    assert_eq!(
        named(&assemble(&input)),
        [("Praveen Rao", User, Medium, ByElimination), ("Ravi Kumar", Contact, High, GreetingMatch)]
    );
}

#[test]
fn late_greetings_are_medium_until_the_direction_agrees() {
    let mut input = between_praveen_and_ravi(mono(&[
        ("A", 0.0, "hello"),
        ("B", 2.0, "hello"),
        ("A", 40.0, "hi Ravi can you hear me"),
    ]));
    let confidence = |input: &AssemblyInput| {
        let transcript = assemble(input);
        (transcript.speakers[0].confidence, transcript.speaker_resolution.used_direction)
    };
    assert_eq!(confidence(&input), (Medium, false));
    input.facts.direction = Some(Direction::Incoming);
    assert_eq!(confidence(&input), (High, true));
    input.facts.direction = Some(Direction::Outgoing);
    assert_eq!(confidence(&input), (Medium, false));
}

#[test]
fn the_direction_alone_names_nobody() {
    for direction in [Direction::Incoming, Direction::Outgoing, Direction::Unknown] {
        let mut input = plain();
        input.facts.direction = Some(direction);
        let resolution = assemble(&input).speaker_resolution;
        assert_eq!((resolution.resolved_speaker_count, resolution.used_direction), (0, false));
    }
}

#[test]
fn mention_asymmetry_names_both_sides() {
    let input = between_praveen_and_ravi(mono(&[
        ("A", 0.0, "the invoice is ready"),
        ("B", 40.0, "okay Praveen thanks"),
    ]));
    let transcript = assemble(&input);
    assert_eq!(
        named(&transcript),
        [("Praveen Rao", User, Medium, ByElimination), ("Ravi Kumar", Contact, Medium, NameMention)]
    );
}

#[test]
fn when_both_mention_both_nobody_is_named() {
    let both = "so Praveen and then Ravi";
    let input = between_praveen_and_ravi(mono(&[("A", 0.0, both), ("B", 4.0, both)]));
    let transcript = assemble(&input);
    assert_eq!(
        named(&transcript),
        [("Speaker 1", Unknown, Low, Ambiguous), ("Speaker 2", Unknown, Low, Ambiguous)]
    );
    assert_eq!(warnings(&transcript), ["speaker_identity_ambiguous"]);
}

#[test]
fn two_users_are_none() {
    let input = between_praveen_and_ravi(mono(&[("A", 0.0, "hi Ravi"), ("B", 2.0, "hello Ravi")]));
    let transcript = assemble(&input);
    assert_eq!(
        named(&transcript),
        [("Speaker 1", Unknown, Low, Ambiguous), ("Speaker 2", Unknown, Low, Ambiguous)]
    );
    assert_eq!(transcript.speaker_resolution.resolved_speaker_count, 0);
}

#[test]
fn answering_the_phone_is_the_last_resort() {
    let lines = [("A", 0.0, "Acme, how can I help you?"), ("B", 4.0, "the invoice please")];
    let transcript = assemble(&between_praveen_and_ravi(mono(&lines)));
    assert_eq!(
        named(&transcript),
        [("Ravi Kumar", Contact, Medium, AnsweringPattern), ("Praveen Rao", User, Medium, ByElimination)]
    );
    assert_eq!(warnings(&transcript), ["answering_pattern_used"]);

    // Anything better goes first.
    let lines = [("A", 0.0, "Acme, how can I help you?"), ("B", 4.0, "hi Ravi")];
    let transcript = assemble(&between_praveen_and_ravi(mono(&lines)));
    assert_eq!(
        named(&transcript),
        [("Ravi Kumar", Contact, Medium, AnsweringPattern), ("Praveen Rao", User, High, GreetingMatch)]
    );
    let lines = [("A", 0.0, "hi Ravi, how can I help you?"), ("B", 4.0, "the invoice please")];
    let transcript = assemble(&between_praveen_and_ravi(mono(&lines)));
    assert_eq!(named(&transcript)[0], ("Praveen Rao", User, High, GreetingMatch));
    assert!(warnings(&transcript).is_empty());
}

#[test]
fn a_voice_match_names_the_user_and_by_elimination_the_contact() {
    let transcript = assemble(&with_voices(plain(), &[("A", 0.2), ("B", 0.912_345_6)]));
    assert_eq!(
        named(&transcript),
        [("Ravi Kumar", Contact, Medium, ByElimination), ("Praveen Rao", User, High, VoiceEmbedding)]
    );
    assert_eq!(transcript.speakers[1].voice_match_score, Some(0.9123));
    assert_eq!(transcript.speakers[0].voice_match_score, None);
    let resolution = &transcript.speaker_resolution;
    assert!(resolution.voice_embedding_enabled && resolution.voice_profile_used);
    assert_eq!(resolution.voice_match_status, "MATCHED");

    let transcript = assemble(&with_voices(plain(), &[("B", 0.8)]));
    assert_eq!(named(&transcript)[1], ("Praveen Rao", User, Medium, VoiceEmbedding));
    let transcript = assemble(&with_voices(plain(), &[("B", 0.7)]));
    assert_eq!(transcript.speaker_resolution.voice_match_status, "NO_MATCH");
    assert_eq!(transcript.speaker_resolution.resolved_speaker_count, 0);
}

#[test]
fn voices_that_sound_alike_name_nobody_but_text_still_may() {
    let transcript = assemble(&with_voices(plain(), &[("A", 0.9), ("B", 0.88)]));
    assert_eq!(
        named(&transcript),
        [("Speaker 1", Unknown, Low, Ambiguous), ("Speaker 2", Unknown, Low, Ambiguous)]
    );
    assert_eq!(transcript.speaker_resolution.voice_match_status, "AMBIGUOUS");
    assert_eq!(warnings(&transcript), ["speaker_identity_ambiguous"]);

    let greeted = between_praveen_and_ravi(mono(&[("A", 0.0, "hi Ravi"), ("B", 2.0, "hello")]));
    let transcript = assemble(&with_voices(greeted, &[("A", 0.9), ("B", 0.88)]));
    assert_eq!(named(&transcript)[0], ("Praveen Rao", User, High, GreetingMatch));
}

#[test]
fn the_voice_features_state_is_told() {
    let mut input = plain();
    let told = |input: &AssemblyInput| {
        let resolution = assemble(input).speaker_resolution;
        (resolution.voice_embedding_enabled, resolution.voice_profile_used, resolution.voice_match_status)
    };
    assert_eq!(told(&input), (false, false, "DISABLED".to_owned()));
    input.voice_match = VoiceMatch::NoProfile;
    assert_eq!(told(&input), (true, false, "NO_PROFILE".to_owned()));
    input.voice_match = VoiceMatch::Unavailable;
    assert_eq!(told(&input), (true, false, "UNAVAILABLE".to_owned()));
}

#[test]
fn a_contact_without_a_name_shows_the_end_of_his_number() {
    let mut input = mono(&[("A", 0.0, "hello Praveen how are you"), ("B", 4.0, "fine thanks")]);
    input.facts.user_display_name = Some("Praveen".to_owned());
    input.facts.phone_number = Some("+49 170 555 0142".to_owned());
    let transcript = assemble(&input);
    assert_eq!(
        named(&transcript),
        [("Contact ending 0142", Contact, High, PhoneFallback), ("Praveen", User, Medium, ByElimination)]
    );
    assert!(
        transcript.speaker_resolution.used_phone_fallback && !transcript.speaker_resolution.used_contact_name
    );
    let json = serde_json::to_string(&transcript).expect("a document");
    assert!(!json.contains("550142") && !json.contains("170"), "{json}");

    // The number is a label for a contact, not a reason to take somebody for one.
    let mut input = mono(&[("A", 0.0, "the invoice is ready"), ("B", 4.0, "okay")]);
    input.facts.phone_number = Some("+49 170 555 0142".to_owned());
    let transcript = assemble(&input);
    assert_eq!(named(&transcript)[0].0, "Speaker 1");
    assert!(!transcript.speaker_resolution.used_phone_fallback);

    // And no replacement for a name that is known.
    let mut input = between_praveen_and_ravi(mono(&[("A", 0.0, "hi Ravi"), ("B", 4.0, "okay")]));
    input.facts.phone_number = Some("+49 170 555 0142".to_owned());
    assert_eq!(named(&assemble(&input))[1].0, "Ravi Kumar");
}

#[test]
fn a_role_without_a_name_shows_the_number_of_the_speaker() {
    let mut input = mono(&[("A", 0.0, "hi Ravi"), ("B", 4.0, "okay")]);
    input.facts.contact_name = Some("Ravi".to_owned());
    let transcript = assemble(&input);
    assert_eq!(
        named(&transcript),
        [("Speaker 1", User, High, GreetingMatch), ("Ravi", Contact, Medium, ByElimination)]
    );
    assert_eq!(transcript.speakers[0].display_name, None);
    assert!(!transcript.speaker_resolution.used_user_display_name);
    assert!(transcript.speaker_resolution.used_contact_name);
}

#[test]
fn a_shared_first_name_is_no_evidence() {
    let mut input = mono(&[("A", 0.0, "hi Ravi"), ("B", 4.0, "okay")]);
    input.facts.user_display_name = Some("Ravi Sharma".to_owned());
    input.facts.contact_name = Some("Ravi Kumar".to_owned());
    assert_eq!(assemble(&input).speaker_resolution.resolved_speaker_count, 0);
}

#[test]
fn among_three_only_voices_and_introductions_name_somebody() {
    let lines = [("A", 0.0, "hi Ravi, how can I help you?"), ("B", 5.0, "this is Ravi"), ("C", 9.0, "hello")];
    let transcript = assemble(&between_praveen_and_ravi(mono(&lines)));
    assert_eq!(
        named(&transcript),
        [
            ("Speaker 1", Unknown, Low, Diarization),
            ("Ravi Kumar", Contact, High, GreetingMatch),
            ("Speaker 3", Unknown, Low, Diarization),
        ]
    );
    assert_eq!(warnings(&transcript), ["multi_party_call_not_auto_resolved", "speaker_roles_unresolved"]);

    let transcript =
        assemble(&with_voices(between_praveen_and_ravi(mono(&lines)), &[("C", 0.9), ("A", 0.1), ("B", 0.1)]));
    assert_eq!(named(&transcript)[2], ("Praveen Rao", User, High, VoiceEmbedding));
    assert_eq!(transcript.speaker_resolution.resolved_speaker_count, 2);
}

#[test]
fn a_name_is_not_given_to_two_people_on_one_side() {
    let mut input =
        between_praveen_and_ravi(stereo(&[("0", 0.0, "so"), ("1", 2.0, "well"), ("2", 4.0, "right")]));
    input.channel_roles = vec![User, Contact, Contact];
    assert_eq!(
        named(&assemble(&input)),
        [
            ("Praveen Rao", User, High, Channel),
            ("Speaker 2", Contact, High, Channel),
            ("Speaker 3", Contact, High, Channel)
        ]
    );
    input.facts.contact_name = None;
    input.facts.phone_number = Some("+49 170 555 0142".to_owned());
    assert_eq!(named(&assemble(&input))[1], ("Speaker 2", Contact, High, Channel));
}

#[test]
fn one_speaker_who_may_be_two_people_is_never_named() {
    let lines = [("A", 0.0, "hi Ravi this is Praveen"), ("A", 4.0, "okay good")];
    let mut undivided = between_praveen_and_ravi(mono(&lines));
    undivided.diarization.method = DiarizationMethod::SingleSpeaker;
    undivided.diarization.turns.clear();
    let undivided = with_voices(undivided, &[("SPEAKER_00", 0.95)]);
    let transcript = assemble(&undivided);
    assert_eq!(named(&transcript), [("Speaker 1", Unknown, Low, Diarization)]);
    assert_eq!(quality(&transcript), ["single_speaker_fallback"]);
    assert_eq!(transcript.speaker_resolution.voice_match_status, "NO_MATCH");

    let one_label = between_praveen_and_ravi(labelled(&lines));
    assert_eq!(assemble(&one_label).speaker_resolution.resolved_speaker_count, 0);

    // Told apart by turns, one speaker is one: a voicemail.
    let voicemail = between_praveen_and_ravi(mono(&lines));
    assert_eq!(named(&assemble(&voicemail)), [("Praveen Rao", User, High, GreetingMatch)]);
}

#[test]
fn no_speech_is_a_success() {
    let mut input = silence(DiarizationMethod::SingleSpeaker);
    input.raw.warnings = vec!["draft_quality_engine".to_owned()];
    let transcript = assemble(&input);
    assert!(transcript.segments.is_empty() && transcript.speakers.is_empty());
    assert_eq!(transcript.clean_text, "");
    assert_eq!(transcript.duration_seconds, 120.0);
    assert_eq!(quality(&transcript), ["draft_quality_engine", "no_speech"]);
    assert!(warnings(&transcript).is_empty());
    assert_eq!(transcript.pipeline.status, "COMPLETED");

    // The same when all there was is noise.
    let transcript = assemble(&mono(&[("A", 0.0, "[NOISE] <sil>")]));
    assert_eq!(quality(&transcript), ["no_speech"]);
}

#[test]
fn quality_warnings_are_the_union_of_all_codes() {
    let mut input = mono(&[("A", 0.0, "hello there")]);
    input.diarization.turns.clear();
    input.raw.warnings = vec!["draft_quality_engine".to_owned(), " ".to_owned()];
    input.diarization.warnings = vec!["draft_quality_engine".to_owned(), "few_voices".to_owned()];
    input.diarization.fallback_reason = Some("pyannote_disabled".to_owned());
    assert_eq!(
        quality(&assemble(&input)),
        [
            "draft_quality_engine",
            "few_voices",
            "pyannote_disabled",
            "diarization_empty",
            "single_speaker_fallback"
        ]
    );
}
