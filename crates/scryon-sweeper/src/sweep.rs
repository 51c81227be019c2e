//! The slow sweeps: audio past its time, objects with a tombstone, leftovers.

use std::time::{Duration, Instant};

use scryon_blobs::{BlobError, BlobKey};
use scryon_store::{StoreError, Tombstone};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::{Sweeper, nap};

const BATCH: i32 = 200;
/// Between two looks whether somebody wants a sweep now.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn sweep(sweeper: &Sweeper) {
    let settings = sweeper.settings();
    let mut wait = settings.initial_delay.0;
    while wanted(sweeper, wait).await {
        wait = settings.interval.0;
        if !sweeper.leads() {
            continue;
        }
        if let Err(error) = swept(sweeper).await {
            warn!(error = %error, "a sweep was cut short; the next one goes on");
        }
    }
}

/// Waits for the time of the next sweep, or for somebody who wants one now. False means stop.
async fn wanted(sweeper: &Sweeper, wait: Duration) -> bool {
    let due = Instant::now() + wait;
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return !sweeper.ctx.stop.is_cancelled();
        }
        if !nap(&sweeper.ctx.stop, left.min(LOOK)).await {
            return false;
        }
        if sweeper.leads() && matches!(sweeper.ctx.store.sweep_state().await, Ok(state) if !state.done) {
            return true;
        }
    }
}

/// One sweep, whose figures are kept for whoever asked for it.
async fn swept(sweeper: &Sweeper) -> Result<(), StoreError> {
    let store = &sweeper.ctx.store;
    let began = store.now().await?;
    let result = once(sweeper).await?;
    store.sweep_end(began, result).await
}

async fn once(sweeper: &Sweeper) -> Result<Value, StoreError> {
    let store = &sweeper.ctx.store;
    let storage = &sweeper.ctx.config.storage;
    let mut expired = 0;
    loop {
        let gone = store.audio_expire(storage.temp_audio_ttl.0, storage.temp_audio_max.0, BATCH).await?;
        sweeper.metrics.audio_expired.inc_by(gone as u64);
        expired += gone;
        if gone == 0 {
            break;
        }
    }
    let objects = bury(sweeper).await?;
    let stale = store.calls_sweep_stale(sweeper.settings().stale_after.0, BATCH).await?;
    if stale > 0 {
        warn!(calls = stale, errorCode = "stale_job", "calls were stuck for too long and have failed");
    }
    store.leftovers_expire().await?;
    Ok(json!({"audioExpired": expired, "objectsDeleted": objects, "staleCalls": stale}))
}

/// Deletes what tombstones name; gives the number of objects. Storage that is away leaves them for the next sweep.
async fn bury(sweeper: &Sweeper) -> Result<usize, StoreError> {
    let store = &sweeper.ctx.store;
    let mut all = 0;
    loop {
        let stones = store.tombstones_due(BATCH).await?;
        if stones.is_empty() {
            return Ok(all);
        }
        let (mut done, mut objects, mut failed) = (Vec::new(), 0, None);
        for stone in &stones {
            match delete(sweeper, stone).await {
                Ok(count) => {
                    objects += count;
                    done.push(stone.id);
                }
                Err(error) => failed = Some(error),
            }
        }
        store.tombstones_done(&done).await?;
        all += objects;
        sweeper.metrics.objects_deleted.inc_by(objects as u64);
        if objects > 0 {
            info!(objects, "deleted objects from storage");
        }
        if let Some(error) = failed {
            warn!(error = %error, "some objects could not be deleted; the next sweep tries again");
            return Ok(all);
        }
    }
}

async fn delete(sweeper: &Sweeper, stone: &Tombstone) -> Result<usize, BlobError> {
    if stone.target.ends_with('/') {
        return sweeper.ctx.blobs.delete_prefix(&stone.target).await;
    }
    sweeper.ctx.blobs.delete(&BlobKey::stored(&stone.target)).await.map(|()| 1)
}
