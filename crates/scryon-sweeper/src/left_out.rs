//! Analyses that were left out at an operator's word: put back to work when it is taken back or its time is over.

use std::time::Duration;

use tracing::{info, warn};

use crate::{Sweeper, nap};

/// Between two looks; one of them reads an index that is empty but for such calls.
const LOOK: Duration = Duration::from_secs(5);
const BATCH: i32 = 200;

pub(crate) async fn put_back(sweeper: &Sweeper) {
    while nap(&sweeper.ctx.stop, LOOK).await {
        if !sweeper.leads() {
            continue;
        }
        match sweeper.ctx.store.analyses_put_back(BATCH).await {
            Ok(0) => {}
            Ok(calls) => info!(calls, "analyses that were left out are put back to work"),
            Err(error) => warn!(error = %error, "failed to put analyses back to work; trying again"),
        }
    }
}
