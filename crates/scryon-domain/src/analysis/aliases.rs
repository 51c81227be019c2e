//! Older mobile builds read the summary under its former names.

use serde_json::{Map, Value};

use super::ANALYSIS_SCHEMA_VERSION;
use super::vocabulary::Importance;

/// Adds `shortSummary`, `detailedSummary` and `keyPoints` to a stored document on its way out, each only
/// where the field it mirrors is present. Documents of older versions leave as they were stored: their
/// readers already know that shape.
pub fn with_legacy_aliases(mut document: Value) -> Value {
    let Some(fields) = document.as_object_mut() else { return document };
    let version = fields.get("schemaVersion").and_then(Value::as_f64);
    if version.is_none_or(|version| version < f64::from(ANALYSIS_SCHEMA_VERSION)) {
        return document;
    }
    for (alias, source) in [("shortSummary", "oneLineSummary"), ("detailedSummary", "executiveSummary")] {
        if let Some(text @ Value::String(_)) = fields.get(source).cloned() {
            fields.insert(alias.to_owned(), text);
        }
    }
    if let Some(points) = key_points(fields) {
        fields.insert("keyPoints".to_owned(), Value::Array(points));
    }
    document
}

/// The statements of high importance, in the order of sections and items.
fn key_points(fields: &Map<String, Value>) -> Option<Vec<Value>> {
    let sections = fields.get("sections")?.as_array()?;
    let items = sections.iter().filter_map(|section| section.get("items")?.as_array()).flatten();
    let high = items.filter(|item| {
        let importance = item.get("importance").and_then(Value::as_str).and_then(Importance::parse);
        importance == Some(Importance::High)
    });
    Some(high.filter_map(|item| item.get("text").filter(|text| text.is_string()).cloned()).collect())
}
