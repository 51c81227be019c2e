//! A connection that is watched: made with a deadline, its death noticed, rebuilt by its owner.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use scryon_domain::epoch::Epoch;
use tokio::time::timeout;

use crate::QueueError;

/// How to reach the broker.
#[derive(Clone)]
pub struct QueueSettings {
    /// `amqp://…`; holds a password, so this type prints nothing of it.
    pub url: String,
    pub prefix: String,
    /// Shown in the broker's list of connections.
    pub program: String,
    /// Which life of the installation this is, as messages say it.
    pub epoch: Epoch,
}

impl std::fmt::Debug for QueueSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueSettings").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

const CONNECT: Duration = Duration::from_secs(3);
/// What a farewell may take.
const CLOSE: Duration = Duration::from_secs(1);
/// Seconds. A peer that vanished without a word is noticed after two of these.
const HEARTBEAT: u16 = 10;

/// One attempt to connect. lapin's own recovery stays off: it would resume deliveries whose acks it lost.
pub async fn connect(settings: &QueueSettings, purpose: &str) -> Result<Connection, QueueError> {
    let mut uri: AMQPUri = settings.url.parse().map_err(|e| QueueError::Address { message: e })?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    let name = format!("{} {purpose}", settings.program);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    match timeout(CONNECT, Connection::connect_uri(uri, properties)).await {
        Ok(connection) => Ok(connection?),
        Err(_elapsed) => Err(QueueError::Deadline { what: "connect" }),
    }
}

/// Takes leave of the broker, politely where it answers at once: nothing depends on the answer, and one that never
/// comes must not hold up a program that is done.
pub async fn close(connection: Connection) {
    let _answer = timeout(CLOSE, connection.close(200, "bye".into())).await;
}

/// Waits until the connection is dead. The event stream, its end, and the status all mean dead.
pub(crate) async fn died(connection: &Connection) {
    let mut events = Box::pin(connection.events_listener());
    while connection.status().connected() {
        if let Ok(Some(Event::Error(_)) | None) = timeout(Duration::from_secs(1), events.next()).await {
            return;
        }
    }
}

/// Waits between attempts: short at first, then up to 5 s, with jitter so that a fleet does not knock at once.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Starts anew after a success.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next wait.
    pub(crate) async fn wait(&mut self) {
        let most = (100u64 << self.attempts.min(6)).min(5_000);
        self.attempts += 1;
        // A random uuid is a random number that needs no other crate.
        let jitter = uuid::Uuid::new_v4().as_u128() as u64 % most;
        tokio::time::sleep(Duration::from_millis(most / 2 + jitter / 2)).await;
    }
}
