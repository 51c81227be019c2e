//! The call counters: what happened to calls, whoever did it, counted once.

use std::time::Duration;

use scryon_store::StoreError;
use tracing::warn;

use crate::{Sweeper, nap};

const EVERY: Duration = Duration::from_secs(2);
const BATCH: i32 = 5000;

pub(crate) async fn count(sweeper: &Sweeper) {
    while nap(&sweeper.ctx.stop, EVERY).await {
        if let Err(error) = once(sweeper).await {
            warn!(error = %error, "failed to count calls; trying again");
        }
    }
}

async fn once(sweeper: &Sweeper) -> Result<(), StoreError> {
    if sweeper.leads() {
        for seconds in sweeper.ctx.store.counts_drain(BATCH).await? {
            sweeper.metrics.pipeline_duration.observe(seconds);
        }
    }
    for count in sweeper.ctx.store.counts().await? {
        let metrics = &sweeper.metrics;
        match (count.kind.as_str(), count.label.as_str()) {
            ("uploaded", direction) => {
                metrics.calls_uploaded.with_label_values(&[direction]).set(count.total);
            }
            ("completed", _) => metrics.calls_completed.set(count.total),
            ("failed", reason) => metrics.calls_failed.with_label_values(&[reason]).set(count.total),
            ("swept", _) => metrics.calls_swept.set(count.total),
            _ => {}
        }
    }
    Ok(())
}
