use super::*;

const ANALYSIS: &str = include_str!("../../../../scryon-domain/schemas/analysis-v3.schema.json");

fn prompt(text: &str) -> Prompt {
    Prompt::new(text, "planted".to_owned())
}

fn problems(schema: &Value, document: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).unwrap();
    validator.iter_errors(document).map(|e| format!("{} {e}", e.instance_path())).collect()
}

#[test]
fn an_analysis_is_valid_and_cites_segments_of_the_prompt() {
    let schema: Value = serde_json::from_str(ANALYSIS).unwrap();
    let prompt = prompt("[seg_0007 spk_3] hello\n[seg_0009 spk_4] yes\n[seg_0012 spk_3] bye seg_0007");
    let document = sample(&schema, &prompt);
    assert_eq!(problems(&schema, &document), Vec::<String>::new());
    let items = document["actionItems"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    let mut cited: Vec<_> = items.iter().map(|i| i["sourceSegmentIds"][0].as_str().unwrap()).collect();
    cited.sort_unstable();
    assert_eq!(cited, ["seg_0007", "seg_0009", "seg_0012"]);
    assert_eq!(items[0]["ownerSpeakerId"], "spk_3");
    assert!(document["oneLineSummary"].as_str().unwrap().contains("planted"));
}

#[test]
fn without_segments_in_the_prompt_nothing_is_cited() {
    let schema: Value = serde_json::from_str(ANALYSIS).unwrap();
    let document = sample(&schema, &prompt("nothing here, not even seg_"));
    assert_eq!(problems(&schema, &document), Vec::<String>::new());
    assert_eq!(document["actionItems"][0]["sourceSegmentIds"], json!([]));
}

#[test]
fn documents_keep_to_the_bounds_of_their_schema() {
    let table = [
        json!({"type": "string", "minLength": 60, "maxLength": 70}),
        json!({"type": "string", "maxLength": 3}),
        json!({"type": "integer", "minimum": 3, "maximum": 9}),
        json!({"type": "integer", "maximum": -2}),
        json!({"type": "number", "exclusiveMinimum": 1}),
        json!({"type": ["number", "null"], "minimum": -1, "maximum": 0}),
        json!({"type": "array", "minItems": 3, "items": {"type": "boolean"}}),
        json!({"type": "array", "maxItems": 0, "items": {"type": "boolean"}}),
        json!({"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]}),
        json!({"enum": [null, "a"]}),
        json!({"const": {"a": 1}}),
        json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "additionalProperties": false,
            "required": ["next"], "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}}}),
    ];
    for schema in table {
        let document = sample(&schema, &prompt(""));
        assert_eq!(problems(&schema, &document), Vec::<String>::new(), "{schema} {document}");
    }
}

#[test]
fn a_schema_is_found_in_the_text_of_the_prompt() {
    let prompt = prompt(
        r#"Use {braces} as you like. {"other": 1} The schema: {"type":"object","properties":{"a":{"type":"string"}}} end"#,
    );
    assert_eq!(prompt.schema().unwrap()["properties"]["a"]["type"], "string");
    assert_eq!(sample(&prompt.schema().unwrap(), &prompt), json!({"a": "a of planted"}));
}
