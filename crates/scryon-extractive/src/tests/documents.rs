//! Complete documents of one small call, well transcribed and badly.

mod draft;
mod punctuated;

use std::collections::BTreeMap;

use scryon_domain::analysis::{Analysis, action_items};
use scryon_domain::transcript::Transcript;
use serde_json::Value;

use super::fixtures::{draft_support_call, recorded, support_call};
use crate::analyse;

/// The whole document, one line for each value, entry or field, so that a review sees what changed.
fn outline(analysis: &Analysis) -> String {
    let document = sorted(serde_json::to_value(analysis).expect("a writable document"));
    let mut lines = Vec::new();
    for (key, value) in document.as_object().expect("an object") {
        match value {
            Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_object) => {
                lines.push(format!("{key}:"));
                lines.extend(items.iter().map(|item| format!("- {item}")));
            }
            Value::Object(fields) => {
                lines.push(format!("{key}:"));
                lines.extend(fields.iter().map(|(name, value)| format!("  {name}: {value}")));
            }
            value => lines.push(format!("{key}: {value}")),
        }
    }
    lines.join("\n")
}

/// Keys in order of the alphabet, whatever order other crates of a build make `serde_json` keep.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields.into_iter().collect();
            Value::Object(fields.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        value => value,
    }
}

/// What a machine without any key must deliver.
fn has_owned_action_item(transcript: &Transcript) {
    let rows = action_items(&analyse(transcript, &recorded()), transcript);
    let owned =
        rows.iter().filter(|row| row.owner_speaker_id.is_some() && !row.source_segment_ids.is_empty());
    assert!(owned.count() >= 1, "{rows:?}");
}

#[test]
fn both_transcripts_of_the_call_leave_an_owned_action_item() {
    has_owned_action_item(&support_call());
    has_owned_action_item(&draft_support_call());
}

/// Titles repeat misheard words; what is to be done, by whom and until when must survive them.
#[test]
fn the_draft_keeps_the_tasks_of_the_call() {
    let tasks = |transcript: &Transcript| -> Vec<_> {
        let items = analyse(transcript, &recorded()).action_items.into_iter();
        let facts = items.map(|item| {
            let verb = item.title.split(' ').next().map(str::to_owned);
            (verb, item.owner_speaker_id, item.due_date, item.priority, item.intent)
        });
        facts.collect()
    };
    let expected = tasks(&support_call());
    assert_eq!(expected.len(), 3);
    assert_eq!(tasks(&draft_support_call()), expected);
}
