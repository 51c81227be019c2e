//! Objects that no call explains: those of an upload whose API died before the commit. What is deleted here
//! cannot come back, so it passes gates: its key has the form of a call's object, it is old, two looks found
//! no row, and all of them together are few.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt;
use scryon_domain::ids::CallId;
use tracing::{info, warn};

use crate::safety::{self, SafetyError};
use crate::{Sweeper, nap};

/// Calls asked about in one statement.
const BATCH: usize = 500;
/// More unexplained calls than this, and than a share of all, is a sign that the rows are wrong: a database
/// restored from yesterday, or the wrong bucket.
const FEW: usize = 20;
const SHARE_PERCENT: usize = 2;

pub(crate) async fn sweep(sweeper: &Sweeper) {
    let settings = sweeper.settings();
    let mut wait = settings.initial_delay.0;
    while nap(&sweeper.ctx.stop, wait).await {
        wait = settings.orphan_interval.0;
        if !sweeper.leads() {
            continue;
        }
        if let Err(error) = once(sweeper).await {
            warn!(error = %error, "the look for unexplained objects was cut short; the next one starts anew");
        }
    }
}

async fn once(sweeper: &Sweeper) -> Result<(), SafetyError> {
    // Passes are told apart, not ordered: a clock that is set back does no harm.
    let pass = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let pass = i64::try_from(pass).unwrap_or(i64::MAX);
    let (calls, orphans) = look(sweeper, pass).await?;
    sweeper.metrics.orphans.set(i64::try_from(orphans).unwrap_or(i64::MAX));
    if orphans > FEW.max(calls * SHARE_PERCENT / 100) {
        warn!(
            orphans,
            calls,
            errorCode = "too_many_orphans",
            "storage holds objects of many calls that have no row; none is deleted. Is this the right database, and is it restored?"
        );
        return Ok(());
    }
    sweeper.crash_point("C20");
    if safety::is_past(sweeper).await? {
        return Ok(());
    }
    let buried = sweeper.ctx.store.orphans_bury(pass).await?;
    if buried > 0 {
        info!(calls = buried, "objects that no call explains leave storage with the next sweep");
    }
    Ok(())
}

/// Gives the number of calls that have objects, and of those that no row explains.
async fn look(sweeper: &Sweeper, pass: i64) -> Result<(usize, usize), SafetyError> {
    let old = SystemTime::now() - sweeper.settings().orphan_min_age.0;
    let mut survey = sweeper.ctx.blobs.survey(old);
    // Objects of a call lie together, so a batch holds few calls twice; memory is bounded by the batch.
    let mut seen: HashMap<CallId, String> = HashMap::new();
    let (mut calls, mut orphans) = (0, 0);
    loop {
        let found = survey.try_next().await?;
        let end = found.is_none();
        seen.extend(found);
        if seen.len() >= BATCH || end {
            let batch: Vec<_> = seen.drain().map(|(call, prefix)| (call.0, prefix)).collect();
            calls += batch.len();
            orphans += sweeper.ctx.store.orphans_note(&batch, pass).await?;
        }
        if end {
            return Ok((calls, orphans));
        }
    }
}
