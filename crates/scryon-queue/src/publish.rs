//! The publisher: confirmed, mandatory, persistent, with a window and a deadline of its own. What is not
//! confirmed is not an error: the row it stands for announces itself again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation};
use scryon_domain::epoch::Epoch;
use scryon_domain::hint::Hint;
use scryon_domain::ids::HintId;
use scryon_domain::stage::{Lane, StageKind};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::link::{Backoff, QueueSettings, close, connect, died};
use crate::topology::{DELAYS, Topology, depth_on, routing_key};
use crate::{Observer, QueueError};

/// Messages on their way at once.
const WINDOW: usize = 100;
/// Longest wait for a confirm.
pub const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);
const PERSISTENT: u8 = 2;

/// Publishes hints over a connection of its own: a broker that blocks publishers does not stop acks.
#[derive(Clone)]
pub struct Publisher {
    channel: watch::Receiver<Option<Channel>>,
    window: Arc<Semaphore>,
    rebuild: Arc<Notify>,
    topology: Topology,
    epoch: Epoch,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("topology", &self.topology).finish_non_exhaustive()
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Published {
    pub confirmed: usize,
    /// Nacked, returned, timed out or not sent: left to the dispatcher.
    pub unknown: usize,
}

impl Publisher {
    /// Starts the supervisor of the connection; it ends with the last clone of this publisher.
    pub fn start(settings: QueueSettings, observer: Arc<dyn Observer>) -> Self {
        let (sender, channel) = watch::channel(None);
        let topology = Topology::new(settings.prefix.clone());
        let rebuild = Arc::new(Notify::new());
        let epoch = settings.epoch.clone();
        tokio::spawn(supervise(settings, topology.clone(), sender, rebuild.clone(), observer));
        Self { channel, window: Arc::new(Semaphore::new(WINDOW)), rebuild, topology, epoch }
    }

    /// Whether a connection stands now.
    pub fn is_connected(&self) -> bool {
        self.channel.borrow().as_ref().is_some_and(|c| c.status().connected())
    }

    /// Waits until a connection stands.
    pub async fn connected(&self) {
        let mut channel = self.channel.clone();
        // An error means the supervisor is gone, and with it every hope of a connection.
        let _gone = channel.wait_for(Option::is_some).await;
    }

    /// Announces stages now. Returns when every message is confirmed or given up.
    pub async fn publish(&self, hints: &[Hint], traceparent: Option<&str>) -> Published {
        self.publish_to(hints, &self.topology.work_exchange(), traceparent).await
    }

    /// Announces a stage after (at least roughly) `delay`. Only saves polling: losing it costs nothing.
    pub async fn publish_delayed(
        &self,
        hint: &Hint,
        delay: Duration,
        traceparent: Option<&str>,
    ) -> Published {
        let queue =
            DELAYS.iter().find(|(_, ttl)| u128::from(*ttl) >= delay.as_millis()).unwrap_or(&DELAYS[2]).0;
        self.publish_to(std::slice::from_ref(hint), &self.topology.delay_exchange(queue), traceparent).await
    }

    async fn publish_to(&self, hints: &[Hint], exchange: &str, traceparent: Option<&str>) -> Published {
        let sent = join_all(hints.iter().map(|hint| self.publish_one(hint, exchange, traceparent))).await;
        let confirmed = sent.iter().filter(|ok| **ok).count();
        Published { confirmed, unknown: hints.len() - confirmed }
    }

    async fn publish_one(&self, hint: &Hint, exchange: &str, traceparent: Option<&str>) -> bool {
        let confirmed = async {
            let _place = self.window.acquire().await.ok()?;
            let channel = self.channel.borrow().clone()?;
            let id = HintId::fresh().to_string();
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let key = routing_key(hint.stage, hint.lane);
            let confirm = channel
                .basic_publish(
                    exchange.into(),
                    key.into(),
                    options,
                    &hint.of_epoch(self.epoch.get()).to_body(),
                    properties(&id, traceparent),
                )
                .await
                .ok()?;
            match confirm.await.ok()? {
                Confirmation::Ack(None) => Some(true),
                Confirmation::Ack(Some(_)) => {
                    // Returned as unroutable: somebody deleted a queue. (The return may belong to a
                    // neighbour's message; both rows announce themselves again.)
                    self.rebuild.notify_one();
                    Some(false)
                }
                Confirmation::Nack(_) | Confirmation::NotRequested => Some(false),
            }
        };
        timeout(PUBLISH_DEADLINE, confirmed).await.ok().flatten().unwrap_or(false)
    }

    /// Messages ready in the queue of a stage and lane.
    pub async fn depth(&self, stage: StageKind, lane: Lane) -> Result<u32, QueueError> {
        let channel = self.channel.borrow().clone().ok_or(QueueError::NotConnected)?;
        let queue = self.topology.queue(stage, lane);
        match timeout(PUBLISH_DEADLINE, depth_on(&channel, &queue)).await {
            Ok(Ok(depth)) => Ok(depth),
            Ok(Err(error)) => {
                // A question for a queue that is gone costs the channel.
                self.rebuild.notify_one();
                Err(error)
            }
            Err(_elapsed) => Err(QueueError::Deadline { what: "queue depth" }),
        }
    }

    /// The names in use.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }
}

fn properties(id: &str, traceparent: Option<&str>) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(traceparent) = traceparent {
        headers.insert("traceparent".into(), AMQPValue::LongString(LongString::from(traceparent)));
    }
    BasicProperties::default()
        .with_message_id(id.into())
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers)
}

async fn supervise(
    settings: QueueSettings,
    topology: Topology,
    sender: watch::Sender<Option<Channel>>,
    rebuild: Arc<Notify>,
    observer: Arc<dyn Observer>,
) {
    let mut backoff = Backoff::default();
    while !sender.is_closed() {
        match open(&settings, &topology).await {
            Ok((connection, channel, created)) => {
                backoff.reset();
                observer.queues_created(&created);
                observer.connected("publish", true);
                sender.send_replace(Some(channel));
                tokio::select! {
                    () = died(&connection) => warn!("lost the connection to RabbitMQ for publishing; rows announce themselves meanwhile"),
                    () = rebuild.notified() => info!("a message was returned as unroutable; declaring queues anew"),
                    () = sender.closed() => {}
                }
                sender.send_replace(None);
                observer.connected("publish", false);
                close(connection).await;
            }
            Err(QueueError::OtherArguments { queue }) => {
                observer.fatal(&QueueError::OtherArguments { queue });
                return;
            }
            Err(error) => warn!(error = %error, "failed to connect to RabbitMQ for publishing; trying again"),
        }
        tokio::select! {
            () = backoff.wait() => {}
            () = sender.closed() => {}
        }
    }
}

async fn open(
    settings: &QueueSettings,
    topology: &Topology,
) -> Result<(lapin::Connection, Channel, Vec<String>), QueueError> {
    let connection = connect(settings, "publish").await?;
    let prepared = timeout(Duration::from_secs(30), async {
        let created = topology.declare(&connection).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok::<_, QueueError>((channel, created))
    })
    .await
    .map_err(|_elapsed| QueueError::Deadline { what: "declare queues" })??;
    Ok((connection, prepared.0, prepared.1))
}
