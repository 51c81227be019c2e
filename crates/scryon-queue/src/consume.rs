//! Supervised consumers: one connection, one channel per queue, prefetch equal to the local slots.
//! Losing the connection stops consuming only; work in progress goes on, because its right to write is in
//! Postgres.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel};
use scryon_domain::ids::HintId;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::link::{Backoff, QueueSettings, close, connect, died};
use crate::topology::Topology;
use crate::{Observer, QueueError};

/// Longest wait for the broker to take an ack. An ack that is lost means a redelivery, which is harmless.
const ACK_DEADLINE: Duration = Duration::from_secs(2);
const CONSUMER: &str = "worker";

/// A message in our hands. Dropped without an ack it comes back when the connection ends.
#[derive(Debug)]
pub struct Delivery {
    pub body: Vec<u8>,
    /// The same for every delivery of one message.
    pub hint_id: HintId,
    pub redelivered: bool,
    pub traceparent: Option<String>,
    /// Text headers, such as where and why a dead letter died.
    pub headers: Value,
    acker: Acker,
}

impl Delivery {
    /// Says that the message is done with. False: the broker did not hear it and will deliver it again.
    pub async fn ack(self) -> bool {
        matches!(timeout(ACK_DEADLINE, self.acker.ack(BasicAckOptions::default())).await, Ok(Ok(true)))
    }

    /// Sends the message to the dead-letter queue.
    pub async fn park(self) -> bool {
        let options = BasicRejectOptions { requeue: false };
        matches!(timeout(ACK_DEADLINE, self.acker.reject(options)).await, Ok(Ok(true)))
    }

    fn receive(delivery: lapin::message::Delivery) -> Self {
        let headers = delivery.properties.headers();
        let text = |name: &str| headers.as_ref().and_then(|h| text_header(h, name));
        let id = delivery.properties.message_id().as_ref().and_then(|id| id.as_str().parse().ok());
        Self {
            hint_id: id.unwrap_or_else(HintId::fresh),
            redelivered: delivery.redelivered,
            traceparent: text("traceparent"),
            headers: headers.as_ref().map(text_headers).unwrap_or_default(),
            body: delivery.data,
            acker: delivery.acker,
        }
    }
}

fn text_header(headers: &FieldTable, name: &str) -> Option<String> {
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn text_headers(headers: &FieldTable) -> Value {
    let names = headers.inner().keys().map(ToString::to_string);
    Value::Object(
        names.filter_map(|name| Some((name.clone(), text_header(headers, &name)?.into()))).collect(),
    )
}

/// A queue to consume and what to do with each message. The handler must not block: it spawns.
#[derive(Clone)]
pub struct Subscription {
    pub queue: String,
    /// Messages in our hands at once.
    pub prefetch: u16,
    pub handler: Arc<dyn Fn(Delivery) + Send + Sync>,
    /// While it says so no message is taken; those in our hands are worked on.
    pub paused: watch::Receiver<bool>,
}

/// A queue that nobody ever keeps back.
pub fn never_paused() -> watch::Receiver<bool> {
    watch::channel(false).1
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("queue", &self.queue)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Consuming,
    /// No new messages; acks still flow.
    Draining,
    Closed,
}

/// Running consumers.
#[derive(Debug)]
pub struct Consumers {
    phase: watch::Sender<Phase>,
    supervisor: JoinHandle<()>,
}

impl Consumers {
    /// Starts consuming; connections, channels and topology are rebuilt for ever.
    pub fn start(
        settings: QueueSettings,
        subscriptions: Vec<Subscription>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let (phase, receiver) = watch::channel(Phase::Consuming);
        let supervisor = tokio::spawn(supervise(settings, subscriptions, receiver, observer));
        Self { phase, supervisor }
    }

    /// Stops taking messages; those in our hands can still be acknowledged.
    pub fn stop_intake(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Closes the connection. Messages in our hands are delivered to somebody else.
    pub async fn close(self) {
        self.phase.send_replace(Phase::Closed);
        // The supervisor ends within its own deadlines; a broker that does not answer is left behind.
        let _left_behind = timeout(Duration::from_secs(3), self.supervisor).await;
    }
}

async fn supervise(
    settings: QueueSettings,
    subscriptions: Vec<Subscription>,
    mut phase: watch::Receiver<Phase>,
    observer: Arc<dyn Observer>,
) {
    let topology = Topology::new(settings.prefix.clone());
    let mut backoff = Backoff::default();
    while *phase.borrow() == Phase::Consuming {
        match session(&settings, &topology, &subscriptions, &mut phase, &*observer, &mut backoff).await {
            Ok(()) => {}
            Err(QueueError::OtherArguments { queue }) => {
                observer.fatal(&QueueError::OtherArguments { queue });
                return;
            }
            Err(error) => warn!(error = %error, "failed to consume from RabbitMQ; trying again"),
        }
        observer.connected("consume", false);
        if *phase.borrow() == Phase::Consuming {
            backoff.wait().await;
        }
    }
}

/// Waits for a phase; an owner that is gone wants everything closed.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: impl Fn(Phase) -> bool) {
    let _owner_gone = phase.wait_for(|p| wanted(*p)).await;
}

async fn consume(channel: &Channel, queue: &str) -> Result<lapin::Consumer, QueueError> {
    let options = BasicConsumeOptions::default();
    Ok(channel.basic_consume(queue.into(), CONSUMER.into(), options, FieldTable::default()).await?)
}

/// Hands over what comes, except while the queue is kept back: then the consumer is cancelled, so that its messages stay
/// where they are seen. Returns when the stream ends.
async fn pump(
    channel: &Channel,
    mut consumer: Option<lapin::Consumer>,
    mut subscription: Subscription,
) -> Result<(), QueueError> {
    let paused = &mut subscription.paused;
    // A sender that is gone says no more: the last word holds.
    let changed = async |paused: &mut watch::Receiver<bool>, to: bool| {
        if paused.wait_for(|p| *p == to).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    loop {
        let Some(stream) = &mut consumer else {
            changed(paused, false).await;
            info!(queue = subscription.queue, "consuming again");
            consumer = Some(consume(channel, &subscription.queue).await?);
            continue;
        };
        tokio::select! {
            delivery = stream.next() => match delivery {
                Some(delivery) => (subscription.handler)(Delivery::receive(delivery?)),
                None => return Ok(()),
            },
            () = changed(paused, true) => {
                info!(queue = subscription.queue, "paused by an operator: no message is taken");
                channel.basic_cancel(CONSUMER.into(), BasicCancelOptions::default()).await?;
                // What was under way to us when we said so.
                while let Some(delivery) = stream.next().await {
                    (subscription.handler)(Delivery::receive(delivery?));
                }
                consumer = None;
            }
        }
    }
}

/// One connection's life.
async fn session(
    settings: &QueueSettings,
    topology: &Topology,
    subscriptions: &[Subscription],
    phase: &mut watch::Receiver<Phase>,
    observer: &dyn Observer,
    backoff: &mut Backoff,
) -> Result<(), QueueError> {
    let connection = connect(settings, "consume").await?;
    let opened = timeout(Duration::from_secs(30), async {
        let created = topology.declare(&connection).await?;
        let mut channels = Vec::new();
        for subscription in subscriptions {
            let channel = connection.create_channel().await?;
            // First the limit: a consumer's buffer has none of its own.
            channel.basic_qos(subscription.prefetch, BasicQosOptions::default()).await?;
            let consumer = if *subscription.paused.borrow() {
                None
            } else {
                Some(consume(&channel, &subscription.queue).await?)
            };
            channels.push((channel, consumer, subscription.clone()));
        }
        Ok::<_, QueueError>((created, channels))
    })
    .await
    .map_err(|_elapsed| QueueError::Deadline { what: "open consumers" })??;
    backoff.reset();
    observer.queues_created(&opened.0);
    observer.connected("consume", true);
    info!(queues = subscriptions.len(), "consuming");

    let channels: Vec<Channel> = opened.1.iter().map(|(channel, ..)| channel.clone()).collect();
    // The first stream that ends or fails means the connection, or its queue, is gone.
    let pumps = opened.1.into_iter().map(|(channel, consumer, subscription)| {
        Box::pin(async move {
            if let Err(error) = pump(&channel, consumer, subscription).await {
                debug!(error = %error, "a consumer failed");
            }
        })
    });
    tokio::select! {
        _first = futures_util::future::select_all(pumps) => warn!("a consumer ended; rebuilding the connection"),
        () = died(&connection) => warn!("lost the connection to RabbitMQ for consuming; work in progress goes on"),
        () = reached(phase, |p| p != Phase::Consuming) => {
            join_all(channels.iter().map(|c| c.basic_cancel(CONSUMER.into(), BasicCancelOptions::default()))).await;
            tokio::select! {
                () = died(&connection) => {}
                () = reached(phase, |p| p == Phase::Closed) => {}
            }
        }
    }
    close(connection).await;
    Ok(())
}
