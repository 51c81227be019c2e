use super::{speaker, transcript};
use crate::analysis::{ActionItem, resolve_owner};
use crate::transcript::{SpeakerRole, Transcript};

fn item(id: &str, label: &str, legacy: &str, display_name: &str) -> ActionItem {
    let field = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ActionItem {
        owner_speaker_id: field(id),
        owner_speaker_label: field(label),
        owner_speaker: field(legacy),
        owner_display_name: field(display_name),
        ..ActionItem::default()
    }
}

fn owner_id(item: &ActionItem, transcript: &Transcript) -> Option<String> {
    resolve_owner(item, transcript).map(|owner| owner.speaker_id)
}

#[test]
fn an_owner_is_found_by_id_then_label_then_display_name() {
    let cases = [
        (item("spk_2", "", "", ""), Some("spk_2")),
        (item(" spk_2 ", "", "", ""), Some("spk_2")),
        (item("spk_2", "Priya", "", ""), Some("spk_2")),
        (item("spk_9", "priya", "", ""), Some("spk_1")),
        (item("", "PRIYA", "", ""), Some("spk_1")),
        (item("", "", "speaker  2", ""), Some("spk_2")),
        (item("", "", "", "priya raman"), Some("spk_1")),
        (item("", "priya raman", "", ""), Some("spk_1")),
        (item("", "", "spk_2", ""), Some("spk_2")),
        (item("", "the team", "", "Priya"), Some("spk_1")),
        (item("spk_9", "", "", ""), None),
        (item("SPK_1", "", "", ""), None),
        (item("", "Speaker", "", ""), None),
        (item("", "Priy", "", ""), None),
        (item("", "", "the customer", "somebody"), None),
        (item("", " ", "", ""), None),
        (item("", "", "", ""), None),
    ];
    for (item, expected) in cases {
        assert_eq!(owner_id(&item, &transcript()).as_deref(), expected, "{item:?}");
    }
}

#[test]
fn two_speakers_with_one_name_are_nobody() {
    let mut transcript = transcript();
    transcript.speakers.push(speaker("spk_3", "priya", None, SpeakerRole::Unknown));
    assert_eq!(owner_id(&item("", "Priya", "", ""), &transcript), None);
    assert_eq!(owner_id(&item("spk_3", "Priya", "", ""), &transcript).as_deref(), Some("spk_3"));
    assert_eq!(owner_id(&item("", "Priya", "", "Priya Raman"), &transcript).as_deref(), Some("spk_1"));
}

#[test]
fn every_owner_field_comes_from_the_speaker_and_none_from_the_claim() {
    let mut claim = item("spk_2", "Priya", "", "Priya Raman");
    claim.owner_role = Some(SpeakerRole::User);
    let owner = resolve_owner(&claim, &transcript()).expect("an owner");
    assert_eq!(owner.label, "Speaker 2");
    assert_eq!(owner.display_name, None);
    assert_eq!(owner.role, SpeakerRole::Contact);
}

#[test]
fn a_transcript_without_speakers_owns_nothing() {
    let mut transcript = transcript();
    transcript.speakers.clear();
    assert_eq!(resolve_owner(&item("spk_1", "Priya", "Priya", "Priya"), &transcript), None);
}
