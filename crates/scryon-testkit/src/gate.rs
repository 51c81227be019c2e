//! Carriers of hints that misbehave as a test wants.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use scryon_domain::hint::Hint;
use scryon_queue::Published;
use scryon_runtime::Announce;
use tokio::sync::watch;

/// Holds every confirm back until it is opened: the hint is carried, its confirm is not heard.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<dyn Announce>,
    open: Arc<watch::Sender<bool>>,
    waiting: Arc<watch::Sender<usize>>,
    twice: bool,
}

impl Gate {
    /// A closed gate in front of a carrier.
    pub fn closed(inner: Arc<dyn Announce>) -> Self {
        Self {
            inner,
            open: Arc::new(watch::channel(false).0),
            waiting: Arc::new(watch::channel(0).0),
            twice: false,
        }
    }

    /// An open one that carries every hint twice.
    pub fn doubling(inner: Arc<dyn Announce>) -> Self {
        Self {
            inner,
            open: Arc::new(watch::channel(true).0),
            waiting: Arc::new(watch::channel(0).0),
            twice: true,
        }
    }

    /// Lets everything through.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Hints whose confirm is held back.
    pub fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    async fn pass(&self) {
        self.waiting.send_modify(|n| *n += 1);
        let mut open = self.open.subscribe();
        // A gate that is gone holds nobody.
        open.wait_for(|open| *open).await.ok();
        self.waiting.send_modify(|n| *n -= 1);
    }
}

#[async_trait]
impl Announce for Gate {
    async fn announce(&self, hints: &[Hint], traceparent: Option<&str>) -> Published {
        let published = self.inner.announce(hints, traceparent).await;
        if self.twice {
            self.inner.announce(hints, traceparent).await;
        }
        self.pass().await;
        published
    }

    async fn announce_later(&self, hint: &Hint, delay: Duration, traceparent: Option<&str>) -> Published {
        self.inner.announce_later(hint, delay, traceparent).await
    }

    fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }
}
