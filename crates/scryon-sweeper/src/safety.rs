//! What storage has to know before the database is lost: who was erased, and who the users are. A restore reads it. And
//! the figures of holds, backups and restores.

use std::time::Duration;

use chrono::Utc;
use futures_util::future::join_all;
use scryon_blobs::{BlobError, StoredUser};
use scryon_domain::ids::{TenantId, UserId};
use scryon_metrics::HOLD_KINDS;
use scryon_store::StoreError;
use tracing::{info, warn};

use crate::{Sweeper, nap};

/// An erasure that is lost with the database within this time comes back with a restore, so it is short.
const EVERY: Duration = Duration::from_secs(2);
const BATCH: i32 = 200;
/// Notes written at once.
const WRITERS: usize = 16;

pub(crate) async fn keep(sweeper: &Sweeper) {
    while nap(&sweeper.ctx.stop, EVERY).await {
        if let Err(error) = once(sweeper).await {
            warn!(error = %error, "storage was not told of erasures or users; trying again. Nothing of theirs is deleted before");
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SafetyError {
    #[error(transparent)]
    Storage(#[from] BlobError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn once(sweeper: &Sweeper) -> Result<(), SafetyError> {
    figures(sweeper).await?;
    if !sweeper.leads() {
        return Ok(());
    }
    users(sweeper).await?;
    record(sweeper).await
}

/// Tells storage of every erasure it has not heard of.
pub(crate) async fn record(sweeper: &Sweeper) -> Result<(), SafetyError> {
    while erasures(sweeper).await? == BATCH as usize {}
    Ok(())
}

/// Also while a hold is on: a call that was deleted stays deleted.
async fn erasures(sweeper: &Sweeper) -> Result<usize, SafetyError> {
    let (store, blobs) = (&sweeper.ctx.store, &sweeper.ctx.blobs);
    let found = store.erasures_unrecorded(BATCH).await?;
    if found.is_empty() {
        return Ok(0);
    }
    for stones in found.chunks(WRITERS) {
        let notes = stones.iter().map(|stone| blobs.erasure_note(&stone.target, stone.created_at));
        let written = join_all(notes).await;
        let done: Vec<i64> =
            stones.iter().zip(&written).filter(|(_, w)| w.is_ok()).map(|(s, _)| s.id).collect();
        store.erasures_recorded(&done).await?;
        for failed in written {
            failed?;
        }
    }
    Ok(found.len())
}

async fn users(sweeper: &Sweeper) -> Result<(), SafetyError> {
    let (store, blobs) = (&sweeper.ctx.store, &sweeper.ctx.blobs);
    let found = store.users_unstored(BATCH).await?;
    for user in &found {
        let note = StoredUser {
            version: 1,
            tenant_id: TenantId(user.tenant_id.clone()),
            user_id: UserId(user.id),
            external_user_id: user.external_user_id.clone(),
        };
        blobs.user_note(&note).await?;
    }
    if !found.is_empty() {
        store.users_stored(found.iter().map(|u| u.id).collect()).await?;
    }
    Ok(())
}

async fn figures(sweeper: &Sweeper) -> Result<(), StoreError> {
    let Some(figures) = sweeper.ctx.store.safety_figures().await? else { return Ok(()) };
    let metrics = &sweeper.metrics;
    for kind in HOLD_KINDS {
        metrics.hold.with_label_values(&[kind]).set(i64::from(figures.holds.iter().any(|h| h == kind)));
    }
    metrics.erasures_unrecorded.set(figures.unrecorded);
    metrics.restore_epoch.set(i64::from(figures.epoch));
    metrics.backup_age.set(figures.backup_age.unwrap_or(-1.0));
    metrics.restore_rpo.set(figures.rpo.unwrap_or_default());
    metrics.restore_rto.set(figures.rto.unwrap_or_default());
    metrics.probe_passed.set(figures.probe_passed.unwrap_or_default());
    metrics.probe_seconds.set(figures.probe_seconds.unwrap_or_default());
    Ok(())
}

/// Notes of erasures that are older than any backup.
pub(crate) async fn forget(sweeper: &Sweeper) -> Result<(), BlobError> {
    let keep = sweeper.ctx.config.retention.tombstones.0;
    let gone = sweeper.ctx.blobs.erasures_forget((Utc::now() - keep).date_naive()).await?;
    if gone > 0 {
        info!(notes = gone, "notes of erasures that are older than any backup have left storage");
    }
    Ok(())
}

/// Whether storage has seen a newer life than this database is of: then this one is the past, and must not delete what
/// the present needs.
pub(crate) async fn is_past(sweeper: &Sweeper) -> Result<bool, SafetyError> {
    let (noted, ours) = (sweeper.ctx.blobs.epoch_noted().await?, sweeper.ctx.store.epoch().await?);
    if noted > ours {
        warn!(
            noted,
            ours,
            errorCode = "older_epoch",
            "storage belongs to a newer life of this installation, which was restored elsewhere; nothing is deleted from here. Stop the programs that use this database"
        );
    }
    Ok(noted > ours)
}
