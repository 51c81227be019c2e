//! Reading answers leniently: null is absent, a number may come as a text, unknown fields do not matter.

use serde_json::Value;

use crate::engine::ProviderError;

/// A finite number: integer, fraction or text.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|n| n.is_finite())
}

/// A text that is not blank, trimmed.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// The elements of a list; anything else has none.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// 0 to 1, or nothing.
pub(super) fn share(value: &Value) -> Option<f32> {
    number(value).filter(|n| (0.0..=1.0).contains(n)).map(|n| n as f32)
}

/// The body as JSON. Where reading broke off is said without the words around it.
pub(super) fn json(engine: &'static str, body: &[u8]) -> Result<Value, ProviderError> {
    serde_json::from_slice(body).map_err(|error| ProviderError::Malformed {
        engine,
        message: format!("no JSON from line {} column {}", error.line(), error.column()),
    })
}
