//! The JSON Schema of the analysis document, compiled once.

use std::sync::LazyLock;

use jsonschema::Validator;
use scryon_domain::analysis::ANALYSIS_SCHEMA;
use serde_json::Value;

static VALIDATOR: LazyLock<Option<Validator>> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(ANALYSIS_SCHEMA).ok()?;
    jsonschema::validator_for(&schema).ok()
});

/// The first places where a document breaks the schema, at most five. Paths and rules only: the document's
/// own words are somebody's call.
pub fn analysis_problems(document: &Value) -> Vec<String> {
    match &*VALIDATOR {
        Some(validator) => validator
            .iter_errors(document)
            .take(5)
            .map(|e| format!("{} breaks {}", e.instance_path(), e.schema_path()))
            .collect(),
        None => vec!["the schema itself cannot be read".to_owned()],
    }
}

/// The first place where a document breaks the schema, as a JSON pointer. `None`: it does not.
pub(crate) fn first_problem(document: &Value) -> Option<String> {
    let validator = VALIDATOR.as_ref()?;
    validator.iter_errors(document).next().map(|e| e.instance_path().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_document_is_told_where_and_not_what() {
        let problems = analysis_problems(&json!({"schemaVersion": 3, "tags": "planted secret"}));
        assert!(!problems.is_empty());
        assert!(!problems.iter().any(|p| p.contains("planted")), "{problems:?}");
    }
}
