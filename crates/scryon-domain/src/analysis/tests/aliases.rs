use serde_json::{Value, json};

use super::full_document;
use crate::analysis::with_legacy_aliases;

fn aliases(document: &Value) -> [Option<&Value>; 3] {
    ["shortSummary", "detailedSummary", "keyPoints"].map(|alias| document.get(alias))
}

#[test]
fn aliases_mirror_the_new_fields() {
    let served = with_legacy_aliases(full_document());
    assert_eq!(served["shortSummary"], served["oneLineSummary"]);
    assert_eq!(served["detailedSummary"], served["executiveSummary"]);
    assert_eq!(served["keyPoints"], json!(["Jams since Monday."]));
    let mut without = served;
    for alias in ["shortSummary", "detailedSummary", "keyPoints"] {
        without.as_object_mut().unwrap().remove(alias).expect("an alias");
    }
    assert_eq!(without, full_document(), "nothing else may change");
}

#[test]
fn key_points_keep_the_order_of_sections_and_items_and_skip_the_rest() {
    let served = with_legacy_aliases(json!({"schemaVersion": 3, "sections": [
        {"title": "B", "items": [
            {"text": "one", "importance": "High"},
            {"text": "skipped", "importance": "medium"},
            {"text": 7, "importance": "high"},
            {"importance": "high"},
            {"text": "two", "importance": "high"}
        ]},
        {"title": "no items"},
        {"title": "A", "items": [{"text": "three", "importance": "high"}, "not an item"]}
    ]}));
    assert_eq!(served["keyPoints"], json!(["one", "two", "three"]));
    assert_eq!(aliases(&served)[..2], [None, None], "no summary, no alias");
}

#[test]
fn an_alias_appears_only_where_its_source_is_a_present_value() {
    let served = with_legacy_aliases(json!({"schemaVersion": 3, "oneLineSummary": null, "sections": null}));
    assert_eq!(aliases(&served), [None, None, None]);
    let served = with_legacy_aliases(json!({"schemaVersion": 3, "sections": []}));
    assert_eq!(aliases(&served), [None, None, Some(&json!([]))]);
}

#[test]
fn older_documents_and_other_values_leave_untouched() {
    let mut documents = vec![json!([1, 2]), json!("text"), json!(null), json!({"keyPoints": ["a"]})];
    for version in [json!(1), json!(2), json!("3"), json!(null)] {
        let mut document = full_document();
        document["schemaVersion"] = version;
        documents.push(document);
    }
    let mut unversioned = full_document();
    unversioned.as_object_mut().unwrap().remove("schemaVersion");
    documents.push(unversioned);
    for document in documents {
        assert_eq!(with_legacy_aliases(document.clone()), document);
    }
}
