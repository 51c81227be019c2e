//! The search index: calls come into it after their end, in batches at a pace, and never at a cost of the pipeline.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use scryon_blobs::{BlobError, BlobKey, Blobs};
use scryon_domain::transcript::Transcript;
use scryon_store::{DueSearch, SearchText, StoreError, indexable};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{Sweeper, nap};

const TICK: Duration = Duration::from_secs(1);
/// Between two batches where nothing else is to be done.
const BREATH: Duration = Duration::from_millis(20);
/// More calls in flight than this wait for each other; the index waits behind them.
const CROWD: i64 = 200;
/// Transcripts read at once.
const READERS: usize = 4;
/// Most bytes of a document, and of the part of it that is indexed: an index entry has a limit, and hours of talk
/// repeat themselves.
const DOCUMENT: u64 = 64 << 20;
const BODY: usize = 250_000;
/// Bytes of one statement.
const STATEMENT: usize = 2 << 20;

/// Indexes what is due until told to stop.
pub(crate) async fn index(sweeper: &Sweeper) {
    let mut wait = TICK;
    let batch = sweeper.ctx.config.search.batch.0;
    if batch == 0 {
        return;
    }
    while nap(&sweeper.ctx.stop, wait).await {
        wait = TICK;
        if !sweeper.leads() {
            continue;
        }
        match tick(sweeper, batch).await {
            Ok(next) => wait = next,
            Err(error) => warn!(error = %error, "calls were not indexed for search; the next tick goes on"),
        }
    }
}

/// One batch, and how long until the next.
async fn tick(sweeper: &Sweeper, batch: u32) -> Result<Duration, IndexError> {
    let in_flight = sweeper.ctx.store.calls_in_flight(CROWD + 1).await?;
    let (limit, rest) = pace(in_flight, batch);
    let full = once(sweeper, i32::try_from(limit).unwrap_or(i32::MAX)).await?;
    Ok(if full { rest } else { TICK })
}

/// Calls of a batch, and the rest after a full one: behind the calls of a crowd, and at full speed when nobody else
/// is there.
const fn pace(in_flight: i64, batch: u32) -> (u32, Duration) {
    match in_flight {
        0 => (batch, BREATH),
        1..=CROWD => (batch, TICK),
        _ => (batch.div_ceil(10), TICK),
    }
}

/// Why a batch was cut short.
#[derive(Debug, thiserror::Error)]
enum IndexError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

/// One batch. True: there is more.
async fn once(sweeper: &Sweeper, batch: i32) -> Result<bool, IndexError> {
    let store = &sweeper.ctx.store;
    let due = store.search_due(batch).await?;
    let full = due.len() >= usize::try_from(batch).unwrap_or_default();
    let mut read = stream::iter(due).map(|call| text_of(&sweeper.ctx.blobs, call)).buffered(READERS);
    let (mut texts, mut bytes) = (Vec::new(), 0);
    let (mut ends, mut done) = (Vec::new(), HashSet::new());
    while let Some(text) = read.next().await {
        let text = text?;
        if text.in_order {
            ends.extend(text.finished_at.map(|end| (end, text.id)));
        }
        bytes += text.body.len();
        texts.push(text);
        if bytes > STATEMENT {
            put(sweeper, &texts, &mut done).await?;
            texts.clear();
            bytes = 0;
        }
    }
    put(sweeper, &texts, &mut done).await?;
    // A call whose row somebody held was passed over: it is found again only where progress stops before it.
    ends.sort_unstable();
    if let Some((until, _)) = ends.iter().take_while(|(_, id)| done.contains(id)).last() {
        store.search_progress(*until).await?;
    }
    // Where all of them were passed over there is nothing to hurry for.
    let full = full && !done.is_empty();
    Ok(full)
}

/// Adds to `done` what was indexed.
async fn put(sweeper: &Sweeper, texts: &[SearchText], done: &mut HashSet<Uuid>) -> Result<(), StoreError> {
    if texts.is_empty() {
        return Ok(());
    }
    let store = &sweeper.ctx.store;
    let embed = sweeper.ctx.config.search.embedding_enabled;
    match store.search_store(texts, embed).await {
        Ok(stored) => {
            sweeper.metrics.search_indexed.inc_by(stored.len() as u64);
            done.extend(stored);
        }
        // One of them is to blame: each by itself, and that one without its transcript.
        Err(error) => {
            debug!(error = %error, "a batch was not indexed; going on one by one");
            for text in texts {
                let one = std::slice::from_ref(text);
                let stored = match store.search_store(one, embed).await {
                    Ok(stored) => stored,
                    Err(_refused) => {
                        warn!(callId = %text.id, "a call is indexed without its transcript");
                        let bare = SearchText { body: String::new(), ..text.clone() };
                        store.search_store(&[bare], embed).await?
                    }
                };
                sweeper.metrics.search_indexed.inc_by(stored.len() as u64);
                done.extend(stored);
            }
        }
    }
    Ok(())
}

/// What of a call lies in storage.
async fn text_of(blobs: &Blobs, call: DueSearch) -> Result<SearchText, BlobError> {
    let body = match &call.transcript_key {
        Some(key) => said(blobs, key).await?,
        None => String::new(),
    };
    Ok(SearchText {
        id: call.id,
        finished_at: call.finished_at,
        in_order: call.in_order,
        body: indexable(&body, BODY),
    })
}

/// The words of a transcript and the names of those who said them. One that is gone or unreadable has none.
pub(crate) async fn said(blobs: &Blobs, key: &str) -> Result<String, BlobError> {
    let document = match blobs.get(&BlobKey::stored(key), DOCUMENT).await {
        Ok(document) => document,
        Err(BlobError::Unavailable(error)) => return Err(BlobError::Unavailable(error)),
        Err(error) => {
            warn!(error = %error, "a transcript cannot be read for search");
            return Ok(String::new());
        }
    };
    let Ok(transcript) = serde_json::from_slice::<Transcript>(&document) else { return Ok(String::new()) };
    let names = transcript.speakers.iter().filter_map(|speaker| speaker.display_name.as_deref());
    let lines = transcript.segments.iter().map(|segment| segment.text.as_str());
    Ok(names.chain(lines).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_steps_back_behind_a_crowd() {
        for (in_flight, batch, expected) in [
            (0, 100, (100, BREATH)),
            (1, 100, (100, TICK)),
            (CROWD, 100, (100, TICK)),
            (CROWD + 1, 100, (10, TICK)),
            (CROWD + 1, 1, (1, TICK)),
        ] {
            assert_eq!(pace(in_flight, batch), expected, "{in_flight}");
        }
    }
}
