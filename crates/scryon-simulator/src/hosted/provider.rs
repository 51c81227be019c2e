//! How the providers differ in keys and errors.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::options::{DeepgramErrors, Dialect, HostedOptions};
use crate::reply::Reply;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    Lemonfox,
    OpenAi,
    Pyannote,
    Deepgram,
    AssemblyAi,
}

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    /// Machine-readable code, where the provider has one.
    pub(crate) code: Option<&'static str>,
    /// Field of the request that is wrong.
    pub(crate) field: Option<&'static str>,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, code: None, field: None, message: message.into() }
    }

    /// A request that is wrong in one field.
    pub(crate) fn field(field: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code: None, field: Some(field), message: message.into() }
    }

    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// A key that is not accepted.
    pub(crate) fn key(status: u16) -> Self {
        Self::new(status, "The API key is missing or wrong.").code("invalid_api_key")
    }

    /// The credit is used up, as this provider says it.
    pub(crate) fn quota(provider: Provider) -> Self {
        let status = if provider == Provider::OpenAi { 429 } else { 402 };
        Self::new(status, "You have used up your credit.").code("insufficient_quota")
    }

    /// What a test ordered.
    pub(crate) fn ordered(status: u16) -> Self {
        Self::new(status, "as ordered")
    }
}

impl Provider {
    /// The key of an `Authorization` header in this provider's form.
    pub(crate) fn key(self, header: &str) -> Option<&str> {
        let key = match self {
            Self::Lemonfox | Self::OpenAi | Self::Pyannote => header.strip_prefix("Bearer ")?,
            Self::Deepgram => header.strip_prefix("Token ")?,
            Self::AssemblyAi => header,
        };
        (!key.is_empty() && !key.contains(' ')).then_some(key)
    }

    /// The answer that refuses.
    pub(crate) fn refusal(self, options: &HostedOptions, dialect: Dialect, problem: &Problem) -> Reply {
        match self {
            Self::Lemonfox => Reply::json(&json!({"error": {"message": problem.message}})),
            Self::OpenAi => openai(dialect, problem),
            Self::Pyannote => Reply::json(&pyannote(problem)),
            Self::Deepgram => Reply::json(&deepgram(options.deepgram_errors, problem)),
            Self::AssemblyAi => Reply::json(&json!({"error": problem.message})),
        }
        .status(problem.status)
    }
}

fn openai(dialect: Dialect, problem: &Problem) -> Reply {
    let body = match dialect {
        // FastAPI: a list where the request does not validate, a string elsewhere.
        Dialect::Speaches if problem.status == 422 => json!({"detail": [{
            "type": "value_error", "loc": ["body", problem.field], "msg": problem.message}]}),
        Dialect::Speaches => json!({"detail": problem.message}),
        Dialect::WhisperCpp if matches!(problem.status, 404 | 500) => {
            return Reply::text("text/plain", problem.message.clone());
        }
        Dialect::WhisperCpp => json!({"error": problem.message}),
        Dialect::Vllm => json!({"error": {
            "message": problem.message, "type": "BadRequestError", "param": problem.field, "code": problem.status}}),
        Dialect::OpenAi | Dialect::Ollama | Dialect::LocalAi => {
            let code = problem.code.or(default_code(problem.status));
            json!({"error": {
                "message": problem.message, "type": openai_type(problem, code), "param": problem.field, "code": code}})
        }
    };
    Reply::json(&body)
}

fn default_code(status: u16) -> Option<&'static str> {
    match status {
        429 => Some("rate_limit_exceeded"),
        503 => Some("server_is_overloaded"),
        _ => None,
    }
}

fn openai_type(problem: &Problem, code: Option<&str>) -> &'static str {
    match problem.status {
        429 if code == Some("insufficient_quota") => "insufficient_quota",
        429 => "rate_limit_error",
        503 => "service_unavailable_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

fn pyannote(problem: &Problem) -> Value {
    match problem.status {
        400 => json!({"message": "Invalid request",
            "errors": [{"field": problem.field.unwrap_or("body"), "message": problem.message}]}),
        402 | 429 => json!({"requestId": Uuid::new_v4(), "message": problem.message}),
        _ => json!({"message": problem.message}),
    }
}

fn deepgram(shape: DeepgramErrors, problem: &Problem) -> Value {
    let code = problem.code.unwrap_or(match problem.status {
        401 => "INVALID_AUTH",
        402 => "ASR_PAYMENT_REQUIRED",
        429 => "TOO_MANY_REQUESTS",
        500.. => "INTERNAL_SERVER_ERROR",
        _ => "Bad Request",
    });
    let request_id = Uuid::new_v4();
    match shape {
        DeepgramErrors::Code => {
            json!({"err_code": code, "err_msg": problem.message, "request_id": request_id})
        }
        DeepgramErrors::Category => json!({"category": code, "message": problem.message,
            "details": "Nothing was transcribed.", "request_id": request_id}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_its_own_form_of_key() {
        let table = [
            (Provider::OpenAi, "Bearer k", Some("k")),
            (Provider::OpenAi, "k", None),
            (Provider::Lemonfox, "Token k", None),
            (Provider::Pyannote, "Bearer ", None),
            (Provider::Deepgram, "Token k", Some("k")),
            (Provider::Deepgram, "Bearer k", None),
            (Provider::AssemblyAi, "k", Some("k")),
            (Provider::AssemblyAi, "Bearer k", None),
        ];
        for (provider, header, key) in table {
            assert_eq!(provider.key(header), key, "{provider:?} {header}");
        }
    }

    #[test]
    fn a_refusal_is_written_in_the_providers_words() {
        let options = HostedOptions::default();
        let other = HostedOptions { deepgram_errors: DeepgramErrors::Category, ..HostedOptions::default() };
        let wrong = Problem::field("url", "Invalid URL");
        let body = |provider: Provider, options: &HostedOptions, dialect, problem: &Problem| {
            let reply = provider.refusal(options, dialect, problem);
            (reply.status.as_u16(), serde_json::from_str::<Value>(&reply.body).unwrap_or(Value::Null))
        };
        let plain = Dialect::OpenAi;
        let table = [
            (Provider::Lemonfox, &options, plain, &wrong, "/error/message"),
            (Provider::OpenAi, &options, plain, &wrong, "/error/message"),
            (Provider::OpenAi, &options, Dialect::Speaches, &wrong, "/detail"),
            (Provider::OpenAi, &options, Dialect::WhisperCpp, &wrong, "/error"),
            (Provider::Pyannote, &options, plain, &wrong, "/errors/0/message"),
            (Provider::Deepgram, &options, plain, &wrong, "/err_msg"),
            (Provider::Deepgram, &other, plain, &wrong, "/message"),
            (Provider::AssemblyAi, &options, plain, &wrong, "/error"),
        ];
        for (provider, options, dialect, problem, pointer) in table {
            let (status, body) = body(provider, options, dialect, problem);
            assert_eq!(
                (status, body.pointer(pointer)),
                (400, Some(&json!("Invalid URL"))),
                "{provider:?} {body}"
            );
        }
        let invalid = Problem { status: 422, ..wrong };
        assert!(body(Provider::OpenAi, &options, Dialect::Speaches, &invalid).1["detail"].is_array());
    }

    #[test]
    fn a_used_up_credit_is_a_429_only_at_openai() {
        let options = HostedOptions::default();
        for (provider, status) in [
            (Provider::OpenAi, 429),
            (Provider::Lemonfox, 402),
            (Provider::Pyannote, 402),
            (Provider::Deepgram, 402),
            (Provider::AssemblyAi, 402),
        ] {
            let problem = Problem::quota(provider);
            assert_eq!(provider.refusal(&options, Dialect::OpenAi, &problem).status.as_u16(), status);
        }
    }
}
