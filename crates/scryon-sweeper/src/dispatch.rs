//! The dispatcher: one tick a second, bounded batches, a full batch repeats at once.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use scryon_domain::stage::{Lane, StageKind};
use scryon_store::{Announced, Due, StoreError};
use tracing::{error, info, warn};

use crate::{Sweeper, nap};

/// Rows one statement takes.
const BATCH: i32 = 500;
/// Batches of one kind in one tick; more waits for the next, so that no kind starves the others.
const ROUNDS: usize = 10;
/// Between repairs, which look at every live row.
const REPAIR: Duration = Duration::from_secs(15);
/// A live call must be quiet for this long before it is believed to be without a live stage.
const QUIET: Duration = Duration::from_secs(60);
/// Between comparisons of rows with queues.
const COMPARE: Duration = Duration::from_secs(5);
/// Comparisons in a row in which a queue is empty and rows wait, before its messages are believed lost.
const LOST_AFTER: u32 = 3;

pub(crate) async fn dispatch(sweeper: &Sweeper) {
    let mut timer = tokio::time::interval(sweeper.settings().tick.0.max(Duration::from_millis(10)));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = sweeper.ctx.stop.cancelled() => return,
        }
        if !lead(sweeper).await {
            continue;
        }
        let started = Instant::now();
        if let Err(error) = tick(sweeper).await {
            warn!(error = %error, "a tick of the dispatcher was cut short; the next one goes on");
        }
        sweeper.metrics.tick_duration.observe(started.elapsed().as_secs_f64());
    }
}

async fn lead(sweeper: &Sweeper) -> bool {
    let leads = match sweeper.ctx.store.sweeper_lead(&sweeper.ctx.owner).await {
        Ok(leads) => leads,
        Err(error) => {
            warn!(error = %error, "failed to ask for leadership; trying again");
            false
        }
    };
    if sweeper.leading.swap(leads, Ordering::Relaxed) != leads {
        info!(leads, "leadership changed");
    }
    sweeper.metrics.leader.set(i64::from(leads));
    leads
}

async fn tick(sweeper: &Sweeper) -> Result<(), StoreError> {
    let store = &sweeper.ctx.store;
    for (queue, created_at) in store.queues_created().await? {
        if let Some((stage, lane)) = sweeper.ctx.publisher.topology().stage_of(&queue) {
            match store.announcements_lost(stage, lane).await {
                Ok(0) => {}
                Ok(rows) => {
                    warn!(
                        queue,
                        rows, "a queue was created anew; what was announced in it is announced again"
                    );
                }
                // The rest of the tick has to go on: it is tried again in the next one.
                Err(error) => {
                    warn!(error = %error, queue, "failed to announce again what a queue has lost");
                    continue;
                }
            }
        }
        // Afterwards: a sweeper that ends in between does it again.
        store.queue_handled(&queue, created_at).await?;
    }
    repeat(sweeper, Find::ExpiredLeases, &[]).await?;
    // An announcement that nobody carries would only move the next one further away.
    if !sweeper.ctx.announcer.is_connected() {
        return Ok(());
    }
    let paused = &sweeper.ctx.switches.now().paused;
    if !paused.is_empty() {
        store.paused_hold(BATCH, paused).await?;
    }
    let busy = busy_queues(sweeper).await;
    for find in [Find::OverdueStarts, Find::HeldStarts, Find::DueStages] {
        repeat(sweeper, find, &busy).await?;
    }
    Ok(())
}

/// Queues with messages that nobody took yet, as `stage.lane`. One that cannot be asked counts as empty.
async fn busy_queues(sweeper: &Sweeper) -> Vec<String> {
    let lanes = StageKind::ALL.into_iter().flat_map(|stage| Lane::ALL.map(|lane| (stage, lane)));
    let depths = lanes.map(async |(stage, lane)| {
        let depth = sweeper.ctx.publisher.depth(stage, lane).await;
        matches!(depth, Ok(1..)).then(|| format!("{stage}.{lane}"))
    });
    futures_util::future::join_all(depths).await.into_iter().flatten().collect()
}

/// The dispatcher's bounded statements.
#[derive(Debug, Clone, Copy)]
enum Find {
    ExpiredLeases,
    OverdueStarts,
    HeldStarts,
    DueStages,
    OldStages,
}

impl Find {
    /// The cause in metrics.
    const fn cause(self) -> &'static str {
        match self {
            Self::ExpiredLeases => "lease_expired",
            Self::OverdueStarts => "start_overdue",
            Self::HeldStarts => "admitted",
            Self::DueStages => "stage_due",
            Self::OldStages => "superseded",
        }
    }

    async fn run(self, sweeper: &Sweeper, busy: &[String]) -> Result<Due, StoreError> {
        let store = &sweeper.ctx.store;
        match self {
            Self::ExpiredLeases => store.leases_expire(BATCH).await,
            Self::OverdueStarts => store.starts_overdue(BATCH, busy).await,
            Self::HeldStarts => {
                let cap = i32::try_from(sweeper.settings().tenant_max_in_flight.0).unwrap_or(i32::MAX);
                store.starts_admit(BATCH, cap, &sweeper.ctx.switches.now().paused).await
            }
            Self::DueStages => store.stages_due(BATCH, busy).await,
            Self::OldStages => store.stages_supersede(BATCH).await,
        }
    }
}

/// Runs a bounded statement until it finds less than a batch.
async fn repeat(sweeper: &Sweeper, find: Find, busy: &[String]) -> Result<(), StoreError> {
    for _ in 0..ROUNDS {
        let due = find.run(sweeper, busy).await?;
        sweeper.metrics.rows_superseded.inc_by(due.superseded as u64);
        if !due.hints.is_empty() {
            sweeper.crash_point("C19");
            sweeper.metrics.dispatched.with_label_values(&[find.cause()]).inc_by(due.hints.len() as u64);
            sweeper.ctx.announcer.announce(&due.hints, None).await;
        }
        if !due.full {
            break;
        }
    }
    Ok(())
}

/// What should not be needed: stages of old runs, live calls without a live stage, queues that lost their
/// messages without being created anew.
pub(crate) async fn repair(sweeper: &Sweeper) {
    let mut empty: HashMap<(StageKind, Lane), u32> = HashMap::new();
    let mut last_repair = Instant::now();
    while nap(&sweeper.ctx.stop, COMPARE).await {
        if !sweeper.leads() {
            continue;
        }
        if let Err(error) = compare(sweeper, &mut empty).await {
            warn!(error = %error, "failed to compare rows with queues; trying again");
        }
        if last_repair.elapsed() >= REPAIR {
            last_repair = Instant::now();
            if let Err(error) = repair_rows(sweeper).await {
                warn!(error = %error, "failed to repair rows; trying again");
            }
        }
    }
}

async fn repair_rows(sweeper: &Sweeper) -> Result<(), StoreError> {
    let store = &sweeper.ctx.store;
    repeat(sweeper, Find::OldStages, &[]).await?;
    let rebuilt = store.calls_rebuild(BATCH, QUIET).await?;
    for hint in &rebuilt.hints {
        error!(callId = %hint.call_id, stage = %hint.stage, "a live call had no live stage and was rebuilt from its bitmask");
    }
    sweeper.metrics.calls_rebuilt.inc_by(rebuilt.hints.len() as u64);
    sweeper.metrics.dispatched.with_label_values(&["rebuilt"]).inc_by(rebuilt.hints.len() as u64);
    sweeper.ctx.announcer.announce(&rebuilt.hints, None).await;
    Ok(())
}

/// Rows wait, their queue is empty and no worker holds their hints: the hints are gone (a purge, say).
async fn compare(sweeper: &Sweeper, empty: &mut HashMap<(StageKind, Lane), u32>) -> Result<(), StoreError> {
    let announced = sweeper.ctx.store.announced().await?;
    for stage in StageKind::ALL {
        for lane in Lane::ALL {
            let row = announced.iter().find(|a| a.stage == stage.as_str() && a.lane == lane.as_str());
            let waiting = row.map_or(0, |a| a.announced);
            sweeper
                .metrics
                .announced
                .with_label_values(&[stage.as_str(), lane.as_str()])
                .set(i64::from(waiting));
            // What is kept back is not announced, and an empty queue has lost nothing.
            let paused = sweeper.ctx.switches.now().is_paused(stage, lane);
            let lost = match row {
                Some(Announced { announced, held: 0, .. }) if *announced > 0 && !paused => {
                    matches!(sweeper.ctx.publisher.depth(stage, lane).await, Ok(0))
                }
                _ => false,
            };
            let times = empty.entry((stage, lane)).or_default();
            *times = if lost { *times + 1 } else { 0 };
            if *times >= LOST_AFTER {
                *times = 0;
                let rows = sweeper.ctx.store.announcements_lost(stage, lane).await?;
                warn!(stage = %stage, lane = %lane, rows, "a queue lost its messages; they are announced again");
            }
        }
    }
    Ok(())
}
