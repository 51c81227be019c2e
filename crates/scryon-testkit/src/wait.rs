//! Waiting for conditions.

use std::future::Future;
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Waits up to 60 s until `look` gives something.
///
/// # Panics
/// When it does not in time, naming `what` was awaited.
pub async fn eventually<T, F, R>(what: &str, look: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Option<T>>,
{
    eventually_within(Duration::from_secs(60), what, look).await
}

/// The same with another patience.
///
/// # Panics
/// As above.
pub async fn eventually_within<T, F, R>(patience: Duration, what: &str, mut look: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < patience, "{what}: not within {patience:?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// What ends within a minute unless a server or a library hangs.
///
/// # Panics
/// When it does not, naming `what` was awaited.
pub async fn promptly<R>(what: &str, work: impl Future<Output = R>) -> R {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}

/// Lets time pass where time itself is what is tested: an outage of a given length, a rate, a random
/// instant. Never a stand-in for a condition.
pub async fn elapse(duration: Duration) {
    tokio::time::sleep(duration).await;
}
