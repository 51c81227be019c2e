//! Embeddings of calls, where they are switched on: bought for a call once, after it was indexed.

use std::time::{Duration, Instant};

use scryon_blobs::BlobError;
use scryon_domain::ids::{CallId, JobId, TenantId};
use scryon_providers::{Embedder, HttpClient, ProviderError};
use scryon_store::{DueEmbedding, EmbeddingJob, NewEmbedding, StoreError};
use sha2::{Digest, Sha256};
use tracing::warn;
use uuid::Uuid;

use crate::search::said;
use crate::{Sweeper, nap};

const TICK: Duration = Duration::from_secs(1);
/// After an answer that says the provider is away.
const PAUSE: Duration = Duration::from_secs(30);
/// Until a call is tried again whose request had no answer.
const AGAIN: Duration = Duration::from_secs(300);
/// How long Postgres may be away for what was paid for; less than a drain.
const INSIST: Duration = Duration::from_secs(15);
const BATCH: i32 = 16;
/// Bytes of a chunk: about 500 tokens, a topic.
const CHUNK: usize = 2_000;
/// Chunks of a call, its head included: more of an hour's talk is found by words.
const CHUNKS: usize = 16;

/// Makes what is due until told to stop.
pub(crate) async fn embed(sweeper: &Sweeper) {
    let config = &sweeper.ctx.config;
    if !config.search.embedding_enabled {
        return;
    }
    let embedder =
        HttpClient::new(None).and_then(|http| Embedder::new(&config.search, &config.engines, http));
    let embedder = match embedder {
        Ok(embedder) => embedder,
        Err(error) => {
            warn!("no embeddings are made: {error}");
            return;
        }
    };
    let mut wait = TICK;
    while nap(&sweeper.ctx.stop, wait).await {
        wait = TICK;
        if !sweeper.leads() {
            continue;
        }
        if let Err(error) = once(sweeper, &embedder).await {
            warn!("embeddings pause: {error}");
            wait = error.pause();
        }
    }
}

/// Why the rest of a batch waits.
#[derive(Debug, thiserror::Error)]
enum EmbedError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl EmbedError {
    const fn pause(&self) -> Duration {
        match self {
            Self::Provider(ProviderError::Throttled { pause, .. }) => *pause,
            Self::Provider(_) => PAUSE,
            Self::Store(_) | Self::Blobs(_) => TICK,
        }
    }
}

async fn once(sweeper: &Sweeper, embedder: &Embedder) -> Result<(), EmbedError> {
    for call in sweeper.ctx.store.embeddings_due(BATCH).await? {
        one(sweeper, embedder, &call).await?;
    }
    Ok(())
}

async fn one(sweeper: &Sweeper, embedder: &Embedder, call: &DueEmbedding) -> Result<(), EmbedError> {
    let store = &sweeper.ctx.store;
    let call_id = CallId(call.id);
    let body = match &call.transcript_key {
        Some(key) => said(&sweeper.ctx.blobs, key).await?,
        None => String::new(),
    };
    let chunks = chunks(call, &body);
    let text_sha256 = fingerprint(embedder, &chunks);
    if chunks.is_empty() || call.embedded_sha256.as_deref() == Some(&text_sha256) {
        store.embedding_put_off(call_id, None).await?;
        return Ok(());
    }
    let job = EmbeddingJob {
        id: JobId(Uuid::now_v7()),
        tenant_id: TenantId(call.tenant_id.clone()),
        call_id,
        run_no: call.run_no,
        engine: Embedder::ENGINE,
        model: embedder.model().to_owned(),
        params_hash: embedder.params_hash(),
        text_sha256: text_sha256.clone(),
        estimated_cost: embedder.cost(chunks.iter().map(String::len).sum::<usize>() as f64 / 4.0),
    };
    store.embedding_begin(&job).await?;
    let answer = match embedder.embed(&chunks, None).await {
        Ok(answer) => answer,
        Err(error) => return failed(sweeper, &job, error).await,
    };
    let new =
        NewEmbedding { call_id, model: embedder.model().to_owned(), text_sha256, vectors: answer.content };
    // First what was bought, then what it cost: a program that dies in between has it bought no second time.
    let since = Instant::now();
    insist(since, || store.embedding_store(&new)).await?;
    insist(since, || store.embedding_end(job.id, None, answer.units, answer.billed_cost)).await?;
    sweeper.metrics.search_embedded.inc();
    sweeper.metrics.embedding_tokens.inc_by(answer.units.unwrap_or_default() as u64);
    Ok(())
}

/// What was paid for is written down, also where Postgres is away for a while.
async fn insist<T, F: Future<Output = Result<T, StoreError>>>(
    since: Instant,
    write: impl Fn() -> F,
) -> Result<T, StoreError> {
    loop {
        match write().await {
            Err(error) if error.is_unavailable() && since.elapsed() < INSIST => {
                tokio::time::sleep(INSIST / 60).await;
            }
            ended => return ended,
        }
    }
}

/// A text that is refused is not sent again; one without an answer later; a provider that is away is left alone.
async fn failed(sweeper: &Sweeper, job: &EmbeddingJob, error: ProviderError) -> Result<(), EmbedError> {
    let store = &sweeper.ctx.store;
    let call = job.call_id;
    match &error {
        // Stays in the ledger as sent: it was perhaps bought.
        ProviderError::Ambiguous { .. } => store.embedding_put_off(call, Some(AGAIN)).await?,
        ProviderError::Rejected { .. } | ProviderError::Malformed { .. } => {
            warn!(callId = %call.0, errorCode = error.code(), "a call gets no embeddings: {error}");
            store.embedding_end(job.id, Some(error.code()), None, None).await?;
            store.embedding_put_off(call, None).await?;
            return Ok(());
        }
        _ => store.embedding_end(job.id, Some(error.code()), None, None).await?,
    }
    Err(error.into())
}

/// What tells whether embeddings are still of the present text and model.
fn fingerprint(embedder: &Embedder, chunks: &[String]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(embedder.params_hash());
    for chunk in chunks {
        hash.update((chunk.len() as u64).to_be_bytes());
        hash.update(chunk);
    }
    hash.finalize().to_vec()
}

/// A call's head (title, contact, tags, summary), then its transcript in pieces.
fn chunks(call: &DueEmbedding, body: &str) -> Vec<String> {
    let tags = (!call.tags.is_empty()).then(|| call.tags.join(", "));
    let head = [call.title.clone(), call.contact_name.clone(), tags, call.short_summary.clone()];
    let head =
        head.into_iter().flatten().filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join("\n");
    let mut chunks: Vec<String> = (!head.is_empty()).then_some(head).into_iter().collect();
    let mut piece = String::new();
    for word in body.split_whitespace() {
        if !piece.is_empty() && piece.len() + 1 + word.len() > CHUNK {
            chunks.push(std::mem::take(&mut piece));
            if chunks.len() == CHUNKS {
                return chunks;
            }
        }
        if !piece.is_empty() {
            piece.push(' ');
        }
        // A word is no longer than a chunk; only noise is.
        piece.extend(word.chars().take(CHUNK / 4));
    }
    if !piece.is_empty() {
        chunks.push(piece);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(title: Option<&str>, tags: &[&str]) -> DueEmbedding {
        DueEmbedding {
            id: Uuid::nil(),
            tenant_id: "default".to_owned(),
            run_no: 1,
            title: title.map(str::to_owned),
            contact_name: None,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            short_summary: Some("  ".to_owned()),
            transcript_key: None,
            embedded_sha256: None,
        }
    }

    #[test]
    fn a_call_is_its_head_and_pieces_of_its_transcript() {
        assert_eq!(
            chunks(&call(Some("Offer"), &["price", "terms"]), "hello there"),
            ["Offer\nprice, terms", "hello there"]
        );
        assert_eq!(chunks(&call(None, &[]), " \n "), Vec::<String>::new());
        let long = "wörter ".repeat(20_000);
        let pieces = chunks(&call(Some("Offer"), &[]), &long);
        assert_eq!(pieces.len(), CHUNKS);
        assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= CHUNK));
        assert!(chunks(&call(None, &[]), &"x".repeat(100_000)).iter().all(|piece| piece.len() <= CHUNK));
    }
}
