//! The slow sweeps: audio past its time, objects with a tombstone, leftovers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use scryon_blobs::{BlobError, BlobKey};
use scryon_store::{Aged, KEY_LIFETIME, StoreError, Tombstone};
use serde_json::{Value, json};
use tracing::{info, warn};
use uuid::Uuid;

use crate::copies;
use crate::safety::{self, SafetyError};
use crate::{Sweeper, nap};

const BATCH: i32 = 200;
/// Between two looks whether somebody wants a sweep now.
const LOOK: Duration = Duration::from_secs(1);
/// Rows that one statement deletes, and statements of one kind in one sweep: the next one goes on.
const ROWS: i32 = 1000;
const ROUNDS: usize = 100;

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
async fn swept(sweeper: &Sweeper) -> Result<(), SafetyError> {
    let store = &sweeper.ctx.store;
    let began = store.now().await?;
    let result = once(sweeper).await?;
    Ok(store.sweep_end(began, result).await?)
}

async fn once(sweeper: &Sweeper) -> Result<Value, SafetyError> {
    let store = &sweeper.ctx.store;
    let stale = store.calls_sweep_stale(sweeper.settings().stale_after.0, BATCH).await?;
    if stale > 0 {
        warn!(calls = stale, errorCode = "stale_job", "calls were stuck for too long and have failed");
    }
    store.heartbeats_expire().await?;
    // Every statement asks for holds itself; this only spares them.
    if let Some(hold) = store.holds().await?.first() {
        info!(hold = hold.kind, since = %hold.since, "a hold is on: nothing is deleted");
        return Ok(json!({"staleCalls": stale, "hold": hold.kind}));
    }
    if safety::is_past(sweeper).await? {
        return Ok(json!({"staleCalls": stale}));
    }
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
    // Nothing is buried before storage knows of the erasure: what was deleted a moment ago shall go with this sweep.
    safety::record(sweeper).await?;
    let objects = bury(sweeper).await?;
    copies::forget(sweeper).await?;
    safety::forget(sweeper).await?;
    expire(sweeper).await?;
    Ok(json!({"audioExpired": expired, "objectsDeleted": objects, "staleCalls": stale}))
}

/// Rows that leave by their age.
async fn expire(sweeper: &Sweeper) -> Result<(), StoreError> {
    let (store, keep) = (&sweeper.ctx.store, &sweeper.ctx.config.retention);
    let counted = |kind: &str, rows: usize| {
        sweeper.metrics.rows_expired.with_label_values(&[kind]).inc_by(rows as u64);
    };
    for what in Aged::ALL {
        let age = match what {
            Aged::Events => keep.events.0,
            // An answer is promised for that long.
            Aged::IdempotencyKeys => keep.idempotency.0.max(KEY_LIFETIME),
            Aged::DeadLetters => keep.dead_letters.0,
            Aged::Callbacks => keep.callbacks.0,
        };
        for _ in 0..ROUNDS {
            let rows = store.expire(what, age, ROWS).await?;
            counted(what.as_str(), rows);
            if rows < ROWS as usize {
                break;
            }
        }
    }
    for _ in 0..ROUNDS {
        let (seen, gone) = store.answers_expire(keep.raw_answers.0, ROWS).await?;
        counted("raw_answers", gone);
        if seen < ROWS as usize {
            break;
        }
    }
    Ok(())
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
        let mut receipts: HashMap<Uuid, usize> = HashMap::new();
        for stone in &stones {
            match delete(sweeper, stone).await {
                Ok(count) => {
                    objects += count;
                    if let Some(receipt) = stone.receipt_id {
                        *receipts.entry(receipt).or_default() += count;
                    }
                    done.push(stone.id);
                }
                Err(error) => failed = Some(error),
            }
        }
        for (receipt, count) in receipts {
            store.receipt_count(receipt, count, &done).await?;
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
