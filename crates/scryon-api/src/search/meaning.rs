//! Calls whose meaning is near to a question's. Whatever goes wrong here, words still find.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use scryon_config::Config;
use scryon_providers::{Answer, Embedder, HttpClient, ProviderError};
use scryon_store::{OwnPurchase, OwnPurchaseEnd, Owner, Store, StoreError, Vector};
use sha2::{Digest, Sha256};
use tracing::warn;
use uuid::Uuid;

use super::CANDIDATES;

/// A person waits for a search.
const PATIENCE: Duration = Duration::from_secs(5);
/// A server that failed is not asked for so long.
const PAUSE: Duration = Duration::from_secs(15);
/// Chunks of the newest calls that are compared, one by one.
const CHUNKS: i64 = 5_000;
/// Similarity below which two texts have nothing to do with each other.
const NEAR: f32 = 0.20;
/// Questions whose vectors are kept: people look at several pages, and type the same again.
const KEPT: usize = 512;

/// Search by meaning.
#[derive(Debug)]
pub(crate) struct Meaning {
    embedder: Embedder,
    /// Vectors of questions, by the hash of each.
    asked: Mutex<HashMap<[u8; 32], Vec<f32>>>,
    paused_until: Mutex<Option<Instant>>,
}

impl Meaning {
    /// Nothing while embeddings are off.
    pub(crate) fn new(config: &Config) -> Result<Option<Self>, String> {
        if !config.search.embedding_enabled {
            return Ok(None);
        }
        let embedder = Embedder::new(&config.search, &config.engines, HttpClient::new(None)?)?;
        Ok(Some(Self { embedder, asked: Mutex::default(), paused_until: Mutex::default() }))
    }

    pub(crate) fn model(&self) -> &str {
        self.embedder.model()
    }

    /// Calls near to a question, nearest first; none where it cannot be told.
    pub(crate) async fn alike(&self, store: &Store, owner: &Owner, question: &str) -> Vec<Uuid> {
        if !question.chars().any(char::is_alphanumeric) {
            return Vec::new();
        }
        let Some(asked) = self.vector(store, owner, question).await else { return Vec::new() };
        match store.embedding_vectors(owner, self.model(), CHUNKS).await {
            Ok(vectors) => nearest(&asked, vectors),
            Err(error) => {
                warn!(error = %error, "a search went by words alone");
                Vec::new()
            }
        }
    }

    async fn vector(&self, store: &Store, owner: &Owner, question: &str) -> Option<Vec<f32>> {
        let key: [u8; 32] = Sha256::digest(question).into();
        if let Some(known) = self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(known.clone());
        }
        let paused = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        match self.bought(store, owner, question, &key).await {
            Ok(answer) => {
                let vector = answer.content.into_iter().next()?;
                let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
                if asked.len() >= KEPT {
                    asked.clear();
                }
                asked.insert(key, vector.clone());
                Some(vector)
            }
            Err(error) => {
                warn!("searches go by words alone for a while: {error}");
                *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Instant::now() + PAUSE);
                None
            }
        }
    }
}

impl Meaning {
    /// Asks the provider; a row of the ledger says what it took.
    async fn bought(
        &self,
        store: &Store,
        owner: &Owner,
        question: &str,
        sha256: &[u8],
    ) -> Result<Answer<Vec<Vec<f32>>>, NotAsked> {
        let purchase = OwnPurchase {
            id: Uuid::now_v7(),
            tenant_id: owner.tenant_id.clone(),
            what: "question",
            engine: Embedder::ENGINE,
            model: self.model().to_owned(),
            subject_sha256: sha256.to_vec(),
            estimated_cost: self.embedder.cost(question.len() as f64 / 4.0),
        };
        store.own_purchase_begin(&purchase).await?;
        let answer = self.embedder.embed(&[question.to_owned()], Some(PATIENCE)).await;
        let end = match &answer {
            Ok(answer) => OwnPurchaseEnd::Succeeded {
                units: answer.units,
                unit: "tokens",
                billed_cost: answer.billed_cost,
            },
            Err(error @ ProviderError::Ambiguous { .. }) => {
                OwnPurchaseEnd::Unknown { error_code: error.code() }
            }
            Err(error) => OwnPurchaseEnd::Failed { error_code: error.code() },
        };
        if let Err(error) = store.own_purchase_end(purchase.id, end).await {
            warn!(error = %error, "the end of a question's purchase was not written down");
        }
        Ok(answer?)
    }
}

/// Why a question has no vector.
#[derive(Debug, thiserror::Error)]
enum NotAsked {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Calls by their nearest chunk. Vectors have length one: their product is their similarity.
fn nearest(asked: &[f32], vectors: Vec<Vector>) -> Vec<Uuid> {
    let mut best: HashMap<Uuid, f32> = HashMap::new();
    for vector in vectors {
        if vector.embedding.len() != asked.len() {
            continue;
        }
        let similarity: f32 = vector.embedding.iter().zip(asked).map(|(a, b)| a * b).sum();
        if similarity >= NEAR {
            let known = best.entry(vector.call_id).or_insert(similarity);
            *known = known.max(similarity);
        }
    }
    let mut ranked: Vec<(Uuid, f32)> = best.into_iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
    ranked.truncate(usize::try_from(CANDIDATES).unwrap_or_default());
    ranked.into_iter().map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_as_near_as_its_nearest_chunk() {
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        let vector = |call_id, embedding: [f32; 2]| Vector { call_id, embedding: embedding.to_vec() };
        let vectors = vec![
            vector(a, [0.6, 0.8]),
            vector(b, [0.0, 1.0]),
            vector(b, [1.0, 0.0]),
            vector(c, [0.1, 0.995]),
            Vector { call_id: c, embedding: vec![1.0] },
        ];
        assert_eq!(nearest(&[1.0, 0.0], vectors), [b, a]);
        assert_eq!(nearest(&[1.0, 0.0], Vec::new()), Vec::<Uuid>::new());
    }
}
