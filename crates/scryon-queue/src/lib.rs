//! RabbitMQ: names and arguments of queues, a confirmed publisher, supervised consumers. A message is only
//! a hint; nothing here is needed for correctness, everything for promptness.

mod consume;
mod link;
mod publish;
mod topology;

pub use consume::{Consumers, Delivery, Subscription, never_paused};
pub use lapin::Connection;
pub use link::{QueueSettings, close, connect};
pub use publish::{PUBLISH_DEADLINE, Published, Publisher};
pub use topology::{Topology, routing_key};

/// Why the broker could not be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("the broker refused or was lost: {0}")]
    Broker(#[from] lapin::Error),
    #[error("AMQP_URL cannot be read: {message}")]
    Address { message: String },
    #[error("the broker did not answer in time: {what}")]
    Deadline { what: &'static str },
    #[error("there is no connection to the broker now")]
    NotConnected,
    /// Arguments cannot change in place.
    #[error(
        "queue {queue} exists with other arguments than this version declares. Nothing was changed. Delete the queue once it is empty (its rows announce themselves again), or set another SCRYON_QUEUE_PREFIX"
    )]
    OtherArguments { queue: String },
}

/// Whoever wants to know how the connections are doing.
pub trait Observer: Send + Sync {
    /// A connection (`publish` or `consume`) came up or went down.
    fn connected(&self, connection: &'static str, up: bool);
    /// These queues were not there and have been created: what they held is lost and must be announced again.
    fn queues_created(&self, queues: &[String]);
    /// The program cannot go on.
    fn fatal(&self, error: &QueueError);
}
