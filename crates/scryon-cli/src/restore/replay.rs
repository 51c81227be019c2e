//! Who was erased after the backup is erased again, from the notes that storage kept.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use scryon_blobs::{Blobs, Erased};
use scryon_store::Store;

use crate::backup::from_blobs;
use crate::output::Failure;

const BATCH: usize = 1000;

pub(super) struct Replayed {
    /// Rows that the backup had brought back.
    pub(super) calls: usize,
    pub(super) users: usize,
    pub(super) erased: Arc<HashSet<Erased>>,
}

pub(super) async fn replay(
    store: &Store,
    blobs: &Blobs,
    snapshot_at: DateTime<Utc>,
) -> Result<Replayed, Failure> {
    let erased = blobs.erasures_since(day_of(snapshot_at)).await.map_err(from_blobs)?;
    let calls: Vec<_> = erased
        .iter()
        .filter_map(|e| match e {
            Erased::Call(id) => Some(id.0),
            _ => None,
        })
        .collect();
    let mut replayed = Replayed { calls: 0, users: 0, erased: Arc::new(erased.iter().cloned().collect()) };
    for ids in calls.chunks(BATCH) {
        replayed.calls += store.calls_erase_again(ids.to_vec()).await.map_err(Failure::from_store)?;
    }
    for who in &erased {
        let gone = match who {
            Erased::Call(_) => continue,
            Erased::User(id) => store.user_erase_again(id.0).await,
            Erased::Tenant(id) => store.tenant_erase_again(&id.0).await,
        };
        replayed.users += usize::from(gone.map_err(Failure::from_store)?);
    }
    Ok(replayed)
}

/// Receipts that the backup does not know. Comes last: what is left in storage of those whom they are about has its
/// tombstones by then.
pub(super) async fn receipts(
    store: &Store,
    blobs: &Blobs,
    snapshot_at: DateTime<Utc>,
) -> Result<(), Failure> {
    for receipt in blobs.receipts_since(day_of(snapshot_at)).await.map_err(from_blobs)? {
        // Another file in the same folder is not ours.
        if let Ok(receipt) = serde_json::from_slice(&receipt) {
            store.receipt_restore(receipt).await.map_err(Failure::from_store)?;
        }
    }
    Ok(())
}

/// Notes lie by the day of their clock; a day more costs nothing.
fn day_of(snapshot_at: DateTime<Utc>) -> NaiveDate {
    snapshot_at.date_naive().checked_sub_days(Days::new(1)).unwrap_or_default()
}
