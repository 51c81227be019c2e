//! The metadata of an upload: a JSON envelope, or plain parts; the envelope wins.

use chrono::{DateTime, Utc};
use scryon_store::NewCall;
use serde::Deserialize;
use serde_json::Value;

use crate::error::ApiError;

/// Most bytes of free-form metadata, as JSON.
const FREE_FORM: usize = 16 << 10;

/// The envelope. Unknown fields are ignored: older clients send more than we know.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Envelope {
    title: Option<String>,
    contact_name: Option<String>,
    contact_id: Option<String>,
    phone_number: Option<String>,
    organization: Option<String>,
    direction: Option<String>,
    recorded_at: Option<DateTime<Utc>>,
    duration_seconds: Option<f64>,
    client_reference: Option<String>,
    metadata: Option<Value>,
}

/// Plain parts.
#[derive(Default)]
pub(crate) struct PlainParts {
    pub(crate) title: Option<String>,
    pub(crate) file_name: Option<String>,
    pub(crate) contact_name: Option<String>,
    pub(crate) phone_number: Option<String>,
}

/// Reads the `metadata` part.
pub(crate) fn parse(body: &[u8]) -> Result<Envelope, ApiError> {
    let body = std::str::from_utf8(body).map_err(|_e| ApiError::validation("metadata", "is not UTF-8"))?;
    if body.trim().is_empty() {
        return Ok(Envelope::default());
    }
    // serde would take an array for the fields in their order.
    if !body.trim_start().starts_with('{') {
        return Err(ApiError::validation("metadata", "must be a JSON object"));
    }
    // serde's message may quote the value: only the position is repeated.
    serde_json::from_str(body).map_err(|e| {
        ApiError::validation(
            "metadata",
            format!("is not the documented JSON object (line {}, column {})", e.line(), e.column()),
        )
    })
}

/// Puts both together and checks every field.
pub(crate) fn new_call(
    envelope: Envelope,
    plain: PlainParts,
    file_name: Option<String>,
) -> Result<NewCall, ApiError> {
    let free_form = envelope.metadata.filter(|v| !v.is_null());
    if let Some(value) = &free_form {
        if !value.is_object() {
            return Err(ApiError::validation("metadata.metadata", "must be an object"));
        }
        if value.to_string().len() > FREE_FORM {
            return Err(ApiError::validation(
                "metadata.metadata",
                format!("must be at most {FREE_FORM} bytes of JSON"),
            ));
        }
    }
    let duration = envelope.duration_seconds;
    if duration.is_some_and(|d| !d.is_finite() || !(0.0..=1e7).contains(&d)) {
        return Err(ApiError::validation(
            "metadata.durationSeconds",
            "must be a number of seconds, 0 or more",
        ));
    }
    Ok(NewCall {
        title: text("title", envelope.title.or(plain.title), 500)?,
        contact_name: text("contactName", envelope.contact_name.or(plain.contact_name), 200)?,
        contact_id: text("contactId", envelope.contact_id, 200)?,
        phone_number: text("phoneNumber", envelope.phone_number.or(plain.phone_number), 50)?,
        organization: text("organization", envelope.organization, 200)?,
        direction: direction(envelope.direction)?,
        recorded_at: envelope.recorded_at,
        duration_seconds: duration,
        original_file_name: text("fileName", plain.file_name.or(file_name), 500)?,
        client_reference: text("clientReference", envelope.client_reference, 255)?,
        metadata: free_form,
        ..NewCall::default()
    })
}

/// Trimmed; empty is absent. Postgres cannot keep NUL.
fn text(field: &str, value: Option<String>, most: usize) -> Result<Option<String>, ApiError> {
    let Some(value) = value.map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()) else { return Ok(None) };
    if value.chars().count() > most {
        return Err(ApiError::validation(field, format!("must have at most {most} characters")));
    }
    if value.contains('\0') {
        return Err(ApiError::validation(field, "must not hold a NUL character"));
    }
    Ok(Some(value))
}

fn direction(value: Option<String>) -> Result<String, ApiError> {
    let word = value.unwrap_or_default().trim().to_ascii_uppercase();
    match word.as_str() {
        "" => Ok("UNKNOWN".to_owned()),
        "INCOMING" | "OUTGOING" | "UNKNOWN" => Ok(word),
        _ => Err(ApiError::validation("metadata.direction", "must be INCOMING, OUTGOING or UNKNOWN")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(json: &str) -> Result<NewCall, ApiError> {
        new_call(parse(json.as_bytes())?, PlainParts::default(), None)
    }

    #[test]
    fn the_envelope_wins_over_plain_parts() {
        let plain = PlainParts {
            title: Some("plain".into()),
            phone_number: Some(" 123 ".into()),
            ..PlainParts::default()
        };
        let call = new_call(
            parse(br#"{"title":" Review ","direction":"outgoing"}"#).unwrap(),
            plain,
            Some("a.wav".into()),
        )
        .unwrap();
        assert_eq!(call.title.as_deref(), Some("Review"));
        assert_eq!(call.phone_number.as_deref(), Some("123"));
        assert_eq!(call.direction, "OUTGOING");
        assert_eq!(call.original_file_name.as_deref(), Some("a.wav"));
    }

    #[test]
    fn wrong_fields_are_named_and_not_quoted() {
        for (json, field) in [
            ("not json", "metadata"),
            ("[1]", "metadata"),
            (r#"{"title":7}"#, "metadata"),
            (r#"{"direction":"SIDEWAYS"}"#, "metadata.direction"),
            (r#"{"recordedAt":"yesterday"}"#, "metadata"),
            (r#"{"durationSeconds":-1}"#, "metadata.durationSeconds"),
            (r#"{"metadata":"planted"}"#, "metadata.metadata"),
            ("{\"title\":\"a\\u0000b\"}", "title"),
        ] {
            let error = call(json).err().unwrap();
            let shown = format!("{error:?}");
            assert!(shown.contains(field), "{json}: {shown}");
            assert!(!shown.contains("planted") && !shown.contains("yesterday"), "{shown}");
        }
        assert!(call("").is_ok());
        assert!(call(&format!(r#"{{"title":"{}"}}"#, "x".repeat(501))).is_err());
    }
}
