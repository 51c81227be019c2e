use serde_json::{Value, json};

use super::{document_with, full_document, read};
use crate::analysis::{
    ANALYSIS_SCHEMA, ANALYSIS_SCHEMA_VERSION, ActionIntent, AmountKind, CallType, Channel, Energy, Formality,
    Importance, Pace, Phase, Polarity, Priority, ProviderHint,
};

fn schema() -> Value {
    serde_json::from_str(ANALYSIS_SCHEMA).expect("a schema in JSON")
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).expect("a valid schema")
}

#[test]
fn the_schema_is_a_schema() {
    jsonschema::draft202012::meta::validate(&schema()).expect("valid under the draft's own schema");
    assert_eq!(schema()["properties"]["schemaVersion"]["const"], ANALYSIS_SCHEMA_VERSION);
}

#[test]
fn documents_that_must_pass() {
    let validator = validator();
    let minimal = json!({
        "schemaVersion": 3, "callType": "unknown", "oneLineSummary": "Nothing was said.",
        "executiveSummary": "Nothing was said.", "executiveSummaryBullets": [], "actionItems": [],
        "nextSteps": [], "sentiment": {"overall": "unclear", "score": null}, "tags": [],
        "qualityWarnings": ["no_speech"]
    });
    let mut documents = vec![full_document(), minimal];
    let variants = [
        ("/newKey", json!({"anything": [1, 2]})),
        ("/actionItems/0/newKey", json!("passes")),
        ("/actionItems/0/dueDate", json!(null)),
        ("/actionItems/0/priority", json!(null)),
        ("/actionItems/0/ownerSpeakerId", json!(null)),
        ("/actionItems/0/ownerRole", json!(null)),
        ("/actionItems/0/intentMetadata", json!(null)),
        ("/actionItems/0/intentMetadata/toEmail", json!(null)),
        ("/actionItems/0/intentMetadata/proposedAt", json!("2026-05-23T11:00:00Z")),
        ("/actionItems/0/sourceSegmentIds", json!(["seg_123456"])),
        ("/executiveSummaryBullets/0/startTimestamp", json!("01:00:59")),
        ("/keyDiscussionPoints/0/speakerId", json!(null)),
        ("/conversationOutcome", json!(null)),
        ("/sentiment/score", json!(-1)),
        ("/tone", json!(null)),
    ];
    documents.extend(variants.map(|(pointer, value)| document_with(pointer, Some(value))));
    for document in documents {
        if let Err(error) = validator.validate(&document) {
            panic!("{error} at {}", error.instance_path());
        }
        // Whatever the schema lets through must be readable, or a paid answer is lost.
        read(document);
    }
}

#[test]
fn documents_that_must_not_pass() {
    let validator = validator();
    let cases = [
        ("/schemaVersion", json!(2)),
        ("/callType", json!("marketing")),
        ("/oneLineSummary", json!("")),
        ("/executiveSummary", json!(null)),
        ("/executiveSummaryBullets/0/startTimestamp", json!("4:12")),
        ("/executiveSummaryBullets/0/startTimestamp", json!("75:10")),
        ("/executiveSummaryBullets/0/paragraphs", json!("one")),
        ("/sections/0/items/0/importance", json!("HIGH")),
        ("/sections/0/items/0/sourceSegmentIds", json!(["seg_12"])),
        ("/sections/0/items/0/sourceSegmentIds", json!(["xseg_0012"])),
        ("/keyDiscussionPoints/0/phase", json!("start")),
        ("/keyDiscussionPoints/0/speakerRole", json!("AGENT")),
        ("/actionItems/0/title", json!("  ")),
        ("/actionItems/0/ownerSpeakerId", json!("Speaker 1")),
        ("/actionItems/0/dueDate", json!("tomorrow")),
        ("/actionItems/0/dueDate", json!("2026-13-01")),
        ("/actionItems/0/priority", json!("urgent")),
        ("/actionItems/0/intent", json!("fax")),
        ("/actionItems/0/sourceSegmentIds", json!("seg_0001")),
        ("/actionItems/0/intentMetadata/durationMinutes", json!("30")),
        ("/actionItems/0/intentMetadata/proposedAt", json!("Friday at 11")),
        ("/actionItems/0/intentMetadata/toEmail", json!("ana at example dot com")),
        ("/actionItems/0/intentMetadata/channel", json!("fax")),
        ("/actionItems/0/intentMetadata/providerHint", json!("skype")),
        ("/nextSteps/0/text", json!("")),
        ("/decisions/0", json!("a bare text")),
        ("/importantDates/0/date", json!("23.05.2026")),
        ("/numbersAndAmounts/0/value", json!("99")),
        ("/sentiment/overall", json!("happy")),
        ("/sentiment/score", json!(1.5)),
        ("/sentiment/userSentiment/score", json!(-1.01)),
        ("/sentiment/progression/0/phase", json!("end")),
        ("/sentiment/emotionalSignals", json!(["a", "b", "c", "d", "e", "f", "g"])),
        ("/tone/formality", json!("casual")),
        ("/tone/pace", json!("medium")),
        ("/tags", json!([1])),
    ];
    for (pointer, value) in cases {
        let document = document_with(pointer, Some(value.clone()));
        assert!(!validator.is_valid(&document), "{pointer} = {value} passed");
    }
}

#[test]
fn required_fields_are_required() {
    let validator = validator();
    let pointers = [
        "/schemaVersion",
        "/callType",
        "/oneLineSummary",
        "/executiveSummary",
        "/executiveSummaryBullets",
        "/actionItems",
        "/nextSteps",
        "/sentiment",
        "/tags",
        "/qualityWarnings",
        "/executiveSummaryBullets/0/header",
        "/actionItems/0/title",
        "/actionItems/0/dueDate",
        "/actionItems/0/priority",
        "/actionItems/0/sourceSegmentIds",
        "/nextSteps/0/text",
        "/risks/0/sourceSegmentIds",
        "/sentiment/score",
        "/sentiment/contactSentiment/overall",
    ];
    for pointer in pointers {
        assert!(!validator.is_valid(&document_with(pointer, None)), "{pointer} may be left out");
    }
    for pointer in ["/tone", "/conversationOutcome", "/followUps", "/actionItems/0/ownerRole"] {
        assert!(validator.is_valid(&document_with(pointer, None)), "{pointer} may not be left out");
    }
}

/// The same words in both places, or documents we write would fail our own schema.
#[test]
fn closed_lists_are_the_same_in_the_schema_and_in_the_types() {
    let schema = schema();
    let words = |pointer: &str| -> Vec<String> {
        let list = schema.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("{pointer}"));
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    macro_rules! same {
        ($pointer:literal, $list:ident) => {
            let typed: Vec<_> = $list::ALL.iter().map(|word| word.as_str()).collect();
            assert_eq!(words($pointer), typed, $pointer);
        };
    }
    same!("/properties/callType/enum", CallType);
    same!("/$defs/importance/enum", Importance);
    same!("/$defs/phase/enum", Phase);
    same!("/$defs/polarity/enum", Polarity);
    same!("/$defs/actionItem/properties/priority/enum", Priority);
    same!("/$defs/actionItem/properties/intent/enum", ActionIntent);
    same!("/$defs/intentMetadata/properties/providerHint/enum", ProviderHint);
    same!("/$defs/intentMetadata/properties/channel/enum", Channel);
    same!("/$defs/amount/properties/kind/enum", AmountKind);
    same!("/$defs/tone/properties/formality/enum", Formality);
    same!("/$defs/tone/properties/energy/enum", Energy);
    same!("/$defs/tone/properties/pace/enum", Pace);
}

/// A key of the types that the schema does not know would go unchecked.
#[test]
fn every_written_key_is_known_to_the_schema() {
    let schema = schema();
    let known = schema["properties"].as_object().expect("properties");
    let written = serde_json::to_value(read(full_document())).unwrap();
    for key in written.as_object().unwrap().keys() {
        assert!(known.contains_key(key), "{key}");
    }
}
