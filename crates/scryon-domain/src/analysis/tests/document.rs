use serde_json::{Value, json};

use super::{document_with, full_document, read};
use crate::analysis::{
    ActionItem, Analysis, CallType, DiscussionPoint, NextStep, Polarity, Priority, Sentiment,
    SpeakerSentiment,
};

fn written(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("a writable document")
}

#[test]
fn the_full_document_survives_reading_and_writing_unchanged() {
    assert_eq!(written(&read(full_document())), full_document());
}

#[test]
fn unknown_keys_pass_through_at_top_level_and_in_evidence_lists() {
    let mut document = full_document();
    document["moodBoard"] = json!({"colours": ["red"]});
    document["decisions"][0]["agreedBy"] = json!(["spk_1"]);
    document["numbersAndAmounts"][0]["vat"] = json!(19);
    assert_eq!(written(&read(document.clone())), document);
}

#[test]
fn only_documented_nullable_fields_are_written_as_null() {
    let item = written(&ActionItem::default());
    let owner = ["ownerSpeaker", "ownerSpeakerId", "ownerSpeakerLabel", "ownerDisplayName", "ownerRole"];
    let mut nulls = vec!["dueDate", "priority"];
    nulls.extend(owner);
    nulls.sort_unstable();
    assert_eq!(null_keys(&item), nulls);
    assert_eq!(null_keys(&written(&NextStep::default())), ["ownerSpeaker", "when"]);
    assert_eq!(null_keys(&written(&Sentiment::default())), ["score"]);
    assert_eq!(null_keys(&written(&SpeakerSentiment::default())), ["score"]);
    assert_eq!(null_keys(&written(&DiscussionPoint::default())), Vec::<&str>::new());
    assert_eq!(null_keys(&written(&Analysis::default())), Vec::<&str>::new());
}

fn null_keys(value: &Value) -> Vec<&str> {
    let fields = value.as_object().expect("an object");
    let mut keys: Vec<_> =
        fields.iter().filter(|(_, value)| value.is_null()).map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn an_empty_object_reads_as_the_legacy_shape_with_empty_lists() {
    let analysis = read(json!({}));
    assert_eq!(analysis, Analysis::default());
    assert_eq!(analysis.schema_version, 0);
    assert_eq!(written(&analysis)["actionItems"], json!([]));
}

#[test]
fn reading_forgives_nulls_case_and_words_outside_the_lists() {
    let analysis = read(json!({
        "schemaVersion": 3.0,
        "callType": "Marketing",
        "suggestedTitle": null,
        "conversationOutcome": "  ",
        "decisions": null,
        "tags": "alone",
        "sentiment": {"overall": "furious", "score": 7},
        "actionItems": [{
            "title": "Call back", "dueDate": "2026-05-23T09:00:00", "priority": "URGENT",
            "ownerRole": "contact", "sourceSegmentIds": ["seg_0001", 7, null],
            "intentMetadata": {"durationMinutes": 30.0, "attendees": null, "channel": "pigeon"}
        }, {"title": null, "dueDate": "next week", "priority": "High"}]
    }));
    assert_eq!(analysis.schema_version, 3);
    assert_eq!(analysis.call_type, Some(CallType::Other));
    assert_eq!((analysis.suggested_title, analysis.conversation_outcome), (None, None));
    assert_eq!(analysis.tags, ["alone"]);
    let sentiment = analysis.sentiment.expect("a sentiment");
    assert_eq!((sentiment.overall, sentiment.score), (Some(Polarity::Unclear), None));
    let [first, second] = analysis.action_items.as_slice() else { panic!("two items") };
    assert_eq!(first.due_date.map(|day| day.to_string()).as_deref(), Some("2026-05-23"));
    assert_eq!((first.priority, second.priority), (None, Some(Priority::High)));
    assert_eq!(first.source_segment_ids, ["seg_0001"]);
    let metadata = first.intent_metadata.as_ref().expect("metadata");
    assert_eq!((metadata.duration_minutes, metadata.channel), (Some(30), None));
    assert_eq!((second.title.as_str(), second.due_date), ("", None));
}

#[test]
fn days_outside_the_calendar_are_absent() {
    for day in ["2026-02-30", "0000-01-01", "+12026-01-01", "-0001-01-01", "23.05.2026", "", "T"] {
        let analysis = read(document_with("/actionItems/0/dueDate", Some(json!(day))));
        assert_eq!(analysis.action_items[0].due_date, None, "{day:?}");
    }
}

#[test]
fn a_wrong_type_is_an_error_and_not_a_guess() {
    let cases = [
        ("/actionItems", json!({"title": "no list"})),
        ("/actionItems/0", json!("a text")),
        ("/oneLineSummary", json!(7)),
        ("/sentiment/score", json!("high")),
        ("/tags", json!({"a": 1})),
        ("/schemaVersion", json!(3.5)),
        ("/actionItems/0/intentMetadata/durationMinutes", json!(-5)),
    ];
    for (pointer, value) in cases {
        let document = document_with(pointer, Some(value));
        assert!(serde_json::from_value::<Analysis>(document).is_err(), "{pointer}");
    }
}
