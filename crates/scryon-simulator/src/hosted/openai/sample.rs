//! A document for a JSON Schema, made from the words of the request.

use serde_json::{Map, Value, json};

/// Deeper than this only what is required is filled in.
const DEPTH: usize = 12;
/// Most action items.
const ACTIONS: usize = 3;

/// What the request says.
#[derive(Debug)]
pub(super) struct Prompt {
    /// Made from the request's hash.
    pub(super) word: String,
    text: String,
    /// Segments that the request names, in order.
    segments: Vec<String>,
    speakers: Vec<String>,
}

impl Prompt {
    pub(super) fn new(text: &str, word: String) -> Self {
        Self { word, text: text.to_owned(), segments: ids(text, "seg_"), speakers: ids(text, "spk_") }
    }

    /// A schema in the text itself, as clients write it there for servers that take none.
    pub(super) fn schema(&self) -> Option<Value> {
        let starts = self.text.match_indices('{').map(|(at, _)| at);
        let mut found = starts.filter_map(|at| {
            serde_json::Deserializer::from_str(&self.text[at..]).into_iter::<Value>().next()?.ok()
        });
        found.find(|value| value["properties"].is_object())
    }
}

/// Names made of a prefix and digits, each once, in the order of the text.
fn ids(text: &str, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let rest = &text[at + prefix.len()..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let id = format!("{prefix}{}", &rest[..digits]);
        if digits > 0 && !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// A document that the schema accepts.
pub(super) fn sample(schema: &Value, prompt: &Prompt) -> Value {
    Sampler { root: schema, prompt, cited: 0 }.value(schema, "document", 0)
}

struct Sampler<'a> {
    root: &'a Value,
    prompt: &'a Prompt,
    /// Segments that were cited so far: the next item cites the next one.
    cited: usize,
}

impl Sampler<'_> {
    fn value(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        if let Some(target) = schema["$ref"].as_str().and_then(|r| self.root.pointer(r.strip_prefix('#')?)) {
            let target = target.clone();
            return self.value(&target, name, depth + 1);
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(values) = schema["enum"].as_array() {
            return values.iter().find(|v| !v.is_null()).cloned().unwrap_or(Value::Null);
        }
        for choice in ["anyOf", "oneOf"] {
            if let Some(options) = schema[choice].as_array() {
                let real = options.iter().find(|o| o["type"] != "null" && depth < DEPTH);
                let option =
                    real.or_else(|| options.iter().find(|o| o["type"] == "null")).or(options.first());
                return option.map_or(Value::Null, |option| self.value(option, name, depth + 1));
            }
        }
        let types = types(schema);
        let nullable = types.contains(&"null");
        if nullable && depth >= DEPTH {
            return Value::Null;
        }
        match types.iter().find(|t| **t != "null").copied() {
            Some("object") => self.object(schema, depth),
            Some("array") => self.array(schema, name, depth),
            Some("string") => self.string(schema, name, nullable),
            Some("integer") => json!(number(schema).ceil() as i64),
            Some("number") => json!(number(schema)),
            Some("boolean") => json!(false),
            _ => Value::Null,
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let required = schema["required"].as_array();
        let mut object = Map::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let needed = required.is_some_and(|all| all.iter().any(|r| r == name));
            if needed || depth < DEPTH {
                object.insert(name.clone(), self.value(property, name, depth + 1));
            }
        }
        Value::Object(object)
    }

    fn array(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        let bound = |key: &str, default| schema[key].as_u64().map_or(default, |n| n as usize);
        let (least, most) = (bound("minItems", 0), bound("maxItems", usize::MAX));
        let wanted = match name {
            "actionItems" => self.prompt.segments.len().clamp(1, ACTIONS),
            name if is_segment(name) => usize::from(!self.prompt.segments.is_empty()),
            _ if depth >= DEPTH => 0,
            _ => 1,
        };
        let count = wanted.max(least).min(most);
        // The items of a list of segment ids are segment ids, whatever their own schema is called.
        (0..count).map(|_| self.value(&schema["items"], name, depth + 1)).collect()
    }

    fn string(&mut self, schema: &Value, name: &str, nullable: bool) -> Value {
        let pattern = schema["pattern"].as_str().unwrap_or_default();
        if is_segment(name) || pattern.contains("seg_") {
            return match self.segment() {
                Some(id) => json!(id),
                None if nullable => Value::Null,
                None => json!("seg_0001"),
            };
        }
        // A strict schema has no patterns: what is wanted is said in words, or by the name.
        let told = schema["description"].as_str().unwrap_or_default();
        if pattern.contains("spk_") || told.starts_with("A speaker of") {
            let first = self.prompt.speakers.first();
            return if nullable { json!(first) } else { json!(first.map_or("spk_1", String::as_str)) };
        }
        let text = match schema["format"].as_str() {
            Some("date") => "2026-12-01".to_owned(),
            Some("date-time") => "2026-12-01T09:00:00Z".to_owned(),
            Some("time") => "09:00:00Z".to_owned(),
            Some("email") => "somebody@example.org".to_owned(),
            Some("uri") => "https://example.org/".to_owned(),
            Some("uuid") => "7f0c1c1e-58a3-4b57-9a0e-2f4f0b6f1a10".to_owned(),
            _ => by_pattern(pattern)
                .or_else(|| by_words(told))
                .map_or_else(|| format!("{name} of {}", self.prompt.word), str::to_owned),
        };
        json!(fitted(schema, &text))
    }

    fn segment(&mut self) -> Option<String> {
        let segments = &self.prompt.segments;
        let id = segments.get(self.cited % segments.len().max(1))?;
        self.cited += 1;
        Some(id.clone())
    }
}

fn is_segment(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("segmentids") || name.ends_with("segmentid") || name.ends_with("segment_ids")
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ if schema["properties"].is_object() => vec!["object"],
        _ if schema["items"].is_object() => vec!["array"],
        _ => vec!["string"],
    }
}

/// A text for the few kinds of pattern that schemas of documents have.
fn by_pattern(pattern: &str) -> Option<&'static str> {
    let kinds = [
        ("T(", "2026-12-01T09:00:00Z"),
        ("[0-9]{4}-", "2026-12-01"),
        (r"\d{4}-", "2026-12-01"),
        (":[0-5]", "00:01"),
        ("@", "somebody@example.org"),
    ];
    kinds.iter().find(|(mark, _)| pattern.contains(mark)).map(|(_, text)| *text)
}

/// A text for what a description asks for.
fn by_words(told: &str) -> Option<&'static str> {
    let kinds = [
        ("date and time", "2026-12-01T09:00:00Z"),
        ("YYYY-MM-DD", "2026-12-01"),
        ("MM:SS", "00:01"),
        ("Only as said in the call", "somebody@example.org"),
    ];
    kinds.iter().find(|(mark, _)| told.contains(mark)).map(|(_, text)| *text)
}

fn fitted(schema: &Value, text: &str) -> String {
    let bound = |key: &str, default| schema[key].as_u64().map_or(default, |n| n as usize);
    let mut text: String = text.chars().take(bound("maxLength", usize::MAX)).collect();
    let missing = bound("minLength", 0).saturating_sub(text.chars().count());
    text.extend(std::iter::repeat_n('.', missing));
    text
}

/// The number of a range that is nearest to 0.5.
fn number(schema: &Value) -> f64 {
    let bound = |key: &str| schema[key].as_f64();
    let least = bound("minimum").or(bound("exclusiveMinimum").map(|n| n + 0.25)).unwrap_or(f64::MIN);
    let most = bound("maximum").or(bound("exclusiveMaximum").map(|n| n - 0.25)).unwrap_or(f64::MAX);
    0.5_f64.max(least).min(most)
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
