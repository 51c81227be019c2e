//! Reading rules that keep a usable document usable: null where a list belongs is an empty list, a word
//! outside a closed list is its documented fallback, a blank text is no text. A wrong type stays an error.

use chrono::{Datelike, NaiveDate};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::vocabulary::Vocabulary;
use crate::transcript::SpeakerRole;

/// A word of a closed list.
pub(super) fn word<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Vocabulary,
{
    let text = text(deserializer)?;
    Ok(text.and_then(|text| T::parse(&text).or_else(T::fallback)))
}

/// A speaker's role. UNKNOWN also stands for roles this version does not know.
pub(super) fn role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SpeakerRole>, D::Error> {
    let text = text(deserializer)?;
    Ok(text.map(|text| match text.to_ascii_uppercase().as_str() {
        "USER" => SpeakerRole::User,
        "CONTACT" => SpeakerRole::Contact,
        _ => SpeakerRole::Unknown,
    }))
}

/// A text; null and blank are absent.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.trim().is_empty()))
}

/// A text that is always written; null is empty.
pub(super) fn plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// A list; null is empty.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// A list of ids or labels: a lone one counts as a list of one, and what is no text is left out.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let items = match Value::deserialize(deserializer)? {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        one @ Value::String(_) => vec![one],
        other => return Err(D::Error::custom(format!("expected a list of texts, found {}", kind(&other)))),
    };
    Ok(items
        .into_iter()
        .filter_map(|item| match item {
            Value::String(text) => Some(text),
            _ => None,
        })
        .collect())
}

/// A score within [-1, 1]. Outside of it nobody knows the scale that was meant, so there is no score.
pub(super) fn score<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let score = Option::<f64>::deserialize(deserializer)?;
    Ok(score.filter(|score| (-1.0..=1.0).contains(score)))
}

/// A whole number. JSON does not tell `30` from `30.0`, and neither does the schema.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let Some(number) = Option::<f64>::deserialize(deserializer)? else { return Ok(None) };
    if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) {
        // In range and without a fraction, as checked on the line above.
        Ok(Some(number as u32))
    } else {
        Err(D::Error::custom("expected a whole number"))
    }
}

/// The version of the document; absent means the legacy shape, which has none.
pub(super) fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(whole(deserializer)?.unwrap_or_default())
}

/// A calendar day. A time after it is ignored, and what is no day is absent: `"soon"` is not a date.
pub(super) fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    Ok(text(deserializer)?.and_then(|text| parse_day(&text)))
}

fn parse_day(text: &str) -> Option<NaiveDate> {
    let day = text.trim();
    let day = day.split_once(['T', ' ']).map_or(day, |(day, _time)| day);
    NaiveDate::parse_from_str(day, "%Y-%m-%d").ok().filter(|day| (1..=9999).contains(&day.year()))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
