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
    insta::assert_json_snapshot!(assemble(&input), @r#"
    {
      "schemaVersion": 2,
      "callId": "00000000-0000-7000-8000-000000000001",
      "language": "en",
      "durationSeconds": 120.0,
      "cleanText": "[00:00 - 00:00] Ravi Kumar: Hello?\n[00:01 - 00:03] Praveen Rao: Hi Ravi, the invoice is ready.\n[00:02 - 00:02] Ravi Kumar: mm-hm\n[00:04 - 00:05] Ravi Kumar: Thank you.",
      "speakers": [
        {
          "speakerId": "spk_1",
          "sourceSpeakerId": "CHANNEL_1",
          "label": "Ravi Kumar",
          "displayName": "Ravi Kumar",
          "role": "CONTACT",
          "confidence": "MEDIUM",
          "labelSource": "BY_ELIMINATION"
        },
        {
          "speakerId": "spk_2",
          "sourceSpeakerId": "CHANNEL_0",
          "label": "Praveen Rao",
          "displayName": "Praveen Rao",
          "role": "USER",
          "confidence": "HIGH",
          "labelSource": "CHANNEL"
        }
      ],
      "segments": [
        {
          "id": "seg_0001",
          "speakerId": "spk_1",
          "speaker": "Ravi Kumar",
          "speakerLabel": "Ravi Kumar",
          "speakerDisplayName": "Ravi Kumar",
          "sourceSpeakerId": "CHANNEL_1",
          "role": "CONTACT",
          "startSeconds": 0.35,
          "endSeconds": 0.65,
          "text": "Hello?",
          "alignmentConfidence": "HIGH"
        },
        {
          "id": "seg_0002",
          "speakerId": "spk_2",
          "speaker": "Praveen Rao",
          "speakerLabel": "Praveen Rao",
          "speakerDisplayName": "Praveen Rao",
          "sourceSpeakerId": "CHANNEL_0",
          "role": "USER",
          "startSeconds": 1.2,
          "endSeconds": 3.9,
          "text": "Hi Ravi, the invoice is ready.",
          "alignmentConfidence": "HIGH"
        },
        {
          "id": "seg_0003",
          "speakerId": "spk_1",
          "speaker": "Ravi Kumar",
          "speakerLabel": "Ravi Kumar",
          "speakerDisplayName": "Ravi Kumar",
          "sourceSpeakerId": "CHANNEL_1",
          "role": "CONTACT",
          "startSeconds": 2.0,
          "endSeconds": 2.3,
          "text": "mm-hm",
          "alignmentConfidence": "HIGH"
        },
        {
          "id": "seg_0004",
          "speakerId": "spk_1",
          "speaker": "Ravi Kumar",
          "speakerLabel": "Ravi Kumar",
          "speakerDisplayName": "Ravi Kumar",
          "sourceSpeakerId": "CHANNEL_1",
          "role": "CONTACT",
          "startSeconds": 4.9,
          "endSeconds": 5.6,
          "text": "Thank you.",
          "alignmentConfidence": "HIGH"
        }
      ],
      "speakerResolution": {
        "strategyVersion": 1,
        "usedUserDisplayName": true,
        "usedContactName": true,
        "usedDirection": false,
        "usedPhoneFallback": false,
        "voiceEmbeddingEnabled": false,
        "voiceProfileUsed": false,
        "voiceMatchStatus": "DISABLED",
        "totalSpeakerCount": 2,
        "resolvedSpeakerCount": 2,
        "warnings": []
      },
      "pipeline": {
        "transcriptionProvider": "pocketsphinx",
        "transcriptionModel": "en-us",
        "diarizationProvider": "channels",
        "diarizationModel": "stereo",
        "alignmentVersion": "1.0",
        "normalizationVersion": 1,
        "status": "COMPLETED",
        "qualityWarnings": [
          "draft_quality_engine"
        ]
      },
      "createdAt": "2026-11-20T08:00:00Z"
    }
    "#);
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
    insta::assert_json_snapshot!(assemble(&input), @r#"
    {
      "schemaVersion": 2,
      "callId": "00000000-0000-7000-8000-000000000001",
      "language": "en",
      "durationSeconds": 120.0,
      "cleanText": "[00:00 - 00:02] Contact ending 4477: Acme support, how can I help?\n[00:03 - 00:05] Praveen Rao: Good morning. It is about my order.\n[00:40 - 00:41] Contact ending 4477: Sure. Which one?\n[00:42 - 00:47] Praveen Rao: The blue one.\n[01:00 - 01:00] Praveen Rao: Thanks!",
      "speakers": [
        {
          "speakerId": "spk_1",
          "sourceSpeakerId": "SPEAKER_01",
          "label": "Contact ending 4477",
          "displayName": "Contact ending 4477",
          "role": "CONTACT",
          "confidence": "MEDIUM",
          "labelSource": "PHONE_FALLBACK"
        },
        {
          "speakerId": "spk_2",
          "sourceSpeakerId": "SPEAKER_00",
          "label": "Praveen Rao",
          "displayName": "Praveen Rao",
          "role": "USER",
          "confidence": "MEDIUM",
          "labelSource": "BY_ELIMINATION"
        }
      ],
      "segments": [
        {
          "id": "seg_0001",
          "speakerId": "spk_1",
          "speaker": "Contact ending 4477",
          "speakerLabel": "Contact ending 4477",
          "speakerDisplayName": "Contact ending 4477",
          "sourceSpeakerId": "SPEAKER_01",
          "role": "CONTACT",
          "startSeconds": 0.0,
          "endSeconds": 2.3,
          "text": "Acme support, how can I help?",
          "alignmentConfidence": "HIGH"
        },
        {
          "id": "seg_0002",
          "speakerId": "spk_2",
          "speaker": "Praveen Rao",
          "speakerLabel": "Praveen Rao",
          "speakerDisplayName": "Praveen Rao",
          "sourceSpeakerId": "SPEAKER_00",
          "role": "USER",
          "startSeconds": 3.0,
          "endSeconds": 5.7,
          "text": "Good morning. It is about my order.",
          "alignmentConfidence": "HIGH"
        },
        {
          "id": "seg_0003",
          "speakerId": "spk_1",
          "speaker": "Contact ending 4477",
          "speakerLabel": "Contact ending 4477",
          "speakerDisplayName": "Contact ending 4477",
          "sourceSpeakerId": "SPEAKER_01",
          "role": "CONTACT",
          "startSeconds": 40.0,
          "endSeconds": 41.1,
          "text": "Sure. Which one?",
          "alignmentConfidence": "HIGH"
        },
        {
          "id": "seg_0004",
          "speakerId": "spk_2",
          "speaker": "Praveen Rao",
          "speakerLabel": "Praveen Rao",
          "speakerDisplayName": "Praveen Rao",
          "sourceSpeakerId": "SPEAKER_00",
          "role": "USER",
          "startSeconds": 42.0,
          "endSeconds": 47.5,
          "text": "The blue one.",
          "alignmentConfidence": "MEDIUM"
        },
        {
          "id": "seg_0005",
          "speakerId": "spk_2",
          "speaker": "Praveen Rao",
          "speakerLabel": "Praveen Rao",
          "speakerDisplayName": "Praveen Rao",
          "sourceSpeakerId": "SPEAKER_00",
          "role": "USER",
          "startSeconds": 60.0,
          "endSeconds": 60.4,
          "text": "Thanks!",
          "alignmentConfidence": "LOW"
        }
      ],
      "speakerResolution": {
        "strategyVersion": 1,
        "usedUserDisplayName": true,
        "usedContactName": false,
        "usedDirection": false,
        "usedPhoneFallback": true,
        "voiceEmbeddingEnabled": false,
        "voiceProfileUsed": false,
        "voiceMatchStatus": "DISABLED",
        "totalSpeakerCount": 2,
        "resolvedSpeakerCount": 2,
        "warnings": [
          "answering_pattern_used"
        ]
      },
      "pipeline": {
        "transcriptionProvider": "pocketsphinx",
        "transcriptionModel": "en-us",
        "diarizationProvider": "pyannote",
        "diarizationModel": "precision-2",
        "alignmentVersion": "1.0",
        "normalizationVersion": 1,
        "status": "COMPLETED",
        "qualityWarnings": []
      },
      "createdAt": "2026-11-20T08:00:00Z"
    }
    "#);
}
