//! The slow sweeps: audio past its time, objects with a tombstone, leftovers.

use scryon_blobs::{BlobError, BlobKey};
use scryon_store::{StoreError, Tombstone};
use tracing::{info, warn};

use crate::{Sweeper, nap};

const BATCH: i32 = 200;

pub(crate) async fn sweep(sweeper: &Sweeper) {
    let settings = sweeper.settings();
    let mut wait = settings.initial_delay.0;
    while nap(&sweeper.ctx.stop, wait).await {
        wait = settings.interval.0;
        if !sweeper.leads() {
            continue;
        }
        if let Err(error) = once(sweeper).await {
            warn!(error = %error, "a sweep was cut short; the next one goes on");
        }
    }
}

async fn once(sweeper: &Sweeper) -> Result<(), StoreError> {
    let store = &sweeper.ctx.store;
    let storage = &sweeper.ctx.config.storage;
    loop {
        let gone = store.audio_expire(storage.temp_audio_ttl.0, storage.temp_audio_max.0, BATCH).await?;
        sweeper.metrics.audio_expired.inc_by(gone as u64);
        if gone == 0 {
            break;
        }
    }
    bury(sweeper).await?;
    let stale = store.calls_sweep_stale(sweeper.settings().stale_after.0, BATCH).await?;
    if stale > 0 {
        warn!(calls = stale, errorCode = "stale_job", "calls were stuck for too long and have failed");
    }
    store.leftovers_expire().await
}

/// Deletes what tombstones name. Storage that is away leaves them for the next sweep.
async fn bury(sweeper: &Sweeper) -> Result<(), StoreError> {
    let store = &sweeper.ctx.store;
    loop {
        let stones = store.tombstones_due(BATCH).await?;
        if stones.is_empty() {
            return Ok(());
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
        sweeper.metrics.objects_deleted.inc_by(objects as u64);
        if objects > 0 {
            info!(objects, "deleted objects from storage");
        }
        if let Some(error) = failed {
            warn!(error = %error, "some objects could not be deleted; the next sweep tries again");
            return Ok(());
        }
    }
}

async fn delete(sweeper: &Sweeper, stone: &Tombstone) -> Result<usize, BlobError> {
    if stone.target.ends_with('/') {
        return sweeper.ctx.blobs.delete_prefix(&stone.target).await;
    }
    sweeper.ctx.blobs.delete(&BlobKey::stored(&stone.target)).await.map(|()| 1)
}
