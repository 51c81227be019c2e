//! Carriers of hints that misbehave as a test wants.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join;
use scryon_domain::hint::Hint;
use scryon_queue::Published;
use scryon_runtime::Announce;
use tokio::sync::watch;
use uuid::Uuid;

/// Holds every confirm back while it is closed. The hint itself is carried, or held back too.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<dyn Announce>,
    open: Arc<watch::Sender<bool>>,
    waiting: Arc<watch::Sender<usize>>,
    copies: Copies,
    holds_hints: bool,
}

/// How often a hint is carried, and when.
#[derive(Clone, Copy)]
enum Copies {
    One,
    Two,
    /// Two, each at some moment within [`LATE`]: hints overtake one another.
    TwoInAnyOrder,
}

const LATE: Duration = Duration::from_millis(1_000);

impl Gate {
    /// A closed gate in front of a carrier: hints are carried, confirms are not heard.
    pub fn closed(inner: Arc<dyn Announce>) -> Self {
        Self {
            inner,
            open: Arc::new(watch::channel(false).0),
            waiting: Arc::new(watch::channel(0).0),
            copies: Copies::One,
            holds_hints: false,
        }
    }

    /// An open one that, once closed, carries no hint before it confirms it.
    pub fn holding(inner: Arc<dyn Announce>) -> Self {
        let gate = Self { holds_hints: true, ..Self::closed(inner) };
        gate.open();
        gate
    }

    /// An open one that carries every hint twice.
    pub fn doubling(inner: Arc<dyn Announce>) -> Self {
        let gate = Self { copies: Copies::Two, ..Self::closed(inner) };
        gate.open();
        gate
    }

    /// An open one that carries every hint twice, and in any order.
    pub fn shuffling(inner: Arc<dyn Announce>) -> Self {
        let gate = Self { copies: Copies::TwoInAnyOrder, ..Self::closed(inner) };
        gate.open();
        gate
    }

    /// Holds back what comes from now on.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Lets everything through.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Hints whose confirm is held back.
    pub fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    async fn carried_late(&self, hints: &[Hint], traceparent: Option<&str>) -> Published {
        tokio::time::sleep(LATE.mul_f64(f64::from(Uuid::new_v4().as_bytes()[0]) / 255.0)).await;
        self.inner.announce(hints, traceparent).await
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
        if self.holds_hints {
            self.pass().await;
            return self.inner.announce(hints, traceparent).await;
        }
        let published = match self.copies {
            Copies::One => self.inner.announce(hints, traceparent).await,
            Copies::Two => {
                self.inner.announce(hints, traceparent).await;
                self.inner.announce(hints, traceparent).await
            }
            Copies::TwoInAnyOrder => {
                join(self.carried_late(hints, traceparent), self.carried_late(hints, traceparent)).await.0
            }
        };
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
