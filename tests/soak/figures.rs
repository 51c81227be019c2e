//! What is measured meanwhile.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use scryon_testkit::{Times, elapse};

/// How long some things took, so far.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Vec<Duration>>);

impl Watch {
    pub(crate) fn add(&self, time: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(time);
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        write!(f, "{}", Times::of(times))
    }
}

/// Whether a server is away, a wire bad or something paused: what is measured then says how long that lasted.
#[derive(Debug, Default)]
pub(crate) struct Peace {
    troubles: AtomicUsize,
    ever: AtomicU64,
}

/// After a server is back its clients find it within this time.
const AFTERMATH: Duration = Duration::from_secs(3);

impl Peace {
    /// The time of `trouble`, and what follows from it, is no peace.
    pub(crate) async fn without<T>(self: &Arc<Self>, trouble: impl Future<Output = T>) -> T {
        self.ever.fetch_add(1, Ordering::SeqCst);
        self.troubles.fetch_add(1, Ordering::SeqCst);
        let result = trouble.await;
        let peace = self.clone();
        tokio::spawn(async move {
            elapse(AFTERMATH).await;
            peace.troubles.fetch_sub(1, Ordering::SeqCst);
        });
        result
    }

    /// To be shown to [`Self::held_since`] afterwards; nothing in troubled times.
    pub(crate) fn now(&self) -> Option<u64> {
        let ever = self.ever.load(Ordering::SeqCst);
        (self.troubles.load(Ordering::SeqCst) == 0).then_some(ever)
    }

    pub(crate) fn held_since(&self, then: Option<u64>) -> bool {
        then == Some(self.ever.load(Ordering::SeqCst))
    }
}
