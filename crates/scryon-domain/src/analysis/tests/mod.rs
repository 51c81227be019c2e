//! Tests of the analysis document, one file per module.

mod aliases;
mod document;
mod drafts;
mod grounding;
mod mood;
mod owner;
mod schema;
mod vocabulary;

use serde_json::{Value, json};

use super::Analysis;
use crate::ids::CallId;
use crate::transcript::{
    Confidence, LabelSource, PipelineInfo, Segment, Speaker, SpeakerResolution, SpeakerRole, Transcript,
};

/// A two-party transcript of 62.4 s: `spk_1` Priya (USER) and `spk_2` Speaker 2 (CONTACT).
fn transcript() -> Transcript {
    let speakers = vec![
        speaker("spk_1", "Priya", Some("Priya Raman"), SpeakerRole::User),
        speaker("spk_2", "Speaker 2", None, SpeakerRole::Contact),
    ];
    let texts = [
        (0, "Thanks for calling, what happened?"),
        (1, "The printer\t\"eats\" paper since Monday."),
        (0, "I'll send a technician tomorrow."),
    ];
    let segments =
        texts.iter().enumerate().map(|(index, (who, text))| segment(index, &speakers[*who], text)).collect();
    Transcript {
        schema_version: 2,
        call_id: CallId(uuid::Uuid::nil()),
        language: Some("en".to_owned()),
        duration_seconds: 62.4,
        clean_text: String::new(),
        speakers,
        segments,
        speaker_resolution: resolution(),
        pipeline: pipeline(),
        created_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn speaker(id: &str, label: &str, display_name: Option<&str>, role: SpeakerRole) -> Speaker {
    Speaker {
        speaker_id: id.to_owned(),
        source_speaker_id: format!("SOURCE_{id}"),
        label: label.to_owned(),
        display_name: display_name.map(str::to_owned),
        role,
        confidence: Confidence::High,
        label_source: LabelSource::Channel,
        voice_match_score: None,
    }
}

fn segment(index: usize, speaker: &Speaker, text: &str) -> Segment {
    let start_seconds = index as f64 * 20.0;
    Segment {
        id: format!("seg_{:04}", index + 1),
        speaker_id: speaker.speaker_id.clone(),
        speaker: speaker.label.clone(),
        speaker_label: speaker.label.clone(),
        speaker_display_name: speaker.display_name.clone(),
        source_speaker_id: speaker.source_speaker_id.clone(),
        role: speaker.role,
        start_seconds,
        end_seconds: start_seconds + 15.0,
        text: text.to_owned(),
        alignment_confidence: Confidence::High,
    }
}

fn resolution() -> SpeakerResolution {
    SpeakerResolution {
        strategy_version: 1,
        used_user_display_name: false,
        used_contact_name: false,
        used_direction: false,
        used_phone_fallback: false,
        voice_embedding_enabled: false,
        voice_profile_used: false,
        voice_match_status: "DISABLED".to_owned(),
        total_speaker_count: 2,
        resolved_speaker_count: 2,
        warnings: Vec::new(),
    }
}

fn pipeline() -> PipelineInfo {
    PipelineInfo {
        transcription_provider: "test".to_owned(),
        transcription_model: "test".to_owned(),
        diarization_provider: "channels".to_owned(),
        diarization_model: "channels".to_owned(),
        alignment_version: "1.0".to_owned(),
        normalization_version: 1,
        status: "COMPLETED".to_owned(),
        quality_warnings: Vec::new(),
    }
}

/// A document that uses every documented field once and cites only `seg_0001` to `seg_0003`.
fn full_document() -> Value {
    json!({
        "schemaVersion": 3,
        "callType": "support",
        "suggestedTitle": "Printer repair",
        "oneLineSummary": "A printer eats paper and a technician will come.",
        "executiveSummary": "The printer has been jamming since Monday. A visit was promised.",
        "executiveSummaryBullets": [
            {"header": "Printer fault", "startTimestamp": "00:20", "paragraphs": ["It jams on every page."]}
        ],
        "conversationOutcome": "A technician comes tomorrow.",
        "sections": [{
            "id": "sec_001", "title": "Fault", "type": "concern", "summary": "Paper jams.",
            "items": [
                {"text": "Jams since Monday.", "importance": "high", "speaker": "Speaker 2",
                 "sourceSegmentIds": ["seg_0002"]},
                {"text": "Greeting.", "importance": "low", "sourceSegmentIds": ["seg_0001"]}
            ]
        }],
        "keyDiscussionPoints": [
            {"text": "The fault was described.", "topic": "Printer", "phase": "middle", "speakerId": "spk_2",
             "speakerLabel": "Speaker 2", "speakerDisplayName": "Speaker 2", "speakerRole": "CONTACT",
             "importance": "medium", "sourceSegmentIds": ["seg_0002"]}
        ],
        "actionItems": [action_item()],
        "followUps": [{"text": "Ask how it went.", "ownerSpeaker": "Priya", "sourceSegmentIds": ["seg_0003"]}],
        "nextSteps": [
            {"text": "Look at the log files", "ownerSpeaker": null, "when": null,
             "sourceSegmentIds": ["seg_0003"]}
        ],
        "importantDates": [{"text": "tomorrow", "date": "2026-05-23", "context": "The visit.",
                            "sourceSegmentIds": ["seg_0003"]}],
        "decisions": [finding("A technician is sent.")],
        "commitments": [finding("A technician is sent tomorrow.")],
        "openQuestions": [finding("Which model is it?")],
        "risks": [finding("The warranty may be over.")],
        "opportunities": [finding("A service contract.")],
        "peopleMentioned": [{"name": "Priya", "context": "Support", "sourceSegmentIds": ["seg_0001"]}],
        "numbersAndAmounts": [{"text": "99 dollars", "kind": "money", "value": 99.0, "unit": "USD",
                               "context": "Call-out fee.", "sourceSegmentIds": ["seg_0003"]}],
        "sentiment": {
            "overall": "mixed", "score": -0.25, "reason": "Annoyed, then relieved.",
            "userSentiment": {"overall": "neutral", "score": 0.0, "notes": "Calm."},
            "contactSentiment": {"overall": "negative", "score": -0.5, "notes": "Annoyed."},
            "progression": [{"phase": "opening", "overall": "negative", "note": "The fault.",
                             "sourceSegmentIds": ["seg_0002"]}],
            "emotionalSignals": ["annoyed"]
        },
        "tone": {
            "overall": "professional", "descriptors": ["calm"], "formality": "semi-formal",
            "energy": "medium", "pace": "normal", "notes": "Polite on both sides.",
            "byParty": {
                "userTone": {"overall": "supportive", "descriptors": ["calm"], "notes": "Helps."},
                "contactTone": {"overall": "terse", "descriptors": ["short"], "notes": "To the point."}
            }
        },
        "tags": ["support", "printer"],
        "qualityWarnings": []
    })
}

fn action_item() -> Value {
    json!({
        "title": "Send a technician",
        "description": "To the office.",
        "ownerSpeaker": "Priya", "ownerSpeakerId": "spk_1", "ownerSpeakerLabel": "Priya",
        "ownerDisplayName": "Priya Raman", "ownerRole": "USER",
        "dueDate": "2026-05-23", "priority": "high", "sourceSegmentIds": ["seg_0003"],
        "intent": "meeting",
        "intentMetadata": {
            "providerHint": "phone", "attendees": [{"name": "Ana", "email": "ana@example.com"}],
            "proposedAt": "2026-05-23T11:00:00", "durationMinutes": 30, "title": "Repair",
            "location": "the office", "toEmail": "ana@example.com", "toName": "Ana", "subject": "Repair",
            "bodyPreview": "A technician comes.", "phoneNumber": "5550100", "contactName": "Ana",
            "channel": "sms", "handle": "@ana", "remindAt": "2026-05-23T09:00:00", "notes": "Bring toner."
        }
    })
}

fn finding(text: &str) -> Value {
    json!({"text": text, "speakerId": "spk_1", "importance": "medium", "sourceSegmentIds": ["seg_0003"]})
}

fn read(document: Value) -> Analysis {
    serde_json::from_value(document).expect("a readable document")
}

/// The full document with the value at a JSON pointer replaced, or removed.
fn document_with(pointer: &str, value: Option<Value>) -> Value {
    let mut document = full_document();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer with a slash");
    let parent = document.pointer_mut(parent).expect("an existing parent");
    match (parent, value) {
        (Value::Object(fields), Some(value)) => {
            fields.insert(key.to_owned(), value);
        }
        (Value::Object(fields), None) => {
            fields.remove(key).expect("an existing key");
        }
        (Value::Array(items), Some(value)) => items[key.parse::<usize>().expect("an index")] = value,
        (parent, value) => panic!("cannot put {value:?} at {pointer} into {parent}"),
    }
    document
}
