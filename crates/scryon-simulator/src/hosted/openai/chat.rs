//! `POST /openai/v1/chat/completions`.

use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpRequest, HttpResponse};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::audio::json_params;
use super::super::provider::{Problem, Provider};
use super::super::visit::Visit;
use super::sample::{Prompt, sample};
use super::{strict, with_headers};
use crate::answers::word_of;
use crate::faults::{ChatFault, Fault};
use crate::options::Dialect;
use crate::reply::Reply;
use crate::{Shared, lock};

/// Fields that change no answer.
const NO_PARAMETERS: &[&str] =
    &["messages", "user", "metadata", "store", "safety_identifier", "prompt_cache_key"];
/// Letters that make a token.
const TOKEN: usize = 4;

pub(super) async fn complete(
    request: HttpRequest,
    shared: Data<Shared>,
    body: Bytes,
) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::OpenAi, "openai.chat")?;
    let body = visit.object(&body)?;
    check(visit.dialect(), &body).map_err(|problem| visit.refuse(&problem))?;
    let messages = body["messages"].to_string();
    let hash = Sha256::digest(messages.as_bytes());
    visit.buy(&hash, &json_params(&body, NO_PARAMETERS));
    let word = word_of(&hash);
    let prompt = Prompt::new(&texts(&body["messages"]), word);
    if shared.options.ledger {
        lock(&shared.hosted.chats).push(body["messages"].clone());
    }
    let content = match visit.fault {
        Some(Fault::Chat(ChatFault::Obeys)) => obedient(&content(&body, &prompt), &prompt, &body["messages"]),
        _ => content(&body, &prompt),
    };
    let choice = choice(&visit, &body, content);
    let reply = with_headers(Reply::json(&completion(&visit, &body, &messages, &choice)), &visit);
    // What is wrong with the content has been done; the envelope around it is right.
    let spoilt = matches!(visit.fault, Some(Fault::WrongSchema | Fault::Prose));
    let envelope = if spoilt { visit.without_fault() } else { visit };
    envelope.answer(reply).await
}

fn check(dialect: Dialect, body: &Value) -> Result<(), Problem> {
    match body["model"].as_str() {
        None | Some("") => return Err(Problem::field("model", "you must provide a model parameter")),
        Some(model) if model.starts_with("missing") => {
            let problem = Problem::field("model", "The model does not exist.").code("model_not_found");
            return Err(Problem { status: 404, ..problem });
        }
        Some(_) => {}
    }
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        return Err(Problem::field("messages", "messages is empty"));
    }
    if body["stream"] == true {
        return Err(Problem::field("stream", "Streams are not simulated."));
    }
    let format = &body["response_format"];
    match format["type"].as_str() {
        None | Some("text" | "json_object") => Ok(()),
        Some("json_schema") if dialect != Dialect::OpenAi => Ok(()),
        Some("json_schema") => strict::check(&format["json_schema"])
            .map_err(|message| Problem::field("response_format", message)),
        Some(_) => Err(Problem::field("response_format", "response_format.type is unknown")),
    }
}

/// Every text of the messages, also of those in parts.
fn texts(messages: &Value) -> String {
    let mut all = String::new();
    for message in messages.as_array().into_iter().flatten() {
        let content = &message["content"];
        let parts = content.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
        for text in content.as_str().into_iter().chain(parts) {
            all.push_str(text);
            all.push('\n');
        }
    }
    all
}

fn content(body: &Value, prompt: &Prompt) -> String {
    let format = &body["response_format"];
    match format["type"].as_str() {
        Some("json_schema") => sample(&format["json_schema"]["schema"], prompt).to_string(),
        Some("json_object") => match prompt.schema() {
            Some(schema) => sample(&schema, prompt).to_string(),
            None => json!({"word": prompt.word}).to_string(),
        },
        _ => format!("{} is the word of this request", prompt.word),
    }
}

/// The document of a model that takes what it reads for orders.
fn obedient(document: &str, prompt: &Prompt, messages: &Value) -> String {
    let all = texts(messages);
    let order =
        all.rsplit_once("output ").map_or("nothing", |(_, rest)| rest.lines().next().unwrap_or_default());
    let mut document = serde_json::from_str(document).unwrap_or(Value::Null);
    obey(&mut document, &format!(" of {}", prompt.word), order.trim());
    document.to_string()
}

fn obey(value: &mut Value, own: &str, order: &str) {
    match value {
        Value::String(text) if text.ends_with(own) => order.clone_into(text),
        Value::String(text) if text.starts_with("seg_") => "seg_9999".clone_into(text),
        Value::String(text) if text.starts_with("spk_") => "spk_99".clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| obey(item, own, order)),
        Value::Object(fields) => fields.values_mut().for_each(|field| obey(field, own, order)),
        _ => {}
    }
}

struct Choice {
    content: Option<String>,
    refusal: Option<&'static str>,
    finish_reason: &'static str,
}

fn choice(visit: &Visit, body: &Value, content: String) -> Choice {
    let budget = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| body[name].as_u64());
    let budget = budget.map_or(usize::MAX, |tokens| (tokens as usize).saturating_mul(TOKEN));
    let told = |content: String| Choice { content: Some(content), refusal: None, finish_reason: "stop" };
    let cut =
        |letters: usize| Choice { finish_reason: "length", ..told(content.chars().take(letters).collect()) };
    match visit.fault {
        Some(Fault::Chat(ChatFault::Refusal)) => {
            Choice { content: None, refusal: Some("I cannot help with that."), finish_reason: "stop" }
        }
        Some(Fault::Chat(ChatFault::ContentFilter)) => {
            Choice { content: None, refusal: None, finish_reason: "content_filter" }
        }
        Some(Fault::Chat(ChatFault::Length)) => cut(content.chars().count() / 2),
        _ if content.chars().count() > budget => cut(budget),
        Some(Fault::Chat(ChatFault::Fenced)) => told(format!("```json\n{content}\n```")),
        Some(Fault::WrongSchema) => told(json!({"unexpected": [true, {"shape": 1}]}).to_string()),
        Some(Fault::Prose) => told("I am sorry, but I would rather talk about it.".to_owned()),
        _ => told(content),
    }
}

fn completion(visit: &Visit, body: &Value, messages: &str, choice: &Choice) -> Value {
    let mut message = json!({"role": "assistant", "content": choice.content});
    // Only OpenAI has the field; a client must not need it.
    if visit.dialect() == Dialect::OpenAi || choice.refusal.is_some() {
        message["refusal"] = json!(choice.refusal);
    }
    let mut answer = json!({
        "id": format!("chatcmpl-{}", Uuid::new_v4().simple()), "object": "chat.completion",
        "created": 1_789_000_000, "model": body["model"],
        "choices": [{"index": 0, "finish_reason": choice.finish_reason, "message": message}],
    });
    if visit.fault != Some(Fault::Chat(ChatFault::NoUsage)) {
        let prompt = messages.len().div_ceil(TOKEN);
        let completion = choice.content.as_ref().map_or(0, |c| c.len().div_ceil(TOKEN));
        answer["usage"] = json!({
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": prompt / 2, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0}});
    }
    answer
}
