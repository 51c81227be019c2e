//! Writes verdicts down as speakers, and how they came about as counts and codes.

use super::Question;
use super::forms::{Named, contact_name, phone_label, user_name};
use super::verdict::{Verdict, Verdicts};
use super::voice::{Voice, rounded};
use crate::transcript::{
    Confidence, LabelSource, RESOLUTION_STRATEGY_VERSION, Speaker, SpeakerResolution, SpeakerRole,
};

/// A speaker was taken for the contact because he answered the telephone like one.
const ANSWERING_PATTERN_USED: &str = "answering_pattern_used";
/// More than two speakers: nobody was named by exclusion.
const MULTI_PARTY: &str = "multi_party_call_not_auto_resolved";
/// Evidence contradicted itself.
const IDENTITY_AMBIGUOUS: &str = "speaker_identity_ambiguous";
/// There was no evidence for somebody.
const ROLES_UNRESOLVED: &str = "speaker_roles_unresolved";

/// The speakers of the document and the account of how they were named.
pub(super) fn write(
    question: &Question<'_>,
    voice: &Voice,
    verdicts: &Verdicts,
) -> (Vec<Speaker>, SpeakerResolution) {
    let bearers = |role| {
        let holds =
            |verdict: &&Verdict| matches!(verdict, Verdict::Known { role: held, .. } if *held == role);
        verdicts.speakers.iter().filter(holds).count()
    };
    // Channel roles may put several people on one side; then the name is only one of theirs.
    let user = user_name(question.facts).filter(|_| bearers(SpeakerRole::User) == 1);
    let contact = contact_name(question.facts).filter(|_| bearers(SpeakerRole::Contact) == 1);
    let phone = phone_label(question.facts)
        .filter(|_| contact_name(question.facts).is_none() && bearers(SpeakerRole::Contact) == 1);
    let speakers: Vec<Speaker> = question
        .parties
        .iter()
        .zip(&verdicts.speakers)
        .enumerate()
        .map(|(index, (party, verdict))| {
            let (role, mut source, confidence) = match *verdict {
                Verdict::Known { role, source, confidence } => (role, source, confidence),
                Verdict::Ambiguous => (SpeakerRole::Unknown, LabelSource::Ambiguous, Confidence::Low),
                Verdict::Unknown if party.channel.is_some() => {
                    (SpeakerRole::Unknown, LabelSource::Channel, Confidence::Low)
                }
                Verdict::Unknown => (SpeakerRole::Unknown, LabelSource::Diarization, Confidence::Low),
            };
            let display_name = match role {
                SpeakerRole::User => user.clone(),
                SpeakerRole::Contact => contact.clone().or_else(|| phone.clone()),
                SpeakerRole::Unknown => None,
            };
            if role == SpeakerRole::Contact && contact.is_none() && phone.is_some() {
                source = LabelSource::PhoneFallback;
            }
            Speaker {
                speaker_id: format!("spk_{}", index + 1),
                source_speaker_id: party.source.to_owned(),
                label: display_name.clone().unwrap_or_else(|| format!("Speaker {}", index + 1)),
                display_name,
                role,
                confidence,
                label_source: source,
                voice_match_score: match voice {
                    Voice::Matched { speaker, score, .. } if *speaker == index => Some(rounded(*score)),
                    _ => None,
                },
            }
        })
        .collect();
    let resolution = account(question, voice, verdicts, &speakers);
    (speakers, resolution)
}

fn account(
    question: &Question<'_>,
    voice: &Voice,
    verdicts: &Verdicts,
    speakers: &[Speaker],
) -> SpeakerResolution {
    let shown = |role| speakers.iter().any(|speaker| speaker.role == role && speaker.display_name.is_some());
    let heard = |named| verdicts.used.iter().any(|evidence| evidence.named == Some(named));
    let phone = speakers.iter().any(|speaker| speaker.label_source == LabelSource::PhoneFallback);
    SpeakerResolution {
        strategy_version: RESOLUTION_STRATEGY_VERSION,
        used_user_display_name: shown(SpeakerRole::User) || heard(Named::User),
        used_contact_name: shown(SpeakerRole::Contact) && !phone || heard(Named::Contact),
        used_direction: verdicts.used_direction,
        used_phone_fallback: phone,
        voice_embedding_enabled: *voice != Voice::Disabled,
        voice_profile_used: !matches!(voice, Voice::Disabled | Voice::NoProfile | Voice::Unavailable),
        voice_match_status: voice.status().to_owned(),
        total_speaker_count: speakers.len(),
        resolved_speaker_count: speakers
            .iter()
            .filter(|speaker| speaker.role != SpeakerRole::Unknown)
            .count(),
        warnings: warnings(question, verdicts),
    }
}

fn warnings(question: &Question<'_>, verdicts: &Verdicts) -> Vec<String> {
    let any = |wanted: fn(&Verdict) -> bool| verdicts.speakers.iter().any(wanted);
    let mut warnings = Vec::new();
    if any(|verdict| matches!(verdict, Verdict::Known { source: LabelSource::AnsweringPattern, .. })) {
        warnings.push(ANSWERING_PATTERN_USED.to_owned());
    }
    if question.parties.len() > 2 {
        warnings.push(MULTI_PARTY.to_owned());
    }
    if any(|verdict| *verdict == Verdict::Ambiguous) {
        warnings.push(IDENTITY_AMBIGUOUS.to_owned());
    }
    if any(|verdict| *verdict == Verdict::Unknown) {
        warnings.push(ROLES_UNRESOLVED.to_owned());
    }
    warnings
}
