//! How many calls of a stage a worker works on at once, and how the lanes share them: live may use all but
//! one, backfill at most half. So live always owns half, and backfill always has one.

use std::sync::Arc;

use scryon_domain::stage::Lane;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of one stage.
#[derive(Debug, Clone)]
pub struct Slots {
    total: Arc<Semaphore>,
    live: Arc<Semaphore>,
    backfill: Arc<Semaphore>,
    count: usize,
}

/// A slot in use.
#[derive(Debug)]
pub struct Slot {
    _lane: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
}

impl Slots {
    /// `count` slots; at least two, so that each lane has one.
    pub fn new(count: usize) -> Self {
        let count = count.max(2);
        Self {
            total: Arc::new(Semaphore::new(count)),
            live: Arc::new(Semaphore::new(count - 1)),
            backfill: Arc::new(Semaphore::new((count / 2).max(1))),
            count,
        }
    }

    /// Slots in all.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Messages of a lane that a worker takes at once.
    pub fn of_lane(&self, lane: Lane) -> usize {
        match lane {
            Lane::Live => self.count - 1,
            Lane::Backfill => (self.count / 2).max(1),
        }
    }

    fn lane(&self, lane: Lane) -> &Arc<Semaphore> {
        match lane {
            Lane::Live => &self.live,
            Lane::Backfill => &self.backfill,
        }
    }

    /// Waits for a slot. `None` only when the worker is gone.
    pub async fn acquire(&self, lane: Lane) -> Option<Slot> {
        let lane = self.lane(lane).clone().acquire_owned().await.ok()?;
        let total = self.total.clone().acquire_owned().await.ok()?;
        Some(Slot { _lane: lane, _total: total })
    }

    /// A slot that is free now.
    pub fn try_acquire(&self, lane: Lane) -> Option<Slot> {
        let lane = self.lane(lane).clone().try_acquire_owned().ok()?;
        let total = self.total.clone().try_acquire_owned().ok()?;
        Some(Slot { _lane: lane, _total: total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backfill_never_takes_more_than_half_and_live_never_the_last() {
        let slots = Slots::new(8);
        let backfill: Vec<_> = std::iter::from_fn(|| slots.try_acquire(Lane::Backfill)).collect();
        assert_eq!(backfill.len(), 4);
        let live: Vec<_> = std::iter::from_fn(|| slots.try_acquire(Lane::Live)).collect();
        assert_eq!(live.len(), 4);
        drop((backfill, live));
        let live: Vec<_> = std::iter::from_fn(|| slots.try_acquire(Lane::Live)).collect();
        assert_eq!(live.len(), 7);
        assert!(slots.try_acquire(Lane::Backfill).is_some());
    }

    #[test]
    fn the_smallest_worker_serves_both_lanes() {
        let slots = Slots::new(0);
        let _live = slots.try_acquire(Lane::Live).unwrap();
        assert!(slots.try_acquire(Lane::Backfill).is_some());
    }
}
