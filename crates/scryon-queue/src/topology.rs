//! Exchanges and queues, every option with its reason.

use lapin::options::{
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};
use scryon_domain::stage::{Lane, StageKind};

use crate::QueueError;

/// Waits that a delayed hint can have. Fixed per queue: a per-message TTL blocks behind a longer one at
/// the head of the queue.
pub(crate) const DELAYS: [(&str, u32); 3] = [("5s", 5_000), ("30s", 30_000), ("5m", 300_000)];

/// Names under one prefix, so that installations (and tests) can share a broker. The `v1` is there because
/// arguments cannot change in place: another set of arguments is another name.
#[derive(Debug, Clone)]
pub struct Topology {
    prefix: String,
}

impl Topology {
    /// Names under `prefix`.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// Where hints are published, with `<stage>.<lane>` as routing key.
    pub fn work_exchange(&self) -> String {
        format!("{}.work", self.prefix)
    }

    /// Where a hint waits; it comes back to the work exchange with its own routing key.
    pub fn delay_exchange(&self, delay: &str) -> String {
        format!("{}.delay.{delay}", self.prefix)
    }

    fn delay_queue(&self, delay: &str) -> String {
        format!("{}.delay.{delay}.v1", self.prefix)
    }

    fn dead_exchange(&self) -> String {
        format!("{}.dlx", self.prefix)
    }

    /// The queue of one stage and lane.
    pub fn queue(&self, stage: StageKind, lane: Lane) -> String {
        format!("{}.{stage}.{lane}.v1", self.prefix)
    }

    /// Messages nobody could use.
    pub fn dead_queue(&self) -> String {
        format!("{}.dead.v1", self.prefix)
    }

    /// The stage and lane of a queue's name.
    pub fn stage_of(&self, queue: &str) -> Option<(StageKind, Lane)> {
        StageKind::ALL
            .into_iter()
            .flat_map(|s| Lane::ALL.map(|l| (s, l)))
            .find(|(s, l)| self.queue(*s, *l) == queue)
    }

    /// Declares everything; gives the names of stage queues that had to be created, whose messages (if
    /// they existed before) are lost.
    pub async fn declare(&self, connection: &Connection) -> Result<Vec<String>, QueueError> {
        let channel = connection.create_channel().await?;
        let exchanges =
            [(self.work_exchange(), ExchangeKind::Direct), (self.dead_exchange(), ExchangeKind::Direct)];
        let delays = DELAYS.map(|(delay, _)| (self.delay_exchange(delay), ExchangeKind::Fanout));
        for (name, kind) in exchanges.into_iter().chain(delays) {
            let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            channel.exchange_declare(name.into(), kind, durable, FieldTable::default()).await?;
        }
        let dead = self.dead_queue();
        declare(&channel, &dead, quorum()).await?;
        bind(&channel, &dead, &self.dead_exchange(), "dead").await?;
        for (delay, ttl) in DELAYS {
            let queue = self.delay_queue(delay);
            declare(&channel, &queue, self.delay_arguments(ttl)).await?;
            bind(&channel, &queue, &self.delay_exchange(delay), "").await?;
        }
        let mut created = Vec::new();
        for stage in StageKind::ALL {
            for lane in Lane::ALL {
                let queue = self.queue(stage, lane);
                if !exists(connection, &queue).await? {
                    created.push(queue.clone());
                }
                declare(&channel, &queue, self.stage_arguments()).await?;
                bind(&channel, &queue, &self.work_exchange(), &routing_key(stage, lane)).await?;
            }
        }
        // The declarations stand whether or not the goodbye is heard.
        let _closed = channel.close(200, "declared".into()).await;
        Ok(created)
    }

    /// Deletes everything. For tests and `make down`.
    pub async fn delete(&self, connection: &Connection) -> Result<(), QueueError> {
        let channel = connection.create_channel().await?;
        for queue in self.queues() {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        }
        let delays = DELAYS.map(|(delay, _)| self.delay_exchange(delay));
        for exchange in [self.work_exchange(), self.dead_exchange()].into_iter().chain(delays) {
            channel
                .exchange_delete(exchange.into(), lapin::options::ExchangeDeleteOptions::default())
                .await?;
        }
        Ok(())
    }

    /// Throws away every message. For tests.
    pub async fn purge(&self, connection: &Connection) -> Result<(), QueueError> {
        let channel = connection.create_channel().await?;
        for queue in self.queues() {
            channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?;
        }
        Ok(())
    }

    fn queues(&self) -> Vec<String> {
        let stages = StageKind::ALL.into_iter().flat_map(|s| Lane::ALL.map(|l| self.queue(s, l)));
        let delays = DELAYS.into_iter().map(|(delay, _)| self.delay_queue(delay));
        stages.chain(delays).chain([self.dead_queue()]).collect()
    }

    fn stage_arguments(&self) -> FieldTable {
        let mut arguments = quorum();
        // A message that kills its consumer twenty times is parked, not spun.
        set(&mut arguments, "x-delivery-limit", AMQPValue::LongLongInt(20));
        set(&mut arguments, "x-dead-letter-exchange", text(&self.dead_exchange()));
        set(&mut arguments, "x-dead-letter-routing-key", text("dead"));
        // No x-dead-letter-strategy: at-least-once can leave a broker without leaders (ADR 15).
        // A full queue refuses: the publisher sees a nack and the row announces itself again later.
        set(&mut arguments, "x-overflow", text("reject-publish"));
        set(&mut arguments, "x-max-length", AMQPValue::LongLongInt(50_000));
        arguments
    }

    fn delay_arguments(&self, ttl: u32) -> FieldTable {
        let mut arguments = quorum();
        set(&mut arguments, "x-message-ttl", AMQPValue::LongLongInt(i64::from(ttl)));
        // Without a routing key of its own the message keeps the one it came with.
        set(&mut arguments, "x-dead-letter-exchange", text(&self.work_exchange()));
        set(&mut arguments, "x-max-length", AMQPValue::LongLongInt(50_000));
        arguments
    }
}

/// The routing key of a stage and lane.
pub fn routing_key(stage: StageKind, lane: Lane) -> String {
    format!("{stage}.{lane}")
}

/// Quorum: replicated where there is a cluster, and confirmed only once it is on disk.
fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    set(&mut arguments, "x-queue-type", text("quorum"));
    arguments
}

fn set(arguments: &mut FieldTable, name: &str, value: AMQPValue) {
    arguments.insert(name.into(), value);
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

async fn declare(channel: &Channel, queue: &str, arguments: FieldTable) -> Result<(), QueueError> {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(queue.into(), durable, arguments).await {
        Ok(_) => Ok(()),
        Err(error) if is_reply(&error, PRECONDITION_FAILED) => {
            Err(QueueError::OtherArguments { queue: queue.to_owned() })
        }
        Err(error) => Err(error.into()),
    }
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<(), QueueError> {
    let options = QueueBindOptions::default();
    Ok(channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await?)
}

/// Asking for a queue that is not there costs the channel it was asked on.
async fn exists(connection: &Connection, queue: &str) -> Result<bool, QueueError> {
    let channel = connection.create_channel().await?;
    match depth_on(&channel, queue).await {
        Ok(_) => {
            let _closed = channel.close(200, "looked".into()).await;
            Ok(true)
        }
        Err(QueueError::Broker(error)) if is_reply(&error, NOT_FOUND) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Messages that are ready in a queue.
pub(crate) async fn depth_on(channel: &Channel, queue: &str) -> Result<u32, QueueError> {
    let passive = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
    Ok(channel.queue_declare(queue.into(), passive, FieldTable::default()).await?.message_count())
}

/// AMQP reply codes.
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

fn is_reply(error: &lapin::Error, code: u16) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(reply) if reply.get_id() == code)
}
