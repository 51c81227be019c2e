//! What a strict schema has to keep to.

use serde_json::Value;

/// Levels of objects; an older limit was five.
const DEPTH: usize = 10;

/// Looks at the `json_schema` of a request. The message names the first place that is wrong.
pub(super) fn check(json_schema: &Value) -> Result<(), String> {
    let name = json_schema["name"].as_str().unwrap_or_default();
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if !letters || !(1..=64).contains(&name.len()) {
        return Err("json_schema.name does not match [A-Za-z0-9_-]{1,64}".to_owned());
    }
    let schema = &json_schema["schema"];
    if !schema.is_object() {
        return Err("json_schema.schema is missing".to_owned());
    }
    if json_schema["strict"] != true {
        return Ok(());
    }
    if schema["type"] != "object" {
        return Err("the root of a strict schema is an object".to_owned());
    }
    walk(schema, "#", 0)
}

fn walk(schema: &Value, path: &str, depth: usize) -> Result<(), String> {
    if depth > DEPTH {
        return Err(format!("{path} is deeper than {DEPTH} levels"));
    }
    let mut below = depth;
    if let Some(properties) = schema["properties"].as_object() {
        below += 1;
        if schema["additionalProperties"] != false {
            return Err(format!("{path}: additionalProperties is required to be false"));
        }
        let required = schema["required"].as_array();
        for (name, property) in properties {
            if !required.is_some_and(|all| all.iter().any(|r| r == name)) {
                return Err(format!("{path}: required has to name every property; {name} is missing"));
            }
            walk(property, &format!("{path}/{name}"), below)?;
        }
    }
    if let Some(items) = schema.get("items") {
        walk(items, path, below)?;
    }
    for part in schema["anyOf"].as_array().into_iter().flatten() {
        walk(part, path, below)?;
    }
    for (name, part) in schema["$defs"].as_object().into_iter().flatten() {
        walk(part, &format!("{path}/$defs/{name}"), 0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_strict_schema_leaves_nothing_open() {
        let leaf = json!({"type": "string"});
        let closed = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        let right = closed(json!({"a": leaf}), json!(["a"]));
        let mut deep = right.clone();
        for _ in 0..DEPTH + 1 {
            deep = closed(json!({"a": deep}), json!(["a"]));
        }
        let table = [
            (right.clone(), true),
            (closed(json!({"a": leaf, "b": leaf}), json!(["a"])), false),
            (json!({"type": "object", "properties": {"a": leaf}, "required": ["a"]}), false),
            (json!({"type": "array", "items": right}), false),
            (closed(json!({"a": {"type": "array", "items": {"properties": {}}}}), json!(["a"])), false),
            (deep, false),
        ];
        for (schema, accepted) in table {
            let request = json!({"name": "call_analysis", "strict": true, "schema": schema});
            assert_eq!(check(&request).is_ok(), accepted, "{schema}");
        }
        assert!(check(&json!({"name": "two words", "schema": {}})).is_err());
        assert!(check(&json!({"name": "open", "schema": {"type": "array"}})).is_ok());
    }
}
