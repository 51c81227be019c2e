//! The drain of the dead-letter queue: each letter becomes a row, then it is acknowledged.

use std::sync::Arc;

use scryon_queue::{Consumers, Delivery, Subscription, Topology, never_paused};
use scryon_runtime::retry::Patience;
use scryon_store::DeadLetter;
use serde_json::Value;
use tracing::warn;

use crate::Sweeper;

/// Letters in our hands at once.
const PREFETCH: u16 = 20;

pub(crate) fn drain(sweeper: &Sweeper) -> Consumers {
    let shared = sweeper.clone();
    let subscription = Subscription {
        queue: Topology::new(sweeper.ctx.queue.prefix.clone()).dead_queue(),
        prefetch: PREFETCH,
        handler: Arc::new(move |delivery| {
            let sweeper = shared.clone();
            tokio::spawn(async move { keep(&sweeper, delivery).await });
        }),
        paused: never_paused(),
    };
    Consumers::start(sweeper.ctx.queue.clone(), vec![subscription], sweeper.ctx.observer.clone())
}

async fn keep(sweeper: &Sweeper, delivery: Delivery) {
    let text = |name: &str| delivery.headers.get(name).and_then(Value::as_str).map(str::to_owned);
    let body: Option<Value> = serde_json::from_slice(&delivery.body).ok();
    let letter = DeadLetter {
        message_id: delivery.hint_id.to_string(),
        queue: text("x-first-death-queue"),
        reason: text("x-first-death-reason"),
        call_id: body.as_ref().and_then(|b| b.get("call_id")?.as_str()?.parse().ok()),
        body: delivery.body.clone(),
        headers: delivery.headers.clone(),
    };
    let mut patience = Patience::new(&sweeper.ctx.stop);
    while let Err(error) = sweeper.ctx.store.dead_letter_insert(&letter).await {
        warn!(error = %error, "failed to keep a dead letter; trying again");
        if !patience.wait().await {
            return;
        }
    }
    sweeper.crash_point("C18");
    sweeper.metrics.dead_letters.inc();
    warn!(
        queue = letter.queue,
        reason = letter.reason,
        "a message nobody could use was kept in dead_letters"
    );
    delivery.ack().await;
}
