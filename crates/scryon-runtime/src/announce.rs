//! Announcing: giving hints to the broker. A trait, so that tests can hold confirms back or drop every hint.

use std::time::Duration;

use async_trait::async_trait;
use scryon_domain::hint::Hint;
use scryon_queue::{Published, Publisher};

/// Whoever carries hints.
#[async_trait]
pub trait Announce: Send + Sync {
    /// Announces now; returns when every hint is confirmed or left to the dispatcher.
    async fn announce(&self, hints: &[Hint], traceparent: Option<&str>) -> Published;
    /// Announces after a delay.
    async fn announce_later(&self, hint: &Hint, delay: Duration, traceparent: Option<&str>) -> Published;
    /// Whether the broker is there now.
    fn is_connected(&self) -> bool;
}

#[async_trait]
impl Announce for Publisher {
    async fn announce(&self, hints: &[Hint], traceparent: Option<&str>) -> Published {
        self.publish(hints, traceparent).await
    }
    async fn announce_later(&self, hint: &Hint, delay: Duration, traceparent: Option<&str>) -> Published {
        self.publish_delayed(hint, delay, traceparent).await
    }
    fn is_connected(&self) -> bool {
        Self::is_connected(self)
    }
}

/// Drops every hint: what is left is what the dispatcher does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mute;

#[async_trait]
impl Announce for Mute {
    async fn announce(&self, hints: &[Hint], _traceparent: Option<&str>) -> Published {
        Published { confirmed: 0, unknown: hints.len() }
    }
    async fn announce_later(&self, _hint: &Hint, _delay: Duration, _traceparent: Option<&str>) -> Published {
        Published { confirmed: 0, unknown: 1 }
    }
    fn is_connected(&self) -> bool {
        true
    }
}
