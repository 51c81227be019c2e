use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;

const ENGINE: &str = "test";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        })
        .collect()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_789_000_000, 0).unwrap()
}

fn judged(status: u16, pairs: &[(&str, &str)], body: &str) -> Failure {
    refused(ENGINE, StatusCode::from_u16(status).unwrap(), &headers(pairs), body.as_bytes(), now())
}

/// The variant as a word, so that tables stay readable.
fn class(error: &ProviderError) -> &'static str {
    error.code().trim_start_matches("provider_")
}

#[test]
fn a_status_and_its_words_decide_the_class() {
    let open_ai = |code: &str, kind: &str| {
        json!({"error": {"message": "m", "type": kind, "param": null, "code": code}}).to_string()
    };
    let deepgram = r#"{"err_code":"ASR_PAYMENT_REQUIRED","err_msg":"no credit","request_id":"r"}"#;
    let deepgram_new = r#"{"category":"INVALID_AUTH","message":"m","details":"d","request_id":"r"}"#;
    type Headers = &'static [(&'static str, &'static str)];
    let cases: Vec<(u16, Headers, String, &str)> = vec![
        (400, &[], open_ai("invalid_value", "invalid_request_error"), "rejected"),
        (413, &[], String::new(), "rejected"),
        (415, &[], r#"{"detail":"undecodable"}"#.into(), "rejected"),
        (422, &[], r#"{"detail":[{"loc":["body"],"msg":"m"}]}"#.into(), "rejected"),
        (401, &[], open_ai("invalid_api_key", "invalid_request_error"), "unavailable"),
        (401, &[], deepgram_new.into(), "unavailable"),
        (402, &[], deepgram.into(), "unavailable"),
        (403, &[], String::new(), "unavailable"),
        (404, &[], open_ai("model_not_found", "invalid_request_error"), "unavailable"),
        (404, &[], "File Not Found (/inference)".into(), "unavailable"),
        (429, &[], open_ai("rate_limit_exceeded", "rate_limit_error"), "throttled"),
        (429, &[], open_ai("slow_down", "rate_limit_error"), "throttled"),
        (429, &[], String::new(), "throttled"),
        (429, &[("retry-after", "7")], open_ai("insufficient_quota", "insufficient_quota"), "unavailable"),
        (429, &[], open_ai("credit_balance_exhausted", "insufficient_quota"), "unavailable"),
        (429, &[], open_ai("project_spend_limit_exceeded", "insufficient_quota"), "unavailable"),
        (429, &[], open_ai("unheard_of", "insufficient_quota"), "unavailable"),
        (429, &[("x-should-retry", "false")], String::new(), "unavailable"),
        (408, &[], String::new(), "failed"),
        (409, &[], String::new(), "failed"),
        (400, &[("x-should-retry", "true")], String::new(), "failed"),
        (500, &[], r#"{"error":"flat"}"#.into(), "failed"),
        (500, &[("x-should-retry", "false")], String::new(), "unavailable"),
        (502, &[], "<html>".into(), "failed"),
        (503, &[], open_ai("server_is_overloaded", "service_unavailable_error"), "failed"),
        (503, &[("retry-after", "3")], String::new(), "throttled"),
        (504, &[], String::new(), "failed"),
        (301, &[("location", "https://other.example/v1")], String::new(), "unavailable"),
        (302, &[], String::new(), "unavailable"),
    ];
    for (status, pairs, body, expected) in cases {
        assert_eq!(class(&judged(status, pairs, &body).error), expected, "{status} {pairs:?} {body}");
    }
}

#[test]
fn what_another_request_could_mend_is_told_apart() {
    let cases = [
        (400, r#"{"error":{"code":"unsupported_value","param":"temperature"}}"#, Fault::Temperature),
        (400, r#"{"error":{"code":"context_length_exceeded","param":"messages"}}"#, Fault::TooLong),
        (400, r#"{"error":{"code":400,"type":"exceed_context_size_error","n_ctx":8192}}"#, Fault::TooLong),
        (400, r#"{"error":{"code":400,"type":"BadRequestError","param":"input_tokens"}}"#, Fault::TooLong),
        (400, r#"{"object":"error","type":"BadRequestError","param":"max_tokens"}"#, Fault::TooLong),
        (400, r#"{"error":{"code":"invalid_value","param":"max_completion_tokens"}}"#, Fault::TooLong),
        (400, r#"{"error":{"code":null,"param":"response_format"}}"#, Fault::Request),
        (422, r#"{"detail":"response_format"}"#, Fault::Request),
        (413, "", Fault::Other),
        (401, r#"{"error":{"param":"temperature"}}"#, Fault::Other),
        (429, r#"{"error":{"code":"rate_limit_exceeded","param":"max_tokens"}}"#, Fault::Other),
        (500, "", Fault::Other),
    ];
    for (status, body, expected) in cases {
        assert_eq!(judged(status, &[], body).fault, expected, "{status} {body}");
    }
}

#[test]
fn pauses_come_in_several_forms() {
    let at = |offset: i64| (now() + chrono::Duration::seconds(offset)).format("%a, %d %b %Y %H:%M:%S GMT");
    let (soon, past) = (at(90).to_string(), at(-90).to_string());
    let cases: Vec<(&[(&str, &str)], u64)> = vec![
        (&[("retry-after", "7")], 7_000),
        (&[("retry-after", " 2.25 ")], 2_250),
        // No pause at all would be asked for again at once, for ever.
        (&[("retry-after", "0.25")], 1_000),
        (&[("retry-after-ms", "20")], 1_000),
        (&[("retry-after", "0")], 1_000),
        (&[("retry-after-ms", "1500"), ("retry-after", "60")], 1_500),
        (&[("retry-after-ms", "soon"), ("retry-after", "60")], 60_000),
        (&[("retry-after", "86400")], 900_000),
        (&[("retry-after", "-1")], 1_000),
        (&[("retry-after", "NaN")], 5_000),
        (&[("retry-after", "later")], 5_000),
        (&[], 5_000),
    ];
    let dates = [(soon, 90_000), (past, 1_000)];
    let asked = |pairs: &[(&str, &str)]| match judged(429, pairs, "").error {
        ProviderError::Throttled { pause, .. } => pause.as_millis(),
        other => panic!("{other}"),
    };
    for (pairs, millis) in cases {
        assert_eq!(asked(pairs), u128::from(millis), "{pairs:?}");
    }
    for (date, millis) in dates {
        assert_eq!(asked(&[("retry-after", &date)]), millis, "{date}");
    }
}

#[test]
fn the_words_of_a_refusal_are_not_repeated() {
    let bodies = [
        r#"{"error":{"message":"planted secret","code":"planted","type":"planted"}}"#,
        r#"{"error":"planted"}"#,
        r#"{"error":{"param":"planted"}}"#,
        r#"{"message":"planted"}"#,
        r#"{"detail":["planted"]}"#,
        r#"{"err_code":"planted","err_msg":"planted"}"#,
        "planted",
    ];
    for body in bodies {
        for status in [400, 401, 429, 500] {
            let failure = judged(status, &[], body);
            assert!(!format!("{failure:?}").contains("planted"), "{body}");
        }
    }
    let known = judged(404, &[], r#"{"error":{"code":"model_not_found"}}"#).error.to_string();
    assert!(known.contains("status 404, model_not_found"), "{known}");
}
