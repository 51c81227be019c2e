use serde_json::{Map, Value, json};

use super::{action_item, document_with, full_document, read, transcript};
use crate::analysis::{ActionIntent, ActionItemDraft, MAX_TITLE_CHARS, Priority, action_items};
use crate::transcript::SpeakerRole;

fn drafts(item: Value) -> Vec<ActionItemDraft> {
    let document = Value::Object(Map::from_iter([("actionItems".to_owned(), Value::Array(vec![item]))]));
    action_items(&read(document), &transcript())
}

#[test]
fn a_row_carries_everything_the_item_says() {
    let rows = action_items(&read(full_document()), &transcript());
    let [row] = rows.as_slice() else { panic!("one row") };
    assert_eq!(row.title, "Send a technician");
    assert_eq!(row.description.as_deref(), Some("To the office."));
    assert_eq!(row.due_date.map(|day| day.to_string()).as_deref(), Some("2026-05-23"));
    assert_eq!(row.priority, Some(Priority::High));
    assert_eq!(row.owner_speaker_id.as_deref(), Some("spk_1"));
    assert_eq!(row.owner_speaker_label.as_deref(), Some("Priya"));
    assert_eq!(row.owner_display_name.as_deref(), Some("Priya Raman"));
    assert_eq!(row.owner_role, Some(SpeakerRole::User));
    assert_eq!(row.source_segment_ids, ["seg_0003"]);
    assert_eq!(row.intent, Some(ActionIntent::Meeting));
    assert_eq!(row.intent_metadata, Some(action_item()["intentMetadata"].clone()));
    let source =
        r#"priority=high; segments=seg_0003; owner="Priya"; text="I'll send a technician tomorrow.""#;
    assert_eq!(row.source_text, source);
    assert_eq!(row.identity, "send a technician|seg_0003|spk_1");
}

#[test]
fn an_owner_that_cannot_be_matched_leaves_all_owner_columns_null_and_a_trace() {
    let mut item = action_item();
    item["ownerSpeakerId"] = json!("spk_9");
    item["ownerSpeaker"] = json!("the \"boss\"");
    item["ownerSpeakerLabel"] = json!(null);
    item["ownerDisplayName"] = json!("The Boss");
    let rows = drafts(item);
    let row = &rows[0];
    let owner = (&row.owner_speaker_id, &row.owner_speaker_label, &row.owner_display_name);
    assert_eq!(owner, (&None, &None, &None));
    assert_eq!(row.owner_role, None, "a role without its owner is a claim about nobody");
    assert!(row.source_text.contains("owner=\"the 'boss'\""), "{}", row.source_text);
    assert_eq!(row.identity, "send a technician|seg_0003|-");
}

#[test]
fn titles_are_required_trimmed_and_capped() {
    assert_eq!(drafts(json!({"title": " \n\u{0} "})), []);
    assert_eq!(drafts(json!({"sourceSegmentIds": ["seg_0001"]})), []);
    assert_eq!(drafts(json!({"title": "  Call\tAna \u{7}back\n"}))[0].title, "Call Ana back");
    let exact = "ä".repeat(MAX_TITLE_CHARS);
    assert_eq!(drafts(json!({ "title": exact }))[0].title, exact);
    let long = format!("{} end", "ä ".repeat(MAX_TITLE_CHARS));
    let title = &drafts(json!({ "title": long }))[0].title;
    assert!(title.chars().count() <= MAX_TITLE_CHARS && title.ends_with("ä…"), "{title}");
}

#[test]
fn a_bare_item_leaves_everything_else_null() {
    let rows = drafts(json!({"title": "Call back"}));
    let [row] = rows.as_slice() else { panic!("one row") };
    assert_eq!((row.description.as_deref(), row.due_date, row.priority), (None, None, None));
    assert_eq!((row.intent, row.intent_metadata.as_ref()), (None, None));
    assert_eq!((row.source_text.as_str(), row.identity.as_str()), ("", "call back|-|-"));
}

#[test]
fn rows_cite_each_existing_segment_once() {
    let ids = json!(["seg_0404", "seg_0002", "seg_0003", "seg_0002"]);
    let document = document_with("/actionItems/0/sourceSegmentIds", Some(ids));
    let rows = action_items(&read(document), &transcript());
    assert_eq!(rows[0].source_segment_ids, ["seg_0002", "seg_0003"]);
    assert!(rows[0].source_text.contains("segments=seg_0002,seg_0003;"), "{}", rows[0].source_text);
    assert!(rows[0].source_text.ends_with("text=\"The printer 'eats' paper since Monday.\""));
}

#[test]
fn the_identity_ignores_case_punctuation_and_everything_people_edit() {
    let mut again = action_item();
    again["title"] = json!("send a TECHNICIAN!");
    again["dueDate"] = json!(null);
    again["priority"] = json!("low");
    again["description"] = json!("Other words.");
    again["sourceSegmentIds"] = json!(["seg_0003", "seg_0001"]);
    assert_eq!(drafts(again)[0].identity, drafts(action_item())[0].identity);
    for (key, value) in [
        ("title", json!("Send the technician")),
        ("sourceSegmentIds", json!(["seg_0001"])),
        ("ownerSpeakerId", json!("spk_2")),
    ] {
        let mut other = action_item();
        other[key] = value;
        assert_ne!(drafts(other)[0].identity, drafts(action_item())[0].identity, "{key}");
    }
}

#[test]
fn one_task_found_twice_is_one_row() {
    let mut twin = action_item();
    twin["title"] = json!("Send a technician.");
    let document = json!({"actionItems": [action_item(), twin, {"title": "Another"}]});
    let titles: Vec<_> =
        action_items(&read(document), &transcript()).into_iter().map(|row| row.title).collect();
    assert_eq!(titles, ["Send a technician", "Another"]);
}
