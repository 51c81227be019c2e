//! Embeddings of texts, from OpenAI or a server that speaks its API.

use std::time::Duration;

use scryon_config::{EngineSettings, SearchSettings};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ANSWER_LIMIT, Key, reading};
use crate::engine::{Answer, ProviderError};
use crate::http::HttpClient;

const NAME: &str = "openai";
/// Numbers of each vector, for models that shorten theirs: a sixth of the room, nearly as good.
const NUMBERS: usize = 256;
/// US dollars per million tokens, autumn 2026; SCRYON_PRICES wins.
const PRICES: &[(&str, f64)] =
    &[("text-embedding-3-small", 0.02), ("text-embedding-3-large", 0.13), ("text-embedding-ada-002", 0.10)];

/// Asks for embeddings.
#[derive(Debug)]
pub struct Embedder {
    http: HttpClient,
    url: String,
    key: Key,
    model: String,
    price: Option<f64>,
    wait: Duration,
}

impl Embedder {
    /// The name in the ledger and in metrics.
    pub const ENGINE: &str = NAME;

    /// Needs LLM_API_KEY.
    pub fn new(search: &SearchSettings, engines: &EngineSettings, http: HttpClient) -> Result<Self, String> {
        let model = search.embedding_model.clone();
        let set = engines.prices.per_million_tokens(NAME, &model).map(|(input, _, _)| input);
        let usual = PRICES.iter().find(|(name, _)| *name == model).map(|(_, price)| *price);
        Ok(Self {
            http,
            url: format!("{}/embeddings", engines.llm_base_url.0),
            key: Key::new(NAME, "LLM_API_KEY", &engines.llm_api_key)?,
            price: set.or(usual),
            model,
            wait: search.embedding_timeout.0,
        })
    }

    /// The model, as it is asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// SHA-256 over everything besides the texts that decides the answer.
    pub fn params_hash(&self) -> Vec<u8> {
        Sha256::digest(format!("{} {} {:?}", self.url, self.model, self.numbers())).to_vec()
    }

    /// US dollars for so many tokens, where the price is known.
    pub fn cost(&self, tokens: f64) -> Option<f64> {
        self.price.map(|price| price * tokens / 1e6)
    }

    fn numbers(&self) -> Option<usize> {
        self.model.starts_with("text-embedding-3").then_some(NUMBERS)
    }

    /// A vector for each text, in their order. None may be empty.
    pub async fn embed(
        &self,
        texts: &[String],
        patience: Option<Duration>,
    ) -> Result<Answer<Vec<Vec<f32>>>, ProviderError> {
        let mut body = json!({"model": self.model, "input": texts, "encoding_format": "float"});
        if let Some(numbers) = self.numbers() {
            body["dimensions"] = numbers.into();
        }
        let wait = patience.map_or(self.wait, |patience| patience.min(self.wait));
        let request = self.http.post(self.url.clone()).timeout(wait).bearer_auth(&self.key.0).json(&body);
        let answer = reading::json(NAME, &self.http.send(NAME, request, ANSWER_LIMIT).await?)?;
        let vectors = read(&answer, texts.len()).ok_or_else(|| ProviderError::Malformed {
            engine: NAME,
            message: "no vector for each text".to_owned(),
        })?;
        // Four bytes are about a token, where the server does not count.
        let tokens = reading::number(&answer["usage"]["total_tokens"])
            .unwrap_or_else(|| texts.iter().map(|text| text.len().div_ceil(4)).sum::<usize>() as f64);
        Ok(Answer {
            content: vectors,
            units: Some(tokens),
            unit: Some("tokens"),
            billed_cost: self.cost(tokens),
        })
    }
}

/// The vectors by their `index`: their order is not promised. All have one length, and a length at all.
fn read(answer: &Value, count: usize) -> Option<Vec<Vec<f32>>> {
    let mut vectors: Vec<Vec<f32>> = vec![Vec::new(); count];
    for (place, entry) in reading::list(&answer["data"]).iter().enumerate() {
        let index = entry["index"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(place);
        let numbers: Option<Vec<f32>> =
            reading::list(&entry["embedding"]).iter().map(|n| reading::number(n).map(|n| n as f32)).collect();
        *vectors.get_mut(index)? = unit(numbers?)?;
    }
    let length = vectors.first().map_or(0, Vec::len);
    (length > 0 && vectors.iter().all(|vector| vector.len() == length)).then_some(vectors)
}

/// The vector at length one, so that a product of two is their similarity.
fn unit(vector: Vec<f32>) -> Option<Vec<f32>> {
    let length = vector.iter().map(|n| n * n).sum::<f32>().sqrt();
    (length.is_finite() && length > 0.0).then(|| vector.into_iter().map(|n| n / length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_go_by_their_index_and_have_length_one() {
        let answer = json!({"data": [
            {"index": 1, "embedding": [0.0, 2.0]},
            {"index": 0, "embedding": [3.0, 4.0]}]});
        assert_eq!(read(&answer, 2).unwrap(), [vec![0.6, 0.8], vec![0.0, 1.0]]);
    }

    #[test]
    fn anything_else_is_no_answer() {
        for data in [
            json!([]),
            json!(null),
            json!([{"index": 0, "embedding": [1.0]}]),
            json!([{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}]),
            json!([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]),
            json!([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [0.0]}]),
            json!([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": ["x"]}]),
        ] {
            assert_eq!(read(&json!({"data": data}), 2), None, "{data}");
        }
    }
}
