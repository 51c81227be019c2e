//! How many uploads are taken in a minute while an operator wants few: a bucket per limit that fills evenly. Of several
//! API processes each takes so many.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use scryon_runtime::Switched;

/// Uploads that may come at once after a quiet time: what this part of a minute lets through.
const BURST: f64 = 1.0 / 6.0;
/// When to try again where nothing is taken at all.
const CLOSED: Duration = Duration::from_secs(30);

/// The buckets.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<String, Bucket>>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Throttle {
    /// Takes a place for an upload of this tenant; `Err`: not before this has passed.
    pub(crate) fn take(&self, switched: &Switched, tenant: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let limits: Vec<(String, u32)> = switched.throttles(tenant).collect();
        buckets.retain(|_, bucket| now.duration_since(bucket.at) < Duration::from_secs(600));
        // All or none: a place in one bucket is not used up by a refusal of the other.
        let mut filled = Vec::new();
        for (target, per_minute) in limits {
            let most = (f64::from(per_minute) * BURST).max(1.0);
            let rate = f64::from(per_minute) / 60.0;
            if per_minute == 0 {
                return Err(CLOSED);
            }
            let bucket = buckets.get(&target).copied().unwrap_or(Bucket { tokens: most, at: now });
            let tokens = (bucket.tokens + now.duration_since(bucket.at).as_secs_f64() * rate).min(most);
            if tokens < 1.0 {
                return Err(Duration::from_secs_f64((1.0 - tokens) / rate));
            }
            filled.push((target, Bucket { tokens: tokens - 1.0, at: now }));
        }
        buckets.extend(filled);
        Ok(())
    }

    /// Work that can wait is refused as long as uploads are limited.
    pub(crate) fn refuses_backfill(switched: &Switched, tenant: &str) -> Option<Duration> {
        switched.throttles(tenant).next().map(|_| CLOSED)
    }
}
