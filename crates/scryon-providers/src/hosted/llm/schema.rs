//! The schema of the document as a language model is held to it. Strict mode knows a part of JSON Schema only:
//! every property is required, none may be added, and what may be absent is null instead. What it cannot say
//! (patterns, bounds) is checked on the answer.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use scryon_domain::analysis::ANALYSIS_SCHEMA;
use serde_json::{Map, Value, json};

/// Keywords that strict mode understands and that are carried over as they are.
const KEPT: &[&str] = &["type", "enum", "description", "$ref"];

/// Properties that the model is not asked for: those that follow from the transcript or from another property,
/// older names of others, and what would lead beyond the hundred properties that strict mode takes. The empty
/// name is the document itself.
const LEFT_OUT: &[(&str, &[&str])] = &[
    ("", &["schemaVersion", "followUps", "qualityWarnings"]),
    ("section", &["id"]),
    ("sectionItem", &["speaker"]),
    ("discussionPoint", &["speakerId", "speakerLabel", "speakerDisplayName", "speakerRole"]),
    ("actionItem", &["ownerSpeaker", "ownerSpeakerLabel", "ownerDisplayName", "ownerRole"]),
    ("intentMetadata", &["handle", "notes"]),
    ("tone", &["byParty", "notes"]),
];

static WHOLE: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(ANALYSIS_SCHEMA).unwrap_or_default());
static STRICT: LazyLock<Value> = LazyLock::new(|| strict(&WHOLE));

/// The schema for strict mode.
pub(super) fn strict_schema() -> &'static Value {
    &STRICT
}

/// Removes the nulls of an answer that stand for absent properties.
pub(super) fn drop_absent(document: &mut Value) {
    prune(document, &WHOLE);
}

fn strict(schema: &Value) -> Value {
    let mut out = narrowed("", schema);
    let empty = Map::new();
    let defs = schema["$defs"].as_object().unwrap_or(&empty);
    let mut used = BTreeSet::new();
    let mut open: Vec<String> = references(&out);
    let mut narrow = Map::new();
    while let Some(name) = open.pop() {
        if let Some(def) = defs.get(&name)
            && used.insert(name.clone())
        {
            let def = narrowed(&name, def);
            open.extend(references(&def));
            narrow.insert(name, def);
        }
    }
    out["$defs"] = Value::Object(narrow);
    out
}

/// One node of the schema, with all below it.
fn narrowed(name: &str, node: &Value) -> Value {
    let mut out = Map::new();
    for keyword in KEPT {
        if let Some(value) = node.get(keyword) {
            out.insert((*keyword).to_owned(), value.clone());
        }
    }
    if let Some(values) = node["enum"].as_array()
        && !out.contains_key("type")
    {
        let null = if values.contains(&Value::Null) { json!(["string", "null"]) } else { json!("string") };
        out.insert("type".to_owned(), null);
    }
    if let Some(items) = node.get("items") {
        out.insert("items".to_owned(), narrowed("", items));
    }
    if let Some(choices) = node["anyOf"].as_array() {
        out.insert("anyOf".to_owned(), choices.iter().map(|choice| narrowed("", choice)).collect());
    }
    if let Some(properties) = node["properties"].as_object() {
        let left_out =
            LEFT_OUT.iter().find(|(def, _)| *def == name).map_or(&[] as &[&str], |(_, names)| names);
        let properties: Map<String, Value> = properties
            .iter()
            .filter(|(key, _)| !left_out.contains(&key.as_str()))
            .map(|(key, property)| (key.clone(), optional(node, key, property)))
            .collect();
        out.insert("required".to_owned(), properties.keys().cloned().collect());
        out.insert("properties".to_owned(), Value::Object(properties));
        out.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    Value::Object(out)
}

/// A property, with null where it may be absent. A list needs none: an empty one says the same.
fn optional(parent: &Value, key: &str, property: &Value) -> Value {
    let narrow = narrowed("", property);
    if is_required(parent, key) || is_nullable(property) || resolve(property)["type"] == "array" {
        narrow
    } else {
        json!({"anyOf": [narrow, {"type": "null"}]})
    }
}

fn is_required(parent: &Value, key: &str) -> bool {
    parent["required"].as_array().is_some_and(|names| names.iter().any(|name| name == key))
}

fn is_nullable(node: &Value) -> bool {
    let node = resolve(node);
    let list = |name: &str| node[name].as_array().map(Vec::as_slice).unwrap_or_default();
    list("type").iter().any(|kind| kind == "null")
        || node["type"] == "null"
        || list("enum").contains(&Value::Null)
        || list("anyOf").iter().any(is_nullable)
}

/// The node itself, or what it refers to.
fn resolve(node: &Value) -> &Value {
    reference(node).map_or(node, |name| &WHOLE["$defs"][name])
}

fn reference(node: &Value) -> Option<&str> {
    node["$ref"].as_str()?.strip_prefix("#/$defs/")
}

fn references(node: &Value) -> Vec<String> {
    match node {
        Value::Object(fields) => {
            let own = reference(node).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn prune(value: &mut Value, node: &Value) {
    let node = resolve(node);
    if let Some(choices) = node["anyOf"].as_array() {
        if let Some(choice) = choices.iter().find(|choice| choice["type"] != "null") {
            prune(value, choice);
        }
        return;
    }
    match value {
        Value::Object(fields) => {
            fields.retain(|key, value| !value.is_null() || is_required(node, key));
            for (key, value) in fields {
                prune(value, &node["properties"][key.as_str()]);
            }
        }
        Value::Array(items) => {
            for item in items {
                prune(item, &node["items"]);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every object schema below a node, with its depth in objects and lists.
    fn objects<'a>(node: &'a Value, root: &'a Value, depth: usize, found: &mut Vec<(usize, &'a Value)>) {
        let node = reference(node).map_or(node, |name| &root["$defs"][name]);
        if node["type"] == "object" {
            found.push((depth, node));
            for property in node["properties"].as_object().unwrap().values() {
                objects(property, root, depth + 1, found);
            }
        }
        for choice in node["anyOf"].as_array().into_iter().flatten() {
            objects(choice, root, depth, found);
        }
        if let Some(items) = node.get("items") {
            objects(items, root, depth, found);
        }
    }

    fn keywords<'a>(node: &'a Value, inside_names: bool, found: &mut BTreeSet<&'a str>) {
        match node {
            Value::Object(fields) => {
                for (key, value) in fields {
                    if !inside_names {
                        found.insert(key);
                    }
                    let names = !inside_names && (key == "properties" || key == "$defs");
                    if key != "enum" || inside_names {
                        keywords(value, names, found);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| keywords(item, false, found)),
            _ => {}
        }
    }

    #[test]
    fn every_object_is_closed_and_requires_all_it_has() {
        let schema = strict_schema();
        let mut found = Vec::new();
        objects(schema, schema, 1, &mut found);
        assert!(found.len() > 10, "the document has parts");
        for (depth, object) in found {
            assert_eq!(object["additionalProperties"], false, "{object}");
            let names: Vec<_> = object["properties"].as_object().unwrap().keys().collect();
            let required: Vec<_> = object["required"].as_array().unwrap().iter().collect();
            assert_eq!(names.len(), required.len());
            assert!(names.iter().zip(required).all(|(name, required)| required == name.as_str()));
            assert!(depth <= 5, "nested {depth} deep");
        }
    }

    #[test]
    fn only_what_strict_mode_knows_is_in_it_and_not_too_much() {
        let schema = strict_schema();
        let mut found = BTreeSet::new();
        keywords(schema, false, &mut found);
        let allowed = [
            "$defs",
            "$ref",
            "additionalProperties",
            "anyOf",
            "description",
            "enum",
            "items",
            "properties",
            "required",
            "type",
        ];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), allowed);
        assert_eq!(schema["type"], "object");
        let defs = schema["$defs"].as_object().unwrap();
        let count = |node: &Value| node["properties"].as_object().map_or(0, Map::len);
        let total = count(schema) + defs.values().map(count).sum::<usize>();
        assert!((60..=100).contains(&total), "{total} properties");
        for name in references(schema) {
            assert!(defs.contains_key(&name), "{name} is referred to and not there");
        }
    }

    #[test]
    fn what_may_be_absent_is_null_instead() {
        let schema = strict_schema();
        let timestamp = &schema["$defs"]["summaryBullet"]["properties"]["startTimestamp"];
        assert_eq!(*timestamp, json!({"anyOf": [{"$ref": "#/$defs/timestamp"}, {"type": "null"}]}));
        // Required, or nullable already, or a list.
        assert_eq!(schema["properties"]["sentiment"], json!({"$ref": "#/$defs/sentiment"}));
        assert_eq!(schema["properties"]["suggestedTitle"], json!({"$ref": "#/$defs/optionalText"}));
        assert_eq!(schema["properties"]["risks"]["type"], "array");
        assert_eq!(
            schema["$defs"]["actionItem"]["properties"]["priority"]["type"],
            json!(["string", "null"])
        );
        assert_eq!(schema["$defs"]["polarity"]["type"], "string");
    }

    #[test]
    fn nulls_go_where_they_mean_absent_and_stay_where_they_are_asked_for() {
        let mut document = json!({
            "suggestedTitle": null,
            "executiveSummaryBullets": [{"header": "h", "startTimestamp": null, "paragraphs": []}],
            "actionItems": [{"title": "t", "dueDate": null, "priority": null, "intent": null,
                "sourceSegmentIds": [], "intentMetadata": {"toEmail": null, "subject": "s",
                "attendees": [{"name": "Ana", "email": null}]}}],
            "sentiment": {"overall": "unclear", "score": null, "reason": null},
            "tone": null
        });
        drop_absent(&mut document);
        let expected = json!({
            "executiveSummaryBullets": [{"header": "h", "paragraphs": []}],
            "actionItems": [{"title": "t", "dueDate": null, "priority": null, "sourceSegmentIds": [],
                "intentMetadata": {"subject": "s", "attendees": [{"name": "Ana"}]}}],
            "sentiment": {"overall": "unclear", "score": null}
        });
        assert_eq!(document, expected);
    }
}
