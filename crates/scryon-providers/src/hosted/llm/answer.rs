//! One answer of a chat completion: what it is, decided before anything of it is parsed, and what it cost.

use serde_json::Value;

use super::NAME;
use crate::engine::ProviderError;
use crate::hosted::reading;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A whole text.
    Content(String),
    /// The model declined.
    Refused,
    /// The text ends where the budget ended: it is never parsed.
    CutOff,
    /// The provider's filter took it.
    Filtered,
    /// Neither text nor a reason.
    Nothing,
}

/// Tokens of one or several answers, as the provider counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// All that was read, cached or not.
    pub(super) prompt: u64,
    /// Of these: read from the provider's cache.
    pub(super) cached: u64,
    /// Of these: written to it.
    pub(super) written: u64,
    /// All that was written, thoughts included.
    pub(super) completion: u64,
}

impl Usage {
    /// The sum of two.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            prompt: self.prompt + other.prompt,
            cached: self.cached + other.cached,
            written: self.written + other.written,
            completion: self.completion + other.completion,
        }
    }
}

/// Reads an answer. The order of the questions matters: a refusal may come with a finish reason, and a text that
/// was cut off may look whole.
pub(super) fn read(body: &[u8]) -> Result<(Outcome, Option<Usage>), ProviderError> {
    let answer = reading::json(NAME, body)?;
    let choice = &answer["choices"][0];
    let message = &choice["message"];
    if !message.is_object() {
        let message = if answer.get("error").is_some_and(|error| !error.is_null()) {
            "an error under a status of success"
        } else {
            "no message in it"
        };
        return Err(ProviderError::Malformed { engine: NAME, message: message.to_owned() });
    }
    let finish = choice["finish_reason"].as_str().unwrap_or_default();
    let outcome = if reading::text(&message["refusal"]).is_some() {
        Outcome::Refused
    } else if finish == "length" {
        Outcome::CutOff
    } else if finish == "content_filter" {
        Outcome::Filtered
    } else {
        content(&message["content"]).map_or(Outcome::Nothing, Outcome::Content)
    };
    Ok((outcome, usage(&answer["usage"])))
}

/// A text, or a list of parts with texts.
fn content(content: &Value) -> Option<String> {
    let text = match content {
        Value::String(text) => text.clone(),
        parts => reading::list(parts).iter().filter_map(|part| part["text"].as_str()).collect(),
    };
    (!text.trim().is_empty()).then_some(text)
}

fn usage(usage: &Value) -> Option<Usage> {
    let count = |value: &Value| reading::number(value).filter(|n| *n >= 0.0).map(|n| n as u64);
    let details = &usage["prompt_tokens_details"];
    Some(Usage {
        prompt: count(&usage["prompt_tokens"])?,
        cached: count(&details["cached_tokens"]).unwrap_or_default(),
        written: count(&details["cache_write_tokens"]).unwrap_or_default(),
        completion: count(&usage["completion_tokens"]).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(choice: &Value) -> Outcome {
        read(json!({"choices": [choice]}).to_string().as_bytes()).unwrap().0
    }

    #[test]
    fn the_kind_is_decided_before_the_text_is_read() {
        let said = |content: &str| Outcome::Content(content.to_owned());
        let cases = [
            (json!({"finish_reason": "stop", "message": {"content": "{}", "refusal": null}}), said("{}")),
            (json!({"finish_reason": null, "message": {"content": "{}"}}), said("{}")),
            (json!({"message": {"content": [{"type": "text", "text": "{"}, {"text": "}"}]}}), said("{}")),
            (
                json!({"finish_reason": "stop", "message": {"content": null, "refusal": "I can't"}}),
                Outcome::Refused,
            ),
            (
                json!({"finish_reason": "length", "message": {"refusal": "no", "content": "{}"}}),
                Outcome::Refused,
            ),
            (json!({"finish_reason": "length", "message": {"content": "{\"a\":"}}), Outcome::CutOff),
            (json!({"finish_reason": "length", "message": {"content": "{}"}}), Outcome::CutOff),
            (json!({"finish_reason": "content_filter", "message": {"content": "{}"}}), Outcome::Filtered),
            (json!({"finish_reason": "stop", "message": {"content": " "}}), Outcome::Nothing),
            (json!({"finish_reason": "tool_calls", "message": {"content": null}}), Outcome::Nothing),
        ];
        for (choice, expected) in cases {
            assert_eq!(outcome(&choice), expected, "{choice}");
        }
    }

    #[test]
    fn tokens_are_counted_where_they_are_told() {
        let found = |usage: Value| {
            let body = json!({"choices": [{"message": {"content": "{}"}}], "usage": usage}).to_string();
            read(body.as_bytes()).unwrap().1
        };
        let whole = json!({"prompt_tokens": 1820, "completion_tokens": 140, "total_tokens": 1960,
            "prompt_tokens_details": {"cached_tokens": 1536, "cache_write_tokens": 7},
            "completion_tokens_details": {"reasoning_tokens": 64}});
        assert_eq!(found(whole), Some(Usage { prompt: 1820, cached: 1536, written: 7, completion: 140 }));
        let plain = json!({"prompt_tokens": "10", "completion_tokens": 2.0, "prompt_tokens_details": null});
        assert_eq!(found(plain), Some(Usage { prompt: 10, completion: 2, ..Usage::default() }));
        assert_eq!(found(Value::Null), None);
        assert_eq!(found(json!({"completion_tokens": 5})), None);
    }

    #[test]
    fn what_is_no_answer_is_malformed_and_not_repeated() {
        for body in [
            r#"{"error":{"message":"planted"}}"#,
            r#"{"choices":[]}"#,
            r#"{"choices":null,"planted":1}"#,
            r#"{"choices":[{"text":"planted"}]}"#,
            "planted",
        ] {
            let error = read(body.as_bytes()).unwrap_err();
            assert!(matches!(error, ProviderError::Malformed { .. }), "{body}");
            assert!(!error.to_string().contains("planted"), "{error}");
        }
    }
}
