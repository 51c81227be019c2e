//! Waiting: between tries of a stage, and for a database that is away.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const LONGEST: Duration = Duration::from_secs(300);

/// Full jitter over min(5 min, 2 s · 2ⁿ), so that calls that failed together do not come back together.
pub fn backoff_of_try(tries: i32) -> Duration {
    let exponent = u32::try_from(tries.clamp(0, 10)).unwrap_or(0);
    let most = Duration::from_secs(2u64 << exponent).min(LONGEST);
    // A uuid's random bits, as a share of one.
    let share = (Uuid::new_v4().as_u128() as u32) as f64 / f64::from(u32::MAX);
    most.mul_f64(share).max(Duration::from_millis(100))
}

/// Waits longer and longer for something that is away, until told to stop.
#[derive(Debug)]
pub struct Patience<'a> {
    stop: &'a CancellationToken,
    next: Duration,
}

impl<'a> Patience<'a> {
    /// Starts with short waits.
    pub fn new(stop: &'a CancellationToken) -> Self {
        Self { stop, next: Duration::from_millis(50) }
    }

    /// Waits; false means stop waiting for good.
    pub async fn wait(&mut self) -> bool {
        let wait = self.next;
        self.next = (wait * 2).min(Duration::from_secs(2));
        self.nap(wait).await
    }

    /// Waits this long; false means stop.
    pub async fn nap(&self, wait: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = self.stop.cancelled() => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_within_bounds() {
        for tries in 0..40 {
            let most = Duration::from_secs(2u64 << tries.min(10)).min(LONGEST);
            for _ in 0..50 {
                let wait = backoff_of_try(tries);
                assert!(wait >= Duration::from_millis(100) && wait <= most, "{tries}: {wait:?}");
            }
        }
    }
}
