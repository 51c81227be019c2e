//! The broker behind the installation's back.

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection};
use scryon_domain::stage::{Lane, StageKind};
use scryon_queue::{Topology, routing_key};

use crate::promptly;

/// A connection of the test's own. Every method panics when the broker refuses.
#[derive(Debug)]
pub struct BrokerConnection(Connection);

/// A message taken out of a queue.
#[derive(Debug)]
pub struct Peeked {
    pub body: Vec<u8>,
    pub redelivered: bool,
    pub traceparent: Option<String>,
}

impl BrokerConnection {
    pub(crate) fn new(connection: Connection) -> Self {
        Self(connection)
    }

    async fn channel(&self) -> Channel {
        promptly("a channel", self.0.create_channel()).await.expect("a channel")
    }

    /// Deletes every queue and exchange of an installation.
    pub async fn delete_queues(&self, topology: &Topology) {
        promptly("the queues' end", topology.delete(&self.0)).await.expect("queues can be deleted");
    }

    /// Throws every message away.
    pub async fn purge_queues(&self, topology: &Topology) {
        promptly("the queues' emptying", topology.purge(&self.0)).await.expect("queues can be purged");
    }

    /// Publishes any bytes to the queue of a stage.
    pub async fn publish(&self, topology: &Topology, stage: StageKind, lane: Lane, body: &[u8]) {
        let channel = self.channel().await;
        let properties = BasicProperties::default().with_message_id(uuid::Uuid::new_v4().to_string().into());
        let key = routing_key(stage, lane);
        let options = BasicPublishOptions::default();
        let sent = channel
            .basic_publish(topology.work_exchange().into(), key.into(), options, body, properties)
            .await;
        sent.expect("a message is taken").await.expect("a message is taken");
        channel.close(200, "done".into()).await.expect("the broker heard everything");
    }

    /// Declares a queue without any argument.
    pub async fn declare_plain(&self, queue: &str) {
        let channel = self.channel().await;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel
            .queue_declare(queue.into(), durable, FieldTable::default())
            .await
            .expect("a queue can be declared");
    }

    /// Messages that lie in a queue.
    pub async fn depth(&self, queue: &str) -> u32 {
        let channel = self.channel().await;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let looked = channel.queue_declare(queue.into(), passive, FieldTable::default());
        let queue = promptly("a look at a queue", looked).await;
        queue.expect("the queue is there").message_count()
    }

    /// Takes the next message out of a queue, if there is one.
    pub async fn take(&self, queue: &str) -> Option<Peeked> {
        let channel = self.channel().await;
        let taken = channel.basic_get(queue.into(), BasicGetOptions::default());
        let message = promptly("a message or none", taken).await.expect("a queue can be read")?;
        let headers = message.properties.headers().clone().unwrap_or_default();
        let traceparent = headers.inner().get("traceparent").and_then(|v| match v {
            AMQPValue::LongString(text) => Some(text.to_string()),
            _ => None,
        });
        message.ack(BasicAckOptions::default()).await.expect("a message can be taken");
        Some(Peeked { body: message.delivery.data, redelivered: message.delivery.redelivered, traceparent })
    }
}
