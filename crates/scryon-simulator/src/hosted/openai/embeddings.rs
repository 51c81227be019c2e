//! `POST /openai/v1/embeddings`.

use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::audio::json_params;
use super::super::provider::{Problem, Provider};
use super::super::visit::Visit;
use super::with_headers;
use crate::Shared;
use crate::faults::{ChatFault, Fault};
use crate::reply::Reply;

/// Most inputs of a request, tokens of an input, tokens of a request.
const LIMITS: (usize, usize, usize) = (2_048, 8_192, 300_000);

pub(super) async fn embed(
    request: HttpRequest,
    shared: Data<Shared>,
    body: Bytes,
) -> Result<HttpResponse, Error> {
    let visit = Visit::begin(&shared, &request, Provider::OpenAi, "openai.embeddings")?;
    let body = visit.object(&body)?;
    let refuse = |problem: Problem| visit.refuse(&problem);
    let inputs = inputs(&body["input"]).map_err(refuse)?;
    let size = size(&body).map_err(refuse)?;
    visit.buy(&Sha256::digest(body["input"].to_string().as_bytes()), &json_params(&body, &["input", "user"]));
    let in_base64 = body["encoding_format"] == "base64";
    let mut data: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let meant = visit.options.openai_meanings.iter().find(|(text, _)| text == input);
            let vector = vector(meant.map_or(*input, |(_, meaning)| meaning), size);
            let embedding = if in_base64 { json!(packed(&vector)) } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    // The order is not promised: a client has to go by `index`.
    data.reverse();
    let mut answer = json!({"object": "list", "data": data, "model": body["model"]});
    if visit.fault != Some(Fault::Chat(ChatFault::NoUsage)) {
        let sum: usize = inputs.iter().map(|input| tokens(input)).sum();
        answer["usage"] = json!({"prompt_tokens": sum, "total_tokens": sum});
    }
    visit.answer(with_headers(Reply::json(&answer), &visit)).await
}

fn inputs(input: &Value) -> Result<Vec<&str>, Problem> {
    let wrong = |message: &str| Problem::field("input", message);
    let inputs = match input {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => {
            let texts: Option<Vec<_>> = several.iter().map(Value::as_str).collect();
            texts.ok_or_else(|| wrong("input is no list of texts"))?
        }
        _ => return Err(wrong("input is missing")),
    };
    let (most, longest, all) = LIMITS;
    if inputs.is_empty() || inputs.len() > most || inputs.iter().any(|i| i.is_empty()) {
        return Err(wrong("input has no text, an empty text, or too many"));
    }
    let sum: usize = inputs.iter().map(|i| tokens(i)).sum();
    if sum > all || inputs.iter().any(|i| tokens(i) > longest) {
        return Err(wrong("input has too many tokens"));
    }
    Ok(inputs)
}

fn tokens(text: &str) -> usize {
    text.len().div_ceil(4)
}

fn size(body: &Value) -> Result<usize, Problem> {
    let default = match body["model"].as_str() {
        Some("text-embedding-3-small") => 1_536,
        Some("text-embedding-3-large") => 3_072,
        Some("text-embedding-ada-002") if body["dimensions"].is_null() => return Ok(1_536),
        Some("text-embedding-ada-002") => {
            return Err(Problem::field("dimensions", "This model does not support dimensions."));
        }
        _ => {
            let problem = Problem::field("model", "The model does not exist.").code("model_not_found");
            return Err(Problem { status: 404, ..problem });
        }
    };
    match &body["dimensions"] {
        Value::Null => Ok(default),
        asked => match asked.as_u64() {
            Some(n) if (1..=default as u64).contains(&n) => Ok(n as usize),
            _ => Err(Problem::field("dimensions", "dimensions is out of range")),
        },
    }
}

/// A vector of length one, the same for the same text.
fn vector(text: &str, size: usize) -> Vec<f32> {
    let mut block = Sha256::digest(text.as_bytes());
    let mut values: Vec<f32> = Vec::with_capacity(size);
    while values.len() < size {
        values.extend(block.iter().map(|b| f32::from(*b) - 127.5));
        block = Sha256::digest(block);
    }
    values.truncate(size);
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    values.iter().map(|v| v / length).collect()
}

fn packed(vector: &[f32]) -> String {
    BASE64.encode(vector.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}
